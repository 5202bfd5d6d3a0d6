"""The photos of a command line, which can be listed several times."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

from ...data.photos.sources import ImageSource, iter_sources


class Listing:
    """The photos of the inputs; can be iterated several times.

    A list on standard input is therefore read to its end first: resuming needs it twice.
    """

    def __init__(self, inputs: list[str], null_separated: bool) -> None:
        self.inputs = inputs
        self.null_separated = null_separated
        iter_sources(inputs)  # raises for invalid inputs, such as a list from a terminal
        self._listed = sys.stdin.buffer.read() if "-" in inputs else b""

    def __call__(self) -> Iterator[ImageSource]:
        return iter_sources(self.inputs, stdin=io.BytesIO(self._listed), null_separated=self.null_separated)
