"""Cached features of a dataset: extracted once by a real backbone, and never used for other photos."""

from __future__ import annotations

import dataclasses
import os
import threading
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import safetensors.torch
import timm
import torch
from PIL import Image

from revcd_cli.backbones.backbone import load_backbone
from revcd_cli.backbones.program.onednn import lacks_bfloat16
from revcd_cli.checkpoint.model_file import load_checkpoint
from revcd_cli.data.datasets.dataset import Dataset
from revcd_cli.data.datasets.open import open_dataset
from revcd_cli.data.photos.images import decode_rgb
from revcd_cli.errors import InputFileError, RevcdError
from revcd_cli.pipeline.extract.dataset_features import with_features, with_recorded_features
from revcd_cli.pipeline.extract.feature_cache import features_cache
from revcd_cli.system.files import exclusive

CLASSES, PHOTOS = ("lynx", "ox", "pig"), 3
OTHER_TAG = "test_resnet.r160_in1k"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for one test."""
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / "cache" / name))
    return tmp_path / "cache" / "revcd" / "features"


def save_photo(path: Path, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine photos of three classes, and a fourth class without any."""
    root = tmp_path / "zoo"
    for number, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for photo in range(PHOTOS):
            save_photo(root / name / f"{photo}.png", 10 * number + photo)
    (root / "attributes.csv").write_text("class,big,pink\nlynx,0.5,0\nox,1,0.1\npig,0.4,1\nyak,1,0\n")
    return root


@pytest.fixture
def other_weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file(timm.create_model(OTHER_TAG, pretrained=False).state_dict(), path)
    return path


def extracted(folder: Path, **options) -> tuple[Dataset, str]:
    """Return the dataset with features, and the notes of the extraction."""
    notes: list[str] = []
    options = {"backbone": "embedded", "precision": "float32", "on_note": notes.append, **options}
    dataset = with_features(open_dataset(str(folder)), **options)
    return dataset, "\n".join([*notes, *(finding.text for finding in dataset.findings)])


def test_the_default_cache_is_in_the_users_cache_folder(cache: Path):
    assert features_cache() == cache


def test_features_are_those_of_the_photos_in_the_order_of_the_rows(folder: Path):
    dataset, _ = extracted(folder)
    backbone = load_backbone("embedded", precision="float32")
    images = [backbone.transform(decode_rgb((folder / path).read_bytes())) for path in dataset.paths]
    np.testing.assert_allclose(dataset.features, backbone(torch.stack(images)).numpy(), atol=1e-4)
    assert dataset.backbone == backbone.record
    assert dataset.split_sha256 == open_dataset(str(folder)).split_sha256


def test_features_are_extracted_once_with_progress_and_then_read_from_the_cache(folder: Path, cache: Path):
    reported: list[tuple[int, int | None, int]] = []
    first, said = extracted(folder, on_progress=lambda *counts: reported.append(counts))
    assert reported == [(done, 9, 0) for done in range(10)]
    assert "there are already" not in said and "embedded" in said
    (file,) = cache.glob("*.parquet")
    before = file.read_bytes()
    reported.clear()
    again, said = extracted(folder, on_progress=lambda *counts: reported.append(counts))
    assert not reported
    assert f"are cached: {file}" in said
    assert [path.name for path in cache.glob("*.parquet")] == [file.name] and file.read_bytes() == before
    np.testing.assert_array_equal(again.features, first.features)


@pytest.mark.skipif(lacks_bfloat16(torch.device("cpu")), reason="this CPU has no bfloat16")
@pytest.mark.parametrize("first", ["auto", "float32", "bfloat16"])
def test_features_in_a_precision_that_was_asked_for_are_in_this_precision(folder: Path, first: str):
    extracted(folder, precision=first)
    for precision in ("bfloat16", "float32", "bf16"):
        dataset, _ = extracted(folder, precision=precision)
        backbone = load_backbone("embedded", precision=precision)
        images = [backbone.transform(decode_rgb((folder / path).read_bytes())) for path in dataset.paths]
        assert dataset.backbone == backbone.record
        np.testing.assert_allclose(dataset.features, backbone(torch.stack(images)).numpy(), atol=1e-4)
    for precision in ("float32", "bfloat16", "auto"):
        _, said = extracted(folder, precision=precision)
        assert "are cached" in said


def set_times(path: Path, other: os.stat_result) -> None:
    os.utime(path, ns=(other.st_atime_ns, other.st_mtime_ns))


@pytest.mark.parametrize("how", ["renamed", "written in place", "replaced by a copy"])
def test_swapped_photos_of_equal_size_and_time_have_new_features(folder: Path, how: str):
    one, two = folder / "ox" / "1.bmp", folder / "ox" / "2.bmp"
    for seed, path in ((5, one), (6, two)):
        (folder / "ox" / f"{path.stem}.png").unlink()
        save_photo(path, seed)
        os.utime(path, ns=(0, 1_000_000_000))
    assert one.stat().st_size == two.stat().st_size
    first, _ = extracted(folder)
    times, data = one.stat(), (one.read_bytes(), two.read_bytes())
    if how == "renamed":
        for old, new in ((one, "x"), (two, one.name), (folder / "ox" / "x", two.name)):
            old.rename(old.with_name(new))
    for path, content in zip((one, two), reversed(data), strict=True):
        if how == "replaced by a copy":
            path.unlink()
        if how != "renamed":
            path.write_bytes(content)
        set_times(path, times)
    again, said = extracted(folder)
    assert "are cached" not in said and "have changed" in said
    rows = [first.paths.index(f"ox/{number}.bmp") for number in (1, 2)]
    np.testing.assert_array_equal(again.features[rows], first.features[rows[::-1]])
    assert "are cached" in extracted(folder)[1]


def test_photos_that_were_only_touched_keep_their_features(folder: Path):
    extracted(folder)
    (folder / "ox" / "1.png").chmod(0o600)  # changes the time of the last change of the file, not its bytes
    said = extracted(folder)[1]
    assert "comparing their bytes" in said and "are cached" in said
    said = extracted(folder)[1]
    assert "comparing their bytes" not in said and "are cached" in said


def test_a_damaged_cache_is_extracted_again(folder: Path, cache: Path):
    first, _ = extracted(folder)
    (file,) = cache.glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-100])
    again, _ = extracted(folder)
    np.testing.assert_array_equal(again.features, first.features)


def test_a_cache_that_cannot_be_written_is_not_used_and_this_is_said(folder: Path, cache: Path):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    dataset, said = extracted(folder)
    assert np.isfinite(dataset.features).all()
    assert "cannot be written" in said and "XDG_CACHE_HOME" in said


def test_a_second_run_waits_for_the_first_and_uses_its_features(folder: Path, cache: Path):
    first, _ = extracted(folder)
    (file,) = cache.glob("*.parquet")
    finished = file.read_bytes()
    file.unlink()
    waiting = threading.Event()
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        if "waiting for it" in text:
            waiting.set()

    def other_run() -> None:
        with exclusive(file):
            held.set()
            waiting.wait(30)
            file.write_bytes(finished)

    held = threading.Event()
    thread = threading.Thread(target=other_run)
    thread.start()
    held.wait(30)
    again, _ = extracted(folder, on_note=note)
    thread.join()
    assert waiting.is_set() and f"process {os.getpid()}" in "\n".join(notes)
    np.testing.assert_array_equal(again.features, first.features)


def test_a_photo_that_changed_has_new_features_and_the_others_keep_theirs(folder: Path):
    first, _ = extracted(folder)
    save_photo(folder / "ox" / "1.png", 99)
    os.utime(folder / "ox" / "1.png", ns=(0, 1_000_000_000))
    again, said = extracted(folder)
    assert "are cached" not in said
    changed = np.abs(again.features - first.features).max(1) > 1e-3
    assert [path for path, is_new in zip(first.paths, changed, strict=True) if is_new] == ["ox/1.png"]


def test_features_of_two_backbones_are_cached_apart(folder: Path, cache: Path, other_weights: Path):
    embedded, _ = extracted(folder)
    other, said = extracted(folder, backbone=OTHER_TAG, weights=other_weights)
    assert "are cached" not in said and OTHER_TAG in said
    assert (embedded.backbone.tag, other.backbone.tag) == ("embedded", OTHER_TAG)
    assert embedded.features.shape[1] != other.features.shape[1]
    assert len(list(cache.glob("*.parquet"))) == 2


@pytest.mark.skipif(lacks_bfloat16(torch.device("cpu")), reason="this CPU has no bfloat16")
def test_automatic_precision_takes_cached_features_of_any_precision(folder: Path, cache: Path):
    first, _ = extracted(folder, precision="auto")
    (common,) = cache.glob("*.parquet")
    rounded, _ = extracted(folder, precision="bfloat16")
    (cache / f"{common.stem}-bfloat16.parquet").replace(common)  # as a machine may have chosen where it is faster
    again, said = extracted(folder, precision="auto")
    assert "are cached" in said
    np.testing.assert_array_equal(again.features, rounded.features)
    assert (first.backbone.precision, again.backbone.precision) == ("float32", "bfloat16")


def test_other_photos_of_the_same_names_get_their_own_features(folder: Path, tmp_path: Path, cache: Path):
    first, _ = extracted(folder)
    other = tmp_path / "elsewhere" / "zoo"
    for path in first.paths:
        (other / path).parent.mkdir(parents=True, exist_ok=True)
        save_photo(other / path, 700 + first.paths.index(path))
        os.utime(other / path, ns=(0, 2_000_000_000))
    (other / "attributes.csv").write_text((folder / "attributes.csv").read_text())
    second, _ = extracted(other)
    assert np.abs(second.features - first.features).max(1).min() > 1e-3
    assert len(list(cache.glob("*.parquet"))) == 2


def test_a_photo_that_cannot_be_read_leaves_the_split_with_a_note(folder: Path):
    (folder / "pig" / "1.png").write_bytes(b"no photo")
    before = open_dataset(str(folder))
    for _ in range(2):  # extracted, then cached
        dataset, said = extracted(folder)
        row = dataset.paths.index("pig/1.png")
        assert np.isnan(dataset.features[row]).all()
        assert all(row not in rows for _, rows in dataset.split.parts())
        assert np.isfinite(np.delete(dataset.features, row, axis=0)).all()
        assert sum(len(rows) for _, rows in dataset.split.parts()) == 8
        assert dataset.split_sha256 != before.split_sha256
        assert "1 photos have no features (1 unsupported_format) and are left out: pig/1.png." in said


def test_a_missing_photo_is_extracted_when_it_is_back(folder: Path):
    open_dataset(str(folder))  # writes the split, which names the photo
    photo = folder / "pig" / "1.png"
    data = photo.read_bytes()
    photo.unlink()
    without, said = extracted(folder)
    assert "(1 not_found)" in said
    photo.write_bytes(data)
    again, said = extracted(folder)
    assert "no features" not in said
    assert np.isfinite(again.features).all() and not np.isfinite(without.features).all()


def test_a_dataset_without_a_readable_photo_is_refused(folder: Path):
    for photo in folder.glob("*/*.png"):
        photo.write_bytes(b"no photo")
    with pytest.raises(InputFileError, match=r"all .* photos of trainval"):
        extracted(folder)


def test_a_dataset_that_has_features_is_returned_unchanged(folder: Path, cache: Path):
    dataset, _ = extracted(folder)
    (file,) = cache.glob("*.parquet")
    file.unlink()
    assert with_features(dataset, backbone="no such backbone") is dataset
    assert not list(cache.glob("*.parquet"))


@pytest.mark.parametrize("recorded", [False, True])
def test_a_dataset_with_neither_features_nor_photos_is_an_error_that_names_the_options(folder: Path, recorded: bool):
    bare = dataclasses.replace(open_dataset(str(folder)), images_root=None)
    with pytest.raises(RevcdError) as caught:
        with_recorded_features(bare, load_checkpoint("animals")) if recorded else with_features(bare)
    assert "zoo has neither features nor photos" in caught.value.message
    assert "--features" in caught.value.hint and "--images" in caught.value.hint


def test_a_model_gets_features_of_its_backbone_from_the_cache_of_its_training(folder: Path):
    trained_on, _ = extracted(folder, backbone="embedded@300")
    notes: list[str] = []
    found = with_recorded_features(open_dataset(str(folder)), load_checkpoint("animals"), on_note=notes.append)
    assert "are cached" in "\n".join(notes)
    assert load_checkpoint("animals").backbone.difference(found.backbone) is None
    np.testing.assert_array_equal(found.features, trained_on.features)
