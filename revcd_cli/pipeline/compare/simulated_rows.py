"""Simulated classes for the methods that RevCD is compared with.

They are drawn from a Gaussian process that is fitted on the method's own training rows, with one of several lengths and
noises for each draw. So no choice of RevCD's validation reaches the other methods. Generative models get them as RevCD
does, as a share of each batch; the others, which draw no batches of their own, as further training rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...config import PrototypeConfig, SimulationConfig
from ...core.trainer import TrainingRows
from ...scoring.prototypes.simulated_classes import SimulatedClasses
from ...scoring.prototypes.visual_prototypes import VisualPrototypes

SUFFIX = "+simulated"  # of the name of a method that also trains on simulated classes
PROTOTYPES, SIMULATION = PrototypeConfig().fixed(), SimulationConfig(process="drawn")
_PHOTOS = 10  # of each simulated class


def simulated_classes(rows: TrainingRows, kinds: Tensor | None = None, n_tokens: int = 1) -> SimulatedClasses:
    """Return the source of simulated classes for training rows.

    kinds: of the classes (C,), as for `VisualPrototypes.fit`. n_tokens: spatial tokens in a row of features.
    """
    (n_classes, n_attributes), feature_dim = rows.prototypes.shape, rows.features.shape[1]
    prototypes = VisualPrototypes(PROTOTYPES, feature_dim, n_attributes, n_classes, n_tokens)
    prototypes.to(rows.features.device)
    with torch.no_grad():
        prototypes.fit(rows.features, rows.labels, rows.prototypes, kinds=kinds)
        return SimulatedClasses(SIMULATION, prototypes, rows, kinds)


def with_simulated_classes(rows: TrainingRows, seed: int, kinds: Tensor | None = None) -> TrainingRows:
    """Return the rows with as many simulated classes after them as there are classes.

    Features (N, D) become (N + 10 C, D), prototypes (C, A) become (2 C, A). The same seed draws the same classes. Other
    parameters: see `simulated_classes`.
    """
    n_classes, source = len(rows.prototypes), simulated_classes(rows, kinds)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn = [source.draw(1, _PHOTOS) for _ in range(n_classes)]
    features, descriptions = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    labels = torch.arange(n_classes, 2 * n_classes).repeat_interleave(_PHOTOS)
    return TrainingRows(
        torch.cat([rows.features, features]),
        torch.cat([rows.labels, labels]),
        torch.cat([rows.prototypes, descriptions]),
    )
