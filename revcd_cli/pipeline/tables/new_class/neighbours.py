"""The classes that a new row resembles most, and whether it can be distinguished from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ....data.classes.attributes import ClassAttributes
from ....data.classes.similarity import unit_rows
from ..description_space import DescriptionSpace, spreads, varies
from ..suggest import BOUND, PreparedTable, describe_pair

_SHOWN = 3  # nearest classes that are compared before and after an answer


class Near(NamedTuple):
    """A class, and the cosine of its description with that of the new class."""

    name: str
    cosine: float


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The other classes of the table, and how descriptions are compared."""

    table: ClassAttributes  # without the new class, with the attributes of the model
    known: DescriptionSpace | None  # None: by values standardised over the table
    units: np.ndarray  # (C, F)

    @classmethod
    def of(cls, table: ClassAttributes, known: DescriptionSpace | None) -> Neighbours:
        return cls(table, known, _units(table.values, table, known))

    def nearest(self, row: np.ndarray, count: int = _SHOWN) -> list[Near]:
        """Return the classes that are most similar to a row (A,), the nearest first."""
        cosines = self._cosines(row[None])[0]
        return [Near(self.table.names[k], float(cosines[k])) for k in _best(cosines, count)]

    def outcomes(self, rows: np.ndarray) -> list[tuple[object, ...]]:
        """Return for each row (N, A) its nearest classes in order, and whether it is too similar to the first."""
        return [
            (*(self.table.names[k] for k in _best(cosines, _SHOWN)), bool(cosines.max(initial=-1.0) > BOUND))
            for cosines in self._cosines(rows)
        ]

    def verdict(self, name: str, row: np.ndarray) -> str | None:
        """Return what `classes suggest` would advise on the new class and the nearest one; None if they differ enough.

        name, row: (A,) of the new class.
        """
        near = self.nearest(row, 1)
        if not near or near[0].cosine <= BOUND:
            return None
        other = self.table.select([near[0].name])
        values = np.stack([row.astype(np.float32), other.values[0]])
        pair = ClassAttributes((name, near[0].name), self.table.attributes, values, self.table.source, "")
        spread = spreads(self.table.values if self.known is None else self.known.classes.values)
        compared = PreparedTable(pair, np.empty(0), spread, self.known)
        advice: str = describe_pair(compared, near[0].cosine, 0, 1, BOUND)["advice"]
        return advice

    def _cosines(self, rows: np.ndarray) -> np.ndarray:
        return (_units(rows, self.table, self.known) @ self.units.T).clip(-1, 1)


def _best(cosines: np.ndarray, count: int) -> list[int]:
    return [int(k) for k in np.argsort(-cosines, kind="stable")[:count]]


def _units(rows: np.ndarray, table: ClassAttributes, known: DescriptionSpace | None) -> np.ndarray:
    """Return rows (N, A) as unit rows (N, F), as the model compares them or standardised over the table."""
    if known is not None:
        return known.units(rows)
    values = table.values.astype(np.float64)
    return unit_rows(np.where(varies(values), rows - values.mean(axis=0), 0) / spreads(values))
