"""`--reject` on pictures that show no animal: at most as many get a name as with a least probability of 0.5."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from revcd_cli.pipeline.predict.predictor import Predictor

ANIMALS = ("chelsea.png", "horse.png")  # of scikit-image's pictures
SUFFIXES = {".png", ".jpg", ".jpeg", ".gif"}


def samples() -> list[Path]:
    """The sample pictures of scikit-learn, matplotlib and, if it is installed, scikit-image: no animals."""
    folders = [Path(mpl.get_data_path()) / "sample_data"]
    for package, folder in (("sklearn", "datasets/images"), ("skimage", "data")):
        found = importlib.util.find_spec(package)
        if found is not None and found.origin is not None:
            folders.append(Path(found.origin).parent / folder)
    files = [path for folder in folders for path in folder.iterdir() if path.suffix in SUFFIXES]
    return sorted(path for path in files if path.name not in ANIMALS)


def charts() -> list[bytes]:
    """Pictures of six charts."""
    generator = np.random.default_rng(0)
    values, grid = generator.normal(size=200).cumsum(), generator.random((20, 20))
    pictures = []
    for draw in ("plot", "bar", "hist", "imshow", "scatter", "pie"):
        axes = (figure := Figure((4, 4))).add_subplot()
        if draw in ("plot", "hist"):
            getattr(axes, draw)(values)
        elif draw == "imshow":
            axes.imshow(grid)
        elif draw == "pie":
            axes.pie(grid[0, :5])
        else:
            getattr(axes, draw)(np.arange(20), grid[0])
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        pictures.append(buffer.getvalue())
    return pictures


def test_at_most_as_many_get_a_name_as_with_a_least_probability_of_one_half(predictor: Predictor):
    pictures = [path.read_bytes() for path in samples()] + charts()

    def named(**options: object) -> int:
        return sum(each.status == "ok" for each in predictor.predict(pictures, top_k=1, **options))

    assert len(pictures) >= 8 and named() == len(pictures)
    by_chance = named(reject=True)
    assert by_chance <= named(min_probability=0.5)
    assert by_chance <= len(pictures) / 5


def test_it_rejects_a_tenth_of_the_right_answers_of_validation_at_most(predictor: Predictor):
    assert predictor.rejection().false_reject == pytest.approx(0.1, abs=1e-3)
