"""Compute the image features of a stream of photos, in order and with bounded memory.

Threads read and decode (`decoding`). If there are many photos, several more run the backbone, each on its own batch.
Results are yielded in the order of the photos.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from ...backbones.backbone import Backbone
from ...data.parts.part import Part
from ...data.photos.details import PhotoDetails
from ...data.photos.images import ImageFailure
from ...data.photos.sources import ImageSource
from ...system import probes
from ...system.threads import stream_pool
from .decoding import Decoded, Kept, decoded, is_out_of_memory

_BATCH_SIZES, _BATCH_SIZES_ON_CPU = (32, 64, 128, 256, 512), (4, 8, 16)

_KINDS = {
    "pages": "hold several pictures, of which only the first is read",
    "range": "had grey values that were scaled to the range of a photo",
    "raw": "are raw photos, of which a preview is used",
}

OnNote = Callable[[str], None]
Item = TypeVar("Item")


@dataclass(frozen=True)
class ExtractedPhoto:
    """The feature of one photo, or the reason why it has none."""

    path: str
    sha256: str  # hexadecimal, of the bytes of the photo; "" if they could not be read
    feature: np.ndarray | None  # (D,) float32
    status: str = "ok"  # "ok" | "failed"
    reason: str = ""  # one of `images.REASONS` if failed
    detail: str = ""  # the failure in words
    signature: str = ""  # size and modification time of the source when it was listed
    image: PIL.Image.Image | None = None  # RGB, at most THUMBNAIL_SIDE on each side, if requested
    part: Part | None = None  # what this is of the file, if not the whole photo
    details: PhotoDetails | None = None  # if requested


def stream_features(
    backbone: Backbone,
    sources: Iterable[ImageSource],
    *,
    batch_size: int | None = None,
    workers: int | None = None,
    keep_image: bool = False,
    keep_details: bool = False,
    group_size: int | None = None,
    on_note: OnNote | None = None,
) -> Generator[ExtractedPhoto, None, None]:
    """Yield one `ExtractedPhoto` for each source, in order. Failed photos are yielded too, with their reason.

    batch_size: photos in one forward pass; halved for the rest of the run when memory runs out.
    workers: threads that decode. keep_image: add a small RGB copy of each photo.
    keep_details: add what the file says about the photo (`read_details`).
    group_size: no batch crosses a multiple of this number of sources. Each group then has the same batches, and
    bit-identical features, independent of earlier groups.
    Closing the iterator early ends the threads. Errors of the listing and of the backbone are raised here.
    """
    forward = _Forward(backbone, on_note)
    size = batch_size or default_batch_size(backbone)
    with contextlib.closing(decoded(backbone, sources, size, workers, Kept(keep_image, keep_details))) as photos:
        yield from _computed(forward, in_batches(_note_first(photos, on_note), size, group_size), backbone.streams)
    if backbone.graph_problem and on_note is not None:
        on_note(f"Computed without a CUDA graph, which is slower: its capture failed ({backbone.graph_problem}).")


def _computed(forward: _Forward, batches: Iterator[list[Decoded]], streams: int) -> Iterator[ExtractedPhoto]:
    """Compute the batches, several concurrently, and yield their photos in order."""
    if streams == 1:
        for batch in batches:
            yield from forward(batch)
        return
    first = list(islice(batches, 2))
    if len(first) < 2:  # few photos: all threads work on the one batch
        yield from itertools.chain.from_iterable(map(forward, first))
        return
    with stream_pool(streams) as pool:
        running: deque[Future[list[ExtractedPhoto]]] = deque()
        for batch in itertools.chain(first, batches):
            running.append(pool.submit(forward, batch))
            if len(running) > streams:
                yield from running.popleft().result()
        while running:
            yield from running.popleft().result()


def default_batch_size(backbone: Backbone) -> int:
    """Return the default batch size: 8 on a CPU, whose caches hold no more feature maps, and 64 on other devices."""
    return 8 if backbone.device.value.type == "cpu" else 64


def measured_batch_size(backbone: Backbone) -> int:
    """Return the batch size at which the backbone is fastest on this machine, by a cached micro-benchmark."""
    record, device = backbone.record, backbone.device.value
    question = ["batch", record.tag, record.weights_sha256, record.tokens, record.precision, device.type]
    if backbone.warm_up > 1:
        question.append("CUDA graph")

    def rate(size: int) -> float:
        images = _blank(backbone, size)
        for _ in range(backbone.warm_up):
            backbone(images)
        started = time.perf_counter()
        backbone(images)  # returns features in main memory, so the device has finished
        return size / (time.perf_counter() - started)

    sizes = _BATCH_SIZES_ON_CPU if device.type == "cpu" else _BATCH_SIZES
    return probes.cached(question, lambda: probes.best_batch_size(rate, sizes))


def capture_graph(backbone: Backbone, size: int) -> None:
    """Capture the CUDA graph of a batch size, if the device has one, before decoding threads slow this down."""
    if backbone.warm_up == 1 or size > max(_BATCH_SIZES) or backbone.graph_batch == size:
        return
    try:
        images = _blank(backbone, size)
        for _ in range(backbone.warm_up):
            backbone(images)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):  # the stream then tries smaller batches
            raise


def _blank(backbone: Backbone, size: int) -> Tensor:
    return backbone.batch(list(torch.zeros(size, *backbone.record.preprocessing["input_size"], dtype=torch.uint8)))


def _note_first(photos: Iterator[Decoded], on_note: OnNote | None) -> Iterator[Decoded]:
    """Yield the photos unchanged; note the first photo of each kind of decision, and their numbers at the end."""
    counts: Counter[str] = Counter()
    for photo in photos:
        for kind, text in photo.notes.items():
            counts[kind] += 1
            if counts[kind] == 1 and on_note is not None:
                on_note(f"{photo.source.path}: {text}. The same is done for others like it.")
        yield photo
    for kind, count in counts.items():
        if count > 1 and on_note is not None:
            on_note(f"{count:,} photos {_KINDS[kind]}.")


def in_batches(items: Iterator[Item], size: int, group_size: int | None) -> Iterator[list[Item]]:
    """Yield the items in batches; none crosses a multiple of `group_size` items."""
    position = 0
    while True:
        room = min(size, group_size - position % group_size) if group_size else size
        batch = list(islice(items, room))
        if not batch:
            return
        position += len(batch)
        yield batch


class _Forward:
    """Run the backbone on one batch; remember how many photos fit into memory."""

    def __init__(self, backbone: Backbone, on_note: OnNote | None) -> None:
        self.backbone = backbone
        self.on_note = on_note
        self.most: int | None = None  # largest batch, set when memory ran out
        self._lock = threading.Lock()  # guards `most`

    def __call__(self, batch: list[Decoded]) -> list[ExtractedPhoto]:
        features = iter(self._features([photo.tensor for photo in batch if photo.tensor is not None]))
        return [_finished(photo, None if photo.tensor is None else next(features)) for photo in batch]

    def _features(self, tensors: list[Tensor]) -> list[np.ndarray | ImageFailure]:
        features: list[np.ndarray | ImageFailure] = []
        while len(features) < len(tensors):
            start = len(features)
            part = tensors[start : start + (self.most or len(tensors))]
            try:
                features += map(_finite, self.backbone(self.backbone.batch(part)).numpy())
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self.backbone.release_graph()
                if len(part) == 1:
                    features.append(ImageFailure("out_of_memory", "not enough memory to run the backbone on one photo"))
                self._shrink(len(part))
        return features

    def _shrink(self, size: int) -> None:
        with self._lock:
            if self.most is None and size > 1 and self.on_note:
                self.on_note("Memory ran out: continuing with smaller batches.")
            self.most = min(self.most or size, max(1, size // 2))


def _finite(feature: np.ndarray) -> np.ndarray | ImageFailure:
    if not np.isfinite(feature).all():
        return ImageFailure("non_finite_feature", "the backbone returned a value that is not finite")
    return feature


def _finished(photo: Decoded, feature: np.ndarray | ImageFailure | None) -> ExtractedPhoto:
    source, failure = photo.source, photo.failure
    if isinstance(feature, ImageFailure):
        failure, feature = feature, None
    about = (source.signature, photo.image, source.part, photo.details)
    if failure is not None:
        return ExtractedPhoto(source.path, photo.sha256, None, "failed", failure.reason, failure.detail, *about)
    return ExtractedPhoto(source.path, photo.sha256, feature, "ok", "", "", *about)
