"""Feature files as bytes: valid blocks, and invalid files, each with a pattern of its error message."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.io

from revcd_cli.config import BackboneRecord
from revcd_cli.data.features.files import FeatureSet

BACKBONE = BackboneRecord(
    tag="test_resnet.r160_in1k",
    weights_sha256="ab" * 32,
    preprocessing={"input_size": [3, 160, 160], "interpolation": "bicubic"},
    feature_dim=5,
    precision="float32",
)


def make(paths: list[str], *, failed: tuple[int, ...] = (), seed: int = 0) -> FeatureSet:
    """Return random features for these photos; photos at the positions `failed` have none."""
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


def saved_npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **{"features": VALUES[2:], "paths": np.array(PATHS[2:]), **arrays})
    return stream.getvalue()


def claiming_npz(shape: tuple[int, ...], body: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    """Return an .npz whose feature array declares this shape."""
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
    """Return a Parquet feature file with one error; "" gives a valid file."""
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
    "header.parquet": (saved_parquet("no header"), "does not name the backbone"),
    "json.parquet": (saved_parquet("json"), "description of the backbone is invalid"),
    "backbone.parquet": (saved_parquet("backbone"), "description of the backbone is invalid"),
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
