"""The page that `revcd classes suggest -o classes.html` writes, in a browser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from revcd_cli.data.classes.attributes import ClassAttributes
from revcd_cli.pipeline.tables.suggest import suggest
from revcd_cli.reports.classes.page import class_page

pytestmark = pytest.mark.slow

HOSTILE = "</script><script>alert('x')</script><img src=x onerror=alert(1)>"
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def document() -> dict:
    values = np.random.default_rng(0).uniform(size=(12, 6)).astype(np.float32)
    values[1] = values[0]
    names = (HOSTILE, "twin", *(f"class {k}" for k in range(10)))
    return suggest(ClassAttributes(names, (HOSTILE, *"abcde"), values, "mine.csv", "0" * 64))


@pytest.fixture
def page_file(document: dict, tmp_path: Path) -> Path:
    path = tmp_path / "classes.html"
    path.write_bytes(class_page(document))
    return path


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_a_phone_and_shows_hostile_names_literally(page_file: Path, open_page, dark: bool):
    page = open_page(page_file, viewport=PHONE, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    first = page.locator("article").first
    assert HOSTILE in first.inner_text()
    assert "same" in first.get_attribute("class")
    assert "the classes cannot be distinguished" in first.inner_text()


def test_hovering_over_a_cell_shows_its_values(page_file: Path, document: dict, open_page):
    page = open_page(page_file)
    names, cosines = document["map"]["classes"], document["map"]["cosines"]
    box = page.locator("canvas").bounding_box()
    cell = box["width"] / len(names)
    page.mouse.move(box["x"] + 2.5 * cell, box["y"] + 4.5 * cell)
    said = page.locator("#readout").inner_text()
    assert names[4] in said and names[2] in said
    assert f"{round(100 * cosines[4][2]) / 100:.2f}" in said


def test_arrow_keys_move_from_cell_to_cell_and_stop_at_the_edge(page_file: Path, document: dict, open_page):
    page = open_page(page_file)
    names = document["map"]["classes"]
    canvas = page.locator("canvas")
    canvas.focus()
    for _ in names:
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
    assert page.locator("#readout b").all_inner_texts() == [names[0]]
    page.keyboard.press("ArrowRight")
    assert page.locator("#readout b").all_inner_texts() == names[:2]


def test_the_search_shows_only_the_pairs_of_a_class(page_file: Path, document: dict, open_page):
    page = open_page(page_file)
    page.locator("input[type=search]").fill("TWIN")
    shown = page.locator("article:visible")
    assert shown.count() == sum("twin" in pair["classes"] for pair in document["pairs"][:12])
