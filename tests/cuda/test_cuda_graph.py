"""The backbone replays a CUDA graph for the usual batch, with the bits of the eager forward pass."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from revcd_cli.backbones.backbone import Backbone, load_backbone
from revcd_cli.backbones.cuda_graph import EAGER_CALLS
from revcd_cli.data.photos.sources import iter_sources
from revcd_cli.pipeline.extract.stream import capture_graph, measured_batch_size, stream_features
from tests.makers.toy import TINY_BACKBONE

pytestmark = pytest.mark.cuda


def tiny(gpu: torch.device, weights: Path, kind: str = "float32", *, graph: bool = True) -> Backbone:
    backbone = load_backbone(TINY_BACKBONE, weights=weights, device=str(gpu), precision=kind)
    if not graph:
        backbone.release_graph()
    return backbone


def batches(backbone: Backbone, size: int, count: int) -> list[Tensor]:
    """Different batches of random photos, uint8, as extraction assembles them."""
    generator, shape = torch.Generator().manual_seed(0), backbone.record.preprocessing["input_size"]
    photos = torch.randint(0, 256, (count, size, *shape), dtype=torch.uint8, generator=generator)
    return [backbone.batch(list(some)) for some in photos]


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_replays_give_the_bits_of_the_eager_forward_pass(kind: str, gpu: torch.device, weights: Path):
    backbone, eager = tiny(gpu, weights, kind), tiny(gpu, weights, kind, graph=False)
    for number, images in enumerate(batches(backbone, 8, 6)):
        assert torch.equal(backbone(images), eager(images))
        assert backbone.graph_batch == (8 if number >= EAGER_CALLS else None)
        assert eager.graph_batch is None
    assert backbone.graph_problem == ""


def test_normalised_photos_have_a_graph_of_their_own(gpu: torch.device, weights: Path):
    backbone, eager = tiny(gpu, weights), tiny(gpu, weights, graph=False)
    photos = batches(backbone, 8, 8)
    for images in [*photos[:4], *[each.float() / 255 for each in photos[4:]]]:
        assert torch.equal(backbone(images), eager(images))
    assert backbone.graph_batch == 8


def test_a_smaller_last_batch_runs_eagerly_and_keeps_the_graph(gpu: torch.device, weights: Path):
    backbone, eager = tiny(gpu, weights), tiny(gpu, weights, graph=False)
    for images in [*batches(backbone, 8, 4), *batches(backbone, 3, 1), *batches(backbone, 8, 2)]:
        assert torch.equal(backbone(images), eager(images))
    assert backbone.graph_batch == 8
    for images in batches(backbone, 4, 4):  # a new usual batch size
        assert torch.equal(backbone(images), eager(images))
    assert backbone.graph_batch == 4


def test_two_threads_at_once(gpu: torch.device, weights: Path):
    backbone, eager = tiny(gpu, weights), tiny(gpu, weights, graph=False)
    photos = batches(backbone, 8, 40)
    photos[20:20] = batches(backbone, 5, 1)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(backbone, photos))
    assert backbone.graph_batch == 8
    assert all(torch.equal(features, eager(images)) for features, images in zip(found, photos, strict=True))


def test_another_stream_runs_eagerly(gpu: torch.device, weights: Path):
    backbone, eager = tiny(gpu, weights), tiny(gpu, weights, graph=False)
    *first, last = batches(backbone, 8, 5)
    for images in first:
        backbone(images)
    with torch.cuda.stream(torch.cuda.Stream()):
        assert torch.equal(backbone(last), eager(last))


@pytest.mark.parametrize("tag", [TINY_BACKBONE, "embedded"])
def test_extracted_features_have_the_same_bits_with_and_without_graph(
    tag: str, gpu: torch.device, photos: Path, weights: Path
):
    found = []
    for graph in (True, False):
        given = None if tag == "embedded" else weights
        backbone = load_backbone(tag, weights=given, device=str(gpu), precision="float32")
        if not graph:
            backbone.release_graph()
        extracted = stream_features(backbone, iter_sources([str(photos)]), batch_size=16)
        found.append(np.stack([photo.feature for photo in extracted]))
        assert backbone.graph_batch == (16 if graph else None)
    np.testing.assert_array_equal(*found)


def test_without_a_graph_if_the_capture_fails(gpu: torch.device, photos: Path, weights: Path):
    backbone, eager = tiny(gpu, weights), tiny(gpu, weights, graph=False)
    program = backbone.network

    def network(images: Tensor) -> Tensor:
        if torch.cuda.is_current_stream_capturing():
            raise RuntimeError("cannot be captured")
        return program(images)

    backbone.network = network
    for images in batches(backbone, 8, 6):
        assert torch.equal(backbone(images), eager(images))
    assert backbone.graph_batch is None and backbone.graph_problem == "cannot be captured"
    notes: list[str] = []
    assert all(
        photo.status == "ok"
        for photo in stream_features(backbone, iter_sources([str(photos)]), batch_size=8, on_note=notes.append)
    )
    assert len(notes) == 1 and "cannot be captured" in notes[0]
    torch.cuda.empty_cache()  # torch's allocator and random numbers work as before
    assert torch.rand(2, device=gpu).isfinite().all()


def test_the_graph_is_captured_before_decoding(gpu: torch.device, weights: Path):
    backbone = tiny(gpu, weights)
    capture_graph(backbone, 8)
    assert backbone.graph_batch == 8
    (images,) = batches(backbone, 8, 1)
    assert torch.equal(backbone(images), tiny(gpu, weights, graph=False)(images))
    assert measured_batch_size(backbone) >= 32
