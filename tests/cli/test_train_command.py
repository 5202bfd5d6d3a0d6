"""`revcd train` and `models show --save-classes`, on a data set of generated photos."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from revcd_cli.__main__ import main
from revcd_cli.checkpoint.metadata import read_metadata
from revcd_cli.checkpoint.model_file import read_class_table
from revcd_cli.config import Config
from revcd_cli.data.classes.attributes import read_attribute_csv
from revcd_cli.system.files import file_sha256

PHOTOS = 8  # of each class


def train(trained, folder: Path, model: Path, *options: object) -> int:
    return main(["train", "--dataset", str(folder), "-o", str(model), *trained.options, *map(str, options)])


def settings_of(trained) -> Path:
    (settings,) = trained.model.parent.glob("*.toml")
    return settings


def test_training_prints_the_data_the_loss_and_the_validation_on_stderr(trained):
    assert "4 seen and 2 unseen classes, 6 attributes, 24 photos to train on, " in trained.said
    assert "24 photos to train on, 8 of seen and 8 of unseen classes to test" in trained.said
    figures = r"S [\d.]+  U [\d.]+  H [\d.]+  T1 [\d.]+  AUSUC [\d.]+"
    for fold in (1, 2):
        assert re.search(rf"fold {fold}/2 +epoch +2/2   loss \d\.\d{{4}}   {figures}", trained.said)
    assert re.search(f"Validation, mean of 2 folds: {figures}; rule (evidence|prototype|joint|cosine)", trained.said)
    assert re.search(r"final +epoch +\d/\d   loss \d\.\d{4}", trained.said)
    assert "S and U: accuracy on seen and unseen classes" in trained.said
    assert not re.search("fold 1/2 +epoch +1/2", trained.said)  # one line for each fold, unless -v is given
    assert "Trained on 24 photos" in trained.said
    assert f"Next: revcd evaluate --dataset {trained.folder} --model {trained.model}" in trained.said


def test_training_writes_a_model_its_settings_and_its_curves_only(trained):
    settings = settings_of(trained)
    curves = trained.model.with_suffix(".curves.png")
    assert set(trained.model.parent.iterdir()) == {trained.model, settings, curves}
    assert curves.read_bytes().startswith(b"\x89PNG")
    assert settings.name.startswith("shapes.")
    document = read_metadata(trained.model)
    assert document["classes"]["names"] == [*trained.seen, *trained.unseen]
    assert document["classes"]["seen"] == sorted(trained.seen)
    assert document["backbone"]["tag"] == "embedded"
    assert document["config"]["denoiser"]["width"] == 32


def test_stdout_stays_empty_and_with_quiet_stderr_too(trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert train(trained, trained.folder, tmp_path / "m.safetensors", "-q") == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_tensorboard_scalars_are_written_to_the_given_folder_and_not_into_an_existing_log(
    trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    pytest.importorskip("tensorboard")
    log, model = tmp_path / "log", tmp_path / "m.safetensors"
    assert train(trained, trained.folder, model, "--log-dir", log, "-q") == 0
    assert sorted(path.name for path in log.iterdir()) == ["final", "fold-1", "fold-2"]
    assert file_sha256(model) == file_sha256(trained.model)
    capsys.readouterr()
    assert train(trained, trained.folder, model, "--log-dir", log, "--overwrite") == 2
    assert f"{log}: is not empty" in capsys.readouterr().err


def test_features_are_extracted_once_and_the_same_seed_gives_the_same_bytes(
    trained, features_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    files = {path.name: path.stat().st_mtime_ns for path in features_folder.iterdir()}
    assert "are cached" not in trained.said
    assert train(trained, trained.folder, tmp_path / "same.safetensors") == 0
    assert "Features of embedded are cached" in capsys.readouterr().err
    assert {path.name: path.stat().st_mtime_ns for path in features_folder.iterdir()} == files
    assert train(trained, trained.folder, tmp_path / "other.safetensors", "--seed", 1) == 0
    hashes = [file_sha256(tmp_path / f"{name}.safetensors") for name in ("same", "other")]
    assert hashes[0] == file_sha256(trained.model) != hashes[1]


@pytest.mark.slow
def test_features_extracted_before_or_during_training_give_the_same_model(trained, tmp_path: Path):
    features = tmp_path / "f.parquet"
    assert main(["extract", str(trained.folder), "-o", str(features), "--backbone", "embedded", "-q"]) == 0
    assert train(trained, trained.folder, tmp_path / "m.safetensors", "--features", features, "-q") == 0
    assert file_sha256(tmp_path / "m.safetensors") == file_sha256(trained.model)


def test_the_settings_beside_a_model_give_the_same_model(trained, tmp_path: Path):
    settings, model = settings_of(trained), tmp_path / "m.safetensors"
    arguments = [
        "--dataset",
        str(trained.folder),
        "-o",
        str(model),
        "--config",
        str(settings),
        "--backbone",
        "embedded",
        "-q",
    ]
    assert main(["train", *arguments]) == 0
    assert file_sha256(model) == file_sha256(trained.model)


def test_a_missing_split_is_drawn_and_written_once(
    trained, dataset_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (dataset_copy / "images.csv").unlink()
    shutil.rmtree(dataset_copy / "blue")
    assert train(trained, dataset_copy, tmp_path / "a.safetensors", "--seed", 3) == 0
    assert "shapes has no images.csv, so the split is drawn (seed" in capsys.readouterr().err
    with (dataset_copy / "images.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4 * PHOTOS
    assert {(row["class"], row["split"]) for row in rows} == {
        (n, p) for n in trained.seen for p in ("trainval", "test_seen")
    }
    before = (dataset_copy / "images.csv").read_bytes()
    # Another seed draws no other split.
    assert train(trained, dataset_copy, tmp_path / "b.safetensors", "--seed", 4) == 0
    assert "has no images.csv" not in capsys.readouterr().err
    assert (dataset_copy / "images.csv").read_bytes() == before
    splits = [read_metadata(tmp_path / f"{name}.safetensors")["dataset"]["split_sha256"] for name in "ab"]
    assert splits[0] == splits[1]


def test_a_dry_run_prints_every_setting_with_its_origin_and_trains_nothing(
    trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "mine.toml").write_text("[train]\nepochs = 7\nbatch_size = 9\n")
    monkeypatch.chdir(tmp_path)
    options = ["--config", "mine.toml", "--set", "train.epochs=3", "--dry-run"]
    assert main(["train", "--dataset", str(trained.folder), *options]) == 0
    header, *lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert header == ["setting", "value", "origin"]
    shown = {name: (value, origin) for name, value, origin in lines}
    defaults = Config().to_dict()
    assert set(shown) == {f"{section}.{name}" for section, values in defaults.items() for name in values}
    assert shown["train.epochs"] == ("3", "--set")
    assert shown["train.batch_size"] == ("9", "mine.toml")
    assert shown["train.learning_rate"] == (str(defaults["train"]["learning_rate"]), "default")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


@pytest.mark.slow
def test_the_model_is_named_after_the_data_set_unless_another_name_is_given(
    trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    command = ["--dataset", str(trained.folder), "-q"]
    assert main(["train", *command, *trained.options]) == 0
    assert main(["evaluate", *command, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"]["sha256"] == file_sha256(trained.model)
    assert main(["train", *command, *trained.options, "-o=given.safetensors"]) == 0
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == ["given.safetensors", "shapes.safetensors"]


def test_an_existing_model_is_replaced_only_with_overwrite(trained, tmp_path: Path):
    model = tmp_path / "m.safetensors"
    model.write_text("mine")
    assert train(trained, trained.folder, model, "-q") == 2
    assert model.read_text() == "mine"
    assert train(trained, trained.folder, model, "--overwrite", "-q") == 0
    assert file_sha256(model) == file_sha256(trained.model)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--set", "train.epocs=3"], 2, 'did you mean "epochs"'),
        (["--set", "train.epochs=0"], 2, "train.epochs must be at least 1"),
        (["--set", "train.epochs"], 2, "--set takes section.name=value"),
        (["--config", "none.toml"], 2, "none.toml"),
        (["--dataset", "cbu"], 2, 'did you mean "cub"'),
        (["--dataset", "."], 2, "holds neither attributes.csv nor att_splits.mat"),
        (["--features", "none.parquet"], 4, "none.parquet"),
        (["--backbone", "no_such_network"], 2, "no_such_network"),
    ],
)
def test_data_that_cannot_be_trained_on_are_refused_and_nothing_is_written(
    arguments: list[str],
    code: int,
    says: str,
    trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--dataset", str(trained.folder), *arguments]) == code
    printed = capsys.readouterr()
    assert says in printed.err
    assert printed.out == ""
    assert not list(tmp_path.iterdir())


def test_a_trained_model_predicts_classes_of_its_table(trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert (
        main(["predict", str(trained.folder / "blue"), "--model", str(trained.model), "--format", "jsonl", "-q"]) == 0
    )
    for line in capsys.readouterr().out.splitlines():
        candidates = {each["class"]: each["seen"] for each in json.loads(line)["candidates"]}
        assert len(candidates) == 5
        assert all(seen == (name in trained.seen) for name, seen in candidates.items())


@pytest.mark.parametrize("model", ["animals", "trained"])
def test_the_saved_class_table_is_that_of_the_model(
    model: str, trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = str(trained.model) if model == "trained" else model
    path = tmp_path / "new" / "classes.csv"
    command = ["models", "show", source, "--save-classes", str(path)]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert printed.out == "" and f"Written to {path}" in printed.err
    saved, own = read_attribute_csv(path), read_class_table(source)
    assert (saved.names, saved.attributes) == (own.names, own.attributes)
    np.testing.assert_array_equal(saved.values, own.values)
    path.write_text("mine")
    assert main(command) == 2
    assert path.read_text() == "mine"
    assert main([*command, "--overwrite", "-q"]) == 0
    assert read_attribute_csv(path).names == own.names
