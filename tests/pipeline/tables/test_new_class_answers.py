"""Answers from files: values, earlier drafts, and replies of language models, which known classes check."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from revcd_cli.data.classes.levels import QUANTILES
from revcd_cli.errors import InputFileError
from revcd_cli.pipeline.tables.description_space import DescriptionSpace, read_description_space
from revcd_cli.pipeline.tables.new_class.answers import set_values, take_answers
from revcd_cli.pipeline.tables.new_class.files import read_photos, write_draft
from revcd_cli.pipeline.tables.new_class.prompt import CONTROLS, control_rows, prompt_text
from revcd_cli.pipeline.tables.new_class.session import NewClass

ZEBRA = "zebra"  # stands for the new class, so that its true row is known


@pytest.fixture(scope="module")
def animals() -> DescriptionSpace:
    return read_description_space("animals")


def described(animals: DescriptionSpace, name: str = "okapi") -> NewClass:
    return NewClass.start(name, animals.classes, animals)


def take(new: NewClass, text: str) -> list[str]:
    return take_answers(new, Path("reply.csv"), text.encode())


def reply(animals: DescriptionSpace, change=lambda values: values, before: str = "", after: str = "") -> str:
    """Return the reply of a language model to the prompt's first line: true values, changed."""
    header = prompt_text(described(animals, ZEBRA)).splitlines()[-1]
    rows = [animals.classes.index(name) for name in header.split(",")[1:]]
    values = change(animals.classes.values[rows].astype(float))
    lines = [
        f"{name},{','.join(map(repr, column.tolist()))}"
        for name, column in zip(animals.classes.attributes, values.T, strict=True)
    ]
    return f"{before}{header}\n" + "\n".join(lines) + after


def test_values_and_words_of_a_file_are_taken_and_empty_cells_are_open(animals: DescriptionSpace):
    new = described(animals)
    take(new, "Attribute;Value\n Stripes ;60\nlongneck;much\nhooves;\nwater;?\n")
    given = {new.draft.attributes[column]: answer.value for column, answer in new.draft.answers.items()}
    neck = np.quantile(animals.classes.values[:, animals.classes.attributes.index("longneck")], QUANTILES[3])
    assert given == {"stripes": 60, "longneck": pytest.approx(neck)}


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("attribute,value\nstrips,3\n", "2:1", 'did you mean "stripes"'),
        ("attribute,value\nstripes,3\nbig,lots\n", "3:2", "neither a number nor"),
        ("attribute,value\nstripes\n", "2:2", "ends too early"),
        ("attribute,value\nstripes,3\nbig,1\nStripes,4\n", "4:1", "is on line 2 and on line 4"),
        ("attribute,okapi,zebra,tiger,Tiger\nstripes,1,2,3,4\n", "1", "two columns for one class"),
        ("stripes,3\n", "1", "expected"),
        ("class,attribute,value,spread,origin\ntapir,stripes,3,0,asked\n", "", "describes tapir"),
        ("attribute,okapi,zebra,tiger\nstripes,1,2,3\n", "", "at least 3"),
        ("attribute,okapi,zebra,tiger,unicorn\nstripes,1,2,3,4\n", "", "unicorn"),
        ("attribute,tapir,zebra\nstripes,1,2\n", "1:2", 'none called "okapi"'),
        ("", "", "is empty"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(text: str, place: str, words: str, animals: DescriptionSpace):
    with pytest.raises(InputFileError, match=words) as caught:
        take(described(animals), text)
    assert place in str(caught.value)


def test_a_draft_gives_the_answers_and_the_row_again(animals: DescriptionSpace, tmp_path: Path):
    new, other = described(animals), described(animals, "tapir")
    set_values(new, ["stripes=60", "longneck=much"])
    set_values(other, ["stripes=0"])
    new.photos = ("a b.jpg", "c: d.jpg")
    for each in (other, new, other):
        write_draft(tmp_path / "mine.draft.csv", each)
    again = described(animals, "Okapi")
    assert take_answers(again, tmp_path / "mine.draft.csv") == ["2 answers of an earlier draft were taken."]
    np.testing.assert_allclose(again.row(), new.row(), atol=0.05)
    assert read_photos(tmp_path / "mine.draft.csv") == {"okapi": ["a b.jpg", "c: d.jpg"]}


def test_the_prompt_names_every_attribute_and_keeps_the_controls_out_of_its_anchors(animals: DescriptionSpace):
    new = described(animals)
    text = prompt_text(new)
    controls = [new.neighbours.table.names[row] for row in control_rows(new)]
    assert len(set(controls)) == CONTROLS and set(controls) <= animals.seen
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert [line[2:].split(":")[0] for line in lines] == list(animals.classes.attributes)
    assert not [name for name in controls if any(f"({name})" in line for line in lines)]
    assert text.splitlines()[-1] == ",".join(["attribute", "okapi", *controls])


def test_a_reply_with_true_values_of_the_controls_is_taken_as_it_is(animals: DescriptionSpace):
    new = described(animals, ZEBRA)
    notes = take(new, reply(animals, before="Here is the table:\n\n```csv\n", after="\n```\nHope, that helps\n"))
    assert "correlation of 1.00" in notes[0] and len(notes) == 1
    np.testing.assert_allclose(new.row(), animals.classes.values[animals.classes.index(ZEBRA)], atol=0.01)
    assert max(answer.spread for answer in new.draft.answers.values()) < 1e-9


def test_a_reply_on_a_stretched_scale_is_corrected(animals: DescriptionSpace):
    true = animals.classes.values[animals.classes.index(ZEBRA)].astype(float)

    def stretched(values: np.ndarray) -> np.ndarray:
        return 0.6 * values + 25

    new, unit = described(animals, ZEBRA), animals.classes.values.std(0)
    take(new, reply(animals, stretched))
    corrected = np.sqrt(np.mean(((new.row() - true) / unit) ** 2))
    assert corrected < 0.9 * np.sqrt(np.mean(((stretched(true) - true) / unit) ** 2))


def test_a_reply_whose_controls_are_wrong_is_refused_and_nothing_is_taken(animals: DescriptionSpace):
    random = np.random.default_rng(0)
    new = described(animals, ZEBRA)
    with pytest.raises(InputFileError, match="do not agree with the table: correlation"):
        take(new, reply(animals, lambda values: random.uniform(0, 100, values.shape)))
    assert not new.draft.answers


def test_an_attribute_that_the_controls_contradict_is_left_out(animals: DescriptionSpace):
    header = prompt_text(described(animals, ZEBRA)).splitlines()[-1]
    controls = [animals.classes.index(name) for name in header.split(",")[1:] if name != ZEBRA]
    column = int(animals.classes.values[controls].std(0).argmax())
    name = animals.classes.attributes[column]

    def reversed_column(values: np.ndarray) -> np.ndarray:
        values[:, column] = 100 - values[:, column]
        return values

    new = described(animals, ZEBRA)
    notes = take(new, reply(animals, reversed_column))
    assert name in notes[1] and column not in new.draft.answers
    assert len(new.draft.answers) == 84
