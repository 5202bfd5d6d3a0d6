"""Print the findings of checks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from . import console

if TYPE_CHECKING:
    from ...data.findings import Finding


def print_findings(findings: Iterable[Finding]) -> None:
    """Print warnings and notes; errors are raised by `raise_first_error`."""
    for finding in findings:
        if finding.rank == "warning":
            console.warn(finding.sentence)
        elif finding.rank == "note":
            console.note(finding.sentence)
