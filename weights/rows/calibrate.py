"""Compare the blind rows with AwA2's values, and calibrate the written rows by it: python weights/rows/calibrate.py

Reads blind_awa2.csv, written.csv and AwA2's table from ../animals.safetensors. For each attribute a straight line from
blind to official value is fitted by least squares on AwA2's 50 classes. Writes calibration.csv (agreement and line of
each attribute), mammals.csv (written.csv through these lines, limited to 0-100) and agreement.md, which is a section of
the model card.
"""

from __future__ import annotations

import csv
import io
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from revcd_cli.checkpoint.model_file import read_class_table
from revcd_cli.system.files import write_bytes

HERE = Path(__file__).parent
# AwA2's table has no value in these cells; the model's table has the attribute's mean there.
MISSING = ("antelope", ("black", "white", "blue", "brown"))


@dataclass(frozen=True)
class Table:
    """Rows of attribute values. values: (C, A)."""

    classes: tuple[str, ...]
    attributes: tuple[str, ...]
    values: np.ndarray


def read_table(path: Path) -> Table:
    """Read a CSV file with the column `class` and one column per attribute."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return Table(tuple(row[0] for row in rows), tuple(header[1:]), np.array([row[1:] for row in rows], float))


def official_values(like: Table) -> np.ndarray:
    """Return AwA2's values in the order of `like`, not-a-number where AwA2 has none: (C, A)."""
    table = read_class_table(HERE.parent / "animals.safetensors")
    values = np.array(table.values, float)
    values = values[[table.names.index(name) for name in like.classes]]
    values = values[:, [list(table.attributes).index(name) for name in like.attributes]]
    name, attributes = MISSING
    values[like.classes.index(name), [like.attributes.index(attribute) for attribute in attributes]] = np.nan
    return values


def lines(blind: np.ndarray, official: np.ndarray) -> np.ndarray:
    """Return slope and intercept of the least-squares line from blind to official of each attribute: (A, 2)."""
    fits = []
    for x, y in zip(blind.T, official.T, strict=True):
        there = ~np.isnan(y)
        fits.append(np.polyfit(x[there], y[there], 1))
    return np.array(fits)


def corrected(values: np.ndarray, fits: np.ndarray) -> np.ndarray:
    """Return values (C, A) through the lines (A, 2), limited to 0-100."""
    return np.clip(values * fits[:, 0] + fits[:, 1], 0, 100)


def left_out(blind: np.ndarray, official: np.ndarray) -> np.ndarray:
    """Return each blind row through lines that were fitted without it: (C, A)."""
    others = ~np.eye(len(blind), dtype=bool)
    return np.stack([corrected(blind[i], lines(blind[keep], official[keep])) for i, keep in enumerate(others)])


def correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the Pearson correlation of each column of two tables (N, M), without cells that are not a number: (M,)."""
    one = np.where(np.isnan(other), np.nan, one)
    one, other = one - np.nanmean(one, 0), other - np.nanmean(other, 0)
    return np.nansum(one * other, 0) / np.sqrt(np.nansum(one**2, 0) * np.nansum(other**2, 0))


def main() -> None:
    blind, written = read_table(HERE / "blind_awa2.csv"), read_table(HERE / "written.csv")
    official = official_values(blind)
    fits = lines(blind.values, official)
    by_attribute = correlations(blind.values, official)
    errors = np.abs(blind.values - official)
    after = np.abs(left_out(blind.values, official) - official)
    spread = np.nanstd(official, 0)
    by_class = correlations(  # of differences from the attributes' means, in standard deviations
        ((blind.values - blind.values.mean(0)) / spread).T, ((official - np.nanmean(official, 0)) / spread).T
    )
    columns = zip(blind.attributes, by_attribute, np.nanmean(errors, 0), np.nanmean(after, 0), *fits.T, strict=True)
    write_rows(
        HERE / "calibration.csv",
        ("attribute", "correlation", "error", "error_corrected", "slope", "intercept"),
        [(name, *(f"{number:.3f}" for number in numbers)) for name, *numbers in columns],
    )
    values = corrected(written.values, fits)
    write_rows(
        HERE / "mammals.csv",
        ("class", *written.attributes),
        [(name, *(f"{value:.1f}" for value in row)) for name, row in zip(written.classes, values, strict=True)],
    )
    write_bytes(
        HERE / "agreement.md",
        section(blind, by_attribute, by_class, float(np.nanmean(errors)), float(np.nanmean(after))).encode(),
    )


def write_rows(path: Path, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Write a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_bytes(path, text.getvalue().encode())


def section(blind: Table, by_attribute: np.ndarray, by_class: np.ndarray, error: float, after: float) -> str:
    """Return the section of the model card; correlations by attribute (A,) and by class (C,)."""
    facts = {
        "correlation by attribute, over the classes": _summary(by_attribute),
        "correlation by class, over the attributes (differences from their means)": _summary(by_class),
        "mean absolute error, on the scale 0-100": f"{error:.1f}",
        "the same after a straight line for each attribute, fitted on the other classes": f"{after:.1f}",
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    return f"""## Written rows

`rows/mammals.csv` describes mammals that are ImageNet-1k classes and not AwA2's; `rows/README.md` says how they were
written. To measure how good such rows are, AwA2's own {len(blind.classes)} rows were written before AwA2's values were
read (`rows/blind_awa2.csv`), and then compared with them (`python weights/rows/calibrate.py`):

| | |
|---|---|
{rows}

That the writer had met AwA2's values before cannot be excluded, so rows of classes that nobody has rated may be worse.
The lines, fitted on all {len(blind.classes)} classes (`rows/calibration.csv`), are applied to the written rows.

Correlation by attribute: {listed(blind.attributes, by_attribute)}.

Correlation by class: {listed(blind.classes, by_class)}.
"""


def _summary(values: np.ndarray) -> str:
    return f"mean {values.mean():.2f}, median {np.median(values):.2f}, least {values.min():.2f}"


def listed(names: tuple[str, ...], values: np.ndarray) -> str:
    """Return names with their values, the largest first, in lines of at most 120 characters."""
    text = ", ".join(f"{names[index]} {values[index]:.2f}" for index in np.argsort(-values, kind="stable"))
    return textwrap.fill(text, 120, initial_indent=" " * 26)[26:]  # room for the words before the list


if __name__ == "__main__":
    main()
