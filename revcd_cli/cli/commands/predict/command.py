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
    OverwriteOption,
    PhotosOption,
    PrecisionOption,
    RescaleOption,
    RuleOption,
    StrictOption,
    WeightsOption,
    WorkersOption,
)
from ...shard_options import (
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
)
from ...terminal import console
from ...terminal.prediction_messages import FINISHED_WITH_FAILURES, introduce, rejection_note
from .folder import check_folder_options, to_folder
from .options import (
    BoxConfidenceOption,
    BoxesOption,
    ClassesOption,
    EveryOption,
    ExifOption,
    FeaturesToClassify,
    FileOrFolderOption,
    FormatOption,
    FreshOption,
    NoiseSeedOption,
    OnlyOption,
    PhotosToClassify,
    WideOption,
)
from .output import check_columns, output_format
from .run import Run

if TYPE_CHECKING:
    from ....data.classes.attributes import ClassAttributes
    from ....data.features.feature_set import FeatureSet
    from ....data.parts.megadetector import BoxList
    from ....data.parts.video import VideoFrames
    from ....pipeline.extract.listing import SourceList
    from ....pipeline.predict.candidates import CandidateClasses


def predict(
    images: PhotosToClassify = None,
    features: FeaturesToClassify = None,
    boxes: BoxesOption = None,
    box_confidence: BoxConfidenceOption = None,
    every: EveryOption = None,
    model: ModelOption = "animals",
    classes: ClassesOption = None,
    missing: MissingOption = "error",
    rescale_rows: RescaleOption = False,
    only: OnlyOption = None,
    photos: PhotosOption = None,
    top_k: Annotated[int, typer.Option(min=1, metavar="N", help="Number of classes to report per photo.")] = 5,
    output: FileOrFolderOption = None,
    format_name: FormatOption = None,
    reject: Annotated[
        bool,
        typer.Option("--reject", help='Report "none of these" for photos that fit no class well enough.'),
    ] = False,
    min_probability: Annotated[
        float,
        typer.Option(min=0, max=1, metavar="P", help='Report "none of these" if the best probability is below P.'),
    ] = 0.0,
    wide: WideOption = False,
    exif: ExifOption = False,
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

    With --boxes, each box of an animal that MegaDetector found is classified: a square around it with a margin of
    10 % on each side. A photo without such a box has a row that says so (status empty). With --every, frames of videos
    are classified. --format megadetector and --format timelapse write files that MegaDetector's tools and
    Timelapse read.

    With -o report.html, write a page of photos by class. For each photo it compares the attributes that the model
    generates from the photo with the class descriptions; this takes a little longer.

    Photos may be in object storage (s3://, gs://, abfs://, hdfs://). An output that ends in "/" is a folder of shards,
    which several machines can write at the same time (--part, --engine ray); see docs/scale.md.

    To resume an interrupted run with -o, give the same command again. If its model, classes or settings were others,
    all photos are classified again, and this is said.

    \b
    revcd predict photo.jpg
    revcd predict photos/ --classes mine.csv -o predictions.csv
    revcd predict photos/ -o report.html
    revcd predict photos/ --boxes md.json --format megadetector -o classified.json
    revcd predict --features features.parquet --only moose,deer,wolf -o predictions.csv
    """
    _check_inputs(images, features, boxes, every)
    if fresh and output is None:
        raise typer.BadParameter("--fresh requires an output, -o FILE.")
    if exif and features is not None:
        raise typer.BadParameter("--exif reads the photos; with --features they are not read.")
    sharding = ShardOptions(
        engine, address, cpus_per_worker, gpus_per_worker, shard_rows, part, list_only, image_column, key_column
    )
    folder = output if sharding.for_folder(output) else None
    file = Path(output) if output is not None and folder is None else None
    if folder is not None:
        check_folder_options(format_name, features, excel or boxes is not None or every is not None)
        format_name = "parquet"
    form = output_format(file, format_name, overwrite, excel)
    check_columns(form, wide=wide, exif=exif)
    given: list[str] | FeatureSet | SourceList
    known = None
    if boxes is not None:
        given = _read_boxes(boxes, images, box_confidence)
    elif every is not None:
        given = _read_videos(images or [], every)
    elif folder is not None:
        given = list(images or ())
    elif images:
        given = _check_images(images, null)
    else:
        given = known = _read_features(features or "")
    table = _read_table(classes, missing, model)
    from ....pipeline.journal import kept_precision, unfinished_settings
    from ....pipeline.predict.columns import Layout
    from ....pipeline.predict.given_photos import photos_of_arguments
    from ....pipeline.predict.only import read_names, restrict
    from ....pipeline.predict.options import PredictOptions
    from ....pipeline.predict.predictor import Predictor

    if file is not None and not fresh:
        precision = kept_precision(unfinished_settings(file), precision, device)
    predictor = Predictor.from_checkpoint(
        model,
        weights=weights,
        device=device,
        precision=precision,
        rule=rule,
        with_backbone=(features is None and folder is None) or bool(photos),
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
    if folder is None:
        introduce(predictor, candidates, batch_size, known)
    if reject:
        console.note(rejection_note(predictor))
    if top_k > len(candidates.names):
        console.note(f"All {len(candidates.names)} classes are reported; --top-k is {top_k}.")
    is_page = form.value == "html"
    if wide:
        top_k = max(top_k, 2)  # for the runner-up
    options = PredictOptions(
        top_k, seed, reject, min_probability, is_page, is_page, exif, batch_size=batch_size, workers=workers
    )
    layout = Layout(wide=wide, boxes=boxes is not None, frames=every is not None, details=exif)
    if folder is not None:
        code = to_folder(
            predictor,
            candidates,
            options,
            layout,
            folder,
            sharding,
            images=images,
            features=features,
            null=null,
            fresh=fresh or overwrite,
            strict=strict,
            model=model,
            weights=weights,
            device=device,
            precision=precision,
            rule=rule,
        )
        raise typer.Exit(code)
    run = Run(predictor, given, candidates, options, form, excel, null, layout, _root(images))
    code = run.to_file(file, overwrite, fresh) if file else run.to_stdout()
    if not code and strict and run.passed.formats:
        code = FINISHED_WITH_FAILURES
    if code:
        raise typer.Exit(code)


def _check_inputs(images: list[str] | None, features: str | None, boxes: Path | None, every: str | None) -> None:
    if boxes is not None:
        if features is not None or every is not None:
            raise typer.BadParameter("--boxes classifies boxes of photos; leave out --features and --every.")
        if len(images or []) > 1 or not all(Path(folder).is_dir() for folder in images or []):
            raise typer.BadParameter("with --boxes, IMAGES is the one folder that the detector searched.")
    elif bool(images) == (features is not None):
        raise typer.BadParameter("give the photos, IMAGES, or their features, --features FILE; not both.")
    if every is not None and features is not None:
        raise typer.BadParameter("--every reads videos; leave out --features.")


def _read_boxes(path: Path, images: list[str] | None, least: float | None) -> BoxList:
    from ....data.parts.megadetector import read_boxes

    boxes = read_boxes(path, images[0] if images else "", least)
    console.note(
        f"{len(boxes.photos):,} photos in {path}; boxes of animals with a confidence of {boxes.least:g} or more"
    )
    if unlisted := boxes.unlisted():
        console.warn(f"{unlisted:,} photos in {boxes.root} are not in {path}, so they are not classified.")
    return boxes


def _read_videos(given: list[str], every: str) -> VideoFrames:
    from ....data.parts.video import VideoFrames, parse_every

    frames = VideoFrames(given, parse_every(every))
    console.note(f"{len(frames.videos):,} videos, a frame every {frames.every:g} s; photos are not read")
    return frames


def _root(images: list[str] | None) -> str:
    """Return the folder to which other programs' formats give paths: the only argument, if it is a folder."""
    is_folder = images is not None and len(images) == 1 and Path(images[0]).is_dir()
    return Path(images[0]).as_posix() if images and is_folder else ""


def _check_images(images: list[str], null: bool) -> list[str]:
    """Return the arguments; wrong paths are reported before the model is loaded."""
    from ....data.photos.sources import iter_sources

    iter_sources(images, null_separated=null)
    return images


def _read_features(path: str) -> FeatureSet:
    from ....data.features.files import read_features

    return read_features(path)


def _read_table(path: Path | None, missing: str, model: str) -> ClassAttributes | None:
    if path is None:
        return None
    from ....checkpoint.model_file import read_class_table
    from ....data.classes.completion import read_complete_csv

    reference = read_class_table(model) if missing == "impute" else None
    return read_complete_csv(path, missing=missing, reference=reference)


def _warn_of_taken_photos(candidates: CandidateClasses, model: str) -> None:
    """Warn of new or changed rows that would take many photos of a class that the model has photos of."""
    from ....pipeline.tables.taken_photos import read_seen_photos

    photos = read_seen_photos(model)
    given = candidates.photos.names if candidates.photos else ()
    if photos is not None:
        values = candidates.prototypes.numpy()
        for finding in photos.findings(candidates.names, values, [*given, *photos.unchanged(candidates.names, values)]):
            console.warn(finding.sentence)
