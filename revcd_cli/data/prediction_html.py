"""The contact sheet: predictions as one HTML file that needs nothing else, with thumbnails, bars and filters."""

from __future__ import annotations

import base64
import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .. import __version__
from .paths import encode_path
from .predictions import REJECTED, Prediction, Write, rounded

_TEMPLATES = Path(__file__).parent / "templates"


@contextlib.contextmanager
def html_writer(stream: BinaryIO, header: dict[str, Any]) -> Iterator[Write]:
    """Yield the function that adds a photo to the page. Cards are streamed, so memory does not grow with the photos."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode("ascii")
    environment.filters["encode_path"] = encode_path
    environment.filters["rounded"] = rounded
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}" if rounded(share) is not None else "–"
    parts: Any = environment.get_template("predictions.html.jinja").module
    classes: Counter[str] = Counter()
    unanswered: Counter[str] = Counter()

    def add(part: str) -> None:
        stream.write(part.encode("utf-8", "backslashreplace"))

    def write(prediction: Prediction) -> None:
        if prediction.best is None:
            unanswered[prediction.status] += 1
        else:
            classes[prediction.best.name] += 1
        add(parts.card(prediction))

    add(parts.head(header, __version__))
    yield write
    add(parts.tail(sorted(classes.items()), sum(classes.values()), unanswered[REJECTED], unanswered["failed"]))
