"""The description of a new class in steps: start from what is known, answer questions, see the nearest classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ....data.classes.attributes import ClassAttributes, align, class_key
from ....data.classes.glossary import Entry
from ....data.classes.imputation import RowDistribution, error_factor
from ....data.classes.levels import WORDS, level_values, parse_value
from ....data.classes.scale import row_findings
from ....data.findings import Finding
from ....errors import UsageError, did_you_mean
from ..description_space import DescriptionSpace
from .draft import ASKED, IMPUTED, LIKE, Answer, Draft
from .neighbours import Near, Neighbours

_DOUBT = 2.0  # standard deviations of a value within which an answer is expected
_AHEAD = 5  # next questions that must all leave the nearest classes as they are before the questions end
_NEAREST_SHARE_LEAST = 1e-3  # of the variance around relatives, so that answers can still move the draft


class Question(NamedTuple):
    """A question about one attribute of the new class."""

    column: int
    attribute: str
    text: str
    reliability: float | None  # how well photos show it
    value: float  # of the draft
    spread: float  # standard deviation of this value
    levels: list[tuple[str, float, str]]  # word, its value, and a class with about this value


@dataclass(eq=False)
class NewClass:
    """A new class, its draft, and the classes that it is compared with."""

    name: str
    draft: Draft
    neighbours: Neighbours
    glossary: dict[str, Entry]
    candidates: ClassAttributes  # the other classes of the table, without those that only the model has
    photos: tuple[str, ...] = ()  # paths of photos of it

    @classmethod
    def start(
        cls,
        name: str,
        table: ClassAttributes,
        known: DescriptionSpace | None = None,
        *,
        like: Sequence[tuple[str, float]] = (),
        glossary: dict[str, Entry] | None = None,
    ) -> NewClass:
        """Begin the description of a class.

        table: the table that it is added to. known: the model whose attributes and comparisons are used; its classes
        join those of the table. like: classes that it resembles, with weights. Raises `InputFileError` if the
        attributes are not those of the model, and `UsageError` for an unknown class in `like`.
        """
        classes = all_classes(table, known)
        others = classes.select([each for each in classes.names if class_key(each) != class_key(name)])
        if not others.names:
            raise UsageError(f"{table.source}: has no class but {name}, so there is nothing to compare it with.")
        values = others.values.astype(np.float64)
        rows, origin = RowDistribution.of(values), IMPUTED
        if like:
            rows, origin = rows.moved(_mixture(others, like), _distance_to_relatives(values)), LIKE
        draft = Draft(
            attributes=others.attributes,
            rows=rows,
            low=values.min(axis=0),
            high=values.max(axis=0),
            levels=level_values(values),
            origins=[origin] * len(others.attributes),
        )
        own = {class_key(each) for each in table.names}
        candidates = others.select([each for each in others.names if class_key(each) in own])
        return cls(name, draft, Neighbours.of(others, known), glossary or {}, candidates)

    def column(self, attribute: str) -> int:
        """Return the column of an attribute. Raises `UsageError` for an unknown one, with the nearest name."""
        names = [each.casefold() for each in self.draft.attributes]
        if attribute.strip().casefold() not in names:
            raise UsageError(f'There is no attribute "{attribute}"{did_you_mean(attribute, self.draft.attributes)}.')
        return names.index(attribute.strip().casefold())

    def parse(self, column: int, text: str) -> float:
        """Return the value of an answer to a question. Raises `ValueError`, see `parse_value`."""
        return parse_value(text, self.draft.levels[:, column])

    def give(self, column: int, value: float, origin: str = ASKED, spread: float = 0.0) -> None:
        """Take an answer for a column, in place of an earlier one."""
        self.draft.answers.pop(column, None)
        self.draft.answers[column] = Answer(value, origin, spread)

    def is_described(self) -> bool:
        """Return whether anything is known of the class, so that its row is not just the mean of the others."""
        return bool(self.draft.answers) or any(origin != IMPUTED for origin in self.draft.origins)

    def row(self) -> np.ndarray:
        """Return the row of the draft, rounded to four digits of the range of each attribute: (A,) float32."""
        return _rounded(self.draft.estimate().values, self.draft.high - self.draft.low).astype(np.float32)

    def spread(self) -> np.ndarray:
        """Return the standard deviation of each value's error (A,), checked on rows of the table (`error_factor`)."""
        given = np.isin(np.arange(len(self.draft.attributes)), list(self.draft.answers))
        factor = error_factor(self.neighbours.table.values, given[None])
        return np.where(given, 1.0, factor) * self.draft.estimate().spread

    def nearest(self, count: int = 3) -> list[Near]:
        """Return the classes that the draft resembles most."""
        return self.neighbours.nearest(self.draft.estimate().values, count)

    def verdict(self) -> str | None:
        """Return advice if the draft is too similar to a class, else None."""
        return self.neighbours.verdict(self.name, self.row())

    def taken_photos(self) -> list[Finding]:
        """Return a warning if the class would take many photos of a seen class of the table, see `taken_photos`.

        Classes of the model that the table lacks are no candidates, and are left out. Without a model: no warning.
        """
        known = self.neighbours.known
        photos = known.seen_photos if known else None
        if photos is None:
            return []
        values = np.concatenate([self.candidates.values, self.row()[None]])
        return photos.findings((*self.candidates.names, self.name), values, about=self.name)

    def scale_findings(self) -> list[Finding]:
        """Return errors and warnings about given values on another scale than the table, see `scale.row_findings`.

        Only the columns of given values are compared, as the others are on the scale of the table.
        """
        columns = list(self.draft.answers)
        if not columns:
            return []
        others = self.neighbours.table
        names = tuple(self.draft.attributes[column] for column in columns)
        own = ClassAttributes((self.name,), names, self.row()[None, columns], "", "")
        return row_findings(own, replace(others, attributes=names, values=others.values[:, columns]))

    def question(self) -> Question | None:
        """Return the most telling question, or None if all attributes are known."""
        column = self.draft.next_column()
        if column is None:
            return None
        estimate, name = self.draft.estimate(), self.draft.attributes[column]
        entry = self.glossary.get(name)
        known = self.neighbours.known
        return Question(
            column=column,
            attribute=name,
            text=entry.question if entry else f"How much {name}?",
            reliability=known.reliability[name] if known and known.reliability else None,
            value=float(estimate.values[column]),
            spread=float(estimate.spread[column]),
            levels=self._levels(column),
        )

    def could_move(self) -> bool:
        """Return whether one of the next questions could change what `would_move` compares."""
        draft = self.draft
        ahead = draft.rows.question_order(_AHEAD, asked=list(draft.answers), skip=draft.skipped)
        return any(self.would_move(column) for column in ahead)

    def would_move(self, column: int) -> bool:
        """Return whether some expected answer would change the nearest classes, or whether they are too similar.

        Expected answers are the present value, and two standard deviations below and above it.
        """
        estimate = self.draft.estimate()
        value, reach = float(estimate.values[column]), _DOUBT * float(estimate.spread[column])
        low = max(value - reach, float(self.draft.low[column]))
        high = min(value + reach, float(self.draft.high[column]))
        supposed = [self.draft.estimate({column: answer}).values for answer in (low, value, high)]
        return len(set(self.neighbours.outcomes(np.stack([estimate.values, *supposed])))) > 1

    def _levels(self, column: int) -> list[tuple[str, float, str]]:
        values = self.neighbours.table.values[:, column].astype(np.float64)
        return [
            (word, float(level), self.neighbours.table.names[int(np.abs(values - level).argmin())])
            for word, level in zip(WORDS, self.draft.levels[:, column], strict=True)
        ]


def all_classes(table: ClassAttributes, known: DescriptionSpace | None) -> ClassAttributes:
    """Return the classes of a table and, after them, those of the model that it lacks, in the model's columns."""
    if known is None:
        return table
    own = align(table, known.classes.attributes)
    keys = {class_key(name) for name in own.names}
    more = [name for name in known.classes.names if class_key(name) not in keys]
    rest = known.classes.select(more)
    names, values = own.names + rest.names, np.concatenate([own.values, rest.values])
    return ClassAttributes(names, own.attributes, values, own.source, own.sha256)


def _mixture(classes: ClassAttributes, like: Iterable[tuple[str, float]]) -> np.ndarray:
    """Return the weighted mean (A,) of the rows of some classes."""
    like = list(like)
    keys = {class_key(name): row for row, name in enumerate(classes.names)}
    for name, weight in like:
        if class_key(name) not in keys:
            raise UsageError(f'There is no class "{name}" to start from{did_you_mean(name, classes.names)}.')
        if not weight > 0:
            raise UsageError(f'The weight of "{name}" is {weight:g}; it must be above 0.')
    weights = np.array([weight for _, weight in like])
    rows = classes.values[[keys[class_key(name)] for name, _ in like]].astype(np.float64)
    return weights @ rows / weights.sum()


def _distance_to_relatives(values: np.ndarray) -> float:
    """Return how far classes (C, A) are from their nearest class, in units of their distance from the mean.

    Both are root mean squares, in standardised values. A class that is described by its relatives differs from them
    about as much, so this is the factor of the standard deviations of its values.
    """
    scale = values.std(axis=0)
    units = (values - values.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    squares = (units**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * units @ units.T
    np.fill_diagonal(distances, np.inf)
    if len(values) < 2 or squares.mean() == 0:
        return 1.0
    share = float(distances.min(axis=1).clip(min=0).mean() / squares.mean())
    return float(np.sqrt(np.clip(share, _NEAREST_SHARE_LEAST, 1.0)))


def _rounded(values: np.ndarray, span: np.ndarray) -> np.ndarray:
    digits = 4 - np.floor(np.log10(np.where(span > 0, span, 1.0))).astype(int)
    return np.array([round(float(value), int(places)) for value, places in zip(values, digits, strict=True)])
