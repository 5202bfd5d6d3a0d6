"""Apply answers: sort photos and write sidecars, photo by photo, with a list to undo it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import UsageError
from .answers import Answer, Selection
from .sidecars import Sidecar, plan_sidecars, refuse_sorted_sidecars, write_sidecar
from .sort import UNSURE, Placement, absolute, common_folder, place, plan_sort
from .undo import UndoList, open_undo_list


@dataclass(frozen=True)
class Plan:
    """What will be done: photos to place (none without a folder) and sidecars to write."""

    placements: tuple[Placement, ...]
    sidecars: tuple[Sidecar, ...]
    root: Path  # the photos' common folder


@dataclass
class Applied:
    """What was done: photos placed by class ("unsure" included), sidecars written and left unchanged, and failures."""

    placed: Counter[str] = field(default_factory=Counter)
    written: int = 0
    unchanged: int = 0
    failures: list[tuple[Path, str]] = field(default_factory=list)


def make_plan(
    answers: Sequence[Answer], selection: Selection, *, folder: Path | None = None, sidecars: str | None = None
) -> Plan:
    """Return what will be done. Nothing is written.

    answers: all of the file, which determine the photos' common folder. folder: to sort into. sidecars: the style of
    the sidecars' names, None for no sidecars. Raises `UsageError` if there is something in the way.
    """
    if folder is None and sidecars is None:
        raise UsageError(
            "There is nothing to do.",
            hint="Sort photos into folders with --sort DIR, write keywords with --xmp, or both.",
        )
    root = common_folder(answers)
    if folder is None:
        beside = [Placement(each, absolute(each.path), absolute(each.path)) for each in selection.answers]
        return Plan((), tuple(plan_sidecars(beside, sidecars or "auto")), root)
    placements = plan_sort(selection.answers, folder, root)
    planned = plan_sidecars(placements, sidecars) if sidecars else []
    refuse_sorted_sidecars(planned, [placement.target for placement in placements])
    return Plan(tuple(placements), tuple(planned), root)


def apply_plan(
    plan: Plan,
    undo_path: Path,
    *,
    how: str = "copy",
    parents: tuple[str, ...] = (),
    on_progress: Callable[[int, int | None, int], None] | None = None,
) -> Applied:
    """Do what is planned. A photo or sidecar that fails is recorded and the others go on.

    undo_path: the list to write, which must not exist. Raises `RevcdError` where no other photo could be placed either.
    """
    applied, total = Applied(), len(plan.placements) + len(plan.sidecars)
    not_placed: set[Path] = set()

    def report() -> None:
        if on_progress:
            done = applied.placed.total() + applied.written + applied.unchanged + len(applied.failures)
            on_progress(done, total, len(applied.failures))

    with open_undo_list(undo_path) as undo:
        for placement in plan.placements:
            try:
                place(placement, how, undo)
                applied.placed[placement.answer.name or UNSURE] += 1
            except OSError as error:
                not_placed.add(placement.target)
                applied.failures.append((placement.photo, error.strerror or str(error)))
            report()
        for sidecar in plan.sidecars:
            if sidecar.photo not in not_placed:
                _write(sidecar, parents, undo, applied)
                report()
    return applied


def _write(sidecar: Sidecar, parents: tuple[str, ...], undo: UndoList, applied: Applied) -> None:
    try:
        if write_sidecar(sidecar, parents, undo):
            applied.written += 1
        else:
            applied.unchanged += 1
    except (OSError, ValueError) as error:
        is_of_photo = isinstance(error, FileNotFoundError)
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        applied.failures.append((sidecar.photo if is_of_photo else sidecar.path, reason))
