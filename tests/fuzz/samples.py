"""Valid files of every kind, small and deterministic, which the fuzz tests damage."""

from __future__ import annotations

import bz2
import contextlib
import functools
import gzip
import io
import lzma
import os
import pickle
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from PIL import Image, features

from revcd_cli.config import Config
from revcd_cli.data.datasets.dataset import Dataset, attach_features
from revcd_cli.data.datasets.folder import read_folder
from revcd_cli.data.features.files import read_features
from revcd_cli.data.features.npz import write_npz
from revcd_cli.data.features.parquet import write_parquet
from revcd_cli.pipeline.extract.journal import FeatureJournal
from revcd_cli.pipeline.extract.stream import ExtractedPhoto
from revcd_cli.pipeline.settings import preset_names, resolve_settings
from revcd_cli.pipeline.train import run as training_run
from revcd_cli.pipeline.train.state import state_path
from revcd_cli.pipeline.train.train import EpochInfo, train
from revcd_cli.pipeline.tune.tune import tune
from revcd_cli.system import probes
from tests.makers import benchmark_files, feature_files
from tests.makers.feature_folder import SMALL, make_feature_folder
from tests.makers.pictures import WIDE, animated, encoded, orientation_exif, photo, premultiplied, turned

from .containers import make_tar

ATTRIBUTES, CLASSES = 6, ("grey wolf", "okapi", "zebra", "blue whale", "Ждун")


def small(mode: str = "RGB", size: tuple[int, int] = (48, 32)) -> Image.Image:
    picture = photo(*size)
    if mode in ("RGBA", "LA"):
        picture.putalpha(Image.linear_gradient("L").resize(size))
    return picture.convert(mode)


def jpeg() -> list[bytes]:
    options = ({}, {"progressive": True}, {"quality": 95, "subsampling": 0}, {"restart_marker_blocks": 2})
    files = [encoded(small(), "JPEG", **option) for option in options]
    files += [encoded(small(mode), "JPEG") for mode in ("L", "CMYK")]
    files += [turned("JPEG", 6), encoded(small(), "JPEG", exif=orientation_exif(3, 0), comment=b"x")]
    stream = io.BytesIO()
    small().save(stream, "MPO", save_all=True, append_images=[small()])
    return [*files, stream.getvalue()]


def png() -> list[bytes]:
    files = [encoded(small(mode)) for mode in ("RGB", "RGBA", "LA", "L", "P", "1")]
    files += [encoded(small("P"), transparency=3), encoded(small("L"), transparency=7), animated("PNG")]
    files += [data for name, data in WIDE.items() if "png" in name]
    return [*files, encoded(small(), icc_profile=b"none", exif=orientation_exif(3, 9), dpi=(72, 72))]


def webp() -> list[bytes]:
    files = [encoded(small(), "WEBP"), encoded(small("RGBA"), "WEBP"), encoded(small(), "WEBP", lossless=True)]
    return [*files, animated("WEBP"), turned("WEBP", 3)]


def tiff() -> list[bytes]:
    kinds = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    files = [encoded(small(), "TIFF", compression=kind) for kind in kinds]
    files += [encoded(small(mode), "TIFF") for mode in ("RGBA", "LA", "L", "P", "1", "CMYK", "LAB")]
    files += [encoded(small("1"), "TIFF", compression=kind) for kind in ("group3", "group4")]
    files += [encoded(small(), "TIFF", big_tiff=True), animated("TIFF"), *premultiplied()]
    return files + [data for name, data in WIDE.items() if "tiff" in name]


def bmp() -> list[bytes]:
    return [encoded(small(mode), "BMP") for mode in ("RGB", "RGBA", "L", "P", "1")]


def gif() -> list[bytes]:
    return [encoded(small(mode), "GIF") for mode in ("RGB", "L", "P", "1")] + [animated("GIF")]


def avif() -> list[bytes]:
    """Return AVIF files; none if this Pillow cannot read the format."""
    if not features.check("avif"):
        return []
    return [encoded(small(mode, (16, 16)), "AVIF", speed=10) for mode in ("RGB", "RGBA")]


def _members() -> list[tuple[str, bytes]]:
    return [
        ("a.png", png()[0]),
        ("b/c.jpg", jpeg()[0]),
        ("b/d 2.gif", gif()[0]),
        ("e.txt", b"text"),
        ("b/d 10.gif", gif()[1]),
    ]


def zips() -> list[bytes]:
    files = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            for name, content in _members():
                archive.writestr(zipfile.ZipInfo(name), content, method)
        files.append(stream.getvalue())
    return files


def tars() -> list[bytes]:
    long = [("x" * 90 + "/" + "y" * 90 + ".png", png()[0])]
    return [
        make_tar(_members() + long, form) for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    ]


def packed_tars() -> list[bytes]:
    plain = tars()[1]
    return [gzip.compress(plain, mtime=0), bz2.compress(plain), lzma.compress(plain)]


def class_tables() -> list[bytes]:
    rows = np.random.default_rng(0).uniform(0, 1, (len(CLASSES), ATTRIBUTES)).round(3).tolist()
    header = ["class", *(f"trait {k}" for k in range(ATTRIBUTES))]
    lines = [header, *([name, *map(str, row)] for name, row in zip(CLASSES, rows, strict=True))]
    plain = "\n".join(",".join(line) for line in lines) + "\n"
    other = "# note\n\n" + "\r\n".join(";".join(f'"{cell}"' for cell in line) for line in lines)
    return [plain.encode(), other.encode("utf-8-sig"), plain.replace(",", "\t").encode("utf-16")]


def photo_tables() -> list[bytes]:
    parts = ("trainval", "trainval", "test_seen")
    rows = [f'"{name}/{k}.jpg",{name},{part}' for name in CLASSES[:3] for k, part in enumerate(parts)]
    rows += [f"{name}/{k}.jpg,{name},test_unseen" for name in CLASSES[3:] for k in range(2)]
    return [
        "\n".join(["path,class,split", *rows]).encode(),
        "\r\n".join(["class;split;path;x", "okapi;trainval;a;"]).encode(),
    ]


def npz() -> list[bytes]:
    stream = io.BytesIO()
    write_npz(stream, feature_files.BLOCKS)
    packed = io.BytesIO()
    np.savez_compressed(packed, features=feature_files.VALUES[2:], paths=np.array(feature_files.PATHS[2:]))
    return [stream.getvalue(), feature_files.saved_npz(), packed.getvalue()]


def parquet() -> list[bytes]:
    stream = io.BytesIO()
    write_parquet(stream, feature_files.BLOCKS)
    return [stream.getvalue(), feature_files.saved_parquet("")]


def feature_mats() -> list[bytes]:
    return [_mat(benchmark_files.features(), packed) for packed in (True, False)]


def split_mats() -> list[bytes]:
    return [_mat(benchmark_files.splits(), packed) for packed in (True, False)]


def _mat(variables: dict[str, object], packed: bool) -> bytes:
    import scipy.io

    stream = io.BytesIO()
    scipy.io.savemat(stream, variables, do_compression=packed)
    return b"MATLAB 5.0 MAT-file".ljust(116) + stream.getvalue()[116:]  # without the time of day


def network() -> torch.nn.Module:
    """Return a small network to load weights into."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))


def weights() -> list[bytes]:
    state = network().state_dict()
    return [safetensors.torch.save(state), safetensors.torch.save({k: v.half() for k, v in state.items() if v.ndim})]


def torch_files() -> list[bytes]:
    files, state = [], network().state_dict()
    for content in (state, {"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 3}):
        for is_zip in (True, False):
            stream = io.BytesIO()
            torch.save(content, stream, _use_new_zipfile_serialization=is_zip)
            files.append(stream.getvalue())
    return [*files, pickle.dumps({"weight": [1.0, 2.0]})]


def configs() -> list[bytes]:
    presets = [resolve_settings(name).to_toml() for name in preset_names()]
    return [
        text.encode() for text in (*presets, "[train]\nepochs = 3\nlearning_rate = 1e-3\n\n[encoder]\nwidth = 16\n")
    ]


def path_lists() -> list[bytes]:
    names = ["a.png", "b/c.jpg", "b", "z.zip", "missing.png", "./a.png", "na\u00efve \u2714.png"]
    lines = "\n".join(names).encode()
    return [
        lines,
        lines.replace(b"\n", b"\r\n"),
        b"\0".join(lines.split(b"\n")),
        b"\xef\xbb\xbf" + lines + b"\ncaf\xe9",
    ]


@functools.cache
def training() -> tuple[Dataset, Config]:
    """Return a data set and settings for a training of less than a second."""
    with tempfile.TemporaryDirectory() as folder:
        root = make_feature_folder(Path(folder))
        dataset = attach_features(read_folder(root), read_features(root / "features.parquet"))
    return dataset, resolve_settings(None, SMALL[1::2]).config


@functools.cache
def models() -> list[bytes]:
    """Return model files of one network and of an ensemble of two."""
    dataset, config = training()
    return [_trained(dataset, config), _trained(dataset, config, "precondition.kind=standardise+whiten")]


def _trained(dataset: Dataset, config: Config, setting: str = "precondition.kind=standardise") -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "m.safetensors"
        train(dataset, resolve_settings(None, [*SMALL[1::2], setting]).config, output, device="cpu")
        return output.read_bytes()


@functools.cache
def states() -> list[bytes]:
    """Return the states of two interrupted trainings: one during its validation, one after it."""
    found = []
    dataset, config = training()
    for events in (2, 3):
        reported: list[EpochInfo] = []

        def interrupt(info: EpochInfo, reported: list[EpochInfo] = reported, events: int = events) -> None:
            reported.append(info)
            if len(reported) == events:
                raise KeyboardInterrupt

        with tempfile.TemporaryDirectory() as folder, saved_always(), contextlib.suppress(KeyboardInterrupt):
            output = Path(folder) / "m.safetensors"
            try:
                train(dataset, config, output, device="cpu", on_epoch=interrupt)
            finally:
                found.append(state_path(output).read_bytes())
    return found


@contextlib.contextmanager
def saved_always() -> Iterator[None]:
    """Make trainings save their state after every epoch."""
    usual, training_run.SAVE_SECONDS = training_run.SAVE_SECONDS, -1
    try:
        yield
    finally:
        training_run.SAVE_SECONDS = usual


@functools.cache
def journals() -> dict[str, bytes]:
    """Return the files of an extraction that was interrupted before it wrote its output, by name."""
    photos = [ExtractedPhoto(f"{k}.png", f"{k:064}", np.full(5, k, np.float32), signature=f"{k}:1") for k in range(3)]
    photos[1] = ExtractedPhoto("1.png", "", None, "failed", "not_found", "no such file")
    with tempfile.TemporaryDirectory() as folder:
        journal = FeatureJournal(Path(folder) / "f.npz", feature_files.BACKBONE, {"format": 1, "batch_size": 2})
        journal.write(0, photos)
        return {path.name: path.read_bytes() for path in sorted(journal.folder.iterdir())}


def shards() -> list[bytes]:
    return [journals()["shard-000000.parquet"]]


def manifests() -> list[bytes]:
    return [journals()["manifest.json"]]


@functools.cache
def records() -> list[bytes]:
    """Return the record of a search for settings."""
    dataset, config = training()
    with tempfile.TemporaryDirectory() as folder:
        return [tune(dataset, config, Path(folder) / "t.toml", trials=1, device="cpu").record.read_bytes()]


QUESTIONS = (("batch size of a backbone", 16), ("ratio of a precision", 0.5))


@functools.cache
def caches() -> list[bytes]:
    """Return a cache file of micro-benchmarks."""
    kept = os.environ.get("XDG_CACHE_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        for question, answer in QUESTIONS:
            probes.cached([question], lambda answer=answer: answer)
        content = probes.cache_file().read_bytes()
    os.environ.pop("XDG_CACHE_HOME")
    os.environ |= {"XDG_CACHE_HOME": kept} if kept else {}
    return [content]
