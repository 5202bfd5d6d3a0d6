"""Write losses and validation metrics of a training as TensorBoard scalars, for `revcd train --log-dir`."""

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
    """Raise `UsageError` if tensorboard is missing, or if the folder contains the log of another training.

    Only with `resume` may the folder contain files.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise UsageError(
            "--log-dir writes TensorBoard scalars, and tensorboard is not installed.",
            hint="pip install tensorboard, or leave out --log-dir: learning curves are plotted without it.",
        )
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file, not a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not resume:
        raise UsageError(
            f"{folder}: is not empty; a log holds one training.",
            hint="Choose a new folder, or add --resume to resume the training of this log.",
        )


@contextlib.contextmanager
def scalar_log(folder: Path) -> Iterator[OnEpoch]:
    """Yield the function that logs an epoch. Each fold and the final training is a TensorBoard run in the folder.

    A resumed training replaces the entries after its last saved state.
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
        writer.flush()  # before the training saves its state, so that the log has every epoch of a saved state

    try:
        yield add
    finally:
        for writer in writers.values():
            with contextlib.suppress(OSError):
                writer.close()
