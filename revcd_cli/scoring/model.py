"""The zero-shot model: RevCD networks and visual prototypes, and a score for every class by one of four rules.

"cosine" is the paper's rule: samples of the diffusion are compared with the class descriptions (Eq. 23-24). "evidence"
reads the same networks as classifiers. "prototype" compares the photo with the visual prototype of each description, by
the Gaussian process, with a share of the class network. "joint" is the weighted mean of these two, which both estimate
log p(s | x) - log p(s).
Symbols: B photos, C classes, A attributes, D feature size, M networks.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from ..config import Config, InferenceConfig
from ..core.model import RevCD
from ..core.sample import sample_semantics
from ..errors import UsageError
from .calibration import score_unit
from .candidate_kinds import CandidateKinds
from .class_network import ClassNetwork
from .cosine import cosine_scores
from .evidence import evidence_scores
from .joint import joint_scores
from .prototypes.photo_shares import PhotoModel
from .prototypes.visual_prototypes import VisualPrototypes


class ZeroShotModel(nn.Module):
    """One or more networks, whose scores are averaged, optional visual prototypes, and an optional class network.

    On classes without photos, a network for centred and one for whitened descriptions make different errors, far more
    so than networks that differ by their seed alone (docs/results.md). Scores of each network, and of the prototypes,
    and of the class network, are divided by their usual spread over classes, so that they can be added (`fit_units`).
    """

    networks: Sequence[RevCD]
    evidence_units: Tensor
    cosine_units: Tensor
    prototype_unit: Tensor

    def __init__(
        self,
        config: Config,
        networks: Sequence[RevCD],
        prototypes: VisualPrototypes | None = None,
        class_network: ClassNetwork | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.networks = nn.ModuleList(networks)  # type: ignore[assignment]
        self.prototypes, self.class_network = prototypes, class_network
        self.register_buffer("evidence_units", torch.ones(len(networks)))
        self.register_buffer("cosine_units", torch.ones(len(networks)))
        self.register_buffer("prototype_unit", torch.ones(()))

    @torch.inference_mode()
    def score(
        self,
        x: Tensor,
        s: Tensor,
        config: InferenceConfig,
        generators: Sequence[Generator],
        kinds: CandidateKinds | None = None,
    ) -> Tensor:
        """Score every class for every photo by `config.rule`; higher is better. Returns (B, C).

        x: (B, D) raw features; s: (C, A) raw class descriptions; generators: one for each photo, so that its scores do
        not depend on the rest of the batch. The networks draw from them one after the other. kinds: of the classes;
        None: all are known by their descriptions only.
        """
        prototype = functools.partial(self._prototype_scores, kinds=kinds, network_share=config.network_share)
        if config.rule == "prototype":
            return prototype(x, s)
        if config.rule == "cosine":
            return self._mean_scores("cosine", config, generators, x, s)
        evidence = functools.partial(self._mean_scores, "evidence", config, generators)
        share = config.prototype_share if config.rule == "joint" and self.prototypes is not None else 0.0
        shares = share if kinds is None else kinds.prototype_shares(share, config.photo_share)
        return joint_scores(x, s, evidence, prototype, shares, config.shortlist)

    def kinds(self, own: Tensor) -> CandidateKinds | None:
        """Return the kinds of candidates by their positions `own` (K,) among the training's classes, -1 for others.

        None if this model scores both kinds of classes alike.
        """
        return None if self.prototypes is None else self.prototypes.kinds(own)

    @torch.inference_mode()
    def penalty_limits(self, s: Tensor, kinds: CandidateKinds, rule: str) -> Tensor | None:
        """Return the largest seen penalty of each class, see `PrototypeConfig.taken_limit`: (C,), infinite for others.

        s: (C, A) raw descriptions; rule: that scores them. None without a limit, and for rules without prototypes.
        """
        prototypes = self.prototypes
        if prototypes is None or float(prototypes.config.taken_limit) >= 1 or rule not in ("prototype", "joint"):
            return None
        state = {name: value.double().cpu().numpy() for name, value in prototypes.named_buffers()}
        photos = PhotoModel.of(state, prototypes.config, float(self.prototype_unit))
        kinds, s = kinds.to(prototypes.centre.device), s.to(prototypes.centre)
        seen = (kinds.own >= 0) & (prototypes.counts[kinds.own] > 0)
        means, variances = (part[kinds.own < 0].double().cpu().numpy() for part in prototypes.candidates(s, kinds))
        limits = photos.penalty_limits((means, variances), s[seen].cpu().numpy(), kinds.own[seen].cpu().numpy())
        found = torch.full((len(s),), torch.inf, dtype=torch.float64)
        found[seen.cpu()] = torch.from_numpy(limits)
        return found

    @torch.inference_mode()
    def mean_photo(self, x: Tensor) -> Tensor:
        """Return the mean of photos (N, D), raw features, in the components of the prototypes: (P,)."""
        return self.photo_components(x).mean(0)

    @torch.inference_mode()
    def photo_components(self, x: Tensor) -> Tensor:
        """Return photos (N, D), raw features, in the components of the prototypes: (N, P)."""
        if self.prototypes is None:
            raise UsageError(
                "Photos of a new class need visual prototypes, and this model has none.",
                hint="Train with prototypes.components above 0.",
            )
        return self.prototypes.photo_components(x)

    @torch.inference_mode()
    def fit_units(self, x: Tensor, s: Tensor, config: InferenceConfig, rules: Sequence[str]) -> None:
        """Set the units of the scores by these rules to their spread over classes. "network" is the class network.

        x: (N, D) features of some training photos; s: (C, A) raw descriptions of their classes.
        """
        for rule in rules:
            if rule == "prototype":
                self.prototype_unit.fill_(1)
                self.prototype_unit.fill_(score_unit(self._prototype_scores(x, s)))
                continue
            if rule == "network":
                if self.class_network is not None:
                    self.class_network.fit_unit(x, s)
                continue
            units = self._units(rule)
            for number in range(len(self.networks)):
                units[number] = 1
                generators = [Generator().manual_seed(0) for _ in x]  # on the CPU: the same noise for every device
                units[number] = score_unit(self._network_scores(number, rule, config, generators, x, s))

    def _mean_scores(
        self, rule: str, config: InferenceConfig, generators: Sequence[Generator], x: Tensor, s: Tensor
    ) -> Tensor:
        networks = range(len(self.networks))
        scores = [self._network_scores(number, rule, config, generators, x, s) for number in networks]
        return functools.reduce(torch.add, scores) / len(scores)

    def _network_scores(
        self, number: int, rule: str, config: InferenceConfig, generators: Sequence[Generator], x: Tensor, s: Tensor
    ) -> Tensor:
        network = self.networks[number]
        z, c = network.precondition(s), network.encode(x)  # (C, A), (B, W)
        if rule == "cosine":
            scores = cosine_scores(sample_semantics(network, c, config, generators), z)
        else:
            scores = evidence_scores(network, c, z, config)
        return scores / self._units(rule)[number]

    def _prototype_scores(
        self, x: Tensor, s: Tensor, kinds: CandidateKinds | None = None, network_share: float = 0.0
    ) -> Tensor:
        if self.prototypes is None:
            raise UsageError(
                "The rule prototype needs visual prototypes, and this model has none.",
                hint="Choose another rule, or train with prototypes.components above 0.",
            )
        scores: Tensor = self.prototypes(x, s, kinds) / self.prototype_unit
        if network_share == 0 or self.class_network is None:
            return scores
        by_network = self.class_network(x, s)
        if kinds is not None:
            # The network knows classes by their descriptions only, so the process alone scores the others.
            by_network = torch.where(kinds.known_by_photos(), scores, by_network)
        return torch.lerp(scores, by_network, network_share)

    def _units(self, rule: str) -> Tensor:
        return self.cosine_units if rule == "cosine" else self.evidence_units


def network_configs(config: Config) -> list[Config]:
    """Return the settings of each network: every view of the descriptions, `train.members` times."""
    views = [
        replace(config, precondition=replace(config.precondition, kind=view)) for view in config.precondition.views
    ]
    return views * config.train.members


def has_class_network(config: Config) -> bool:
    """Return whether a model has a class network: one with a share of it, or whose validation will choose the share."""
    wanted = config.inference.rule == "auto" or config.inference.network_share > 0
    return wanted and config.class_network.width > 0 and config.prototypes.components > 0


def build_model(
    config: Config, feature_dim: int, n_attributes: int, n_classes: int, n_spatial: int = 0
) -> ZeroShotModel:
    """Return the untrained model that the settings describe; the sizes are those of `RevCD`."""
    networks = [RevCD(each, feature_dim, n_attributes, n_classes, n_spatial) for each in network_configs(config)]
    n_tokens, prototypes, class_network = max(n_spatial, 1), None, None
    if config.prototypes.components > 0:
        prototypes = VisualPrototypes(config.prototypes, feature_dim, n_attributes, n_classes, n_tokens)
    if has_class_network(config):
        class_network = ClassNetwork(config.class_network, feature_dim, n_attributes, n_tokens)
    return ZeroShotModel(config, networks, prototypes, class_network)


@torch.no_grad()
def round_weights(model: nn.Module) -> None:
    """Round weight matrices to half precision: this halves the file, and the error is below training's own noise."""
    for parameter in model.parameters():
        rounded = parameter.half().to(parameter)
        if parameter.ndim > 1 and rounded.isfinite().all():
            parameter.copy_(rounded)
