"""Fuse activations and residual sums into the convolutions whose results they read."""

from __future__ import annotations

from torch import Tensor

from .steps import Step


def fuse(steps: list[Step], tensors: dict[str, Tensor]) -> tuple[list[Step], dict[str, Tensor]]:
    """Return the steps, with each activation or sum fused into a convolution whose result only it reads."""
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
    summed = set(convolution_of.values())
    for place, step in enumerate(steps):
        following = readers.get(place + 1, [])
        if len(following) != 1 or steps[following[0]].kind != "act":
            continue
        # After a sum, oneDNN supports ReLU only.
        after_sum = place in convolution_of and steps[following[0]].options["act"] == "relu"
        if after_sum or (step.kind == "conv" and place not in summed):
            activation_of[place] = following[0]
    return _rewrite(steps, tensors, convolution_of, activation_of)


def _rewrite(
    steps: list[Step], tensors: dict[str, Tensor], convolution_of: dict[int, int], activation_of: dict[int, int]
) -> tuple[list[Step], dict[str, Tensor]]:
    fused: list[Step] = []
    named: dict[str, Tensor] = {}
    new_number = {0: 0}  # of a value, by its old number
    removed = {*convolution_of.values(), *activation_of.values()}
    for place, step in enumerate(steps):
        if place in removed:
            continue
        inputs, source = step.inputs, place
        options = dict(step.options)
        if place in convolution_of:
            source = convolution_of[place]
            other = next(value for value in inputs if value != source + 1)
            inputs, options = (*steps[source].inputs, other), dict(steps[source].options)
        if place in activation_of:
            options |= steps[activation_of[place]].options
            new_number[activation_of[place] + 1] = len(fused) + 1
        options.pop("alike", None)
        if f"{source}.weight" in tensors:
            named |= {f"{len(fused)}.{name}": tensors[f"{source}.{name}"] for name in ("weight", "bias")}
        new_number[place + 1] = len(fused) + 1
        kind = "conv" if place in convolution_of else step.kind
        fused.append(Step(kind, tuple(new_number[value] for value in inputs), options))
    return fused, named
