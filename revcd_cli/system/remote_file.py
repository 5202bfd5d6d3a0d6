"""Read an object in blocks: a seekable file for tar, zip and Parquet readers, with repetition and read-ahead."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ..errors import brief
from .filesystems import RemoteReadError, repeated

BLOCK = 1 << 22  # bytes of one request; the latency of a request hardly counts then
_KEPT = 6  # blocks in memory
_AHEAD = 2  # blocks that are requested before they are needed


class RemoteFile(io.RawIOBase):
    """A file in object storage for sequential and random reads. Each block is requested again if a request fails.

    size: of the object in bytes; block: bytes of one request. Raises `RemoteReadError`, from the last error, after all
    attempts. Not for several threads at a time.
    """

    def __init__(self, filesystem: Any, path: str, size: int, block: int = BLOCK) -> None:
        super().__init__()
        self._block_size = block
        self._filesystem, self._path, self._size = filesystem, path, size
        self._position = 0
        self._blocks: OrderedDict[int, Future[bytes]] = OrderedDict()
        self._pool = ThreadPoolExecutor(_AHEAD + 1, thread_name_prefix="revcd-block")
        self._handles = threading.local()

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position, as `io.IOBase.seek` does."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read the bytes up to the end of the current block; 0 at the end of the file."""
        number, start = divmod(self._position, self._block_size)
        if self._position >= self._size or not len(buffer):
            return 0
        piece = self._block(number)[start : start + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        """Stop the requests."""
        if not self.closed:
            self._pool.shutdown(wait=False, cancel_futures=True)
        super().close()

    def _block(self, number: int) -> bytes:
        is_sequential = number - 1 in self._blocks or number in self._blocks or number == 0
        wanted = range(number, number + 1 + (_AHEAD if is_sequential else 0))
        for each in wanted:
            if each * self._block_size < self._size and each not in self._blocks:
                self._blocks[each] = self._pool.submit(self._fetch, each)
        self._blocks.move_to_end(number)
        while len(self._blocks) > _KEPT:
            self._blocks.popitem(last=False)[1].cancel()
        return self._blocks[number].result()

    def _fetch(self, number: int) -> bytes:
        start = number * self._block_size
        count = min(self._block_size, self._size - start)

        def read() -> bytes:
            try:
                if not hasattr(self._handles, "file"):
                    self._handles.file = self._filesystem.open_input_file(self._path)
                data = bytes(self._handles.file.read_at(count, start))
            except OSError:
                self._handles.__dict__.pop("file", None)
                raise
            if len(data) != count:
                raise OSError(f"{len(data)} of {count} bytes arrived")
            return data

        try:
            return repeated(read)
        except OSError as error:
            raise RemoteReadError(brief(error)) from error
