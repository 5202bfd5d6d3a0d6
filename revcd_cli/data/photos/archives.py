"""List and read photos in zip and tar archives, without extracting them to disk."""

from __future__ import annotations

import bz2
import functools
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ...errors import brief
from ...system.filesystems import RemoteReadError
from .image_source import ImageSource, access_failure, failed_source, is_photo_name, natural_key, remote_failure
from .images import MAX_BYTES, ImageFailure, too_large
from .passed_over import PassedOver, is_storage_name
from .raw_previews import is_raw_name

if TYPE_CHECKING:
    from typing_extensions import Self

_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz")
_COMPRESSIONS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_LONGEST_MAGIC = 6  # bytes
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, OSError, ValueError)


class _Member(NamedTuple):
    name: str
    signature: str
    content: ImageFailure | Callable[[], bytes | ImageFailure]


# Exceptions of tarfile for single headers, which its type stubs lack.
_headers: Any = tarfile
_INVALID: type[Exception] = _headers.InvalidHeaderError
_MISSING: tuple[type[Exception], ...] = (_headers.TruncatedHeaderError, _headers.EmptyHeaderError)

# Members with a long name or other metadata of the next member; tarfile reads them into memory.
_EXTENSIONS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, b"X")
_MAX_EXTENSION = 1 << 20  # bytes of such a member


class _StrictHeader(tarfile.TarInfo):
    """Raise an error for a damaged or missing header, which tarfile treats as the end of the archive."""

    @classmethod
    def frombuf(cls, buffer: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buffer, encoding, errors)
        if not 0 <= header.size < 2**62 or (header.type in _EXTENSIONS and header.size > _MAX_EXTENSION):
            raise _INVALID(f"a member of {header.size:,} bytes")
        return header

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except _MISSING:
            raise tarfile.ReadError("unexpected end of data") from None
        except _INVALID as error:
            raise tarfile.ReadError(f"{error} at byte {archive.offset}") from None


def is_archive_name(path: str) -> bool:
    """Return whether a path has the suffix of a zip or tar archive."""
    return path.lower().endswith((".zip", *_TAR_SUFFIXES))


def is_compressed_tar(path: str) -> bool:
    """Return whether listing the members of an archive requires decompressing all of it."""
    try:
        # Regular files only: a pipe would block.
        return path.lower().endswith(_TAR_SUFFIXES) and Path(path).is_file() and _compression(path) is not None
    except OSError:
        return False


def archive_sources(path: str, shown: str, passed: PassedOver | None = None) -> Iterator[ImageSource]:
    """Yield the photos of an archive: a zip in natural order, a tar in its own order.

    Photos of a compressed tar must be read in order, each before the next one is requested. Names such as `../a.jpg`
    are reported, but not used as paths. A repeated name gets `#2`, `#3`, ... A damaged archive ends with one failed
    source for the archive itself. passed: counts members that are no photos.
    """

    def members() -> Iterator[_Member]:
        stamp = str(Path(path).stat().st_mtime_ns)
        if path.lower().endswith(".zip"):
            # Not closed here: photos may be read after the listing. It is closed with the last reference.
            return _zip_members(path, stamp, passed)
        return _tar_members(path, stamp, passed)

    try:
        size = Path(path).stat().st_size
    except OSError as error:
        yield failed_source(shown, _archive_failure(path, error, started=False))
        return
    yield from _sources(members, path, shown, size)


def stream_sources(
    stream: BinaryIO, shown: str, size: int, stamp: str, passed: PassedOver | None = None
) -> Iterator[ImageSource]:
    """Yield the photos of an archive from an open, seekable stream, as `archive_sources` does from a file.

    Each photo must be read before the next one is requested. stamp: changes when the archive changes.
    """

    def members() -> Iterator[_Member]:
        if shown.lower().endswith(".zip"):
            return _zip_members(stream, stamp, passed)
        opener = _opener_for(stream.read(_LONGEST_MAGIC))
        stream.seek(0)
        return _streamed_members(opener(stream, "rb") if opener else stream, shown, stamp, passed)

    yield from _sources(members, shown, shown, size)


def _sources(members: Callable[[], Iterator[_Member]], path: str, shown: str, size: int) -> Iterator[ImageSource]:
    taken: dict[str, int] = {}
    if not size:
        yield failed_source(shown, ImageFailure("empty_file", "has no bytes"))
        return
    try:
        for member in members():
            name = _distinct(member.name, taken)
            if isinstance(member.content, ImageFailure):
                yield failed_source(f"{shown}/{name}", member.content)
            else:
                yield ImageSource(f"{shown}/{name}", member.signature, member.content)
    except (*_DAMAGE, EOFError, NotImplementedError) as error:
        yield failed_source(shown, _archive_failure(path, error, started=bool(taken)))


def _archive_failure(path: str, error: Exception, *, started: bool) -> ImageFailure:
    if isinstance(error, RemoteReadError):
        return remote_failure(error)
    # Errors of the file system have an errno; the OSError of a damaged gzip stream has none.
    if isinstance(error, OSError) and error.errno is not None:
        return access_failure(path, error, missing="vanished")
    what = "the rest of the archive" if started else "the archive"
    return ImageFailure(_damage_reason(error), f"{what} cannot be read: {brief(error)}")


def _member_failure(error: Exception) -> ImageFailure:
    if isinstance(error, RemoteReadError):
        return remote_failure(error)
    return ImageFailure(_damage_reason(error), f"cannot be read from the archive: {brief(error)}")


def _damage_reason(error: Exception) -> str:
    if isinstance(error, NotImplementedError):
        return "unsupported_format"
    cut_short = isinstance(error, EOFError) or "unexpected end of data" in str(error)
    return "truncated" if cut_short else "corrupt"


def _distinct(name: str, taken: dict[str, int]) -> str:
    """Return the name, numbered if it is taken. taken: the number of uses of each name."""
    count = taken.get(name, 0) + 1
    distinct = name if count == 1 else f"{name}#{count}"
    while count > 1 and distinct in taken:
        count += 1
        distinct = f"{name}#{count}"
    taken[name] = count
    taken.setdefault(distinct, 1)
    return distinct


def _photo_name(name: str, passed: PassedOver | None, *, is_folder: bool) -> str | None:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    skipped = next((part for part in parts if is_storage_name(part)), None)
    if is_folder or not parts or skipped is not None or not is_photo_name(parts[-1]):
        if passed is not None and parts and not is_folder:
            if skipped is not None:
                passed.storage[skipped] += 1
            else:
                passed.add_file(parts[-1], is_raw=is_raw_name(parts[-1]))
        return None
    return "/".join(parts)


def _zip_members(archive_file: str | BinaryIO, stamp: str, passed: PassedOver | None) -> Iterator[_Member]:
    archive = zipfile.ZipFile(archive_file)
    for info in sorted(archive.infolist(), key=lambda info: natural_key(info.filename)):
        name = _photo_name(info.filename, passed, is_folder=info.is_dir())
        if name is None:
            continue
        signature = f"{info.file_size}:{info.CRC:08x}:{stamp}"
        yield _Member(name, signature, _zip_failure(info) or functools.partial(_read_zip_member, archive, info))


def _zip_failure(info: zipfile.ZipInfo) -> ImageFailure | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return ImageFailure("not_a_file", "a link or device in the archive, which is not followed")
    if info.flag_bits & 1:
        return ImageFailure("permission", "is encrypted")
    return too_large() if info.file_size > MAX_BYTES else None


def _read_zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes | ImageFailure:
    try:
        with archive.open(info) as stream:
            return stream.read(MAX_BYTES)
    except NotImplementedError:
        return ImageFailure("unsupported_format", "is compressed by a method that Python's zipfile cannot read")
    except (*_DAMAGE, EOFError) as error:
        return _member_failure(error)


def _compression(path: str) -> Callable[..., BinaryIO] | None:
    with Path(path).open("rb") as stream:
        return _opener_for(stream.read(_LONGEST_MAGIC))


def _opener_for(start: bytes) -> Callable[..., BinaryIO] | None:
    return next((opener for magic, opener in _COMPRESSIONS.items() if start.startswith(magic)), None)


class _Complete:
    """A decompressed stream that raises EOFError at its end; tarfile would ignore missing data."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if not data:
            raise EOFError("unexpected end of data")
        return data


def _tar_members(path: str, stamp: str, passed: PassedOver | None) -> Iterator[_Member]:
    opener = _compression(path)
    # Opened here and not by tarfile, which accepts a truncated stream as the end of the archive.
    if opener:
        yield from _streamed_members(opener(path, "rb"), path, stamp, passed)
        return
    with Path(path).open("rb") as stream:
        archive: Any = tarfile.open(None, "r:", stream, tarinfo=_StrictHeader)  # noqa: SIM115 (closed by _members)
        yield from _members(path, archive, stamp, passed, streamed=False)


def _streamed_members(stream: BinaryIO, path: str, stamp: str, passed: PassedOver | None) -> Iterator[_Member]:
    source: Any = _Complete(stream)
    with stream:
        archive: Any = tarfile.open(None, "r|", source, tarinfo=_StrictHeader)  # noqa: SIM115 (closed by _members)
        yield from _members(path, archive, stamp, passed, streamed=True)


def _members(path: str, archive: Any, stamp: str, passed: PassedOver | None, *, streamed: bool) -> Iterator[_Member]:
    with archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # otherwise tarfile keeps all headers
            name = _photo_name(member.name, passed, is_folder=member.isdir())
            if name is None:
                continue
            if streamed:
                read = functools.partial(_read_streamed, archive, member)
            else:
                read = functools.partial(_read_stored, path, member.offset_data, member.size)
            yield _Member(name, f"{member.size}:{member.offset_data}:{stamp}", _tar_failure(member) or read)


def _tar_failure(member: tarfile.TarInfo) -> ImageFailure | None:
    if not member.isreg():
        return ImageFailure("not_a_file", "a link or device in the archive, which is not followed")
    if member.issparse():
        return ImageFailure("unsupported_format", "is stored as a sparse file")
    return too_large() if member.size > MAX_BYTES else None


def _read_stored(path: str, offset: int, size: int) -> bytes | ImageFailure:
    try:
        with Path(path).open("rb") as stream:
            stream.seek(offset)
            data = stream.read(size)
    except OSError as error:
        return access_failure(path, error, missing="vanished")
    return data if len(data) == size else ImageFailure("truncated", "the archive ends before the photo does")


def _read_streamed(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | ImageFailure:
    out_of_order = RuntimeError(f"{member.name}: photos of a compressed tar must be read in order, one by one")
    if archive.closed:  # type: ignore[attr-defined]  # not in the type stubs
        raise out_of_order
    try:
        stream = archive.extractfile(member)
        if stream is None:
            return ImageFailure("not_a_file", "a link or device in the archive, which is not followed")
        with stream:
            return stream.read()
    except tarfile.StreamError:
        raise out_of_order from None
    except (*_DAMAGE, EOFError) as error:
        return _member_failure(error)
