"""Zero-shot image classification: name the classes that photos show, also classes without training photos.

    from revcd_cli import Predictor

    for prediction in Predictor.from_checkpoint("animals").predict(["photo.jpg"]):
        print(prediction.path, prediction.best.name, prediction.best.probability)

The names below are imported on first use, so that `import revcd_cli` loads no library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .version import __version__

if TYPE_CHECKING:  # the same names as in _MODULES, for type checkers and editors
    from .checkpoint.model_file import load_checkpoint
    from .data.classes.attributes import ClassAttributes
    from .data.datasets.dataset import Dataset
    from .data.features.feature_set import FeatureSet
    from .data.features.files import read_features
    from .errors import RevcdError
    from .pipeline.estimator.estimator import ZeroShotClassifier
    from .pipeline.evaluate.evaluate import evaluate
    from .pipeline.extract.extract import extract
    from .pipeline.predict.predictions import Candidate, Prediction
    from .pipeline.predict.predictor import Predictor
    from .pipeline.train.train import train

__all__ = [
    "Candidate",
    "ClassAttributes",
    "Dataset",
    "FeatureSet",
    "Prediction",
    "Predictor",
    "RevcdError",
    "ZeroShotClassifier",
    "__version__",
    "evaluate",
    "extract",
    "load_checkpoint",
    "read_features",
    "train",
]

_MODULES = {
    "Candidate": ".pipeline.predict.predictions",
    "ClassAttributes": ".data.classes.attributes",
    "Dataset": ".data.datasets.dataset",
    "FeatureSet": ".data.features.feature_set",
    "Prediction": ".pipeline.predict.predictions",
    "Predictor": ".pipeline.predict.predictor",
    "RevcdError": ".errors",
    "ZeroShotClassifier": ".pipeline.estimator.estimator",
    "evaluate": ".pipeline.evaluate.evaluate",
    "extract": ".pipeline.extract.extract",
    "load_checkpoint": ".checkpoint.model_file",
    "read_features": ".data.features.files",
    "train": ".pipeline.train.train",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
