"""Find near copies of photos: the same picture in another size, compression, format or brightness, also mirrored.

A photo is described by the low frequencies of its grey values: the 8 x 8 lowest coefficients of the discrete cosine
transform of 32 x 32 pixels, without the mean, as a vector of length 1 (the real-valued form of the perceptual hash
pHash). Near copies have a large cosine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from .image_source import read_file
from .images import ImageFailure, decode_rgb

SIDE, FREQUENCIES = 32, 8
BOUND = 0.975  # cosine of near copies; different photos of 5,140 animals have at most 0.968
_LEAST_CONTRAST = 4.0  # standard deviation of grey values, below which a photo has no structure to compare
_TILE = 2048

OnProgress = Callable[[int, "int | None", int], None]


def describe_photos(root: Path, paths: Sequence[str], on_progress: OnProgress | None = None) -> np.ndarray:
    """Return a vector for each photo (N, 63) float32 of length 1; zeros for photos that are unreadable or uniform."""
    vectors = np.zeros((len(paths), FREQUENCIES**2 - 1), dtype=np.float32)
    failed = 0
    with ThreadPoolExecutor() as pool:
        for row, image in enumerate(pool.map(lambda path: _grey(root / path), paths)):
            failed += image is None
            if image is not None:
                vectors[row] = describe(image)
            if on_progress is not None:
                on_progress(row + 1, len(paths), failed)
    return vectors


def _grey(path: Path) -> np.ndarray | None:
    """Return the grey values (32, 32) of a photo, None if it cannot be decoded."""
    data = read_file(str(path))
    image = data if isinstance(data, ImageFailure) else decode_rgb(data, least_side=SIDE)
    if isinstance(image, ImageFailure):
        return None
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)


def describe(grey: np.ndarray) -> np.ndarray:
    """Return the vector (63,) of length 1 of grey values (32, 32), or zeros for uniform ones."""
    from scipy.fft import dctn

    if grey.std() < _LEAST_CONTRAST:
        return np.zeros(FREQUENCIES**2 - 1)
    low = dctn(grey, norm="ortho")[:FREQUENCIES, :FREQUENCIES].ravel()[1:]
    return low / np.linalg.norm(low)


def mirrored(vectors: np.ndarray) -> np.ndarray:
    """Return the vectors of the mirrored photos: odd horizontal frequencies change their sign."""
    signs = np.where(np.arange(FREQUENCIES) % 2, -1.0, 1.0)
    return (vectors * np.tile(signs, FREQUENCIES)[1:]).astype(vectors.dtype)


def near_pairs(vectors: np.ndarray, bound: float = BOUND) -> Iterator[tuple[int, int]]:
    """Yield pairs of rows, the lower first, whose cosine is at least `bound`, also after mirroring one of them."""
    flipped = mirrored(vectors)
    for top in range(0, len(vectors), _TILE):
        for left in range(top, len(vectors), _TILE):
            block = vectors[top : top + _TILE]
            cosines = np.maximum(block @ vectors[left : left + _TILE].T, block @ flipped[left : left + _TILE].T)
            for row, column in zip(*np.nonzero(cosines >= bound), strict=True):
                if top + row < left + column:
                    yield int(top + row), int(left + column)
