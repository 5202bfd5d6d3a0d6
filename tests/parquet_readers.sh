#!/bin/sh
# Read Parquet files of revcd, with a photo that failed, by several versions of pyarrow, pandas, polars and DuckDB.
#
#     sh tests/parquet_readers.sh [PYTHON_WITH_REVCD]      (default python)
#
# To be run by hand after a change of what revcd writes. uv installs each reader into a temporary environment.
set -eu
cd "$(dirname "$0")/.."
python=${1:-python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" - "$work" <<'PYTHON'
import sys
from pathlib import Path

from revcd_cli.data.features.files import write_features
from revcd_cli.pipeline.predict.predictions import Candidate, OutputFormat, Prediction
from revcd_cli.reports.predictions.files import open_writer
from tests.makers.feature_files import BLOCKS

folder = Path(sys.argv[1])
write_features(folder / "features.parquet", BLOCKS)
with open_writer(folder / "predictions.parquet", OutputFormat.parquet, {}) as writer:
    writer.write(Prediction("a.jpg", candidates=(Candidate("zebra", 1.0, 0.9, "photos"),)))
    writer.write(Prediction("b.jpg", "failed", "truncated", "the file ends before the image does"))
PYTHON

read_with() { # python version, packages, expression that returns a list of dictionaries
    uv run --quiet --no-project --isolated --python "$1" $2 python - "$work" <<PYTHON
import math, sys
for name, rows in (("features", 5), ("predictions", 2)):
    path = f"{sys.argv[1]}/{name}.parquet"
    table = $3
    assert len(table) == rows, table
    assert [row["status"] for row in table].count("failed") == 1, table
    if name == "features":
        for row in table:
            assert all(map(math.isnan, row["feature"])) == (row["status"] == "failed"), row
PYTHON
    echo "read with $2"
}
arrow='__import__("pyarrow.parquet").parquet.read_table(path).to_pylist()'
for version in 15.0.2 16.1.0 17.0.0 18.1.0 20.0.0 22.0.0; do
    read_with 3.11 "--with pyarrow==$version --with numpy<2" "$arrow"
done
read_with 3.11 "--with pyarrow" "$arrow"
read_with 3.11 "--with pandas==2.1.4 --with pyarrow==15.0.2 --with numpy<2" '__import__("pandas").read_parquet(path).to_dict("records")'
read_with 3.11 "--with pandas --with pyarrow" '__import__("pandas").read_parquet(path).to_dict("records")'
read_with 3.11 "--with polars" '__import__("polars").read_parquet(path).to_dicts()'
read_with 3.11 "--with duckdb" '(lambda q: [dict(zip([c[0] for c in q.description], row)) for row in q.fetchall()])(__import__("duckdb").execute(f"select * from \"{path}\""))'
echo "All readers read the files of revcd."
