"""The stream of photos to the backbone: its memory is bounded, and animations are noted once."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from revcd_cli.data.photos.image_source import ImageSource
from revcd_cli.data.photos.images import decode_rgb
from revcd_cli.pipeline.extract import decoding
from revcd_cli.pipeline.extract.stream import stream_features
from tests.makers.pictures import animated, encoded


class Colour:
    """A backbone whose feature is the mean colour."""

    streams, least_side, graph_problem = 1, None, ""
    batch = staticmethod(torch.stack)

    def transform(self, image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.array(image.resize((4, 4)), dtype=np.float32)).permute(2, 0, 1)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))


def source(name: str, data: bytes) -> ImageSource:
    return ImageSource(name, "", lambda: data)


PADDED = encoded(Image.new("RGB", (8, 8), "red"), "JPEG") + bytes(1000)


@pytest.mark.parametrize("limit", [1, 1500, 2500, 10_000])
def test_the_bytes_that_are_read_and_not_decoded_stay_below_the_limit(limit: int, monkeypatch: pytest.MonkeyPatch):
    held, most, lock = 0, 0, threading.Lock()

    def read() -> bytes:
        nonlocal held, most
        with lock:
            held += len(PADDED)
            most = max(most, held)
        return PADDED

    def decode(data: bytes, **options: object) -> object:
        nonlocal held
        picture = decode_rgb(data, **options)
        with lock:
            held -= len(data)
        return picture

    monkeypatch.setattr(decoding, "MAX_BYTES", limit)
    monkeypatch.setattr(decoding, "decode_rgb", decode)
    photos = (ImageSource(f"{number}.jpg", "", read) for number in range(60))
    assert len(list(stream_features(Colour(), photos, batch_size=16, workers=4))) == 60
    assert most <= max(limit, len(PADDED)) + len(PADDED)  # and the one that is being read


def test_the_first_animation_is_noted_and_their_number():
    still = encoded(Image.new("RGB", (8, 8)))
    photos = [source("still.png", still), source("a.gif", animated("GIF")), source("b.webp", animated("WEBP"))]
    notes: list[str] = []
    assert len(list(stream_features(Colour(), iter(photos), batch_size=2, on_note=notes.append))) == 3
    assert [note.partition(",")[0] for note in notes] == [
        "a.gif: holds several pictures",
        "2 photos hold several pictures",
    ]


def mpo() -> bytes:
    stream, frames = io.BytesIO(), [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(stream, "MPO", save_all=True, append_images=frames[1:])
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "several"),
    [
        *((animated(kind), True) for kind in ("GIF", "PNG", "WEBP", "TIFF")),
        (encoded(Image.new("RGB", (8, 8)), "GIF"), False),
        (animated("GIF")[:60], None),  # the second picture is corrupt; the first may be complete or not
        (mpo(), False),  # a photo of a camera with previews
    ],
)
def test_a_file_with_several_pictures_is_recognised(data: bytes, several: bool | None):
    picture = decode_rgb(data)
    if several is not None:
        assert list(picture.info["notes"]) == (["pages"] if several else [])
