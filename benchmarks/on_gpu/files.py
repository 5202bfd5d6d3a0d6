"""JPEG files to image features on a GPU, against timm's loader and decoding by nvJPEG."""

from __future__ import annotations

import functools
import os
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn

from revcd_cli.backbones.backbone import Backbone
from revcd_cli.backbones.preprocess import Preprocessing
from revcd_cli.data.photos.sources import iter_sources
from revcd_cli.pipeline.extract.extract import extract_sources
from revcd_cli.pipeline.extract.stream import measured_batch_size
from revcd_cli.system.device import to_device
from revcd_cli.system.precision import precision_name

from .measure import (
    Way,
    in_rounds,
    make_jpegs,
    ratios,
    table,
)
from .run import Run

PHOTOS = 1024
SWITCH_SECONDS = 0.0005  # a tenth of Python's interval between threads


def extraction(run: Run, name: str) -> None:
    """Time JPEG files to a finished feature file, against timm's loader and decoding on the GPU."""
    count = 32 if run.quick else PHOTOS
    folder = run.place / "photos"
    files = sorted(folder.iterdir()) if folder.exists() else make_jpegs(folder, count)
    backbone = run.backbone(name)
    bare = run.bare(name).to(run.device, backbone.precision.value, memory_format=torch.channels_last)
    eager = run.backbone(name)
    eager.release_graph()
    extract = functools.partial(extracted, run, backbone, folder, count)
    without = functools.partial(extracted, run, eager, folder, count)
    ways: dict[str, Way] = {
        "revcd extract": extract,
        f"timm, its loader, {precision_name(backbone.precision.value)}": functools.partial(
            through_timm, run, bare, backbone, folder
        ),
        "decoding and resizing alone, Pillow, all CPU threads": functools.partial(decoded, backbone, files),
    }
    if run.on_gpu:
        ways["revcd extract, batches of 64"] = functools.partial(extract, 64)
        ways["revcd extract, batches of 64, one torch thread"] = with_one_thread(functools.partial(extract, 64))
        ways["revcd extract, without CUDA graph, batches of 64"] = functools.partial(without, 64)
        ways["the same, threads switch after 0.5 ms"] = switching_often(functools.partial(without, 64))
        ways["JPEG decoding on the GPU, batches of 64"] = functools.partial(decoded_on_gpu, run, backbone, files, True)
        ways["JPEG decoding on the GPU alone"] = functools.partial(decoded_on_gpu, run, backbone, files, False)
    found = in_rounds(ways, torch.device("cpu"), 1 if run.quick else 2, 0)
    print(f"{name}, {count:,} JPEG files of 500 x 375 pixels, {backbone.precision.reason}")
    print(f"batches of {measured_batch_size(backbone)} unless another size is named\n")
    base = next(seconds for way, seconds in found.items() if way.startswith("timm"))
    table(
        ["way", "photos/s", "times timm"],
        [[way, f"{count / statistics.median(s):,.0f}", ratios(base, s)] for way, s in found.items()],
    )


def extracted(run: Run, backbone: Backbone, folder: Path, count: int, size: int | None = None) -> None:
    with tempfile.TemporaryDirectory(dir=run.place) as out:
        output = Path(out) / "features.parquet"
        extract_sources(backbone, lambda: iter_sources([str(folder)]), output, total=count, batch_size=size)


def with_one_thread(way: Way) -> Way:
    """Return the way with one torch thread in each host thread that runs the backbone."""

    def run_it() -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            way()
        finally:
            torch.set_num_threads(before)

    return run_it


def switching_often(way: Way) -> Way:
    """Return the way with less time until a thread that waits for the interpreter lock gets it."""

    def run_it() -> None:
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            way()
        finally:
            sys.setswitchinterval(before)

    return run_it


def through_timm(run: Run, network: nn.Module, backbone: Backbone, folder: Path) -> None:
    from timm.data import ImageDataset, create_loader

    dtype, config = backbone.precision.value, backbone.record.preprocessing
    chosen = {key: config[key] for key in ("input_size", "interpolation", "mean", "std", "crop_pct")}
    workers = min(os.cpu_count() or 1, 16)
    loader = create_loader(
        ImageDataset(str(folder)), batch_size=64, num_workers=workers, use_prefetcher=run.on_gpu, device=run.device,
        **chosen,
    )  # fmt: skip
    with torch.inference_mode():
        for images, _ in loader:
            network(images.to(run.device, dtype, memory_format=torch.channels_last)).float().cpu()


def decoded(backbone: Backbone, files: list[Path]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from revcd_cli.data.photos.images import decode_rgb

    def one(path: Path) -> None:
        backbone.transform(decode_rgb(path.read_bytes(), least_side=backbone.least_side))

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        list(pool.map(one, files))


def decoded_on_gpu(run: Run, backbone: Backbone, files: list[Path], whole: bool) -> None:
    """Decode with nvJPEG and, if `whole`, resize and crop on the GPU and run the network."""
    import torchvision.io
    from torchvision.transforms.v2 import functional as F

    height = backbone.record.preprocessing["input_size"][1]
    config = Preprocessing(backbone.record.preprocessing, run.device)
    with torch.inference_mode():
        for start in range(0, len(files), 64):
            some = [torchvision.io.read_file(str(path)) for path in files[start : start + 64]]
            pictures = torchvision.io.decode_jpeg(some, mode=torchvision.io.ImageReadMode.RGB, device=run.device)
            if whole:
                resized = [F.resize(each, [backbone.least_side or height], antialias=True) for each in pictures]
                pixels = torch.stack([F.center_crop(each, [height, height]) for each in resized])
                images = to_device(config.normalised(pixels), run.device, backbone.precision.value)
                backbone.network(images).float().cpu()
    if run.on_gpu:
        torch.cuda.synchronize()
