"""A pretended device without float64, as Apple's MPS is: its tensors have their values on the CPU and say otherwise.

Within `NoFloat64()` an operation raises if its result on that device would be float64, or if it mixes tensors of both
devices.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = "meta"  # a name that every build of torch knows
_COPIES = ("aten::_to_copy", "aten::to.", "aten::index.Tensor")


class DeviceTensor(torch.Tensor):
    """A tensor on the pretended device; `inner` holds its values."""

    inner: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: Tensor) -> DeviceTensor:
        assert inner.dtype != torch.float64, "float64 on a device that has none"
        made = torch.Tensor._make_wrapper_subclass(cls, inner.shape, inner.stride(), dtype=inner.dtype, device=DEVICE)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


class NoFloat64(TorchDispatchMode):
    """Operations, and new tensors on `DEVICE`, run on the pretended device."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


def on_device(module: nn.Module) -> nn.Module:
    """Move the parameters and buffers of a module to the pretended device, and return it.

    In inference mode torch accepts no tensors of this kind from outside it: move the module within it, once more.
    """
    for part in module.modules():
        for name, buffer in part._buffers.items():
            part._buffers[name] = None if buffer is None else _moved(buffer)
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(_moved(parameter.data), requires_grad=False)
    return module


def _moved(value: Tensor) -> DeviceTensor:
    return DeviceTensor((value.inner if isinstance(value, DeviceTensor) else value).clone())


def _run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    leaves = tree_leaves((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    ours = [leaf for leaf in tensors if isinstance(leaf, DeviceTensor)]
    devices = [leaf.type for leaf in leaves if isinstance(leaf, torch.device)]
    here = devices[0] == DEVICE if devices else bool(ours)
    if function.name() == "aten::copy_":
        here = isinstance(args[0], DeviceTensor)
    elif ours and not function.name().startswith(_COPIES):
        mixed = [leaf for leaf in tensors if not isinstance(leaf, DeviceTensor) and leaf.ndim]
        assert not mixed, f"{function.name()} of tensors on two devices"
    of_inner = {id(leaf.inner): leaf for leaf in ours}

    def inner(leaf: Any) -> Any:
        if isinstance(leaf, torch.device):
            return torch.device("cpu")
        return leaf.inner if isinstance(leaf, DeviceTensor) else leaf

    def outer(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or not here:
            return leaf
        return of_inner[id(leaf)] if id(leaf) in of_inner else DeviceTensor(leaf)

    return tree_map(outer, function(*tree_map(inner, args), **tree_map(inner, kwargs)))
