"""Options of commands that can write a folder of shards, and the run that they describe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import one_of
from .terminal import console
from .terminal.findings import print_findings
from .terminal.shard_progress import shard_progress

if TYPE_CHECKING:
    from ..pipeline.shards.engine import Engine
    from ..pipeline.shards.jobs import Job
    from ..pipeline.shards.report import ShardSummary
    from ..pipeline.shards.run import Inputs


def expand_output(text: str | None) -> str | None:
    """Expand a leading `~`, and accept `-o=FILE`; a slash at the end stays, because it means a folder of shards."""
    if text is None or not text.removeprefix("=").startswith("~"):
        return text and text.removeprefix("=")
    return f"{Path(text.removeprefix('=')).expanduser()}{'/' * text.endswith('/')}"


EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="local|ray",
        help="Where the shards of a folder are computed: in this process, or on a Ray cluster (revcd[ray]).",
        callback=one_of("local", "ray"),
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option("--address", metavar="ADDRESS", help="Ray cluster, such as auto.", show_default="a new one, here"),
]
CpusOption = Annotated[
    int | None,
    typer.Option("--cpus-per-worker", min=1, metavar="N", help="CPUs of one Ray worker.", show_default="2"),
]
GpusOption = Annotated[
    float | None,
    typer.Option("--gpus-per-worker", min=0, metavar="N", help="GPUs of one Ray worker.", show_default="0"),
]
ShardRowsOption = Annotated[
    int | None,
    typer.Option("--shard-rows", min=1, metavar="N", help="Photos in a shard of a folder.", show_default="4096"),
]
PartOption = Annotated[
    str | None,
    typer.Option(
        "--part", metavar="I/N", help="Compute only the I-th of N equal parts of the shards, for array jobs: 3/16."
    ),
]
ListOnlyOption = Annotated[
    bool, typer.Option("--list-only", help="Write the listing and the manifest of a folder of shards, nothing else.")
]
ImageColumnOption = Annotated[
    str | None,
    typer.Option(
        "--image-column",
        metavar="NAME",
        help="Column of Parquet files with the bytes of photos, or structs {bytes, path}.",
        show_default="image",
    ),
]
KeyColumnOption = Annotated[
    str | None,
    typer.Option("--key-column", metavar="NAME", help="Column of Parquet files with a unique name of each photo."),
]


@dataclass(frozen=True)
class ShardOptions:
    """The options of a run over shards, as given."""

    engine: str = "local"
    address: str | None = None
    cpus_per_worker: int | None = None
    gpus_per_worker: float | None = None
    shard_rows: int | None = None
    part: str | None = None
    list_only: bool = False
    image_column: str | None = None
    key_column: str | None = None

    def for_folder(self, output: str | None) -> bool:
        """Return whether the output is a folder of shards. Raises an error for options that need one, or do not fit."""
        from ..system.storage_folder import is_folder_address

        for name in ("address", "cpus_per_worker", "gpus_per_worker"):
            if self.engine != "ray" and getattr(self, name) is not None:
                raise typer.BadParameter(f"--{name.replace('_', '-')} requires --engine ray.")
        if self.engine == "ray" and self.part is not None:
            raise typer.BadParameter("--part is for array jobs without an engine; Ray distributes all shards.")
        if output is not None and is_folder_address(output):
            return True
        given = [name for name, value in vars(self).items() if value != getattr(ShardOptions, name)]
        if given:
            raise typer.BadParameter(
                f"--{given[0].replace('_', '-')} requires a folder of shards as output: -o folder/"
            )
        return False

    def inputs(self, paths: list[str], *, null: bool = False, features: bool = False) -> Inputs:
        """Return the inputs of the run."""
        from ..data.storage.image_table import ImageColumns
        from ..pipeline.shards.run import SHARD_ROWS, Inputs

        columns = ImageColumns(self.image_column or "image", self.key_column)
        return Inputs(paths, columns, self.shard_rows or SHARD_ROWS, null, features)


def run_to_folder(
    job: Job, inputs: Inputs, output: str, options: ShardOptions, *, description: str, fresh: bool, strict: bool
) -> int:
    """Compute the missing shards of a folder, print what was done, and return the exit code."""
    from ..pipeline.shards.run import parse_part, run_shards

    part = None if options.part is None else parse_part(options.part)
    try:
        with shard_progress(description) as on_progress:
            summary = run_shards(
                job,
                inputs,
                output,
                engine=_engine(options),
                part=part,
                fresh=fresh,
                list_only=options.list_only,
                on_progress=on_progress,
                on_note=console.note,
                on_lost=lambda number, reason: console.warn(f"shard {number:06d}: {reason}"),
            )
    except KeyboardInterrupt:
        console.note(f"Finished shards are kept in {output}. Give the same command again to go on.")
        raise
    _report(summary)
    return summary.exit_code or (3 if strict and (summary.passed.formats or summary.tally.formats) else 0)


def _engine(options: ShardOptions) -> Engine | None:
    if options.engine == "local":
        return None
    from ..pipeline.shards.ray_engine import RayEngine

    cpus, gpus = options.cpus_per_worker or 2, options.gpus_per_worker or 0
    return RayEngine(options.address, cpus=cpus, gpus=gpus, on_note=console.note)


def _report(summary: ShardSummary) -> None:
    from ..data.photos.passed_over import PassedOver

    tally = summary.tally
    print_findings(summary.passed.findings())
    if tally.formats:
        print_findings(PassedOver(formats=tally.formats).findings())
    if summary.is_listing:
        console.note(f"Listing of {summary.shards:,} shards written to {summary.output}")
        return
    for path, reason, detail in tally.failures:
        console.warn(f"{path}: {reason} ({detail})")
    if tally.failed > len(tally.failures):
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in tally.reasons.most_common())
        console.warn(f"{tally.failed:,} photos failed: {reasons}. The parts give the reason for each.")
    if tally.reasons["remote_error"]:
        console.note("Shards with photos that the network lost are computed again by the same command.")
    if summary.lost:
        console.warn(
            f"{len(summary.lost):,} of {summary.assigned:,} shards have no part. The same command tries them again."
        )
    of_all = "" if summary.assigned == summary.shards else f" of {summary.shards:,} in all"
    reused = f", {summary.reused:,} from earlier runs" if summary.reused else ""
    console.note(
        f"{tally.photos - tally.failed:,} photos done, {tally.failed:,} failed{reused}; "
        f"{summary.assigned - len(summary.lost):,} shards{of_all}, {summary.seconds:.1f} s "
        f"({summary.rate:.1f} photos/s). Written to {summary.output}"
    )
