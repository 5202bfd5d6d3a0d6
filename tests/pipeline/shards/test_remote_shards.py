"""Shards from and to object storage, over a socket: the same rows as from files, and no failure without a row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from revcd_cli.__main__ import main
from revcd_cli.data.features.files import read_features
from revcd_cli.errors import RevcdError, UsageError
from tests.makers.noise_photos import extract_shards, in_order, make_photos, pack, parts
from tests.makers.s3_server import S3Server
from tests.makers.toy import TINY_BACKBONE

PHOTOS = 20  # in shards of 8, 8 and 4
OUT = "s3://bucket/out/"


@pytest.fixture
def photos(tmp_path: Path, s3: S3Server) -> Path:
    """Return a folder of photos that are in the bucket, too."""
    folder = make_photos(tmp_path / "photos", PHOTOS, broken=(5,))
    for path in in_order(folder):
        s3.objects[f"bucket/photos/{path.name}"] = path.read_bytes()
    return folder


def stored(s3: S3Server, folder: str = "bucket/out/") -> dict[str, bytes]:
    return {key.removeprefix(folder): data for key, data in s3.objects.items() if key.startswith(f"{folder}part-")}


@pytest.mark.parametrize("name", ["photos", "a.tar", "a.tar.gz", "a.zip", "a.parquet"])
def test_rows_from_a_bucket_are_those_of_files(s3: S3Server, photos: Path, weights: Path, tmp_path: Path, name: str):
    local = photos
    if name != "photos":
        local = pack(photos, tmp_path / name)
        s3.objects[f"bucket/{name}"] = local.read_bytes()
    extract_shards(weights, [str(local)], tmp_path / "f", key="key")
    extract_shards(weights, [f"s3://bucket/{name}"], OUT, key="key")
    here, there = read_features(tmp_path / "f"), read_features(OUT)
    assert [Path(path).name for path in here.paths] == [Path(path).name for path in there.paths]
    assert here.reason == there.reason and here.sha256 == there.sha256
    np.testing.assert_array_equal(here.features, there.features)
    assert stored(s3).keys() == parts(tmp_path / "f").keys()


@pytest.mark.slow
def test_failures_that_a_repetition_cures_leave_no_trace(s3: S3Server, photos: Path, weights: Path, tmp_path: Path):
    s3.objects["bucket/a.tar"] = pack(photos, tmp_path / "a.tar").read_bytes()
    inputs = ["s3://bucket/photos", "s3://bucket/a.tar"]
    extract_shards(weights, inputs, OUT)
    s3.fault = lambda method, key, count: count == 1 or (count == 2 and key.endswith(".png"))  # of each kind of request
    s3.requests.clear()
    summary = extract_shards(weights, inputs, "s3://bucket/again/")
    assert summary.tally.reasons == {"empty_file": 2}
    assert stored(s3, "bucket/again/") == stored(s3)


def test_a_photo_that_the_network_lost_is_a_row_and_is_read_again(s3: S3Server, photos: Path, weights: Path):
    s3.fault = lambda method, key, count: key.endswith("/11.png")
    summary = extract_shards(weights, ["s3://bucket/photos"], OUT)
    assert (summary.tally.reasons, summary.exit_code) == ({"remote_error": 1, "empty_file": 1}, 3)
    assert read_features(OUT).reason[11] == "remote_error"
    s3.fault = lambda method, key, count: False
    again = extract_shards(weights, ["s3://bucket/photos"], OUT)
    assert (again.tally.reasons, again.reused) == ({"empty_file": 1}, PHOTOS - 8)


def test_an_archive_that_the_network_lost_is_a_row(s3: S3Server, photos: Path, weights: Path, tmp_path: Path):
    s3.objects["bucket/a.tar"] = pack(photos, tmp_path / "a.tar").read_bytes()
    s3.fault = lambda method, key, count: method == "GET" and key.endswith("a.tar")
    summary = extract_shards(weights, ["s3://bucket/photos", "s3://bucket/a.tar"], OUT)
    assert summary.tally.reasons == {"remote_error": 1, "empty_file": 1}


def test_an_object_that_was_replaced_since_the_listing_is_a_failure(s3: S3Server, photos: Path, weights: Path):
    extract_shards(weights, ["s3://bucket/photos"], OUT, list_only=True)
    s3.objects["bucket/photos/3.png"] += b"more"
    del s3.objects["bucket/photos/4.png"]
    summary = extract_shards(weights, ["s3://bucket/photos"], OUT)
    assert summary.tally.reasons == {"changed": 1, "vanished": 1, "empty_file": 1}


@pytest.mark.slow
def test_a_part_that_cannot_be_written_ends_the_run_and_the_rest_follows_later(
    s3: S3Server, photos: Path, weights: Path
):
    s3.fault = lambda method, key, count: method == "PUT" and "part-000001" in key
    with pytest.raises(RevcdError, match=r"part-000001\.parquet: cannot be written"):
        extract_shards(weights, ["s3://bucket/photos"], OUT)
    assert set(stored(s3)) == {"part-000000.parquet"}
    s3.fault = lambda method, key, count: False
    assert extract_shards(weights, ["s3://bucket/photos"], OUT).reused == 8


@pytest.mark.slow
def test_the_parts_of_an_array_job_need_a_listing_in_the_bucket(
    s3: S3Server, photos: Path, weights: Path, tmp_path: Path
):
    with pytest.raises(UsageError, match="no listing yet") as refused:
        extract_shards(weights, ["s3://bucket/photos"], OUT, part=(1, 2))
    assert "--list-only" in refused.value.hint
    extract_shards(weights, ["s3://bucket/photos"], OUT, list_only=True)
    for number in (1, 2):
        extract_shards(weights, ["s3://bucket/photos"], OUT, part=(number, 2))
    extract_shards(weights, ["s3://bucket/photos"], "s3://bucket/whole/")
    assert stored(s3) == stored(s3, "bucket/whole/")


def test_nothing_secret_is_written(s3: S3Server, photos: Path, weights: Path):
    extract_shards(weights, ["s3://bucket/photos"], OUT)
    written = [data for key, data in s3.objects.items() if key.startswith("bucket/out/")]
    assert len(written) >= 5
    assert not any(b"secret-of-the-test" in data or b"127.0.0.1" in data for data in written)


def test_the_command_reads_and_writes_a_bucket(
    s3: S3Server, photos: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    options = ["--backbone", TINY_BACKBONE, "--weights", str(weights), "--batch-size", "4", "--precision", "float32"]
    assert main(["extract", "s3://bucket/photos", "-o", OUT, "--shard-rows", "8", *options]) == 3
    assert "s3://bucket/photos/5.png: empty_file" in capsys.readouterr().err
    assert main(["extract", "s3://bucket/photos/*.png", "-o", str(tmp_path / "f.parquet"), *options]) == 3
    np.testing.assert_array_equal(read_features(OUT).features, read_features(tmp_path / "f.parquet").features)
    assert main(["extract", "s3://bucket/photos", "-o", "s3://bucket/f.parquet", *options]) == 2
    assert main(["extract", "s3://bucket/nothing", "-o", OUT + "x/", *options]) == 2
