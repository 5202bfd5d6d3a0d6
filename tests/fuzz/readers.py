"""The functions under fuzzing: each writes an input into an empty folder and reads it with revcd's own reader.

A reader returns its result, returns an `ImageFailure` or raises a `RevcdError`. It asserts the properties of a result
that other code relies on.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from revcd_cli.backbones.weights import load_weights, read_state_dict
from revcd_cli.checkpoint.model_file import load_checkpoint, read_class_table
from revcd_cli.data.classes.attributes import align, read_attribute_csv
from revcd_cli.data.classes.scale import column_findings, rescale_rows
from revcd_cli.data.classes.table_findings import table_findings
from revcd_cli.data.datasets.benchmarks import read_benchmark
from revcd_cli.data.datasets.images_csv import read_images_csv
from revcd_cli.data.features.files import read_features
from revcd_cli.data.photos.archives import archive_sources
from revcd_cli.data.photos.image_source import failed_source
from revcd_cli.data.photos.images import MAX_ASPECT, MAX_PIXELS, ImageFailure, decode_rgb
from revcd_cli.data.photos.sources import iter_sources
from revcd_cli.pipeline.extract.journal import FeatureJournal
from revcd_cli.pipeline.journal import partial_folder, unfinished_settings
from revcd_cli.pipeline.settings import resolve_settings, to_toml
from revcd_cli.pipeline.train.state import state_path
from revcd_cli.pipeline.train.train import train
from revcd_cli.pipeline.tune import tune
from revcd_cli.system import probes
from tests.makers import feature_files

from . import samples

Reader = Callable[[bytes, Path, int], object]  # the file, an empty folder, the input's number


def photo(data: bytes, folder: Path, number: int) -> object:
    least_side = (None, 16)[number % 2]
    outcome = decode_rgb(data, least_side=least_side)
    if isinstance(outcome, Image.Image):
        outcome.load()
        longer, shorter = max(outcome.size), min(outcome.size)
        assert outcome.mode == "RGB" and longer * shorter <= MAX_PIXELS and longer <= MAX_ASPECT * shorter
        assert set(outcome.info) == {"notes"} and set(outcome.info["notes"]) <= {"pages", "range", "raw"}
    return outcome


def archive(suffix: str) -> Reader:
    def read(data: bytes, folder: Path, number: int) -> object:
        path = folder / f"a{suffix}"
        path.write_bytes(data)
        taken, failure = set(), None
        for source in islice(archive_sources(str(path), "a"), 1000):
            assert source.path not in taken, "a path occurs twice"
            taken.add(source.path)
            content = source.read()
            outcome = content if isinstance(content, ImageFailure) else decode_rgb(content)
            failure = outcome if isinstance(outcome, ImageFailure) else failure
        return failure or len(taken)

    return read


def class_table(data: bytes, folder: Path, number: int) -> object:
    path = folder / "attributes.csv"
    path.write_bytes(data)
    table = read_attribute_csv(path, missing=("error", "mean")[number % 2])
    assert table.values.shape == (len(table.names), len(table.attributes)) and np.isfinite(table.values).all()
    table_findings(table, table)
    column_findings(table)
    rescale_rows(table)
    align(table, [f"trait {k}" for k in range(samples.ATTRIBUTES)])
    return table


def photo_table(data: bytes, folder: Path, number: int) -> object:
    (folder / "attributes.csv").write_bytes(samples.class_tables()[0])
    (folder / "images.csv").write_bytes(data)
    classes = read_attribute_csv(folder / "attributes.csv")
    return read_images_csv(folder / "images.csv", classes, images_root=folder)


def feature_file(suffix: str) -> Reader:
    def read(data: bytes, folder: Path, number: int) -> object:
        path = folder / f"f{suffix}"
        path.write_bytes(data)
        found = read_features(path)
        assert np.isfinite(found.features[found.ok]).all()
        return found

    return read


def benchmark(name: str) -> Reader:
    """Return a reader of a benchmark of which the file `name` is the input and the other one is valid."""

    def read(data: bytes, folder: Path, number: int) -> object:
        (folder / "att_splits.mat").write_bytes(samples.split_mats()[0])
        (folder / "res101.mat").write_bytes(samples.feature_mats()[0])
        (folder / name).write_bytes(data)
        return read_benchmark(folder, name="fuzzed")

    return read


def model(data: bytes, folder: Path, number: int) -> object:
    path = folder / "m.safetensors"
    path.write_bytes(data)
    found = load_checkpoint(path)
    assert read_class_table(path).names == found.classes.names
    for rule in ("evidence", "prototype", "joint", "cosine"):
        found.calibration_for(rule)
    return found


def weights(data: bytes, folder: Path, number: int) -> object:
    path = folder / "w"
    path.write_bytes(data)
    state = read_state_dict(path)
    load_weights(samples.network(), state, path)
    return state


def config(data: bytes, folder: Path, number: int) -> object:
    path = folder / "c.toml"
    path.write_bytes(data)
    found = resolve_settings(path).config
    (folder / "again.toml").write_text(to_toml(found), encoding="utf-8")
    assert resolve_settings(folder / "again.toml").config == found
    return found


def assignments(data: bytes, folder: Path, number: int) -> object:
    """Give each line of a configuration as `--set`."""
    lines = data.decode("utf-8", "replace").splitlines()
    section, given = "train", []
    for line in lines:
        if line.startswith("["):
            section = line.strip("[] ")
        elif line:
            given.append(f"{section}.{line}")
    return resolve_settings(None, given)


def path_list(data: bytes, folder: Path, number: int) -> object:
    for name, content in samples._members():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "z.zip").write_bytes(samples.zips()[0])
    sources = iter_sources(["-"], stdin=io.BytesIO(data), null_separated=bool(number % 2))
    taken = set()
    for source in islice(sources, 50):
        assert source.path not in taken, "a path occurs twice"
        taken.add(source.path)
        source.read()
    return len(taken)


def state(data: bytes, folder: Path, number: int) -> object:
    """Resume an interrupted training."""
    output = folder / "m.safetensors"
    state_path(output).write_bytes(data)
    dataset, settings = samples.training()
    return train(dataset, settings, output, device="cpu", resume=True)


def journal(name: str) -> Reader:
    """Return a reader that resumes an interrupted extraction, up to the list of photos to compute again."""

    def read(data: bytes, folder: Path, number: int) -> object:
        output = folder / "f.npz"
        partial_folder(output).mkdir()
        for each, content in samples.journals().items():
            (partial_folder(output) / each).write_bytes(data if each == name else content)
        earlier = unfinished_settings(output)
        for key in ("batch_size", "backbone"):
            earlier.get(key)
        opened = FeatureJournal(output, feature_files.BACKBONE, {"format": 1, "batch_size": 2})
        opened.open(fresh=False)
        sources = [failed_source(f"{k}.png", ImageFailure("not_found", "no such file")) for k in range(3)]
        opened.survey(sources)
        list(opened.unfinished(sources, deque()))
        return opened.load(0)

    return read


def record(data: bytes, folder: Path, number: int) -> object:
    """Resume a search for settings."""
    dataset, settings = samples.training()
    (folder / "t.jsonl").write_bytes(data)
    return tune.tune(dataset, settings, folder / "t.toml", trials=1, device="cpu", resume=True)


def cache(data: bytes, folder: Path, number: int) -> object:
    """Read cached micro-benchmarks of this machine."""
    probes.cache_file().parent.mkdir(parents=True, exist_ok=True)
    probes.cache_file().write_bytes(data)
    return [probes.cached([question], lambda answer=answer: answer) + 1 for question, answer in samples.QUESTIONS]
