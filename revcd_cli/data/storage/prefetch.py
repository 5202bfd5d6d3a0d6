"""Read photos from object storage ahead of their use: many requests at a time, bounded in number and bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from ...system.filesystems import CONNECTIONS
from ..photos.image_source import ImageSource
from ..photos.images import MAX_BYTES, ImageFailure

AHEAD = CONNECTIONS  # photos at a time. Each takes two requests: some 1,000 photos/s at a latency of 30 ms
_UNKNOWN_SIZE = 1 << 20


def prefetched(
    sources: Iterable[tuple[ImageSource, int]], *, ahead: int = AHEAD, budget: int = MAX_BYTES
) -> Iterator[ImageSource]:
    """Yield the sources in order; each is read by a thread before it is yielded.

    sources: with the size in bytes, negative if unknown. At most `ahead` photos, and `budget` bytes by their listed
    sizes, are in memory or on their way; a single photo may be larger. Closing the iterator cancels what is waiting.
    """
    waiting: deque[tuple[ImageSource, int, Future[bytes | ImageFailure]]] = deque()
    held = 0
    pool = ThreadPoolExecutor(ahead, thread_name_prefix="revcd-prefetch")
    try:
        for source, listed in sources:
            size = listed if listed >= 0 else _UNKNOWN_SIZE
            while waiting and (len(waiting) >= ahead or held + size > budget):
                first, first_size, read = waiting.popleft()
                held -= first_size
                yield replace(first, reader=read.result)
            waiting.append((source, size, pool.submit(source.read)))
            held += size
        while waiting:
            first, _, read = waiting.popleft()
            yield replace(first, reader=read.result)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
