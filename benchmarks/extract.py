"""Compare extraction of image features with timm and torchvision: python benchmarks/extract.py [PHOTOS]

Every round runs each variant once, in a separate process:

- timm: timm's network in float32 with its dataset and its loader, as in timm's own inference script;
- torchvision: the same network with torchvision's ImageFolder and torch's DataLoader;
- forward: revcd's network on batches in memory, an upper bound of the rate of extraction;
- revcd: as `revcd extract`, from JPEG files to the finished Parquet file;
- openvino: as revcd, with OpenVINO's forward pass; only if `openvino` is installed.

Loading the network and a warm-up batch are not timed. ResNet-101 has random weights, which do not change its speed.
PHOTOS is a folder with a folder for each class.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import ANIMALS, link_photos, random_weights, with_range

TAGS = {"resnet101": "resnet101.tv_in1k", "embedded": "embedded"}
LOADER_WORKERS = 2
BATCH = 32  # photos in a batch of timm and torchvision


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="?", type=Path, default=ANIMALS / "images")
    parser.add_argument("--backbone", choices=TAGS, default="resnet101")
    parser.add_argument("--count", type=int, default=256, help="photos, taken evenly from the folder")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of every variant")
    parser.add_argument("--precision", default="auto", help="precision of revcd")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.variant:
        rate, more = VARIANTS[given.variant](given)
        memory = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        print(json.dumps({"rate": rate, "memory": memory[0] / 1024, "workers": memory[1] / 1024, **more}))
        return
    with tempfile.TemporaryDirectory() as place:
        compare(given, Path(place))


def compare(given: argparse.Namespace, place: Path) -> None:
    photos = link_photos(given.photos, given.count, place / "photos")
    options = ["--backbone", given.backbone, "--precision", given.precision]
    if given.backbone != "embedded":
        options += ["--weights", str(random_weights(TAGS[given.backbone], place / "weights.safetensors"))]
    variants = [name for name in VARIANTS if name != "openvino" or importlib.util.find_spec("openvino")]
    rounds: list[dict[str, dict[str, Any]]] = []
    for number in range(given.rounds):
        rounds.append({})
        for variant in variants:
            command = [sys.executable, __file__, str(photos), "--variant", variant, *options]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            rounds[-1][variant] = json.loads(done.stdout.splitlines()[-1])
            print(f"round {number + 1} {variant}: {rounds[-1][variant]['rate']:.1f} photos/s", file=sys.stderr)
    report(rounds, given)


def report(rounds: list[dict[str, dict[str, Any]]], given: argparse.Namespace) -> None:
    print(f"{given.backbone}, {given.count} photos, {given.rounds} rounds; revcd: {rounds[0]['revcd']['choices']}")
    header = f"{'variant':<12} {'photos/s':>9} {'ratio to timm':>20} {'ratio to forward':>20}"
    print(f"{header} {'peak MB':>8} {'worker MB':>9}")
    for variant in rounds[0]:
        values = [one[variant] for one in rounds]
        ratios = [
            with_range([one[variant]["rate"] / one[base]["rate"] for one in rounds]) for base in ("timm", "forward")
        ]
        rate, memory, workers = (statistics.median(v[name] for v in values) for name in ("rate", "memory", "workers"))
        print(f"{variant:<12} {rate:9.1f} {ratios[0]:>20} {ratios[1]:>20} {memory:8.0f} {workers:9.0f}")


def bare_network(given: argparse.Namespace) -> Any:
    import timm
    from safetensors.torch import load_file

    if given.backbone == "embedded":
        from revcd_cli.backbones.backbone import embedded_network
        from revcd_cli.backbones.source import embedded_weights

        network = embedded_network(embedded_weights())
    else:
        network = timm.create_model(TAGS[given.backbone], pretrained=False)
        network.load_state_dict(load_file(given.weights))
    network.reset_classifier(0)
    return network.eval()


def rate_of(network: Any, batches: Iterator[Any], size: list[int]) -> float:
    """Return photos per second of the network on these batches."""
    import torch

    with torch.inference_mode():
        network(torch.zeros(BATCH, *size))
        started, done = time.perf_counter(), 0
        for images, _ in batches:
            done += len(network(images).numpy())
    return done / (time.perf_counter() - started)


def with_timm(given: argparse.Namespace) -> tuple[float, dict]:
    from timm.data import create_dataset, create_loader, resolve_model_data_config

    network = bare_network(given)
    config = resolve_model_data_config(network)
    dataset = create_dataset("", root=str(given.photos))
    chosen = {name: config[name] for name in ("input_size", "interpolation", "mean", "std", "crop_pct")}
    loader = create_loader(dataset, batch_size=BATCH, use_prefetcher=False, num_workers=LOADER_WORKERS, **chosen)
    return rate_of(network, loader, config["input_size"]), {}


def with_torchvision(given: argparse.Namespace) -> tuple[float, dict]:
    from timm.data import create_transform, resolve_model_data_config
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    network = bare_network(given)
    config = resolve_model_data_config(network)
    dataset = ImageFolder(str(given.photos), create_transform(**config))
    loader = DataLoader(dataset, batch_size=BATCH, num_workers=LOADER_WORKERS)
    return rate_of(network, loader, config["input_size"]), {}


def backbone(given: argparse.Namespace) -> Any:
    import torch

    from revcd_cli.backbones.backbone import load_backbone

    loaded = load_backbone(TAGS[given.backbone], weights=given.weights, precision=given.precision)
    loaded(torch.zeros(8, *loaded.record.preprocessing["input_size"]))
    return loaded


def forward(given: argparse.Namespace) -> tuple[float, dict]:
    import torch

    from revcd_cli.pipeline.extract.stream import default_batch_size
    from revcd_cli.system.threads import stream_pool

    loaded = backbone(given)
    size, count = default_batch_size(loaded), sum(1 for _ in given.photos.glob("*/*"))
    images = torch.randint(0, 256, (size, *loaded.record.preprocessing["input_size"]), dtype=torch.uint8)
    batches = [images] * (count // size)
    with stream_pool(loaded.streams) as pool:
        list(pool.map(loaded, batches[: loaded.streams]))
        started = time.perf_counter()
        done = sum(map(len, pool.map(loaded, batches)))
        return done / (time.perf_counter() - started), {}


def revcd(given: argparse.Namespace) -> tuple[float, dict]:
    loaded = backbone(given)
    choices = f"{loaded.precision.reason}, {loaded.threads.reason}, {loaded.streams} batches at once"
    return extraction_rate(given, loaded), {"choices": choices}


def openvino(given: argparse.Namespace) -> tuple[float, dict]:
    import threading

    import torch
    from engines import openvino_program

    loaded = backbone(given)
    height, width = loaded.record.preprocessing["input_size"][1:]
    photos = torch.zeros(8, 3, height, width)
    compiled = openvino_program(bare_network(given), loaded.precision.value, photos, [-1, 3, height, width])
    own = threading.local()

    def network(images: torch.Tensor) -> torch.Tensor:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        own.request.infer([images.float().contiguous().numpy()])
        return torch.from_numpy(own.request.get_output_tensor().data)

    images = torch.randint(0, 256, photos.shape, dtype=torch.uint8)
    exact = loaded(images)
    loaded.network = network
    cosine = torch.cosine_similarity(exact, loaded(images), dim=1).min()
    return extraction_rate(given, loaded), {"choices": f"least cosine {cosine:.6f}"}


def extraction_rate(given: argparse.Namespace, loaded: Any) -> float:
    """Extract all photos to a Parquet file and return photos per second."""
    from revcd_cli.data.photos.sources import iter_sources
    from revcd_cli.pipeline.extract.extract import extract_sources

    count = sum(1 for _ in given.photos.glob("*/*"))
    with tempfile.TemporaryDirectory() as place:
        output = Path(place) / "features.parquet"
        started = time.perf_counter()
        summary = extract_sources(loaded, lambda: iter_sources([str(given.photos)]), output, total=count)
        seconds = time.perf_counter() - started
    return summary.done / seconds


VARIANTS: dict[str, Callable[[argparse.Namespace], tuple[float, dict]]] = {
    "timm": with_timm,
    "torchvision": with_torchvision,
    "forward": forward,
    "revcd": revcd,
    "openvino": openvino,
}

if __name__ == "__main__":
    main()
