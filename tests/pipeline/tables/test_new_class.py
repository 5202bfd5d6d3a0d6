"""The draft of a new class: what it follows from, when questions end, and which classes it resembles."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from revcd_cli.data.classes.attributes import ClassAttributes
from revcd_cli.errors import UsageError
from revcd_cli.pipeline.tables.description_space import DescriptionSpace, read_description_space
from revcd_cli.pipeline.tables.new_class.answers import parse_likeness, set_values
from revcd_cli.pipeline.tables.new_class.photos import blend
from revcd_cli.pipeline.tables.new_class.session import NewClass


@pytest.fixture(scope="module")
def animals() -> DescriptionSpace:
    return read_description_space("animals")


def described(animals: DescriptionSpace, name: str = "okapi", **options: object) -> NewClass:
    return NewClass.start(name, animals.classes, animals, **options)


def test_answers_for_all_attributes_are_the_row(animals: DescriptionSpace):
    new, row = described(animals), animals.classes.values[7]
    for column, value in enumerate(row):
        new.give(column, float(value))
    np.testing.assert_allclose(new.row(), row, atol=0.005)  # four digits of the range
    assert new.question() is None
    assert new.nearest(1)[0].name == animals.classes.names[7]
    assert "the same" in new.verdict()


def test_a_class_of_the_table_is_described_from_the_others_alone(animals: DescriptionSpace):
    rest = animals.classes.select([name for name in animals.classes.names if name != "zebra"])
    own = described(animals, "zebra").draft.estimate()
    without = NewClass.start("zebra", rest, None).draft.estimate()
    np.testing.assert_allclose(own.values, without.values)
    assert "zebra" not in [near.name for near in described(animals, "zebra").nearest(1000)]


def test_the_draft_does_not_depend_on_the_order_of_answers_classes_or_attributes(animals: DescriptionSpace):
    random = np.random.default_rng(0)
    table = animals.classes
    rows, columns = random.permutation(len(table.names)), random.permutation(85)
    mixed = ClassAttributes(
        tuple(table.names[k] for k in rows),
        tuple(table.attributes[k] for k in columns),
        table.values[np.ix_(rows, columns)],
        "mixed",
        "",
    )
    settings = ["stripes=60", "longneck=much", "hooves=very", "water=none"]
    one, other = NewClass.start("okapi", table, None), NewClass.start("okapi", mixed, None)
    set_values(one, settings)
    set_values(other, settings[::-1])
    np.testing.assert_allclose(one.row()[columns], other.row(), atol=1e-3)
    assert one.question().attribute == other.question().attribute
    assert [near.name for near in one.nearest(5)] == [near.name for near in other.nearest(5)]


def test_a_class_like_others_starts_from_their_weighted_mean(animals: DescriptionSpace):
    new = described(animals, like=parse_likeness("zebra, giraffe:0.5"))
    zebra, giraffe = (animals.classes.values[animals.classes.index(name)] for name in ("zebra", "giraffe"))
    np.testing.assert_allclose(new.row(), (zebra + 0.5 * giraffe) / 1.5, atol=0.01)
    assert {new.draft.origin(column) for column in range(85)} == {"like"}
    assert (new.draft.estimate().spread < described(animals).draft.estimate().spread + 1e-9).all()


@pytest.mark.parametrize("text", ["zebra:x", "zebra,,giraffe", ":2", "unicorn", "zebra:0", "zebra:-1", "zebra:nan"])
def test_unknown_relatives_and_wrong_weights_are_refused(text: str, animals: DescriptionSpace):
    with pytest.raises(UsageError):
        described(animals, like=parse_likeness(text))


@pytest.mark.parametrize("setting", ["stripes", "stripes=", "stripes=lots", "stripes=nan", "strips=3", "stripes=1e300"])
def test_wrong_settings_are_refused_with_their_text(setting: str, animals: DescriptionSpace):
    with pytest.raises(UsageError, match=setting.split("=")[0]):
        set_values(described(animals), [setting])


def test_words_stand_for_values_between_the_lowest_and_the_highest_in_their_order(animals: DescriptionSpace):
    new = described(animals)
    for column in range(85):
        levels = [new.parse(column, word) for word in ("none", "little", "some", "much", " VERY ")]
        assert levels == sorted(levels)
        assert new.draft.low[column] <= levels[0] and levels[-1] <= new.draft.high[column]
        assert new.parse(column, "12.5") == 12.5


def test_a_question_that_could_move_the_nearest_classes_has_an_answer_that_does(animals: DescriptionSpace):
    new = described(animals)
    set_values(new, ["big=70", "hooves=80", "stripes=60", "grazer=60"])
    before = [near.name for near in new.nearest()]
    for column in range(85):
        if column in new.draft.answers:
            continue
        estimate = new.draft.estimate()
        reach = 2 * estimate.spread[column]
        moved = False
        for step in (-1, 0, 1):
            other = described(animals)
            set_values(other, ["big=70", "hooves=80", "stripes=60", "grazer=60"])
            answer = estimate.values[column] + step * reach
            other.give(column, float(np.clip(answer, new.draft.low[column], new.draft.high[column])))
            moved |= [near.name for near in other.nearest()] != before
        assert new.would_move(column) == moved


def test_skipped_questions_are_not_asked_again_and_stay_unknown(animals: DescriptionSpace):
    new = described(animals)
    asked = []
    for _ in range(6):
        question = new.question()
        asked.append(question.column)
        new.draft.skipped.append(question.column)
    assert len(set(asked)) == 6
    np.testing.assert_array_equal(new.row(), described(animals).row())


def test_a_copy_of_a_class_is_called_too_similar_and_a_mean_row_is_not(animals: DescriptionSpace):
    new = described(animals)
    assert new.verdict() is None
    for column, value in enumerate(animals.classes.values[animals.classes.index("leopard")]):
        new.give(column, float(value))
    assert "leopard" in new.verdict() and "okapi" in new.verdict()


@pytest.mark.parametrize(("reliability", "share"), [(0.0, 0.0), (-0.4, 0.0), (0.5, 0.5), (None, 0.0)])
def test_generated_values_move_the_draft_as_far_as_photos_show_an_attribute(
    reliability: float | None, share: float, animals: DescriptionSpace
):
    measured = dict.fromkeys(animals.classes.attributes, reliability)
    space = DescriptionSpace("x", animals.classes, animals.seen, animals.views, measured, animals.path)
    new = NewClass.start("okapi", animals.classes, space)
    before, generated = new.draft.estimate(), animals.classes.values[3].astype(float)
    blend(new, generated)
    after = new.draft.estimate()
    np.testing.assert_allclose(after.values, before.values + share * (generated - before.values))
    np.testing.assert_allclose(after.spread, before.spread * np.sqrt(1 - share**2))
    assert set(new.draft.origins) == ({"photos"} if share else {"imputed"})


def test_questions_in_their_order_come_closer_to_true_rows_than_others(animals: DescriptionSpace):
    errors = {"asked": [], "last": []}
    unit = animals.classes.values.std(0)
    for name in animals.classes.names[::5]:
        true = animals.classes.values[animals.classes.index(name)]
        new = described(animals, name)
        columns = list(itertools.islice(_asked(new, true), 15))
        errors["asked"].append(np.mean(((new.row() - true) / unit) ** 2))
        other = described(animals, name)
        rest = [column for column in range(85) if column not in columns][:15]
        for column in rest:
            other.give(column, float(true[column]))
        errors["last"].append(np.mean(((other.row() - true) / unit) ** 2))
    assert np.mean(errors["asked"]) < 0.85 * np.mean(errors["last"])


def _asked(new: NewClass, true: np.ndarray):
    while (question := new.question()) is not None:
        new.give(question.column, float(true[question.column]))
        yield question.column
