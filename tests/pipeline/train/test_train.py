"""Training: it learns, reads no test photo, is reproducible, and leaves no files when it fails."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from revcd_cli.checkpoint.metadata import read_metadata
from revcd_cli.checkpoint.model_file import load_checkpoint
from revcd_cli.config import Config
from revcd_cli.data.datasets.dataset import Dataset
from revcd_cli.errors import RevcdError, UsageError
from revcd_cli.metrics.summary import KEPT, METRIC_NAMES
from revcd_cli.pipeline.evaluate.evaluate import evaluate
from revcd_cli.pipeline.settings import resolve_settings
from revcd_cli.pipeline.train.train import EpochInfo, train
from revcd_cli.system.files import exclusive, file_sha256
from tests.makers.toy import without_features


def test_rows(dataset: Dataset) -> np.ndarray:
    return np.concatenate([dataset.split.test_seen, dataset.split.test_unseen])


test_rows.__test__ = False


def with_features(dataset: Dataset, rows: np.ndarray, value: np.ndarray | float) -> Dataset:
    """Return the dataset with other features in these rows."""
    features = dataset.features.copy()
    features[rows] = value
    return dataclasses.replace(dataset, features=features)


def model_sha256(dataset: Dataset, config: Config, path: Path, **options: Any) -> str:
    """Train and return the hash of the model file."""
    return train(dataset, config, path, device="cpu", **options).sha256


def test_a_trained_model_classifies_seen_and_unseen_classes(make_toy, small_config, tmp_path: Path):
    dataset = make_toy(15, 5)
    config = small_config(train={"epochs": 10, "evaluate_every": 10})
    assert config.inference.rule == "auto"
    train(dataset, config, tmp_path / "m.safetensors")
    report = evaluate(load_checkpoint(tmp_path / "m.safetensors"), dataset)
    assert report.acc_seen_alone > 0.8  # chance is 1/15
    assert report.acc_zsl > 0.4  # chance is 1/5
    assert report.harmonic_mean > 0.5  # among all 20, with the penalty that validation chose


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6, 0.0], ids=str)
def test_the_model_does_not_depend_on_the_features_of_test_photos(toy_model, tmp_path: Path, value: float):
    blinded = with_features(toy_model.dataset, test_rows(toy_model.dataset), value)
    assert model_sha256(blinded, toy_model.config, tmp_path / "m.safetensors") == file_sha256(toy_model.path)


def test_the_model_depends_on_the_features_of_each_training_photo(toy_model, tmp_path: Path):
    changed = with_features(toy_model.dataset, toy_model.dataset.split.trainval[:1], 0.0)
    assert model_sha256(changed, toy_model.config, tmp_path / "m.safetensors") != file_sha256(toy_model.path)


def assert_same_weights(one: torch.nn.Module, other: torch.nn.Module) -> None:
    mine, theirs = one.state_dict(), other.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_model_does_not_depend_on_the_descriptions_of_unseen_classes(toy_model, tmp_path: Path):
    classes = toy_model.dataset.classes
    values = classes.values.copy()
    values[list(toy_model.dataset.unseen)] = 9
    changed = dataclasses.replace(toy_model.dataset, classes=dataclasses.replace(classes, values=values))
    train(changed, toy_model.config, tmp_path / "m.safetensors")
    before, after = load_checkpoint(toy_model.path), load_checkpoint(tmp_path / "m.safetensors")
    assert_same_weights(before.model, after.model)
    assert before.calibrations == after.calibrations and before.metrics == after.metrics


def test_equal_seeds_give_equal_files_and_others_do_not(toy_model, tmp_path: Path):
    again = model_sha256(toy_model.dataset, toy_model.config, tmp_path / "a.safetensors", seed=0)
    other = model_sha256(toy_model.dataset, toy_model.config, tmp_path / "b.safetensors", seed=1)
    assert again == file_sha256(toy_model.path) != other


def test_the_random_state_of_the_caller_is_neither_used_nor_changed(toy_model, tmp_path: Path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trained = model_sha256(toy_model.dataset, toy_model.config, tmp_path / "m.safetensors")
    assert trained == file_sha256(toy_model.path)
    assert torch.equal(torch.rand(3), expected)


def test_the_configuration_written_with_a_model_gives_the_same_model(toy_model, tmp_path: Path):
    config = resolve_settings(toy_model.path.with_suffix(".config.toml")).config
    assert config == toy_model.config
    assert model_sha256(toy_model.dataset, config, tmp_path / "m.safetensors") == file_sha256(toy_model.path)


def test_a_finished_training_leaves_the_model_and_its_configuration_and_nothing_else(toy_model):
    left = ["toy.config.toml", "toy.safetensors"]
    assert sorted(path.name for path in toy_model.path.parent.iterdir()) == left


def test_the_model_records_what_it_was_trained_on(toy_model):
    dataset, document = toy_model.dataset, read_metadata(toy_model.path)
    assert document["classes"]["names"] == list(dataset.classes.names)
    assert document["classes"]["seen"] == [dataset.classes.names[c] for c in dataset.seen]
    assert document["dataset"] == {
        "name": "toy", "split_sha256": dataset.split_sha256, "photos": len(dataset.split.trainval)
    }  # fmt: skip
    assert document["backbone"] == dataset.backbone.to_dict()
    assert document["seed"] == 0


def test_epochs_are_reported_in_order_and_validated_as_set(make_toy, small_config, tmp_path: Path):
    reported: list[EpochInfo] = []
    config = small_config(train={"epochs": 5, "evaluate_every": 2})
    summary = train(make_toy(), config, tmp_path / "m.safetensors", on_epoch=reported.append)
    validation = [info for info in reported if info.phase == "validation"]
    final = reported[len(validation) :]
    assert [(info.fold, info.epoch) for info in validation] == [(fold, e) for fold in (1, 2) for e in range(1, 6)]
    assert {info.folds for info in validation} == {2}
    assert [info.epoch for info in validation if info.validation] == [2, 4, 5] * 2
    assert all(list(info.validation) == [*METRIC_NAMES, KEPT] for info in validation if info.validation)
    assert [info.phase for info in final] == ["final"] * summary.epochs
    assert [info.epoch for info in final] == list(range(1, summary.epochs + 1))
    assert all(info.validation is None and info.fold == 0 for info in final)
    assert summary.history == [info.record() for info in reported]
    assert [info.done for info in reported] == list(range(1, len(reported) + 1))
    assert {info.planned for info in validation} == {15} and {info.planned for info in final} == {len(reported)}


def test_validation_chooses_epochs_and_calibration_but_changes_no_weight(make_toy, small_config, tmp_path: Path):
    dataset = make_toy()
    # Without the class network, which a model keeps only if validation gives it a share.
    settings = {"epochs": 3, "evaluate_every": 3, "validation_folds": 1}
    config = small_config(train=settings, class_network={"width": 0})
    checkpoints = []
    for unseen in ((0, 1), (2, 3)):
        split = dataclasses.replace(dataset.split, val_unseen_classes=unseen)
        path = tmp_path / f"{unseen[0]}.safetensors"
        train(dataclasses.replace(dataset, split=split), config, path)
        checkpoints.append(load_checkpoint(path))
    assert_same_weights(checkpoints[0].model, checkpoints[1].model)
    assert checkpoints[0].calibrations != checkpoints[1].calibrations


@pytest.mark.parametrize(("n_seen", "classes"), [(2, 0.25), (6, 0.0)])
def test_without_validation_all_epochs_are_used_with_a_note(
    make_toy, small_config, tmp_path: Path, n_seen: int, classes: float
):
    notes: list[str] = []
    config = small_config(train={"epochs": 3, "validation_classes": classes})
    summary = train(make_toy(n_seen, 2), config, tmp_path / "m.safetensors", on_note=notes.append)
    assert len(notes) == 1 and "No validation" in notes[0]
    assert summary.epochs == 3 and summary.validation == {}
    assert {entry["phase"] for entry in summary.history} == {"final"}
    assert summary.rule == "evidence"
    for calibration in load_checkpoint(summary.output).calibrations.values():
        assert (calibration.gamma, calibration.temperature, calibration.threshold) == (0, 1, None)


@pytest.mark.parametrize(("n_seen", "n_unseen"), [(1, 0), (1, 1), (2, 0), (3, 0)])
def test_very_few_classes_can_be_trained_on(make_toy, small_config, tmp_path: Path, n_seen: int, n_unseen: int):
    dataset = make_toy(n_seen, n_unseen)
    summary = train(dataset, small_config(train={"epochs": 2}), tmp_path / "m.safetensors")
    report = evaluate(load_checkpoint(summary.output), dataset)
    assert report.seen_classes == n_seen and report.unseen_classes == n_unseen


def test_constant_features_can_be_trained_on(make_toy, small_config, tmp_path: Path):
    dataset = make_toy()
    constant = with_features(dataset, np.arange(len(dataset.labels)), 3.0)
    for scaling in ("standard", "minmax", "l2"):
        config = small_config(encoder={"feature_scaling": scaling}, train={"epochs": 1})
        train(constant, config, tmp_path / f"{scaling}.safetensors")
        load_checkpoint(tmp_path / f"{scaling}.safetensors")  # refuses weights that are not finite


def test_a_batch_may_be_larger_than_the_data_set(make_toy, small_config, tmp_path: Path):
    summary = train(make_toy(), small_config(train={"batch_size": 1000, "epochs": 1}), tmp_path / "m.safetensors")
    assert len(summary.history) == 3  # two folds and the final phase, of one epoch each


@pytest.mark.parametrize("cause", ["NaN feature", "infinite feature", "loss that overflows"])
def test_values_that_are_not_finite_end_the_training_and_keep_the_old_model(
    make_toy, small_config, tmp_path: Path, cause: str
):
    output = tmp_path / "m.safetensors"
    output.write_bytes(b"old model")
    dataset, config = make_toy(), small_config()
    if cause == "loss that overflows":
        config = small_config(loss={"rec_weight": 1e39})
    else:
        dataset = with_features(dataset, dataset.split.trainval[:1], np.nan if cause == "NaN feature" else np.inf)
    with pytest.raises(RevcdError) as caught:
        train(dataset, config, output, overwrite=True)
    if cause == "loss that overflows":
        assert re.match("The loss became (inf|nan) in epoch 1 of the validation phase", caught.value.message)
    assert output.read_bytes() == b"old model"
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def never(info: EpochInfo) -> None:
    raise AssertionError("work was done before the call was refused")


@pytest.mark.parametrize("name", ["m.curves.png", "m.config.toml"])
def test_existing_settings_and_curves_are_kept(toy_model, tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(UsageError, match=f"{name}: exists already"):
        train(toy_model.dataset, toy_model.config, tmp_path / "m.safetensors", on_epoch=never)
    assert (tmp_path / name).read_bytes() == b"mine"


def test_an_existing_model_is_kept_without_overwrite(toy_model, tmp_path: Path):
    output = tmp_path / "m.safetensors"
    output.write_bytes(b"old model")
    with pytest.raises(UsageError, match="exists already"):
        train(toy_model.dataset, toy_model.config, output, on_epoch=never)
    assert output.read_bytes() == b"old model"
    assert model_sha256(toy_model.dataset, toy_model.config, output, overwrite=True) == file_sha256(toy_model.path)


def test_a_dataset_without_features_is_refused(toy_model, tmp_path: Path):
    bare = without_features(toy_model.dataset)
    with pytest.raises(UsageError, match="no features"):
        train(bare, toy_model.config, tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_two_trainings_cannot_write_one_model(toy_model, tmp_path: Path):
    output = tmp_path / "m.safetensors"
    with exclusive(output), pytest.raises(UsageError, match="another run"):
        train(toy_model.dataset, toy_model.config, output, on_epoch=never)
