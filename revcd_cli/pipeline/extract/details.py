"""Describe how features are computed: the detail lines that `revcd -v` prints."""

from __future__ import annotations

import platformdirs

from ...backbones.backbone import Backbone


def backbone_details(backbone: Backbone) -> list[str]:
    """Return one line each for the weights, the device, the precision, the threads and the cache."""
    record = backbone.record
    return [
        f"backbone {record.tag}: weights sha256 {record.weights_sha256}, {_values(backbone)}",
        f"device {backbone.device.reason}",
        f"precision {backbone.precision.reason}",
        backbone.threads.reason,
        f"cache {platformdirs.user_cache_dir('revcd')} (features of datasets, backbone networks, micro-benchmarks)",
    ]


def _values(backbone: Backbone) -> str:
    tokens, values = backbone.record.tokens, backbone.record.feature_dim
    if not tokens:
        return f"{values} values per photo"
    return f"{tokens} tokens of {values // tokens} values per photo ({4 * values / 1000:,.0f} kB)"
