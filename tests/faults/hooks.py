"""What happens to a command from outside while it runs: called in its process before it begins.

These stand for other programs, full memory and slow disks, which a test cannot otherwise bring about at an exact
moment. What revcd does about them is its own.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from revcd_cli.data.photos import image_source


def _before_reading(name: str, act: Callable[[str], None]) -> None:
    """Call `act` with the path when the photo of that name is about to be opened."""
    read_file = image_source.read_file

    def read(path: str) -> object:
        if Path(path).name == name:
            act(path)
        return read_file(path)

    image_source.read_file = read


def vanish(name: str) -> None:
    """Another program deletes the photo after it was listed."""
    _before_reading(name, os.unlink)


def grow_without_end(name: str) -> None:
    """Another program appends to the photo between the look at its size and the reading."""
    opened = os.open

    def open_grown(path: str, *options: object, **more: object) -> int:
        if str(path).endswith(f"/{name}"):
            os.truncate(path, image_source.MAX_BYTES + 1)
        return opened(path, *options, **more)

    os.open = open_grown


def wait_for(name: str, sign: str) -> None:
    """The disk does not give the photo before a file appears."""

    def wait(path: str) -> None:
        while not Path(sign).exists():
            time.sleep(0.01)

    _before_reading(name, wait)


def save_weights(tag: str, path: str) -> None:
    """Somebody has weights of a network."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(timm.create_model(tag, pretrained=False).state_dict(), path)


def exchange(path: str) -> None:
    """Another program replaces a model by one with NaN for weights as soon as the first byte of it was read."""
    target = Path(path)
    read_bytes = Path.read_bytes

    def read_and_replace(self: Path) -> bytes:
        data = read_bytes(self)
        if self == target:
            spoilt = target.with_name("spoilt")
            spoilt.write_bytes(data[: -len(data) // 2] + b"\xff" * (len(data) // 2))
            spoilt.replace(target)
        return data

    Path.read_bytes = read_and_replace


def die_before(name: str) -> None:
    """Somebody kills the command when it is about to read a photo; what was read before is done."""

    def kill(path: str) -> None:
        time.sleep(0.5)  # the photos before it are written by now; if they are not, the law holds all the same
        os.kill(os.getpid(), signal.SIGKILL)

    _before_reading(name, kill)


def lose_scores() -> None:
    """The model's arithmetic overflows, so that no class has a score."""
    from revcd_cli.pipeline.predict import predictor as predict

    score_rows = predict.score_rows
    predict.score_rows = lambda *arguments, **options: score_rows(*arguments, **options) * float("nan")


def small_steps(name: str = "", sign: str = "", patience: float = 0.1) -> None:
    """Progress is kept after every 4 photos and every epoch; perhaps a photo is waited for, as in `wait_for`."""
    from revcd_cli.pipeline.extract import journal, stream
    from revcd_cli.pipeline.train import run as training_run

    journal.SHARD_ROWS = journal._LEAST_ROWS = 4
    training_run.SAVE_SECONDS = -1
    stream._PATIENCE = patience  # with a disk that does not answer, after an interruption
    if name:
        wait_for(name, sign)


def believe_in_room() -> None:
    """Another program fills the disk right after the look at how much is free."""
    from revcd_cli.pipeline.extract import extract

    extract._check_room = lambda *about: None


def small_steps_a_year_ago() -> None:
    """As `small_steps`, on a computer whose clock was put back."""
    now = time.time
    time.time = lambda: now() - 366 * 86_400
    small_steps()


def memory_for(most: int, kind: str = "torch.OutOfMemoryError") -> None:
    """The device has memory for so many photos at once."""
    _with_forward(lambda images: _raise_out_of_memory(kind) if len(images) > most else None)


def no_memory_for_photo(number: int) -> None:
    """There is memory for every photo but one, alone or with others; photos come in the order of their numbers."""
    seen: list[bytes] = []

    def check(images: Any) -> None:
        photos = [image.numpy().tobytes() for image in images]
        seen.extend(photo for photo in photos if photo not in seen)
        if len(seen) > number and seen[number] in photos:
            _raise_out_of_memory("torch.OutOfMemoryError")

    _with_forward(check)


def broken_model(calls: str) -> None:
    """The device fails in a way that no smaller batch mends."""

    def fail(images: Any) -> None:
        path = Path(calls)
        path.write_text(str(int(path.read_text()) + 1 if path.exists() else 1))
        raise RuntimeError("illegal memory access")

    _with_forward(fail)


def _with_forward(check: Callable[[Any], None]) -> None:
    """Call `check` with each batch before the backbone computes it."""
    from revcd_cli.backbones.backbone import Backbone

    forward = Backbone.__call__

    def checked(self: Any, images: Any) -> Any:
        check(images)
        return forward(self, images)

    Backbone.__call__ = checked


def _raise_out_of_memory(kind: str) -> None:
    import torch

    if kind == "DefaultCPUAllocator":
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
    raise MemoryError if kind == "MemoryError" else torch.OutOfMemoryError("CUDA out of memory")


def lose_loss(epoch: int) -> None:
    """The loss of one epoch, counted over all phases, is not a number."""
    from revcd_cli.core.trainer import Trainer

    run_epoch, told = Trainer.run_epoch, []

    def run(self: Any, *arguments: Any) -> Any:
        told.append(run_epoch(self, *arguments))
        return [float("nan")] * 4 if len(told) == epoch else told[-1]

    Trainer.run_epoch = run
