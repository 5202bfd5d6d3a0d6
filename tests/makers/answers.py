"""Photos on disk and a file of answers for them, written by the writers of `revcd predict`."""

from __future__ import annotations

import os
from pathlib import Path

from revcd_cli.pipeline.predict.predictions import Candidate, OutputFormat, Prediction
from revcd_cli.reports.predictions.files import open_writer

ANSWERS = {  # path below the photos: (class, probability); None: not readable
    "100/a.jpg": ("moose", 0.9),
    "100/b.jpg": ("raccoon", 0.6),
    "101/a.jpg": ("moose", 0.3),
    "101/c & d.nef": ("grizzly bear", 0.95),
    "101/broken.jpg": None,
}


def predictions(photos: Path, answers: dict[str, tuple[str, float] | None] = ANSWERS) -> list[Prediction]:
    """Return a prediction for each photo, with a second candidate."""
    found = []
    for name, answer in answers.items():
        path = (photos / name).as_posix()
        if answer is None:
            found.append(Prediction(path, "failed", "truncated", "it ends too early"))
        elif answer[0] == "":
            found.append(Prediction(path, "rejected", "no_class_fits", "no class fits"))
        else:
            other = Candidate("wolf", 0.1, min(answer[1], 1 - answer[1]), "photos")
            found.append(Prediction(path, candidates=(Candidate(answer[0], 1.5, answer[1], "described"), other)))
    return found


def write_answers(path: Path, found: list[Prediction], *, excel: bool = False) -> Path:
    with open_writer(path, OutputFormat.of(path), {"model": {"name": "m", "sha256": "0" * 64}}, excel=excel) as writer:
        for prediction in found:
            writer.write(prediction)
    return path


def make_photos(folder: Path, answers: dict[str, tuple[str, float] | None] = ANSWERS) -> Path:
    """Write a file of distinct bytes for each name; `revcd apply` never decodes photos."""
    for number, name in enumerate(answers):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"photo %d " % number + name.encode())
        os.utime(path, (1_500_000_000 + number, 1_500_000_000 + number))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Return the bytes of each file below a folder, by its relative path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
