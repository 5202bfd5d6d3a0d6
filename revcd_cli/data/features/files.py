"""Feature files: one vector per photo, with the backbone they are from. The suffix says the form."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ...errors import InputFileError, UsageError
from ...system import files
from .feature_set import FeatureSet, check_rows
from .mat import read_mat, write_mat
from .npz import read_npz, write_npz
from .parquet import read_parquet, write_parquet

__all__ = ["SUFFIXES", "FeatureSet", "check_suffix", "read_features", "write_features"]

SUFFIXES = (".parquet", ".npz", ".mat")


def check_suffix(path: Path) -> str:
    """Return the suffix in lower case, or raise `UsageError` naming those that are known."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"{path}: features are written and read as {', '.join(SUFFIXES)}; the name must end in one of them."
        )
    return suffix


def read_features(path: Path) -> FeatureSet:
    """Read features, whole and checked: shapes before memory is taken, types, counts, finiteness, repeated paths.

    Raises `UsageError` for a suffix that is not known, `InputFileError` for everything wrong with the file itself.
    A .mat file may name a photo several times: one benchmark takes several objects from one photo.
    """
    path = Path(path).expanduser()
    suffix = check_suffix(path)
    if not path.is_file():
        raise InputFileError(path, "is a folder, not a feature file." if path.is_dir() else "there is no such file.")
    try:
        if suffix == ".parquet":
            return check_rows(path, read_parquet(path))
        if suffix == ".npz":
            return check_rows(path, read_npz(path))
        return check_rows(path, read_mat(path), unique=False)
    except OSError as error:
        raise InputFileError(path, f"cannot be read ({error.strerror or error}).") from error


def write_features(path: Path, blocks: Iterable[FeatureSet]) -> None:
    """Write blocks of features, one after the other, into one file that appears whole or not at all.

    `blocks` holds at least one block, all of one backbone, and can be iterated several times. Parquet and .npz take
    the memory of one block, .mat that of all. Photos that failed have a row in the first two and are left out of .mat.
    """
    suffix = check_suffix(path)
    with files.atomic_write(path) as stream:
        if suffix == ".parquet":
            write_parquet(stream, blocks)
        elif suffix == ".npz":
            write_npz(stream, blocks)
        else:
            write_mat(path, stream, blocks)
