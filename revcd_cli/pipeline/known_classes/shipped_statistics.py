"""Statistics of the embedded backbone's features, for datasets whose photos do not determine them.

They come from photos of animals (`weights/within_class.py`): the covariance of features within a class, in low rank,
and the means and the scale that lead from the classifier's weights to mean features.
"""

from __future__ import annotations

import functools

import numpy as np
import torch

from ...checkpoint.metadata import shipped_folder
from ...config import BackboneRecord
from ...scoring.prototypes.known_classes import ClassifierMeans, WithinCovariance

STATISTICS_FILES = {"embedded": "within_class.npz", "embedded@300": "within_class_300.npz"}  # by the backbone's tag


def shipped_means(record: BackboneRecord) -> ClassifierMeans | None:
    """Return the map from the classifier's weights to mean features that comes with revcd, None for other features."""
    file = STATISTICS_FILES.get(record.tag)
    found = None if file is None or record.tokens else _read(file)
    return found[1] if found is not None and record.weights_sha256 == found[0] else None


@functools.cache
def _read(file: str) -> tuple[str, ClassifierMeans] | None:
    path = shipped_folder() / file
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        factor, centre, centre_weights = (
            torch.from_numpy(stored[name].astype(np.float64)) for name in ("factor", "centre", "centre_weights")
        )
        within = WithinCovariance(factor, rest=float(stored["rest"]), of_photos=False)
        means = ClassifierMeans(within, centre, centre_weights, float(stored["scale"]), bool(stored["non_negative"]))
        return str(stored["weights_sha256"]), means
