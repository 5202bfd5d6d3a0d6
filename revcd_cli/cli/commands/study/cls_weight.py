"""`revcd study cls-weight`: the effect of the weight of the classification loss."""

from __future__ import annotations

import math
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
    expand,
)
from ...terminal import console
from ..train import ConfigOption, SetOption

if TYPE_CHECKING:
    from ....pipeline.study.cls_weight import WeightResult

DEFAULT_WEIGHTS = "0,0.01,0.03,0.1,0.3,1"


def parse_weights(text: str) -> tuple[float, ...]:
    """Parse "0,0.1,1" as sorted, distinct numbers of at least 0."""
    try:
        weights = {float(part) + 0.0 for part in text.split(",")}  # + 0.0 turns -0 into 0
    except ValueError:
        raise typer.BadParameter(f'"{text}" is not a list of numbers separated by commas.') from None
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise typer.BadParameter(f'"{text}": a weight is a finite number of at least 0.')
    return tuple(sorted(weights))


FolderOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the plots and the CSV.", callback=expand)
]
LossWeightsOption = Annotated[
    tuple, typer.Option(parser=parse_weights, metavar="A,B,...", help="Values of loss.cls_weight (lambda_3) to try.")
]


def cls_weight(
    dataset: DatasetOption,
    output: FolderOption,
    weights: LossWeightsOption = DEFAULT_WEIGHTS,  # type: ignore[assignment]  # typer parses the default
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Trainings per weight, from --seed on.")] = 3,
    seed: SeedOption = 0,
    test: Annotated[
        bool, typer.Option("--test", help="Measure on test photos. Do not choose a weight by this plot.")
    ] = False,
    features: FeaturesOption = None,
    images: ImageRootOption = None,
    data_root: DataRootOption = None,
    missing: MissingOption = "error",
    backbone: BackboneOption = "auto",
    config: ConfigOption = None,
    assignments: SetOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Vary the weight of the classification loss and measure S, U and H of each model (paper section 4.3, Fig. 4).

    Measures on validation photos of held-out seen classes, or with --test on test photos. Each seed draws its own
    held-out classes, unless the dataset fixes them. Writes cls_weight.csv, .png, .svg, and .json with the settings.
    Repeat the command to resume, or to add weights or seeds.

    \b
    revcd study cls-weight --dataset my-animals/ -o study/
    revcd study cls-weight --dataset cub --weights 0,0.1,1 --seeds 5 --config paper-cub -o study/
    """
    from ....pipeline.settings import resolve_settings

    settings = resolve_settings(config, assignments or [])
    from ....pipeline.study.cls_weight import FILES, study_cls_weight
    from ....reports.studies import CLS_WEIGHT_PLOTS, write_cls_weight_plots
    from ....system.files import check_output_folder

    check_output_folder(output, FILES + CLS_WEIGHT_PLOTS, overwrite=True)  # an earlier study is resumed
    opened = open_with_features(
        dataset,
        features=features,
        images=images,
        data_root=data_root,
        missing=missing,
        seed=seed,
        backbone=backbone,
        weights=None,
        device=device,
        precision=precision,
    )
    with console.progress("Training", unit="trainings") as on_progress:
        results = study_cls_weight(
            opened,
            settings.config,
            output,
            weights=weights,
            seeds=range(seed, seed + seeds),
            test=test,
            device=device,
            processes=None,
            overwrite=overwrite,
            on_progress=on_progress,
            on_note=console.note,
        )
    write_cls_weight_plots(output, results, opened.name)
    _print_weights(results)
    console.note(f"Written to {output}: {', '.join(FILES + CLS_WEIGHT_PLOTS)}")


def _print_weights(results: list[WeightResult]) -> None:
    figures = list(results[0].figures)
    rows = [
        [
            f"{result.weight:g}",
            str(result.seed),
            *(console.percent(result.figures[name]) for name in figures),
            result.split,
        ]
        for result in results
    ]
    console.result_table(["weight", "seed", *figures, "measured on"], rows, right=("weight", "seed", *figures))
