"""Print results on stdout, and messages and progress on stderr.

Text from users (file names, class names) is never read as markup, and its control characters are printed as escapes.
Rich is imported when something is printed, so that `--help` does not wait for it.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import RevcdError
from . import streams, tables

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.text import Text

# C0 and C1 controls, directional overrides (they can make "gpj.exe" read "exe.jpg"), and undecodable bytes of a name.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_BUT_NEWLINE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_LEAST_VALUE_WIDTH, _MOST_VALUE_WIDTH = 20, 100  # characters of a line in the second column of `result_pairs`

Row = TypeVar("Row")
OnProgress = Callable[[int, "int | None", int], None]

_displays: list[Progress] = []  # the progress bar that is on the terminal, if there is one


def safe(text: object) -> str:
    """Return text as one line in which control characters are written as escapes."""
    return _UNSAFE.sub(_escape, str(text))


def note(text: str) -> None:
    """Print a message on stderr, unless `--quiet` is given."""
    if not streams.settings.quiet:
        _message(text)


def detail(text: str) -> None:
    """Print a detail on stderr, such as one line per photo, if `--verbose` is given."""
    if streams.settings.verbosity and not streams.settings.quiet:
        _message(text, body_style="dim")


def warn(text: str) -> None:
    """Print a warning on stderr, unless `--quiet` is given."""
    if not streams.settings.quiet:
        _message(text, "warning: ", "bold yellow")


def fail(error: RevcdError | str, *, hint: str | None = None) -> None:
    """Print an error and its hint on stderr, with `--quiet` too."""
    if isinstance(error, RevcdError):
        text, hint = error.message, error.hint
    else:
        text = error
    _message(text, "error: ", "bold red")
    if hint:
        _message(hint, "hint: ", "bold")


def result(text: str) -> None:
    """Print one line of results on stdout."""
    _print(f"{safe(text)}\n")


def result_json(value: Any) -> None:
    """Print a JSON document on stdout. Raises `ValueError` for a value without a JSON form, such as NaN."""
    _print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def result_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values on stdout in two columns. A value may have several lines.

    On a terminal, long values are broken between words. A word that is longer than its column, such as a path, is not
    broken, so that it can be copied.
    """
    pairs = list(pairs)
    column = max((len(name) for name, _ in pairs), default=0) + 2
    room = None
    if sys.stdout.isatty():
        room = min(max(streams.width() - column, _LEAST_VALUE_WIDTH), _MOST_VALUE_WIDTH)
    for name, value in pairs:
        lines = str(value).splitlines()
        if room is not None:
            lines = [part for line in lines for part in _broken(line, room)]
        for index, line in enumerate(lines or [""]):
            result(f"{'' if index else name:<{column}}{line}".rstrip())


def _broken(line: str, room: int) -> list[str]:
    return textwrap.wrap(safe(line), room, break_on_hyphens=False, break_long_words=False) or [""]


def shortened(rows: list[Row], most: int) -> list[Row]:
    """Return the rows to print: at most this number on a terminal, and all of them in a pipe or a file."""
    return rows[:most] if sys.stdout.isatty() else rows


def result_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    right: Sequence[str] = (),
    optional: Sequence[str] = (),
    elided: Sequence[str] = (),
) -> None:
    """Print a table on stdout: laid out on a terminal, tab-separated with a header otherwise.

    right: columns that are aligned to the right and never broken. optional: columns that a narrow terminal leaves out,
    the first one first. elided: columns of paths, which lose their middle instead of being broken. A table that is
    still too wide is printed as a list of its rows.
    """
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            _print("\t".join(safe(cell) for cell in row) + "\n")
        return
    from rich.text import Text

    cells = [[cell if isinstance(cell, Text) else Text(safe(cell)) for cell in row] for row in rows]
    screen = streams.rich_console()
    with _paused_display():
        for table in tables.fitted_table(columns, cells, screen, right=right, optional=optional, elided=elided):
            screen.print(table)


@contextlib.contextmanager
def progress(description: str, *, unit: str = "photos", status: Callable[[], str] = lambda: "") -> Iterator[OnProgress]:
    """Show a progress bar on stderr and yield the function `(done, total or None, failed)` that updates it.

    status: called at each update; its text is shown beside the bar.
    Nothing is shown with `--quiet`, or where stderr is not a terminal.
    """
    if streams.settings.quiet or not sys.stderr.isatty():
        yield lambda done, total, failed: None
        return
    with _progress_display(unit) as display:
        task = display.add_task(safe(description), total=None, status="", failures="")

        def on_progress(done: int, total: int | None, failed: int) -> None:
            failures = f"{failed:,} failed" if failed else ""
            display.update(task, completed=done, total=total, status=status(), failures=failures)

        _displays.append(display)
        try:
            yield on_progress
        finally:
            _displays.remove(display)


def _print(text: str) -> None:
    with _paused_display():
        sys.stdout.write(text)


@contextlib.contextmanager
def _paused_display() -> Iterator[None]:
    """Remove the progress bar while results are printed on the same terminal."""
    display = _displays[-1] if _displays and sys.stdout.isatty() else None
    if display is None:
        yield
        return
    display.stop()
    try:
        yield
        sys.stdout.flush()
    finally:
        display.start()


def _progress_display(unit: str) -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class RateColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f} {unit}/s" if speed else "", style="progress.data.speed")

    console = streams.rich_console(stderr=True)
    return Progress(
        SpinnerColumn("dots" if console.encoding.startswith("utf") else "line"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[status]}", markup=False),
        TextColumn("{task.fields[failures]}", style="red", markup=False),
        console=console,
        transient=True,
        redirect_stdout=False,  # rich would send results to stderr
    )


def _message(text: str, label: str = "", label_style: str = "", body_style: str = "") -> None:
    from rich.text import Text

    body = _UNSAFE_BUT_NEWLINE.sub(_escape, text)
    streams.rich_console(stderr=True).print(Text.assemble((label, label_style), (body, body_style)), soft_wrap=True)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def photo_count(number: int) -> str:
    """Return "1 photo", "1,234 photos" and so on."""
    return f"{number:,} photo{'' if number == 1 else 's'}"


def percent(share: float | None) -> str:
    """Return a share of 1 in percent, or "-" for None."""
    return "-" if share is None else f"{100 * share:.1f}"
