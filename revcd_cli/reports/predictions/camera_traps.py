"""Predictions for programs that work with camera traps: MegaDetector's JSON, and CSV for Timelapse.

Formats: https://lila.science/megadetector-output-format (Timelapse reads it, too), and the columns by which Timelapse
imports CSV: RelativePath and File name the photo, every other column is a field of the user's template.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any, BinaryIO

from ...data.formats.path_encoding import encode_path
from ...data.parts.megadetector import BoxList
from ...pipeline.predict.columns import DETAILS, origin
from ...pipeline.predict.predictions import FAILED, NONE_OF_THESE, REJECTED, Prediction, Write, rounded
from ...version import __version__
from .encoding import csv_line, dump

FORMAT = "1.4"  # of the JSON, where no detector's file determines it
TIMELAPSE = ("RelativePath", "File", "Species", "Probability", "RunnerUp", "RunnerUpProbability", "Count", "Status")
TIMELAPSE_ORIGIN = ("Model", "ClassTable")
TIMELAPSE_DETAILS = ("DateTime", "Camera", "Width", "Height", "Latitude", "Longitude")


@contextlib.contextmanager
def megadetector_writer(
    stream: BinaryIO, header: dict[str, Any], *, boxes: BoxList | None = None, root: str = ""
) -> Iterator[Write]:
    """Write MegaDetector's format with classifications. Names of photos are relative to `root`.

    boxes: the classified file, whose content is kept. Without it, each photo is one box of the whole photo, with the
    confidence 1.
    """
    numbers: dict[str, str] = {}  # of the classes, in order of appearance
    images: dict[str, dict[str, Any]] = {}  # without `boxes`
    classified: dict[tuple[str, int], list[list[Any]]] = {}  # by photo and number of the box

    def write(prediction: Prediction) -> None:
        found = [
            [numbers.setdefault(encode_path(each.name), str(len(numbers))), rounded(each.probability)]
            for each in prediction.candidates
        ]
        if boxes is not None:
            if found and prediction.part is not None and prediction.part.box is not None:
                classified[prediction.path, prediction.part.box.number] = found
            return
        name = encode_path(below(prediction.path, root))
        if prediction.status == FAILED:
            images[name] = {"file": name, "failure": f"{prediction.reason}: {prediction.detail}", "detections": None}
            return
        whole: dict[str, Any] = {"category": "1", "conf": 1.0, "bbox": [0.0, 0.0, 1.0, 1.0]}
        images[name] = {"file": name, "detections": [whole | ({"classifications": found} if found else {})]}

    yield write
    if boxes is None:
        document: dict[str, Any] = {
            "info": {"format_version": FORMAT, "detector": "none: each box is a whole photo"},
            "detection_categories": {"1": "animal"},
            "images": list(images.values()),
        }
    else:
        document = copy.deepcopy(boxes.document)
        for image in document["images"]:
            path = boxes.photo(image["file"])
            for number, detection in enumerate(image.get("detections") or [], 1):
                detection.pop("classifications", None)  # of another classifier, whose numbers would mean other classes
                if (path, number) in classified:
                    detection["classifications"] = classified[path, number]
    document["info"] |= {
        "classifier": f"revcd {__version__}, model {header.get('model', {}).get('name', '')}",
        "classifier_metadata": {name: header[name] for name in ("model", "classes", "settings") if name in header},
    }
    document["classification_categories"] = {number: name for name, number in numbers.items()}
    document.pop("classification_category_descriptions", None)
    stream.write(dump(document) + b"\n")


@contextlib.contextmanager
def timelapse_writer(
    stream: BinaryIO, header: dict[str, Any], *, root: str = "", details: bool = False
) -> Iterator[Write]:
    """Write a row for each photo, as Timelapse imports it: UTF-8 with a mark, backslashes between folders.

    The boxes of a photo are one row: its classes from the most probable one, and how many boxes have a class.
    """
    more = TIMELAPSE_DETAILS if details else ()
    stream.write(b"\xef\xbb\xbf" + csv_line((*TIMELAPSE, *more, *TIMELAPSE_ORIGIN)))
    made_by = origin(header)
    waiting: list[Prediction] = []  # of the same photo

    def flush() -> None:
        if waiting:
            stream.write(csv_line([*_timelapse_row(waiting, root), *_details(waiting[0], details), *made_by]))
            waiting.clear()

    def write(prediction: Prediction) -> None:
        if waiting and waiting[0].path != prediction.path:
            flush()
        waiting.append(prediction)

    yield write
    flush()


def _timelapse_row(predictions: list[Prediction], root: str) -> list[Any]:
    folder, _, name = encode_path(below(predictions[0].path, root)).rpartition("/")
    answered = [each for each in predictions if each.best is not None]
    answered.sort(key=lambda each: -each.candidates[0].probability)
    place = [folder.replace("/", "\\"), name]
    if not answered:
        instead = NONE_OF_THESE if predictions[0].status == REJECTED else ""
        return [*place, instead, "", "", "", 0, predictions[0].reason.replace("_", " ")]
    first, *others = answered[0].candidates
    species = "; ".join(dict.fromkeys(encode_path(each.candidates[0].name) for each in answered))
    second = [encode_path(others[0].name), rounded(others[0].probability)] if others else ["", ""]
    return [*place, species, rounded(first.probability), *second, len(answered), "ok"]


def _details(prediction: Prediction, wanted: bool) -> list[Any]:
    if not wanted:
        return []
    found = [getattr(prediction.details, name, None) for name in DETAILS]
    found[0] = str(found[0])[:19].replace("T", " ") if found[0] else None  # Timelapse reads no offset from UTC
    return ["" if each is None else each for each in found]


def below(path: str, root: str) -> str:
    """Return a path relative to the folder `root`; the path itself where it is elsewhere."""
    return path.removeprefix(f"{root.rstrip('/')}/") if root else path
