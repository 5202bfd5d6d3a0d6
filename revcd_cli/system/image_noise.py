"""A random generator for each image, so that its noise does not depend on the batch or the order of images."""

from __future__ import annotations

import hashlib

import torch


def image_generator(seed: int, key: bytes, device: str | torch.device = "cpu") -> torch.Generator:
    """Return a generator that depends only on the seed and the key.

    With the photo's sha256 as the key, its noise does not depend on its place in the list, its batch or the run.
    """
    digest = hashlib.sha256(f"{seed}:".encode() + key).digest()
    # torch's CPU generator uses only 32 bits of a seed.
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest[:4], "big"))
