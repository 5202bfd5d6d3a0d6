"""Folders of predictions: the rows of a single file, from photos and from folders of features."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from revcd_cli.__main__ import main
from revcd_cli.data.features.files import read_features
from tests.cli.conftest import Trained
from tests.makers.noise_photos import parts
from tests.makers.s3_server import S3Server, s3

__all__ = ["s3"]


def rows_of(*files: Path) -> list[tuple]:
    tables = [pq.read_table(file) for file in files]
    return [tuple(row.values()) for table in tables for row in table.to_pylist()]


def run(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--wide", "--exif")])
def test_the_rows_are_those_of_a_single_file(trained: Trained, tmp_path: Path, more: tuple[str, ...]):
    options = ("--model", trained.model, "--batch-size", "8", "--precision", "float32", "--top-k", "3", *more)
    assert run("predict", trained.folder, "-o", tmp_path / "p.parquet", *options) == 0
    assert run("predict", trained.folder, "-o", f"{tmp_path}/p/", "--shard-rows", "8", *options) == 0
    there = sorted((tmp_path / "p").glob("part-*"))
    assert len(there) == 5 and rows_of(*there) == rows_of(tmp_path / "p.parquet")
    about = [json.loads(pq.read_schema(file).metadata[b"revcd"]) for file in (there[0], tmp_path / "p.parquet")]
    assert about[0] == about[1]


@pytest.mark.slow
def test_a_folder_of_features_gives_the_rows_of_its_photos(
    trained: Trained, tmp_path: Path, s3: S3Server, capsys: pytest.CaptureFixture
):
    options = ("--batch-size", "8", "--shard-rows", "8", "--precision", "float32")
    extraction = ("extract", trained.folder, "--backbone", "embedded", *options)
    assert run(*extraction, "-o", f"{tmp_path}/f/") == 0
    assert run(*extraction, "-o", "s3://bucket/f/") == 0
    model = ("--model", trained.model)
    assert run("predict", "--features", f"{tmp_path}/f/", "-o", tmp_path / "file.parquet", *model) == 0
    assert run("predict", "--features", f"{tmp_path}/f/", "-o", f"{tmp_path}/folder/", *model) == 0
    assert run("predict", "--features", "s3://bucket/f/", "-o", f"{tmp_path}/from_bucket/", *model) == 0
    expected = rows_of(tmp_path / "file.parquet")
    assert rows_of(*sorted((tmp_path / "folder").glob("part-*"))) == expected
    assert rows_of(*sorted((tmp_path / "from_bucket").glob("part-*"))) == expected
    assert len(expected) == 5 * len(read_features(tmp_path / "f").paths)

    (tmp_path / "f" / "part-000001.parquet").unlink()
    assert run("predict", "--features", f"{tmp_path}/f/", "-o", f"{tmp_path}/other/", *model) == 4
    assert "1 of 5 parts are missing" in capsys.readouterr().err


@pytest.mark.slow
def test_train_and_evaluate_read_a_folder_of_features(trained: Trained, dataset_copy: Path, tmp_path: Path):
    # Paths in the folder begin with that of the data set; both commands match them to images.csv.
    assert run("extract", dataset_copy, "-o", f"{tmp_path}/f/", "--backbone", "embedded", "--shard-rows", "8") == 0
    data = ("--dataset", dataset_copy, "--features", f"{tmp_path}/f/")
    assert run("evaluate", *data, "--model", trained.model) == 0
    options = [option for option in trained.options if option not in ("--backbone", "embedded")]
    assert run("train", *data, "-o", tmp_path / "m.safetensors", *options) == 0


def test_other_candidates_are_other_settings(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture):
    options = ("--model", trained.model, "-o", f"{tmp_path}/p/", "--batch-size", "8")
    photos = trained.folder / "red"
    assert run("predict", photos, *options) == 0
    before = parts(tmp_path / "p")
    assert run("predict", photos, *options, "--only", "red,green") == 2
    assert "candidates_sha256" in capsys.readouterr().err and parts(tmp_path / "p") == before
    assert run("predict", photos, *options, "--only", "red,green", "--fresh") == 0
    assert {row[2] for row in rows_of(tmp_path / "p" / "part-000000.parquet")} == {"red", "green"}


@pytest.mark.parametrize("option", [("--excel",), ("--format", "csv")])
def test_forms_of_a_single_file_are_refused(trained: Trained, tmp_path: Path, option: tuple[str, ...]):
    assert run("predict", trained.folder, "--model", trained.model, "-o", f"{tmp_path}/p/", *option) == 2
