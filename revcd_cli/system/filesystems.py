"""Folders and files in object storage (s3, gs, abfs, hdfs) through pyarrow, with failed calls repeated.

An address is `scheme://authority/path`. The path is used as it is: no percent-encoding, no query. Credentials, regions
and endpoints come from the environment and the files that the cloud's own tools use (AWS_ACCESS_KEY_ID, AWS_PROFILE,
AWS_REGION, AWS_ENDPOINT_URL, GOOGLE_APPLICATION_CREDENTIALS, ...), never from an address.
"""

from __future__ import annotations

import functools
import os
import random
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import RevcdError, UsageError, brief
from .offline import is_offline

SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs")
ATTEMPTS = 5
CONNECTIONS = 64  # of one process to S3
FIRST_DELAY = 0.25  # seconds before the second attempt; doubled for each later one

_ADDRESS = re.compile(rf"({'|'.join(SCHEMES)})://([^/]*)(?:/(.*))?", re.DOTALL)
# Texts of errors of the SDKs, whose types pyarrow does not keep.
_DENIED = ("ACCESS_DENIED", "AccessDenied", "HTTP status 403", "PERMISSION_DENIED", "HTTP response code 403")
_ABSENT = ("NO_SUCH_BUCKET", "NoSuchBucket", "NO_SUCH_KEY", "HTTP status 404")

T = TypeVar("T")


class RemoteReadError(OSError):
    """A part of an object could not be read, after all attempts."""


def is_remote(address: str) -> bool:
    """Return whether a text is an address in object storage that revcd reads."""
    return _ADDRESS.fullmatch(address) is not None


def check_address(address: str) -> tuple[str, str, str]:
    """Return scheme, authority and path of an address in object storage.

    Raises `UsageError` for an address with credentials or without a bucket, and if the network is switched off.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise UsageError(f"{address}: is no address in object storage.", hint=f"Schemes: {', '.join(SCHEMES)}.")
    scheme, authority, path = match[1], match[2], match[3] or ""
    before, _, host = authority.rpartition("@")
    if ":" in before:
        raise UsageError(
            f"{scheme}://...@{host}: an address must not contain credentials.",
            hint="Give them in the environment or the configuration files of the cloud's own tools.",
        )
    if not authority and scheme != "hdfs":
        raise UsageError(f"{address}: names no bucket.", hint=f"Write {scheme}://BUCKET/PATH.")
    if is_offline():
        raise UsageError(
            f"{address}: is an address in object storage, and the network is switched off.",
            hint="Leave out --offline, and unset HF_HUB_OFFLINE.",
        )
    return scheme, authority, path


def open_filesystem(address: str) -> tuple[Any, str]:
    """Return pyarrow's file system of an address and the path in it.

    Raises the errors of `check_address`, and `RevcdError` if there is no access.
    """
    scheme, authority, rest = check_address(address)
    filesystem, base = _filesystem(scheme, authority)
    return filesystem, "/".join(part for part in (base.rstrip("/"), rest.rstrip("/")) if part)


@functools.lru_cache(maxsize=32)
def _filesystem(scheme: str, authority: str) -> tuple[Any, str]:
    from pyarrow import fs

    try:
        if scheme == "s3":
            return _s3(authority), authority
        return fs.FileSystem.from_uri(f"{scheme}://{authority}/")
    except (OSError, ValueError, NotImplementedError, ImportError) as error:  # ImportError: pyarrow without it
        raise RevcdError(
            f"{scheme}://{authority}: cannot be opened ({brief(error)}).",
            hint="Check the credentials in the environment, and that this pyarrow supports the scheme.",
        ) from error


def _s3(bucket: str) -> Any:
    import pyarrow as pa
    from pyarrow import fs

    # pyarrow keeps as many connections as it has threads for input and output, at least 25, and takes no other number.
    pa.set_io_thread_count(max(pa.io_thread_count(), CONNECTIONS))
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    # `repeated` repeats calls, so the SDK's own repetition would only multiply the time until a failure is reported.
    options: dict[str, Any] = {"retry_strategy": fs.AwsStandardS3RetryStrategy(max_attempts=1)}
    if endpoint:
        scheme, _, host = endpoint.rpartition("://")
        options.update(endpoint_override=host.rstrip("/"), scheme=scheme or "https", region=region or "us-east-1")
    else:
        options["region"] = region or repeated(lambda: fs.resolve_s3_region(bucket))
    return fs.S3FileSystem(**options)


def repeated(call: Callable[[], T]) -> T:
    """Return the result of a call; repeat it after an `OSError`, with growing delays, up to `ATTEMPTS` attempts.

    A missing or forbidden file is not tried again: raises `FileNotFoundError` or `PermissionError`. Raises the last
    `OSError` otherwise.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return call()
        except (FileNotFoundError, PermissionError, IsADirectoryError):
            raise
        except OSError as error:
            text = str(error)
            if any(word in text for word in _DENIED):
                raise PermissionError(text) from error
            if any(word in text for word in _ABSENT):
                raise FileNotFoundError(text) from error
            if attempt == ATTEMPTS:
                raise
            # The random part keeps many workers from repeating at the same moment.
            time.sleep(FIRST_DELAY * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))
    raise AssertionError("unreachable")


def read_object(filesystem: Any, path: str, limit: int) -> bytes:
    """Return at most `limit` bytes of an object. Raises the errors of `repeated`."""

    def read() -> bytes:
        # "detect" would decompress an object whose name ends in .gz.
        with filesystem.open_input_stream(path, compression=None) as stream:
            return bytes(stream.read(limit))

    return repeated(read)
