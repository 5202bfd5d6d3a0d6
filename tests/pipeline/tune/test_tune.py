"""The search for settings: it repeats itself, can be gone on with, reads no test photo, and keeps its budget."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
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
from revcd_cli.pipeline.settings import flat, resolve_settings
from revcd_cli.pipeline.train.train import train
from revcd_cli.pipeline.tune.search_space import (
    TRAINED,
    Choice,
    LogUniform,
    draw_settings,
    scored_settings,
    scored_variants,
    with_settings,
)
from revcd_cli.pipeline.tune.tune import RUNGS, TrialResult, TuneSummary, promoted, tune
from tests.makers.toy import without_features

TRIALS = 5


@pytest.fixture(scope="module", autouse=True)
def small_space():
    """A space whose trials are as quick as the data set is small."""
    small = {
        "precondition.kind": Choice(("standardise", "whiten")),
        "denoiser.width": Choice((16, 32)),
        "train.epochs": Choice((1, 2, 3)),
        "train.learning_rate": LogUniform(1e-3, 1e-1),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(space_module, "TRAINED", small)
        yield


@pytest.fixture(scope="module")
def config(small_config) -> Config:
    return small_config(
        precondition={"kind": "standardise"},
        prototypes={"components": 0},
        train={"epochs": 2},
        inference={"samples": 2},
    )


@pytest.fixture(scope="module")
def searched(make_toy, config, tmp_path_factory: pytest.TempPathFactory) -> TuneSummary:
    """A search from its beginning to its end."""
    output = tmp_path_factory.mktemp("tune") / "tuned.toml"
    return tune(make_toy(), config, output, trials=TRIALS, device="cpu")


def timeless(results: tuple[TrialResult, ...]) -> list[TrialResult]:
    return [dataclasses.replace(result, seconds=0) for result in results]


def read_record(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_same_seed_makes_the_same_search_and_another_one_other_trials(searched, make_toy, config, tmp_path: Path):
    again = tune(make_toy(), config, tmp_path / "tuned.toml", trials=TRIALS, device="cpu")
    assert timeless(again.results) == timeless(searched.results)
    assert again.output.read_bytes() == searched.output.read_bytes()
    one, other = ([draw_settings(config, trial, seed) for trial in range(1, 9)] for seed in (0, 1))
    assert one != other
    assert len({json.dumps(settings) for settings in one}) > 4


@pytest.mark.parametrize("stop", [1, 3, TRIALS + 1])
def test_a_search_that_was_interrupted_goes_on_to_the_same_end(stop: int, searched, make_toy, config, tmp_path: Path):
    told: list[TrialResult] = []

    def interrupt(result: TrialResult) -> None:
        told.append(result)
        if len(told) == stop:
            raise KeyboardInterrupt

    output, notes = tmp_path / "tuned.toml", []
    with pytest.raises(KeyboardInterrupt):
        tune(make_toy(), config, output, trials=TRIALS, device="cpu", on_trial=interrupt)
    assert not output.exists()
    resumed = tune(
        make_toy(), config, output, trials=TRIALS, device="cpu", resume=True, on_trial=told.append, on_note=notes.append
    )
    assert len(notes) == 1 and f"Going on after {stop} trials" in notes[0]
    assert len(told) == len(searched.results)  # none was made twice
    assert timeless(resumed.results) == timeless(searched.results)
    assert output.read_bytes() == searched.output.read_bytes()


def test_more_trials_join_those_that_were_made(searched, make_toy, config, tmp_path: Path):
    output, told = tmp_path / "tuned.toml", []
    tune(make_toy(), config, output, trials=2, device="cpu")
    more = tune(make_toy(), config, output, trials=TRIALS, device="cpu", resume=True, on_trial=told.append)
    first = {(result.trial, result.rung): result for result in timeless(more.results)}
    for result in timeless(searched.results):
        assert first[result.trial, result.rung] == result
    assert not {(result.trial, result.rung) for result in told} & {(0, rung) for rung in range(3)}


def test_the_starting_point_is_on_every_rung_and_the_best_is_never_worse(searched):
    for rung in range(len(RUNGS)):
        (start,) = (result for result in searched.results if (result.trial, result.rung) == (0, rung))
        assert not {name for name in start.settings if not name.startswith("inference.")}
        assert not start.settings or rung == len(RUNGS) - 1  # other ways to score are tried there alone
    assert searched.start.rung == searched.best.rung == len(RUNGS) - 1
    assert searched.best.merit >= searched.start.merit
    assert searched.complete


def test_each_rung_has_the_best_of_the_one_below_with_more_folds_or_epochs(searched):
    of_rung = [[result for result in searched.results if result.rung == rung] for rung in range(len(RUNGS))]
    assert [result.trial for result in of_rung[0]] == list(range(TRIALS))
    for below, above in itertools.pairwise(of_rung):
        assert {result.trial for result in above} == set(promoted(below))
        assert len(above) < len(below) or len(below) <= 2
        for result in above:
            (before,) = (other for other in below if other.trial == result.trial)
            assert (result.folds, result.epochs) >= (before.folds, before.epochs)
    assert {result.folds for result in of_rung[-1]} == {2}  # all of them


def result_of(trial: int, h: float | None) -> TrialResult:
    figures = {"figures": {"H": h}} if h is not None else {"error": "The loss became nan."}
    return TrialResult(trial=trial, rung=0, folds=1, epochs=1, settings={}, seed=0, seconds=1, **figures)


@pytest.mark.parametrize(
    ("merits", "kept"),
    [
        ([0.5, 0.1, 0.9, 0.3], [0, 2]),
        ([0.5, 0.9, 0.9, 0.3], [0, 1]),  # the earlier of equals
        ([0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0, 6, 5]),
        ([0.5], [0]),
        ([0.5, None, None], [0]),
        ([None, 0.2], [0, 1]),
    ],
)
def test_a_third_of_the_others_goes_on_and_the_starting_point_always(merits: list[float | None], kept: list[int]):
    assert promoted([result_of(trial, h) for trial, h in enumerate(merits)]) == kept


@pytest.mark.parametrize("value", [np.nan, 0.0], ids=str)
def test_test_photos_make_no_difference(value: float, searched, make_toy, config, tmp_path: Path):
    dataset = make_toy()
    features = dataset.features.copy()
    features[np.concatenate([dataset.split.test_seen, dataset.split.test_unseen])] = value
    blind = dataclasses.replace(dataset, features=features)
    found = tune(blind, config, tmp_path / "tuned.toml", trials=TRIALS, device="cpu")
    assert timeless(found.results) == timeless(searched.results)
    assert found.output.read_bytes() == searched.output.read_bytes()


def test_the_descriptions_of_unseen_classes_make_no_difference(searched, make_toy, config, tmp_path: Path):
    dataset = make_toy()
    values = dataset.classes.values.copy()
    values[list(dataset.unseen)] = 9
    changed = dataclasses.replace(dataset, classes=dataclasses.replace(dataset.classes, values=values))
    found = tune(changed, config, tmp_path / "tuned.toml", trials=TRIALS, device="cpu")
    assert timeless(found.results) == timeless(searched.results)


def test_the_figures_of_the_last_rung_are_those_that_training_with_these_settings_finds(
    searched, make_toy, tmp_path: Path
):
    """Training validates at other epochs too; with the last one alone it must agree."""
    config = resolve_settings(searched.output).config
    assert config == searched.config
    last = dataclasses.replace(config, train=dataclasses.replace(config.train, evaluate_every=config.train.epochs))
    summary = train(make_toy(), last, tmp_path / "m.safetensors", device="cpu")
    figures = {name: summary.validation[name] for name in searched.best.figures}
    assert figures["H"] == searched.best.merit
    assert figures == searched.best.figures
    assert summary.rule == searched.best.rule


def test_the_settings_say_where_they_come_from(searched):
    text = searched.output.read_text(encoding="utf-8")
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert f"trial {searched.best.trial}." in comments[0] and '"toy"' in comments[0]
    assert f"H {100 * searched.best.merit:.1f}" in comments[1] and f"H {100 * searched.start.merit:.1f}" in comments[1]


def test_the_record_holds_every_trial_with_all_that_it_is_made_of(searched):
    header, *lines = read_record(searched.record)
    assert header["search"]["seed"] == 0 and header["search"]["config"]["train"]["epochs"] == 2
    assert len(lines) == len(searched.results)
    for line in lines:
        assert line["merit"] == line["figures"]["H"]
        assert line["seconds"] > 0 and line["seed"] == 0 and line["rule"]
        assert {"trial", "rung", "folds", "epochs", "settings", "figures", "error"} <= line.keys()
    assert [line["rung"] for line in lines] == sorted(line["rung"] for line in lines)


class Clock:
    """A time that passes by one second whenever it is asked for."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


@pytest.mark.parametrize("budget", [0.5, 20.0, 60.0])
def test_the_budget_ends_the_search_with_what_is_known_by_then(
    budget: float, make_toy, config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    clock = Clock()
    for module in (tune_module, trial_module):
        monkeypatch.setattr(module, "time", clock)
    summary = tune(make_toy(), config, tmp_path / "tuned.toml", trials=200, budget=budget, device="cpu")
    assert not summary.complete
    first = summary.results[0].seconds if summary.results[0].trial == 0 else 0
    assert summary.seconds <= max(budget, first) + 5  # the trial that was under way, between two looks at the clock
    assert summary.start in summary.results and summary.best.merit >= summary.start.merit
    assert summary.output.exists()
    if budget > 50:
        assert summary.best.rung == len(RUNGS) - 1  # time was left for the later rungs


def test_a_larger_budget_goes_on_where_the_smaller_one_ended(make_toy, config, tmp_path: Path):
    output = tmp_path / "tuned.toml"
    few = tune(make_toy(), config, output, trials=3, budget=1e-6, device="cpu")
    assert [(result.trial, result.rung) for result in few.results] == [(0, 0)] and not few.complete
    more = tune(make_toy(), config, output, trials=3, device="cpu", resume=True)
    whole = tune(make_toy(), config, tmp_path / "whole.toml", trials=3, device="cpu")
    assert timeless(more.results) == timeless(whole.results) and more.complete
    assert more.seconds == pytest.approx(sum(result.seconds for result in more.results))


def test_a_trial_that_diverges_loses_and_says_why(make_toy, config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    bad = dict.fromkeys(["train.learning_rate"], Choice((1.0,))) | {"train.gradient_clip": Choice((1e30,))}
    bad |= {"loss.rec_weight": Choice((1e39,))}
    monkeypatch.setattr(space_module, "TRAINED", bad)
    monkeypatch.setattr(space_module, "KEEP", 0.0)
    summary = tune(make_toy(), config, tmp_path / "tuned.toml", trials=2, device="cpu")
    (lost,) = (result for result in summary.results if result.trial == 1)
    assert lost.error.startswith("The loss became") and lost.merit == -1
    assert summary.best.trial == 0
    assert timeless(tune(make_toy(), config, tmp_path / "tuned.toml", trials=2, resume=True).results) == timeless(
        summary.results
    )


def test_an_earlier_search_is_neither_lost_nor_mixed(searched, make_toy, config, small_config, tmp_path: Path):
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
def test_a_record_that_is_none_is_refused_by_line(damage: str, make_toy, config, tmp_path: Path):
    (tmp_path / "tuned.jsonl").write_text(damage)
    with pytest.raises(InputFileError, match="is not the record of a search"):
        tune(make_toy(), config, tmp_path / "tuned.toml", trials=1, device="cpu", resume=True)


def test_what_cannot_be_searched_is_refused_before_any_trial(make_toy, config, small_config, tmp_path: Path):
    def never(result: TrialResult) -> None:
        raise AssertionError("a trial was made")

    for dataset, settings, name, says in (
        (make_toy(2, 1), config, "a.toml", "nothing to validate on"),
        (make_toy(), small_config(train={"validation_classes": 0.0}), "a.toml", "nothing to validate on"),
        (without_features(make_toy()), config, "a.toml", "no features"),
        (make_toy(), config, "a.json", "settings are TOML"),
    ):
        with pytest.raises(UsageError, match=says):
            tune(dataset, settings, tmp_path / name, on_trial=never)
    assert not list(tmp_path.iterdir())


def test_every_value_of_the_space_is_a_valid_setting_and_names_one_that_exists():
    start = dict(flat(Config().to_dict()))
    generator = random.Random(0)
    for name, dimension in TRAINED.items():
        values = dimension.values if isinstance(dimension, Choice) else [dimension.draw(generator) for _ in range(50)]
        for value in values:
            assert dict(flat(with_settings(Config(), {name: value}).to_dict())) == start | {name: value}
            if isinstance(dimension, LogUniform):
                assert dimension.low * 0.99 <= value <= dimension.high * 1.01
    assert len(TRAINED) >= 10


def test_trial_0_changes_nothing_and_the_others_about_half(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(space_module, "TRAINED", TRAINED)
    base = Config()
    assert draw_settings(base, 0, 0) == {}
    drawn = [draw_settings(base, trial, 0) for trial in range(1, 201)]
    changed = sum(map(len, drawn)) / (200 * len(TRAINED))
    assert 0.25 < changed < 0.5  # half of the draws are kept, and some of the others are the starting value again
    assert {name for settings in drawn for name in settings} == set(TRAINED)
    assert all("encoder.tokens" not in draw_settings(base, trial, 0, spatial=True) for trial in range(50))


def test_the_ways_to_score_begin_with_the_models_own_and_differ_from_one_another():
    base = Config.from_dict({"inference": {"band_low": 0.2, "guidance_scale": 3.0}}).inference
    variants = scored_variants(base)
    assert variants[0] == base and len(set(variants)) == len(variants)
    bands = {(variant.band_low, variant.band_high) for variant in variants}
    assert bands == {(0.2, 0.7), *space_module.BANDS}
    assert {(variant.guidance_scale, variant.samples) for variant in variants} == {(3.0, 16), *space_module.GUIDED}
    slow = dataclasses.replace(base, sampler="ddpm")
    assert {(variant.guidance_scale, variant.samples) for variant in scored_variants(slow)} == {(3.0, 16)}


def test_what_a_way_to_score_changes_is_what_its_rule_reads():
    base = Config().inference
    other = dataclasses.replace(base, band_low=0.4, guidance_scale=2.5)
    assert scored_settings(other, base, "evidence") == {"inference.band_low": 0.4}
    assert scored_settings(other, base, "cosine") == {"inference.guidance_scale": 2.5}
    assert scored_settings(base, base, "joint") == scored_settings(other, base, "prototype") == {}
