"""Laws of the findings about a class table, on small tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from revcd_cli.data.classes.attributes import ClassAttributes
from revcd_cli.errors import InputFileError
from revcd_cli.pipeline.tables.description_space import DescriptionSpace, own_units, read_description_space
from revcd_cli.pipeline.tables.suggest import suggest


def table(rows: dict[str, list[float]], attributes: str) -> ClassAttributes:
    values = np.array(list(rows.values()), np.float32)
    return ClassAttributes(tuple(rows), tuple(attributes.split()), values, "mine.csv", "0" * 64)


ZOO = table(
    {
        "zebra": [9, 8, 1, 0.3],
        "horse": [0, 8, 1, 0.3],
        "pony": [0, 8, 1, 0.2],
        "tiger": [8, 0, 1, 0.9],
        "cat": [3, 0, 1, 0.1],
        "lynx": [3, 0, 1, 0.1],
    },
    "stripes hooves tail weight",
)


def model(reliability: dict[str, float | None] | None = None, classes: ClassAttributes = ZOO) -> DescriptionSpace:
    """A model of one network that compares the values as they are."""
    width = len(classes.attributes)
    seen = frozenset({"zebra", "tiger"})
    return DescriptionSpace("zoo", classes, seen, ((np.zeros(width), np.eye(width)),), reliability)


def closeness(document: dict, *keys: str) -> dict[frozenset[str], tuple]:
    return {frozenset(pair["classes"]): tuple(pair[key] for key in keys) for pair in document["pairs"]}


@pytest.mark.parametrize("known", [None, model()])
def test_classes_with_equal_rows_have_a_cosine_of_1(known: DescriptionSpace | None):
    document = suggest(ZOO, known, bound=1.0)
    first = document["pairs"][0]
    assert (first["classes"], first["cosine"], first["differ"], first["apart"]) == (["cat", "lynx"], 1.0, 0, [])
    assert document["identical"] == [["cat", "lynx"]]
    assert document["pairs_above"] == 1
    assert "the classes cannot be distinguished" in first["advice"]
    assert "cat and lynx" in document["next"][0]


def test_a_table_in_which_all_classes_are_the_same_counts_every_pair():
    document = suggest(table({name: [1, 2] for name in "abcde"}, "x y"))
    assert document["pairs_above"] == 10
    assert document["groups"] == document["identical"] == [list("abcde")]
    assert all(pair["cosine"] == 1 for pair in document["pairs"])


def test_results_do_not_depend_on_the_order_of_rows_and_columns():
    chance = np.random.default_rng(0)
    big = table({f"class {k}": row for k, row in enumerate(chance.normal(size=(30, 8)).tolist())}, "a b c d e f g h")
    rows, columns = chance.permutation(30), chance.permutation(8)
    other = replace(
        big,
        names=tuple(big.names[k] for k in rows),
        attributes=tuple(big.attributes[k] for k in columns),
        values=big.values[np.ix_(rows, columns)],
    )
    one, two = suggest(big, bound=0.5), suggest(other, bound=0.5)
    for pair, same in zip(one["pairs"], two["pairs"], strict=True):
        assert same["cosine"] == pytest.approx(pair["cosine"], abs=1e-5)
        assert [each["attribute"] for each in same["apart"]] == [each["attribute"] for each in pair["apart"]]
    assert closeness(one, "above", "differ") == closeness(two, "above", "differ")
    for name in ("groups", "pairs_above", "next", "redundant"):
        assert one[name] == two[name]


def test_results_do_not_depend_on_the_unit_of_a_standardised_attribute():
    scaled = replace(ZOO, values=ZOO.values * np.float32([1000, 0.25, 3, 8]))
    one, two = suggest(ZOO), suggest(scaled)
    assert closeness(one, "above", "differ") == closeness(two, "above", "differ")
    for names, (cosine,) in closeness(one, "cosine").items():
        assert closeness(two, "cosine")[names][0] == pytest.approx(cosine, abs=1e-5)


def test_the_attribute_that_separates_two_classes_most_comes_first():
    document = suggest(ZOO)
    names = frozenset({"zebra", "tiger"})
    pair = next(pair for pair in document["pairs"] if frozenset(pair["classes"]) == names)
    assert pair["differ"] == 3
    spread = ZOO.values.astype(np.float64).std(axis=0)
    expected = {"hooves": 8 / spread[1], "weight": 0.6 / spread[3], "stripes": 1 / spread[0]}
    assert [each["attribute"] for each in pair["apart"]] == sorted(expected, key=lambda name: -expected[name])
    for each in pair["apart"]:
        assert each["spreads"] == pytest.approx(expected[each["attribute"]], abs=1e-3)
    hooves = next(each for each in pair["apart"] if each["attribute"] == "hooves")
    assert dict(zip(pair["classes"], hooves["values"], strict=True)) == {"tiger": 0, "zebra": 8}


def test_with_a_model_the_cosine_is_the_mean_over_its_networks():
    chance = np.random.default_rng(1)
    views = tuple((chance.normal(size=4), chance.normal(size=(4, 4))) for _ in range(2))
    document = suggest(ZOO, replace(model(), views=views))
    for names, (cosine,) in closeness(document, "cosine").items():
        x, y = (ZOO.values[ZOO.index(name)].astype(np.float64) for name in sorted(names))
        slow = []
        for mean, view in views:
            a, b = view @ (x - mean), view @ (y - mean)
            slow.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        assert cosine == pytest.approx(np.mean(slow), abs=1e-5)


def test_attributes_are_listed_by_reliability_and_constant_ones_are_marked():
    reliability = {"stripes": 0.9, "hooves": -0.1, "tail": None, "weight": 0.2}
    facts = suggest(ZOO, model(reliability))["attribute_facts"]
    assert [(fact["name"], fact["reliability"]) for fact in facts] == [
        ("hooves", -0.1),
        ("weight", 0.2),
        ("stripes", 0.9),
        ("tail", None),
    ]
    assert [fact["name"] for fact in facts if fact["constant"]] == ["tail"]


def test_a_pair_separated_only_by_unreliable_attributes_has_advice():
    reliability = {"stripes": 0.9, "hooves": 0.7, "tail": 0.1, "weight": 0.2}
    document = suggest(ZOO, model(reliability), bound=0.9)
    pair = next(pair for pair in document["pairs"] if set(pair["classes"]) == {"horse", "pony"})
    assert pair["above"]
    assert pair["alike_but_seen"] == ["stripes", "hooves"]
    assert pair["advice"].startswith("Photos hardly show the largest differences between horse and pony (weight). ")


def test_redundant_attributes_are_found_at_any_scale_and_sign():
    values = np.random.default_rng(2).normal(size=(9, 3)).astype(np.float32)
    values = np.concatenate([values, 5 - 0.5 * values[:, :1]], axis=1)
    rows = {f"class {k}": row for k, row in enumerate(values.tolist())}
    assert suggest(table(rows, "a b c minus"))["redundant"] == [["a", "minus"]]


def test_values_outside_the_table_of_the_model_are_listed_the_most_extreme_first():
    odd = replace(ZOO, values=ZOO.values.copy())
    odd.values[0, 0], odd.values[1, 3] = 90, 1.0
    found = suggest(odd, model())["out_of_range"]
    assert found["count"] == 2
    assert [(each["class"], each["attribute"]) for each in found["values"]] == [
        ("zebra", "stripes"),
        ("horse", "weight"),
    ]
    assert found["values"][0]["range"] == [0, 9]


def test_classes_far_from_all_seen_classes_come_first():
    near = suggest(ZOO, model())["nearest_seen"]
    assert {each["class"] for each in near} == {"horse", "pony", "cat", "lynx"}
    assert [each["cosine"] for each in near] == sorted(each["cosine"] for each in near)
    assert next(each for each in near if each["class"] == "cat")["seen"] == "tiger"


def test_a_table_with_other_attributes_than_the_model_s_is_refused():
    with pytest.raises(InputFileError, match="lacks 1 of the model's 4 attributes"):
        suggest(table({"zebra": [1, 2, 3]}, "stripes hooves tail"), model())


@pytest.mark.parametrize("rows", [{"a": [1, 2]}, {"a": [1, 2], "b": [3, 4]}, {"a": [0, 0], "b": [0, 0]}])
def test_tables_of_one_or_two_classes_are_valid(rows: dict[str, list[float]]):
    document = suggest(table(rows, "x y"))
    assert len(document["pairs"]) == len(rows) - 1
    assert document["next"]


def test_the_description_space_of_the_shipped_model_is_that_of_its_networks():
    torch = pytest.importorskip("torch")
    from revcd_cli.checkpoint.model_file import load_checkpoint

    checkpoint, known = load_checkpoint("animals"), read_description_space("animals")
    values = checkpoint.classes.values
    parts = [network.precondition(torch.from_numpy(values)) for network in checkpoint.model.networks]
    units = [torch.nn.functional.normalize(part, dim=-1) for part in parts]
    expected = sum(unit @ unit.T for unit in units) / len(units)
    mine = known.units(values)
    np.testing.assert_allclose(mine @ mine.T, expected.detach().numpy(), atol=1e-4)


def test_a_constant_attribute_never_matters(tmp_path: Path):
    values = np.random.default_rng(3).normal(size=(6, 3))
    with_constant = np.concatenate([values, np.full((6, 1), 0.1)], axis=1)
    np.testing.assert_allclose(own_units(with_constant)[:, :3], own_units(values), atol=1e-6)
