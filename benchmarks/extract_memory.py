"""Measure memory and time of extraction for growing numbers of photos: python benchmarks/extract_memory.py [PHOTOS]

Extracts 100, 1,000 and 10,000 photos (links to those of the folder, which repeat), each number in a separate process.
timm's smallest network is used, so that the network adds little.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ANIMALS, TINY_NETWORK, link_photos, random_weights

COUNTS = (100, 1_000, 10_000)


def extract(photos: str, weights: str) -> None:
    """Extract in this process; print the number of photos, the seconds and the peak in MB as JSON."""
    from revcd_cli.pipeline.extract.extract import extract as run

    with tempfile.TemporaryDirectory() as place:
        started = time.perf_counter()
        summary = run([photos], Path(place) / "f.parquet", backbone=TINY_NETWORK, weights=weights)
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"photos": summary.done, "seconds": seconds, "peak": peak}))


def main() -> None:
    folder = Path(sys.argv[1]) if sys.argv[1:] else ANIMALS / "images"
    print(f"{'photos':>8} {'seconds':>8} {'photos/s':>9} {'peak MB':>8} {'more MB':>8}")
    first = None
    with tempfile.TemporaryDirectory() as place:
        weights = random_weights(TINY_NETWORK, Path(place) / "weights.safetensors")
        for count in COUNTS:
            photos = link_photos(folder, count, Path(place) / str(count))
            command = [sys.executable, __file__, "--run", str(photos), str(weights)]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            first = first or found["peak"]
            rate = found["photos"] / found["seconds"]
            print(
                f"{found['photos']:8} {found['seconds']:8.1f} {rate:9.1f} {found['peak']:8.0f} "
                f"{found['peak'] - first:8.0f}"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        extract(*sys.argv[2:])
    else:
        main()
