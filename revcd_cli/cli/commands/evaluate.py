"""`revcd evaluate`: S, U, H, T1 and AUSUC of a model on the test photos of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..opening import exit_if_photos_lack, open_dataset, open_with_features, open_with_model
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
    RuleOption,
    WeightsOption,
    expand_short,
)
from ..terminal import charts, console
from .compare import (
    BaselinesOption,
    MethodsOption,
    SeedsOption,
    WholeTableOption,
    compare,
    estimate_comparison,
    plan_comparison,
    refuse,
)
from .train import ConfigOption, SetOption

if TYPE_CHECKING:
    from rich.text import Text

    from ...pipeline.evaluate.split_scores import GZSLReport

ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Folder for an HTML report, and its figures as JSON, CSV and plots.",
        callback=expand_short,
    ),
]


def evaluate(
    dataset: DatasetOption,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Name of an included model, or a .safetensors file.",
            show_default="DATASET.safetensors",
        ),
    ] = None,
    features: FeaturesOption = None,
    images: ImageRootOption = None,
    data_root: DataRootOption = None,
    missing: MissingOption = "error",
    rescale_rows: RescaleOption = False,
    known: KnownOption = None,
    rule: RuleOption = None,
    baselines: BaselinesOption = False,
    methods: MethodsOption = None,
    seeds: SeedsOption = 3,
    whole_table: WholeTableOption = True,
    config: ConfigOption = None,
    assignments: SetOption = None,
    backbone: BackboneOption = "auto",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --baselines or --method: estimate the time; do not train.")
    ] = False,
    per_class: Annotated[bool, typer.Option("--per-class", help="Print the accuracy of each class too.")] = False,
    output_format: Annotated[
        str, typer.Option("--format", metavar="NAME", help="Output on stdout: table or json.")
    ] = "table",
    output: ReportOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Measure the accuracy of a model on test photos.

    S is the accuracy on seen classes, U on unseen classes, H their harmonic mean. The candidates are all classes of the
    table, as for revcd predict (--split-classes: those with photos in the split). T1 is the accuracy on unseen classes
    with unseen classes as the only candidates. Each is a mean over classes of per-class top-1 accuracy, in percent.
    AUSUC is the area under the curve of U over S for all values of the seen penalty. S is not defined if no candidate
    is unseen. A split whose test photos may have been used to train the model is an error.

    With -o, write report.html (curve, confusion matrix, classes, misclassified photos, confidence, attributes),
    metrics.json, and each part as CSV, PNG and SVG.

    With --baselines or --method, train and compare methods instead of measuring a model. All methods use the same
    photos and validation folds; RevCD uses the settings of --config and --set. With -o, write comparison.html, .json
    and .csv after each method. The trained models are not saved.

    \b
    revcd evaluate --dataset my-animals/ --model my-animals.safetensors
    revcd evaluate --dataset my-animals/ --baselines --seeds 3 -o report/
    revcd evaluate --dataset my-animals/ --method revcd-cosine,cvae,gan --seeds 5
    """
    if output_format not in ("table", "json"):
        raise typer.BadParameter(f'"{output_format}" is neither table nor json.', param_hint="--format")
    if baselines and methods is not None:
        raise typer.BadParameter("includes all methods; leave out --method.", param_hint="--baselines")
    comparing = baselines or methods is not None
    if comparing:
        refuse(
            {"--model": model, "--rule": rule, "--per-class": per_class},
            "cannot be combined with --baselines or --method.",
        )
    else:
        refuse(
            {"--config": config, "--set": assignments, "--known": known, "--dry-run": dry_run},
            "requires --baselines or --method; a trained model has its own settings, and is measured at once.",
        )
    if comparing:
        plan = plan_comparison(
            methods, seeds, config, assignments or [], output, whole_table=whole_table, overwrite=overwrite
        )
        if dry_run:
            unread = open_dataset(
                dataset,
                features=features,
                images=images,
                data_root=data_root,
                missing=missing,
                rescale_rows=rescale_rows,
                write_split=False,
                known=known,
            )
            estimate_comparison(plan, unread, backbone, weights, device, precision)
            return
        opened = open_with_features(
            dataset,
            features=features,
            images=images,
            data_root=data_root,
            missing=missing,
            rescale_rows=rescale_rows,
            backbone=backbone,
            weights=weights,
            device=device,
            precision=precision,
            tokens=plan.config.encoder.tokens == "spatial",
            known=known,
        )
        compare(plan, opened, device=device, as_json=output_format == "json")
        return
    from ...metrics.bootstrap import bootstrap
    from ...pipeline.evaluate.diagnosis import diagnose, measure_confidence
    from ...pipeline.evaluate.evaluate import evaluation_scores
    from ...reports.evaluation.metrics import describe_evaluation
    from ...reports.evaluation.report import EVALUATION_FILES, PAGE, write_evaluation
    from ...system.files import check_output_folder

    if output is not None:
        check_output_folder(output, EVALUATION_FILES, overwrite=overwrite)
    checkpoint, opened = open_with_model(
        dataset,
        model,
        features=features,
        images=images,
        data_root=data_root,
        missing=missing,
        rescale_rows=rescale_rows,
        weights=weights,
        device=device,
        precision=precision,
    )
    scores, gamma = evaluation_scores(checkpoint, opened, rule=rule, device=device, whole_table=whole_table)
    report, curve = scores.report(gamma).defined(), scores.curve()
    confidence = measure_confidence(checkpoint, scores, rule)
    intervals = bootstrap([scores.class_figures(gamma)]).intervals()
    document = describe_evaluation(
        report,
        checkpoint,
        opened,
        rule=rule,
        curve=curve,
        confidence=confidence,
        intervals=intervals,
        candidates=scores.names,
        whole_table=whole_table,
    )
    if output is not None:
        write_evaluation(output, document, curve, diagnose(checkpoint, opened, scores, rule=rule, device=device))
        console.note(f"Written to {output}; open {output / PAGE} in a browser.")
    if output_format == "json":
        console.result_json(document)
    else:
        _print(report, document, per_class)
    exit_if_photos_lack(opened)


def _print(report: GZSLReport, document: dict[str, Any], per_class: bool) -> None:
    among = "all classes of the table" if document["candidates"]["whole_table"] else "the classes of the split"
    meaning = {
        "S": (f"{report.seen_photos:,}", f"seen classes, {among} as candidates"),
        "U": (f"{report.unseen_photos:,}", f"unseen classes, {among} as candidates"),
        "H": ("", "harmonic mean of S and U"),
        "T1": (f"{report.unseen_photos:,}", "unseen classes as the only candidates"),
        "AUSUC": ("", "area under U over S, for all seen penalties"),
    }
    rows = [
        [
            name,
            console.percent(share),
            charts.interval(**document["intervals"][name] or {}),
            console.percent(document["validation"].get(name)),
            *meaning[name],
        ]
        for name, share in report.headline().items()
    ]
    console.result_table(
        ["", "percent", "95 %", "validation", "photos", meant := "mean over classes of top-1 accuracy"],
        rows,
        right=("percent", "95 %", "validation", "photos"),
        optional=(meant,),
    )
    confusion = {
        "seen as unseen": (
            report.seen_as_unseen,
            report.seen_photos,
            "share classified as unseen, mean over classes",
        ),
        "unseen as seen": (
            report.unseen_as_seen,
            report.unseen_photos,
            "share classified as seen, mean over classes",
        ),
        "neighbour's photos kept": (
            report.neighbour_photos_kept,
            report.seen_photos,
            "by the most similar seen class when one unseen class is added, mean over these",
        ),
        "seen alone": (report.acc_seen_alone, report.seen_photos, "seen classes as the only candidates"),
        "seen, by photo": (report.sample_acc_seen, report.seen_photos, "share of correct photos; differs from S"),
        "unseen, by photo": (report.sample_acc_unseen, report.unseen_photos, "share of correct photos; differs from U"),
    }
    rows = [[name, console.percent(share), f"{photos:,}", what] for name, (share, photos, what) in confusion.items()]
    console.result_table(["", "percent", "photos", "meaning"], rows, right=("percent", "photos"), optional=("meaning",))
    if per_class:
        per_class_rows: list[list[str | Text]] = [
            [
                entry.name,
                charts.seen_label(entry.seen),
                f"{entry.photos:,}",
                charts.bar_cell(
                    entry.accuracy, f"{console.percent(entry.accuracy):>5}", charts.seen_colour(entry.seen)
                ),
            ]
            for entry in report.per_class
        ]
        console.result_table(["class", "", "photos", "percent"], per_class_rows, right=("photos", "percent"))
    known = f" and {report.known_classes} known to the backbone" if report.known_classes else ""
    untested = f" ({report.untested_classes} without test photos)" if report.untested_classes else ""
    if not report.unseen_classes:
        console.note('No candidate is an unseen class, so S, U and H are not defined; see "seen alone".')
    console.note(
        f"dataset {document['dataset']['name']}, model {document['model']['name']}, rule {document['rule']}, "
        f"{report.seen_classes} seen and {report.unseen_classes} unseen candidates{untested}{known}, "
        f"seen penalty {document['gamma']:g}"
        "; 95 %: confidence interval, by a bootstrap over the test classes"
    )
    for name, digest in (
        ("model", document["model"]["sha256"]),
        ("split", document["dataset"]["split_sha256"]),
        ("features", document["dataset"]["features_sha256"]),
    ):
        console.detail(f"{name} sha256 {digest}")
