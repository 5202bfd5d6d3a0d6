"""Draw the dataset of docs/tutorial.md: pictures of coloured shapes, with a class table.

    python examples/make_shapes.py shapes

writes shapes/ (a folder of pictures per class, attributes.csv, images.csv) and, in the same parent folder, new/. A
class is a colour, a pattern and a shape, such as "red striped circle". Every colour, pattern and shape occurs in seen
classes; four combinations are unseen classes.
"""

from __future__ import annotations

import csv
import math
import random
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

COLOURS = {"red": (210, 50, 45), "green": (60, 160, 75), "blue": (55, 90, 200), "yellow": (235, 200, 60)}
SHAPES = ("circle", "square", "triangle", "star")
PATTERNS = ("plain", "striped", "dotted")
ATTRIBUTES = (*COLOURS, "round", "corners", "pointed", "striped", "dotted")

UNSEEN = ("red striped triangle", "green plain star", "blue dotted circle", "yellow striped square")
NEW = ("yellow dotted star", "blue striped circle")  # not in the table; the tutorial adds them
PHOTOS, TEST_PHOTOS, SIZE = 10, 3, 160  # pictures per class, test pictures of a seen class, side in pixels


def describe(name: str) -> list[float]:
    """Return the attribute values of a class, 0 to 1, in the order of ATTRIBUTES."""
    colour, pattern, shape = name.split()
    corners = {"circle": 0, "square": 0.8, "triangle": 0.6, "star": 1}[shape]
    pointed = {"circle": 0, "square": 0.2, "triangle": 0.7, "star": 1}[shape]
    colours = [int(colour == each) for each in COLOURS]
    return [
        *colours,
        int(shape == "circle"),
        corners,
        pointed,
        int(pattern == "striped"),
        int(pattern == "dotted"),
    ]


def draw(name: str, chance: random.Random) -> Image.Image:
    """Return a picture of a class: random position, rotation and background, slightly blurred."""
    colour, pattern, shape = name.split()
    noise = np.random.default_rng(chance.getrandbits(64))  # `Image.effect_noise` has no seed
    ground = Image.fromarray(noise.normal(128, chance.uniform(10, 40), (SIZE, SIZE)).clip(0, 255).astype(np.uint8))
    dark, light = sorted(tuple(chance.randint(*span) for _ in range(3)) for span in ((20, 110), (120, 235)))
    picture = Image.merge(
        "RGB", [ground.point(lambda v, a=a, b=b: a + (b - a) * v // 255) for a, b in zip(dark, light, strict=True)]
    )
    paint = tuple(min(255, max(0, part + chance.randint(-25, 25))) for part in COLOURS[colour])
    radius = SIZE * chance.uniform(0.26, 0.4)
    middle = [SIZE / 2 + chance.uniform(-0.1, 0.1) * SIZE for _ in range(2)]
    inside = Image.new("L", (SIZE, SIZE))
    outline(ImageDraw.Draw(inside), shape, middle, radius, chance.uniform(0, 2 * math.pi))
    picture.paste(fill(pattern, paint, chance), mask=inside)
    return picture.filter(ImageFilter.GaussianBlur(chance.uniform(0.2, 1)))


def outline(pen: ImageDraw.ImageDraw, shape: str, middle: list[float], radius: float, turn: float) -> None:
    """Draw the filled shape in white."""
    x, y = middle
    if shape == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        return
    points = {"square": 4, "triangle": 3, "star": 10}[shape]
    reach = [radius * (0.45 if shape == "star" and k % 2 else 1.15) for k in range(points)]
    angles = [turn + 2 * math.pi * k / points for k in range(points)]
    pen.polygon([(x + r * math.cos(a), y + r * math.sin(a)) for r, a in zip(reach, angles, strict=True)], fill=255)


def fill(pattern: str, paint: tuple[int, ...], chance: random.Random) -> Image.Image:
    """Return a surface of the given colour, with white stripes or dots for these patterns."""
    surface = Image.new("RGB", (2 * SIZE, 2 * SIZE), paint)
    pen, step = ImageDraw.Draw(surface), chance.randint(16, 24)
    for a in range(0, 2 * SIZE, step):
        if pattern == "striped":
            pen.rectangle((a, 0, a + step // 2 - 1, 2 * SIZE), fill="white")
        for b in range(0, 2 * SIZE, step):
            if pattern == "dotted":
                pen.ellipse((a, b, a + step // 2, b + step // 2), fill="white")
    turned = surface.rotate(chance.uniform(0, 180), Image.Resampling.BICUBIC)
    return turned.crop((SIZE // 2, SIZE // 2, SIZE // 2 + SIZE, SIZE // 2 + SIZE))


def main(folder: Path) -> None:
    names = [f"{colour} {pattern} {shape}" for shape in SHAPES for pattern in PATTERNS for colour in COLOURS]
    seen = [name for name in names if name not in (*UNSEEN, *NEW)][::2]
    lines = []
    for name in (*seen, *UNSEEN):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(PHOTOS):
            draw(name, random.Random(f"{name} {number}")).save(folder / name / f"{number}.jpg", quality=90)
            part = "test_unseen" if name in UNSEEN else "test_seen" if number < TEST_PHOTOS else "trainval"
            lines.append((f"{name}/{number}.jpg", name, part))
    write(folder / "images.csv", ("path", "class", "split"), lines)
    write(folder / "attributes.csv", ("class", *ATTRIBUTES), [(name, *describe(name)) for name in (*seen, *UNSEEN)])
    others = folder.parent / "new"
    others.mkdir(exist_ok=True)
    for name in (*NEW, UNSEEN[0], seen[0]):
        draw(name, random.Random(f"new {name}")).save(others / f"{name.replace(' ', '-')}.jpg", quality=90)
    print(
        f"{len(seen)} classes to train on and {len(UNSEEN)} unseen ones in {folder}, {len(NEW) + 2} photos in {others}"
    )


def write(path: Path, header: tuple[str, ...], rows: list[tuple]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([header, *rows])


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "shapes"))
