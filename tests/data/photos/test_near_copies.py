"""Near copies of a photo have a large cosine, other photos do not; mirroring and order do not matter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from revcd_cli.data.photos.copies import identical_files
from revcd_cli.data.photos.near_copies import BOUND, describe, describe_photos, mirrored, near_pairs


def picture(seed: int) -> Image.Image:
    """Return a photo-like picture: smooth colours at several scales."""
    chance = np.random.default_rng(seed)
    layers = [
        Image.fromarray(chance.integers(0, 256, (size, size + 2, 3), dtype=np.uint8)).resize((400, 300), Image.BICUBIC)
        for size in (3, 6, 24)
    ]
    return Image.blend(Image.blend(layers[0], layers[1], 0.4), layers[2], 0.2)


CHANGES = {
    "smaller": (lambda image: image.resize((160, 120)), "JPEG", {"quality": 90}),
    "larger": (lambda image: image.resize((800, 600)), "JPEG", {"quality": 90}),
    "strongly compressed": (lambda image: image, "JPEG", {"quality": 20}),
    "another format": (lambda image: image, "PNG", {}),
    "brighter": (lambda image: ImageEnhance.Brightness(image).enhance(1.15), "JPEG", {}),
    "grey": (lambda image: image.convert("L"), "JPEG", {}),
    "mirrored": (ImageOps.mirror, "JPEG", {"quality": 90}),
    "slightly cropped": (lambda image: image.crop((4, 3, 396, 297)), "JPEG", {}),
    "other metadata": (lambda image: image, "JPEG", {"quality": 95, "comment": b"changed"}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_changed_photo_is_a_near_copy_and_no_other_is(tmp_path: Path, change: tuple):
    convert, kind, options = change
    for seed in range(8):
        picture(seed).save(tmp_path / f"{seed}.jpg", quality=95)
    convert(picture(3)).save(tmp_path / f"copy.{kind.lower()}", kind, **options)
    paths = [*(f"{seed}.jpg" for seed in range(8)), f"copy.{kind.lower()}"]
    assert list(near_pairs(describe_photos(tmp_path, paths))) == [(3, 8)]
    assert identical_files(tmp_path, paths) == []


def test_mirrored_vectors_are_those_of_mirrored_grey_values():
    grey = np.random.default_rng(0).uniform(0, 255, (32, 32))
    np.testing.assert_allclose(mirrored(describe(grey)[None])[0], describe(grey[:, ::-1]), atol=1e-12)


def test_uniform_and_unreadable_photos_are_near_to_nothing(tmp_path: Path):
    for name in ("black", "white", "black too"):
        Image.new("RGB", (64, 64), name.split()[0]).save(tmp_path / f"{name}.png")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    counts: list[tuple[int, int | None, int]] = []
    paths = ["black.png", "white.png", "black too.png", "broken.jpg", "absent.jpg"]
    vectors = describe_photos(tmp_path, paths, lambda *now: counts.append(now))
    assert not vectors.any() and list(near_pairs(vectors)) == []
    assert counts[-1] == (5, 5, 2)


def test_pairs_in_tiles_equal_those_of_the_whole_matrix(monkeypatch: pytest.MonkeyPatch):
    vectors = np.random.default_rng(0).normal(size=(40, 63)).astype(np.float32)
    vectors[25], vectors[33] = vectors[3] * 1.0, mirrored(vectors[7:8])[0]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    whole = list(near_pairs(vectors, BOUND))
    monkeypatch.setattr("revcd_cli.data.photos.near_copies._TILE", 7)
    assert sorted(near_pairs(vectors, BOUND)) == sorted(whole) == [(3, 25), (7, 33)]


def test_identical_files_are_found_by_their_bytes(tmp_path: Path):
    contents = {"a": b"one", "b": b"two", "c": b"one", "d": b"", "e": b"", "f": b"other size"}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    assert identical_files(tmp_path, [*contents, "absent"]) == [[0, 2]]


def test_real_photos_of_the_animals_have_few_near_copies(shared_data: Path):
    root = shared_data / "animals" / "images"
    paths = [f"{folder}/{number:04d}.jpg" for folder in ("zebra", "horse") for number in range(30)]
    paths = [path for path in paths if (root / path).is_file()]
    assert len(list(near_pairs(describe_photos(root, paths)))) <= 2
