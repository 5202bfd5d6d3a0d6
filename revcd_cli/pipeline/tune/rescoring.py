"""Inference settings that `revcd tune` tries on trained networks, without training again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...config import Config, InferenceConfig
from ...errors import ConfigError

BANDS = ((0.1, 1.0), (0.1, 0.4), (0.4, 0.7), (0.4, 1.0), (0.7, 1.0))  # inference.band_low and band_high
GUIDANCE = ((1.0, 16), (1.5, 16), (2.5, 16))  # inference.guidance_scale and samples


def guidance_values(config: Config) -> list[tuple[float, int]]:
    """Return the values of `GUIDANCE` that a model of these settings can use, after its own."""
    base = config.inference
    quick = base.sampler == "ddim" and base.steps == 1  # a longer chain is too slow to run many times
    values = dict.fromkeys([(base.guidance_scale, base.samples), *(GUIDANCE if quick else ())])
    return [(scale, samples) for scale, samples in values if _can_guide(config, scale)]


def _can_guide(config: Config, scale: float) -> bool:
    try:
        config.check_inference(replace(config.inference, guidance_scale=scale))
    except ConfigError:
        return False
    return True


def scored_variants(config: Config) -> list[InferenceConfig]:
    """Return the inference settings to try, those of `config` first.

    The settings of the rule "evidence" do not affect the rule "cosine", nor the reverse; each variant changes both.
    """
    base = config.inference
    bands = list(dict.fromkeys([(base.band_low, base.band_high), *BANDS]))
    guidance = guidance_values(config)
    count = max(len(bands), len(guidance))
    bands += bands[:1] * (count - len(bands))
    guidance += guidance[:1] * (count - len(guidance))
    return [
        replace(base, band_low=low, band_high=high, guidance_scale=scale, samples=samples)
        for (low, high), (scale, samples) in zip(bands, guidance, strict=True)
    ]


def scored_settings(chosen: InferenceConfig, base: InferenceConfig, rule: str) -> dict[str, Any]:
    """Return the settings of `chosen` that differ from `base` and affect the rule, by dotted name."""
    names = {"evidence": ("band_low", "band_high"), "cosine": ("guidance_scale", "samples")}
    names["joint"] = names["evidence"]
    return {
        f"inference.{name}": getattr(chosen, name)
        for name in names.get(rule, ())
        if getattr(chosen, name) != getattr(base, name)
    }
