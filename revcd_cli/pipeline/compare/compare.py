"""Compare methods: RevCD, the generative baselines of Table 2, linear zero-shot baselines, and two bounds.

All methods use the same features, split, validation folds and search for a seen penalty. Validation chooses their
settings; then they are trained on trainval, and the test photos are read once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch

from ...config import Config
from ...data.datasets.dataset import FeaturedDataset
from ...errors import UsageError, did_you_mean
from ...metrics.bootstrap import ClassFigures
from ...metrics.summary import METRIC_NAMES
from ...system.device import choose_device
from ..evaluate.evaluate import tested_classes
from ..train.train import check_features
from .baselines import BASELINES, BOUNDS, fit_baseline
from .fitted import Fitted
from .generative import TRAINED, fit_trained
from .simulated_rows import SUFFIX

METHODS = (*TRAINED, *BASELINES)
# The methods of `--baselines`: all but revcd-cosine, which is for a comparison with cvae and gan, and those that train
# on simulated classes.
DEFAULT_METHODS = (
    "revcd",
    *(name for name in BASELINES if name not in BOUNDS and not name.endswith(SUFFIX)),
    "cvae",
    "gan",
    *BOUNDS,
)


@dataclass(frozen=True, kw_only=True)
class MethodResult:
    """The metrics of one method with one seed, as shares of 1; None where they are not defined."""

    method: str
    seed: int | None  # None for a method that depends on no seed; its folds are those of the first seed
    settings: dict[str, Any]  # chosen on validation
    gamma: float  # seen penalty in score units, fitted on validation
    validation: dict[str, float | None]
    test: dict[str, float | None] | None  # S, U, H, T1, AUSUC; None if test photos were not read
    plain: dict[str, float | None] | None  # the same without a seen penalty
    candidates: dict[str, int] | None  # number of seen and unseen candidate classes
    seconds: float
    # "test" and "plain" by class, for confidence intervals; {} if test photos were not read
    by_class: dict[str, ClassFigures] = field(default_factory=dict, compare=False, repr=False)

    def record(self) -> dict[str, Any]:
        """Return the result as JSON values, without the figures by class."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "by_class"}


def compare_methods(
    dataset: FeaturedDataset,
    config: Config,
    seeds: Sequence[int],
    methods: Sequence[str] = DEFAULT_METHODS,
    *,
    device: str = "auto",
    processes: int | None = 1,
    test: bool = True,
    whole_table: bool = True,
    on_progress: Callable[[int, int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    on_result: Callable[[list[MethodResult]], None] | None = None,
) -> list[MethodResult]:
    """Fit each method with each seed; a method that depends on no seed is fitted once.

    test: measure test photos; whole_table: use all classes of the table as candidates, or only those with photos.
    on_result is called after each fit, with the results so far. processes: as for `train`. Equal seeds give equal
    metrics (on a CPU). Raises `UsageError` for an unknown method or a dataset without features.
    """
    check_methods(methods)
    check_features(dataset)
    where = choose_device(device).value
    wanted = [(method, seed) for method in methods for seed in (seeds if is_seeded(method) else seeds[:1])]
    results: list[MethodResult] = []
    for method, seed in wanted:
        started = time.monotonic()
        fitted = fit_method(dataset, config, method, seed, where, final=test, processes=processes, on_note=on_note)
        results.append(_result(fitted, dataset, method, seed, started, test, whole_table))
        if on_note:
            on_note(_summary(results[-1]))
        if on_result:
            on_result(results)
        if on_progress:
            on_progress(len(results), len(wanted), 0)
    return results


def check_methods(methods: Sequence[str]) -> None:
    """Raise `UsageError` for an unknown method or a repeated one."""
    for method in methods:
        if method not in METHODS:
            raise UsageError(
                f'There is no method "{method}"{did_you_mean(method, METHODS)}.', hint=f"Methods: {', '.join(METHODS)}"
            )
    if len(set(methods)) < len(methods):
        raise UsageError("A method is given twice.")


def is_seeded(method: str) -> bool:
    """Return whether the results of a method depend on a seed."""
    return method in TRAINED or BASELINES[method].seeded


def fit_method(
    dataset: FeaturedDataset,
    config: Config,
    method: str,
    seed: int,
    device: torch.device,
    *,
    final: bool = True,
    processes: int | None = 1,
    on_note: Callable[[str], None] | None = None,
) -> Fitted:
    """Fit one method with one seed. Test photos are read by `Fitted.scores`. Other parameters: see `fit_trained`."""
    if method in TRAINED:
        return fit_trained(dataset, config, method, seed, device, final=final, processes=processes, on_note=on_note)
    return fit_baseline(dataset, config, BASELINES[method], seed)


def _result(
    fitted: Fitted, dataset: FeaturedDataset, method: str, seed: int, started: float, test: bool, whole_table: bool
) -> MethodResult:
    figures = plain = candidates = None
    by_class: dict[str, ClassFigures] = {}
    if test:
        scores = fitted.scores(np.arange(len(dataset.classes.names)) if whole_table else tested_classes(dataset))
        report, unpenalised = scores.report(fitted.gamma), scores.report()
        if method not in BOUNDS:  # a bound of S has no unseen candidates
            report, unpenalised = report.defined(), unpenalised.defined()
        figures, plain = report.headline(), unpenalised.headline()
        candidates = {"seen": report.seen_classes, "unseen": report.unseen_classes}
        by_class = {"test": scores.class_figures(fitted.gamma), "plain": scores.class_figures()}
    return MethodResult(
        method=method,
        seed=seed if is_seeded(method) else None,
        settings=fitted.settings,
        gamma=fitted.gamma,
        validation=fitted.validation,
        test=figures,
        plain=plain,
        candidates=candidates,
        seconds=round(time.monotonic() - started, 1),
        by_class=by_class,
    )


def _summary(result: MethodResult) -> str:
    figures = result.validation if result.test is None else result.test
    values = {name: figures.get(name) for name in METRIC_NAMES}
    shown = "  ".join(
        f"{name} {'-' if value is None else format(100 * value, '.1f')}" for name, value in values.items()
    )
    chosen = ", ".join(f"{name} {value}" for name, value in result.settings.items())
    which = result.method if result.seed is None else f"{result.method}, seed {result.seed}"
    return f"{which}: {shown} on {'validation' if result.test is None else 'test photos'} (chosen: {chosen})"
