"""Set the number of torch threads, and share them between batches that run at the same time."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from .device import Chosen

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # a container's limit, which os.cpu_count() does not know
_MAX_STREAMS = 8


def choose_threads() -> Chosen[int]:
    """Return how many threads torch should use within one operation: at most the CPUs that this process may use.

    In a container torch counts the host's CPUs; more threads than the quota make it very slow.
    """
    if os.environ.get("OMP_NUM_THREADS"):
        return Chosen(torch.get_num_threads(), f"{torch.get_num_threads()} threads (OMP_NUM_THREADS is set)")
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(_CPU_QUOTA.read_text()) if _CPU_QUOTA.is_file() else None
    if quota is not None and quota < affinity:
        return Chosen(quota, f"{quota} threads (the container's quota)")
    # torch's default leaves out hyper-threads, which do not help dense arithmetic.
    threads = min(affinity, torch.get_num_threads())
    return Chosen(threads, f"{threads} threads (of {affinity} usable processors)")


def use_threads() -> Chosen[int]:
    """Set torch's threads to the number from `choose_threads`, and return it."""
    threads = choose_threads()
    torch.set_num_threads(threads.value)
    return threads


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread inside the block.

    A training step is many small matrix products. Two threads hardly speed them up, and are many times slower when
    other programs use the CPUs, because the threads wait for each other after each product. One thread also makes
    the sums, and so the trained tensors, independent of the number of threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def stream_count(device: torch.device, threads: int) -> int:
    """Return how many batches to compute at the same time, sharing the threads.

    On a CPU, threads with a batch each do not wait for one another after every layer, as threads that share a batch
    do. On a GPU, one batch is computed while the next one is assembled and copied.
    """
    return min(threads, _MAX_STREAMS) if device.type == "cpu" else 2


@contextlib.contextmanager
def stream_pool(count: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of `count` threads, each with its share of torch's threads. On exit, wait for running calls."""
    before = torch.get_num_threads()
    share = max(1, before // count)
    pool = ThreadPoolExecutor(count, "revcd-forward", initializer=torch.set_num_threads, initargs=(share,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # the share would also apply to threads started later


def cpu_quota(line: str) -> int | None:
    """Parse a cgroup's cpu.max, "QUOTA PERIOD" in microseconds, as whole CPUs (at least 1). None means no limit."""
    quota, _, period = line.strip().partition(" ")
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None
    return max(1, math.ceil(int(quota) / int(period)))
