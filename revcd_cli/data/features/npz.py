"""Read and write features as .npz, for numpy.

Arrays: `features` (N, D) float32, NaN for failed photos; `paths`, `status`, `reason` and `sha256` (N,) text; `revcd`,
the JSON of `feature_set.header`. None needs pickle. Files of other tools need `features` and `paths` only.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...config import BackboneRecord
from ...errors import InputFileError
from ..formats.corrupt_files import reading
from ..formats.path_encoding import decode_path, encode_path
from .feature_set import OK, FeatureSet, check_expansion, header, parse_header

_TEXT = ("paths", "status", "reason", "sha256")


def write_npz(stream: BinaryIO, blocks: Iterable[FeatureSet]) -> None:
    """Write the arrays as numpy does, with one block in memory at a time.

    The header of an array precedes its values, so `blocks` is iterated once for the sizes and once per array.
    """
    rows, widths = 0, dict.fromkeys(_TEXT, 1)
    for block in blocks:
        rows, backbone = rows + len(block), block.backbone
        for name in _TEXT:
            widths[name] = max(widths[name], *map(len, _texts(block, name)), 1)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "revcd", (), [np.array(header(backbone))])
        for name, width in widths.items():
            _add(archive, name, (rows,), (np.array(_texts(block, name), dtype=f"<U{width}") for block in blocks))
        _add(archive, "features", (rows, backbone.feature_dim), (block.features for block in blocks))


def _texts(block: FeatureSet, name: str) -> list[str]:
    return list(map(encode_path, getattr(block, name)))


def _add(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], pieces: Iterable[np.ndarray]) -> None:
    member = zipfile.ZipInfo(f"{name}.npy")  # its date is constant, so equal features give equal files
    with archive.open(member, "w", force_zip64=True) as stream:
        for number, piece in enumerate(pieces):
            if number == 0:
                form = {"descr": piece.dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(stream, form)
            stream.write(piece.tobytes())


def read_npz(path: Path) -> FeatureSet:
    """Read features. Raises `InputFileError`."""
    with _reading(path) as archive:
        shape, dtype = _declared(path, archive, "features")
        if len(shape) != 2 or dtype != np.float32:
            raise InputFileError(path, f"features are {dtype} {shape}; expected float32 (photos, feature values).")
        rows, width = shape
        text = {name: _strings(path, archive, name, rows) for name in _TEXT}
        features = np.ascontiguousarray(_load(archive, "features"))
        backbone = BackboneRecord(tag=path.stem, weights_sha256="", preprocessing={}, feature_dim=width)
        if "revcd.npy" in archive.namelist():
            _declared(path, archive, "revcd")
            backbone = parse_header(path, str(_load(archive, "revcd")))
    if backbone.feature_dim != width:
        raise InputFileError(path, f"features have shape {shape}, but its backbone gives (N, {backbone.feature_dim}).")
    return FeatureSet(
        paths=tuple(map(decode_path, text["paths"])),
        features=features,
        status=text["status"] or (OK,) * rows,
        reason=text["reason"] or ("",) * rows,
        sha256=text["sha256"] or ("",) * rows,
        backbone=backbone,
    )


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[zipfile.ZipFile]:
    with reading(path, "is not a readable .npz file"), zipfile.ZipFile(path) as archive:
        yield archive


def _declared(path: Path, archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and type in an array's header, after checking that the file holds as many values."""
    if f"{name}.npy" not in archive.namelist():
        raise InputFileError(path, f'has no array "{name}"; revcd needs "features" and "paths".')
    member = archive.getinfo(f"{name}.npy")
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
        if dtype.hasobject:
            raise InputFileError(path, f'array "{name}" holds Python objects, which revcd does not load.')
        if stream.tell() + int(np.prod(shape, dtype=object)) * dtype.itemsize != member.file_size:
            raise InputFileError(path, f'array "{name}" claims shape {shape}, which does not fit its size in the file.')
    check_expansion(path, member.file_size, member.compress_size)
    return shape, dtype


def _strings(path: Path, archive: zipfile.ZipFile, name: str, rows: int) -> tuple[str, ...]:
    """Return an array of text, or () if it is optional and absent."""
    if name != "paths" and f"{name}.npy" not in archive.namelist():
        return ()
    shape, dtype = _declared(path, archive, name)
    if shape != (rows,) or dtype.kind != "U":
        raise InputFileError(
            path, f'array "{name}" is {dtype} {shape}; expected text of shape ({rows},), one per photo.'
        )
    return tuple(_load(archive, name).tolist())


def _load(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)
