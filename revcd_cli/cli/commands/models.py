"""`revcd models`: list the included models, show the metadata of a model file, and give photos of classes to a model.

`list` and `show` do not import torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ...data.classes.kinds import DESCRIBED, KNOWN, PHOTOS
from ...errors import UsageError, did_you_mean, listed
from ..options import (
    BatchSizeOption,
    DeviceOption,
    JsonOption,
    OverwriteOption,
    PhotosOption,
    PrecisionOption,
    WeightsOption,
    WorkersOption,
    expand,
)
from ..terminal import console

app = typer.Typer(
    no_args_is_help=True,
    help="List the included models, show one, or give photos of classes to one.",
    rich_markup_mode=None,
)


SaveClassesOption = Annotated[
    Path | None,
    typer.Option(
        "--save-classes", metavar="CSV", help="Write the model's class table to this CSV file.", callback=expand
    ),
]


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """List the models that are included in revcd."""
    from ...checkpoint.metadata import list_checkpoints, read_metadata

    cards = [_identity(path) | read_metadata(path) for path in list_checkpoints()]
    if as_json:
        console.result_json(cards)
        return
    columns = ("name", "classes", "photos", "known", "attributes", "backbone", "trained on", "size")
    right = ("classes", "photos", "known", "attributes", "size")
    console.result_table(columns, (_row(card) for card in cards), right=right)
    if not cards:
        console.note("This installation includes no model. Train one with: revcd train")


@app.command("show")
def show_model(
    model: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="Name of an included model, or a .safetensors file.")
    ],
    as_json: JsonOption = False,
    save_classes: SaveClassesOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Show a model's classes, training data, results, settings and origin.

    With --save-classes, write its class table to a file instead. Add rows for your own classes, and use the file with
    `revcd predict --classes`.
    """
    from ...checkpoint.metadata import find_checkpoint, read_metadata

    if save_classes is not None:
        _save_classes(model, save_classes, overwrite)
        return
    path = find_checkpoint(model)
    card = read_metadata(path)
    identity = _identity(path, hashed=True)
    if as_json:
        console.result_json(identity | card)
    else:
        console.result_pairs([*identity.items(), *_card(card)])


@app.command("adapt")
def adapt_model(
    model: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="Name of an included model, or a .safetensors file.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Model file to write.", callback=expand, show_default=False
        ),
    ],
    photos: PhotosOption = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            "--remove", metavar="NAME", help="Drop the photos of this class again. Repeatable.", show_default=False
        ),
    ] = None,
    weights: WeightsOption = None,
    batch_size: BatchSizeOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Write a copy of a model that knows some classes by photos as well. Nothing is trained; it takes seconds.

    Of each class only the mean feature of its photos and their number are kept. `revcd models show` lists them.

    
    revcd models adapt animals --photos okapi=okapi/ -o mine.safetensors
    revcd models adapt mine.safetensors --remove okapi -o without.safetensors
    """
    import dataclasses

    from ...checkpoint.model_file import load_checkpoint, save_checkpoint
    from ...data.classes.attributes import class_positions
    from ...system.files import check_output

    if not photos and not remove:
        raise UsageError("There is nothing to do: neither --photos nor --remove is given.")
    output = check_output(output, overwrite=overwrite)
    checkpoint = load_checkpoint(model)
    if remove:
        kept = checkpoint.photos.names if checkpoint.photos else ()
        missing = [name for name, row in zip(remove, class_positions(remove, kept), strict=True) if row < 0]
        if missing:
            raise UsageError(
                f"The model has no photos of {missing[0]}{did_you_mean(missing[0], kept)}; "
                f"it has those of {listed(kept, 10) or 'no class'}."
            )
        rest = checkpoint.photos.without(remove) if checkpoint.photos else None
        checkpoint = dataclasses.replace(checkpoint, photos=rest if rest and rest.names else None)
    if photos:
        from ...pipeline.predict.given_photos import photos_of_arguments
        from ...pipeline.predict.predictor import Predictor

        predictor = Predictor.of_checkpoint(checkpoint, weights=weights, device=device, precision=precision)
        checkpoint = predictor.with_photos(
            photos_of_arguments(photos), batch_size=batch_size, workers=workers, on_note=console.note
        ).checkpoint
    save_checkpoint(output, checkpoint)
    numbers = checkpoint.photos.numbers if checkpoint.photos else {}
    given = listed([f"{name} ({number:,})" for name, number in numbers.items()], 10) or "no class"
    console.note(f"Photos given for {given}. Written to {output}")


def _save_classes(model: str, output: Path, overwrite: bool) -> None:
    from ...checkpoint.model_file import read_class_table
    from ...data.classes.attributes import write_attribute_csv
    from ...system.files import check_output

    output = check_output(output, overwrite=overwrite)
    table = read_class_table(model)
    write_attribute_csv(output, table)
    console.note(f"{len(table.names)} classes x {len(table.attributes)} attributes. Written to {output}")


def _identity(path: Path, *, hashed: bool = False) -> dict[str, Any]:
    from ...system.files import file_sha256

    identity = {"name": path.stem, "file": str(path), "bytes": path.stat().st_size}
    return identity | {"sha256": file_sha256(path)} if hashed else identity


def _row(card: dict[str, Any]) -> list[str]:
    classes = card.get("classes", {})
    counts = [str(len(classes.get(part, ()))) for part in ("names", "seen", "known", "attributes")]
    tag, dataset = card.get("backbone", {}).get("tag", "?"), card.get("dataset", {}).get("name", "?")
    return [card["name"], *counts, str(tag), str(dataset), f"{card['bytes'] / 1e6:.1f} MB"]


def _card(card: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the sections of the metadata as text: names as lists, settings as `name = value` lines."""
    classes = card.get("classes", {})
    seen, known = set(classes.get("seen", ())), classes.get("known", {})
    described = [name for name in classes.get("names", ()) if name not in seen and name not in known]
    parts = ((PHOTOS, sorted(seen)), (KNOWN, sorted(known)), (DESCRIBED, described))
    for label, names in (*parts, ("attributes", classes.get("attributes", ()))):
        if names or label != KNOWN:
            yield label, f"{len(names)}: {', '.join(map(console.safe, names))}"
    if card.get("photos"):
        numbers = (f"{console.safe(name)} ({number:,})" for name, number in card["photos"].items())
        yield "photos given", ", ".join(numbers)
    for section, value in card.items():
        if section not in ("classes", "photos"):
            yield section, "\n".join(_flatten(value))
        if section == "calibrations" and isinstance(value, dict):
            yield "--reject", "\n".join(_rejection(rule, parts) for rule, parts in value.items())


def _rejection(rule: str, calibration: dict[str, Any]) -> str:
    if calibration.get("threshold") is None:
        return f"{rule}: no threshold"
    of_what = "right answers" if calibration.get("rejection") else "photos of the candidate classes"
    rates = [console.percent(calibration.get(name)) for name in ("false_reject", "false_accept")]
    return (
        f"{rule}: below {calibration['threshold']:.3g}; in validation {rates[0]} % of {of_what} are rejected, and "
        f"{rates[1]} % of photos of other classes are not"
    )


def _flatten(value: Any, prefix: str = "") -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{prefix} = {value}" if prefix else str(value)
        return
    for name, inner in value.items():
        yield from _flatten(inner, f"{prefix}.{name}" if prefix else name)
