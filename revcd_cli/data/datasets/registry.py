"""Benchmarks known by name: their files, and the folders that are searched for them.

The rows, splits and ResNet-101 features are those of the Proposed Split of Y. Xian, C. H. Lampert, B. Schiele and
Z. Akata, "Zero-Shot Learning - A Comprehensive Evaluation of the Good, the Bad and the Ugly", TPAMI 2019. Flowers-102
has the same layout and is not in their archive; its descriptions are sentence embeddings (S. Reed et al., "Learning
Deep Representations of Fine-Grained Visual Descriptions", CVPR 2016), and its classes have numbers for names.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from ...errors import UsageError, did_you_mean

# The authors publish one archive for all benchmarks but Flowers-102, without a checksum.
ARCHIVE_URL = "http://datasets.d2.mpi-inf.mpg.de/xian/xlsa17.zip"
ARCHIVE_NAME = "xlsa17.zip"
FEATURES_FILE = "res101.mat"  # features, labels, image_files
SPLITS_FILE = "att_splits.mat"  # class descriptions, class names, split


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: its size, and the folder of its files in the archive and below a data root."""

    name: str  # on the command line
    folder: str
    title: str
    seen: int  # classes with photos to train on
    unseen: int  # classes without
    images: int
    attributes: int
    files: tuple[str, ...] = (FEATURES_FILE, SPLITS_FILE)
    in_archive: bool = True

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self.seen + self.unseen


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("awa1", "AWA1", "Animals with Attributes", 40, 10, 30_475, 85),
        Benchmark("awa2", "AWA2", "Animals with Attributes 2", 40, 10, 37_322, 85),
        Benchmark("cub", "CUB", "Caltech-UCSD Birds 200-2011", 150, 50, 11_788, 312),
        Benchmark("sun", "SUN", "SUN Attribute", 645, 72, 14_340, 102),
        Benchmark("apy", "APY", "Attribute Pascal and Yahoo", 20, 12, 15_339, 64),
        Benchmark("flo", "FLO", "Oxford Flowers-102", 82, 20, 8_189, 1024, in_archive=False),
    )
}


def find_benchmark(name: str) -> Benchmark | None:
    """Return the benchmark of this name, in any case and with or without hyphens, or None."""
    return BENCHMARKS.get(name.strip().casefold().replace("-", "").replace("_", ""))


def get_benchmark(name: str) -> Benchmark:
    """Return the benchmark of this name. Raises `UsageError` with the known names."""
    benchmark = find_benchmark(name)
    if benchmark is None:
        raise UsageError(
            f'No benchmark is called "{name}"{did_you_mean(name, BENCHMARKS)}.',
            hint=f"Known: {', '.join(BENCHMARKS)}. Run: revcd data list",
        )
    return benchmark


def data_roots(data_root: Path | None = None) -> tuple[Path, ...]:
    """Return the folders that are searched for benchmarks, in order; downloads go into the first."""
    given = [data_root, os.environ.get("REVCD_DATA"), platformdirs.user_data_path("revcd")]
    return tuple(dict.fromkeys(Path(root).expanduser() for root in given if root))


def find_folder(benchmark: Benchmark, data_root: Path | None = None) -> Path | None:
    """Return the first folder with the benchmark's splits, or None.

    The layout of the archive, unpacked below a data root, is searched too.
    """
    for root in data_roots(data_root):
        for above in (root, root / "xlsa17", root / "xlsa17" / "data"):
            folder = above / benchmark.folder
            if (folder / SPLITS_FILE).is_file():
                return folder
    return None


def missing_files(benchmark: Benchmark, folder: Path | None) -> tuple[str, ...]:
    """Return the benchmark's files that are not in the folder; all of them without a folder."""
    return tuple(name for name in benchmark.files if folder is None or not (folder / name).is_file())


def where_to_put(benchmark: Benchmark, data_root: Path | None = None) -> str:
    """Return instructions: the files that the benchmark needs, their folder, and their source."""
    folder = data_roots(data_root)[0] / benchmark.folder
    if not benchmark.in_archive:
        return (
            f"Put {' and '.join(benchmark.files)} into {folder}.\n"
            f"Or run: revcd data download {benchmark.name} --url ADDRESS, of a folder or .zip that has them."
        )
    return (
        f"Put {' and '.join(benchmark.files)} into {folder}. They are in the folder {benchmark.folder} of\n"
        f"{ARCHIVE_URL}\n"
        f"Or run: revcd data download {benchmark.name} (--url takes a mirror, or a copy of that archive)."
    )
