"""`revcd predict`: classify photos."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..options import (
    BatchSizeOption,
    DeviceOption,
    MissingOption,
    ModelOption,
    NullOption,
    OutputOption,
    OverwriteOption,
    PhotosOption,
    PrecisionOption,
    RescaleOption,
    RuleOption,
    StrictOption,
    WeightsOption,
    WorkersOption,
    expand,
)
from ..terminal import console
from ..terminal.findings import print_findings
from ..terminal.prediction_messages import FINISHED_WITH_FAILURES, introduce, one_line, rejection_note, summarise

if TYPE_CHECKING:
    from ...config import BackboneRecord
    from ...data.classes.attributes import ClassAttributes
    from ...data.features.feature_set import FeatureSet
    from ...pipeline.predict.candidates import CandidateClasses
    from ...pipeline.predict.explanations import CandidateDescriptions
    from ...pipeline.predict.predictions import OutputFormat, Write
    from ...pipeline.predict.predictor import Predictor

ClassesOption = Annotated[
    Path | None,
    typer.Option(
        metavar="CSV",
        help="Table of the candidate classes: a row per class, a column per attribute. Classes need no photos.",
        show_default="the model's classes",
        callback=expand,
    ),
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="table, tsv, csv, json, jsonl, parquet or html.",
        show_default="by the suffix; table on a terminal, tsv in a pipe",
    ),
]
PhotosToClassify = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="IMAGES",
        help='Photos, folders (recursive), quoted globs, zip or tar archives, or "-" for a list on standard input.',
        show_default=False,
    ),
]
FeaturesToClassify = Annotated[
    Path | None,
    typer.Option(
        "--features",
        metavar="FILE",
        help="Classify the photos of a feature file (.parquet, .npz or .mat of revcd extract) instead of IMAGES.",
        callback=expand,
    ),
]
OnlyOption = Annotated[
    str | None,
    typer.Option(
        "--only",
        metavar="LIST",
        help="Only these candidate classes: a file with a name per line, or names separated by commas.",
        show_default="all",
    ),
]
NoiseSeedOption = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="Random seed of the diffusion noise.", show_default="the model's"),
]


def predict(
    images: PhotosToClassify = None,
    features: FeaturesToClassify = None,
    model: ModelOption = "animals",
    classes: ClassesOption = None,
    missing: MissingOption = "error",
    rescale_rows: RescaleOption = False,
    only: OnlyOption = None,
    photos: PhotosOption = None,
    top_k: Annotated[int, typer.Option(min=1, metavar="N", help="Number of classes to report per photo.")] = 5,
    output: OutputOption = None,
    output_format: FormatOption = None,
    reject: Annotated[
        bool,
        typer.Option("--reject", help='Report "none of these" for photos that fit no class well enough.'),
    ] = False,
    min_probability: Annotated[
        float,
        typer.Option(min=0, max=1, metavar="P", help='Report "none of these" if the best probability is below P.'),
    ] = 0.0,
    excel: Annotated[
        bool, typer.Option("--excel", help="Write CSV for spreadsheets: byte-order mark, no formulas.")
    ] = False,
    rule: RuleOption = None,
    seed: NoiseSeedOption = None,
    weights: WeightsOption = None,
    batch_size: BatchSizeOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    null: NullOption = False,
    overwrite: OverwriteOption = False,
    strict: StrictOption = False,
) -> None:
    """Classify photos, also into classes without training photos.

    Classes are ranked by score. The probability is a softmax of the scores over the given classes, with a temperature
    fitted in validation. It does not tell whether the photo shows any of these classes.

    With --reject, a photo is reported as "none of these" (status rejected) if the chance that its best class is right
    is below the model's threshold. In validation the threshold rejects a fixed share of the right answers (10 % by
    default). revcd models show MODEL prints this share, and the share of photos of other classes that are not rejected.
    With --min-probability P, so is a photo whose best class has a probability below P.

    With --photos, classes are known by one or more photos as well, without training: --photos okapi=okapi/, or a folder
    with one folder for each class. Such a class needs no row in the table. A photo that resembles the photos of
    "others" most is reported as "none of these".

    With --features, photos are classified by features that revcd extract wrote, without reading the photos again, for
    example after a table was changed. The features must be those of the model's backbone.

    With -o report.html, write a page of photos by class. For each photo it compares the attributes that the model
    generates from the photo with the class descriptions; this takes a little longer.

    \b
    revcd predict photo.jpg
    revcd predict photos/ --classes mine.csv -o predictions.csv
    revcd predict photos/ -o report.html
    revcd predict --features features.parquet --only moose,deer,wolf -o predictions.csv
    """
    if bool(images) == (features is not None):
        raise typer.BadParameter("give the photos, IMAGES, or their features, --features FILE; not both.")
    form = _format(output, output_format, overwrite, excel)
    from ...data.photos.passed_over import PassedOver

    given = _given(images, features, null)
    table = _read_table(classes, missing, model)
    from ...pipeline.predict.given_photos import photos_of_arguments
    from ...pipeline.predict.only import read_names, restrict
    from ...pipeline.predict.predictor import Predictor

    predictor = Predictor.from_checkpoint(
        model,
        weights=weights,
        device=device,
        precision=precision,
        rule=rule,
        with_backbone=features is None or bool(photos),
    )
    if photos:
        predictor = predictor.with_photos(
            photos_of_arguments(photos), batch_size=batch_size, workers=workers, on_note=console.note
        )
    candidates = predictor.candidates(table, rescale=rescale_rows)
    if only is not None:
        candidates = restrict(candidates, read_names(only))
    for text in candidates.notes:
        console.note(text)
    for warning in candidates.warnings:
        console.warn(warning)
    if table is not None:
        _warn_of_taken_photos(candidates, model)
    introduce(predictor, candidates, batch_size, None if isinstance(given, list) else given)
    if reject:
        console.note(rejection_note(predictor))
    if top_k > len(candidates.names):
        console.note(f"All {len(candidates.names)} classes are reported; --top-k is {top_k}.")
    record = predictor.backbone.record if isinstance(given, list) else given.backbone
    header = _header(predictor, record, candidates, top_k, seed, reject, min_probability)
    is_page = form.value == "html"
    tally: Counter[str] = Counter()
    passed = PassedOver()
    with console.progress("Classifying") as on_progress:
        predictions = predictor.stream(
            given,
            classes=candidates,
            top_k=top_k,
            seed=seed,
            reject=reject,
            min_probability=min_probability,
            batch_size=batch_size,
            workers=workers,
            null_separated=null,
            thumbnails=is_page,
            explain=is_page,
            passed=passed,
            on_progress=on_progress,
            on_note=console.note,
        )
        first = next(predictions)  # raises an error if there is no photo, before an existing output is replaced
        descriptions = predictor.descriptions(candidates) if is_page else None
        with _open(output, form, header, excel, overwrite, descriptions) as write:
            for prediction in itertools.chain([first], predictions):
                tally[prediction.status] += 1
                if prediction.status == "failed":
                    console.warn(f"{prediction.path}: {prediction.reason} ({prediction.detail})")
                elif output is not None:
                    console.detail(one_line(prediction))
                write(prediction)
    print_findings(passed.findings())
    code = summarise(tally, output, is_page)
    if not code and strict and passed.formats:
        code = FINISHED_WITH_FAILURES
    if code:
        raise typer.Exit(code)


def _given(images: list[str] | None, features: Path | None, null: bool) -> list[str] | FeatureSet:
    """Return the photos or the features to classify. Wrong paths are reported before the model is loaded."""
    if images:
        from ...data.photos.sources import iter_sources

        iter_sources(images, null_separated=null)
        return images
    from ...data.features.files import read_features

    return read_features(Path(features or ""))


def _read_table(path: Path | None, missing: str, model: str) -> ClassAttributes | None:
    if path is None:
        return None
    from ...checkpoint.model_file import read_class_table
    from ...data.classes.completion import read_complete_csv

    reference = read_class_table(model) if missing == "impute" else None
    return read_complete_csv(path, missing=missing, reference=reference)


def _warn_of_taken_photos(candidates: CandidateClasses, model: str) -> None:
    """Warn of described classes that would take many photos of a class that the model has photos of."""
    from ...pipeline.tables.taken_photos import read_seen_photos

    photos = read_seen_photos(model)
    given = candidates.photos.names if candidates.photos else ()
    if photos is not None:
        for finding in photos.findings(candidates.names, candidates.prototypes.numpy(), given):
            console.warn(finding.sentence)


def _format(output: Path | None, name: str | None, overwrite: bool, excel: bool) -> OutputFormat:
    """Return the output format. Raises an error for an output that cannot be written, before the model is loaded."""
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
        raise typer.BadParameter("--excel requires CSV output.")
    return form


@contextlib.contextmanager
def _open(
    output: Path | None,
    form: OutputFormat,
    header: dict[str, Any],
    excel: bool,
    overwrite: bool,
    descriptions: CandidateDescriptions | None,
) -> Iterator[Write]:
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
            check_output(output, overwrite=overwrite)  # again: another run may have written it since
        with open_writer(output or sys.stdout.buffer, form, header, excel=excel, descriptions=descriptions) as writer:
            yield writer.write


def _header(
    predictor: Predictor,
    record: BackboneRecord,
    candidates: CandidateClasses,
    top_k: int,
    seed: int | None,
    reject: bool,
    min_probability: float,
) -> dict[str, Any]:
    checkpoint, calibration = predictor.checkpoint, predictor.calibration
    return {
        "model": {"name": checkpoint.name, "sha256": checkpoint.sha256},
        "backbone": record.to_dict(),
        "classes": {"source": candidates.source, "sha256": candidates.sha256, "n": len(candidates.names)},
        "settings": {
            "rule": predictor.inference.rule,
            "top_k": top_k,
            "seed": checkpoint.seed if seed is None else seed,
            "gamma": calibration.penalty(int((~candidates.seen).sum())),
            "temperature": calibration.temperature,
            "reject_below": calibration.threshold if reject else None,
            "min_probability": min_probability,
        },
    }
