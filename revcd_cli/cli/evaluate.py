"""`revcd evaluate`: S, U, H and T1 of a model on the test photos of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import console
from .comparison import MethodsOption, SeedsOption, compare, plan_comparison, refuse
from .options import (
    BackboneOption,
    DataRootOption,
    DatasetOption,
    DeviceOption,
    FeaturesOption,
    ImageRootOption,
    MissingOption,
    OverwriteOption,
    PrecisionOption,
    RuleOption,
    WeightsOption,
    expand_short,
)
from .tested import open_with_model
from .train import ConfigOption, SetOption

if TYPE_CHECKING:
    from ..pipeline.evaluate import GZSLReport

ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="DIR", help="Folder for the figures as JSON and CSV.", callback=expand_short
    ),
]


def evaluate(
    dataset: DatasetOption,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="A model.", show_default="DATASET.safetensors, as train writes it"),
    ] = None,
    features: FeaturesOption = None,
    images: ImageRootOption = None,
    data_root: DataRootOption = None,
    missing: MissingOption = "error",
    rule: RuleOption = None,
    methods: MethodsOption = None,
    seeds: SeedsOption = 3,
    config: ConfigOption = None,
    assignments: SetOption = None,
    backbone: BackboneOption = "auto",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    per_class: Annotated[bool, typer.Option("--per-class", help="Show each class's accuracy too.")] = False,
    output_format: Annotated[str, typer.Option("--format", metavar="NAME", help="table or json.")] = "table",
    output: ReportOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Measure a model on test photos: S on seen classes, U on unseen ones, H their harmonic mean, T1 unseen alone.

    All are means over classes of each class's own accuracy, in percent. For S, U and H every class is a candidate; for
    T1 the unseen classes are. A split in which test photos could have trained the model is refused.

    With --method no model is taken: RevCD, a conditional VAE and a conditional GAN are trained on the same photos, with
    the settings of --config and --set, and compared; nothing is saved.

    \b
    revcd evaluate --dataset my-animals/ --model my-animals.safetensors
    revcd evaluate --dataset my-animals/ --method revcd,cvae,gan --seeds 5
    """
    if output_format not in ("table", "json"):
        raise typer.BadParameter(f'"{output_format}" is neither table nor json.', param_hint="--format")
    if methods is None:
        refuse({"--config": config, "--set": assignments}, "needs --method: a model has its own settings.")
    else:
        refuse({"--model": model, "--rule": rule, "--per-class": per_class}, "does not go with --method.")
    from ..data.open_dataset import open_dataset

    if methods is not None:
        plan = plan_comparison(methods, seeds, config, assignments or [], output, overwrite=overwrite)
        opened = open_dataset(dataset, data_root=data_root, features=features, images=images, missing=missing)
        extraction = {"backbone": backbone, "weights": weights, "precision": precision}
        compare(plan, opened, extraction, device=device, as_json=output_format == "json")
        return
    from ..pipeline.evaluate import evaluate as run
    from ..pipeline.report import check_report_folder, describe, write_report

    if output is not None:
        check_report_folder(output, overwrite=overwrite)
    checkpoint, opened = open_with_model(
        dataset,
        model,
        features=features,
        images=images,
        data_root=data_root,
        missing=missing,
        weights=weights,
        device=device,
        precision=precision,
    )
    report = run(checkpoint, opened, rule=rule, device=device)
    document = describe(report, checkpoint, opened, rule=rule)
    if output is not None:
        write_report(output, document)
        console.note(f"Written to {output}")
    if output_format == "json":
        console.result_json(document)
    else:
        _print(report, document, per_class)


def _print(report: GZSLReport, document: dict[str, Any], per_class: bool) -> None:
    rows = [
        ["S", _percent(report.acc_seen), f"{report.seen_photos:,}", "seen classes, all classes as candidates"],
        ["U", _percent(report.acc_unseen), f"{report.unseen_photos:,}", "unseen classes, all classes as candidates"],
        ["H", _percent(report.harmonic_mean), "", "harmonic mean of S and U"],
        ["T1", _percent(report.acc_zsl), f"{report.unseen_photos:,}", "unseen classes as the only candidates"],
    ]
    console.result_table(
        ["", "percent", "photos", "mean over classes of top-1 accuracy"], rows, right=("percent", "photos")
    )
    if per_class:
        rows = [
            [entry.name, "seen" if entry.seen else "unseen", f"{entry.photos:,}", _percent(entry.accuracy)]
            for entry in report.per_class
        ]
        console.result_table(["class", "", "photos", "percent"], rows, right=("photos", "percent"))
    console.note(
        f"{document['dataset']['name']}, split {document['dataset']['split_sha256'][:12]}; model "
        f"{document['model']['name']} ({document['model']['sha256'][:8]}); rule {document['rule']}; "
        f"{report.seen_classes} seen and {report.unseen_classes} unseen candidates; gamma {document['gamma']:g}"
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
