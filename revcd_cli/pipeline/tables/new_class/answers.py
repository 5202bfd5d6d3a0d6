"""Answers about a new class from options and files: `attribute,value` lines, drafts, and replies of language models."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ....data.classes.attributes import class_key
from ....data.classes.csv_table import CsvTable, open_csv
from ....errors import InputFileError, UsageError, listed
from .draft import ASKED, SET
from .reply import Reply, correct
from .session import NewClass

EXAMPLE = "attribute,value\nstripes,60\nlongneck,much"
_UNKNOWN = ("", "?")  # cells that give no answer


def set_values(new: NewClass, settings: Iterable[str]) -> None:
    """Take answers of the form "stripes=60" or "longneck=much". Raises `UsageError`."""
    for setting in settings:
        attribute, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f'"{setting}" is not of the form ATTRIBUTE=VALUE, such as stripes=60.')
        column = new.column(attribute)
        try:
            new.give(column, new.parse(column, text), SET)
        except ValueError as error:
            raise UsageError(f"{attribute}: {error}.") from error


def parse_likeness(text: str) -> list[tuple[str, float]]:
    """Return classes and weights from "zebra,giraffe:0.5"; a class without a number has weight 1."""
    found = []
    for part in text.split(","):
        name, colon, weight = part.rpartition(":")
        if not colon:
            name, weight = part, "1"
        try:
            found.append((name.strip(), float(weight)))
        except ValueError as error:
            raise UsageError(f'"{part}": the weight "{weight}" is not a number.') from error
        if not name.strip():
            raise UsageError(f'"{text}" names no class before a comma or colon.')
    return found


def take_answers(new: NewClass, path: Path, data: bytes | None = None) -> list[str]:
    """Take the answers of a file: of columns `attribute` and `value`, a draft, or the reply of a language model.

    data: its content, if it was read already. Returns notes for the user. Raises `InputFileError` with the line of an
    unknown attribute or of a wrong value.
    """
    table = open_csv(path, example=EXAMPLE, data=data, first_cells=("attribute", "class"))
    header = [name.casefold() for name in table.header]
    if header[:2] == ["class", "attribute"] and {"value", "origin"} <= set(header):
        return _take_draft(new, table, header)
    if header[0] != "attribute" or len(header) < 2:
        raise InputFileError(
            path,
            f'has the columns {listed(table.header, 5)}; expected "attribute" and "value".',
            line=table.header_line,
            hint=f"Expected answers such as:\n{EXAMPLE}",
        )
    if "value" in header:
        return _take_values(new, table, header.index("value"))
    return _take_reply(new, table)


def _take_values(new: NewClass, table: CsvTable, place: int) -> list[str]:
    lines: dict[int, int] = {}
    for line, cells in table.rows():
        column = _column(new, table, line, cells[0], 1, lines)
        if cells[place] not in _UNKNOWN:
            new.give(column, _value(new, table, line, place, cells), SET)
    return []


def _take_draft(new: NewClass, table: CsvTable, header: list[str]) -> list[str]:
    value, origin = header.index("value"), header.index("origin")
    of_others: list[str] = []
    lines: dict[int, int] = {}
    taken = 0
    for line, cells in table.rows():
        if class_key(cells[0]) != class_key(new.name):
            of_others.append(cells[0])
        elif cells[origin] in (ASKED, SET):
            column = _column(new, table, line, cells[1], 2, lines)
            new.give(column, _value(new, table, line, value, cells, 1), cells[origin])
            taken += 1
    if of_others and not taken:
        others = listed(list(dict.fromkeys(of_others)), 5)
        raise InputFileError(table.path, f'has no answers for "{new.name}"; it describes {others}.')
    return [f"{taken:,} answers of an earlier draft were taken."]


def _take_reply(new: NewClass, table: CsvTable) -> list[str]:
    """Take the values of a reply that has control classes, corrected by these."""
    names = table.header[1:]
    own = [place for place, name in enumerate(names) if class_key(name) == class_key(new.name)]
    if not own:
        raise InputFileError(
            table.path, f'has no column "value" and none called "{new.name}".', line=table.header_line, column=2
        )
    others = [name for place, name in enumerate(names) if place != own[0]]
    classes = new.neighbours.table
    controls = [classes.index(name) for name in others]
    if len(set(map(class_key, names))) < len(names):
        raise InputFileError(table.path, "has two columns for one class.", line=table.header_line)
    lines: dict[int, int] = {}
    columns: list[int] = []
    answers: list[float] = []
    of_controls: list[list[float]] = []
    for line, cells in table.rows():
        if any(cell in _UNKNOWN for cell in cells):
            continue
        columns.append(_column(new, table, line, cells[0], 1, lines))
        values = [_value(new, table, line, place, cells) for place in range(1, len(cells))]
        answers.append(values.pop(own[0]))
        of_controls.append(values)
    reply = Reply(columns, answers, of_controls, controls)
    corrected = correct(reply, classes, table.path)
    for column, value, spread in corrected.values:
        new.give(column, value, SET, spread)
    return list(corrected.notes)


def _column(new: NewClass, table: CsvTable, line: int, attribute: str, place: int, lines: dict[int, int]) -> int:
    """Return the column of an attribute in a cell. lines: where earlier attributes were, by column."""
    try:
        column = new.column(attribute)
    except UsageError as error:
        raise InputFileError(table.path, error.message, line=line, column=place) from error
    if lines.setdefault(column, line) != line:
        raise InputFileError(
            table.path,
            f'attribute "{attribute}" is on line {lines[column]} and on line {line}.',
            line=line,
            column=place,
        )
    return column


def _value(new: NewClass, table: CsvTable, line: int, place: int, cells: list[str], attribute: int = 0) -> float:
    try:
        return new.parse(new.column(cells[attribute]), cells[place])
    except ValueError as error:
        raise InputFileError(
            table.path, f'the value of "{cells[attribute]}" is wrong: {error}.', line=line, column=place + 1
        ) from error
