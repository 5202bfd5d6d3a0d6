"""The page that `revcd evaluate --baselines -o DIR` writes, in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from revcd_cli.reports.comparison.page import comparison_page
from tests.browser.conftest import PHONE

pytestmark = pytest.mark.slow

HOSTILE = "<script>alert('x')</script>"
FIGURES = ("S", "U", "H", "T1", "AUSUC")


def entry(means: list[float | None], *, std: float | None = None, bound: bool = False, runs: int = 1) -> dict:
    figures = {
        name: {"mean": mean, "std": std, "low": mean and mean - 0.05, "high": mean and mean + 0.1}
        for name, mean in zip(FIGURES, means, strict=True)
    }
    return {"runs": runs, "seeded": runs > 1, "bound": bound, "test": figures, "plain": figures, "validation": figures}


def run(method: str, seed: int | None, shares: list[float | None]) -> dict:
    figures = dict(zip(FIGURES, shares, strict=True))
    common = {"settings": {"note": HOSTILE}, "gamma": 0.5, "candidates": {"seen": 5, "unseen": 2}, "seconds": 1.5}
    return {"method": method, "seed": seed, "test": figures, "plain": figures, "validation": figures, **common}


def difference(mean: float, half: float) -> dict:
    return {"mean": mean, "low": mean - half, "high": mean + half, "apart": half < abs(mean)}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    document = {
        "revcd": "0",
        "dataset": {"name": HOSTILE, "split_sha256": "ab" * 32, "features_sha256": "cd" * 32},
        "backbone": None,
        "note": HOSTILE,
        "methods": {
            "revcd": entry([0.6, 0.4, 0.48, 0.5, 0.3], std=0.1, runs=2),
            "ridge": entry([0.7, 0.1, 0.175, 0.2, 0.1]),
            "linear-probe": entry([0.9, None, None, None, None], bound=True),
        },
        "differences": [
            {"method": "ridge", "other": "revcd", "metrics": {"S": difference(0.1, 0.05), "H": difference(-0.3, 0.4)}},
            {"method": "linear-probe", "other": "revcd", "metrics": {"S": difference(0.3, 0.5)}},
        ],
        "results": [
            run("revcd", 0, [0.5, 0.3, 0.4, 0.4, 0.2]),
            run("revcd", 1, [0.7, 0.5, 0.56, 0.6, 0.4]),
            run("ridge", None, [0.7, 0.1, 0.175, 0.2, 0.1]),
            run("linear-probe", None, [0.9, None, None, None, None]),
        ],
    }
    path = tmp_path_factory.mktemp("page") / "comparison.html"
    path.write_bytes(comparison_page(document))
    return path


def test_every_method_has_its_means_and_one_point_per_training(page_file: Path, open_page):
    page = open_page(page_file)
    rows = page.locator("#compared tbody tr")
    assert [text.split()[0] for text in rows.locator("td:first-child").all_inner_texts()] == [
        "revcd", "ridge", "linear-probebound"
    ]  # fmt: skip
    assert "60.0 ± 10.0" in rows.nth(0).locator("td").nth(1).inner_text()
    points = rows.nth(0).locator("td").nth(1).locator(".dots b")
    assert [point.get_attribute("title") for point in points.all()] == ["seed 0: 50.0 %", "seed 1: 70.0 %"]
    assert rows.nth(2).locator("td").nth(2).inner_text().strip() == "–"


def test_the_best_method_is_marked_and_bounds_are_not(page_file: Path, open_page):
    page = open_page(page_file)
    best = page.locator("#compared tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].flatMap((cell, k) => cell.classList.contains('best') ? [k] : []))"
    )
    assert best == [[2, 3, 4, 5], [1], []]


def test_intervals_are_below_the_means_and_differences_say_where_methods_cannot_be_told_apart(
    page_file: Path, open_page
):
    page = open_page(page_file)
    assert "55.0 to 70.0" in page.locator("#compared tbody tr").nth(0).locator("td").nth(1).inner_text()
    rows = page.locator("#minus tbody tr")
    assert rows.nth(0).locator("td").nth(1).inner_text().split() == ["10.0", "5.0", "to", "15.0"]
    assert rows.locator("td:last-child").all_inner_texts() == ["S", "not to be told apart"]
    assert rows.nth(1).locator("td").nth(3).inner_text() == "–"


def test_methods_are_sorted_by_a_metric_and_those_without_it_come_last(page_file: Path, open_page):
    page = open_page(page_file)
    page.locator("#compared th", has_text="U").first.locator("button").click()
    names = page.locator("#compared tbody td:first-child bdi").all_inner_texts()
    assert names == ["revcd", "ridge", "linear-probe"]
    page.locator("#compared th", has_text="S").first.locator("button").click()
    assert page.locator("#compared tbody td:first-child bdi").all_inner_texts() == ["linear-probe", "ridge", "revcd"]


def test_hostile_text_is_shown_literally_and_a_phone_does_not_scroll_sideways(page_file: Path, open_page):
    page = open_page(page_file, viewport=PHONE, dark=True)
    assert HOSTILE in page.locator("header").inner_text() and HOSTILE in page.locator("#methods > p").last.inner_text()
    assert HOSTILE in page.locator("#trainings").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
