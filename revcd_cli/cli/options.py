"""Options and arguments that several commands share, as types for their signatures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ..config import RULES


def expand(path: Path | None) -> Path | None:
    """Expand a leading `~`, which shells do not expand in `--option=~/x`."""
    return path.expanduser() if path is not None else None


def expand_short(path: Path | None) -> Path | None:
    """Accept `-o=FILE`, too: the parser takes the equals sign as part of the name."""
    return expand(Path(str(path).removeprefix("=")) if path is not None else None)


def parse_batch_size(text: str) -> int | None:
    """Return a batch size from a positive whole number, or None from `auto`."""
    if text == "auto":
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise typer.BadParameter(f'"{text}" is neither a positive whole number nor "auto".')
    return int(text)


def one_of(*allowed: str) -> Callable[[str | None], str | None]:
    """Return a callback that checks that an option has one of these values."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in allowed:
            raise typer.BadParameter(f'"{value}" is not one of {", ".join(allowed)}.')
        return value

    return check


ImagesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGES",
        help='Photos, folders (recursive), quoted globs, zip or tar archives, or "-" for a list on standard input.',
        show_default=False,
    ),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="File to write.", callback=expand_short)
]
PageOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="HTML page to write.", callback=expand_short)
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]
NullOption = Annotated[
    bool, typer.Option("--null", "-0", help="The list on standard input is separated by NUL characters.")
]
BackboneOption = Annotated[
    str,
    typer.Option(
        metavar="TAG",
        help='Network that computes image features: a timm tag, "embedded" (no download), or "auto" (resnet101.tv_in1k '
        'if its weights are available, else embedded@300). "@300" resizes whole photos to 300 x 300 pixels.',
    ),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Weights file of the backbone, instead of a download.", callback=expand),
]
DeviceOption = Annotated[str, typer.Option(metavar="NAME", help="Device: auto, cpu, cuda, cuda:N or mps.")]
PrecisionOption = Annotated[
    str, typer.Option(metavar="NAME", help="Number format of the backbone: auto, float32, bfloat16 or float16.")
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(
        parser=parse_batch_size,
        metavar="N",
        help="Photos per batch; halved when memory runs out.",
        show_default="auto",
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Threads that decode photos.", show_default="one per CPU")
]
SeedOption = Annotated[int, typer.Option(min=0, metavar="N", help="Random seed; the same seed repeats a run.")]
DatasetOption = Annotated[
    str,
    typer.Option(metavar="NAME|DIR", help="A benchmark (awa2, cub, sun ...) or a dataset folder.", show_default=False),
]
DataRootOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder of the benchmarks.",
        callback=expand,
        envvar="REVCD_DATA",
        show_default="the user's data folder",
    ),
]
FeaturesOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Image features: a file from `revcd extract`, or NAME.mat of the benchmark."),
]
ImageRootOption = Annotated[
    Path | None,
    typer.Option(
        "--images", metavar="DIR", help="Folder of the benchmark's photos, to extract features from.", callback=expand
    ),
]
MissingOption = Annotated[
    str,
    typer.Option(
        metavar="error|mean|impute",
        help="Empty cells of a class table: report an error, use the attribute's mean, or the value that the rest of "
        "the row suggests. With impute, a table for a model may lack attributes, too.",
        callback=one_of("error", "mean", "impute"),
    ),
]
RescaleOption = Annotated[
    bool,
    typer.Option(
        "--rescale-rows", help="Convert rows of the class table that are on another scale than the others, with a note."
    ),
]
KnownOption = Annotated[
    Path | None,
    typer.Option(
        metavar="CSV",
        help="Classes that the backbone's own classifier knows (class,label; see `revcd classes known`).",
        show_default="known.csv of the dataset folder, if there is one",
        callback=expand,
    ),
]
PhotosOption = Annotated[
    list[str] | None,
    typer.Option(
        "--photos",
        metavar="NAME=PATH|DIR",
        help="Photos of a class: a file, a folder or an archive; or a folder with a folder for each class. Repeatable.",
        show_default=False,
    ),
]
RuleOption = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(("auto", *RULES)),
        help="Scoring rule: evidence (how well a description explains the photo), prototype (distance to the features "
        "predicted from a description), joint (both), or cosine (the paper's); auto: chosen in validation.",
        show_default="auto",
        callback=one_of("auto", *RULES),
    ),
]
ModelOption = Annotated[
    str, typer.Option(metavar="NAME|FILE", help="Name of an included model, or a .safetensors file.")
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Exit with 3 if a folder or archive holds files of formats that are not read.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
