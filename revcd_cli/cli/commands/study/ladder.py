"""`revcd study ladder`: what each step from the paper's settings to the defaults is worth."""

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
from ..comparison import percent
from ..train import SetOption

if TYPE_CHECKING:
    from ....pipeline.study.ladder import Row


def ladder(
    dataset: DatasetOption,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for ladder.json.", callback=expand_short),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Trainings per rung, from --seed on.")] = 1,
    seed: SeedOption = 0,
    test: Annotated[
        bool, typer.Option("--test", help="Measure on test photos too. Do not choose by these figures.")
    ] = False,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="NAME|FILE",
            help="Settings of the first rung.",
            show_default="paper-cub, paper-sun or paper-awa2, by data set",
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
    """Climb from the paper's RevCD to the default settings step by step, beside the baselines and two bounds.

    Every rung is trained and judged on validation, which plays with the seen classes alone; with --test, on test photos
    too. --set holds on every rung. Writes ladder.json after each row.

    \b
    revcd study ladder --dataset my-animals/ -o study/
    revcd study ladder --dataset cub --seeds 3 --test -o study/
    """
    from ....pipeline.settings import resolve_settings

    resolve_settings(config, assignments or [])  # what is wrong there is said before any work is done
    from ....pipeline.study.ladder import FILES, describe_ladder, paper_preset, study_ladder, write_ladder
    from ....reports.evaluation.files import check_report_folder

    if output is not None:
        check_report_folder(output, FILES, overwrite=overwrite)
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

    def keep(rows: list[Row]) -> None:  # after each: what is measured is not lost when the next one fails
        if output is not None:
            write_ladder(output, describe_ladder(rows, opened, base, test))

    with console.progress("Climbing", unit="rows") as on_progress:
        rows = study_ladder(
            opened,
            base,
            range(seed, seed + seeds),
            assignments=assignments or [],
            test=test,
            device=device,
            processes=None,
            on_progress=on_progress,
            on_note=console.note,
            on_row=keep,
        )
    _print(rows, test)
    if output is not None:
        console.note(f"Written to {output}: {', '.join(FILES)}")


def _print(rows: list[Row], test: bool) -> None:
    from ....pipeline.compare.compare import FIGURES
    from ....pipeline.study.ladder import row_figures

    parts = ("validation", "test") if test else ("validation",)
    columns = [f"{part} {name}" if test else name for part in parts for name in FIGURES]
    lines = [
        [row.name, *(percent(**figure) for part in parts for figure in row_figures(row, part).values())] for row in rows
    ]
    console.result_table(["", *columns], lines, right=columns)
