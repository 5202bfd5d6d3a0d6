"""Reading variables of MATLAB files, with a sentence of its own for each way in which that can fail."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import scipy.io

from ...errors import InputFileError
from .damage import refused
from .mat_elements import check_elements
from .path_text import decode_path


def load_mat(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Return the named variables; optional ones are left out where absent. Raises `InputFileError`."""
    with reading(path) as others:
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
    """Return the shape and MATLAB class that each variable declares; nothing is loaded. Raises `InputFileError`."""
    with reading(path):
        return {name: (shape, kind) for name, shape, kind in scipy.io.whosmat(path)}


def texts(path: Path, name: str, array: np.ndarray) -> tuple[str, ...]:
    """Return the strings of a cell array or of a character matrix."""
    entries = [np.squeeze(np.asarray(entry)) for entry in array.reshape(-1)]
    if any(entry.dtype.kind != "U" or entry.size != 1 for entry in entries):
        raise InputFileError(path, f"{name} is not a list of names.")
    return tuple(decode_path(str(entry)) for entry in entries)


def numbers_from_one(path: Path, name: str, array: np.ndarray, largest: int | None = None) -> np.ndarray:
    """Return one-based whole numbers as int64 that count from zero. This is the only place where one is taken off."""
    flat = array.reshape(-1)
    if flat.dtype.kind not in "uif" or not np.isfinite(flat).all() or (flat != np.floor(flat)).any():
        raise InputFileError(path, f"{name} must hold whole numbers.")
    numbers = flat.astype(np.int64)  # the files use uint16, which would wrap around
    if len(numbers) and numbers.min() < 1:
        raise InputFileError(path, f"{name} count from 1 in this format, but a {numbers.min()} is among them.")
    if largest is not None and len(numbers) and numbers.max() > largest:
        raise InputFileError(path, f"{name} go up to {numbers.max():,}, but there are only {largest:,}.")
    return numbers - 1


@contextlib.contextmanager
def reading(path: Path) -> Iterator[frozenset[str]]:
    """Check that a file is one that scipy can read, and turn whatever still goes wrong in the block into one error.

    Yields the names of variables that must not be loaded, see `check_elements`.
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
    with refused(path, "is cut short or damaged", hint="Fetch the file again."):
        yield check_elements(path)
