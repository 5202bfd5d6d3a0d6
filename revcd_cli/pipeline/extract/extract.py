"""Extract the image features of photos to one file, in order and resumable; a failed photo has a row with a reason."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from ...backbones.backbone import Backbone, load_backbone
from ...data.features.feature_set import FAILED, FORMAT
from ...data.features.files import check_suffix, write_features
from ...data.features.mat import check_mat_size
from ...data.photos.passed_over import PassedOver
from ...data.photos.sources import ImageSource, count_sources
from ...errors import RevcdError, UsageError
from ...system import files
from ..journal import kept_precision, unfinished_settings
from .details import backbone_details
from .journal import FeatureJournal
from .listing import Listing
from .stream import (
    ExtractedPhoto,
    OnNote,
    capture_graph,
    default_batch_size,
    measured_batch_size,
    stream_features,
)

__all__ = ["ExtractSummary", "ExtractedPhoto", "extract", "extract_sources", "stream_features"]

OnProgress = Callable[[int, "int | None", int], None]

_LISTED_FAILURES = 5
_BENCHMARKED_PHOTOS = 500  # from this number on, it pays off to measure the best batch size and to prepare a graph
_ROW_BYTES = 300  # estimate for a row without its feature


@dataclass(frozen=True)
class ExtractSummary:
    """The result of `extract`."""

    output: Path
    done: int  # photos that have a feature in the output
    failed: int  # photos that have a row with a reason instead
    reused: int  # photos, among all these, that an interrupted run had finished
    seconds: float
    reasons: Counter[str] = field(default_factory=Counter)  # failures by reason
    failures: tuple[tuple[str, str, str], ...] = ()  # path, reason and detail of the first few
    passed: PassedOver = field(default_factory=PassedOver)  # files in folders and archives that are no photos

    @property
    def exit_code(self) -> int:
        """0 if every photo has a feature, 1 if none has, 3 if some have."""
        if not self.failed:
            return 0
        return 3 if self.done else 1

    @property
    def rate(self) -> float:
        """Photos per second, without the reused ones."""
        return (self.done + self.failed - self.reused) / max(self.seconds, 1e-9)


def extract(
    inputs: Sequence[str],
    output: Path | str,
    *,
    backbone: str = "auto",
    weights: Path | str | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    precision: str = "auto",
    device: str = "auto",
    tokens: bool = False,
    null_separated: bool = False,
    fresh: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    on_note: OnNote | None = None,
    on_detail: OnNote | None = None,
) -> ExtractSummary:
    """Write the features of photos to a .parquet, .npz or .mat file, and return a summary.

    inputs: files, folders, patterns, archives, or "-" for a list on standard input, as in `data.photos.sources`.
    tokens: write the backbone's spatial tokens instead of its pooled vector; not possible for .mat.
    fresh: start over instead of resuming an interrupted run from `<output>.partial`.
    on_progress(done, total or None, failed) and on_note(text) report progress; on_detail(text) reports how features are
    computed, and each photo that failed.

    A run that is killed at any time and repeated writes the same bytes as an uninterrupted run: the precision and the
    batch size that were chosen automatically are kept. Raises `UsageError` before any work is done if the output
    exists, has an unknown suffix, or is being written by another run.
    """
    note = on_note or (lambda text: None)
    if batch_size is not None and batch_size < 1:
        raise UsageError(f"The batch size must be at least 1; got {batch_size}.")
    output = files.check_output(Path(output), overwrite=overwrite)
    if check_suffix(output) == ".mat" and tokens:
        raise UsageError(
            f"{output}: the layout of .mat is one vector per photo, without spatial tokens.",
            hint="Write .parquet or .npz instead.",
        )
    listing = Listing([str(given) for given in inputs], null_separated)
    passed = PassedOver()
    total = count_sources(listing.inputs, passed)
    earlier = {} if fresh else unfinished_settings(output)
    precision = kept_precision(earlier, precision, device)
    model = load_backbone(
        backbone, weights=Path(weights) if weights else None, device=device, precision=precision, tokens=tokens
    )
    note(model.note)
    summary = extract_sources(
        model,
        listing,
        output,
        total=total,
        inputs=listing.inputs,
        batch_size=batch_size,
        workers=workers,
        fresh=fresh,
        overwrite=overwrite,
        on_progress=on_progress,
        on_note=on_note,
        on_detail=on_detail,
    )
    return replace(summary, passed=passed)


def extract_sources(
    model: Backbone,
    listing: Callable[[], Iterator[ImageSource]],
    output: Path,
    *,
    total: int | None,
    inputs: Sequence[str] = (),
    batch_size: int | None = None,
    workers: int | None = None,
    fresh: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    on_note: OnNote | None = None,
    on_detail: OnNote | None = None,
) -> ExtractSummary:
    """Do as `extract` does, with a loaded backbone and a listing that yields the same photos each time it is called.

    total: the number of photos in the listing, None if unknown. inputs: what was listed, for the journal.
    """
    started = time.monotonic()
    note = on_note or (lambda text: None)
    earlier = {} if fresh else unfinished_settings(output)
    detail = on_detail or (lambda text: None)
    size, origin = _batch_size(model, batch_size, earlier.get("batch_size"), total)
    with files.exclusive(output):
        files.check_output(output, overwrite=overwrite)  # again: another run may just have finished
        photos_text = "" if total is None else f"{total:,} photos, "
        note(f"{photos_text}device {model.device.value}")
        for line in (*backbone_details(model), f"batch size {size} ({origin})"):
            detail(line)
        settings = {"format": FORMAT, "inputs": inputs, "batch_size": size, "device": model.device.value.type}
        journal = FeatureJournal(output, model.record, settings)
        journal.open(fresh=fresh)
        reused = _resume(journal, listing, note)
        if total is not None:
            _check_room(output, total, reused, model.record.feature_dim)
        if total is None or total - reused >= _BENCHMARKED_PHOTOS:
            capture_graph(model, size)
        numbers: deque[int] = deque()
        photos = stream_features(
            model,
            journal.unfinished(listing(), numbers),
            batch_size=size,
            workers=workers,
            group_size=journal.shard_rows,
            on_note=note,
        )
        with contextlib.closing(photos):
            _write_shards(journal, numbers, _counted(photos, journal, total, on_progress, detail))
        if model.graph_batch is not None:
            detail(f"CUDA graph for batches of {model.graph_batch}")
        write_features(output, journal)
        summary = _summary(output, journal, reused, time.monotonic() - started)
        journal.remove()
    if summary.failed and output.suffix.lower() == ".mat":
        note(f"Photos without a feature, which a .mat file cannot hold: {summary.failed:,}.")
    return summary


def _batch_size(model: Backbone, given: int | None, earlier: int | None, total: int | None) -> tuple[int, str]:
    """Return the batch size and where it comes from, in words."""
    if given:
        return given, "as given"
    if earlier:
        return earlier, "as in the interrupted run"
    if total is not None and total < _BENCHMARKED_PHOTOS:
        return default_batch_size(model), f"default on {model.device.value.type}"
    return measured_batch_size(model), "fastest in a micro-benchmark, which is cached"


def _resume(journal: FeatureJournal, listing: Callable[[], Iterator[ImageSource]], note: OnNote) -> int:
    """Find the finished shards of an earlier run, and return the number of their photos."""
    if journal.is_empty:
        return 0
    journal.survey(listing())
    note(f"Resuming from {journal.folder}: {journal.reused:,} photos are finished.")
    return journal.reused


def _check_room(output: Path, total: int, reused: int, feature_dim: int) -> None:
    if output.suffix.lower() == ".mat":
        check_mat_size(output, total, feature_dim)
    # The remaining shards, and the output.
    needed = (total - reused + total) * (4 * feature_dim + _ROW_BYTES)
    free = shutil.disk_usage(output.parent).free
    if needed > free:
        raise RevcdError(
            f"{output}: {total:,} photos need about {needed / 1e6:,.0f} MB of disk space during extraction, but "
            f"{free / 1e6:,.0f} MB are free.",
            hint="Make room, or choose an output on another disk.",
        )


def _counted(
    photos: Iterator[ExtractedPhoto],
    journal: FeatureJournal,
    total: int | None,
    on_progress: OnProgress | None,
    detail: OnNote,
) -> Iterator[ExtractedPhoto]:
    tell = on_progress or (lambda done, total, failed: None)
    done, failed = journal.reused, journal.reused_failures
    tell(done, total, failed)
    for photo in photos:
        done += 1
        if photo.status == FAILED:
            failed += 1
            detail(f"{photo.path}: {photo.reason} ({photo.detail})")
        tell(done, total, failed)
        yield photo


def _write_shards(journal: FeatureJournal, numbers: deque[int], photos: Iterator[ExtractedPhoto]) -> None:
    # While this thread writes, the threads of the stream decode and compute the next batches.
    written = 0
    while group := list(islice(photos, journal.shard_rows)):
        journal.write(numbers.popleft(), group)
        written += 1
    journal.shards = len(journal.finished) + written


def _summary(output: Path, journal: FeatureJournal, reused: int, seconds: float) -> ExtractSummary:
    rows, reasons = 0, Counter[str]()
    first: list[tuple[str, str, str]] = []
    for number in range(journal.shards):
        shard = journal.load(number)
        failures = shard.failures()
        rows += len(shard.features)
        reasons.update(reason for _, reason, _ in failures)
        first += failures[: _LISTED_FAILURES - len(first)]
    failed = reasons.total()
    return ExtractSummary(output, rows - failed, failed, reused, seconds, reasons, tuple(first))
