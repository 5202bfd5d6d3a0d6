"""Weights from the hub: the hub's own client downloads from a local server that replaces it."""

from __future__ import annotations

import http.server
import socket
import threading
from pathlib import Path

import huggingface_hub.constants as constants
import pytest
import safetensors.torch
import timm
import torch

from revcd_cli.backbones import hub
from revcd_cli.backbones.backbone import load_backbone
from revcd_cli.checkpoint.model_file import load_checkpoint
from revcd_cli.errors import WeightsError

TAG = "test_resnet.r160_in1k"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache for the hub's client instead of the user's."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def go_to(monkeypatch, cache):
    """Let the client connect to the given address only."""

    def point(address: str) -> None:
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)

    return point


@pytest.fixture
def serve(go_to):
    """Serve a folder as a hub does; return the list to which requests are added."""
    servers = []

    def start(files: dict[str, bytes]) -> list[str]:
        requests: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(with_body=False)

            def do_GET(self) -> None:
                self.answer(with_body=True)

            def answer(self, *, with_body: bool) -> None:
                requests.append(f"{self.command} {self.path}")
                body = files.get(self.path)
                self.send_response(200 if body is not None else 404)
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("ETag", f'"{abs(hash(self.path)):x}"')
                self.send_header("Content-Length", str(len(body or b"")))
                if body is None:
                    self.send_header("X-Error-Code", "EntryNotFound")
                self.end_headers()
                if with_body and body is not None:
                    self.wfile.write(body)

            def log_message(self, *arguments: object) -> None: ...

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        go_to(f"http://127.0.0.1:{server.server_port}")
        return requests

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def sockets(monkeypatch) -> list[str]:
    """The list of connection attempts; each of them fails."""
    attempts: list[str] = []

    def refuse(*arguments: object, **options: object) -> None:
        attempts.append(str(arguments))
        raise OSError("the network is off")

    for name in ("getaddrinfo", "create_connection", "socket"):
        monkeypatch.setattr(socket, name, refuse)
    return attempts


def weights_of(tag: str) -> bytes:
    torch.manual_seed(0)
    return safetensors.torch.save(timm.create_model(tag, pretrained=False).state_dict())


def test_a_named_backbone_is_downloaded_once_and_then_read_from_the_cache(serve):
    requests = serve({f"/timm/{TAG}/resolve/main/model.safetensors": weights_of(TAG)})
    first = load_backbone(TAG)
    assert "downloaded from http://127.0.0.1" in first.note
    assert requests.count(f"GET /timm/{TAG}/resolve/main/model.safetensors") == 1
    seen = len(requests)
    again = load_backbone(TAG)
    assert "found in the cache" in again.note
    assert again.record == first.record
    assert len(requests) == seen


def test_weights_under_the_older_file_name_are_downloaded_too(serve):
    requests = serve({f"/timm/{TAG}/resolve/main/pytorch_model.bin": weights_of(TAG)})
    assert load_backbone(TAG).record.tag == TAG
    assert requests[0] == f"HEAD /timm/{TAG}/resolve/main/model.safetensors"


def test_auto_chooses_the_papers_network_if_the_hub_responds(serve):
    with torch.device("meta"):
        shapes = timm.create_model("resnet101", pretrained=False).state_dict()
    weights = {name: torch.zeros(value.shape, dtype=torch.float16) for name, value in shapes.items()}
    serve({"/timm/resnet101.tv_in1k/resolve/main/model.safetensors": safetensors.torch.save(weights)})
    backbone = load_backbone("auto")
    assert (backbone.record.tag, backbone.record.feature_dim) == ("resnet101.tv_in1k", 2048)
    assert "downloaded from" in backbone.note


def test_auto_chooses_the_papers_network_offline_if_it_is_cached(cache, sockets):
    folder = cache / "models--timm--resnet101.tv_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    (folder / "snapshots" / COMMIT / "model.safetensors").write_bytes(b"<html>not weights</html>")
    with pytest.raises(WeightsError, match="web page"):  # it was chosen, and what is wrong with it is not hidden
        load_backbone("auto")
    assert sockets == []


def test_offline_auto_chooses_the_embedded_backbone_and_says_how_to_get_the_other(cache, sockets):
    backbone = load_backbone("auto")
    assert backbone.note == (
        "backbone embedded@300 (tf_efficientnet_lite2, 1280-d): resnet101.tv_in1k is not in the cache and "
        "HF_HUB_OFFLINE is set; for ResNet-101 give --weights FILE"
    )
    assert backbone.record == load_backbone("embedded@300").record
    assert backbone.record.difference(load_checkpoint("animals").backbone) is None
    assert load_backbone("auto@64").record.tag == "embedded@64"
    assert sockets == []


def test_offline_a_named_backbone_is_an_error_with_file_cache_and_variables_and_opens_no_socket(cache, sockets):
    with pytest.raises(WeightsError) as caught:
        load_backbone("resnet101.tv_in1k")
    for part in (
        "resnet101.tv_in1k",
        "model.safetensors",
        str(cache),
        "HF_HOME",
        "HF_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "--weights",
    ):
        assert part in str(caught.value)
    assert sockets == []


def test_auto_chooses_the_embedded_backbone_if_the_host_name_cannot_be_resolved(go_to, sockets):
    go_to("http://hub.invalid")
    backbone = load_backbone("auto")
    assert backbone.record.tag == "embedded@300"
    assert "http://hub.invalid cannot be reached" in backbone.note
    assert sockets != []


def test_a_hub_that_never_responds_is_abandoned_after_one_deadline(go_to, monkeypatch):
    monkeypatch.setattr(hub, "DEADLINE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        go_to(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(WeightsError, match=r"did not answer within 0\.2 seconds"):
            load_backbone(TAG)


def test_a_dns_lookup_that_hangs_is_abandoned_too(go_to, monkeypatch):
    monkeypatch.setattr(hub, "DEADLINE", 0.2)
    release = threading.Event()

    def hang(*arguments: object, **options: object) -> None:
        release.wait(60)
        raise OSError("released")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    go_to("http://hub.invalid")
    found = hub.find_weights(f"timm/{TAG}")
    release.set()
    assert found == hub.Unavailable("http://hub.invalid did not answer within 0.2 seconds")


def test_a_missing_file_on_the_hub_is_an_error_that_says_so(serve):
    serve({})
    with pytest.raises(WeightsError, match=r"has neither model\.safetensors nor pytorch_model\.bin"):
        load_backbone(TAG)


@pytest.mark.parametrize(
    ("status", "reason"), [(200, "is not a Hugging Face hub"), (401, "refuses it (HTTP 401)"), (503, "HTTP 503")]
)
def test_the_reason_distinguishes_a_server_that_is_not_a_hub_from_one_that_refuses(go_to, status, reason):
    class Other(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        go_to(f"http://127.0.0.1:{server.server_port}")
        found = hub.find_weights(f"timm/{TAG}")
        server.shutdown()
    assert isinstance(found, hub.Unavailable) and reason in found.reason


def test_the_error_names_the_address_of_weights_that_timm_publishes_outside_the_hub(cache, sockets):
    with pytest.raises(WeightsError, match=r"timm publishes them at https://"):
        load_backbone("gcvit_base")
    assert sockets == []
