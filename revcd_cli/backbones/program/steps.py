"""A convolutional network as a plain list of steps, which needs nothing but torch to run.

`program_recorder.record` makes one from any network of timm whose operations are listed here, with batch
normalisation folded into the convolutions, and activations and residual sums joined to them. It can be written to a
file and read back without timm, and runs without the memory traffic of the separate operations.

Values are numbered: 0 is the photos (B, 3, H, W), and step k makes value k + 1. The last value is the features.
Symbols: B batch, C channels, H and W the size of a map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_Run = Callable[..., Tensor]

# What follows a convolution, by the name that oneDNN has for it, and its numbers.
ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "relu": functional.relu_,
    "hardtanh": functional.hardtanh_,
    "swish": lambda x: functional.silu(x, inplace=True),
    "hardswish": lambda x: functional.hardswish(x, inplace=True),
    "sigmoid": torch.sigmoid_,
    "hardsigmoid": lambda x: functional.hardsigmoid(x, inplace=True),
}
_TYPICAL_BATCH = 16  # for which oneDNN lays out the weights
_VIEWS = ("flatten", "transpose")  # may give the memory of what they are given
_JOINED = ("relu", "hardtanh", "swish", "hardswish", "sigmoid")  # those that oneDNN computes with the convolution


@dataclass(frozen=True)
class Step:
    """One operation on earlier values.

    kind: "conv" or one of `_OPERATIONS`. options: its numbers, plain JSON. "act" with its "numbers" also follows a
    "conv", after the sum with the second input if it has two.
    """

    kind: str
    inputs: tuple[int, ...]
    options: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "inputs": list(self.inputs), "options": dict(self.options)}


@dataclass(frozen=True)
class Program:
    """Steps, and the tensors of each convolution: "3.weight" and "3.bias" belong to step 3."""

    steps: tuple[Step, ...]
    tensors: Mapping[str, Tensor]

    def prepared(self, device: torch.device, dtype: torch.dtype) -> PreparedProgram:
        """Return the program ready to run there, its weights in the order in which they are read."""
        return PreparedProgram(self, device, dtype)


def rounding_cosine(program: Program, input_size: tuple[int, int, int], dtype: torch.dtype) -> float:
    """Return the cosine between the features of a photo of noise in this type and in float32, in main memory."""
    photo = torch.randn(1, *input_size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        exact, rounded = (
            program.prepared(torch.device("cpu"), kind)(photo.to(kind)).double() for kind in (torch.float32, dtype)
        )
    return torch.cosine_similarity(exact, rounded).item()


class PreparedProgram:
    """A program whose weights are on a device, of one type: (B, 3, H, W) to (B, D), float32 where it is pooled."""

    def __init__(self, program: Program, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        last_use = {value: number for number, step in enumerate(program.steps) for value in step.inputs}
        # What must not be written over: the caller's photos, and values that share their memory with others.
        views = {number: step.inputs[0] for number, step in enumerate(program.steps, 1) if step.kind in _VIEWS}
        shared = {0, *views, *views.values()}
        on_onednn = device.type == "cpu" and _has_onednn(dtype)
        self._steps: list[tuple[_Run, tuple[int, ...], tuple[int, ...]]] = []
        for number, step in enumerate(program.steps):
            dead = tuple({value for value in step.inputs if last_use[value] == number})
            own = tuple(value in dead and value not in shared for value in step.inputs)
            if len(set(step.inputs)) < len(step.inputs):
                own = (False,) * len(own)
            if step.kind == "conv":
                weight, bias = (program.tensors[f"{number}.{name}"] for name in ("weight", "bias"))
                make = _onednn_convolution if on_onednn else _convolution
                run = make(step.options, own, weight.to(device, dtype), bias.to(device, dtype))
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


def _has_onednn(dtype: torch.dtype) -> bool:
    # Operations that torch.compile uses, not promised to anybody: where they are missing, torch's public ones do.
    names = ("_reorder_convolution_weight", "_convolution_pointwise", "_convolution_pointwise_")
    known = torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in names)
    return known and dtype in (torch.float32, torch.bfloat16)


def _onednn_convolution(options: Mapping[str, Any], own: tuple[bool, ...], weight: Tensor, bias: Tensor) -> _Run:
    onednn = torch.ops.mkldnn
    padding, stride, dilation, groups = (options[name] for name in ("padding", "stride", "dilation", "groups"))
    act, numbers = options.get("act"), options.get("numbers", [])
    size = [_TYPICAL_BATCH, *options["size"]]
    packed = onednn._reorder_convolution_weight(weight, padding, stride, dilation, groups, size)
    settings = (packed, bias, padding, stride, dilation, groups)
    if len(own) == 2:
        join = onednn._convolution_pointwise_ if own[1] else onednn._convolution_pointwise

        def add(x: Tensor, other: Tensor) -> Tensor:
            first, second = (other, x) if own[1] else (x, other)
            return join.binary(first, second, *settings, "add", 1.0, act, [], None)

        return add
    if act is None or act in _JOINED:
        return lambda x: onednn._convolution_pointwise(x, *settings, act or "none", numbers, None)
    activate = ACTIVATIONS[act]
    return lambda x: activate(onednn._convolution_pointwise(x, *settings, "none", [], None), *numbers)


def _convolution(options: Mapping[str, Any], own: tuple[bool, ...], weight: Tensor, bias: Tensor) -> _Run:
    weight = weight.contiguous(memory_format=torch.channels_last)
    settings = (weight, bias, options["stride"], options["padding"], options["dilation"], options["groups"])
    activate, numbers = ACTIVATIONS.get(options.get("act")), options.get("numbers", [])

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
    if options["last"]:  # features: not rounded once more
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
