"""Extraction: each photo gets its own feature or its own failure, in order, whatever the batch size."""

from __future__ import annotations

import io
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from revcd_cli.backbones.backbone import load_backbone
from revcd_cli.config import BackboneRecord
from revcd_cli.data.features.files import read_features
from revcd_cli.data.photos.sources import ImageSource, iter_sources
from revcd_cli.errors import RevcdError, UsageError
from revcd_cli.pipeline.extract.extract import extract, stream_features
from revcd_cli.system import files
from revcd_cli.system.device import choose_device

TINY = "test_resnet.r160_in1k"
COLOURS = [(40 * red, 40 * green, 90) for red in range(6) for green in range(6)]


class MeanColour:
    """A backbone whose feature is the mean colour of the photo, so that the expected feature is known."""

    record = BackboneRecord(tag="mean", weights_sha256="0", preprocessing={}, feature_dim=3)
    device = choose_device("cpu")
    streams, least_side, graph_problem = 1, None, ""
    batch = staticmethod(torch.stack)

    def __init__(self, most: int = 10**9, error: str = "DefaultCPUAllocator: can't allocate memory") -> None:
        self.most, self.error = most, error
        self.batches: list[int] = []
        self.released = False

    def release_graph(self) -> None:
        self.released = True

    def transform(self, image: Image.Image) -> Tensor:
        pixels = np.asarray(image.resize((8, 8)), dtype=np.float32)
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def __call__(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        if len(images) > self.most:
            raise RuntimeError(self.error)
        return images.mean(dim=(2, 3))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of one photo for each of COLOURS, in their order."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, colour in enumerate(COLOURS):
        Image.new("RGB", (32, 24), colour).save(folder / f"{number:02d}.png")
    return folder


def noise(path: Path, count: int = 20) -> Path:
    """Make a folder of photos that all differ."""
    path.mkdir()
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{number}.png")
    return path


def corrupt(folder: Path) -> dict[int, str]:
    """Make some photos of the folder unreadable; return the reason for each."""
    whole = (folder / "03.png").read_bytes()
    (folder / "03.png").write_bytes(whole[: len(whole) // 2])
    (folder / "10.png").write_bytes(b"")
    (folder / "11.png").write_text("not a photo at all")
    (folder / "35.png").unlink()
    (folder / "35.png").mkdir()
    return {3: "truncated", 10: "empty_file", 11: "unsupported_format", 35: "not_a_file"}


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (4, 2), (5, 0), (64, 4), (10**9, 999)])
def test_each_photo_gets_its_own_feature_in_order(photos: Path, batch_size: int, workers: int) -> None:
    reasons = corrupt(photos)
    found = list(stream_features(MeanColour(), iter_sources([str(photos)]), batch_size=batch_size, workers=workers))
    assert [photo.path for photo in found] == [f"{photos}/{number:02d}.png" for number in range(len(COLOURS))]
    for number, (photo, colour) in enumerate(zip(found, COLOURS, strict=True)):
        if number in reasons:
            assert (photo.status, photo.reason, photo.feature) == ("failed", reasons[number], None)
            assert photo.detail
        else:
            np.testing.assert_allclose(photo.feature, colour)
            assert (photo.status, photo.reason) == ("ok", "")
            assert photo.sha256 == files.file_sha256(Path(photo.path))


def test_batches_that_are_computed_concurrently_are_yielded_in_order(photos: Path) -> None:
    class Uneven(MeanColour):
        streams = 3

        def __call__(self, images: Tensor) -> Tensor:
            time.sleep(float(images.mean()) % 0.01)
            return super().__call__(images)

    found = list(stream_features(Uneven(), iter_sources([str(photos)]), batch_size=2))
    np.testing.assert_allclose(np.stack([photo.feature for photo in found]), COLOURS)
    assert our_threads() == []


def test_closing_early_ends_the_threads_that_compute(photos: Path) -> None:
    backbone = MeanColour()
    backbone.streams = 3
    stream = stream_features(backbone, iter_sources([str(photos)]), batch_size=2)
    next(stream)
    stream.close()
    assert our_threads() == []


def test_batch_size_and_batch_mates_do_not_change_the_features_of_a_real_backbone(
    weights: Path, tmp_path: Path
) -> None:
    folder = noise(tmp_path / "noise")
    backbone = load_backbone(TINY, weights=weights, precision="float32")

    def features(inputs: list[str], size: int) -> dict[str, np.ndarray]:
        return {p.path: p.feature for p in stream_features(backbone, iter_sources(inputs), batch_size=size)}

    together, apart = features([str(folder)], 20), features([str(folder)], 3)
    alone = features([f"{folder}/7.png"], 20)
    np.testing.assert_allclose(np.stack(list(together.values())), np.stack(list(apart.values())), atol=1e-4)
    np.testing.assert_allclose(alone[f"{folder}/7.png"], together[f"{folder}/7.png"], atol=1e-4)


def test_a_photo_has_the_same_feature_in_a_zip_a_tar_and_a_folder(photos: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        for path in sorted(photos.iterdir()):
            archive.write(path, path.name)
            tar.add(path, path.name)
    inputs = [str(photos), str(tmp_path / "a.zip"), str(tmp_path / "a.tar.gz")]
    found = list(stream_features(MeanColour(), iter_sources(inputs), batch_size=7))
    features = np.stack([photo.feature for photo in found]).reshape(3, len(COLOURS), 3)
    np.testing.assert_allclose(features, np.broadcast_to(np.array(COLOURS), features.shape))


def test_memory_that_runs_out_halves_the_batch_with_the_same_results_and_one_note(photos: Path) -> None:
    backbone, notes = MeanColour(most=5), []
    found = list(stream_features(backbone, iter_sources([str(photos)]), batch_size=32, on_note=notes.append))
    np.testing.assert_allclose(np.stack([photo.feature for photo in found]), COLOURS)
    assert backbone.batches[:4] == [32, 16, 8, 4]
    assert max(backbone.batches[4:]) == 4
    assert len(notes) == 1 and backbone.released


def test_a_photo_that_alone_exceeds_the_memory_fails_and_the_others_do_not(photos: Path) -> None:
    class OneTooBig(MeanColour):
        def __call__(self, images: Tensor) -> Tensor:
            if (images.mean(dim=(2, 3)) == torch.tensor(COLOURS[7])).all(dim=1).any():
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().__call__(images)

    found = list(stream_features(OneTooBig(), iter_sources([str(photos)]), batch_size=8))
    assert [(n, p.reason) for n, p in enumerate(found) if p.status == "failed"] == [(7, "out_of_memory")]
    np.testing.assert_allclose(found[8].feature, COLOURS[8])


def test_another_error_of_the_model_ends_the_run(photos: Path) -> None:
    backbone = MeanColour(most=4, error="an illegal memory access was encountered")
    with pytest.raises(RuntimeError, match="illegal memory access"):
        list(stream_features(backbone, iter_sources([str(photos)]), batch_size=8))
    assert backbone.batches == [8]


def test_a_feature_that_is_not_finite_is_a_failure_of_that_photo_only(photos: Path) -> None:
    class Overflowing(MeanColour):
        def __call__(self, images: Tensor) -> Tensor:
            features = super().__call__(images)
            return torch.where(features == 200.0, torch.inf, features)

    found = list(stream_features(Overflowing(), iter_sources([str(photos)])))
    expected = [number for number, colour in enumerate(COLOURS) if 200 in colour]
    assert [n for n, photo in enumerate(found) if photo.reason == "non_finite_feature"] == expected
    assert all(found[n].feature is None for n in expected)


def test_groups_have_the_same_batches_wherever_they_begin(photos: Path) -> None:
    backbone = MeanColour()
    list(stream_features(backbone, iter_sources([str(photos)]), batch_size=4, group_size=10))
    assert backbone.batches == [4, 4, 2] * 3 + [4, 2]


def endless(read: Callable[[], bytes]) -> Iterator[ImageSource]:
    number = 0
    while True:
        yield ImageSource(f"{number}.png", "", read)
        number += 1


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("revcd-")]


def test_closing_early_ends_the_threads_and_reads_only_a_little_ahead() -> None:
    stream, reads = io.BytesIO(), []
    Image.new("RGB", (8, 8), "red").save(stream, "PNG")
    photos = stream_features(
        MeanColour(), endless(lambda: reads.append(1) or stream.getvalue()), batch_size=4, workers=2
    )
    next(photos)
    photos.close()
    assert our_threads() == []
    assert len(reads) <= 4 + 4 + 2 + 2  # a batch, the read-ahead, and one photo in each worker


def test_an_error_of_the_listing_is_raised_and_ends_the_threads() -> None:
    def listing() -> Iterator[ImageSource]:
        yield ImageSource("a.png", "", lambda: b"")
        raise UsageError("the list is not UTF-8")

    with pytest.raises(UsageError, match="not UTF-8"):
        list(stream_features(MeanColour(), listing()))
    assert our_threads() == []


def test_a_small_copy_of_the_photo_is_kept_if_requested(tmp_path: Path) -> None:
    Image.new("RGB", (900, 600), (200, 30, 40)).save(tmp_path / "big.png")
    (photo,) = stream_features(MeanColour(), iter_sources([str(tmp_path / "big.png")]), keep_image=True)
    assert max(photo.image.size) == 320
    assert photo.image.getpixel((5, 5)) == (200, 30, 40)
    np.testing.assert_allclose(photo.feature, (200, 30, 40))


@pytest.mark.parametrize("suffix", [".npz", ".mat"])
def test_every_file_format_holds_the_same_numbers(weights: Path, tmp_path: Path, suffix: str) -> None:
    folder = noise(tmp_path / "noise")
    (folder / "5.png").write_bytes(b"")
    options = {"backbone": TINY, "weights": weights}
    extract([str(folder)], tmp_path / "f.parquet", **options)
    extract([str(folder)], tmp_path / f"f{suffix}", **options)
    one, other = read_features(tmp_path / "f.parquet"), read_features(tmp_path / f"f{suffix}")
    kept = one.ok if suffix == ".mat" else slice(None)
    np.testing.assert_array_equal(one.features[kept], other.features)
    assert tuple(np.array(one.paths)[kept]) == other.paths
    assert one.backbone == other.backbone
    assert (one.backbone.tag, one.backbone.feature_dim) == (TINY, one.features.shape[1])


def test_the_summary_counts_what_the_output_holds(weights: Path, photos: Path, tmp_path: Path) -> None:
    reasons, reported = corrupt(photos), []
    summary = extract(
        [str(photos)],
        tmp_path / "f.parquet",
        backbone=TINY,
        weights=weights,
        on_progress=lambda *now: reported.append(now),
    )
    assert (summary.done, summary.failed, summary.reused, summary.exit_code) == (32, 4, 0, 3)
    assert dict(summary.reasons) == dict.fromkeys(reasons.values(), 1)
    assert [path for path, _, _ in summary.failures] == [f"{photos}/{number:02d}.png" for number in reasons]
    assert reported[0] == (0, 36, 0) and reported[-1] == (36, 36, 4)
    found = read_features(tmp_path / "f.parquet")
    assert {number: found.reason[number] for number in np.flatnonzero(~found.ok)} == reasons


def test_unreadable_photos_alone_give_a_file_of_reasons_and_exit_code_1(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    summary = extract([str(tmp_path / "a.jpg")], tmp_path / "f.parquet", backbone=TINY, weights=weights)
    assert summary.exit_code == 1
    assert read_features(tmp_path / "f.parquet").reason == ("empty_file",)


def test_notes_name_the_backbone_and_details_say_how_features_are_computed(
    weights: Path, photos: Path, tmp_path: Path
) -> None:
    notes: list[str] = []
    details: list[str] = []
    options = {"backbone": TINY, "weights": weights, "device": "cpu"}
    (photos / "empty.png").write_bytes(b"")
    extract([str(photos)], tmp_path / "f.npz", **options, on_note=notes.append, on_detail=details.append)
    assert any(TINY in note for note in notes)
    assert "37 photos, device cpu" in notes
    assert not any("float32" in note or "batch" in note for note in notes)
    for expected in ("device cpu (as requested)", "precision ", "batch size 8 (default on cpu)", "cache ", "sha256"):
        assert any(expected in detail for detail in details)
    assert any("empty.png: empty_file (" in detail for detail in details)


def test_for_many_photos_the_batch_size_is_measured_and_recorded(
    weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("revcd_cli.pipeline.extract.extract._BENCHMARKED_PHOTOS", 30)
    monkeypatch.setattr("revcd_cli.system.probes.best_batch_size", lambda rate, sizes: 5 if rate(sizes[0]) > 0 else 0)
    notes: list[str] = []
    extract([str(photos)], tmp_path / "f.npz", backbone=TINY, weights=weights, device="cpu", on_detail=notes.append)
    assert any("batch size 5" in note for note in notes)


@pytest.mark.parametrize(
    ("output", "options", "message"),
    [
        ("f.csv", {}, r"\.parquet, \.npz, \.mat"),
        ("there.parquet", {}, "exists already"),
        ("folder.npz", {"overwrite": True}, "is a folder"),
        ("f.parquet", {"batch_size": 0}, "at least 1"),
        ("f.parquet", {"inputs": ["missing"]}, "no such file"),
    ],
)
def test_invalid_options_are_refused_before_any_work(
    tmp_path: Path, photos: Path, output: str, options: dict, message: str
) -> None:
    (tmp_path / "there.parquet").write_bytes(b"old")
    (tmp_path / "folder.npz").mkdir()
    before = sorted(tmp_path.iterdir())
    options = {"inputs": [str(photos)], "backbone": "no such backbone", **options}
    with pytest.raises(UsageError, match=message):
        extract(output=tmp_path / output, **options)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "there.parquet").read_bytes() == b"old"


def test_overwrite_replaces_the_output(weights: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "f.parquet").write_bytes(b"old")
    extract([str(photos)], tmp_path / "f.parquet", backbone=TINY, weights=weights, overwrite=True)
    assert len(read_features(tmp_path / "f.parquet")) == len(COLOURS)


def test_a_second_run_for_the_same_output_is_refused(photos: Path, tmp_path: Path) -> None:
    with files.exclusive(tmp_path / "f.parquet"), pytest.raises(UsageError, match="another run"):
        extract([str(photos)], tmp_path / "f.parquet", backbone="embedded")


@pytest.mark.parametrize("output", ["f.parquet", "f.mat"])
def test_too_many_photos_for_the_disk_are_refused_before_the_first(
    weights: Path, photos: Path, tmp_path: Path, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("revcd_cli.pipeline.extract.extract.count_sources", lambda inputs, passed: 10**11)
    with pytest.raises(RevcdError, match=r"MB of disk|2 GB"):
        extract([str(photos)], tmp_path / output, backbone=TINY, weights=weights)
    assert not (tmp_path / output).exists()
