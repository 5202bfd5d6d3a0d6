"""The options of benchmarks/gpu.py, and the networks and settings that its sections share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import torch
from common import random_weights
from torch import Tensor, nn

from revcd_cli.backbones.backbone import Backbone, embedded_network, load_backbone
from revcd_cli.backbones.cuda_graph import GraphedForward
from revcd_cli.backbones.source import embedded_weights

from .measure import (
    Way,
    flops_of,
    in_rounds,
)

EMBEDDED = "embedded"


class Run:
    """The options, and the networks that several sections share."""

    def __init__(self, given: argparse.Namespace, place: Path) -> None:
        self.place, self.quick = place, given.quick
        self.device = torch.device(given.device)
        self.on_gpu = self.device.type == "cuda"
        self.big = "test_resnet.r160_in1k" if given.quick else "resnet101.tv_in1k"
        self.rounds = 2 if given.quick else 5
        self.batch = 2 if given.quick else 256
        self.precisions = ("float32", "bfloat16", "float16") if self.on_gpu else ("float32", "bfloat16")
        self.least = 0.0 if given.quick else 0.05
        self.weights = random_weights(self.big, place / "weights.safetensors")
        self.flops: dict[str, int] = {}

    @property
    def networks(self) -> tuple[str, ...]:
        return (self.big,) if self.quick else (self.big, EMBEDDED)

    def backbone(self, name: str, precision: str = "auto") -> Backbone:
        weights = None if name == EMBEDDED else self.weights
        return load_backbone(name, weights=weights, device=str(self.device), precision=precision)

    def bare(self, name: str) -> nn.Module:
        """Return timm's network without its classifier, on the CPU in float32."""
        import timm

        torch.manual_seed(0)
        made = embedded_network(embedded_weights()) if name == EMBEDDED else timm.create_model(name, pretrained=False)
        made.reset_classifier(0)
        return made.eval().requires_grad_(False)

    def images(self, backbone: Backbone, count: int, dtype: torch.dtype) -> Tensor:
        """Return random photos on the device, in channels-last order."""
        size = backbone.record.preprocessing["input_size"]
        return torch.randn(count, *size).to(self.device, dtype, memory_format=torch.channels_last)

    def flops_of(self, name: str, size: list[int]) -> int:
        if name not in self.flops:
            self.flops[name] = flops_of(self.bare(name), size)
        return self.flops[name]

    def time(self, ways: dict[str, Way]) -> dict[str, list[float]]:
        return in_rounds(ways, self.device, self.rounds, self.least)


def called(run: Callable[[Tensor], Tensor], images: Tensor) -> Way:
    def way() -> None:
        with torch.inference_mode():
            run(images)

    return way


def replayed(run: Callable[[Tensor], Tensor], images: Tensor) -> Way:
    """Return the way of `called` as revcd runs it on a GPU: with a CUDA graph, which is captured in the warm-up."""
    graph = GraphedForward(images.device)
    for _ in range(3):
        with torch.inference_mode():
            graph(run, images)
    assert graph.batch_size == len(images), graph.problem
    return called(lambda some: graph(run, some), images)


@contextmanager
def tf32(convolutions: bool, products: bool):
    """Let float32 convolutions and matrix products use TF32, or not, inside the block."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = convolutions, products
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def without_tf32(way: Way) -> Way:
    def plain() -> None:
        with tf32(False, False):
            way()

    return plain
