"""Visual prototypes: what the network computes, and what its loss counts. python -m pytest tests/core"""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from revcd_cli.config import Config, PrototypeConfig
from revcd_cli.core.loss import prototype_loss
from revcd_cli.core.model import RevCD
from revcd_cli.core.visual_prototypes import ClassNormNetwork, ClassStandardisation, VisualPrototypes

FEATURES, ATTRIBUTES, CLASSES, PHOTOS, WIDTH = 6, 4, 5, 7, 8


def visual(features: Tensor, n_tokens: int = 1, scale: float = 3.0) -> VisualPrototypes:
    """A network of doubles at inference that has seen the features, with random weights and class statistics."""
    one = VisualPrototypes(PrototypeConfig(width=WIDTH, scale=scale), features.shape[1], ATTRIBUTES, n_tokens)
    one = one.double().eval()
    with torch.no_grad():
        for value in one.network.state_dict().values():
            value.copy_(torch.rand_like(value) + 0.5 if value.dim() == 1 else torch.randn_like(value))
    one.fit(features)
    return one


def features(rows: int = PHOTOS, size: int = FEATURES) -> Tensor:
    return 2 * torch.randn(rows, size, dtype=torch.float64) + 0.5


def descriptions(rows: int = CLASSES) -> Tensor:
    return torch.randn(rows, ATTRIBUTES, dtype=torch.float64)


def slow_prototype(network: ClassNormNetwork, z: Tensor) -> Tensor:
    """One class through the layers in words: linear, rectify, linear, standardise, rectify, standardise, linear."""
    w = {name: value.tolist() for name, value in network.state_dict().items()}

    def linear(layer: int, x: list[float]) -> list[float]:
        rows = zip(w[f"{layer}.weight"], w[f"{layer}.bias"], strict=True)
        return [sum(a * b for a, b in zip(row, x, strict=True)) + bias for row, bias in rows]

    def standardise(layer: int, x: list[float]) -> list[float]:
        statistics = zip(x, w[f"{layer}.mean"], w[f"{layer}.variance"], strict=True)
        return [(value - mean) / (variance + 1e-5) ** 0.5 for value, mean, variance in statistics]

    def rectify(x: list[float]) -> list[float]:
        return [max(value, 0.0) for value in x]

    h = rectify(linear(0, (z / z.norm()).tolist()))
    h = rectify(standardise(3, linear(2, h)))
    return torch.tensor(linear(6, standardise(5, h)), dtype=torch.float64)


def test_logits_equal_a_loop_over_photos_and_classes() -> None:
    x, z = features(), descriptions()
    one = visual(x)

    logits = one(x, z).detach()

    mean, spread = x.mean(0), x.std(0, correction=0)
    for photo in range(PHOTOS):
        standard = (x[photo] - mean) / spread
        for k in range(CLASSES):
            prototype = slow_prototype(one.network, z[k])
            cosine = standard @ prototype / (standard.norm() * prototype.norm())
            assert float(logits[photo, k]) == pytest.approx(9 * float(cosine))


def test_features_that_are_never_negative_are_taken_as_they_are_and_prototypes_rectified() -> None:
    x, z = features().abs(), descriptions()
    one = visual(x)

    logits = one(x, z).detach()

    assert float(logits.min()) >= 0
    for photo in range(PHOTOS):
        for k in range(CLASSES):
            prototype = slow_prototype(one.network, z[k]).clamp(min=0)
            cosine = x[photo] @ prototype / (x[photo].norm() * prototype.norm())
            assert float(logits[photo, k]) == pytest.approx(9 * float(cosine))


def test_units_of_features_do_not_matter_if_some_are_negative() -> None:
    x, z = features(), descriptions()
    one = visual(x)
    before = one(x, z)

    one.fit(100 * x - 7)

    torch.testing.assert_close(one(100 * x - 7, z), before)


def test_a_feature_that_never_varies_counts_for_nothing() -> None:
    x, z = features(), descriptions()
    x[:, 2] = -1.0
    one = visual(x)
    before, moved = one(x, z), x.clone()

    moved[:, 2] = 30.0

    torch.testing.assert_close(one(moved, z), before)


@pytest.mark.parametrize("positive", [True, False])
def test_spatial_tokens_are_averaged_first(positive: bool) -> None:
    tokens = torch.randn(PHOTOS, 3, FEATURES, dtype=torch.float64)
    tokens = tokens.abs() if positive else tokens
    torch.manual_seed(1)
    spatial = visual(tokens.flatten(1), n_tokens=3)
    torch.manual_seed(1)
    pooled = visual(tokens.mean(1))
    z = descriptions()

    torch.testing.assert_close(spatial(tokens.flatten(1), z), pooled(tokens.mean(1), z))


def test_lengths_of_photos_and_descriptions_do_not_matter() -> None:
    x, z = features().abs(), descriptions()
    one = visual(x)

    torch.testing.assert_close(one(5 * x, 0.1 * z), one(x, z))


def test_permuting_the_classes_permutes_their_logits_in_training_and_after() -> None:
    x, z, order = features(), descriptions(), [3, 0, 4, 2, 1]
    one = visual(x)

    for mode in (True, False):
        one.train(mode)
        torch.testing.assert_close(one(x, z[order]), one(x, z)[:, order])


def test_logits_of_a_class_do_not_depend_on_its_rivals_after_training() -> None:
    x, z = features(), descriptions()
    one = visual(x)

    torch.testing.assert_close(one(x, z[:2]), one(x, z)[:, :2])


def test_standardisation_gives_every_unit_mean_zero_and_variance_one_over_the_classes() -> None:
    h = descriptions(40) * 3 + 2

    out = ClassStandardisation(ATTRIBUTES).double()(h)

    torch.testing.assert_close(out.mean(0), torch.zeros(ATTRIBUTES).double())
    torch.testing.assert_close(out.var(0), torch.ones(ATTRIBUTES).double(), rtol=1e-4, atol=0)


def test_at_inference_standardisation_uses_the_running_average_of_what_training_saw() -> None:
    one, batches = ClassStandardisation(ATTRIBUTES, momentum=0.1).double(), [descriptions(6) for _ in range(3)]
    mean, variance = torch.zeros(ATTRIBUTES).double(), torch.ones(ATTRIBUTES).double()
    for h in batches:
        one(h)
        mean, variance = 0.9 * mean + 0.1 * h.mean(0), 0.9 * variance + 0.1 * h.var(0)

    h = descriptions(6)
    torch.testing.assert_close(one.eval()(h), (h - mean) / (variance + 1e-5).sqrt())
    torch.testing.assert_close((one.mean, one.variance), (mean, variance))  # inference moves nothing


def test_a_single_class_is_finite_in_training_and_after() -> None:
    x = features()
    one = visual(x)

    for mode in (True, False):
        assert one.train(mode)(x, descriptions(1)).isfinite().all()
    assert all(value.isfinite().all() for value in one.state_dict().values())


def model(weight: float) -> RevCD:
    config = Config.from_dict(
        {
            "diffusion": {"timesteps": 20},
            "encoder": {"n_tokens": 2, "width": 16, "heads": 2, "feedforward": 16},
            "denoiser": {"width": 16, "time_width": 8},
            "prototypes": {"weight": weight, "width": WIDTH},
        }
    )
    return RevCD(config, FEATURES, ATTRIBUTES).double().eval()


def test_the_loss_is_the_weighted_cross_entropy_of_photos_that_have_a_class() -> None:
    one, x, s = model(0.7), features(20), descriptions()
    one.fit_preconditioning(x, s)
    labels = torch.arange(20) % CLASSES
    labels[::3] = -1  # mixtures

    loss, probabilities = prototype_loss(one, x, labels, s).detach(), one.visual(x, s).detach().softmax(-1)

    named = [row for row in range(20) if labels[row] >= 0]
    cross_entropy = -sum(float(probabilities[row, labels[row]].log()) for row in named) / len(named)
    assert float(loss) == pytest.approx(0.7 * cross_entropy)


def test_a_batch_of_mixtures_alone_has_no_loss_and_no_gradient() -> None:
    one, x, s = model(1.0), features(8), descriptions()

    loss = prototype_loss(one, x, torch.full((8,), -1), s)
    loss.backward()

    assert float(loss.detach()) == 0
    assert not any(parameter.grad.any() for parameter in one.visual.parameters())


def test_a_model_of_weight_zero_has_no_visual_prototypes() -> None:
    assert model(0.0).visual is None
    assert not any(name.startswith("visual") for name in model(0.0).state_dict())


def test_the_network_has_the_width_that_was_asked_for() -> None:
    config = dataclasses.replace(PrototypeConfig(), width=17)
    network = VisualPrototypes(config, FEATURES, ATTRIBUTES).network
    assert [tuple(layer.weight.shape) for layer in network if hasattr(layer, "weight")] == [
        (17, ATTRIBUTES),
        (17, 17),
        (FEATURES, 17),
    ]
