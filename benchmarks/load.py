"""Measure memory for many photos and classes: python benchmarks/load.py [NAME ...] [--photos N] [--classes N]

Generates small photos, all different, and runs the real commands on them. The memory of each command's process is
sampled ten times a second. Printed are the resident megabytes when 1 %, 10 %, 50 % and 100 % of the photos were
processed, and the peak of the process until its end. The network is timm's smallest with random weights, so that the
memory of everything else is measured; the runs with class tables use the shipped model.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from common import ROOT, TINY_NETWORK, print_header, print_row, random_weights
from PIL import Image

SHARES = (0.01, 0.1, 0.5, 1.0)
FOLDER = 1_000  # photos in a folder
SMALL_MODEL = [
    *("--set", "train.epochs=2", "--set", "train.validation_folds=2", "--set", "diffusion.timesteps=20"),
    *("--set", "denoiser.width=16", "--set", "encoder.width=16", "--set", "encoder.n_tokens=4"),
    *("--set", "encoder.heads=2", "--set", "prototypes.components=16"),
]


def jpegs(count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield different photos of 32 x 32 pixels."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        coarse = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(coarse).resize((32, 32), Image.Resampling.NEAREST).save(stream, "JPEG", quality=90)
        yield stream.getvalue()


def make_photos(folder: Path, count: int, *, flat: bool = False) -> Path:
    for number, data in enumerate(jpegs(count)):
        path = folder / ("" if flat else f"{number // FOLDER:04}") / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def make_zip(path: Path, count: int) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number, data in enumerate(jpegs(count)):
            archive.writestr(f"{number // FOLDER:04}/{number:06}.jpg", data)
    return path


def make_data_set(folder: Path) -> Path:
    """Write a data set of six classes of eight photos, described by random numbers."""
    generator = np.random.default_rng(0)
    lines = ["class," + ",".join(f"trait {k}" for k in range(6))]
    for number in range(6):
        make_photos(folder / f"class {number}", 8, flat=True)
        lines.append(f"class {number}," + ",".join(map(str, generator.uniform(0, 1, 6).round(3).tolist())))
    (folder / "attributes.csv").write_text("\n".join(lines))
    return folder


def make_table(path: Path, count: int) -> Path:
    """Write a table of random classes with the attributes of the shipped model."""
    from revcd_cli.checkpoint.model_file import read_class_table

    known, generator = read_class_table("animals"), np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as stream:
        stream.write(",".join(["class", *known.attributes]) + "\n")
        for number in range(count):
            values = generator.uniform(0, 100, len(known.attributes)).round(2).tolist()
            stream.write(",".join([f"class {number}", *map(str, values)]) + "\n")
    return path


@dataclass
class Usage:
    """Memory and time of a process."""

    samples: list[tuple[int, float]] = field(default_factory=list)  # progress and resident MB
    peak: float = 0  # MB
    seconds: float = 0

    def at(self, share: float) -> float:
        """Return the resident MB when this share of the photos was processed."""
        last = max((done for done, _ in self.samples), default=0)
        return next((resident for done, resident in self.samples if done >= share * last > 0), float("nan"))


def watch(arguments: list[str], done: Callable[[], int]) -> Usage:
    """Run a command of revcd and sample its memory until it ends; `done` returns its progress."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    usage, started = Usage(), time.monotonic()
    with tempfile.TemporaryFile() as stderr:
        command = [sys.executable, "-m", "revcd_cli", *arguments]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=stderr)
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text().split()
            if "VmRSS:" in status:  # absent while a process exits
                usage.peak = max(usage.peak, int(status[status.index("VmHWM:") + 1]) / 1024)
                usage.samples.append((done(), int(status[status.index("VmRSS:") + 1]) / 1024))
            time.sleep(0.1)
        usage.seconds = time.monotonic() - started
        if process.returncode:
            stderr.seek(0)
            raise SystemExit(f"{' '.join(arguments)}: exit code {process.returncode}\n{stderr.read().decode()[-2000:]}")
    return usage


def shards_of(output: Path) -> Callable[[], int]:
    return lambda: sum(1 for _ in output.with_name(f"{output.name}.partial").glob("shard-*"))


def bytes_below(folder: Path) -> Callable[[], int]:
    """Return a function that counts the bytes of the output, which may still have a temporary name."""
    return lambda: sum(entry.stat().st_size for entry in os.scandir(folder) if not entry.name.endswith(".lock"))


class Load:
    """The inputs, each generated on first use, and the commands that read them."""

    def __init__(self, place: Path, given: argparse.Namespace) -> None:
        self.place, self.given = place, given
        weights = random_weights(TINY_NETWORK, place / "weights.safetensors")
        self.backbone = ["--backbone", TINY_NETWORK, "--weights", str(weights)]
        self.model = place / "model" / "model.safetensors"

    def once(self, name: str, make: Callable[[Path], Path]) -> str:
        path = self.place / name
        return str(path if path.exists() else make(path))

    def photos(self) -> str:
        return self.once("photos", lambda path: make_photos(path, self.given.photos))

    def flat(self) -> str:
        return self.once("flat", lambda path: make_photos(path, self.given.photos, flat=True))

    def archive(self) -> str:
        return self.once("photos.zip", lambda path: make_zip(path, self.given.members))

    def few(self) -> str:
        return self.once("few", lambda path: make_photos(path, self.given.few))

    def extract(self, photos: str, suffix: str) -> Usage:
        with tempfile.TemporaryDirectory(dir=self.place) as out:
            output = Path(out) / f"features{suffix}"
            return watch(["extract", photos, "-o", str(output), *self.backbone], shards_of(output))

    def predict(self, photos: str, suffix: str) -> Usage:
        if not self.model.exists():
            folder = make_data_set(self.place / "data set")
            watch(["train", "--dataset", str(folder), "-o", str(self.model), *self.backbone, *SMALL_MODEL], lambda: 0)
        with tempfile.TemporaryDirectory(dir=self.place) as out:
            options = ["--model", str(self.model), *self.backbone[2:]]
            command = ["predict", photos, "-o", f"{out}/answers{suffix}", "--top-k", "3", *options]
            return watch(command, bytes_below(Path(out)))

    def classes(self, count: int) -> Usage:
        table = self.once(f"{count}.csv", lambda path: make_table(path, count))
        with tempfile.TemporaryDirectory(dir=self.place) as out:
            command = ["predict", self.few(), "-o"]
            watch([*command, f"{out}/first.csv"], lambda: 0)  # fills the cache with the prepared backbone
            Path(f"{out}/first.csv").unlink()
            return watch([*command, f"{out}/answers.jsonl", "--classes", table], bytes_below(Path(out)))

    def runs(self) -> dict[str, tuple[str, Callable[[], Usage]]]:
        """Return the title and the function of each run, by name."""
        many, members, few = (f"{count:,} photos" for count in (self.given.photos, self.given.members, self.given.few))
        return {
            "parquet": (f"`extract`, {many}, to .parquet", lambda: self.extract(self.photos(), ".parquet")),
            "npz": (f"`extract`, {many}, to .npz", lambda: self.extract(self.photos(), ".npz")),
            "csv": (f"`predict`, {many}, to .csv", lambda: self.predict(self.photos(), ".csv")),
            "jsonl": (f"`predict`, {many}, to .jsonl", lambda: self.predict(self.photos(), ".jsonl")),
            "flat": (f"`predict`, {many} in one folder", lambda: self.predict(self.flat(), ".csv")),
            "zip-extract": (f"`extract`, a zip of {members}", lambda: self.extract(self.archive(), ".parquet")),
            "zip-predict": (f"`predict`, a zip of {members}", lambda: self.predict(self.archive(), ".csv")),
            "50-classes": (f"`predict`, {few}, 50 classes x 85", lambda: self.classes(50)),
            "classes": (
                f"`predict`, {few}, {self.given.classes:,} classes x 85",
                lambda: self.classes(self.given.classes),
            ),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a run; default: all runs")
    parser.add_argument("--photos", type=int, default=100_000, help="photos in folders")
    parser.add_argument("--members", type=int, default=10_000, help="photos in a zip")
    parser.add_argument("--classes", type=int, default=50_000, help="classes of the large table")
    parser.add_argument("--few", type=int, default=64, help="photos for the table of many classes")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="revcd-load-") as place:
        runs = Load(Path(place), given).runs()
        print_header("run", *(f"MB at {share:.0%}" for share in SHARES), "peak MB", "s")
        for name in given.names or runs:
            title, run = runs[name]
            usage = run()
            curve = (f"{usage.at(share):,.0f}" for share in SHARES)
            print_row(title, *curve, f"{usage.peak:,.0f}", f"{usage.seconds:,.0f}")


if __name__ == "__main__":
    main()
