"""Table 2: methods are compared on equal terms, and test photos count in the report alone."""

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
from typer.testing import CliRunner

from revcd_cli.cli.app import app
from revcd_cli.config import Config
from revcd_cli.core.trainer import Trainer, TrainingRows
from revcd_cli.errors import UsageError
from revcd_cli.pipeline import train as train_module
from revcd_cli.pipeline.compare import (
    FIGURES,
    METHODS,
    MethodResult,
    check_comparison_folder,
    compare_methods,
    describe_comparison,
    fit_method,
    summarise,
    write_comparison,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def config(small_config) -> Config:
    return small_config(train={"epochs": 2, "evaluate_every": 1, "batch_size": 32}, inference={"samples": 4})


@pytest.fixture(scope="module")
def results(make_toy, config: Config) -> list[MethodResult]:
    return compare_methods(make_toy(), config, (0, 1), METHODS, device="cpu")


def result(method: str, seed: int, *figures: float | None) -> MethodResult:
    test = dict(zip(FIGURES, figures, strict=True))
    return MethodResult(method=method, rule="cosine", seed=seed, epochs=1, gamma=0.0, validation={}, test=test)


def test_all_methods_are_trained_on_the_same_rows_and_validated_on_the_same_fold(
    make_toy, config: Config, monkeypatch: pytest.MonkeyPatch
):
    seen: dict[str, list[Any]] = {}
    of_method: list[Any] = []
    draw_fold, build = train_module.validation_fold, Trainer.__init__

    def fold(*args: Any, **options: Any):
        drawn = draw_fold(*args, **options)
        of_method.append([part.tolist() for _, part in drawn.parts()])
        return drawn

    def trainer(self: Trainer, model: torch.nn.Module, rows: TrainingRows) -> None:
        if not of_method or of_method[-1] is not rows:
            of_method.append(rows)
        build(self, model, rows)

    monkeypatch.setattr(train_module, "validation_fold", fold)
    monkeypatch.setattr(Trainer, "__init__", trainer)
    for method in METHODS:
        of_method = []
        fit_method(make_toy(), config, method, 0, CPU)
        seen[method] = of_method

    fold_of_revcd, validation, final = seen["revcd"]
    assert len(validation) < len(final) == len(make_toy().split.trainval)
    for other in METHODS[1:]:
        assert len(seen[other]) == 3
        assert seen[other][0] == fold_of_revcd
        for rows, expected in zip(seen[other][1:], (validation, final), strict=True):
            assert all(
                torch.equal(getattr(rows, field.name), getattr(expected, field.name))
                for field in dataclasses.fields(rows)
            )


@pytest.mark.parametrize("method", METHODS)
def test_test_photos_make_no_difference_before_the_report(make_toy, config: Config, method: str):
    dataset = make_toy()
    rows = np.concatenate([dataset.split.test_seen, dataset.split.test_unseen])
    features = dataset.features.copy()
    features[rows] = np.nan
    blinded = dataclasses.replace(dataset, features=features)

    plain, blind = (fit_method(each, config, method, 0, CPU) for each in (dataset, blinded))

    assert (plain.epochs, plain.gamma, plain.validation) == (blind.epochs, blind.gamma, blind.validation)
    assert all(torch.equal(value, blind.model.state_dict()[name]) for name, value in plain.model.state_dict().items())


def test_the_table_follows_from_the_seed(make_toy, config: Config, results: list[MethodResult]):
    torch.manual_seed(99)
    again = compare_methods(make_toy(), config, (1,), METHODS, device="cpu")

    assert again == [each for each in results if each.seed == 1]
    assert again != [dataclasses.replace(each, seed=1) for each in results if each.seed == 0]


def test_training_leaves_the_callers_randomness_alone(make_toy, config: Config):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    fit_method(make_toy(), config, "gan", 0, CPU)
    assert torch.equal(torch.rand(3), expected)


def test_every_method_and_seed_has_its_figures_and_all_but_evidence_the_cosine_rule(results: list[MethodResult]):
    assert [(each.method, each.seed) for each in results] == [(method, seed) for method in METHODS for seed in (0, 1)]
    for each in results:
        assert each.rule == ("evidence" if each.method == "revcd-evidence" else "cosine")
        assert 1 <= each.epochs <= 2
        s, u, h, t1 = (each.test[name] for name in FIGURES)
        assert all(0 <= value <= 1 for value in (s, u, h, t1))
        assert h == pytest.approx(2 * s * u / (s + u) if s + u else 0)


@pytest.mark.parametrize("method", ["revcd", "cvae", "gan"])
def test_every_method_learns_classes_it_has_photos_of(make_toy, small_config, method: str):
    settings = small_config(train={"epochs": 8, "evaluate_every": 8, "calibrate": False}, inference={"samples": 8})
    (outcome,) = compare_methods(make_toy(10, 3), settings, (0,), (method,), device="cpu")
    assert outcome.test["S"] > 0.4  # chance is 1/13


def test_mean_and_spread_are_over_the_seeds_of_a_method():
    summary = summarise([result("a", 0, 0.5, 0.1, 0.2, 0.3), result("b", 0, 1, 1, 1, 1), result("a", 1, 0.7, 0, 0, 0)])
    assert list(summary) == ["a", "b"]
    assert summary["a"]["S"].mean == pytest.approx(0.6)
    assert summary["a"]["S"].std == pytest.approx(statistics.stdev([0.5, 0.7]))
    assert summary["b"]["U"].mean == 1 and summary["b"]["U"].std is None


def test_a_figure_that_a_seed_does_not_have_has_no_mean():
    summary = summarise([result("a", 0, 0.5, None, None, None), result("a", 1, 0.5, 0.1, 0.2, 0.3)])
    assert summary["a"]["U"].mean is None and summary["a"]["S"].mean == 0.5


@pytest.mark.parametrize("methods", [("revcd", "vae"), ("gan", "gan")])
def test_methods_that_cannot_be_meant_are_refused(make_toy, config: Config, methods: tuple[str, ...]):
    with pytest.raises(UsageError):
        compare_methods(make_toy(), config, (0,), methods)


def test_a_written_comparison_holds_what_was_measured(
    make_toy, config: Config, results: list[MethodResult], tmp_path: Path
):
    document = describe_comparison(results, make_toy(), config)
    write_comparison(tmp_path, document)

    assert json.loads((tmp_path / "comparison.json").read_text()) == json.loads(json.dumps(document))
    rows = list(csv.DictReader((tmp_path / "comparison.csv").read_text().splitlines()))
    assert [(row["method"], int(row["seed"]), float(row["H"])) for row in rows] == [
        (each.method, each.seed, each.test["H"]) for each in results
    ]
    assert Config.from_dict(document["config"]) == config
    check_comparison_folder(tmp_path, overwrite=True)
    with pytest.raises(UsageError):
        check_comparison_folder(tmp_path, overwrite=False)


def test_the_note_says_how_revcd_was_sampled(make_toy, small_config):
    one, many = (
        describe_comparison([], make_toy(), small_config(inference={"steps": steps}))["note"] for steps in (1, 20)
    )
    assert "posterior mean" in one and "20 steps" in many


@pytest.mark.parametrize(
    "arguments",
    [
        ["--method", "cvae", "--model", "m.safetensors"],
        ["--method", "cvae", "--rule", "cosine"],
        ["--method", "cvae", "--per-class"],
        ["--set", "train.epochs=2"],
    ],
)
def test_options_that_do_not_go_together_are_refused_before_anything_is_read(arguments: list[str], tmp_path: Path):
    outcome = CliRunner().invoke(app, ["evaluate", "--dataset", str(tmp_path / "none"), *arguments])
    assert outcome.exit_code == 2
    assert "--method" in outcome.output  # not that the folder is missing


def test_no_figure_of_the_document_is_nan(make_toy, config: Config, results: list[MethodResult]):
    document = describe_comparison(results, make_toy(), config)
    values = [spread["mean"] for figures in document["methods"].values() for spread in figures.values()]
    assert values and all(math.isfinite(value) for value in values)
