"""Speed on a GPU: python benchmarks/gpu.py [--device cpu --quick] [--only NAME ...]

Prints Markdown tables, each as soon as it is measured: JPEG files to image features, photos in memory to features,
sampling, a sweep of batch sizes, the forward pass against bare timm and torch.compile, training and the evidence rule.
Ways of one table run in turn, in alternating order, after a warm-up; ratios are "median (least-most)" over the rounds.
ResNet-101 has random weights, which do not change its speed. Share of peak: floating-point operations of the network,
by the time, by the card's peak rate in that type. With --device cpu --quick it is a dry run on small networks.
"""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from on_gpu.backbone import compiled, forward, from_memory, sweep
from on_gpu.files import extraction
from on_gpu.measure import describe, section
from on_gpu.model import evidence, sampling, training
from on_gpu.run import Run

from revcd_cli.system.memory import keep_freed_memory
from revcd_cli.system.threads import use_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="small networks and few photos: a dry run")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="sections whose name contains one of these")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_CACHE_HOME"] = place  # micro-benchmarks and programs of this run alone
        keep_freed_memory()
        use_threads()
        run = Run(given, Path(place))
        print(f"`python benchmarks/gpu.py`: {describe(run.device)}.", flush=True)
        sections: dict[str, Callable[[], None]] = {}

        def add(title: str, measure: Callable[[Run, str], None], names: tuple[str, ...] = run.networks) -> None:
            for name in names:
                sections[f"{title}, {name}"] = functools.partial(measure, run, name)

        # What is least known comes first: a run may be cut off.
        add("Photos in files to features", extraction)
        add("Photos in memory to features", from_memory, run.networks[::-1])
        sections["Sampling"] = functools.partial(sampling, run)
        add("Batch sizes", sweep)
        add("torch.compile", compiled, run.networks[::-1])
        add("Forward pass", forward)
        sections["Training"] = functools.partial(training, run, False)
        sections["Evidence"] = functools.partial(evidence, run)
        sections["torch.compile, training"] = functools.partial(training, run, True)
        for title, measure in sections.items():
            if not given.only or any(word.lower() in title.lower() for word in given.only):
                section(title, measure)


if __name__ == "__main__":
    main()
