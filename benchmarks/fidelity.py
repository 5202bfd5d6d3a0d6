"""Accuracy of reduced precision and of scaled JPEG decoding: python benchmarks/fidelity.py [DATASET]

For each way, over the test photos of the data set and with the real weights of the embedded backbone: the cosine of its
features to those of timm's own network in float32, and S, U and H of the shipped model on them. The photos are small,
so what decoding at a fraction does is measured on mosaics of sixteen of them.
"""

from __future__ import annotations

import dataclasses
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from revcd_cli.backbones.backbone import Backbone, embedded_network, load_backbone
from revcd_cli.backbones.preprocess import Preprocessing
from revcd_cli.backbones.source import embedded_weights
from revcd_cli.checkpoint.model_file import load_checkpoint
from revcd_cli.data.datasets.open import open_dataset
from revcd_cli.data.photos.images import decode_rgb
from revcd_cli.pipeline.evaluate.evaluate import evaluate

ANIMALS = Path(__file__).resolve().parents[2] / "shared" / "data" / "animals"
BATCH = 8
MOSAICS = 24


def main() -> None:
    folder = sys.argv[1] if sys.argv[1:] else str(ANIMALS)
    dataset, model = open_dataset(folder, missing="mean"), load_checkpoint("animals")
    split = dataset.split
    rows = np.concatenate([split.test_seen, split.test_unseen])
    backbones = {name: load_backbone("embedded", precision=name) for name in ("float32", "bfloat16")}
    ways: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"timm float32": plain(), **backbones}
    found: dict[str, list[torch.Tensor]] = {name: [] for name in ways}
    for pixels in batches([dataset.images_root / dataset.paths[row] for row in rows], backbones["float32"]):
        for name, run in ways.items():
            found[name].append(run(pixels))
    features = {name: torch.cat(parts) for name, parts in found.items()}
    print(f"{'way':<24} {'cosine min':>12} {'mean':>12} {'S':>7} {'U':>7} {'H':>7}")
    for name, values in features.items():
        cosine = torch.cosine_similarity(values.double(), features["timm float32"].double())
        whole = np.zeros((len(dataset.labels), values.shape[1]), np.float32)
        whole[rows] = values.numpy()
        scores = evaluate(model, dataclasses.replace(dataset, features=whole, backbone=model.backbone)).headline()
        shown = " ".join(f"{100 * scores[key]:7.2f}" for key in ("S", "U", "H"))
        print(f"{name:<24} {cosine.min():12.6f} {cosine.mean():12.6f} {shown}")
    print_mosaics(dataset, backbones["float32"])


def plain() -> Callable[[torch.Tensor], torch.Tensor]:
    """timm's network and timm's normalisation, as they are."""
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
    levels, cosines = [], []
    for number in range(MOSAICS):
        data = mosaic([dataset.images_root / path for path in dataset.paths[number * 16 : number * 16 + 16]])
        pixels = [backbone.transform(decode_rgb(data, least_side=side)).float() for side in (None, backbone.least_side)]
        levels.append((pixels[0] - pixels[1]).abs().mean().item())
        cosines.append(torch.cosine_similarity(*(backbone(part.to(torch.uint8)[None]) for part in pixels)).item())
    print(
        f"JPEG at a fraction of its size, {MOSAICS} mosaics of 2400 x 1800: grey levels apart mean "
        f"{np.mean(levels):.3f}, most {max(levels):.3f}; cosine min {min(cosines):.6f}, mean {np.mean(cosines):.6f}"
    )


def mosaic(paths: list[Path]) -> bytes:
    whole = Image.new("RGB", (2400, 1800))
    for number, path in enumerate(paths):
        whole.paste(Image.open(path).convert("RGB").resize((600, 450)), (600 * (number % 4), 450 * (number // 4)))
    stream = io.BytesIO()
    whole.save(stream, "JPEG", quality=90)
    return stream.getvalue()


if __name__ == "__main__":
    main()
