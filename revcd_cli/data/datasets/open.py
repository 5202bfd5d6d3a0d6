"""Open a dataset in any supported form: the name of a benchmark, its folder, or the user's folder."""

from __future__ import annotations

from pathlib import Path

from ...errors import RevcdError, UsageError, did_you_mean, is_address
from ..features.files import read_features
from .dataset import TABLE_FILE, Dataset, add_known_table, attach_features
from .folder import has_photos, read_folder, read_table_alone
from .known import KNOWN_FILE, read_known_csv
from .registry import BENCHMARKS, SPLITS_FILE, Benchmark, data_roots, find_benchmark, find_folder, where_to_put


def open_dataset(
    name_or_dir: str,
    *,
    data_root: Path | None = None,
    features: str | None = None,
    images: Path | None = None,
    seed: int = 0,
    missing: str = "error",
    write_split: bool = True,
    known: Path | None = None,
) -> Dataset:
    """Open a benchmark by name, or a folder: the xlsa17 layout, or a class table with photos.

    features: a feature file, for xlsa17 also the name of one next to the splits; without it, features may have to be
    extracted from `images_root`. images: the folder to which paths of photos are relative. seed: for the split of a
    folder that has none; it is then written, unless `write_split` is False. missing: see `read_complete_csv`. known: a
    file of known classes (see `datasets.known`); without it, `known.csv` in the folder is read if there is one.

    Raises `UsageError` for an unknown name, `RevcdError` for a benchmark whose files are not on this machine, and
    `InputFileError` for invalid files.
    """
    benchmark = find_benchmark(name_or_dir)
    folder = _benchmark_folder(benchmark, data_root) if benchmark else Path(name_or_dir).expanduser()
    if not folder.exists() and is_address(name_or_dir):
        raise UsageError(
            f"{name_or_dir}: is an address; a dataset is a folder on this machine.",
            hint="Download the dataset first. Benchmarks: revcd data list",
        )
    if not folder.exists():
        raise UsageError(
            f'"{name_or_dir}" is neither a folder nor a benchmark{did_you_mean(name_or_dir, BENCHMARKS)}.',
            hint=f"Benchmarks: {', '.join(BENCHMARKS)}. Run: revcd data list",
        )
    if not folder.is_dir():
        raise UsageError(f"{folder}: is a file; a dataset is a folder.")
    if images is not None and not images.expanduser().is_dir():
        raise UsageError(f"{images}: there is no such folder of photos.")
    images = images.expanduser() if images else None
    if (folder / SPLITS_FILE).is_file():
        from .benchmarks import read_benchmark  # imports scipy, which is slow

        name = benchmark.name if benchmark else folder.resolve().name
        return _with_known(read_benchmark(folder, name=name, features=features, images=images), folder, known)
    if not (folder / TABLE_FILE).is_file():
        raise UsageError(
            f"{folder}: holds neither {TABLE_FILE} nor {SPLITS_FILE}, so it is not a dataset.",
            hint=f"Your own dataset needs {TABLE_FILE} and one folder of photos per class.",
        )
    if (known or (folder / KNOWN_FILE).is_file()) and images is None and not has_photos(folder):
        return _with_known(read_table_alone(folder, missing=missing), folder, known)
    dataset = read_folder(
        folder, images=images, seed=seed, missing=missing, write_split=write_split, with_photos=features is None
    )
    dataset = _with_known(dataset, folder, known)
    if features is None:
        return dataset
    return attach_features(dataset, read_features(features))


def _with_known(dataset: Dataset, folder: Path, known: Path | None) -> Dataset:
    """Return the dataset with the known classes of a file, by default `known.csv` of its folder."""
    if known is None and not (folder / KNOWN_FILE).is_file():
        return dataset
    return add_known_table(dataset, read_known_csv(known or folder / KNOWN_FILE, dataset.classes))


def _benchmark_folder(benchmark: Benchmark, data_root: Path | None) -> Path:
    folder = find_folder(benchmark, data_root)
    if folder is not None:
        return folder
    looked = ", ".join(str(root) for root in data_roots(data_root))
    raise RevcdError(
        f"The benchmark {benchmark.name} ({benchmark.title}) is not on this machine; looked in {looked}.",
        hint=where_to_put(benchmark, data_root),
    )
