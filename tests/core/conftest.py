"""Fixtures of all tests of the mathematics: one thread and a fixed seed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """The networks here are so small that waking a second thread costs more than it saves."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """A test that draws from torch's global generator draws the same alone and among others."""
    torch.manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a law of the mathematics: `pytest -k law` runs it, and nothing else."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("law")
