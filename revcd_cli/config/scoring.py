"""Settings of visual prototypes and of the rules that score classes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ..errors import ConfigError
from .checks import AUTO, check_choice, check_range, check_range_or_auto

RULES = ("evidence", "prototype", "joint", "cosine")
Auto = float | str  # a number, or `AUTO`: validation chooses it
# The settings of the prototypes that validation may choose, with the values to try. Without validation: the first.
PROTOTYPE_GRID = {
    "whitening": (0.0, 0.1),
    "length": (2.0, 4.0, 8.0, 16.0, 32.0),
    "noise": (0.2, 0.05, 0.1, 0.5),
    "own_share": (0.1, 0.0, 0.3, 1.0),
}


@dataclass(frozen=True, kw_only=True)
class PrototypeConfig:
    """The Gaussian process from descriptions to visual prototypes, fitted in closed form, apart from the diffusion."""

    components: int = 1024  # of the features, at most; 0 omits the prototypes and the rules "prototype" and "joint"
    # Of descriptions in the kernel: share of the seen classes' covariance in the matrix that is inverted, the rest is a
    # multiple of the identity; 0: descriptions as they are. "auto", here and in the next three: validation chooses one
    # of `PROTOTYPE_GRID`
    whitening: Auto = AUTO
    # Of the kernel, squared, in units of the median squared distance between seen descriptions
    length: Auto = AUTO
    # Variance of a class's mean photo that its description does not explain, relative to the variance that it explains
    noise: Auto = AUTO
    # Weight of a seen class's own photos in its score, the rest is that of the process; 0: like a class without photos
    own_share: Auto = AUTO
    # Largest share of a seen class's photos that a described class may be expected to take because of the seen penalty,
    # which is lowered for this seen class otherwise; 1: no limit. "auto": 0.1 with the sparing penalty, else 1
    taken_limit: Auto = AUTO
    relevance: float = 0.0  # prior standard deviation of the logarithm of an attribute's weight; 0: all weights are 1
    within_shrinkage: float = 0.8  # of the covariance of photos around their class's mean, towards a scaled identity
    between_shrinkage: float = 0.3  # of the covariance of the classes' means

    def __post_init__(self) -> None:
        check_range("prototypes.components", self.components, 0)
        check_range_or_auto("prototypes.whitening", self.whitening, 0, 1)
        check_range_or_auto("prototypes.length", self.length, 1e-3)
        check_range_or_auto("prototypes.noise", self.noise, 1e-6)
        check_range_or_auto("prototypes.own_share", self.own_share, 0, 1)
        check_range_or_auto("prototypes.taken_limit", self.taken_limit, 0.01, 1)
        check_range("prototypes.relevance", self.relevance, 0, 10)
        check_range("prototypes.within_shrinkage", self.within_shrinkage, 0, 1)
        check_range("prototypes.between_shrinkage", self.between_shrinkage, 0, 1)

    @property
    def searched(self) -> tuple[str, ...]:
        """Names of the settings that validation chooses; none without prototypes."""
        return tuple(name for name in PROTOTYPE_GRID if getattr(self, name) == AUTO) if self.components > 0 else ()

    def fixed(self) -> PrototypeConfig:
        """Return the settings with usual numbers in place of "auto"."""
        usual = {name: values[0] for name, values in PROTOTYPE_GRID.items() if getattr(self, name) == AUTO}
        usual |= {"taken_limit": 1.0} if self.taken_limit == AUTO else {}
        return dataclasses.replace(self, **usual)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class ClassNetworkConfig:
    """The network from descriptions to visual prototypes that is trained to tell photos of different classes apart."""

    width: int = 1024  # of its two hidden layers; 0 omits it
    epochs: int = 20
    simulated: int = 30  # simulated classes in each batch, beside all seen ones; 0 trains on photos of these alone

    def __post_init__(self) -> None:
        check_range("class_network.width", self.width, 0)
        check_range("class_network.epochs", self.epochs, 1)
        check_range("class_network.simulated", self.simulated, 0)


@dataclass(frozen=True, kw_only=True)
class InferenceConfig:
    """How descriptions are sampled from a photo and classes are scored (paper sections 3.5 and 3.6)."""

    # "evidence" (likelihood against the unconditional branch) | "prototype" (likelihood by visual prototypes) | "joint"
    # (both) | "cosine" (the paper's) | "auto" (validation chooses one of these)
    rule: str = "auto"
    # "auto" chooses these two as well. joint: weight of the prototypes; the rest is the evidence's
    prototype_share: float = 0.5
    network_share: float = 0.0  # prototype and joint: weight of the class network in the scores of the prototypes
    # joint and evidence: weight of the prototypes for a class with photos given after the training, or the weight of
    # other classes if that is larger; "auto" chooses it as well
    photo_share: float = 1.0
    label_share: float = 0.5  # weight of the classifier's log probability in the score of a known class
    samples: int = 16  # cosine: vectors drawn per photo, whose cosines are averaged. The paper draws one
    steps: int = 1  # cosine: denoising steps, 1..T. One step gives the posterior mean at t = T
    sampler: str = "ddim"  # cosine: "ddim" | "ddpm" (the full chain)
    variance: str = "posterior"  # cosine, ddpm: "posterior" | "beta"
    clip: float = 0.0  # cosine: bound on the absolute values of each estimate of the clean vector; 0 is no bound
    eta: float = 0.0  # cosine, ddim: from 0, deterministic, to 1, as noisy as ddpm
    guidance_scale: float = 1.0  # cosine: w of classifier-free guidance; 1 means none
    # objective "both": the head that cosine and evidence use, "x0" (the clean vector) | "eps" (the noise, as in the
    # paper's Eq. 18 and 22) | "mixed" (the clean vector while alpha_bar_t < 1/2, then the noise)
    head: str = "x0"
    draws: int = 8  # evidence: (t, noise) pairs that all classes share
    band_low: float = 0.1  # evidence: lowest t used, as a share of T
    band_high: float = 0.7  # evidence: highest t used, as a share of T
    shortlist: int = 200  # joint: classes whose evidence is computed, each photo's best by prototypes; 0 means all

    def __post_init__(self) -> None:
        check_choice("inference.rule", self.rule, ("auto", *RULES))
        check_range("inference.label_share", self.label_share, 0)
        check_range("inference.prototype_share", self.prototype_share, 0, 1)
        check_range("inference.photo_share", self.photo_share, 0, 1)
        check_range("inference.network_share", self.network_share, 0, 1)
        check_choice("inference.sampler", self.sampler, ("ddim", "ddpm"))
        check_choice("inference.head", self.head, ("x0", "eps", "mixed"))
        check_choice("inference.variance", self.variance, ("posterior", "beta"))
        check_range("inference.clip", self.clip, 0)
        for name in ("samples", "steps", "draws"):
            check_range(f"inference.{name}", getattr(self, name), 1)
        check_range("inference.shortlist", self.shortlist, 0)
        check_range("inference.eta", self.eta, 0, 1)
        check_range("inference.guidance_scale", self.guidance_scale, 0, 100)
        if not 0 <= self.band_low < self.band_high <= 1:
            raise ConfigError(
                f"inference.band_low and band_high must satisfy 0 <= low < high <= 1; "
                f"got {self.band_low:g} and {self.band_high:g}."
            )

    def with_rule(self, rule: str | None) -> InferenceConfig:
        """Return the settings with another rule; None and "auto" keep the model's own."""
        return self if rule is None or rule == "auto" else dataclasses.replace(self, rule=rule)
