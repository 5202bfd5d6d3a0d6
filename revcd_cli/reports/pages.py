"""Render the HTML pages from Jinja templates with automatic escaping.

A page is one file: styles and scripts are inline, and its Content-Security-Policy forbids every request. Each page has
a folder in `templates/`; `templates/shared/` holds the parts of several pages.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.formats.path_encoding import encode_path
from ..pipeline.predict.predictions import rounded

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(name: str, **values: Any) -> bytes:
    """Return the page of that name ("checks", "classes", "comparison", "evaluation", "glossary") with these values."""
    return page_bytes(page_environment().get_template(f"{name}/page.html.jinja").render(values))


def page_environment() -> Environment:
    """Return the Jinja environment of the templates, with the filters that they use."""
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
    """Return a page as UTF-8. Characters that UTF-8 cannot encode (lone surrogates) become escapes."""
    return text.encode("utf-8", "backslashreplace")
