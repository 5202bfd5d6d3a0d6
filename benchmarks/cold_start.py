"""Measure the time of a prediction in a new process: python benchmarks/cold_start.py [PHOTO]

Every round runs three processes: `revcd predict PHOTO`, a short script that builds the same network with timm and runs
it once, and `import torch`. The first run of revcd, which fills the empty cache with the prepared network, is timed
separately.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile

from common import ROOT, command_times, with_range

ROUNDS = 5
TIMM_SCRIPT = """
import sys
import timm, torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config
network = timm.create_model("tf_efficientnet_lite2", pretrained=False, num_classes=0).eval()
transform = create_transform(**resolve_model_data_config(network), is_training=False)
with torch.inference_mode():
    network(transform(Image.open(sys.argv[1]).convert("RGB"))[None])
"""


def main() -> None:
    photo = sys.argv[1] if sys.argv[1:] else str(ROOT / "examples" / "cat.jpg")
    commands = {
        "timm script": [sys.executable, "-c", TIMM_SCRIPT, photo],
        "import torch": [sys.executable, "-c", "import torch"],
        "revcd predict": [sys.executable, "-m", "revcd_cli", "predict", photo],
    }
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "XDG_CACHE_HOME": cache, "PYTHONPATH": str(ROOT)}
        first = command_times(commands["revcd predict"], environment)
        command_times(commands["timm script"], environment)  # fills the disk cache
        rounds = [
            {name: command_times(command, environment) for name, command in commands.items()} for _ in range(ROUNDS)
        ]
    print(f"{'command':<24} {'CPU s':>8} {'ratio to timm':>18} {'clock s':>8} {'ratio to timm':>18}")
    print(f"{'revcd predict, first run':<24} {first[0]:8.2f} {'':>18} {first[1]:8.2f}")
    for name in commands:
        cells = []
        for kind in (0, 1):  # processor time, wall-clock time
            seconds = statistics.median(one[name][kind] for one in rounds)
            ratios = [one[name][kind] / one["timm script"][kind] for one in rounds]
            cells.append(f"{seconds:8.2f} {with_range(ratios):>18}")
        print(f"{name:<24}", *cells)


if __name__ == "__main__":
    main()
