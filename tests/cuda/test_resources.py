"""What the GPU has and lacks: memory that runs out, batches at the same time, and no float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from revcd_cli.backbones.backbone import Backbone, load_backbone
from revcd_cli.checkpoint.model_file import load_checkpoint
from revcd_cli.core import precision
from revcd_cli.data.photos.sources import iter_sources
from revcd_cli.pipeline.extract.stream import ExtractedPhoto, stream_features
from revcd_cli.pipeline.train.unit import TrainingUnit
from revcd_cli.scoring.rows import draw_rows, score_rows
from tests.makers.toy import TINY_BACKBONE

pytestmark = pytest.mark.cuda

ROOM = 200 * 2**20  # bytes beside the weights: enough for 8 photos of 260 x 260 in the embedded network, not for 64


class NoDoubles(TorchDispatchMode):
    """Fails on every operation that gives a tensor of float64 on a device other than the CPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor) and value.dtype == torch.float64 and value.device.type != "cpu":
                raise AssertionError(f"{func} gives float64 on {value.device}")
        return result


@contextmanager
def limited_memory(device: torch.device, room: int) -> Iterator[None]:
    """Let torch allocate `room` bytes on the device beside those that it holds."""
    torch.cuda.empty_cache()
    index = torch.cuda.current_device() if device.index is None else device.index
    whole = torch.cuda.get_device_properties(index).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(index) + room) / whole, index)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, index)
        torch.cuda.empty_cache()


def fill(device: torch.device) -> list[torch.Tensor]:
    """Allocate what is left of the memory, down to blocks of 16 KiB."""
    held: list[torch.Tensor] = []
    for size in (2**22, 2**20, 2**17, 2**14):
        with suppress(torch.OutOfMemoryError):
            while True:
                held.append(torch.empty(size, dtype=torch.uint8, device=device))
    return held


def extracted(backbone: Backbone, photos: Path, size: int, notes: list[str] | None = None) -> list[ExtractedPhoto]:
    on_note = None if notes is None else notes.append
    return list(stream_features(backbone, iter_sources([str(photos)]), batch_size=size, on_note=on_note))


def features_of(found: list[ExtractedPhoto]) -> torch.Tensor:
    return torch.from_numpy(np.stack([photo.feature for photo in found]))


def test_batches_are_halved_when_memory_runs_out(gpu: torch.device, photos: Path):
    backbone = load_backbone("embedded", device=str(gpu), precision="float32")
    expected = extracted(backbone, photos, 8)
    assert backbone.graph_batch == 8
    notes: list[str] = []
    with limited_memory(gpu, ROOM):
        found = extracted(backbone, photos, 64, notes)
    assert len(notes) == 1 and "Memory ran out" in notes[0]
    assert backbone.graph_batch is None  # its memory was released
    assert [(photo.path, photo.status) for photo in found] == [(photo.path, "ok") for photo in expected]
    assert torch.cosine_similarity(features_of(found), features_of(expected)).min() >= 0.9999


def test_a_photo_that_does_not_fit_alone_is_a_failure_with_a_reason(gpu: torch.device, photos: Path):
    backbone = load_backbone("embedded", device=str(gpu), precision="float32")
    with limited_memory(gpu, 0):
        held = fill(gpu)
        found = extracted(backbone, photos, 64)
        del held
    assert {photo.reason for photo in found} == {"out_of_memory"}
    assert {photo.status for photo in extracted(backbone, photos, 64)} == {"ok"}  # and afterwards all is well


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_two_batches_at_the_same_time_give_the_features_of_one(kind: str, device: str, photos: Path, weights: Path):
    backbone = load_backbone(TINY_BACKBONE, weights=weights, device=device, precision=kind)
    if device.startswith("cuda"):
        assert backbone.streams == 2
    backbone.streams = 2
    together = features_of(extracted(backbone, photos, 8))
    backbone.streams = 1
    alone = features_of(extracted(backbone, photos, 8))
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)


def test_photos_may_come_normalised_or_as_bytes(device: str, weights: Path):
    backbone = load_backbone(TINY_BACKBONE, weights=weights, device=device, precision="float32")
    size = backbone.record.preprocessing["input_size"]
    pixels = torch.randint(0, 256, (4, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    on_cpu = load_backbone(TINY_BACKBONE, weights=weights, device="cpu", precision="float32")
    mean, std = (torch.tensor(backbone.record.preprocessing[name]).view(3, 1, 1) for name in ("mean", "std"))
    for images in (pixels, (pixels / 255 - mean) / std):
        found = backbone(images)
        assert (found.device.type, found.dtype) == ("cpu", torch.float32)
        assert torch.cosine_similarity(found, on_cpu(pixels)).min() >= 0.9999


def test_the_check_for_float64_can_fail(gpu: torch.device):
    with pytest.raises(AssertionError, match="gives float64"), NoDoubles():
        torch.ones(2, device=gpu).double()


def test_no_float64_in_the_backbone(gpu: torch.device, weights: Path):
    backbone = load_backbone(TINY_BACKBONE, weights=weights, device=str(gpu), precision="float32")
    with NoDoubles():
        backbone(torch.zeros(2, *backbone.record.preprocessing["input_size"], dtype=torch.uint8))


@pytest.mark.parametrize("kind", ["standardise", "whiten"])
@pytest.mark.parametrize("weighting", ["simple", "exact"])
def test_no_float64_in_training_for_devices_without_it(
    kind: str,
    weighting: str,
    gpu: torch.device,
    make_toy: Callable,
    small_config: Callable,
    monkeypatch: pytest.MonkeyPatch,
):
    """Closed forms use float64 on a GPU, which has it; here this GPU counts as a device that has not."""
    monkeypatch.setattr(precision, "WITHOUT_FLOAT64", {gpu.type})
    config = small_config(precondition={"kind": kind}, loss={"weighting": weighting})
    dataset = make_toy()
    unit = TrainingUnit(
        dataset=dataset, config=config, seed=0, device=gpu, split=dataset.split, epochs=1, kept=frozenset()
    )
    with NoDoubles():
        trainer = unit.make_trainer()
        assert all(each.optimizer.defaults["fused"] for each in trainer.trainers)
        trainer.run_epoch(0, 0)
        unit.fit_units(trainer.ema)


def test_no_float64_in_the_steps_of_training(gpu: torch.device, make_toy: Callable, small_config: Callable):
    dataset = make_toy()
    unit = TrainingUnit(
        dataset=dataset, config=small_config(), seed=0, device=gpu, split=dataset.split, epochs=1, kept=frozenset()
    )
    trainer = unit.make_trainer()
    with NoDoubles():
        trainer.run_epoch(0, 0)


@pytest.mark.parametrize("rule", ["evidence", "prototype", "cosine", "joint"])
def test_no_float64_in_scores(rule: str, gpu: torch.device):
    checkpoint = load_checkpoint("animals", gpu)
    features = np.random.default_rng(0).uniform(0, 1, (4, checkpoint.backbone.feature_dim)).astype(np.float32)
    inference = checkpoint.model.config.inference.with_rule(rule)
    with NoDoubles():
        score_rows(checkpoint.model, features, torch.from_numpy(checkpoint.classes.values), inference, seed=0)
        draw_rows(checkpoint.model, features, inference, seed=0)
