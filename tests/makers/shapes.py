"""A data set of drawn images: classes differ in colour or pattern; one class has no photos."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

SEEN, UNSEEN = ("red", "green", "striped", "dotted"), ("blue", "plain")  # "plain" has no photos
PHOTOS = 8  # of every other class
SMALL = (
    *("train.epochs=2", "train.validation_folds=2", "precondition.kind=standardise", "prototypes.components=32"),
    *("prototypes.length=2", "prototypes.noise=0.2", "prototypes.own_share=0.1"),  # the search has its own tests
    *("class_network.width=16", "class_network.epochs=2"),
    *("denoiser.width=32", "encoder.width=32", "encoder.n_tokens=4", "encoder.feedforward=32"),
)
SMALL_OPTIONS = ["--backbone", "embedded", *(part for setting in SMALL for part in ("--set", setting))]


def draw(name: str, generator: np.random.Generator) -> Image.Image:
    """Return a noisy image of 64 x 64 pixels with the colour or pattern of its class."""
    canvas = generator.integers(0, 60, (64, 64, 3))
    if name in ("red", "green", "blue"):
        canvas[:, :, ("red", "green", "blue").index(name)] += 180
    elif name == "striped":
        canvas[:: generator.integers(4, 8)] += 180
    else:
        canvas[:: generator.integers(6, 10), :: generator.integers(6, 10)] += 180
    return Image.fromarray(canvas.astype(np.uint8))


def make_folder(root: Path) -> Path:
    generator = np.random.default_rng(0)
    for name in (*SEEN, "blue"):
        (root / name).mkdir(parents=True)
        for number in range(PHOTOS):
            draw(name, generator).save(root / name / f"{number}.png")
    with (root / "attributes.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["class", *(f"trait {k}" for k in range(6))])
        writer.writerows([name, *generator.uniform(0, 1, 6).round(3)] for name in (*SEEN, *UNSEEN))
    parts = ["trainval"] * 6 + ["test_seen"] * 2
    lines = [f"{name}/{k}.png,{name},{parts[k]}" for name in SEEN for k in range(PHOTOS)]
    lines += [f"blue/{k}.png,blue,test_unseen" for k in range(PHOTOS)]
    (root / "images.csv").write_text("\n".join(["path,class,split", *lines]), encoding="utf-8")
    return root
