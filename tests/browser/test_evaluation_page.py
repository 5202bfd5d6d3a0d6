"""The page that `revcd evaluate -o DIR` writes, in a browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from revcd_cli.pipeline.evaluate.split_scores import SplitScores
from revcd_cli.pipeline.evaluate.worst_classes import MisclassifiedPhoto, WorstClass
from revcd_cli.reports.evaluation.page import evaluation_page
from tests.browser.conftest import PHONE
from tests.makers.evaluations import diagnosis_of, document_of, many_classes, scores_of
from tests.makers.pictures import encoded, photo

pytestmark = pytest.mark.slow

HOSTILE = "</script><!--<script>alert('x')</script><img src=x onerror=alert(1)>"
NAMES, SEEN = ("wolf", HOSTILE, "okapi"), (True, True, False)
ANSWERS = [(0, 0, 3), (0, 2, 1), (1, 0, 2), (2, 2, 5), (2, 1, 3)]  # true class, predicted class, number of photos


def mistakes() -> tuple[WorstClass, ...]:
    thumbnail = encoded(photo(60, 40), "JPEG")
    shown = MisclassifiedPhoto(
        path=f"okapi/{HOSTILE}.jpg", answer=HOSTILE, answer_seen=True, confidence=0.75, thumbnail=thumbnail
    )
    return (WorstClass(name="okapi", seen=False, photos=8, wrong=3, shown=(shown,)),)


@pytest.fixture(scope="module")
def make_page(tmp_path_factory: pytest.TempPathFactory) -> Callable[[SplitScores], Path]:
    def make(scores: SplitScores, **changes: object) -> Path:
        path = tmp_path_factory.mktemp("page") / "report.html"
        document = document_of(scores)
        document["dataset"]["name"] = HOSTILE
        path.write_bytes(evaluation_page(document, scores.curve(), diagnosis_of(scores, **changes)))
        return path

    return make


@pytest.fixture(scope="module")
def page_file(make_page) -> Path:
    return make_page(
        scores_of(ANSWERS, SEEN, NAMES), worst=mistakes(), has_photos=True, unreadable=(f"{HOSTILE}: no such file",)
    )


def column(page, table: str, number: int) -> list[str]:
    return page.locator(f"#{table} tbody tr td:nth-child({number})").all_inner_texts()


def page_says(page) -> str:
    return page.locator("#says").inner_text()


def scan(page) -> dict[str, list[int]]:
    """Return each text shown while hovering over the matrix, with its first and last x, y on the canvas."""
    return page.evaluate(
        """() => {
          const canvas = document.getElementById("matrix"), box = canvas.getBoundingClientRect(), found = {};
          for (let y = 2; y < box.height; y += 5) for (let x = 2; x < box.width; x += 5) {
            const at = {clientX: box.left + x, clientY: box.top + y};
            document.getElementById("says").textContent = "";
            canvas.dispatchEvent(new PointerEvent("pointermove", at));
            const text = document.getElementById("says").textContent;
            if (text) found[text] = [...(found[text] ?? [x, y]).slice(0, 2), x, y];
          }
          return found;
        }"""
    )


def test_metrics_are_shown_with_and_without_javascript(page_file: Path, open_page, browser):
    figures = scores_of(ANSWERS, SEEN, NAMES).report(0.0).headline()
    context = browser.new_context(java_script_enabled=False)
    still = context.new_page()
    still.goto(page_file.resolve().as_uri())
    for page in (open_page(page_file), still):
        for name, share in figures.items():
            assert f"{100 * share:.1f} %" in page.locator(f"[data-figure={name}]").inner_text().replace("\n", " ")
        assert page.locator("#su .curve").get_attribute("d").startswith("M")
        assert column(page, "confused", 3) == ["3", "2", "1"]
    assert "requires JavaScript" in still.locator("#says").inner_text()
    assert still.locator("#steer").is_hidden() and still.locator("input[type=search]:visible").count() == 0
    context.close()


def test_hostile_names_are_shown_literally(page_file: Path, open_page):
    page = open_page(page_file)
    assert HOSTILE in column(page, "per-class", 1)
    for part in ("header", "#confused", "#worst h3 + .photos", "#worst > p", "#facts", "#goto"):
        assert HOSTILE in page.locator(part).first.inner_text()
    assert page.locator("img").count() == 1
    assert page.locator("img").evaluate("image => image.naturalWidth") == 60


def test_hovering_over_the_curve_shows_the_values_there(page_file: Path, open_page):
    from playwright.sync_api import expect  # present where `open_page` is

    page, report = open_page(page_file), scores_of(ANSWERS, SEEN, NAMES).report(0.0)
    readout = {name: page.locator(f"#point [data-of={name}]") for name in ("gamma", "S", "U", "H")}

    def shows(**texts: str) -> None:
        """Wait until the page shows these values: it handles events after the test has sent them."""
        for name, text in texts.items():
            expect(readout[name]).to_have_text(text)

    own = [f"{100 * share:.1f} %" for share in (report.acc_seen, report.acc_unseen, report.harmonic_mean)]
    shows(**dict(zip("SUH", own, strict=True)), gamma="0")
    plot = page.locator("#su").bounding_box()
    page.mouse.move(plot["x"] + plot["width"] * 44 / 440, plot["y"] + plot["height"] * 10 / 424)  # S 0, U 100
    shows(S="0.0 %", H="0.0 %", U=f"{100 * report.acc_zsl:.1f} %")
    page.mouse.move(0, 0)  # away from the plot, which may be scrolled under the pointer by the focus
    page.locator("#gamma").focus()
    page.keyboard.press("Home")
    shows(U="0.0 %", S=f"{100 * report.acc_seen_alone:.1f} %")
    page.locator("#own").click()
    shows(**dict(zip("SUH", own, strict=True)))


def test_every_cell_of_the_confusion_matrix_is_drawn_and_its_values_shown(page_file: Path, open_page):
    page = open_page(page_file)
    of_class, counts = {0: 4, 1: 2, 2: 8}, {(true, answer): photos for true, answer, photos in ANSWERS}
    places, expected = scan(page), {}
    for row in range(3):
        for answer in range(3):
            n, total = counts.get((row, answer), 0), of_class[row]
            said = f"{n} {'photo' if n == 1 else 'photos'} of {total} ({100 * n / total:.1f} %)"
            expected[f"true class {NAMES[row]}, predicted {NAMES[answer]}: {said}"] = (row, answer, n > 0)
    assert set(places) == set(expected)
    left, top, right, bottom = (min(place[k] for place in places.values()) for k in range(4))
    for text, (row, answer, _) in expected.items():
        place = (left + answer * (right - left + 5), top + row * (bottom - top + 5))
        assert places[text][:2] == pytest.approx(place, abs=12)
    opacity = page.evaluate(
        """points => {
          const canvas = document.getElementById("matrix"), pen = canvas.getContext("2d");
          const pixels = pen.getImageData(0, 0, canvas.width, canvas.height).data;
          return points.map(([x, y]) => pixels[4 * (Math.round(y) * canvas.width + Math.round(x)) + 3]);
        }""",
        [[places[text][0] + 8, (places[text][1] + places[text][3]) / 2] for text in expected],
    )
    assert [each > 80 for each in opacity] == [filled for _, _, filled in expected.values()]


def test_a_cell_of_the_matrix_is_selected_by_keys_and_by_class_name(page_file: Path, open_page):
    page = open_page(page_file)
    page.locator("#matrix").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):  # the first one selects the first cell
        page.keyboard.press(key)
    assert page_says(page).startswith(f"true class {NAMES[1]}, predicted {NAMES[1]}: 0 photos of 2")
    page.keyboard.press("ArrowLeft")
    assert page_says(page).startswith(f"true class {NAMES[1]}, predicted wolf: 2 photos of 2 (100.0 %)")
    page.locator("#goto").select_option(label="okapi (unseen)")
    assert page_says(page).startswith("true class okapi, predicted okapi: 5 photos of 8")


def test_tables_are_sorted_by_a_click_and_filtered_by_a_search(page_file: Path, open_page):
    page = open_page(page_file)
    assert column(page, "per-class", 3) == ["0.0", "62.5", "75.0"]
    for times, expected in ((1, ["8", "4", "2"]), (2, ["2", "4", "8"])):
        page.locator("#per-class th", has_text="photos").locator("button").click()
        assert column(page, "per-class", 2) == expected, times
    assert page.locator("#per-class th", has_text="photos").get_attribute("aria-sort") == "ascending"
    page.locator("#per-class th", has_text="class").first.locator("button").click()
    assert column(page, "per-class", 1)[1:] == ["okapi", "wolf"]
    page.get_by_label("Find a class").fill("OKA")
    assert page.locator("#per-class tbody tr:visible").count() == 1
    assert column(page, "per-attribute", 1) == ["hooves", "stripes"]  # by how well unseen classes show them
    page.locator("#per-attribute th", has_text="unseen").locator("button").click()
    page.locator("#per-attribute th", has_text="unseen").locator("button").click()
    assert column(page, "per-attribute", 3) == ["-0.25", "0.75"]


def test_a_matrix_of_200_classes_is_readable(make_page, open_page):
    scores = many_classes()
    page = open_page(make_page(scores))
    assert page.locator("#goto option").count() == 201
    page.locator("#goto").select_option(index=120)
    assert page_says(page).startswith("true class 120.Black_footed_Albatross, predicted 120.Black_footed_Albatross: ")
    zoomed = page.evaluate("document.getElementById('matrix').classList.contains('zoomed')")
    page.locator("[data-zoom=whole]").click()
    whole = page.evaluate("document.getElementById('matrix').classList.contains('zoomed')")
    assert (zoomed, whole) == (True, False)


@pytest.mark.parametrize("kind", ["few", "many"])
def test_a_phone_shows_the_page_without_sideways_scrolling(kind: str, page_file: Path, make_page, open_page):
    page = open_page(page_file if kind == "few" else make_page(many_classes()), viewport=PHONE, dark=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_an_evaluation_without_unseen_classes_has_a_page_too(make_page, open_page):
    scores = scores_of([(0, 0, 3), (0, 1, 1)], (True, True), NAMES[:2])
    page = open_page(make_page(scores, attributes=()))
    assert page.locator("#curve").count() == 0
    assert page.locator("[data-figure=U] output").inner_text() == "–"
    assert "features but no photos" in page.locator("footer").inner_text()
