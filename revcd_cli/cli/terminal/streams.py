"""Properties of stdout and stderr: width, colours, character set, and the global options that concern output.

Rich is imported when something is printed, so that `--help` does not wait for it.
"""

from __future__ import annotations

import functools
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@dataclass
class OutputSettings:
    """The global options `--quiet`, `--verbose` (how often it was given) and `--no-color`."""

    quiet: bool = False
    verbosity: int = 0
    no_color: bool = False


settings = OutputSettings()


def configure(*, quiet: bool = False, verbosity: int = 0, no_color: bool = False) -> None:
    """Set the global options; called once, before any command runs."""
    settings.quiet, settings.verbosity, settings.no_color = quiet, verbosity, no_color
    rich_console.cache_clear()  # a console fixes colours and width when it is made


@functools.cache
def rich_console(*, stderr: bool = False) -> Console:
    """Return the rich console of a stream. It reads no markup and replaces no emoji codes."""
    from rich.console import Console

    # no_color=None lets rich read NO_COLOR
    no_color = True if settings.no_color else None
    return Console(stderr=stderr, no_color=no_color, markup=False, emoji=False, highlight=False)


def width() -> int:
    """Return the width of stdout in characters."""
    return rich_console().width


def supports_unicode(*, stderr: bool = False) -> bool:
    """Return whether a stream and its terminal can show more than ASCII."""
    stream = sys.stderr if stderr else sys.stdout
    encoding = (getattr(stream, "encoding", None) or "ascii").lower()
    return encoding.startswith("utf") and os.environ.get("TERM") != "dumb"
