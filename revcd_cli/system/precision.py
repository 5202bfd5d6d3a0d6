"""Select the precision of the backbone: float32, or a lower one where a micro-benchmark shows that it is faster."""

from __future__ import annotations

import torch

from ..errors import UsageError, did_you_mean
from . import probes
from .device import Chosen, device_problem

PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
_AMPERE = (8, 0)  # the first CUDA compute capability with bfloat16 units


def choose_precision(name: str, device: torch.device) -> Chosen[torch.dtype]:
    """Return the dtype for "auto", "float32", "bfloat16", "float16" or their short names, on that device.

    Raises `UsageError` for an unknown name, and for a type in which the device cannot compute.
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
        raise UsageError("float16 is slow on a CPU, and overflows.", hint="Use bfloat16 or auto.")
    if problem := device_problem(device, dtype):
        raise UsageError(f"{device} cannot compute in {name}: {problem}.", hint="Use float32 or auto.")
    return Chosen(dtype, f"{precision_name(dtype)} (as requested)")


def precision_name(dtype: torch.dtype) -> str:
    """Return "float32" for `torch.float32`, and so on."""
    return str(dtype).removeprefix("torch.")


def _best_precision(device: torch.device) -> Chosen[torch.dtype]:
    lower = _lower_precision(device)
    if lower is None:
        return Chosen(torch.float32, f"float32 (the exact choice on {device.type})")
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    name = precision_name(lower)
    speedup = probes.cached(["precision", hardware, name], lambda: probes.speedup(device, lower))
    if not probes.is_worthwhile(speedup):
        return Chosen(torch.float32, f"float32 ({name} is {speedup:.1f} times as fast here)")
    return Chosen(lower, f"{name} ({speedup:.1f} times as fast as float32 here)")


def _lower_precision(device: torch.device) -> torch.dtype | None:
    """Return the type that may be faster than float32: float16 only on GPUs without bfloat16, as it can overflow."""
    if device.type == "cpu":
        return torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= _AMPERE else torch.float16
    return None
