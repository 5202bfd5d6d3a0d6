"""Lose workers, a node and the command itself on a Ray cluster: python -m tests.faults.cluster [FAULT ...]

Faults: none, workers, node, command (default: all).

The cluster has two nodes on this machine, of one CPU each. `revcd extract` runs on it several times with the embedded
backbone. After each run the parts must be those of a local run, byte for byte, and no photo may be missing. A shard
that kills its worker three times is left out, so two are killed here; see `tests/pipeline/shards/test_ray.py`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .runner import ROOT

PHOTOS = ROOT.parent / "shared" / "data" / "animals" / "images"
FAULTS = ("none", "workers", "node", "command")
SHARD_ROWS = 16
NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}
MARK = "REVCD_FAULTS_CLUSTER"  # an environment variable of all processes of this cluster
LIMIT = 600  # seconds of a run


class Trial:
    """The photos, the cluster, and the parts of the local run."""

    def __init__(self, photos: Path, place: Path) -> None:
        from ray.cluster_utils import Cluster

        self.photos, self.place = photos, place
        os.environ |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
        os.environ |= {"RAY_worker_niceness": "0", MARK: str(os.getpid())}
        self.cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        self.cluster.add_node(**NODE)
        self.address = "127.0.0.1:" + self.cluster.address.rpartition(":")[2]

    def run(self, output: Path, options: Sequence[str], actions: Mapping[int, Callable[[Any], None]]) -> int:
        """Run the command; call each action with the process when as many parts are there. Return the exit code."""
        command = [sys.executable, "-m", "revcd_cli", "extract", str(self.photos), "-o", f"{output}/", *options]
        command += ["--backbone", "embedded", "--precision", "float32", "--batch-size", "8", "--device", "cpu"]
        command += ["--shard-rows", str(SHARD_ROWS)]
        waiting, ends = sorted(actions), time.monotonic() + LIMIT
        with tempfile.TemporaryFile() as printed:
            process = subprocess.Popen(command, stdout=printed, stderr=printed)
            while process.poll() is None:
                if waiting and len(list(output.glob("part-*"))) >= waiting[0]:
                    actions[waiting.pop(0)](process)
                if time.monotonic() > ends:
                    process.kill()
                    raise TimeoutError(f"{output.name}: longer than {LIMIT} s")
                time.sleep(0.02)
            if process.returncode not in (0, -signal.SIGKILL):
                printed.seek(0)
                print(printed.read().decode(errors="replace")[-2000:], file=sys.stderr)
        if waiting:
            raise RuntimeError(f"{output.name}: ended before the fault at {waiting} parts; take more photos")
        return process.returncode

    def kill_worker(self, _: Any) -> None:
        """Send SIGKILL to a process of the cluster that computes a shard; wait for one if there is none."""
        for _ in range(1000):
            for pid in sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()):
                try:
                    title = Path(f"/proc/{pid}/cmdline").read_bytes()
                    ours = f"{MARK}={os.environ[MARK]}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
                except OSError:
                    continue
                if ours and title.startswith(b"ray::_computed"):
                    os.kill(pid, signal.SIGKILL)
                    return
            time.sleep(0.01)
        raise RuntimeError("no worker computes a shard")


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("part-*"))}


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.cluster", description=__doc__.splitlines()[0])
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=", ".join(FAULTS))
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--count", type=int, default=320)
    options = parser.parse_args(given)
    with tempfile.TemporaryDirectory(prefix="revcd-cluster-") as folder:
        place = Path(folder)
        (place / "photos").mkdir()
        found = sorted(options.photos.rglob("*.jpg"))
        for number in range(options.count):
            (place / "photos" / f"{number}.jpg").symlink_to(found[number * len(found) // options.count].resolve())
        trial = Trial(place / "photos", place)
        try:
            return try_faults(trial, options.faults or FAULTS, options.count)
        finally:
            trial.cluster.shutdown()


def try_faults(trial: Trial, names: Sequence[str], count: int) -> int:
    """Print a row for each fault; return 1 if one of them changed the output."""
    shards = -(-count // SHARD_ROWS)
    on_ray = ["--engine", "ray", "--address", trial.address, "--cpus-per-worker", "1"]
    place, faults = trial.place, 0
    print("| fault | exit codes | seconds | parts kept by the killed command | photos | bytes |", flush=True)
    print("|---|---|---|---|---|---|", flush=True)

    def row(name: str, *runs: tuple[Sequence[str], Mapping[int, Callable[[Any], None]]]) -> None:
        nonlocal faults
        output, codes, kept, started = place / name.replace(" ", "-"), [], [], time.monotonic()
        for options, actions in runs:
            codes.append(trial.run(output, options, actions))
            kept.append(len(parts(output)))
        seconds = time.monotonic() - started
        same = parts(output) == parts(place / "local")
        faults += not same or codes[-1] != 0
        cells = (name, ", ".join(map(str, codes)), f"{seconds:.0f}", ", ".join(map(str, kept[:-1])) or "-")
        print("| " + " | ".join([*cells, photos(output), "same" if same else "OTHER"]) + " |", flush=True)

    def photos(output: Path) -> str:
        from revcd_cli import read_features

        found = read_features(output)
        return f"{len(set(found.paths)):,} of {count:,}, {int((~found.ok).sum())} failed"

    row("local", ([], {}))
    if "none" in names:
        row("none", (on_ray, {}))
    if "workers" in names:
        row("two workers killed", (on_ray, {shards * k // 4: trial.kill_worker for k in (1, 2)}))
    if "node" in names:
        third = trial.cluster.add_node(**NODE)
        removal = {shards // 3: lambda process: trial.cluster.remove_node(third, allow_graceful=False)}
        row("a node removed", (on_ray, removal))
    if "command" in names:
        kill = {shards // 2: lambda process: process.kill()}
        row("the command killed and repeated", (on_ray, kill), (on_ray, {}))
    print(f"{faults} faults")
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
