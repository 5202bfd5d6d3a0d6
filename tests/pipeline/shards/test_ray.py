"""Shards on a Ray cluster: the bytes of a local run, whatever is lost. Skipped without Ray.

Every test has a limit of time: a run that waits for ever is ended by a signal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from revcd_cli.errors import RevcdError
from revcd_cli.pipeline.shards import ray_engine
from revcd_cli.pipeline.shards.run import Progress
from tests.makers.noise_photos import extract_shards, make_photos, parts
from tests.makers.shard_jobs import WatchedJob, nodes_used, order_kill
from tests.makers.toy import TINY_BACKBONE

pytest.importorskip("ray", reason="Ray is not installed (pip install 'revcd[ray]')")
from ray.cluster_utils import Cluster

pytestmark = pytest.mark.slow

PHOTOS, ROWS = 60, 8  # 8 shards
LIMIT = 300  # seconds of a test; without other load, each takes 5 to 20
ROOT = Path(__file__).parents[3]

DRIVER = """
import os, signal, sys
from pathlib import Path
from tests.makers.noise_photos import extract_shards
from tests.makers.shard_jobs import WatchedJob
from revcd_cli.pipeline.shards.ray_engine import RayEngine

weights, photos, output, folder, address = sys.argv[1:]
job = WatchedJob("{backbone}", Path(weights), "cpu", "float32", batch_size=4, folder=folder)
die = lambda state: os.kill(os.getpid(), signal.SIGKILL) if state.finished == 3 else None
extract_shards(None, [photos], output, job=job, engine=RayEngine(address, cpus=1), on_progress=die)
"""


@pytest.fixture(autouse=True)
def limit() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError(f"longer than {LIMIT} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes on this machine, of one CPU each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("RAY_raylet_start_wait_time_s", "240")
        patch.setenv("RAY_worker_niceness", "0")  # by default 15: beside other tests, the workers would hardly run
        node = {"num_cpus": 1, "object_store_memory": 100 << 20}
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        cluster.add_node(**node)
        cluster.node_options = node
        yield cluster
        cluster.shutdown()


def at(cluster: Any) -> str:
    """Return the address of a cluster on this machine."""
    return "127.0.0.1:" + cluster.address.rpartition(":")[2]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> tuple[Path, dict[str, bytes]]:
    """Return the folder of the photos, and the parts of a local run."""
    folder = tmp_path_factory.mktemp("local")
    make_photos(folder / "photos", PHOTOS, broken=(20,))
    extract_shards(weights, [str(folder / "photos")], folder / "out")
    return folder / "photos", parts(folder / "out")


@pytest.fixture
def job(weights: Path, tmp_path: Path) -> WatchedJob:
    return WatchedJob(TINY_BACKBONE, weights, "cpu", "float32", batch_size=4, folder=str(tmp_path))


def test_all_nodes_work_and_the_bytes_are_those_of_a_local_run(
    cluster: Any, local: tuple[Path, dict[str, bytes]], job: WatchedJob, weights: Path, tmp_path: Path
):
    photos, expected = local
    engine = ray_engine.RayEngine(at(cluster), cpus=1)
    slow = WatchedJob(**{**vars(job), "seconds": 0.7})  # so that both nodes have started before the work is done
    summary = extract_shards(weights, [str(photos)], tmp_path / "f", job=slow, engine=engine)
    assert parts(tmp_path / "f") == expected
    assert (summary.tally.photos, summary.tally.failed, summary.exit_code) == (PHOTOS, 1, 3)
    assert len(nodes_used(tmp_path)) == 2
    processes = {path.name.rpartition("-")[2] for path in tmp_path.glob("done-*")}
    assert len(processes) < PHOTOS // ROWS  # a worker computes several shards with the model that it loaded


def test_a_killed_worker_and_a_removed_node_change_nothing(
    cluster: Any, local: tuple[Path, dict[str, bytes]], job: WatchedJob, weights: Path, tmp_path: Path
):
    photos, expected = local
    third = cluster.add_node(**cluster.node_options)
    order_kill(tmp_path, 16)
    removed: list[int] = []

    def remove(state: Progress) -> None:
        if state.finished == 2 and not removed:
            removed.append(state.finished)
            cluster.remove_node(third, allow_graceful=False)

    engine = ray_engine.RayEngine(at(cluster), cpus=1)
    slow = WatchedJob(**{**vars(job), "seconds": 0.5})
    summary = extract_shards(weights, [str(photos)], tmp_path / "f", job=slow, engine=engine, on_progress=remove)
    assert parts(tmp_path / "f") == expected and removed
    assert (summary.lost, summary.tally.photos) == ({}, PHOTOS)
    assert not (tmp_path / "kill-16").exists()


def test_a_shard_that_kills_its_workers_is_named_and_the_rest_is_finished(
    cluster: Any,
    local: tuple[Path, dict[str, bytes]],
    job: WatchedJob,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
):
    photos, expected = local
    order_kill(tmp_path, 24, always=True)
    engine = ray_engine.RayEngine(at(cluster), cpus=1)
    summary = extract_shards(weights, [str(photos)], tmp_path / "f", job=job, engine=engine)
    assert list(summary.lost) == [3] and "crashed 3 times" in summary.lost[3]
    assert (summary.exit_code, summary.tally.photos) == (3, PHOTOS - ROWS)
    (tmp_path / "kill-24").unlink()
    again = extract_shards(weights, [str(photos)], tmp_path / "f", job=job, engine=engine)
    assert (again.lost, again.reused) == ({}, PHOTOS - ROWS) and parts(tmp_path / "f") == expected
    assert not capsys.readouterr().out  # Ray's own words on lost workers do not get into the output of the command


def test_a_killed_driver_leaves_parts_from_which_the_same_command_goes_on(
    cluster: Any, local: tuple[Path, dict[str, bytes]], job: WatchedJob, weights: Path, tmp_path: Path
):
    photos, expected = local
    command = [sys.executable, "-c", DRIVER.format(backbone=TINY_BACKBONE), str(weights), str(photos)]
    command += [f"{tmp_path}/f/", str(tmp_path), at(cluster)]
    killed = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=LIMIT, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    there = len(parts(tmp_path / "f"))
    assert there >= 3
    engine = ray_engine.RayEngine(at(cluster), cpus=1)
    summary = extract_shards(weights, [str(photos)], tmp_path / "f", job=job, engine=engine)
    assert summary.reused >= 3 * ROWS - 4 and parts(tmp_path / "f") == expected


def test_a_worker_of_another_version_ends_the_run(
    cluster: Any, local: tuple[Path, dict[str, bytes]], job: WatchedJob, weights: Path, tmp_path: Path
):
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(SystemError):
        patch.setattr(ray_engine, "__version__", "0.0.1")
        engine = ray_engine.RayEngine(at(cluster), cpus=1)
        with pytest.raises(RevcdError, match=r"A worker has revcd .*, and this is 0\.0\.1"):
            extract_shards(weights, [str(local[0])], tmp_path / "f", job=job, engine=engine)
    engine._stop()
