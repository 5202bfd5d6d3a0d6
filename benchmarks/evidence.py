"""Compare the evidence rule with straightforward implementations: OMP_NUM_THREADS=1 python benchmarks/evidence.py

"pair by pair" calls the network for each photo, class and draw; "class by class" for each class and draw, with all
photos in one batch. Both encode the condition again in every call and evaluate the two branches separately. Then the
time for growing numbers of photos and classes, and for one photo next to the embedded backbone's forward pass.
"""

from __future__ import annotations

import functools
import statistics

import torch
from common import print_header, print_row, speed_up, time_in_rounds
from networks import CLASSES, largest_difference, network, rows
from torch import Tensor

from revcd_cli.backbones.backbone import load_backbone
from revcd_cli.config import InferenceConfig
from revcd_cli.core.model import RevCD
from revcd_cli.core.objective import velocity
from revcd_cli.scoring.evidence import evidence_draws, evidence_scores
from revcd_cli.system.memory import keep_freed_memory

ROUNDS = 5
CONFIG = InferenceConfig(rule="evidence")


def revcd_evidence(model: RevCD, x: Tensor, prototypes: Tensor) -> Tensor:
    return evidence_scores(model, model.encode(x), model.precondition(prototypes), CONFIG)


def class_by_class(model: RevCD, x: Tensor, prototypes: Tensor) -> Tensor:
    """Call the network twice and encode the condition for each class and draw, with all photos in one batch."""
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
        against_reference(model, data.features, data.prototypes)
        growth(model, data.features)
        against_backbone(model, data.features, data.prototypes)


def against_reference(model: RevCD, x: Tensor, prototypes: Tensor) -> None:
    print()
    print_header(
        "reference", "photos", "reference, CPU ms/photo", "revcd, CPU ms/photo", "speed-up", "largest difference"
    )
    for reference, photos in ((pair_by_pair, 4), (class_by_class, 64)):
        some = x[:photos]
        variants = {
            "reference": functools.partial(reference, model, some, prototypes),
            "revcd": functools.partial(revcd_evidence, model, some, prototypes),
        }
        seconds = time_in_rounds(variants, ROUNDS)
        each = [1000 * statistics.median(seconds[name]) / photos for name in variants]
        apart = largest_difference(variants["revcd"](), variants["reference"]())
        name = reference.__name__.replace("_", " ")
        faster = speed_up(seconds["reference"], seconds["revcd"])
        print_row(name, photos, f"{each[0]:.1f}", f"{each[1]:.2f}", faster, f"{apart:.0e}")


def growth(model: RevCD, x: Tensor) -> None:
    print()
    print_header("photos", "classes", "CPU ms", "CPU us per photo and class")
    for photos, classes in ((1, 50), (16, 50), (256, 50), (1024, 50), (64, 10), (64, 200), (64, 1000)):
        prototypes = rows(classes, classes).prototypes
        (seconds,) = time_in_rounds({"": functools.partial(revcd_evidence, model, x[:photos], prototypes)}, 3).values()
        median = statistics.median(seconds)
        print_row(photos, classes, f"{1e3 * median:.1f}", f"{1e6 * median / photos / classes:.0f}")


def against_backbone(model: RevCD, x: Tensor, prototypes: Tensor) -> None:
    backbone = load_backbone("embedded", device="cpu", precision="float32")
    pixels = torch.randn(1, 3, *backbone.record.preprocessing["input_size"][1:])
    variants = {
        "backbone": lambda: backbone(pixels),
        "evidence": functools.partial(revcd_evidence, model, x[:1], prototypes),
    }
    seconds = time_in_rounds(variants, 3 * ROUNDS)
    backbone_ms, evidence_ms = (1000 * statistics.median(seconds[name]) for name in variants)
    share = speed_up(seconds["evidence"], seconds["backbone"])
    print(f"\n1 photo, {CLASSES} classes: backbone {backbone_ms:.1f} ms, evidence {evidence_ms:.1f} ms, ratio {share}")


if __name__ == "__main__":
    main()
