"""`revcd study denoise`: class descriptions sampled for test photos, while they are denoised."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...opening import open_with_model
from ...options import (
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

if TYPE_CHECKING:
    from ....pipeline.study.denoise import ChainSamples


def denoise(
    dataset: DatasetOption,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the plots and the CSV.", callback=expand)
    ],
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="A model.", show_default="DATASET.safetensors, as train writes it"),
    ] = None,
    photos: Annotated[int, typer.Option(min=1, metavar="N", help="Test photos per class, at most.")] = 20,
    panels: Annotated[int, typer.Option(min=2, max=12, metavar="N", help="Timesteps to plot, from t = T to 0.")] = 6,
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
    """Plot class descriptions of seen and unseen classes while they are denoised (paper, Fig. 3).

    For each photo one description is sampled with the full chain of Algorithm 2. The axes are the two largest principal
    components of the class descriptions. Writes denoise.csv, .png and .svg; prints the mean cosine between samples and
    the description of the class of their photo.

    \b
    revcd study denoise --dataset my-animals/ --model my-animals.safetensors -o study/
    """
    from ....pipeline.study.denoise import study_denoise
    from ....reports.studies import DENOISE_FILES, write_denoise
    from ....system.files import check_output_folder

    check_output_folder(output, DENOISE_FILES, overwrite=overwrite)
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
            checkpoint, opened, photos=photos, panels=panels, seed=seed, device=device, on_progress=on_progress
        )
    write_denoise(output, samples, opened)
    _print_chain(samples)
    console.note(f"Written to {output}: {', '.join(DENOISE_FILES)}")


def _print_chain(samples: ChainSamples) -> None:
    rows = [
        [str(t), *(_fixed(samples.mean_cosine(step, seen)) for seen in (True, False))]
        for step, t in enumerate(samples.times)
    ]
    console.result_table(["t", "cosine seen", "cosine unseen"], rows, right=("t", "cosine seen", "cosine unseen"))


def _fixed(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
