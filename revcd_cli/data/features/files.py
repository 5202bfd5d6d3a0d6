"""Read and write feature files: Parquet, .npz or .mat, by the suffix of the name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ...errors import InputFileError, UsageError, why_absent
from ...system import files
from .feature_set import FeatureSet, check_rows
from .npz import read_npz, write_npz
from .parquet import read_parquet, write_parquet
from .shards import MANIFEST, is_shard_folder, read_feature_folder

__all__ = ["SUFFIXES", "FeatureSet", "check_suffix", "read_features", "write_features"]

SUFFIXES = (".parquet", ".npz", ".mat")


def check_suffix(path: Path) -> str:
    """Return the suffix in lower case. Raises `UsageError` for an unknown one."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"{path}: features are written and read as {', '.join(SUFFIXES)}; the name must end in one of them."
        )
    return suffix


def read_features(path: Path | str) -> FeatureSet:
    """Read a feature file, or a folder of shards, and check what it holds.

    Checked are shapes (before memory is allocated), types, counts, finite values and unique paths. A .mat file may name
    a photo several times, because one benchmark has several objects per photo. A folder of shards may be an address in
    object storage. Raises `UsageError` for an unknown suffix, and `InputFileError` for an invalid file.
    """
    if is_shard_folder(str(path)):
        return read_feature_folder(str(path))
    path = Path(path).expanduser()
    if path.is_dir():
        raise InputFileError(path, f"is a folder without {MANIFEST}, so it is neither a feature file nor shards.")
    suffix = check_suffix(path)
    if not path.is_file():
        raise InputFileError(path, why_absent(path))
    try:
        if suffix == ".parquet":
            return check_rows(path, read_parquet(path))
        if suffix == ".npz":
            return check_rows(path, read_npz(path))
        from .mat import read_mat  # imports scipy, in 0.4 s

        return check_rows(path, read_mat(path), unique=False)
    except OSError as error:
        raise InputFileError(path, f"cannot be read ({error.strerror or error}).") from error


def write_features(path: Path, blocks: Iterable[FeatureSet]) -> None:
    """Write blocks of features into one file, atomically.

    blocks: at least one, all of one backbone; it is iterated several times. Parquet and .npz need the memory of one
    block, .mat that of all blocks. Photos that failed have a row in Parquet and .npz, and none in .mat.
    """
    suffix = check_suffix(path)
    with files.atomic_write(path) as stream:
        if suffix == ".parquet":
            write_parquet(stream, blocks)
        elif suffix == ".npz":
            write_npz(stream, blocks)
        else:
            from .mat import write_mat

            write_mat(path, stream, blocks)
