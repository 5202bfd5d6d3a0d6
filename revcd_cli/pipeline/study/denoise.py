"""Study of the denoising chain (paper section 4.2, Fig. 3): class descriptions sampled for test photos, at steps t.

Symbols: P panels (steps shown), M photos, C classes, A attributes, D image features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional as F

from ...checkpoint.model_file import Checkpoint
from ...core.sample import sample_semantics, timestep_path
from ...data.datasets.dataset import FeaturedDataset
from ...errors import UsageError
from ...scoring.rows import ROWS_AT_ONCE, feature_keys
from ...system.device import choose_device
from ...system.image_noise import image_generator
from ..evaluate.evaluate import as_trained
from ..extract.extract import OnProgress


@dataclass(frozen=True, eq=False)
class Plane:
    """The plane of the two largest principal components of the preconditioned class descriptions."""

    mean: np.ndarray  # (A,)
    axes: np.ndarray  # (A, 2)
    explained: tuple[float, float]  # share of the variance of the descriptions along each axis

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Project (..., A) to (..., 2)."""
        return (vectors - self.mean) @ self.axes


@dataclass(frozen=True, eq=False)
class ChainSamples:
    """One denoising chain per photo, recorded at P timesteps and projected to a `Plane`."""

    times: tuple[int, ...]  # (P,) from T to 0
    rows: np.ndarray  # (M,) rows of the dataset
    labels: np.ndarray  # (M,) classes
    seen: np.ndarray  # (M,) bool: whether the class is seen
    points: np.ndarray  # (P, M, 2) samples in the plane
    cosines: np.ndarray  # (P, M) with the description of the photo's class, both preconditioned
    prototypes: np.ndarray  # (C, 2) class descriptions in the plane
    explained: tuple[float, float]  # see `Plane`

    def mean_cosine(self, step: int, seen: bool) -> float | None:
        """Return the mean cosine over photos of seen or unseen classes; None if there are none."""
        some = self.cosines[step, self.seen == seen]
        return float(some.mean()) if len(some) else None


def study_denoise(
    checkpoint: Checkpoint,
    dataset: FeaturedDataset,
    *,
    photos: int = 20,
    panels: int = 6,
    seed: int = 0,
    device: str = "auto",
    on_progress: OnProgress | None = None,
) -> ChainSamples:
    """Run one denoising chain for each of up to `photos` test photos per class; record it at `panels` timesteps.

    Of an ensemble, the first network is used. Raises `LeakError` and `UsageError` as `evaluate` does.
    """
    dataset = as_trained(checkpoint, dataset)
    rows = choose_photos(dataset, photos, seed)
    if not len(rows):
        raise UsageError(f"{dataset.name} has no test photos.")
    model = checkpoint.model.networks[0].to(choose_device(device).value)
    prototypes = torch.from_numpy(dataset.classes.values).to(model.null.device)
    z = model.precondition(prototypes).cpu().numpy()
    plane = fit_plane(z)
    times = tuple(timestep_path(model.schedule.timesteps, panels - 1))
    if len(set(times)) < panels:
        raise UsageError(f"The model has {model.schedule.timesteps} steps, too few for {panels} panels.")
    labels = dataset.labels[rows]
    chains = draw_chains(checkpoint, dataset.features[rows], times, seed=seed, on_progress=on_progress)
    return ChainSamples(
        times=times,
        rows=rows,
        labels=labels,
        seen=np.isin(labels, dataset.seen),
        points=plane(chains),
        cosines=F.cosine_similarity(torch.from_numpy(chains), torch.from_numpy(z[labels]), dim=-1).numpy(),
        prototypes=plane(z),
        explained=plane.explained,
    )


def choose_photos(dataset: FeaturedDataset, photos: int, seed: int) -> np.ndarray:
    """Choose up to `photos` random test rows per class; the choice for a class does not depend on other classes."""
    tested = np.sort(np.concatenate([dataset.split.test_seen, dataset.split.test_unseen]))
    of_class = {label: tested[dataset.labels[tested] == label] for label in np.unique(dataset.labels[tested]).tolist()}
    drawn = [np.random.default_rng((seed, label)).permutation(rows)[:photos] for label, rows in of_class.items()]
    return np.sort(np.concatenate([np.empty(0, dtype=np.int64), *drawn]))


def fit_plane(z: np.ndarray) -> Plane:
    """Fit the plane to preconditioned class descriptions (C, A), by principal component analysis."""
    mean = z.mean(0)
    _, sizes, directions = np.linalg.svd(z - mean, full_matrices=False)
    axes = np.zeros((z.shape[1], 2), dtype=z.dtype)
    found = directions[:2].T  # fewer than two where there are fewer classes or attributes
    # The sign of a principal component is arbitrary; fix it, so that plots agree between machines.
    axes[:, : found.shape[1]] = found * np.sign(found[np.abs(found).argmax(0), np.arange(found.shape[1])])
    shares = np.zeros(2)
    shares[: found.shape[1]] = sizes[:2] ** 2 / max(float((sizes**2).sum()), np.finfo(float).tiny)
    return Plane(mean, axes, (float(shares[0]), float(shares[1])))


@torch.inference_mode()
def draw_chains(
    checkpoint: Checkpoint,
    features: np.ndarray,
    times: tuple[int, ...],
    *,
    seed: int,
    on_progress: OnProgress | None = None,
) -> np.ndarray:
    """Run the full chain of Algorithm 2 once per photo. features: (M, D). Returns s_t at `times`: (P, M, A)."""
    model = checkpoint.model.networks[0]
    config = replace(model.config.inference, rule="cosine", sampler="ddpm", samples=1)
    model.config.check_inference(config)
    device, keys = model.null.device, feature_keys(features)
    chains = np.empty((len(times), len(features), model.n_attributes), dtype=np.float32)
    steps = model.schedule.timesteps
    total = steps * len(range(0, len(features), ROWS_AT_ONCE))
    for batch, start in enumerate(range(0, len(features), ROWS_AT_ONCE)):
        some = slice(start, start + ROWS_AT_ONCE)

        def keep(t: int, s_t: torch.Tensor, some: slice = some, before: int = batch * steps) -> None:
            if t in times:
                chains[times.index(t), some] = s_t[:, 0].cpu().numpy()
            if on_progress:
                on_progress(before + steps - t, total, 0)

        condition = model.encode(torch.from_numpy(features[some]).to(device))
        generators = [image_generator(seed, key) for key in keys[some]]
        sample_semantics(model, condition, config, generators, on_step=keep)
    return chains
