"""Restrict the candidate classes to some names, such as the species of a region."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ...data.classes.attributes import class_key
from ...errors import InputFileError, UsageError, did_you_mean, listed
from .candidates import CandidateClasses
from .given_photos import OTHERS


def read_names(text: str) -> list[str]:
    """Return class names from a file with one per line, or separated by commas in the text itself.

    In a CSV file, names are those of the first column, below a header whose first cell is "class". Raises
    `InputFileError` for a file without names or that is not UTF-8 text, `UsageError` for an empty list.
    """
    path = Path(text).expanduser()
    if not _is_file(path):
        names = [name.strip() for name in text.split(",") if name.strip()]
        if not names:
            raise UsageError("--only names no class.", hint="Give a file with a name per line, or: --only moose,deer")
        return names
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(path, "cannot be read as UTF-8 text.") from error
    if path.suffix.lower() == ".csv":
        lines = [row[0] if row else "" for row in csv.reader(lines)]
        lines = lines[1:] if lines and lines[0].strip().casefold() == "class" else lines
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise InputFileError(path, "names no class.", hint="Write one name per line.")
    return names


def restrict(candidates: CandidateClasses, names: Sequence[str]) -> CandidateClasses:
    """Return the candidates with these names, in their order. Raises `UsageError` for a name that is none of them.

    Photos of "others" stay a candidate, as they stand for anything else.
    """
    position = {class_key(name): row for row, name in enumerate(candidates.names)}
    unknown = [name for name in names if class_key(name) not in position]
    if unknown:
        meant = did_you_mean(unknown[0], candidates.names)
        more = f" ({len(unknown):,} unknown names: {listed(unknown, 5)})" if len(unknown) > 1 else ""
        raise UsageError(
            f'"{unknown[0]}" is not one of the {len(candidates.names):,} classes{meant}{more}.',
            hint="revcd models show MODEL lists the classes of a model; --classes adds others.",
        )
    n_described = len(candidates.names) - candidates.undescribed
    kept = {position[class_key(name)] for name in names}
    kept |= {row for row in range(n_described, len(candidates.names)) if candidates.names[row] == OTHERS}
    rows = sorted(kept)
    return replace(
        candidates,
        names=tuple(candidates.names[row] for row in rows),
        kinds=tuple(candidates.kinds[row] for row in rows),
        prototypes=candidates.prototypes[torch.tensor(rows)],
        own=candidates.own[torch.tensor(rows)],
        source=f"{candidates.source} ({len(rows)} of {len(candidates.names)} classes)",
        undescribed=sum(row >= n_described for row in rows),
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a path, or with a NUL
        return False
