"""xlsa17 folders: one-based files become a zero-based dataset, and each error has its message."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io

from revcd_cli.config import BackboneRecord
from revcd_cli.data.datasets.benchmarks import read_benchmark
from revcd_cli.data.datasets.dataset import FeaturedDataset
from revcd_cli.data.datasets.open import open_dataset
from revcd_cli.data.datasets.published_split import read_published_split
from revcd_cli.data.datasets.splits import validation_folds
from revcd_cli.data.features.files import FeatureSet, write_features
from revcd_cli.errors import InputFileError, LeakError, RevcdError
from tests.makers.benchmark_files import (
    LABELS,
    PHOTOS,
    REFUSED,
    SEEN_ROWS,
    TEST_SEEN,
    UNSEEN_ROWS,
    column,
    features,
    splits,
    write,
    write_photos,
)


def test_rows_labels_and_features_count_from_zero(tmp_path):
    dataset = read_benchmark(write(tmp_path), name="toy")
    assert dataset.classes.names == ("zebra", "grizzly bear", "okapi", "lion")
    np.testing.assert_array_equal(dataset.labels, LABELS - 1)
    np.testing.assert_array_equal(dataset.split.test_unseen, UNSEEN_ROWS - 1)
    np.testing.assert_array_equal(dataset.split.test_seen, TEST_SEEN - 1)
    np.testing.assert_array_equal(dataset.features, np.stack([np.arange(16), -np.arange(16)], axis=1))
    assert dataset.features.dtype == np.float32
    assert (dataset.seen, dataset.unseen) == ((0, 1, 3), (2,))
    assert dataset.paths == tuple(PHOTOS)
    assert dataset.backbone == BackboneRecord(tag="res101", weights_sha256="", preprocessing={}, feature_dim=2)


def test_descriptions_are_the_variable_att_with_a_note(tmp_path):
    dataset = read_benchmark(write(tmp_path), name="toy")
    np.testing.assert_allclose(np.linalg.norm(dataset.classes.values, axis=1), 1, rtol=1e-6)
    assert any("att (length 1 per class)" in note for note in dataset.notes)


def test_validation_uses_the_published_classes_but_none_of_the_leaked_rows(tmp_path):
    dataset = read_benchmark(write(tmp_path), name="toy")
    assert dataset.split.val_unseen_classes == (3,)
    assert any("contain 3 test_seen photos" in note for note in dataset.notes)
    first, *others = validation_folds(
        dataset.labels, dataset.split, 0, folds=5, class_fraction=0.25, row_fraction=0.2, keys=dataset.keys
    )
    assert first.val_unseen_classes == (3,)
    assert sorted(fold.val_unseen_classes for fold in others) == [(0,), (1,)]
    for fold in (first, *others):
        rows = np.sort(np.concatenate([rows for _, rows in fold.parts()]))
        np.testing.assert_array_equal(rows, dataset.split.trainval)


def test_values_marked_missing_become_the_mean_of_the_other_classes(tmp_path):
    original = splits()["original_att"].copy()
    original[0, 1] = -1
    dataset = read_benchmark(write(tmp_path, splits(original_att=original)), name="toy")
    values = dataset.classes.values
    assert values[1, 0] == pytest.approx(values[[0, 2, 3], 0].mean())
    assert dataset.classes.filled == 1
    assert any("1 of 12 values are missing" in note for note in dataset.notes)


def test_minus_one_among_negative_values_is_a_value(tmp_path):
    original = splits()["original_att"].copy()
    original[0, :2] = -1, -2
    assert read_benchmark(write(tmp_path, splits(original_att=original)), name="toy").classes.filled == 0


@pytest.mark.parametrize(
    ("file", "content", "names"),
    [
        ("predicates.txt", "1\tblack\n2\twhite\n3\tblue\n", ("black", "white", "blue")),
        ("attributes.txt", "1 has_bill::curved\n2 has_bill::dagger\n3 has_wing::red\n", None),
        ("attribute_names.txt", "Hand\nFoot\n\nTail", ("Hand", "Foot", "Tail")),
    ],
)
def test_attribute_names_are_read_from_the_file_in_the_same_folder(tmp_path, file, content, names):
    write(tmp_path)
    (tmp_path / file).write_text(content)
    attributes = read_published_split(tmp_path).classes.attributes
    assert attributes == (names or ("has_bill::curved", "has_bill::dagger", "has_wing::red"))


def test_attributes_without_names_are_numbered_with_a_note(tmp_path):
    published = read_published_split(write(tmp_path))
    assert published.classes.attributes == ("attribute_001", "attribute_002", "attribute_003")
    assert any("does not name its attributes" in note for note in published.notes)


def test_a_list_of_too_few_names_is_refused(tmp_path):
    write(tmp_path)
    (tmp_path / "attributes.txt").write_text("one\ntwo\n")
    with pytest.raises(InputFileError, match=r"names 2 attributes; att_splits\.mat has 3"):
        read_published_split(tmp_path)


@pytest.mark.parametrize(("split", "rows", "says"), REFUSED, ids=[fault[2][:40] for fault in REFUSED])
def test_each_kind_of_invalid_benchmark_has_its_own_message(tmp_path, split, rows, says):  # 75
    write(tmp_path, splits(**split), features(**rows))
    with pytest.raises(InputFileError) as fault:
        read_benchmark(tmp_path, name="toy")
    assert says in fault.value.message
    assert fault.value.message.startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"test_seen_loc": column([2])}, "both in trainval and in test_seen"),
        (
            {"trainval_loc": column([*SEEN_ROWS[1:2], UNSEEN_ROWS[0]]), "test_unseen_loc": column(UNSEEN_ROWS[1:])},
            "okapi",
        ),
    ],
)
def test_a_benchmark_with_a_leak_is_refused(tmp_path, changes, says):  # 75
    with pytest.raises(LeakError, match=says):
        read_benchmark(write(tmp_path, splits(**changes)), name="toy")


@pytest.mark.parametrize("file", ["att_splits.mat", "res101.mat"])
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: b"", "is empty"),
        (lambda data: data[: len(data) // 2], "cut short or damaged"),
        (lambda data: b"MATLAB 7.3 MAT-file" + data[19:], "7.3"),
        (lambda data: b"\x89HDF" + data[4:], "7.3"),
        (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (lambda data: b"<html>not found</html>", "is not a MATLAB file"),
    ],
    ids=["empty", "truncated", "v7.3", "hdf5", "lfs", "html"],
)
def test_each_kind_of_damaged_file_has_its_own_message(tmp_path, file, damage, says):  # 75
    path = write(tmp_path) / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputFileError, match=says):
        read_benchmark(tmp_path, name="toy")


def test_damage_that_would_crash_scipy_is_refused(tmp_path):
    path = write(tmp_path) / "att_splits.mat"
    data = bytearray(path.read_bytes())
    assert data[128 + 40 : 128 + 48] == b"\x01\0\x03\0att\0"  # the name of the first matrix; its numbers follow
    data[128 + 48] = 25  # no such type
    path.write_bytes(data)
    with pytest.raises(InputFileError, match="damaged"):
        read_benchmark(tmp_path, name="toy")


def test_large_row_numbers_do_not_wrap_around(tmp_path):
    changes = {"trainval_loc": np.array([[2], [65_535]], dtype=np.uint16)}
    with pytest.raises(InputFileError, match="names row 65,535"):
        read_benchmark(write(tmp_path, splits(**changes)), name="toy")


def test_other_features_of_the_same_rows_are_found_by_name(tmp_path):
    write(tmp_path)
    scipy.io.savemat(tmp_path / "vgg19.mat", features(features=np.ones((5, 16)), image_files=None))
    dataset = read_benchmark(tmp_path, name="toy", features="vgg19.mat")
    assert (dataset.features.shape, dataset.backbone.tag, set(dataset.paths)) == ((16, 5), "vgg19", {""})


def test_the_hash_of_the_split_depends_on_the_split_and_not_on_the_features(tmp_path):
    write(tmp_path / "one")
    scipy.io.savemat(tmp_path / "one" / "other.mat", features(features=np.ones((5, 16)), image_files=None))
    reference = read_benchmark(tmp_path / "one", name="toy").split_sha256
    assert read_benchmark(tmp_path / "one", name="toy", features="other.mat").split_sha256 == reference
    moved = splits(test_seen_loc=column(TEST_SEEN + 1), trainval_loc=column(np.setdiff1d(SEEN_ROWS, TEST_SEEN + 1)))
    assert read_benchmark(write(tmp_path / "two", moved), name="toy").split_sha256 != reference


def test_without_features_or_photos_the_error_names_the_file_and_the_remedies(tmp_path):
    (write(tmp_path) / "res101.mat").unlink()
    with pytest.raises(RevcdError, match=r"res101\.mat: there is no such file") as fault:
        read_benchmark(tmp_path, name="toy")
    assert "--features" in fault.value.hint and "--images" in fault.value.hint


def test_photos_are_located_by_folder_and_name(tmp_path):
    images = write_photos(tmp_path / "photos" / "JPEGImages").parent
    dataset = read_benchmark(write(tmp_path / "toy"), name="toy", images=images)
    assert dataset.paths == tuple(f"JPEGImages/{photo}" for photo in PHOTOS)
    assert dataset.images_root == images and not isinstance(dataset, FeaturedDataset)


def test_missing_photos_are_counted_and_named(tmp_path):
    images = write_photos(tmp_path / "photos", PHOTOS[2:])
    with pytest.raises(InputFileError, match=r"2 of the benchmark's 16 photos are missing.*grizzly\+bear_1\.jpg"):
        read_benchmark(write(tmp_path / "toy"), name="toy", images=images)


def test_without_a_list_of_files_rows_follow_the_sorted_names_of_photos(tmp_path):
    folder = write(tmp_path / "toy")
    reference = read_benchmark(folder, name="toy")
    (folder / "res101.mat").unlink()
    dataset = read_benchmark(folder, name="toy", images=write_photos(tmp_path / "photos"))
    np.testing.assert_array_equal(dataset.labels, reference.labels)
    assert dataset.paths == reference.paths
    assert dataset.split_sha256 == reference.split_sha256
    assert any("sorted names" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (PHOTOS[1:], "has 15 photos in folders of the 4 classes; the split has 16"),
        ([PHOTOS[0].replace("_1", "_0"), *PHOTOS[:-1]], "both seen and unseen"),
    ],
)
def test_photos_that_do_not_match_the_split_are_refused(tmp_path, names, says):
    folder = write(tmp_path / "toy")
    (folder / "res101.mat").unlink()
    images = write_photos(tmp_path / "photos", names)
    with pytest.raises(InputFileError, match=says):
        read_benchmark(folder, name="toy", images=images)


@pytest.mark.parametrize("has_rows", [True, False])
@pytest.mark.parametrize("suffix", [".parquet", ".mat"])
def test_extracted_features_are_joined_by_path_not_by_order(tmp_path, has_rows, suffix):
    folder = write(tmp_path / "toy")
    order = np.random.default_rng(0).permutation(16)
    record = BackboneRecord(tag="some.tag", weights_sha256="ab", preprocessing={}, feature_dim=1)
    extracted = FeatureSet(
        paths=tuple(f"my/photos/{PHOTOS[row]}" for row in order),
        features=order.astype(np.float32).reshape(-1, 1),
        status=("ok",) * 16,
        reason=("",) * 16,
        sha256=("",) * 16,
        backbone=record,
    )
    write_features(tmp_path / f"mine{suffix}", [extracted])
    if not has_rows:
        (folder / "res101.mat").unlink()
    dataset = read_benchmark(folder, name="toy", features=str(tmp_path / f"mine{suffix}"))
    np.testing.assert_array_equal(dataset.features[:, 0], np.arange(16))
    np.testing.assert_array_equal(dataset.labels, LABELS - 1)
    assert dataset.backbone == record


@pytest.mark.parametrize("name", ["cub", "CUB", "C-U-B"])
def test_a_benchmark_is_found_by_name_below_the_data_root(tmp_path, name):  # 77
    write(tmp_path / "CUB")
    assert open_dataset(name, data_root=tmp_path).name == "cub"
    write(tmp_path / "two" / "xlsa17" / "data" / "AWA2")
    assert open_dataset("AWA-2", data_root=tmp_path / "two").name == "awa2"


def test_a_benchmark_is_found_by_the_environment(tmp_path, monkeypatch):
    write(tmp_path / "SUN")
    monkeypatch.setenv("REVCD_DATA", str(tmp_path))
    assert open_dataset("sun").name == "sun"
