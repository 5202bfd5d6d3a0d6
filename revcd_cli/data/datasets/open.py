"""One door for every form of data set: a benchmark's name, its folder, or a folder of one's own."""

from __future__ import annotations

from pathlib import Path

from ...errors import RevcdError, UsageError, did_you_mean
from ..features.files import read_features
from .dataset import TABLE_FILE, Dataset, attach_features
from .folder import read_folder
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
) -> Dataset:
    """Open a benchmark by name, or a folder: the xlsa17 layout, or a class table beside photos.

    features: a feature file, for xlsa17 also the name of one beside the splits. images: the folder that paths of photos
    are relative to. seed: of the split that is drawn where a folder has none, and then written into it unless
    `write_split` is False. missing: see `read_attribute_csv`.
    Without features the result has none, and they are to be extracted from `images_root`.

    Raises `UsageError` for a name that is not known, `RevcdError` for a benchmark whose files are not here, and
    `InputFileError` for files that are not as they should be.
    """
    benchmark = find_benchmark(name_or_dir)
    folder = find_folder(benchmark, data_root) if benchmark else Path(name_or_dir).expanduser()
    if benchmark and folder is None:
        raise _absent(benchmark, data_root)
    if not folder.exists():
        raise UsageError(
            f'"{name_or_dir}" is neither a folder nor a benchmark{did_you_mean(name_or_dir, BENCHMARKS)}.',
            hint=f"Benchmarks: {', '.join(BENCHMARKS)}. Run: revcd data list",
        )
    if not folder.is_dir():
        raise UsageError(f"{folder}: is a file; a data set is a folder.")
    if images is not None and not images.expanduser().is_dir():
        raise UsageError(f"{images}: there is no such folder of photos.")
    images = images.expanduser() if images else None
    if (folder / SPLITS_FILE).is_file():
        from .benchmarks import read_benchmark  # with scipy, which takes a while to load

        name = benchmark.name if benchmark else folder.resolve().name
        return read_benchmark(folder, name=name, features=features, images=images)
    if not (folder / TABLE_FILE).is_file():
        raise UsageError(
            f"{folder}: holds neither {TABLE_FILE} nor {SPLITS_FILE}, so it is not a data set.",
            hint=f"A data set of your own needs {TABLE_FILE} beside one folder of photos per class.",
        )
    dataset = read_folder(folder, images=images, seed=seed, missing=missing, write_split=write_split)
    if features is None:
        return dataset
    return attach_features(dataset, read_features(Path(features)))


def _absent(benchmark: Benchmark, data_root: Path | None) -> RevcdError:
    looked = ", ".join(str(root) for root in data_roots(data_root))
    return RevcdError(
        f"The benchmark {benchmark.name} ({benchmark.title}) is not on this machine; looked in {looked}.",
        hint=where_to_put(benchmark, data_root),
    )
