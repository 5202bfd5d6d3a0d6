"""The answer for each photo, and which answers are applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...data.classes.attributes import class_key
from ...errors import RevcdError, UsageError, did_you_mean, listed

FAILED = "failed"  # the status of a photo that could not be read


@dataclass(frozen=True)
class Answer:
    """The best class of one photo, from a file that `revcd predict` wrote."""

    path: str  # as the photo was given to `revcd predict`
    status: str  # "ok", "rejected", "failed" or "empty": a detector found no box
    name: str | None  # of the class; None without an answer
    probability: float | None  # None if it is not known
    is_part: bool = False  # of one box of the photo, or one frame of a video


@dataclass(frozen=True)
class Selection:
    """The answers to apply, in order. An unsure photo has the name None."""

    answers: tuple[Answer, ...]
    failed: int  # photos that could not be classified, which are left out
    others: int  # photos left out because of `only`

    @property
    def unsure(self) -> int:
        """The number of photos without a sure class."""
        return sum(answer.name is None for answer in self.answers)


def select(answers: Sequence[Answer], *, min_probability: float = 0.0, only: Sequence[str] = ()) -> Selection:
    """Return the answers to apply, one for each photo: of several boxes or frames, that with the highest probability.

    A photo is unsure if it was rejected or has no box, or if its probability is below `min_probability` or unknown
    while there is such a bound. only: names of classes; photos of other classes, and unsure ones, are left out. Raises
    `UsageError` for a name that is not the answer for any photo, and for a photo with two different answers.
    """
    unique = _one_per_photo(answers)
    kept = [_without_doubt(answer, min_probability) for answer in unique if answer.status != FAILED]
    failed = len(unique) - len(kept)
    if not only:
        return Selection(tuple(kept), failed, 0)
    names = {class_key(answer.name): answer.name for answer in unique if answer.name is not None}
    unknown = [name for name in only if class_key(name) not in names]
    if unknown:
        meant = did_you_mean(unknown[0], names.values())
        raise UsageError(
            f'No photo has the answer "{unknown[0]}"{meant}.', hint=f"Answers: {listed(sorted(names.values()), 10)}."
        )
    wanted = {class_key(name) for name in only}
    chosen = tuple(answer for answer in kept if answer.name is not None and class_key(answer.name) in wanted)
    return Selection(chosen, failed, len(kept) - len(chosen))


def _without_doubt(answer: Answer, least: float) -> Answer:
    unsure = least > 0 and (answer.probability is None or answer.probability < least)
    return replace(answer, name=None) if unsure else answer


def _one_per_photo(answers: Sequence[Answer]) -> list[Answer]:
    first: dict[str, Answer] = {}
    for answer in answers:
        known = first.setdefault(answer.path, answer)
        if known.is_part and answer.is_part:
            if (answer.probability or 0) > (known.probability or 0):
                first[answer.path] = answer
        elif known != answer:
            raise UsageError(
                f"{answer.path}: has two answers, {known.name or known.status} and {answer.name or answer.status}.",
                hint="Keep one of them, or classify the photos again: revcd predict PHOTOS -o ANSWERS",
            )
    if not first:
        raise RevcdError("There are no answers to apply.")
    return list(first.values())
