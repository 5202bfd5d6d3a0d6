"""Read the boxes of a detector: the output format of MegaDetector, version 1.

The format: https://lila.science/megadetector-output-format. Boxes are relative to the upright photo.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import InputFileError, UsageError, brief
from ..photos.image_source import ImageSource, file_source
from ..photos.images import ImageFailure
from ..photos.sources import iter_sources
from .part import Box, Part

LEAST_CONFIDENCE = 0.2  # where the file names no typical threshold: that of MegaDetector 5
_HINT = "Expected is the output of MegaDetector's run_detector_batch: info, detection_categories and images."


@dataclass(frozen=True, eq=False)
class BoxList:
    """The boxes of a detector file, as the photos to classify; can be iterated several times.

    document: the file's JSON. root: the folder of its photos, "" for the current one. least: the lowest confidence of a
    box that is classified. animal: the number of the category "animal".
    """

    path: Path
    document: dict[str, Any]
    sha256: str
    root: str
    least: float
    animal: str

    @property
    def inputs(self) -> list[str]:
        """What identifies the list, for a journal."""
        return [self.root, self.sha256, f"{self.least:g}"]

    @property
    def photos(self) -> list[str]:
        """The path of each photo."""
        return [self.photo(image["file"]) for image in self.document["images"]]

    def photo(self, name: str) -> str:
        """Return the path of a photo from its name in the file, with "/"; files of Windows have backslashes."""
        joined = f"{self.root}/{name}" if self.root and not Path(name).is_absolute() else name
        return joined if os.path.lexists(joined) else joined.replace("\\", "/")

    def __call__(self) -> Iterator[ImageSource]:
        """Yield a source for each box to classify, and one that fails for each photo without such a box."""
        for image in self.document["images"]:
            yield from self._of_photo(image)

    def _of_photo(self, image: dict[str, Any]) -> Iterator[ImageSource]:
        path = self.photo(image["file"])
        if image.get("failure") or not isinstance(image.get("detections"), list):
            text = f"the detector failed: {image.get('failure') or 'it gave no detections'}"
            yield _without_box(path, "detector_failed", text)
            return
        boxes = self.boxes(image)
        if not boxes:
            yield _without_box(path, "no_box", f"no box of an animal with a confidence of {self.least:g} or more")
        source = file_source(path, path)
        for box in boxes:
            place = f"{box.left:.6g},{box.top:.6g},{box.width:.6g},{box.height:.6g},{box.confidence:.6g}"
            yield replace(source, signature=f"{source.signature}#{box.number}:{place}", part=Part(box))

    def boxes(self, image: dict[str, Any]) -> list[Box]:
        """Return the boxes of a photo that are classified."""
        found = []
        for number, detection in enumerate(image["detections"], 1):
            if str(detection.get("category")) == self.animal and detection.get("conf", 0) >= self.least:
                left, top, width, height = map(float, detection["bbox"])
                found.append(Box(number, left, top, width, height, float(detection["conf"])))
        return found

    def count(self, passed: object = None) -> int:
        """Return the number of sources."""
        return sum(1 for _ in self())

    def unlisted(self) -> int:
        """Return how many photos of the folder are not in the file."""
        listed = set(self.photos)
        return sum(source.path not in listed for source in iter_sources([self.root])) if self.root else 0


def _without_box(path: str, reason: str, detail: str) -> ImageSource:
    return ImageSource(path, "", functools.partial(ImageFailure, reason, detail), Part())


def read_boxes(path: Path, root: str = "", least: float | None = None) -> BoxList:
    """Read a detector file.

    root: the folder of its photos. least: the lowest confidence; None: the threshold that the file calls typical, or
    `LEAST_CONFIDENCE`. Raises `InputFileError` for a file of another form, and `UsageError` if no photo is there.
    """
    try:
        data = path.read_bytes()
        document = json.loads(data)
    except FileNotFoundError:
        raise InputFileError(path, "there is no such file.") from None
    except OSError as error:
        raise InputFileError(path, f"cannot be read ({error.strerror or error}).") from error
    except (ValueError, RecursionError) as error:
        raise InputFileError(path, f"is not valid JSON: {brief(error)}.", hint=_HINT) from error
    animal = _animal(path, document)
    for number, image in enumerate(document["images"], 1):
        _check(path, number, image)
    if least is None:
        about = document["info"].get("detector_metadata")
        typical = about.get("typical_detection_threshold") if isinstance(about, dict) else None
        least = float(typical) if typical is not None and _is_share(typical) else LEAST_CONFIDENCE
    root = "" if root in ("", ".") else root.replace(os.sep, "/").rstrip("/") or "/"
    boxes = BoxList(path, document, hashlib.sha256(data).hexdigest(), root, least, animal)
    if not any(map(os.path.lexists, boxes.photos)):
        first = boxes.photos[0] if boxes.photos else "(it lists none)"
        raise UsageError(
            f"None of the {len(boxes.photos):,} photos of {path} is there, for example {first}.",
            hint="Give the folder that the detector searched: revcd predict FOLDER --boxes FILE",
        )
    return boxes


def _animal(path: Path, document: Any) -> str:
    """Return the number of the category "animal"."""
    parts = {"info": dict, "detection_categories": dict, "images": list}
    if not isinstance(document, dict) or any(not isinstance(document.get(name), kind) for name, kind in parts.items()):
        raise InputFileError(path, "is not the output of a detector.", hint=_HINT)
    version = str(document["info"].get("format_version", "1"))
    if not version.startswith("1"):
        raise InputFileError(path, f"has the format version {version}; revcd reads 1.0 to 1.9.")
    names: dict[str, str] = {str(name).casefold(): number for number, name in document["detection_categories"].items()}
    if "animal" not in names:
        named = ", ".join(names) or "none"
        raise InputFileError(path, f'has no detection category "animal"; its categories: {named}.')
    return names["animal"]


def _check(path: Path, number: int, image: Any) -> None:
    """Raise `InputFileError` unless an entry of `images` has the form that is read."""
    if not isinstance(image, dict) or not isinstance(image.get("file"), str) or not image["file"]:
        raise InputFileError(path, f'entry {number} of "images" names no file.', hint=_HINT)
    for detection in image.get("detections") or []:
        box = detection.get("bbox") if isinstance(detection, dict) else None
        if (
            not isinstance(box, list)
            or len(box) != 4
            or not all(map(_is_share, box))
            or min(box[2:]) <= 0
            or not _is_share(detection.get("conf"))
        ):
            wrong = 'a box that is not four shares of the photo (left, top, width, height) with a confidence "conf"'
            raise InputFileError(path, f"{image['file']} has {wrong}.", hint=_HINT)


def _is_share(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return is_number and -1e-3 <= value <= 1 + 1e-3
