#!/bin/sh
# Install the oldest supported versions of all dependencies with uv, and run a smoke test with them.
#
#     sh tests/minimum.sh [PYTHON]      (default 3.10)
#
# To be run by hand after a change of the dependencies in pyproject.toml; it downloads about 3 GB, because uv installs
# the CUDA build of torch on Linux. The environment is a temporary folder, which is removed at the end.
set -eu
cd "$(dirname "$0")/.."
python=${1:-3.10}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

uv venv --quiet --python "$python" "$work/venv"
# Only direct dependencies have tested floors; their dependencies are the newest that fit.
uv pip install --quiet --python "$work/venv" --resolution lowest-direct .
uv pip list --quiet --python "$work/venv"

export HF_HUB_OFFLINE=1 XDG_CACHE_HOME="$work/cache"
revcd="$work/venv/bin/revcd"
"$revcd" info
"$revcd" predict examples/raccoon.jpg -o "$work/predictions.json"

# A dataset of two seen classes and one unseen class, with crops of the example as photos.
"$work/venv/bin/python" - examples/raccoon.jpg "$work/toy" <<'PYTHON'
import sys
from pathlib import Path

from PIL import Image

photo, root = Image.open(sys.argv[1]).convert("RGB"), Path(sys.argv[2])
for number, name in enumerate(("left", "right")):
    (root / name).mkdir(parents=True)
    for shift in range(6):
        x = number * photo.width // 3 + 4 * shift
        photo.crop((x, 0, x + photo.width // 2, photo.height)).save(root / name / f"{shift}.jpg")
(root / "attributes.csv").write_text("class,wide,tall\nleft,1,0\nright,0,1\nboth,1,1\n")
PYTHON
"$revcd" data check "$work/toy"
"$revcd" extract "$work/toy" -o "$work/toy.parquet"
"$revcd" train --dataset "$work/toy" --features "$work/toy.parquet" --set train.epochs=2 -o "$work/toy.safetensors"
"$revcd" predict examples/raccoon.jpg --model "$work/toy.safetensors" -o "$work/toy.csv"
"$revcd" evaluate --dataset "$work/toy" --features "$work/toy.parquet" --model "$work/toy.safetensors" -o "$work/report"
"$revcd" classes suggest "$work/toy/attributes.csv" -o "$work/classes.html"
"$revcd" data check "$work/toy/attributes.csv" --model "$work/toy.safetensors"
echo "The oldest supported versions work."
