"""`revcd evaluate`: metrics as a table, as JSON and as files, and splits that are refused."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from revcd_cli.__main__ import main
from revcd_cli.checkpoint.calibration import Calibration
from revcd_cli.checkpoint.metadata import read_metadata
from revcd_cli.system.files import file_sha256


def evaluate(trained, *options: object, folder: Path | None = None) -> int:
    dataset = folder or trained.folder
    return main(["evaluate", "--dataset", str(dataset), "--model", str(trained.model), *map(str, options)])


def document_of(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def test_evaluation_prints_s_u_h_and_t1(trained, capsys: pytest.CaptureFixture[str]):
    assert evaluate(trained, "--format", "json") == 0
    document = document_of(capsys)
    metrics, intervals, validation = (document[part] for part in ("metrics", "intervals", "validation"))
    assert evaluate(trained) == 0
    printed = capsys.readouterr()
    rows = {cells[0]: cells[1:5] for cells in (line.split("\t") for line in printed.out.splitlines())}
    keys = {"S": "acc_seen", "U": "acc_unseen", "H": "harmonic_mean", "T1": "acc_zsl", "AUSUC": "ausuc"}
    photos = {"S": "8", "U": "8", "H": "", "T1": "8", "AUSUC": ""}
    for name, key in keys.items():
        # One unseen class has no spread over classes, so only S has an interval.
        interval = f"{100 * intervals[name]['low']:.1f} to {100 * intervals[name]['high']:.1f}" if name == "S" else "-"
        expected = [f"{100 * metrics[key]:.1f}", interval, f"{100 * validation[name]:.1f}", photos[name]]
        assert rows[name] == expected
    assert intervals["U"] is None and intervals["S"]["low"] <= metrics["acc_seen"] <= intervals["S"]["high"]
    beside = {
        "seen as unseen": "seen_as_unseen",
        "unseen as seen": "unseen_as_seen",
        "seen, by photo": "sample_acc_seen",
        "unseen, by photo": "sample_acc_unseen",
    }
    assert all(rows[name][:2] == [f"{100 * metrics[key]:.1f}", "8"] for name, key in beside.items())
    assert rows["seen alone"][0] == f"{100 * metrics['acc_seen_alone']:.1f}"
    assert "4 seen and 2 unseen candidates (1 without test photos)" in printed.err  # "plain" has no photos
    few = "fewer than 10 photos to train on"
    assert few in trained.said and few not in printed.err
    assert "all classes of the table as candidates" in printed.out
    assert evaluate(trained, "--split-classes") == 0
    printed = capsys.readouterr()
    assert "4 seen and 1 unseen candidates," in printed.err and "the classes of the split as candidates" in printed.out


def test_the_answers_are_those_of_predict(
    trained, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(trained.folder)  # paths of both are relative to it
    assert evaluate(trained, "-o", tmp_path / "report", "-q") == 0
    assert main(["predict", "red", "blue", "--model", str(trained.model), "-o", str(tmp_path / "p.csv"), "-q"]) == 0
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8") as stream:
        predicted = {row["path"]: row["class"] for row in csv.DictReader(stream) if row["rank"] == "1"}
    with (tmp_path / "report" / "predictions.csv").open(newline="", encoding="utf-8") as stream:
        answers = {row["path"]: row["answer"] for row in csv.DictReader(stream)}
    common = answers.keys() & predicted.keys()
    assert len(common) == 10
    assert {path: answers[path] for path in common} == {path: predicted[path] for path in common}


def test_without_an_unseen_class_in_the_table_nothing_is_called_s(
    trained, dataset_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for name in ("attributes.csv", "images.csv"):
        lines = (dataset_copy / name).read_text("utf-8").splitlines()
        kept = [line for line in lines if not line.startswith(("blue", "plain"))]
        (dataset_copy / name).write_text("\n".join(kept), encoding="utf-8")
    model = tmp_path / "seen.safetensors"
    assert main(["train", "--dataset", str(dataset_copy), "-o", str(model), *trained.options, "-q"]) == 0
    command = ["evaluate", "--dataset", str(dataset_copy), "--model", str(model)]
    assert main(command) == 0
    printed = capsys.readouterr()
    rows = {cells[0]: cells[1:3] for cells in (line.split("\t") for line in printed.out.splitlines())}
    assert all(rows[name][:2] == ["-", "-"] for name in ("S", "U", "H", "T1", "AUSUC"))
    assert rows["seen alone"][0] != "-" and "No candidate is an unseen class" in printed.err


def test_an_evaluation_as_json_names_the_model_and_the_data(trained, capsys: pytest.CaptureFixture[str]):
    assert evaluate(trained, "--format", "json", "-q") == 0
    document = document_of(capsys)
    metrics, about = document["metrics"], read_metadata(trained.model)
    assert all(0 <= metrics[name] <= 1 for name in ("acc_seen", "acc_unseen", "harmonic_mean", "acc_zsl"))
    s, u = metrics["acc_seen"], metrics["acc_unseen"]
    assert metrics["harmonic_mean"] == pytest.approx(2 * s * u / (s + u) if s + u else 0)
    assert (metrics["seen_photos"], metrics["unseen_photos"]) == (8, 8)
    assert document["model"] == {"name": "shapes", "sha256": file_sha256(trained.model)}
    assert document["dataset"]["split_sha256"] == about["dataset"]["split_sha256"]
    assert len(document["dataset"]["features_sha256"]) == 64
    calibration = Calibration.from_json(about["calibrations"][document["rule"]])
    assert document["gamma"] == calibration.penalty(2)  # for two unseen candidates, as `predict` would use
    assert [(entry["name"], entry["photos"]) for entry in document["per_class"]] == [
        *((n, 2) for n in trained.seen),
        ("blue", 8),
    ]


def test_an_evaluation_can_be_written_to_files(trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    report = tmp_path / "new" / "report"
    assert evaluate(trained, f"-o={report}", "--format", "json", "-q") == 0
    document = document_of(capsys)
    parts, kinds = ("attributes", "calibration", "confusion", "per_class", "su_curve"), ("csv", "png", "svg")
    parted = {f"{part}.{kind}" for part in parts for kind in kinds}
    others = {"metrics.json", "metrics.csv", "predictions.csv", "report.html"}
    assert {path.name for path in report.iterdir()} == others | parted
    assert json.loads((report / "metrics.json").read_text(encoding="utf-8")) == document
    with (report / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        summary = {row["metric"]: row for row in csv.DictReader(stream)}
    assert summary["S"] == {
        "metric": "S",
        "test": str(document["metrics"]["acc_seen"]),
        **{end: str(document["intervals"]["S"][end]) for end in ("low", "high")},
        "validation": str(document["validation"]["S"]),
    }
    with (report / "per_class.csv").open(newline="", encoding="utf-8") as stream:
        assert [row["name"] for row in csv.DictReader(stream)] == [*trained.seen, "blue"]
    page = (report / "report.html").read_text("utf-8")
    assert document["model"]["sha256"] in page and document["dataset"]["split_sha256"] in page
    wrong = sum(round(entry["photos"] * (1 - entry["accuracy"])) for entry in document["per_class"])
    assert (page.count("data:image/jpeg;base64,") > 0) == (wrong > 0)
    (report / "metrics.json").write_text("mine")
    assert evaluate(trained, "-o", report, "-q") == 2
    assert (report / "metrics.json").read_text() == "mine"
    assert evaluate(trained, "-o", report, "--overwrite", "-q") == 0
    assert json.loads((report / "metrics.json").read_text(encoding="utf-8")) == document


def test_accuracy_per_class_is_printed_on_request(trained, capsys: pytest.CaptureFixture[str]):
    assert evaluate(trained, "--per-class", "-q") == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    start = lines.index(["class", "", "photos", "percent"]) + 1
    assert [line[:3] for line in lines[start:]] == [*([n, "seen", "2"] for n in trained.seen), ["blue", "unseen", "8"]]


def test_the_rule_of_an_evaluation_can_be_chosen(trained, capsys: pytest.CaptureFixture[str]):
    assert evaluate(trained, "--rule", "cosine", "--format", "json", "-q") == 0
    assert document_of(capsys)["rule"] == "cosine"


def test_a_moved_data_set_gives_the_same_figures(trained, dataset_copy: Path, capsys: pytest.CaptureFixture[str]):
    documents = []
    for folder in (trained.folder, dataset_copy):
        assert evaluate(trained, "--format", "json", "-q", folder=folder) == 0
        documents.append(document_of(capsys))
    assert documents[0] == documents[1]


def move(line: str, part: str):
    def change(text: str) -> str:
        moved = re.sub(rf"(?m)^({line},)\w+$", rf"\g<1>{part}", text)
        assert moved != text
        return moved

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (move("red/0.png,red", "test_seen"), "is not the one that the model was trained on"),
        (lambda text: "\n".join(text.splitlines()[:-1]), "is not the one that the model was trained on"),
        (
            lambda text: move(r"blue/\d.png,blue", "trainval")(move(r"red/\d.png,red", "test_unseen")(text)),
            r"trained on photos of 1 classes that are unseen here \(red\)",
        ),
    ],
    ids=["a training photo is tested", "a test photo is missing", "a seen class is unseen"],
)
def test_another_split_than_that_of_the_model_is_refused_with_the_reason(
    change, says: str, trained, dataset_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    images = dataset_copy / "images.csv"
    images.write_text(change(images.read_text(encoding="utf-8")), encoding="utf-8")
    assert evaluate(trained, "-o", tmp_path / "report", folder=dataset_copy) == 4
    printed = capsys.readouterr()
    assert re.search(f"error: {re.escape(str(images))}.*{says}", printed.err)
    assert printed.out == ""
    assert not (tmp_path / "report").exists()


def test_a_photo_in_two_parts_of_the_split_is_refused_with_its_line(
    trained, dataset_copy: Path, capsys: pytest.CaptureFixture[str]
):
    with (dataset_copy / "images.csv").open("a", encoding="utf-8") as stream:
        stream.write("\nred/0.png,red,test_seen\n")
    assert evaluate(trained, folder=dataset_copy) == 4
    assert f"{dataset_copy / 'images.csv'}:42:1: " in capsys.readouterr().err


def test_the_shipped_model_is_not_evaluated_on_another_data_set(trained, capsys: pytest.CaptureFixture[str]):
    assert main(["evaluate", "--dataset", str(trained.folder), "--model", "animals"]) == 4
    assert "is not the one that the model was trained on" in capsys.readouterr().err
