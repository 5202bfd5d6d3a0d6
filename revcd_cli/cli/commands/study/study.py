"""`revcd study`: the paper's two studies, as pictures with their numbers, and the ladder."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...opening import open_with_features, open_with_model
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
    expand,
)
from ...terminal import console
from ..train import ConfigOption, SetOption
from .ladder import ladder

if TYPE_CHECKING:
    from ....pipeline.study.cls_weight import WeightResult
    from ....pipeline.study.denoise import ChainSamples

app = typer.Typer(
    help="Repeat the paper's two studies, and measure each step from its settings to the defaults.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("ladder")(ladder)

DEFAULT_WEIGHTS = "0,0.01,0.03,0.1,0.3,1"


def parse_weights(text: str) -> tuple[float, ...]:
    """Read "0,0.1,1" as numbers of at least 0, sorted, each once."""
    try:
        weights = {float(part) + 0.0 for part in text.split(",")}  # + 0.0 makes a zero of -0
    except ValueError:
        raise typer.BadParameter(f'"{text}" is not a list of numbers separated by commas.') from None
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise typer.BadParameter(f'"{text}": a weight is a finite number of at least 0.')
    return tuple(sorted(weights))


FolderOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the pictures and the CSV.", callback=expand)
]
LossWeightsOption = Annotated[
    tuple, typer.Option(parser=parse_weights, metavar="A,B,...", help="Values of loss.cls_weight (lambda_3) to try.")
]


@app.command("cls-weight")
def cls_weight(
    dataset: DatasetOption,
    output: FolderOption,
    weights: LossWeightsOption = DEFAULT_WEIGHTS,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Trainings per weight, from --seed on.")] = 3,
    seed: SeedOption = 0,
    test: Annotated[
        bool, typer.Option("--test", help="Measure on test photos. Do not choose a weight by this picture.")
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
    """Sweep the weight of the classification loss: S, U and H of a model trained with each (section 4.3, Fig. 4).

    Measured on the validation part of the seen classes, or with --test on test photos. Unless the data set fixes them,
    each seed draws its own validation classes. Writes cls_weight.csv, .png, .svg and, with the settings, .json. The
    same command again goes on where it was; more weights or seeds join those that are there.

    \b
    revcd study cls-weight --dataset my-animals/ -o study/
    revcd study cls-weight --dataset cub --weights 0,0.1,1 --seeds 5 --config paper-cub -o study/
    """
    from ....pipeline.settings import resolve_settings

    settings = resolve_settings(config, assignments or [])
    from ....pipeline.study.cls_weight import FILES, study_cls_weight
    from ....reports.evaluation.files import check_report_folder

    check_report_folder(output, FILES, overwrite=True)  # results of the same settings are gone on with
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
    _print_weights(results)
    console.note(f"Written to {output}: {', '.join(FILES)}")


@app.command("denoise")
def denoise(
    dataset: DatasetOption,
    output: FolderOption,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="A model.", show_default="DATASET.safetensors, as train writes it"),
    ] = None,
    photos: Annotated[int, typer.Option(min=1, metavar="N", help="Test photos per class, at most.")] = 20,
    panels: Annotated[int, typer.Option(min=2, max=12, metavar="N", help="Steps to show, from t = T to 0.")] = 6,
    seed: SeedOption = 0,
    features: FeaturesOption = None,
    images: ImageRootOption = None,
    data_root: DataRootOption = None,
    missing: MissingOption = "error",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Show where semantic vectors of seen and unseen classes lie while they are denoised (Fig. 3).

    One vector is drawn for each photo by the full chain of Algorithm 2. The plane is that of the two largest principal
    components of the class descriptions. Writes denoise.csv, .png and .svg; the table tells the mean cosine to the
    description of the photo's own class.

    \b
    revcd study denoise --dataset my-animals/ --model my-animals.safetensors -o study/
    """
    from ....pipeline.study.denoise import FILES, study_denoise
    from ....reports.evaluation.files import check_report_folder

    check_report_folder(output, FILES, overwrite=overwrite)
    checkpoint, opened = open_with_model(
        dataset,
        model,
        features=features,
        images=images,
        data_root=data_root,
        missing=missing,
        weights=weights,
        device=device,
        precision=precision,
    )
    with console.progress("Denoising", unit="steps") as on_progress:
        samples = study_denoise(
            checkpoint,
            opened,
            output,
            photos=photos,
            panels=panels,
            seed=seed,
            device=device,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    _print_chain(samples)
    console.note(f"Written to {output}: {', '.join(FILES)}")


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


def _print_chain(samples: ChainSamples) -> None:
    rows = [
        [str(t), *(_fixed(samples.mean_cosine(step, seen)) for seen in (True, False))]
        for step, t in enumerate(samples.times)
    ]
    console.result_table(["t", "cosine seen", "cosine unseen"], rows, right=("t", "cosine seen", "cosine unseen"))


def _fixed(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
