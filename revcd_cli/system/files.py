"""Write files atomically, compute checksums, and lock an output against a second run."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import RevcdError, UsageError

_CHUNK = 1 << 20
_LOCK_PATIENCE = 0.1  # seconds in which a run that is about to end may release its lock


class OutputInUse(UsageError):
    """Another run is writing the output. process: its id, or "unknown"."""

    def __init__(self, output: Path, process: str) -> None:
        super().__init__(
            f"{output}: another run (process {process}) is writing this output.",
            hint="Wait for it, stop it, or choose another output.",
        )
        self.process = process


def file_sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def check_output(path: Path, *, overwrite: bool) -> Path:
    """Return the path to write to, with `~` expanded, or raise `UsageError` if it must not be written.

    Call it before any work is done. Missing parent folders are created by `atomic_write`.
    """
    path = path.expanduser()
    if path.is_dir():
        raise UsageError(f"{path}: is a folder, not a file to write.", hint="Give a file name.")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: is not a regular file, so it cannot be replaced safely.")
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: exists already.", hint="Add --overwrite to replace it, or choose another name.")
    for parent in path.absolute().parents:
        if parent.exists():
            if not parent.is_dir():
                raise UsageError(f"{path}: {parent} is a file, so nothing can be written below it.")
            break
    return path


def check_output_folder(folder: Path, names: Iterable[str], *, overwrite: bool) -> None:
    """Raise `UsageError` if files with these names cannot be written to the folder. Call it before any work is done."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; the results go to a folder.")
    for name in names:
        check_output(folder / name, overwrite=overwrite)


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary stream; its content replaces the file at `path` when the block ends without an exception.

    The bytes go to a temporary file in the same folder, which is then renamed. A symbolic link is followed (its target
    is replaced). The mode is that of the old file, or follows the umask. After any failure, a full disk included, the
    old file is unchanged and the temporary file is removed. Raises `RevcdError` if the file cannot be written.
    """
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=_temporary_prefix(target), suffix=".tmp")
    except OSError as error:
        raise RevcdError(f"{path}: cannot be written ({error.strerror or error}).") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(_mode_for(target))
        Path(temporary).replace(target)
    except OSError as error:
        raise RevcdError(f"{path}: cannot be written ({error.strerror or error}).") from error
    finally:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()


def _mode_for(target: Path) -> int:
    if target.exists():
        return target.stat().st_mode & 0o7777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file atomically."""
    with atomic_write(path) as stream:
        stream.write(data)


def write_checksummed(path: Path, content: bytes) -> None:
    """Write an internal file of revcd atomically, with the sha256 of its content on the first line."""
    write_bytes(path, checksummed(content))


def checksummed(content: bytes) -> bytes:
    """Return the content with its sha256 on a line before it."""
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def read_checksummed(path: Path) -> bytes:
    """Return the content of a file that is `checksummed`. Raises ValueError if the checksum is wrong, or OSError."""
    checksum, _, content = path.read_bytes().partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != checksum:
        raise ValueError("its checksum is wrong")
    return content


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove the temporary files that killed runs left in a folder for files of these names."""
    prefixes = tuple(_temporary_prefix(folder / name) for name in names)
    for path in folder.glob(".revcd-*.tmp"):
        if path.name.startswith(prefixes):
            path.unlink(missing_ok=True)


def _temporary_prefix(target: Path) -> str:
    """Return the start of the temporary file's name: specific to the target, and short for long names too."""
    return f".revcd-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]}-"


@contextlib.contextmanager
def exclusive(output: Path, *related: Path) -> Iterator[None]:
    """Hold a lock on `output`. Raises `OutputInUse`, naming the other process, if another run holds it.

    It is a lock of the operating system on the file `.NAME.lock` next to the output, so it ends with the process, also
    after SIGKILL. Temporary files that a killed run left for this output, or for the `related` outputs that it writes,
    are removed.
    """
    from filelock import FileLock, Timeout

    path = _lock_path(output)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=_LOCK_PATIENCE, on_acquired=_write_process_id)
        lock.acquire()
    except Timeout:
        raise OutputInUse(output, _read_process_id(path)) from None
    except OSError as error:
        raise RevcdError(f"{output}: cannot be written ({error.strerror or error}).") from error
    try:
        for target in (Path(os.path.realpath(each)) for each in (output, *related)):
            for leftover in target.parent.glob(f"{_temporary_prefix(target)}*.tmp"):
                leftover.unlink(missing_ok=True)
        yield
    finally:
        # filelock does not remove the file. It is removed here while the lock is held: a process that has opened it
        # notices, when it gets the lock, that the file was removed, and opens a new one.
        with contextlib.suppress(OSError):
            path.unlink()
        lock.release()


def wait_until_free(output: Path) -> None:
    """Return when no run holds the lock on `output`."""
    from filelock import FileLock

    path = _lock_path(output)
    with FileLock(path, poll_interval=0.2), contextlib.suppress(OSError):
        path.unlink()


def _lock_path(output: Path) -> Path:
    return output.with_name(f".{output.name}.lock")


def _write_process_id(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())


def _read_process_id(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip() or "unknown"
    except OSError:  # Windows: a locked file cannot be read
        return "unknown"
