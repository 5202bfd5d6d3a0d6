"""The tables beside the shipped model: the glossary of its attributes, and the written rows with their labels."""

from __future__ import annotations

import csv
import re
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest

from revcd_cli.checkpoint.model_file import read_class_table

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
TABLE = read_class_table(WEIGHTS / "animals.safetensors")
ATTRIBUTES = list(TABLE.attributes)
TABLES = ("rows/mammals.csv", "rows/written.csv", "rows/blind_awa2.csv")
# The unseen classes of AwA2's Proposed Split, and the ImageNet labels that show one of them under another name:
# sorrel, ram, bighorn, lynx; sea lion, as the photos of seals include sea lions.
UNSEEN = {"sheep", "dolphin", "bat", "seal", "rat", "horse", "giraffe", "blue whale", "walrus", "bobcat"}
UNSEEN_LABELS = {"n02389026", "n02412080", "n02415577", "n02127052", "n02077923"}
# Classes whose labels have other names in ImageNet.
OTHER_NAMES = {
    "antelope": {"hartebeest", "impala", "gazelle"},
    "buffalo": {"bison"},
    "grizzly bear": {"brown bear"},
    "african wild dog": {"african hunting dog"},
    "patas monkey": {"patas"},
    "tabby cat": {"tabby", "tiger cat"},
}


def read(name: str) -> list[dict[str, str]]:
    with (WEIGHTS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def numbers(path: Path) -> np.ndarray:
    with path.open(encoding="utf-8", newline="") as file:
        return np.array([row[1:] for row in list(csv.reader(file))[1:]], float)


def test_the_glossary_explains_each_attribute_of_the_shipped_model_in_its_order():
    assert [row["attribute"] for row in read("glossary.csv")] == ATTRIBUTES


def test_each_attribute_has_a_meaning_that_is_one_sentence_and_a_question():
    for row in read("glossary.csv"):
        assert set(row) == {"attribute", "meaning", "question"}
        assert row["meaning"].endswith(".") and len(row["meaning"]) <= 200, row
        assert row["question"].endswith("?") and len(row["question"]) <= 80, row


@pytest.mark.parametrize("name", TABLES)
def test_rows_have_the_attributes_of_the_shipped_model_and_values_from_0_to_100(name):
    rows = read(name)
    values = np.array([[float(row[attribute]) for attribute in ATTRIBUTES] for row in rows])
    assert list(rows[0]) == ["class", *ATTRIBUTES]
    assert values.min() >= 0 and values.max() <= 100
    assert len({row["class"] for row in rows}) == len(rows)
    assert len(np.unique(values, axis=0)) == len(rows)  # no two classes have the same description


def test_written_rows_describe_classes_that_the_official_table_lacks_and_blind_rows_those_it_has():
    official = {row["class"] for row in read("rows/blind_awa2.csv")}
    assert len(official) == 50 and official <= set(TABLE.names)
    assert official.isdisjoint(row["class"] for row in read("rows/mammals.csv"))


def test_known_classes_are_those_with_a_written_row_and_seen_classes_of_the_official_table():
    by_origin = {
        origin: {row["class"] for row in read("rows/known.csv") if row["origin"] == origin}
        for origin in ("official", "written")
    }
    assert by_origin["written"] == {row["class"] for row in read("rows/mammals.csv")}
    assert by_origin["official"] <= {row["class"] for row in read("rows/blind_awa2.csv")} - UNSEEN
    assert all(row["origin"] in by_origin for row in read("rows/known.csv"))


def test_each_label_is_an_imagenet_class_of_that_name_and_belongs_to_one_class():
    timm = pytest.importorskip("timm.data")
    info = timm.ImageNetInfo("imagenet-1k")
    labels = [row["label"] for row in read("rows/known.csv")]
    assert len(set(labels)) == len(labels) and set(labels) <= set(info.label_names())
    for row in read("rows/known.csv"):
        names = info.label_name_to_description(row["label"]).lower()
        accepted = OTHER_NAMES.get(row["class"], {row["class"]})
        assert any(re.search(rf"\b{re.escape(name)}\b", names) for name in accepted), (row, names)


def test_no_label_shows_an_unseen_class_of_the_split_under_another_name():
    assert UNSEEN_LABELS.isdisjoint(row["label"] for row in read("rows/known.csv"))


def test_calibrated_rows_and_the_agreement_are_made_again_by_the_script(tmp_path):
    rows = tmp_path / "rows"
    rows.mkdir()
    for name in ("written.csv", "blind_awa2.csv", "calibrate.py"):
        shutil.copy(WEIGHTS / "rows" / name, rows)
    shutil.copy(WEIGHTS / "animals.safetensors", tmp_path)
    runpy.run_path(str(rows / "calibrate.py"), run_name="__main__")
    for name, rounding in (("mammals.csv", 0.11), ("calibration.csv", 0.0011)):
        np.testing.assert_allclose(numbers(rows / name), numbers(WEIGHTS / "rows" / name), rtol=0, atol=rounding)
    assert (rows / "agreement.md").read_text(encoding="utf-8") in (WEIGHTS / "MODEL_CARD.md").read_text(
        encoding="utf-8"
    )


def test_the_line_of_each_attribute_minimises_the_squared_error_on_the_official_rows():
    blind = {row["class"]: row for row in read("rows/blind_awa2.csv")}
    for fitted in read("rows/calibration.csv"):
        attribute, slope, intercept = fitted["attribute"], float(fitted["slope"]), float(fitted["intercept"])
        missing = {"antelope"} if attribute in {"black", "white", "blue", "brown"} else set()
        names = [name for name in blind if name not in missing]
        x = np.array([float(blind[name][attribute]) for name in names])
        y = TABLE.values[[TABLE.names.index(name) for name in names], ATTRIBUTES.index(attribute)]
        residual = y - slope * x - intercept
        # At the least-squares line the residual has mean zero and is uncorrelated with x, up to the rounding.
        assert abs(residual.mean()) < 0.1 and abs((residual * (x - x.mean())).mean()) < 0.001 * x.var() + 0.01
