"""Laws of known.csv: pairs of class and label, checked against the class table, and known classes of a dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from revcd_cli.data.classes.attributes import read_attribute_csv
from revcd_cli.data.datasets.known import KnownTable, read_known_csv
from revcd_cli.data.datasets.open import open_dataset
from revcd_cli.errors import InputFileError, LeakError
from tests.makers.feature_folder import make_feature_folder


def read(folder: Path, text: str) -> KnownTable:
    (folder / "attributes.csv").write_text("class,a\nred fox,1\nzebra,2\nox,3\n")
    (folder / "known.csv").write_text(text)
    return read_known_csv(folder / "known.csv", read_attribute_csv(folder / "attributes.csv"))


def test_several_labels_stand_for_one_class_in_any_spelling_of_its_name(tmp_path: Path):
    table = read(tmp_path, "class,label\nzebra,340\nRed_Fox,red fox\n# ox,345\nred fox,kit fox\n")
    assert table.rows.tolist() == [0, 1]
    assert [(each.row, each.label, each.line) for each in table.labels] == [
        (1, "340", 2),
        (0, "red fox", 3),
        (0, "kit fox", 5),
    ]
    assert (table.line(0), table.written) == (3, frozenset())


def test_the_origin_of_a_description_is_official_unless_it_says_written(tmp_path: Path):
    table = read(tmp_path, "label,class,origin\n340,zebra,written\n277,red fox,official\n345,ox,\n")
    assert table.written == frozenset({1})


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("class,label\nzebr,340\n", "2:1", 'did you mean "zebra"'),
        ("class,label\nzebra,\n", "2:2", "is empty"),
        ("class,label\nzebra,340\nzebra,340\n", "3:2", "on line 2 and on line 3"),
        ("class,label,origin\nzebra,340,guessed\n", "2:3", "official, written"),
        ("class,label,origin\nox,340,written\nox,341,official\n", "3:3", "written on line 2"),
        ("class,name\nzebra,340\n", "1", 'no column "label"'),
        ("class,label,class\nzebra,340,zebra\n", "1:3", "too many"),
        ("class,label,note\nzebra,340,mine\n", "1:3", "too many"),
        ("class,label\nzebra,340,1\n", "2:3", "too long"),
    ],
)
def test_an_error_names_its_line_and_column(tmp_path: Path, text: str, place: str, reason: str):
    with pytest.raises(InputFileError, match=f"known.csv:{place}: .*{reason}"):
        read(tmp_path, text)


def test_a_dataset_folder_has_the_known_classes_of_its_known_csv_or_of_a_given_file(tmp_path: Path):
    folder = make_feature_folder(tmp_path)
    assert open_dataset(str(folder)).known_table is None
    (tmp_path / "other.csv").write_text("class,label\nclass 1,7\n")
    other = open_dataset(str(folder), known=tmp_path / "other.csv").known_table
    (folder / "known.csv").write_text("class,label\nclass 0,7\n")
    own = open_dataset(str(folder)).known_table
    assert own is not None and other is not None
    np.testing.assert_array_equal([own.rows, other.rows], [[0], [1]])


def test_a_class_that_is_tested_as_unseen_must_not_be_known(tmp_path: Path):
    folder = make_feature_folder(tmp_path)
    (folder / "known.csv").write_text("class,label\nclass 0,3\nclass 4,7\nclass 5,8\n")
    with pytest.raises(
        LeakError, match=r'known.csv:3: class "class 4" \(and 1 more classes\) has photos in test_unseen'
    ):
        open_dataset(str(folder))
