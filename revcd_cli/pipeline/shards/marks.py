"""Marks of the shards that a process is computing: what remains of them tells how often a shard ended a process."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from ...system.storage_folder import StorageFolder

_MARK = re.compile(r"_started-(\d{6,})-(\d+)")


class Marks:
    """The marks in a folder, as they were when this was made."""

    def __init__(self, folder: StorageFolder) -> None:
        self._folder = folder
        self._counts: dict[int, int] = {}
        for match in map(_MARK.fullmatch, folder.sizes()):
            if match:
                number, count = int(match[1]), int(match[2])
                self._counts[number] = max(count, self._counts.get(number, 0))

    def count(self, number: int) -> int:
        """Return how many processes ended while they computed a shard."""
        return self._counts.get(number, 0)

    def remove(self, number: int) -> None:
        """Remove the marks of a shard."""
        for count in range(1, self._counts.pop(number, 0) + 1):
            self._folder.remove(_name(number, count))

    @contextlib.contextmanager
    def marked(self, number: int) -> Iterator[None]:
        """Keep one more mark during the block. It stays only if the process ends within it."""
        self._counts[number] = self.count(number) + 1
        self._folder.write(_name(number, self._counts[number]), b"")
        try:
            yield
        finally:
            self.remove(number)


def _name(number: int, count: int) -> str:
    return f"_started-{number:06d}-{count}"
