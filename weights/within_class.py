"""Write statistics of the embedded backbone, for two sizes of photos: python weights/within_class.py FOLDER [PHOTOS]

FOLDER is the dataset folder of `train_animals.py`, with known.csv; add PHOTOS if its photos are elsewhere. Only its
trainval photos are used. The covariance of features within a class is kept as its 128 largest directions and a multiple
of the identity; all values are in half precision.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from revcd_cli.data.datasets.dataset import FeaturedDataset
from revcd_cli.data.datasets.open import open_dataset
from revcd_cli.pipeline.extract.dataset_features import with_features
from revcd_cli.pipeline.known_classes.shipped_statistics import STATISTICS_FILES
from revcd_cli.pipeline.known_classes.training_rows import classifier_means

DIRECTIONS = 128


def main(folder: str, photos: str | None = None) -> None:
    opened = open_dataset(folder, images=Path(photos) if photos else None, missing="mean")
    for backbone, file in STATISTICS_FILES.items():
        write(with_features(opened, backbone=backbone, precision="float32", on_note=print), file)


def write(dataset: FeaturedDataset, file: str) -> None:
    means = classifier_means(dataset, dataset.split)
    residuals = means.within.residuals
    values, vectors = torch.linalg.eigh(residuals.T @ residuals / len(residuals))  # ascending
    kept, rest = values[-DIRECTIONS:], values[:-DIRECTIONS].sum() / len(values)
    factor = (DIRECTIONS * kept).sqrt().unsqueeze(1) * vectors[:, -DIRECTIONS:].T  # factor^T factor / DIRECTIONS
    np.savez_compressed(
        Path(__file__).parent / file,
        factor=factor.numpy().astype(np.float16),
        rest=float(rest),
        centre=means.centre.numpy().astype(np.float16),
        centre_weights=means.centre_weights.numpy().astype(np.float16),
        scale=means.scale,
        non_negative=means.non_negative,
        weights_sha256=dataset.backbone.weights_sha256,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
