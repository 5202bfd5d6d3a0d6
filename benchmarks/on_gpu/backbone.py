"""Backbones on a GPU: the forward pass, with and without CUDA graph, batch sizes and torch.compile."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from revcd_cli.backbones.preprocess import Preprocessing
from revcd_cli.system.threads import stream_pool

from .measure import (
    Way,
    peak_share,
    ratios,
    table,
)
from .run import Run, called, replayed, without_tf32


def forward(run: Run, name: str) -> None:
    """Time the network alone, on photos that are on the device."""
    ways: dict[str, Way] = {}
    kinds: dict[str, str] = {}
    for precision in run.precisions:
        backbone, bare = run.backbone(name, precision), run.bare(name)
        dtype = backbone.precision.value
        images = run.images(backbone, run.batch, dtype)
        short = "16-bit" if precision != "float32" else "TF32"
        bare = bare.to(run.device, dtype)
        added = {f"timm, {precision}": called(bare, images.contiguous())}
        if precision != "float16":
            last = run.bare(name).to(run.device, dtype, memory_format=torch.channels_last)
            added[f"timm, {precision}, channels-last"] = called(last, images)
        if run.on_gpu:
            added[f"revcd, {precision}"] = replayed(backbone.network, images)
            added[f"revcd, {precision}, without CUDA graph"] = called(backbone.network, images)
        else:
            added[f"revcd, {precision}"] = called(backbone.network, images)
        kinds |= dict.fromkeys(added, short)
        ways |= added
        if precision == "float32" and run.on_gpu:
            exact = f"revcd, {precision}, without CUDA graph and TF32"
            ways[exact], kinds[exact] = without_tf32(called(backbone.network, images)), "float32"
    found, flops = run.time(ways), run.flops_of(name, run.backbone(name, "float32").record.preprocessing["input_size"])
    base = found["timm, float32"]
    print(f"{name}, batches of {run.batch}, {flops / 1e9:.1f} GFLOP a photo\n")
    table(
        ["way", "photos/s", "times timm float32", "share of peak"],
        [
            [
                way, f"{run.batch / statistics.median(seconds):,.0f}", ratios(base, seconds),
                peak_share(flops * run.batch, statistics.median(seconds), kinds[way], run.device),
            ]
            for way, seconds in found.items()
        ],
    )  # fmt: skip


def compiled(run: Run, name: str) -> None:
    """Time torch.compile beside revcd's program, both in bfloat16."""
    backbone = run.backbone(name, "bfloat16")
    images = run.images(backbone, run.batch, torch.bfloat16)
    bare = run.bare(name).to(run.device, torch.bfloat16, memory_format=torch.channels_last)
    ways = {
        "timm, bfloat16, channels-last": called(bare, images),
        "revcd, bfloat16": (replayed if run.on_gpu else called)(backbone.network, images),
    }
    started = time.perf_counter()
    ways["torch.compile, bfloat16"] = called(torch.compile(bare), images)
    ways["torch.compile, bfloat16"]()
    print(f"{name}, batches of {run.batch}; torch.compile was ready after {time.perf_counter() - started:.0f} s\n")
    found = run.time(ways)
    table(
        ["way", "photos/s", "times revcd"],
        [
            [way, f"{run.batch / statistics.median(s):,.0f}", ratios(found["revcd, bfloat16"], s)]
            for way, s in found.items()
        ],
    )


def sweep(run: Run, name: str) -> None:
    """Time batch sizes in the default precision, with and without a CUDA graph."""
    backbone = run.backbone(name)
    dtype, lines = backbone.precision.value, []
    for size in (1, 8) if run.quick else (1, 8, 32, 64, 128, 256, 512):
        images = run.images(backbone, size, dtype)
        ways = {"eager": called(backbone.network, images)}
        if run.on_gpu:
            ways["graph"] = replayed(backbone.network, images)
        found = run.time(ways)
        rates = [f"{size / statistics.median(seconds):,.0f}" for seconds in found.values()]
        lines.append([size, *rates, ratios(found["eager"], found["graph"]) if run.on_gpu else "-"])
    print(f"{name}, {backbone.precision.reason}\n")
    table(["batch", "photos/s, without CUDA graph", *(["revcd"] if run.on_gpu else []), "ratio"], lines)


def from_memory(run: Run, name: str) -> None:
    """Time the backbone as extraction calls it: from bytes in main memory to features in main memory."""
    backbone, size = run.backbone(name), 8 if run.quick else 64
    shape = backbone.record.preprocessing["input_size"]
    batches = [torch.randint(0, 256, (size, *shape), dtype=torch.uint8) for _ in range(4 if run.quick else 16)]
    on_cpu = Preprocessing(backbone.record.preprocessing)

    def normalised_on_cpu(images: Tensor) -> Tensor:
        with torch.inference_mode():
            return eager(on_cpu.normalised(images))

    def way(call: Callable[[Tensor], Tensor], threads: int, given: list[Tensor]) -> Way:
        def run_all() -> None:
            with stream_pool(threads) as pool:
                list(pool.map(call, given))

        return run_all

    eager, on_bytes = run.backbone(name), [backbone.batch(list(images)) for images in batches]
    eager.release_graph()
    ways = {
        "revcd: 2 host threads, normalised on the device": way(backbone, 2, on_bytes),
        "1 host thread": way(backbone, 1, on_bytes),
        "4 host threads": way(backbone, 4, on_bytes),
        "2 host threads, photos not in pinned memory": way(run.backbone(name), 2, batches),
        "2 host threads, without CUDA graph": way(eager, 2, on_bytes),
        "2 host threads, without CUDA graph, normalised on the CPU": way(normalised_on_cpu, 2, batches),
    }
    found, photos = run.time(ways), size * len(batches)
    first = next(iter(found))
    print(f"{name}, batches of {size}, {backbone.precision.reason}\n")
    table(
        ["way", "photos/s", "times revcd"],
        [[way, f"{photos / statistics.median(s):,.0f}", ratios(found[first], s)] for way, s in found.items()],
    )
