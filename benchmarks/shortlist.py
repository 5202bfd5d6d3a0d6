"""The evidence rule on a shortlist of classes: OMP_NUM_THREADS=1 python benchmarks/shortlist.py [PHOTOS]

The shipped model names photos among its own classes and made-up ones, which are mixtures of two of them with noise on
them, half of them seen. For each length of the shortlist: the processor time of a photo, and how many answers, with the
seen penalty, are those of the evidence for all classes. PHOTOS is a folder with a folder for each class.
"""

from __future__ import annotations

import dataclasses
import functools
import statistics
import sys
from pathlib import Path

import torch
from networks import in_turn, ratio

from revcd_cli.backbones.backbone import load_backbone
from revcd_cli.checkpoint.model_file import load_checkpoint
from revcd_cli.data.photos.images import decode_rgb

ANIMALS = Path(__file__).resolve().parents[2] / "shared" / "data" / "animals" / "images"
CLASSES = (2_000, 10_000)
LENGTHS = (20, 50, 200)
PHOTOS, ROUNDS = 48, 1


def main() -> None:
    checkpoint = load_checkpoint("animals")
    inference = checkpoint.model.config.inference
    calibration = checkpoint.calibration_for(inference.rule)
    x = features(Path(sys.argv[1]) if sys.argv[1:] else ANIMALS)
    described = torch.from_numpy(checkpoint.classes.values).float()
    print("| classes | shortlist | ms a photo | times all | same answers | same best five |")
    print("|---|---|---|---|---|---|")
    for count in CLASSES:
        table = many(described, count)
        seen = torch.arange(count) % 2 == 0

        def answers(length: int, table: torch.Tensor = table, seen: torch.Tensor = seen) -> torch.Tensor:
            config = dataclasses.replace(inference, shortlist=length)
            scores = checkpoint.model.score(x, table, config, [torch.Generator() for _ in x])
            return calibration.apply(scores, seen).topk(5).indices

        ways = {length: functools.partial(answers, length) for length in (0, *LENGTHS)}
        seconds = in_turn(ways, ROUNDS)
        whole = answers(0)
        for length in ways:
            found = answers(length)
            best, five = (100 * (found[:, :k] == whole[:, :k]).all(1).float().mean() for k in (1, 5))
            took = 1000 * statistics.median(seconds[length]) / len(x)
            print(
                f"| {count:,} | {length or 'all'} | {took:.0f} | {ratio(seconds[0], seconds[length])} | {best:.0f} % "
                f"| {five:.0f} % |",
                flush=True,
            )


def features(folder: Path) -> torch.Tensor:
    found = sorted(folder.glob("*/*.jpg"))
    backbone = load_backbone("embedded", precision="float32")
    photos = [backbone.transform(decode_rgb(path.read_bytes())) for path in found[:: len(found) // PHOTOS][:PHOTOS]]
    return torch.cat([backbone(torch.stack(photos[start : start + 8])) for start in range(0, len(photos), 8)])


def many(described: torch.Tensor, count: int) -> torch.Tensor:
    """Return the descriptions and mixtures of two of them each, up to `count`."""
    generator = torch.Generator().manual_seed(0)
    more = count - len(described)
    one, other = (described[torch.randint(len(described), (more,), generator=generator)] for _ in range(2))
    mixed = torch.lerp(one, other, torch.rand(more, 1, generator=generator))
    spread = described.std(0)
    return torch.cat([described, mixed + 0.3 * spread * torch.randn(mixed.shape, generator=generator)])


if __name__ == "__main__":
    main()
