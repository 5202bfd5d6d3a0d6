"""Preprocess RGB images for a network: resize, crop and normalise as timm's data config of its weights says.

The result equals that of timm's transform bit for bit. The config of nearly all networks is handled here, without
importing timm or torchvision; the others are handled by timm.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

_INTERPOLATION = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class Preprocessing:
    """The preprocessing of a network, from timm's resolved data config.

    device: where photos are normalised.
    least_side: the shorter side after resizing; a JPEG may be decoded at any larger size. None if timm does it.
    """

    def __init__(self, config: dict[str, Any], device: torch.device | str = "cpu") -> None:
        self._config: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in config.items()
        }
        mean, std = (torch.tensor(self._config[name]).view(-1, 1, 1).to(device) for name in ("mean", "std"))
        self._mean, self._std = mean, std  # (3, 1, 1)
        _, self._height, self._width = self._config["input_size"]
        mode = self._config.get("crop_mode", "center")
        self._whole = mode == "squash" and self._config["crop_pct"] == 1
        usual = self._height == self._width and (mode == "center" or self._whole)
        self._filter = _INTERPOLATION.get(self._config["interpolation"]) if usual else None
        self.least_side = math.floor(self._height / self._config["crop_pct"]) if self._filter is not None else None
        if self.least_side is not None and self.least_side < self._height:
            self.least_side = None
        self._timm: Any = None

    def pixels(self, image: Image.Image) -> Tensor:
        """Resize one RGB image and crop it, unless the config is of whole photos: (3, H, W) uint8."""
        if self.least_side is None:
            if self._timm is None:
                self._timm = _timm_transform(self._config)
            return torch.as_tensor(self._timm(image))
        width, height = (self._width, self._height) if self._whole else _resized(*image.size, self.least_side)
        if (width, height) != image.size:
            image = image.resize((width, height), self._filter)
        left, top = (round((size - kept) / 2) for size, kept in ((width, self._width), (height, self._height)))
        image = image.crop((left, top, left + self._width, top + self._height))
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)

    def normalised(self, pixels: Tensor) -> Tensor:
        """Return pixels (..., 3, H, W) as float32, normalised with the network's mean and standard deviation."""
        return pixels.to(torch.float32).div_(255).sub_(self._mean).div_(self._std)


def _resized(width: int, height: int, shorter: int) -> tuple[int, int]:
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter


def _timm_transform(config: dict[str, Any]) -> Any:
    from timm.data.transforms_factory import create_transform

    return create_transform(**config, is_training=False, use_prefetcher=True)  # without normalisation
