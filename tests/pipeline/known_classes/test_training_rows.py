"""Laws of training rows: every method trains on the same ones, and a fold uses nothing of what it holds out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from revcd_cli.baselines.linear import RIDGE_GRID, ridge
from revcd_cli.checkpoint.model_file import load_checkpoint
from revcd_cli.config import Config
from revcd_cli.data.datasets.dataset import FeaturedDataset
from revcd_cli.data.datasets.known import KnownClasses
from revcd_cli.pipeline.compare.baselines import pooled_rows
from revcd_cli.pipeline.compare.compare import fit_method
from revcd_cli.pipeline.compare.simulated_rows import with_simulated_classes
from revcd_cli.pipeline.evaluate.evaluate import evaluate, evaluation_scores
from revcd_cli.pipeline.known_classes.training_rows import (
    class_kinds,
    training_classes,
    training_rows,
    usable_known,
)
from revcd_cli.pipeline.train.train import train
from revcd_cli.pipeline.train.validation import draw_folds, validation_candidates
from revcd_cli.scoring.prototypes.class_noise import OFFICIAL, PHOTOS, WRITTEN
from revcd_cli.scoring.prototypes.known_classes import PSEUDO_FEATURES
from tests.makers.toy import SMALL

CONFIG = Config.from_dict(SMALL)
CPU = torch.device("cpu")
ROWS = (0, 1, 3, 4, 8, 9)  # known classes: four with photos, two without


def known_classes(rows: Sequence[int], weights: np.ndarray, written: Sequence[bool]) -> KnownClasses:
    """Known classes with one label each."""
    own, bias = np.array(rows), np.zeros(len(rows), dtype=np.float32)
    return KnownClasses(own, (("a label",),) * len(own), np.array(written), own, weights, bias)


@pytest.fixture
def dataset(make_toy) -> FeaturedDataset:
    """Six seen classes, two unseen ones with test photos and two known ones; weights as of discriminant analysis."""
    toy = make_toy()
    generator = np.random.default_rng(5)
    values = np.concatenate([toy.classes.values, generator.normal(size=(2, toy.classes.values.shape[1]))])
    classes = dataclasses.replace(
        toy.classes, names=(*toy.classes.names, "okapi", "tapir"), values=values.astype(np.float32)
    )
    seen = toy.labels < 6
    maps, *_ = np.linalg.lstsq(toy.classes.values[toy.labels[seen]], toy.features[seen], rcond=None)
    weights = (values @ maps).astype(np.float32)[list(ROWS)]
    known = known_classes(ROWS, weights, written=[False] * 5 + [True])
    return dataclasses.replace(toy, classes=classes, known=known)


def same(one: FeaturedDataset, other: FeaturedDataset, split) -> bool:
    pairs = zip(vars(training_rows(one, split, 0)).values(), vars(training_rows(other, split, 0)).values(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def test_known_classes_follow_the_photos_with_their_own_labels_and_descriptions(dataset: FeaturedDataset):
    rows, split = training_rows(dataset, dataset.split, 0), dataset.split
    n_photos = len(split.trainval)
    classes = training_classes(dataset, split)
    assert classes.tolist() == [*range(6), 8, 9]
    assert torch.equal(rows.prototypes, torch.from_numpy(dataset.classes.values[classes]))
    assert torch.equal(rows.features[:n_photos], torch.from_numpy(dataset.features[split.trainval]))
    assert rows.labels[n_photos:].tolist() == [6] * PSEUDO_FEATURES + [7] * PSEUDO_FEATURES
    assert class_kinds(dataset, split).tolist() == [PHOTOS] * 6 + [OFFICIAL, WRITTEN]


def test_without_known_classes_the_rows_are_the_photos(make_toy):
    toy = make_toy()
    rows = training_rows(toy, toy.split, 0)
    assert len(rows) == len(toy.split.trainval) and training_classes(toy, toy.split).tolist() == list(toy.seen)


def test_a_fold_uses_neither_held_out_photos_nor_labels_of_held_out_classes(dataset: FeaturedDataset):
    assert dataset.known is not None
    for fold in draw_folds(dataset, CONFIG.train, 0):
        held_out = np.unique(dataset.labels[fold.test_unseen])
        assert not np.isin(held_out, training_classes(dataset, fold)).any()
        features, weights = dataset.features.copy(), dataset.known.weights.copy()
        features[np.setdiff1d(np.arange(len(features)), fold.trainval)] = 1e6
        weights[np.isin(ROWS, held_out)] = 1e6
        changed = dataclasses.replace(
            dataset, features=features, known=dataclasses.replace(dataset.known, label_weights=weights)
        )
        assert same(dataset, changed, fold)
        weights[:] = dataset.known.weights**2
        known = dataclasses.replace(dataset.known, label_weights=weights)
        assert not same(dataset, dataclasses.replace(dataset, known=known), fold)


def test_known_classes_need_two_classes_with_photos_and_a_label(dataset: FeaturedDataset):
    assert dataset.known is not None
    few = known_classes([0, 8], dataset.known.weights[[0, 4]], written=[False, False])
    dataset = dataclasses.replace(dataset, known=few)
    assert not len(usable_known(dataset, dataset.split))
    assert training_classes(dataset, dataset.split).tolist() == list(range(6))


def test_baselines_train_on_the_rows_of_revcd(dataset: FeaturedDataset, monkeypatch: pytest.MonkeyPatch):
    import revcd_cli.pipeline.compare.baselines as baselines

    used = []

    def recorded(*args):
        used.append(pooled_rows(*args))
        return used[-1]

    monkeypatch.setattr(baselines, "pooled_rows", recorded)
    figures = fit_method(dataset, CONFIG, "ridge", 3, CPU).validation
    assert figures["H"] is not None
    folds = draw_folds(dataset, CONFIG.train, 3)
    for fold, rows in zip(folds, used, strict=True):
        assert torch.equal(rows.features, training_rows(dataset, fold, 3).features)


def test_a_model_keeps_its_known_classes_with_their_labels(dataset: FeaturedDataset, tmp_path: Path):
    summary = train(dataset, CONFIG, tmp_path / "toy.safetensors")
    checkpoint = load_checkpoint(summary.output)
    assert checkpoint.known == {"okapi": ["a label"], "tapir": ["a label"]}
    assert checkpoint.trained_names == (*dataset.classes.names[:6], "okapi", "tapir")
    kinds = [checkpoint.kind(name) for name in ("Class_0", "OKAPI", "class 7", "a stranger")]
    assert kinds == ["photos", "known", "described", "described"]
    for whole, counts in ((False, (6, 2, 0)), (True, (6, 2, 2))):
        report = evaluate(checkpoint, dataset, whole_table=whole)
        assert (report.seen_classes, report.unseen_classes, report.known_classes) == counts
    assert checkpoint.model.prototypes is not None
    assert checkpoint.model.prototypes.counts[6:].tolist() == [0, 0]


def test_the_evidence_of_labels_changes_the_scores_of_known_candidates_only(dataset: FeaturedDataset, tmp_path: Path):
    config = Config.from_dict({**SMALL, "inference": {"rule": "prototype"}})
    checkpoint = load_checkpoint(train(dataset, config, tmp_path / "toy.safetensors").output)
    assert checkpoint.labels is not None and dataset.known is not None
    scored, _ = evaluation_scores(checkpoint, dataset, whole_table=True)
    plain, _ = evaluation_scores(dataclasses.replace(checkpoint, labels=None), dataset, whole_table=True)
    added = scored.scores_seen - plain.scores_seen
    assert torch.all(added[:, :8] == 0)
    logits = dataset.features[dataset.split.test_seen] @ dataset.known.label_weights.astype(np.float16).T
    shares = torch.from_numpy(logits).log_softmax(-1)[:, [4, 5]]
    torch.testing.assert_close(added[:, 8:], CONFIG.inference.label_share * shares, rtol=1e-3, atol=1e-3)


def test_the_whole_table_are_the_candidates_of_validation_if_settings_say_so(dataset: FeaturedDataset):
    table = Config.from_dict({**SMALL, "train": {**SMALL["train"], "candidates": "table"}})
    assert validation_candidates(dataset, CONFIG.train).tolist() == list(range(6))
    assert validation_candidates(dataset, table.train).tolist() == list(range(10))
    few, all_ = (fit_method(dataset, config, "revcd", 0, CPU, final=False).validation for config in (CONFIG, table))
    assert all_["T1"] <= few["T1"]


def test_simulated_classes_of_a_baseline_come_from_a_process_that_knows_the_kinds(dataset: FeaturedDataset):
    """Known classes have a noise of their own, so without their kinds the simulated photos would be others."""
    rows, kinds = pooled_rows(dataset, dataset.split, 0), class_kinds(dataset, dataset.split)
    config = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, validation_classes=0.0))
    fitted = fit_method(dataset, config, "ridge+simulated", 0, CPU)
    photos = torch.from_numpy(dataset.features[dataset.split.test_seen])
    scores = fitted.scores(np.arange(len(dataset.classes.names))).scores_seen
    table = torch.from_numpy(dataset.classes.values)
    correlations = []
    for given in (kinds, None):
        (scorer,) = ridge(with_simulated_classes(rows, 0, given), RIDGE_GRID[:1])
        both = torch.stack([scores.double().flatten(), scorer(photos, table).double().flatten()])
        correlations.append(float(torch.corrcoef(both)[0, 1]))
    assert correlations[0] == pytest.approx(1, abs=1e-7) and correlations[1] < 1 - 1e-6
