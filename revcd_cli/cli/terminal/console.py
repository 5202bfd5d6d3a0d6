"""What revcd says: results on stdout, everything else on stderr.

Text from users (file names, class names) is never read as markup, and its control characters are shown instead of
being sent to the terminal. Rich is imported when something is printed, so that `--help` does not wait for it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import RevcdError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.text import Text

# C0 and C1 controls, directional overrides (they can make "gpj.exe" read "exe.jpg"), and undecodable bytes of a name.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_BUT_NEWLINE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_VALUE = (20, 100)  # characters of a line of text: the fewest and the most

OnProgress = Callable[[int, "int | None", int], None]


@dataclass
class _Settings:
    quiet: bool = False
    verbosity: int = 0
    no_color: bool = False
    display: Progress | None = None  # the progress that is being drawn


_settings = _Settings()


def configure(*, quiet: bool = False, verbosity: int = 0, no_color: bool = False) -> None:
    """Take over the global options; called once, before any command runs."""
    _settings.quiet, _settings.verbosity, _settings.no_color = quiet, verbosity, no_color
    _console.cache_clear()  # colour and width are fixed when a console is made


def verbosity() -> int:
    """Return how often `-v` was given."""
    return _settings.verbosity


def safe(text: object) -> str:
    """Return text of one line in which every character that could steer a terminal is written as an escape."""
    return _UNSAFE.sub(_escape, str(text))


def note(text: str) -> None:
    """Say on stderr what was decided or done; silent with `--quiet`."""
    if not _settings.quiet:
        _say(text)


def detail(text: str) -> None:
    """Say on stderr what only `--verbose` asks for, such as one line per photo."""
    if _settings.verbosity and not _settings.quiet:
        _say(text, body_style="dim")


def warn(text: str) -> None:
    """Say on stderr what the user should look at although the work goes on; silent with `--quiet`."""
    if not _settings.quiet:
        _say(text, "warning: ", "bold yellow")


def fail(error: RevcdError | str, *, hint: str | None = None) -> None:
    """Say on stderr why nothing usable was produced, and what to do about it; never silent."""
    if isinstance(error, RevcdError):
        error, hint = error.message, error.hint
    _say(error, "error: ", "bold red")
    if hint:
        _say(hint, "hint: ", "bold")


def result(text: str) -> None:
    """Print one line of results on stdout."""
    _print(f"{safe(text)}\n")


def result_json(value: Any) -> None:
    """Print a JSON document on stdout. A value that JSON has no form for is an error of the caller."""
    _print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def result_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values on stdout in two columns; a value of several lines stays in its column.

    On a terminal long values are broken between words. A word that is longer than its column, such as a path, is left
    whole, so that it can be copied.
    """
    pairs = list(pairs)
    column = max((len(name) for name, _ in pairs), default=0) + 2
    room = min(max(width() - column, _VALUE[0]), _VALUE[1]) if sys.stdout.isatty() else None
    for name, value in pairs:
        lines = str(value).splitlines()
        if room is not None:
            lines = [part for line in lines for part in _broken(line, room)]
        for index, line in enumerate(lines or [""]):
            result(f"{'' if index else name:<{column}}{line}".rstrip())


def _broken(line: str, room: int) -> list[str]:
    return textwrap.wrap(safe(line), room, break_on_hyphens=False, break_long_words=False) or [""]


def result_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    right: Sequence[str] = (),
    optional: Sequence[str] = (),
    elided: Sequence[str] = (),
) -> None:
    """Print a table on stdout: drawn on a terminal, tab-separated lines with a header anywhere else.

    right: the columns that are aligned to the right, and never broken; optional: those that a narrow terminal goes
    without, the first one first; elided: those that lose the middle of a long cell there instead of breaking it, such
    as paths. What is still too wide for the terminal is printed as a list of rows.
    """
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            _print("\t".join(safe(cell) for cell in row) + "\n")
        return
    from rich.text import Text

    from .tables import drawn_table

    cells = [[cell if isinstance(cell, Text) else Text(safe(cell)) for cell in row] for row in rows]
    with _display_out_of_the_way():
        for part in drawn_table(columns, cells, width(), right=right, optional=optional, elided=elided):
            _console(False).print(part)


def width() -> int:
    """Return how many characters a line on stdout holds."""
    return _console(False).width


def draws_unicode(*, stderr: bool = False) -> bool:
    """Tell whether a stream can carry more than ASCII, and its terminal show it."""
    stream = sys.stderr if stderr else sys.stdout
    encoding = (getattr(stream, "encoding", None) or "ascii").lower()
    return encoding.startswith("utf") and os.environ.get("TERM") != "dumb"


@contextlib.contextmanager
def progress(description: str, *, unit: str = "photos") -> Iterator[OnProgress]:
    """Show progress on stderr and yield the function `(done, total or None, failed)` that moves it.

    Nothing is drawn with `--quiet` or where stderr is not a terminal.
    """
    if _settings.quiet or not sys.stderr.isatty():
        yield lambda done, total, failed: None
        return
    with _progress_display(unit) as display:
        task = display.add_task(safe(description), total=None, failures="")

        def on_progress(done: int, total: int | None, failed: int) -> None:
            failures = f"{failed:,} failed" if failed else ""
            display.update(task, completed=done, total=total, failures=failures)

        _settings.display = display
        try:
            yield on_progress
        finally:
            _settings.display = None


def _print(text: str) -> None:
    with _display_out_of_the_way():
        sys.stdout.write(text)


@contextlib.contextmanager
def _display_out_of_the_way() -> Iterator[None]:
    """Take the progress off the terminal while results are printed on the same one, or they would mix."""
    display = _settings.display if sys.stdout.isatty() else None
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

    console = _console(True)
    return Progress(
        SpinnerColumn("dots" if console.encoding.startswith("utf") else "line"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failures]}", style="red", markup=False),
        console=console,
        transient=True,
        redirect_stdout=False,  # rich would send results to stderr
    )


def _say(text: str, label: str = "", label_style: str = "", body_style: str = "") -> None:
    from rich.text import Text

    body = _UNSAFE_BUT_NEWLINE.sub(_escape, text)
    _console(True).print(Text.assemble((label, label_style), (body, body_style)), soft_wrap=True)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


@functools.cache
def _console(stderr: bool) -> Console:
    from rich.console import Console

    # no_color=None lets rich read NO_COLOR
    no_color = True if _settings.no_color else None
    return Console(stderr=stderr, no_color=no_color, markup=False, emoji=False, highlight=False)


def percent(share: float | None) -> str:
    """Write a share of 1 in percent; "-" for one that is not defined."""
    return "-" if share is None else f"{100 * share:.1f}"
