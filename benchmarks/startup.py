"""Measure the start-up time of commands that compute nothing: python benchmarks/startup.py

Every round runs each command once. Printed are the medians of processor time and wall-clock time, and their ratios to
`python -c pass`.
"""

from __future__ import annotations

import statistics
import sys

from common import command_times

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


def main() -> None:
    for command in COMMANDS.values():
        command_times(command, check=False)  # fills the disk cache
    rounds = [{name: command_times(command, check=False) for name, command in COMMANDS.items()} for _ in range(ROUNDS)]
    print(f"{'command':<48} {'CPU s':>7} {'ratio':>6} {'clock s':>8} {'ratio':>6}")
    medians = {
        name: [statistics.median(measured[name][kind] for measured in rounds) for kind in (0, 1)] for name in COMMANDS
    }
    bare_cpu, bare_clock = medians["python -c pass"]
    for name, (cpu, clock) in medians.items():
        print(f"{name:<48} {cpu:7.3f} {cpu / bare_cpu:6.1f} {clock:8.3f} {clock / bare_clock:6.1f}")


if __name__ == "__main__":
    main()
