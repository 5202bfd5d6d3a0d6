"""The page that `revcd classes glossary -o glossary.html` writes, in a browser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from revcd_cli.data.classes.attributes import ClassAttributes
from revcd_cli.pipeline.tables.glossary import glossary
from revcd_cli.reports.classes.glossary import glossary_page

pytestmark = pytest.mark.slow

HOSTILE = "</script><script>alert('x')</script><img src=x onerror=alert(1)>" + "long" * 30
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def page_file(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).uniform(size=(12, 6)).astype(np.float32)
    names = (HOSTILE, *(f"class {k}" for k in range(11)))
    path = tmp_path / "glossary.html"
    path.write_bytes(glossary_page(glossary(ClassAttributes(names, (HOSTILE, *"abcde"), values, "mine.csv", "0" * 64))))
    return path


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_a_phone_and_shows_hostile_names_literally(page_file: Path, open_page, dark: bool):
    page = open_page(page_file, viewport=PHONE, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert HOSTILE in page.locator("article").first.inner_text()
    assert page.locator("article").count() == 6


def test_the_search_keeps_attributes_with_that_name_or_class(page_file: Path, open_page):
    page = open_page(page_file)
    page.locator("input").fill(HOSTILE[:20])
    shown = page.locator("article:visible")
    assert 1 <= shown.count() < 6
    for each in shown.all():
        assert HOSTILE[:20] in each.inner_text()
