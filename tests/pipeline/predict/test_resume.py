"""An interrupted prediction resumes, and yields the same predictions as an uninterrupted one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from revcd_cli.data.features.files import read_features
from revcd_cli.data.photos.image_source import ImageSource
from revcd_cli.pipeline import journal
from revcd_cli.pipeline.extract.extract import extract
from revcd_cli.pipeline.extract.listing import Listing
from revcd_cli.pipeline.predict.only import restrict
from revcd_cli.pipeline.predict.options import PredictOptions
from revcd_cli.pipeline.predict.predictions import Prediction
from revcd_cli.pipeline.predict.predictor import Predictor
from revcd_cli.pipeline.predict.resumable import ResumablePrediction
from tests.makers.predictions import pattern

ROWS, PHOTOS = 4, 14  # shards of 4, 4, 4 and 2 photos


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SHARD_ROWS", ROWS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(PHOTOS):
        pattern(number).save(folder / f"{number}.png")
    (folder / "6.png").write_bytes(b"")  # one that fails, in the second shard
    return folder


@pytest.fixture(scope="module")
def quick(predictor: Predictor) -> Predictor:
    """The model with its fastest rule."""
    return Predictor(predictor.checkpoint, predictor.backbone, inference=predictor.inference.with_rule("prototype"))


@pytest.fixture
def make(quick: Predictor, folder: Path, tmp_path: Path) -> Callable[..., ResumablePrediction]:
    def make(**changes: object) -> ResumablePrediction:
        given = changes.pop("given", Listing([str(folder)], False))
        names = changes.pop("only", None)
        predictor = changes.pop("predictor", quick)
        candidates = predictor.candidates()
        candidates = candidates if names is None else restrict(candidates, names)
        notes = changes.pop("notes", [])
        fresh = changes.pop("fresh", False)
        options = PredictOptions(batch_size=3, **changes)
        output = tmp_path / "answers.csv"
        return ResumablePrediction(predictor, given, output, candidates, options, fresh=fresh, on_note=notes.append)

    return make


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the photos that are read, in order, from now on."""
    names: list[str] = []
    original = ImageSource.read

    def recorded(self: ImageSource) -> object:
        names.append(Path(self.path).stem)
        return original(self)

    monkeypatch.setattr(ImageSource, "read", recorded)
    return names


def stopped_after(run: ResumablePrediction, number: int) -> list[Prediction]:
    """Return the first predictions of a run that is then interrupted."""
    predictions = run.run()
    first = list(islice(predictions, number))
    predictions.close()
    return first


def whole(run: ResumablePrediction) -> Iterator[tuple[Prediction, bytes | None]]:
    for prediction in run.run():
        yield prediction, prediction.thumbnail
    run.finish()


def test_a_resumed_run_yields_the_predictions_of_an_uninterrupted_one(
    make: Callable[..., ResumablePrediction], tmp_path: Path, read: list[str], predictor: Predictor
):
    settings = {"predictor": predictor, "thumbnails": True, "explain": True}
    expected = list(whole(make(**settings)))
    stopped_after(make(**settings), 9)  # two shards are finished
    read.clear()
    notes: list[str] = []
    assert list(whole(make(**settings, notes=notes))) == expected
    assert read == ["6", *map(str, range(8, PHOTOS))]  # a photo that failed is read again
    assert any("8 photos are finished" in note for note in notes)
    assert expected[0][0].drawn is not None and expected[0][1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [0, 4, 5, PHOTOS])
def test_a_run_may_be_interrupted_at_any_photo(make: Callable[..., ResumablePrediction], number: int):
    expected = list(whole(make()))
    assert stopped_after(make(), number) == [each for each, _ in expected[:number]]
    assert list(whole(make())) == expected


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"top_k": 3}, "options.top_k was 5 and is 3"),
        ({"seed": 7}, "options.seed was"),
        ({"only": ["horse", "moose"]}, "classes was"),
        ({"min_probability": 0.5}, "options.min_probability was"),
    ],
)
def test_work_of_other_settings_is_not_used_and_this_is_said(
    make: Callable[..., ResumablePrediction], change: dict[str, object], said: str
):
    expected = list(whole(make(**change)))
    stopped_after(make(), 9)
    notes: list[str] = []
    run = make(**change, notes=notes)
    assert said in "".join(notes) and "is not used" in "".join(notes)
    assert list(whole(run)) == expected


def test_another_model_does_not_use_the_work(make: Callable[..., ResumablePrediction], quick: Predictor):
    run = make()
    stopped_after(run, 9)
    other = Predictor(dataclasses.replace(quick.checkpoint, sha256="0" * 64), quick.backbone, inference=quick.inference)
    notes: list[str] = []
    again = ResumablePrediction(
        other, run.given, run.journal.folder.with_suffix(""), run.candidates, run.options, on_note=notes.append
    )
    assert again.journal.is_empty and "model was" in notes[0]


def test_a_photo_that_was_replaced_is_classified_again(
    make: Callable[..., ResumablePrediction], folder: Path, tmp_path: Path
):
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    given = Listing([str(copy)], False)
    stopped_after(make(given=given), 9)
    pattern(99).save(copy / "1.png")
    found = list(whole(make(given=given)))
    assert found == list(whole(make(given=given)))


@pytest.mark.parametrize("damage", ["torn", "empty", "other", "manifest"])
def test_damaged_work_is_computed_again(make: Callable[..., ResumablePrediction], damage: str):
    expected = list(whole(make()))
    run = make()
    stopped_after(run, 9)
    first, second = run.journal.path(0), run.journal.path(1)
    if damage == "torn":
        second.write_bytes(second.read_bytes()[:-1])
    elif damage == "empty":
        second.write_bytes(b"")
    elif damage == "other":
        second.write_bytes(first.read_bytes())
    else:
        (run.journal.folder / "manifest.json").write_text("{")
    notes: list[str] = []
    assert list(whole(make(notes=notes))) == expected
    assert ("manifest cannot be read" if damage == "manifest" else "4 photos are finished") in "".join(notes)


def test_fresh_starts_over(make: Callable[..., ResumablePrediction], read: list[str]):
    stopped_after(make(), 9)
    read.clear()
    list(whole(make(fresh=True)))
    assert len(read) == PHOTOS


def test_features_resume_too(make: Callable[..., ResumablePrediction], folder: Path, tmp_path: Path):
    extract([str(folder)], tmp_path / "f.npz", backbone="embedded@300", precision="float32")
    features = read_features(tmp_path / "f.npz")
    many = dataclasses.replace(
        features,
        paths=tuple(f"{copy}-{path}" for copy in range(2) for path in features.paths),
        **{name: getattr(features, name) * 2 for name in ("status", "reason", "sha256")},
        features=np.concatenate([features.features] * 2),
    )
    expected = list(whole(make(given=many)))
    run = make(given=many)
    stopped_after(run, 20)  # a shard of features has 16 rows
    assert json.loads((run.journal.folder / "manifest.json").read_text())["features"]
    notes: list[str] = []
    assert list(whole(make(given=many, notes=notes))) == expected
    assert "16 photos are finished" in notes[0]
