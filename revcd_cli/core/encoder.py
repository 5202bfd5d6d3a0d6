"""The visual encoder: image features in, one condition vector out (paper section 3.3.3).

The paper feeds a Transformer encoder with one feature vector and does not say how a vector becomes tokens; the ways to
do it are `EncoderConfig.tokens`. Symbols: B batch, D feature size, N tokens, W width, C channels of a spatial token.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import EncoderConfig


class ChunkTokens(nn.Module):
    """Cut the vector into N pieces of equal length (zero-padded), each mapped to the width."""

    def __init__(self, feature_dim: int, n_tokens: int, width: int) -> None:
        super().__init__()
        self.n_tokens = n_tokens
        self.length = -(-feature_dim // n_tokens)
        self.project = nn.Linear(self.length, width)

    def forward(self, x: Tensor) -> Tensor:
        padding = self.n_tokens * self.length - x.shape[1]
        pieces = nn.functional.pad(x, (0, padding)).unflatten(1, (self.n_tokens, self.length))  # (B, N, length)
        return self.project(pieces)  # (B, N, W)


class ViewTokens(nn.Module):
    """N learned projections of the whole vector; N = 1 is the single token, for which attention is the identity."""

    def __init__(self, feature_dim: int, n_tokens: int, width: int) -> None:
        super().__init__()
        self.n_tokens = n_tokens
        self.project = nn.Linear(feature_dim, n_tokens * width)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(x).unflatten(1, (self.n_tokens, -1))  # (B, N, W)


class SpatialTokens(nn.Module):
    """The backbone's own N tokens, stored one after the other, each mapped to the width by the same map."""

    def __init__(self, feature_dim: int, n_tokens: int, width: int) -> None:
        super().__init__()
        self.n_tokens = n_tokens
        self.project = nn.Linear(feature_dim // n_tokens, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(x.unflatten(1, (self.n_tokens, -1)))  # (B, N, W)


class SingleTokenLayer(nn.TransformerEncoderLayer):
    """A Transformer layer for one token, which attends to itself alone: its queries and keys change nothing.

    What training drops of the attention are weights of 1, one for each head.
    """

    def _sa_block(self, x: Tensor, *masks: Tensor | None, **options: bool) -> Tensor:
        """x: (B, 1, W). Returns (B, 1, W)."""
        attention = self.self_attn
        width = attention.embed_dim
        value = nn.functional.linear(x, attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :])
        heads = value.unflatten(-1, (attention.num_heads, -1))  # (B, 1, heads, W / heads)
        kept = nn.functional.dropout(heads.new_ones((*heads.shape[:-1], 1)), attention.dropout, self.training)
        return self.dropout1(attention.out_proj((heads * kept).flatten(-2)))


class VisualEncoder(nn.Module):
    """Transformer over the tokens of a photo's features, read at a class token, plus a linear path around it.

    n_spatial: N if the features are spatial tokens, D = N * C, else 0. The linear path sees their mean, which is what
    pooled features are. Raises `ConfigError` if the features are not of the kind that `config.tokens` reads.
    """

    def __init__(self, config: EncoderConfig, feature_dim: int, n_spatial: int = 0) -> None:
        super().__init__()
        config.check_features(n_spatial)
        self.n_spatial = n_spatial
        n_tokens = n_spatial or (1 if config.tokens == "single" else config.n_tokens)
        tokeniser = {"chunk": ChunkTokens, "spatial": SpatialTokens}.get(config.tokens, ViewTokens)
        self.tokens = tokeniser(feature_dim, n_tokens, config.width)
        self.position = nn.Parameter(0.02 * torch.randn(n_tokens, config.width))
        # A single token is read itself: attention over it alone is the identity.
        self.cls = nn.Parameter(0.02 * torch.randn(1, config.width)) if n_tokens > 1 else None
        kind = nn.TransformerEncoderLayer if n_tokens > 1 else SingleTokenLayer
        layer = kind(
            config.width, config.heads, config.feedforward, config.dropout, activation="gelu", batch_first=True,
            norm_first=True,
        )  # fmt: skip
        self.transformer = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(config.width)
        self.skip = nn.Linear(feature_dim // max(n_spatial, 1), config.width) if config.skip else None

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, D) scaled features. Returns the condition (B, W)."""
        tokens = self.tokens(x) + self.position  # (B, N, W)
        if self.cls is not None:
            tokens = torch.cat([self.cls.expand(len(x), 1, -1), tokens], dim=1)  # (B, 1+N, W)
        condition = self.norm(self.transformer(tokens)[:, 0])  # (B, W)
        if self.skip is None:
            return condition
        pooled = x.unflatten(1, (self.n_spatial, -1)).mean(1) if self.n_spatial else x  # (B, C) or (B, D)
        return condition + self.skip(pooled)
