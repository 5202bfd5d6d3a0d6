"""A data set folder with features and no photos: fast to train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from revcd_cli.config import BackboneRecord
from revcd_cli.data.features.feature_set import FeatureSet
from revcd_cli.data.features.files import write_features

SMALL = [
    *("--set", "train.epochs=1", "--set", "diffusion.timesteps=20", "--set", "denoiser.width=16"),
    *("--set", "encoder.n_tokens=4", "--set", "encoder.width=16", "--set", "encoder.heads=2"),
    *("--set", "prototypes.components=16", "--set", "train.validation_folds=2"),
    *("--set", "prototypes.length=2", "--set", "prototypes.noise=0.2", "--set", "prototypes.own_share=0.1"),
    *("--set", "class_network.width=16", "--set", "class_network.epochs=2"),
]


def make_feature_folder(folder: Path) -> Path:
    """Write 4 seen and 2 unseen classes of 10 photos each, with 5 attributes."""
    generator = np.random.default_rng(0)
    names = [f"class {k}" for k in range(6)]
    table = generator.normal(size=(6, 5))
    rows = [["class", *"abcde"], *([name, *values] for name, values in zip(names, table.tolist(), strict=True))]
    (folder / "attributes.csv").write_text("".join(f"{','.join(map(str, row))}\n" for row in rows))
    paths, labels, lines = [], [], ["path,class,split"]
    for label, name in enumerate(names):
        for number in range(10):
            part = "test_unseen" if label >= 4 else "test_seen" if number < 3 else "trainval"
            paths.append(f"{name}/{number}.jpg")
            labels.append(label)
            lines.append(f"{paths[-1]},{name},{part}")
    (folder / "images.csv").write_text("\n".join(lines) + "\n")
    features = table[labels] @ generator.normal(size=(5, 8)) + 0.1 * generator.normal(size=(60, 8))
    block = FeatureSet(
        paths=tuple(paths),
        features=features.astype(np.float32),
        status=("ok",) * 60,
        reason=("",) * 60,
        sha256=("",) * 60,
        backbone=BackboneRecord(tag="toy", weights_sha256="ab", preprocessing={}, feature_dim=8),
    )
    write_features(folder / "features.parquet", [block])
    return folder


def data_options(folder: Path) -> list[str]:
    """Return the command-line options that read the folder."""
    return ["--dataset", str(folder), "--features", str(folder / "features.parquet")]
