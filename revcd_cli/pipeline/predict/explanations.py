"""Explain a prediction: the attributes generated from the photo, and the class descriptions to compare them with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...data.classes.attributes import ClassAttributes, class_key


@dataclass(frozen=True)
class GeneratedAttributes:
    """The attributes generated from one photo: mean and spread over the samples, (A,) each, in values of the table."""

    mean: tuple[float, ...]
    spread: tuple[float, ...]  # standard deviation

    @property
    def is_finite(self) -> bool:
        """Whether all values are finite."""
        return all(map(math.isfinite, (*self.mean, *self.spread)))


@dataclass(frozen=True, eq=False)
class CandidateDescriptions:
    """The descriptions of the candidate classes, and the scale of each attribute."""

    rows: dict[str, np.ndarray]  # description, (A,) float32, by class name
    attributes: tuple[str, ...]  # (A,)
    low: np.ndarray  # (A,) float64: minimum over classes
    span: np.ndarray  # (A,) float64, positive: maximum minus minimum
    unit: np.ndarray  # (A,) float64, positive: standard deviation over classes
    average: np.ndarray  # (A,) float64: mean over classes
    reliability: tuple[float | None, ...]  # (A,) correlation of generated and true values, if validation measured it

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        values: np.ndarray,
        known: ClassAttributes,
        reliability: Mapping[str, float | None] | None = None,
    ) -> CandidateDescriptions:
        """Return the descriptions of these classes, values (C, A), with scales over them and the classes of the model.

        A table of few classes alone does not determine the range of an attribute. known: the model's table with the
        same attributes in the same order; classes with the name of a candidate are left out. reliability: by attribute.
        """
        own = {class_key(name) for name in names}
        others = [row for row, name in enumerate(known.names) if class_key(name) not in own]
        table = np.concatenate([values, known.values[others]]).astype(np.float64)
        span, unit = np.ptp(table, axis=0), table.std(0)
        return cls(
            rows=dict(zip(names, values, strict=True)),
            attributes=known.attributes,
            low=table.min(0),
            span=np.where(span > 0, span, 1.0),
            unit=np.where(unit > 0, unit, 1.0),
            average=table.mean(0),
            reliability=tuple((reliability or {}).get(name) for name in known.attributes),
        )
