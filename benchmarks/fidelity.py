"""Measure the effect of bfloat16 and of JPEG decoding at reduced size: python benchmarks/fidelity.py [DATASET]

For each precision, on the test photos of the data set with the embedded backbone: the cosine of its features with those
of timm's network in float32, and S, U and H of the shipped model. Decoding at reduced size is measured on mosaics of
sixteen photos, because the photos themselves are too small for it.
"""

from __future__ import annotations

import dataclasses
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from common import ANIMALS
from PIL import Image

from revcd_cli.backbones.backbone import Backbone, embedded_network, load_backbone
from revcd_cli.backbones.preprocess import Preprocessing
from revcd_cli.backbones.source import embedded_weights
from revcd_cli.checkpoint.model_file import load_checkpoint
from revcd_cli.data.datasets.open import open_dataset
from revcd_cli.data.photos.images import decode_rgb
from revcd_cli.pipeline.evaluate.evaluate import evaluate

BATCH = 8
MOSAICS = 24


def main() -> None:
    folder = sys.argv[1] if sys.argv[1:] else str(ANIMALS)
    dataset, model = open_dataset(folder, missing="mean"), load_checkpoint("animals")
    split = dataset.split
    rows = np.concatenate([split.test_seen, split.test_unseen])
    backbones = {name: load_backbone("embedded", precision=name) for name in ("float32", "bfloat16")}
    variants: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"timm float32": timm_network(), **backbones}
    found: dict[str, list[torch.Tensor]] = {name: [] for name in variants}
    for pixels in batches([dataset.images_root / dataset.paths[row] for row in rows], backbones["float32"]):
        for name, run in variants.items():
            found[name].append(run(pixels))
    features = {name: torch.cat(parts) for name, parts in found.items()}
    print(f"{'variant':<24} {'least cosine':>12} {'mean cosine':>12} {'S %':>7} {'U %':>7} {'H %':>7}")
    for name, values in features.items():
        cosine = torch.cosine_similarity(values.double(), features["timm float32"].double())
        whole = np.zeros((len(dataset.labels), values.shape[1]), np.float32)
        whole[rows] = values.numpy()
        scores = evaluate(model, dataclasses.replace(dataset, features=whole, backbone=model.backbone)).headline()
        shown = " ".join(f"{100 * scores[key]:7.2f}" for key in ("S", "U", "H"))
        print(f"{name:<24} {cosine.min():12.6f} {cosine.mean():12.6f} {shown}")
    print_mosaics(dataset, backbones["float32"])


def timm_network() -> Callable[[torch.Tensor], torch.Tensor]:
    """Return timm's network in float32 after timm's normalisation, without revcd's program."""
    network = embedded_network(embedded_weights())
    network.reset_classifier(0)
    network.eval()
    config = load_checkpoint("animals").backbone.preprocessing

    def run(pixels: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return network(Preprocessing(config).normalised(pixels)).clone()

    return run


def batches(paths: list[Path], backbone: Backbone) -> Iterator[torch.Tensor]:
    for start in range(0, len(paths), BATCH):
        photos = [decode_rgb(path.read_bytes()) for path in paths[start : start + BATCH]]
        yield torch.stack([backbone.transform(photo) for photo in photos])


def print_mosaics(dataset: object, backbone: Backbone) -> None:
    """Print how much decoding at reduced size changes pixels and features."""
    levels, cosines = [], []
    for number in range(MOSAICS):
        data = mosaic([dataset.images_root / path for path in dataset.paths[number * 16 : number * 16 + 16]])
        pixels = [backbone.transform(decode_rgb(data, least_side=side)).float() for side in (None, backbone.least_side)]
        levels.append((pixels[0] - pixels[1]).abs().mean().item())
        cosines.append(torch.cosine_similarity(*(backbone(part.to(torch.uint8)[None]) for part in pixels)).item())
    print(
        f"JPEG decoded at reduced size, {MOSAICS} mosaics of 2400 x 1800: difference in grey levels "
        f"mean {np.mean(levels):.3f}, largest {max(levels):.3f}; cosine least {min(cosines):.6f}, mean "
        f"{np.mean(cosines):.6f}"
    )


def mosaic(paths: list[Path]) -> bytes:
    """Return a JPEG of sixteen photos in four rows."""
    whole = Image.new("RGB", (2400, 1800))
    for number, path in enumerate(paths):
        whole.paste(Image.open(path).convert("RGB").resize((600, 450)), (600 * (number % 4), 450 * (number // 4)))
    stream = io.BytesIO()
    whole.save(stream, "JPEG", quality=90)
    return stream.getvalue()


if __name__ == "__main__":
    main()
