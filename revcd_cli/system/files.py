"""The one way in which revcd writes files, hashes them, and keeps two runs from one output."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from ..errors import RevcdError, UsageError

_CHUNK = 1 << 20


def file_sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def check_output(path: Path, *, overwrite: bool) -> Path:
    """Return the path to write to, or raise `UsageError` if it must not be written.

    Call it before any work is done. A missing parent folder is created when writing begins.
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


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary stream; the file appears at `path` whole when the block ends, or not at all.

    The bytes go to a temporary file in the same folder, which replaces the old one in one step. A symbolic link is
    followed (its target is replaced), the mode follows the umask or the file that was there, and on any failure,
    a full disk included, the old file stays and the temporary one is removed.
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


def write_sealed(path: Path, content: bytes) -> None:
    """Write, atomically, what revcd keeps for itself: behind a line with its sha256, so that all damage shows."""
    write_bytes(path, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def read_sealed(path: Path) -> bytes:
    """Return what `write_sealed` was given. Raises ValueError for anything else, OSError if it cannot be read."""
    seal, _, content = path.read_bytes().partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != seal:
        raise ValueError("its checksum is wrong")
    return content


def _temporary_prefix(target: Path) -> str:
    """Return the start of a temporary file's name: it tells whose it is, and is short however long the name is."""
    return f".revcd-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]}-"


@contextlib.contextmanager
def exclusive(output: Path, *beside: Path) -> Iterator[None]:
    """Hold the right to produce `output`; a second run that asks for it at the same time is refused.

    The lock is the operating system's, so it ends with the process, however that ends. Temporary files that a killed
    run left of this output, or of what it writes `beside` it, are removed.
    """
    lock = output.with_name(f".{output.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        stream = _open_locked(lock)
    except OSError as error:
        raise RevcdError(f"{output}: cannot be written ({error.strerror or error}).") from error
    with stream:
        if not stream.writable():
            holder = stream.read().strip() or "unknown"
            raise UsageError(
                f"{output}: another run (process {holder}) is writing this output.",
                hint="Wait for it, stop it, or choose another output.",
            )
        for target in (Path(os.path.realpath(path)) for path in (output, *beside)):
            for leftover in target.parent.glob(f"{_temporary_prefix(target)}*.tmp"):
                leftover.unlink(missing_ok=True)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                lock.unlink()


def _open_locked(lock: Path) -> TextIO:
    """Return the lock file, open for writing with this process's number in it, or for reading if another holds it."""
    while True:
        stream = lock.open("a+")
        if not _try_lock(stream.fileno()):
            stream.close()
            return lock.open("r")
        # The holder before may have removed the file between our opening and our locking it.
        if lock.exists() and os.path.samestat(os.fstat(stream.fileno()), lock.stat()):
            stream.truncate(0)
            stream.write(str(os.getpid()))
            stream.flush()
            return stream
        stream.close()


def _try_lock(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
