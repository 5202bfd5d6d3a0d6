"""Say how an interrupted run is resumed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from . import console


@contextlib.contextmanager
def resumable(output: Path) -> Iterator[None]:
    """Say, after Ctrl-C in the block, how the run with this output is resumed, if it has finished photos."""
    try:
        yield
    except KeyboardInterrupt:
        from ...pipeline.journal import partial_folder

        if any(partial_folder(output).glob("shard-*")):
            console.note(
                f"Finished photos are kept in {partial_folder(output)}. Give the same command again to resume."
            )
        raise
