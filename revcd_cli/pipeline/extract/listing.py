"""Lists of photos that can be iterated several times."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from ...data.photos.image_source import ImageSource
from ...data.photos.passed_over import PassedOver
from ...data.photos.sources import count_sources, iter_sources


@runtime_checkable
class SourceList(Protocol):
    """Photos to read: of a command line (`Listing`), boxes of a detector, or frames of videos."""

    @property
    def inputs(self) -> list[str]:
        """What identifies the list, together with the photos themselves."""

    def __call__(self) -> Iterator[ImageSource]:
        """Yield the photos; each call yields the same."""

    def count(self, passed: PassedOver | None = None) -> int | None:
        """Return the number of photos, None if it is not known. passed: counts files that are no photos."""


class Listing:
    """The photos of a command line.

    A list on standard input is read to its end first: resuming needs it twice.
    """

    def __init__(self, inputs: list[str], null_separated: bool) -> None:
        self.inputs = inputs
        self.null_separated = null_separated
        iter_sources(inputs)  # raises for invalid inputs, such as a list from a terminal
        self._listed = sys.stdin.buffer.read() if "-" in inputs else b""

    def __call__(self) -> Iterator[ImageSource]:
        return iter_sources(self.inputs, stdin=io.BytesIO(self._listed), null_separated=self.null_separated)

    def count(self, passed: PassedOver | None = None) -> int | None:
        """Return the number of photos without reading them; see `count_sources`."""
        return count_sources(self.inputs, passed)
