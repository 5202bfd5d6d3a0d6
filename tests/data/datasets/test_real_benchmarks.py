"""The published benchmarks (skipped where absent): sizes of the parts, attribute names, no leak."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.io

from revcd_cli.data.classes.attributes import read_attribute_csv
from revcd_cli.data.datasets.open import open_dataset
from revcd_cli.data.datasets.published_split import AWA_ATTRIBUTES, read_published_split
from revcd_cli.data.datasets.splits import check_split, validation_folds
from revcd_cli.errors import RevcdError


def test_cub_has_the_published_sizes(shared_data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = open_dataset("cub", data_root=shared_data / "xlsa17", features="vgg19.mat")
    assert [len(rows) for _, rows in dataset.split.parts()] == [7057, 1764, 2967]
    assert (len(dataset.seen), len(dataset.unseen)) == (150, 50)
    assert dataset.features.shape == (11_788, 4096)
    assert dataset.paths[0].startswith("001.Black_footed_Albatross/")
    assert dataset.classes.names[dataset.labels[0]] == "001.Black_footed_Albatross"
    folds = validation_folds(dataset.labels, dataset.split, 0, folds=5, class_fraction=0.2, row_fraction=0.2)
    for fold in folds:
        check_split(fold, dataset.labels, dataset.classes.names, "fold")
    assert [len(fold.val_unseen_classes) for fold in folds] == [50, 50, 50]
    assert len({label for fold in folds for label in fold.val_unseen_classes}) == 150
    assert folds[0].val_unseen_classes == dataset.split.val_unseen_classes
    assert len(folds[0].trainval) + len(folds[0].test_seen) == 4702
    assert len(folds[0].test_unseen) == 2355


@pytest.mark.parametrize(
    ("folder", "sizes", "shape"),
    [
        ("AWA1", [19832, 4958, 5685], (50, 85)),
        ("AWA2", [23527, 5882, 7913], (50, 85)),
        ("SUN", [10320, 2580, 1440], (717, 102)),
        ("APY", [5932, 1483, 7924], (32, 64)),
        ("FLO", [5631, 1403, 1155], (102, 1024)),
    ],
)
def test_the_real_splits_have_the_published_sizes(shared_data, folder, sizes, shape):
    published = read_published_split(shared_data / "xlsa17" / folder)
    assert [len(rows) for _, rows in published.split.parts()] == sizes
    assert published.largest_row + 1 == sum(sizes)
    assert published.classes.values.shape == shape
    assert published.classes.filled == (4 if folder.startswith("AWA") else 0)


def test_the_names_of_awas_attributes_are_in_the_order_of_its_values(shared_data):
    published = read_published_split(shared_data / "xlsa17" / "AWA2")
    assert published.classes.attributes == AWA_ATTRIBUTES
    named = read_attribute_csv(shared_data / "animals" / "attributes.csv", missing="mean")
    by_name = named.select(published.classes.names)
    assert by_name.attributes == AWA_ATTRIBUTES
    original = scipy.io.loadmat(shared_data / "xlsa17" / "AWA2" / "att_splits.mat")["original_att"].T
    known = original >= 0
    np.testing.assert_allclose(by_name.values[known], original[known], rtol=1e-6)


def test_awa2_without_its_features_is_an_error_that_names_the_missing_file(shared_data):
    with pytest.raises(RevcdError, match=r"AWA2.res101\.mat: there is no such file"):
        open_dataset("awa2", data_root=shared_data)
