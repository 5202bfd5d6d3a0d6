"""`revcd evaluate --baselines` and `--method`: train RevCD and baselines, and compare them in one table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..costs import print_estimates
from ..terminal import charts, console

if TYPE_CHECKING:
    from ...config import Config
    from ...data.datasets.dataset import Dataset, FeaturedDataset
    from ...pipeline.compare.compare import MethodResult


def parse_methods(text: str) -> tuple[str, ...]:
    """Parse "revcd,cvae" as names. `check_methods` checks that they exist."""
    return tuple(name.strip() for name in text.split(","))


MethodsOption = Annotated[
    tuple | None,
    typer.Option(
        "--method",
        parser=parse_methods,
        metavar="NAME[,NAME]",
        help="Train and compare these methods instead of measuring a model: revcd, revcd-cosine, cvae, gan, ridge, "
        "eszsl, sae, conse, exem, class-norm, cada-vae, linear-probe, prototype-oracle. With +simulated after a name "
        "(ridge+simulated), a method other than revcd and the last two also trains on simulated classes.",
    ),
]
BaselinesOption = Annotated[
    bool,
    typer.Option("--baselines", help="Train and compare all methods except revcd-cosine and those with +simulated."),
]
SeedsOption = Annotated[
    int,
    typer.Option(
        "--seeds", min=1, metavar="N", help="With --baselines or --method: trainings per method, with seeds 0 to N-1."
    ),
]
WholeTableOption = Annotated[
    bool,
    typer.Option(
        "--whole-table/--split-classes",
        help="Candidates: every class of the table, as for predict, or only the classes with photos in the split.",
    ),
]


@dataclass(frozen=True)
class ComparisonPlan:
    """A checked request: the methods to compare, and where to write the results."""

    config: Config
    methods: tuple[str, ...]
    seeds: int
    whole_table: bool
    output: Path | None


def refuse(options: dict[str, Any], why: str) -> None:
    """Raise `BadParameter` for the first of these options that has a value."""
    for name, value in options.items():
        if value:
            raise typer.BadParameter(why, param_hint=name)


def plan_comparison(
    methods: tuple[str, ...] | None,
    seeds: int,
    file: str | None,
    assignments: list[str],
    output: Path | None,
    *,
    whole_table: bool,
    overwrite: bool,
) -> ComparisonPlan:
    """Check the request before any work is done. methods: None means those of `--baselines`."""
    from ...pipeline.compare.compare import DEFAULT_METHODS, check_methods
    from ...pipeline.settings import resolve_settings
    from ...reports.comparison.report import COMPARISON_FILES
    from ...system.files import check_output_folder

    methods = DEFAULT_METHODS if methods is None else methods
    check_methods(methods)
    if output is not None:
        check_output_folder(output, COMPARISON_FILES, overwrite=overwrite)
    return ComparisonPlan(resolve_settings(file, assignments).config, methods, seeds, whole_table, output)


def estimate_comparison(
    plan: ComparisonPlan, opened: Dataset, backbone: str, weights: Path | None, device: str, precision: str
) -> None:
    """Print how long the comparison would take."""
    from ...pipeline.compare.compare import is_seeded
    from ...pipeline.compare.generative import TRAINED
    from ...pipeline.costs import comparison_estimate

    print_estimates(
        opened,
        lambda dataset: comparison_estimate(dataset, plan.config, plan.methods, plan.seeds, device=device),
        backbone=backbone,
        weights=weights,
        device=device,
        precision=precision,
        tokens=plan.config.encoder.tokens == "spatial",
    )
    others = [method for method in plan.methods if method not in TRAINED]
    if others:
        seeded = ", ".join(method for method in others if is_seeded(method))
        more = f" ({plan.seeds} times: {seeded})" if seeded else ""
        console.note(f"Not timed, because their grids differ: {', '.join(others)}{more}.")


def compare(plan: ComparisonPlan, dataset: FeaturedDataset, *, device: str, as_json: bool) -> None:
    """Train and compare the methods; print the results, and write them if asked. dataset: with its features."""
    from ...pipeline.compare.compare import compare_methods
    from ...reports.comparison.report import describe_comparison, write_comparison

    def save(results: list[MethodResult]) -> None:  # after each method, so that a failure loses only the current one
        if plan.output is not None:
            write_comparison(plan.output, describe_comparison(results, dataset, plan.config))

    with console.progress("Comparing", unit="models") as on_progress:
        results = compare_methods(
            dataset,
            plan.config,
            range(plan.seeds),
            plan.methods,
            device=device,
            processes=None,
            whole_table=plan.whole_table,
            on_progress=on_progress,
            on_note=console.note,
            on_result=save,
        )
    document = describe_comparison(results, dataset, plan.config)
    if plan.output is not None:
        console.note(f"Written to {plan.output}")
    if as_json:
        console.result_json(document)
    else:
        _print(document, plan)


def _print(document: dict[str, Any], plan: ComparisonPlan) -> None:
    from ...metrics.summary import METRIC_NAMES

    plain, validated = METRIC_NAMES[:2], ("H", "AUSUC")
    rows = [
        [
            method,
            *(percent_over_seeds(**entry["test"][name]) for name in METRIC_NAMES),
            *(percent_over_seeds(**entry["validation"][name]) for name in validated),
            *(percent_over_seeds(**entry["plain"][name]) for name in plain),
            f"{entry['runs']}{'' if entry['seeded'] else ' (no seed)'}",
        ]
        for method, entry in document["methods"].items()
    ]
    unpenalised = [f"{name} unpenalised" for name in plain]
    validation = [f"{name} validation" for name in validated]
    optional = ("runs", *reversed(unpenalised), *reversed(validation))
    others = (*validation, *unpenalised)
    console.result_table(
        ["method", *METRIC_NAMES, *others, "runs"], rows, right=(*METRIC_NAMES, *others), optional=optional
    )
    intervals = [
        [method, *(charts.interval(**entry["test"][name]) for name in METRIC_NAMES)]
        for method, entry in document["methods"].items()
    ]
    headings = [f"{name} 95 %" for name in METRIC_NAMES]
    console.result_table(["method", *headings], intervals, right=headings)
    _print_differences(document)
    dataset = document["dataset"]
    counts = next((result["candidates"] for result in document["results"] if result["candidates"]["unseen"]), None)
    among = f"{counts['seen']} seen and {counts['unseen']} unseen candidates; " if counts else ""
    over = "mean ± standard deviation over seeds" if plan.seeds > 1 else "one seed"
    console.note(
        f"{dataset['name']}, split {dataset['split_sha256'][:12]}, features {dataset['features_sha256'][:12]}; {among}"
        f"percent, {over}. {document['note']}"
    )


def _print_differences(document: dict[str, Any]) -> None:
    """Print the differences of all methods minus the first one, with their intervals."""
    from ...metrics.summary import METRIC_NAMES
    from ...reports.comparison.uncertainty import differences_from

    first = next(iter(document["methods"]))
    found = differences_from(document, first)
    if not found:
        return
    shown = ("H", "AUSUC")
    rows = []
    for method, metrics in found.items():
        apart = [name for name in METRIC_NAMES if name in metrics and metrics[name]["apart"]]
        cells = [
            f"{console.percent(metrics[name]['mean'])} ({charts.interval(**metrics[name])})" if name in metrics else "-"
            for name in shown
        ]
        rows.append([method, *cells, ", ".join(apart) or "not to be told apart"])
    headings = [f"{name} minus {first}" for name in shown]
    console.result_table(["method", *headings, "told apart by"], rows, right=headings)


def percent_over_seeds(mean: float | None, std: float | None, **others: object) -> str:
    """Format a mean and its standard deviation over seeds, shares of 1, as percentages."""
    if std is None:
        return console.percent(mean)
    return f"{console.percent(mean)} {charts.plus_minus()} {console.percent(std)}"
