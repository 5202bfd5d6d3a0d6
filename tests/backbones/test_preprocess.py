"""Preprocessing equals that of timm bit for bit, for photos of every size and mode."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform, resolve_data_config

from revcd_cli.backbones.preprocess import Preprocessing

SIZES = st.integers(1, 400)


def config(tag: str = "resnet101.tv_in1k", **changes: object) -> dict:
    return {**resolve_data_config({}, pretrained_cfg=timm.get_pretrained_cfg(tag).to_dict()), **changes}


def noise(width: int, height: int) -> Image.Image:
    generator = np.random.default_rng([width, height])
    return Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))


def assert_timms_own(config: dict, image: Image.Image) -> None:
    ours = Preprocessing({name: list(value) if isinstance(value, tuple) else value for name, value in config.items()})
    pixels = ours.pixels(image)
    assert (pixels.dtype, tuple(pixels.shape)) == (torch.uint8, config["input_size"])
    assert torch.equal(ours.normalised(pixels), create_transform(**config, is_training=False)(image))


@settings(max_examples=30, deadline=None)
@given(SIZES, SIZES)
def test_photos_of_any_size_are_resized_and_cropped_as_timm_does(width: int, height: int):
    assert_timms_own(config(input_size=(3, 64, 64)), noise(width, height))


@pytest.mark.parametrize(
    "changes",
    [
        {"interpolation": "bicubic", "crop_pct": 0.95},
        {"interpolation": "bilinear", "crop_pct": 1.0},
        {"interpolation": "lanczos", "crop_pct": 0.9},
        {"crop_mode": "squash"},
        {"crop_mode": "border"},
        {"input_size": (3, 48, 80)},
        {"crop_pct": 1.2},
    ],
)
@pytest.mark.parametrize("size", [(90, 61), (61, 90), (64, 64), (300, 200)])
def test_every_kind_of_config_gives_the_pixels_of_timm(changes: dict, size: tuple[int, int]):
    assert_timms_own(config(**{"input_size": (3, 64, 64), **changes}), noise(*size))


def test_a_batch_is_normalised_as_each_of_its_photos_alone():
    ours = Preprocessing(config())
    pixels = torch.stack([ours.pixels(noise(300, height)) for height in (200, 300, 400)])
    assert torch.equal(ours.normalised(pixels), torch.stack([ours.normalised(photo) for photo in pixels]))
