"""Helpers that several benchmarks share: timing in rounds, ratios with their range, Markdown tables, and photos."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[1]
ANIMALS = ROOT.parent / "shared" / "data" / "animals"  # a data set folder beside the checkout
TINY_NETWORK = "test_resnet.r160_in1k"  # the smallest network of timm

Name = TypeVar("Name")


def time_in_rounds(
    variants: Mapping[Name, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
    warm_up: bool = True,
) -> dict[Name, list[float]]:
    """Return the seconds of each variant in each round; every round runs each variant once.

    clock: processor time by default, `time.monotonic` for wall-clock time. warm_up: run each variant once before.
    """
    for run in variants.values() if warm_up else ():
        run()
    seconds: dict[Name, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            started = clock()
            run()
            seconds[name].append(clock() - started)
    return seconds


def command_times(
    command: Sequence[str], environment: Mapping[str, str] | None = None, check: bool = True
) -> tuple[float, float]:
    """Run a command and return its processor time and its wall-clock time in seconds."""
    before, started = os.times(), time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=check, env=environment)
    after, ended = os.times(), time.perf_counter()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return used, ended - started


def with_range(values: Sequence[float], digits: int = 2) -> str:
    """Return "median (least-most)"."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def speed_up(slow: Sequence[float], fast: Sequence[float]) -> str:
    """Return how many times as fast the second variant is: median of the rounds, with least and most."""
    return with_range([a / b for a, b in zip(slow, fast, strict=True)], 1)


def print_header(*columns: str) -> None:
    """Print the header of a Markdown table."""
    print_row(*columns)
    print("|---" * len(columns) + "|", flush=True)


def print_row(*cells: object) -> None:
    """Print a row of a Markdown table."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def link_photos(folder: Path, count: int, place: Path) -> Path:
    """Fill `place` with links to `count` photos, taken evenly from the class folders; photos repeat if needed."""
    found = sorted(folder.glob("*/*.jpg"))
    for number in range(count):
        path = found[number * len(found) // count]
        target = place / path.parent.name / f"{number}-{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path.resolve())
    return place


def random_weights(tag: str, path: Path) -> Path:
    """Write random weights of one of timm's networks."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(timm.create_model(tag, pretrained=False).state_dict(), path)
    return path
