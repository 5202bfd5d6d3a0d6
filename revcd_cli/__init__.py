"""revcd: recognise classes of which nobody has a photo.

    from revcd_cli import Predictor

    for prediction in Predictor.from_checkpoint("animals").predict(["photo.jpg"]):
        print(prediction.path, prediction.best.name, prediction.best.probability)

The names below are loaded on first use, so that `import revcd_cli` costs nothing.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_LAZY = {
    "Predictor": ".pipeline.predict.predictor",
    "Prediction": ".pipeline.predict.predictions",
    "Candidate": ".pipeline.predict.predictions",
    "extract": ".pipeline.extract.extract",
    "train": ".pipeline.train.train",
    "evaluate": ".pipeline.evaluate.evaluate",
    "load_checkpoint": ".checkpoint.model_file",
    "RevcdError": ".errors",
}
__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
