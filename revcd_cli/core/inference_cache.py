"""Fast inference of the denoiser for all pairs of noisy vectors and conditions.

The parts that depend on only one of the two are computed once and reused: for a noisy vector the first linear map and
the time maps, for a condition the condition maps of all layers. The rest is computed in place, and the decoder's linear
map is applied to both halves of its input without concatenating them. Equal to `Denoiser.forward` up to rounding.
Symbols: A attributes, W condition width, H hidden width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .denoiser import CrossLayer, Denoiser, sinusoidal_embedding


class NoisyPart(NamedTuple):
    """The contributions of a noisy vector and its time: the first layer's product, and the other layers' time maps."""

    first: Tensor  # (..., H)
    times: list[Tensor]  # (..., H) each: multipliers of the encoder's other layers, then addends of the decoder's


def noisy_part(denoiser: Denoiser, s_t: Tensor, t: Tensor) -> NoisyPart:
    """s_t: (..., A) noisy vectors; t: (...) integers 1..T."""
    time = sinusoidal_embedding(t - 1, denoiser.time_width).to(s_t.dtype)
    first, *others = denoiser.encoder
    times = [1 + layer.time(time) for layer in others] + [layer.time(time) for layer in denoiser.decoder]
    return NoisyPart(first.linear(s_t) * (1 + first.time(time)), times)


def condition_part(denoiser: Denoiser, c: Tensor) -> list[Tensor]:
    """c: (..., W). Returns (..., H) each: addends of the encoder's layers, then multipliers of the decoder's."""
    addends = [layer.condition(c) for layer in denoiser.encoder]
    return addends + [1 + layer.condition(c) for layer in denoiser.decoder]


def denoise_pairs(denoiser: Denoiser, noisy: NoisyPart, conditions: list[Tensor]) -> Tensor:
    """Return the network's outputs; both parts broadcast against each other. For use without gradients."""
    adds, multipliers = conditions[: len(denoiser.encoder)], conditions[len(denoiser.encoder) :]
    scales, shifts = noisy.times[: len(adds) - 1], noisy.times[len(adds) - 1 :]
    h = _finish(denoiser.encoder[0], noisy.first + adds[0])
    skips = [h]
    for layer, scale, add in zip(denoiser.encoder[1:], scales, adds[1:], strict=True):
        product = layer.linear(h)
        h = _finish(layer, torch.addcmul(add, product, scale, out=product))
        skips.append(h)
    skips.pop()
    for layer, shift, multiplier in zip(denoiser.decoder, shifts, multipliers, strict=True):
        of_above, of_side = layer.linear.weight.chunk(2, dim=1)
        product = F.linear(h, of_above, layer.linear.bias)
        product.flatten(0, -2).addmm_(skips.pop().flatten(0, -2), of_side.T)
        h = _finish(layer, torch.addcmul(shift, product, multiplier, out=product))
    output: Tensor = denoiser.out(h)
    return output


def _finish(layer: CrossLayer, h: Tensor) -> Tensor:
    normalised: Tensor = layer.norm(h)
    return normalised.relu_()
