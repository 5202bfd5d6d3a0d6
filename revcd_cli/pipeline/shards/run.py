"""Run a job over shards: list the inputs, find what is missing in the output folder, and compute it.

The listing and the manifest are written first. Every later run of the same command, and every part of an array job,
takes them from the folder: inputs are listed once. Each shard is one file, written in one step, so a run that is
killed at any time and repeated gives the same bytes as an uninterrupted one.
"""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...data.features.shards import FEATURES, MANIFEST, finished_manifest, folder_at, part_name
from ...data.photos.passed_over import PassedOver
from ...data.storage import reference
from ...data.storage.image_table import ImageColumns
from ...data.storage.listing import list_inputs
from ...data.storage.reference import Reference
from ...errors import RevcdError, UsageError
from ...system.storage_folder import StorageFolder
from .compute import Work
from .contract import Contract, check_same, read_contract, read_shards, remove_all, working_folder, write_listing
from .engine import Engine, LocalEngine
from .jobs import Job
from .report import ShardSummary
from .survey import finished_parts

SHARD_ROWS = 4096

OnNote = Callable[[str], None]


@dataclass(frozen=True)
class Progress:
    """The state of a run, for display. photos, failed: of all assigned shards so far; total: photos, if known."""

    finished: int
    shards: int
    photos: int
    failed: int
    reused: int
    total: int | None


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Inputs:
    """What is computed. features: the paths name one folder of features instead of photos."""

    paths: Sequence[str]
    columns: ImageColumns = field(default_factory=ImageColumns)
    shard_rows: int = SHARD_ROWS
    null_separated: bool = False
    features: bool = False

    @functools.cached_property
    def listed(self) -> bytes | None:
        """The list on standard input, None if it is no input."""
        return sys.stdin.buffer.read() if "-" in self.paths else None


def parse_part(text: str) -> tuple[int, int]:
    """Return the number and the count of "3/16". Raises `UsageError`."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise UsageError(f'"{text}" is no part.', hint="Write 3/16 for the third of 16 parts; the first is 1/16.")
    return int(number), int(count)


def run_shards(
    job: Job,
    inputs: Inputs,
    output: str,
    *,
    engine: Engine | None = None,
    part: tuple[int, int] | None = None,
    fresh: bool = False,
    list_only: bool = False,
    on_progress: OnProgress | None = None,
    on_note: OnNote | None = None,
    on_lost: Callable[[int, str], None] | None = None,
) -> ShardSummary:
    """Compute the shards of the inputs that are missing in a folder, and return a summary.

    part: (i, n), compute every n-th shard, beginning with the i-th. fresh: remove the shards of earlier runs first.
    list_only: write the listing and the manifest only. on_lost(number, reason): a shard that got no part.
    Raises `UsageError` if the folder holds shards of other settings.
    """
    started = time.monotonic()
    if inputs.shard_rows < 1:
        raise UsageError(f"A shard needs at least one photo; got {inputs.shard_rows}.")
    if fresh and part is not None:
        raise UsageError("--fresh would remove the shards of the other parts.", hint="Run it once without --part.")
    note = on_note or (lambda text: None)
    engine, folder = engine or LocalEngine(), StorageFolder(output)
    passed = PassedOver()
    with folder.lock(MANIFEST, wait=True):  # another part may be listing the inputs
        if fresh:
            remove_all(folder)
        contract, job = _agree(job, inputs, folder, engine, part, list_only, note, passed)
    number, count = part or (1, 1)
    assigned = range(number - 1, contract.shards, count)
    summary = ShardSummary(output, contract.shards, len(assigned), passed=passed, is_listing=list_only)
    if list_only:
        return summary
    with folder.lock(f"_part-{number}-of-{count}", map(part_name, assigned)):
        work = Work(job, folder, contract.digest, inputs.columns, contract.folder)
        _compute(work, contract, assigned, engine, summary, on_progress, note, on_lost)
    summary.seconds = time.monotonic() - started
    return summary


def _agree(
    job: Job,
    inputs: Inputs,
    folder: StorageFolder,
    engine: Engine,
    part: tuple[int, int] | None,
    list_only: bool,
    note: OnNote,
    passed: PassedOver,
) -> tuple[Contract, Job]:
    """Return the contract of the folder, written now if there is none, and the job with its choices made."""
    earlier = read_contract(folder)
    if earlier is None and part is not None and folder.is_remote and not list_only:
        raise UsageError(
            f"{folder.address}: has no listing yet, and the parts of an array job must not write several.",
            hint="Run the command once with --list-only instead of --part.",
        )
    job = engine.pin(job, earlier.settings if earlier else {})
    note(job.describe())
    settings = {
        **job.settings(),
        "inputs": list(inputs.paths),
        "list_sha256": None if inputs.listed is None else hashlib.sha256(inputs.listed).hexdigest(),
        "shard_rows": inputs.shard_rows,
        "image_column": inputs.columns.image,
        "key_column": inputs.columns.key,
    }
    cwd = str(Path.cwd())
    if earlier is not None:
        check_same(folder, earlier, job.kind, settings, cwd)
        listed = f"its listing of {earlier.shards:,} shards; photos that were added since are not in it"
        note(f"{folder.address}: continuing with {listed}.")
        return earlier, job
    references = _feature_references(inputs) if inputs.features else _references(inputs, passed)
    sha256, shards, photos = write_listing(folder, _at_least_one(references, inputs.paths), inputs.shard_rows)
    contract = Contract(job.kind, settings, sha256, shards, photos, working_folder(inputs.paths, cwd))
    contract.write(folder)
    counted = "photos of archives, whose number is not known," if photos is None else f"{photos:,} photos"
    note(f"{counted} in {shards:,} shards")
    return contract, job


def _references(inputs: Inputs, passed: PassedOver) -> Iterator[Reference]:
    return list_inputs(
        inputs.paths,
        columns=inputs.columns,
        shard_rows=inputs.shard_rows,
        stdin=None if inputs.listed is None else io.BytesIO(inputs.listed),
        null_separated=inputs.null_separated,
        passed=passed,
    )


def _feature_references(inputs: Inputs) -> Iterator[Reference]:
    """Yield a reference for each part of the folder of features, which must be complete."""
    folder = folder_at(inputs.paths[0])
    manifest = finished_manifest(folder, FEATURES)
    sizes = folder.sizes()
    for number in range(manifest["shards"]):
        stamp = manifest["digest"]
        yield Reference(reference.FEATURES, folder.address, sizes[part_name(number)], stamp, number)


def _at_least_one(references: Iterable[Reference], inputs: Sequence[str]) -> Iterator[Reference]:
    references = iter(references)
    first = next(references, None)
    if first is None:
        raise RevcdError(f"{', '.join(inputs[:3])}: no photo found.")
    return itertools.chain([first], references)


def _compute(
    work: Work,
    contract: Contract,
    assigned: range,
    engine: Engine,
    summary: ShardSummary,
    on_progress: OnProgress | None,
    note: OnNote,
    on_lost: Callable[[int, str], None] | None,
) -> None:
    finished = finished_parts(work.folder, contract.digest, assigned)
    for tally in finished.values():
        summary.tally.add_all(tally)
    summary.reused = summary.tally.photos
    if finished:
        note(f"{len(finished):,} of {len(assigned):,} shards are finished ({summary.reused:,} photos).")
    display = _Display(contract, len(assigned), len(finished), summary, on_progress)
    missing = (s for s in read_shards(work.folder, contract) if s.number in assigned and s.number not in finished)
    for outcome in engine.run(work, missing, display.count):
        if outcome.tally is None:
            summary.lost[outcome.number] = outcome.reason
            if on_lost:
                on_lost(outcome.number, outcome.reason)
        else:
            summary.tally.add_all(outcome.tally)
        display.finish()


class _Display:
    """Reports progress: photo by photo where the engine counts them, and shard by shard."""

    def __init__(
        self, contract: Contract, shards: int, finished: int, summary: ShardSummary, on_progress: OnProgress | None
    ) -> None:
        self.total = contract.photos if shards == contract.shards else None
        self.shards, self.finished, self.summary, self.on_progress = shards, finished, summary, on_progress
        self.photos = self.failed = 0  # of the shard that is being computed
        self.tell()

    def count(self, has_failed: bool) -> None:
        self.photos += 1
        self.failed += has_failed
        self.tell()

    def finish(self) -> None:
        self.photos = self.failed = 0
        self.finished += 1
        self.tell()

    def tell(self) -> None:
        if self.on_progress is not None:
            tally = self.summary.tally
            photos, failed = tally.photos + self.photos, tally.failed + self.failed
            state = Progress(self.finished, self.shards, photos, failed, self.summary.reused, self.total)
            self.on_progress(state)
