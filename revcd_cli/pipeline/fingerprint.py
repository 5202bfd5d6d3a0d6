"""What a result depends on: to be recorded with it, and to be compared before interrupted work is gone on with."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from ..data.datasets.dataset import FeaturedDataset


def features_sha256(dataset: FeaturedDataset) -> str:
    """Return the sha256 of the features of all photos in the split, each with its key; their order does not matter."""
    rows = np.concatenate([part for _, part in dataset.split.parts()]).tolist()
    each = (hashlib.sha256(dataset.keys[row].encode() + b"\0" + dataset.features[row].tobytes()) for row in rows)
    return hashlib.sha256(b"".join(sorted(digest.digest() for digest in each))).hexdigest()


def describe_data(dataset: FeaturedDataset) -> dict[str, Any]:
    """Return, as plain JSON values, which photos and features a result is about."""
    return {
        "dataset": {
            "name": dataset.name,
            "split_sha256": dataset.split_sha256,
            "features_sha256": features_sha256(dataset),
        },
        "backbone": dataset.backbone.to_dict(),
    }


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Return one sentence for each leaf in which two nested dictionaries differ."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        before, now = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            found += differences(before, now, f"{prefix}{key}.")
        elif before != now:
            found.append(f"{prefix}{key} was {before!r} and is {now!r}")
    return found
