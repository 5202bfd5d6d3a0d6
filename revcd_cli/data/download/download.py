"""Resumable downloads over HTTP with the standard library.

The bytes arrive in `NAME.part` beside the target; `NAME.part.json` remembers which version of the file they belong to.
The next attempt asks for the rest of that version (Range with If-Range), and starts over if the server has another one
or cannot continue. The target appears in one step, whole and verified, or not at all.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from ... import __version__
from ...errors import DownloadError, UsageError
from ...system.files import exclusive, file_sha256, write_bytes
from ...system.offline import is_offline
from .transport import build_opener

_CHUNK = 1 << 18
_SPARE_BYTES = 64 << 20  # left free on the disk, beside what is fetched

ProgressCallback = Callable[[int, int | None, int], None]


def human_size(n_bytes: int) -> str:
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
    """Fetch a http, https or file address to `target`, continuing an earlier attempt, and return `target`.

    `timeout` is the longest silence, in seconds, of a server that is connected; connecting itself takes at most
    1.5 seconds. `on_progress` receives (bytes so far, bytes in all or None, 0). The checksums are hexadecimal.
    Raises `DownloadError`; its hint says what is kept if the connection broke.
    """
    if _scheme(url) != "file" and is_offline():
        raise DownloadError(f"{url}: not fetched, because the network is switched off (HF_HUB_OFFLINE or --offline).")
    try:
        with exclusive(target):
            part = _Part(target, url)
            if not part.complete:
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
        f"{url}: is not an address that can be fetched.", hint="It begins with https://, http:// or file://."
    )


class _Part:
    """The bytes that have arrived, and what is known of the file they belong to.

    Bytes without a validator (an ETag or a date of change) are dropped: nothing tells whether the rest would fit them.
    """

    def __init__(self, target: Path, url: str) -> None:
        self.url = url
        self.path = target.with_name(f"{target.name}.part")
        self.memory = target.with_name(f"{target.name}.part.json")
        self.validator, self.total = self._recall()
        if self.validator is None or (self.total is not None and self.size > self.total):
            self.discard()

    def _recall(self) -> tuple[str | None, int | None]:
        with suppress(OSError, ValueError):
            known = json.loads(self.memory.read_text("utf-8"))
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
        self.memory.unlink(missing_ok=True)
        self.validator = self.total = None

    def remember(self, validator: str | None, total: int | None) -> None:
        self.validator, self.total = validator, total
        known = {"url": self.url, "validator": validator, "total": total}
        write_bytes(self.memory, json.dumps(known).encode())


def _fetch(part: _Part, timeout: float, on_progress: ProgressCallback | None) -> None:
    response = _ask(part, timeout)
    if response is None:
        return
    with response:
        length = response.headers.get("Content-Length", "")
        done = part.size
        total = done + int(length) if length.isdigit() else None
        _check_space(part.path, total and total - done)
        part.remember(_validator(response.headers), total)
        with part.path.open("ab") as stream:
            trouble = _receive(response, stream, done, total, on_progress)
    if trouble:
        raise _broken(part, trouble)


def _receive(
    response: Any, stream: BinaryIO, done: int, total: int | None, on_progress: ProgressCallback | None
) -> str | None:
    """Write the body to the stream. Return what cut it short, or None."""
    while True:
        try:
            piece = response.read1(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            return str(error) or type(error).__name__
        if not piece:
            return "it ended too early" if total is not None and done < total else None
        stream.write(piece)
        done += len(piece)
        if on_progress:
            on_progress(done, total, 0)


def _ask(part: _Part, timeout: float) -> Any:
    """Return the response whose body continues the part, or None if the part is all there is."""
    headers = {"User-Agent": f"revcd/{__version__}", "Accept-Encoding": "identity"}
    if part.size:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.validator}
    try:
        response = build_opener().open(urllib.request.Request(part.url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416 or not part.size:
            raise DownloadError(f"{part.url}: the server answers {error.code} {error.reason}.") from error
        if error.headers.get("Content-Range") == f"bytes */{part.size}":
            return None
        part.discard()
        return _ask(part, timeout)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DownloadError(f"{part.url}: cannot be reached ({getattr(error, 'reason', None) or error}).") from error
    if part.size and response.status != 206:  # another version of the file, or a server that cannot continue
        part.discard()
    elif part.size and not response.headers.get("Content-Range", "").startswith(f"bytes {part.size}-"):
        response.close()
        part.discard()
        return _ask(part, timeout)
    return response


def _validator(headers: http.client.HTTPMessage) -> str | None:
    etag = headers.get("ETag", "")
    if etag and not etag.startswith("W/"):  # a weak one does not promise equal bytes
        return etag
    return headers.get("Last-Modified")


def _broken(part: _Part, reason: str) -> DownloadError:
    of_all = f" of {human_size(part.total)}" if part.total else ""
    kept = f"{human_size(part.size)} are kept; the same command continues from there."
    return DownloadError(
        f"{part.url}: the connection broke after {human_size(part.size)}{of_all} ({reason}).",
        hint=kept if part.validator else "This server cannot continue a download; the same command starts it again.",
    )


def _check_space(path: Path, n_bytes: int | None) -> None:
    free = shutil.disk_usage(path.parent).free
    if n_bytes and free < n_bytes + _SPARE_BYTES:
        raise DownloadError(
            f"{path.parent}: {human_size(n_bytes)} are to be fetched and {human_size(free)} are free.",
            hint="Make room, or choose another folder.",
        )


def _verify(part: _Part, expected: dict[str, str | None]) -> None:
    for algorithm, digest in expected.items():
        if digest is None:
            continue
        actual = file_sha256(part.path) if algorithm == "sha256" else _md5(part.path)
        if actual != digest.casefold():
            part.discard()
            raise DownloadError(
                f"{part.url}: what arrived is not the expected file "
                f"({algorithm} {actual[:12]}…, expected {digest[:12]}…).",
                hint="It was removed. Try again; if that repeats, the file at this address is another one or damaged.",
            )


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()
