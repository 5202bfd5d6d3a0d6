"""A photo has the same prediction alone, among other photos, in any order, from any archive, and rotated by EXIF."""

from __future__ import annotations

import io
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from revcd_cli.pipeline.predict.predictions import Prediction
from revcd_cli.pipeline.predict.predictor import Predictor
from tests.makers.predictions import (
    EVERY_CLASS,
    EXAMPLES,
    TOLERANCE,
    assert_same_prediction,
    assert_same_predictions,
    pattern,
    scores,
)

TRANSPOSED = {  # the stored form of an upright picture, by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def as_folder(folder: Path, tmp_path: Path) -> list[str]:
    return [str(folder)]


def as_files_backwards(folder: Path, tmp_path: Path) -> list[str]:
    return [str(path) for path in sorted(folder.iterdir(), reverse=True)]


def as_pattern(folder: Path, tmp_path: Path) -> list[str]:
    return [str(folder / "*")]


def as_zip(folder: Path, tmp_path: Path) -> list[str]:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"inside/{path.name}")
    return [str(tmp_path / "photos.zip")]


def as_tar(folder: Path, tmp_path: Path) -> list[str]:
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        archive.add(folder, "inside")
    return [str(tmp_path / "photos.tar")]


def as_compressed_tar(folder: Path, tmp_path: Path) -> list[str]:
    with tarfile.open(tmp_path / "photos.tar.gz", "w:gz") as archive:
        archive.add(folder, "inside")
    return [str(tmp_path / "photos.tar.gz")]


@pytest.mark.parametrize("route", [as_folder, as_files_backwards, as_pattern, as_zip, as_tar, as_compressed_tar])
def test_a_photo_has_the_same_prediction_from_every_kind_of_input(
    predictor: Predictor, photos: Path, alone: dict[str, Prediction], tmp_path: Path, route
):
    assert_same_predictions(predictor.predict(route(photos, tmp_path), top_k=EVERY_CLASS), alone)


def test_a_photo_has_the_same_prediction_from_a_list_on_stdin(
    predictor: Predictor, files: list[str], alone: dict[str, Prediction], monkeypatch: pytest.MonkeyPatch
):
    listed = io.TextIOWrapper(io.BytesIO("\n".join(files).encode()))
    monkeypatch.setattr(sys, "stdin", listed)
    found = predictor.predict("-", top_k=EVERY_CLASS)
    assert [each.path for each in found] == files
    assert_same_predictions(found, alone)


@pytest.mark.parametrize("rule", ["evidence", "cosine"])
def test_copies_of_a_photo_have_the_same_prediction_under_any_name(
    predictor: Predictor, cosine: Predictor, photos: Path, tmp_path: Path, rule: str
):
    for number, name in enumerate(("a.jpg", "b.jpeg", "not a photo's name")):
        shutil.copy(photos / "raccoon.jpg", tmp_path / name)
        pattern(number).save(tmp_path / f"between {number}.png")
    used = cosine if rule == "cosine" else predictor
    found = used.predict([tmp_path, tmp_path / "not a photo's name"], top_k=EVERY_CLASS)
    copies = [each for each in found if "between" not in each.path]
    assert len(copies) == 3
    for copy in copies:
        assert_same_prediction(copy, copies[0])


@pytest.mark.parametrize("rule", ["evidence", "cosine"])
@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (2, 3), (64, 0)])
def test_batch_size_and_workers_do_not_change_a_prediction(
    predictor: Predictor, cosine: Predictor, files: list[str], rule: str, batch_size: int, workers: int
):
    used = cosine if rule == "cosine" else predictor
    as_usual = used.predict(files, top_k=EVERY_CLASS)
    found = list(used.stream(files, top_k=EVERY_CLASS, batch_size=batch_size, workers=workers))
    assert [each.path for each in found] == files
    for one, other in zip(found, as_usual, strict=True):
        assert_same_prediction(one, other)


@pytest.fixture(scope="module")
def upright() -> Image.Image:
    with Image.open(EXAMPLES / "cat.jpg") as image:
        return image.convert("RGB").resize((150, 100))


def test_the_exif_orientation_is_applied(predictor: Predictor, upright: Image.Image, tmp_path: Path):
    upright.save(tmp_path / "1.png")
    for orientation, how in TRANSPOSED.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        upright.transpose(how).save(tmp_path / f"{orientation}.png", exif=exif)
    found = predictor.predict(tmp_path, top_k=EVERY_CLASS)
    assert [Path(each.path).stem for each in found] == [str(n) for n in range(1, 9)]
    for each in found[1:]:
        assert_same_prediction(each, found[0])


def test_the_prediction_depends_on_the_orientation(predictor: Predictor, upright: Image.Image, tmp_path: Path):
    upright.save(tmp_path / "upright.png")
    upright.transpose(Image.Transpose.ROTATE_180).save(tmp_path / "fallen.png")
    fallen, standing = predictor.predict(tmp_path, top_k=EVERY_CLASS)
    assert scores(fallen) != pytest.approx(scores(standing), abs=100 * TOLERANCE)
