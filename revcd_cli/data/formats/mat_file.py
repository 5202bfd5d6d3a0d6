"""Read variables of MATLAB files (version 5 to 7) with scipy, after a check of their structure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import scipy.io

from ...errors import InputFileError
from .corrupt_files import reading
from .mat_structure import check_structure
from .path_encoding import decode_path


def load_mat(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Return the named variables; optional ones may be absent. Raises `InputFileError`."""
    with _checked(path) as others:
        wanted = [*required, *optional]
        odd = [name for name in wanted if name in others]
        if odd:
            raise InputFileError(path, f"{odd[0]} is a structure or an object, which revcd does not load.")
        arrays = scipy.io.loadmat(path, variable_names=wanted)
    absent = [name for name in required if name not in arrays]
    if absent:
        raise InputFileError(
            path,
            f'has no variable "{absent[0]}" (found: {", ".join(mat_variables(path)) or "nothing"}).',
            hint="Expected the layout of the xlsa17 benchmarks.",
        )
    return {name: arrays[name] for name in (*required, *optional) if name in arrays}


def mat_variables(path: Path) -> tuple[str, ...]:
    """Return the names of a file's variables, sorted. Raises `InputFileError`."""
    return tuple(sorted(mat_shapes(path)))


def mat_shapes(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return the declared shape and MATLAB class of each variable without loading it. Raises `InputFileError`."""
    with _checked(path):
        return {name: (shape, kind) for name, shape, kind in scipy.io.whosmat(path)}


def texts(path: Path, name: str, array: np.ndarray) -> tuple[str, ...]:
    """Return the strings of a cell array or of a character matrix."""
    entries = [np.squeeze(np.asarray(entry)) for entry in array.reshape(-1)]
    if any(entry.dtype.kind != "U" or entry.size != 1 for entry in entries):
        raise InputFileError(path, f"{name} is not a list of names.")
    return tuple(decode_path(str(entry)) for entry in entries)


def numbers_from_one(path: Path, name: str, array: np.ndarray, largest: int | None = None) -> np.ndarray:
    """Convert one-based integers to zero-based int64. This is the only place where 1 is subtracted."""
    flat = array.reshape(-1)
    if flat.dtype.kind not in "uif" or not np.isfinite(flat).all() or (flat != np.floor(flat)).any():
        raise InputFileError(path, f"{name} must hold integers.")
    numbers = flat.astype(np.int64)  # files use uint16, which would overflow
    if len(numbers) and numbers.min() < 1:
        raise InputFileError(path, f"{name} count from 1 in this format, but a {numbers.min()} is among them.")
    if largest is not None and len(numbers) and numbers.max() > largest:
        raise InputFileError(path, f"{name} go up to {numbers.max():,}, but there are only {largest:,}.")
    return numbers - 1


@contextlib.contextmanager
def _checked(path: Path) -> Iterator[frozenset[str]]:
    """Check that scipy can read a file, and yield the names of the variables that must not be loaded.

    Other exceptions in the block become `InputFileError`. See `check_structure`.
    """
    if not path.is_file():
        raise InputFileError(path, "is a folder, not a MATLAB file." if path.is_dir() else "there is no such file.")
    try:
        with path.open("rb") as stream:
            start = stream.read(128)
    except OSError as error:
        raise InputFileError(path, f"cannot be read ({error.strerror or error}).") from error
    if not start:
        raise InputFileError(path, "is empty.")
    if start.startswith(b"version https://git-lfs"):
        raise InputFileError(path, "is a Git LFS pointer, not the file itself.", hint="Fetch it with: git lfs pull")
    if start.startswith(b"MATLAB 7.3") or start.startswith(b"\x89HDF"):
        raise InputFileError(
            path,
            "is a MATLAB 7.3 file (HDF5), which revcd does not read.",
            hint="In MATLAB, save it with: save(FILE, '-v7')",
        )
    if not start.startswith(b"MATLAB 5.0"):
        raise InputFileError(path, "is not a MATLAB file.", hint="Expected MATLAB's format of version 5 to 7.")
    with reading(path, "is cut short or damaged", hint="Fetch the file again."):
        yield check_structure(path)
