"""Run the fault tests and print a table: python -m tests.faults [NUMBER ...]"""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from .runner import Fault, Unavailable, run_case
from .table import FAULTS, TITLES, sections

WIDTH = 44


def outcome(fault: Fault) -> str:
    """Run a case; return "ok", "FAILED" or why it was skipped."""
    with tempfile.TemporaryDirectory(prefix="revcd-fault-") as folder:
        try:
            run_case(fault, Path(folder))
        except Unavailable as reason:
            return f"skipped: {reason}"
        except Exception:
            traceback.print_exc()
            return "FAILED"
    return "ok"


def main(numbers: Sequence[int]) -> int:
    """Print a line for each fault and the counts; return 1 if a case failed."""
    wanted = numbers or range(1, len(TITLES) + 1)
    tried, as_expected, cases, failed = 0, 0, 0, 0
    differing: dict[int, str] = {}
    for section, inside in sections():
        if set(inside) & set(wanted):
            print(f"\n{section}")
        for number in sorted(set(inside) & set(wanted)):
            group = [fault for fault in FAULTS if fault.number == number]
            outcomes = [outcome(fault) for fault in group]
            bad = [f"{text} ({fault.case})" for fault, text in zip(group, outcomes, strict=True) if text != "ok"]
            print(f"{number:4} {TITLES[number - 1]:{WIDTH}} {len(group):3} cases  {'; '.join(bad) or 'ok'}", flush=True)
            cases += sum(text in ("ok", "FAILED") for text in outcomes)
            failed += outcomes.count("FAILED")
            tried += any(not text.startswith("skipped") for text in outcomes)
            reasons = [fault.differs for fault in group if fault.differs]
            differing |= {number: reasons[0]} if reasons else {}
            as_expected += not reasons and "FAILED" not in outcomes and "ok" in outcomes
    print(f"\n{tried} faults in {cases} cases, {failed} failed")
    print(f"{as_expected} as expected, {len(differing)} differ, and why:")
    for number, reason in differing.items():
        print(f"{number:4} {TITLES[number - 1]:{WIDTH}} {reason}")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main([int(argument) for argument in sys.argv[1:]]))
