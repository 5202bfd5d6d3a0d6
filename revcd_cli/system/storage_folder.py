"""A folder on this machine or in object storage: whole files are written in one step, and listed by name."""

from __future__ import annotations

import contextlib
import errno
import io
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import RevcdError, UsageError, brief
from . import files
from .filesystems import is_remote, open_filesystem, repeated
from .remote_file import BLOCK, RemoteFile

_PIECE = 1 << 24  # bytes


def is_folder_address(output: str) -> bool:
    """Return whether an output is a folder of shards: its name ends in "/", or it is in object storage."""
    return output.endswith("/") or is_remote(output)


class StorageFolder:
    """A folder for files that are each written once.

    address: as the user wrote it, with a "/" at its end; is_remote: whether it is in object storage. Pickles by its
    address. Raises `UsageError` for an address of a single file in object storage.
    """

    def __init__(self, address: str) -> None:
        if not address.endswith("/"):
            raise UsageError(
                f"{address}: a single file is written to this machine only.",
                hint=f"For a folder of shards, end the address in a slash: {address}/",
            )
        self.address, self.is_remote = address, is_remote(address)
        self._filesystem: Any = None
        if self.is_remote:
            self._filesystem, self._path = open_filesystem(address)
        else:
            self.local = Path(address).expanduser()
            if self.local.exists() and not self.local.is_dir():
                raise UsageError(f"{self.local}: is a file; the shards go to a folder.")

    def __reduce__(self) -> tuple[type[StorageFolder], tuple[str]]:
        return StorageFolder, (self.address,)

    def sizes(self) -> dict[str, int]:
        """Return the files in the folder by name, with their size in bytes; {} if there is no such folder."""
        if not self.is_remote:
            if not self.local.is_dir():
                return {}
            return {path.name: path.stat().st_size for path in self.local.iterdir() if path.is_file()}
        from pyarrow import fs

        selector = fs.FileSelector(self._path, allow_not_found=True)
        with self._errors("listed", self.address):
            found = repeated(lambda: self._filesystem.get_file_info(selector))
        return {info.base_name: info.size for info in found if info.type == fs.FileType.File}

    @contextlib.contextmanager
    def open(self, name: str, block: int = BLOCK) -> Iterator[BinaryIO]:
        """Open a file for random access. block: bytes of one request, for files in object storage.

        Raises `FileNotFoundError`, or `OSError` if it cannot be read, then or while it is read.
        """
        if not self.is_remote:
            with (self.local / name).open("rb") as stream:
                yield stream
            return
        path = f"{self._path}/{name}"
        size = repeated(lambda: self._filesystem.get_file_info(path)).size
        if size is None:
            raise FileNotFoundError(errno.ENOENT, "there is no such file", self.address + name)
        with io.BufferedReader(RemoteFile(self._filesystem, path, size, block)) as stream:
            yield stream

    def read(self, name: str) -> bytes:
        """Return the bytes of a file. Raises `FileNotFoundError`, or `OSError` if it cannot be read."""
        with self.open(name) as stream:
            return stream.read()

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file in one step: a reader sees all of it or nothing. Raises `RevcdError`."""
        if not self.is_remote:
            files.write_bytes(self.local / name, data)
            return

        def write() -> None:
            with self._filesystem.open_output_stream(f"{self._path}/{name}", compression=None) as stream:
                stream.write(data)

        with self._errors("written", self.address + name):
            repeated(write)

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator[BinaryIO]:
        """Open a large file to write in pieces; it appears, whole, when the block ends. Raises `RevcdError`."""
        if not self.is_remote:
            with files.atomic_write(self.local / name) as stream:
                yield stream
            return
        with tempfile.TemporaryFile() as stream:  # on this machine, so that the upload can be repeated
            yield stream

            def upload() -> None:
                stream.seek(0)
                with self._filesystem.open_output_stream(f"{self._path}/{name}", compression=None) as target:
                    shutil.copyfileobj(stream, target, _PIECE)

            with self._errors("written", self.address + name):
                repeated(upload)

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""
        if not self.is_remote:
            (self.local / name).unlink(missing_ok=True)
            return
        with self._errors("removed", self.address + name), contextlib.suppress(FileNotFoundError):
            repeated(lambda: self._filesystem.delete_file(f"{self._path}/{name}"))

    @contextlib.contextmanager
    def lock(self, name: str, written: Iterable[str] = (), *, wait: bool = False) -> Iterator[None]:
        """Hold a lock on a name in a local folder, see `files.exclusive`. In object storage, nothing is locked.

        written: files that only the holder writes; what a killed run left of them is removed. wait: until another run
        releases the lock. Raises `OutputInUse` otherwise.
        """
        if self.is_remote:
            yield
            return
        with contextlib.ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(files.exclusive(self.local / name))
                    break
                except files.OutputInUse:
                    if not wait:
                        raise
                    files.wait_until_free(self.local / name)
            files.remove_leftovers(self.local, written)
            yield

    @contextlib.contextmanager
    def _errors(self, verb: str, address: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RevcdError(
                f"{address}: cannot be {verb} ({brief(error)}).",
                hint="Check the credentials and the connection. Finished shards are kept; give the same command again.",
            ) from error
