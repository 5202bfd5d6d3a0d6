"""Measure each step of a prediction in a new process: OMP_NUM_THREADS=1 python benchmarks/cold_steps.py [PHOTO]

Runs `revcd predict PHOTO` in several new processes, times its imports and function calls, and prints the median
processor time of each step. An indented step is part of the last step that is not indented.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from common import ROOT, print_header, print_row

PHOTO = ROOT / "examples" / "cat.jpg"
ROUNDS = 7
CALLS = {  # step: the module that looks the function up, and its name there
    "load the model": ("revcd_cli.pipeline.predict.predictor", "load_checkpoint"),
    "load the backbone": ("revcd_cli.pipeline.predict.predictor", "load_recorded"),
    "  SHA-256 of its weights": ("revcd_cli.backbones.backbone", "file_sha256"),
    "  read its cached program": ("revcd_cli.backbones.backbone", "load_program"),
    "  arrange weights for this processor": ("revcd_cli.backbones.program.steps", "Program.prepared"),
    "forward pass of the backbone": ("revcd_cli.backbones.backbone", "Backbone.__call__"),
    "scores of 50 classes": ("revcd_cli.pipeline.predict.predictor", "score_rows"),
}


def main() -> None:
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2])
        return
    photo = sys.argv[1] if sys.argv[1:] else str(PHOTO)
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "XDG_CACHE_HOME": cache, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, __file__, "--inside", photo]
        rounds = []
        for number in range(ROUNDS + 1):
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
            if number:  # the first run fills the cache for the others
                rounds.append(json.loads(done.stdout.splitlines()[-1]))
    print_header("step", "CPU ms")
    for name in rounds[0]:
        print_row(name, f"{1000 * statistics.median(one[name] for one in rounds):.0f}")


def inside(photo: str) -> None:
    """Run the command and print the seconds of each step as JSON."""
    spent: dict[str, float] = {"start of the interpreter": time.process_time()}

    def timed(step: str, name: str) -> None:
        started = time.process_time()
        importlib.import_module(name)
        spent[step] = time.process_time() - started

    timed("import torch", "torch")
    timed("import the command line", "revcd_cli.cli.app")
    timed("import prediction", "revcd_cli.pipeline.predict.predictor")
    before = time.process_time()
    for step, (module, name) in CALLS.items():
        time_calls(spent, step, module, name)
    from revcd_cli.__main__ import main as revcd

    revcd(["predict", photo, "--format", "json"])
    whole = time.process_time()
    spent["everything else"] = whole - before - sum(v for k, v in spent.items() if k in CALLS and not k.startswith(" "))
    spent["total"] = whole
    print(json.dumps(spent))


def time_calls(spent: dict[str, float], step: str, module: str, name: str) -> None:
    """Replace a function or method by one that adds its seconds to `spent[step]`."""
    owner = importlib.import_module(module)
    *outer, last = name.split(".")
    for part in outer:
        owner = getattr(owner, part)
    call = getattr(owner, last)
    spent[step] = 0.0  # now, so that the steps are printed in the order of CALLS

    @functools.wraps(call)
    def clocked(*given: object, **named: object) -> object:
        started = time.process_time()
        try:
            return call(*given, **named)
        finally:
            spent[step] += time.process_time() - started

    setattr(owner, last, clocked)


if __name__ == "__main__":
    main()
