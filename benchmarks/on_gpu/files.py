"""JPEG files to image features on a GPU, against timm's loader and decoding by nvJPEG."""

from __future__ import annotations

import functools
import os
import statistics
import tempfile
from pathlib import Path

import torch
from torch import nn

from revcd_cli.backbones.backbone import Backbone
from revcd_cli.backbones.preprocess import Preprocessing
from revcd_cli.data.photos.sources import iter_sources
from revcd_cli.pipeline.extract.extract import extract_sources
from revcd_cli.system.device import to_device
from revcd_cli.system.precision import precision_name

from .measure import (
    Graphed,
    Way,
    in_rounds,
    make_jpegs,
    ratios,
    table,
)
from .run import Run


def extraction(run: Run, name: str) -> None:
    """Time JPEG files to a finished feature file, against timm's loader and decoding on the GPU."""
    count = 32 if run.quick else 2048
    folder = run.place / "photos"
    files = sorted(folder.iterdir()) if folder.exists() else make_jpegs(folder, count)
    backbone = run.backbone(name)
    bare = run.bare(name).to(run.device, backbone.precision.value, memory_format=torch.channels_last)
    ways: dict[str, Way] = {
        "revcd extract": functools.partial(extracted, run, backbone, folder, count),
        f"timm, its loader, {precision_name(backbone.precision.value)}": functools.partial(
            through_timm, run, bare, backbone, folder
        ),
        "decoding and resizing alone, Pillow, all CPU threads": functools.partial(decoded, backbone, files),
    }
    if run.on_gpu:
        graphed = run.backbone(name)
        size = 64
        graphed.network = Graphed(graphed.network, run.images(graphed, size, graphed.precision.value))
        ways["revcd extract, CUDA graph, batches of 64"] = functools.partial(
            extracted, run, graphed, folder, count, size
        )
        ways["JPEG decoding on the GPU, batches of 64"] = functools.partial(decoded_on_gpu, run, backbone, files, True)
        ways["JPEG decoding on the GPU alone"] = functools.partial(decoded_on_gpu, run, backbone, files, False)
    found = in_rounds(ways, torch.device("cpu"), 1 if run.quick else 3, 0)
    print(f"{name}, {count:,} JPEG files of 500 x 375 pixels, {backbone.precision.reason}\n")
    base = next(seconds for way, seconds in found.items() if way.startswith("timm"))
    table(
        ["way", "photos/s", "times timm"],
        [[way, f"{count / statistics.median(s):,.0f}", ratios(base, s)] for way, s in found.items()],
    )


def extracted(run: Run, backbone: Backbone, folder: Path, count: int, size: int | None = None) -> None:
    with tempfile.TemporaryDirectory(dir=run.place) as out:
        output = Path(out) / "features.parquet"
        extract_sources(backbone, lambda: iter_sources([str(folder)]), output, total=count, batch_size=size)


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
