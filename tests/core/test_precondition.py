"""Affine preprocessing of descriptions and features: closed forms and degenerate inputs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from revcd_cli.core.precondition import FeatureScaler, Preconditioner, class_means, roots

KINDS = ("standardise", "whiten", "centre")


def prototypes(n_classes: int = 12, n_attributes: int = 6, seed: int = 0) -> Tensor:
    """Correlated attributes with different scales and means."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(n_attributes, n_attributes, generator=generator)
    scales = torch.logspace(-1, 1, n_attributes)
    return (torch.randn(n_classes, n_attributes, generator=generator) @ mixing) * scales + 10 * scales


def fitted(s: Tensor, kind: str, shrinkage: float = 0.3) -> Preconditioner:
    return Preconditioner(s.shape[1]).double().fit(s.double(), kind, shrinkage)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_classes", [4, 40])
def test_fitted_prototypes_have_zero_mean(kind: str, n_classes: int) -> None:
    s = prototypes(n_classes).double()

    z = fitted(s, kind)(s)

    torch.testing.assert_close(z.mean(0), torch.zeros_like(z[0]), rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_classes", [4, 40])
def test_fitted_prototypes_have_unit_mean_power(kind: str, n_classes: int) -> None:
    s = prototypes(n_classes).double()

    assert float(fitted(s, kind)(s).square().mean()) == pytest.approx(1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_inverse_map_restores_the_descriptions(kind: str) -> None:
    preconditioner = fitted(prototypes(4), kind)
    others = prototypes(7, seed=1).double()

    torch.testing.assert_close(preconditioner.inverse(preconditioner(others)), others)


def test_the_inverse_map_restores_the_descriptions_in_single_precision() -> None:
    s = prototypes(4)

    for kind in KINDS:
        preconditioner = Preconditioner(6).fit(s, kind, 0.3)
        torch.testing.assert_close(preconditioner.inverse(preconditioner(s)), s, rtol=1e-4, atol=1e-4)


def test_standardising_gives_every_attribute_unit_variance() -> None:
    s = prototypes()

    z = fitted(s, "standardise")(s.double())

    torch.testing.assert_close(z, ((s - s.mean(0)) / s.std(0, correction=0)).double(), rtol=1e-4, atol=1e-4)


def test_centring_keeps_the_ratios_of_attribute_scales() -> None:
    s = prototypes().double()
    centred = s - s.mean(0)

    torch.testing.assert_close(fitted(s, "centre")(s), centred / centred.square().mean().sqrt())


@pytest.mark.parametrize("shrinkage", [0.01, 0.3, 0.9])
@pytest.mark.parametrize("n_classes", [4, 40])
def test_whitened_covariance_has_its_closed_form_for_any_shrinkage(shrinkage: float, n_classes: int) -> None:
    s = prototypes(n_classes).double()
    centred = s - s.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / n_classes)

    z = fitted(s, "whiten", shrinkage)(s)

    # Along an eigenvector of variance v the whitened variance is v / ((1 - a) v + a mean(v)), times one gain.
    expected = values / ((1 - shrinkage) * values + shrinkage * values.mean())
    expected = vectors @ (expected / expected.mean()).diag() @ vectors.T
    torch.testing.assert_close(z.T @ z / n_classes, expected, rtol=1e-7, atol=1e-9)


def test_whitening_with_enough_classes_and_little_shrinkage_gives_the_identity_covariance() -> None:
    generator = torch.Generator().manual_seed(0)
    s = (
        torch.randn(400, 3, generator=generator).double()
        @ torch.tensor([[1.0, 0.9, 0], [0, 0.5, 0.4], [0, 0, 2]]).double()
    )

    z = fitted(s, "whiten", 0.0)(s)

    torch.testing.assert_close(z.T @ z / 400, torch.eye(3).double(), rtol=0, atol=0.02)


def test_full_shrinkage_only_centres_and_scales() -> None:
    s = prototypes().double()
    centred = s - s.mean(0)

    torch.testing.assert_close(fitted(s, "whiten", 1.0)(s), centred / centred.square().mean().sqrt())


@pytest.mark.parametrize("kind", ["standardise", "centre"])
def test_a_single_class_is_mapped_to_finite_values_and_back(kind: str) -> None:
    s = prototypes(1)
    preconditioner = Preconditioner(6).fit(s, kind, 0.3)

    assert preconditioner(s).isfinite().all()
    torch.testing.assert_close(preconditioner.inverse(preconditioner(s)), s)


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_attribute_is_mapped_to_finite_values_and_back(kind: str) -> None:
    s = prototypes()
    s[:, 2] = 0.1
    preconditioner = Preconditioner(6).fit(s, kind, 0.3)

    assert preconditioner(s).isfinite().all()
    torch.testing.assert_close(preconditioner.inverse(preconditioner(s)), s, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_unit_of_the_attribute_table_does_not_matter(kind: str) -> None:
    s = prototypes().double()

    torch.testing.assert_close(fitted(100 * s, kind)(100 * s), fitted(s, kind)(s), rtol=1e-6, atol=1e-6)


def test_order_of_the_classes_does_not_matter() -> None:
    s = prototypes().double()

    torch.testing.assert_close(fitted(s.flip(0), "whiten")(s), fitted(s, "whiten")(s))


def test_the_map_depends_on_the_fitted_prototypes_only() -> None:
    s, unseen = prototypes().double(), prototypes(5, seed=1).double()
    preconditioner = fitted(s, "standardise")

    together = preconditioner(torch.cat([s, unseen]))

    torch.testing.assert_close(together[:12], fitted(s, "standardise")(s))
    torch.testing.assert_close(together[12:], preconditioner(unseen))


def test_standard_scaling_gives_training_features_zero_mean_and_unit_variance() -> None:
    x = prototypes(50)

    scaled = FeatureScaler(6, "standard").fit(x)(x).double()

    torch.testing.assert_close(scaled.mean(0), torch.zeros(6).double(), rtol=0, atol=1e-4)
    torch.testing.assert_close(scaled.square().mean(0), torch.ones(6).double(), rtol=1e-4, atol=0)


def test_minmax_scaling_maps_training_features_onto_zero_to_one() -> None:
    x = prototypes(50)

    scaled = FeatureScaler(6, "minmax").fit(x)(x)

    torch.testing.assert_close(scaled.amin(0), torch.zeros(6))
    torch.testing.assert_close(scaled.amax(0), torch.ones(6))


def test_scaling_of_new_features_uses_the_fitted_statistics() -> None:
    x, new = torch.tensor([[1.0, 0.0], [3.0, 10.0]]), torch.tensor([[5.0, 5.0]])

    assert FeatureScaler(2, "standard").fit(x)(new).tolist() == [[3.0, 0.0]]
    assert FeatureScaler(2, "minmax").fit(x)(new).tolist() == [[2.0, 0.5]]


def test_l2_scaling_keeps_only_the_direction_at_unit_mean_square() -> None:
    x = prototypes(5)
    scaler = FeatureScaler(6, "l2").fit(x)

    torch.testing.assert_close(scaler(x).square().mean(-1), torch.ones(5))
    torch.testing.assert_close(scaler(7 * x), scaler(x))


def test_l2_scaling_of_a_zero_vector_is_zero() -> None:
    assert torch.equal(FeatureScaler(4, "l2")(torch.zeros(2, 4)), torch.zeros(2, 4))


@pytest.mark.parametrize("kind", ["standard", "minmax"])
@pytest.mark.parametrize("constant", [0.0, 0.1, -7.7])
def test_a_feature_that_is_constant_in_training_is_scaled_to_zero(kind: str, constant: float) -> None:
    x = prototypes(50)
    x[:, 3] = constant
    scaler = FeatureScaler(6, kind).fit(x)

    assert torch.equal(scaler(x)[:, 3], torch.zeros(50))
    assert torch.equal(scaler(x + 1)[:, 3], torch.zeros(50))


@pytest.mark.parametrize("kind", ["standard", "minmax"])
def test_features_that_are_all_equal_are_scaled_to_zero(kind: str) -> None:
    x = torch.full((9, 4), 0.5)

    assert torch.equal(FeatureScaler(4, kind).fit(x)(x), torch.zeros(9, 4))


def photos_of_classes(n_rows: int = 40, dim: int = 7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(n_rows) * 5 % 9 % 4
    return torch.rand(n_rows, dim, generator=generator, dtype=torch.float64), labels


def test_class_directions_keep_the_distances_between_class_means() -> None:
    x, labels = photos_of_classes()
    scaler = FeatureScaler(7, "classes", n_classes=4).double().fit(x, labels)

    means = class_means(roots(x), labels, 4)
    scaled = class_means(scaler(x), labels, 4)

    assert scaler.width == 3
    distances, before = torch.pdist(scaled), torch.pdist(means)
    torch.testing.assert_close(distances / distances[0], before / before[0])


def test_class_directions_drop_variation_within_classes() -> None:
    x, labels = photos_of_classes()
    scaler = FeatureScaler(7, "classes", n_classes=4).double().fit(x, labels)
    means = class_means(roots(x), labels, 4)
    outside = torch.linalg.svd(means - means.mean(0)).Vh[3]  # orthogonal to all differences of means

    moved = (roots(x) - scaler.shift + outside) @ scaler.basis

    torch.testing.assert_close(moved, scaler(x))


def test_class_directions_have_unit_mean_square_and_do_not_depend_on_class_sizes() -> None:
    x, labels = photos_of_classes()
    scaler = FeatureScaler(7, "classes", n_classes=4).double().fit(x, labels)
    again = torch.cat([x, x[labels == 1]]), torch.cat([labels, labels[labels == 1]])
    larger = FeatureScaler(7, "classes", n_classes=4).double().fit(*again)

    assert float(scaler(x).square().mean()) == pytest.approx(1)
    torch.testing.assert_close(larger.shift, scaler.shift)
    torch.testing.assert_close(larger.basis.norm(dim=0) / larger.basis.norm(), torch.full((3,), 3**-0.5).double())


def test_a_single_class_has_no_direction_and_gives_zeros() -> None:
    x, labels = photos_of_classes()
    scaler = FeatureScaler(7, "classes", n_classes=1).double().fit(x, torch.zeros_like(labels))

    torch.testing.assert_close(scaler(x), torch.zeros(40, 1).double())
