"""`revcd evaluate --method`: RevCD beside its rivals, each trained on the way, in one table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import console

if TYPE_CHECKING:
    from ..config import Config
    from ..data.dataset import Dataset


def parse_methods(text: str) -> tuple[str, ...]:
    """Read "revcd,cvae" as names; which there are is checked where they are known."""
    return tuple(name.strip() for name in text.split(","))


MethodsOption = Annotated[
    tuple | None,
    typer.Option(
        "--method",
        parser=parse_methods,
        metavar="NAME[,NAME]",
        help="Train and compare instead of measuring a model: revcd, cvae, gan, revcd-evidence (Table 2).",
    ),
]
SeedsOption = Annotated[
    int, typer.Option("--seeds", min=1, metavar="N", help="With --method: trainings of each, with seeds 0 to N-1.")
]


@dataclass(frozen=True)
class Plan:
    """What is to be compared, and where the figures go."""

    config: Config
    methods: tuple[str, ...]
    seeds: int
    output: Path | None


def refuse(options: dict[str, Any], why: str) -> None:
    """Raise `BadParameter` for the first of these options that was given."""
    for name, value in options.items():
        if value:
            raise typer.BadParameter(why, param_hint=name)


def plan_comparison(
    methods: tuple[str, ...],
    seeds: int,
    file: Path | None,
    assignments: list[str],
    output: Path | None,
    *,
    overwrite: bool,
) -> Plan:
    """Check all that can be checked before any work is done."""
    from ..pipeline.compare import check_comparison_folder, check_methods
    from ..pipeline.settings import resolve_settings

    check_methods(methods)
    if output is not None:
        check_comparison_folder(output, overwrite=overwrite)
    return Plan(resolve_settings(file, assignments).config, methods, seeds, output)


def compare(plan: Plan, dataset: Dataset, extraction: dict[str, Any], *, device: str, as_json: bool) -> None:
    """Train and compare the methods; print, and write if asked, what came out. extraction: see `with_features`."""
    from ..pipeline.compare import compare_methods, describe_comparison, write_comparison
    from ..pipeline.dataset_features import with_features

    for text in dataset.notes:
        console.note(text)
    tokens = plan.config.encoder.tokens == "spatial"
    with console.progress("Extracting") as on_progress:
        dataset = with_features(
            dataset, **extraction, device=device, tokens=tokens, on_progress=on_progress, on_note=console.note
        )
    with console.progress("Comparing", unit="models") as on_progress:
        results = compare_methods(
            dataset,
            plan.config,
            range(plan.seeds),
            plan.methods,
            device=device,
            on_progress=on_progress,
            on_note=console.note,
        )
    document = describe_comparison(results, dataset, plan.config)
    if plan.output is not None:
        write_comparison(plan.output, document)
        console.note(f"Written to {plan.output}")
    if as_json:
        console.result_json(document)
    else:
        _print(document, plan.seeds)


def _print(document: dict[str, Any], seeds: int) -> None:
    names = ("S", "U", "H", "T1")
    rows = [[method, *(_percent(**figures[name]) for name in names)] for method, figures in document["methods"].items()]
    console.result_table(["method", *names], rows, right=names)
    dataset = document["dataset"]
    spread = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    console.note(f"{dataset['name']}, split {dataset['split_sha256'][:12]}; percent, {spread}. {document['note']}")


def _percent(mean: float | None, std: float | None) -> str:
    if mean is None:
        return "-"
    return f"{100 * mean:.1f}" if std is None else f"{100 * mean:.1f} ± {100 * std:.1f}"
