"""Feature files: written features are read back, and each invalid file has its message."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io

from revcd_cli.data.features.files import read_features, write_features
from revcd_cli.errors import InputFileError, RevcdError, UsageError
from tests.makers.feature_files import BACKBONE, BLOCKS, PATHS, REFUSED, VALUES, make

SUFFIXES = (".parquet", ".npz", ".mat")
STATUS = [status for block in BLOCKS for status in block.status]


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_every_row_and_the_backbone_are_read_back_from_parquet_and_npz(tmp_path: Path, suffix: str) -> None:
    write_features(tmp_path / f"f{suffix}", BLOCKS)
    found = read_features(tmp_path / f"f{suffix}")
    assert list(found.paths) == PATHS
    np.testing.assert_array_equal(found.features, VALUES)
    assert found.status == ("ok", "failed", "ok", "ok", "ok")
    assert found.reason == ("", "truncated", "", "", "")
    assert found.sha256 == BLOCKS[0].sha256 + BLOCKS[1].sha256
    assert found.backbone == BACKBONE


def test_parquet_has_no_null_so_that_every_version_of_pyarrow_and_pandas_read_it(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    write_features(tmp_path / "f.parquet", BLOCKS)
    table = pq.read_table(tmp_path / "f.parquet")
    assert [column.null_count for column in table.columns] == [0] * table.num_columns
    frame = pandas.read_parquet(tmp_path / "f.parquet")
    np.testing.assert_array_equal(np.stack(frame["feature"]), VALUES)
    assert frame["status"].tolist() == ["ok", "failed", "ok", "ok", "ok"]


def test_parquet_with_null_for_a_failed_photo_is_read_too(tmp_path: Path) -> None:  # revcd 0.1.0 wrote it
    write_features(tmp_path / "f.parquet", BLOCKS)
    table = pq.read_table(tmp_path / "f.parquet")
    vectors = [None if status == "failed" else vector for status, vector in zip(STATUS, VALUES.tolist(), strict=True)]
    column = pa.array(vectors, type=table.schema.field("feature").type)
    table = table.set_column(table.schema.get_field_index("feature"), table.schema.field("feature"), column)
    try:
        pq.write_table(table, tmp_path / "null.parquet")
        pq.read_table(tmp_path / "null.parquet")
    except pa.ArrowInvalid:
        pytest.skip("this version of pyarrow cannot read null lists of a fixed size")
    np.testing.assert_array_equal(read_features(tmp_path / "null.parquet").features, VALUES)


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
def test_equal_features_are_written_as_equal_bytes(tmp_path: Path, suffix: str) -> None:
    for name in ("one", "two"):
        write_features(tmp_path / f"{name}{suffix}", BLOCKS)
    assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "name", ["caf\udce9.jpg", r"a\udce9.jpg", r"a\\udc5c\udce9\udc5cx.jpg", "tab\tnew\nline 'q'.jpg"]
)
def test_names_that_are_not_utf8_are_read_back_exactly(tmp_path: Path, suffix: str, name: str) -> None:
    write_features(tmp_path / f"f{suffix}", [make([f"x/{name}"])])
    assert read_features(tmp_path / f"f{suffix}").paths == (f"x/{name}",)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_in_which_every_photo_failed_can_be_written(tmp_path: Path, suffix: str) -> None:
    write_features(tmp_path / f"f{suffix}", [make(["a/1.jpg", "a/2.jpg"], failed=(0, 1))])
    assert not read_features(tmp_path / f"f{suffix}").ok.any()


def test_other_tools_can_read_the_parquet_file_and_its_backbone(tmp_path: Path) -> None:
    write_features(tmp_path / "f.parquet", BLOCKS)
    table = pq.read_table(tmp_path / "f.parquet")
    assert table.column_names == ["path", "status", "reason", "sha256", "feature"]
    assert np.isnan(table["feature"].to_pylist()[1]).all()
    header = json.loads(table.schema.metadata[b"revcd"])
    assert header["format"] == 1 and header["backbone"] == BACKBONE.to_dict()


def test_npz_is_read_by_numpy_without_pickle(tmp_path: Path) -> None:
    write_features(tmp_path / "f.npz", BLOCKS)
    with np.load(tmp_path / "f.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["features"], VALUES)
        assert arrays["paths"].tolist() == PATHS


def test_features_of_other_tools_have_the_file_stem_as_their_tag(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "mine.npz", features=VALUES[2:], paths=np.array(PATHS[2:]))
    scipy.io.savemat(tmp_path / "res101.mat", {"features": VALUES[2:].T.astype(np.float64)})
    for name in ("mine.npz", "res101.mat"):
        found = read_features(tmp_path / name)
        np.testing.assert_array_equal(found.features, VALUES[2:])
        assert (found.backbone.tag, found.backbone.weights_sha256) == (Path(name).stem, "")
        assert found.status == ("ok",) * 3


def test_mat_files_in_the_published_layout_are_read(shared_data: Path) -> None:
    found = read_features(shared_data / "xlsa17" / "CUB" / "vgg19.mat")
    assert found.features.shape == (11788, 4096) and found.features.dtype == np.float32
    assert found.backbone.tag == "vgg19"
    assert found.paths[0].endswith("001.Black_footed_Albatross/Black_Footed_Albatross_0001_796111.jpg")


# Invalid files


@pytest.mark.parametrize("name", REFUSED)
def test_each_kind_of_invalid_file_has_its_own_message(tmp_path: Path, name: str) -> None:
    data, message = REFUSED[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputFileError, match=message) as refused:
        read_features(tmp_path / name)
    assert str(tmp_path / name) in refused.value.message


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_a_changed_bit_in_the_features_is_an_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"f{suffix}"
    write_features(path, BLOCKS)
    data = bytearray(path.read_bytes())
    data[data.index(VALUES[4].tobytes()) + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputFileError, match="not a readable"):
        read_features(path)


@pytest.mark.parametrize("name", ["features", "features.csv", "f.npy"])
def test_an_unknown_suffix_is_an_error_that_names_the_supported_ones(tmp_path: Path, name: str) -> None:
    for action in (read_features, lambda path: write_features(path, BLOCKS)):
        with pytest.raises(UsageError, match=r"\.parquet, \.npz, \.mat"):
            action(tmp_path / name)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_file_and_a_folder_are_errors_that_name_them(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InputFileError, match="no such file"):
        read_features(tmp_path / f"none{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(InputFileError, match="is a folder"):
        read_features(tmp_path / f"folder{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path: Path, suffix: str) -> None:
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
