"""Faults 48 to 65 and 67: class tables, given to `revcd predict --classes`."""

from __future__ import annotations

import functools
import math
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from revcd_cli.checkpoint.model_file import read_class_table

from ..runner import MEGABYTE, Fault, Run, Workspace
from .unusual_images import scores

Lines = list[list[str]]
EXAMPLE = "class,stripes,hooves"
TABLE = "table.csv"


@functools.cache
def own_table() -> tuple[tuple[str, ...], ...]:
    """Return the header and six classes of the shipped model's table, as text."""
    table = read_class_table("animals")
    rows = [(name, *(f"{value:g}" for value in row)) for name, row in zip(table.names, table.values, strict=True)]
    return (("class", *table.attributes), *rows[:6])


def text(lines: Lines, separator: str = ",", end: str = "\n") -> str:
    return "".join(separator.join(cells) + end for cells in lines)


def changed(change: Callable[[Lines], None]) -> Callable[[], str]:
    """Return a function that makes the table with a change."""

    def content() -> str:
        lines = [list(cells) for cells in own_table()]
        change(lines)
        return text(lines)

    return content


def cell(line: int, column: int, value: str) -> Callable[[], str]:
    """Return a function that makes the table with another value in one cell; line and column count from 1."""

    def change(lines: Lines) -> None:
        lines[line - 1][column - 1] = value

    return changed(change)


def given(content: Callable[[], str | bytes]) -> Callable[[Workspace], list[str]]:
    def make(workspace: Workspace) -> list[str]:
        return workspace.predict(workspace.good(), "--classes", workspace.write(TABLE, content()), top_k=3)

    return make


def refused(number: int, case: str, content: Callable[[], str | bytes], *says: str) -> Fault:
    """Return the case of a table that is refused, with the position of the error."""
    return Fault(number, case, given(content), 4, says=(TABLE, *says))


def accepted(
    number: int,
    case: str,
    content: Callable[[], str | bytes],
    *says: str,
    then: Callable | None = None,
    differs: str = "",
) -> Fault:
    """Return the case of a table that is accepted; by default the predictions equal those of the plain table."""
    return Fault(number, case, given(content), 0, says=says, then=then or same_answers, leaves=("answers.csv",))


def _without_digest(answers: Path) -> list[bytes]:
    """Return the lines of a CSV file without the digest of the class table, which is their last column."""
    lines = answers.read_bytes().splitlines(keepends=True)
    assert lines[0].rstrip().endswith(b",table"), lines[0]
    return [line.rpartition(b",")[0] for line in lines]


def same_answers(workspace: Workspace, run: Run) -> None:
    """Assert that the output equals that of the plain table, byte for byte, but for the digest of the table."""
    before = _without_digest(workspace.answers)
    plain = workspace.write("plain.csv", text([list(cells) for cells in own_table()]))
    again = workspace.run(
        [*workspace.predict(workspace.inputs / "good.png", "--classes", plain, top_k=3), "--overwrite"]
    )
    (workspace.inputs / "plain.csv").unlink()
    assert again.code == 0
    assert _without_digest(workspace.answers) == before


def finite_answers(workspace: Workspace, run: Run) -> None:
    """Assert that there is one prediction, with a finite probability."""
    (answer,) = scores(workspace).values()
    assert answer[0] and math.isfinite(answer[1])


def plain() -> str:
    return text([list(cells) for cells in own_table()])


def spaced() -> str:
    head, *rows = plain().splitlines()
    return "\n".join(["# made by hand", "", head, "  ", *(row.replace(",", " , ") + "  " for row in rows), ""])


def permuted(lines: Lines) -> None:
    order = [0, *random.Random(0).sample(range(1, len(lines[0])), len(lines[0]) - 1)]
    lines[:] = [[cells[column] for column in order] for cells in lines]


def with_column(name: str) -> Callable[[Lines], None]:
    def change(lines: Lines) -> None:
        for cells in lines:
            cells.append("1")
        lines[0][-1] = name

    return change


def without_column(lines: Lines) -> None:
    for cells in lines:
        del cells[-1]


def first_twice(lines: Lines) -> None:
    lines[0][2] = lines[0][1]


def misspelt(lines: Lines) -> None:
    lines[0][11] += "s"


def renamed(lines: Lines) -> None:
    lines[0][1:] = [f"trait {number}" for number in range(len(lines[0]) - 1)]


def same_row_again(name: str, line: int) -> Callable[[Lines], None]:
    return lambda lines: lines.append([name, *lines[line - 1][1:]])


def filled(name: str, value: str) -> Callable[[Lines], None]:
    return lambda lines: lines.append([name, *[value] * (len(lines[0]) - 1)])


def scaled(factor: float) -> Callable[[Lines], None]:
    def change(lines: Lines) -> None:
        for cells in lines[1:]:
            cells[1:] = [f"{float(value) * factor:g}" for value in cells[1:]]

    return change


def one_row(convert: Callable[[float], float]) -> Callable[[Lines], None]:
    """Return a change of the values of the first class only."""

    def change(lines: Lines) -> None:
        lines[1][1:] = [f"{convert(float(value)):g}" for value in lines[1][1:]]

    return change


def rescaled(content: Callable[[], str]) -> Callable[[Workspace], list[str]]:
    return lambda workspace: [*given(content)(workspace), "--rescale-rows"]


def reversed_values(lines: Lines) -> None:
    lines[1][1:] = lines[1][:0:-1]


def named(name: str, line: int = 2) -> Callable[[], str]:
    return cell(line, 1, '"' + name.replace('"', '""') + '"')


def giant(workspace: Workspace) -> list[str]:
    path = workspace.write(TABLE, plain())
    os.truncate(path, 1 << 30)
    return workspace.predict(workspace.good(), "--classes", path)


def little_memory(workspace: Workspace, run: Run) -> None:
    usual = workspace.run(workspace.predict(workspace.inputs / "good.png", "--overwrite"))
    assert run.memory < usual.memory + 50 * MEGABYTE


def no_table(make: Callable[[Workspace], str]) -> Callable[[Workspace], list[str]]:
    return lambda workspace: workspace.predict(workspace.good(), "--classes", make(workspace))


def a_folder(workspace: Workspace) -> str:
    (workspace.inputs / TABLE).mkdir()
    return str(workspace.inputs / TABLE)


def latin_1() -> bytes:
    return named("b\u00e4r")().encode("latin-1")


PLACE = f"{TABLE}:3:4: "
NUMBERS = {"nan": "finite", "inf": "finite", "1e400": "too large", "1_000": "not a plain number"}
NUMBERS |= {"0x1": "not a plain number", "yes": "not a plain number", "50%": "a percentage", "\u0663": "digits"}
OTHER_SCALES = {
    "a hundredth of the scale": scaled(0.01),
    "fifty times the scale": scaled(50),
    "one row on 0 to 1": one_row(lambda value: value / 100),
    "one row on 0 to 10": one_row(lambda value: value / 10),
    "one row of yes and no": one_row(lambda value: float(value > 30)),
    "one row of z-scores": one_row(lambda value: (value - 25) / 20),
}
FAULTS: Sequence[Fault] = (
    *(
        refused(64, case, changed(change), "on another scale than the model's table")
        for case, change in OTHER_SCALES.items()
    ),
    *(
        Fault(
            64,
            f"{case}, rescaled",
            rescaled(changed(change)),
            0,
            says=("row",),
            then=finite_answers,
            leaves=("answers.csv",),
        )
        for case, change in OTHER_SCALES.items()
    ),
    Fault(
        48,
        "missing",
        no_table(lambda workspace: str(workspace.inputs / TABLE)),
        4,
        says=(TABLE, "no such file", EXAMPLE),
    ),
    Fault(48, "a folder", no_table(a_folder), 4, says=(TABLE, "is a folder", EXAMPLE)),
    refused(48, "empty", lambda: "", "is empty", EXAMPLE),
    refused(48, "only a header", lambda: plain().splitlines()[0], "no class below", EXAMPLE),
    refused(48, "one column", lambda: "class\nox\nzebra\n", "one column only", EXAMPLE),
    accepted(49, "UTF-8 with a byte order mark", lambda: "\ufeff" + plain()),
    accepted(49, "UTF-16 with a byte order mark", lambda: plain().encode("utf-16")),
    refused(49, "Latin-1", latin_1, "the byte at offset", "0xe4", f"{TABLE}:2"),
    accepted(50, "semicolons", lambda: plain().replace(",", ";")),
    accepted(50, "tabs", lambda: plain().replace(",", "\t")),
    refused(51, "a decimal comma", lambda: cell(3, 4, "0!5")().replace(",", ";").replace("!", ","), PLACE, "0.5"),
    refused(51, "a decimal comma among commas", cell(3, 4, "0,5"), f"{TABLE}:3:87", "Decimals need a point"),
    accepted(52, "CRLF", lambda: plain().replace("\n", "\r\n")),
    accepted(52, "CR alone", lambda: plain().replace("\n", "\r")),
    accepted(52, "blank lines, comments, spaces, no last newline", spaced),
    refused(53, "a cell too few", changed(lambda lines: lines[2].pop()), f"{TABLE}:3:86", "ends too early"),
    refused(53, "a cell too many", changed(lambda lines: lines[2].append("1")), f"{TABLE}:3:87", "too long"),
    *(refused(54, f"a cell with {value!a}", cell(3, 4, value), PLACE, why) for value, why in NUMBERS.items()),
    accepted(54, "minus one, a number like others", cell(3, 4, "-1"), then=finite_answers),
    refused(
        55, "a class twice", changed(lambda lines: same_row_again(lines[2][0], 2)(lines)), "on line 3 and on line 8"
    ),
    refused(
        55,
        "a class twice, differing in case and spaces",
        changed(lambda lines: same_row_again(f"  {lines[2][0].upper()} ", 2)(lines)),
        "on line 3 and on line 8",
    ),
    refused(55, "a class without a name", cell(3, 1, " "), f"{TABLE}:3:1", "name of the class is empty"),
    refused(56, "an attribute twice", changed(first_twice), f"{TABLE}:1:3", "columns 2 and 3"),
    accepted(57, "columns in another order", changed(permuted)),
    refused(58, "an attribute missing", changed(without_column), f"{TABLE}:1", "lacks 1 of the model's 85"),
    refused(58, "an attribute misspelt", changed(misspelt), f"{TABLE}:1:12", "did you mean"),
    refused(58, "an attribute too many", changed(with_column("wings")), f"{TABLE}:1:87", '"wings"'),
    refused(59, "no header", lambda: "".join(plain().splitlines(True)[1:]), "a header", EXAMPLE),
    refused(60, "as many attributes, but others", changed(renamed), f"{TABLE}:1", "lacks 85", "and 75 more"),
    refused(61, "an open quote", cell(4, 1, '"ox'), f"{TABLE}:4", "a quote that opens here is not closed"),
    accepted(61, "a line break in a name", named("two\nlines"), then=finite_answers),
    accepted(61, "a comma in a name", named("bear, brown"), then=finite_answers),
    refused(62, "a NUL byte", cell(3, 1, "o\0x"), f"{TABLE}:3", "NUL"),
    refused(62, "a cell of 200,000 characters", cell(3, 1, "x" * 200_000), f"{TABLE}:3", "131,072 characters"),
    Fault(62, "a file of 1 GB", giant, 4, says=(TABLE, "1,024 MB"), then=little_memory),
    *(
        accepted(number, case, changed(change), *says, then=finite_answers)
        for number, case, change, *says in (
            (63, "a row of zeros", filled("nothing", "0"), "no description"),
            (63, "a row of one value", filled("flat", "30"), "the same value"),
            (63, "two equal rows", same_row_again("twin", 2), "the first in the table is always predicted"),
            (65, "a single class", lambda lines: lines.__delitem__(slice(2, None)), "has one class"),
            (67, "a known class with another description", reversed_values, "described differently"),
        )
    ),
)
