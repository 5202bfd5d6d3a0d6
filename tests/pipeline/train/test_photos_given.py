"""Photos given for held-out classes in validation: their scores, and the weight of the prototypes that is chosen."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from revcd_cli.pipeline.evaluate.split_scores import SplitScores
from revcd_cli.pipeline.train.photos_given import COUNTS, SHARES, choose_photo_share, score_after_photos
from revcd_cli.pipeline.train.run import TrainingRun
from revcd_cli.scoring.candidate_kinds import CandidateKinds

GAMMA = 0.3


@pytest.fixture(scope="module")
def fold(make_toy, small_config):
    """A fold of the toy data set, with its model before the first step."""
    dataset = make_toy()
    run = TrainingRun(dataset, small_config(), None, 0, torch.device("cpu"))
    unit = run.unit(1)
    model = unit.make_trainer().ema
    unit.fit_units(model)
    return dataset, unit, model


def test_scores_are_those_of_the_model_with_the_first_photos_of_each_held_out_class(fold):
    dataset, unit, model = fold
    candidates, split = np.array(dataset.seen), unit.split
    config = dataclasses.replace(unit.config.inference, rule="prototype", network_share=0.0)
    found = score_after_photos(model, dataset, split, config, candidates)
    assert set(found) == {f"given.{count}.{part}" for count in COUNTS for part in ("seen", "unseen", "kept")}
    trained = np.unique(dataset.labels[split.trainval])
    own = torch.tensor([list(trained).index(c) if c in trained else -1 for c in candidates])
    rows = torch.from_numpy(dataset.classes.values[candidates])
    for count in COUNTS:
        means, numbers = torch.zeros(len(candidates), len(model.prototypes.between)), torch.zeros(len(candidates))
        left_out = []
        for label in np.unique(dataset.labels[split.test_unseen]):
            photos = np.flatnonzero(dataset.labels[split.test_unseen] == label)[:count]
            left_out += photos.tolist()
            place = list(candidates).index(label)
            means[place] = model.mean_photo(torch.from_numpy(dataset.features[split.test_unseen[photos]]))
            numbers[place] = count
        kinds = CandidateKinds(own, photos=means, counts=numbers)
        expected = model.score(torch.from_numpy(dataset.features[split.test_unseen]), rows, config, [], kinds)
        torch.testing.assert_close(found[f"given.{count}.unseen"], expected)
        assert torch.nonzero(~found[f"given.{count}.kept"])[:, 0].tolist() == sorted(left_out)


def drawn(seed: int, good: str) -> tuple[SplitScores, dict[str, torch.Tensor]]:
    """A fold of two seen and two held-out classes in which one part of the scores tells the held-out classes apart."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([2, 3] * 20)
    true = torch.nn.functional.one_hot(labels, 4).float()
    noise = {name: torch.randn(40, 4, generator=generator) for name in ("evidence", "given", "seen")}
    parts = {name: noise[name] + (3 * true if name == good else 0) for name in ("evidence", "given")}
    seen = torch.tensor([True, True, False, False])
    of_seen = noise["seen"] + 3 * torch.nn.functional.one_hot(labels - 2, 4)
    scores = SplitScores(of_seen, parts["evidence"], labels - 2, labels, tuple("abcd"), seen)
    found = {"evidence.seen": of_seen, "evidence.unseen": parts["evidence"]}
    for count in COUNTS:
        kept = torch.arange(40) >= 2 * count
        found |= {f"given.{count}.seen": of_seen, f"given.{count}.unseen": parts["given"], f"given.{count}.kept": kept}
    return scores, found


def test_the_weight_follows_the_part_that_tells_the_classes_apart():
    folds = [drawn(seed, "given") for seed in range(3)]
    assert choose_photo_share(*zip(*folds, strict=True), GAMMA, 0.0) >= 0.67
    folds = [drawn(seed, "evidence") for seed in range(3)]
    assert choose_photo_share(*zip(*folds, strict=True), GAMMA, 0.0) <= 0.33
    assert choose_photo_share(*zip(*folds, strict=True), GAMMA, 0.5) == 0.5  # never below that of other classes


def test_without_photos_nothing_is_chosen():
    scores, _ = drawn(0, "given")
    assert choose_photo_share([scores], [{}], GAMMA, 0.0) is None


def test_a_training_stores_a_weight_that_validation_tried(fold, small_config):
    dataset, _, _ = fold
    run = TrainingRun(dataset, small_config(train={"epochs": 1, "evaluate_every": 1}), None, 0, torch.device("cpu"))
    run.validate(lambda text: None)
    share = run.inference.photo_share
    assert share in {*SHARES, run.inference.prototype_share, 0.0}
    assert run.inference.rule != "joint" or share >= run.inference.prototype_share
