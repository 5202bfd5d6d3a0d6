"""A folder of shards: the same features as a single file, resumable, and computed in parts."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from revcd_cli.__main__ import main
from revcd_cli.data.features.files import read_features
from revcd_cli.errors import InputFileError, RevcdError, UsageError
from revcd_cli.pipeline.extract.extract import extract
from revcd_cli.pipeline.shards.marks import Marks
from revcd_cli.pipeline.shards.run import Progress, parse_part
from revcd_cli.system.files import OutputInUse, exclusive
from revcd_cli.system.storage_folder import StorageFolder
from tests.makers.noise_photos import extract_shards, make_photos, pack, parts, save_noise, tiny_job
from tests.makers.toy import TINY_BACKBONE

PHOTOS = 30  # in shards of 8, 8, 8 and 6


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos", PHOTOS, broken=(20,))


@pytest.fixture
def whole(weights: Path, photos: Path, tmp_path: Path) -> Path:
    """Return the folder of an uninterrupted run."""
    extract_shards(weights, [str(photos)], tmp_path / "whole")
    return tmp_path / "whole"


class Stop(BaseException):  # as KeyboardInterrupt is one
    pass


def stop_at(photo: int):
    def stop(state: Progress) -> None:
        if state.photos == photo:
            raise Stop

    return stop


def test_the_rows_are_those_of_a_single_file(whole: Path, weights: Path, photos: Path, tmp_path: Path):
    file = tmp_path / "f.parquet"
    extract([str(photos)], file, backbone=TINY_BACKBONE, weights=weights, batch_size=4, precision="float32")
    single, shards = read_features(file), read_features(whole)
    for name in ("paths", "status", "reason", "sha256", "backbone"):
        assert getattr(single, name) == getattr(shards, name)
    np.testing.assert_array_equal(single.features, shards.features)


@pytest.mark.parametrize("at", [1, 8, 13, 29])
def test_an_interrupted_run_goes_on_and_gives_the_same_bytes(
    whole: Path, weights: Path, photos: Path, tmp_path: Path, at: int
):
    with pytest.raises(Stop):
        extract_shards(weights, [str(photos)], tmp_path / "f", on_progress=stop_at(at))
    assert len(parts(tmp_path / "f")) == (at - 1) // 8
    summary = extract_shards(weights, [str(photos)], tmp_path / "f")
    assert parts(tmp_path / "f") == parts(whole)
    assert (summary.reused, summary.tally.photos, summary.tally.failed) == ((at - 1) // 8 * 8, PHOTOS, 1)
    assert not list((tmp_path / "f").glob("_started*"))


def test_the_parts_of_an_array_job_together_give_the_same_bytes(
    whole: Path, weights: Path, photos: Path, tmp_path: Path
):
    counts = []
    for number in (3, 1, 2):
        summary = extract_shards(weights, [str(photos)], tmp_path / "f", part=(number, 3))
        counts.append((summary.assigned, summary.tally.photos))
    assert parts(tmp_path / "f") == parts(whole)
    assert counts == [(1, 8), (2, 14), (1, 8)]


def test_a_part_waits_while_another_one_lists_the_inputs(weights: Path, photos: Path, tmp_path: Path):
    (tmp_path / "f").mkdir()
    release, held = threading.Event(), threading.Event()

    def hold() -> None:
        with exclusive(tmp_path / "f" / "_manifest.json"):
            held.set()
            release.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(60)
    threading.Timer(0.5, release.set).start()
    summary = extract_shards(weights, [str(photos)], tmp_path / "f", part=(1, 2))
    holder.join(60)
    assert release.is_set() and summary.tally.photos == 16


def test_a_second_run_of_the_same_part_is_refused(weights: Path, photos: Path, tmp_path: Path):
    with exclusive(tmp_path / "f" / "_part-1-of-2"), pytest.raises(OutputInUse):
        extract_shards(weights, [str(photos)], tmp_path / "f", part=(1, 2))
    assert extract_shards(weights, [str(photos)], tmp_path / "f", part=(2, 2)).assigned == 2


def test_more_parts_than_shards_leave_some_without_work(weights: Path, photos: Path, tmp_path: Path):
    summary = extract_shards(weights, [str(photos)], tmp_path / "f", part=(6, 6))
    assert (summary.assigned, summary.exit_code) == (0, 0)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip", "a.parquet"])
def test_archives_and_tables_have_the_features_of_their_photos(
    whole: Path, weights: Path, photos: Path, tmp_path: Path, name: str
):
    archive = pack(photos, tmp_path / name)
    extract_shards(weights, [str(archive)], tmp_path / "f", key="key")
    expected, found = read_features(whole), read_features(tmp_path / "f")
    assert found.paths == tuple(f"{archive}/{Path(path).name}" for path in expected.paths)
    assert found.reason == expected.reason and found.sha256 == expected.sha256
    np.testing.assert_allclose(found.features, expected.features, rtol=1e-5, atol=1e-6)
    assert len(parts(tmp_path / "f")) == (4 if name.endswith("parquet") else 1)


def test_an_incomplete_folder_is_not_read(weights: Path, photos: Path, tmp_path: Path):
    extract_shards(weights, [str(photos)], tmp_path / "f", part=(1, 2))
    with pytest.raises(InputFileError, match=r"2 of 4 parts are missing: part-000001.parquet, part-000003.parquet"):
        read_features(tmp_path / "f")


def test_a_part_of_other_settings_is_neither_read_nor_kept(whole: Path, weights: Path, photos: Path, tmp_path: Path):
    other = tiny_job(weights, precision="float32", batch_size=3)
    extract_shards(weights, [str(photos)], tmp_path / "other", job=other)
    expected = parts(whole)
    (whole / "part-000001.parquet").write_bytes((tmp_path / "other" / "part-000001.parquet").read_bytes())
    with pytest.raises(InputFileError, match="other settings"):
        read_features(whole)
    assert extract_shards(weights, [str(photos)], whole).reused == PHOTOS - 8
    assert parts(whole) == expected


def test_a_truncated_part_is_computed_again(whole: Path, weights: Path, photos: Path):
    expected, part = parts(whole), whole / "part-000002.parquet"
    part.write_bytes(part.read_bytes()[:-50])
    extract_shards(weights, [str(photos)], whole)
    assert parts(whole) == expected


@pytest.mark.parametrize(
    ("options", "named"),
    [({"batch_size": 3}, "batch_size was 4 and is 3"), ({"precision": "bfloat16"}, "precision was 'float32'")],
)
def test_other_settings_are_refused_until_fresh(
    whole: Path, weights: Path, photos: Path, options: dict[str, object], named: str
):
    job = tiny_job(weights, **{"precision": "float32", **options})
    with pytest.raises(UsageError, match=named) as refused:
        extract_shards(weights, [str(photos)], whole, job=job)
    assert "--fresh" in refused.value.hint
    (whole / "notes.txt").write_text("mine")
    assert extract_shards(weights, [str(photos)], whole, job=job, fresh=True).reused == 0
    assert (whole / "notes.txt").exists()


def test_automatic_choices_are_those_of_the_first_run(whole: Path, weights: Path, photos: Path):
    (whole / "part-000001.parquet").unlink()
    job = tiny_job(weights, batch_size=None, precision="auto", device="auto")
    assert extract_shards(weights, [str(photos)], whole, job=job).reused == PHOTOS - 8
    settings = json.loads((whole / "_manifest.json").read_text())["settings"]
    assert settings["batch_size"] == 4 and settings["backbone"]["precision"] == "float32"


def test_photos_that_changed_or_vanished_since_the_listing_are_failures(weights: Path, photos: Path, tmp_path: Path):
    extract_shards(weights, [str(photos)], tmp_path / "f", list_only=True)
    assert not parts(tmp_path / "f")
    (photos / "3.png").unlink()
    save_noise(photos / "4.png", seed=99)
    (photos / "4.png").write_bytes((photos / "4.png").read_bytes() + b"more")
    save_noise(photos / "100.png", seed=100)
    summary = extract_shards(weights, [str(photos)], tmp_path / "f")
    assert summary.tally.reasons == {"vanished": 1, "changed": 1, "empty_file": 1}
    assert summary.tally.photos == PHOTOS


def test_inputs_that_are_relative_to_another_folder_are_refused(
    weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    extract_shards(weights, ["photos"], tmp_path / "f", part=(1, 2))
    monkeypatch.chdir(photos)
    with pytest.raises(UsageError, match="relative to"):
        extract_shards(weights, ["photos"], tmp_path / "f", part=(2, 2))


def test_a_shard_with_three_marks_is_left_out_once(whole: Path, weights: Path, photos: Path):
    (whole / "part-000001.parquet").unlink()
    for count in (1, 2, 3):
        (whole / f"_started-000001-{count}").write_bytes(b"")
    lost: list[int] = []
    summary = extract_shards(weights, [str(photos)], whole, on_lost=lambda number, reason: lost.append(number))
    assert (lost, summary.exit_code, summary.tally.photos) == ([1], 3, PHOTOS - 8)
    assert Marks(StorageFolder(f"{whole}/")).count(1) == 0
    assert extract_shards(weights, [str(photos)], whole).lost == {}


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/2"])
def test_what_is_no_part_is_refused(text: str):
    with pytest.raises(UsageError, match="no part"):
        parse_part(text)


def test_a_folder_without_photos_is_an_error(weights: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RevcdError, match="no photo found"):
        extract_shards(weights, [str(tmp_path / "empty")], tmp_path / "f")


def test_the_command_has_the_exit_codes_of_its_photos(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    make_photos(tmp_path / "good", 5)
    make_photos(tmp_path / "mixed", 5, broken=(2,))
    make_photos(tmp_path / "bad", 2, broken=(0, 1))
    options = ["--backbone", TINY_BACKBONE, "--weights", str(weights), "--batch-size", "4", "--shard-rows", "2"]
    for name, code in (("good", 0), ("mixed", 3), ("bad", 1)):
        command = ["extract", str(tmp_path / name), "-o", f"{tmp_path / name}-out/", *options]
        assert main(command) == code
        assert main(command) == code
    assert "2.png: empty_file (has no bytes)" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--part", "1/2"], ["--shard-rows", "8"], ["--engine", "ray"], ["--list-only"]])
def test_options_of_folders_are_refused_for_a_file(photos: Path, tmp_path: Path, option: list[str]):
    assert main(["extract", str(photos), "-o", str(tmp_path / "f.parquet"), *option]) == 2
