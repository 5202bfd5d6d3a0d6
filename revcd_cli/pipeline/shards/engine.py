"""Engines compute the missing shards of a run: in this process here, on a Ray cluster in `ray_engine`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from ...data.storage.listing import Shard
from ...errors import RevcdError, brief
from .compute import Work, compute_shard
from .jobs import Job, OnPhoto
from .marks import Marks
from .report import Tally

MAX_CRASHES = 3  # a shard that ended this many workers is left out, so that the rest can finish


class Outcome(NamedTuple):
    """What became of a shard: its counts, or the reason why it has no part."""

    number: int
    tally: Tally | None
    reason: str = ""


class Engine(Protocol):
    """Where shards are computed."""

    def pin(self, job: Job, earlier: Mapping[str, Any]) -> Job:
        """Return `job.pinned(earlier)`, as made where the shards will be computed."""

    def run(self, work: Work, shards: Iterable[Shard], on_photo: OnPhoto | None) -> Iterator[Outcome]:
        """Yield an outcome for each shard, in any order."""


class LocalEngine:
    """Compute the shards one after the other in this process.

    A shard whose photos end the process (a crash in a library, memory) would end every later run as well. So a mark is
    written before each shard and removed after it; a shard with `MAX_CRASHES` marks is left out once.
    """

    def pin(self, job: Job, earlier: Mapping[str, Any]) -> Job:
        """See `Engine`."""
        return job.pinned(earlier)

    def run(self, work: Work, shards: Iterable[Shard], on_photo: OnPhoto | None) -> Iterator[Outcome]:
        """See `Engine`."""
        marks = Marks(work.folder)
        for shard in shards:
            if marks.count(shard.number) >= MAX_CRASHES:
                marks.remove(shard.number)
                yield Outcome(shard.number, None, f"the program was killed {MAX_CRASHES} times while it computed it")
                continue
            with marks.marked(shard.number):
                outcome = outcome_of(work, shard, on_photo)
            yield outcome


def outcome_of(work: Work, shard: Shard, on_photo: OnPhoto | None = None) -> Outcome:
    """Compute a shard. An unexpected error concerns this shard alone; `RevcdError` and MemoryError end the run."""
    try:
        return Outcome(shard.number, compute_shard(work, shard, on_photo))
    except (RevcdError, MemoryError):
        raise
    except Exception as error:
        return Outcome(shard.number, None, f"unexpected {type(error).__name__}: {brief(error)}")
