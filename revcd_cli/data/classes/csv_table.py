"""Read CSV files with the line and cell of each error.

Encodings: UTF-8, UTF-16 and UTF-32, with or without a byte-order mark (UTF-32: with). Separators: comma, semicolon or
tab, found from the header or a line `sep=;` above it. Any line ending. Quoted cells may contain separators and line
breaks. Skipped are blank lines, rows whose cells are all empty, empty columns at the end, and lines that begin with `#`
above the header; below it, such a line is a row. `CsvTable.notes` says what was skipped or understood.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import itertools
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputFileError, why_absent

MAX_BYTES = 256 << 20  # a table of 50,000 classes and 312 attributes has about 100 MB
_DELIMITERS = (",", ";", "\t")
_SEPARATOR_LINE = re.compile(r'\s*"?sep=(?P<separator>[,;\t|])"?[ ,;\t]*(?=\r?\n|\r)', re.IGNORECASE).match
_SAMPLE = 4096  # bytes that are tested for UTF-16 without a mark


@dataclass(frozen=True)
class CsvTable:
    """A CSV file whose header has been read. Columns and lines count from 1, as in spreadsheets and editors."""

    path: Path
    sha256: str  # of the file's bytes
    header: tuple[str, ...]  # stripped
    header_line: int
    delimiter: str
    text: str
    notes: tuple[str, ...] = ()  # what was understood of an unusual file
    encoding: str = "utf-8-sig"  # with which the file can be decoded
    comments_below: bool = False  # whether lines that begin with # are comments below the header, too

    def rows(self, exact: int | None = None) -> Iterator[tuple[int, list[str]]]:
        """Yield (first line, stripped cells) of each row below the header.

        exact: a column, counted from 0, whose cells are not stripped.
        Raises `InputFileError` for a row with more or fewer cells than the header.
        """
        width = len(self.header)
        for line, record in itertools.islice(self._records(), 1, None):
            cells = [cell if column == exact else cell.strip() for column, cell in enumerate(record)]
            if not any(map(str.strip, cells)):
                continue
            while len(cells) > width and not cells[-1].strip():
                cells.pop()  # spreadsheets write empty columns
            if len(cells) < width:
                raise InputFileError(
                    self.path,
                    f'the row of "{cells[0]}" ends too early: it has {_cells(len(cells))}, the header has {width}, '
                    f'so "{self.header[len(cells)]}" is missing.',
                    line=line,
                    column=len(cells) + 1,
                    hint="A line that begins with # is a comment only above the header."
                    if record[0].startswith("#")
                    else None,
                )
            if len(cells) > width:
                raise InputFileError(
                    self.path,
                    f'the row of "{cells[0]}" is too long: it has {_cells(len(cells))}, the header has {width}.',
                    line=line,
                    column=width + 1,
                    hint="Remove the surplus. Decimals need a point, and text that contains a separator needs quotes."
                    if self.delimiter == ","
                    else "Remove the surplus, or quote text that contains a separator.",
                )
            yield line, cells

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        return _records(self.path, self.text, self.delimiter, self.comments_below)


def open_csv(
    path: Path,
    *,
    example: str,
    data: bytes | None = None,
    first_cells: Collection[str] | None = None,
    comments_below: bool = False,
) -> CsvTable:
    """Read a CSV file and its header. Raises `InputFileError`, which shows `example` for a missing or empty file.

    data: the content, if it was read already; path is then its name in messages. first_cells: names with which the
    header may begin, in lower case; text before it is ignored, and text from a line with ``` on. comments_below: skip
    lines that begin with # below the header, too, for files that revcd writes with such lines.
    """
    path = Path(path).expanduser()
    data = _read(path, example) if data is None else data
    _check_content(path, data, example)
    text, notes = _decode(path, data)
    text, stated = _without_separator_line(text)
    if (nul := text.find("\0")) >= 0:
        raise InputFileError(path, "has a NUL byte, so it is not a text file.", line=_line_of(text, nul))
    if first_cells is not None:
        text = _block(text, first_cells)
    delimiter = stated or _find_delimiter(path, text, example)
    header_line, header = next(_records(path, text, delimiter), (0, []))
    if not header:
        raise InputFileError(path, "has no header and no rows.", hint=expected(example))
    names = [name.strip() for name in header]
    while len(names) > 1 and not names[-1]:
        names.pop()
    notes += _layout_notes(text, delimiter, header_line, surplus=len(header) - len(names))
    notes = [f"{path.name} {note}." for note in notes]
    return CsvTable(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        header=tuple(names),
        header_line=header_line,
        delimiter=delimiter,
        text=text,
        notes=tuple(notes),
        encoding=_wide_encoding(data) or "utf-8-sig",
        comments_below=comments_below,
    )


def _without_separator_line(text: str) -> tuple[str, str]:
    """Return the text with the line `sep=;` of spreadsheets made a comment, and its separator, "" without the line."""
    found = _SEPARATOR_LINE(text)
    return (text, "") if found is None else (f"#{text[found.end() :]}", found["separator"])


def _layout_notes(text: str, delimiter: str, header_line: int, *, surplus: int) -> list[str]:
    """Return phrases about what is skipped. surplus: empty columns at the end of the header."""
    empty = comments = marked = 0
    if "#" in text or f"{delimiter}{delimiter}" in text:
        for number, line in enumerate(_split_lines(text), start=1):
            begins_with_mark = line.lstrip().startswith("#")
            comments += begins_with_mark and number < header_line and line.strip() != "#"
            marked += begins_with_mark and number > header_line
            empty += number > header_line and bool(line.strip()) and not line.strip(f'{delimiter}" \t\n')
    phrases = (
        (comments, "has {} above the header that begin with # and are skipped", "line"),
        (marked, "has {} below the header that begin with #; they are read as rows", "line"),
        (surplus, "has {} without names at the end, which are left out", "column"),
        (empty, "has {} without values, which are skipped", "row"),
    )
    return [words.format(f"{count:,} {kind}{'s' * (count > 1)}") for count, words, kind in phrases if count]


def expected(example: str) -> str:
    """Return a hint with an example of a valid file."""
    return "Expected a table such as:\n" + "\n".join(f"    {line}" for line in example.splitlines())


def _read(path: Path, example: str) -> bytes:
    if not path.exists():
        raise InputFileError(path, why_absent(path), hint=expected(example))
    if path.is_dir():
        raise InputFileError(path, "is a folder, not a CSV file.", hint=expected(example))
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputFileError(path, f"has {size >> 20:,} MB; a table has at most {MAX_BYTES >> 20} MB.")
        return path.read_bytes()
    except OSError as error:
        raise InputFileError(path, f"cannot be read ({error.strerror or error}).") from error


def _check_content(path: Path, data: bytes, example: str) -> None:
    if not data.strip():
        raise InputFileError(path, "is empty.", hint=expected(example))
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise InputFileError(path, "is a spreadsheet or an archive, not CSV.", hint="Export the sheet as CSV (UTF-8).")


def _decode(path: Path, data: bytes) -> tuple[str, list[str]]:
    """Return the text, and a phrase about its encoding unless it is UTF-8."""
    encoding = _wide_encoding(data)
    try:
        if encoding is None:
            return data.decode("utf-8-sig"), []
        return data.decode(encoding).removeprefix("\ufeff"), [f"is read as {encoding[:6].upper()} text"]
    except UnicodeDecodeError as error:
        # utf-8-sig counts from the end of the byte-order mark.
        has_mark = encoding is None and data.startswith(codecs.BOM_UTF8)
        offset = error.start + (len(codecs.BOM_UTF8) if has_mark else 0)
        name = (encoding or "utf-8")[:6].upper().rstrip("-")
        raise InputFileError(
            path,
            f"is not {name} text: the byte at offset {offset} (0x{data[offset]:02x}) does not fit.",
            line=data.count(b"\n", 0, offset) + 1,
            hint='Save it as UTF-8; spreadsheets call this "CSV UTF-8".',
        ) from error


def _block(text: str, first_cells: Collection[str]) -> str:
    """Return the text from the header on, up to a line with ```, with as many empty lines before it as were there."""
    lines = list(_split_lines(text))
    starts = [re.split("[,;\t]", line, maxsplit=1)[0].strip(' "\n').casefold() for line in lines]
    first = next((row for row, start in enumerate(starts) if start in first_cells), None)
    if first is None:
        return text
    last = next((row for row in range(first, len(lines)) if lines[row].strip().startswith("```")), len(lines))
    return "\n" * first + "".join(lines[first:last])


def _wide_encoding(data: bytes) -> str | None:
    """Return UTF-16 or UTF-32 if the data begin with its mark, or if every second byte of the beginning is NUL."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    start = data[:_SAMPLE]
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        empty, full = start[first::2], start[1 - first :: 2]
        if len(empty) >= 4 and empty.count(0) > 0.6 * len(empty) and not full.count(0):
            return encoding
    return None


def _find_delimiter(path: Path, text: str, example: str) -> str:
    """Return the separator that splits the header into the most cells."""
    widths, faults = {}, []
    for delimiter in _DELIMITERS:
        try:
            _, header = next(_records(path, text, delimiter), (0, []))
            widths[delimiter] = len(header)
        except InputFileError as fault:  # quoted names are well formed only with the right separator
            faults.append(fault)
    if not widths:
        raise faults[0]
    best = max(widths, key=widths.__getitem__)
    if not widths[best]:
        raise InputFileError(path, "has no header and no rows.", hint=expected(example))
    return best


def _records(path: Path, text: str, delimiter: str, comments_below: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield (first line, cells) for each record, the header included."""
    source = _Lines(text, comments_below)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    while True:
        source.begin_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            line = source.record_line
            if "field larger" in str(error):
                raise InputFileError(path, "has a cell of more than 131,072 characters.", line=line) from error
            raise InputFileError(
                path,
                "a quote that opens here is not closed, or text follows the closing quote.",
                line=line,
                hint='Write a quote inside a quoted cell twice: "say ""hi""".',
            ) from error
        yield source.record_line, cells


class _Lines:
    """Iterate over the lines of a text without copying it; skip blank lines, and comments above the header."""

    def __init__(self, text: str, comments_below: bool) -> None:
        self._lines = _split_lines(text)
        self._number = 0
        self._between_records = True
        self._rows_may_begin_with_mark = False
        self._comments_below = comments_below
        self.record_line = 0

    def begin_record(self) -> None:
        self._between_records = True

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        while True:
            line = next(self._lines)
            self._number += 1
            if not self._between_records:  # within a quoted cell nothing is skipped
                return line
            if line.strip() and (self._rows_may_begin_with_mark or not line.lstrip().startswith("#")):
                self._between_records = False
                self._rows_may_begin_with_mark = not self._comments_below
                self.record_line = self._number
                return line


def _split_lines(text: str) -> Iterator[str]:
    """Yield lines that end with CR LF, LF or CR, each with LF; str.splitlines would also split at other characters."""
    has_lone_cr = text.count("\r") != text.count("\r\n")
    if has_lone_cr:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        line = text[start:end]
        yield line[:-2] + "\n" if line.endswith("\r\n") else line
        start = end


def _line_of(text: str, position: int) -> int:
    return sum(1 for _ in _split_lines(text[:position] + "."))


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"
