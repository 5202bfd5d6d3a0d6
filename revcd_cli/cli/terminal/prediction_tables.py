"""Print predictions on a terminal: all candidates of a single photo, or one line per photo."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from . import charts, console

if TYPE_CHECKING:
    from rich.text import Text

    from ...pipeline.predict.predictions import Candidate, Prediction

_ROWS = 500  # photos per table; the memory does not grow with the number of photos


class PredictionTables:
    """Collects predictions and prints them as tables; a context manager."""

    def __init__(self) -> None:
        self.waiting: list[Prediction] = []
        self.printed = False

    def write(self, prediction: Prediction) -> None:
        self.waiting.append(prediction)
        if len(self.waiting) >= _ROWS:
            self._print()

    def __enter__(self) -> PredictionTables:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.waiting:  # after Ctrl-C too
            self._print()

    def _print(self) -> None:
        if len(self.waiting) == 1 and not self.printed and self.waiting[0].candidates:
            _print_candidates(self.waiting[0])
        else:
            _print_photos(self.waiting)
        self.waiting, self.printed = [], True


def _print_candidates(prediction: Prediction) -> None:
    rows = [
        [
            str(rank),
            candidate.name,
            _probability(candidate),
            charts.kind_label(candidate.kind),
            f"{candidate.score:.3f}",
        ]
        for rank, candidate in enumerate(prediction.candidates, 1)
    ]
    console.result(prediction.path)
    console.result_table(["", "class", "probability", "", "score"], rows, right=("", "score"))


def _print_photos(predictions: list[Prediction]) -> None:
    from rich.text import Text

    from ...pipeline.predict.predictions import EMPTY, NONE_OF_THESE, REJECTED

    rows: list[list[str | Text]] = []
    for prediction in predictions:
        if prediction.best is None:
            named = {REJECTED: NONE_OF_THESE, EMPTY: "no box of an animal"}
            reason = console.safe(prediction.reason).replace("_", " ")
            answer = named.get(prediction.status, f"failed: {reason}")
            style = charts.WARNING if prediction.status in named else charts.FAILED
            rows.append([prediction.path, Text(answer, style), "", "", ""])
            continue
        best, *others = prediction.candidates
        second = f"{others[0].name} {others[0].probability:.0%}" if others else ""
        rows.append([prediction.path, best.name, _probability(best), charts.kind_label(best.kind), second])
    columns = ("photo", "class", "probability", "", "next")
    console.result_table(columns, rows, optional=("next", ""), elided=("photo",))


def _probability(candidate: Candidate) -> str | Text:
    figure = f"{candidate.probability:4.0%}"
    return charts.bar_cell(candidate.probability, figure, charts.kind_colour(candidate.kind))
