"""Convolutions by oneDNN with fused activation and residual sum, through private operators of torch.

This is the only module that uses `torch.ops.mkldnn`. torch.compile uses these operators, but torch does not document
them; where one is missing, `has_onednn` is False and the public `torch.nn.functional.conv2d` is used instead.
tests/backbones/test_onednn.py compares both.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .activations import ACTIVATIONS

_OPERATORS = ("_reorder_convolution_weight", "_convolution_pointwise", "_convolution_pointwise_")
_TYPICAL_BATCH = 16  # for which oneDNN lays out the weights
_FUSED = ("relu", "hardtanh", "swish", "hardswish", "sigmoid")  # activations that oneDNN computes with the convolution


def has_onednn(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether oneDNN can compute convolutions of that type on that device."""
    known = torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in _OPERATORS)
    known = known and device.type == "cpu" and dtype in (torch.float32, torch.bfloat16)
    return known and _lays_out_weights(dtype)


def lacks_bfloat16(device: torch.device) -> bool:
    """Return whether the device is a CPU without instructions for bfloat16, which would be slower than float32."""
    return has_onednn(device, torch.float32) and not has_onednn(device, torch.bfloat16)


@functools.cache
def _lays_out_weights(dtype: torch.dtype) -> bool:
    try:
        weight = torch.zeros(16, 16, 1, 1, dtype=dtype)
        torch.ops.mkldnn._reorder_convolution_weight(weight, [0, 0], [1, 1], [1, 1], 1, [1, 16, 8, 8])
    except RuntimeError:  # bfloat16 without AVX-512
        return False
    return True


def onednn_convolution(
    options: Mapping[str, Any], own: tuple[bool, ...], weight: Tensor, bias: Tensor
) -> Callable[..., Tensor]:
    """Return a function that computes the convolution of a step, with its residual sum and activation.

    options: those of the step. own: for each input, whether its memory may be overwritten.
    """
    onednn = torch.ops.mkldnn
    padding, stride, dilation, groups = (options[name] for name in ("padding", "stride", "dilation", "groups"))
    act, numbers = options.get("act"), options.get("numbers", [])
    size = [_TYPICAL_BATCH, *options["size"]]
    packed = onednn._reorder_convolution_weight(weight, padding, stride, dilation, groups, size)
    settings = (packed, bias, padding, stride, dilation, groups)
    if len(own) == 2:
        convolve = onednn._convolution_pointwise_ if own[1] else onednn._convolution_pointwise

        def add(x: Tensor, other: Tensor) -> Tensor:
            first, second = (other, x) if own[1] else (x, other)
            return convolve.binary(first, second, *settings, "add", 1.0, act, [], None)

        return add
    if act is None or act in _FUSED:
        return lambda x: onednn._convolution_pointwise(x, *settings, act or "none", numbers, None)
    activate = ACTIVATIONS[act]
    return lambda x: activate(onednn._convolution_pointwise(x, *settings, "none", [], None), *numbers)
