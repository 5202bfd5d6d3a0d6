"""Measure runs over shards: python benchmarks/scale.py [PHOTOS] [--count N] [--rounds N] [--only SECTIONS]

sources: the embedded backbone on files, and on the same photos in a bucket with and without latency: loose objects, a
tar and a Parquet file. The bucket is a small S3 server in a process of its own on this machine (tests/makers).
reading: the same sources, listed and read, but not decoded. With --pace, the reader sleeps for 1/RATE s after each
photo: whether latency is hidden can so be measured beside other programs.
workers: one process with all CPUs, two parts at a time with half of them each, and a Ray cluster of two workers; with
the start. growth: processor time and memory for growing numbers of shards, with timm's smallest network.
listing: what the listing costs for each photo.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from common import (
    ANIMALS,
    ROOT,
    TINY_NETWORK,
    link_photos,
    print_header,
    print_row,
    random_weights,
    time_in_rounds,
    with_range,
)

Work = Callable[[list[str], str], int]  # inputs and output to the number of photos

LATENCY = 0.03  # seconds
SHARDS = (4, 40, 400)
LISTED = 200_000  # photos
SERVER = """
import sys, threading
from pathlib import Path
from tests.makers.s3_server import running_server

with running_server() as server:
    for path in Path(sys.argv[1]).rglob("*"):
        if path.is_file():
            server.objects["bucket/" + path.relative_to(sys.argv[1]).as_posix()] = path.read_bytes()
    print(server.environment["AWS_ENDPOINT_URL"], flush=True)
    for line in sys.stdin:
        server.latency = float(line)
        print("set", flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="?", default=str(ANIMALS / "images"))
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="sources,reading,workers,growth,listing")
    parser.add_argument("--shard-rows", type=int, default=4096, help="photos in a shard of sources and reading")
    parser.add_argument("--pace", type=float, metavar="RATE", help="photos/s of the reader")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        photos = link_photos(Path(arguments.photos), arguments.count, Path(place) / "data" / "photos")
        sections = arguments.only.split(",")
        if "sources" in sections or "reading" in sections:
            work: dict[str, Work] = {
                "sources": partial(extract, shard_rows=arguments.shard_rows),
                "reading": partial(read, shard_rows=arguments.shard_rows, pace=arguments.pace),
            }
            work = {section: each for section, each in work.items() if section in sections}
            measure_sources(photos, arguments.count, arguments.rounds, work)
        if "workers" in sections:
            measure_workers(photos, arguments.count, Path(place))
        if "growth" in sections:
            measure_growth(Path(arguments.photos), Path(place))
        if "listing" in sections:
            measure_listing(Path(place))


def measure_sources(photos: Path, count: int, rounds: int, sections: Mapping[str, Work]) -> None:
    """Print photos/s from each source, and its share of the rate from files."""
    pack(photos)
    sources = {"files": (str(photos), 0.0)}
    for latency in (0.0, LATENCY):
        label = f", {1000 * latency:.0f} ms" if latency else ""
        sources[f"objects{label}"] = ("s3://bucket/photos", latency)
        sources[f"tar{label}"] = ("s3://bucket/photos.tar", latency)
        sources[f"Parquet{label}"] = ("s3://bucket/photos.parquet", latency)
    with bucket(photos.parent) as set_latency, tempfile.TemporaryDirectory() as place:
        for section, work in sections.items():

            def run(name: str, work: Work = work) -> None:
                given, latency = sources[name]
                set_latency(latency)
                done = work([given], f"{place}/{name}/")
                assert done == count, f"{name}: {done} photos"

            seconds = time_in_rounds({name: partial(run, name) for name in sources}, rounds, time.monotonic)
            print_header(section, "photos/s", "share of the rate from files")
            for name, each in seconds.items():
                shares = [whole / part for whole, part in zip(seconds["files"], each, strict=True)]
                print_row(name, with_range([count / s for s in each], 1), with_range(shares))


def measure_workers(photos: Path, count: int, place: Path) -> None:
    """Print seconds of whole commands, start included, for all CPUs in one process and for two workers."""
    cpus = os.cpu_count() or 2
    half = str(max(1, cpus // 2))
    print_header("workers", "seconds of the command", "photos/s")
    for name, options, threads in (
        ("one process", [[]], str(cpus)),
        ("two parts at a time", [["--part", "1/2"], ["--part", "2/2"]], half),
        ("Ray, two workers", [["--engine", "ray", "--cpus-per-worker", half]], half),
    ):
        output = f"{place}/{name.replace(' ', '-')}/"
        command = [sys.executable, "-m", "revcd_cli", "extract", str(photos), "-o", output, "--shard-rows", "32"]
        command += ["--backbone", "embedded", "--precision", "float32", "--batch-size", "8"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": threads}
        started = time.monotonic()
        running = [subprocess.Popen([*command, *more], env=environment, stderr=subprocess.DEVNULL) for more in options]
        codes = [process.wait() for process in running]
        seconds = time.monotonic() - started
        print_row(name, f"{seconds:.1f}" if not any(codes) else f"failed: {codes}", f"{count / seconds:.1f}")


def measure_growth(folder: Path, place: Path) -> None:
    """Print time and memory for growing numbers of shards of 25 photos, each in a process of its own."""
    weights = random_weights(TINY_NETWORK, place / "weights.safetensors")
    print_header("shards", "photos", "processor ms per photo", "peak MB")
    for shards in SHARDS:
        photos = link_photos(folder, 25 * shards, place / str(shards))
        command = [sys.executable, __file__, "--run", str(photos), str(weights), f"{place}/out-{shards}/"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        print_row(shards, found["photos"], f"{1000 * found['seconds'] / found['photos']:.1f}", f"{found['peak']:.0f}")


def measure_listing(place: Path) -> None:
    """Print processor time and size of the listing of loose objects, and the memory to find repeated paths."""
    from revcd_cli.data.storage.listing import _unique
    from revcd_cli.data.storage.reference import Reference
    from revcd_cli.pipeline.shards.contract import LISTING, Contract, read_shards, write_listing
    from revcd_cli.system.storage_folder import StorageFolder

    def references(names: Iterable[str]) -> Iterator[Reference]:
        for number, name in enumerate(names):
            yield Reference(
                "photo", f"s3://museum/photos/{name}.jpg", 90_000 + number * 7919 % 20_000, "1790000000000000"
            )

    million = LISTED / 1e6
    print_header("names of photos", "write, CPU s per million", "read, CPU s per million", "bytes", "unique, bytes")
    for kind, names in (
        ("regular", [f"{number // 1000:06d}/{number:09d}" for number in range(LISTED)]),
        ("random", [hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in range(LISTED)]),
    ):
        folder, started = StorageFolder(f"{place}/listing-{kind}/"), time.process_time()
        sha256, shards, photos = write_listing(folder, references(names), 4096)
        written, started = time.process_time() - started, time.process_time()
        for _ in read_shards(folder, Contract("features", {}, sha256, shards, photos, None)):
            pass
        read_again, size = time.process_time() - started, folder.sizes()[LISTING]
        tracemalloc.start()
        for _ in _unique(references(names)):
            pass
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        each = [f"{value:.1f}" for value in (written / million, read_again / million, size / LISTED, held / LISTED)]
        print_row(kind, *each)


def extract(inputs: list[str], output: str, *, shard_rows: int, **options: object) -> int:
    """Extract to a new folder of shards in this process, and return the number of photos."""
    from revcd_cli.pipeline.shards.jobs import FeatureJob
    from revcd_cli.pipeline.shards.run import Inputs, run_shards

    job = FeatureJob(**{"backbone": "embedded", "precision": "float32", "batch_size": 8, **options})
    return run_shards(job, Inputs(inputs, shard_rows=shard_rows), output, fresh=True).tally.photos


def read(inputs: list[str], _: str, *, shard_rows: int, pace: float | None) -> int:
    """List the inputs and read the bytes of all photos; return their number."""
    from revcd_cli.data.storage.image_table import ImageColumns
    from revcd_cli.data.storage.listing import list_inputs, open_shard, shards_of

    columns = ImageColumns()
    shards = shards_of(list_inputs(inputs, columns=columns, shard_rows=shard_rows), shard_rows)
    count = 0
    for source in itertools.chain.from_iterable(open_shard(shard, columns) for shard in shards):
        count += isinstance(source.read(), bytes)
        time.sleep(1 / pace if pace else 0)
    return count


def pack(photos: Path) -> None:
    """Write the photos to a tar and to a Parquet file beside their folder."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted(photos.rglob("*.jpg"))
    with tarfile.open(photos.with_suffix(".tar"), "w") as tar:
        for path in files:
            member = tarfile.TarInfo(path.relative_to(photos).as_posix())
            member.size = path.stat().st_size
            tar.addfile(member, io.BytesIO(path.read_bytes()))
    pq.write_table(
        pa.table({"image": [path.read_bytes() for path in files]}), photos.with_suffix(".parquet"), row_group_size=32
    )


@contextmanager
def bucket(folder: Path) -> Iterator[Callable[[float], None]]:
    """Run an S3 server with the files of a folder; yield the function that sets its latency in seconds."""
    command = [sys.executable, "-c", SERVER, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdin is not None and server.stdout is not None
        keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}
        os.environ.update(keys, AWS_ENDPOINT_URL=server.stdout.readline().strip(), HF_HUB_OFFLINE="0")

        def set_latency(seconds: float) -> None:
            server.stdin.write(f"{seconds}\n")
            server.stdin.flush()
            server.stdout.readline()

        try:
            yield set_latency
        finally:
            server.terminate()


def run_alone(photos: str, weights: str, output: str) -> None:
    """Extract in this process; print the number of photos, the processor time and the peak in MB as JSON."""
    started = time.process_time()
    count = extract([photos], output, shard_rows=25, backbone=TINY_NETWORK, weights=Path(weights))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"photos": count, "seconds": time.process_time() - started, "peak": peak}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run_alone(*sys.argv[2:])
    else:
        main()
