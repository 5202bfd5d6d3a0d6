"""Training on the GPU: it learns, repeats with its seed, and resumes where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import revcd_cli.pipeline.train.run as run_module
from revcd_cli.checkpoint.model_file import load_checkpoint
from revcd_cli.pipeline.evaluate.evaluate import evaluate
from revcd_cli.pipeline.train.state import state_path
from revcd_cli.pipeline.train.train import EpochInfo, train

pytestmark = pytest.mark.cuda

ENSEMBLE = {
    "precondition": {"kind": "standardise+whiten"},
    "encoder": {"n_tokens": 4, "width": 16, "heads": 2, "feedforward": 32, "dropout": 0.2},
    "denoiser": {"width": 32, "time_width": 16, "dropout": 0.2, "norm": "batch"},
}


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(path).model.state_dict()


def assert_same_weights(one: Path, other: Path) -> None:
    """A GPU may add in another order from run to run, so bytes need not be equal."""
    expected = weights_of(one)
    for name, value in weights_of(other).items():
        torch.testing.assert_close(
            value, expected[name], rtol=1e-3, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_training_learns_as_it_does_on_the_cpu(device: str, make_toy: Callable, small_config: Callable, tmp_path: Path):
    dataset, config = make_toy(), small_config(train={"epochs": 20, "evaluate_every": 20, "batch_size": 16})
    found = {}
    for where in ("cpu", device):
        path = tmp_path / f"{where.replace(':', '-')}.safetensors"
        train(dataset, config, path, device=where, overwrite=True)
        found[where] = evaluate(load_checkpoint(path), dataset, device=where).harmonic_mean
    assert found["cpu"] > 0.5  # or the comparison says nothing
    assert found[device] >= found["cpu"] - 0.15  # other random numbers: photos may differ, learning must not


def test_equal_seeds_give_equal_models(device: str, make_toy: Callable, small_config: Callable, tmp_path: Path):
    paths = [tmp_path / f"{name}.safetensors" for name in "ab"]
    for path in paths:
        train(make_toy(), small_config(**ENSEMBLE), path, device=device)
    assert_same_weights(*paths)


def test_a_training_resumes(
    device: str, make_toy: Callable, small_config: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run_module, "SAVE_SECONDS", -1)  # after every epoch
    dataset, config = make_toy(), small_config(**ENSEMBLE)
    whole, resumed = tmp_path / "whole.safetensors", tmp_path / "resumed.safetensors"
    train(dataset, config, whole, device=device)
    for event in (3, 5):  # in validation, and twice
        told: list[EpochInfo] = []

        def on_epoch(info: EpochInfo, told: list[EpochInfo] = told, event: int = event) -> None:
            told.append(info)
            if len(told) == event:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(dataset, config, resumed, device=device, resume=True, on_epoch=on_epoch)
        assert state_path(resumed).exists()
    train(dataset, config, resumed, device=device, resume=True)
    assert not state_path(resumed).exists()
    assert_same_weights(whole, resumed)
