"""A run over shards that is killed goes on with the same bytes, and a shard that kills it every time is left out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.makers.noise_photos import extract_shards, make_photos, parts
from tests.makers.shard_jobs import WatchedJob, order_kill
from tests.makers.toy import TINY_BACKBONE

pytestmark = pytest.mark.slow

PHOTOS, ROWS = 30, 8  # 4 shards
ROOT = Path(__file__).parents[3]
RUN = """
import json, sys
from pathlib import Path
from tests.makers.noise_photos import extract_shards
from tests.makers.shard_jobs import WatchedJob

weights, photos, output, folder = sys.argv[1:]
job = WatchedJob("{backbone}", Path(weights), "cpu", "float32", batch_size=4, folder=folder)
summary = extract_shards(None, [photos], output, job=job)
print(json.dumps(summary.lost), summary.exit_code)
"""


def run(weights: Path, photos: Path, folder: Path) -> subprocess.CompletedProcess:
    """Run in a process of its own, which may kill itself."""
    command = [sys.executable, "-c", RUN.format(backbone=TINY_BACKBONE), str(weights), str(photos)]
    return subprocess.run(
        [*command, f"{folder}/f/", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_killed_runs_go_on_and_a_shard_that_kills_them_is_left_out(weights: Path, tmp_path: Path):
    photos = make_photos(tmp_path / "photos", PHOTOS)
    job = WatchedJob(TINY_BACKBONE, weights, "cpu", "float32", batch_size=4, folder=str(tmp_path))
    extract_shards(weights, [str(photos)], tmp_path / "whole", job=job)
    expected = parts(tmp_path / "whole")

    order_kill(tmp_path, 8, always=True)  # the first photo of the second shard
    for _ in range(3):
        killed = run(weights, photos, tmp_path)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert set(parts(tmp_path / "f")) == {"part-000000.parquet"}
    finished = run(weights, photos, tmp_path)
    assert "killed 3 times" in finished.stdout and finished.stdout.endswith("3\n"), finished.stderr
    assert set(parts(tmp_path / "f")) == expected.keys() - {"part-000001.parquet"}

    (tmp_path / "kill-8").unlink()
    assert extract_shards(weights, [str(photos)], tmp_path / "f", job=job).reused == PHOTOS - ROWS
    assert parts(tmp_path / "f") == expected
