"""Feature files: what is written comes back, and what is wrong is refused with a sentence of its own."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io

from revcd_cli.config import BackboneRecord
from revcd_cli.data.features import FeatureSet, read_features, write_features
from revcd_cli.errors import InputFileError, RevcdError, UsageError

BACKBONE = BackboneRecord(
    tag="test_resnet.r160_in1k",
    weights_sha256="ab" * 32,
    preprocessing={"input_size": [3, 160, 160], "interpolation": "bicubic"},
    feature_dim=5,
    precision="float32",
)
SUFFIXES = (".parquet", ".npz", ".mat")


def make(paths: list[str], *, failed: tuple[int, ...] = (), seed: int = 0) -> FeatureSet:
    """Return random features of these photos; those at the positions `failed` have none."""
    features = np.random.default_rng(seed).normal(size=(len(paths), 5)).astype(np.float32)
    features[list(failed)] = np.nan
    return FeatureSet(
        paths=tuple(paths),
        features=features,
        status=tuple("failed" if row in failed else "ok" for row in range(len(paths))),
        reason=tuple("truncated" if row in failed else "" for row in range(len(paths))),
        sha256=tuple(f"{row:064x}" for row in range(len(paths))),
        backbone=BACKBONE,
    )


BLOCKS = [make(["b/1.jpg", "b/2.jpg", "a/1.jpg"], failed=(1,)), make(["c/[red].jpg", "a/ünï 🦓.png"], seed=1)]
PATHS = [path for block in BLOCKS for path in block.paths]
VALUES = np.concatenate([block.features for block in BLOCKS])


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_parquet_and_npz_give_back_every_row_and_the_backbone(tmp_path: Path, suffix: str) -> None:
    write_features(tmp_path / f"f{suffix}", BLOCKS)
    found = read_features(tmp_path / f"f{suffix}")
    assert list(found.paths) == PATHS
    np.testing.assert_array_equal(found.features, VALUES)
    assert found.status == ("ok", "failed", "ok", "ok", "ok")
    assert found.reason == ("", "truncated", "", "", "")
    assert found.sha256 == BLOCKS[0].sha256 + BLOCKS[1].sha256
    assert found.backbone == BACKBONE


def test_mat_holds_the_same_numbers_without_the_photos_that_failed(tmp_path: Path) -> None:
    write_features(tmp_path / "f.mat", BLOCKS)
    found = read_features(tmp_path / "f.mat")
    kept = [0, 2, 3, 4]
    assert list(found.paths) == [PATHS[row] for row in kept]
    np.testing.assert_array_equal(found.features, VALUES[kept])
    assert found.backbone == BACKBONE


def test_mat_has_the_layout_of_xlsa17_with_labels_by_alphabetical_folder(tmp_path: Path) -> None:
    write_features(tmp_path / "f.mat", BLOCKS)
    arrays = scipy.io.loadmat(tmp_path / "f.mat")
    assert arrays["features"].shape == (5, 4)
    assert arrays["labels"].tolist() == [[2], [1], [3], [1]]
    assert [name[0][0] for name in arrays["class_names"]] == ["a", "b", "c"]
    assert arrays["image_files"].shape == (4, 1)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_features_make_equal_bytes(tmp_path: Path, suffix: str) -> None:
    for name in ("one", "two"):
        write_features(tmp_path / f"{name}{suffix}", BLOCKS)
    assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "name", ["caf\udce9.jpg", r"a\udce9.jpg", r"a\\udc5c\udce9\udc5cx.jpg", "tab\tnew\nline 'q'.jpg"]
)
def test_names_that_are_not_utf8_come_back_exactly(tmp_path: Path, suffix: str, name: str) -> None:
    write_features(tmp_path / f"f{suffix}", [make([f"x/{name}"])])
    assert read_features(tmp_path / f"f{suffix}").paths == (f"x/{name}",)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_in_which_every_photo_failed_can_be_written(tmp_path: Path, suffix: str) -> None:
    write_features(tmp_path / f"f{suffix}", [make(["a/1.jpg", "a/2.jpg"], failed=(0, 1))])
    assert not read_features(tmp_path / f"f{suffix}").ok.any()


def test_any_tool_reads_the_parquet_file_and_its_backbone(tmp_path: Path) -> None:
    write_features(tmp_path / "f.parquet", BLOCKS)
    table = pq.read_table(tmp_path / "f.parquet")
    assert table.column_names == ["path", "status", "reason", "sha256", "feature"]
    assert table["feature"].to_pylist()[1] is None
    header = json.loads(table.schema.metadata[b"revcd"])
    assert header["format"] == 1 and header["backbone"] == BACKBONE.to_dict()


def test_npz_is_read_by_numpy_without_pickle(tmp_path: Path) -> None:
    write_features(tmp_path / "f.npz", BLOCKS)
    with np.load(tmp_path / "f.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["features"], VALUES)
        assert arrays["paths"].tolist() == PATHS


def test_features_of_other_tools_get_the_stem_as_their_tag(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "mine.npz", features=VALUES[2:], paths=np.array(PATHS[2:]))
    scipy.io.savemat(tmp_path / "res101.mat", {"features": VALUES[2:].T.astype(np.float64)})
    for name in ("mine.npz", "res101.mat"):
        found = read_features(tmp_path / name)
        np.testing.assert_array_equal(found.features, VALUES[2:])
        assert (found.backbone.tag, found.backbone.weights_sha256) == (Path(name).stem, "")
        assert found.status == ("ok",) * 3


def test_the_published_kind_of_mat_is_read(shared_data: Path) -> None:
    found = read_features(shared_data / "xlsa17" / "CUB" / "vgg19.mat")
    assert found.features.shape == (11788, 4096) and found.features.dtype == np.float32
    assert found.backbone.tag == "vgg19"
    assert found.paths[0].endswith("001.Black_footed_Albatross/Black_Footed_Albatross_0001_796111.jpg")


# ---- files that are refused


def saved_npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **{"features": VALUES[2:], "paths": np.array(PATHS[2:]), **arrays})
    return stream.getvalue()


def claiming_npz(shape: tuple[int, ...], body: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    """Return an .npz whose array of features says it has this shape."""
    member, stream = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("features.npy", member.getvalue() + body)
    return stream.getvalue()


def saved_mat(**arrays: object) -> bytes:
    stream = io.BytesIO()
    scipy.io.savemat(stream, arrays, do_compression=True)
    return stream.getvalue()


def saved_parquet(change: str) -> bytes:
    """Return a feature file of which one thing is not as it should be."""
    ok = make(["a.jpg", "b.jpg"])
    rows = {
        "path": pa.array(["a.jpg", "a.jpg" if change == "duplicate" else "b.jpg"]),
        "status": pa.array(["ok", "fine" if change == "status" else "ok"]),
        "reason": pa.array(["", None if change == "null" else ""]),
        "sha256": pa.array(["", ""]),
        "feature": pa.array(ok.features.tolist(), type=pa.list_(pa.float32(), 5)),
    }
    if change == "lost feature":
        rows["feature"] = pa.array([[1.0] * 5, None], type=pa.list_(pa.float32(), 5))
    if change == "nan":
        rows["feature"] = pa.array([[1.0] * 5, [float("nan")] * 5], type=pa.list_(pa.float32(), 5))
    if change == "float64":
        rows["feature"] = pa.array(ok.features.tolist(), type=pa.list_(pa.float64(), 5))
    if change == "width":
        rows["feature"] = pa.array([[1.0] * 3] * 2, type=pa.list_(pa.float32(), 3))
    if change == "no column":
        del rows["status"]
    header = {"format": 2 if change == "newer" else 1, "backbone": BACKBONE.to_dict()}
    if change == "backbone":
        header["backbone"]["tag"] = 7
    text = "{" if change == "json" else json.dumps(header)
    table = pa.table(rows).replace_schema_metadata({} if change == "no header" else {"revcd": text})
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


REFUSED = {
    "empty.npz": (b"", "not a readable .npz"),
    "text.npz": (b"path,feature\na.jpg,1\n" * 20, "not a readable .npz"),
    "cut.npz": (saved_npz()[:-60], "not a readable .npz"),
    "objects.npz": (saved_npz(features=np.array([{}, []], dtype=object)), "Python objects"),
    "object paths.npz": (saved_npz(paths=np.array(["a", 1, None], dtype=object)), "Python objects"),
    "float64.npz": (saved_npz(features=VALUES[2:].astype(np.float64)), "float64 .3, 5.; expected float32"),
    "flat.npz": (saved_npz(features=VALUES[2]), r"float32 \(5,\); expected float32"),
    "count.npz": (saved_npz(paths=np.array(PATHS)), r"\(5,\); expected text of shape \(3,\)"),
    "infinite.npz": (saved_npz(features=np.full_like(VALUES[2:], np.inf)), "3 features are not finite.*: a/1.jpg"),
    "twice.npz": (saved_npz(paths=np.array(["a.jpg", "b.jpg", "a.jpg"])), "more than once: a.jpg"),
    "terabytes.npz": (claiming_npz((10**12, 2048), b""), "claims shape"),
    "zeros.npz": (claiming_npz((2000, 2048), bytes(2000 * 2048 * 4), zipfile.ZIP_DEFLATED), "claims 16,"),
    "empty.mat": (b"", "is empty"),
    "text.mat": (b"no features here\n" * 20, "not a MATLAB file"),
    "cut.mat": (saved_mat(features=VALUES[2:].T)[:-40], "cut short or damaged"),
    "v73.mat": (b"MATLAB 7.3 MAT-file".ljust(600), "HDF5"),
    "other.mat": (saved_mat(att=np.ones((2, 3))), 'no variable "features".*att'),
    "integers.mat": (saved_mat(features=np.ones((5, 3), dtype=np.int32)), "int32"),
    "transposed.mat": (saved_mat(features=VALUES[2:], labels=np.ones((3, 1))), "transposed"),
    "count.mat": (saved_mat(features=VALUES[2:].T, labels=np.ones((4, 1))), "for 3 photos, labels for 4"),
    "nan.mat": (saved_mat(features=VALUES[1:].T), "1 features are not finite.*row 1"),
    "zeros.mat": (saved_mat(features=np.zeros((2048, 2000))), "claims"),
    "empty.parquet": (b"", "not a readable Parquet"),
    "text.parquet": (b"path,feature\n" * 20, "not a readable Parquet"),
    "cut.parquet": (saved_parquet("")[:-30], "not a readable Parquet"),
    "header.parquet": (saved_parquet("no header"), "does not say which backbone"),
    "json.parquet": (saved_parquet("json"), "description of the backbone is damaged"),
    "backbone.parquet": (saved_parquet("backbone"), "description of the backbone is damaged"),
    "newer.parquet": (saved_parquet("newer"), "newer than"),
    "column.parquet": (saved_parquet("no column"), 'no column "status"'),
    "float64.parquet": (saved_parquet("float64"), "double.*expected fixed_size_list"),
    "width.parquet": (saved_parquet("width"), r"float>?\[3\].*expected.*\[5\]"),
    "status.parquet": (saved_parquet("status"), 'found "fine"'),
    "null.parquet": (saved_parquet("null"), "missing values"),
    "lost.parquet": (saved_parquet("lost feature"), "missing values"),
    "nan.parquet": (saved_parquet("nan"), "1 features are not finite.*: b.jpg"),
    "duplicate.parquet": (saved_parquet("duplicate"), "more than once: a.jpg"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused_with_its_own_sentence(tmp_path: Path, name: str) -> None:
    data, message = REFUSED[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputFileError, match=message) as refused:
        read_features(tmp_path / name)
    assert str(tmp_path / name) in refused.value.message


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_a_changed_bit_in_the_features_is_noticed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"f{suffix}"
    write_features(path, BLOCKS)
    data = bytearray(path.read_bytes())
    data[data.index(VALUES[4].tobytes()) + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputFileError, match="not a readable"):
        read_features(path)


@pytest.mark.parametrize("name", ["features", "features.csv", "f.npy"])
def test_another_suffix_is_refused_naming_those_that_work(tmp_path: Path, name: str) -> None:
    for action in (read_features, lambda path: write_features(path, BLOCKS)):
        with pytest.raises(UsageError, match=r"\.parquet, \.npz, \.mat"):
            action(tmp_path / name)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_file_and_a_folder_are_named(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InputFileError, match="no such file"):
        read_features(tmp_path / f"none{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(InputFileError, match="is a folder"):
        read_features(tmp_path / f"folder{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    class Broken:
        """Blocks of which the second cannot be read."""

        def __iter__(self):
            yield BLOCKS[0]
            raise RevcdError("the journal is gone")

    path = tmp_path / f"f{suffix}"
    path.write_bytes(b"old")
    with pytest.raises(RevcdError, match="the journal is gone"):
        write_features(path, Broken())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
