"""Scale grey and colour values of more than 8 bits to 8 bits by the bits that the file uses."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from PIL import Image

from .tiff_tags import BITS


def to_8_bits(image: Image.Image) -> tuple[Image.Image, str]:
    """Return a grey image of 8 bits, and a note if the values do not use the whole range of their type.

    Pillow's conversion would clip the values to white. Cameras and microscopes store 10, 12 or 14 bits in 16; the file
    rarely says so. The range ends at 2^b - 1, with b from the file's BitsPerSample, or the least that holds all
    values, and at least 8. Floating-point values end at 1, 255, 65,535, or the largest one. Negative values shift the
    range to the smallest one. Raises ValueError for values that are not finite.
    """
    samples = np.asarray(image)  # (H, W)
    if not np.isfinite(samples).all():
        raise ValueError("some values are not finite")
    low, peak = float(samples.min()), float(samples.max())
    low = min(low, 0.0)
    top, note = _float_range(peak) if image.mode == "F" else _integer_range(image, peak)
    if low < 0:
        top, note = peak, f"grey values from {low:g} to {peak:g} are scaled to the range of a photo"
    grey = np.multiply(samples - low, 255 / max(top - low, 1e-30), dtype=np.float32)
    grey = np.rint(grey.clip(0, 255)).astype(np.uint8)
    hidden = image.info.get("transparency")
    if isinstance(hidden, int):
        grey[samples == hidden] = 255
    return Image.fromarray(grey), note


def is_wide_colour(image: Image.Image) -> bool:
    """Return whether an opened image has colours of 16 bits, of which Pillow reads the upper 8. Call it before load."""
    return image.mode in ("RGB", "RGBA") and any(";16" in _raw_mode(tile[3]) for tile in getattr(image, "tile", ()))


def scale_wide_colour(image: Image.Image, reopened: Image.Image) -> tuple[Image.Image, str]:
    """Return an image of 16-bit colours that use few of their bits with its values scaled, and a note.

    image: loaded, with the upper 8 bits. reopened: the same file, not loaded; it is read in the other byte order, which
    gives the lower 8 bits. An image that uses all bits is returned unchanged, with the note "".
    """
    upper = np.asarray(image)  # (H, W, 3 or 4)
    peak = int(upper[..., :3].max())
    if peak > 127:
        return image, ""
    reopened_tiles: Any = reopened
    reopened_tiles.tile = [(*tile[:3], _other_order(tile[3])) for tile in reopened_tiles.tile]
    reopened.load()
    lower = np.asarray(reopened)
    values = upper[..., :3].astype(np.uint16) * 256 + lower[..., :3]
    used = max(8, int(values.max()).bit_length())
    colours = np.rint(values * (255 / (2**used - 1))).astype(np.uint8)
    scaled = np.concatenate([colours, upper[..., 3:]], axis=2)
    note = f"colour values use {used} of 16 bits and are scaled to the range of a photo"
    return Image.fromarray(scaled, image.mode), note


def _raw_mode(arguments: Any) -> str:
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _other_order(arguments: Any) -> Any:
    """Return the arguments of a decoder with the other byte order."""
    mode = _raw_mode(arguments)
    native = "L" if sys.byteorder == "little" else "B"
    order = native if mode.endswith("N") else mode[-1]
    other = mode[:-1] + ("L" if order == "B" else "B")
    return (other, *arguments[1:]) if isinstance(arguments, tuple) else other


def _integer_range(image: Image.Image, peak: float) -> tuple[float, str]:
    used = max(8, int(peak).bit_length())
    stated = getattr(image, "tag_v2", {}).get(BITS, (0,))
    bits = int(stated[0]) if isinstance(stated, tuple) and stated else 0
    if 8 < bits < 16 and used <= bits:
        return float(2**bits - 1), f"grey values of {bits} bits are scaled to the range of a photo"
    whole = 16 if image.mode.startswith("I;16") or used > 8 else 8
    if used >= whole:
        return float(2**used - 1), ""
    return float(2**used - 1), f"grey values use {used} of {whole} bits and are scaled to the range of a photo"


def _float_range(peak: float) -> tuple[float, str]:
    if peak <= 1:
        used = 2.0 ** np.ceil(np.log2(peak)) if peak > 0 else 1.0
        if used > 0.25:
            return 1.0, ""
        return float(used), f"grey values up to {peak:g} are scaled to the range of a photo"
    if 127 < peak <= 255 or 32_767 < peak <= 65_535:
        return (255.0 if peak <= 255 else 65_535.0), ""
    if peak <= 65_535:
        return float(2 ** int(np.ceil(np.log2(peak + 1))) - 1), (
            f"grey values up to {peak:g} are scaled to the range of a photo"
        )
    return peak, ""
