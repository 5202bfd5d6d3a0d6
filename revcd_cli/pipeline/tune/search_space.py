"""What `revcd tune` may change: settings that need a training each, and settings that only need scoring again.

Trial 0 is the starting point itself. In every other trial each setting keeps its starting value with probability one
half, so that a trial is a change of some settings rather than of all.
"""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass, replace
from typing import Any

from ...config import Config, InferenceConfig
from ..settings import flat

KEEP = 0.5  # probability that a setting keeps its starting value


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    values: tuple[Any, ...]

    def draw(self, generator: random.Random) -> Any:
        return generator.choice(self.values)

    def __str__(self) -> str:
        return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in self.values)


@dataclass(frozen=True)
class LogUniform:
    """A positive number whose logarithm is uniform, to two digits."""

    low: float
    high: float

    def draw(self, generator: random.Random) -> float:
        return float(f"{math.exp(generator.uniform(math.log(self.low), math.log(self.high))):.2g}")

    def __str__(self) -> str:
        return f"{self.low:g} .. {self.high:g}, uniform in the logarithm"


TRAINED: dict[str, Choice | LogUniform] = {
    "precondition.kind": Choice(("centre", "whiten", "centre+whiten", "standardise+whiten")),
    "precondition.shrinkage": Choice((0.1, 0.3, 0.6)),
    "loss.cls_weight": Choice((0.0, 0.01, 0.1)),
    "loss.drop_condition": Choice((0.1, 0.2, 0.3)),
    "encoder.tokens": Choice(("chunk", "single", "views")),
    "encoder.dropout": Choice((0.0, 0.1, 0.3)),
    "prototypes.noise": Choice((0.05, 0.1, 0.2, 0.4)),
    "prototypes.relevance": Choice((0.0, 0.5, 1.0, 2.0)),
    "prototypes.within_shrinkage": Choice((0.5, 0.8, 0.95)),
    "denoiser.width": Choice((256, 512, 1024)),
    "denoiser.dropout": Choice((0.0, 0.1, 0.3)),
    "train.epochs": Choice((10, 20, 40)),
    "train.learning_rate": LogUniform(2e-4, 4e-3),
    "train.weight_decay": LogUniform(1e-3, 0.3),
    "train.mixup": Choice((0.0, 0.3, 0.6)),
}
# Tried on trained networks, without training them again. The rules "evidence" and "cosine" do not know each other's.
BANDS = ((0.1, 1.0), (0.1, 0.4), (0.4, 0.7), (0.4, 1.0), (0.7, 1.0))  # inference.band_low and band_high
GUIDED = ((1.0, 16), (1.5, 16), (2.5, 16))  # inference.guidance_scale and samples


def describe_space(base: Config) -> list[tuple[str, str, str, str]]:
    """Return for each setting its name, its starting value, what may be drawn, and whether that takes a training."""
    start = dict(flat(base.to_dict()))
    rows = [(name, str(start[name]), str(dimension), "trained") for name, dimension in TRAINED.items()]
    for names, pairs in ((("band_low", "band_high"), BANDS), (("guidance_scale", "samples"), GUIDED)):
        values = ", ".join(f"{one:g} and {other:g}" for one, other in pairs)
        now = " and ".join(f"{start[f'inference.{name}']:g}" for name in names)
        rows.append((" and ".join(f"inference.{name}" for name in names), now, values, "scored again"))
    return rows


def draw_settings(base: Config, trial: int, seed: int, *, spatial: bool = False) -> dict[str, Any]:
    """Return what a trial changes, by dotted name; nothing for trial 0. It follows from (seed, trial) alone.

    spatial: the features are tokens of places in the photo, which leave no choice of `encoder.tokens`.
    """
    if trial == 0:
        return {}
    start, drawn = dict(flat(base.to_dict())), {}
    for name, dimension in TRAINED.items():
        digest = hashlib.sha256(f"tune/{seed}/{trial}/{name}".encode()).digest()
        generator = random.Random(int.from_bytes(digest[:8], "little"))
        if generator.random() < KEEP or (name == "encoder.tokens" and spatial):
            continue
        value = dimension.draw(generator)
        if value != start[name]:
            drawn[name] = value
    return drawn


def with_settings(base: Config, settings: dict[str, Any]) -> Config:
    """Return the configuration with some settings changed, by dotted name. Raises `ConfigError`."""
    values = base.to_dict()
    for name, value in settings.items():
        section, _, key = name.partition(".")
        values[section][key] = value
    return Config.from_dict(values)


def scored_variants(base: InferenceConfig) -> list[InferenceConfig]:
    """Return the ways to score a trained model, the starting point first.

    The settings of "evidence" and those of "cosine" do not touch each other's scores, so both change at once.
    """
    bands = list(dict.fromkeys([(base.band_low, base.band_high), *BANDS]))
    quick = base.sampler == "ddim" and base.steps == 1  # a longer chain costs too much to run many times
    guided = list(dict.fromkeys([(base.guidance_scale, base.samples), *(GUIDED if quick else ())]))
    more = max(len(bands), len(guided))
    return [
        replace(base, band_low=low, band_high=high, guidance_scale=scale, samples=samples)
        for (low, high), (scale, samples) in zip(
            bands + bands[:1] * (more - len(bands)), guided + guided[:1] * (more - len(guided)), strict=True
        )
    ]


def scored_settings(chosen: InferenceConfig, base: InferenceConfig, rule: str) -> dict[str, Any]:
    """Return, by dotted name, what the chosen way to score changes that matters to its rule."""
    names = {"evidence": ("band_low", "band_high"), "cosine": ("guidance_scale", "samples")}
    names["joint"] = names["evidence"]
    return {
        f"inference.{name}": getattr(chosen, name)
        for name in names.get(rule, ())
        if getattr(chosen, name) != getattr(base, name)
    }
