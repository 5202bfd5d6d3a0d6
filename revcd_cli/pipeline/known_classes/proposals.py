"""Propose labels of a backbone's classifier for the classes of a table, by their names. Does not import torch."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...backbones.labels import LabelSet
from ...data.classes.attributes import class_key, read_attribute_csv
from ...data.datasets.dataset import TABLE_FILE
from ...data.datasets.images_csv import IMAGES_FILE, read_images_csv
from ...errors import UsageError, listed
from ...system.files import write_bytes

_LISTED = 4  # labels that a remark names


@dataclass(frozen=True)
class Proposal:
    """Labels that may stand for a class. doubt: why the user has to decide, "" for one label with the class's name."""

    name: str
    labels: tuple[int, ...]
    doubt: str = ""

    @property
    def is_certain(self) -> bool:
        return not self.doubt


def propose_for_table(table: Path, labels: LabelSet) -> tuple[list[Proposal], list[str]]:
    """Return the proposals for a class table, and the classes that have a label, too, but are tested as unseen.

    The latter are read from `images.csv`, if the table is the `attributes.csv` of a dataset that has one.
    """
    if not labels.ids:
        raise UsageError(f"The names of {labels.name} are not known, so no label can be proposed.")
    classes = read_attribute_csv(table, missing="mean")
    unseen: list[str] = []
    images = table.parent / IMAGES_FILE
    if table.name == TABLE_FILE and images.is_file():
        dataset = read_images_csv(images, classes, images_root=table.parent)
        unseen = [classes.names[c] for c in sorted(set(dataset.labels[dataset.split.test_unseen].tolist()))]
    left_out = [each.name for each in propose(unseen, labels)]
    return propose(classes.names, labels, unseen), left_out


def propose(names: Sequence[str], labels: LabelSet, unseen: Collection[str] = ()) -> list[Proposal]:
    """Return a proposal for each class with a label of its name, or with a name that ends in it ("fox": "red fox").

    A proposal is doubtful if several labels have the name, if the name is only the end of a label's, or if the label is
    of another kind of thing than most of the table's ("mouse": a computer mouse among animals). unseen: classes that
    the dataset tests as unseen, which must not be known; they are left out.
    """
    left_out = {class_key(name) for name in unseen}
    found = [(name, labels.named(name), labels.ending_in(name)) for name in names if class_key(name) not in left_out]
    kinds = Counter(labels.kind(index) for _, exact, _ in found for index in exact)
    usual = kinds.most_common(1)[0][0] if kinds else "other"
    proposals = []
    for name, exact, ending in found:
        chosen = exact or ending
        if chosen:
            proposals.append(Proposal(name, tuple(chosen), _doubt(name, exact, chosen, labels, usual)))
    return proposals


def _doubt(name: str, exact: Sequence[int], chosen: Sequence[int], labels: LabelSet, usual: str) -> str:
    other = [index for index in chosen if labels.kind(index) != usual]
    if other:
        what = labels.definitions[other[0]].split(";")[0]
        return f'"{labels.names[other[0]][0]}" is another kind of thing: {what}'
    if not exact:
        return f"part of a label's name: {_titles(chosen, labels)}"
    if len(exact) > 1:
        return f"several labels have this name: {_titles(chosen, labels)}"
    return ""


def _titles(indices: Sequence[int], labels: LabelSet) -> str:
    return listed([labels.names[index][0] for index in indices], _LISTED)


def write_proposals(path: Path, proposals: Sequence[Proposal], labels: LabelSet) -> None:
    """Write `known.csv`: certain proposals as lines, doubtful ones as comments for the user to uncomment."""
    text = io.StringIO()
    text.write("class,label\n")
    writer = csv.writer(text, lineterminator="\n")
    for proposal in proposals:
        if proposal.is_certain:
            writer.writerows([proposal.name, labels.ids[index]] for index in proposal.labels)
    doubtful = [proposal for proposal in proposals if not proposal.is_certain]
    if doubtful:
        text.write("# Look these over, and remove the # of the lines that are right.\n")
    for proposal in doubtful:
        text.write(f"# {proposal.name}: {proposal.doubt}\n")
        for index in proposal.labels:
            line = io.StringIO()
            csv.writer(line, lineterminator="\n").writerow([proposal.name, labels.ids[index]])
            text.write(f"#{line.getvalue()}")
    write_bytes(path, text.getvalue().encode())
