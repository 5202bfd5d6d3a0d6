"""Read and decode photos in threads, in order and with bounded memory.

One thread reads the bytes of the photos in order, because a compressed archive can only be read sequentially. Several
threads decode (Pillow releases the interpreter lock meanwhile). A bounded queue limits the read-ahead.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import threading
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import PIL.Image
import torch
from torch import Tensor

from ...backbones.backbone import Backbone
from ...data.photos.details import PhotoDetails, read_details
from ...data.photos.image_source import ImageSource
from ...data.photos.images import MAX_BYTES, ImageFailure, decode_rgb

THUMBNAIL_SIDE = 320  # pixels; whole photos of the read-ahead could take gigabytes
_MAX_WORKERS = 16
_OUT_OF_MEMORY = ("DefaultCPUAllocator", "out of memory", "STATUS_ALLOC_FAILED")  # the last: cuDNN and cuBLAS
_JOIN_SECONDS = 2.0  # that the reading thread has to end when the stream is closed


class Kept(NamedTuple):
    """What is kept of each photo beside its feature."""

    image: bool
    details: bool


@dataclass(frozen=True)
class Decoded:
    """A decoded photo: its input tensor for the backbone, or its failure."""

    source: ImageSource
    sha256: str
    tensor: Tensor | None = None  # (3, H, W) uint8
    failure: ImageFailure | None = None
    image: PIL.Image.Image | None = None
    notes: Mapping[str, str] = field(default_factory=dict)  # what was decided, by kind
    details: PhotoDetails | None = None


def decoded(
    backbone: Backbone, sources: Iterable[ImageSource], batch_size: int, workers: int | None, kept: Kept
) -> Generator[Decoded, None, None]:
    """Yield the decoded photos in order; threads work ahead by at most a batch and one photo for each thread.

    At most `MAX_BYTES` of photos are read and not yet decoded, besides the photo that is being read.
    """
    workers = max(1, min(os.cpu_count() or 1 if workers is None else workers, _MAX_WORKERS))
    ahead: queue.Queue[Future[Decoded] | BaseException | None] = queue.Queue(maxsize=min(batch_size, 256) + workers)
    budget, stopped = _ByteBudget(MAX_BYTES), threading.Event()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="revcd-decode")

    def read_all() -> None:
        last: BaseException | None = None
        try:
            for source in sources:
                if stopped.is_set():
                    break
                data = source.read()
                size = 0 if isinstance(data, ImageFailure) else len(data)
                budget.take(size)
                decoded = pool.submit(_decode, backbone, source, data, kept)
                budget.give_after(decoded, size)
                ahead.put(decoded)
        except BaseException as error:
            last = error
        finally:
            close = getattr(sources, "close", None)  # a generator holds its archive open
            if close is not None:
                close()
            ahead.put(last)

    # A daemon, because a read from a pipe or a network folder may hang and must not keep the process alive.
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


class _ByteBudget:
    """Limits the bytes that are read and not yet decoded. A photo larger than the limit waits until none is held."""

    def __init__(self, limit: int) -> None:
        self.limit, self.held, self.changed = limit, 0, threading.Condition()

    def take(self, size: int) -> None:
        with self.changed:
            self.changed.wait_for(lambda: not self.held or self.held + size <= self.limit)
            self.held += size

    def give_after(self, decoded: Future[Decoded], size: int) -> None:
        decoded.add_done_callback(lambda _: self.give(size))

    def give(self, size: int) -> None:
        with self.changed:
            self.held -= size
            self.changed.notify()


def _drain(ahead: queue.Queue, reader: threading.Thread) -> None:
    """Empty the queue until the reader, which may be blocked because it is full, has ended."""
    attempts = round(_JOIN_SECONDS / 0.02)
    while reader.is_alive() and attempts:
        with contextlib.suppress(queue.Empty):
            while True:
                ahead.get_nowait()
        reader.join(0.02)
        attempts -= 1


def _decode(backbone: Backbone, source: ImageSource, data: bytes | ImageFailure, kept: Kept) -> Decoded:
    if isinstance(data, ImageFailure):
        return Decoded(source, "", failure=data)
    sha256 = hashlib.sha256(data).hexdigest()
    details = read_details(data) if kept.details else None
    box = source.part.box if source.part else None
    image = decode_rgb(data, least_side=None if box else backbone.least_side)  # a box needs every pixel
    if isinstance(image, ImageFailure):
        return Decoded(source, sha256, failure=image, details=details)
    notes = image.info.get("notes", {})
    try:
        image = box.cut(image) if box else image
        tensor = backbone.transform(image)
        if kept.image:
            image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return Decoded(source, sha256, failure=ImageFailure("out_of_memory", "not enough memory to resize the photo"))
    return Decoded(source, sha256, tensor=tensor, image=image if kept.image else None, notes=notes, details=details)


def is_out_of_memory(error: Exception) -> bool:
    """Return whether the error says that memory ran out."""
    known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return known or any(words in str(error) for words in _OUT_OF_MEMORY)
