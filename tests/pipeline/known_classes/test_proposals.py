"""Laws of proposals: certain only where one label of the usual kind has the class's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from revcd_cli.backbones.labels import label_set
from revcd_cli.data.classes.attributes import read_attribute_csv
from revcd_cli.data.datasets.known import read_known_csv
from revcd_cli.errors import UsageError
from revcd_cli.pipeline.known_classes.proposals import propose, propose_for_table, write_proposals

IMAGENET = label_set(1000)
ANIMALS = ("zebra", "ox", "lion", "mouse", "crane", "fox", "wolf", "seal", "bighorn")


def test_a_class_with_a_labels_name_is_certain_and_the_others_are_marked():
    doubts = {each.name: each.doubt for each in propose(ANIMALS, IMAGENET)}
    assert {name for name, doubt in doubts.items() if not doubt} == {"zebra", "ox", "lion", "bighorn"}
    assert "seal" not in doubts  # no label has this name
    assert doubts["mouse"].startswith('"mouse" is another kind of thing: a hand-operated electronic device')
    assert '"crane" is another kind of thing' in doubts["crane"]
    assert doubts["fox"] == "part of a label's name: red fox, kit fox, Arctic fox, grey fox"


def test_several_labels_with_one_name_are_doubtful():
    (proposal,) = (each for each in propose(("teapot", "maillot"), IMAGENET) if each.name == "maillot")
    assert len(proposal.labels) == 2 and proposal.doubt.startswith("several labels have this name")


def test_a_class_that_is_tested_as_unseen_is_left_out():
    assert [each.name for each in propose(("zebra", "Ox"), IMAGENET, unseen=("ox",))] == ["zebra"]


def test_the_kind_that_most_labels_have_is_not_doubtful():
    assert {each.name: each.doubt for each in propose(("mouse", "desk"), IMAGENET)} == {"mouse": "", "desk": ""}


def test_the_written_file_holds_the_certain_labels_and_the_doubtful_ones_as_comments(tmp_path: Path):
    table, output = tmp_path / "attributes.csv", tmp_path / "known.csv"
    table.write_text("class,a\n" + "".join(f"{name},1\n" for name in ANIMALS))
    proposals, _ = propose_for_table(table, IMAGENET)
    write_proposals(output, proposals, IMAGENET)
    classes = read_attribute_csv(table)
    certain = {"n02391049", "n02403003", "n02129165", "n02415577"}
    assert {each.label for each in read_known_csv(output, classes).labels} == certain
    output.write_text(output.read_text().replace("#fox", "fox"))
    assert len(read_known_csv(output, classes).labels) == 8


def test_labels_without_names_propose_nothing(tmp_path: Path):
    with pytest.raises(UsageError, match="names of this classifier of 10 labels are not known"):
        propose_for_table(tmp_path / "attributes.csv", label_set(10))
