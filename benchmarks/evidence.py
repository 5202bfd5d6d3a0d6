"""The evidence rule against straightforward implementations: OMP_NUM_THREADS=1 python benchmarks/evidence.py

"pair by pair" calls the network for each photo, class and draw; "class by class" does so for all photos at once. Both
encode the condition again for every call, and ask the two branches one after the other. Then the growth over classes
and photos, and what a photo costs beside the forward pass of the embedded backbone that gives its features.
"""

from __future__ import annotations

import functools
import statistics

import torch
from networks import CLASSES, in_turn, largest_difference, network, ratio, rows
from torch import Tensor

from revcd_cli.backbones.backbone import load_backbone
from revcd_cli.config import InferenceConfig
from revcd_cli.core.model import RevCD
from revcd_cli.core.objective import velocity
from revcd_cli.scoring.evidence import evidence_draws, evidence_scores
from revcd_cli.system.memory import keep_freed_memory

ROUNDS = 5
CONFIG = InferenceConfig(rule="evidence")


def shared(model: RevCD, x: Tensor, prototypes: Tensor) -> Tensor:
    return evidence_scores(model, model.encode(x), model.precondition(prototypes), CONFIG)


def class_by_class(model: RevCD, x: Tensor, prototypes: Tensor) -> Tensor:
    """Two calls and an encoding for each class and draw, on all photos at once."""
    times, noises = evidence_draws(model, CONFIG, prototypes)
    columns = []
    for clean in model.precondition(prototypes):
        total = torch.zeros(len(x))
        for t, eps in zip(times[:, 0], noises[:, 0], strict=True):
            alpha_bar = model.schedule.alpha_bar(t, clean)
            s_t = model.schedule.q_sample(clean, t, eps).expand(len(x), -1)
            v = velocity(clean, eps, alpha_bar)
            errors = [
                (velocity(*model.estimate(s_t, t.expand(len(x)), condition), alpha_bar) - v).square().mean(-1)
                for condition in (model.null.expand(len(x), -1), model.encode(x))
            ]
            total += errors[0] - errors[1]
        columns.append(total / len(times))
    return torch.stack(columns, dim=1)


def pair_by_pair(model: RevCD, x: Tensor, prototypes: Tensor) -> Tensor:
    return torch.cat([class_by_class(model, photo[None], prototypes) for photo in x])


def main() -> None:
    keep_freed_memory()
    print(f"{torch.get_num_threads()} threads, {CONFIG.draws} draws, default widths")
    data = rows(1024)
    model = network(data)
    with torch.inference_mode():
        against_naive(model, data.features, data.prototypes)
        growth(model, data.features)
        beside_the_backbone(model, data.features, data.prototypes)


def against_naive(model: RevCD, x: Tensor, prototypes: Tensor) -> None:
    print("\n| naive way | photos | ms a photo, naive | ms a photo, revcd | ratio | largest difference |")
    for naive, photos in ((pair_by_pair, 4), (class_by_class, 64)):
        some = x[:photos]
        ways = {
            "naive": functools.partial(naive, model, some, prototypes),
            "revcd": functools.partial(shared, model, some, prototypes),
        }
        seconds = in_turn(ways, ROUNDS)
        each = [1000 * statistics.median(seconds[name]) / photos for name in ways]
        apart = largest_difference(ways["revcd"](), ways["naive"]())
        name = naive.__name__.replace("_", " ")
        times = f"{each[0]:.1f} | {each[1]:.2f} | {ratio(seconds['naive'], seconds['revcd'])}"
        print(f"| {name} | {photos} | {times} | {apart:.0e} |")


def growth(model: RevCD, x: Tensor) -> None:
    print("\n| photos | classes | ms | us for a photo and class |")
    for photos, classes in ((1, 50), (16, 50), (256, 50), (1024, 50), (64, 10), (64, 200), (64, 1000)):
        prototypes = rows(classes, classes).prototypes
        (seconds,) = in_turn({"": functools.partial(shared, model, x[:photos], prototypes)}, 3).values()
        median = statistics.median(seconds)
        print(f"| {photos} | {classes} | {1e3 * median:.1f} | {1e6 * median / photos / classes:.0f} |")


def beside_the_backbone(model: RevCD, x: Tensor, prototypes: Tensor) -> None:
    backbone = load_backbone("embedded", device="cpu", precision="float32")
    pixels = torch.randn(1, 3, *backbone.record.preprocessing["input_size"][1:])
    ways = {
        "backbone": lambda: backbone(pixels),
        "evidence": functools.partial(shared, model, x[:1], prototypes),
    }
    seconds = in_turn(ways, 3 * ROUNDS)
    backbone_ms, evidence_ms = (1000 * statistics.median(seconds[name]) for name in ways)
    share = ratio(seconds["evidence"], seconds["backbone"])
    print(f"\none photo among {CLASSES} classes: backbone {backbone_ms:.1f} ms, evidence {evidence_ms:.1f} ms, {share}")


if __name__ == "__main__":
    main()
