"""Timing by CUDA events, peak rates of cards, JPEG files, Markdown tables."""

from __future__ import annotations

import statistics
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# Dense peak rates in TFLOP/s, from NVIDIA's data sheets, by a part of the card's name; the first match counts.
PEAKS = {
    "H200": {"16-bit": 989.4, "TF32": 494.7, "float32": 66.9},
    "H100 PCIe": {"16-bit": 756.0, "TF32": 378.0, "float32": 51.0},
    "H100": {"16-bit": 989.4, "TF32": 494.7, "float32": 66.9},
    "A100": {"16-bit": 312.0, "TF32": 156.0, "float32": 19.5},
    "L40S": {"16-bit": 362.0, "TF32": 183.0, "float32": 91.6},
    "L4": {"16-bit": 121.0, "TF32": 60.0, "float32": 30.3},
    "T4": {"16-bit": 65.0, "float32": 8.1},
}
Way = Callable[[], object]


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(way: Way, device: torch.device, repeats: int = 1) -> float:
    """Return seconds for one call: between CUDA events on a GPU, else by the clock."""
    if device.type != "cuda":
        started = time.perf_counter()
        for _ in range(repeats):
            way()
        return (time.perf_counter() - started) / repeats
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    first.record()
    for _ in range(repeats):
        way()
    last.record()
    torch.cuda.synchronize(device)
    return first.elapsed_time(last) / 1000 / repeats


def in_rounds(ways: dict[str, Way], device: torch.device, rounds: int, least: float = 0.05) -> dict[str, list[float]]:
    """Time every way in each round, in alternating order, after a warm-up. Returns seconds of one call.

    least: seconds that one measurement takes at least, by repeating the call. A way that fails is left out with a line.
    """
    repeats: dict[str, int] = {}
    for name, way in ways.items():
        try:
            way()
            once = seconds_of(way, device) if least else 1.0
        except Exception as error:
            print(f"\n{name}: failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}\n")
            continue
        repeats[name] = max(1, min(200, round(least / max(once, 1e-6))))
    found: dict[str, list[float]] = {name: [] for name in repeats}
    for number in range(rounds):
        for name in repeats if number % 2 == 0 else reversed(repeats):
            found[name].append(seconds_of(ways[name], device, repeats[name]))
    return found


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return "median (least-most)"."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def ratios(slow: Sequence[float], fast: Sequence[float]) -> str:
    """Return how many times as fast the second is, round by round."""
    return spread([a / b for a, b in zip(slow, fast, strict=True)])


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    for line in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(str(cell) for cell in line) + " |", flush=True)


def section(title: str, run: Callable[[], None]) -> None:
    """Print a heading and what the section prints; a section that fails prints its error, and the next one follows."""
    started = time.perf_counter()
    print(f"\n### {title}\n", flush=True)
    try:
        run()
    except Exception:
        print(f"\nfailed:\n\n```\n{traceback.format_exc()}```", flush=True)
    print(f"\n({time.perf_counter() - started:.0f} s)", flush=True)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def peak_share(flops: float, seconds: float, kind: str, device: torch.device) -> str:
    """Return the share of the card's peak that so many floating-point operations in this time are."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    peak = next((rates.get(kind) for part, rates in PEAKS.items() if part in name), None)
    return "unknown" if peak is None else f"{flops / seconds / peak / 1e12:.1%}"


def flops_of(network: nn.Module, size: Sequence[int]) -> int:
    """Return floating-point operations of a forward pass of one photo, two for each multiply-add."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        network(torch.zeros(1, *size))
    return counter.get_total_flops()


def make_jpegs(folder: Path, count: int, distinct: int = 512) -> list[Path]:
    """Write JPEG files of 500 x 375 pixels, resized crops of the example photos; beyond `distinct` they are links."""
    folder.mkdir()
    sources = [Image.open(EXAMPLES / name).convert("RGB") for name in ("cat.jpg", "raccoon.jpg")]
    distinct = min(count, distinct)

    def write(number: int) -> None:
        generator = np.random.default_rng(number)
        source = sources[number % len(sources)]
        width, height = (round(side * generator.uniform(0.4, 1)) for side in source.size)
        left, top = (int(generator.integers(0, room + 1)) for room in (source.width - width, source.height - height))
        picture = source.crop((left, top, left + width, top + height)).resize((500, 375), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:05}.jpg", quality=90)

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, range(distinct)))
    for number in range(distinct, count):
        (folder / f"{number:05}.jpg").symlink_to(folder / f"{number % distinct:05}.jpg")
    return sorted(folder.iterdir())


def describe(device: torch.device) -> str:
    """Return the card, the versions and the date, for the text above a table."""
    import torchvision

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU (a dry run)"
    versions: list[Any] = [f"torch {torch.__version__}", f"torchvision {torchvision.__version__}"]
    return ", ".join([name, *versions, f"{torch.get_num_threads()} CPU threads", time.strftime("%Y-%m-%d")])
