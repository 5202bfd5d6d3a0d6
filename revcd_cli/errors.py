"""Exceptions of revcd, each with an exit code, and helpers for their messages.

A message says what is wrong, where, why, and what to do; `hint` is the last part.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

_IS_ADDRESS = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]+:/|www\.|data:image/)").match
_MAX_LENGTH = 2000  # characters of a message, as a quoted input may have millions


class RevcdError(Exception):
    """An error that the user can understand and resolve. No usable output was written."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = shortened(message, _MAX_LENGTH)
        self.hint = hint and shortened(hint, _MAX_LENGTH)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(RevcdError):
    """An invalid option, path or name."""

    exit_code = 2


class ArrayError(UsageError, ValueError):
    """An array, a label or a description that a program gave does not fit; a `ValueError` for Python."""


class ArrayTypeError(UsageError, TypeError):
    """A value that a program gave is of a type that cannot be used."""


class NotFittedError(UsageError, ValueError):
    """An estimator was used before it was fitted."""


class ConfigError(UsageError):
    """An unknown setting, or one with a value of the wrong type or out of range."""


class InputFileError(RevcdError):
    """An invalid input file. The message begins with `path:line:column`, as far as they are known."""

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
    """A split with test photos or unseen classes in training, which would make the metrics meaningless."""


class CheckpointError(RevcdError):
    """A model file is missing, damaged, of another kind, or of a newer format."""


class WeightsError(RevcdError):
    """The weights of a backbone are not available or do not fit it."""


class DownloadError(RevcdError):
    """A download failed. The bytes received so far are kept for the next attempt."""


def shortened(text: str, most: int) -> str:
    """Return at most `most` characters: the beginning and the end of a longer text."""
    return text if len(text) <= most else f"{text[: most * 2 // 3]} ... {text[-(most // 3 - 5) :]}"


def is_address(path: str | Path) -> bool:
    """Return whether a path is an address such as https://... or s3://...; only some commands read object storage.

    `Path` makes one slash of two.
    """
    return _IS_ADDRESS(str(path)) is not None


def why_absent(path: str | Path) -> str:
    """Return the end of a sentence on a path that does not exist."""
    return "is an address; here revcd reads files." if is_address(path) else "there is no such file."


def listed(names: Sequence[str], most: int, *, total: int | None = None, separator: str = ", ") -> str:
    """Return "a, b and 5 more": the first `most` names, then how many follow. total: default `len(names)`."""
    total = len(names) if total is None else total
    more = f" and {total - most:,} more" if total > most else ""
    return separator.join(names[:most]) + more


def brief(error: BaseException) -> str:
    """Return the message of a library's exception in one short line; its type if it has no message."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return shortened(line, 200).rstrip(".")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean "x"?)` for the nearest of the known names, or an empty string."""
    folded = {candidate.casefold(): candidate for candidate in known}
    nearest = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return f' (did you mean "{folded[nearest[0]]}"?)' if nearest else ""
