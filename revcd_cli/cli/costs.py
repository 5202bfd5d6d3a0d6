"""What `--dry-run` of train, evaluate and tune says about the time that the command would take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .terminal import console

if TYPE_CHECKING:
    from ..data.datasets.dataset import Dataset, FeaturedDataset
    from ..pipeline.costs import Estimate


def print_estimates(
    opened: Dataset,
    estimate: Callable[[FeaturedDataset], list[Estimate]],
    *,
    backbone: str,
    weights: Path | None,
    device: str,
    precision: str,
    tokens: bool,
) -> None:
    """Print a line for each part of the work, and their sum. estimate: of the work on the dataset with features."""
    from ..pipeline.costs import stand_in_features

    console.note("Timing a few steps on this machine ...")
    found = stand_in_features(
        opened,
        backbone=backbone,
        weights=weights,
        device=device,
        precision=precision,
        tokens=tokens,
        note=console.detail,
    )
    if found is None:
        console.note(
            "The time cannot be estimated: the dataset has neither features nor photos here, or the weights of the "
            "backbone would be downloaded first, and a dry run opens no connection."
        )
        return
    featured, extraction = found
    parts = [*([extraction] if extraction else []), *estimate(featured)]
    for part in parts:
        console.note(f"Would {part.what}: about {duration(part.seconds)}.")
    console.note(f"Together about {duration(sum(part.seconds for part in parts))}, if nothing else runs meanwhile.")


def duration(seconds: float) -> str:
    """Return a duration with two digits: "40 s", "3.2 min", "1.5 h"."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.2g} {unit}" if seconds < 100 * size else f"{seconds / size:,.0f} {unit}"
    return f"{max(1, round(seconds))} s"
