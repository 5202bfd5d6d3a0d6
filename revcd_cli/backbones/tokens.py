"""Spatial tokens: the last feature map of a network, before pooling, as one row per image.

Symbols: B batch, N tokens, C channels. A row holds the C values of the first token, then those of the second, etc.
Tokens follow the map row by row from its top left corner; prefix tokens of a Transformer (class, register,
distillation) are left out.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..errors import UsageError


class TokenNetwork(nn.Module):
    """A timm network without pooling and head: images (B, 3, H, W) to (B, N * C).

    n_tokens, n_channels: N and C for images of `input_size` (3, H, W), found by running one.

    Raises `UsageError` if the output is not a feature map.
    """

    def __init__(self, network: nn.Module, tag: str, input_size: tuple[int, int, int]) -> None:
        super().__init__()
        self.network, self.tag = network.eval(), tag
        self._forward_features: Callable[[Tensor], object] = network.forward_features  # type: ignore[assignment]
        with torch.inference_mode():
            _, self.n_tokens, self.n_channels = self._tokens(torch.zeros(1, *input_size)).shape

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W), normalised. Returns (B, N * C)."""
        return self._tokens(images).flatten(1)

    def _tokens(self, images: Tensor) -> Tensor:
        last = self._forward_features(images)
        tokens = _arranged(self.network, last) if isinstance(last, Tensor) else None
        # The number of channels confirms the order of the axes.
        if tokens is None or tokens.shape[2] != self.network.num_features or not tokens.shape[1]:
            raise UsageError(
                f"{self.tag}: its last feature map has a form that revcd does not support.",
                hint="Use its pooled features, or a network such as a ResNet, ConvNeXt, ViT or Swin.",
            )
        return tokens  # (B, N, C)


def _arranged(network: nn.Module, last: Tensor) -> Tensor | None:
    """Return the output of `forward_features` as (B, N, C), or None if its form is unknown."""
    if last.ndim == 4:
        channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"
        return last.flatten(1, 2) if channels_last else last.flatten(2).transpose(1, 2)
    if last.ndim != 3:
        return None
    n_prefix = getattr(network, "num_prefix_tokens", None)
    if n_prefix is None:
        # A few families have a class token at an unknown place in the sequence.
        n_prefix = 0 if not any(name.startswith("cls_token") for name, _ in network.named_parameters()) else None
    return None if n_prefix is None else last[:, n_prefix:]
