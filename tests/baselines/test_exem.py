"""EXEM equals scikit-learn's PCA and kernel ridge regression, with distances computed one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.kernel_ridge import KernelRidge
from torch import Tensor

from revcd_cli.baselines.exem import EXEM_GRID, exem, find_exemplars, rbf_kernel
from revcd_cli.baselines.preprocessing import describe_by, scale_features
from revcd_cli.core.trainer import TrainingRows

SETTINGS = [setting for setting in EXEM_GRID if setting["kernel length"] == 1.0 and setting["shrink"] == 0.1]
CLASSES, ATTRIBUTES = 6, 5


def make_rows(dim: int = 8, rows: int = 40) -> TrainingRows:
    """Return photos of classes of unequal size."""
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.randn(CLASSES, ATTRIBUTES, generator=generator)
    labels = torch.arange(rows) % 9 % CLASSES
    clean = prototypes[labels] @ torch.randn(ATTRIBUTES, dim, generator=generator)
    return TrainingRows(clean + 0.3 * torch.randn(rows, dim, generator=generator), labels, prototypes)


def photos_and_candidates(dim: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(7, dim, generator=generator), torch.randn(4, ATTRIBUTES, generator=generator)


def differences(scores: Tensor) -> Tensor:
    """Return the scores without what is common to all candidates of a photo."""
    return scores - scores.mean(1, keepdim=True)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_scores_are_distances_to_exemplars_that_scikit_learn_predicts(setting: dict) -> None:
    rows, (photos, candidates) = make_rows(), photos_and_candidates()
    (scorer,) = exem(rows, [setting])

    scale, x = scale_features(rows.features, setting["features"])
    describe = describe_by(rows.prototypes, setting["descriptions"])
    pca = PCA().fit(x.numpy())
    projected = pca.transform(x.numpy())
    labels = rows.labels.numpy()
    means = np.stack([projected[labels == c].mean(0) for c in range(CLASSES)])
    spread = np.stack([projected[labels == c].std(0) for c in range(CLASSES)]).mean(0)
    s = describe(rows.prototypes).numpy()
    pairs = [((s[i] - s[j]) ** 2).sum() for i in range(CLASSES) for j in range(CLASSES) if i != j]
    machine = KernelRidge(kernel="rbf", gamma=1 / (2 * np.mean(pairs)), alpha=setting["shrink"])
    machine.fit(s, means - means.mean(0))
    exemplars = machine.predict(describe(candidates).numpy()) + means.mean(0)
    weights = 1 / spread**2 if setting["distance"] == "standardised" else np.ones_like(spread)
    kept = pca.explained_variance_ > 1e-10 * pca.explained_variance_[0]
    tested = pca.transform(scale(photos.double()).numpy())
    expected = [[-(weights * (p - v) ** 2)[kept].sum() for v in exemplars] for p in tested]

    torch.testing.assert_close(differences(scorer(photos, candidates)), differences(torch.tensor(expected)))


@pytest.mark.parametrize("shape", [(40, 8), (10, 30)], ids=["more rows", "more features"])
def test_exemplars_are_class_means_in_the_directions_of_largest_variance(shape: tuple[int, int]) -> None:
    rows = make_rows(shape[1], shape[0])
    x = rows.features.double()

    found = find_exemplars(x, rows.labels, CLASSES)

    pca = PCA(svd_solver="full").fit(x.numpy())
    components = pca.components_[: found.axes.shape[1]]
    torch.testing.assert_close((found.axes.T @ torch.tensor(components).T).abs(), torch.eye(len(components)).double())
    for row, c in enumerate(found.classes.tolist()):
        torch.testing.assert_close(found.means[row], x[rows.labels == c].mean(0) @ found.axes)


def test_the_standardised_distance_does_not_depend_on_the_units_of_the_features() -> None:
    rows, (photos, candidates) = make_rows(), photos_and_candidates()
    setting = {**EXEM_GRID[0], "features": "raw", "distance": "standardised"}
    (plain,), (other,) = (
        exem(TrainingRows(factor * rows.features, rows.labels, rows.prototypes), [setting]) for factor in (1.0, 50.0)
    )
    torch.testing.assert_close(other(50.0 * photos, candidates), plain(photos, candidates), rtol=1e-4, atol=1e-4)


def test_a_class_without_photos_changes_no_exemplar() -> None:
    rows = make_rows()
    x = rows.features.double()
    fewer, more = (find_exemplars(x, rows.labels, n) for n in (CLASSES, CLASSES + 3))
    assert torch.equal(fewer.means, more.means) and fewer.classes.tolist() == list(range(CLASSES))


def test_classes_with_one_photo_each_have_a_finite_distance() -> None:
    rows = make_rows(rows=CLASSES)
    photos, candidates = photos_and_candidates()
    for scorer in exem(rows, SETTINGS):
        assert scorer(photos, candidates).isfinite().all()


def test_the_kernel_is_one_at_distance_zero_and_falls_with_distance() -> None:
    a = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.double)
    expected = torch.tensor([[1.0, np.exp(-25 / 8)], [np.exp(-25 / 8), 1.0]], dtype=torch.double)
    torch.testing.assert_close(rbf_kernel(a, a, 2.0), expected)
