"""Check the structure of a MATLAB 5 file before scipy reads it, because scipy crashes on some malformed files.

For an upstream report, with scipy 1.17.1 (`scipy.io.loadmat`, files of tests/fuzz/test_crashes.py):
- a numeric matrix whose values have an unknown element type, such as 99: segmentation fault;
- a numeric matrix that contains a matrix element (type 14) in place of its values: segmentation fault;
- 20,000 nested cells (3,000 are read): segmentation fault, as the reader is recursive;
- a cell array that declares 10**9 cells in 100 bytes: scipy allocates 7.5 GiB for them before it reads the first;
- a compressed element that declares 2 GiB: scipy decompresses without a limit;
- a numeric matrix with dimensions (-1, 1): no error, but an array of shape (1, 1).
There is no exception to catch in the first three cases.

The format: MathWorks, "MAT-File Format", chapter 1. Only tags are read. A compressed element is decompressed up to its
last tag, which for a matrix of features is within the first hundred bytes.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Container
from pathlib import Path
from typing import BinaryIO, Protocol

_HEADER = 128  # bytes before the first element
_MATRIX, _COMPRESSED = 14, 15
_PLAIN = frozenset((*range(1, 8), 9, 12, 13, 16, 17, 18))  # types of elements that hold values
_NAME = frozenset((1, 16))
_CELL, _CHARACTERS, _NUMBERS = 1, 4, range(6, 16)  # classes of matrices
_COMPLEX = 1 << 11
_MAX_DIMENSIONS = 32  # dimensions of a matrix, scipy's limit
_MAX_DEPTH = 32  # of nested cells; scipy's reader is recursive
_TAG = 8  # bytes, also the least size of a cell
_ALWAYS_ALLOWED = 64 << 20  # bytes to which any compressed element may expand
_MAX_EXPANSION = 64  # times the size of a larger one


class _Source(Protocol):
    """Bytes that are read forwards only."""

    def read(self, start: int, size: int) -> bytes: ...


class _Uncompressed:
    """The bytes of the file."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream

    def read(self, start: int, size: int) -> bytes:
        self.stream.seek(start)
        return self.stream.read(size)


class _Compressed:
    """The decompressed bytes of a part of the file, decompressed as far as they are read."""

    def __init__(self, stream: BinaryIO, start: int, size: int) -> None:
        self.stream, self.next, self.end = stream, start, start + size
        self.unpacker, self.packed = zlib.decompressobj(), b""
        self.position, self.ready = 0, b""

    def read(self, start: int, size: int) -> bytes:
        while self.position + len(self.ready) < start + size and (more := self._more()):
            dropped = min(max(start - self.position, 0), len(self.ready))
            self.position, self.ready = self.position + dropped, self.ready[dropped:] + more
        offset = start - self.position
        return self.ready[offset : offset + size]

    def _more(self) -> bytes:
        found = b""
        while not found and not self.unpacker.eof:
            if not self.packed:
                self.stream.seek(self.next)
                self.packed = self.stream.read(min(self.end - self.next, 4096))
                self.next += len(self.packed)
            if not self.packed:
                break
            found = self.unpacker.decompress(self.packed, 1 << 16)
            self.packed = self.unpacker.unconsumed_tail
        return found


def check_structure(path: Path) -> frozenset[str]:
    """Check all variables of a file; return the names of those that must not be loaded.

    These are structures, objects and all others that are not numbers, text or cells of both: their content is not
    checked. Raises ValueError or `zlib.error` if the file does not follow the format, expands to more than a
    reasonable size, or declares more values than it can hold.
    """
    others: set[str] = set()
    with path.open("rb") as stream:
        order = "<" if stream.read(_HEADER)[126:] == b"IM" else ">"
        end, start = path.stat().st_size, _HEADER
        stored = _Uncompressed(stream)
        while start + _TAG <= end:
            kind, size, following = _tag(stored, start, order)
            if start + _TAG + following > end:
                raise ValueError(f"the element at byte {start:,} is longer than the file")
            if kind == _COMPRESSED:
                name = _check_compressed(_Compressed(stream, start + _TAG, size), start, size, order)
            elif kind == _MATRIX:
                name = _check_matrix(stored, start, order, 0)
            else:
                raise ValueError(f"byte {start:,} begins no variable")
            if name is not None:
                others.add(name)
            start += _TAG + following
    return frozenset(others)


def _check_compressed(source: _Source, start: int, length: int, order: str) -> str | None:
    kind, size, _ = _tag(source, 0, order)
    if size > max(_ALWAYS_ALLOWED, _MAX_EXPANSION * length):
        raise ValueError(f"byte {start:,} begins {length:,} bytes that claim to expand to {size:,}")
    if kind != _MATRIX:
        raise ValueError(f"byte {start:,} begins no compressed matrix")
    return _check_matrix(source, 0, order, 0)


def _tag(source: _Source, start: int, order: str) -> tuple[int, int, int]:
    """Return an element's type, the size of its value, and the number of its bytes after the tag, with padding."""
    tag = source.read(start, _TAG)
    if len(tag) < _TAG:
        raise ValueError("it ends within a tag")
    kind, size = struct.unpack(f"{order}II", tag)
    if kind >> 16:  # the tag holds a value of up to four bytes
        return kind & 0xFFFF, kind >> 16, 0
    return kind, size, size if kind == _COMPRESSED else size + -size % 8


def _check_matrix(source: _Source, start: int, order: str, depth: int) -> str | None:
    """Check the matrix at a position; return its name if it is of a class whose content is not checked."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"byte {start:,} is within {_MAX_DEPTH} matrices")
    _, size, following = _tag(source, start, order)
    end, at = start + _TAG + following, start + _TAG
    if not size:  # as MATLAB writes an empty cell
        return None
    flags, at = _value(source, at, end, order, {6})
    kind = struct.unpack(f"{order}I", flags[:4].ljust(4, b"\0"))[0]
    if kind & 0xFF not in (_CELL, _CHARACTERS, *_NUMBERS):
        return _name_of_other(source, at, end, order)
    shape, at = _value(source, at, end, order, {5, 6})
    dimensions = struct.unpack(f"{order}{len(shape) // 4}i", shape[: len(shape) // 4 * 4])
    _, at = _value(source, at, end, order, _NAME)
    if not 2 <= len(dimensions) <= _MAX_DIMENSIONS or len(shape) % 4:
        raise ValueError(f"there is a matrix of {len(dimensions)} dimensions")
    count = math.prod(dimensions)
    if min(dimensions, default=0) < 0 or count * (_TAG if kind & 0xFF == _CELL else 1) > size:
        raise ValueError(f"there are {dimensions} values in {size:,} bytes")
    if kind & 0xFF == _CELL:
        for _ in range(count):
            _, _, following = _tag(source, at, order)
            if source.read(at, 4) != struct.pack(f"{order}I", _MATRIX) or at + _TAG + following > end:
                raise ValueError(f"byte {at:,} begins no cell")
            if _check_matrix(source, at, order, depth + 1) is not None:
                raise ValueError(f"byte {at:,} begins a cell that is neither numbers nor text")
            at += _TAG + following
    else:
        for _ in range(2 if kind & _COMPLEX and kind & 0xFF in _NUMBERS else 1):
            type_of_values, _, following = _tag(source, at, order)
            at += _TAG + following
            if type_of_values not in _PLAIN or at > end:
                raise ValueError(f"byte {at:,} begins no values")
    if at != end:
        raise ValueError(f"the matrix at byte {start:,} is longer than its content")
    return None


def _name_of_other(source: _Source, at: int, end: int, order: str) -> str:
    """Return the name of a matrix of another class, some of which have no dimensions."""
    value, at = _value(source, at, end, order, _PLAIN)
    if at < end and _tag(source, at, order)[0] in _NAME:
        value, _ = _value(source, at, end, order, _NAME)
    return value.decode("latin-1")


def _value(source: _Source, start: int, end: int, order: str, kinds: Container[int]) -> tuple[bytes, int]:
    """Return the value of a short element, and the position of the next one."""
    kind, size, following = _tag(source, start, order)
    if kind not in kinds or size > 256 or start + _TAG + following > end:
        raise ValueError("a matrix does not begin with its class, dimensions and name")
    value = source.read(start + _TAG, size) if following else source.read(start + 4, min(size, 4))
    return value, start + _TAG + following
