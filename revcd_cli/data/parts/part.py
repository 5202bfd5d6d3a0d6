"""A part of a file that is classified by itself: a box of a photo, or a frame of a video."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

# Of the longer side of a box, on each side. The usual preprocessing of backbones cuts off the outer eighth of the
# picture (224 of 256 pixels), so that about this margin keeps the whole box. That of whole photos cuts nothing off.
MARGIN = 0.1


@dataclass(frozen=True)
class Box:
    """A box in an upright photo. left, top, width, height: shares of the photo's width and height."""

    number: int  # in the order of the detector, from 1
    left: float
    top: float
    width: float
    height: float
    confidence: float  # of the detector

    def cut(self, image: Image.Image) -> Image.Image:
        """Return the square around the box with the margin, moved into the photo, and cut where it is too small."""
        width, height = image.size
        side = max(self.width * width, self.height * height) * (1 + 2 * MARGIN)
        left, right = _span((self.left + self.width / 2) * width, side, width)
        top, bottom = _span((self.top + self.height / 2) * height, side, height)
        return image.crop((left, top, right, bottom))


@dataclass(frozen=True)
class Part:
    """What is classified of a file: a box, a frame at `time` seconds, or (neither) a photo without boxes."""

    box: Box | None = None
    time: float | None = None


def _span(middle: float, side: float, size: int) -> tuple[int, int]:
    """Return where the side of a square begins and ends, in whole pixels of 0..size."""
    length = max(1, min(round(side), size))
    start = min(max(round(middle - length / 2), 0), size - length)
    return start, start + length
