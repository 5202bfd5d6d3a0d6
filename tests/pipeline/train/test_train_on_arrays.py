"""A dataset of arrays is enough to train, evaluate and classify."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from revcd_cli import Dataset, FeatureSet, Predictor, evaluate, train


def test_a_model_is_trained_evaluated_and_used_on_arrays_alone(make_toy, small_config, tmp_path: Path):
    toy = make_toy()
    parts = {row: part for part, rows in toy.split.parts() for row in rows.tolist()}
    labels = [toy.classes.names[label] for label in toy.labels]
    dataset = Dataset.from_arrays(toy.features, labels, toy.classes, [parts[row] for row in range(len(labels))])
    train(dataset, small_config(), tmp_path / "m.safetensors")
    predictor = Predictor.from_checkpoint(tmp_path / "m.safetensors", with_backbone=False)
    assert evaluate(predictor.checkpoint, dataset).acc_seen > 0.4  # chance: 1/8
    n = len(labels)
    unknown = ("",) * n
    features = FeatureSet(tuple(map(str, range(n))), dataset.features, ("ok",) * n, unknown, unknown, dataset.backbone)
    right = [each.best.name == name for each, name in zip(predictor.predict(features), labels, strict=True)]
    assert np.mean(right) > 0.4
