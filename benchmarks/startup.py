"""Start-up time of commands that compute nothing: python benchmarks/startup.py

Runs each command in turn with `python -c pass`, for several rounds, and prints the medians of processor time and
wall-clock time, and their ratios to `python -c pass`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

ROUNDS = 9
REVCD = [sys.executable, "-m", "revcd_cli"]
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "revcd --version": [*REVCD, "--version"],
    "revcd --help": [*REVCD, "--help"],
    "revcd predict --help": [*REVCD, "predict", "--help"],
    "revcd predict --top-k 0 x.jpg (a usage error)": [*REVCD, "predict", "--top-k", "0", "x.jpg"],
    "revcd models list": [*REVCD, "models", "list"],
    "python -c 'import torch'": [sys.executable, "-c", "import torch"],
}


def measure(command: list[str]) -> tuple[float, float]:
    """Return seconds of processor time and of clock time."""
    before, started = os.times(), time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    after, ended = os.times(), time.perf_counter()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return used, ended - started


def main() -> None:
    for command in COMMANDS.values():
        measure(command)  # fills the disk cache
    rounds = [{name: measure(command) for name, command in COMMANDS.items()} for _ in range(ROUNDS)]
    print(f"{'command':<48} {'cpu s':>7} {'ratio':>6} {'clock s':>8} {'ratio':>6}")
    medians = {
        name: [statistics.median(measured[name][kind] for measured in rounds) for kind in (0, 1)] for name in COMMANDS
    }
    bare_cpu, bare_clock = medians["python -c pass"]
    for name, (cpu, clock) in medians.items():
        print(f"{name:<48} {cpu:7.3f} {cpu / bare_cpu:6.1f} {clock:8.3f} {clock / bare_clock:6.1f}")


if __name__ == "__main__":
    main()
