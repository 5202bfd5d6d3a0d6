"""Where `revcd predict` writes: the format, the writer, and what a file says about its origin."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ....config import BackboneRecord
    from ....pipeline.predict.candidates import CandidateClasses
    from ....pipeline.predict.options import PredictOptions
    from ....pipeline.predict.predictions import OutputFormat, Write
    from ....pipeline.predict.predictor import Predictor


def output_format(output: Path | None, name: str | None, overwrite: bool, excel: bool) -> OutputFormat:
    """Return the output format. Raises an error for an output that cannot be written, before the model is loaded."""
    from ....pipeline.journal import unfinished_settings
    from ....pipeline.predict.predictions import OutputFormat
    from ....system.files import check_output

    if output is not None:
        # JSON lines of an interrupted run are incomplete, and this run may write them again.
        is_incomplete = "jsonl" in (name, output.suffix.lower().removeprefix(".")) and bool(unfinished_settings(output))
        check_output(output, overwrite=overwrite or is_incomplete)
    if name is not None:
        form = OutputFormat.named(name)
    elif output is not None:
        form = OutputFormat.of(output)
    else:
        form = OutputFormat.table if sys.stdout.isatty() else OutputFormat.tsv
    if output is not None and form is OutputFormat.table:
        raise typer.BadParameter("a table is for the terminal; choose another format.")
    if excel and form is not OutputFormat.csv:
        raise typer.BadParameter("--excel requires CSV output.")
    return form


def check_columns(form: OutputFormat, *, wide: bool, exif: bool) -> None:
    """Raise an error for columns that the format does not have."""
    if wide and form.value not in ("csv", "parquet"):
        raise typer.BadParameter("--wide requires CSV or Parquet output; JSON has one entry for each photo anyway.")
    if exif and form.value not in ("csv", "parquet", "json", "jsonl", "timelapse"):
        raise typer.BadParameter(f"--exif requires CSV, Parquet, JSON or timelapse output, not {form.value}.")


@contextlib.contextmanager
def open_output(
    output: Path | None,
    form: OutputFormat,
    header: dict[str, Any],
    **more: Any,
) -> Iterator[Write]:
    """Yield the function that prints or writes a prediction. more: parameters of `open_writer`."""
    from ....pipeline.predict.predictions import OutputFormat
    from ....reports.predictions.files import open_writer
    from ...terminal.prediction_tables import PredictionTables

    if output is None and form is OutputFormat.table:
        with PredictionTables() as tables:
            yield tables.write
        return
    with open_writer(output or sys.stdout.buffer, form, header, **more) as writer:
        yield writer.write


def origin(
    predictor: Predictor, record: BackboneRecord, candidates: CandidateClasses, options: PredictOptions
) -> dict[str, Any]:
    """Return the header of an output, see `open_writer`. record: the backbone of the features."""
    checkpoint, calibration = predictor.checkpoint, predictor.calibration
    return {
        "model": {"name": checkpoint.name, "sha256": checkpoint.sha256},
        "backbone": record.to_dict(),
        "classes": {"source": candidates.source, "sha256": candidates.sha256, "n": len(candidates.names)},
        "settings": {
            "rule": predictor.inference.rule,
            "top_k": options.top_k,
            "seed": checkpoint.seed if options.seed is None else options.seed,
            "gamma": calibration.penalty(int((~candidates.seen).sum())),
            "temperature": calibration.temperature,
            "reject_below": calibration.threshold if options.reject else None,
            "min_probability": options.min_probability,
        },
    }
