"""`ZeroShotClassifier`: train and predict on arrays with the interface of scikit-learn."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...checkpoint.model_file import Checkpoint, save_checkpoint
from ...config import BackboneRecord, Config
from ...data.classes.attributes import ClassAttributes, class_positions
from ...data.datasets.dataset import Dataset
from ...errors import ArrayError, listed
from ...scoring.rows import score_rows
from ...system.device import choose_device
from ...system.files import check_output
from ..predict.candidates import CandidateClasses, candidate_classes
from ..train.train import train_in_memory
from .arrays import class_table, column_names, feature_array, label_array
from .conventions import not_fitted, sklearn_tags

if TYPE_CHECKING:
    from typing_extensions import Self

Sections = dict[str, dict[str, Any]]
# Without descriptions there are no unseen classes: linear discriminants of the classes' own photos, without validation.
_PHOTOS_ALONE: Sections = {
    "inference": {"rule": "prototype"},
    "prototypes": {"own_share": 1.0},
    "train": {"epochs": 1, "validation_classes": 0.0},
}

Descriptions = ClassAttributes | str | Path | Mapping[Any, Any]


class ZeroShotClassifier:
    """RevCD for features in memory: names classes that have a description, with or without training photos.

    It follows scikit-learn's conventions and works in its pipelines and searches, but does not need it.

    Parameters:
        rule: "auto" (validation chooses), "evidence", "prototype", "joint" or "cosine".
        epochs: of the training, at most; validation chooses how many are kept.
        settings: further settings by section, as in a TOML file: {"train": {"penalty": "harmonic"}}; or a `Config`.
            They take precedence over rule and epochs.
        random_state: the seed; equal seeds give equal models.
        device: "auto", "cpu", "cuda" or "mps".
        processes: of the training; None chooses.

    After `fit`: `classes_` (C,), all described classes, sorted; `seen_classes_`, those with photos; `n_features_in_`;
    `feature_names_in_`, if X was a data frame; and `checkpoint_`, the model.

    >>> import numpy as np
    >>> from revcd_cli import ZeroShotClassifier
    >>> animals = {"zebra": [1, 1, 0], "horse": [0, 1, 0], "wolf": [0, 0, 1], "okapi": [1, 1, 1], "tiger": [1, 0, 1]}
    >>> random = np.random.default_rng(0)
    >>> names = np.repeat(["zebra", "horse", "wolf", "tiger"], 20)  # no okapi
    >>> X = np.array([animals[name] for name in names]) @ random.normal(size=(3, 16)) + random.normal(size=(80, 16)) / 5
    >>> classifier = ZeroShotClassifier(epochs=2).fit(X, names, class_descriptions=animals)
    >>> classifier.classes_.tolist()
    ['horse', 'okapi', 'tiger', 'wolf', 'zebra']
    >>> classifier.predict_proba(X[:2]).shape
    (2, 5)
    """

    classes_: np.ndarray
    seen_classes_: np.ndarray
    n_features_in_: int
    feature_names_in_: np.ndarray
    checkpoint_: Checkpoint

    def __init__(
        self,
        *,
        rule: str = "auto",
        epochs: int = 20,
        settings: Mapping[str, Any] | Config | None = None,
        random_state: int = 0,
        device: str = "auto",
        processes: int | None = 1,
    ) -> None:
        self.rule = rule
        self.epochs = epochs
        self.settings = settings
        self.random_state = random_state
        self.device = device
        self.processes = processes

    def fit(
        self,
        X: Any,
        y: Any,
        class_descriptions: Descriptions | Any = None,
        *,
        backbone: BackboneRecord | None = None,
    ) -> Self:
        """Train on features X (N, D) of photos of the classes y (N,), and return the classifier itself.

        class_descriptions: a row of attributes for each class, also for classes without photos: a `ClassAttributes`,
        the path of a CSV file, a data frame with a row for each class, or a mapping from class to values. Without it,
        the classes are those of y, which are told apart by their photos alone. backbone: what computed the features; a
        model file needs it to classify photos. Raises `ArrayError`, a `ValueError`, for arrays that do not fit, and
        `ConfigError` for settings.
        """
        config = self._config(described=class_descriptions is not None)
        x = feature_array(X)
        labels = label_array(y, len(x))
        table, classes = class_table(class_descriptions, labels)
        rows = class_positions([str(label) for label in labels.tolist()], table.names)
        if (rows < 0).any():
            unknown = sorted({str(label) for label in labels[rows < 0].tolist()})
            raise ArrayError(f"class_descriptions has no row for classes of y: {listed(unknown, 3)}.")
        if len(np.unique(rows)) < 2:
            raise ArrayError("y has 1 class; at least two classes with photos are needed.")
        dataset = Dataset.from_arrays(
            x, [table.names[row] for row in rows], table, ["trainval"] * len(x), name="arrays", backbone=backbone
        )
        self.checkpoint_ = train_in_memory(
            dataset, config, seed=self.random_state, device=self.device, processes=self.processes
        )
        order = np.argsort(classes, kind="stable")
        self.classes_, self.seen_classes_ = classes[order], np.unique(classes[np.unique(rows)])
        self._order = order
        self.n_features_in_ = x.shape[1]
        if (names := column_names(X)) is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each row of X (N, D): (N,), of `classes_`."""
        best = self._scores(X).argmax(1)
        chosen: np.ndarray = self.classes_[best]
        return chosen

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities (N, C) of `classes_`; they are relative to these classes and sum to 1."""
        scores = self._scores(X) / self.checkpoint_.calibration_for(self._rule).temperature
        shares = np.exp(scores - scores.max(1, keepdims=True))
        probabilities: np.ndarray = shares / shares.sum(1, keepdims=True)
        return probabilities

    def score(self, X: Any, y: Any) -> float:
        """Return the share of rows of X (N, D) whose predicted class is that of y (N,)."""
        predicted = self.predict(X)
        return float(np.mean(predicted == label_array(y, len(predicted))))

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the model to a .safetensors file, for `load_checkpoint`, `Predictor` and `revcd predict --features`."""
        self._check_fitted()
        output = check_output(Path(path), overwrite=overwrite)
        save_checkpoint(output, self.checkpoint_)
        return output

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of the constructor by name. deep: has no effect; there are no nested estimators."""
        return {name: getattr(self, name) for name in _PARAMETERS}

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the constructor. Raises `ArrayError` for an unknown name."""
        for name, value in params.items():
            if name not in _PARAMETERS:
                raise ArrayError(f"Invalid parameter {name!r} for ZeroShotClassifier. Known: {', '.join(_PARAMETERS)}.")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        changed = [f"{name}={value!r}" for name, value in self.get_params().items() if value != defaults[name].default]
        return f"ZeroShotClassifier({', '.join(changed)})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "checkpoint_")

    def __sklearn_tags__(self) -> Any:
        return sklearn_tags()

    def _config(self, *, described: bool) -> Config:
        if isinstance(self.settings, Config):
            return self.settings
        own: Sections = {"inference": {"rule": self.rule}, "train": {"epochs": self.epochs}}
        own, given = own if described else _PHOTOS_ALONE, dict(self.settings or {})
        return Config.from_dict({name: {**own.get(name, {}), **given.get(name, {})} for name in {**own, **given}})

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise not_fitted()

    @property
    def _rule(self) -> str:
        return self.checkpoint_.model.config.inference.rule

    def _candidates(self) -> CandidateClasses:
        found = candidate_classes(self.checkpoint_)
        order = self._order.tolist()
        return replace(
            found,
            names=tuple(found.names[k] for k in order),
            prototypes=found.prototypes[order],
            own=found.own[order],
            kinds=tuple(found.kinds[k] for k in order),
        )

    def _scores(self, X: Any) -> np.ndarray:
        """Return calibrated scores (N, C) in float64, larger is better, in the order of `classes_`."""
        self._check_fitted()
        x = feature_array(X, self.n_features_in_, getattr(self, "feature_names_in_", None))
        checkpoint = self.checkpoint_
        model = checkpoint.model.to(choose_device(self.device).value)
        candidates = self._candidates().limited(model, self._rule)
        scores = score_rows(
            model,
            x,
            candidates.prototypes,
            model.config.inference,
            seed=checkpoint.seed,
            kinds=candidates.scoring_kinds(model),
        )
        calibration = checkpoint.calibration_for(self._rule)
        calibrated: np.ndarray = calibration.apply(scores, candidates.seen, candidates.limits).double().numpy()
        return calibrated


_PARAMETERS = tuple(sorted(set(inspect.signature(ZeroShotClassifier.__init__).parameters) - {"self"}))
