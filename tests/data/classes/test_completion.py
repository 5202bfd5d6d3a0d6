"""Class tables with gaps or few columns, completed by imputing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from revcd_cli.checkpoint.model_file import read_class_table
from revcd_cli.data.classes.attributes import ClassAttributes, write_attribute_csv
from revcd_cli.data.classes.completion import complete, read_complete_csv
from revcd_cli.data.classes.imputation import RowDistribution
from revcd_cli.errors import InputFileError


@pytest.fixture(scope="module")
def animals() -> ClassAttributes:
    return read_class_table("animals")


def part(table: ClassAttributes, columns: list[int]) -> ClassAttributes:
    names = tuple(table.attributes[column] for column in columns)
    return replace(table, attributes=names, values=table.values[:, columns])


def test_gaps_of_a_file_are_imputed_from_its_own_rows(animals: ClassAttributes, tmp_path: Path):
    path = tmp_path / "mine.csv"
    write_attribute_csv(path, animals)
    lines = path.read_text().splitlines()
    zebra = animals.index("zebra")
    cells = lines[zebra + 1].split(",")
    grazer = animals.attributes.index("grazer")
    cells[grazer + 1] = ""
    lines[zebra + 1] = ",".join(cells)
    path.write_text("\n".join(lines))
    with pytest.raises(InputFileError, match="--missing impute"):
        read_complete_csv(path)
    done, mean = read_complete_csv(path, missing="impute"), read_complete_csv(path, missing="mean")
    true = animals.values[zebra, grazer]
    assert abs(done.values[zebra, grazer] - true) < 0.5 * abs(mean.values[zebra, grazer] - true)
    assert (done.filled, mean.filled) == (1, 1)
    assert f"1 of {animals.values.size:,} values were missing" in done.filled_text and 0 < done.imputed_error < 1
    keep = np.ones_like(done.values, dtype=bool)
    keep[zebra, grazer] = False
    np.testing.assert_array_equal(done.values[keep], animals.values[keep])


def test_a_table_of_few_columns_gets_the_others_of_the_model(animals: ClassAttributes):
    columns = list(range(0, 85, 2))
    few = replace(part(animals, columns[::-1]), names=tuple(f"new {name}" for name in animals.names))
    done = complete(few, animals)
    assert done.attributes == animals.attributes and done.filled == 42 * len(animals.names)
    expected = RowDistribution.of(animals.values).given(columns, animals.values[:, columns])
    inside = expected.values.clip(animals.values.min(0), animals.values.max(0))
    np.testing.assert_allclose(done.values, inside, rtol=1e-4, atol=1e-3)


def test_rows_of_the_model_s_own_classes_get_the_model_s_values(animals: ClassAttributes):
    done = complete(part(animals, [3, 20, 50, 51, 60]).select(["Zebra", "polar+bear"]), animals)
    rows = [animals.index("zebra"), animals.index("polar bear")]
    np.testing.assert_array_equal(done.values, animals.values[rows])
    assert done.filled == 0


def test_unknown_columns_and_tables_without_common_columns_are_refused(animals: ClassAttributes):
    few = part(animals, [0, 1, 2])
    with pytest.raises(InputFileError, match='does not know: "hats"'):
        complete(replace(few, attributes=("black", "hats", "blue")), animals)
    with pytest.raises(InputFileError, match="lacks 85"):
        complete(replace(few, attributes=("hats", "shoes", "gloves")), animals)


@pytest.mark.parametrize("with_reference", [False, True])
def test_an_incomplete_row_on_another_scale_is_refused(with_reference: bool, animals: ClassAttributes):
    values = animals.values.copy()
    values[3] /= 100
    values[3, :30] = np.nan
    names = tuple(f"new {name}" for name in animals.names)
    with pytest.raises(InputFileError, match=r'"new .*" is on another scale'):
        complete(replace(animals, names=names, values=values), animals if with_reference else None)


def test_a_column_without_any_value_needs_a_reference(animals: ClassAttributes):
    values = animals.values.copy()
    values[:, 7] = np.nan
    with pytest.raises(InputFileError, match='no class has a value of attribute "yellow"'):
        complete(replace(animals, values=values))
    assert not np.isnan(complete(replace(animals, values=values), animals).values).any()
