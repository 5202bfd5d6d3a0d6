"""Fault injection: functions that are called in a command's process before it starts.

They replace functions to simulate other programs, memory exhaustion and slow disks at an exact time. revcd's reaction
is not replaced.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from revcd_cli.data.photos import image_source


def _before_reading(name: str, act: Callable[[str], None]) -> None:
    """Call `act` with the path just before the photo of that name is opened."""
    read_file = image_source.read_file

    def read(path: str) -> object:
        if Path(path).name == name:
            act(path)
        return read_file(path)

    image_source.read_file = read


def delete_before_reading(name: str) -> None:
    """Delete the photo after it was listed, as another program would."""
    _before_reading(name, os.unlink)


def grow_before_reading(name: str) -> None:
    """Make the photo too large after its size was checked and before it is read."""
    opened = os.open

    def open_grown(path: str, *options: object, **more: object) -> int:
        if str(path).endswith(f"/{name}"):
            os.truncate(path, image_source.MAX_BYTES + 1)
        return opened(path, *options, **more)

    os.open = open_grown


def block_reading(name: str, sign: str) -> None:
    """Block the reading of the photo until the file `sign` exists."""

    def wait(path: str) -> None:
        while not Path(sign).exists():
            time.sleep(0.01)

    _before_reading(name, wait)


def save_weights(tag: str, path: str) -> None:
    """Write random weights of a network."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(timm.create_model(tag, pretrained=False).state_dict(), path)


def replace_while_loading(path: str) -> None:
    """Replace a model by one with NaN weights as soon as it has been read for the first time."""
    target = Path(path)
    read_bytes = Path.read_bytes

    def read_and_replace(self: Path) -> bytes:
        data = read_bytes(self)
        if self == target:
            damaged = target.with_name("damaged")
            damaged.write_bytes(data[: -len(data) // 2] + b"\xff" * (len(data) // 2))
            damaged.replace(target)
        return data

    Path.read_bytes = read_and_replace


def kill_before_reading(name: str) -> None:
    """Kill the command just before it reads a photo; the photos before it are finished."""

    def kill(path: str) -> None:
        time.sleep(0.5)  # time to write the photos before it; the assertions hold without it too
        os.kill(os.getpid(), signal.SIGKILL)

    _before_reading(name, kill)


def make_scores_nan() -> None:
    """Make every score NaN, as after an overflow in the model."""
    from revcd_cli.pipeline.predict import predictor as predict

    score_rows = predict.score_rows
    predict.score_rows = lambda *arguments, **options: score_rows(*arguments, **options) * float("nan")


def save_often(name: str = "", sign: str = "", patience: float = 0.1) -> None:
    """Save progress after every 4 photos and every epoch; with a name, also block a photo as `block_reading` does."""
    from revcd_cli.pipeline import journal
    from revcd_cli.pipeline.extract import decoding
    from revcd_cli.pipeline.extract import journal as feature_journal
    from revcd_cli.pipeline.train import run as training_run

    journal.SHARD_ROWS = feature_journal._LEAST_ROWS = 4
    training_run.SAVE_SECONDS = -1
    decoding._JOIN_SECONDS = patience  # seconds to wait for a slow disk after an interruption
    if name:
        block_reading(name, sign)


def skip_space_check() -> None:
    """Disable the check of free disk space, as if the disk were filled right after it."""
    from revcd_cli.pipeline.extract import extract

    extract._check_room = lambda *about: None


def save_often_with_old_clock() -> None:
    """Do as `save_often`, with the clock a year back."""
    now = time.time
    time.time = lambda: now() - 366 * 86_400
    save_often()


def limit_batch_size(most: int, kind: str = "torch.OutOfMemoryError") -> None:
    """Raise an out-of-memory error for batches of more than `most` photos."""
    _with_forward(lambda images: _raise_out_of_memory(kind) if len(images) > most else None)


def no_memory_for_photo(number: int) -> None:
    """Raise an out-of-memory error for every batch that contains photo `number`, counted from 0 as they are read."""
    seen: list[bytes] = []

    def check(images: Any) -> None:
        photos = [image.numpy().tobytes() for image in images]
        seen.extend(photo for photo in photos if photo not in seen)
        if len(seen) > number and seen[number] in photos:
            _raise_out_of_memory("torch.OutOfMemoryError")

    _with_forward(check)


def fail_forward(calls: str) -> None:
    """Fail with an error that a smaller batch does not avoid; count the calls in a file."""

    def fail(images: Any) -> None:
        path = Path(calls)
        path.write_text(str(int(path.read_text()) + 1 if path.exists() else 1))
        raise RuntimeError("illegal memory access")

    _with_forward(fail)


def _with_forward(check: Callable[[Any], None]) -> None:
    """Call `check` with each batch before the backbone runs on it."""
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


def make_loss_nan(epoch: int) -> None:
    """Make the loss of one epoch NaN; epochs are counted over all phases."""
    from revcd_cli.core.trainer import Trainer

    run_epoch, histories = Trainer.run_epoch, []

    def run(self: Any, *arguments: Any) -> Any:
        histories.append(run_epoch(self, *arguments))
        last = histories[-1]
        return type(last)(*(part * math.nan for part in last)) if len(histories) == epoch else last

    Trainer.run_epoch = run
