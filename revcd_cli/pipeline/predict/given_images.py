"""The photos that a program gives to `Predictor`: paths, encoded bytes, PIL images and arrays."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ...data.photos.image_source import ImageSource
from ...data.photos.images import MAX_BYTES, ImageFailure, too_large
from ...data.photos.passed_over import PassedOver
from ...data.photos.sources import count_sources, iter_sources
from ...errors import UsageError

OneImage = str | Path | bytes | Image.Image | np.ndarray
Images = OneImage | Sequence[OneImage]

_EXPECTED = "Expected a path, bytes of an encoded photo, a PIL image, or a uint8 array (H, W), (H, W, 3) or (H, W, 4)"


def given_sources(images: Images, *, null_separated: bool = False) -> Iterator[ImageSource]:
    """Return the photos in order. One that has no path is named by its number, "image 1".

    Paths are those of `iter_sources`. Raises `UsageError` for an object that is no image, before anything is read.
    """
    given = _listed(images)
    if all(isinstance(image, str | Path) for image in given):
        return iter_sources([str(image) for image in given], null_separated=null_separated)
    for number, image in enumerate(given, 1):
        _check(image, number)
    return _sources(given)


def count_given(images: Images, passed: PassedOver | None = None) -> int | None:
    """Return the number of photos, None if it is not known beforehand; see `count_sources`."""
    given = _listed(images)
    if all(isinstance(image, str | Path) for image in given):
        return count_sources([str(image) for image in given], passed)
    return None if any(isinstance(image, str | Path) for image in given) else len(given)


def _listed(images: Images) -> list[OneImage]:
    if isinstance(images, str | Path | bytes | Image.Image):
        return [images]
    if isinstance(images, np.ndarray):
        return list(images) if images.ndim == 4 else [images]
    if not isinstance(images, Iterable):
        raise UsageError(f"{type(images).__name__} is no image. {_EXPECTED}, or a list of them.")
    return list(images)


def _check(image: object, number: int) -> None:
    if isinstance(image, np.ndarray):
        shape = image.shape
        is_image = image.ndim == 2 or (image.ndim == 3 and shape[2] in (3, 4))
        if image.dtype != np.uint8 or not is_image or not image.size:
            raise UsageError(f"Image {number} is an array of {image.dtype} with the shape {shape}. {_EXPECTED}.")
    elif not isinstance(image, str | Path | bytes | Image.Image):
        raise UsageError(f"Image {number} is of the type {type(image).__name__}. {_EXPECTED}.")


def _sources(given: Sequence[OneImage]) -> Iterator[ImageSource]:
    for number, image in enumerate(given, 1):
        if isinstance(image, str | Path):
            yield from iter_sources([str(image)])
        else:
            yield ImageSource(f"image {number}", "", functools.partial(_encoded, image))


def _encoded(image: bytes | Image.Image | np.ndarray) -> bytes | ImageFailure:
    """Return the bytes of a photo file. Pixels and EXIF orientation are kept: the formats have no loss."""
    if isinstance(image, bytes):
        return image if len(image) <= MAX_BYTES else too_large()
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    try:
        exif = picture.getexif()
        form = "TIFF" if picture.mode in ("CMYK", "YCbCr", "LAB", "F") else "PNG"
        picture = picture.convert("RGB") if picture.mode in ("HSV", "RGBX", "RGBa", "La") else picture
        stream = io.BytesIO()
        picture.save(stream, form, exif=exif, **({"compress_level": 1} if form == "PNG" else {}))
    except (OSError, ValueError, SyntaxError) as error:  # a lazily loaded image may be damaged
        return ImageFailure("corrupt", f"the image cannot be read: {error}")
    return stream.getvalue()
