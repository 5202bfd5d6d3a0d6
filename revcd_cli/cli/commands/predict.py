"""`revcd predict`: names for photos."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..options import (
    BatchSizeOption,
    DeviceOption,
    ImagesArgument,
    MissingOption,
    ModelOption,
    NullOption,
    OutputOption,
    OverwriteOption,
    PrecisionOption,
    RuleOption,
    WeightsOption,
    WorkersOption,
    expand,
)
from ..terminal import console

if TYPE_CHECKING:
    from ...data.classes.attributes import ClassAttributes
    from ...pipeline.predict.explanations import Descriptions
    from ...pipeline.predict.predictions import OutputFormat
    from ...pipeline.predict.predictor import CandidateClasses, Predictor

FINISHED_WITH_FAILURES, NOTHING_USABLE = 3, 1

ClassesOption = Annotated[
    Path | None,
    typer.Option(
        metavar="CSV",
        help="The classes to choose among: a row per class, a column per attribute, matched by name. "
        "Classes without any photo are welcome.",
        show_default="the model's own",
        callback=expand,
    ),
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="table, tsv, csv, json, jsonl, parquet or html.",
        show_default="by the output's suffix; on a terminal table, in a pipe tsv",
    ),
]
SeedOption = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="Of the noise; it also depends on the photo.", show_default="the model's"),
]


def predict(
    images: ImagesArgument,
    model: ModelOption = "animals",
    classes: ClassesOption = None,
    missing: MissingOption = "error",
    top_k: Annotated[int, typer.Option(min=1, metavar="N", help="Classes to report for each photo.")] = 5,
    output: OutputOption = None,
    output_format: FormatOption = None,
    reject: Annotated[
        bool,
        typer.Option("--reject", help='Answer "none of these" where no class fits well enough.'),
    ] = False,
    excel: Annotated[bool, typer.Option("--excel", help="Make the CSV safe and readable for spreadsheets.")] = False,
    rule: RuleOption = None,
    seed: SeedOption = None,
    weights: WeightsOption = None,
    batch_size: BatchSizeOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    null: NullOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Name what photos show, among classes that a table describes, with or without photos of them in training.

    The score is what classes are ranked by. The probability is relative to the given classes: it says how the model
    divides its belief among them, not whether the photo shows any of them. It is a softmax of the scores at the
    temperature that made the right answers most likely in validation, where some seen classes played unseen.

    With --reject, a photo that fits its best class worse than the model's threshold is answered "none of these": status
    rejected, no class. The threshold is where a set share of validation photos (10 % unless trained otherwise) would be
    rejected wrongly; revcd models show MODEL tells that share and how many photos of other classes still get an answer.

    With -o report.html, one page to look through: photos by class, and for each answer the attributes that the model
    drew from the photo beside the descriptions of the classes. That takes a little longer.

    \b
    revcd predict photo.jpg
    revcd predict photos/ --classes mine.csv -o answers.csv
    revcd predict photos/ -o report.html
    """
    form = _format(output, output_format, overwrite, excel)
    from ...data.photos.sources import iter_sources

    iter_sources(images, null_separated=null)  # refuses paths that cannot be meant, before anything heavy is loaded
    table = _read_table(classes, missing)
    from ...pipeline.predict.predictor import Predictor

    predictor = Predictor.from_checkpoint(model, weights=weights, device=device, precision=precision, rule=rule)
    candidates = predictor.candidates(table)
    for warning in candidates.warnings:
        console.warn(warning)
    console.note(_decisions(predictor, candidates))
    if reject:
        console.note(_rejection(predictor))
    if top_k > len(candidates.names):
        console.note(f"There are {len(candidates.names)} classes, so all of them are reported.")
    header = _header(predictor, candidates, top_k, seed, reject)
    is_page = form.value == "html"
    tally: Counter[str] = Counter()
    with console.progress("Naming") as on_progress:
        predictions = predictor.stream(
            images,
            classes=candidates,
            top_k=top_k,
            seed=seed,
            reject=reject,
            batch_size=batch_size,
            workers=workers,
            null_separated=null,
            thumbnails=is_page,
            explain=is_page,
            on_progress=on_progress,
            on_note=console.note,
        )
        first = next(predictions)  # an error where there is no photo at all; the output that exists is still untouched
        descriptions = predictor.descriptions(candidates) if is_page else None
        with _open(output, form, header, excel, overwrite, descriptions) as write:
            for prediction in itertools.chain([first], predictions):
                tally[prediction.status] += 1
                if prediction.status == "failed":
                    console.warn(f"{prediction.path}: {prediction.reason} ({prediction.detail})")
                write(prediction)
    _finish(tally, output, is_page)


def _read_table(path: Path | None, missing: str) -> ClassAttributes | None:
    if path is None:
        return None
    from ...data.classes.attributes import read_attribute_csv

    return read_attribute_csv(path, missing=missing)


def _format(output: Path | None, name: str | None, overwrite: bool, excel: bool) -> OutputFormat:
    """Decide how to write, and refuse what cannot be written, before anything is loaded."""
    from ...pipeline.predict.predictions import OutputFormat
    from ...system.files import check_output

    if output is not None:
        check_output(output, overwrite=overwrite)
    if name is not None:
        form = OutputFormat.named(name)
    elif output is not None:
        form = OutputFormat.of(output)
    else:
        form = OutputFormat.table if sys.stdout.isatty() else OutputFormat.tsv
    if output is not None and form is OutputFormat.table:
        raise typer.BadParameter("a table is for the terminal; choose csv, json, jsonl, tsv, parquet or html.")
    if excel and form is not OutputFormat.csv:
        raise typer.BadParameter("--excel goes with CSV output.")
    return form


@contextlib.contextmanager
def _open(
    output: Path | None,
    form: OutputFormat,
    header: dict[str, Any],
    excel: bool,
    overwrite: bool,
    descriptions: Descriptions | None,
):
    from ...pipeline.predict.predictions import OutputFormat
    from ...reports.predictions.files import open_writer
    from ...system.files import check_output, exclusive
    from ..terminal.prediction_tables import PredictionTables

    if output is None and form is OutputFormat.table:
        with PredictionTables() as tables:
            yield tables.write
        return
    with exclusive(output) if output else contextlib.nullcontext():
        if output:
            check_output(output, overwrite=overwrite)  # again: another run may have ended just now
        with open_writer(output or sys.stdout.buffer, form, header, excel=excel, descriptions=descriptions) as writer:
            yield writer.write


def _decisions(predictor: Predictor, candidates: CandidateClasses) -> str:
    checkpoint, backbone = predictor.checkpoint, predictor.backbone
    n_seen = int(candidates.seen.sum())
    parts = [
        f"model {checkpoint.name} ({checkpoint.sha256[:8]})",
        f"{len(candidates.names)} classes, {len(candidates.names) - n_seen} of them unseen",
        f"backbone {backbone.record.tag}",
        f"device {backbone.device.reason}",
        backbone.precision.reason,
    ]
    return " - ".join(parts)


def _rejection(predictor: Predictor) -> str:
    calibration = predictor.rejection()
    return (
        f"none of these is answered below {calibration.threshold:.3g}: in validation "
        f"{console.percent(calibration.false_reject)} % of photos were rejected wrongly, and "
        f"{console.percent(calibration.false_accept)} % of photos of no given class were answered all the same"
    )


def _header(
    predictor: Predictor, candidates: CandidateClasses, top_k: int, seed: int | None, reject: bool
) -> dict[str, Any]:
    checkpoint, calibration = predictor.checkpoint, predictor.calibration
    return {
        "model": {"name": checkpoint.name, "sha256": checkpoint.sha256},
        "backbone": predictor.backbone.record.to_dict(),
        "classes": {"source": candidates.source, "sha256": candidates.sha256, "n": len(candidates.names)},
        "settings": {
            "rule": predictor.inference.rule,
            "top_k": top_k,
            "seed": checkpoint.seed if seed is None else seed,
            "gamma": calibration.gamma,
            "temperature": calibration.temperature,
            "reject_below": calibration.threshold if reject else None,
        },
    }


def _finish(tally: Counter[str], output: Path | None, is_page: bool) -> None:
    rejected, failed = tally["rejected"], tally["failed"]
    where = f" Written to {output}" if output else ""
    if output and is_page:  # photos are inside: it may be large
        size = output.stat().st_size
        where += f" ({size / 1e6:.1f} MB, {size / tally.total() / 1e3:.1f} kB a photo)"
    if rejected or failed or output:
        none = f"{rejected:,} none of these, " if rejected else ""
        console.note(f"{tally['ok']:,} photos named, {none}{failed:,} failed.{where}")
    if failed:
        raise typer.Exit(FINISHED_WITH_FAILURES if tally["ok"] or rejected else NOTHING_USABLE)
