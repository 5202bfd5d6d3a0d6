"""Frames of videos as photos, one every few seconds; read with PyAV (the extra `revcd[video]`)."""

from __future__ import annotations

import functools
import io
import math
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from ...errors import RevcdError, UsageError, brief
from ..photos.image_source import ImageSource, failed_source, file_source, natural_key
from ..photos.images import ImageFailure
from .part import Part

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".asf")
_SEEK_SECONDS = 10.0  # to a frame that is further away, the decoder jumps
_EVERY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|min)?")
_SECONDS = {"ms": 1e-3, "s": 1.0, None: 1.0, "m": 60.0, "min": 60.0}

# Paths are text, as in `sources`.
# ruff: noqa: PTH112, PTH118


def parse_every(text: str) -> float:
    """Return seconds from text such as "1s", "0.5", "500ms" or "1min". Raises `UsageError` for other text."""
    match = _EVERY.fullmatch(text.strip())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not seconds > 0:
        raise UsageError(f'"{text}" is not a time between frames.', hint="For example: --every 1s, 500ms or 1min.")
    return seconds


class VideoFrames:
    """The frames of videos in files and folders, at 0, `every`, 2 `every`, ... seconds; can be iterated several times.

    Raises `UsageError` if PyAV is not installed or a path does not exist, and `RevcdError` if there is no video.
    """

    def __init__(self, given: list[str], every: float) -> None:
        _av()
        self.every, self.inputs = every, [*given, f"every {every:g} s"]
        for path in given:
            if not os.path.lexists(path):
                raise UsageError(f"{path}: no such file or folder.", hint="With --every, give videos and folders.")
        self.videos = [video for path in given for video in _videos(path)]
        if not self.videos:
            raise RevcdError("No video found.", hint=f"Videos are read by their suffix: {' '.join(VIDEO_SUFFIXES)}.")

    def count(self, passed: object = None) -> int | None:
        """Return the number of frames, which is not known before."""
        return None

    def __call__(self) -> Iterator[ImageSource]:
        """Yield a source for each frame; one that fails for a video that cannot be opened."""
        for path in self.videos:
            shown = path.replace(os.sep, "/")
            try:
                reader = _FrameReader(path)
            except (OSError, ValueError) as error:
                yield failed_source(shown, ImageFailure("corrupt", f"the video cannot be read: {brief(error)}"))
                continue
            source = file_source(path, shown)
            with ExitStack() as stack:
                stack.callback(reader.close)
                for number in range(max(1, math.ceil(reader.duration / self.every - 1e-6))):
                    time = number * self.every
                    read = functools.partial(reader.read, time)
                    signature = f"{source.signature}@{time:g}"
                    yield replace(source, signature=signature, reader=read, part=Part(time=time))


def _videos(path: str) -> Iterator[str]:
    if not os.path.isdir(path):
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted((name for name in folders if not name.startswith((".", "@"))), key=natural_key)
        for name in sorted(names, key=natural_key):
            if name.lower().endswith(VIDEO_SUFFIXES) and not name.startswith("."):
                yield os.path.join(folder, name)


class _FrameReader:
    """Decodes one video; it stays open between frames, which are asked for in order."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._open()
        stream = self._container.streams.video[0]
        length = stream.duration * stream.time_base if stream.duration else None
        self.duration = float(length if length is not None else (self._container.duration or 0) / 1e6)

    def _open(self) -> None:
        self._container = _av().open(self.path)
        if not self._container.streams.video:
            self.close()
            raise ValueError("it has no pictures")
        self._container.streams.video[0].thread_type = "AUTO"
        self._frames, self._last = self._container.decode(video=0), None

    def close(self) -> None:
        """Close the file; a frame that is read later opens it again."""
        self._container.close()
        self._frames = None

    def read(self, time: float) -> bytes | ImageFailure:
        """Return the first frame at or after `time` seconds, or the last one before, as a BMP file."""
        try:
            frame = self._frame(time)
        except (OSError, ValueError) as error:
            return ImageFailure("corrupt", f"the frame cannot be read: {brief(error)}")
        if frame is None:
            return ImageFailure("truncated", f"the video has no frame at {time:g} s")
        stream = io.BytesIO()
        picture = frame.to_image()
        rotation = getattr(frame, "rotation", 0)  # degrees, counter-clockwise
        (picture.rotate(rotation, expand=True) if rotation else picture).save(stream, "BMP")
        return stream.getvalue()

    def _frame(self, time: float) -> Any:
        if self._frames is None:
            self._open()
        now = self._last.time if self._last is not None else 0.0
        if time < now or time > now + _SEEK_SECONDS:
            self._container.seek(int(time * 1e6))  # to the key frame before it
            self._frames, self._last = self._container.decode(video=0), None
        if self._last is not None and self._last.time >= time - 1e-6:
            return self._last
        for frame in self._frames:
            self._last = frame
            if frame.time is not None and frame.time >= time - 1e-6:
                break
        return self._last


def _av() -> Any:
    try:
        import av
    except ImportError:
        raise UsageError(
            "Frames of videos are read with PyAV, which is not installed.", hint="pip install 'revcd[video]'"
        ) from None
    return av
