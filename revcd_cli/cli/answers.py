"""Predictions on a terminal: all candidates of a single photo, or one line for each of many."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from . import console

if TYPE_CHECKING:
    from rich.text import Text

    from ..data.predictions import Candidate, Prediction

_BAR = 12  # characters
_PATH = 44  # characters; the middle of longer paths is left out
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
        [str(rank), candidate.name, _probability(candidate), _seen(candidate), f"{candidate.score:.3f}"]
        for rank, candidate in enumerate(prediction.candidates, 1)
    ]
    console.result(prediction.path)
    console.result_table(["", "class", "probability", "", "score"], rows, right=("", "score"))


def _print_many(predictions: list[Prediction]) -> None:
    from ..data.predictions import NONE_OF_THESE, REJECTED

    rows = []
    for prediction in predictions:
        if prediction.best is None:
            failure = f"failed: {prediction.reason}"
            answer = NONE_OF_THESE if prediction.status == REJECTED else failure
            rows.append([_elided(prediction.path), answer, "", "", ""])
            continue
        best, *others = prediction.candidates
        runner_up = f"{others[0].name} {others[0].probability:.0%}" if others else ""
        rows.append([_elided(prediction.path), best.name, _probability(best), _seen(best), runner_up])
    console.result_table(["photo", "class", "probability", "", "next"], rows)


def _probability(candidate: Candidate) -> Text:
    from rich.text import Text

    filled = round(candidate.probability * _BAR)
    bar = ("━" * filled, "green" if candidate.seen else "magenta")
    return Text.assemble(bar, ("━" * (_BAR - filled), "bright_black"), f" {candidate.probability:4.0%}")


def _seen(candidate: Candidate) -> Text:
    from rich.text import Text

    return Text("seen", "green") if candidate.seen else Text("unseen", "magenta")


def _elided(path: str) -> str:
    if len(path) <= _PATH:
        return path
    half = (_PATH - 1) // 2
    return f"{path[:half]}…{path[-half:]}"
