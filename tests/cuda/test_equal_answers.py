"""The GPU gives the CPU's answers, within bounds that are stated here."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from revcd_cli import Predictor
from revcd_cli.backbones.backbone import Backbone, load_backbone
from revcd_cli.checkpoint.model_file import Checkpoint, load_checkpoint
from revcd_cli.core.trainer import TrainingRows
from revcd_cli.data.photos.sources import iter_sources
from revcd_cli.pipeline.extract.stream import stream_features
from revcd_cli.scoring.model import ZeroShotModel, build_model
from revcd_cli.scoring.rows import draw_rows, score_rows
from tests.makers.toy import TINY_BACKBONE

pytestmark = pytest.mark.cuda

# Least cosine between features on the device and features in float32 on the CPU. On a GPU torch computes float32
# convolutions in TF32, which has 10 bits of mantissa, as float16 has.
LEAST_COSINE = {"float32": 0.9999, "float16": 0.999, "bfloat16": 0.99}
SCORES = 1e-3  # largest difference of scores of equal features, as a share of their spread over classes
WEIGHTS = 1e-3  # largest relative difference of what is fitted in closed form, and of gradients
SAME_ANSWERS = 0.98  # least share of photos with the same best class, features and scores computed on the device
MARGIN = 0.05  # of the best score over the second, as a share of the spread: wider ones must not change sides


def features_of(backbone: Backbone, photos: Path) -> Tensor:
    found = [photo.feature for photo in stream_features(backbone, iter_sources([str(photos)]), batch_size=16)]
    return torch.from_numpy(np.stack(found))


def relative_difference(found: Tensor, expected: Tensor) -> float:
    found, expected = found.detach().cpu().double(), expected.detach().cpu().double()
    return float((found - expected).norm() / expected.norm().clamp(min=1e-12))


@pytest.fixture(scope="module")
def animals() -> Checkpoint:
    return load_checkpoint("animals")


@pytest.fixture(scope="module")
def cpu_features(photos: Path) -> Tensor:
    """Features of the embedded backbone in float32 on the CPU: (200, D)."""
    return features_of(load_backbone("embedded", device="cpu", precision="float32"), photos)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_features_of_the_embedded_backbone(precision: str, device: str, photos: Path, cpu_features: Tensor):
    if precision == "float16" and device == "cpu":
        pytest.skip("revcd has no float16 on the CPU")
    found = features_of(load_backbone("embedded", device=device, precision=precision), photos)
    cosines = torch.cosine_similarity(found, cpu_features)
    bound = LEAST_COSINE[precision] if precision != "bfloat16" else 0.9  # it has 0.955 on the CPU, too
    assert cosines.min() >= bound


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_features_of_a_residual_network(precision: str, device: str, photos: Path, weights: Path):
    if precision == "float16" and device == "cpu":
        pytest.skip("revcd has no float16 on the CPU")
    one, other = (
        features_of(load_backbone(TINY_BACKBONE, weights=weights, device=where, precision=how), photos)
        for where, how in (("cpu", "float32"), (device, precision))
    )
    assert torch.cosine_similarity(one, other).min() >= LEAST_COSINE[precision]


@pytest.mark.parametrize("rule", ["evidence", "prototype", "cosine", "joint"])
def test_scores_of_equal_features(rule: str, device: str, animals: Checkpoint, cpu_features: Tensor):
    prototypes = torch.from_numpy(animals.classes.values)
    inference = animals.model.config.inference.with_rule(rule)
    expected, found = (
        score_rows(copy.deepcopy(animals.model).to(where), cpu_features.numpy(), prototypes, inference, seed=0)
        for where in ("cpu", device)
    )
    spread = expected.std(1, correction=0).mean()
    assert (found - expected).abs().max() <= SCORES * spread
    best = expected.topk(2).values
    clear = best[:, 0] - best[:, 1] > 2 * SCORES * spread
    assert torch.equal(found.argmax(1)[clear], expected.argmax(1)[clear])


def test_generated_attributes_of_equal_features(device: str, animals: Checkpoint, cpu_features: Tensor):
    features, inference = cpu_features[:32].numpy(), animals.model.config.inference
    expected, found = (
        draw_rows(copy.deepcopy(animals.model).to(where), features, inference, seed=0) for where in ("cpu", device)
    )
    assert relative_difference(found.mean, expected.mean) <= 1e-2  # 20 steps, each with its rounding


def test_best_class_of_200_photos(device: str, photos: Path):
    expected, found = (
        Predictor.from_checkpoint("animals", device=where).predict(photos, top_k=2) for where in ("cpu", device)
    )
    assert [prediction.path for prediction in found] == [prediction.path for prediction in expected]
    assert len(found) == 200
    spread = np.std([candidate.score for prediction in expected for candidate in prediction.candidates])
    same = [one.best.name == other.best.name for one, other in zip(expected, found, strict=True)]
    margins = [prediction.candidates[0].score - prediction.candidates[1].score for prediction in expected]
    assert np.mean(same) >= SAME_ANSWERS
    assert all(equal for equal, margin in zip(same, margins, strict=True) if margin > MARGIN * spread)


def fitted(
    make_toy: Callable, small_config: Callable, device: str, **sections: dict
) -> tuple[ZeroShotModel, TrainingRows]:
    dataset = make_toy()
    rows = dataset.split.trainval
    seen = dataset.classes.values[np.array(dataset.seen)]
    torch.manual_seed(0)
    model = build_model(small_config(**sections), dataset.features.shape[1], seen.shape[1], len(seen)).to(device)
    data = TrainingRows(
        *(torch.from_numpy(part).to(device) for part in (dataset.features[rows], dataset.labels[rows], seen))
    )
    for network in model.networks:
        network.fit_preprocessing(data.features, data.labels, data.prototypes)
    model.prototypes.fit(data.features, data.labels, data.prototypes)
    return model, data


@pytest.mark.parametrize("kind", ["standardise", "whiten"])
def test_closed_forms(kind: str, device: str, make_toy: Callable, small_config: Callable):
    sections = {"precondition": {"kind": kind}, "encoder": {"feature_scaling": "classes", "n_tokens": 4, "width": 16}}
    one, _ = fitted(make_toy, small_config, "cpu", **sections)
    other, data = fitted(make_toy, small_config, device, **sections)
    (of_device,), (of_cpu,) = other.networks, one.networks
    found, expected = of_device.precondition(data.prototypes), of_cpu.precondition(data.prototypes.cpu())
    assert relative_difference(found, expected) <= WEIGHTS
    x = data.features
    found, expected = other.prototypes(x, data.prototypes), one.prototypes(x.cpu(), data.prototypes.cpu())
    assert relative_difference(found, expected) <= WEIGHTS
    # The basis of the scaler is fixed up to signs, which inner products do not have.
    found, expected = of_device.scaler(x), of_cpu.scaler(x.cpu())
    assert relative_difference(found @ found.T, expected @ expected.T) <= WEIGHTS


def test_gradients_of_one_step(device: str, make_toy: Callable, small_config: Callable):
    sections = {"denoiser": {"width": 32, "time_width": 16, "dropout": 0.0}}
    model, data = fitted(make_toy, small_config, "cpu", **sections)
    one = model.networks[0]
    other = copy.deepcopy(one).to(device)
    generator = torch.Generator().manual_seed(0)
    x, s_0 = data.features[:16], one.precondition(data.prototypes)[data.labels[:16]]
    eps, t = torch.randn(s_0.shape, generator=generator), torch.arange(1, 17)
    gradients = []
    for model, where in ((one, "cpu"), (other, device)):
        model.eval()  # no dropout, whose random numbers are the device's own
        inputs = (part.to(where) for part in (x, s_0, eps, t))
        photo, clean, noise, times = inputs
        estimate = model.estimate(model.schedule.q_sample(clean, times, noise), times, model.encode(photo))
        (estimate.s_0 - clean).square().mean().backward()
        gradients.append(
            torch.cat([weight.grad.flatten().cpu() for weight in model.parameters() if weight.grad is not None])
        )
    assert relative_difference(gradients[1], gradients[0]) <= WEIGHTS
