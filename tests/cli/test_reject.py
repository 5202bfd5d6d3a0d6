"""`revcd predict --reject`: rejected photos are marked differently from predictions and failures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch

from revcd_cli import Predictor
from revcd_cli.__main__ import main
from revcd_cli.checkpoint.metadata import read_metadata
from revcd_cli.checkpoint.model_file import load_checkpoint
from revcd_cli.errors import UsageError
from revcd_cli.pipeline.predict.predictions import Prediction

EVERYTHING, NOTHING = 1e6, -1e6  # thresholds that no photo reaches and that every photo reaches


def with_threshold(source: Path, target: Path, threshold: float | None) -> Path:
    """Write the model with another threshold for every rule."""
    document, tensors = read_metadata(source), safetensors.torch.load(source.read_bytes())
    for calibration in document["calibrations"].values():
        calibration["threshold"] = threshold
        calibration["rejection"] = None  # the threshold is compared with the best score, as in earlier versions
    target.write_bytes(safetensors.torch.save(tensors, {"revcd": json.dumps(document)}))
    return target


@pytest.fixture(scope="module")
def photos(trained) -> list[str]:
    return [str(trained.folder / name / f"{number}.png") for name in ("red", "striped", "blue") for number in (6, 7)]


@pytest.fixture(scope="module")
def answers(trained, photos: list[str]) -> list[Prediction]:
    """The predictions without --reject."""
    return Predictor.from_checkpoint(trained.model).predict(photos)


@pytest.fixture(scope="module")
def strict(trained, answers: list[Prediction], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose threshold is the median of the best scores of these photos."""
    best = sorted(prediction.best.score for prediction in answers)
    middle = (best[2] + best[3]) / 2
    return with_threshold(trained.model, tmp_path_factory.mktemp("strict") / "strict.safetensors", middle)


@pytest.fixture
def predict(strict: Path, photos: list[str], capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """predict(*options): run on the photos with the strict model, and return what is printed."""

    def run(*options: object, code: int = 0, model: Path = strict) -> str:
        capsys.readouterr()
        assert main(["predict", *photos, "--model", str(model), *map(str, options)]) == code
        return capsys.readouterr().out

    return run


def test_photos_whose_best_score_is_below_the_threshold_are_rejected(
    strict: Path, photos: list[str], answers: list[Prediction]
):
    threshold = load_checkpoint(strict).calibrations["evidence"].threshold
    found = Predictor.from_checkpoint(strict).predict(photos, reject=True)
    assert [each.path for each in found] == photos
    below = [each.best.score < threshold for each in answers]
    assert below.count(True) == 3
    for each, answer, is_below in zip(found, answers, below, strict=True):
        if is_below:
            assert (each.status, each.reason, each.best, each.candidates) == ("rejected", "no_class_fits", None, ())
            assert answer.best.name in each.detail and f"{threshold:.3g}" in each.detail
        else:
            assert each == answer


def test_without_reject_the_threshold_changes_nothing(strict: Path, photos: list[str], answers: list[Prediction]):
    assert Predictor.from_checkpoint(strict).predict(photos) == answers


def test_the_threshold_rejects_at_most_a_tenth_of_the_right_answers_in_validation(trained):
    calibrations = read_metadata(trained.model)["calibrations"]
    for calibration in calibrations.values():
        assert 0 <= calibration["false_reject"] <= 0.1
        assert 0 <= calibration["false_accept"] <= 1


@pytest.mark.parametrize(("threshold", "rejected"), [(EVERYTHING, 6), (NOTHING, 0)])
def test_all_or_none_can_be_rejected_and_both_are_success(
    threshold: float, rejected: int, trained, predict, tmp_path: Path
):
    model = with_threshold(trained.model, tmp_path / "m.safetensors", threshold)
    document = json.loads(predict("--reject", "--format", "json", model=model))
    assert document["summary"] == {"photos": 6, "classified": 6 - rejected, "rejected": rejected, "failed": 0}
    assert document["settings"]["reject_below"] == threshold


def test_every_format_marks_rejected_photos(predict, strict: Path, tmp_path: Path, capsys):
    rows = list(csv.DictReader(io.StringIO(predict("--reject", "--top-k", 1, "--format", "csv"))))
    rejected = {row["path"] for row in rows if row["status"] == "rejected"}
    assert len(rows) == 6 and len(rejected) == 3
    for row in rows:
        if row["path"] in rejected:
            assert (row["class"], row["rank"], row["score"], row["seen"]) == ("", "", "", "")
            assert row["reason"] == "no_class_fits"
    lines = [json.loads(line) for line in predict("--reject", "--format", "jsonl").splitlines()]
    assert {line["path"] for line in lines if line["status"] == "rejected"} == rejected
    assert all(bool(line["candidates"]) == (line["status"] == "ok") for line in lines)
    document = json.loads(predict("--reject", "--format", "json"))
    assert {each["path"] for each in document["rejected"]} == rejected and document["failures"] == []
    plain = [line.split("\t") for line in predict("--reject", "--format", "tsv").splitlines()]
    assert {path for path, name, *_ in plain if name == "none of these"} == rejected
    table = [line.split("\t") for line in predict("--reject", "--format", "table").splitlines()]
    assert sum(cells[1] == "none of these" for cells in table) == 3
    page = predict("--reject", "--format", "html")
    assert page.count('data-kind="rejected"') == 3 and "3</b> classified · <b>3</b> none of these" in page


def test_rejected_and_failed_photos_are_counted_separately(
    strict: Path, photos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "bad.png").write_bytes(b"")
    output = tmp_path / "out.csv"
    command = ["predict", *photos, str(tmp_path / "bad.png"), "--model", str(strict), "--reject", "-o", str(output)]
    assert main(command) == 3
    said = capsys.readouterr().err
    assert "3 photos classified, 3 none of these, 1 failed." in said
    assert said.count("no_class_fits") == 0  # not a warning each
    assert "are rejected; in validation" in said and "of photos of other classes were not" in said


def test_a_model_without_a_threshold_is_refused_with_a_reason(
    trained, photos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model = with_threshold(trained.model, tmp_path / "bare.safetensors", None)
    assert main(["predict", photos[0], "--model", str(model), "--reject", "-o", str(tmp_path / "o.csv")]) == 2
    said = capsys.readouterr().err
    assert "bare has no rejection threshold" in said and "train.validation_classes" in said
    assert not (tmp_path / "o.csv").exists()
    with pytest.raises(UsageError, match="no rejection threshold"):
        Predictor.from_checkpoint(model).predict(photos, reject=True)


def test_the_rates_of_the_threshold_are_part_of_the_card(trained, capsys: pytest.CaptureFixture[str]):
    assert main(["models", "show", str(trained.model)]) == 0
    shown = capsys.readouterr().out
    calibration = read_metadata(trained.model)["calibrations"]["evidence"]
    rates = [f"{100 * calibration[name]:.1f} %" for name in ("false_reject", "false_accept")]
    assert f"evidence: below {calibration['threshold']:.3g}; in validation {rates[0]} of right answers" in shown
    assert rates[1] in shown


def test_answers_below_the_least_probability_are_rejected(predict, trained, answers: list[Prediction]):
    shares = sorted({answer.best.probability for answer in answers})
    middle = (shares[0] + shares[1]) / 2
    document = json.loads(predict("--min-probability", middle, "--format", "json", model=trained.model))
    below = {answer.path for answer in answers if answer.best.probability < middle}
    assert {each["path"] for each in document["rejected"]} == below != set()
    assert document["summary"]["classified"] == 6 - len(below) > 0
    assert json.loads(predict("--min-probability", 0, "--format", "json"))["summary"]["rejected"] == 0


@pytest.mark.parametrize("value", ["-0.1", "1.5", "nan"])
def test_a_least_probability_outside_0_to_1_is_refused(value: str, trained, photos: list[str]):
    assert main(["predict", photos[0], "--model", str(trained.model), "--min-probability", value]) == 2
