"""Rows and columns on another scale are found, rescaled rows are the original ones, and real tables have no finding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from revcd_cli.data.classes.attributes import ClassAttributes, read_attribute_csv
from revcd_cli.data.classes.scale import column_comparison, column_findings, rescale_rows, row_findings

KNOWN = np.round(100 * np.random.default_rng(0).beta(0.8, 2, (30, 40)), 1)  # percentages, as those of the animals
NEW = np.round(100 * np.random.default_rng(1).beta(0.8, 2, (1, 40)), 1)
MEAN, DEVIATION = KNOWN.mean(axis=0), KNOWN.std(axis=0)
OTHER_SCALES = {
    "0 to 1": lambda row: row / 100,
    "0 to 10": lambda row: row / 10,
    "0 to 5": lambda row: row / 20,
    "0 to 1000": lambda row: row * 10,
    "1 to 5": lambda row: np.round(1 + row / 25),
    "yes or no": lambda row: (row > MEAN).astype(float),
    "z-scores": lambda row: (row - MEAN) / DEVIATION,
}


def table(values: np.ndarray, prefix: str = "known") -> ClassAttributes:
    names = tuple(f"{prefix} {row}" for row in range(len(values)))
    attributes = tuple(f"trait {column}" for column in range(values.shape[1]))
    return ClassAttributes(names, attributes, np.asarray(values, np.float32), "table.csv", "")


@pytest.mark.parametrize("convert", OTHER_SCALES.values(), ids=list(OTHER_SCALES))
def test_a_row_on_another_scale_is_an_error_that_names_it(convert: Callable[[np.ndarray], np.ndarray]):
    assert row_findings(table(NEW, "new"), table(KNOWN)) == []
    (finding,) = row_findings(table(convert(NEW), "new"), table(KNOWN))
    assert (finding.rank, finding.items) == ("error", ("new 0",))
    own = table(np.vstack([KNOWN, convert(NEW)]))
    (finding,) = row_findings(own)  # among its own table's rows
    assert (finding.rank, finding.items) == ("error", ("known 30",))


@pytest.mark.parametrize("name", ["0 to 1", "0 to 10", "0 to 1000", "z-scores"])
def test_a_rescaled_row_is_the_original_one(name: str):
    converted, notes = rescale_rows(table(OTHER_SCALES[name](NEW), "new"), table(KNOWN))
    np.testing.assert_allclose(converted.values, NEW, rtol=1e-5, atol=1e-4 if name != "z-scores" else 30)
    assert len(notes) == 1 and '"new 0"' in notes[0]
    assert row_findings(converted, table(KNOWN)) == []


def test_a_row_of_yes_and_no_becomes_usual_low_and_high_values():
    converted, notes = rescale_rows(table(OTHER_SCALES["yes or no"](NEW), "new"), table(KNOWN))
    assert np.corrcoef(converted.values[0], NEW[0])[0, 1] > 0.8
    assert "0 and 1" in notes[0]
    assert row_findings(converted, table(KNOWN)) == []


def test_rows_on_the_usual_scale_are_not_rescaled():
    whole = table(KNOWN)
    unchanged, notes = rescale_rows(table(NEW, "new"), whole)
    assert notes == [] and (unchanged.values == NEW.astype(np.float32)).all()
    assert rescale_rows(whole)[1] == []


@pytest.mark.parametrize("seed", range(20))
def test_random_tables_have_no_row_on_another_scale(seed: int):
    chance = np.random.default_rng(seed)
    kinds = (
        chance.uniform(0, 1, (12, 8)),
        chance.normal(size=(12, 20)),
        (chance.random((20, 16)) < 0.4) + np.eye(20, 16),
    )
    for values in kinds:
        assert [finding for finding in row_findings(table(values)) if finding.rank == "error"] == []


def test_a_single_value_far_outside_its_column_is_a_warning():
    typed = NEW.copy()
    typed[0, 3] = 4_000
    (finding,) = row_findings(table(np.vstack([KNOWN, typed])))
    assert (finding.rank, finding.kind, finding.items) == ("warning", "far value", ("known 30: trait 3",))


BINARY = (KNOWN > MEAN).astype(float)
GRAMS = np.random.default_rng(2).lognormal(8, 2, 30)


@pytest.mark.parametrize(
    ("values", "kind", "columns"),
    [
        (np.c_[BINARY, np.arange(30)], "running number", {"trait 40"}),
        (np.c_[KNOWN, np.arange(30, 0, -1)], "running number", {"trait 40"}),
        (np.c_[KNOWN, np.random.default_rng(3).permutation(30)], "running number", {"trait 40"}),
        (np.c_[BINARY, GRAMS], "column scale", {"trait 40"}),
        (np.c_[KNOWN, 100 * GRAMS], "column scale", {"trait 40"}),
        (np.c_[BINARY, GRAMS, GRAMS[::-1] / 5], "column scale", {"trait 40", "trait 41"}),
        (np.c_[BINARY[:, :20], KNOWN[:, :8]], "column scale", {f"trait {20 + k}" for k in range(8)}),
        (np.c_[BINARY[:, 0], KNOWN[:, 1]], "column scale", {"trait 1"}),
    ],
    ids=["id", "falling id", "shuffled id", "grams", "grams in percent", "grams and another", "percent", "two columns"],
)
def test_a_column_on_another_scale_or_of_running_numbers_is_an_error_or_a_warning(
    values: np.ndarray, kind: str, columns: set[str]
):
    for rank in ("error", "warning"):
        (finding,) = column_findings(table(values), rank=rank)
        assert (finding.rank, finding.kind, set(finding.items)) == (rank, kind, columns)


def test_a_named_id_column_needs_no_order():
    ids = np.random.default_rng(4).choice(9_999, 30, replace=False)
    named = table(np.c_[KNOWN, ids])
    named = replace(named, attributes=(*named.attributes[:-1], "ID"))
    assert [finding.kind for finding in column_findings(named)] == ["running number"]


def test_a_constant_column_is_a_warning():
    (finding,) = column_findings(table(np.c_[KNOWN, np.full(30, 7)]))
    assert (finding.rank, finding.kind, finding.items) == ("warning", "constant column", ("trait 40",))


def test_a_column_in_another_unit_than_the_models_is_an_error():
    grams = np.linspace(100, 5_000, 30)
    model, rows = np.c_[KNOWN, grams], np.c_[KNOWN, grams / 1000][:5]
    (finding,) = column_comparison(table(rows), table(model))
    assert (finding.rank, finding.items) == ("error", ("trait 40",))
    assert column_comparison(table(model[:5]), table(model)) == []


def test_the_real_tables_have_no_finding(shared_data: Path):
    animals = read_attribute_csv(shared_data / "animals" / "attributes.csv", missing="mean")
    assert row_findings(animals) == [] and column_findings(animals) == []
    for row in range(len(animals.names)):
        others = replace(animals, values=np.delete(animals.values, row, axis=0), names=animals.names[1:])
        one = animals.select([animals.names[row]])
        assert row_findings(one, others) == []
