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
)
from ..shard_options import (
    AddressOption,
    CpusOption,
    EngineOption,
    GpusOption,
    ImageColumnOption,
    KeyColumnOption,
    ListOnlyOption,
    PartOption,
    ShardOptions,
    ShardRowsOption,
    expand_output,
    run_to_folder,
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
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER/",
            help="File to write: .parquet, .npz or .mat; or a folder of shards, here or in object storage.",
            callback=expand_output,
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
    engine: EngineOption = "local",
    address: AddressOption = None,
    cpus_per_worker: CpusOption = None,
    gpus_per_worker: GpusOption = None,
    shard_rows: ShardRowsOption = None,
    part: PartOption = None,
    list_only: ListOnlyOption = False,
    image_column: ImageColumnOption = None,
    key_column: KeyColumnOption = None,
) -> None:
    """Extract image features from photos into a file.

    train and evaluate read this file. To resume an interrupted run, give the same command again.

    Photos may be in object storage (s3://, gs://, abfs://, hdfs://). An output that ends in "/" is a folder of shards,
    which several machines can write at the same time (--part, --engine ray); see docs/scale.md. There, Parquet files
    with photos are inputs, too.

    \b
    revcd extract photos/ -o features.parquet
    revcd extract zoo.zip 'more/**/*.jpg' -o features.npz --backbone resnet50.tv_in1k
    revcd extract s3://bucket/photos 's3://bucket/shards/*.tar' -o s3://bucket/features/ --engine ray
    """
    options = ShardOptions(
        engine,
        address,
        cpus_per_worker,
        gpus_per_worker,
        shard_rows,
        part,
        list_only,
        image_column,
        key_column,
    )
    if options.for_folder(output):
        from ...pipeline.shards.jobs import FeatureJob

        job = FeatureJob(backbone, weights, device, precision, tokens, batch_size, workers)
        inputs = options.inputs(images, null=null)
        code = run_to_folder(
            job, inputs, output, options, description="Extracting", fresh=fresh or overwrite, strict=strict
        )
        raise typer.Exit(code)
    file = Path(output)
    from ...pipeline.extract import extract as pipeline

    with resumable(file), console.progress("Extracting") as on_progress:
        summary = pipeline.extract(
            images,
            file,
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
        f"{console.photo_count(summary.done)} extracted, {summary.failed:,} failed{reused}; {summary.seconds:.1f} s "
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
