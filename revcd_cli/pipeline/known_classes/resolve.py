"""Look up the labels of a dataset's known classes in the classifier of the backbone that computed its features."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...backbones.classifier import Classifier, load_classifier, why_no_classifier
from ...backbones.labels import LabelSet
from ...data.datasets.dataset import FeaturedDataset
from ...data.datasets.known import KnownClasses, KnownTable
from ...errors import InputFileError, UsageError
from .shipped_statistics import STATISTICS_FILES
from .training_rows import usable_known


def with_known_classes(
    dataset: FeaturedDataset, *, weights: Path | None = None, on_note: Callable[[str], None] | None = None
) -> FeaturedDataset:
    """Return the dataset with the classifier's weights of the known classes in its `known_table`.

    weights: the user's file of the backbone's weights. Features that revcd did not extract have no classifier: then a
    note says that known classes are not used. Raises `InputFileError` with the line of a label that does not exist, and
    if known classes cannot be used and there are no photos.
    """
    if dataset.known_table is None or dataset.known is not None:
        return dataset
    note = on_note or (lambda text: None)
    problem = why_no_classifier(dataset.backbone)
    if problem:
        _leave_out(dataset, problem, note)
        return dataset
    classifier = load_classifier(dataset.backbone, weights=weights)
    resolved = dataclasses.replace(dataset, known=resolve(dataset.known_table, classifier, dataset.classes.names))
    if not len(usable_known(resolved, resolved.split)):
        scale = "the scale of the classifier's weights is measured on them"
        _leave_out(dataset, f"two classes at least need photos and a label, as {scale}", note)
        return resolved
    n_photos = len(dataset.known_table.rows) - len(resolved.known_only)
    note(
        f"Known classes: {len(resolved.known_only)} without photos, by the backbone's classifier "
        f"({classifier.labels.name}); {n_photos} more have photos and a label."
    )
    return resolved


def _leave_out(dataset: FeaturedDataset, reason: str, note: Callable[[str], None]) -> None:
    """Say why known classes are not used; raise `InputFileError` if nothing else can be trained on."""
    assert dataset.known_table is not None
    if not len(dataset.labels):
        raise InputFileError(
            dataset.known_table.path,
            f"its classes cannot be trained on without photos: {reason}.",
            hint=f"Add photos, or use --backbone {' or '.join(STATISTICS_FILES)}, for which this is measured.",
        )
    note(f"{dataset.known_table.path}: known classes are not used: {reason}.")


def resolve(table: KnownTable, classifier: Classifier, names: tuple[str, ...]) -> KnownClasses:
    """Return the known classes of a file with their weights; names and errors are those of `find_labels`."""
    of_class = find_labels(table, classifier.labels, names)
    rows = table.rows
    pairs = [(row, index) for row in rows.tolist() for index in of_class[row]]
    return KnownClasses(
        rows=rows,
        labels=tuple(tuple(classifier.labels.title(index) for index in of_class[row]) for row in rows.tolist()),
        written=np.isin(rows, sorted(table.written)),
        label_rows=np.array([row for row, _ in pairs], dtype=np.int64),
        label_weights=classifier.weights[[index for _, index in pairs]],
        label_bias=classifier.bias[[index for _, index in pairs]],
    )


def find_labels(table: KnownTable, labels: LabelSet, names: tuple[str, ...]) -> dict[int, list[int]]:
    """Return the labels of each class of a file, by its row of the class table. names: (C,), of the classes there.

    Raises `InputFileError` for a label that does not exist, and for one that stands for two classes.
    """
    owner: dict[int, tuple[int, int]] = {}
    of_class: dict[int, list[int]] = {}
    for each in table.labels:
        try:
            index = labels.find(each.label)
        except UsageError as error:
            raise InputFileError(table.path, error.message, line=each.line, column=table.label_column) from error
        row, line = owner.setdefault(index, (each.row, each.line))
        if row != each.row or line != each.line:
            raise InputFileError(
                table.path,
                f'the label {labels.title(index)} is on line {line} (class "{names[row]}") and on line '
                f'{each.line} (class "{names[each.row]}").',
                line=each.line,
                column=table.label_column,
            )
        of_class.setdefault(each.row, []).append(index)
    return of_class
