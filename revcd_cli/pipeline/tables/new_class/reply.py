"""Check and correct the values that a language model gives: it describes known classes, too, as controls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ....data.classes.attributes import ClassAttributes
from ....errors import InputFileError, listed

LEAST_CONTROLS = 3
LEAST_CORRELATION = 0.5  # of a reply's values of the controls with the table's; below it the reply is refused
_LEAST_OF_ATTRIBUTE = -0.3  # of one attribute over the controls, which are few; below it its answer is left out
_WEIGHT = 4  # of each of the two points on the line of no change, in controls; 3 to 8 did equally well
_FLAT = 0.25  # standard deviations: controls that vary less in the table cannot check an attribute
_NAMED = 5


class Reply(NamedTuple):
    """The values of a reply, for K attributes and N control classes."""

    columns: list[int]  # (K,) of the table
    answers: list[float]  # (K,) values of the new class
    of_controls: list[list[float]]  # (K, N)
    controls: list[int]  # (N,) rows of the table


@dataclass(frozen=True)
class Corrected:
    """Values to take: column, value and standard deviation of its error each."""

    values: list[tuple[int, float, float]]
    notes: tuple[str, ...]


def correct(reply: Reply, classes: ClassAttributes, source: Path) -> Corrected:
    """Correct each attribute linearly, so that the reply's values of the controls agree with the table's.

    The line is the least-squares fit over the controls and over two points on the line of no change, one standard
    deviation below and above the mean of the column; so a few controls change it only as far as they agree. Attributes
    whose controls contradict the table are left out. A corrected value stays in the range of the column and the answer.
    Raises `InputFileError` if the controls as a whole do not follow the table.
    """
    if len(reply.controls) < LEAST_CONTROLS:
        raise InputFileError(
            source,
            f"describes {len(reply.controls)} known classes beside the new one; to check the values it needs at least "
            f"{LEAST_CONTROLS}.",
            hint="Ask again with the text of --prompt. A file of values to take as they are has the columns attribute "
            "and value.",
        )
    if not reply.columns:
        raise InputFileError(source, "has no line with a value for every class.")
    columns = np.array(reply.columns)
    table = classes.values.astype(np.float64)[:, columns]  # (C, K)
    mean, unit = table.mean(axis=0), table.std(axis=0)
    unit = np.where(unit > 0, unit, 1.0)
    said = (np.array(reply.of_controls) - mean[:, None]) / unit[:, None]  # (K, N)
    true = (table[reply.controls].T - mean[:, None]) / unit[:, None]
    agreement = _correlation(said.ravel(), true.ravel())
    if not agreement >= LEAST_CORRELATION:
        raise InputFileError(
            source,
            f"the values of the known classes ({listed([classes.names[k] for k in reply.controls], _NAMED)}) do not "
            f"agree with the table: correlation {agreement:.2f}, at least {LEAST_CORRELATION:g} is needed.",
            hint="The values of the new class are probably as wrong. Ask again, or another language model.",
        )
    taken, left_out = [], []
    for place, column in enumerate(reply.columns):
        if true[place].std() > _FLAT and not _correlation(said[place], true[place]) >= _LEAST_OF_ATTRIBUTE:
            left_out.append(classes.attributes[column])
            continue
        value, spread = _on_line(said[place], true[place], (reply.answers[place] - mean[place]) / unit[place])
        low, high = min(table[:, place].min(), reply.answers[place]), max(table[:, place].max(), reply.answers[place])
        value = float(np.clip(value * unit[place] + mean[place], low, high))
        taken.append((column, value, float(spread * unit[place])))
    notes = [
        f"{len(taken):,} values were taken from {source}; its values of known classes have a correlation of "
        f"{agreement:.2f} with the table, and each attribute was corrected by them."
    ]
    if left_out:
        notes.append(f"Left out, as the values of the known classes contradict the table: {listed(left_out, _NAMED)}.")
    return Corrected(taken, tuple(notes))


def _on_line(said: np.ndarray, true: np.ndarray, answer: float) -> tuple[float, float]:
    """Return the corrected answer and the error (root mean square) of corrected controls, in standardised values."""
    x, y = np.append(said, [-1.0, 1.0]), np.append(true, [-1.0, 1.0])
    weights = np.append(np.ones(len(said)), [_WEIGHT, _WEIGHT]) / (len(said) + 2 * _WEIGHT)
    centred = x - weights @ x
    slope = max(float((weights * centred) @ y / (weights @ centred**2)), 0.0)
    offset = float(weights @ y - slope * (weights @ x))
    return offset + slope * answer, float(np.sqrt(np.mean((offset + slope * said - true) ** 2)))


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    scale = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / scale if scale > 0 else 0.0
