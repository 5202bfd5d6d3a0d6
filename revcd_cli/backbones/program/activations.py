"""Activations that may follow a convolution, by their names in oneDNN. Each overwrites its input."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "relu": functional.relu_,
    "hardtanh": functional.hardtanh_,
    "swish": lambda x: functional.silu(x, inplace=True),
    "hardswish": lambda x: functional.hardswish(x, inplace=True),
    "sigmoid": torch.sigmoid_,
    "hardsigmoid": lambda x: functional.hardsigmoid(x, inplace=True),
}
