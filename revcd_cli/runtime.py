"""Where and how the arithmetic runs: device, precision, threads and noise, each choice with its reason in words."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch

from .errors import UsageError, did_you_mean

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
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device) >= _AMPERE:
            return Choice(torch.bfloat16, "bfloat16 (the GPU has bfloat16 units)")
        return Choice(torch.float16, "float16 (the GPU has no bfloat16 units)")
    if device.type == "cpu":
        units = _bfloat16_units()
        if units:
            return Choice(torch.bfloat16, f"bfloat16 (the processor has {units} units)")
        return Choice(torch.float32, "float32 (the processor has no bfloat16 units)")
    return Choice(torch.float32, f"float32 (the exact choice on {device.type})")


def _bfloat16_units() -> str:
    # torch has no public question for this; the private ones differ between its versions.
    for question, units in (("_is_amx_tile_supported", "AMX"), ("_is_avx512_bf16_supported", "AVX512-BF16")):
        if hasattr(torch.cpu, question) and getattr(torch.cpu, question)():
            return units
    return ""


def to_device(images: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Move a batch (B, 3, H, W) to the device in channels-last order; from pinned memory, without waiting, on CUDA."""
    on_cuda = device.type == "cuda"
    if on_cuda:
        images = images.pin_memory()
    return images.to(device, dtype, non_blocking=on_cuda, memory_format=torch.channels_last)


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


def cpu_quota(line: str) -> int | None:
    """Read a cgroup's cpu.max, "QUOTA PERIOD" in microseconds, as whole processors (at least 1); None is no limit."""
    quota, _, period = line.strip().partition(" ")
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None
    return max(1, math.ceil(int(quota) / int(period)))


def image_generator(seed: int, key: bytes, device: str | torch.device = "cpu") -> torch.Generator:
    """Return a generator that depends on the seed and the key alone.

    With a photo's sha256 as key, its noise does not depend on its place in the list, its batch or the run.
    """
    digest = hashlib.sha256(f"{seed}:".encode() + key).digest()
    # The processor's generator keeps only 32 bits of a seed, so more would be lost there.
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest[:4], "big"))
