"""The meaning of attributes: words of the included glossary."""

from __future__ import annotations

from collections.abc import Sequence

from ...checkpoint.metadata import shipped_folder
from ...data.classes.glossary import Entry, read_glossary
from .description_space import models_with

_FILE = "glossary.csv"  # beside the included models, whose attributes it explains


def glossary_of(attributes: Sequence[str]) -> dict[str, Entry]:
    """Return the entry of each attribute if they are those of an included model; an empty dict otherwise."""
    path = shipped_folder() / _FILE
    return read_glossary(path) if path.is_file() and models_with(attributes) else {}
