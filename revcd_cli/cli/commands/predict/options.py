"""Options and arguments of `revcd predict` alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...options import expand

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
FreshOption = Annotated[bool, typer.Option("--fresh", help="Start again instead of resuming an interrupted run.")]
