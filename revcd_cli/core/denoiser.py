"""The cross Hadamard-addition U-Net (paper sections 3.3.1, 3.3.2 and 3.4).

Encoder layers multiply by time and add the condition; decoder layers multiply by the condition and add time:

    encoder   h = Drop(ReLU(Norm( (W h_below) * (1 + T(t)) + C(c) )))
    decoder   u = Drop(ReLU(Norm( (V [u_above ; h]) * (1 + C(c)) + T(t) )))

The multipliers start at one (their last layers start at zero). All arguments broadcast over leading axes: with s_t as
(1, C, A) and c as (B, 1, W), C classes are denoised for B photos; what depends on the class alone is computed once.
Symbols: A attributes, W condition width, H hidden width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..config import DenoiserConfig


def sinusoidal_embedding(t: Tensor, width: int) -> Tensor:
    """Return sin and cos of omega_i t, omega_i = 10000^(-2i/width), interleaved (Eq. 17): (..., width). t: (...)."""
    i = torch.arange(width // 2, device=t.device, dtype=torch.float32)
    angles = t.float().unsqueeze(-1) * torch.exp(-math.log(10_000) * 2 * i / width)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)


class TimeMap(nn.Sequential):
    """A two-layer network from the sinusoidal embedding to the width of one layer."""

    def __init__(self, time_width: int, width: int) -> None:
        super().__init__(nn.Linear(time_width, time_width), nn.SiLU(), nn.Linear(time_width, width))

    @property
    def last(self) -> nn.Linear:
        """The second linear layer."""
        layer = self[-1]
        assert isinstance(layer, nn.Linear)
        return layer


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation over all leading axes; features are on the last one."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., H). Returns (..., H)."""
        return super().forward(x.flatten(0, -2)).view_as(x)


class CrossLayer(nn.Module):
    """One layer of the U-Net: `linear(x) * (1 + multiply) + add`, then normalisation, ReLU and dropout."""

    def __init__(self, inputs: int, width: int, condition_width: int, config: DenoiserConfig, *, decoder: bool) -> None:
        super().__init__()
        self.decoder = decoder
        self.linear = nn.Linear(inputs, width)
        self.time = TimeMap(config.time_width, width)
        self.condition = nn.Linear(condition_width, width)
        self.norm = BatchNorm(width) if config.norm == "batch" else nn.LayerNorm(width)
        self.finish = nn.Sequential(nn.ReLU(), nn.Dropout(config.dropout))
        multiplier = self.condition if decoder else self.time.last
        nn.init.zeros_(multiplier.weight)
        nn.init.zeros_(multiplier.bias)

    def forward(self, x: Tensor, time: Tensor, c: Tensor) -> Tensor:
        """x: (..., inputs); time: (..., time_width); c: (..., W). Returns (..., H)."""
        time, c = self.time(time), self.condition(c)
        multiply, add = (c, time) if self.decoder else (time, c)
        h: Tensor = self.finish(self.norm(self.linear(x) * (1 + multiply) + add))
        return h


class Denoiser(nn.Module):
    """The network that maps a noisy description, its time and a condition to the configured prediction.

    "Three hidden layers" (section 4.0.2) has two readings, A: two encoder layers and one decoder layer, and B: three
    encoder layers and two decoder layers.
    """

    encoder: Sequence[CrossLayer]
    decoder: Sequence[CrossLayer]

    def __init__(self, config: DenoiserConfig, n_attributes: int, condition_width: int, outputs: int) -> None:
        super().__init__()
        self.time_width = config.time_width
        depth = {"A": 2, "B": 3}[config.reading]
        width = config.width
        self.encoder = nn.ModuleList(  # type: ignore[assignment]
            CrossLayer(n_attributes if level == 0 else width, width, condition_width, config, decoder=False)
            for level in range(depth)
        )
        self.decoder = nn.ModuleList(  # type: ignore[assignment]
            CrossLayer(2 * width, width, condition_width, config, decoder=True) for _ in range(depth - 1)
        )
        self.out = nn.Linear(width, outputs)

    def forward(self, s_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """s_t: (..., A) noisy vectors; t: (...) integers 1..T; c: (..., W). Returns (..., outputs)."""
        time = sinusoidal_embedding(t - 1, self.time_width).to(s_t.dtype)  # (..., time_width)
        h, skips = s_t, []
        for layer in self.encoder:
            h = layer(h, time, c)  # (..., H)
            skips.append(h)
        skips.pop()  # the innermost encoder layer has no skip connection
        for layer in self.decoder:
            h = layer(torch.cat([h, skips.pop()], dim=-1), time, c)  # (..., H)
        output: Tensor = self.out(h)
        return output
