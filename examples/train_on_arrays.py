"""Train on features in memory and classify others of them: python examples/train_on_arrays.py"""

from pathlib import Path

import numpy as np

from revcd_cli import ClassAttributes, Dataset, evaluate, load_checkpoint, train
from revcd_cli.config import Config

# Six classes, described by eight attributes. The photos' features are a linear map of the description plus noise.
generator = np.random.default_rng(0)
names = ("zebra", "horse", "tiger", "wolf", "seal", "okapi")
values = generator.uniform(size=(len(names), 8)).astype(np.float32)
table = ClassAttributes(names, tuple(f"attribute {k}" for k in range(8)), values, source="example", sha256="")
labels = np.repeat(np.arange(len(names)), 30)
features = values[labels] @ generator.normal(size=(8, 32)) + 0.3 * generator.normal(size=(len(labels), 32))

# The okapi is unseen: it has no photos in trainval. Every third photo of the other classes is a test photo.
parts = [
    "test_unseen" if label == 5 else "test_seen" if row % 3 == 0 else "trainval" for row, label in enumerate(labels)
]
dataset = Dataset.from_arrays(features, [names[label] for label in labels], table, list(parts))

config = Config.from_dict({"train": {"epochs": 10, "validation_folds": 2}, "precondition": {"kind": "standardise"}})
train(dataset, config, Path("arrays.safetensors"), overwrite=True)
report = evaluate(load_checkpoint("arrays.safetensors"), dataset)
print(f"S {report.acc_seen:.0%}  U {report.acc_unseen:.0%}")
