"""The number of epochs, the rule and the calibration that a training chooses on validation."""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from revcd_cli.checkpoint.metadata import read_metadata
from revcd_cli.checkpoint.model_file import load_checkpoint
from revcd_cli.config import Config, InferenceConfig
from revcd_cli.data.datasets.dataset import Dataset
from revcd_cli.pipeline.evaluate.evaluate import score_split
from revcd_cli.pipeline.train.run import Choice, TrainingRun
from revcd_cli.pipeline.train.train import TrainSummary, train
from revcd_cli.pipeline.train.unit import TrainingUnit
from revcd_cli.pipeline.train.validation import ValidationResult, validate_scores
from revcd_cli.scoring.model import ZeroShotModel
from revcd_cli.scoring.rows import score_rows

pytestmark = pytest.mark.slow

Key = tuple[int, Choice]  # of an epoch


class Trained(NamedTuple):
    """A training, with the validation results of all epochs and rules that it chose from."""

    summary: TrainSummary
    results: dict[Key, ValidationResult]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Copies(TrainingUnit):
    """A fold that keeps copies of its networks instead of scoring them."""

    copies: dict[int, ZeroShotModel]  # by epoch

    def measure(self, model: ZeroShotModel, epoch: int, found: dict[str, Tensor]) -> dict[str, float | None]:
        self.copies[epoch] = copy.deepcopy(model)
        return {}


def all_results(dataset: Dataset, config: Config, seed: int) -> dict[Key, ValidationResult]:
    """Return the validation result of every epoch and rule, computed from copies of the networks."""
    run = TrainingRun(dataset, config, None, seed, torch.device("cpu"))
    folds = [Copies(**vars(unit), copies={}) for unit in run.fold_units]
    for fold in folds:
        assert len(list(fold.run(0, {}, math.inf))) == config.train.epochs
    results, classes = {}, np.array(dataset.seen)
    for epoch in folds[0].copies:
        for fold in folds:
            fold.fit_units(fold.copies[epoch])
        for choice in run.choices:
            inference = dataclasses.replace(config.inference, **choice._asdict())
            scores = [
                score_split(fold.copies[epoch], dataset, fold.split, inference, seed=seed, candidates=classes)
                for fold in folds
            ]
            results[epoch, choice] = validate_scores(scores, config.train)
    return results


def is_stored(choice: Choice, inference: InferenceConfig) -> bool:
    """Return whether a model with these settings scores by this choice, if it scores by its rule."""
    return (choice.rule != "joint" or choice.prototype_share == inference.prototype_share) and (
        not choice.has_prototypes or choice.network_share == inference.network_share
    )


@pytest.fixture(scope="module")
def trainings(make_toy, small_config, tmp_path_factory: pytest.TempPathFactory) -> list[Trained]:
    """Trainings with a few seeds."""
    dataset, found = make_toy(), []
    config = small_config(train={"epochs": 4, "evaluate_every": 1}, prototypes={"components": 2, "own_share": 0.0})
    for seed in range(3):
        output = tmp_path_factory.mktemp("trainings") / f"{seed}.safetensors"
        summary = train(dataset, config, output, seed=seed, device="cpu")
        found.append(Trained(summary, all_results(dataset, config, seed)))
    return found


def test_epochs_and_rule_are_those_with_the_best_h_over_all_folds(trainings: list[Trained]):
    for summary, results in trainings:
        inference = load_checkpoint(summary.output).model.config.inference
        assert inference.rule == summary.rule != "auto"
        best = max(result.merit for result in results.values())
        (chosen,) = (
            result
            for (epoch, choice), result in results.items()
            if (epoch, choice.rule) == (summary.epochs, summary.rule) and is_stored(choice, inference)
        )
        assert chosen.merit == pytest.approx(best, abs=1e-12)
        earlier = [result.merit for (epoch, _), result in results.items() if epoch < summary.epochs]
        assert all(merit < chosen.merit for merit in earlier)
        assert summary.validation == {**chosen.figures, "folds": list(chosen.folds)}
        metrics = read_metadata(summary.output)["metrics"]
        assert metrics["validation"] == summary.validation and metrics["epochs"] == summary.epochs
        assert metrics["validation_by_rule"][summary.rule] == chosen.figures
    # The epochs and rules vary, so that the test can fail.
    assert min(summary.epochs for summary, _ in trainings) < 4
    assert len({max(results, key=lambda key: results[key].merit)[1] for _, results in trainings}) > 1


def test_every_rule_keeps_the_calibration_of_the_chosen_epoch(trainings: list[Trained]):
    for summary, results in trainings:
        checkpoint = load_checkpoint(summary.output)
        assert set(checkpoint.calibrations) == {"evidence", "prototype", "cosine", "joint"}
        inference, checked = checkpoint.model.config.inference, set()
        for (epoch, choice), result in results.items():
            if epoch == summary.epochs and is_stored(choice, inference):
                calibration = checkpoint.calibrations[choice.rule]
                mine, expected = (dataclasses.asdict(each) for each in (calibration, result.calibration))
                assert mine.pop("rejection") == pytest.approx(expected.pop("rejection"), abs=1e-4)
                assert mine == pytest.approx(expected, abs=1e-5)
                checked.add(choice.rule)
        assert checked == set(checkpoint.calibrations)
        merits = {choice: result.merit for (epoch, choice), result in results.items() if epoch == summary.epochs}
        joint = {choice: merit for choice, merit in merits.items() if choice.rule == "joint"}
        same_network = [merit for choice, merit in joint.items() if choice.network_share == inference.network_share]
        (stored,) = (merit for choice, merit in joint.items() if is_stored(choice, inference))
        assert stored == pytest.approx(max(same_network), abs=1e-12)
        mixed = [choice for choice in merits if choice.has_prototypes]
        if not any(choice.rule == summary.rule for choice in mixed):
            assert inference.network_share == max(mixed, key=merits.__getitem__).network_share


@pytest.mark.parametrize("rule", ["evidence", "prototype", "joint", "cosine"])
def test_a_rule_that_is_set_is_the_only_one_computed(rule: str, make_toy, small_config, tmp_path: Path):
    config = small_config(inference={"rule": rule}, train={"epochs": 2})
    summary = train(make_toy(), config, tmp_path / "m.safetensors", device="cpu")
    checkpoint = load_checkpoint(summary.output)
    assert summary.rule == rule == checkpoint.model.config.inference.rule
    assert set(checkpoint.calibrations) == {rule}


@pytest.mark.parametrize("kind", ["standardise", "standardise+whiten"])
def test_scores_have_unit_variance_over_the_training_classes_on_training_photos(
    kind: str, make_toy, small_config, tmp_path: Path
):
    dataset, config = make_toy(), small_config(precondition={"kind": kind}, train={"epochs": 2})
    model = load_checkpoint(train(dataset, config, tmp_path / "m.safetensors", device="cpu").output).model
    prototypes = torch.from_numpy(dataset.classes.values[list(dataset.seen)])
    parts = [*(("evidence", [number]) for number in range(len(model.networks))), ("prototype", [0])]
    for rule, numbers in parts:
        one = ZeroShotModel(model.config, [model.networks[number] for number in numbers], model.prototypes)
        one.evidence_units, one.prototype_unit = model.evidence_units[numbers], model.prototype_unit
        inference = dataclasses.replace(config.inference, rule=rule)
        scores = score_rows(one, dataset.features[dataset.split.trainval], prototypes, inference, seed=0)
        spread = [torch.tensor(row, dtype=torch.float64).var(correction=0) for row in scores.tolist()]
        assert float(sum(spread) / len(spread)) == pytest.approx(1, rel=1e-4)


def test_the_class_network_is_in_the_model_only_if_validation_gave_it_a_share(trainings: list[Trained]):
    for summary, _ in trainings:
        model = load_checkpoint(summary.output).model
        assert (model.class_network is not None) == (model.config.inference.network_share > 0)
