"""The contact sheet: predictions as one HTML file that needs nothing else, with thumbnails, bars and filters."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO

from .. import __version__
from .pages import page_bytes, page_environment
from .predictions import REJECTED, Prediction, Write


@contextlib.contextmanager
def html_writer(stream: BinaryIO, header: dict[str, Any]) -> Iterator[Write]:
    """Yield the function that adds a photo to the page. Cards are streamed, so memory does not grow with the photos."""
    parts: Any = page_environment().get_template("predictions.html.jinja").module
    classes: Counter[str] = Counter()
    unanswered: Counter[str] = Counter()

    def add(part: str) -> None:
        stream.write(page_bytes(part))

    def write(prediction: Prediction) -> None:
        if prediction.best is None:
            unanswered[prediction.status] += 1
        else:
            classes[prediction.best.name] += 1
        add(parts.card(prediction))

    add(parts.head(header, __version__))
    yield write
    add(parts.tail(sorted(classes.items()), sum(classes.values()), unanswered[REJECTED], unanswered["failed"]))
