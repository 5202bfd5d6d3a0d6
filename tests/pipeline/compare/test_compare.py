"""Comparisons treat all methods alike, and test photos affect test metrics only."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import revcd_cli.pipeline.compare.baselines as baselines_module
import revcd_cli.pipeline.train.run as training_module
from revcd_cli.config import RULES, Config
from revcd_cli.core.trainer import RowSource, Trainer, TrainingRows
from revcd_cli.data.datasets.dataset import Dataset
from revcd_cli.errors import UsageError
from revcd_cli.metrics.summary import KEPT, METRIC_NAMES, mean_and_std
from revcd_cli.pipeline.compare.baselines import BASELINES, Baseline, pooled_rows
from revcd_cli.pipeline.compare.compare import (
    DEFAULT_METHODS,
    METHODS,
    MethodResult,
    compare_methods,
    fit_method,
    is_seeded,
)
from revcd_cli.pipeline.evaluate.evaluate import tested_classes as classes_with_photos
from revcd_cli.reports.comparison.report import describe_comparison, summarise, write_comparison
from revcd_cli.reports.comparison.uncertainty import differences_from

CPU = torch.device("cpu")
SINGLE = ("revcd-cosine", "cvae", "gan")
TRAINED = ("revcd", *SINGLE, *(f"{name}+simulated" for name in SINGLE))


@pytest.fixture(scope="module", autouse=True)
def small_grids():
    """Use a few settings of each grid; these tests do not depend on which of them validation chooses."""
    with pytest.MonkeyPatch.context() as patch:
        for name, baseline in BASELINES.items():
            step = max(1, len(baseline.grid) // 3)
            small = {"width": 16, "epochs": 2}
            grid = tuple(
                setting | {key: value for key, value in small.items() if key in setting} for setting in baseline.grid
            )
            patch.setitem(BASELINES, name, dataclasses.replace(baseline, grid=grid[::step]))
        yield


@pytest.fixture(scope="module")
def config(small_config) -> Config:
    train = {"epochs": 2, "evaluate_every": 1, "batch_size": 32, "validation_folds": 2}
    return small_config(train=train, inference={"samples": 4})


@pytest.fixture(scope="module")
def results(make_toy, config: Config) -> list[MethodResult]:
    return compare_methods(make_toy(), config, (0, 1), METHODS, device="cpu")


def result(method: str, seed: int, *figures: float | None) -> MethodResult:
    test = dict(zip(METRIC_NAMES, figures, strict=True))
    return MethodResult(
        method=method, seed=seed, settings={}, gamma=0.0, validation={}, test=test, plain=test,
        candidates={"seen": 1, "unseen": 1}, seconds=0.0,
    )  # fmt: skip


def without_seconds(results: list[MethodResult]) -> list[MethodResult]:
    return [dataclasses.replace(each, seconds=0.0) for each in results]


def blinded(dataset: Dataset) -> Dataset:
    features = dataset.features.copy()
    features[np.concatenate([dataset.split.test_seen, dataset.split.test_unseen])] = np.nan
    return dataclasses.replace(dataset, features=features)


@pytest.mark.slow
def test_all_methods_are_validated_on_the_same_folds_and_trained_on_the_same_rows(
    make_toy, config: Config, monkeypatch: pytest.MonkeyPatch
):
    dataset, parts = make_toy(), []
    drawn: list[list[list[int]]] = []
    draw = training_module.draw_folds

    def folds(*args: Any):
        found = draw(*args)
        drawn.append([part.tolist() for fold in found for _, part in fold.parts()])
        return found

    monkeypatch.setattr(training_module, "draw_folds", folds)
    monkeypatch.setattr(baselines_module, "draw_folds", folds)
    build = Trainer.__init__

    def trainer(self: Trainer, model: torch.nn.Module, rows: TrainingRows, *source: RowSource | None) -> None:
        if not parts or parts[-1] is not rows:  # members of an ensemble share their rows
            parts.append(rows)
        build(self, model, rows, *source)

    monkeypatch.setattr(Trainer, "__init__", trainer)
    for method in METHODS:
        fit_method(dataset, config, method, 0, CPU)
    assert len(drawn) == len(METHODS) and all(each == drawn[0] for each in drawn)
    splits = [*draw(dataset, config.train, 0), dataset.split]
    expected = [pooled_rows(dataset, split, 0) for split in splits]
    assert [len(rows) for rows in expected] == [len(split.trainval) for split in splits]
    for rows, ours in zip(parts, expected * len(TRAINED), strict=True):
        assert all(torch.equal(getattr(rows, f.name), getattr(ours, f.name)) for f in dataclasses.fields(rows))


@pytest.mark.parametrize("method", METHODS)
def test_fitting_reads_no_test_photos(make_toy, config: Config, method: str):
    plain, blind = (fit_method(each, config, method, 0, CPU) for each in (make_toy(), blinded(make_toy())))
    assert (plain.settings, plain.gamma, plain.validation) == (blind.settings, blind.gamma, blind.validation)
    if method in TRAINED:
        weights = blind.model.state_dict()
        assert all(torch.equal(value, weights[name]) for name, value in plain.model.state_dict().items())


@pytest.mark.parametrize("method", [name for name in BASELINES if name != "prototype-oracle"])
def test_the_scores_of_a_test_photo_do_not_depend_on_other_test_photos(make_toy, config: Config, method: str):
    dataset = make_toy()
    row = dataset.split.test_seen[0]
    alone = blinded(dataset)
    alone.features[row] = dataset.features[row]
    whole, single = (
        fit_method(each, config, method, 0, CPU).scores(classes_with_photos(each)).scores_seen[0]
        for each in (dataset, alone)
    )
    torch.testing.assert_close(whole, single)


def test_equal_seeds_give_equal_results(make_toy, config: Config, results: list[MethodResult]):
    torch.manual_seed(99)
    again = compare_methods(make_toy(), config, (1,), TRAINED, device="cpu")
    expected = [each for each in results if each.seed == 1 and each.method in TRAINED]
    assert without_seconds(again) == without_seconds(expected)
    first = without_seconds([dataclasses.replace(each, seed=1) for each in results if each.seed == 0])
    assert without_seconds(again) != [each for each in first if each.method in TRAINED]


def test_training_does_not_change_the_random_state_of_the_caller(make_toy, config: Config):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    for method in ("gan", "class-norm"):
        fit_method(make_toy(), config, method, 0, CPU)
    assert torch.equal(torch.rand(3), expected)


def test_methods_that_depend_on_no_seed_run_once(results: list[MethodResult]):
    for method in METHODS:
        seeds = [each.seed for each in results if each.method == method]
        assert seeds == ([0, 1] if is_seeded(method) else [None])
    simulated = {method for method in METHODS if method.endswith("+simulated")}
    assert len(simulated) == 10 and set(DEFAULT_METHODS) == set(METHODS) - {"revcd-cosine"} - simulated


def test_every_method_has_all_metrics(results: list[MethodResult]):
    for each in results:
        if each.method == "linear-probe":
            assert each.test["S"] is not None and each.test["U"] is None and each.candidates["unseen"] == 0
            continue
        assert each.candidates == {"seen": 6, "unseen": 2}
        for figures in (each.test, each.plain):
            s, u, h, t1, area = (figures[name] for name in METRIC_NAMES)
            assert all(0 <= value <= 1 + 1e-9 for value in (s, u, t1, area))
            assert h == pytest.approx(2 * s * u / (s + u) if s + u else 0)
        # T1 and AUSUC do not depend on the penalty.
        assert (each.test["T1"], each.test["AUSUC"]) == (each.plain["T1"], each.plain["AUSUC"])
        assert set(each.validation) == {*METRIC_NAMES, KEPT}
    rules = {each.method: each.settings["rule"] for each in results if each.method in TRAINED}
    assert rules["revcd"] in RULES
    assert {rules[name] for name in TRAINED[1:]} == {"cosine"}


@pytest.mark.slow
def test_no_method_exceeds_the_bounds(make_toy, small_config):
    dataset, config = make_toy(10, 4), small_config(train={"epochs": 6, "evaluate_every": 6})
    figures = {each.method: each.test for each in compare_methods(dataset, config, (0,), DEFAULT_METHODS, device="cpu")}
    alone = figures.pop("linear-probe")["S"]
    oracle = figures.pop("prototype-oracle")["T1"]
    assert alone >= max(each["S"] for each in figures.values())
    assert oracle >= max(each["T1"] for each in figures.values())


def test_more_candidates_raise_no_metric_and_leave_those_of_the_oracle(make_toy, config: Config):
    dataset = make_toy()
    kept = dataset.split.test_unseen[dataset.labels[dataset.split.test_unseen] == dataset.unseen[0]]
    fewer = dataclasses.replace(dataset, split=dataclasses.replace(dataset.split, test_unseen=kept))
    methods = ("ridge", "prototype-oracle")
    field, whole = (
        compare_methods(fewer, config, (0,), methods, device="cpu", whole_table=each) for each in (False, True)
    )
    assert [each[0].candidates for each in (field, whole)] == [{"seen": 6, "unseen": 1}, {"seen": 6, "unseen": 2}]
    assert all(whole[0].plain[name] <= field[0].plain[name] for name in ("S", "U", "T1"))
    assert whole[1].test == field[1].test


def test_without_folds_the_first_setting_and_no_penalty_are_used(make_toy, small_config):
    config = small_config(train={"validation_classes": 0.0})
    for method in BASELINES:
        fitted = fit_method(make_toy(), config, method, 0, CPU)
        assert (fitted.settings, fitted.gamma, fitted.validation) == (BASELINES[method].grid[0], 0.0, {})


def test_spatial_tokens_enter_a_baseline_as_their_mean(make_toy):
    dataset = make_toy()
    spatial = dataclasses.replace(dataset, backbone=dataclasses.replace(dataset.backbone, tokens=4))
    rows = pooled_rows(spatial, spatial.split, 0).features
    expected = dataset.features[dataset.split.trainval].reshape(-1, 4, 6).mean(1)
    np.testing.assert_allclose(rows.numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["revcd", *SINGLE, "cvae+simulated"])
def test_every_trained_method_learns_its_training_classes(make_toy, small_config, method: str):
    epochs = 16 if method.endswith("+simulated") else 8  # half of the rows are photos, so twice as many epochs
    train = {"epochs": epochs, "evaluate_every": epochs, "penalty": "none", "validation_folds": 1}
    (outcome,) = compare_methods(
        make_toy(10, 3), small_config(train=train, inference={"samples": 8}), (0,), (method,), device="cpu"
    )
    assert outcome.test["S"] > 0.4  # chance is 1/13


def test_the_chosen_setting_has_the_best_validation_ausuc(make_toy, config: Config):
    whole: Baseline = BASELINES["eszsl"]
    each = [fit_method_of(make_toy(), config, dataclasses.replace(whole, grid=(setting,))) for setting in whole.grid]
    best = max(each, key=lambda fitted: fitted.validation["AUSUC"])
    assert fit_method_of(make_toy(), config, whole).validation == best.validation


def fit_method_of(dataset: Dataset, config: Config, baseline: Baseline):
    return baselines_module.fit_baseline(dataset, config, baseline, 0)


def test_mean_and_deviation_are_over_the_seeds_of_a_method():
    rows = [result("a", 0, 0.5, 0.1, 0.2, 0.3, 0), result("b", 0, 1, 1, 1, 1, 1), result("a", 1, 0.7, 0, 0, 0, 0)]
    summary = summarise(rows)
    assert list(summary) == ["a", "b"]
    assert summary["a"]["S"].mean == pytest.approx(0.6)
    assert summary["a"]["S"].std == pytest.approx(statistics.stdev([0.5, 0.7]))
    assert summary["b"]["U"].mean == 1 and summary["b"]["U"].std is None
    assert mean_and_std([0.5, None]).mean is None  # a seed without this metric leaves no mean


@pytest.mark.parametrize("methods", [("revcd", "vae"), ("gan", "gan")])
def test_unknown_and_repeated_methods_are_refused(make_toy, config: Config, methods: tuple[str, ...]):
    with pytest.raises(UsageError):
        compare_methods(make_toy(), config, (0,), methods)


def test_a_written_comparison_holds_all_results(make_toy, config: Config, results: list[MethodResult], tmp_path: Path):
    document = describe_comparison(results, make_toy(), config)
    write_comparison(tmp_path, document)

    text = (tmp_path / "comparison.json").read_text()
    assert json.loads(text, parse_constant=lambda word: pytest.fail(word)) == json.loads(json.dumps(document))
    rows = list(csv.DictReader((tmp_path / "comparison.csv").read_text().splitlines()))
    assert [(row["method"], row["seed"], row["test S"]) for row in rows] == [
        (each.method, "" if each.seed is None else str(each.seed), str(each.test["S"])) for each in results
    ]
    assert Config.from_dict(document["config"]) == config
    assert document["dataset"]["split_sha256"] == make_toy().split_sha256
    means = [entry["test"]["S"]["mean"] for entry in document["methods"].values()]
    assert means and all(math.isfinite(value) for value in means)
    assert {name for name, entry in document["methods"].items() if entry["bound"]} == {
        "linear-probe", "prototype-oracle"
    }  # fmt: skip


def test_intervals_hold_the_means_and_differences_are_those_of_the_means(
    make_toy, config: Config, results: list[MethodResult], tmp_path: Path
):
    document = describe_comparison(results, make_toy(), config)
    write_comparison(tmp_path, document)
    methods = document["methods"]
    for entry in methods.values():
        for figure in (*entry["test"].values(), *entry["plain"].values()):
            assert figure["low"] is None or figure["low"] - 1e-9 <= figure["mean"] <= figure["high"] + 1e-9
        assert all(figure["low"] is None for figure in entry["validation"].values())
    assert len(document["differences"]) == len(METHODS) * (len(METHODS) - 1) / 2
    for each in document["differences"]:
        for name, figure in each["metrics"].items():
            own, other = (methods[each[side]]["test"][name]["mean"] for side in ("method", "other"))
            assert figure["mean"] == pytest.approx(own - other)
            assert figure["apart"] == (figure["low"] > 0 or figure["high"] < 0)
        bound = "linear-probe" in (each["method"], each["other"])
        assert list(each["metrics"]) == (["S"] if bound else list(METRIC_NAMES))
    back = differences_from(document, METHODS[1])[METHODS[0]]
    assert back["S"]["mean"] == -document["differences"][0]["metrics"]["S"]["mean"]
    intervals, differences = (
        list(csv.DictReader((tmp_path / name).read_text().splitlines()))
        for name in ("intervals.csv", "differences.csv")
    )
    assert {(row["method"], row["measured"], row["metric"]) for row in intervals} == {
        (method, measured, name)
        for method in METHODS for measured in ("test", "plain", "validation") for name in METRIC_NAMES
    }  # fmt: skip
    assert [float(row["low"]) for row in differences] == [
        figure["low"] for each in document["differences"] for figure in each["metrics"].values()
    ]


def test_each_result_is_reported_at_once(make_toy, config: Config):
    reported: list[list[str]] = []
    compare_methods(
        make_toy(), config, (0,), ("ridge", "conse"), device="cpu",
        on_result=lambda results: reported.append([each.method for each in results]),
    )  # fmt: skip
    assert reported == [["ridge"], ["ridge", "conse"]]


def test_without_test_no_test_photo_is_read(make_toy, config: Config):
    for each in compare_methods(blinded(make_toy()), config, (0,), METHODS, device="cpu", test=False):
        assert each.test is None and each.plain is None and each.validation["S"] is not None


def test_the_note_says_how_revcd_was_sampled(make_toy, small_config):
    one, many = (
        describe_comparison([], make_toy(), small_config(inference={"steps": steps}))["note"] for steps in (1, 20)
    )
    assert "posterior mean" in one and "20 steps" in many
