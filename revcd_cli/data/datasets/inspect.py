"""The checks of an opened dataset, which `data check` lists and `train` and `evaluate` run before they start."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import numpy as np

from ...errors import listed
from ..classes.attributes import ClassAttributes, align
from ..classes.scale import column_findings, rescale_rows
from ..classes.table_findings import table_findings
from ..findings import ERROR, NOTE, WARNING, Finding
from .dataset import REPAIR, Dataset
from .splits import photos_lost

FEW_PHOTOS = "few photos"  # kind of a finding
_ENOUGH = 10  # of a seen class; training balances classes, but overfits to so few photos
_NAMED = 5  # names that a sentence lists

AnyDataset = TypeVar("AnyDataset", bound=Dataset)


def inspect_dataset(dataset: Dataset, *, column_rank: str = ERROR) -> list[Finding]:
    """Return the findings about the class table and the photos of a dataset.

    column_rank: rank of columns on another scale, which `train` only warns of.
    """
    return [
        *(each for each in table_findings(dataset.classes) if each.kind != "empty cells"),  # `notes` has it
        *column_findings(dataset.classes, rank=column_rank),
        *dataset.findings,
        *_lost_photos(dataset),
        *_photo_counts(dataset),
    ]


def _lost_photos(dataset: Dataset) -> list[Finding]:
    """Return an error if a class or a part has no photo on the disk."""
    absent = {name for finding in dataset.findings if finding.kind == "missing photos" for name in finding.items}
    if not absent:
        return []
    kept = np.array([key not in absent for key in dataset.keys])
    lost = photos_lost(dataset.split, kept, dataset.labels, dataset.classes.names)
    if not lost:
        return []
    text = f"The list names photos that are not in {dataset.images_root}: {listed(lost, _NAMED)}."
    return [Finding(ERROR, "lost photos", text, REPAIR, tuple(lost))]


def compare_tables(dataset: Dataset, known: ClassAttributes) -> list[Finding]:
    """Return the findings about a dataset's table compared with that of the model that is evaluated on it.

    Raises `InputFileError` if the attributes differ.
    """
    own = {(finding.kind, finding.items) for finding in table_findings(dataset.classes)}
    found = table_findings(align(dataset.classes, known.attributes), known)
    return [finding for finding in found if (finding.kind, finding.items) not in own]


def rescaled(dataset: AnyDataset, known: ClassAttributes | None = None) -> tuple[AnyDataset, list[Finding]]:
    """Return the dataset with the rows of its table on one scale, see `rescale_rows`, and notes about them."""
    classes, notes = rescale_rows(dataset.classes, known)
    return dataclasses.replace(dataset, classes=classes), [Finding(NOTE, "rescaled", note) for note in notes]


def _photo_counts(dataset: Dataset) -> list[Finding]:
    findings = []
    names, split = dataset.classes.names, dataset.split
    to_train = np.bincount(dataset.labels[split.trainval], minlength=len(names))
    few = tuple(names[row] for row in dataset.seen if to_train[row] < _ENOUGH)
    if few:
        text = f"Seen classes with fewer than {_ENOUGH} photos to train on ({len(few):,}): {listed(few, _NAMED)}."
        findings.append(Finding(WARNING, FEW_PHOTOS, text, items=few))
    if not len(split.test_unseen):
        findings.append(
            Finding(WARNING, "no unseen photos", "No unseen class has photos, so U and H cannot be measured.")
        )
    return findings
