"""Measure the evidence rule on a shortlist of classes: OMP_NUM_THREADS=1 python benchmarks/shortlist.py [PHOTOS]

The shipped model classifies photos among its own classes and generated ones: noisy mixtures of two real classes. Half
of the classes count as seen. Printed for each length of the shortlist: processor time per photo, and the share of
photos whose prediction, with the seen penalty, equals that without a shortlist. PHOTOS is a folder with a folder for
each class.
"""

from __future__ import annotations

import dataclasses
import functools
import statistics
import sys
from pathlib import Path

import torch
from common import ANIMALS, print_header, print_row, speed_up, time_in_rounds

from revcd_cli.backbones.backbone import load_recorded
from revcd_cli.checkpoint.model_file import Checkpoint, load_checkpoint
from revcd_cli.data.photos.images import decode_rgb

CLASSES = (2_000, 10_000)
LENGTHS = (20, 50, 200)
PHOTOS, ROUNDS = 48, 1


def main() -> None:
    checkpoint = load_checkpoint("animals")
    inference = checkpoint.model.config.inference
    calibration = checkpoint.calibration_for(inference.rule)
    x = features(checkpoint, Path(sys.argv[1]) if sys.argv[1:] else ANIMALS / "images")
    described = torch.from_numpy(checkpoint.classes.values).float()
    print_header("classes", "shortlist", "CPU ms/photo", "speed-up", "same top 1", "same top 5")
    for count in CLASSES:
        table = with_generated_classes(described, count)
        seen = torch.arange(count) % 2 == 0

        def top_five(length: int, table: torch.Tensor = table, seen: torch.Tensor = seen) -> torch.Tensor:
            config = dataclasses.replace(inference, shortlist=length)
            scores = checkpoint.model.score(x, table, config, [torch.Generator() for _ in x])
            return calibration.apply(scores, seen).topk(5).indices

        variants = {length: functools.partial(top_five, length) for length in (0, *LENGTHS)}
        seconds = time_in_rounds(variants, ROUNDS)
        whole = top_five(0)
        for length in variants:
            found = top_five(length)
            best, five = (100 * (found[:, :k] == whole[:, :k]).all(1).float().mean() for k in (1, 5))
            took = 1000 * statistics.median(seconds[length]) / len(x)
            faster = speed_up(seconds[0], seconds[length])
            print_row(f"{count:,}", length or "all", f"{took:.0f}", faster, f"{best:.0f} %", f"{five:.0f} %")


def features(checkpoint: Checkpoint, folder: Path) -> torch.Tensor:
    """Return the model's features (PHOTOS, D) of photos taken evenly from the folder."""
    found = sorted(folder.glob("*/*.jpg"))
    backbone = load_recorded(checkpoint.backbone, precision="float32")
    photos = [backbone.transform(decode_rgb(path.read_bytes())) for path in found[:: len(found) // PHOTOS][:PHOTOS]]
    return torch.cat([backbone(torch.stack(photos[start : start + 8])) for start in range(0, len(photos), 8)])


def with_generated_classes(described: torch.Tensor, count: int) -> torch.Tensor:
    """Return the descriptions and noisy mixtures of two of them each, `count` in all."""
    generator = torch.Generator().manual_seed(0)
    more = count - len(described)
    one, other = (described[torch.randint(len(described), (more,), generator=generator)] for _ in range(2))
    mixed = torch.lerp(one, other, torch.rand(more, 1, generator=generator))
    spread = described.std(0)
    return torch.cat([described, mixed + 0.3 * spread * torch.randn(mixed.shape, generator=generator)])


if __name__ == "__main__":
    main()
