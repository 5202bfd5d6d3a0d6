"""`revcd tune`: hyperparameter search on validation folds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import RevcdError
from ..costs import print_estimates
from ..opening import open_dataset, open_with_features
from ..options import (
    BackboneOption,
    DataRootOption,
    DatasetOption,
    DeviceOption,
    FeaturesOption,
    ImageRootOption,
    MissingOption,
    OverwriteOption,
    PrecisionOption,
    SeedOption,
    WeightsOption,
    expand_short,
)
from ..terminal import charts, console
from ..terminal.next_command import command_line
from .train import ConfigOption, SetOption

if TYPE_CHECKING:
    from ...config import Config
    from ...pipeline.tune.record import TrialResult
    from ...pipeline.tune.tune import TuneSummary

_SHOWN = 8  # trials in the table

TunedOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="TOML file to write.", callback=expand_short)
]
BudgetOption = Annotated[
    float | None,
    typer.Option(min=0.01, metavar="MINUTES", help="Time for all trials together.", show_default="no limit"),
]


def tune(
    dataset: DatasetOption,
    output: TunedOption = Path("tuned.toml"),
    trials: Annotated[int, typer.Option(min=1, metavar="N", help="Settings to try, at most.")] = 30,
    budget: BudgetOption = None,
    features: FeaturesOption = None,
    images: ImageRootOption = None,
    data_root: DataRootOption = None,
    missing: MissingOption = "error",
    backbone: BackboneOption = "auto",
    weights: WeightsOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Continue an earlier search, or add trials to it.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the search space, estimate the time, and exit.")
    ] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Search for better settings on validation data.

    Test photos are never read. Needs optuna: pip install 'revcd[tune]'. Trial 0 is the starting point: the
    defaults, or --config and --set. Ten trials change some of its settings at random; TPE proposes the others. Each
    trial trains on one fold for half its epochs; the best third continues with two folds, and the best third of
    these with all folds. Settings that need no training, such as the noise band, are tried on the networks of all
    folds. All results are kept in NAME.jsonl.

    \b
    revcd tune --dataset my-animals/ --budget 60 -o tuned.toml
    revcd train --dataset my-animals/ --config tuned.toml
    """
    from ...pipeline.settings import resolve_settings

    settings = resolve_settings(config, assignments or [])
    if dry_run:
        _print_space(settings.config)
        try:
            opened = open_dataset(
                dataset,
                features=features,
                images=images,
                data_root=data_root,
                missing=missing,
                seed=seed,
                write_split=False,
            )
        except RevcdError as error:
            console.note(f"The time cannot be estimated: {error.message}")
            return
        from ...pipeline.costs import search_estimate

        print_estimates(
            opened,
            lambda found: [search_estimate(found, settings.config, trials, seed=seed, device=device)],
            backbone=backbone,
            weights=weights,
            device=device,
            precision=precision,
            tokens=settings.config.encoder.tokens == "spatial",
        )
        return
    from ...pipeline.tune.tune import check_optuna, check_tune_output
    from ...pipeline.tune.tune import tune as run

    check_optuna()
    check_tune_output(output, resume=resume, overwrite=overwrite)
    opened = open_with_features(
        dataset,
        features=features,
        images=images,
        data_root=data_root,
        missing=missing,
        seed=seed,
        backbone=backbone,
        weights=weights,
        device=device,
        precision=precision,
        tokens=settings.config.encoder.tokens == "spatial",
    )
    try:
        summary = run(
            opened,
            settings.config,
            output,
            trials=trials,
            budget=None if budget is None else 60 * budget,
            seed=seed,
            device=device,
            processes=None,
            resume=resume,
            overwrite=overwrite,
            on_trial=lambda result: console.note(_line(result)),
            on_note=console.note,
        )
    except KeyboardInterrupt:
        console.note("Add --resume to the same command to continue after the last result.")
        raise
    options = {
        "--config": summary.output,
        "--features": features,
        "--images": images,
        "--data-root": data_root,
        "--missing": missing,
        "--backbone": backbone,
        "--weights": weights,
    }
    defaults = {"--missing": "error", "--backbone": "auto"}
    _report(summary, command_line("revcd", "train", "--dataset", dataset, options=options, defaults=defaults))


def _print_space(config: Config) -> None:
    from ...pipeline.tune.search_space import describe_space

    console.result_table(["setting", "start", "values", ""], describe_space(config))


def _line(result: TrialResult) -> str:
    told = "  ".join(f"{name} {console.percent(value)}" for name, value in result.figures.items())
    folds = f"{result.folds} fold{'s' * (result.folds > 1)}"
    found = f"{told}   (rule {result.rule})" if told else result.error
    return f"trial {result.trial:>3}   {folds}, {result.epochs} epochs   {found}   {_changes(result)}"


def _changes(result: TrialResult) -> str:
    if not result.settings:
        return "the starting point" if result.trial == 0 else "nothing changed"
    return " ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in result.settings.items()
    )


def _report(summary: TuneSummary, next_command: str) -> None:
    from ...metrics.summary import METRIC_NAMES

    last = [result for result in summary.results if result.stage == summary.best.stage]
    ranked = sorted(last, key=lambda result: (-result.merit, result.trial))[:_SHOWN]
    if summary.start not in ranked:
        ranked.append(summary.start)
    rows = [
        [
            str(result.trial),
            *(console.percent(result.figures.get(name)) for name in METRIC_NAMES),
            result.rule,
            f"{result.seconds:.0f}",
            _changes(result),
        ]
        for result in ranked
    ]
    columns = ["trial", *METRIC_NAMES, "rule", "seconds", "changed"]
    console.result_table(
        columns, rows, right=("trial", *METRIC_NAMES, "seconds"), optional=("seconds", "rule", "T1", "AUSUC")
    )
    merits = {result.trial: result.merit for result in summary.results if result.figures.get("H") is not None}
    if drawn := charts.sparkline([merits[trial] for trial in sorted(merits)]):
        console.note(f"H of the trials in order: {drawn}")
    if not summary.complete:
        console.note("The budget ended the search; --resume with a larger budget continues it.")
    tried = len({result.trial for result in summary.results})
    console.note(
        f"{tried} trials in {summary.seconds:.0f} s; those shown ran on {summary.best.folds} validation folds. "
        f"All results are in {summary.record}"
    )
    console.note(f"Written to {summary.output}. Next: {next_command}")
