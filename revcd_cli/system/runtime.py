"""Where and how the arithmetic runs: device, precision, threads and noise, each choice with its reason in words."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import math
import os
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch

from ..errors import UsageError, did_you_mean
from . import probes

T = TypeVar("T")
PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
_DEVICE_TYPES = ("cpu", "cuda", "mps")
_AMPERE = (8, 0)  # the first CUDA compute capability with bfloat16 units
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # what a container may use, which the processor count does not show

_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")  # likewise
_USUAL_MEMORY = 8 * 2**30  # where it cannot be asked for


@dataclass(frozen=True)
class Choice(Generic[T]):
    """A value that was chosen, and a few words that say what it is and why, such as "cpu (as asked)"."""

    value: T
    reason: str


def choose_device(name: str = "auto") -> Choice[torch.device]:
    """Return the device for "auto", "cpu", "cuda", "cuda:1" or "mps". "auto" never fails.

    Raises `UsageError`, listing what is available, for a device that cannot hold a tensor here.
    """
    if name == "auto":
        return _best_device()
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in _DEVICE_TYPES or (device.type == "cpu" and device.index):
        raise UsageError(f'There is no device "{name}".', hint=_device_hint())
    if problem := _allocation_problem(device, torch.float32):
        raise UsageError(f'The device "{name}" cannot be used: {problem}.', hint=_device_hint())
    return Choice(device, f"{device} (as asked)")


def available_devices() -> tuple[str, ...]:
    """Return the names that `choose_device` accepts on this machine, the processor first."""
    names = ["cpu"]
    names += [f"cuda:{index}" for index in range(torch.cuda.device_count() if _has_cuda() else 0)]
    return (*names, "mps") if torch.backends.mps.is_available() else tuple(names)


def _best_device() -> Choice[torch.device]:
    broken = ""
    for device in [torch.device(name) for name in available_devices()[1:]]:
        problem = _allocation_problem(device, torch.float32)
        if not problem:
            what = torch.cuda.get_device_name(device) if device.type == "cuda" else "Apple GPU"
            return Choice(device, f"{device} ({what})")
        broken = broken or f"{device} fails: {problem}"
    if not broken:
        broken = "no GPU driver" if torch.backends.cuda.is_built() else "torch is built without GPU support"
    return Choice(torch.device("cpu"), f"cpu ({broken})")


def _has_cuda() -> bool:
    with warnings.catch_warnings():  # torch warns at length where it finds a driver too old for it
        warnings.simplefilter("ignore")
        return torch.cuda.is_available()


def _allocation_problem(device: torch.device, dtype: torch.dtype) -> str:
    """Say why one element cannot be put there, or return "". Only the attempt itself is a reliable answer."""
    try:
        torch.zeros(1, device=device, dtype=dtype)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        return (str(error) or type(error).__name__).split(". ")[0].splitlines()[0]  # torch adds a page of advice
    return ""


def _device_hint() -> str:
    return f"Available here: {', '.join(available_devices())}. The default, auto, takes the best of them."


def choose_precision(name: str, device: torch.device) -> Choice[torch.dtype]:
    """Return the dtype for "auto", "float32", "bfloat16", "float16" or their short names, on that device.

    Raises `UsageError` for an unknown name, and for what the device cannot compute.
    """
    if name == "auto":
        return _best_precision(device)
    if name not in PRECISIONS:
        raise UsageError(
            f'There is no precision "{name}"{did_you_mean(name, PRECISIONS)}.',
            hint=f"Choose auto, {', '.join(PRECISIONS)}.",
        )
    dtype = PRECISIONS[name]
    if dtype == torch.float16 and device.type == "cpu":
        raise UsageError("float16 is not for processors: it is slow there and overflows.", hint="Use bfloat16 or auto.")
    if problem := _allocation_problem(device, dtype):
        raise UsageError(f"{device} cannot compute in {name}: {problem}.", hint="Use float32 or auto.")
    return Choice(dtype, f"{precision_name(dtype)} (as asked)")


def precision_name(dtype: torch.dtype) -> str:
    """Return "float32" for `torch.float32`, and so on."""
    return str(dtype).removeprefix("torch.")


def _best_precision(device: torch.device) -> Choice[torch.dtype]:
    lower = _lower_precision(device)
    if lower is None:
        return Choice(torch.float32, f"float32 (the exact choice on {device.type})")
    what = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    name = precision_name(lower)
    ratio = probes.remembered(["precision", what, name], lambda: probes.speed_ratio(device, lower))
    if not probes.is_worth(ratio):
        return Choice(torch.float32, f"float32 ({name} is {ratio:.1f} times as fast here)")
    return Choice(lower, f"{name} ({ratio:.1f} times as fast as float32 here)")


def _lower_precision(device: torch.device) -> torch.dtype | None:
    """Return what may be faster than float32 there: float16 only where bfloat16 has no units, as it can overflow."""
    if device.type == "cpu":
        return torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= _AMPERE else torch.float16
    return None


def to_device(images: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Move a batch (B, 3, H, W) to the device in channels-last order; from pinned memory, without waiting, on CUDA."""
    on_cuda = device.type == "cuda"
    if on_cuda:
        images = images.pin_memory()
    return images.to(device, dtype, non_blocking=on_cuda, memory_format=torch.channels_last)


# Options of glibc's mallopt.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_KEPT = 2**30  # bytes that are kept free at most
_MALLOC_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_memory() -> bool:
    """Let the C library keep the memory of one batch for the next, and say whether it does (glibc only).

    By itself glibc gives every large block back to the system at once, which clears and hands out its pages anew with
    each layer of a network: that took longer than the layers. Settings of the user's own stay. Threads keep arenas of
    their own: in a common one the memory of thousands of photos falls to pieces and grows.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _MALLOC_VARIABLES):
        return False
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 (raises where it is another C library)
        wanted = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _KEPT}
        done = [library.mallopt(option, value) for option, value in wanted.items()]
        return all(done)
    return False


def choose_threads() -> Choice[int]:
    """Return how many threads torch should use inside one operation: what this process may use, and no more.

    Inside a container torch counts the host's processors; with more threads than the quota allows it crawls.
    """
    if os.environ.get("OMP_NUM_THREADS"):
        return Choice(torch.get_num_threads(), f"{torch.get_num_threads()} threads (OMP_NUM_THREADS is set)")
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(_CPU_QUOTA.read_text()) if _CPU_QUOTA.is_file() else None
    if quota is not None and quota < affinity:
        return Choice(quota, f"{quota} threads (the container's quota)")
    # torch's own default leaves hyper-threads alone, which is right for dense arithmetic.
    threads = min(affinity, torch.get_num_threads())
    return Choice(threads, f"{threads} threads (of {affinity} usable processors)")


def use_threads() -> Choice[int]:
    """Set torch's threads to what `choose_threads` says, and return it."""
    threads = choose_threads()
    torch.set_num_threads(threads.value)
    return threads


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread inside the block.

    Steps of training are many small products: on two processors two threads are hardly faster at them, and many times
    slower where other programs run, as they wait for each other after each. With one thread the sums of a training run
    do not depend on how many there are, either.
    """
    whole = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(whole)


_MOST_STREAMS = 8


def streams(device: torch.device, threads: int) -> int:
    """Return how many batches should be on their way at the same time, sharing the threads.

    On a processor, threads with a batch each need not wait for one another after every layer, as those that share one
    batch must: above all not for one whose processor another program is using. A GPU computes one batch while the next
    one is put together and moved there.
    """
    return min(threads, _MOST_STREAMS) if device.type == "cpu" else 2


@contextlib.contextmanager
def stream_pool(count: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of so many threads, each with its share of torch's threads; ending waits for what runs."""
    whole = torch.get_num_threads()
    share = max(1, whole // count)
    pool = ThreadPoolExecutor(count, "revcd-forward", initializer=torch.set_num_threads, initargs=(share,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(whole)  # or threads that begin later would have the share, too


def cpu_quota(line: str) -> int | None:
    """Read a cgroup's cpu.max, "QUOTA PERIOD" in microseconds, as whole processors (at least 1); None is no limit."""
    quota, _, period = line.strip().partition(" ")
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None
    return max(1, math.ceil(int(quota) / int(period)))


def memory_size() -> int:
    """Return the bytes of memory that this process may use: the machine's, or a container's share of it."""
    try:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        whole = _USUAL_MEMORY
    limit = _MEMORY_LIMIT.read_text().strip() if _MEMORY_LIMIT.is_file() else ""
    return min(whole, int(limit)) if limit.isdecimal() else whole


def image_generator(seed: int, key: bytes, device: str | torch.device = "cpu") -> torch.Generator:
    """Return a generator that depends on the seed and the key alone.

    With a photo's sha256 as key, its noise does not depend on its place in the list, its batch or the run.
    """
    digest = hashlib.sha256(f"{seed}:".encode() + key).digest()
    # The processor's generator keeps only 32 bits of a seed, so more would be lost there.
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest[:4], "big"))
