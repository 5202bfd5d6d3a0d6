"""The study of the length of training: its figures are those of a validation that ends at that epoch."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from revcd_cli.errors import UsageError
from revcd_cli.pipeline.study.epochs import measured_epochs, study_epochs
from revcd_cli.pipeline.train.train import train
from revcd_cli.reports.studies import EPOCHS_FILES, write_epochs


@pytest.mark.parametrize(
    ("epochs", "measured"),
    [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (20, [1, 2, 4, 8, 16, 20]), (32, [1, 2, 4, 8, 16, 32])],
)
def test_epochs_are_measured_at_powers_of_two_and_at_the_end(epochs: int, measured: list[int]):
    assert measured_epochs(epochs) == measured


def test_the_last_figures_are_those_of_a_validation_and_the_files_can_be_read(make_toy, small_config, tmp_path: Path):
    dataset, seeds = make_toy(), (3, 4)
    config = small_config(train={"epochs": 3, "evaluate_every": 3}, inference={"rule": "evidence"})

    results = study_epochs(dataset, config, seeds=seeds, device="cpu")

    assert [(result.epoch, result.seed) for result in results] == [(e, s) for e in (1, 2, 3) for s in seeds]
    summary = train(dataset, config, tmp_path / "model.safetensors", seed=3, device="cpu")
    last = results[-2]
    assert last.figures == {name: summary.validation[name] for name in last.figures}

    write_epochs(tmp_path, results, dataset.name)
    rows = list(csv.DictReader((tmp_path / EPOCHS_FILES[0]).read_text("utf-8").splitlines()))
    assert [float(row["S"]) for row in rows] == [result.figures["S"] for result in results]
    with Image.open(tmp_path / EPOCHS_FILES[1]) as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 10  # not blank


def test_without_validation_photos_the_study_is_refused(make_toy, small_config):
    config = small_config(train={"epochs": 2, "validation_classes": 0.0})

    with pytest.raises(UsageError, match="no validation photos"):
        study_epochs(make_toy(), config, seeds=[0], device="cpu")
