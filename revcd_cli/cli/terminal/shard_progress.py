"""Show the progress of a run over shards on stderr: shards, photos per second, failures, remaining time."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from . import console, streams

if TYPE_CHECKING:
    from ...pipeline.shards.run import Progress

_DETAIL_SECONDS = 60.0  # between the lines that `-v` prints where there is no terminal


@contextlib.contextmanager
def shard_progress(description: str) -> Iterator[Callable[[Progress], None]]:
    """Yield the function that shows a state: as a bar on a terminal, as a line each minute elsewhere with `-v`."""
    told = started = time.monotonic()
    shards = ""
    with console.progress(description, status=lambda: shards) as on_progress:

        def show(state: Progress) -> None:
            nonlocal told, shards
            shards = f"{state.finished:,}/{state.shards:,} shards"
            on_progress(state.photos, expected_photos(state), state.failed)
            if not sys.stderr.isatty() and streams.settings.verbosity and time.monotonic() - told > _DETAIL_SECONDS:
                told = time.monotonic()
                console.detail(line(state, told - started))

        yield show


def expected_photos(state: Progress) -> int | None:
    """Return the total number of photos; where archives do not tell it, an estimate from the finished shards."""
    if state.total is not None or not state.finished:
        return state.total
    return max(state.photos, round(state.photos * state.shards / state.finished))


def line(state: Progress, seconds: float) -> str:
    """Return the state as a line of text."""
    rate = (state.photos - state.reused) / max(seconds, 1e-9)
    left = state.shards - state.finished
    remaining = ""
    total = expected_photos(state)
    if left and total is not None and rate > 0:
        remaining = f", about {(total - state.photos) / rate / 60:,.0f} min left"
    return (
        f"{state.finished:,} of {state.shards:,} shards, {state.photos:,} photos ({rate:.1f} photos/s), "
        f"{state.failed:,} failed{remaining}"
    )
