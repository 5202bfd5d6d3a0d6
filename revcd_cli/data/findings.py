"""Findings of the checks of tables, photos and datasets, in three ranks: error, warning and note.

`revcd data check` lists all findings. `train`, `evaluate` and `predict` run the same checks: an error stops them, and
warnings and notes are printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputFileError, LeakError, listed

ERROR, WARNING, NOTE = "error", "warning", "note"
RANKS = (ERROR, WARNING, NOTE)
_NAMED = 5  # names that a sentence lists


@dataclass(frozen=True)
class Finding:
    """One property of an input that the user should know.

    kind: a short constant code, for programs. text: one sentence, which follows the name of the source. items: the
    names of all rows, columns, classes or photos concerned; `text` lists the first few.
    """

    rank: str  # one of RANKS
    kind: str
    text: str
    hint: str = ""
    items: tuple[str, ...] = ()
    is_leak: bool = False  # the finding would make the metrics invalid

    def __post_init__(self) -> None:
        if self.rank not in RANKS:
            raise ValueError(f"unknown rank {self.rank!r}")

    @property
    def sentence(self) -> str:
        """The text and the hint."""
        return f"{self.text} {self.hint}".rstrip()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "rank": self.rank,
            "kind": self.kind,
            "text": self.text,
            "hint": self.hint or None,
            "items": list(self.items),
        }


def of_rank(findings: Iterable[Finding], rank: str) -> list[Finding]:
    """Return the findings of one rank, in order."""
    return [finding for finding in findings if finding.rank == rank]


def raise_first_error(findings: Iterable[Finding], source: str | Path) -> None:
    """Raise `InputFileError` (a `LeakError` for a leak) if a finding is an error."""
    errors = of_rank(findings, ERROR)
    if errors:
        first = errors[0]
        more = f" ({len(errors) - 1} more errors: run revcd data check)" if len(errors) > 1 else ""
        raise (LeakError if first.is_leak else InputFileError)(source, f"{first.text}{more}", hint=first.hint or None)


def named(names: Sequence[str]) -> str:
    """Return the first names in quotes, and how many follow."""
    return listed([f'"{name}"' for name in names[:_NAMED]], _NAMED, total=len(names))
