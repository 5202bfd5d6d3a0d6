"""A small S3 server on this machine, for pyarrow: objects in memory, with latency and failures on demand."""

from __future__ import annotations

import contextlib
import re
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

import pytest

PAGE = 1000  # keys of one answer to a listing
Fault = Callable[[str, str, int], bool]


class S3Server(ThreadingHTTPServer):
    """Objects by "bucket/key".

    latency: seconds before each answer. fault(method, key, count): whether to answer with the error 500, where count is
    the number of such requests so far, this one included.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.latency = 0.0
        self.fault: Fault = lambda method, key, count: False
        self.requests: Counter[tuple[str, str]] = Counter()
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.lock = threading.Lock()

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a client finds the server."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server_port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "HF_HUB_OFFLINE": "0",
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3Server

    def log_message(self, *_: object) -> None:
        pass

    def _parse(self) -> tuple[str, dict[str, str]]:
        parts = urllib.parse.urlsplit(self.path)
        return urllib.parse.unquote(parts.path).strip("/"), dict(urllib.parse.parse_qsl(parts.query, True))

    def _fails(self, key: str) -> bool:
        time.sleep(self.server.latency)
        with self.server.lock:
            self.server.requests[self.command, key] += 1
            count = self.server.requests[self.command, key]
        if not self.server.fault(self.command, key, count):
            return False
        self._answer(500, b"<Error><Code>InternalError</Code></Error>")
        return True

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Last-Modified", "Thu, 26 Nov 2026 10:00:00 GMT")
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(OSError):  # a client that was killed
                self.wfile.write(body)

    def do_HEAD(self) -> None:
        key, _ = self._parse()
        if self._fails(key):
            return
        found = self.server.objects.get(key)
        if found is None and "/" in key:
            self._answer(404)
        else:
            self._answer(200, Content_Length=str(len(found or b"")), ETag='"0"')

    def do_GET(self) -> None:
        key, query = self._parse()
        if self._fails(key):
            return
        if "list-type" in query:
            self._list(key, query)
            return
        found = self.server.objects.get(key)
        if found is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            self._answer(200, found, ETag='"0"')
            return
        start, end = int(wanted[1]), min(int(wanted[2] or len(found)), len(found) - 1)
        self._answer(206, found[start : end + 1], Content_Range=f"bytes {start}-{end}/{len(found)}", ETag='"0"')

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        most, after = int(query.get("max-keys", PAGE)), query.get("continuation-token", "")
        entries: dict[str, bool] = {}  # whether it is a folder
        for name in sorted(self.server.objects):
            key = name.removeprefix(f"{bucket}/")
            if name.startswith(f"{bucket}/") and key.startswith(prefix):
                rest = key[len(prefix) :]
                folder = delimiter and delimiter in rest
                entries[prefix + rest.split(delimiter)[0] + delimiter if folder else key] = bool(folder)
        names = [name for name in entries if name > after]
        shown, more = names[:most], len(names) > most
        lines = [f"<KeyCount>{len(shown)}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>"]
        if more:
            lines.append(f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>")
        for name in shown:
            if entries[name]:
                lines.append(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>")
            else:
                size = len(self.server.objects[f"{bucket}/{name}"])
                lines.append(
                    f"<Contents><Key>{escape(name)}</Key><Size>{size}</Size>"
                    "<LastModified>2026-11-26T10:00:00.000Z</LastModified></Contents>"
                )
        self._answer(200, f"<ListBucketResult>{''.join(lines)}</ListBucketResult>".encode())

    def _body(self) -> bytes:
        data = self._received()
        is_signed = self.headers.get("x-amz-content-sha256", "").startswith("STREAMING")
        if not is_signed and "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return data
        whole = b""
        while data:
            head, _, data = data.partition(b"\r\n")
            size = int(head.split(b";")[0] or b"0", 16)
            if not size:
                break
            whole, data = whole + data[:size], data[size + 2 :]
        return whole

    def _received(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return b"".join(pieces)

    def do_PUT(self) -> None:
        key, query = self._parse()
        data = self._body()
        if self._fails(key):
            return
        if "partNumber" in query:
            self.server.uploads[query["uploadId"]][int(query["partNumber"])] = data
        elif "/" in key:
            self.server.objects[key if not self.path.endswith("/") else f"{key}/"] = data
        self._answer(200, ETag='"0"')

    def do_POST(self) -> None:
        key, query = self._parse()
        self._body()
        if self._fails(key):
            return
        if "uploads" in query:
            number = str(len(self.server.uploads) + 1)
            self.server.uploads[number] = {}
            body = f"<InitiateMultipartUploadResult><UploadId>{number}</UploadId></InitiateMultipartUploadResult>"
        else:
            parts = self.server.uploads.pop(query["uploadId"])
            self.server.objects[key] = b"".join(parts[number] for number in sorted(parts))
            body = "<CompleteMultipartUploadResult><ETag>0</ETag></CompleteMultipartUploadResult>"
        self._answer(200, body.encode())

    def do_DELETE(self) -> None:
        key, _ = self._parse()
        if self._fails(key):
            return
        self.server.objects.pop(key, None)
        self._answer(204)


@contextlib.contextmanager
def running_server() -> Iterator[S3Server]:
    with S3Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """Return a running S3 server that `s3://` addresses in this process and its children reach."""
    from revcd_cli.system import filesystems

    with running_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(filesystems, "FIRST_DELAY", 0.001)
        filesystems._filesystem.cache_clear()
        yield server
        filesystems._filesystem.cache_clear()
