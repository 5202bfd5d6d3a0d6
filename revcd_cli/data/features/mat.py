"""Read and write features as .mat, in the layout of the xlsa17 benchmarks.

Variables: `features` (D, N), one-based `labels` (N, 1) and the cell array `image_files` (N, 1). revcd adds
`class_names`, to which the labels refer, and `revcd`, the JSON of `feature_set.header`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
import scipy.io

from ...config import BackboneRecord
from ...errors import InputFileError, RevcdError
from ..formats.mat_file import load_mat, mat_shapes, texts
from ..formats.path_encoding import encode_path
from .feature_set import OK, FeatureSet, check_expansion, header, parse_header

_MOST_BYTES = 2**31 - 1  # of one variable, a limit of the file format
_TITLE = b"MATLAB 5.0 MAT-file, written by revcd".ljust(116)  # scipy's default contains the time


def check_mat_size(path: Path, rows: int, feature_dim: int) -> None:
    """Raise `RevcdError` if the features exceed the limit of the file format."""
    if rows * feature_dim * 4 > _MOST_BYTES:
        raise RevcdError(
            f"{path}: {rows:,} features of {feature_dim:,} values do not fit a .mat file, which holds 2 GB at most.",
            hint="Write .parquet or .npz instead.",
        )


def write_mat(path: Path, stream: BinaryIO, blocks: Iterable[FeatureSet]) -> None:
    """Write the photos with features; a label is the alphabetical number of the photo's folder.

    All features are in memory at once, because scipy requires it.
    """
    names: list[str] = []
    parts: list[np.ndarray] = []
    for block in blocks:
        backbone, ok = block.backbone, block.ok
        names += [name for name, kept in zip(block.paths, ok, strict=True) if kept]
        parts.append(block.features[ok])
    features = np.concatenate(parts)
    check_mat_size(path, len(features), backbone.feature_dim)
    folders = [PurePosixPath(name).parent.name or "." for name in names]
    class_names = sorted(set(folders))
    number = {name: position for position, name in enumerate(class_names, start=1)}
    scipy.io.savemat(
        stream,
        {
            "features": features.T,
            "labels": np.array([number[name] for name in folders], dtype=np.float64).reshape(-1, 1),
            "image_files": _cell(names),
            "class_names": _cell(class_names),
            "revcd": header(backbone),
        },
    )
    stream.seek(0)
    stream.write(_TITLE)


def _cell(texts: list[str]) -> np.ndarray:
    cell = np.empty((len(texts), 1), dtype=object)
    cell[:, 0] = [encode_path(text) for text in texts]
    return cell


def read_mat(path: Path) -> FeatureSet:
    """Read features. Without `image_files` the paths are empty; without `revcd` the tag is the file's stem."""
    _check_declared(path, mat_shapes(path))
    arrays = load_mat(path, ["features"], ["image_files", "revcd"])
    width, rows = arrays["features"].shape
    backbone = BackboneRecord(tag=path.stem, weights_sha256="", preprocessing={}, feature_dim=width)
    if "revcd" in arrays:
        backbone = parse_header(path, "".join(texts(path, "revcd", arrays["revcd"])))
    if backbone.feature_dim != width:
        raise InputFileError(path, f"features are {width} x {rows}; its backbone gives {backbone.feature_dim} values.")
    files = arrays.get("image_files")
    with np.errstate(over="ignore"):  # values that are too large become infinite, which `check_rows` reports
        features = np.ascontiguousarray(arrays["features"].T, dtype=np.float32)
    return FeatureSet(
        paths=("",) * rows if files is None else texts(path, "image_files", files),
        features=features,
        status=(OK,) * rows,
        reason=("",) * rows,
        sha256=("",) * rows,
        backbone=backbone,
    )


def _check_declared(path: Path, declared: dict[str, tuple[tuple[int, ...], str]]) -> None:
    """Raise `InputFileError` if the declared shapes are wrong, before values are loaded."""
    if "features" not in declared:
        return  # `load_mat` reports it
    shape, kind = declared["features"]
    if len(shape) != 2 or kind not in ("single", "double"):
        raise InputFileError(path, f"features are {kind} {shape}; expected single or double (values, photos).")
    check_expansion(path, 4 * int(np.prod(shape, dtype=object)), path.stat().st_size)
    width, rows = shape
    for name in ("labels", "image_files"):
        count = int(np.prod(declared[name][0])) if name in declared else rows
        if count == rows:
            continue
        turned = " They look transposed." if count == width else ""
        raise InputFileError(path, f"features are for {rows} photos, {name} for {count}.{turned}")
