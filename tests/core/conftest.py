"""Fixtures for tests of the mathematics: one thread and a fixed seed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread: for networks this small a second thread costs more than it saves."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Seed torch's global generator, so that a test draws the same numbers alone and among others."""
    torch.manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give all tests of this folder the keyword "law": `pytest -k law` selects them."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("law")
