"""Measure `revcd predict --features` by output format: python benchmarks/predict_features.py

Each round runs the command on one row and on many rows of generated features, with 50 classes of the included model.
Printed are the seconds of one row (start-up), and what the other rows take beyond them, as seconds and as a multiple of
the start-up of the same round.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import command_times, print_header, print_row, with_range

from revcd_cli.checkpoint.model_file import read_class_table
from revcd_cli.data.features.files import FeatureSet, write_features
from revcd_cli.pipeline.predict.predictor import Predictor

CLASSES = 50
OUTPUTS = ("a pipe", "csv", "parquet", "json")


def main() -> None:
    """Write the inputs, run the commands in rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rule", default="prototype")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--outputs", nargs="+", choices=OUTPUTS, default=OUTPUTS)
    given = parser.parse_args()
    print_header("output", "one row, CPU s", f"{given.rows:,} rows: CPU s more", "clock s more", "CPU, times one row")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = write_inputs(folder, given.rows)
        for output in given.outputs:
            one, more = [], []
            for _ in range(given.rounds):
                few, many = (run(folder, rows, table, output, given.rule) for rows in ("one", "many"))
                one.append(few)
                more.append((many[0] - few[0], many[1] - few[1]))
            print_row(
                output,
                with_range([cpu for cpu, _ in one]),
                with_range([cpu for cpu, _ in more]),
                with_range([clock for _, clock in more]),
                with_range([added / few for (added, _), (few, _) in zip(more, one, strict=True)]),
            )


def write_inputs(folder: Path, rows: int) -> Path:
    """Write one and many rows of features, and a table of the model's first classes; return the table."""
    record = Predictor.from_checkpoint("animals", with_backbone=False).checkpoint.backbone
    features = np.abs(np.random.default_rng(0).standard_normal((rows, record.feature_dim))).astype(np.float32)
    paths = [f"camera {row % 7}/photo-{row:06}.jpg" for row in range(rows)]
    digests = [hashlib.sha256(path.encode()).hexdigest() for path in paths]
    for name, count in (("one", 1), ("many", rows)):
        some = FeatureSet(
            tuple(paths[:count]), features[:count], ("ok",) * count, ("",) * count, tuple(digests[:count]), record
        )
        write_features(folder / f"{name}.parquet", [some])
    known = read_class_table("animals")
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["class", *known.attributes])
        writer.writerows(
            [name, *values] for name, values in zip(known.names[:CLASSES], known.values.tolist(), strict=False)
        )
    return folder / "table.csv"


def run(folder: Path, rows: str, table: Path, output: str, rule: str) -> tuple[float, float]:
    """Return the processor time and the wall-clock time of one command."""
    command = [sys.executable, "-m", "revcd_cli", "-q", "predict", "--features", str(folder / f"{rows}.parquet")]
    command += ["--classes", str(table), "--rule", rule]
    if output != "a pipe":
        command += ["-o", str(folder / f"predictions.{output}"), "--overwrite"]
    return command_times(command)


if __name__ == "__main__":
    main()
