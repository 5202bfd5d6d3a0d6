"""An interrupted extraction resumes, and its output has the same bytes as that of an uninterrupted one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from revcd_cli.data.features.files import read_features
from revcd_cli.data.photos.sources import ImageSource
from revcd_cli.errors import UsageError
from revcd_cli.pipeline import journal
from revcd_cli.pipeline.extract.extract import ExtractSummary, extract

TINY = "test_resnet.r160_in1k"
ROWS, PHOTOS = 8, 30  # shards of 8, 8, 8 and 6 photos

# An extraction that kills itself: the moment is exact only from within the process.
KILLED = """
import os, signal, sys
from revcd_cli.pipeline import journal as shards
from revcd_cli.pipeline.extract import extract as extraction, journal

photos, output, weights, moment = sys.argv[1:]
shards.SHARD_ROWS = {rows}
die = lambda: os.kill(os.getpid(), signal.SIGKILL)

class Dying:
    def __init__(self, blocks): self.blocks = blocks
    def __iter__(self):
        for number, block in enumerate(self.blocks):
            yield block
            if number == 1: die()

if moment == "merging":
    write = extraction.write_features
    extraction.write_features = lambda path, blocks: write(path, Dying(blocks))
if moment == "writing a shard":
    write_tables = journal.write_tables
    journal.write_tables = lambda stream, tables: (write_tables(stream, tables), stream.flush(), die())
extraction.extract([photos], output, backbone="{backbone}", weights=weights, batch_size=3,
                   on_progress=lambda done, total, failed: die() if moment == str(done) else None)
"""


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SHARD_ROWS", ROWS)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(PHOTOS):
        save_noise(folder / f"{number}.png", seed=number)
    (folder / "20.png").write_bytes(b"")  # one that fails, in the third shard
    return folder


def save_noise(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def run(photos: Path, weights: Path) -> Callable[..., ExtractSummary]:
    def run(output: Path, **options: object) -> ExtractSummary:
        options = {"backbone": TINY, "weights": weights, "batch_size": 3, **options}
        return extract(options.pop("inputs", [str(photos)]), output, **options)

    return run


class Stop(Exception):
    pass


def interrupt(run: Callable[..., ExtractSummary], output: Path, at: int, error: type[BaseException] = Stop) -> None:
    """Run until `at` photos are done, then raise the error."""

    def stop(done: int, total: int | None, failed: int) -> None:
        if done == at:
            raise error

    with pytest.raises(error):
        run(output, on_progress=stop)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the photos that are read, in order, from now on."""
    names: list[str] = []
    original = ImageSource.read

    def recorded(self: ImageSource) -> object:
        names.append(Path(self.path).name)
        return original(self)

    monkeypatch.setattr(ImageSource, "read", recorded)
    return names


def numbers(*ranges: range) -> list[str]:
    return [f"{number}.png" for part in ranges for number in part]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["3", "19", "writing a shard", "merging"])
def test_killed_and_run_again_gives_the_same_bytes(
    run: Callable[..., ExtractSummary], photos: Path, weights: Path, tmp_path: Path, moment: str
) -> None:
    whole, output = tmp_path / "whole.npz", tmp_path / "killed.npz"
    run(whole)
    script = KILLED.format(rows=ROWS, backbone=TINY)
    command = [sys.executable, "-c", script, str(photos), str(output), str(weights), moment]
    killed = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not output.exists()
    summary = run(output)
    assert output.read_bytes() == whole.read_bytes()
    assert summary.reused == {"3": 0, "19": 16, "writing a shard": 0, "merging": PHOTOS}[moment]
    assert not (tmp_path / "killed.npz.partial").exists()


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
def test_finished_shards_are_kept_and_only_the_rest_is_read(
    run: Callable[..., ExtractSummary], tmp_path: Path, read: list[str], error: type[BaseException]
) -> None:
    interrupt(run, tmp_path / "f.parquet", at=13, error=error)
    del read[:]
    reported: list[tuple[int, int | None, int]] = []
    notes: list[str] = []
    summary = run(tmp_path / "f.parquet", on_progress=lambda *now: reported.append(now), on_note=notes.append)
    assert read == numbers(range(ROWS, PHOTOS))
    assert (summary.reused, summary.done, summary.failed) == (ROWS, PHOTOS - 1, 1)
    assert reported[0] == (ROWS, PHOTOS, 0)
    assert any(f"{ROWS} photos are finished" in note for note in notes)


def test_an_edited_photo_is_read_again_with_its_shard(
    run: Callable[..., ExtractSummary], photos: Path, tmp_path: Path, read: list[str]
) -> None:
    interrupt(run, tmp_path / "f.parquet", at=17)
    save_noise(photos / "2.png", seed=99)
    os.utime(photos / "2.png", ns=(1, 1))  # also if the clock was set back
    del read[:]
    run(tmp_path / "f.parquet")
    assert read == numbers(range(ROWS), range(2 * ROWS, PHOTOS))
    run(tmp_path / "again.parquet")
    assert (tmp_path / "f.parquet").read_bytes() == (tmp_path / "again.parquet").read_bytes()


def test_added_and_removed_photos_never_get_the_features_of_others(
    run: Callable[..., ExtractSummary], photos: Path, tmp_path: Path
) -> None:
    interrupt(run, tmp_path / "f.parquet", at=25)
    (photos / "4.png").unlink()
    save_noise(photos / "100.png", seed=100)
    run(tmp_path / "f.parquet")
    run(tmp_path / "again.parquet")
    assert (tmp_path / "f.parquet").read_bytes() == (tmp_path / "again.parquet").read_bytes()


def test_photos_that_were_deleted_leave_no_rows(
    run: Callable[..., ExtractSummary], photos: Path, tmp_path: Path
) -> None:
    interrupt(run, tmp_path / "f.parquet", at=25)
    for number in range(ROWS, PHOTOS):
        (photos / f"{number}.png").unlink(missing_ok=True)
    assert run(tmp_path / "f.parquet").reused == ROWS
    assert len(read_features(tmp_path / "f.parquet")) == ROWS
    assert not (tmp_path / "f.parquet.partial").exists()


def test_a_failed_photo_is_tried_again_and_its_shard_is_kept_while_it_fails(
    run: Callable[..., ExtractSummary], tmp_path: Path, read: list[str]
) -> None:
    interrupt(run, tmp_path / "f.parquet", at=25)
    del read[:]
    summary = run(tmp_path / "f.parquet")
    assert read == ["20.png", *numbers(range(3 * ROWS, PHOTOS))]
    assert summary.failures[0][1:] == ("empty_file", "has no bytes") and summary.reused == 3 * ROWS


def test_a_failed_photo_that_can_be_read_now_gets_its_feature(
    run: Callable[..., ExtractSummary], photos: Path, tmp_path: Path
) -> None:
    times = (photos / "20.png").stat()
    interrupt(run, tmp_path / "f.parquet", at=25)
    save_noise(photos / "20.png", seed=20)
    os.utime(photos / "20.png", ns=(times.st_atime_ns, times.st_mtime_ns))
    summary = run(tmp_path / "f.parquet")
    assert (summary.failed, summary.reused) == (0, 2 * ROWS)
    assert read_features(tmp_path / "f.parquet").ok.all()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"batch_size": 4}, "batch_size was 3 and is 4"),
        ({"precision": "float32"}, "precision"),
        ({"inputs": ["PHOTOS", "PHOTOS/1.png"]}, "inputs"),
        ({"backbone": "embedded", "weights": None}, "backbone.tag"),
    ],
)
def test_other_settings_are_refused_with_the_difference_and_both_remedies(
    run: Callable[..., ExtractSummary], photos: Path, tmp_path: Path, options: dict, named: str
) -> None:
    with pytest.raises(Stop):
        run(tmp_path / "f.parquet", precision="bfloat16", on_progress=stop_after_a_shard)
    kept = sorted((tmp_path / "f.parquet.partial").iterdir())
    if "inputs" in options:
        options = {"inputs": [text.replace("PHOTOS", str(photos)) for text in options["inputs"]]}
    with pytest.raises(UsageError, match=named) as refused:
        run(tmp_path / "f.parquet", **{"precision": "bfloat16", **options})
    assert "--fresh" in refused.value.hint and "another output" in refused.value.hint
    assert sorted((tmp_path / "f.parquet.partial").iterdir()) == kept


def stop_after_a_shard(done: int, total: int | None, failed: int) -> None:
    if done == ROWS + 1:
        raise Stop


def test_automatic_choices_are_kept_when_resuming(run: Callable[..., ExtractSummary], tmp_path: Path) -> None:
    interrupt(run, tmp_path / "f.parquet", at=17)  # in batches of 3
    manifest = json.loads((tmp_path / "f.parquet.partial" / "manifest.json").read_text())
    with pytest.MonkeyPatch.context() as patch:
        other = {"bfloat16": 1.0}.get(manifest["backbone"]["precision"], 2.0)  # of a micro-benchmark
        patch.setattr("revcd_cli.system.probes.cached", lambda question, find_out: other)
        summary = run(tmp_path / "f.parquet", batch_size=None)
    assert summary.reused == 2 * ROWS
    run(tmp_path / "again.parquet")
    assert (tmp_path / "f.parquet").read_bytes() == (tmp_path / "again.parquet").read_bytes()


def test_fresh_restarts_with_other_settings(
    run: Callable[..., ExtractSummary], tmp_path: Path, read: list[str]
) -> None:
    interrupt(run, tmp_path / "f.parquet", at=25)
    del read[:]
    assert run(tmp_path / "f.parquet", batch_size=5, fresh=True).reused == 0
    assert read == numbers(range(PHOTOS))


def truncate(shards: list[Path]) -> None:
    shards[1].write_bytes(shards[1].read_bytes()[:-100])


def delete(shards: list[Path]) -> None:
    shards[1].unlink()


def replace(shards: list[Path]) -> None:
    shards[1].write_bytes(shards[0].read_bytes())


@pytest.mark.parametrize("damage", [truncate, delete, replace])
def test_only_a_corrupt_missing_or_misplaced_shard_is_computed_again(
    run: Callable[..., ExtractSummary], tmp_path: Path, read: list[str], damage: Callable[[list[Path]], None]
) -> None:
    run(tmp_path / "whole.parquet")
    interrupt(run, tmp_path / "f.parquet", at=PHOTOS)
    damage(sorted((tmp_path / "f.parquet.partial").glob("shard-*")))
    del read[:]
    run(tmp_path / "f.parquet")
    assert read == ["20.png", *numbers(range(ROWS, 2 * ROWS), range(3 * ROWS, PHOTOS))]
    assert (tmp_path / "f.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_a_shard_of_other_settings_is_never_used(
    run: Callable[..., ExtractSummary], tmp_path: Path, read: list[str]
) -> None:
    interrupt(run, tmp_path / "f.parquet", at=25)
    interrupt(lambda output, **rest: run(output, batch_size=5, **rest), tmp_path / "g.parquet", at=25)
    for name in ("f", "g"):
        assert len(list((tmp_path / f"{name}.parquet.partial").glob("shard-*"))) == 3
    other_shard = tmp_path / "g.parquet.partial" / "shard-000000.parquet"
    other_shard.replace(tmp_path / "f.parquet.partial" / other_shard.name)
    del read[:]
    run(tmp_path / "f.parquet")
    assert read == ["20.png", *numbers(range(ROWS), range(3 * ROWS, PHOTOS))]


@pytest.mark.parametrize("content", [b"", b"{", b"[]"])
def test_an_unreadable_manifest_is_refused_until_fresh(
    run: Callable[..., ExtractSummary], tmp_path: Path, content: bytes
) -> None:
    interrupt(run, tmp_path / "f.parquet", at=25)
    (tmp_path / "f.parquet.partial" / "manifest.json").write_bytes(content)
    with pytest.raises(UsageError, match=r"manifest\.json: cannot be read"):
        run(tmp_path / "f.parquet")
    assert run(tmp_path / "f.parquet", fresh=True).reused == 0


def test_other_files_in_the_folder_are_kept(run: Callable[..., ExtractSummary], tmp_path: Path) -> None:
    interrupt(run, tmp_path / "f.parquet", at=25)
    folder = tmp_path / "f.parquet.partial"
    assert json.loads((folder / "manifest.json").read_text())["batch_size"] == 3
    (folder / "notes.txt").write_text("mine")
    (folder / ".revcd-left.tmp").write_bytes(b"of a killed run")
    run(tmp_path / "f.parquet")
    assert list(folder.iterdir()) == [folder / "notes.txt"]


def test_the_extraction_of_a_list_on_standard_input_resumes(
    run: Callable[..., ExtractSummary], photos: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{photos}/{number}.png\n" for number in range(PHOTOS)))

    def from_list(output: Path, **options: object) -> ExtractSummary:
        with listed.open() as stream:
            monkeypatch.setattr(sys, "stdin", stream)
            return run(output, inputs=["-"], **options)

    interrupt(from_list, tmp_path / "f.npz", at=13)
    del read[:]
    assert from_list(tmp_path / "f.npz").reused == ROWS
    assert read == numbers(range(ROWS, PHOTOS))


def test_the_extraction_of_a_compressed_tar_resumes(
    run: Callable[..., ExtractSummary], photos: Path, tmp_path: Path, read: list[str]
) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        for number in range(PHOTOS):
            tar.add(photos / f"{number}.png", f"{number}.png")

    def from_tar(output: Path, **options: object) -> ExtractSummary:
        return run(output, inputs=[str(tmp_path / "a.tar.gz")], **options)

    from_tar(tmp_path / "whole.npz")
    interrupt(from_tar, tmp_path / "f.npz", at=25)
    del read[:]
    assert from_tar(tmp_path / "f.npz").reused == 3 * ROWS
    assert read == ["20.png", *numbers(range(3 * ROWS, PHOTOS))]
    assert (tmp_path / "f.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
