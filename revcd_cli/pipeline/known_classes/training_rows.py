"""The training features of a split: photos of its seen classes, and pseudo features of known classes.

RevCD and all baselines train on these rows. Everything is computed from the split's own trainval photos: a fold of the
cross-validation uses neither its held-out photos nor the labels of its held-out classes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...core.trainer import TrainingRows
from ...data.datasets.dataset import FeaturedDataset
from ...data.datasets.splits import Split
from ...scoring.label_evidence import LabelEvidence
from ...scoring.prototypes.class_noise import OFFICIAL, PHOTOS, WRITTEN
from ...scoring.prototypes.known_classes import ClassifierMeans, fit_classifier_means
from .shipped_statistics import shipped_means


def training_classes(dataset: FeaturedDataset, split: Split) -> np.ndarray:
    """Return the classes to train on (C,), sorted rows of the class table: with photos in trainval, or known."""
    return np.union1d(dataset.labels[split.trainval], usable_known(dataset, split)).astype(np.int64)


def usable_known(dataset: FeaturedDataset, split: Split) -> np.ndarray:
    """Return the known classes without photos, (K,); none if nothing leads from the classifier's weights to features.

    That is measured on the classes of the split with photos and a label, if there are two, or comes with revcd for the
    embedded backbone. A class with photos in the dataset's trainval is never among them, so one that a fold holds out
    stays unknown.
    """
    usable = dataset.known is not None and (_is_measured(dataset, split) or shipped_means(dataset.backbone) is not None)
    return np.array(dataset.known_only if usable else (), dtype=np.int64)


def _is_measured(dataset: FeaturedDataset, split: Split) -> bool:
    assert dataset.known is not None
    return len(np.intersect1d(dataset.known.rows, dataset.labels[split.trainval])) > 1


def training_rows(dataset: FeaturedDataset, split: Split, seed: int) -> TrainingRows:
    """Return the features to train on, labelled by their position in `training_classes`: photos, then pseudo features.

    seed: of the residuals that pseudo features add to their class's mean.
    """
    classes = training_classes(dataset, split)
    photos = torch.from_numpy(dataset.features[split.trainval])
    labels = torch.from_numpy(np.searchsorted(classes, dataset.labels[split.trainval]))
    known = usable_known(dataset, split)
    if len(known):
        generator = torch.Generator().manual_seed(seed)
        pseudo = classifier_means(dataset, split).features(_weights(dataset, known), generator)
        of_class = torch.from_numpy(np.searchsorted(classes, known)).repeat_interleave(len(pseudo) // len(known))
        photos, labels = torch.cat([photos, pseudo]), torch.cat([labels, of_class])
    return TrainingRows(photos, labels, torch.from_numpy(dataset.classes.values[classes]))


def label_evidence(dataset: FeaturedDataset, split: Split) -> LabelEvidence | None:
    """Return the classifier's weights of the labels of the classes to train on; None without known classes.

    They are rounded to half precision, as a model file keeps them.
    """
    known, names = usable_known(dataset, split), dataset.classes.names
    if dataset.known is None or not len(known):
        return None
    used = np.isin(dataset.known.label_rows, training_classes(dataset, split))
    return LabelEvidence(
        weights=torch.from_numpy(dataset.known.label_weights[used]).half(),
        bias=torch.from_numpy(dataset.known.label_bias[used]).half(),
        owners=tuple(names[row] for row in dataset.known.label_rows[used]),
        known=frozenset(names[row] for row in known),
    )


def class_kinds(dataset: FeaturedDataset, split: Split) -> Tensor:
    """Return the kind of each of the `training_classes` (C,), see `scoring.prototypes.class_noise`."""
    classes, known = training_classes(dataset, split), usable_known(dataset, split)
    kinds = np.full(len(classes), PHOTOS)
    if dataset.known is not None:
        written = dataset.known.written[np.searchsorted(dataset.known.rows, known)]
        kinds[np.searchsorted(classes, known)] = np.where(written, WRITTEN, OFFICIAL)
    return torch.from_numpy(kinds)


def classifier_means(dataset: FeaturedDataset, split: Split) -> ClassifierMeans:
    """Return the map from the classifier's weights to mean features, see `usable_known`."""
    assert dataset.known is not None
    if not _is_measured(dataset, split):
        shipped = shipped_means(dataset.backbone)
        assert shipped is not None
        return shipped
    with_photos, labels = np.unique(dataset.labels[split.trainval], return_inverse=True)
    both = np.intersect1d(dataset.known.rows, with_photos)
    return fit_classifier_means(
        torch.from_numpy(dataset.features[split.trainval]),
        torch.from_numpy(labels),
        _weights(dataset, both),
        torch.from_numpy(np.searchsorted(with_photos, both)),
    )


def _weights(dataset: FeaturedDataset, rows: np.ndarray) -> Tensor:
    """Return the classifier's weights of known classes, by their rows in the class table: (K, D)."""
    assert dataset.known is not None
    return torch.from_numpy(dataset.known.weights[np.searchsorted(dataset.known.rows, rows)])
