"""Photos of noise in files, archives and Parquet files, and their features in folders of shards."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from revcd_cli.data.storage.image_table import ImageColumns
from revcd_cli.pipeline.shards.jobs import FeatureJob
from revcd_cli.pipeline.shards.report import ShardSummary
from revcd_cli.pipeline.shards.run import Inputs, run_shards

from .toy import TINY_BACKBONE


def save_noise(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def make_photos(folder: Path, count: int, *, broken: tuple[int, ...] = ()) -> Path:
    """Fill a folder with photos 0.png, 1.png, ...; the broken ones are empty files."""
    folder.mkdir(parents=True)
    for number in range(count):
        save_noise(folder / f"{number}.png", seed=number)
    for number in broken:
        (folder / f"{number}.png").write_bytes(b"")
    return folder


def in_order(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.png"), key=lambda path: int(path.stem))


def pack(folder: Path, archive: Path) -> Path:
    """Write the photos of a folder to a .tar, .tar.gz, .zip, or to a .parquet with the columns image and key."""
    photos = in_order(folder)
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as zipped:
            for path in photos:
                zipped.write(path, path.name)
    elif archive.suffix == ".parquet":
        table = pa.table({"image": [path.read_bytes() for path in photos], "key": [path.name for path in photos]})
        pq.write_table(table, archive, row_group_size=7)
    else:
        with tarfile.open(archive, "w:gz" if archive.suffix == ".gz" else "w") as tar:
            for path in photos:
                tar.add(path, path.name)
    return archive


def tiny_job(weights: Path, **options: object) -> FeatureJob:
    return FeatureJob(**{"backbone": TINY_BACKBONE, "weights": weights, "device": "cpu", "batch_size": 4, **options})


def extract_shards(
    weights: Path,
    inputs: list[str],
    output: Path | str,
    *,
    shard_rows: int = 8,
    key: str | None = None,
    **options: object,
) -> ShardSummary:
    job = options.pop("job", None) or tiny_job(weights, precision="float32")
    given = Inputs(inputs, ImageColumns(key=key), shard_rows)
    return run_shards(job, given, output if isinstance(output, str) else f"{output}/", **options)


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("part-*.parquet"))}
