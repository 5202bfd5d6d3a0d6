"""MkDocs hooks: put the repository's pages into the site, and rewrite the links between them.

The pages are written for GitHub, where links are paths in the repository. README.md, CHANGELOG.md and others lie
outside docs/, which MkDocs cannot include by itself. A link to a file that is not on the site becomes plain text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Files outside docs/, with their place on the site.
OUTSIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
    "examples/README.md": "examples.md",
    "weights/MODEL_CARD.md": "model_card.md",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")
MERMAID = re.compile(r"```mermaid\n.*?```", re.DOTALL)


def on_files(files: Any, *, config: Any) -> Any:
    """Add the pages outside docs/ to the site."""
    from mkdocs.structure.files import File

    for source, place in OUTSIDE.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Rewrite links, and show the drawn diagram: the theme would load its mermaid renderer from the network."""
    place = page.file.src_uri
    source = next((source for source, target in OUTSIDE.items() if target == place), f"docs/{place}")
    folder = posixpath.dirname(source)

    def rewritten(match: re.Match[str]) -> str:
        image, text, target, anchor = match.groups(default="")
        path = posixpath.normpath(posixpath.join(folder, target))
        if not (ROOT / path).exists():
            return match[0]  # MkDocs reports the broken link
        on_site = OUTSIDE.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if on_site is None:
            return text
        return f"{image}[{text}]({posixpath.relpath(on_site, posixpath.dirname(place) or '.')}{anchor})"

    return MERMAID.sub("![The packages and their main dependencies](architecture.svg)", LINK.sub(rewritten, markdown))
