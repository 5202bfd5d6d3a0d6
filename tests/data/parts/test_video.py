"""Frames of videos; the videos are made by PyAV, each frame in a shade of grey that tells its number."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from revcd_cli.__main__ import main
from revcd_cli.data.parts.video import VideoFrames, parse_every
from revcd_cli.errors import RevcdError, UsageError

av = pytest.importorskip("av")
FRAMES_PER_SECOND, FRAMES, STEP = 5, 24, 10  # 4.8 seconds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    with av.open(str(folder / "v.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=FRAMES_PER_SECOND)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(FRAMES):
            shade = np.full((48, 64, 3), number * STEP, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shade, format="rgb24")))
        container.mux(stream.encode())
    (folder / "broken.avi").write_bytes(b"RIFF....AVI ")
    (folder / "photo.jpg").write_bytes(b"")
    return folder


def number_of(frame: bytes) -> int:
    return round(float(np.asarray(Image.open(io.BytesIO(frame))).mean()) / STEP)


@pytest.mark.parametrize(("every", "numbers"), [(1.0, [0, 5, 10, 15, 20]), (0.5, [0, 3, 5, 8, 10, 13, 15, 18, 20, 23])])
def test_the_first_frame_at_or_after_each_time_is_read(folder: Path, every: float, numbers: list[int]):
    sources = list(VideoFrames([str(folder / "v.mp4")], every)())
    assert [source.part.time for source in sources] == [every * k for k in range(len(numbers))]
    frames = VideoFrames([str(folder / "v.mp4")], every)()
    assert [number_of(source.read()) for source in frames] == numbers


def test_frames_may_be_read_in_any_order_and_after_the_list_ended(folder: Path):
    sources = list(VideoFrames([str(folder / "v.mp4")], 1.0)())
    assert [number_of(sources[k].read()) for k in (3, 1, 4, 0)] == [15, 5, 20, 0]


def test_a_folder_is_searched_for_videos_and_a_broken_one_is_a_failure(folder: Path):
    broken, *others = VideoFrames([str(folder)], 2.0)()
    assert (Path(broken.path).name, broken.read().reason) == ("broken.avi", "corrupt")
    assert len(others) == 3 and len({source.signature for source in others}) == 3


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("0.5", 0.5), ("250 ms", 0.25), ("1min", 60), (".5s", 0.5)])
def test_times_are_parsed(text: str, seconds: float):
    assert parse_every(text) == seconds


@pytest.mark.parametrize("text", ["0s", "-1s", "1h", "", "s"])
def test_other_times_are_refused(text: str):
    with pytest.raises(UsageError, match="not a time"):
        parse_every(text)


def test_a_folder_without_videos_and_a_wrong_path_are_named(tmp_path: Path):
    with pytest.raises(RevcdError, match="No video found"):
        VideoFrames([str(tmp_path)], 1.0)
    with pytest.raises(UsageError, match="no such file"):
        VideoFrames([str(tmp_path / "x.mp4")], 1.0)


def test_without_the_library_the_error_names_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UsageError) as error:
        VideoFrames([str(folder)], 1.0)
    assert "revcd[video]" in str(error.value)


def test_the_command_writes_a_row_for_each_frame_with_its_time(folder: Path, tmp_path: Path):
    output = tmp_path / "frames.csv"
    arguments = [str(folder), "--every", "2s", "--wide", "--rule", "prototype", "-o", str(output), "-q"]
    assert main(["predict", *arguments]) == 3
    header, *lines = [line.split(",") for line in output.read_text().splitlines()]
    times = [(line[header.index("status")], line[header.index("time")]) for line in lines]
    assert times == [("failed", ""), ("ok", "0.0"), ("ok", "2.0"), ("ok", "4.0")]
