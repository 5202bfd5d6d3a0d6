"""Options and arguments of `revcd predict` alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...options import expand
from ...shard_options import expand_output

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
        help="table, tsv, csv, json, jsonl, parquet, html, megadetector (its JSON) or timelapse (its CSV).",
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
    str | None,
    typer.Option(
        "--features",
        metavar="FILE|FOLDER/",
        help="Classify photos by features of revcd extract (.parquet, .npz, .mat or a folder of shards), not IMAGES.",
        callback=expand_output,
    ),
]
FileOrFolderOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|FOLDER/",
        help="File to write, or a folder of shards (Parquet), here or in object storage.",
        callback=expand_output,
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
WideOption = Annotated[
    bool, typer.Option("--wide", help="CSV and Parquet: one row for each photo, with the runner-up.")
]
ExifOption = Annotated[
    bool,
    typer.Option(
        "--exif",
        help="Add capture time, camera, width, height and GPS position of each photo to CSV, Parquet and JSON.",
    ),
]
BoxesOption = Annotated[
    Path | None,
    typer.Option(
        metavar="JSON",
        help="Classify each box of an animal in the output of MegaDetector. IMAGES is the folder that it searched.",
        callback=expand,
    ),
]
BoxConfidenceOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        metavar="P",
        help="Least confidence of a box.",
        show_default="the detector's typical one, else 0.2",
    ),
]
EveryOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Classify frames of the videos in IMAGES, one every 1s, 500ms, 1min, ..."),
]
