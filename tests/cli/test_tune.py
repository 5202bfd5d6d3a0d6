"""The command `revcd tune`: its output, its files, and that `revcd train` reads them."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

import revcd_cli.pipeline.tune.search_space as space_module
from revcd_cli.__main__ import main
from revcd_cli.checkpoint.metadata import read_metadata
from revcd_cli.pipeline.settings import resolve_settings
from revcd_cli.pipeline.tune.search_space import TRAINED
from tests.makers.feature_folder import SMALL, data_options


def tune(folder: Path, output: Path, *options: object) -> int:
    return main(["tune", *data_options(folder), "-o", str(output), *SMALL, *map(str, options)])


@pytest.mark.slow
def test_a_search_prints_its_best_trials_and_writes_settings_that_train_reads(
    animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    few = {name: TRAINED[name] for name in ("train.mixup", "loss.cls_weight")}
    monkeypatch.setattr(space_module, "TRAINED", few)
    output = tmp_path / "new" / "tuned.toml"
    assert tune(animals, output, "--trials", 2) == 0
    printed = capsys.readouterr()
    header, *rows = [line.split("\t") for line in printed.out.splitlines()]
    assert header == ["trial", "S", "U", "H", "T1", "AUSUC", "rule", "seconds", "changed"]
    _, *record = [json.loads(line) for line in output.with_suffix(".jsonl").read_text("utf-8").splitlines()]
    last = max(line["stage"] for line in record)
    shown = {row[0]: row for row in rows}
    assert set(shown) == {str(line["trial"]) for line in record if line["stage"] == last}
    for line in record:
        if line["stage"] == last:
            assert shown[str(line["trial"])][3] == f"{100 * line['figures']['H']:.1f}"
    assert [float(row[3]) for row in rows] == sorted((float(row[3]) for row in rows), reverse=True)
    assert len(re.findall("^trial +[01] ", printed.err, re.MULTILINE)) == len(record)

    # The next command runs as printed.
    (line,) = re.findall("Next: revcd (.*)", printed.err)
    assert shlex.split(line)[:5] == ["train", "--dataset", str(animals), "--config", str(output)]
    model = tmp_path / f"{animals.name}.safetensors"
    monkeypatch.chdir(tmp_path)
    assert main([*shlex.split(line), "-q"]) == 0
    settings = resolve_settings(output).config.to_dict()
    trained = read_metadata(model)["config"]
    assert settings["inference"]["rule"] == "auto"
    chosen = {
        "inference": ("rule", "prototype_share", "network_share", "photo_share"),
        "prototypes": ("whitening", "length", "noise", "own_share", "taken_limit"),
        "train": ("penalty", "candidates"),
    }
    for document in (settings, trained):
        for section, names in chosen.items():  # training replaces their "auto"
            for name in names:
                del document[section][name]
    assert trained == settings


@pytest.mark.slow
def test_an_earlier_search_is_resumed_only_with_resume(animals: Path, tmp_path: Path, capsys):
    output = tmp_path / "tuned.toml"
    assert tune(animals, output, "--trials", 1, "-q") == 0
    assert capsys.readouterr().err == ""
    before = output.with_suffix(".jsonl").read_bytes()
    assert tune(animals, output, "--trials", 2) == 2
    assert "holds an earlier search" in capsys.readouterr().err
    assert output.with_suffix(".jsonl").read_bytes() == before
    assert tune(animals, output, "--trials", 1, "--resume") == 0
    printed = capsys.readouterr()
    assert "Resuming after 3 results" in printed.err and "trial   0 " not in printed.err
    assert output.with_suffix(".jsonl").read_bytes() == before
    assert tune(animals, output, "--trials", 1, "--overwrite", "-q") == 0


def test_a_search_ended_by_its_budget_says_so(animals: Path, tmp_path: Path, capsys):
    assert tune(animals, tmp_path / "tuned.toml", "--trials", 1000, "--budget", 0.01) == 0
    assert "The budget ended the search" in capsys.readouterr().err
    assert (tmp_path / "tuned.toml").exists()


def test_a_dry_run_prints_the_space_and_needs_no_optuna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "optuna", None)  # an import raises ImportError
    assert main(["tune", "--dataset", "cub", "--set", "train.mixup=0.7", "--dry-run"]) == 0
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in capsys.readouterr().out.splitlines()}
    assert set(TRAINED) < set(rows)
    assert rows["train.mixup"] == ["0.7", "0, 0.3, 0.6", "trained"]
    assert rows["inference.band_low and inference.band_high"][2] == "scored again"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--trials", "0"], 2, "--trials"),
        (["--budget", "0"], 2, "--budget"),
        (["--set", "train.epocs=3"], 2, 'did you mean "epochs"'),
        (["-o", "tuned.json"], 2, "Call it NAME.toml"),
        (["--set", "train.validation_classes=0"], 2, "no validation photos"),
        (["--dataset", "cbu"], 2, 'did you mean "cub"'),
    ],
)
def test_invalid_requests_are_refused_and_nothing_is_written(
    options: list[str], code: int, says: str, animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["tune", *data_options(animals), *SMALL, *options]) == code
    printed = capsys.readouterr()
    assert says in printed.err and printed.out == ""
    assert not list(tmp_path.iterdir())
