"""Hyperparameter search: it is repeatable, resumes exactly, reads no test photo, and keeps its budget."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import revcd_cli.pipeline.tune.search_space as space_module
import revcd_cli.pipeline.tune.trial as trial_module
import revcd_cli.pipeline.tune.tune as tune_module
from revcd_cli.config import Config
from revcd_cli.data.datasets.dataset import Dataset
from revcd_cli.errors import InputFileError, UsageError
from revcd_cli.pipeline.settings import resolve_settings
from revcd_cli.pipeline.train.train import train
from revcd_cli.pipeline.tune.record import TrialResult
from revcd_cli.pipeline.tune.search_space import LogRange
from revcd_cli.pipeline.tune.tune import REDUCTION, STAGES, TuneSummary, check_optuna, tune
from tests.makers.toy import without_features

TRIALS = 7
LAST = len(STAGES) - 1


@pytest.fixture(scope="module", autouse=True)
def small_space():
    """A search space with quick trainings, and few random trials, so that TPE proposes some of the trials."""
    small = {
        "precondition.kind": ("standardise", "whiten"),
        "denoiser.width": (16, 32),
        "train.epochs": (1, 2, 3),
        "train.learning_rate": LogRange(1e-3, 1e-1),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(space_module, "TRAINED", small)
        patch.setattr(tune_module, "RANDOM_TRIALS", 3)
        yield


@pytest.fixture(scope="module")
def config(small_config) -> Config:
    return small_config(
        precondition={"kind": "standardise"},
        prototypes={"components": 0},
        simulation={"share": 0.0},
        train={"epochs": 2},
        inference={"samples": 2},
    )


@pytest.fixture(scope="module")
def searched(make_toy, config, tmp_path_factory: pytest.TempPathFactory) -> TuneSummary:
    """A complete search."""
    output = tmp_path_factory.mktemp("tune") / "tuned.toml"
    return tune(make_toy(), config, output, trials=TRIALS, device="cpu")


def without_seconds(results: tuple[TrialResult, ...]) -> list[TrialResult]:
    return [dataclasses.replace(result, seconds=0) for result in results]


def read_record(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_a_seed_repeats_a_search_and_another_seed_tries_other_settings(searched, make_toy, config, tmp_path: Path):
    again = tune(make_toy(), config, tmp_path / "tuned.toml", trials=TRIALS, device="cpu")
    assert without_seconds(again.results) == without_seconds(searched.results)
    assert again.output.read_bytes() == searched.output.read_bytes()
    other = tune(make_toy(), config, tmp_path / "other.toml", trials=TRIALS, seed=1, device="cpu")
    one, two = ({each.trial: each.settings for each in found.results if not each.stage} for found in (searched, other))
    assert one[0] == two[0] == {} and one != two
    assert len({json.dumps(settings) for settings in one.values()}) > TRIALS // 2


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 4, TRIALS + 1])
def test_an_interrupted_search_resumes_to_the_same_result(stop: int, searched, make_toy, config, tmp_path: Path):
    reported: list[TrialResult] = []

    def interrupt(result: TrialResult) -> None:
        reported.append(result)
        if len(reported) == stop:
            raise KeyboardInterrupt

    output, notes = tmp_path / "tuned.toml", []
    with pytest.raises(KeyboardInterrupt):
        tune(make_toy(), config, output, trials=TRIALS, device="cpu", on_trial=interrupt)
    assert not output.exists()
    resumed = tune(
        make_toy(),
        config,
        output,
        trials=TRIALS,
        device="cpu",
        resume=True,
        on_trial=reported.append,
        on_note=notes.append,
    )
    assert len(notes) == 1 and f"Resuming after {stop} results" in notes[0]
    assert len(reported) == len(searched.results)  # none was repeated
    assert without_seconds(resumed.results) == without_seconds(searched.results)
    assert output.read_bytes() == searched.output.read_bytes()


@pytest.mark.slow
def test_a_resumed_search_may_have_more_trials(searched, make_toy, config, tmp_path: Path):
    output, reported = tmp_path / "tuned.toml", []
    tune(make_toy(), config, output, trials=3, device="cpu")
    more = tune(make_toy(), config, output, trials=TRIALS, device="cpu", resume=True, on_trial=reported.append)
    assert without_seconds(more.results) == without_seconds(searched.results)
    assert {result.trial for result in reported} == set(range(3, TRIALS))


def test_the_starting_point_is_in_every_stage_and_the_best_is_never_worse(searched):
    for stage in range(len(STAGES)):
        (start,) = (result for result in searched.results if (result.trial, result.stage) == (0, stage))
        assert not {name for name in start.settings if not name.startswith("inference.")}
        assert not start.settings or stage == LAST  # other inference settings are tried at the last stage alone
    assert searched.start.stage == searched.best.stage == LAST
    assert searched.best.merit >= searched.start.merit
    assert searched.complete


def test_a_trial_reaches_the_next_stage_if_it_is_among_the_best_third_so_far(searched):
    """The rule of asynchronous successive halving, computed from the results alone."""
    merits = {(result.trial, result.stage): result.merit for result in searched.results}
    assert {trial for trial, stage in merits if stage == 0} == set(range(TRIALS))
    for (trial, stage), merit in merits.items():
        if stage == LAST or trial == 0:
            continue
        so_far = sorted((m for (t, s), m in merits.items() if s == stage and t <= trial), reverse=True)
        assert ((trial, stage + 1) in merits) == (merit >= so_far[max(len(so_far) // REDUCTION, 1) - 1])


def test_later_stages_have_more_folds_and_epochs(searched):
    for result in searched.results:
        assert result.folds == max(1, round(STAGES[result.stage].folds * 2))
        earlier = [other for other in searched.results if other.trial == result.trial and other.stage < result.stage]
        assert all((result.folds, result.epochs) >= (other.folds, other.epochs) for other in earlier)
    assert searched.best.folds == 2  # all of them


@pytest.mark.slow
@pytest.mark.parametrize("value", [np.nan, 0.0], ids=str)
def test_the_search_does_not_depend_on_test_photos(value: float, searched, make_toy, config, tmp_path: Path):
    dataset = make_toy()
    features = dataset.features.copy()
    features[np.concatenate([dataset.split.test_seen, dataset.split.test_unseen])] = value
    blind = dataclasses.replace(dataset, features=features)
    found = tune(blind, config, tmp_path / "tuned.toml", trials=TRIALS, device="cpu")
    assert without_seconds(found.results) == without_seconds(searched.results)
    assert found.output.read_bytes() == searched.output.read_bytes()


@pytest.mark.slow
def test_the_search_does_not_depend_on_descriptions_of_unseen_classes(searched, make_toy, config, tmp_path: Path):
    dataset = make_toy()
    values = dataset.classes.values.copy()
    values[list(dataset.unseen)] = 9
    changed = dataclasses.replace(dataset, classes=dataclasses.replace(dataset.classes, values=values))
    found = tune(changed, config, tmp_path / "tuned.toml", trials=TRIALS, device="cpu")
    assert without_seconds(found.results) == without_seconds(searched.results)


def test_the_metrics_of_the_last_stage_are_those_of_a_training_with_these_settings(searched, make_toy, tmp_path: Path):
    """A training validates at other epochs too; restricted to the last epoch, it must agree."""
    config = resolve_settings(searched.output).config
    assert config == searched.config
    last = dataclasses.replace(config, train=dataclasses.replace(config.train, evaluate_every=config.train.epochs))
    summary = train(make_toy(), last, tmp_path / "m.safetensors", device="cpu")
    figures = {name: summary.validation[name] for name in searched.best.figures}
    assert figures["H"] == searched.best.merit
    assert figures == searched.best.figures
    assert summary.rule == searched.best.rule


def test_the_settings_file_says_how_it_was_found(searched):
    text = searched.output.read_text(encoding="utf-8")
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert f"trial {searched.best.trial}." in comments[0] and '"toy"' in comments[0]
    assert f"H {100 * searched.best.merit:.1f}" in comments[1] and f"H {100 * searched.start.merit:.1f}" in comments[1]


def test_the_record_holds_all_results_and_what_determines_them(searched):
    header, *lines = read_record(searched.record)
    assert header["search"]["seed"] == 0 and header["search"]["config"]["train"]["epochs"] == 2
    assert len(lines) == len(searched.results)
    for line in lines:
        assert line["merit"] == line["figures"]["H"]
        assert line["seconds"] > 0 and line["seed"] == 0 and line["rule"]
        assert {"trial", "stage", "folds", "epochs", "settings", "figures", "error"} <= line.keys()
    keys = [(line["trial"], line["stage"]) for line in lines]
    assert keys == sorted(keys)


class Clock:
    """A clock that advances by one second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


@pytest.mark.parametrize("budget", [0.5, 20.0, 60.0])
def test_the_budget_ends_the_search_with_the_best_so_far(
    budget: float, make_toy, config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    clock = Clock()
    for module in (tune_module, trial_module):
        monkeypatch.setattr(module, "time", clock)
    summary = tune(make_toy(), config, tmp_path / "tuned.toml", trials=200, budget=budget, device="cpu")
    assert not summary.complete
    first = summary.results[0].seconds if summary.results[0].trial == 0 else 0
    assert summary.seconds <= max(budget, first) + 5  # the last trial, between two reads of the clock
    assert summary.start in summary.results and summary.best.merit >= summary.start.merit
    assert summary.output.exists()
    if budget > 50:
        assert summary.best.stage == LAST


@pytest.mark.slow
def test_a_larger_budget_continues_a_search(make_toy, config, tmp_path: Path):
    output = tmp_path / "tuned.toml"
    few = tune(make_toy(), config, output, trials=3, budget=1e-6, device="cpu")
    assert [(result.trial, result.stage) for result in few.results] == [(0, 0)] and not few.complete
    more = tune(make_toy(), config, output, trials=3, device="cpu", resume=True)
    whole = tune(make_toy(), config, tmp_path / "whole.toml", trials=3, device="cpu")
    assert without_seconds(more.results) == without_seconds(whole.results) and more.complete
    assert more.seconds == pytest.approx(sum(result.seconds for result in more.results))


def test_a_trial_that_diverges_has_an_error_and_loses(
    make_toy, config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    bad = {"train.learning_rate": (1.0,), "train.gradient_clip": (1e30,), "loss.rec_weight": (1e39,)}
    monkeypatch.setattr(space_module, "TRAINED", bad)
    monkeypatch.setattr(space_module, "KEEP", 0.0)
    summary = tune(make_toy(), config, tmp_path / "tuned.toml", trials=2, device="cpu")
    (lost,) = (result for result in summary.results if result.trial == 1)
    assert lost.error.startswith("The loss became") and lost.merit == -1
    assert summary.best.trial == 0
    assert without_seconds(
        tune(make_toy(), config, tmp_path / "tuned.toml", trials=2, resume=True).results
    ) == without_seconds(summary.results)


def test_an_earlier_search_is_kept_and_never_mixed_with_another(
    searched, make_toy, config, small_config, tmp_path: Path
):
    output = tmp_path / "tuned.toml"
    tune(make_toy(), config, output, trials=1, device="cpu")
    before = output.with_suffix(".jsonl").read_bytes()
    with pytest.raises(UsageError, match="holds an earlier search"):
        tune(make_toy(), config, output, trials=1, device="cpu")
    others: list[tuple[Dataset, Config, int]] = [
        (make_toy(), small_config(train={"epochs": 3}), 0),
        (make_toy(n_seen=5), config, 0),
        (make_toy(), config, 1),
    ]
    for dataset, other, seed in others:
        with pytest.raises(UsageError, match="belongs to another search"):
            tune(dataset, other, output, trials=1, seed=seed, device="cpu", resume=True)
    assert output.with_suffix(".jsonl").read_bytes() == before
    anew = tune(make_toy(), config, output, trials=1, seed=1, device="cpu", overwrite=True)
    assert read_record(anew.record)[0]["search"]["seed"] == 1


@pytest.mark.parametrize("damage", ["", "{}\n", "not JSON\n"])
def test_a_damaged_record_is_refused(damage: str, make_toy, config, tmp_path: Path):
    (tmp_path / "tuned.jsonl").write_text(damage)
    with pytest.raises(InputFileError, match="is not the record of a search"):
        tune(make_toy(), config, tmp_path / "tuned.toml", trials=1, device="cpu", resume=True)


def test_invalid_requests_are_refused_before_any_trial(make_toy, config, small_config, tmp_path: Path):
    def never(result: TrialResult) -> None:
        raise AssertionError("a trial was run")

    for dataset, settings, name, says in (
        (make_toy(2, 1), config, "a.toml", "no validation photos"),
        (make_toy(), small_config(train={"validation_classes": 0.0}), "a.toml", "no validation photos"),
        (without_features(make_toy()), config, "a.toml", "no features"),
        (make_toy(), config, "a.json", "settings are TOML"),
    ):
        with pytest.raises(UsageError, match=says):
            tune(dataset, settings, tmp_path / name, on_trial=never)
    assert not list(tmp_path.iterdir())


def test_a_record_with_other_settings_than_the_search_is_refused(searched, make_toy, config, tmp_path: Path):
    header, *lines = read_record(searched.record)
    lines[-1]["settings"] |= {"denoiser.width": 512}
    text = "".join(json.dumps(line) + "\n" for line in (header, *lines))
    (tmp_path / "tuned.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(InputFileError, match=f"trial {lines[-1]['trial']} has other settings"):
        tune(make_toy(), config, tmp_path / "tuned.toml", trials=TRIALS, device="cpu", resume=True)


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "optuna" else object())
    with pytest.raises(UsageError, match="optuna, which is not installed") as caught:
        check_optuna()
    assert "revcd[tune]" in str(caught.value.hint)
