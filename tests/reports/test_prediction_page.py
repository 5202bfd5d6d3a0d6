"""Data in the page of predictions for its script: generated attributes and class descriptions."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from revcd_cli.data.classes.attributes import ClassAttributes
from revcd_cli.pipeline.predict.explanations import CandidateDescriptions, GeneratedAttributes
from revcd_cli.pipeline.predict.predictions import Candidate, OutputFormat, Prediction
from revcd_cli.reports.predictions.files import open_writer

NAMES, ATTRIBUTES = ("ox", "yak", "hen"), ("horns", "wool")
TABLE = ClassAttributes(
    NAMES, ATTRIBUTES, np.array([[80, 0.1], [90, 0.9], [0, 0.3]], dtype=np.float32), "table.csv", "0"
)


def descriptions(
    table: ClassAttributes = TABLE, known: ClassAttributes = TABLE, **reliability: float
) -> CandidateDescriptions:
    return CandidateDescriptions.of(table.names, table.values, known, reliability)


def page(*predictions: Prediction, of: CandidateDescriptions | None) -> str:
    stream = io.BytesIO()
    with open_writer(stream, OutputFormat.html, {}, descriptions=of) as writer:
        for prediction in predictions:
            writer.write(prediction)
    return stream.getvalue().decode("utf-8")


def data_of(text: str) -> dict:
    """Return the data as a browser gives it to the script: the element ends at the first closing tag."""
    block = re.search(r'<script type="application/json" id="data">(.*?)</script', text, re.DOTALL)[1]
    assert "<!--" not in block and "<script" not in block  # these change where a browser ends the element
    return json.loads(block)


def answer(path: str, *names: str, drawn: GeneratedAttributes | None = None) -> Prediction:
    return Prediction(
        path,
        candidates=tuple(Candidate(name, 1.0, 0.5, "photos" if name == "ox" else "described") for name in names),
        drawn=drawn,
    )


def drawn_in(text: str, data: dict) -> list[dict[str, np.ndarray]]:
    """Convert the encoded attributes of every card back to values of the table."""
    found = []
    for card in text.split("<article ")[1:]:
        numbers = {name: re.search(rf'data-{name}="([^"]*)"', card) for name in ("mean", "spread")}
        if all(numbers.values()):
            shares = {name: np.array(match[1].split(), dtype=float) / data["levels"] for name, match in numbers.items()}
            low, span = np.array(data["low"]), np.array(data["span"])
            found.append({"mean": low + span * shares["mean"], "spread": span * shares["spread"]})
    return found


def test_generated_attributes_are_encoded_within_half_a_level_of_their_range():
    drawn = GeneratedAttributes((83.3333, -0.21), (12.3456, 0.4))
    text = page(answer("a.jpg", "yak", "ox", drawn=drawn), answer("b.jpg", "yak"), of=descriptions())
    (found,) = drawn_in(text, data_of(text))
    half = np.array([90, 0.8]) / 2000
    assert (np.abs(found["mean"] - drawn.mean) <= half * 1.001).all()
    assert (np.abs(found["spread"] - drawn.spread) <= half * 1.001).all()


def test_each_candidate_class_is_described_once_and_other_classes_are_not():
    text = page(*(answer(f"{n}.jpg", "yak", "ox") for n in range(5)), of=descriptions())
    classes = data_of(text)["classes"]
    assert [(each["name"], each["kind"], each["photos"]) for each in classes] == [
        ("yak", "described", 5),
        ("ox", "photos", 0),
    ]
    np.testing.assert_allclose([each["values"] for each in classes], TABLE.values[[1, 0]], rtol=1e-5)


def test_attributes_are_scaled_by_their_spread_over_the_given_and_the_models_classes():
    given_classes = ClassAttributes(("Yak", "gnu"), ATTRIBUTES, np.array([[50, 0.5], [100, 0.5]], np.float32), "", "")
    found = descriptions(given_classes, TABLE, horns=0.5)
    together = np.array([[50, 0.5], [100, 0.5], [80, 0.1], [0, 0.3]], dtype=np.float32)  # Yak takes the place of yak
    np.testing.assert_allclose(found.low, together.min(0))
    np.testing.assert_allclose(found.span, np.ptp(together, axis=0))
    np.testing.assert_allclose(found.unit, together.std(0), rtol=1e-6)
    np.testing.assert_allclose(found.average, together.mean(0), rtol=1e-6)
    assert found.reliability == (0.5, None)
    assert set(found.rows) == {"Yak", "gnu"}


def test_a_constant_attribute_is_divided_by_one():
    same = ClassAttributes(("a", "b"), ATTRIBUTES, np.array([[7, 1], [7, 2]], dtype=np.float32), "", "")
    found = descriptions(same, same)
    assert (found.span[0], found.unit[0]) == (1, 1)


@pytest.mark.parametrize("of", [None, descriptions()])
def test_a_page_without_descriptions_or_generated_attributes_has_no_explanations(of: CandidateDescriptions | None):
    text = page(answer("a.jpg", "ox", drawn=None if of else GeneratedAttributes((1.0, 1.0), (0.0, 0.0))), of=of)
    data = data_of(text)
    assert not drawn_in(text, data)
    assert ("attributes" in data) is (of is not None)


@settings(max_examples=20, deadline=None)  # each compiles the page
@given(name=st.text(min_size=1))
def test_any_class_or_attribute_name_reaches_the_script_unchanged(name: str):
    table = ClassAttributes((name,), (name,), np.ones((1, 1), dtype=np.float32), "", "")
    data = data_of(page(answer("a.jpg", name), of=descriptions(table, table)))
    assert (data["classes"][0]["name"], data["attributes"]) == (name, [name])


@pytest.mark.parametrize("name", ["</script>", "<!--<script>", "</SCRIPT><img src=x>", "\u2028&amp;'\""])
def test_a_name_cannot_end_the_data_element(name: str):
    table = ClassAttributes((name,), (name,), np.ones((1, 1), dtype=np.float32), "", "")
    text = page(answer("a.jpg", name), of=descriptions(table, table))
    assert data_of(text)["attributes"] == [name]
    assert text.count("</script>") == text.count("<script")  # those of the page itself
