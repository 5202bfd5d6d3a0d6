"""Everything that revcd raises on purpose. The command line turns it into one message and an exit code.

A message says what is wrong, where, why, and what to do; `hint` is the last part.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

_LONGEST = 2000  # characters of a message: an input that is quoted in it may have millions


class RevcdError(Exception):
    """A failure that the user can understand and act on: nothing usable was produced."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = shortened(message, _LONGEST)
        self.hint = hint and shortened(hint, _LONGEST)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(RevcdError):
    """The command was called wrongly: an option, a path or a name that cannot be meant."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting is unknown, of the wrong type, or out of range."""


class InputFileError(RevcdError):
    """An input file is invalid. The message begins with `path:line:column`, as far as those are known."""

    exit_code = 4

    def __init__(
        self,
        path: str | Path,
        message: str,
        *,
        line: int | None = None,
        column: int | None = None,
        hint: str | None = None,
    ) -> None:
        place = ":".join(str(part) for part in (path, line, column) if part is not None)
        super().__init__(f"{place}: {message}", hint=hint)
        self.path, self.line, self.column = str(path), line, column


class LeakError(InputFileError):
    """A split lets test photos or unseen classes into training, so its numbers would mean nothing."""


class CheckpointError(RevcdError):
    """A model file is missing, damaged, of another kind, or of a newer format."""


class WeightsError(RevcdError):
    """The weights of a backbone cannot be had or do not fit it."""


class DownloadError(RevcdError):
    """A download failed; what was fetched so far is kept for the next attempt."""


def shortened(text: str, most: int) -> str:
    """Return a text of at most `most` characters: its beginning and its end, if it has more."""
    return text if len(text) <= most else f"{text[: most * 2 // 3]} ... {text[-(most // 3 - 5) :]}"


def listed(names: Sequence[str], most: int, *, total: int | None = None, separator: str = ", ") -> str:
    """Return "a, b and 5 more": the first `most` names, then how many follow. total: default `len(names)`."""
    total = len(names) if total is None else total
    more = f" and {total - most:,} more" if total > most else ""
    return separator.join(names[:most]) + more


def brief(error: BaseException) -> str:
    """Return in one short line what a library says about a file; it may quote the file, or say nothing."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return shortened(line, 200).rstrip(".")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean "x"?)` for the nearest of the known names, or an empty string."""
    folded = {candidate.casefold(): candidate for candidate in known}
    nearest = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return f' (did you mean "{folded[nearest[0]]}"?)' if nearest else ""
