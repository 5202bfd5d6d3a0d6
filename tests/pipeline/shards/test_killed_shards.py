"""A run over shards that is killed goes on with the same bytes, and a shard that kills it every time is left out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.makers.noise_photos import extract_shards, make_photos, parts
from tests.makers.shard_jobs import WatchedJob, order_kill
from tests.makers.toy import TINY_BACKBONE

pytestmark = pytest.mark.slow

PHOTOS, ROWS = 30, 8  # 4 shards
ROOT = Path(__file__).parents[3]
RUN = """
import json, os, sys
from pathlib import Path
from tests.makers.noise_photos import extract_shards
from tests.makers.shard_jobs import WatchedJob

weights, photos, output, folder = sys.argv[1:]
job = WatchedJob("{backbone}", Path(weights), "cpu", "float32", batch_size=4, folder=folder)
for _ in range({times}):
    child = os.fork()
    if not child:
        summary = extract_shards(None, [photos], output, job=job)
        print(json.dumps([summary.lost, summary.exit_code]), flush=True)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([code, sorted(path.name for path in Path(output).glob("part-*"))]), flush=True)
"""


def run(weights: Path, photos: Path, folder: Path, times: int) -> list[list[Any]]:
    """Run in processes of their own, one after the other, which may kill themselves; return the lines of RUN."""
    command = [sys.executable, "-c", RUN.format(backbone=TINY_BACKBONE, times=times), str(weights), str(photos)]
    done = subprocess.run(
        [*command, f"{folder}/f/", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_killed_runs_go_on_and_a_shard_that_kills_them_is_left_out(weights: Path, tmp_path: Path):
    photos = make_photos(tmp_path / "photos", PHOTOS)
    job = WatchedJob(TINY_BACKBONE, weights, "cpu", "float32", batch_size=4, folder=str(tmp_path))
    extract_shards(weights, [str(photos)], tmp_path / "whole", job=job)
    expected = parts(tmp_path / "whole")

    order_kill(tmp_path, 8, always=True)  # the first photo of the second shard
    *killed, (lost, exit_code), finished = run(weights, photos, tmp_path, times=4)
    assert killed == [[-signal.SIGKILL, ["part-000000.parquet"]]] * 3
    assert list(lost) == ["1"] and "killed 3 times" in lost["1"] and exit_code == 3
    assert finished == [0, sorted(expected.keys() - {"part-000001.parquet"})]

    (tmp_path / "kill-8").unlink()
    assert extract_shards(weights, [str(photos)], tmp_path / "f", job=job).reused == PHOTOS - ROWS
    assert parts(tmp_path / "f") == expected
