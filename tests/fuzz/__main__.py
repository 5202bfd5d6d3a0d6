"""Fuzz the readers and print a table: python -m tests.fuzz [--inputs N] [--seed N] [--only KIND [--input N]]"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from .kinds import BY_NAME, KINDS, shares
from .worker import ACCEPTED, CRASH, REFUSED, Outcome, outcomes, quiet

_SHOWN = 5  # crashes of each sort
_REASONS = 4  # reasons for refusal in a line


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=20_000, help="in all (default: 20,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(BY_NAME), metavar="KIND", help=", ".join(BY_NAME))
    parser.add_argument("--input", type=int, help="repeat this input of --only and show its outcome")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write that input here")
    given = parser.parse_args()
    if given.input is not None and given.only is None:
        parser.error("--input needs --only")
    quiet()
    if given.input is not None:
        return _again(given)
    counts = {given.only: given.inputs} if given.only else shares(given.inputs)
    started = time.monotonic()
    print(f"{'kind':<24}{'inputs':>7}{'accepted':>9}{'refused':>8}{'crashes':>8}{'slowest s':>10}{'MB':>6}  refused as")
    total: Counter[str] = Counter()
    crashes: list[tuple[str, Outcome]] = []
    for name in (kind.name for kind in KINDS if kind.name in counts):
        if not BY_NAME[name].sound:
            print(f"{name:<24} skipped: no library on this machine writes such files")
            continue
        found = list(outcomes(BY_NAME[name], given.seed, range(counts[name])))
        tally = Counter(outcome.status for outcome in found)
        total += tally
        crashes += [(name, outcome) for outcome in found if outcome.status == CRASH]
        _line(name, found, tally)
    print(f"{'in all':<24}{total.total():7}{total[ACCEPTED]:9}{total[REFUSED]:8}{total[CRASH]:8}", end="")
    print(f"  {time.monotonic() - started:.0f} s")
    _explain(crashes, given.seed)
    return min(len(crashes), 1)


def _line(name: str, found: list[Outcome], tally: Counter[str]) -> None:
    slowest, largest = (max(getattr(outcome, what) for outcome in found) for what in ("seconds", "megabytes"))
    reasons = Counter(outcome.what for outcome in found if outcome.status == REFUSED)
    named = ", ".join(f"{count} {what}" for what, count in reasons.most_common(_REASONS))
    more = ", ..." if len(reasons) > _REASONS else ""
    print(
        f"{name:<24}{len(found):7}{tally[ACCEPTED]:9}{tally[REFUSED]:8}{tally[CRASH]:8}{slowest:10.2f}{largest:6.0f}"
        f"  {named}{more}",
        flush=True,
    )


def _explain(crashes: list[tuple[str, Outcome]], seed: int) -> None:
    sorts: dict[tuple[str, str], list[Outcome]] = {}
    for name, outcome in crashes:
        place = next((line for line in reversed(outcome.detail.splitlines()) if "File" in line), "")
        sorts.setdefault((name, f"{outcome.what} {place.strip()}"), []).append(outcome)
    for (name, what), found in sorts.items():
        print(f"\n{name}: {what}")
        for outcome in found[:_SHOWN]:
            last = outcome.detail.strip().splitlines()[-1:] or [""]
            again = f"python -m tests.fuzz --seed {seed} --only '{name}' --input {outcome.number}"
            print(f"  {last[0][:200]}\n  again: {again}")
        if len(found) > _SHOWN:
            print(f"  and {len(found) - _SHOWN} more")


def _again(given: argparse.Namespace) -> int:
    kind = BY_NAME[given.only]
    path = given.save or Path(tempfile.gettempdir()) / f"revcd-fuzz-{given.only}-{given.seed}-{given.input}"
    path.write_bytes(kind.input(given.seed, given.input))
    (outcome,) = outcomes(kind, given.seed, [given.input])
    print(f"{outcome.status} {outcome.what}, {outcome.seconds:.2f} s, {outcome.megabytes:.0f} MB")
    print(f"{outcome.detail}\nThe input is in {path}")
    return int(outcome.status == CRASH)


if __name__ == "__main__":
    sys.exit(main())
