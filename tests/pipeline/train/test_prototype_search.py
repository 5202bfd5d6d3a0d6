"""The search for the settings of the prototypes on the validation folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from revcd_cli.checkpoint.model_file import load_checkpoint
from revcd_cli.config import PROTOTYPE_GRID, Config, PrototypeConfig
from revcd_cli.data.datasets.dataset import FeaturedDataset
from revcd_cli.errors import ConfigError
from revcd_cli.pipeline.evaluate.evaluate import score_split
from revcd_cli.pipeline.train import prototype_search
from revcd_cli.pipeline.train.prototype_search import FittedFold, choose_prototypes
from revcd_cli.pipeline.train.run import TrainingRun
from revcd_cli.pipeline.train.train import train
from revcd_cli.pipeline.train.validation import draw_folds, validate_scores
from revcd_cli.scoring.calibration import score_unit
from tests.makers.toy import SMALL

CPU = torch.device("cpu")
SEARCHED = Config.from_dict(SMALL | {"prototypes": {"components": 16}})


@pytest.fixture
def dataset(make_toy: Callable[..., FeaturedDataset]) -> FeaturedDataset:
    """Return features with so much noise that settings differ."""
    toy = make_toy(n_seen=9)
    noise = np.random.default_rng(0).normal(size=toy.features.shape).astype(np.float32)
    return replace(toy, features=toy.features + 2 * noise)


def test_the_settings_with_the_best_ausuc_of_all_combinations_are_chosen(
    dataset: FeaturedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROTOTYPE_GRID, "whitening", (0.0, 0.5))
    monkeypatch.setitem(PROTOTYPE_GRID, "length", (2.0, 0.05))
    monkeypatch.setitem(PROTOTYPE_GRID, "noise", (0.2, 5.0))
    monkeypatch.setitem(PROTOTYPE_GRID, "own_share", (0.1, 1.0))
    folds = draw_folds(dataset, SEARCHED.train, 0)
    chosen = choose_prototypes(dataset, SEARCHED, folds, 0, CPU).prototypes

    def area(settings: PrototypeConfig) -> float:
        """By trained models with these settings, without the search."""
        config = replace(SEARCHED, prototypes=settings, inference=replace(SEARCHED.inference, rule="prototype"))
        run = TrainingRun(dataset, config, None, 0, CPU)
        scores = []
        for unit in run.fold_units:
            model = unit.make_trainer().ema
            unit.fit_units(model)
            candidates = np.array(dataset.seen)
            scores.append(score_split(model, dataset, unit.split, config.inference, seed=0, candidates=candidates))
        return validate_scores(scores, config.train).figures["AUSUC"]

    tried = [
        replace(SEARCHED.prototypes, whitening=whitening, length=length, noise=noise, own_share=share)
        for whitening in (0.0, 0.5)
        for length in (2.0, 0.05)
        for noise in (0.2, 5.0)
        for share in (0.1, 1.0)
    ]
    areas = [area(settings) for settings in tried]
    assert max(areas) - min(areas) > 0.01, "no difference, so nothing is tested"
    assert area(chosen) == pytest.approx(max(areas), abs=1e-6)


@pytest.mark.parametrize("whitening", [0.0, 0.3])
def test_a_fold_that_is_fitted_again_has_the_scores_of_one_fitted_with_these_settings(
    dataset: FeaturedDataset, whitening: float
) -> None:
    split = draw_folds(dataset, SEARCHED.train, 0)[0]
    other = replace(SEARCHED.prototypes, whitening=whitening, length=0.7, noise=0.9, own_share=0.4)
    refitted = FittedFold(dataset, SEARCHED, split, 0, CPU)
    refitted.scores(SEARCHED.prototypes.fixed())
    direct = FittedFold(dataset, replace(SEARCHED, prototypes=other), split, 0, CPU)
    one, two = refitted.scores(other), direct.scores(other)
    torch.testing.assert_close(one.scores_seen, two.scores_seen)
    torch.testing.assert_close(one.scores_unseen, two.scores_unseen)
    model = direct.process
    model.config = other
    unit = score_unit(model.score_components(direct.unit, direct.known))
    plain = model.score_components(direct.seen, direct.candidates, model.kinds(direct.own)) / unit
    torch.testing.assert_close(one.scores_seen, plain.cpu())


def test_the_weights_of_attributes_may_be_learned_too(
    dataset: FeaturedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROTOTYPE_GRID, "length", (2.0, 0.5))
    config = replace(SEARCHED, prototypes=replace(SEARCHED.prototypes, relevance=1.0, noise=0.2, own_share=0.1))
    folds = draw_folds(dataset, config.train, 0)
    plain = replace(config, prototypes=replace(config.prototypes, relevance=0.0))
    fitted = [FittedFold(dataset, each, folds[0], 0, CPU) for each in (config, plain)]
    one, other = (fold.scores(fold.process.config).scores_unseen for fold in fitted)
    assert not torch.allclose(one, other)
    assert choose_prototypes(dataset, config, folds, 0, CPU).prototypes.length in (2.0, 0.5)


def test_numbers_that_are_set_are_kept(dataset: FeaturedDataset) -> None:
    config = replace(SEARCHED, prototypes=replace(SEARCHED.prototypes, noise=0.7, length=3.0))
    chosen = choose_prototypes(dataset, config, draw_folds(dataset, config.train, 0), 0, CPU).prototypes
    assert (chosen.noise, chosen.length) == (0.7, 3.0)
    assert chosen.own_share in PROTOTYPE_GRID["own_share"]


def test_without_folds_the_first_values_of_the_grid_are_taken(dataset: FeaturedDataset) -> None:
    chosen = choose_prototypes(dataset, SEARCHED, [], 0, CPU).prototypes
    assert {name: getattr(chosen, name) for name in PROTOTYPE_GRID} == {
        name: v[0] for name, v in PROTOTYPE_GRID.items()
    }


def test_test_photos_do_not_change_the_choice(dataset: FeaturedDataset) -> None:
    folds = draw_folds(dataset, SEARCHED.train, 0)
    features = dataset.features.copy()
    for rows in (dataset.split.test_seen, dataset.split.test_unseen):
        features[rows] = 1e3
    changed = replace(dataset, features=features)
    first, second = (prototype_search.choose_prototypes(each, SEARCHED, folds, 0, CPU) for each in (dataset, changed))
    assert first == second


def test_a_trained_model_holds_the_chosen_numbers_and_says_so(dataset: FeaturedDataset, tmp_path: Path) -> None:
    notes: list[str] = []
    output = train(dataset, SEARCHED, tmp_path / "model.safetensors", on_note=notes.append).output
    chosen = choose_prototypes(dataset, SEARCHED, draw_folds(dataset, SEARCHED.train, 0), 0, CPU).prototypes
    assert load_checkpoint(output).model.config.prototypes == chosen
    assert any(f"noise {chosen.noise:g}" in note for note in notes)


@pytest.mark.parametrize("value", ["large", "Auto", True, None])
def test_other_words_than_auto_are_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r"prototypes\.noise"):
        Config.from_dict({"prototypes": {"noise": value}})
