"""Why a class was answered: what the model drew from a photo, and the class descriptions that it is compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...data.classes.attributes import ClassAttributes, class_key


@dataclass(frozen=True)
class Drawn:
    """The attributes that the model draws from one photo, over its samples, in the class table's values: (A,) each."""

    mean: tuple[float, ...]
    spread: tuple[float, ...]  # standard deviation

    @property
    def is_finite(self) -> bool:
        """Whether every number can be shown."""
        return all(map(math.isfinite, (*self.mean, *self.spread)))


@dataclass(frozen=True, eq=False)
class Descriptions:
    """The candidate classes by attributes, and the measure of each attribute that makes differences comparable."""

    rows: dict[str, np.ndarray]  # (A,) float32 by the name of the class
    attributes: tuple[str, ...]  # (A,)
    low: np.ndarray  # (A,) float64: the least value in a table
    span: np.ndarray  # (A,) float64, above 0: from the least to the greatest
    unit: np.ndarray  # (A,) float64, above 0: the standard deviation over classes
    average: np.ndarray  # (A,) float64: the mean over classes
    reliability: tuple[float | None, ...]  # (A,): how well drawn values follow descriptions, if validation measured it

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        values: np.ndarray,
        known: ClassAttributes,
        reliability: Mapping[str, float | None] | None = None,
    ) -> Descriptions:
        """Return the descriptions of these classes, values (C, A), measured together with the model's own.

        A table of a few classes alone says too little of an attribute's range. known: the model's table with the same
        attributes in the same order; its class gives way to one of the same name. reliability: by attribute name.
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
