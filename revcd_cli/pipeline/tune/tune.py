"""Settings chosen on validation: random search, in which few folds and epochs decide what is worth more of them.

Only the validation part of `training_run` is used: folds inside trainval, and never a test photo. Every trial is a line
of a JSON Lines file beside the output, so that a search can be gone on with, and looked into.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ... import __version__
from ...config import Config
from ...data.datasets.dataset import FeaturedDataset, require_features
from ...errors import InputFileError, RevcdError, UsageError, brief
from ...system import files
from ...system.device import choose_device
from ..fingerprint import differences
from ..settings import to_toml
from ..train.run import TrainingRun
from ..train.validation import merit
from .search_space import draw_settings, scored_settings, with_settings
from .trial import OutOfBudget, TrialRun

KEPT = 1 / 3  # share of the trials that go on to the next rung, beside the starting point


@dataclass(frozen=True)
class Rung:
    """How much is spent on each trial that came so far."""

    folds: float  # share of the validation folds
    epochs: float  # share of the trial's epochs
    budget: float  # share of the budget that may be spent by the end of the rung
    rescored: bool  # whether the networks are scored in every way, which can take as long as the training


RUNGS = (Rung(0.2, 0.5, 0.4, False), Rung(0.4, 1.0, 0.65, False), Rung(1.0, 1.0, 1.0, True))


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """One trial on one rung."""

    trial: int  # 0 is the starting point
    rung: int
    folds: int
    epochs: int
    settings: dict[str, Any]  # what it changes, by dotted name, with the best way to score it
    rule: str = ""  # by which it was best
    figures: dict[str, float | None] = field(default_factory=dict)  # S, U, H, T1, AUSUC; none if it failed
    error: str = ""
    seed: int
    seconds: float

    @property
    def merit(self) -> float:
        """What the search maximises: see `validation.merit`."""
        return merit(self.figures)


@dataclass(frozen=True, kw_only=True)
class TuneSummary:
    """What a search came to. All results of the last rung that was reached are comparable."""

    best: TrialResult
    start: TrialResult  # the starting point, on the same rung
    results: tuple[TrialResult, ...]  # of all rungs
    config: Config
    output: Path
    record: Path
    seconds: float  # of all trials, those of earlier runs too
    complete: bool  # False where the budget ended it


def tune(
    dataset: FeaturedDataset,
    config: Config,
    output: Path,
    *,
    trials: int = 30,
    budget: float | None = None,
    seed: int = 0,
    device: str = "auto",
    processes: int | None = 1,
    resume: bool = False,
    overwrite: bool = False,
    on_trial: Callable[[TrialResult], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> TuneSummary:
    """Search for better settings than those of `config` and write the best to `output` as TOML.

    budget: seconds of all trials together; when it ends, so does the search, with what is known by then. The starting
    point is tried first on every rung, so that the best is never worse on the same folds. Without a budget, equal seeds
    give equal results (on a CPU), and `resume` ends with what an uninterrupted search would have found; more trials may
    be asked for then. processes: of the folds of one trial, as for `train`. Raises `UsageError` if there is nothing to
    validate on.
    """
    output, record = check_tune_output(output, resume=resume, overwrite=overwrite)
    require_features(dataset)
    where = choose_device(device).value
    with files.exclusive(output, record), torch.random.fork_rng():
        whole = TrainingRun(dataset, config, None, seed, where)
        if not whole.folds:
            raise UsageError(
                "There is nothing to validate on: that needs three seen classes and train.validation_classes > 0."
            )
        header = {"revcd": __version__, "search": whole.progress.fingerprint}
        search = _Search(dataset, config, seed, where, processes, budget, len(whole.folds), record, header)
        if resume:
            search.take_over(on_note or (lambda text: None))
        complete = search.run(trials, on_trial or (lambda result: None))
        last = max(result.rung for result in search.results.values())
        comparable = [result for result in search.results.values() if result.rung == last]
        best = max(comparable, key=lambda result: (result.merit, -result.trial))
        tuned = with_settings(config, best.settings)
        files.write_bytes(output, _toml(tuned, best, search.results[0, last], dataset).encode())
    return TuneSummary(
        best=best,
        start=search.results[0, last],
        results=tuple(search.results[key] for key in sorted(search.results)),
        config=tuned,
        output=output,
        record=record,
        seconds=search.spent,
        complete=complete,
    )


def check_tune_output(output: Path, *, resume: bool, overwrite: bool) -> tuple[Path, Path]:
    """Return the paths of the settings and of the record, or raise `UsageError` if they must not be written."""
    if output.suffix != ".toml":
        raise UsageError(f"{output}: settings are TOML.", hint="Call it NAME.toml.")
    record = output.with_suffix(".jsonl")
    if record.exists() and not (resume or overwrite):
        raise UsageError(
            f"{record}: holds an earlier search.",
            hint="Add --resume to go on with it, --overwrite to begin again, or choose another -o.",
        )
    return files.check_output(output, overwrite=overwrite or (resume and record.exists())), record


def promoted(results: Sequence[TrialResult]) -> list[int]:
    """Return the trials of one rung that go on to the next: the starting point, and of the others the best."""
    others = sorted((result for result in results if result.trial), key=lambda result: (-result.merit, result.trial))
    return [0, *(result.trial for result in others[: math.ceil(len(others) * KEPT)] if not result.error)]


class _Search:
    """The trials that were made, and how to make more."""

    def __init__(
        self,
        dataset: FeaturedDataset,
        config: Config,
        seed: int,
        device: torch.device,
        processes: int | None,
        budget: float | None,
        folds: int,
        record: Path,
        header: dict[str, Any],
    ) -> None:
        self.dataset, self.config, self.seed, self.device, self.processes = dataset, config, seed, device, processes
        self.budget, self.folds, self.record = budget, folds, record
        self.header = json.loads(json.dumps(header))  # as the record gives it back: tuples are lists there
        self.results: dict[tuple[int, int], TrialResult] = {}  # by trial and rung

    @property
    def spent(self) -> float:
        return sum(result.seconds for result in self.results.values())

    def run(self, trials: int, on_trial: Callable[[TrialResult], None]) -> bool:
        """Make what is missing of the search; return whether nothing is missing any more."""
        complete = True
        for number, rung in enumerate(RUNGS):
            below = [result for result in self.results.values() if result.rung == number - 1 and result.trial < trials]
            for trial in range(trials) if number == 0 else promoted(below):
                if (trial, number) in self.results:
                    continue
                if trial and self.budget is not None and self.spent > rung.budget * self.budget:
                    complete = False
                    break
                try:
                    result = self.measure(trial, number)
                except OutOfBudget:
                    return False
                self.results[trial, number] = result
                self.save()
                on_trial(result)
        return complete

    def measure(self, trial: int, number: int) -> TrialResult:
        """Train and judge one trial on one rung."""
        started, rung = time.monotonic(), RUNGS[number]
        settings = draw_settings(self.config, trial, self.seed, spatial=self.dataset.backbone.tokens > 0)
        n_folds = max(1, round(rung.folds * self.folds))
        deadline = None
        if self.budget is not None and (trial or number):  # there is always one result
            deadline = started + self.budget - self.spent
        config = with_settings(self.config, settings)
        epochs = max(1, round(rung.epochs * config.train.epochs))
        config = replace(config, train=replace(config.train, epochs=epochs, evaluate_every=epochs))
        found: dict[str, Any] = {}
        try:
            run = TrialRun(
                self.dataset, config, self.seed, self.device, deadline, n_folds,
                rescored=rung.rescored, processes=self.processes,
            )  # fmt: skip
            run.validate(lambda text: None, ahead=False)
            chosen, rule, verdict = run.best
            settings |= scored_settings(chosen, self.config.inference, rule)
            found = {"rule": rule, "figures": verdict.figures}
        except RevcdError as error:  # such as a loss that is not finite: the trial loses
            found = {"error": error.message}
        return TrialResult(
            trial=trial,
            rung=number,
            folds=n_folds,
            epochs=epochs,
            settings=settings,
            seed=self.seed,
            seconds=round(time.monotonic() - started, 3),
            **found,
        )

    def save(self) -> None:
        """Write the record anew, whole or not at all."""
        lines = [self.header, *({**asdict(result), "merit": result.merit} for result in self.results.values())]
        text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)
        files.write_bytes(self.record, text.encode())

    def take_over(self, note: Callable[[str], None]) -> None:
        """Read the trials of an earlier run, if there are any. Raises `UsageError` if they are of another search."""
        if not self.record.exists():
            return
        number = 1
        try:
            first, *lines = self.record.read_text(encoding="utf-8").splitlines()
            earlier = json.loads(first)["search"]
            for number, line in enumerate(lines, 2):  # noqa: B007 (used in the error)
                result = self._result(json.loads(line))
                self.results[result.trial, result.rung] = result
        except Exception as error:  # a line that `save` did not write may hold anything
            raise InputFileError(
                self.record,
                f"is not the record of a search ({brief(error)}).",
                line=number,
                hint="Delete it to begin again.",
            ) from error
        changed = differences(earlier, self.header["search"])
        if changed:
            raise UsageError(
                f"{self.record}: belongs to another search: {'; '.join(changed[:5])}.",
                hint="Use the same settings and data, choose another -o, or add --overwrite to begin again.",
            )
        note(f"Going on after {len(self.results)} trials that took {self.spent:.0f} s.")

    def _result(self, values: dict[str, Any]) -> TrialResult:
        """Return the result that a line holds. Raises for one that `save` would not have written."""
        merit_then = values.pop("merit")
        result = TrialResult(**values)
        numbers = [value for value in result.figures.values() if value is not None] + [result.seconds]
        if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
            raise TypeError("a figure is no number")
        if {type(getattr(result, name)) for name in ("trial", "rung", "folds", "epochs", "seed")} != {int}:
            raise TypeError("a count is no whole number")
        if result.rung not in range(len(RUNGS)) or result.trial < 0 or type(result.error) is not str:
            raise ValueError(f"there is no trial {result.trial} on rung {result.rung}")
        if result.merit != merit_then:
            raise ValueError("the figures are not those of its merit")
        with_settings(self.config, result.settings)
        return result


def _toml(config: Config, best: TrialResult, start: TrialResult, dataset: FeaturedDataset) -> str:
    def shown(result: TrialResult) -> str:
        return (
            " ".join(f"{name} {100 * value:.1f}" for name, value in result.figures.items() if value is not None)
            or "failed"
        )

    lines = [
        f"# Found by revcd tune {__version__} on {json.dumps(dataset.name)}, split {dataset.split_sha256[:12]}, "
        f"seed {best.seed}: trial {best.trial}.",
        f"# Validation on {best.folds} folds: {shown(best)}; the starting point: {shown(start)}.",
        "",
    ]
    return "\n".join(lines) + to_toml(config)
