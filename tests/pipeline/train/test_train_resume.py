"""An interrupted training resumes and ends with the same bytes, or is refused with the reason."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import revcd_cli.pipeline.train.run as run_module
from revcd_cli.config import Config
from revcd_cli.data.datasets.dataset import Dataset
from revcd_cli.errors import CheckpointError, UsageError
from revcd_cli.pipeline.fingerprint import differences
from revcd_cli.pipeline.train.run import TrainingRun
from revcd_cli.pipeline.train.state import state_path
from revcd_cli.pipeline.train.train import EpochInfo, TrainSummary, train
from revcd_cli.pipeline.train.unit import EpochResult, TrainingUnit
from revcd_cli.pipeline.train.validation import settings_for
from revcd_cli.system.files import file_sha256, write_checksummed

ROOT = Path(__file__).resolve().parents[3]
RANDOM = {  # uses everything that draws random numbers or keeps counters
    "precondition": {"kind": "standardise+whiten"},
    "encoder": {"dropout": 0.2},
    "denoiser": {"dropout": 0.2, "norm": "batch"},
    "train": {"mixup": 0.3, "epochs": 3, "evaluate_every": 2},
}


@pytest.fixture(autouse=True)
def saved_after_every_epoch(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_module, "SAVE_SECONDS", -1)


def interrupt_at(event: int) -> Callable[[EpochInfo], None]:
    """Return an `on_epoch` that raises KeyboardInterrupt at its n-th call, counted from 1."""
    reported: list[EpochInfo] = []

    def on_epoch(info: EpochInfo) -> None:
        reported.append(info)
        if len(reported) == event:
            raise KeyboardInterrupt

    return on_epoch


def interrupted(dataset: Dataset, config: Config, output: Path, event: int = 4, **options: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(dataset, config, output, on_epoch=interrupt_at(event), device="cpu", **options)


def without_seconds(summary: TrainSummary) -> dict[str, Any]:
    return dataclasses.asdict(dataclasses.replace(summary, seconds=0, output=Path()))


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, RANDOM], ids=["plain", "dropout, batch norm, mixup and two networks"])
def test_a_training_interrupted_after_any_epoch_ends_with_the_same_bytes(
    make_toy, small_config, tmp_path: Path, settings: dict
):
    dataset, config = make_toy(), small_config(**settings)
    whole = train(dataset, config, tmp_path / "whole.safetensors", device="cpu")
    assert {entry["phase"] for entry in whole.history} == {"validation", "final"}
    for event in range(1, len(whole.history) + 1):
        output = tmp_path / f"{event}.safetensors"
        interrupted(dataset, config, output, event)
        assert not output.exists() and state_path(output).exists() == (event > 1)
        resumed = train(dataset, config, output, device="cpu", resume=True)
        assert file_sha256(output) == whole.sha256, f"interrupted at event {event}"
        assert without_seconds(resumed) == without_seconds(whole)
        assert not state_path(output).exists()


def test_a_training_can_be_interrupted_repeatedly(toy_model, tmp_path: Path):
    output, notes = tmp_path / "m.safetensors", []
    interrupted(toy_model.dataset, toy_model.config, output, 2)
    for _ in range(3):
        interrupted(toy_model.dataset, toy_model.config, output, 2, resume=True, on_note=notes.append)
    train(toy_model.dataset, toy_model.config, output, device="cpu", resume=True, on_note=notes.append)
    assert file_sha256(output) == file_sha256(toy_model.path)
    assert notes == [f"Resuming after {epochs}." for epochs in ("1 epoch", "2 epochs", "3 epochs", "4 epochs")]


def test_a_state_older_than_the_interruption_is_accepted(toy_model, tmp_path: Path):
    output, reported = tmp_path / "m.safetensors", []
    interrupted(toy_model.dataset, toy_model.config, output, 2)
    older = state_path(output).read_bytes()
    interrupted(toy_model.dataset, toy_model.config, output, 3, resume=True)
    state_path(output).write_bytes(older)
    train(toy_model.dataset, toy_model.config, output, device="cpu", resume=True, on_epoch=reported.append)
    assert reported[0].epoch == 2
    assert file_sha256(output) == file_sha256(toy_model.path)


def test_a_state_saved_after_later_epochs_is_that_of_its_own_epoch(make_toy, small_config, tmp_path: Path):
    dataset = make_toy()
    config = settings_for(dataset, small_config(train={"validation_classes": 0.0}))  # as `train` does
    whole = train(dataset, config, tmp_path / "whole.safetensors", device="cpu")
    output, events = tmp_path / "m.safetensors", []

    class Late(TrainingRun):
        """Saves nothing before the third epoch and no state of that epoch."""

        def _take(self, unit: TrainingUnit, result: EpochResult) -> None:
            events.append(result.info)
            self.last_save = math.inf if len(events) < 3 else -math.inf
            super()._take(unit, result if len(events) < 3 else dataclasses.replace(result, state=None))
            if len(events) == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Late(dataset, config, output, 0, torch.device("cpu")).finish()
    reported: list[EpochInfo] = []
    resumed = train(dataset, config, output, device="cpu", resume=True, on_epoch=reported.append)
    assert reported[0].epoch == 3
    assert resumed.sha256 == whole.sha256


def test_resume_without_a_state_starts_over(toy_model, tmp_path: Path):
    output = tmp_path / "m.safetensors"
    train(toy_model.dataset, toy_model.config, output, device="cpu", resume=True)
    assert file_sha256(output) == file_sha256(toy_model.path)


def test_the_old_model_is_kept_until_the_resumed_training_ends(toy_model, tmp_path: Path):
    output = tmp_path / "m.safetensors"
    output.write_bytes(b"old model")
    interrupted(toy_model.dataset, toy_model.config, output, overwrite=True)
    interrupted(toy_model.dataset, toy_model.config, output, 1, resume=True)
    assert output.read_bytes() == b"old model"
    train(toy_model.dataset, toy_model.config, output, device="cpu", resume=True)
    assert file_sha256(output) == file_sha256(toy_model.path)


@pytest.mark.parametrize("overwrite", [False, True])
def test_without_resume_an_interrupted_training_is_kept_and_an_error(toy_model, tmp_path: Path, overwrite: bool):
    output = tmp_path / "m.safetensors"
    interrupted(toy_model.dataset, toy_model.config, output)
    state = file_sha256(state_path(output))
    with pytest.raises(UsageError, match="was interrupted") as caught:
        train(toy_model.dataset, toy_model.config, output, device="cpu", overwrite=overwrite)
    assert str(state_path(output)) in caught.value.message and "--resume" in caught.value.hint
    assert file_sha256(state_path(output)) == state


def another_photo(dataset: Dataset) -> Dataset:
    features = dataset.features.copy()
    features[dataset.split.trainval[0], 0] += 1
    return dataclasses.replace(dataset, features=features)


def another_description(dataset: Dataset) -> Dataset:
    return dataclasses.replace(dataset, classes=dataclasses.replace(dataset.classes, values=dataset.classes.values + 1))


def another_backbone(dataset: Dataset) -> Dataset:
    return dataclasses.replace(dataset, backbone=dataclasses.replace(dataset.backbone, tag="other"))


@pytest.mark.parametrize(
    ("change", "settings", "seed", "words"),
    [
        (None, {"learning_rate": 0.02}, 0, "config.train.learning_rate was 0.01 and is 0.02"),
        (None, {"epochs": 9}, 0, "config.train.epochs was 4 and is 9"),
        (None, {}, 1, "seed was 0 and is 1"),
        (another_photo, {}, 0, "features was"),
        (another_description, {}, 0, "classes was"),
        (another_backbone, {}, 0, "backbone.tag was 'toy' and is 'other'"),
        (lambda dataset: dataclasses.replace(dataset, split_sha256="ab"), {}, 0, "and is 'ab'"),
    ],
)
def test_a_training_with_other_settings_or_data_is_not_resumed(
    toy_model, small_config, tmp_path: Path, change: Callable | None, settings: dict, seed: int, words: str
):
    output = tmp_path / "m.safetensors"
    interrupted(toy_model.dataset, toy_model.config, output)
    state = file_sha256(state_path(output))
    dataset = change(toy_model.dataset) if change else toy_model.dataset
    with pytest.raises(UsageError, match="other settings") as caught:
        train(dataset, small_config(train=settings), output, seed=seed, device="cpu", resume=True)
    assert words in caught.value.message and caught.value.message.count(" was ") == 1
    assert file_sha256(state_path(output)) == state and not output.exists()


def test_a_training_resumes_although_test_features_changed(toy_model, tmp_path: Path):
    output = tmp_path / "m.safetensors"
    interrupted(toy_model.dataset, toy_model.config, output)
    features = toy_model.dataset.features.copy()
    features[toy_model.dataset.split.test_unseen] = np.nan
    train(dataclasses.replace(toy_model.dataset, features=features), toy_model.config, output, resume=True)
    assert file_sha256(output) == file_sha256(toy_model.path)


@pytest.mark.parametrize(
    "data",
    [b"", b"text", safetensors.torch.save({"a": torch.zeros(1)}), safetensors.torch.save({}, {"revcd-state": "{}"})],
    ids=["empty", "text", "no metadata", "incomplete"],
)
def test_a_corrupt_state_is_an_error_that_names_the_file(toy_model, tmp_path: Path, data: bytes):
    output = tmp_path / "m.safetensors"
    state_path(output).write_bytes(data)
    with pytest.raises(CheckpointError, match="not a readable training state") as caught:
        train(toy_model.dataset, toy_model.config, output, resume=True)
    assert str(state_path(output)) in caught.value.message and "Delete it" in caught.value.hint
    assert state_path(output).read_bytes() == data


def test_the_state_of_another_version_is_refused_in_plain_words(toy_model, tmp_path: Path):
    output = tmp_path / "m.safetensors"
    old = safetensors.torch.save(
        {"state.final/model.units": torch.ones(3)},
        {"revcd-state": json.dumps({"fingerprint": {}, "epochs": 4, "rule": "evidence", "prototype_share": 0.5})},
    )
    write_checksummed(state_path(output), old)
    with pytest.raises(CheckpointError, match="was saved by another version of revcd") as caught:
        train(toy_model.dataset, toy_model.config, output, resume=True)
    assert str(state_path(output)) in caught.value.message and "delete the file" in caught.value.hint


def test_a_truncated_state_is_refused(toy_model, tmp_path: Path):
    output = tmp_path / "m.safetensors"
    interrupted(toy_model.dataset, toy_model.config, output)
    state_path(output).write_bytes(state_path(output).read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="not a readable training state"):
        train(toy_model.dataset, toy_model.config, output, resume=True)


def test_differences_are_listed_value_by_value():
    old = {"a": 1, "b": {"c": 2, "d": 3}, "gone": 4, "kind": {"x": 1}}
    new = {"a": 1, "b": {"c": 2, "d": 5}, "new": 6, "kind": 7}
    assert differences(old, new) == [
        "b.d was 3 and is 5",
        "gone was 4 and is None",
        "kind was {'x': 1} and is 7",
        "new was None and is 6",
    ]
    assert differences(old, old) == []


TRAIN = """
import pickle, sys
from pathlib import Path
import revcd_cli.pipeline.train.run as run_module
from revcd_cli.pipeline.train.train import train
run_module.SAVE_SECONDS = -1
folder = Path(sys.argv[1])
dataset, config = pickle.loads((folder / "inputs.pickle").read_bytes())
train(
    dataset, config, folder / "m.safetensors", device="cpu", resume=True,
    on_epoch=lambda info: print(info.phase, info.epoch, flush=True),
)
"""


@pytest.fixture(scope="module")
def long_training(make_toy, small_config, tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Config, str]:
    """A training long enough to be killed while it runs, and the hash of its model."""
    dataset, config = make_toy(), small_config(train={"epochs": 40, "evaluate_every": 40})
    whole = train(dataset, config, tmp_path_factory.mktemp("long") / "m.safetensors", device="cpu")
    return dataset, config, whole.sha256


@pytest.mark.slow
@pytest.mark.parametrize("moments", [("final 2",), ("validation 3", "final 5")])
def test_a_killed_training_resumes_to_the_same_model(long_training, tmp_path: Path, moments: tuple[str, ...]):
    dataset, config, expected = long_training
    (tmp_path / "inputs.pickle").write_bytes(pickle.dumps((dataset, config)))
    command = [sys.executable, "-c", TRAIN, str(tmp_path)]
    for moment in moments:
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert any(line.strip() == moment for line in process.stdout)
            process.send_signal(signal.SIGKILL)  # at a random moment of an epoch or of a save
            process.stdout.read()
        assert process.returncode == -signal.SIGKILL
        assert not (tmp_path / "m.safetensors").exists()
    resumed = train(dataset, config, tmp_path / "m.safetensors", device="cpu", resume=True)
    assert resumed.sha256 == expected
    assert not state_path(resumed.output).exists()
