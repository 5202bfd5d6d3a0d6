"""Replay the forward pass of a network on a GPU as a CUDA graph, which starts all its kernels with one call.

Without a graph, Python starts about a hundred kernels for each batch and takes the interpreter lock for each, which
competes with the threads that decode photos (benchmarks/README.md has the times). A replay runs the captured kernels,
so its features are bit-identical to those of the eager forward pass.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import brief

EAGER_CALLS = 2  # batches of one shape in a row before the next one is captured

Forward = Callable[[Tensor], Tensor]
_Kind = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]  # shape, strides and type of a batch

# torch's allocator may keep a pointer to a graph whose capture failed, so such a graph must not be deleted.
_failed: list[torch.cuda.CUDAGraph] = []


@dataclass(frozen=True)
class _Captured:
    """A graph with its input and output on the device. It is valid on one stream, which orders its replays."""

    graph: torch.cuda.CUDAGraph
    kind: _Kind
    images: Tensor  # (B, 3, H, W)
    features: Tensor  # (B, D)
    stream: torch.cuda.Stream


class GraphedForward:
    """Runs forward passes on a CUDA device and replays a graph for the usual batch; several threads may call it.

    At most one graph is held. It is captured at the third batch in a row with the same shape, so a smaller last batch
    does not replace it. All other batches run eagerly. If a capture fails, all later batches run eagerly, and
    `problem` holds the reason.
    """

    def __init__(self, device: torch.device) -> None:
        self.problem = ""
        self._device = device
        self._is_on = True
        self._captured: _Captured | None = None
        self._kind: _Kind | None = None  # of the last batch
        self._repeats = 0  # batches in a row of that kind
        self._eager = 0  # eager forward passes that other threads are starting
        self._changed = threading.Condition()  # guards all fields

    def __call__(self, forward: Forward, images: Tensor) -> Tensor:
        """Return `forward(images)`, the features (B, D) on the device. Must be called in inference mode.

        forward: copies images (B, 3, H, W) to the device if necessary; must not synchronise with the device.
        """
        if images.device.type == "cpu":
            images = images.pin_memory()
        kind = (tuple(images.shape), images.stride(), images.dtype)
        with self._changed:
            self._repeats = self._repeats + 1 if kind == self._kind else 1
            self._kind = kind
            if self._should_capture(kind):
                # No other thread then uses the device for this backbone during the capture.
                self._changed.wait_for(lambda: not self._eager)
            if self._should_capture(kind):
                self._capture(forward, images, kind)
            captured = self._captured
            if captured and captured.kind == kind and captured.stream == torch.cuda.current_stream(self._device):
                return _replayed(captured, images)
            self._eager += 1
        try:
            return forward(images)
        finally:
            with self._changed:
                self._eager -= 1
                self._changed.notify_all()

    @property
    def batch_size(self) -> int | None:
        """The batch size of the captured graph, None if there is none."""
        captured = self._captured
        return None if captured is None else len(captured.images)

    def release(self) -> None:
        """Free the memory of the graph, and run all later batches eagerly."""
        with self._changed:
            self._is_on = False
            self._drop()

    def _should_capture(self, kind: _Kind) -> bool:
        held = self._captured is not None and self._captured.kind == kind
        return self._is_on and not held and kind == self._kind and self._repeats > EAGER_CALLS

    def _capture(self, forward: Forward, images: Tensor, kind: _Kind) -> None:
        self._drop()
        try:
            with torch.cuda.device(self._device):
                self._captured = _new_graph(forward, images, kind, self._device)
        except RuntimeError as error:  # torch.OutOfMemoryError is one, too
            self._is_on, self.problem = False, brief(error)

    def _drop(self) -> None:
        if self._captured is not None:
            torch.cuda.synchronize(self._device)  # a replay may be running
            self._captured = None


def _new_graph(forward: Forward, images: Tensor, kind: _Kind, device: torch.device) -> _Captured:
    stream = torch.cuda.current_stream()
    held = torch.empty_like(images, device=device)  # with the strides of the batch
    held.copy_(images)
    side, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    side.wait_stream(stream)
    with torch.cuda.stream(side):  # restores this thread's stream, which torch.cuda.graph does not if it fails
        forward(held)  # cuDNN and cuBLAS allocate their handles for this thread, which a capture does not allow
        try:
            # "thread_local": other threads may use the device meanwhile.
            with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
                features = forward(held)
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError):  # after which the capture ends properly
                _failed.append(graph)
            raise
    stream.wait_stream(side)
    return _Captured(graph, kind, held, features, stream)


def _replayed(captured: _Captured, images: Tensor) -> Tensor:
    """Start the copy, the kernels and the copy of the features. The stream runs them after those of earlier calls."""
    captured.images.copy_(images, non_blocking=True)
    captured.graph.replay()
    return captured.features.clone()
