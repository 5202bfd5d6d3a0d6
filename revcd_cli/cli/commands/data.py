"""`revcd data`: list benchmarks, download one, check an input file or dataset, and update a list of photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...errors import listed
from ..options import (
    DataRootOption,
    FeaturesOption,
    ImageRootOption,
    JsonOption,
    MissingOption,
    OverwriteOption,
    RescaleOption,
    SeedOption,
    expand,
    expand_short,
)
from ..terminal import console
from ..terminal.findings import print_findings
from ..terminal.next_command import command_line

app = typer.Typer(
    help="List and download benchmarks; check datasets and files.", no_args_is_help=True, rich_markup_mode=None
)

_MEGABYTE = 1_000_000

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="awa1, awa2, cub, sun, apy or flo.", show_default=False)
]
UrlOption = Annotated[
    str | None,
    typer.Option(metavar="URL|FILE", help="Another copy of xlsa17.zip, or a folder with the benchmark's files."),
]
KeepOption = Annotated[bool, typer.Option("--keep-archive", help="Keep the archive after unpacking.")]
SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="DIR|FILE",
        help="A benchmark, a dataset folder, or a .csv, .parquet, .npz or .mat file.",
        show_default=False,
    ),
]
PageOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="HTML page of the findings.", callback=expand_short),
]
AgainstOption = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME|FILE", help="Compare a class table with the classes of this model."),
]


@app.command("list")
def list_benchmarks(data_root: DataRootOption = None, as_json: JsonOption = False) -> None:
    """List the benchmarks, and their folders on this machine."""
    from ...data.datasets.registry import ARCHIVE_URL, BENCHMARKS, find_folder, missing_files

    found = [(benchmark, find_folder(benchmark, data_root)) for benchmark in BENCHMARKS.values()]
    if as_json:
        console.result_json(
            [
                {
                    "name": benchmark.name,
                    "title": benchmark.title,
                    "seen": benchmark.seen,
                    "unseen": benchmark.unseen,
                    "images": benchmark.images,
                    "attributes": benchmark.attributes,
                    "folder": str(folder) if folder else None,
                    "missing": list(missing_files(benchmark, folder)),
                    "url": ARCHIVE_URL if benchmark.in_archive else None,
                }
                for benchmark, folder in found
            ]
        )
        return
    rows = []
    for benchmark, folder in found:
        missing = missing_files(benchmark, folder)
        without = f" (without {', '.join(missing)})" if missing else ""
        size = (f"{benchmark.seen} + {benchmark.unseen}", f"{benchmark.images:,}", str(benchmark.attributes))
        rows.append((benchmark.name, benchmark.title, *size, f"{folder}{without}" if folder else "no"))
    columns = ("name", "title", "seen + unseen", "images", "attributes", "on disk")
    console.result_table(columns, rows, right=columns[2:5])


@app.command("download")
def download(
    name: NameArgument,
    data_root: DataRootOption = None,
    url: UrlOption = None,
    keep_archive: KeepOption = False,
) -> None:
    """Download the features and splits of a benchmark.

    To resume an interrupted download, give the same command again.

    \b
    revcd data download awa2
    revcd data download cub --url ~/Downloads/xlsa17.zip
    """
    from ...data.download.benchmark import download_benchmark

    with console.progress(f"Downloading {name}", unit="MB") as advance:

        def on_progress(done: int, total: int | None, failed: int) -> None:
            advance(done // _MEGABYTE, None if total is None else total // _MEGABYTE, failed)

        folder = download_benchmark(
            name, data_root, url=url, keep_archive=keep_archive, on_progress=on_progress, on_note=console.note
        )
    console.result(str(folder))
    console.note(f"Next: {command_line('revcd', 'data', 'check', folder)}")


@app.command("check")
def check(
    source: SourceArgument,
    model: AgainstOption = None,
    features: FeaturesOption = None,
    data_root: DataRootOption = None,
    missing: MissingOption = "error",
    rescale_rows: RescaleOption = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 if there are warnings.")] = False,
    output: PageOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check a class table, feature file or dataset, and print its contents and problems.

    In a dataset, photos are compared with the list and with each other: missing and unlisted ones, other spellings,
    copies and near copies across parts and classes.

    An error is what other commands refuse, a warning what may give wrong answers, a note what revcd decided. The exit
    code is 4 for errors; with --strict it is 3 for warnings.

    \b
    revcd data check my_classes.csv --model animals
    revcd data check awa2
    revcd data check my-animals/ --strict -o check.html
    """
    if output is not None:
        from ...reports.classes.page import check_page_output

        check_page_output(output, overwrite=overwrite)
    from ...data.findings import ERROR, of_rank
    from ...errors import InputFileError
    from ...pipeline.tables.check import check_input

    with console.progress("Checking") as on_progress:
        report = check_input(
            source,
            model=model,
            data_root=data_root,
            features=features,
            missing=missing,
            rescale=rescale_rows,
            on_progress=on_progress,
        )
    from ...reports.checks.page import check_page, shown_fact

    if output is not None:
        from ...system.files import write_bytes

        write_bytes(output, check_page(report))
        console.note(f"Written to {output}; open it in a browser.")
    if as_json:
        console.result_json(report.to_dict())
    else:
        facts = {"kind": report.kind, **report.facts}
        console.result_pairs((name.replace("_", " "), shown_fact(value)) for name, value in facts.items())
        for text in report.notes:
            console.note(text)
        for warning in report.warnings:
            console.warn(warning)
    if report.error is not None:
        console.fail(report.error)
    for finding in of_rank(report.findings, ERROR):
        console.fail(InputFileError(report.source, finding.text, hint=finding.hint or None))
    if code := report.exit_code(strict=strict):
        raise typer.Exit(code)


@app.command("update")
def update(
    dataset: Annotated[Path, typer.Argument(metavar="DIR", help="A dataset folder with images.csv.", callback=expand)],
    add: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Add only the photos of this list (path,class,split), such as corrections.csv of a predictions page.",
            callback=expand,
        ),
    ] = None,
    images: ImageRootOption = None,
    missing: MissingOption = "error",
    seed: SeedOption = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be added; do not write.")] = False,
) -> None:
    """Add photos on the disk that images.csv lacks to it; every listed photo keeps its part.

    A new photo of a seen class is for training or testing, drawn like the split of a folder without images.csv. A new
    photo of a class that is only tested as unseen is in test_unseen.

    With --add, only the photos of a list are added, with the class and part that it names: a predictions page saves
    corrections.csv for photos that were marked as wrong.

    
    revcd data update my-animals/ --dry-run
    revcd data update my-animals/ --add corrections.csv
    """
    from ...pipeline.tables.add_list import add_list
    from ...pipeline.tables.update import update_list

    if add is None:
        report = update_list(dataset, images=images, seed=seed, missing=missing, dry_run=dry_run)
    else:
        report = add_list(dataset, add, images=images, missing=missing, dry_run=dry_run)
    print_findings(finding for finding in report.findings if finding.kind != "unlisted photos")
    if report.left_out:
        folders = sorted({Path(photo).parent.name for photo in report.left_out})
        console.warn(
            f"{len(report.left_out):,} photos are in folders that are no class of attributes.csv "
            f"({listed(folders, 5)}); add rows for them first."
        )
    if report.new_classes:
        console.warn(
            f"Classes that had no photos in the list: {listed(report.new_classes, 5)}. They become seen classes; to "
            "test them as unseen, change their split to test_unseen."
        )
    console.result_pairs((part, f"{count:,}") for part, count in report.added.items())
    count = sum(report.added.values())
    done = "would be added" if dry_run else "added"
    console.note(f"{count:,} photos {done} to {report.path}; models have to be trained again on the new split.")
