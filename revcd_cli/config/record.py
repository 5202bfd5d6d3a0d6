"""The record of the backbone that features come from, written into feature files and models."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class BackboneRecord:
    """The kind of features in a model or a feature file; features of two kinds are never mixed."""

    tag: str  # "embedded" or a full timm tag, perhaps with "@SIZE", or the stem of an xlsa17 feature file
    weights_sha256: str  # of the weights file; "" where unknown (features from elsewhere)
    preprocessing: dict[str, Any]  # timm's resolved data config; {} where unknown
    feature_dim: int  # D, the values stored for a photo: of one vector, or of all its tokens one after the other
    precision: str = ""  # "float32", "bfloat16" or "float16"; "" where unknown
    tokens: int = 0  # spatial tokens a photo, each of feature_dim / tokens values; 0 is one pooled vector

    def __post_init__(self) -> None:
        if self.tokens < 0 or self.feature_dim % max(self.tokens, 1):
            raise ConfigError(f"{self.feature_dim} values a photo cannot be {self.tokens} tokens.")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def how_to_match(self) -> str:
        """Return what to do about features of another kind than those of a model with this record."""
        if not self.weights_sha256:  # computed by another program
            return "Train a model on these features."
        options = f"--backbone {self.tag}{' --tokens' if self.tokens else ''}"
        return f"Extract features as for the model (revcd extract {options}), or train on these features."

    def difference(self, other: BackboneRecord) -> str | None:
        """Return the first field in which the two kinds of features differ, in words, or None. Precision may differ."""
        for name in ("tag", "weights_sha256", "preprocessing", "tokens", "feature_dim"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                return f"{name} is {mine!r} here and {theirs!r} there"
        return None
