"""Documentation matches the repository: links, paths of modules, the diagram of the rooms, versions."""

from __future__ import annotations

import re
from pathlib import Path

import revcd_cli

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "revcd_cli"
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for folder in (".", "docs", "docs/api", "docs/lab", "examples", "benchmarks", "weights")
    for path in sorted((ROOT / folder).glob("*.md"))
}
ROOMS = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} | {"config", "errors"}


def test_links_point_to_existing_files():
    broken = []
    for page, text in PAGES.items():
        for target in re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", text):
            if not (ROOT / page).parent.joinpath(target).exists():
                broken.append(f"{page}: {target}")
    assert not broken, "\n".join(broken)


def test_paths_of_modules_exist():
    """In `backticks`, below the repository or, on the page of the architecture, below the package."""
    missing = []
    for page, text in PAGES.items():
        for path in re.findall(r"`((?:revcd_cli|tests|benchmarks|docs|examples|weights)/[\w/.*-]+)`", text):
            if not list(ROOT.glob(path.removesuffix("/"))) and not list(ROOT.glob(f"{path}.*")):
                missing.append(f"{page}: {path}")
    for path in re.findall(r"`([a-z_]+(?:/[\w]+)*(?:/|\.py))`", PAGES["docs/architecture.md"]):
        if not (PACKAGE / path).exists() and not list((PACKAGE / "reports").rglob(path)) and not (ROOT / path).exists():
            missing.append(f"docs/architecture.md: {path}")
    assert not missing, "\n".join(missing)


def test_the_diagram_has_every_room():
    diagram = re.search(r"```mermaid\n(.*?)```", PAGES["docs/architecture.md"], re.DOTALL)[1]
    drawn = (ROOT / "docs" / "architecture.svg").read_text("utf-8")
    assert set(re.findall(r'(\w+)\["', diagram)) == ROOMS - {"presets"}
    assert all(f"flowchart-{room}-" in drawn for room in ROOMS - {"presets"})


def test_every_room_has_an_api_page():
    pages = {Path(page).stem for page in PAGES if page.startswith("docs/api/")}
    assert pages == ROOMS - {"presets", "cli"} | {"index"}
    site = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert all(f"api/{page}.md" in site for page in pages)


def test_every_page_is_on_the_site():
    site = (ROOT / "mkdocs.yml").read_text("utf-8")
    absent = [page for page in PAGES if page.startswith("docs/") and page.removeprefix("docs/") not in site]
    assert not absent


def test_the_citation_has_the_version_of_the_package():
    assert f"\nversion: {revcd_cli.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
