"""What a training chooses on validation, and what it may not change by choosing."""

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
from revcd_cli.config import Config
from revcd_cli.data.datasets.dataset import Dataset
from revcd_cli.pipeline.evaluate.evaluate import score_split
from revcd_cli.pipeline.train.run import TrainingRun
from revcd_cli.pipeline.train.train import TrainSummary, train
from revcd_cli.pipeline.train.unit import TrainingUnit
from revcd_cli.pipeline.train.validation import Verdict, judge
from revcd_cli.scoring.model import ZeroShotModel
from revcd_cli.scoring.rows import score_rows

Key = tuple[int, str, float]  # epoch, rule, share of the prototypes


class Choice(NamedTuple):
    """What a training chose, beside everything that it could have chosen."""

    summary: TrainSummary
    verdicts: dict[Key, Verdict]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Copies(TrainingUnit):
    """A fold whose networks are put aside instead of scored."""

    copies: dict[int, ZeroShotModel]  # by epoch

    def measure(self, model: ZeroShotModel, epoch: int, found: dict[str, Tensor]) -> dict[str, float | None]:
        self.copies[epoch] = copy.deepcopy(model)
        return {}


def all_verdicts(dataset: Dataset, config: Config, seed: int) -> dict[Key, Verdict]:
    """Judge every epoch by every rule, from copies of the networks and scores of their own."""
    run = TrainingRun(dataset, config, None, seed, torch.device("cpu"))
    folds = [Copies(**vars(unit), copies={}) for unit in run.fold_units]
    for fold in folds:
        assert len(list(fold.run(0, {}, math.inf))) == config.train.epochs
    verdicts, classes = {}, np.array(dataset.seen)
    for epoch in folds[0].copies:
        for fold in folds:
            fold.fit_units(fold.copies[epoch])
        for rule, share in run.choices:
            inference = dataclasses.replace(config.inference, rule=rule, prototype_share=share)
            scores = [
                score_split(fold.copies[epoch], dataset, fold.split, inference, seed=seed, candidates=classes)
                for fold in folds
            ]
            verdicts[epoch, rule, share] = judge(scores, config.train)
    return verdicts


@pytest.fixture(scope="module")
def choices(make_toy, small_config, tmp_path_factory: pytest.TempPathFactory) -> list[Choice]:
    """Trainings with a few seeds."""
    dataset, found = make_toy(), []
    config = small_config(train={"epochs": 4, "evaluate_every": 1}, prototypes={"components": 2})
    for seed in range(3):
        output = tmp_path_factory.mktemp("choices") / f"{seed}.safetensors"
        summary = train(dataset, config, output, seed=seed, device="cpu")
        found.append(Choice(summary, all_verdicts(dataset, config, seed)))
    return found


def test_epochs_and_rule_are_those_with_the_best_h_over_all_folds(choices: list[Choice]):
    for summary, verdicts in choices:
        inference = load_checkpoint(summary.output).model.config.inference
        assert inference.rule == summary.rule != "auto"
        best = max(verdict.merit for verdict in verdicts.values())
        (chosen,) = (
            verdict
            for (epoch, rule, share), verdict in verdicts.items()
            if (epoch, rule) == (summary.epochs, summary.rule)
            and (rule != "joint" or share == inference.prototype_share)
        )
        assert chosen.merit == pytest.approx(best, abs=1e-12)
        earlier = [verdict.merit for (epoch, _, _), verdict in verdicts.items() if epoch < summary.epochs]
        assert all(merit < chosen.merit for merit in earlier)
        assert summary.validation == {**chosen.figures, "folds": list(chosen.folds)}
        metrics = read_metadata(summary.output)["metrics"]
        assert metrics["validation"] == summary.validation and metrics["epochs"] == summary.epochs
        assert metrics["validation_by_rule"][summary.rule] == chosen.figures
    # Not always the last epoch and always one rule, or this test would show little.
    assert min(summary.epochs for summary, _ in choices) < 4
    assert len({max(verdicts, key=lambda key: verdicts[key].merit)[1:] for _, verdicts in choices}) > 1


def test_every_rule_keeps_the_calibration_of_the_chosen_epoch(choices: list[Choice]):
    for summary, verdicts in choices:
        checkpoint = load_checkpoint(summary.output)
        assert set(checkpoint.calibrations) == {"evidence", "prototype", "cosine", "joint"}
        joint_share = checkpoint.model.config.inference.prototype_share
        for (epoch, rule, share), verdict in verdicts.items():
            if epoch == summary.epochs and (rule != "joint" or share == joint_share):
                mine, expected = (
                    dataclasses.asdict(each) for each in (checkpoint.calibrations[rule], verdict.calibration)
                )
                assert mine == pytest.approx(expected, abs=1e-5)
        shares = {key[2]: verdict.merit for key, verdict in verdicts.items() if key[:2] == (summary.epochs, "joint")}
        assert shares[joint_share] == pytest.approx(max(shares.values()), abs=1e-12)


@pytest.mark.parametrize("rule", ["evidence", "prototype", "joint", "cosine"])
def test_a_rule_that_is_asked_for_is_the_only_one_tried(rule: str, make_toy, small_config, tmp_path: Path):
    config = small_config(inference={"rule": rule}, train={"epochs": 2})
    summary = train(make_toy(), config, tmp_path / "m.safetensors", device="cpu")
    checkpoint = load_checkpoint(summary.output)
    assert summary.rule == rule == checkpoint.model.config.inference.rule
    assert set(checkpoint.calibrations) == {rule}


@pytest.mark.parametrize("kind", ["standardise", "standardise+whiten"])
def test_scores_have_the_spread_of_one_over_the_classes_and_photos_that_trained(
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
