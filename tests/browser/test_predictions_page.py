"""The page that `revcd predict -o report.html` writes, as people meet it."""

from __future__ import annotations

from pathlib import Path

import pytest

from revcd_cli.data.prediction_files import open_writer
from revcd_cli.data.predictions import Candidate, OutputFormat, Prediction

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>"


@pytest.fixture
def page_file(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    with open_writer(path, OutputFormat.html, {"model": {"name": HOSTILE, "sha256": "ab" * 32}}) as writer:
        for number in range(6):
            name = HOSTILE if number == 3 else f"class {number % 2}"
            writer.write(Prediction(f"{HOSTILE}{number}.jpg", candidates=(Candidate(name, 1.0, 0.5, number % 2 == 0),)))
        writer.write(Prediction("broken.jpg", "failed", "truncated", HOSTILE))
    return path


def test_hostile_names_are_shown_as_they_are(page_file: Path, open_page):
    page = open_page(page_file)
    assert page.locator("article").count() == 7
    assert HOSTILE in page.locator("article").nth(3).inner_text()


def test_search_hides_what_does_not_match(page_file: Path, open_page):
    page = open_page(page_file)
    page.locator("input[type=search]").fill("BROKEN")
    assert page.locator("article:visible").count() == 1
