"""The glossary of the shipped model's attributes: what each means, and a question that asks for it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple


class Entry(NamedTuple):
    """An attribute in plain words."""

    meaning: str  # a sentence
    question: str


def read_glossary(path: Path) -> dict[str, Entry]:
    """Return the entries of a CSV file with the columns attribute, meaning and question, by attribute."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["attribute"]: Entry(row["meaning"], row["question"]) for row in csv.DictReader(file, strict=True)}
