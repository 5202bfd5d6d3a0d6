"""Record a network as a `Program`: trace one image, fold batch normalisation, fuse steps, and verify the features.

The trace sees the operators below torch's modules, so it does not depend on how timm writes a network. A network with
other operators than those of a `Program` (attention, layer normalisation) has no program and is run as it is.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from .fuse import fuse
from .padding import fold_padding
from .steps import Program, Step

_TOLERANCE = 1e-3  # of the features in float32: distance to those of the network, relative to their length

_ACTIVATIONS = {
    "relu": ("relu", lambda args: []),
    "hardtanh": ("hardtanh", lambda args: [float(value) for value in (args[1:3] or (-1, 1))]),
    "silu": ("swish", lambda args: []),
    "hardswish": ("hardswish", lambda args: []),
    "sigmoid": ("sigmoid", lambda args: []),
    "hardsigmoid": ("hardsigmoid", lambda args: []),
}
_NO_OPS = ("empty", "detach", "alias", "clone", "contiguous")  # do not change values


class _Unsupported(Exception):
    """The network uses an operation that a program does not have."""


def record(network: nn.Module, input_size: tuple[int, int, int]) -> Program | None:
    """Return the program of a network, or None if it has none.

    network: in evaluation mode, float32, on the CPU. input_size: (3, H, W) of its images. Program and network are
    compared on one image of noise; a program that gives other features is not returned.
    """
    image = torch.randn(1, *input_size, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad(), _Recorder(image) as recorder:
            expected = network(image)
        program = recorder.program(expected)
    except _Unsupported:
        return None
    with torch.inference_mode():
        found = program.prepared(torch.device("cpu"), torch.float32)(image)
    if found.shape != expected.shape or not (found - expected).norm() <= _TOLERANCE * expected.norm():
        return None
    return program


class _Recorder(TorchDispatchMode):
    """Turns each operator into a step when torch runs it, and folds batch normalisation into convolutions."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self._steps: list[Step] = []
        self._tensors: dict[str, Tensor] = {}
        self._value = {id(image): 0}
        self._alive = [image]  # ids of deleted tensors would be used again

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if not any(id(arg) in self._value for arg in args):
            if name not in _NO_OPS:
                raise _Unsupported(name)
            return result
        made = result[0] if isinstance(result, tuple) else result
        number = self._record(name.rstrip("_").removeprefix("_unsafe_"), args, kwargs or {}, made)
        self._alive.append(made)
        self._value[id(made)] = number
        return result

    def program(self, features: Tensor) -> Program:
        """Return the recorded program, with padding folded and steps fused. features: the network's output."""
        if self._value.get(id(features)) != len(self._steps):
            raise _Unsupported("the features are not the last value")
        steps, tensors = fuse(*fold_padding(self._steps, self._tensors))
        for step in steps[-2:]:
            if step.kind == "mean":
                step.options["last"] = True
        return Program(tuple(steps), tensors)

    def _record(self, name: str, args: tuple, kwargs: dict, made: Tensor) -> int:
        """Record an operator as a step, and return the number of its value."""
        if name in _NO_OPS:
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
        raise _Unsupported(name)

    def _of(self, tensor: Tensor) -> int:
        if id(tensor) not in self._value:
            raise _Unsupported("a constant")
        return self._value[id(tensor)]

    def _add_step(self, kind: str, inputs: tuple[Tensor, ...], options: dict[str, Any]) -> int:
        self._steps.append(Step(kind, tuple(map(self._of, inputs)), options))
        return len(self._steps)

    def _convolution(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, *rest: Any
    ) -> int:
        transposed, _, groups = rest
        if transposed or x.ndim != 4:
            raise _Unsupported("a transposed convolution")
        place = f"{len(self._steps)}."
        self._tensors[place + "weight"] = weight.detach()
        self._tensors[place + "bias"] = weight.new_zeros(len(weight)) if bias is None else bias.detach()
        options = {"stride": list(stride), "padding": list(padding), "dilation": list(dilation), "groups": groups}
        return self._add_step("conv", (x,), {**options, "size": list(x.shape[1:])})

    def _batch_norm(
        self, x: Tensor, scale: Tensor | None, shift: Tensor | None, mean: Tensor, variance: Tensor, *rest: Any
    ) -> int:
        number = self._of(x)
        # Only the convolution just before, which no other step has read yet.
        if rest[0] or not number or number != len(self._steps) or self._steps[-1].kind != "conv":
            raise _Unsupported("normalisation that does not follow a convolution")
        place, epsilon = f"{number - 1}.", rest[2]
        factor = (variance.double() + epsilon).rsqrt() * (1 if scale is None else scale.double())  # (C,)
        weight, bias = (self._tensors[place + name].double() for name in ("weight", "bias"))
        self._tensors[place + "weight"] = (weight * factor.view(-1, 1, 1, 1)).to(x.dtype)
        self._tensors[place + "bias"] = ((bias - mean) * factor + (0 if shift is None else shift)).to(x.dtype)
        return number

    def _flatten(self, x: Tensor, made: Tensor) -> int:
        start = made.ndim - 1
        if start < 1 or made.shape[:start] != x.shape[:start] or made.shape[start] != math.prod(x.shape[start:]):
            raise _Unsupported("another view")
        return self._add_step("flatten", (x,), {"start": start})
