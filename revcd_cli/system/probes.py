"""What is found out by trying, on the machine that will do the work, and remembered for the next run there.

A processor's name says little: the same units are fast in one place and emulated in another. A trial takes less than
half a second. Its answer is kept in the user's cache, so that later runs begin at once and decide alike; where nothing
can be kept, each run tries for itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import platformdirs
import torch
from torch.nn import functional

from ..errors import RevcdError
from . import files

_WORTH = 1.25  # times as fast: below this a lower precision is not worth what it rounds
_ROUNDS = 4
_PATIENCE = 0.1  # seconds that one round may take in a precision before the trial is over for it

# Kernel side, channels in and out, map side, groups: the layers in which residual and mobile networks spend their time.
_LAYERS = ((3, 128, 128, 28, 1), (1, 512, 128, 28, 1), (3, 144, 144, 56, 144))


def trials_file() -> Path:
    """Return the file in which answers are kept."""
    return Path(platformdirs.user_cache_dir("revcd")) / "trials"


def remembered(question: Sequence[Any], find_out: Callable[[], Any]) -> Any:
    """Return the answer (plain JSON) to a question about this machine, found out now or in an earlier run."""
    key = hashlib.sha256(json.dumps([machine(), *question]).encode()).hexdigest()[:24]
    known = _known()
    if key not in known:
        answer = find_out()
        try:
            files.write_sealed(trials_file(), json.dumps({**_known(), key: answer}, indent=1).encode())
        except (RevcdError, OSError):
            return answer
        known = {key: answer}
    return known[key]


def _known() -> dict[str, Any]:
    try:
        return json.loads(files.read_sealed(trials_file()))
    except (OSError, ValueError):
        return {}


def machine() -> str:
    """Return what decides how fast something is here: the processor, the threads, the versions."""
    name = platform.processor() or platform.machine()
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            kinds = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
        name = hashlib.sha256("".join(sorted(kinds)).encode()).hexdigest()
    except OSError:
        pass
    return f"{name} {os.cpu_count()} {torch.get_num_threads()} {torch.__version__}"


def speed_ratio(device: torch.device, dtype: torch.dtype) -> float:
    """Return how many times as fast as in float32 a few typical layers are in this type; 0 if they fail.

    Both are timed in turn, so that what else the machine does falls on both, and the best of a few rounds counts.
    """
    best: dict[torch.dtype, float] = {}
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)  # several would wait for one another where other programs run, and measure that
    try:
        runs = {kind: _layers(device, kind) for kind in (torch.float32, dtype)}
        for _ in range(_ROUNDS):
            for kind, run in runs.items():
                best[kind] = min(best.get(kind, float("inf")), _seconds(run, device))
            if best[dtype] > _PATIENCE + best[torch.float32]:
                break
    except (RuntimeError, NotImplementedError):
        return 0.0
    finally:
        torch.set_num_threads(threads)
    return best[torch.float32] / best[dtype]


def is_worth(ratio: float) -> bool:
    """Say whether a lower precision that is so many times as fast should be used."""
    return ratio >= _WORTH


def _layers(device: torch.device, dtype: torch.dtype) -> Callable[[], None]:
    generator = torch.Generator().manual_seed(0)
    layers = []
    for kernel, channels, out, side, groups in _LAYERS:
        x = torch.randn(2 if device.type == "cpu" else 64, channels, side, side, generator=generator)
        weight = torch.randn(out, channels // groups, kernel, kernel, generator=generator)
        layers.append((*(t.to(device, dtype, memory_format=torch.channels_last) for t in (x, weight)), kernel, groups))

    def run() -> None:
        with torch.inference_mode():
            for x, weight, kernel, groups in layers:
                functional.conv2d(x, weight, padding=kernel // 2, groups=groups).relu_()

    run()  # the first time the library looks for its way
    return run


def _seconds(run: Callable[[], None], device: torch.device) -> float:
    # On a processor one thread computes: its own time does not count what other programs take.
    clock = time.thread_time if device.type == "cpu" else time.perf_counter
    started = clock()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started


def best_size(rate: Callable[[int], float], sizes: Sequence[int], gain: float = 1.03) -> int:
    """Return the first of the rising sizes after which the rate no longer rises by `gain`.

    rate: photos a second in batches of that size; raises MemoryError or RuntimeError where they do not fit.
    """
    best, highest = sizes[0], 0.0
    for size in sizes:
        try:
            found = rate(size)
        except (MemoryError, RuntimeError):  # torch.OutOfMemoryError, and what torch raises in main memory
            break
        if found < gain * highest:
            break
        best, highest = size, found
    return best
