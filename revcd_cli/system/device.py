"""Select the compute device (CPU, CUDA or Apple GPU), with a reason to show."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from ..errors import UsageError

T = TypeVar("T")
_DEVICE_TYPES = ("cpu", "cuda", "mps")


@dataclass(frozen=True)
class Chosen(Generic[T]):
    """A value that the user or revcd chose, and a short reason to show, such as "cpu (as requested)"."""

    value: T
    reason: str


def choose_device(name: str = "auto") -> Chosen[torch.device]:
    """Return the device for "auto", "cpu", "cuda", "cuda:1" or "mps". "auto" never fails.

    Raises `UsageError`, listing the available devices, for a device that cannot compute here.
    """
    if name == "auto":
        return _best_device()
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in _DEVICE_TYPES or (device.type == "cpu" and device.index):
        raise UsageError(f'There is no device "{name}".', hint=_device_hint())
    if problem := device_problem(device, torch.float32):
        raise UsageError(f'The device "{name}" cannot be used: {problem}.', hint=_device_hint())
    return Chosen(device, f"{device} (as requested)")


def available_devices() -> tuple[str, ...]:
    """Return the names of the devices on this machine, the CPU first. An Apple GPU is listed only if it works."""
    names = ["cpu"]
    names += [f"cuda:{index}" for index in range(torch.cuda.device_count() if _has_cuda() else 0)]
    has_mps = torch.backends.mps.is_available() and not device_problem(torch.device("mps"), torch.float32)
    return (*names, "mps") if has_mps else tuple(names)


def device_problem(device: torch.device, dtype: torch.dtype) -> str:
    """Add two numbers of that type on the device; return the error in one line, or "" if it works.

    Properties that drivers report are not reliable; a computation is.
    """
    try:
        (torch.zeros(1, device=device, dtype=dtype) + 1).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        return (str(error) or type(error).__name__).split(". ")[0].splitlines()[0]  # torch adds a page of advice
    return ""


def to_device(images: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Copy a batch (B, 3, H, W) to the device in channels-last order; on CUDA asynchronously, from pinned memory."""
    on_cuda = device.type == "cuda"
    if on_cuda and images.device.type == "cpu":
        images = images.pin_memory()
    return images.to(device, dtype, non_blocking=on_cuda, memory_format=torch.channels_last)


def _best_device() -> Chosen[torch.device]:
    problems = ""
    for device in [torch.device(name) for name in available_devices()[1:]]:
        problem = device_problem(device, torch.float32)
        if not problem:
            name = torch.cuda.get_device_name(device) if device.type == "cuda" else "Apple GPU"
            return Chosen(device, f"{device} ({name})")
        problems = problems or f"{device} fails: {problem}"
    if not problems:
        problems = "no GPU driver" if torch.backends.cuda.is_built() else "torch is built without GPU support"
    return Chosen(torch.device("cpu"), f"cpu ({problems})")


def _has_cuda() -> bool:
    with warnings.catch_warnings():  # torch prints a long warning if the driver is too old for it
        warnings.simplefilter("ignore")
        return torch.cuda.is_available()


def _device_hint() -> str:
    return f"Available here: {', '.join(available_devices())}. The default, auto, takes the best of them."
