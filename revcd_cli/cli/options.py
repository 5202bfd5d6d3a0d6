"""Options and arguments that several commands share, as types for a command's signature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ..config import RULES


def expand(path: Path | None) -> Path | None:
    """Replace a leading `~`, which no shell expands in `--option=~/x`."""
    return path.expanduser() if path is not None else None


def expand_short(path: Path | None) -> Path | None:
    """Read `-o=FILE` too, in which the parser takes the equals sign for a part of the name."""
    return expand(Path(str(path).removeprefix("=")) if path is not None else None)


def parse_batch_size(text: str) -> int | None:
    """Read a batch size: a positive whole number, or `auto`, which is None."""
    if text == "auto":
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise typer.BadParameter(f'"{text}" is neither a positive whole number nor "auto".')
    return int(text)


def one_of(*allowed: str) -> Callable[[str | None], str | None]:
    """Return the check that an option has one of a few values."""

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
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]
NullOption = Annotated[bool, typer.Option("--null", "-0", help="The list on standard input is separated by NUL.")]
BackboneOption = Annotated[
    str,
    typer.Option(
        metavar="TAG",
        help='Feature extractor: a timm tag, "embedded" (needs no download), or "auto" (resnet101.tv_in1k if its '
        "weights can be had, else the embedded one).",
    ),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Weights of the backbone, instead of a download.", callback=expand),
]
DeviceOption = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")]
PrecisionOption = Annotated[
    str, typer.Option(metavar="NAME", help="Of the backbone: auto, float32, bfloat16 or float16.")
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(
        parser=parse_batch_size,
        metavar="N",
        help="Photos computed at once; halved when memory runs out.",
        show_default="auto",
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Threads that decode photos.", show_default="by CPU count")
]
SeedOption = Annotated[int, typer.Option(min=0, metavar="N", help="Of everything random; the same seed repeats a run.")]
DatasetOption = Annotated[
    str, typer.Option(metavar="NAME|DIR", help="awa2, cub, sun, or a dataset folder.", show_default=False)
]
DataRootOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Where the benchmarks lie.", callback=expand, envvar="REVCD_DATA", show_default="user data"
    ),
]
FeaturesOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Features to use: a file of `revcd extract`, or NAME.mat of the benchmark."),
]
ImageRootOption = Annotated[
    Path | None,
    typer.Option("--images", metavar="DIR", help="The benchmark's own photos; gives features anew.", callback=expand),
]
MissingOption = Annotated[
    str,
    typer.Option(
        metavar="error|mean",
        help="What an empty cell of a class table means: an error, or the mean.",
        callback=one_of("error", "mean"),
    ),
]
RuleOption = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(("auto", *RULES)),
        help="How a photo is compared with descriptions: by how well they explain it, by the features that they let "
        "one expect, by both, or as in the paper; auto is what validation chose for the model.",
        show_default="auto",
        callback=one_of("auto", *RULES),
    ),
]
ModelOption = Annotated[str, typer.Option(metavar="NAME|FILE", help="A model by name, or its .safetensors file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
