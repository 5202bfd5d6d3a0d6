"""Laws of the simulated classes of the methods that RevCD is compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from revcd_cli.baselines.linear import RIDGE_GRID, ridge
from revcd_cli.config import Config
from revcd_cli.core.trainer import Trainer
from revcd_cli.data.datasets.dataset import FeaturedDataset
from revcd_cli.pipeline.compare.baselines import BASELINES, pooled_rows
from revcd_cli.pipeline.compare.compare import fit_method
from revcd_cli.pipeline.compare.generative import MethodRun, settings_of
from revcd_cli.pipeline.compare.simulated_rows import simulated_classes, with_simulated_classes
from revcd_cli.pipeline.train.validation import score_unit_rows
from revcd_cli.scoring.calibration import score_unit
from tests.makers.toy import SMALL

CPU = torch.device("cpu")
CONFIG = Config.from_dict(SMALL)
UNVALIDATED = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, validation_classes=0.0))


@pytest.fixture
def dataset(make_toy: Callable[..., FeaturedDataset]) -> FeaturedDataset:
    return make_toy()


def test_simulated_classes_follow_the_rows_with_ten_photos_each(dataset: FeaturedDataset) -> None:
    rows = pooled_rows(dataset, dataset.split, 0)
    more, classes = with_simulated_classes(rows, seed=0), len(rows.prototypes)
    assert all(
        torch.equal(getattr(more, field.name)[: len(getattr(rows, field.name))], getattr(rows, field.name))
        for field in dataclasses.fields(rows)
    )
    assert len(more.prototypes) == 2 * classes and len(more.prototypes.unique(dim=0)) == 2 * classes
    assert more.labels[len(rows) :].bincount().tolist() == [0] * classes + [10] * classes
    assert more.features.dtype == rows.features.dtype and more.features.isfinite().all()


def test_the_classes_depend_on_the_seed_alone(dataset: FeaturedDataset) -> None:
    rows = pooled_rows(dataset, dataset.split, 0)
    torch.manual_seed(1)
    first = with_simulated_classes(rows, seed=0)
    state = torch.get_rng_state()
    again, other = (with_simulated_classes(rows, seed=seed) for seed in (0, 1))
    assert torch.equal(first.features, again.features) and torch.equal(first.prototypes, again.prototypes)
    assert not torch.equal(first.prototypes, other.prototypes)
    assert torch.equal(torch.get_rng_state(), state)


def test_photos_have_the_labels_of_their_descriptions(make_toy: Callable[..., FeaturedDataset]) -> None:
    """The process that the classes are drawn from names their photos by these descriptions."""
    dataset = make_toy(12, 2)
    rows = pooled_rows(dataset, dataset.split, 0)
    more, classes = with_simulated_classes(rows, seed=0), len(rows.prototypes)
    scores = simulated_classes(rows).prototypes(more.features[len(rows) :], more.prototypes[classes:])
    right = scores.argmax(1) == more.labels[len(rows) :] - classes
    assert right.double().mean() > 0.3  # chance is 1/12


def test_a_baseline_is_fitted_on_these_rows_and_scored_among_the_same_candidates(dataset: FeaturedDataset) -> None:
    """The reference fits ridge regression on the longer rows by hand."""
    fitted, candidates = (
        fit_method(dataset, UNVALIDATED, "ridge+simulated", 3, CPU),
        np.arange(len(dataset.classes.names)),
    )
    rows = pooled_rows(dataset, dataset.split, 3)
    (scorer,) = ridge(with_simulated_classes(rows, 3), RIDGE_GRID[:1])
    photos, table = torch.from_numpy(dataset.features), torch.from_numpy(dataset.classes.values)
    unit = score_unit(scorer(photos[score_unit_rows(dataset.split)], rows.prototypes))
    scores = fitted.scores(candidates)
    expected = scorer(photos[dataset.split.test_unseen], table) / unit
    torch.testing.assert_close(scores.scores_unseen, expected.float())
    without = fit_method(dataset, UNVALIDATED, "ridge", 3, CPU).scores(candidates)
    assert not torch.allclose(scores.scores_unseen, without.scores_unseen, atol=1e-3)


@pytest.mark.parametrize("method", ["cvae", "gan", "revcd-cosine"])
def test_half_of_the_batches_of_a_generative_model_are_simulated(dataset: FeaturedDataset, method: str) -> None:
    for name, share in ((method, 0.0), (f"{method}+simulated", 0.5)):
        run = MethodRun(dataset, settings_of(name, CONFIG), name, 0, CPU, 1)
        trainer = run.unit(0).make_trainer()
        single = trainer if isinstance(trainer, Trainer) else trainer.trainers[0]
        _, _, labels = single._batch()
        assert (labels == -1).double().mean() == pytest.approx(share, abs=0.02)


def test_all_methods_that_score_classes_by_descriptions_take_simulated_ones() -> None:
    plain = {name for name in BASELINES if not name.endswith("+simulated")} - {"linear-probe", "prototype-oracle"}
    assert {name for name in BASELINES if name.endswith("+simulated")} == {f"{name}+simulated" for name in plain}
    assert all(BASELINES[f"{name}+simulated"].grid == BASELINES[name].grid for name in plain)
