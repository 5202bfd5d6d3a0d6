"""`revcd extract`: features of photos into a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..options import (
    BackboneOption,
    BatchSizeOption,
    DeviceOption,
    ImagesArgument,
    NullOption,
    OverwriteOption,
    PrecisionOption,
    WeightsOption,
    WorkersOption,
    expand_short,
)
from ..terminal import console

if TYPE_CHECKING:
    from ...pipeline.extract.extract import ExtractSummary


def extract(
    images: ImagesArgument,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="File to write: .parquet, .npz or .mat.", callback=expand_short
        ),
    ],
    backbone: BackboneOption = "auto",
    weights: WeightsOption = None,
    batch_size: BatchSizeOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    tokens: Annotated[
        bool,
        typer.Option(
            "--tokens",
            help="Keep spatial tokens, for encoder.tokens=spatial (resnet101: 401 kB a photo).",
        ),
    ] = False,
    null: NullOption = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew instead of going on after an interruption.")
    ] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Compute the features of photos once, to train and evaluate on them later.

    An interrupted run goes on where it was when the same command is given again.

    \b
    revcd extract photos/ -o features.parquet
    revcd extract zoo.zip 'more/**/*.jpg' -o features.npz --backbone resnet50.tv_in1k
    """
    from ...pipeline.extract import extract as pipeline

    try:
        with console.progress("Extracting") as on_progress:
            summary = pipeline.extract(
                images,
                output,
                backbone=backbone,
                weights=weights,
                batch_size=batch_size,
                workers=workers,
                precision=precision,
                device=device,
                tokens=tokens,
                null_separated=null,
                fresh=fresh,
                overwrite=overwrite,
                on_progress=on_progress,
                on_note=console.note,
            )
    except KeyboardInterrupt:
        _say_how_to_go_on(output)
        raise
    _report(summary)
    raise typer.Exit(summary.exit_code)


def _say_how_to_go_on(output: Path) -> None:
    from ...pipeline.extract.journal import partial_folder

    if partial_folder(output).is_dir():
        console.note(f"What is finished is kept in {partial_folder(output)}. The same command goes on from there.")


def _report(summary: ExtractSummary) -> None:
    for path, reason, detail in summary.failures:
        console.warn(f"{path}: {reason} ({detail})")
    if summary.failed > len(summary.failures):
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in summary.reasons.most_common())
        console.warn(f"{summary.failed:,} photos failed in all: {reasons}. Their rows say why.")
    reused = f", {summary.reused:,} of them in an earlier run" if summary.reused else ""
    console.note(
        f"{summary.done:,} done, {summary.failed:,} failed{reused}; {summary.seconds:.1f} s "
        f"({summary.rate:.1f} photos/s). Written to {summary.output}"
    )
    if summary.done:
        console.note(f"Next: revcd train --dataset DIR --features {summary.output}")
