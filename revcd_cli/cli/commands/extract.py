"""`revcd extract`: write the image features of photos to a file."""

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
    StrictOption,
    WeightsOption,
    WorkersOption,
    expand_short,
)
from ..terminal import console
from ..terminal.findings import print_findings
from ..terminal.next_command import command_line
from ..terminal.resuming import resumable

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
            help="Write spatial tokens, for encoder.tokens=spatial (resnet101: 401 kB per photo).",
        ),
    ] = False,
    null: NullOption = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again instead of resuming an interrupted run.")] = False,
    overwrite: OverwriteOption = False,
    strict: StrictOption = False,
) -> None:
    """Extract image features from photos into a file.

    train and evaluate read this file. To resume an interrupted run, give the same command again.

    \b
    revcd extract photos/ -o features.parquet
    revcd extract zoo.zip 'more/**/*.jpg' -o features.npz --backbone resnet50.tv_in1k
    """
    from ...pipeline.extract import extract as pipeline

    with resumable(output), console.progress("Extracting") as on_progress:
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
            on_detail=console.detail,
        )
    _report(summary, images)
    raise typer.Exit(summary.exit_code or (3 if strict and summary.passed.formats else 0))


def _report(summary: ExtractSummary, images: list[str]) -> None:
    for path, reason, detail in summary.failures:
        console.warn(f"{path}: {reason} ({detail})")
    if summary.failed > len(summary.failures):
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in summary.reasons.most_common())
        console.warn(f"{summary.failed:,} photos failed: {reasons}. The file gives the reason for each, as does -v.")
    print_findings(summary.passed.findings())
    reused = f", {summary.reused:,} from the interrupted run" if summary.reused else ""
    console.note(
        f"{summary.done:,} photos extracted, {summary.failed:,} failed{reused}; {summary.seconds:.1f} s "
        f"({summary.rate:.1f} photos/s). Written to {summary.output}"
    )
    if summary.done:
        console.note(f"Next: {_next_command(summary.output, images)}")


def _next_command(output: Path, images: list[str]) -> str:
    """Return the training if the photos are those of a dataset folder, else the check of the features."""
    from ...data.datasets.dataset import TABLE_FILE

    if len(images) == 1 and (Path(images[0]) / TABLE_FILE).is_file():
        return command_line("revcd", "train", "--dataset", images[0], options={"--features": output})
    return command_line("revcd", "data", "check", output)
