"""The ladder: from the paper's RevCD to the defaults in named steps, each trained and measured in the same way.

A step keeps what the steps before it set and moves some settings to their defaults; the last step is the defaults. Add
a step by adding a line to `STEPS`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ... import __version__
from ...config import Config
from ...data.datasets.dataset import FeaturedDataset
from ...errors import UsageError
from ...reports.comparison.report import spread
from ...system.files import write_bytes
from ..compare.compare import FIGURES, MethodResult, compare_methods
from ..fingerprint import describe_data
from ..settings import resolve_settings

FILES = ("ladder.json",)
BESIDE = ("ridge", "eszsl", "sae", "conse", "class-norm", "linear-probe", "prototype-oracle")


@dataclass(frozen=True)
class Step:
    """One rung: `changes` are settings by dotted name; `defaults` are settings or whole sections that become so."""

    name: str
    changes: dict[str, Any]
    defaults: tuple[str, ...] = ()


_COSINE = ("samples", "steps", "sampler", "variance", "clip", "eta", "guidance_scale")
STEPS = (
    Step("the paper: one sample by the full chain, cosine", {}),
    Step("+ mean of several samples in one step", {}, tuple(f"inference.{name}" for name in _COSINE)),
    Step("+ validated seen penalty", {}, ("train.penalty", "train.give_away")),
    Step("+ evidence rule", {"inference.rule": "evidence"}),
    Step("+ descriptions of one length", {}, ("precondition.unit_length",)),
    Step("+ default preconditioning", {}, ("precondition",)),
    Step("+ default objective and schedule", {}, ("diffusion", "loss")),
    Step("+ default encoder", {}, ("encoder",)),
    Step("+ default denoiser", {}, ("denoiser",)),
    Step("+ default optimisation, epochs by validation", {}, ("train",)),
    Step("+ visual prototypes, joint rule", {"inference.rule": "joint"}, ("prototypes",)),
    Step("the defaults: rule by validation", {}, tuple(Config().to_dict())),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: a rung or, beside the ladder, a baseline or a bound."""

    name: str
    overrides: dict[
        str, Any
    ]  # of a rung, by dotted name: where it differs from the rung before it (the first: from the preset)
    runs: tuple[MethodResult, ...]


def rungs(base: Config, assignments: Sequence[str] = (), steps: Sequence[Step] = STEPS) -> list[tuple[str, Config]]:
    """Return the name and the configuration of every rung that differs from the one before it.

    base: the first rung; assignments: `--set a.b=c`, which every rung is given on top.
    """
    values, found = base.to_dict(), []
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
    beside: Sequence[str] = BESIDE,
    test: bool = False,
    device: str = "auto",
    processes: int | None = 1,
    on_progress: Callable[[int, int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    on_row: Callable[[list[Row]], None] | None = None,
) -> list[Row]:
    """Train and measure every rung and, beside them, the methods `beside`; on_row is called with the rows so far.

    Figures are those of validation; with `test`, of test photos too. Raises `UsageError` without validation.
    """
    ladder = rungs(base, assignments)
    for name, config in ladder:
        if not test and (config.train.validation_classes == 0 or len(dataset.seen) < 3):
            raise UsageError(
                f'There is nothing to validate "{name}" on: it needs three seen classes and train.validation_classes '
                "above 0.",
                hint="With --test, test photos are measured on; then nothing may be chosen by the result.",
            )
    # What stands beside the ladder has no settings of RevCD, but its validation's: those of the last rung.
    wanted = [(name, "revcd", config) for name, config in ladder] + [(name, name, ladder[-1][1]) for name in beside]
    rows: list[Row] = []
    before = base
    for name, method, config in wanted:
        started = time.monotonic()
        results = compare_methods(dataset, config, seeds, [method], device=device, processes=processes, test=test)
        changed = _differences(before, config) if method == "revcd" else {}
        rows.append(Row(name=name, overrides=changed, runs=tuple(results)))
        before = config
        if on_note:
            on_note(f"{name}: {time.monotonic() - started:.0f} s")
        if on_row:
            on_row(rows)
        if on_progress:
            on_progress(len(rows), len(wanted), 0)
    return rows


def row_figures(row: Row, measured: str) -> dict[str, Any]:
    """Return {"mean", "std"} of each figure over a row's runs. measured: "validation", "test" or "plain"."""
    return {name: asdict(spread([(getattr(run, measured) or {}).get(name) for run in row.runs])) for name in FIGURES}


def describe_ladder(rows: Sequence[Row], dataset: FeaturedDataset, base: Config, test: bool) -> dict[str, Any]:
    """Return the ladder as plain JSON values, with all that is needed to repeat it."""
    measured = ("validation", *(("test", "plain") if test else ()))
    return {
        "revcd": __version__,
        **describe_data(dataset),
        "config": base.to_dict(),  # of the first rung
        "rows": [
            {
                "name": row.name,
                "overrides": row.overrides,
                **{each: row_figures(row, each) for each in measured},
                "runs": [asdict(run) for run in row.runs],
            }
            for row in rows
        ],
    }


def write_ladder(folder: Path, document: dict[str, Any]) -> None:
    """Write ladder.json, whole or not at all."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(folder / FILES[0], text.encode())


def paper_preset(dataset: FeaturedDataset) -> str:
    """Return the preset of the paper's settings for a data set: its own, or that of animals."""
    own = f"paper-{dataset.name.lower()}"
    return own if own in ("paper-cub", "paper-sun") else "paper-awa2"


def _assigned(values: dict[str, Any], assignments: Sequence[str]) -> Config:
    merged = {section: dict(entries) for section, entries in values.items()}
    for name, value in resolve_settings(None, assignments).assigned():
        section, _, key = name.partition(".")
        merged[section][key] = value
    return Config.from_dict(merged)


def _differences(before: Config, config: Config) -> dict[str, Any]:
    old, new = before.to_dict(), config.to_dict()
    return {
        f"{section}.{key}": value
        for section, entries in new.items()
        for key, value in entries.items()
        if old[section][key] != value
    }
