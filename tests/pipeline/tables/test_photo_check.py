"""Near copies of training photos among the test photos are found from features, and confirmed on the photos."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

from revcd_cli.config import BackboneRecord
from revcd_cli.data.datasets.dataset import add_features
from revcd_cli.data.datasets.folder import read_folder
from revcd_cli.pipeline.tables.photo_check import near_copies_by_features, photo_findings

RECORD = BackboneRecord(tag="some.tag", weights_sha256="ab", preprocessing={}, feature_dim=8)


def picture(seed: int, size: tuple[int, int] = (200, 150)) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((200, 150), Image.Resampling.BICUBIC).resize(size)


def test_only_pairs_that_look_the_same_are_reported(tmp_path: Path):
    root = tmp_path / "zoo"
    lines = ["path,class,split"]
    for number in range(6):
        (root / "zebra").mkdir(parents=True, exist_ok=True)
        picture(number).save(root / "zebra" / f"{number}.png")
        lines.append(f"zebra/{number}.png,zebra,{'trainval' if number < 3 else 'test_seen'}")
    picture(1, (120, 90)).save(root / "zebra" / "copy.jpg")
    lines.append("zebra/copy.jpg,zebra,test_seen")
    (root / "attributes.csv").write_text("class,a,b\nzebra,0,1\nlion,1,0\n")
    (root / "images.csv").write_text("\n".join(lines))
    dataset = read_folder(root)
    vectors = np.random.default_rng(0).normal(size=(7, 8)).astype(np.float32)
    vectors[6] = vectors[1] + 0.01  # the copy
    vectors[4] = vectors[2] + 0.01  # another photo with nearly the same features
    featured = add_features(dataset, vectors, RECORD)
    (warning,) = near_copies_by_features(featured)
    assert (warning.rank, warning.kind) == ("warning", "near copies across parts")
    assert warning.items == ("zebra/1.png (trainval) ~ zebra/copy.jpg (test_seen)",)
    (same,) = photo_findings(dataset)
    assert same == warning
    assert near_copies_by_features(dataclasses.replace(featured, images_root=None)) == []
