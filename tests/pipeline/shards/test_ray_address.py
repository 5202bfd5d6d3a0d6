"""A wrong address of a Ray cluster is an error within seconds, where Ray itself would try for minutes."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from revcd_cli.__main__ import main
from revcd_cli.errors import RevcdError, UsageError
from revcd_cli.pipeline.shards import ray_address
from revcd_cli.pipeline.shards.ray_address import check_cluster
from tests.makers.noise_photos import make_photos
from tests.makers.toy import TINY_BACKBONE

SETTINGS_FRAME = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@contextlib.contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """Listen on a port of this machine; send `answer` to each connection, or keep it open without a word."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as kept:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection = kept.enter_context(server.accept()[0])
                    if answer is not None:
                        connection.sendall(answer)

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def closed() -> str:
    """Return an address at which nothing listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{unused.getsockname()[1]}"


def test_the_command_says_that_no_cluster_answers(
    closed: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    pytest.importorskip("ray", reason="Ray is not installed (pip install 'revcd[ray]')")
    photos = make_photos(tmp_path / "photos", 2)
    options = ["--backbone", TINY_BACKBONE, "--weights", str(weights), "--engine", "ray", "--address", closed]
    assert main(["extract", str(photos), "-o", f"{tmp_path}/f/", *options]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert f"{closed}: no Ray cluster answers there" in told and "ray status" in told
    assert not list((tmp_path / "f").glob("part-*"))


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_server_that_begins_as_grpc_is_taken_and_others_are_not(scheme: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("RAY_USE_TLS", raising=False)
    monkeypatch.setattr(ray_address, "SECONDS", 0.5)
    with listening(SETTINGS_FRAME) as address:
        check_cluster(scheme + address)
    for answer in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", None):
        with listening(answer) as address, pytest.raises(RevcdError, match="is no Ray cluster") as refused:
            check_cluster(scheme + address)
        assert address in refused.value.message


def test_a_web_server_is_told_from_a_cluster():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(RevcdError, match="is no Ray cluster") as refused:
            check_cluster(f"127.0.0.1:{server.server_port}")
        server.shutdown()
    assert "8265" in refused.value.hint


def test_auto_is_checked_at_the_address_of_the_environment(closed: str, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("ray", reason="Ray is not installed (pip install 'revcd[ray]')")
    monkeypatch.setenv("RAY_ADDRESS", closed)
    with pytest.raises(RevcdError, match=f"auto is {closed}: no Ray cluster answers"):
        check_cluster("auto")


@pytest.mark.parametrize("address", ["host", "host:0", "host:70000", "host:x", "a b:6379", "ray://", "[::1]", ""])
def test_a_text_that_is_no_address_is_a_usage_error(address: str):
    with pytest.raises(UsageError, match="is no address of a Ray cluster"):
        check_cluster(address)


def test_a_name_that_no_machine_has_is_told():
    with pytest.raises(RevcdError, match=r"^no-such-host\.invalid:6379: no Ray cluster answers there"):
        check_cluster("no-such-host.invalid:6379")


def test_other_schemes_are_left_to_ray():
    check_cluster("local")
    check_cluster("anyscale://cluster")
