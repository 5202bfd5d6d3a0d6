"""The questions of `revcd classes new`: one attribute after the other, with the nearest classes after each answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ....errors import UsageError
from ...terminal import charts, console, questions

if TYPE_CHECKING:
    from ....pipeline.tables.new_class.session import NewClass, Question

_HARDLY, _WELL = 0.3, 0.6  # reliability, as in `pipeline.tables.suggest`
_HELP = "a number, one of the words, Enter for the draft's value, ? to leave it open, b to go back, q to finish"


def ask_questions(described: NewClass, count: int) -> None:
    """Ask at most `count` questions; fewer if the next one would not change the nearest classes, or at end of input."""
    asked: list[int] = []
    console.note(f"Answer with {_HELP}.")
    while len(asked) < count:
        question = described.question()
        if question is None:
            console.note("There is nothing left to ask.")
            return
        if not described.could_move():
            console.note("Enough: the next questions would not change the nearest classes.")
            return
        _show(question, len(asked) + 1, count)
        answer = _read(described, question)
        if answer == "q":
            return
        if answer == "b":
            if asked:
                _forget(described, asked.pop())
            continue
        asked.append(question.column)
        if answer == "?":
            described.draft.skipped.append(question.column)
            continue
        described.give(question.column, float(answer))
        _show_nearest(described)


def _show(question: Question, number: int, count: int) -> None:
    seen = ""
    if question.reliability is not None and question.reliability < _HARDLY:
        seen = " (photos hardly show it)"
    elif question.reliability is not None and question.reliability >= _WELL:
        seen = " (photos show it well)"
    sys.stderr.write("\n")
    questions.show(f"{question.attribute}: {question.text}{seen}", first=f"{number}/{count}", style="bold")
    shown = []
    for place, (word, value, name) in enumerate(question.levels):
        if place == 0 or value != question.levels[place - 1][1]:
            shown.append((f"{word} {value:.3g}", name))
    questions.show_columns(shown)


def _read(described: NewClass, question: Question) -> str:
    """Return "q", "b", "?" or the text of a number. A wrong answer is asked for again on a terminal."""
    while True:
        sign = charts.plus_minus(stderr=True)
        text = questions.ask(f"draft {question.value:.3g} {sign} {question.spread:.2g} >")
        if text is None or text.casefold() in ("q", "quit"):
            return "q"
        if text.casefold() in ("b", "back", "?"):
            return text.casefold()[0]
        try:
            value = described.parse(question.column, text) if text else question.value
        except ValueError as error:
            if not sys.stdin.isatty():
                raise UsageError(
                    f'The answer to the question about "{question.attribute}" is wrong: {error}.'
                ) from error
            questions.show(f"{error}. Give {_HELP}.", style="yellow")
            continue
        return repr(value)


def _forget(described: NewClass, column: int) -> None:
    described.draft.answers.pop(column, None)
    if column in described.draft.skipped:
        described.draft.skipped.remove(column)


def _show_nearest(described: NewClass) -> None:
    near = ", ".join(f"{each.name} {each.cosine:.2f}" for each in described.nearest())
    questions.show(f"nearest: {near}", style="dim")
    advice = described.verdict()
    if advice:
        questions.show(f"too similar to {described.nearest(1)[0].name}: {advice}", style="yellow")
    for finding in described.taken_photos():
        questions.show(finding.text, style="yellow")
