"""From photos to features, in the order in which the photos come, with memory that does not grow with their number.

One thread asks the sources for bytes, in order, because a compressed archive can only be read forwards. A few threads
decode (Pillow lets go of the interpreter while it does), and where there are many photos a few others run the backbone,
each on a batch of its own. A bounded queue holds the look-ahead; what comes out is in order again.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from ...backbones.backbone import Backbone
from ...data.photos.images import MAX_BYTES, ImageFailure, decode_rgb
from ...data.photos.sources import ImageSource
from ...system import probes
from ...system.threads import stream_pool

THUMBNAIL_SIDE = 320  # pixels; the whole photos of a look-ahead could take gigabytes
_MOST_WORKERS = 16
_SIZES, _SIZES_ON_CPU = (32, 64, 128, 256, 512), (4, 8, 16)
_OUT_OF_MEMORY = ("DefaultCPUAllocator", "out of memory", "STATUS_ALLOC_FAILED")  # the last: cuDNN and cuBLAS
_PATIENCE = 2.0  # seconds for the reading thread to come back when its work is no longer wanted

OnNote = Callable[[str], None]


@dataclass(frozen=True)
class ExtractedPhoto:
    """What became of one photo: its feature, or the reason why there is none."""

    path: str
    sha256: str  # hex, of the photo's bytes; "" if they could not be read
    feature: np.ndarray | None  # (D,) float32
    status: str = "ok"  # "ok" | "failed"
    reason: str = ""  # one of `images.REASONS` if failed
    detail: str = ""  # a phrase for people if failed
    signature: str = ""  # of the source, when it was listed
    image: PIL.Image.Image | None = None  # RGB, at most THUMBNAIL_SIDE on each side, if asked for


@dataclass(frozen=True)
class _Decoded:
    """A photo on its way to the backbone: either its tensor or its failure."""

    source: ImageSource
    sha256: str
    tensor: Tensor | None = None  # (3, H, W) uint8
    failure: ImageFailure | None = None
    image: PIL.Image.Image | None = None
    is_first_of_several: bool = False


def stream_features(
    backbone: Backbone,
    sources: Iterable[ImageSource],
    *,
    batch_size: int | None = None,
    workers: int | None = None,
    keep_image: bool = False,
    group_size: int | None = None,
    on_note: OnNote | None = None,
) -> Iterator[ExtractedPhoto]:
    """Yield one `ExtractedPhoto` per source, in order. Photos that fail are values; nothing is left out or replaced.

    batch_size: sources that go to the backbone together; halved, once and for all, when memory runs out.
    workers: threads that decode. keep_image: add a small RGB copy of each photo.
    group_size: batches never span a multiple of so many sources, so each such group has the same batches, and
    therefore bit for bit the same features, whatever was computed before it.
    Closing the iterator early ends the threads. Errors of the sources' listing and of the model are raised here.
    """
    forward = _Forward(backbone, on_note)
    size = batch_size or default_batch_size(backbone)
    with contextlib.closing(_decoded(backbone, sources, size, workers, keep_image)) as photos:
        yield from _computed(forward, _batches(_watched(photos, on_note), size, group_size), backbone.streams)


def _computed(forward: _Forward, batches: Iterator[list[_Decoded]], streams: int) -> Iterator[ExtractedPhoto]:
    """Compute the batches, some at the same time, and yield their photos in order."""
    if streams == 1:
        for batch in batches:
            yield from forward(batch)
        return
    first = list(islice(batches, 2))
    if len(first) < 2:  # a few photos: all threads for the one batch
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
    """Return how many photos go to the backbone together where nobody says it.

    On a processor the maps of more photos no longer stay in its caches.
    """
    return 8 if backbone.device.value.type == "cpu" else 64


def tried_batch_size(backbone: Backbone) -> int:
    """Return the size in which the backbone is fastest here, found by trying or in an earlier run."""
    record, device = backbone.record, backbone.device.value
    question = ["batch", record.tag, record.weights_sha256, record.tokens, record.precision, device.type]

    def rate(size: int) -> float:
        images = torch.zeros(size, *record.preprocessing["input_size"], dtype=torch.uint8)
        backbone(images)
        started = time.perf_counter()
        backbone(images)  # its features arrive in main memory, so it has ended
        return size / (time.perf_counter() - started)

    sizes = _SIZES_ON_CPU if device.type == "cpu" else _SIZES
    return probes.cached(question, lambda: probes.best_batch_size(rate, sizes))


def _watched(photos: Iterator[_Decoded], on_note: OnNote | None) -> Iterator[_Decoded]:
    """Pass the photos on, and say of the first one with several pictures that they are not all looked at."""
    told = on_note is None
    for photo in photos:
        if photo.is_first_of_several and not told:
            on_note(f"{photo.source.path}: holds several pictures. Of every such file only the first one is read.")
            told = True
        yield photo


def _batches(photos: Iterator[_Decoded], size: int, group_size: int | None) -> Iterator[list[_Decoded]]:
    position = 0
    while True:
        room = min(size, group_size - position % group_size) if group_size else size
        batch = list(islice(photos, room))
        if not batch:
            return
        position += len(batch)
        yield batch


class _Forward:
    """The backbone on one batch; remembers how many photos fit into memory."""

    def __init__(self, backbone: Backbone, on_note: OnNote | None) -> None:
        self.backbone = backbone
        self.on_note = on_note
        self.most: int | None = None  # photos at once, known after memory ran out
        self._lock = threading.Lock()  # of that

    def __call__(self, batch: list[_Decoded]) -> list[ExtractedPhoto]:
        features = iter(self._features([photo.tensor for photo in batch if photo.tensor is not None]))
        return [_finished(photo, None if photo.tensor is None else next(features)) for photo in batch]

    def _features(self, tensors: list[Tensor]) -> list[np.ndarray | ImageFailure]:
        features: list[np.ndarray | ImageFailure] = []
        while len(features) < len(tensors):
            start = len(features)
            part = tensors[start : start + (self.most or len(tensors))]
            try:
                features += map(_finite, self.backbone(torch.stack(part)).numpy())
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                if len(part) == 1:
                    features.append(ImageFailure("out_of_memory", "no memory to run the backbone on even one photo"))
                self._shrink(len(part))
        return features

    def _shrink(self, size: int) -> None:
        with self._lock:
            if self.most is None and size > 1 and self.on_note:
                self.on_note("Memory ran out: going on with smaller batches.")
            self.most = min(self.most or size, max(1, size // 2))


def _finite(feature: np.ndarray) -> np.ndarray | ImageFailure:
    if not np.isfinite(feature).all():
        return ImageFailure("non_finite_feature", "the backbone gave a value that is not finite")
    return feature


def _is_out_of_memory(error: Exception) -> bool:
    known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return known or any(words in str(error) for words in _OUT_OF_MEMORY)


def _finished(photo: _Decoded, feature: np.ndarray | ImageFailure | None) -> ExtractedPhoto:
    source, failure = photo.source, feature if isinstance(feature, ImageFailure) else photo.failure
    if failure is not None:
        return ExtractedPhoto(
            source.path, photo.sha256, None, "failed", failure.reason, failure.detail, source.signature, photo.image
        )
    return ExtractedPhoto(source.path, photo.sha256, feature, signature=source.signature, image=photo.image)


def _decoded(
    backbone: Backbone, sources: Iterable[ImageSource], batch_size: int, workers: int | None, keep_image: bool
) -> Iterator[_Decoded]:
    """Yield the decoded photos in order, while threads work ahead by at most a batch and a photo for each of them.

    Of what is read ahead and not decoded yet at most `MAX_BYTES` are held, and the photo that is being read.
    """
    workers = max(1, min(os.cpu_count() or 1 if workers is None else workers, _MOST_WORKERS))
    ahead: queue.Queue[Future[_Decoded] | BaseException | None] = queue.Queue(maxsize=min(batch_size, 256) + workers)
    room, stopped = _Room(MAX_BYTES), threading.Event()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="revcd-decode")

    def read_all() -> None:
        last: BaseException | None = None
        try:
            for source in sources:
                if stopped.is_set():
                    break
                data = source.read()
                size = 0 if isinstance(data, ImageFailure) else len(data)
                room.take(size)
                decoded = pool.submit(_decode, backbone, source, data, keep_image)
                decoded.add_done_callback(lambda _, size=size: room.give(size))
                ahead.put(decoded)
        except BaseException as error:
            last = error
        finally:
            close = getattr(sources, "close", None)  # a generator holds its archive open
            if close is not None:
                close()
            ahead.put(last)

    # A daemon: it may hang in the read of a pipe or a network folder, and must not keep the process from ending.
    reader = threading.Thread(target=read_all, name="revcd-read", daemon=True)
    reader.start()
    try:
        while (item := ahead.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item.result()
    finally:
        stopped.set()
        _drain(ahead, reader)
        pool.shutdown(cancel_futures=True)


class _Room:
    """How many bytes of photos may be read and not yet decoded; a photo that needs more than that waits to be alone."""

    def __init__(self, limit: int) -> None:
        self.limit, self.held, self.changed = limit, 0, threading.Condition()

    def take(self, size: int) -> None:
        with self.changed:
            self.changed.wait_for(lambda: not self.held or self.held + size <= self.limit)
            self.held += size

    def give(self, size: int) -> None:
        with self.changed:
            self.held -= size
            self.changed.notify()


def _drain(ahead: queue.Queue, reader: threading.Thread) -> None:
    """Empty the queue until the reader, which may be waiting for room in it, has ended."""
    attempts = round(_PATIENCE / 0.02)
    while reader.is_alive() and attempts:
        with contextlib.suppress(queue.Empty):
            while True:
                ahead.get_nowait()
        reader.join(0.02)
        attempts -= 1


def _decode(backbone: Backbone, source: ImageSource, data: bytes | ImageFailure, keep_image: bool) -> _Decoded:
    if isinstance(data, ImageFailure):
        return _Decoded(source, "", failure=data)
    sha256 = hashlib.sha256(data).hexdigest()
    image = decode_rgb(data, least_side=backbone.least_side)
    if isinstance(image, ImageFailure):
        return _Decoded(source, sha256, failure=image)
    try:
        tensor = backbone.transform(image)
        if keep_image:
            image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        return _Decoded(source, sha256, failure=ImageFailure("out_of_memory", "no memory to resize the photo"))
    several = "first_of_several" in image.info
    return _Decoded(source, sha256, tensor=tensor, image=image if keep_image else None, is_first_of_several=several)
