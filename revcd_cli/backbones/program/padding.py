"""Let convolutions pad for themselves where the network pads in a step of its own, which costs a copy of the map.

A convolution here pads alike on both sides, but TensorFlow's networks pad more at the end than at the beginning. Seen
in a mirror (photo and kernels turned by half a circle) they pad more at the beginning, and what an equal padding adds
at the end is then not reached by the stride. Features that are means over places are the same in the mirror.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from .steps import Step

_SAME_IN_A_MIRROR = ("conv", "act", "add", "mul", "pad", "mean", "flatten")
_Paddings = dict[int, list[int]]  # place of a convolution: what it pads by itself, above and to the left


def without_padding(steps: list[Step], tensors: dict[str, Tensor]) -> tuple[list[Step], dict[str, Tensor]]:
    """Return steps that do the same with as few steps "pad" as possible, and their tensors.

    Steps are those of a recorder, before anything is joined: a convolution has its "size", the (C, H, W) it reads.
    """
    pads = _foldable(steps)
    if not pads:
        return steps, tensors
    plain = _paddings(steps, tensors, pads, mirrored=False)
    mirrored = _paddings(steps, tensors, pads, mirrored=True) if _mirrors(steps) else {}
    convolutions = {place for place, step in enumerate(steps) if step.kind == "conv"}
    if len(plain) < len(convolutions) and mirrored.keys() == convolutions:
        return _written_anew(steps, tensors, pads, mirrored, mirrored=True)
    return _written_anew(steps, tensors, pads, plain, mirrored=False)


def _foldable(steps: list[Step]) -> dict[int, Step]:
    """Return the pads of a map with zeros that convolutions alone read, by the number of their value."""
    readers: dict[int, list[str]] = {}
    for step in steps:
        for value in step.inputs:
            readers.setdefault(value, []).append(step.kind)
    return {
        number: step
        for number, step in enumerate(steps, 1)
        if step.kind == "pad" and len(step.options["pad"]) == 4 and step.options["value"] == 0
        and set(readers.get(number, [])) == {"conv"}
    }  # fmt: skip


def _mirrors(steps: list[Step]) -> bool:
    """Say whether all steps do the same in a mirror, and the features come from means over all places of a map."""
    averaged: set[int] = set()  # numbers of the values without places
    for number, step in enumerate(steps, 1):
        if step.kind == "mean" and sorted(dim % 4 for dim in step.options["dims"]) != [2, 3]:
            return False
        if step.kind == "mean" or averaged.issuperset(step.inputs):
            averaged.add(number)
    return len(steps) in averaged and all(step.kind in _SAME_IN_A_MIRROR for step in steps)


def _paddings(steps: list[Step], tensors: dict[str, Tensor], pads: dict[int, Step], *, mirrored: bool) -> _Paddings:
    """Return what each convolution has to pad, those left out that an equal padding does not serve."""
    found: _Paddings = {}
    for place, step in enumerate(steps):
        if step.kind != "conv":
            continue
        left, right, top, bottom = pads[step.inputs[0]].options["pad"] if step.inputs[0] in pads else (0, 0, 0, 0)
        sides = zip(
            step.options["size"][1:], ((top, bottom), (left, right)), _geometry(step, tensors, place), strict=True
        )
        own = [_equal_padding(size, pad, geometry, mirrored) for size, pad, geometry in sides]
        if None not in own:
            found[place] = own
    return found


def _geometry(step: Step, tensors: dict[str, Tensor], place: int) -> list[tuple[int, int, int]]:
    """Return (padding, stride, reach) along both sides of the map; reach is the length that a dilated kernel covers."""
    kernel = tensors[f"{place}.weight"].shape[2:]
    options = step.options
    reach = [dilation * (side - 1) + 1 for side, dilation in zip(kernel, options["dilation"], strict=True)]
    return list(zip(options["padding"], options["stride"], reach, strict=True))


def _equal_padding(size: int, pad: tuple[int, int], geometry: tuple[int, int, int], mirrored: bool) -> int | None:
    """Return the padding on both sides that reads the map at the same places, or None.

    size: of the map after it was padded by pad, before and behind.
    """
    padding, stride, reach = geometry
    results = (size + 2 * padding - reach) // stride + 1
    inner, before = size - sum(pad), padding + pad[0]
    if mirrored:  # what the last place reads beyond the end
        before = (results - 1) * stride + reach - inner - before
    fits = before >= 0 and (inner + 2 * before - reach) // stride + 1 == results
    return before if fits else None


def _written_anew(
    steps: list[Step], tensors: dict[str, Tensor], pads: dict[int, Step], paddings: _Paddings, *, mirrored: bool
) -> tuple[list[Step], dict[str, Tensor]]:
    written = [Step("mirror", (0,), {})] if mirrored else []
    named: dict[str, Tensor] = {}
    became = {0: len(written)}  # number of a value before: its number now
    kept = {step.inputs[0] for place, step in enumerate(steps) if step.kind == "conv" and place not in paddings}
    for place, step in enumerate(steps):
        if place + 1 in pads and place + 1 not in kept:
            became[place + 1] = became[step.inputs[0]]
            continue
        options: dict[str, Any] = dict(step.options)
        if step.kind == "conv":
            folded = step.inputs[0] in pads and step.inputs[0] not in kept
            if folded:
                left, right, top, bottom = pads[step.inputs[0]].options["pad"]
                channels, height, width = options["size"]
                options["size"] = [channels, height - top - bottom, width - left - right]
            if folded or mirrored:
                options["padding"] = paddings[place]
            weight = tensors[f"{place}.weight"]
            named[f"{len(written)}.weight"] = weight.flip(2, 3) if mirrored else weight
            named[f"{len(written)}.bias"] = tensors[f"{place}.bias"]
        written.append(replace(step, inputs=tuple(became[value] for value in step.inputs), options=options))
        became[place + 1] = len(written)
    return written, named
