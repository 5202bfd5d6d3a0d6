"""Training, the evidence rule and sampling on a GPU."""

from __future__ import annotations

import functools
import statistics
from typing import Any

import torch
from networks import ATTRIBUTES, network, rows
from torch import Generator, Tensor

import revcd_cli.scoring.evidence as evidence_module
from revcd_cli.config import InferenceConfig
from revcd_cli.core.sample import sample_semantics
from revcd_cli.core.trainer import Trainer
from revcd_cli.scoring.evidence import evidence_scores
from revcd_cli.system.threads import one_thread

from .measure import (
    Way,
    in_rounds,
    peak_share,
    ratios,
    spread,
    table,
)
from .run import Run, tf32


def training(run: Run, compiled: bool) -> None:
    """Time an epoch of one network of the default settings: on the device and the CPU, or by torch.compile."""
    data = rows(512 if run.quick else 8000)

    def trainer(device: torch.device, compiled: bool = False) -> Trainer:
        on_device = type(data)(*(part.to(device) for part in (data.features, data.labels, data.prototypes)))
        made = Trainer(network(data).to(device).requires_grad_(True), on_device)
        if compiled:
            made.model.denoiser.compile()
            made.model.encoder.compile()
        return made

    plain = trainer(run.device)
    ways: dict[str, Way] = {"revcd": functools.partial(plain.run_epoch, 0, 0)}
    if run.on_gpu:
        with_tf32 = trainer(run.device)

        def in_tf32() -> None:
            with tf32(True, True):
                with_tf32.run_epoch(0, 0)

        ways["with TF32 matrix products"] = in_tf32
    if compiled:
        ways["with torch.compile of both networks"] = functools.partial(trainer(run.device, True).run_epoch, 0, 0)
    found = run.time(ways)
    if not compiled:
        with one_thread():
            on_cpu = functools.partial(trainer(torch.device("cpu")).run_epoch, 0, 0)
            found["revcd on the CPU, one thread"] = in_rounds({"": on_cpu}, torch.device("cpu"), run.rounds, 0)[""]
    steps = plain.steps_per_epoch
    print(f"{len(data):,} photos, {steps} steps of {plain.settings.batch_size}\n")
    table(
        ["way", "s an epoch", "ms a step", "times revcd"],
        [
            [
                way, f"{statistics.median(s):.3f}", f"{1000 * statistics.median(s) / steps:.2f}",
                ratios(found["revcd"], s),
            ]
            for way, s in found.items()
        ],
    )  # fmt: skip


def evidence(run: Run) -> None:
    """Time the evidence rule for one network of the default settings, over photos, classes and block sizes."""
    data, config = rows(1024), InferenceConfig(rule="evidence")
    models = {where: network(data).to(where) for where in {"cpu", str(run.device)}}
    model = models[str(run.device)]
    width = model.config.denoiser.width
    flops = 2 * (width * width + 2 * width * width + width * ATTRIBUTES) * config.draws  # of a photo and a class

    def way(where: str, photos: int, classes: int, floats: int | None = None, products: bool = False) -> Way:
        x = data.features[:photos].to(where)
        prototypes = rows(classes, classes).prototypes.to(where)

        def score() -> None:
            before = evidence_module._ACTIVATION_FLOATS_ELSEWHERE
            evidence_module._ACTIVATION_FLOATS_ELSEWHERE = floats or before
            with torch.inference_mode(), tf32(True, products):
                evidence_scores(models[where], models[where].encode(x), models[where].precondition(prototypes), config)
            evidence_module._ACTIVATION_FLOATS_ELSEWHERE = before

        return score

    lines = []
    for photos, classes in ((1, 50), (16, 50)) if run.quick else ((1, 50), (64, 50), (1024, 50), (64, 1000)):
        ways = {"float32": way(str(run.device), photos, classes)}
        if run.on_gpu:
            ways |= {
                "TF32": way(str(run.device), photos, classes, products=True),
                "blocks of 16 MiB": way(str(run.device), photos, classes, 1 << 22),
                "blocks of 256 MiB": way(str(run.device), photos, classes, 1 << 26),
                "TF32, blocks of 256 MiB": way(str(run.device), photos, classes, 1 << 26, True),
            }
        found = run.time(ways)
        if photos * classes <= 64 * 50:
            found["the CPU"] = in_rounds({"": way("cpu", photos, classes)}, torch.device("cpu"), 3, 0)[""]
        for name, seconds in found.items():
            median = statistics.median(seconds)
            kind = "TF32" if name.startswith("TF32") else "float32"
            share = "-" if name == "the CPU" else peak_share(flops * photos * classes, median, kind, run.device)
            ratio = statistics.median(found["float32"]) / median
            lines.append([photos, classes, name, f"{1e3 * median:.2f}", f"{ratio:.2f}", share])
    table(["photos", "classes", "way", "ms", "times float32", "share of peak"], lines)


def sampling(run: Run) -> None:
    """Time the samplers: 64 photos, 16 samples each."""
    data, photos = rows(1024), 8 if run.quick else 64
    lines = []
    for title, options in (
        ("DDIM, 1 step (the default)", {"steps": 1}),
        ("DDIM, 20 steps", {"steps": 20}),
        ("DDIM, 20 steps, guidance 2", {"steps": 20, "guidance_scale": 2.0}),
        ("DDPM, all steps", {"sampler": "ddpm"}),
    ):
        config = InferenceConfig(rule="cosine", samples=16, **options)
        found: dict[str, list[float]] = {}
        for where in dict.fromkeys([str(run.device), "cpu"]):
            model, x = network(data).to(where), data.features[:photos].to(where)

            def draw(model: Any = model, x: Tensor = x, config: InferenceConfig = config) -> None:
                generators = [Generator().manual_seed(number) for number in range(photos)]
                with torch.inference_mode():
                    sample_semantics(model, model.encode(x), config, generators)

            repeats = 1 if where == "cpu" or "sampler" in options else run.rounds
            found[where] = in_rounds({"": draw}, torch.device(where), repeats, 0)[""]
        seconds = found[str(run.device)]
        ratio = statistics.median(found["cpu"]) / statistics.median(seconds)
        lines.append([title, spread([1e3 * each for each in seconds], 1), f"{ratio:.1f}"])
    print(f"{photos} photos, 16 samples each\n")
    table(["sampler", "ms", "times the CPU"], lines)
