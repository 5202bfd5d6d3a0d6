"""Pictures for the tests on a GPU: random crops of the example photos, and drawings. All from fixed seeds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tests.makers.shapes import SEEN, draw

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def crops(count: int, seed: int = 0) -> Iterator[Image.Image]:
    """Yield crops of the two example photos, of 30 to 100 % of their sides, some mirrored, at most 500 pixels wide."""
    generator = np.random.default_rng(seed)
    sources = [Image.open(EXAMPLES / name).convert("RGB") for name in ("cat.jpg", "raccoon.jpg")]
    for number in range(count):
        source = sources[number % len(sources)]
        width, height = (round(side * generator.uniform(0.3, 1)) for side in source.size)
        left, top = (int(generator.integers(0, room + 1)) for room in (source.width - width, source.height - height))
        picture = source.crop((left, top, left + width, top + height))
        picture.thumbnail((500, 500))
        yield picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if generator.random() < 0.5 else picture


def drawn(count: int, seed: int = 0) -> Iterator[Image.Image]:
    """Yield drawings of the classes of `tests.makers.shapes`."""
    generator = np.random.default_rng(seed)
    for number in range(count):
        yield draw(SEEN[number % len(SEEN)], generator).resize((192, 192), Image.Resampling.BICUBIC)
