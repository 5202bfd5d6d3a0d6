"""What revcd's HTML pages share: one look (`templates/page.css`), and a template engine that escapes everything.

A page is one file that needs nothing else: its style and script are inside, and its Content-Security-Policy forbids
every request.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.formats.path_encoding import encode_path
from ..pipeline.predict.predictions import rounded

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"


def page_environment() -> Environment:
    """Return the engine for the templates of this package; `page.css` is included by each."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode("ascii")
    environment.filters["encode_path"] = encode_path
    environment.filters["rounded"] = rounded
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}" if rounded(share) is not None else "–"
    return environment


def page_bytes(text: str) -> bytes:
    """Return a page as UTF-8; a character that has no code there (half of a pair) becomes visible as its escape."""
    return text.encode("utf-8", "backslashreplace")
