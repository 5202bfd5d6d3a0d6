"""Faults 18 to 24 and 26: unusual but valid photos. Equal pixels give equal predictions in every file format."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from revcd_cli.data.formats.path_encoding import decode_path
from tests.makers.pictures import (
    BROKEN_EXIF,
    RAMP8,
    WIDE,
    animated,
    encoded,
    half_hidden,
    orientation_exif,
    photo,
    premultiplied,
    turned,
)

from ..runner import Fault, Run, Workspace

RACCOON = Path(__file__).resolve().parents[3] / "examples" / "raccoon.jpg"
TOLERANCE = 0.05  # of a probability, between nearly equal images


def scores(workspace: Workspace) -> dict[str, tuple[str, float]]:
    """Return the top-1 class and its probability for each photo."""
    with workspace.answers.open(newline="", encoding="utf-8") as stream:
        table = list(csv.DictReader(stream))
    prefix = f"{workspace.inputs.as_posix()}/"
    return {decode_path(row["path"]).removeprefix(prefix): (row["class"], float(row["probability"])) for row in table}


def all_alike(workspace: Workspace, run: Run) -> None:
    """Assert that all photos have the same prediction."""
    found = list(scores(workspace).values())
    assert {name for name, _ in found} == {found[0][0]}
    assert max(share for _, share in found) - min(share for _, share in found) < TOLERANCE


def alike(number: int, case: str, contents: Callable[[], Mapping[str, bytes]], *says: str) -> Fault:
    """Return the case of photos with the same content, which must get the same prediction."""

    def make(workspace: Workspace) -> list[str]:
        return workspace.predict(*(workspace.write(name, data) for name, data in contents().items()))

    return Fault(number, case, make, 0, dict.fromkeys(contents(), "ok"), says, all_alike)


def orientations() -> dict[str, bytes]:
    return {f"{n}.jpg": turned("JPEG", n, quality=100, subsampling=0) for n in range(1, 9)}


def invalid_orientations() -> dict[str, bytes]:
    plain = {"plain.png": encoded(photo())}
    blocks = [(3, 0), (3, 9), (3, 255), (2, 0x41424344)]
    return plain | {
        f"{kind}-{value}.png": encoded(photo(), exif=orientation_exif(kind, value)) for kind, value in blocks
    }


def broken_exif() -> dict[str, bytes]:
    return {"plain.jpg": encoded(photo(), "JPEG", quality=95)} | {
        f"{number}.jpg": encoded(photo(), "JPEG", quality=95, exif=block) for number, block in enumerate(BROKEN_EXIF)
    }


def inks() -> dict[str, bytes]:
    with Image.open(RACCOON) as opened:  # a confident prediction, so that rounding cannot change the class
        plain = opened.convert("RGB").convert("CMYK")
    return {
        "rgb.png": encoded(plain.convert("RGB")),
        "cmyk.jpg": encoded(plain, "JPEG", quality=98, subsampling=0),  # Pillow writes Adobe's inverted form
        "cmyk.tif": encoded(plain, "TIFF"),
        "ycc.jpg": encoded(plain.convert("RGB"), "JPEG", quality=98, subsampling=0),
    }


def greys() -> dict[str, bytes]:
    grey = photo().convert("L")
    opaque = Image.merge("LA", (grey, Image.new("L", grey.size, 255)))
    palette = grey.convert("RGB").quantize(256)
    return {
        "rgb.png": encoded(grey.convert("RGB")),
        "grey.png": encoded(grey),
        "grey-alpha.png": encoded(opaque),
        "rgba.png": encoded(opaque.convert("RGBA")),
        "palette.png": encoded(grey.convert("P")),
        "palette-alpha.png": encoded(palette, transparency=bytes([255] * 256)),
    }


def bilevel() -> dict[str, bytes]:
    ink = photo().convert("1")
    return {"1-bit.png": encoded(ink), "1-bit.tif": encoded(ink, "TIFF"), "grey.png": encoded(ink.convert("L"))}


def hidden() -> dict[str, bytes]:
    large = [half_hidden(colour).resize((64, 64), Image.Resampling.NEAREST) for colour in ((255, 0, 0), (0, 0, 0))]
    white = Image.new("RGB", (64, 64), "white")
    white.paste(large[0].convert("RGB").crop((32, 0, 64, 64)), (32, 0))
    return {"red.png": encoded(large[0]), "black.png": encoded(large[1]), "on-white.png": encoded(white)}


def wide() -> dict[str, bytes]:
    return {"8-bit.png": encoded(Image.fromarray(RAMP8))} | {
        f"{name}.{'png' if 'png' in name else 'tif'}": data for name, data in WIDE.items()
    }


def wrong_profile() -> dict[str, bytes]:
    good = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    damaged = bytes(np.random.default_rng(0).permutation(np.frombuffer(good, np.uint8)))
    return {
        "plain.png": encoded(photo()),
        "nothing.png": encoded(photo(), icc_profile=b"no profile"),
        "damaged.png": encoded(photo(), icc_profile=damaged),
    }


FIRST_FRAME = "holds several pictures, of which only the first is read"

MOVING = ("GIF", "PNG", "WEBP", "TIFF")


def red_and(kind: str) -> dict[str, bytes]:
    return {f"animated.{kind.lower()}": animated(kind), "red.png": encoded(Image.new("RGB", (16, 16), "red"))}


def two_animations(workspace: Workspace) -> list[str]:
    return workspace.predict(*(workspace.write(name, animated("GIF")) for name in ("a.gif", "b.gif")))


def said_once(workspace: Workspace, run: Run) -> None:
    assert run.stderr.count(FIRST_FRAME) == 1
    all_alike(workspace, run)


def three_times(workspace: Workspace) -> list[str]:
    path = workspace.good()
    return workspace.predict(path, path, path)


FAULTS: Sequence[Fault] = (
    alike(18, "the eight orientations of one scene", orientations),
    alike(18, "orientations that do not exist", invalid_orientations),
    alike(19, "a broken EXIF block", broken_exif),
    alike(20, "CMYK, with Adobe's inversion, and YCC", inks),
    alike(21, "grey, palette and alpha", greys),
    alike(21, "one bit", bilevel),
    alike(21, "colour hidden under full transparency", hidden),
    alike(22, "16 bits, 32 bits and floating point", wide),
    alike(22, "premultiplied grey (mode La)", lambda: dict(zip(("LA.tif", "La.tif"), premultiplied(), strict=True))),
    *(
        alike(23, f"the first frame of a {kind}", partial(red_and, kind), FIRST_FRAME)
        for kind in ("GIF", "PNG", "WEBP", "TIFF")
    ),
    Fault(23, "several animations", two_animations, 0, {"a.gif": "ok", "b.gif": "ok"}, then=said_once),
    alike(24, "a corrupt colour profile", wrong_profile),
    # README.md: a path that is given several times has one row, because rows are identified by path.
    Fault(26, "the same photo three times", three_times, 0, {"good.png": "ok"}),
)
