"""The ladder: an ablation study from the settings of the paper to the defaults, one named change at a time.

Each step keeps the changes of the steps before it and sets further settings to their defaults; the last step has the
defaults. To add a step, add a line to `STEPS`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ...config import Config
from ...data.datasets.dataset import FeaturedDataset
from ...errors import UsageError
from ...metrics.summary import METRIC_NAMES, MeanStd, mean_and_std
from ..compare.compare import MethodResult, compare_methods
from ..settings import preset_names, resolve_settings

# Baselines and bounds that are measured after the steps.
MEASURED_BASELINES = ("ridge", "eszsl", "sae", "conse", "class-norm", "linear-probe", "prototype-oracle")


@dataclass(frozen=True)
class AblationStep:
    """One change. changes: settings by dotted name; defaults: settings or sections that are set to their defaults."""

    name: str
    changes: dict[str, Any]
    defaults: tuple[str, ...] = ()


_COSINE = ("samples", "steps", "sampler", "variance", "clip", "eta", "guidance_scale", "head")
STEPS = (
    AblationStep("the paper: one sample by the full chain, cosine", {}),
    AblationStep("+ mean of several samples in one step", {}, tuple(f"inference.{name}" for name in _COSINE)),
    AblationStep("+ validated seen penalty", {}, ("train.penalty", "train.give_away")),
    # Without a photo the paper's losses train the noise head only.
    AblationStep("+ evidence rule", {"inference.rule": "evidence", "inference.head": "eps"}),
    AblationStep("+ descriptions of one length", {}, ("precondition.unit_length",)),
    AblationStep("+ default preconditioning", {}, ("precondition",)),
    AblationStep("+ default objective and schedule", {}, ("diffusion", "loss", "inference.head")),
    AblationStep("+ default encoder", {}, ("encoder",)),
    AblationStep("+ default denoiser", {}, ("denoiser",)),
    AblationStep("+ default optimisation, epochs by validation", {}, ("train",)),
    AblationStep("+ simulated classes", {}, ("prototypes", "simulation")),
    AblationStep("+ visual prototypes, joint rule", {"inference.rule": "joint"}),
    AblationStep("+ class network", {"inference.network_share": 0.3}, ("class_network",)),
    AblationStep("the defaults: rule by validation", {}, tuple(Config().to_dict())),
)


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """The measurements of a step, or of a baseline or a bound."""

    name: str
    overrides: dict[str, Any]  # of a step: its settings that differ from the step before (the first: from the preset)
    runs: tuple[MethodResult, ...]  # one per seed


def step_configs(
    base: Config, assignments: Sequence[str] = (), steps: Sequence[AblationStep] = STEPS
) -> list[tuple[str, Config]]:
    """Return the name and the settings of each step; a step that changes nothing is left out.

    base: the settings of the first step; assignments: `--set a.b=c`, applied to every step.
    """
    values = base.to_dict()
    found: list[tuple[str, Config]] = []
    for step in steps:
        for name in step.defaults:
            section, _, key = name.partition(".")
            default = Config().to_dict()[section]
            values[section] = {**values[section], key: default[key]} if key else default
        for name, value in step.changes.items():
            section, _, key = name.partition(".")
            values[section] = {**values[section], key: value}
        config = _assigned(values, assignments)
        if not found or config != found[-1][1]:
            found.append((step.name, config))
    return found


def study_ladder(
    dataset: FeaturedDataset,
    base: Config,
    seeds: Sequence[int],
    *,
    assignments: Sequence[str] = (),
    baselines: Sequence[str] = MEASURED_BASELINES,
    test: bool = False,
    device: str = "auto",
    processes: int | None = 1,
    on_progress: Callable[[int, int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    on_result: Callable[[list[StepResult]], None] | None = None,
) -> list[StepResult]:
    """Train and measure each step, then the baselines. on_result is called after each, with the results so far.

    Measures validation metrics; with `test`, also test metrics. Raises `UsageError` if there are no validation photos
    and no `test`.
    """
    steps = step_configs(base, assignments)
    for name, config in steps:
        if not test and (config.train.validation_classes == 0 or len(dataset.seen) < 3):
            raise UsageError(
                f'The step "{name}" cannot be validated: it needs three seen classes and train.validation_classes '
                "above 0.",
                hint="--test measures test photos instead; then do not choose settings by the result.",
            )
    # Baselines have no settings of RevCD, except those of validation, which they take from the last step.
    wanted = [(name, "revcd", config) for name, config in steps] + [(name, name, steps[-1][1]) for name in baselines]
    results: list[StepResult] = []
    before = base
    for name, method, config in wanted:
        started = time.monotonic()
        runs = compare_methods(dataset, config, seeds, [method], device=device, processes=processes, test=test)
        changed = _changed_settings(before, config) if method == "revcd" else {}
        results.append(StepResult(name=name, overrides=changed, runs=tuple(runs)))
        before = config
        if on_note:
            on_note(f"{name}: {time.monotonic() - started:.0f} s")
        if on_result:
            on_result(results)
        if on_progress:
            on_progress(len(results), len(wanted), 0)
    return results


def summarise_step(result: StepResult, measured: str) -> dict[str, MeanStd]:
    """Return each metric over the seeds. measured: "validation", "test", or "plain" (test without a seen penalty)."""
    return {
        name: mean_and_std([(getattr(run, measured) or {}).get(name) for run in result.runs]) for name in METRIC_NAMES
    }


def paper_preset(dataset: FeaturedDataset) -> str:
    """Return the name of the preset with the settings of the paper for a dataset; paper-awa2 if it has none."""
    own = f"paper-{dataset.name.lower()}"
    return own if own in preset_names() else "paper-awa2"


def _assigned(values: dict[str, Any], assignments: Sequence[str]) -> Config:
    merged = {section: dict(entries) for section, entries in values.items()}
    for name, value in resolve_settings(None, assignments).assigned():
        section, _, key = name.partition(".")
        merged[section][key] = value
    return Config.from_dict(merged)


def _changed_settings(before: Config, config: Config) -> dict[str, Any]:
    old, new = before.to_dict(), config.to_dict()
    return {
        f"{section}.{key}": value
        for section, entries in new.items()
        for key, value in entries.items()
        if old[section][key] != value
    }
