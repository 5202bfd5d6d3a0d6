"""The page that `revcd predict -o report.html` writes, in a browser."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from revcd_cli.data.classes.attributes import ClassAttributes
from revcd_cli.pipeline.predict.explanations import CandidateDescriptions, GeneratedAttributes
from revcd_cli.pipeline.predict.predictions import NO_CLASS_FITS, REJECTED, Candidate, OutputFormat, Prediction
from revcd_cli.reports.predictions.files import open_writer
from tests.browser.conftest import PHONE

pytestmark = pytest.mark.slow

HOSTILE = "</script><!--<script>alert('x')</script><img src=x onerror=alert(1)>&amp;"
HEADER = {"model": {"name": HOSTILE, "sha256": "ab" * 32}, "settings": {"rule": "joint"}}
ATTRIBUTES = ("horns", "wool", "legs", "size", HOSTILE)
TABLE = ClassAttributes(
    ("ox", "yak", HOSTILE),
    ATTRIBUTES,
    np.array([[0, 100, 50, 10, 4], [100, 0, 50, 20, 8], [50, 50, 50, 15, 6]], dtype=np.float32),
    "table",
    "0",
)
# The standard deviations over these classes are their half ranges times sqrt(2/3), so the order of arguments for ox
# against yak follows from (|mean - yak| - |mean - ox|) / half range: 80/50, 20/50, 0, -6/5, 4/2.
DRAWN = GeneratedAttributes((10.0, 60.0, 50.0, 18.0, 3.0), (5.0, 10.0, 0.0, 1.0, 0.5))


def photo(path: str, *shares: float, names: tuple[str, ...] = ("ox", "yak", HOSTILE)) -> Prediction:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), "olive").save(buffer, "JPEG")
    candidates = tuple(
        Candidate(name, share, share, "photos" if name == "ox" else "described")
        for name, share in zip(names, shares, strict=False)
    )
    return Prediction(path, candidates=candidates, thumbnail=buffer.getvalue(), drawn=DRAWN)


PHOTOS = (
    photo("farm/10.jpg", 0.9, 0.08, 0.02),
    photo("farm/2.jpg", 0.4, 0.35, 0.25, names=("yak", "ox", HOSTILE)),
    photo(f"pets/{HOSTILE}.jpg", 0.6, 0.3, 0.1, names=(HOSTILE, "yak", "ox")),
    photo("zoo/1.jpg", 0.7, 0.2, 0.1),
    Prediction("zoo/broken.jpg", "failed", "truncated", HOSTILE),
    Prediction("zoo/chair.jpg", REJECTED, NO_CLASS_FITS, "the best class, ox, fits by 0.1; 0.4 is asked for"),
)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    reliability = {"horns": 0.8, "wool": 0.1, "legs": None, "size": 0.5, HOSTILE: 0.9}
    descriptions = CandidateDescriptions.of(TABLE.names, TABLE.values, TABLE, reliability)
    with open_writer(path, OutputFormat.html, HEADER, descriptions=descriptions) as writer:
        for each in PHOTOS:
            writer.write(each)
    return path


def paths_on_page(page) -> list[str]:
    """Return the paths of the photos in the order of the page."""
    return [card.get_attribute("data-path") for card in page.locator("article:visible").all()]


def control(page, name: str):
    return page.locator(f".tools [name={name}]")


def focused_path(page) -> str | None:
    """Return the path of the photo with the keyboard focus."""
    return page.evaluate("document.activeElement.closest('article')?.dataset.path")


def test_hostile_names_are_shown_literally(page_file: Path, open_page):
    page = open_page(page_file)
    assert page.locator("article").count() == len(PHOTOS)
    assert page.locator("#p3 h3").text_content().strip().startswith(HOSTILE)
    assert page.locator("#p3 .path").text_content() == f"pets/{HOSTILE}.jpg"
    assert page.locator("#p5 .detail").text_content() == HOSTILE
    assert f"{HOSTILE} (1)" in control(page, "class").inner_text()
    page.locator("#p3 a").click()
    dialog = page.get_by_role("dialog", name=HOSTILE)
    assert f"Why {HOSTILE} and not" in dialog.locator(".why h3").inner_text()
    assert HOSTILE in dialog.locator(".why tbody th").all_inner_texts()


def test_photos_are_grouped_by_class_name_and_those_without_a_prediction_come_last(page_file: Path, open_page):
    page = open_page(page_file)
    heads = [head.inner_text().split("\n") for head in page.locator("details.group > summary").all()]
    assert heads[1:] == [["ox", "2"], ["yak", "described", "1"], ["Failed", "1"], ["None of these", "1"]]
    assert heads[0] == [HOSTILE, "described", "1"]
    page.locator("details.group > summary", has_text="ox").first.click()
    assert page.locator("#p1").is_hidden() and page.locator("#p2").is_visible()


def test_the_single_grid_has_the_selected_order(page_file: Path, open_page):
    page = open_page(page_file)
    control(page, "grouped").uncheck()
    for order, expected in {"": "123456", "sure": "143256", "unsure": "562341", "path": "213456"}.items():
        control(page, "order").select_option(order)
        assert paths_on_page(page) == [PHOTOS[int(number) - 1].path for number in expected]


def test_a_filter_shows_only_matching_photos(page_file: Path, open_page):
    page = open_page(page_file)
    cases = [
        ({"text": "BROKEN"}, {5}),
        ({"text": "yak"}, {2}),  # a class, of no path
        ({"text": "farm"}, {1, 2}),
        ({"class": "ox (2)"}, {1, 4}),
        ({"kind": "described"}, {2, 3}),
        ({"kind": "none of these"}, {6}),
        ({"kind": "failed"}, {5}),
        ({"least": "60"}, {1, 3, 4}),
        ({"most": "60", "text": "farm"}, {2}),
        ({"text": "nowhere"}, set()),
    ]
    for filters, expected in cases:
        for name, value in filters.items():
            if name in ("class", "kind"):
                control(page, name).select_option(label=value)
            else:
                control(page, name).fill(value)
        assert set(paths_on_page(page)) == {PHOTOS[number - 1].path for number in expected}
        assert page.locator("#shown").inner_text().strip() == f"· {len(expected)} shown"
        if expected:
            page.evaluate("reset()")
    page.get_by_role("button", name="Show all").click()
    assert len(paths_on_page(page)) == len(PHOTOS)


def test_attributes_are_sorted_by_closeness_to_the_predicted_class_in_standard_deviations(page_file: Path, open_page):
    page = open_page(page_file)
    page.locator("#p1 a").click()
    why = page.locator(".why")
    rows = [row.inner_text().split("\n")[0].split("\t")[0] for row in why.locator("tbody tr").all()]
    assert rows == ["For ox", HOSTILE, "horns", "wool", "For yak", "size"]
    assert "Of 5 attributes, 3 are nearer to the first class and 1 to the second" in why.inner_text()
    assert why.locator("tr", has_text="horns").locator(".num").all_inner_texts() == ["10 ± 5", "0", "100"]
    assert why.locator("tr.faint th").all_inner_texts() == ["wool\nphotos hardly show it"]
    note = why.locator(".note").inner_text()
    assert '"joint"' in note and "compares image features" in note


def test_the_predicted_class_can_be_compared_with_any_candidate_and_the_average(page_file: Path, open_page):
    page = open_page(page_file)
    page.locator("#p1 a").click()
    why = page.locator(".why")
    why.locator("select").select_option(label="the average class")  # the mean of ox and yak, which is the third class
    averaged = why.locator("tbody").inner_text().replace("For the average class", "For other")
    why.locator("select").select_option(label=HOSTILE)
    assert f"For {HOSTILE}" in why.locator("tbody").inner_text()
    assert why.locator("tbody").inner_text().replace(f"For {HOSTILE}", "For other") == averaged
    # Against (50, 50, 50, 15, 6): (40 - 10) / 50, (10 - 40) / 50, 0, (3 - 8) / 5, (3 - 1) / 2.
    rows = [row.inner_text().split("\n")[0].split("\t")[0] for row in why.locator("tbody tr").all()]
    assert rows == ["For ox", HOSTILE, "horns", f"For {HOSTILE}", "size", "wool"]


def test_the_keyboard_moves_the_focus_opens_turns_pages_and_closes(page_file: Path, open_page):
    page = open_page(page_file)
    control(page, "grouped").uncheck()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowRight")
    assert focused_path(page) == PHOTOS[0].path
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert focused_path(page) == PHOTOS[1].path
    page.keyboard.press("ArrowDown")  # five columns
    assert focused_path(page) == PHOTOS[5].path
    page.keyboard.press("ArrowUp")
    assert focused_path(page) == PHOTOS[0].path
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="ox")
    assert dialog.locator(".path").inner_text() == PHOTOS[0].path
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("dialog").locator(".path").inner_text() == PHOTOS[2].path
    page.keyboard.press("Escape")
    page.wait_for_function(  # the browser reports the end of the dialog after it hid it
        "path => document.activeElement.closest('article')?.dataset.path === path", arg=PHOTOS[2].path
    )
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "text"


def test_a_photo_without_a_prediction_shows_its_reason_and_no_explanation(page_file: Path, open_page):
    page = open_page(page_file)
    page.locator("#p6 a").click()
    dialog = page.get_by_role("dialog", name="None of these")
    assert "0.4 is asked for" in dialog.inner_text() and dialog.locator(".why").is_hidden()
    dialog.get_by_role("button", name="Previous photo").click()
    assert "truncated" in page.get_by_role("dialog", name="Failed").inner_text()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Close").click()
    assert dialog.count() == 0


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_needs_no_sideways_scrolling(page_file: Path, open_page, dark: bool):
    page = open_page(page_file, viewport=PHONE, dark=dark)
    page.get_by_role("button", name="Filters").click()
    assert control(page, "class").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.locator("#p3 a").click()
    widths = page.evaluate("[...document.querySelectorAll('.viewer, .sides, .why')].map(e => e.scrollWidth)")
    assert max(widths) <= PHONE["width"]


def test_without_javascript_every_photo_is_shown_with_all_candidates(page_file: Path, open_page):
    page = open_page(page_file, scripts=False)
    assert paths_on_page(page) == [each.path for each in PHOTOS]
    assert page.locator("article img").count() == 4
    assert page.locator("#p1 li:visible").all_inner_texts() == ["ox\n90.0", "yak\n8.0", f"{HOSTILE}\n2.0"]
    assert page.locator(".tools").is_hidden() and page.locator(".viewer").is_hidden()


def test_the_printed_page_has_every_candidate_and_no_controls(page_file: Path, open_page):
    page = open_page(page_file)
    page.emulate_media(media="print")
    assert page.locator("#p1 li:visible").all_inner_texts() == ["ox\n90.0", "yak\n8.0", f"{HOSTILE}\n2.0"]
    assert page.locator(".tools").is_hidden()


def test_the_overview_counts_photos_by_class_and_unsure_ones_first(page_file: Path, open_page):
    for scripts in (True, False):
        page = open_page(page_file, scripts=scripts)
        totals = page.locator(".totals div").all_inner_texts()
        numbers = {name: int(value) for value, name in (sorted(each.split("\n")) for each in totals)}
        assert numbers == {
            "photos": 6,
            "classified": 4,
            "unsure, below 50 %": 1,
            "none of these": 1,
            "failed": 1,
            "classes named": 3,
        }
        rows = [row.inner_text().split("\t") for row in page.locator(".overview tbody tr").all()]
        assert [(row[0].split("\n")[0].removesuffix(" described"), row[1], row[-1]) for row in rows] == [
            ("ox", "2", "–"),
            (HOSTILE, "1", "–"),
            ("yak", "1", "1"),
        ]
        assert page.locator(".overview").bounding_box()["y"] < page.locator("#p1").bounding_box()["y"]


def test_a_class_of_the_overview_shows_its_photos(page_file: Path, open_page):
    page = open_page(page_file)
    page.locator(".overview").get_by_role("button", name="ox").click()
    assert set(paths_on_page(page)) == {PHOTOS[0].path, PHOTOS[3].path}


@pytest.mark.parametrize("grouped", [True, False])
def test_cards_are_alike_wide_whatever_the_size_of_their_group(page_file: Path, open_page, grouped: bool):
    for viewport in (PHONE, {"width": 1280, "height": 800}):
        page = open_page(page_file, viewport=viewport)
        page.evaluate(f"tools.elements.grouped.checked = {str(grouped).lower()}; apply()")
        widths = {round(card.bounding_box()["width"]) for card in page.locator("article:visible").all()}
        assert max(widths) - min(widths) <= 2 and min(widths) > 150


def saved(page, name: str) -> str:
    """Return the text of the file that a button saves."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name=name).click()
    return Path(waiting.value.path()).read_text("utf-8")


def test_selected_photos_are_saved_as_paths_and_as_csv(page_file: Path, open_page):
    page = open_page(page_file)
    assert page.locator(".actions").is_hidden()
    for number in (1, 3, 5):
        page.locator(f"#p{number} .pick").check()
    assert page.locator(".actions [role=status]").inner_text() == "3 selected"
    assert saved(page, "Save paths").splitlines() == [PHOTOS[k].path for k in (0, 2, 4)]
    rows = list(csv.reader(io.StringIO(saved(page, "Save CSV"))))
    assert rows == [
        ["path", "class", "probability", "kind"],
        [PHOTOS[0].path, "ox", "0.9", "photos"],
        [PHOTOS[2].path, HOSTILE, "0.6", "described"],
        [PHOTOS[4].path, "", "", "failed"],
    ]
    control(page, "text").fill("zoo")
    page.get_by_role("button", name="Select none").click()
    assert page.locator(".actions").is_hidden()
    page.locator("#p4 .pick").check()
    page.get_by_role("button", name="Select all shown").click()
    assert saved(page, "Save paths").splitlines() == [PHOTOS[k].path for k in (3, 4, 5)]


def test_the_keyboard_selects_the_focused_photo_and_labels_are_read_aloud(page_file: Path, open_page):
    page = open_page(page_file)
    page.locator("#p1 h3 a").focus()
    page.keyboard.press("x")
    assert page.get_by_role("checkbox", name=f"Select {PHOTOS[0].path}").is_checked()
    assert focused_path(page) == PHOTOS[0].path
    page.keyboard.press("x")
    assert page.locator(".actions").is_hidden()


def test_wrong_photos_are_saved_with_their_right_class(page_file: Path, open_page):
    page = open_page(page_file)
    for number in (1, 4):
        page.locator(f"#p{number} .pick").check()
    names = page.locator("#names option").evaluate_all("options => options.map(each => each.value)")
    assert names == sorted(("ox", "yak", HOSTILE))
    page.get_by_label("Right class of the selected photos").fill("yak")
    page.get_by_role("button", name="Mark as wrong").click()
    assert page.locator("#p4 .mark").inner_text() == "wrong; right: yak"
    page.get_by_role("button", name="Select none").click()
    page.locator("#p3 h3 a").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Wrong? Right class").fill('a "new" class')
    dialog.get_by_role("button", name="Mark", exact=True).click()
    assert dialog.get_by_role("status").last.inner_text() == "Marked."
    page.keyboard.press("Escape")
    page.locator("#p1 .pick").check()
    page.get_by_role("button", name="Not wrong").click()
    assert "2 marked as wrong" in page.locator(".actions [role=status]").inner_text()
    assert list(csv.reader(io.StringIO(saved(page, "Save corrections.csv")))) == [
        ["path", "class", "split"],
        [PHOTOS[2].path, 'a "new" class', "trainval"],
        [PHOTOS[3].path, "yak", "trainval"],
    ]
