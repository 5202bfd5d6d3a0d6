"""Predictions on a terminal: all candidates of a single photo, or one line for each of many."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from . import console, drawing

if TYPE_CHECKING:
    from rich.text import Text

    from ...pipeline.predict.predictions import Candidate, Prediction

_PATH = 44  # characters, or fewer on a narrow terminal; the middle of longer paths is left out
_HELD = 500  # photos; more are printed in several tables, so that memory does not grow with their number


class Answers:
    """Collects predictions and prints them as tables; a context manager."""

    def __init__(self) -> None:
        self.held: list[Prediction] = []
        self.printed = False

    def write(self, prediction: Prediction) -> None:
        self.held.append(prediction)
        if len(self.held) >= _HELD:
            self._print()

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.held:  # also after Ctrl-C: what is known is shown
            self._print()

    def _print(self) -> None:
        one = len(self.held) == 1 and not self.printed
        if one and self.held[0].candidates:
            _print_one(self.held[0])
        else:
            _print_many(self.held)
        self.held, self.printed = [], True


def _print_one(prediction: Prediction) -> None:
    rows = [
        [str(rank), candidate.name, _probability(candidate), drawing.standing(candidate.seen), f"{candidate.score:.3f}"]
        for rank, candidate in enumerate(prediction.candidates, 1)
    ]
    console.result(prediction.path)
    console.result_table(["", "class", "probability", "", "score"], rows, right=("", "score"))


def _print_many(predictions: list[Prediction]) -> None:
    from rich.text import Text

    from ...pipeline.predict.predictions import NONE_OF_THESE, REJECTED

    rows = []
    for prediction in predictions:
        path = drawing.shortened(console.safe(prediction.path), _PATH)
        if prediction.best is None:
            rejected = prediction.status == REJECTED
            answer = NONE_OF_THESE if rejected else f"failed: {console.safe(prediction.reason).replace('_', ' ')}"
            rows.append([path, Text(answer, drawing.WARNING if rejected else drawing.FAILED), "", "", ""])
            continue
        best, *others = prediction.candidates
        runner_up = f"{others[0].name} {others[0].probability:.0%}" if others else ""
        rows.append([path, best.name, _probability(best), drawing.standing(best.seen), runner_up])
    console.result_table(["photo", "class", "probability", "", "next"], rows, optional=("next", ""), elided=("photo",))


def _probability(candidate: Candidate) -> str | Text:
    figure = f"{candidate.probability:4.0%}"
    return drawing.bar_cell(candidate.probability, figure, drawing.colour_of(candidate.seen))
