"""Time of the first prediction in a new process: python benchmarks/cold_start.py [PHOTO]

Runs, in turn for a few rounds, the whole process of `revcd predict PHOTO`, of a bare script that builds the same
network with timm and runs it once, and of `import torch` alone. The very first run, which fills the
cache with the prepared network, is timed once, with an empty cache.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5
ROOT = Path(__file__).resolve().parents[1]
BARE = """
import sys
import timm, torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config
network = timm.create_model("tf_efficientnet_lite2", pretrained=False, num_classes=0).eval()
transform = create_transform(**resolve_model_data_config(network), is_training=False)
with torch.inference_mode():
    network(transform(Image.open(sys.argv[1]).convert("RGB"))[None])
"""


def measure(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return seconds of processor time and of clock time."""
    before, started = os.times(), time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, env=environment)
    after, ended = os.times(), time.perf_counter()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return used, ended - started


def main() -> None:
    photo = sys.argv[1] if sys.argv[1:] else str(ROOT / "examples" / "cat.jpg")
    commands = {
        "timm script": [sys.executable, "-c", BARE, photo],
        "import torch": [sys.executable, "-c", "import torch"],
        "revcd predict": [sys.executable, "-m", "revcd_cli", "predict", photo],
    }
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "XDG_CACHE_HOME": cache, "PYTHONPATH": str(ROOT)}
        first = measure(commands["revcd predict"], environment)
        measure(commands["timm script"], environment)  # fills the disk cache
        rounds = [{name: measure(command, environment) for name, command in commands.items()} for _ in range(ROUNDS)]
    print(f"{'command':<24} {'cpu s':>7} {'times timm':>18} {'clock s':>8} {'times timm':>18}")
    print(f"{'revcd predict, at first':<24} {first[0]:7.2f} {'':>18} {first[1]:8.2f}")
    for name in commands:
        shown = []
        for kind in (0, 1):
            values = [one[name][kind] for one in rounds]
            ratios = [one[name][kind] / one["timm script"][kind] for one in rounds]
            shown.append((statistics.median(values), statistics.median(ratios), min(ratios), max(ratios)))
        cells = [f"{value:8.2f} {ratio:6.2f} ({low:.2f}-{high:.2f})" for value, ratio, low, high in shown]
        print(f"{name:<24}", *cells)


if __name__ == "__main__":
    main()
