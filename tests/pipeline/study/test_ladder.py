"""The ladder: it begins at the paper's settings, ends at the defaults, and reads no test photo unless asked."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from revcd_cli.config import Config
from revcd_cli.errors import UsageError
from revcd_cli.pipeline.compare.compare import FIGURES, compare_methods
from revcd_cli.pipeline.settings import resolve_settings
from revcd_cli.pipeline.study.ladder import (
    STEPS,
    describe_ladder,
    paper_preset,
    row_figures,
    rungs,
    study_ladder,
    write_ladder,
)

SMALL = (
    "diffusion.timesteps=20", "encoder.n_tokens=4", "encoder.width=16", "encoder.heads=2", "encoder.feedforward=32",
    "denoiser.width=16", "denoiser.time_width=16", "inference.steps=20", "inference.samples=2",
    "prototypes.components=16", "train.epochs=1", "train.validation_folds=2", "train.batch_size=32",
)  # fmt: skip


@pytest.fixture(scope="module")
def paper() -> Config:
    return resolve_settings("paper-awa2").config


@pytest.mark.parametrize("preset", ["paper-awa2", "paper-cub", "paper-sun"])
def test_the_ladder_begins_at_the_preset_and_ends_at_the_defaults(preset: str):
    base = resolve_settings(preset).config
    ladder = rungs(base)
    assert ladder[0] == (STEPS[0].name, base)
    assert ladder[-1] == (STEPS[-1].name, Config())
    assert [name for name, _ in ladder] == [step.name for step in STEPS]  # no step is without effect


def test_a_step_changes_what_it_says_and_nothing_else(paper: Config):
    before = paper.to_dict()
    for step, (_, config) in zip(STEPS[1:], rungs(paper)[1:], strict=True):
        now, touched = config.to_dict(), {*step.defaults, *step.changes}
        for section, entries in now.items():
            for key, value in entries.items():
                if section not in touched and f"{section}.{key}" not in touched:
                    assert value == before[section][key]
        before = now


def test_what_set_gives_holds_on_every_rung(paper: Config):
    assert {config.train.epochs for _, config in rungs(paper, ["train.epochs=3"])} == {3}


def test_rungs_that_set_makes_alike_are_climbed_once(paper: Config):
    names = [name for name, _ in rungs(paper, ["precondition.unit_length=true"])]
    assert "+ descriptions of one length" not in names and len(names) == len(STEPS) - 1


@pytest.mark.parametrize(("name", "preset"), [("cub", "paper-cub"), ("SUN", "paper-sun"), ("mine", "paper-awa2")])
def test_the_paper_s_settings_for_a_data_set(make_toy, name: str, preset: str):
    assert paper_preset(dataclasses.replace(make_toy(), name=name)) == preset


def test_without_the_test_photos_every_rung_and_baseline_has_validated_figures(make_toy, paper: Config, tmp_path: Path):
    dataset = make_toy()
    features = dataset.features.copy()
    features[np.concatenate([dataset.split.test_seen, dataset.split.test_unseen])] = np.nan
    blind, told = dataclasses.replace(dataset, features=features), []
    rows = study_ladder(
        blind, paper, (0,), assignments=SMALL, beside=("ridge", "linear-probe"), device="cpu",
        on_row=lambda rows: told.append(len(rows)),
    )  # fmt: skip
    assert [row.name for row in rows] == [*(name for name, _ in rungs(paper, SMALL)), "ridge", "linear-probe"]
    assert told == list(range(1, len(rows) + 1))
    assert all(run.test is None for row in rows for run in row.runs)
    assert all(row_figures(row, "validation")["H"]["mean"] is not None for row in rows[:-1])
    assert rows[0].overrides["train.epochs"] == 1  # what --set changed of the preset
    assert rows[-2].overrides == {}
    write_ladder(tmp_path, describe_ladder(rows, blind, paper, test=False))
    read = json.loads((tmp_path / "ladder.json").read_text("utf-8"))
    assert [row["name"] for row in read["rows"]] == [row.name for row in rows]
    assert Config.from_dict(read["config"]) == paper
    assert set(read["rows"][0]) == {"name", "overrides", "validation", "runs"}


def test_with_the_test_a_rung_is_what_the_comparison_finds_for_its_settings(make_toy, paper: Config):
    quick = [*SMALL, "inference.steps=1", "inference.sampler=ddim"]
    rows = study_ladder(make_toy(), paper, (1,), assignments=quick, beside=("eszsl",), test=True, device="cpu")
    ladder = rungs(paper, quick)
    for row, (method, config) in ((rows[2], ("revcd", ladder[2][1])), (rows[-1], ("eszsl", ladder[-1][1]))):
        (expected,) = compare_methods(make_toy(), config, (1,), (method,), device="cpu")
        assert row.runs[0].test == expected.test
        assert row_figures(row, "test")["S"] == {"mean": expected.test["S"], "std": None}
        assert list(row_figures(row, "plain")) == list(FIGURES)


def test_a_ladder_without_validation_needs_the_test(make_toy, paper: Config):
    with pytest.raises(UsageError, match="nothing to validate"):
        study_ladder(make_toy(), paper, (0,), assignments=["train.validation_classes=0"])
