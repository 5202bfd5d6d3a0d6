"""Make a `Program` of a network: watch one photo go through it, fold, join, and check the answer.

What is watched are the operations below torch's modules, so that it does not matter how a network of timm is written.
Those with operations that a `Program` has not (attention, layer normalisation) have no program and stay as they are.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from .padding import without_padding
from .steps import Program, Step

_SAME = 1e-3  # how far the program may be from the network in float32, as a share of the features' length

_ACTIVATIONS = {
    "relu": ("relu", lambda args: []),
    "hardtanh": ("hardtanh", lambda args: [float(value) for value in (args[1:3] or (-1, 1))]),
    "silu": ("swish", lambda args: []),
    "hardswish": ("hardswish", lambda args: []),
    "sigmoid": ("sigmoid", lambda args: []),
    "hardsigmoid": ("hardsigmoid", lambda args: []),
}
_SILENT = ("empty", "detach", "alias", "clone", "contiguous")  # have no effect on the numbers


class _Unknown(Exception):
    """The network does something that a program cannot."""


def record(network: nn.Module, input_size: tuple[int, int, int]) -> Program | None:
    """Return the program of a network in evaluation mode, in float32 in main memory, or None if it has none.

    input_size: (3, H, W) of the photos, which the program is for. One photo of noise goes through both, and a program
    that does not give the features of the network is not returned.
    """
    photo = torch.randn(1, *input_size, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad(), _Recorder(photo) as recorder:
            expected = network(photo)
        program = recorder.program(expected)
    except _Unknown:
        return None
    with torch.inference_mode():
        found = program.prepared(torch.device("cpu"), torch.float32)(photo)
    if found.shape != expected.shape or not (found - expected).norm() <= _SAME * expected.norm():
        return None
    return program


class _Recorder(TorchDispatchMode):
    """Turns each operation into a step, while they happen; folds what can be folded."""

    def __init__(self, photo: Tensor) -> None:
        super().__init__()
        self._steps: list[Step] = []
        self._tensors: dict[str, Tensor] = {}
        self._value = {id(photo): 0}
        self._alive = [photo]  # or another tensor could get the identity of one that is gone

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if not any(id(arg) in self._value for arg in args):
            if name not in _SILENT:
                raise _Unknown(name)
            return result
        made = result[0] if isinstance(result, tuple) else result
        number = self._number(name.rstrip("_").removeprefix("_unsafe_"), args, kwargs or {}, made)
        self._alive.append(made)
        self._value[id(made)] = number
        return result

    def program(self, features: Tensor) -> Program:
        """Return what was recorded, as far as these features need it."""
        if self._value.get(id(features)) != len(self._steps):
            raise _Unknown("the features are not the last value")
        steps, tensors = _joined(*without_padding(self._steps, self._tensors))
        for step in steps[-2:]:
            if step.kind == "mean":
                step.options["last"] = True
        return Program(tuple(steps), tensors)

    def _number(self, name: str, args: tuple, kwargs: dict, made: Tensor) -> int:
        """Return the number of the value that the operation makes, after writing down its step."""
        if name in _SILENT:
            return self._of(args[0])
        if name == "convolution":
            return self._convolution(*args)
        if name == "native_batch_norm":
            return self._batch_norm(*args)
        if name in _ACTIVATIONS:
            act, numbers = _ACTIVATIONS[name]
            return self._add_step("act", args[:1], {"act": act, "numbers": numbers(args)})
        if name in ("add", "mul") and not kwargs and len(args) == 2 and all(isinstance(arg, Tensor) for arg in args):
            return self._add_step(name, args, {"alike": args[0].shape == args[1].shape})
        if name in ("max_pool2d_with_indices", "avg_pool2d") and not kwargs:
            kind = "max_pool" if name.startswith("max") else "avg_pool"
            return self._add_step(kind, args[:1], {"numbers": list(args[1:])})
        if name == "mean" and len(args) >= 2 and not kwargs:
            options = {"dims": list(args[1]), "keep": bool(args[2:] and args[2]), "last": False}
            return self._add_step("mean", args[:1], options)
        if name == "constant_pad_nd":
            return self._add_step("pad", args[:1], {"pad": list(args[1]), "value": float((*args[2:], 0)[0])})
        if name == "transpose":
            return self._add_step("transpose", args[:1], {"dims": list(args[1:])})
        if name == "view":
            return self._flatten(args[0], made)
        raise _Unknown(name)

    def _of(self, tensor: Tensor) -> int:
        if id(tensor) not in self._value:
            raise _Unknown("a constant")
        return self._value[id(tensor)]

    def _add_step(self, kind: str, inputs: tuple[Tensor, ...], options: dict[str, Any]) -> int:
        self._steps.append(Step(kind, tuple(map(self._of, inputs)), options))
        return len(self._steps)

    def _convolution(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, *rest: Any
    ) -> int:
        transposed, _, groups = rest
        if transposed or x.ndim != 4:
            raise _Unknown("a transposed convolution")
        place = f"{len(self._steps)}."
        self._tensors[place + "weight"] = weight.detach()
        self._tensors[place + "bias"] = weight.new_zeros(len(weight)) if bias is None else bias.detach()
        options = {"stride": list(stride), "padding": list(padding), "dilation": list(dilation), "groups": groups}
        return self._add_step("conv", (x,), {**options, "size": list(x.shape[1:])})

    def _batch_norm(
        self, x: Tensor, scale: Tensor | None, shift: Tensor | None, mean: Tensor, variance: Tensor, *rest: Any
    ) -> int:
        number = self._of(x)
        # The convolution that came just before, which nothing else can have read yet.
        if rest[0] or not number or number != len(self._steps) or self._steps[-1].kind != "conv":
            raise _Unknown("normalisation that does not follow a convolution")
        place, epsilon = f"{number - 1}.", rest[2]
        factor = (variance.double() + epsilon).rsqrt() * (1 if scale is None else scale.double())  # (C,)
        weight, bias = (self._tensors[place + name].double() for name in ("weight", "bias"))
        self._tensors[place + "weight"] = (weight * factor.view(-1, 1, 1, 1)).to(x.dtype)
        self._tensors[place + "bias"] = ((bias - mean) * factor + (0 if shift is None else shift)).to(x.dtype)
        return number

    def _flatten(self, x: Tensor, made: Tensor) -> int:
        start = made.ndim - 1
        if start < 1 or made.shape[:start] != x.shape[:start] or made.shape[start] != math.prod(x.shape[start:]):
            raise _Unknown("another form")
        return self._add_step("flatten", (x,), {"start": start})


def _joined(steps: list[Step], tensors: dict[str, Tensor]) -> tuple[list[Step], dict[str, Tensor]]:
    """Let convolutions compute the activations and residual sums that alone read their results."""
    readers: dict[int, list[int]] = {}
    for place, step in enumerate(steps):
        for value in step.inputs:
            readers.setdefault(value, []).append(place)
    convolution_of: dict[int, int] = {}  # place of a sum: the convolution that computes it
    activation_of: dict[int, int] = {}  # place of a convolution or such a sum: the activation that it computes
    for place, step in enumerate(steps):
        if step.kind != "add" or not step.options["alike"]:
            continue
        for value in reversed(step.inputs):
            if value and steps[value - 1].kind == "conv" and readers[value] == [place]:
                convolution_of[place] = value - 1
                break
    deferred = set(convolution_of.values())
    for place, step in enumerate(steps):
        following = readers.get(place + 1, [])
        if len(following) != 1 or steps[following[0]].kind != "act":
            continue
        # After a sum oneDNN knows only this one.
        joins = place in convolution_of and steps[following[0]].options["act"] == "relu"
        if joins or (step.kind == "conv" and place not in deferred):
            activation_of[place] = following[0]
    return _written_anew(steps, tensors, convolution_of, activation_of)


def _written_anew(
    steps: list[Step], tensors: dict[str, Tensor], convolution_of: dict[int, int], activation_of: dict[int, int]
) -> tuple[list[Step], dict[str, Tensor]]:
    joined: list[Step] = []
    named: dict[str, Tensor] = {}
    became = {0: 0}  # number of a value before: its number now
    gone = {*convolution_of.values(), *activation_of.values()}
    for place, step in enumerate(steps):
        if place in gone:
            continue
        inputs, source = step.inputs, place
        options = dict(step.options)
        if place in convolution_of:
            source = convolution_of[place]
            other = next(value for value in inputs if value != source + 1)
            inputs, options = (*steps[source].inputs, other), dict(steps[source].options)
        if place in activation_of:
            options |= steps[activation_of[place]].options
            became[activation_of[place] + 1] = len(joined) + 1
        options.pop("alike", None)
        if f"{source}.weight" in tensors:
            named |= {f"{len(joined)}.{name}": tensors[f"{source}.{name}"] for name in ("weight", "bias")}
        became[place + 1] = len(joined) + 1
        joined.append(Step("conv" if place in convolution_of else step.kind, tuple(became[v] for v in inputs), options))
    return joined, named
