"""The visual encoder: from image features to a condition vector (paper section 3.3.3).

The paper gives one feature vector to a Transformer encoder and does not say how a vector becomes tokens;
`EncoderConfig.tokens` chooses. Symbols: B batch, D feature size, N tokens, W width, C channels of a spatial token.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import EncoderConfig


class ChunkTokens(nn.Module):
    """Splits the vector into N pieces of equal length (zero-padded) and maps each to the width."""

    def __init__(self, feature_dim: int, n_tokens: int, width: int) -> None:
        super().__init__()
        self.n_tokens = n_tokens
        self.length = -(-feature_dim // n_tokens)
        self.project = nn.Linear(self.length, width)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, D). Returns (B, N, W)."""
        padding = self.n_tokens * self.length - x.shape[1]
        pieces = nn.functional.pad(x, (0, padding)).unflatten(1, (self.n_tokens, self.length))  # (B, N, length)
        tokens: Tensor = self.project(pieces)
        return tokens


class ViewTokens(nn.Module):
    """N learned projections of the whole vector; with N = 1, the single token, attention is the identity."""

    def __init__(self, feature_dim: int, n_tokens: int, width: int) -> None:
        super().__init__()
        self.n_tokens = n_tokens
        self.project = nn.Linear(feature_dim, n_tokens * width)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, D). Returns (B, N, W)."""
        tokens: Tensor = self.project(x).unflatten(1, (self.n_tokens, -1))
        return tokens


class SpatialTokens(nn.Module):
    """Maps each of the backbone's own N tokens, stored one after the other, to the width by one shared map."""

    def __init__(self, feature_dim: int, n_tokens: int, width: int) -> None:
        super().__init__()
        self.n_tokens = n_tokens
        self.project = nn.Linear(feature_dim // n_tokens, width)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, N * C). Returns (B, N, W)."""
        tokens: Tensor = self.project(x.unflatten(1, (self.n_tokens, -1)))
        return tokens


class SingleTokenLayer(nn.TransformerEncoderLayer):
    """A Transformer layer for a single token, whose attention weights are all 1: no queries or keys are computed.

    Dropout of the attention sets the weight of a whole head to zero.
    """

    def _sa_block(  # type: ignore[override]
        self, x: Tensor, *masks: Tensor | None, **options: bool
    ) -> Tensor:
        """x: (B, 1, W). Returns (B, 1, W)."""
        attention = self.self_attn
        width = attention.embed_dim
        value = nn.functional.linear(x, attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :])
        heads = value.unflatten(-1, (attention.num_heads, -1))  # (B, 1, heads, W / heads)
        kept = nn.functional.dropout(heads.new_ones((*heads.shape[:-1], 1)), attention.dropout, self.training)
        attended: Tensor = self.dropout1(attention.out_proj((heads * kept).flatten(-2)))
        return attended


class VisualEncoder(nn.Module):
    """A Transformer over the tokens of a photo, read out at a class token, plus a linear path around it.

    n_spatial: N if the features are spatial tokens, D = N * C, else 0. The linear path then gets their mean, the pooled
    feature. Raises `ConfigError` if `config.tokens` does not read features of this kind.
    """

    def __init__(self, config: EncoderConfig, feature_dim: int, n_spatial: int = 0) -> None:
        super().__init__()
        config.check_features(n_spatial)
        self.n_spatial = n_spatial
        n_tokens = n_spatial or (1 if config.tokens == "single" else config.n_tokens)
        tokeniser = {"chunk": ChunkTokens, "spatial": SpatialTokens}.get(config.tokens, ViewTokens)
        self.tokens = tokeniser(feature_dim, n_tokens, config.width)
        self.position = nn.Parameter(0.02 * torch.randn(n_tokens, config.width))
        # A single token needs no class token.
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
        tokens: Tensor = self.tokens(x) + self.position  # (B, N, W)
        if self.cls is not None:
            tokens = torch.cat([self.cls.expand(len(x), 1, -1), tokens], dim=1)  # (B, 1+N, W)
        condition: Tensor = self.norm(self.transformer(tokens)[:, 0])  # (B, W)
        if self.skip is None:
            return condition
        pooled = x.unflatten(1, (self.n_spatial, -1)).mean(1) if self.n_spatial else x  # (B, C) or (B, D)
        around: Tensor = self.skip(pooled)
        return condition + around
