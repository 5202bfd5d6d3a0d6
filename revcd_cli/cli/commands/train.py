"""`revcd train`: train a model on photos and a class table."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..costs import print_estimates
from ..opening import exit_if_photos_lack, extract_features, open_dataset
from ..options import (
    BackboneOption,
    DataRootOption,
    DatasetOption,
    DeviceOption,
    FeaturesOption,
    ImageRootOption,
    KnownOption,
    MissingOption,
    OverwriteOption,
    PrecisionOption,
    RescaleOption,
    SeedOption,
    WeightsOption,
    expand,
    expand_short,
)
from ..terminal import charts, console
from ..terminal.findings import print_findings
from ..terminal.next_command import command_line

if TYPE_CHECKING:
    from ...config import Config
    from ...data.datasets.dataset import Dataset
    from ...pipeline.settings import Settings
    from ...pipeline.train.run import OnEpoch
    from ...pipeline.train.train import TrainSummary
    from ...pipeline.train.unit import EpochInfo

ModelFileOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Model file to write.",
        show_default="DATASET.safetensors",
        callback=expand_short,
    ),
]
ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="NAME|FILE",
        help="Settings: a preset (paper-awa2, paper-cub, paper-sun, paper-flo) or a TOML file.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Change one setting, such as train.epochs=20; repeatable."),
]


def train(
    dataset: DatasetOption,
    output: ModelFileOption = None,
    features: FeaturesOption = None,
    images: ImageRootOption = None,
    data_root: DataRootOption = None,
    missing: MissingOption = "error",
    rescale_rows: RescaleOption = False,
    known: KnownOption = None,
    backbone: BackboneOption = "auto",
    weights: WeightsOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted training.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the data, print all settings and estimate the time; do not train.")
    ] = False,
    log_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for TensorBoard logs; requires tensorboard.", callback=expand),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Train a model on photos and a table of class descriptions.

    Cross-validation chooses the number of epochs: each fold holds out a part of the seen classes. The final model is
    then trained on all seen classes. Test photos are never read. If the dataset has no features, they are extracted
    once and cached. Settings (.config.toml) and learning curves (.curves.png) are written next to the model.

    \b
    revcd train --dataset my-animals/
    revcd train --dataset cub --features res101.mat --seed 1 -o cub.safetensors
    """
    from ...data.datasets.dataset import FeaturedDataset
    from ...pipeline.settings import resolve_settings

    settings = resolve_settings(config, assignments or [])
    if log_dir is not None and not dry_run:
        from ...reports.tensorboard import check_log_folder

        check_log_folder(log_dir, resume=resume)

    opened = open_dataset(
        dataset,
        data_root=data_root,
        features=features,
        images=images,
        seed=seed,
        missing=missing,
        rescale_rows=rescale_rows,
        write_split=not dry_run,
        known=known,
    )
    _introduce(opened)
    encoder = settings.config.encoder
    if isinstance(opened, FeaturedDataset):
        encoder.check_features(opened.backbone.tokens)
    if dry_run:
        from ...pipeline.train.validation import settings_for

        _print_settings(settings, settings_for(opened, settings.config))
        _print_costs(opened, settings, seed, backbone, weights, device, precision)
        return
    from ...pipeline.tables.photo_check import near_copies_by_features
    from ...pipeline.train.train import check_model_output
    from ...pipeline.train.train import train as run
    from ...reports.plots.training import write_learning_curves

    output = check_model_output(output or Path(f"{opened.name}.safetensors"), resume=resume, overwrite=overwrite)

    opened = extract_features(
        opened,
        backbone=backbone,
        weights=weights,
        device=device,
        precision=precision,
        tokens=encoder.tokens == "spatial",
    )
    print_findings(near_copies_by_features(opened))
    try:
        with console.progress("Training", unit="epochs") as on_progress, _scalars(log_dir) as log:

            def on_epoch(info: EpochInfo) -> None:
                log(info)
                _show_epoch(info, on_progress)

            summary = run(
                opened,
                settings.config,
                output,
                seed=seed,
                device=device,
                processes=None,
                resume=resume,
                overwrite=overwrite,
                on_epoch=on_epoch,
                on_note=console.note,
            )
    except KeyboardInterrupt:
        console.note("To resume from the last saved epoch, add --resume to the same command.")
        raise
    write_learning_curves(summary, opened.name)
    options = {
        "--model": summary.output,
        "--features": features,
        "--images": images,
        "--data-root": data_root,
        "--missing": missing,
        "--rescale-rows": rescale_rows,
        "--weights": weights,
    }
    _report(
        summary,
        command_line("revcd", "evaluate", "--dataset", dataset, options=options, defaults={"--missing": "error"}),
    )
    exit_if_photos_lack(opened)


def _scalars(folder: Path | None) -> AbstractContextManager[OnEpoch]:
    if folder is None:
        return contextlib.nullcontext(lambda info: None)
    from ...reports.tensorboard import scalar_log

    return scalar_log(folder)


def _introduce(dataset: Dataset) -> None:
    split = dataset.split
    console.note(
        f"dataset {dataset.name}: {len(dataset.seen)} seen and {len(dataset.unseen)} unseen classes, "
        f"{len(dataset.classes.attributes)} attributes, {len(split.trainval):,} photos to train on, "
        f"{len(split.test_seen):,} of seen and {len(split.test_unseen):,} of unseen classes to test"
    )
    console.detail(f"split sha256 {dataset.split_sha256}")


def _print_settings(settings: Settings, used: Config) -> None:
    """Print the settings with their origins. used: with the values that "auto" stands for on this dataset."""
    from ...pipeline.settings import flat

    values = dict(flat(used.to_dict()))
    rows = [
        [each.name, str(value := values[each.name]), each.origin if value == each.value else "auto, by the dataset"]
        for each in settings
    ]
    console.result_table(["setting", "value", "origin"], rows)


def _print_costs(
    opened: Dataset, settings: Settings, seed: int, backbone: str, weights: Path | None, device: str, precision: str
) -> None:
    from ...pipeline.costs import training_estimate

    print_estimates(
        opened,
        lambda dataset: [training_estimate(dataset, settings.config, seed=seed, device=device)],
        backbone=backbone,
        weights=weights,
        device=device,
        precision=precision,
        tokens=settings.config.encoder.tokens == "spatial",
    )


def _show_epoch(info: EpochInfo, on_progress: console.OnProgress) -> None:
    on_progress(info.done, info.planned, 0)
    figures = ""
    if info.validation is not None:
        shown = [f"{name} {console.percent(info.validation[name])}" for name in _FIGURES]
        figures = f"   {'  '.join(shown)}   (rule {info.rule}, this fold's penalty)"
    phase = f"fold {info.fold}/{info.folds}" if info.fold else info.phase
    line = f"{phase:<10} epoch {info.epoch:>3}/{info.epochs}   loss {info.loss:.4f}{figures}"
    if info.epoch == info.epochs:
        console.note(line)
    else:
        console.detail(line)


def _report(summary: TrainSummary, next_command: str) -> None:
    if summary.validation:
        shown = "  ".join(f"{name} {console.percent(summary.validation[name])}" for name in _FIGURES)
        count = len(summary.validation["folds"])
        among = "all classes of the table" if summary.candidates == "table" else "the classes with photos"
        console.note(f"Validation, mean of {count} folds: {shown}; rule {summary.rule}{_course(summary)}")
        console.note(
            f"S and U: accuracy on seen and unseen classes in percent, among {among}; H: their harmonic mean; "
            "T1: unseen classes among themselves; AUSUC: area under U over S, for all seen penalties."
        )
        console.note(f"The seen penalty of the model is {_PENALTIES[summary.penalty]}.")
    console.note(
        f"Trained on {summary.photos:,} photos for {summary.epochs} epochs in {summary.seconds:.0f} s. "
        f"Written to {summary.output} (settings and learning curves next to it)"
    )
    console.note(f"Next: {next_command}")


_FIGURES = ("S", "U", "H", "T1", "AUSUC")
_PENALTIES = {
    "harmonic": "the one with the best H in validation",
    "sparing": "the largest that costs seen classes at most a share of their photos (train.give_away)",
    "none": "0 (train.penalty=none)",
}


def _course(summary: TrainSummary) -> str:
    """Return a sparkline of H in validation over the epochs, mean of the folds, or ""."""
    by_epoch: dict[int, list[float]] = {}
    for info in summary.history:
        if info["validation"] is not None and info["validation"]["H"] is not None:
            by_epoch.setdefault(info["epoch"], []).append(info["validation"]["H"])
    drawn = charts.sparkline([sum(values) / len(values) for _, values in sorted(by_epoch.items())])
    return f"; H over epochs {min(by_epoch)} to {max(by_epoch)}: {drawn}" if drawn else ""
