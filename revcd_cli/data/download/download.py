"""Resumable downloads over HTTP, with checksums.

The bytes are appended to `NAME.part` next to the target; `NAME.part.json` stores which version of the file they belong
to. The next attempt requests the rest of that version (Range with If-Range), and starts over if the server has another
version or does not support ranges. The complete and verified file is renamed to the target.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ...errors import DownloadError, UsageError
from ...system.files import atomic_write, exclusive, file_sha256, write_bytes
from ...system.offline import is_offline
from ...version import __version__
from .transport import Response, TransportError, get

_CHUNK = 1 << 18
_SPARE_BYTES = 64 << 20  # that stay free on the disk

ProgressCallback = Callable[[int, int | None, int], None]


def human_size(n_bytes: int) -> str:
    """Return a size such as "1.25 GB" or "0.3 MB"."""
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    on_progress: ProgressCallback | None = None,
    timeout: float = 30.0,
) -> Path:
    """Download an http, https or file address to `target`, resuming an earlier attempt, and return `target`.

    sha256, md5: expected checksums, hexadecimal. on_progress: called with (bytes so far, total bytes or None, 0).
    timeout: longest silence of a connected server in seconds; connecting may take 1.5 seconds. Raises `UsageError` for
    another kind of address, and `DownloadError`; its hint says what is kept if the connection broke.
    """
    if _scheme(url) != "file" and is_offline():
        raise DownloadError(f"{url}: not downloaded: the network is switched off (HF_HUB_OFFLINE or --offline).")
    try:
        with exclusive(target):
            part = _Part(target, url)
            if _scheme(url) == "file":
                _copy(part, on_progress)
            elif not part.complete:
                _fetch(part, timeout, on_progress)
            _verify(part, {"sha256": sha256, "md5": md5})
            part.path.replace(target)
            part.discard()
    except OSError as error:
        raise DownloadError(f"{target}: cannot be written ({error.strerror or error}).") from error
    return target


def _scheme(url: str) -> str:
    with suppress(ValueError):  # of a malformed host
        parts = urlsplit(url)
        scheme = parts.scheme.casefold()
        if scheme == "file" or (scheme in ("http", "https") and parts.hostname):
            return scheme
    raise UsageError(
        f"{url}: is not an address that can be downloaded.", hint="It begins with https://, http:// or file://."
    )


class _Part:
    """The bytes downloaded so far, and the version of the file they belong to.

    Bytes without a validator (an ETag or a modification date) are dropped, as the rest may be of another version.
    """

    def __init__(self, target: Path, url: str) -> None:
        self.url = url
        self.path = target.with_name(f"{target.name}.part")
        self.record = target.with_name(f"{target.name}.part.json")
        self.validator, self.total = self._read_record()
        if self.validator is None or (self.total is not None and self.size > self.total):
            self.discard()

    def _read_record(self) -> tuple[str | None, int | None]:
        with suppress(OSError, ValueError):
            known = json.loads(self.record.read_text("utf-8"))
            if isinstance(known, dict) and known.get("url") == self.url:
                return known.get("validator"), known.get("total")
        return None, None

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def complete(self) -> bool:
        return self.total is not None and self.size == self.total

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.record.unlink(missing_ok=True)
        self.validator = self.total = None

    def write_record(self, validator: str | None, total: int | None) -> None:
        self.validator, self.total = validator, total
        known = {"url": self.url, "validator": validator, "total": total}
        write_bytes(self.record, json.dumps(known).encode())


def _copy(part: _Part, on_progress: ProgressCallback | None) -> None:
    """Copy a file of this machine, given as a file address, to the part."""
    source = Path(url2pathname(urlsplit(part.url).path))
    try:
        stream, total = source.open("rb"), source.stat().st_size
    except OSError as error:
        raise DownloadError(f"{part.url}: cannot be read ({error.strerror or error}).") from error
    with stream, atomic_write(part.path) as target:
        _check_space(part.path, total)
        _append(iter(lambda: stream.read(_CHUNK), b""), target, 0, total, on_progress)


def _fetch(part: _Part, timeout: float, on_progress: ProgressCallback | None) -> None:
    response = _request(part, timeout)
    if response is None:
        return
    with response:
        length = response.headers.get("Content-Length", "")
        done = part.size
        total = done + int(length) if length.isdigit() else None
        _check_space(part.path, total and total - done)
        part.write_record(_validator(response.headers), total)
        with part.path.open("ab") as stream:
            try:
                received = _append(response.chunks(), stream, done, total, on_progress)
                trouble = "it ended too early" if total is not None and received < total else ""
            except TransportError as error:
                trouble = str(error)
    if trouble:
        raise _broken(part, trouble)


def _append(
    chunks: Iterator[bytes], stream: BinaryIO, done: int, total: int | None, on_progress: ProgressCallback | None
) -> int:
    """Append the chunks to the stream, which has `done` bytes of `total`. Return its bytes afterwards."""
    for chunk in chunks:
        stream.write(chunk)
        done += len(chunk)
        if on_progress:
            on_progress(done, total, 0)
    return done


def _request(part: _Part, timeout: float) -> Response | None:
    """Return the response whose body continues the part, or None if the part is complete."""
    headers = {"User-Agent": f"revcd/{__version__}", "Accept-Encoding": "identity"}
    if part.size and part.validator:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.validator}
    try:
        response = get(part.url, headers, timeout)
    except TransportError as error:
        raise DownloadError(f"{part.url}: cannot be reached ({error}).") from error
    if response.status == 416 and part.size:
        response.close()
        if response.headers.get("Content-Range") == f"bytes */{part.size}":
            return None
    elif response.status not in (200, 206):
        response.close()
        raise DownloadError(f"{part.url}: the server answers {response.status} {response.reason}.")
    elif response.status == 200:  # another version of the file, or a server without ranges
        part.discard()
        return response
    elif response.headers.get("Content-Range", "").startswith(f"bytes {part.size}-"):
        return response
    else:
        response.close()
        if not part.size:
            raise DownloadError(f"{part.url}: the server sends a range of the file that was not requested.")
    part.discard()
    return _request(part, timeout)


def _validator(headers: Mapping[str, str]) -> str | None:
    etag = headers.get("ETag", "")
    if etag and not etag.startswith("W/"):  # a weak one does not promise equal bytes
        return etag
    return headers.get("Last-Modified")


def _broken(part: _Part, reason: str) -> DownloadError:
    of_all = f" of {human_size(part.total)}" if part.total else ""
    kept = f"{human_size(part.size)} are kept; the same command continues from there."
    return DownloadError(
        f"{part.url}: the connection broke after {human_size(part.size)}{of_all} ({reason}).",
        hint=kept if part.validator else "This server cannot resume a download; the same command starts it again.",
    )


def _check_space(path: Path, n_bytes: int | None) -> None:
    free = shutil.disk_usage(path.parent).free
    if n_bytes and free < n_bytes + _SPARE_BYTES:
        raise DownloadError(
            f"{path.parent}: the download takes {human_size(n_bytes)}, and {human_size(free)} are free.",
            hint="Free some space, or choose another folder.",
        )


def _verify(part: _Part, expected: dict[str, str | None]) -> None:
    for algorithm, digest in expected.items():
        if digest is None:
            continue
        actual = file_sha256(part.path) if algorithm == "sha256" else _md5(part.path)
        if actual != digest.casefold():
            part.discard()
            raise DownloadError(
                f"{part.url}: the downloaded file is not the expected file "
                f"({algorithm} {actual[:12]}…, expected {digest[:12]}…).",
                hint="It was removed. Try again; if that repeats, the file at this address differs or is damaged.",
            )


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
