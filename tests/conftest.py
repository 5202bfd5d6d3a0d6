"""Fixtures for all tests, and the distribution over processes. CONTRIBUTING.md explains the two tiers."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

# One thread per process: the tensors are tiny, and each xdist worker has a core. Must be set before torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Distribute folders of tests over the cores, as `-n auto --dist worksteal` does.

    A run of single files or tests stays in this process, and so does every run without pytest-xdist. `-n` overrides it.
    """
    options = config.option
    of_files = any(".py" in argument for argument in config.args)
    if getattr(options, "numprocesses", 0) is None and not hasattr(config, "workerinput") and not of_files:
        options.numprocesses, options.maxprocesses = "auto", options.maxprocesses or 8
        options.dist = "worksteal" if options.dist == "no" else options.dist


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow connections to this machine only."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to connect to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Use an empty cache folder, so that tests neither read nor write the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def shared_data() -> Path:
    """Return the folder of real photos and benchmarks beside the checkout; skip the test where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the benchmark data (../shared/data) is not on this machine")
    return SHARED_DATA
