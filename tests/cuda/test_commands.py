"""Every command that takes a device runs on the GPU and leaves what it promises."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import typer.main

import revcd_cli.pipeline.tune.search_space as space_module
from revcd_cli.__main__ import main
from revcd_cli.checkpoint.metadata import read_metadata
from revcd_cli.checkpoint.model_file import load_checkpoint
from revcd_cli.cli.app import app
from revcd_cli.data.features.files import read_features
from tests.makers.feature_folder import SMALL, data_options
from tests.makers.shapes import SMALL_OPTIONS

pytestmark = pytest.mark.cuda
TESTED = {
    "extract", "predict", "train", "evaluate", "tune", "models adapt", "study cls-weight", "study denoise",
    "study epochs", "study ladder"
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(device: str, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained from pictures by `revcd train` on the device."""
    model = tmp_path_factory.mktemp("model") / "shapes.safetensors"
    assert main(["train", "--dataset", str(shapes), "-o", str(model), "--device", device, *SMALL_OPTIONS]) == 0
    return model


def commands_with_a_device() -> set[str]:
    """Return the names of the commands that have the option --device."""
    found = set()

    def visit(command: object, names: tuple[str, ...]) -> None:
        for name, inner in getattr(command, "commands", {}).items():
            visit(inner, (*names, name))
        if any("--device" in option.opts for option in command.params):
            found.add(" ".join(names))

    visit(typer.main.get_command(app), ())
    return found


def test_no_command_with_a_device_is_missing_here():
    assert commands_with_a_device() == TESTED


def test_info_names_the_device(device: str, capsys: pytest.CaptureFixture[str]):
    assert main(["info", "--json"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)
    if device.startswith("cuda"):
        assert torch.cuda.get_device_name(device) in printed


def test_train_writes_a_model_that_is_finite_and_of_no_device(trained: Path):
    model = load_checkpoint(trained).model
    values = [value for value in model.state_dict().values() if value.is_floating_point()]
    assert {value.device.type for value in values} == {"cpu"}
    assert all(value.isfinite().all() for value in values)
    assert read_metadata(trained)["backbone"]["tag"] == "embedded"


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_extract(suffix: str, device: str, photos: Path, tmp_path: Path):
    output = tmp_path / f"features{suffix}"
    assert main(["extract", str(photos), "-o", str(output), "--backbone", "embedded", "--device", device]) == 0
    features = read_features(output)
    assert len(features.paths) == 200
    assert np.isfinite(features.features).all() and features.features.std(0).max() > 0


def test_extract_tokens(device: str, photos: Path, tmp_path: Path):
    output = tmp_path / "tokens.parquet"
    options = ["--backbone", "embedded", "--tokens", "--device", device]
    assert main(["extract", *map(str, sorted(photos.iterdir())[:8]), "-o", str(output), *options]) == 0
    assert read_features(output).backbone.tokens > 1


@pytest.mark.parametrize("options", [[], ["--rule", "cosine"], ["--reject"]])
def test_predict(options: list[str], device: str, photos: Path, tmp_path: Path):
    output = tmp_path / "answers.parquet"
    assert main(["predict", str(photos), "-o", str(output), "--top-k", "1", "--device", device, *options]) == 0
    status = pq.read_table(output)["status"].to_pylist()
    assert len(status) == 200 and set(status) <= {"ok", "rejected"}


def test_predict_draws_attributes_for_a_page(device: str, trained: Path, shapes: Path, tmp_path: Path):
    output = tmp_path / "answers.html"
    command = ["predict", str(shapes / "red"), "--model", str(trained), "-o", str(output)]
    assert main([*command, "--device", device]) == 0
    assert output.stat().st_size > 10_000


def test_evaluate(device: str, trained: Path, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    command = ["evaluate", "--dataset", str(shapes), "--model", str(trained), "--device", device]
    assert main([*command, "-o", str(tmp_path / "report"), "--format", "json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert 0 <= metrics["harmonic_mean"] <= 1


def test_evaluate_with_all_baselines(device: str, feature_folder: Path, capsys: pytest.CaptureFixture[str]):
    command = ["evaluate", *data_options(feature_folder), "--baselines", *SMALL, "--device", device]
    assert main([*command, "--format", "json", "-q"]) == 0
    assert {"revcd", "cvae", "gan", "ridge"} <= set(json.loads(capsys.readouterr().out)["methods"])


def test_tune(device: str, feature_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = ("train.mixup", "loss.cls_weight")
    monkeypatch.setattr(space_module, "TRAINED", {name: space_module.TRAINED[name] for name in names})
    output = tmp_path / "tuned.toml"
    options = ["-o", str(output), *SMALL, "--trials", "2", "--device", device]
    assert main(["tune", *data_options(feature_folder), *options]) == 0
    assert "[train]" in output.read_text("utf-8")


def test_models_adapt(device: str, trained: Path, shapes: Path, tmp_path: Path):
    output = tmp_path / "adapted.safetensors"
    options = ["--photos", f"new={shapes / 'red'}", "-o", str(output), "--device", device]
    assert main(["models", "adapt", str(trained), *options]) == 0
    photos = load_checkpoint(output).photos
    assert photos is not None and photos.names == ("new",)


def test_study_epochs(device: str, feature_folder: Path, tmp_path: Path):
    command = ["study", "epochs", *data_options(feature_folder), *SMALL, "--seeds", "1"]
    assert main([*command, "-o", str(tmp_path), "--device", device]) == 0
    assert any(tmp_path.glob("epochs*"))


def test_study_class_weight(device: str, feature_folder: Path, tmp_path: Path):
    command = ["study", "cls-weight", *data_options(feature_folder), *SMALL, "--weights", "0,0.5", "--seeds", "1"]
    assert main([*command, "-o", str(tmp_path), "--device", device]) == 0
    assert (tmp_path / "cls_weight.csv").exists()


def test_study_denoise(device: str, trained: Path, shapes: Path, tmp_path: Path):
    command = ["study", "denoise", "--dataset", str(shapes), "--model", str(trained), "-o", str(tmp_path)]
    assert main([*command, "--panels", "3", "--photos", "2", "--device", device]) == 0
    assert (tmp_path / "denoise.csv").exists()


def test_study_ladder(device: str, feature_folder: Path, tmp_path: Path):
    command = ["study", "ladder", *data_options(feature_folder), *SMALL, "--set", "inference.steps=20"]
    assert main([*command, "-o", str(tmp_path), "--device", device]) == 0
    assert json.loads((tmp_path / "ladder.json").read_text("utf-8"))["rows"]
