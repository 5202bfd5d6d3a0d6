"""The tables beside the shipped model: each attribute is explained."""

from __future__ import annotations

import csv
from pathlib import Path

from revcd_cli.checkpoint.model_file import read_class_table

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
ATTRIBUTES = list(read_class_table(WEIGHTS / "animals.safetensors").attributes)


def read(name: str) -> list[dict[str, str]]:
    with (WEIGHTS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_the_glossary_explains_each_attribute_of_the_shipped_model_in_its_order():
    assert [row["attribute"] for row in read("glossary.csv")] == ATTRIBUTES


def test_each_attribute_has_a_meaning_that_is_one_sentence_and_a_question():
    for row in read("glossary.csv"):
        assert set(row) == {"attribute", "meaning", "question"}
        assert row["meaning"].endswith(".") and len(row["meaning"]) <= 200, row
        assert row["question"].endswith("?") and len(row["question"]) <= 80, row
