"""From an RGB photo to what a network reads: resized, cropped, and normalised as timm says for its weights.

The result is timm's own, bit for bit. What nearly all networks ask for is done here, without loading timm or
torchvision; the rest by timm.
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
    """timm's resolved data config of a network, ready to be applied.

    device: where photos are normalised.
    least_side: the shorter side to which a photo is resized; it may be read at any larger size. None where unknown.
    """

    def __init__(self, config: dict[str, Any], device: torch.device | str = "cpu") -> None:
        self._config = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
        mean, std = (torch.tensor(self._config[name]).view(-1, 1, 1).to(device) for name in ("mean", "std"))
        self._mean, self._std = mean, std  # (3, 1, 1)
        _, self._height, self._width = self._config["input_size"]
        usual = self._height == self._width and self._config.get("crop_mode", "center") == "center"
        self._filter = _INTERPOLATION.get(self._config["interpolation"]) if usual else None
        self.least_side = math.floor(self._height / self._config["crop_pct"]) if self._filter is not None else None
        if self.least_side is not None and self.least_side < self._height:
            self.least_side = None
        self._timms: Any = None

    def pixels(self, image: Image.Image) -> Tensor:
        """Resize and crop one RGB photo: (3, H, W) uint8."""
        if self.least_side is None:
            if self._timms is None:
                self._timms = _timms_own(self._config)
            return torch.as_tensor(self._timms(image))
        width, height = _resized(image.width, image.height, self.least_side)
        if (width, height) != image.size:
            image = image.resize((width, height), self._filter)
        left, top = (round((size - kept) / 2) for size, kept in ((width, self._width), (height, self._height)))
        image = image.crop((left, top, left + self._width, top + self._height))
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)

    def normalised(self, pixels: Tensor) -> Tensor:
        """Return pixels (..., 3, H, W) as float32 with the mean and spread that the network is used to."""
        return pixels.to(torch.float32).div_(255).sub_(self._mean).div_(self._std)


def _resized(width: int, height: int, shorter: int) -> tuple[int, int]:
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter


def _timms_own(config: dict[str, Any]) -> Any:
    from timm.data import create_transform

    return create_transform(**config, is_training=False, use_prefetcher=True)  # without normalisation
