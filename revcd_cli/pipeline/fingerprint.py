"""Fingerprints of data and settings: recorded with each result, and checked before interrupted work is resumed."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from ..data.datasets.dataset import FeaturedDataset


def features_sha256(dataset: FeaturedDataset) -> str:
    """Return the sha256 of the features and keys of all photos in the split; independent of the order of the rows."""
    rows = np.concatenate([part for _, part in dataset.split.parts()]).tolist()
    each = (hashlib.sha256(dataset.keys[row].encode() + b"\0" + dataset.features[row].tobytes()) for row in rows)
    return hashlib.sha256(b"".join(sorted(digest.digest() for digest in each))).hexdigest()


def describe_data(dataset: FeaturedDataset) -> dict[str, Any]:
    """Return the dataset, its split and features, and the backbone, as JSON values to record with a result."""
    return {
        "dataset": {
            "name": dataset.name,
            "split_sha256": dataset.split_sha256,
            "features_sha256": features_sha256(dataset),
        },
        "backbone": dataset.backbone.to_dict(),
    }


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Return one phrase for each value in which two nested dictionaries differ."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        before, now = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            found += differences(before, now, f"{prefix}{key}.")
        elif before != now:
            found.append(f"{prefix}{key} was {before!r} and is {now!r}")
    return found
