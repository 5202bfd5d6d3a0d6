"""The kinds of files: valid samples, damage functions, reader, and share of the inputs."""

from __future__ import annotations

import bz2
import functools
import gzip
import lzma
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import containers, pictures, readers, samples, texts
from .damage import Damage, damaged
from .readers import Reader


@dataclass(frozen=True)
class Kind:
    """One kind of file."""

    name: str
    samples: Callable[[], list[bytes]]  # valid files; empty if no library here writes the format
    edits: Sequence[Damage]  # damage with knowledge of the format
    read: Reader
    weight: float = 1.0  # relative number of inputs
    megabytes: int = 500  # memory limit for reading one input

    @functools.cached_property
    def sound(self) -> list[bytes]:
        return self.samples()

    def input(self, seed: int, number: int) -> bytes:
        """Return the bytes of one input. The first inputs are the undamaged samples."""
        if number < len(self.sound):
            return self.sound[number]
        return damaged(self.sound, self.edits, random.Random(f"{self.name}/{seed}/{number}"))


_GZIP = containers.recompressed(gzip.decompress, functools.partial(gzip.compress, mtime=0), (containers.edit_tar,))
_BZIP2 = containers.recompressed(bz2.decompress, bz2.compress, (containers.edit_tar,))
_XZ = containers.recompressed(lzma.decompress, lzma.compress, (containers.edit_tar,))
_ZIP = (containers.edit_zip, containers.in_zip(lambda data, chance: data[: chance.randrange(len(data) + 1)]))
_NPZ = (containers.in_zip(containers.edit_npy), containers.in_zip(containers.edit_npy), containers.edit_zip)
_PARQUET = (containers.edit_parquet_footer, containers.edit_parquet_table)
_MAT = (containers.edit_mat,)
_TORCH = (containers.in_zip(lambda data, chance: damaged([data], (), chance)), containers.edit_zip)
_TENSORS = (containers.edit_safetensors,)
_TEXT = (texts.edit_text,)

KINDS = (
    Kind("jpeg", samples.jpeg, (pictures.edit_jpeg,), readers.photo, 2, 1500),
    Kind("png", samples.png, (pictures.edit_png,), readers.photo, 2, 1500),
    Kind("webp", samples.webp, (pictures.edit_riff,), readers.photo, 1, 1500),
    Kind("tiff", samples.tiff, (pictures.edit_tiff,), readers.photo, 2, 1500),
    Kind("bmp", samples.bmp, (pictures.header_of(60),), readers.photo, 1, 1500),
    Kind("gif", samples.gif, (pictures.header_of(40),), readers.photo, 1, 1500),
    Kind("avif", samples.avif, (pictures.edit_boxes,), readers.photo, 1, 1500),
    Kind("zip", samples.zips, _ZIP, readers.archive(".zip")),
    Kind("tar", samples.tars, (containers.edit_tar,), readers.archive(".tar")),
    Kind("packed tar", samples.packed_tars, (_GZIP, _BZIP2, _XZ), readers.archive(".tar.gz")),
    Kind("attributes.csv", samples.class_tables, _TEXT, readers.class_table, 1.5),
    Kind("images.csv", samples.photo_tables, _TEXT, readers.photo_table),
    Kind("features.npz", samples.npz, _NPZ, readers.feature_file(".npz"), 1.5),
    Kind("features.parquet", samples.parquet, _PARQUET, readers.feature_file(".parquet"), 1.5),
    Kind("features.mat", samples.feature_mats, _MAT, readers.feature_file(".mat"), 2),
    Kind("att_splits.mat", samples.split_mats, _MAT, readers.benchmark("att_splits.mat"), 1),
    Kind("res101.mat", samples.feature_mats, _MAT, readers.benchmark("res101.mat"), 1),
    Kind("model", samples.models, _TENSORS, readers.model, 0.7),
    Kind("weights", samples.weights, _TENSORS, readers.weights),
    Kind("torch weights", samples.torch_files, _TORCH, readers.weights, 1.5),
    Kind("config", samples.configs, _TEXT, readers.config),
    Kind("--set", samples.configs, _TEXT, readers.assignments, 0.5),
    Kind("list on stdin", samples.path_lists, _TEXT, readers.path_list, 0.5),
    Kind("journal shard", samples.shards, _PARQUET, readers.journal("shard-000000.parquet"), 0.7),
    Kind("journal manifest", samples.manifests, (texts.edit_json,), readers.journal("manifest.json"), 0.5),
    Kind("training state", samples.states, _TENSORS, readers.state, 0.4),
    Kind("tune record", samples.records, (texts.edit_json, texts.edit_text), readers.record, 0.5),
    Kind("cached micro-benchmarks", samples.caches, (texts.edit_json,), readers.cache, 0.3),
)
BY_NAME = {kind.name: kind for kind in KINDS}


def shares(inputs: int) -> dict[str, int]:
    """Return the number of inputs of each kind, for a total of at least `inputs`."""
    total = sum(kind.weight for kind in KINDS)
    return {kind.name: math.ceil(inputs * kind.weight / total) for kind in KINDS}
