"""Downloads from a web server on this machine, which breaks connections, changes the file and refuses requests."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from revcd_cli.data.download import transport
from revcd_cli.data.download.download import download
from revcd_cli.errors import DownloadError, RevcdError, UsageError

BODY = bytes(range(256)) * 2000  # 512 kB


@dataclass
class Site:
    """What the server sends, and the requests it received."""

    body: bytes = BODY
    etag: str | None = '"one"'
    ranges: bool = True  # whether it supports ranges
    cut_after: int | None = None  # bytes after which the next answer's connection is cut
    status: int = 200
    redirect: str | None = None
    asked: list[str | None] = field(default_factory=list)  # the Range of every request
    address: str = ""


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            site.asked.append(asked)
            if site.redirect:
                self.send_response(302)
                self.send_header("Location", site.redirect)
                self.end_headers()
                return
            if site.status != 200:
                self.send_error(site.status)
                return
            start = 0
            if asked and site.ranges and self.headers.get("If-Range") in (None, site.etag):
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(site.body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(site.body)}")
                self.end_headers()
                return
            rest = site.body[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(site.body) - 1}/{len(site.body)}")
            if site.etag:
                self.send_header("ETag", site.etag)
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest[: site.cut_after])
            site.cut_after = None

    return Handler


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("no_proxy", "*")
    served = Site()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(served)) as server:
        served.address = f"http://127.0.0.1:{server.server_port}/file.bin"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        server.shutdown()
        thread.join()


def _names(folder: Path) -> set[str]:
    """Return the names in a folder except lock files, which hold no data and may stay after a failure."""
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_a_download_writes_the_bytes_of_the_server_and_no_other_file(site: Site, tmp_path: Path):
    seen: list[tuple[int, int | None, int]] = []
    target = download(site.address, tmp_path / "new" / "file.bin", on_progress=lambda *at: seen.append(at))
    assert target.read_bytes() == BODY
    assert _names(target.parent) == {"file.bin"}
    assert seen[-1] == (len(BODY), len(BODY), 0)


def test_a_broken_download_is_resumed(site: Site, tmp_path: Path):
    site.cut_after = 300_000
    with pytest.raises(DownloadError, match=r"broke after 0\.3 MB of 0\.5 MB") as caught:
        download(site.address, tmp_path / "file.bin")
    assert "the same command continues" in (caught.value.hint or "")
    assert not (tmp_path / "file.bin").exists()
    assert download(site.address, tmp_path / "file.bin").read_bytes() == BODY
    assert site.asked == [None, "bytes=300000-"]
    assert _names(tmp_path) == {"file.bin"}


def test_a_file_that_changed_between_attempts_is_downloaded_again(site: Site, tmp_path: Path):
    site.cut_after = 300_000
    with pytest.raises(DownloadError):
        download(site.address, tmp_path / "file.bin")
    site.body, site.etag = BODY[::-1], '"two"'
    assert download(site.address, tmp_path / "file.bin").read_bytes() == BODY[::-1]


def test_if_the_server_does_not_support_ranges_the_whole_file_is_requested(site: Site, tmp_path: Path):
    site.cut_after, site.ranges = 300_000, False
    with pytest.raises(DownloadError):
        download(site.address, tmp_path / "file.bin")
    assert download(site.address, tmp_path / "file.bin").read_bytes() == BODY
    assert site.asked == [None, "bytes=300000-"]


def test_a_partial_file_of_unknown_version_is_not_resumed(site: Site, tmp_path: Path):
    site.cut_after, site.etag = 300_000, None
    with pytest.raises(DownloadError) as caught:
        download(site.address, tmp_path / "file.bin")
    assert "starts it again" in (caught.value.hint or "")
    assert download(site.address, tmp_path / "file.bin").read_bytes() == BODY
    assert site.asked == [None, None]


def test_a_partial_file_from_another_address_is_not_resumed(site: Site, tmp_path: Path):
    site.cut_after = 300_000
    with pytest.raises(DownloadError):
        download(site.address, tmp_path / "file.bin")
    assert download(site.address + "?mirror", tmp_path / "file.bin").read_bytes() == BODY
    assert site.asked == [None, None]


def test_a_complete_partial_file_is_moved_without_another_request(site: Site, tmp_path: Path):
    site.cut_after = 300_000
    with pytest.raises(DownloadError):
        download(site.address, tmp_path / "file.bin")
    (tmp_path / "file.bin.part").write_bytes(BODY)
    assert download(site.address, tmp_path / "file.bin").read_bytes() == BODY
    assert site.asked == [None]


@pytest.mark.parametrize("n_bytes", [len(BODY), len(BODY) + 7])
def test_a_range_beyond_the_end_still_gives_the_right_file(site: Site, tmp_path: Path, n_bytes: int):
    site.cut_after = 300_000
    with pytest.raises(DownloadError):
        download(site.address, tmp_path / "file.bin")
    memory = tmp_path / "file.bin.part.json"
    memory.write_text(memory.read_text().replace(str(len(BODY)), "null"))  # as from a server that gives no length
    (tmp_path / "file.bin.part").write_bytes((BODY + bytes(7))[:n_bytes])
    assert download(site.address, tmp_path / "file.bin").read_bytes() == BODY


@pytest.mark.parametrize("damage", ["not json", "[]", "{}"])
def test_an_unreadable_record_of_a_partial_file_restarts_the_download(site: Site, tmp_path: Path, damage: str):
    (tmp_path / "file.bin.part").write_bytes(b"junk")
    (tmp_path / "file.bin.part.json").write_text(damage)
    assert download(site.address, tmp_path / "file.bin").read_bytes() == BODY


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_download_with_a_wrong_checksum_is_refused(site: Site, tmp_path: Path, algorithm: str):
    right = hashlib.new(algorithm, BODY).hexdigest()
    assert download(site.address, tmp_path / "right.bin", **{algorithm: right.upper()}).read_bytes() == BODY
    with pytest.raises(DownloadError, match="not the expected file"):
        download(site.address, tmp_path / "wrong.bin", **{algorithm: "0" * len(right)})
    assert _names(tmp_path) == {"right.bin"}


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_http_error_names_its_status(site: Site, tmp_path: Path, status: int):
    site.status = status
    with pytest.raises(DownloadError, match=f"answers {status}"):
        download(site.address, tmp_path / "file.bin")
    assert _names(tmp_path) == set()


def test_an_old_file_is_kept_until_the_new_one_is_complete(site: Site, tmp_path: Path):
    (tmp_path / "file.bin").write_bytes(b"old")
    site.cut_after = 10
    with pytest.raises(DownloadError):
        download(site.address, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == b"old"


@pytest.mark.parametrize("elsewhere", ["file:///etc/hostname", "ftp://127.0.0.1/file.bin"])
def test_a_redirect_to_another_kind_of_address_is_refused(site: Site, tmp_path: Path, elsewhere: str):
    site.redirect = elsewhere
    with pytest.raises(DownloadError, match=r"[Rr]edirect"):
        download(site.address, tmp_path / "file.bin")
    assert _names(tmp_path) == set()


def test_circular_redirects_are_an_error(site: Site, tmp_path: Path):
    site.redirect = site.address
    with pytest.raises(DownloadError, match="redirects more than 10 times"):
        download(site.address, tmp_path / "file.bin")


def test_a_proxy_of_an_unknown_kind_is_an_error(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", "gopher://127.0.0.1:1")
    with pytest.raises(DownloadError, match="proxy"):
        download(site.address, tmp_path / "file.bin")


def test_an_http_redirect_is_followed(site: Site, tmp_path: Path):
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(Site(redirect=site.address))) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/moved.bin"
        assert download(address, tmp_path / "file.bin").read_bytes() == BODY
        thread.join()


def test_a_file_address_needs_no_network(tmp_path: Path):
    (tmp_path / "a b.bin").write_bytes(BODY)
    target = download((tmp_path / "a b.bin").as_uri(), tmp_path / "copy.bin")
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "data:,x", "/etc/hostname", "x.zip", "http:", "http://["])
def test_other_addresses_are_refused(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(UsageError, match="is not an address"):
        download(url, tmp_path / "file.bin")


def test_offline_no_socket_is_opened(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE"):
        download(site.address, tmp_path / "file.bin")
    assert site.asked == []


def test_a_closed_port_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(DownloadError, match="cannot be reached"):
        download(f"http://127.0.0.1:{port}/file.bin", tmp_path / "file.bin")


def test_a_server_that_never_finishes_the_handshake_is_abandoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Only the deadline can end this: the timeout of the socket is much longer."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(transport, "_CONNECT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"https://127.0.0.1:{silent.getsockname()[1]}/file.bin"
        with pytest.raises(DownloadError, match="no connection within"):
            download(address, tmp_path / "file.bin", timeout=600)


def test_a_connected_server_that_sends_nothing_is_abandoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/file.bin"
        with pytest.raises(DownloadError, match="timed out"):
            download(address, tmp_path / "file.bin", timeout=0.1)


def test_a_full_disk_is_reported_before_the_download(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(DownloadError, match="are free"):
        download(site.address, tmp_path / "file.bin")
    assert not (tmp_path / "file.bin.part").exists()


def test_a_folder_that_cannot_be_written_is_a_revcd_error(site: Site, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RevcdError, match="cannot be written"):
        download(site.address, tmp_path / "file" / "file.bin")
