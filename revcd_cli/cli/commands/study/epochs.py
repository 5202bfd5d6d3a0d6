"""`revcd study epochs`: accuracy on seen and unseen classes while a model trains."""

from __future__ import annotations

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
)
from ...terminal import console
from ..train import ConfigOption, SetOption
from .cls_weight import FolderOption

if TYPE_CHECKING:
    from ....pipeline.study.epochs import EpochFigures


def epochs(
    dataset: DatasetOption,
    output: FolderOption,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Trainings, from --seed on.")] = 3,
    seed: SeedOption = 0,
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
    """Measure S, U, H and T1 on validation after 1, 2, 4, ... epochs of training.

    Measures validation photos of held-out seen classes; test photos are not read. Writes epochs.csv, .png and .svg.

    \b
    revcd study epochs --dataset my-animals/ --config paper-awa2 --set train.validation_folds=1 -o study/
    """
    from ....pipeline.settings import resolve_settings

    settings = resolve_settings(config, assignments or [])
    from ....pipeline.study.epochs import study_epochs
    from ....reports.studies import EPOCHS_FILES, write_epochs
    from ....system.files import check_output_folder

    check_output_folder(output, EPOCHS_FILES, overwrite=overwrite)
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
        results = study_epochs(
            opened,
            settings.config,
            seeds=range(seed, seed + seeds),
            device=device,
            processes=None,
            on_progress=on_progress,
            on_note=console.note,
        )
    write_epochs(output, results, opened.name)
    _print_epochs(results)
    console.note(f"Written to {output}: {', '.join(EPOCHS_FILES)}")


def _print_epochs(results: list[EpochFigures]) -> None:
    figures = list(results[0].figures)
    rows = [
        [str(result.epoch), str(result.seed), *(console.percent(result.figures[name]) for name in figures)]
        for result in results
    ]
    console.result_table(["epoch", "seed", *figures], rows, right=("epoch", "seed", *figures))
