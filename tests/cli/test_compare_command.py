"""The commands `revcd evaluate --baselines` and `revcd study ladder`, on a dataset with features."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import revcd_cli.pipeline.compare.compare as compare_module
from revcd_cli.__main__ import main
from revcd_cli.pipeline.compare.compare import DEFAULT_METHODS
from revcd_cli.pipeline.settings import resolve_settings
from revcd_cli.pipeline.study.ladder import STEPS

SMALL = [
    *("--set", "train.epochs=1", "--set", "train.validation_folds=1", "--set", "diffusion.timesteps=20"),
    *("--set", "denoiser.width=16", "--set", "encoder.n_tokens=4", "--set", "encoder.width=16"),
    *("--set", "encoder.heads=2", "--set", "inference.steps=1", "--set", "prototypes.components=16"),
    *("--set", "class_network.width=16", "--set", "class_network.epochs=2"),
]
FIGURES = ("S", "U", "H", "T1", "AUSUC")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The options that name a data set of 5 seen and 2 unseen classes, and one more without photos."""
    from revcd_cli.config import BackboneRecord
    from revcd_cli.data.features.feature_set import FeatureSet
    from revcd_cli.data.features.files import write_features

    folder = tmp_path_factory.mktemp("toy")
    generator = np.random.default_rng(0)
    table = generator.normal(size=(8, 5))
    rows = [["class", *"abcde"], *([f"class {k}", *values] for k, values in enumerate(table.tolist()))]
    (folder / "attributes.csv").write_text("".join(f"{','.join(map(str, row))}\n" for row in rows))
    labels = np.repeat(np.arange(7), 8)
    paths = [f"class {label}/{number}.jpg" for number, label in enumerate(labels)]
    parts = ["test_unseen" if label > 4 else "test_seen" if k % 8 < 2 else "trainval" for k, label in enumerate(labels)]
    lines = [f"{path},class {label},{part}\n" for path, label, part in zip(paths, labels, parts, strict=True)]
    (folder / "images.csv").write_text("path,class,split\n" + "".join(lines))
    features = table[labels] @ generator.normal(size=(5, 8)) + 0.1 * generator.normal(size=(56, 8))
    block = FeatureSet(
        paths=tuple(paths), features=features.astype(np.float32), status=("ok",) * 56, reason=("",) * 56,
        sha256=("",) * 56, backbone=BackboneRecord(tag="toy", weights_sha256="ab", preprocessing={}, feature_dim=8),
    )  # fmt: skip
    write_features(folder / "features.parquet", [block])
    return ["--dataset", str(folder), "--features", str(folder / "features.parquet")]


def tables_of(text: str) -> list[dict[str, dict[str, str]]]:
    """Parse tables that follow each other, each with a header that starts with "method" or is empty."""
    found: list[dict[str, dict[str, str]]] = []
    header: list[str] = []
    for name, *cells in (line.split("\t") for line in text.splitlines()):
        if name in ("method", ""):
            header = cells
            found.append({})
        else:
            found[-1][name] = dict(zip(header, cells, strict=True))
    return found


def between(figure: dict[str, float | None]) -> str:
    return "-" if figure["low"] is None else f"{100 * figure['low']:.1f} to {100 * figure['high']:.1f}"


def shown(figure: dict[str, float | None]) -> str:
    if figure["mean"] is None:
        return "-"
    mean = f"{100 * figure['mean']:.1f}"
    return mean if figure["std"] is None else f"{mean} ± {100 * figure['std']:.1f}"


@pytest.mark.slow
def test_all_methods_are_printed_and_written(toy: list[str], tmp_path: Path, capsys):
    report = tmp_path / "report"
    assert main(["evaluate", *toy, "--baselines", "--seeds", "2", *SMALL, "-o", str(report)]) == 0
    printed = capsys.readouterr()
    (rows, intervals, differences), document = (
        tables_of(printed.out),
        json.loads((report / "comparison.json").read_text("utf-8")),
    )
    assert tuple(rows) == DEFAULT_METHODS == tuple(document["methods"])
    for name, entry in document["methods"].items():
        assert [rows[name][figure] for figure in FIGURES] == [shown(entry["test"][figure]) for figure in FIGURES]
        assert [rows[name][f"{figure} unpenalised"] for figure in "SU"] == [shown(entry["plain"][k]) for k in "SU"]
        assert rows[name]["runs"] == ("2" if entry["seeded"] else "1 (no seed)")
        assert [rows[name][f"{k} validation"] for k in ("H", "AUSUC")] == [
            shown(entry["validation"][k]) for k in ("H", "AUSUC")
        ]
        assert list(intervals[name].values()) == [between(entry["test"][figure]) for figure in FIGURES]
    assert list(differences) == list(DEFAULT_METHODS[1:])
    assert list(differences["linear-probe"].values())[:2] == ["-", "-"]
    for each in (each for each in document["differences"] if each["other"] == "revcd"):
        apart = ", ".join(name for name, value in each["metrics"].items() if value["apart"])
        assert differences[each["method"]]["told apart by"] == (apart or "not to be told apart")
    assert "5 seen and 3 unseen candidates" in printed.err  # all classes of the table
    assert document["dataset"]["features_sha256"][:12] in printed.err
    with (report / "comparison.csv").open(newline="", encoding="utf-8") as stream:
        assert len(list(csv.DictReader(stream))) == len(document["results"])
    assert all(f"<bdi>{name}</bdi>" in (report / "comparison.html").read_text("utf-8") for name in DEFAULT_METHODS)
    assert main(["evaluate", *toy, "--baselines", "-o", str(report)]) == 2  # the file exists


def test_the_whole_table_has_more_candidates(toy: list[str], capsys):
    for options, candidates in ((["--split-classes"], 2), ([], 3)):
        assert main(["evaluate", *toy, "--method", "ridge", "--format", "json", "-q", *options]) == 0
        (result,) = json.loads(capsys.readouterr().out)["results"]
        assert result["candidates"] == {"seen": 5, "unseen": candidates}


def test_results_are_kept_if_a_later_method_fails(toy: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(compare_module, "fit_trained", interrupted)
    assert main(["evaluate", *toy, "--method", "ridge,revcd", "-o", str(tmp_path)]) == 130
    kept = json.loads((tmp_path / "comparison.json").read_text("utf-8"))
    assert list(kept["methods"]) == ["ridge"]
    assert "<bdi>ridge</bdi>" in (tmp_path / "comparison.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--baselines", "--model", "m.safetensors"], "--baselines"),
        (["--method", "cvae", "--rule", "cosine"], "--method"),
        (["--method", "cvae", "--per-class"], "--method"),
        (["--baselines", "--method", "cvae"], "--baselines"),
        (["--set", "train.epochs=2"], "--method"),
        (["--method", "rigde"], 'did you mean "ridge"?'),
    ],
)
def test_conflicting_options_are_refused_before_any_input_is_read(
    arguments: list[str], says: str, tmp_path: Path, capsys
):
    assert main(["evaluate", "--dataset", str(tmp_path / "none"), *arguments]) == 2
    assert says in capsys.readouterr().err  # and not the missing folder


@pytest.mark.slow
def test_the_ladder_prints_the_rows_that_it_writes(toy: list[str], tmp_path: Path, capsys):
    assert main(["study", "ladder", *toy, *SMALL, "-o", str(tmp_path), "--test"]) == 0
    (rows,) = tables_of(capsys.readouterr().out)
    document = json.loads((tmp_path / "ladder.json").read_text("utf-8"))
    assert list(rows) == [row["name"] for row in document["rows"]]
    assert [STEPS[0].name, "ridge", "prototype-oracle"] == [list(rows)[k] for k in (0, -7, -1)]
    for row in document["rows"]:
        for part in ("validation", "test"):
            figures = [rows[row["name"]][f"{part} {name}"] for name in FIGURES]
            assert figures == [shown(row[part][name]) for name in FIGURES]
    assert document["config"] == resolve_settings("paper-awa2").config.to_dict()
    assert main(["study", "ladder", *toy, "-o", str(tmp_path)]) == 2  # the file exists
