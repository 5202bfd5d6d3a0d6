"""A training's losses and validation figures as TensorBoard scalars, for `revcd train --log-dir`."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RevcdError, UsageError
from ..pipeline.train.run import OnEpoch
from ..pipeline.train.unit import EpochInfo, unit_name

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_LOSSES = ("loss", "rec", "noise", "cls")


def check_log_folder(folder: Path, *, resume: bool) -> None:
    """Raise `UsageError` if scalars could not be written there, or would mix with those of another training.

    Call it before any work is done. Only with `resume` may the folder hold something.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise UsageError(
            "--log-dir writes TensorBoard scalars, and tensorboard is not installed.",
            hint="pip install tensorboard, or leave --log-dir out: learning curves are drawn anyway.",
        )
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; scalars go to a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not resume:
        raise UsageError(
            f"{folder}: is not empty, and two trainings in one log would mix.",
            hint="Choose a new folder, or add --resume to go on with the training that it belongs to.",
        )


@contextlib.contextmanager
def scalar_log(folder: Path) -> Iterator[OnEpoch]:
    """Yield the function that adds an epoch. Each fold, and the final training, is a run of its own in the folder.

    What an interrupted training logged after its last saved state is replaced when that epoch is trained again.
    """
    from torch.utils.tensorboard import SummaryWriter

    writers: dict[str, SummaryWriter] = {}

    def add(info: EpochInfo) -> None:
        try:
            write(info)
        except OSError as error:
            raise RevcdError(f"{folder}: cannot be written ({error.strerror or error}).") from error

    def write(info: EpochInfo) -> None:
        run = unit_name(info.fold)
        if run not in writers:
            writers[run] = SummaryWriter(str(folder / run), purge_step=info.epoch)
        writer = writers[run]
        for name in _LOSSES:
            writer.add_scalar(f"loss/{name}", getattr(info, name), info.epoch)
        for name, share in (info.validation or {}).items():
            if share is not None:
                writer.add_scalar(f"validation/{name}", share, info.epoch)
        writer.flush()  # a state that is saved must not know more epochs than the log

    try:
        yield add
    finally:
        for writer in writers.values():
            with contextlib.suppress(OSError):
                writer.close()
