"""A convolutional network as a flat list of steps that runs with torch alone.

`record.record` makes one from any timm network whose operators are listed here. Batch normalisation is folded into the
convolutions, and activations and residual sums are fused with them, which saves memory traffic. A program can be
written to a file and read back without timm.

Values are numbered: 0 is the images (B, 3, H, W), and step k computes value k + 1. The last value is the features.
Symbols: B batch, C channels, H and W the size of a map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .activations import ACTIVATIONS
from .onednn import has_onednn, onednn_convolution

_Run = Callable[..., Tensor]

_VIEWS = ("flatten", "transpose")  # may share the memory of their input


@dataclass(frozen=True)
class Step:
    """One operation on earlier values.

    kind: "conv" or one of `_OPERATIONS`. inputs: numbers of values. options: parameters, plain JSON. A "conv" with two
    inputs adds the second one to its result; then it applies its activation "act" with "numbers", if it has one.
    """

    kind: str
    inputs: tuple[int, ...]
    options: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the step as plain JSON values."""
        return {"kind": self.kind, "inputs": list(self.inputs), "options": dict(self.options)}


@dataclass(frozen=True)
class Program:
    """The steps of a network and their tensors: "3.weight" and "3.bias" belong to step 3."""

    steps: tuple[Step, ...]
    tensors: Mapping[str, Tensor]

    def prepared(self, device: torch.device, dtype: torch.dtype) -> PreparedProgram:
        """Return the program ready to run on a device, with its weights in the memory layout of the convolutions."""
        return PreparedProgram(self, device, dtype)


def rounding_cosine(program: Program, input_size: tuple[int, int, int], dtype: torch.dtype) -> float:
    """Return the cosine between the features in this type and in float32 of an image of noise, on the CPU."""
    image = torch.randn(1, *input_size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        exact, rounded = (
            program.prepared(torch.device("cpu"), kind)(image.to(kind)).double() for kind in (torch.float32, dtype)
        )
    return torch.cosine_similarity(exact, rounded).item()


class PreparedProgram:
    """A program whose weights are on a device: images (B, 3, H, W) to features (B, D), in float32 if pooled."""

    def __init__(self, program: Program, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        last_use = {value: number for number, step in enumerate(program.steps) for value in step.inputs}
        # Not to be overwritten: the caller's images, and values that share memory with others.
        views = {number: step.inputs[0] for number, step in enumerate(program.steps, 1) if step.kind in _VIEWS}
        shared = {0, *views, *views.values()}
        convolution = onednn_convolution if has_onednn(device, dtype) else _convolution
        self._steps: list[tuple[_Run, tuple[int, ...], tuple[int, ...]]] = []
        for number, step in enumerate(program.steps):
            dead = tuple({value for value in step.inputs if last_use[value] == number})
            own = tuple(value in dead and value not in shared for value in step.inputs)
            if len(set(step.inputs)) < len(step.inputs):
                own = (False,) * len(own)
            if step.kind == "conv":
                weight, bias = (program.tensors[f"{number}.{name}"] for name in ("weight", "bias"))
                run = convolution(step.options, own, weight.to(device, dtype), bias.to(device, dtype))
            else:
                run = _OPERATIONS[step.kind](step.options, own)
            self._steps.append((run, step.inputs, dead))

    def __call__(self, images: Tensor) -> Tensor:
        values: dict[int, Tensor] = {0: images}
        for number, (run, inputs, dead) in enumerate(self._steps, 1):
            values[number] = run(*[values[value] for value in inputs])
            for value in dead:
                del values[value]
        return values[len(self._steps)]


def _convolution(options: Mapping[str, Any], own: tuple[bool, ...], weight: Tensor, bias: Tensor) -> _Run:
    weight = weight.contiguous(memory_format=torch.channels_last)
    settings = (weight, bias, options["stride"], options["padding"], options["dilation"], options["groups"])
    activate, numbers = ACTIVATIONS.get(options.get("act", "")), options.get("numbers", [])

    def run(x: Tensor, other: Tensor | None = None) -> Tensor:
        x = functional.conv2d(x, *settings)
        x = x if other is None else x.add_(other)
        return x if activate is None else activate(x, *numbers)

    return run


def _activation(options: Mapping[str, Any], own: tuple[bool, ...]) -> _Run:
    activate, numbers = ACTIVATIONS[options["act"]], options.get("numbers", [])
    return lambda x: activate(x if own[0] else x.clone(), *numbers)


def _add(options: Mapping[str, Any], own: tuple[bool, ...]) -> _Run:
    return lambda x, other: x.add_(other) if own[0] and x.shape == other.shape else x + other


def _mul(options: Mapping[str, Any], own: tuple[bool, ...]) -> _Run:
    return lambda x, other: x * other


def _max_pool(options: Mapping[str, Any], own: tuple[bool, ...]) -> _Run:
    return lambda x: functional.max_pool2d(x, *options["numbers"])


def _avg_pool(options: Mapping[str, Any], own: tuple[bool, ...]) -> _Run:
    return lambda x: functional.avg_pool2d(x, *options["numbers"])


def _mean(options: Mapping[str, Any], own: tuple[bool, ...]) -> _Run:
    dims, keep = options["dims"], options["keep"]
    if options["last"]:  # the features: no further rounding
        return lambda x: x.mean(dims, keepdim=keep, dtype=torch.float32)
    return lambda x: x.mean(dims, keepdim=keep)


def _pad(options: Mapping[str, Any], own: tuple[bool, ...]) -> _Run:
    return lambda x: functional.pad(x, options["pad"], value=options["value"])


def _mirror(options: Mapping[str, Any], own: tuple[bool, ...]) -> _Run:
    return lambda x: x.flip(2, 3)


def _flatten(options: Mapping[str, Any], own: tuple[bool, ...]) -> _Run:
    return lambda x: x.flatten(options["start"])


def _transpose(options: Mapping[str, Any], own: tuple[bool, ...]) -> _Run:
    return lambda x: x.transpose(*options["dims"])


_OPERATIONS: dict[str, Callable[[Mapping[str, Any], tuple[bool, ...]], _Run]] = {
    "act": _activation,
    "add": _add,
    "mul": _mul,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "mean": _mean,
    "pad": _pad,
    "mirror": _mirror,
    "flatten": _flatten,
    "transpose": _transpose,
}
