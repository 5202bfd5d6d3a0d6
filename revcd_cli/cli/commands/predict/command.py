"""`revcd predict`: classify photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...options import (
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
)
from ...terminal import console
from ...terminal.prediction_messages import FINISHED_WITH_FAILURES, introduce, rejection_note
from .options import (
    ClassesOption,
    FeaturesToClassify,
    FormatOption,
    FreshOption,
    NoiseSeedOption,
    OnlyOption,
    PhotosToClassify,
)
from .output import output_format
from .run import Run

if TYPE_CHECKING:
    from ....data.classes.attributes import ClassAttributes
    from ....data.features.feature_set import FeatureSet
    from ....pipeline.predict.candidates import CandidateClasses


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
    format_name: FormatOption = None,
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
    fresh: FreshOption = False,
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

    To resume an interrupted run with -o, give the same command again. If its model, classes or settings were others,
    all photos are classified again, and this is said.

    \b
    revcd predict photo.jpg
    revcd predict photos/ --classes mine.csv -o predictions.csv
    revcd predict photos/ -o report.html
    revcd predict --features features.parquet --only moose,deer,wolf -o predictions.csv
    """
    if bool(images) == (features is not None):
        raise typer.BadParameter("give the photos, IMAGES, or their features, --features FILE; not both.")
    if fresh and output is None:
        raise typer.BadParameter("--fresh requires an output, -o FILE.")
    form = output_format(output, format_name, overwrite, excel)
    given = _given(images, features, null)
    table = _read_table(classes, missing, model)
    from ....pipeline.journal import kept_precision, unfinished_settings
    from ....pipeline.predict.given_photos import photos_of_arguments
    from ....pipeline.predict.only import read_names, restrict
    from ....pipeline.predict.options import PredictOptions
    from ....pipeline.predict.predictor import Predictor

    if output is not None and not fresh:
        precision = kept_precision(unfinished_settings(output), precision, device)
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
    is_page = form.value == "html"
    options = PredictOptions(top_k, seed, reject, min_probability, is_page, is_page, batch_size, workers)
    run = Run(predictor, given, candidates, options, form, excel, null)
    code = run.to_file(output, overwrite, fresh) if output else run.to_stdout()
    if not code and strict and run.passed.formats:
        code = FINISHED_WITH_FAILURES
    if code:
        raise typer.Exit(code)


def _given(images: list[str] | None, features: Path | None, null: bool) -> list[str] | FeatureSet:
    """Return the photos or the features to classify. Wrong paths are reported before the model is loaded."""
    if images:
        from ....data.photos.sources import iter_sources

        iter_sources(images, null_separated=null)
        return images
    from ....data.features.files import read_features

    return read_features(Path(features or ""))


def _read_table(path: Path | None, missing: str, model: str) -> ClassAttributes | None:
    if path is None:
        return None
    from ....checkpoint.model_file import read_class_table
    from ....data.classes.completion import read_complete_csv

    reference = read_class_table(model) if missing == "impute" else None
    return read_complete_csv(path, missing=missing, reference=reference)


def _warn_of_taken_photos(candidates: CandidateClasses, model: str) -> None:
    """Warn of described classes that would take many photos of a class that the model has photos of."""
    from ....pipeline.tables.taken_photos import read_seen_photos

    photos = read_seen_photos(model)
    given = candidates.photos.names if candidates.photos else ()
    if photos is not None:
        for finding in photos.findings(candidates.names, candidates.prototypes.numpy(), given):
            console.warn(finding.sentence)
