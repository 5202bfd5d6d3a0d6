"""Hyperparameter search on validation folds with optuna: TPE proposes trials, successive halving stops poor ones.

Test photos are never read. `record` keeps the results. A search with a seed is repeated exactly by its results, so
`resume` runs optuna from trial 0 and takes the recorded results instead of training. (The journal storage of optuna is
not used: it keeps the reports of a trial that was killed, and counts them when it prunes later trials.)
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ...config import Config
from ...data.datasets.dataset import FeaturedDataset, require_features
from ...errors import InputFileError, RevcdError, UsageError
from ...system import files
from ...system.device import choose_device
from ...version import __version__
from ..settings import to_toml
from ..train.run import TrainingRun
from .record import TrialResult, read_record, write_record
from .rescoring import scored_settings
from .search_space import SearchSpace, with_settings
from .trial import OutOfBudget, TrialRun

if TYPE_CHECKING:
    from optuna import Study, Trial

RANDOM_TRIALS = 10  # trials near the starting point, before TPE has enough results to model
REDUCTION = 3  # one in this many trials reaches the next stage


@dataclass(frozen=True)
class Stage:
    """A resource level of successive halving (a "rung")."""

    folds: float  # share of the validation folds
    epochs: float  # share of the epochs of the trial
    rescored: bool  # whether to try all inference settings, which can take as long as the training


STAGES = (Stage(0.2, 0.5, False), Stage(0.4, 1.0, False), Stage(1.0, 1.0, True))


@dataclass(frozen=True, kw_only=True)
class TuneSummary:
    """The outcome of a search. All results of the last stage reached are comparable."""

    best: TrialResult
    start: TrialResult  # the starting point, at the same stage
    results: tuple[TrialResult, ...]  # of all trials and stages
    config: Config
    output: Path
    record: Path
    seconds: float  # of all trials, including those before a resume
    complete: bool  # False if the budget ended the search


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
    """Search for better settings than `config` and write the best to `output` as TOML.

    budget: seconds for all trials together. The starting point passes through all stages first, so the best is never
    worse than it on the same folds. Without a budget, equal seeds give equal results (on a CPU), and a resumed search
    gives those of an uninterrupted one; it may have more trials. processes: for the folds of one trial, as in `train`.
    Raises `UsageError` without optuna, and if there are no validation photos.
    """
    output, record = check_tune_output(output, resume=resume, overwrite=overwrite)
    check_optuna()
    import optuna

    require_features(dataset)
    where = choose_device(device).value
    with files.exclusive(output, record), torch.random.fork_rng():
        whole = TrainingRun(dataset, config, None, seed, where)
        if not whole.folds:
            raise UsageError(
                "There are no validation photos: validation needs three seen classes and train.validation_classes > 0."
            )
        identity = {**whole.progress.fingerprint, "optuna": optuna.__version__}
        header = {"revcd": __version__, "search": json.loads(json.dumps(identity))}
        search = _Search(dataset, config, seed, where, processes, budget, len(whole.folds), record, header)
        if resume and record.exists():
            search.load(on_note or (lambda text: None))
        complete = search.run(trials, on_trial or (lambda result: None))
        last = max(result.stage for result in search.results.values())
        comparable = [result for result in search.results.values() if result.stage == last]
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


def check_optuna() -> None:
    """Raise `UsageError` if optuna is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise UsageError(
            "revcd tune searches with optuna, which is not installed.", hint="Install it: pip install 'revcd[tune]'"
        )


def check_tune_output(output: Path, *, resume: bool, overwrite: bool) -> tuple[Path, Path]:
    """Return the paths of the settings and of the record, or raise `UsageError` if they must not be written."""
    if output.suffix != ".toml":
        raise UsageError(f"{output}: settings are TOML.", hint="Call it NAME.toml.")
    record = output.with_suffix(".jsonl")
    if record.exists() and not (resume or overwrite):
        raise UsageError(
            f"{record}: holds an earlier search.",
            hint="Add --resume to continue it, --overwrite to start a new one, or choose another -o.",
        )
    return files.check_output(output, overwrite=overwrite or (resume and record.exists())), record


class _Search:
    """The results of a search so far, and the methods that add further ones."""

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
        self.budget, self.folds, self.record, self.header = budget, folds, record, header
        self.space = SearchSpace(config, spatial=dataset.backbone.tokens > 0)
        self.results: dict[tuple[int, int], TrialResult] = {}  # by trial and stage

    @property
    def spent(self) -> float:
        """Seconds of all trials."""
        return sum(result.seconds for result in self.results.values())

    def load(self, note: Callable[[str], None]) -> None:
        """Read the results of an earlier run. Raises as `read_record` does."""
        results = read_record(self.record, self.header, self.config, len(STAGES))
        self.results = {(result.trial, result.stage): result for result in results}
        note(f"Resuming after {len(self.results)} results, which took {self.spent:.0f} s.")

    def run(self, trials: int, on_trial: Callable[[TrialResult], None]) -> bool:
        """Run the trials that have no results yet; return False if the budget ended before all were run."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION)
        study = optuna.create_study(direction="maximize", pruner=pruner)
        recorded = max((trial + 1 for trial, _ in self.results), default=0)
        for _ in range(max(trials, recorded)):
            try:
                self.run_trial(study, on_trial)
            except OutOfBudget:
                return False
        return True

    def run_trial(self, study: Study, on_trial: Callable[[TrialResult], None]) -> None:
        """Take the next trial through the stages until it is pruned. Raises `OutOfBudget`."""
        from optuna.trial import TrialState

        trial = self.next_trial(study)
        settings = self.space.suggest(trial)
        for stage in range(len(STAGES)):
            result = self.results.get((trial.number, stage))
            if result is None:
                result = self.measure(trial.number, stage, settings)
                self.results[trial.number, stage] = result
                write_record(self.record, self.header, self.results.values())
                on_trial(result)
            elif {name: value for name, value in result.settings.items() if name in self.space.names} != settings:
                raise InputFileError(
                    self.record,
                    f"trial {trial.number} has other settings than this search gives it.",
                    hint="Delete it to start a new search.",
                )
            trial.report(result.merit, REDUCTION**stage)
            if stage == len(STAGES) - 1:
                study.tell(trial, result.merit)
            elif (trial.should_prune() or result.error) and trial.number:  # the starting point is never pruned
                study.tell(trial, state=TrialState.PRUNED)
                return

    def next_trial(self, study: Study) -> Trial:
        """Return the next trial: the starting point, then random ones near it, then those that TPE proposes."""
        from optuna.samplers import TPESampler

        number = len(study.get_trials(deepcopy=False))
        if number == 0:
            study.enqueue_trial(self.space.start_parameters())
        elif number <= RANDOM_TRIALS:
            study.enqueue_trial(self.space.random_parameters(self.seed, number))
        # A new sampler for each trial, so that its proposal depends on the seed and the results before it alone.
        study.sampler = TPESampler(seed=(self.seed * 1_000_003 + number) % 2**32, multivariate=True)
        return study.ask()

    def measure(self, trial: int, stage: int, settings: dict[str, Any]) -> TrialResult:
        """Train and validate one trial at one stage. Raises `OutOfBudget`."""
        started, level = time.monotonic(), STAGES[stage]
        n_folds = max(1, round(level.folds * self.folds))
        deadline = None
        if self.budget is not None and self.results:  # the first result is always measured
            if self.spent > self.budget:
                raise OutOfBudget
            deadline = started + self.budget - self.spent
        config = with_settings(self.config, settings)
        epochs = max(1, round(level.epochs * config.train.epochs))
        config = replace(config, train=replace(config.train, epochs=epochs, evaluate_every=epochs))
        found: dict[str, Any] = {}
        try:
            run = TrialRun(
                self.dataset, config, self.seed, self.device, deadline, n_folds,
                rescored=level.rescored, processes=self.processes,
            )  # fmt: skip
            run.validate(lambda text: None, ahead=False)
            chosen, rule, verdict = run.best
            settings = settings | scored_settings(chosen, self.config.inference, rule)
            found = {"rule": rule, "figures": verdict.figures}
        except RevcdError as error:  # such as a loss that is not finite: the trial has the lowest merit
            found = {"error": error.message}
        return TrialResult(
            trial=trial,
            stage=stage,
            folds=n_folds,
            epochs=epochs,
            settings=settings,
            seed=self.seed,
            seconds=round(time.monotonic() - started, 3),
            **found,
        )


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
