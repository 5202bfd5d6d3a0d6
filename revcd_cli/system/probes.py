"""Cached micro-benchmarks of this machine: whether a lower precision is faster, and which batch size is fastest.

The model name of a CPU is not enough: the same instructions run on fast units on one machine and are emulated on
another. A micro-benchmark takes less than half a second. Its result is stored in the user's cache, so that later runs
start at once and make the same choice. Where the cache cannot be written, each run measures again.
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
from torch import Tensor
from torch.nn import functional

from ..errors import RevcdError
from . import files

_MIN_SPEEDUP = 1.25  # below this, a lower precision is not worth its rounding errors
_ROUNDS = 4
_MAX_EXCESS = 0.1  # seconds by which a round may exceed float32's before the micro-benchmark stops

# Kernel side, input and output channels, side of the map, groups: layers that dominate residual and mobile networks.
_LAYERS = ((3, 128, 128, 28, 1), (1, 512, 128, 28, 1), (3, 144, 144, 56, 144))


def cache_file() -> Path:
    """Return the file that stores the results."""
    return Path(platformdirs.user_cache_dir("revcd")) / "trials"


def cached(question: Sequence[Any], measure: Callable[[], Any]) -> Any:
    """Return the result (plain JSON) for a question about this machine, measured now or in an earlier run."""
    key = hashlib.sha256(json.dumps([machine_id(), *question]).encode()).hexdigest()[:24]
    known = _read_cache()
    if key not in known:
        result = measure()
        try:
            files.write_checksummed(cache_file(), json.dumps({**_read_cache(), key: result}, indent=1).encode())
        except (RevcdError, OSError):
            return result
        known = {key: result}
    return known[key]


def _read_cache() -> dict[str, Any]:
    try:
        return json.loads(files.read_checksummed(cache_file()))
    except (OSError, ValueError):
        return {}


def machine_id() -> str:
    """Return a text that differs between machines of different speed: CPU, threads and the version of torch."""
    name = platform.processor() or platform.machine()
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            kinds = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
        name = hashlib.sha256("".join(sorted(kinds)).encode()).hexdigest()
    except OSError:
        pass
    return f"{name} {os.cpu_count()} {torch.get_num_threads()} {torch.__version__}"


def speedup(device: torch.device, dtype: torch.dtype) -> float:
    """Return the time of a few typical layers in float32 divided by their time in `dtype`; 0 if they fail.

    The two types alternate, so that other load affects both equally, and the best of a few rounds counts.
    """
    best: dict[torch.dtype, float] = {}
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)  # with more, the time would depend on other programs
    try:
        runs = {kind: _layers(device, kind) for kind in (torch.float32, dtype)}
        for _ in range(_ROUNDS):
            for kind, run in runs.items():
                best[kind] = min(best.get(kind, float("inf")), _seconds(run, device))
            if best[dtype] > _MAX_EXCESS + best[torch.float32]:
                break
    except (RuntimeError, NotImplementedError):
        return 0.0
    finally:
        torch.set_num_threads(threads)
    return best[torch.float32] / best[dtype]


def is_worthwhile(ratio: float) -> bool:
    """Return whether a lower precision with this speedup should be used."""
    return ratio >= _MIN_SPEEDUP


def _layers(device: torch.device, dtype: torch.dtype) -> Callable[[], None]:
    generator = torch.Generator().manual_seed(0)
    layers: list[tuple[Tensor, Tensor, int, int]] = []
    for kernel, channels, out, side, groups in _LAYERS:
        x = torch.randn(2 if device.type == "cpu" else 64, channels, side, side, generator=generator)
        weight = torch.randn(out, channels // groups, kernel, kernel, generator=generator)
        x, weight = (tensor.to(device, dtype, memory_format=torch.channels_last) for tensor in (x, weight))
        layers.append((x, weight, kernel, groups))

    def run() -> None:
        with torch.inference_mode():
            for x, weight, kernel, groups in layers:
                functional.conv2d(x, weight, padding=kernel // 2, groups=groups).relu_()

    run()  # warm-up: the libraries select their kernels
    return run


def _seconds(run: Callable[[], None], device: torch.device) -> float:
    # On a CPU one thread computes; its own CPU time does not include other programs.
    clock = time.thread_time if device.type == "cpu" else time.perf_counter
    started = clock()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started


def best_batch_size(rate: Callable[[int], float], sizes: Sequence[int], gain: float = 1.03) -> int:
    """Return the first of the increasing sizes after which the rate no longer grows by the factor `gain`.

    rate: photos per second in batches of a size; raises MemoryError or RuntimeError if they do not fit into memory.
    """
    best, highest = sizes[0], 0.0
    for size in sizes:
        try:
            measured = rate(size)
        except (MemoryError, RuntimeError):  # torch.OutOfMemoryError, and torch's error for main memory
            break
        if measured < gain * highest:
            break
        best, highest = size, measured
    return best
