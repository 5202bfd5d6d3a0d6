"""`revcd study ladder`: an ablation study from the settings of the paper to the defaults."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...opening import open_with_features
from ...options import (
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
from ...terminal import console
from ..compare import percent_over_seeds
from ..train import SetOption

if TYPE_CHECKING:
    from ....pipeline.study.ladder import StepResult


def ladder(
    dataset: DatasetOption,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for ladder.json.", callback=expand_short),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Trainings per step, from --seed on.")] = 1,
    seed: SeedOption = 0,
    test: Annotated[
        bool, typer.Option("--test", help="Measure test photos too. Do not choose settings by these results.")
    ] = False,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="NAME|FILE",
            help="Settings of the first step.",
            show_default="paper-cub, paper-sun, paper-flo or paper-awa2, by dataset",
        ),
    ] = None,
    assignments: SetOption = None,
    features: FeaturesOption = None,
    images: ImageRootOption = None,
    data_root: DataRootOption = None,
    missing: MissingOption = "error",
    backbone: BackboneOption = "auto",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Run an ablation study: change the settings of the paper to the defaults step by step, and measure each step.

    The baselines and two bounds are measured too. Measures on validation photos of held-out seen classes; with --test,
    also on test photos. --set applies to every step. Writes ladder.json after each step.

    \b
    revcd study ladder --dataset my-animals/ -o study/
    revcd study ladder --dataset cub --seeds 3 --test -o study/
    """
    from ....pipeline.settings import resolve_settings

    resolve_settings(config, assignments or [])  # report errors in them before any work is done
    from ....pipeline.study.ladder import paper_preset, study_ladder
    from ....reports.studies import LADDER_FILES, describe_ladder, write_ladder
    from ....system.files import check_output_folder

    if output is not None:
        check_output_folder(output, LADDER_FILES, overwrite=overwrite)
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
    )
    base = resolve_settings(config or paper_preset(opened)).config

    def save(results: list[StepResult]) -> None:  # after each step, so that a failure loses only the current one
        if output is not None:
            write_ladder(output, describe_ladder(results, opened, base, test))

    with console.progress("Training", unit="steps") as on_progress:
        results = study_ladder(
            opened,
            base,
            range(seed, seed + seeds),
            assignments=assignments or [],
            test=test,
            device=device,
            processes=None,
            on_progress=on_progress,
            on_note=console.note,
            on_result=save,
        )
    _print(results, test)
    if output is not None:
        console.note(f"Written to {output}: {', '.join(LADDER_FILES)}")


def _print(results: list[StepResult], test: bool) -> None:
    from ....metrics.summary import METRIC_NAMES
    from ....pipeline.study.ladder import summarise_step

    parts = ("validation", "test") if test else ("validation",)
    columns = [f"{part} {name}" if test else name for part in parts for name in METRIC_NAMES]
    rows = [
        [
            result.name,
            *(percent_over_seeds(m.mean, m.std) for part in parts for m in summarise_step(result, part).values()),
        ]
        for result in results
    ]
    console.result_table(["", *columns], rows, right=columns)
