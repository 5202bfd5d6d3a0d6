"""Fixtures for tests of the mathematics: one thread and a fixed seed."""

from tests.core.conftest import one_thread, seeded

__all__ = ["one_thread", "seeded"]
