"""The draft of a new class's row: what is known of it, and the expected values of the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ....data.classes.imputation import Estimate, RowDistribution

ASKED, SET, LIKE, PHOTOS, IMPUTED = "asked", "set", "like", "photos", "imputed"
ORIGINS = (ASKED, SET, LIKE, PHOTOS, IMPUTED)


class Answer(NamedTuple):
    """A value that was given for an attribute."""

    value: float
    origin: str  # ASKED or SET
    spread: float = 0.0  # standard deviation of its error; 0 if it is taken as exact


@dataclass(eq=False)
class Draft:
    """The row of a new class: answers, and a Gaussian from which the other values follow.

    rows: the Gaussian before any answer, (A,) and (A, A). low, high: (A,) range of the table, which bounds expected
    values but no answers. levels: (5, A) value of each word. origins: (A,) of values without answer.
    """

    attributes: tuple[str, ...]
    rows: RowDistribution
    low: np.ndarray
    high: np.ndarray
    levels: np.ndarray
    origins: list[str]
    answers: dict[int, Answer] = field(default_factory=dict)  # by column, in the order in which they were given
    skipped: list[int] = field(default_factory=list)  # columns whose question was answered with "do not know"

    def estimate(self, also: dict[int, float] | None = None) -> Estimate:
        """Return values and standard deviations (A,), given the answers. also: answers to suppose, by column."""
        known = {column: answer.value for column, answer in self.answers.items()} | (also or {})
        columns = list(known)
        found = self.rows.given(columns, list(known.values()))
        values = found.values.clip(self.low, self.high)
        values[columns] = list(known.values())
        spread = found.spread
        for column, answer in self.answers.items():
            spread[column] = answer.spread
        return Estimate(values, spread)

    def next_column(self) -> int | None:
        """Return the column whose answer would tell most, or None if nothing is left to ask."""
        left = self.rows.question_order(1, asked=list(self.answers), skip=self.skipped)
        return left[0] if left else None

    def origin(self, column: int) -> str:
        """Return where the value of a column comes from."""
        answer = self.answers.get(column)
        return self.origins[column] if answer is None else answer.origin
