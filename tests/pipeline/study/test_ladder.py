"""The ladder study begins at the settings of the paper, ends at the defaults, and reads test photos only if asked."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from revcd_cli.config import Config
from revcd_cli.errors import UsageError
from revcd_cli.metrics.summary import METRIC_NAMES, MeanStd
from revcd_cli.pipeline.compare.compare import compare_methods
from revcd_cli.pipeline.settings import resolve_settings
from revcd_cli.pipeline.study.ladder import STEPS, paper_preset, step_configs, study_ladder, summarise_step
from revcd_cli.reports.studies import describe_ladder, write_ladder

SMALL = (
    "diffusion.timesteps=100", "encoder.n_tokens=4", "encoder.width=16", "encoder.heads=2", "encoder.feedforward=32",
    "denoiser.width=16", "denoiser.time_width=16", "inference.steps=20", "inference.samples=2",
    "class_network.width=16", "class_network.epochs=2",
    "prototypes.components=16", "train.epochs=1", "train.validation_folds=2", "train.batch_size=32",
)  # fmt: skip


@pytest.fixture(scope="module")
def paper() -> Config:
    return resolve_settings("paper-awa2").config


@pytest.mark.parametrize("preset", ["paper-awa2", "paper-cub", "paper-sun", "paper-flo"])
def test_the_ladder_begins_at_the_preset_and_ends_at_the_defaults(preset: str):
    base = resolve_settings(preset).config
    steps = step_configs(base)
    assert steps[0] == (STEPS[0].name, base)
    assert steps[-1] == (STEPS[-1].name, Config())
    assert [name for name, _ in steps] == [step.name for step in STEPS]  # every step changes something


def test_a_step_changes_what_it_says_and_nothing_else(paper: Config):
    before = paper.to_dict()
    for step, (_, config) in zip(STEPS[1:], step_configs(paper)[1:], strict=True):
        now, touched = config.to_dict(), {*step.defaults, *step.changes}
        for section, entries in now.items():
            for key, value in entries.items():
                if section not in touched and f"{section}.{key}" not in touched:
                    assert value == before[section][key]
        before = now


def test_set_applies_to_every_step(paper: Config):
    assert {config.train.epochs for _, config in step_configs(paper, ["train.epochs=3"])} == {3}


def test_a_step_that_changes_nothing_under_set_is_left_out(paper: Config):
    names = [name for name, _ in step_configs(paper, ["precondition.unit_length=true"])]
    assert "+ descriptions of one length" not in names and len(names) == len(STEPS) - 1


@pytest.mark.parametrize(
    ("name", "preset"), [("cub", "paper-cub"), ("SUN", "paper-sun"), ("flo", "paper-flo"), ("mine", "paper-awa2")]
)
def test_the_preset_of_the_paper_for_a_dataset(make_toy, name: str, preset: str):
    assert paper_preset(dataclasses.replace(make_toy(), name=name)) == preset


@pytest.mark.slow
def test_steps_and_baselines_have_validation_metrics_without_test_photos(make_toy, paper: Config, tmp_path: Path):
    dataset = make_toy()
    features = dataset.features.copy()
    features[np.concatenate([dataset.split.test_seen, dataset.split.test_unseen])] = np.nan
    blind, reported = dataclasses.replace(dataset, features=features), []
    results = study_ladder(
        blind, paper, (0,), assignments=SMALL, baselines=("ridge", "linear-probe"), device="cpu",
        on_result=lambda results: reported.append(len(results)),
    )  # fmt: skip
    assert [result.name for result in results] == [
        *(name for name, _ in step_configs(paper, SMALL)),
        "ridge",
        "linear-probe",
    ]
    assert reported == list(range(1, len(results) + 1))
    assert all(run.test is None for result in results for run in result.runs)
    assert all(summarise_step(result, "validation")["H"].mean is not None for result in results[:-1])
    assert results[0].overrides["train.epochs"] == 1  # changed by --set from the preset
    assert results[-2].overrides == {}
    write_ladder(tmp_path, describe_ladder(results, blind, paper, test=False))
    read = json.loads((tmp_path / "ladder.json").read_text("utf-8"))
    assert [row["name"] for row in read["rows"]] == [result.name for result in results]
    assert Config.from_dict(read["config"]) == paper
    assert set(read["rows"][0]) == {"name", "overrides", "validation", "runs"}


@pytest.mark.slow
def test_with_test_photos_a_step_has_the_metrics_of_a_comparison_with_its_settings(make_toy, paper: Config):
    quick = [*SMALL, "inference.samples=1"]
    results = study_ladder(make_toy(), paper, (1,), assignments=quick, baselines=("eszsl",), test=True, device="cpu")
    steps = step_configs(paper, quick)
    for result, (method, config) in ((results[2], ("revcd", steps[2][1])), (results[-1], ("eszsl", steps[-1][1]))):
        (expected,) = compare_methods(make_toy(), config, (1,), (method,), device="cpu")
        assert result.runs[0].test == expected.test
        assert summarise_step(result, "test")["S"] == MeanStd(mean=expected.test["S"], std=None)
        assert list(summarise_step(result, "plain")) == list(METRIC_NAMES)


def test_without_validation_photos_the_ladder_needs_test_photos(make_toy, paper: Config):
    with pytest.raises(UsageError, match="cannot be validated"):
        study_ladder(make_toy(), paper, (0,), assignments=["train.validation_classes=0"])
