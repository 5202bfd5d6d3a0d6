"""The style of all plots, and the plots over the loss weight, over epochs and of the seen-unseen curve, as PNG and SVG.

Matplotlib is imported when a plot is drawn. Colours are Okabe and Ito's, which colour-blind readers can distinguish;
markers differ too, for print without colour. The same numbers give the same bytes.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SEEN, UNSEEN, BOTH = "#0072B2", "#D55E00", "#4D4D4D"
_CURVES = (("S", "S, seen", SEEN, "o", "-"), ("H", "H", BOTH, "D", "--"), ("U", "U, unseen", UNSEEN, "s", "-"))
_EPOCH_CURVES = (
    ("S", "S, seen", SEEN, "o", "-"),
    ("T1", "T1, unseen\namong unseen", BOTH, "D", "--"),
    ("U", "U, unseen", UNSEEN, "s", "-"),
)
_MAX_TICKS = 8
_STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so every machine draws the same
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "savefig.dpi": 200,
    "svg.hashsalt": "revcd",
}


def plot_cls_weight(results: Sequence[dict[str, Any]], title: str) -> tuple[bytes, bytes]:
    """Plot S, U and H over the weight: the mean over seeds as a line, each seed as a thin line, their range as a band.

    results: {"weight", "seed", "figures": {"S", "U", "H"} as shares or None}, sorted by weight. Returns PNG and SVG.
    """
    return _plot_over(results, "weight", _CURVES, _weight_axis, title)


def plot_epochs(results: Sequence[dict[str, Any]], title: str) -> tuple[bytes, bytes]:
    """Plot S, U and T1 over epochs on a logarithmic axis, as `plot_cls_weight` does over the weight.

    results: {"epoch", "seed", "figures": {"S", "U", "T1"} as shares or None}, sorted by epoch. Returns PNG and SVG.
    """
    return _plot_over(results, "epoch", _EPOCH_CURVES, _epoch_axis, title)


def _plot_over(
    results: Sequence[dict[str, Any]],
    over: str,
    curves: Sequence[tuple[str, str, str, str, str]],
    set_axis: Callable[[Axes, Sequence[float]], None],
    title: str,
) -> tuple[bytes, bytes]:
    """Plot some figures over a number. curves: name, label, colour, marker and line style of each."""
    groups = [(value, list(group)) for value, group in groupby(results, lambda result: result[over])]
    places = [value for value, _ in groups]
    seeds = {len(group) for _, group in groups}
    with new_figure((5.4, 3.7)) as figure:
        axes = figure.add_subplot()
        ends = []
        for name, label, colour, marker, line in curves:
            values = [[result["figures"][name] for result in group] for _, group in groups]
            if any(value is None for group in values for value in group):
                continue  # no photos of seen or of unseen classes
            low, mean, high = (np.array([100 * f(group) for group in values]) for f in (min, np.mean, max))
            if name != "H":  # H follows from S and U, and its band would cover theirs
                axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
                _lines_of_seeds(axes, results, over, name, colour)
            axes.plot(places, mean, line, color=colour, marker=marker, markersize=5, linewidth=1.8, clip_on=False)
            ends.append((float(mean[-1]), label, colour))
        set_axis(axes, places)
        axes.set_ylim(0, 100)
        axes.set_ylabel("accuracy, mean over classes (%)")
        axes.grid(axis="y", color="#E0E0E0", linewidth=0.7)
        axes.set_axisbelow(True)
        for (_, label, colour), height in zip(ends, _separated([end[0] for end in ends], 6.5), strict=True):
            place: dict[str, Any] = {
                "xy": (1.0, height),
                "xycoords": ("axes fraction", "data"),
                "textcoords": "offset points",
            }
            axes.annotate(label, xytext=(8, 0), color=colour, va="center", **place)
        times = f"{min(seeds)}" if len(seeds) == 1 else f"{min(seeds)} to {max(seeds)}"
        spread = f"mean of {times} seeds, each a thin line" if max(seeds) > 1 else "one seed"
        axes.set_title(f"{title}\n{spread}", loc="left", fontsize=10, parse_math=False)
        return png_and_svg(figure)


def plot_su_curve(
    points: Mapping[str, Sequence[float]], chosen: tuple[float, float], title: str
) -> tuple[bytes, bytes]:
    """Plot U over S for all seen penalties, with the point of the model's penalty. Returns PNG and SVG.

    points: "S" and "U" as shares, by rising penalty; chosen: S and U with the model's own penalty.
    """
    with new_figure((4.4, 4.2)) as figure:
        axes = figure.add_subplot()
        acc_seen, acc_unseen = (100 * np.asarray(points[name]) for name in ("S", "U"))
        axes.fill_between(acc_seen, acc_unseen, color=BOTH, alpha=0.1, linewidth=0)
        axes.plot(acc_seen, acc_unseen, color=BOTH, linewidth=1.8)
        axes.plot(*(100 * share for share in chosen), "D", color=UNSEEN, markersize=7, clip_on=False)
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 100)
        axes.set_aspect("equal")
        axes.set_xlabel("S, seen classes (%)")
        axes.set_ylabel("U, unseen classes (%)")
        axes.grid(color="#E0E0E0", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.set_title(title, loc="left", fontsize=10, parse_math=False)
        return png_and_svg(figure)


@contextlib.contextmanager
def new_figure(size: tuple[float, float]) -> Iterator[Figure]:
    """Yield a figure without a window, in the style of this module instead of the user's."""
    import matplotlib.style
    from matplotlib.figure import Figure

    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():
        # Characters that the font lacks are drawn as boxes; the CSV contains them.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield Figure(figsize=size, layout="constrained")


def png_and_svg(figure: Figure, dpi: int | None = None) -> tuple[bytes, bytes]:
    """Return a figure as PNG (dpi: 200 by default) and as SVG."""
    return picture(figure, "png", dpi), picture(figure, "svg", dpi)


def picture(figure: Figure, kind: str, dpi: int | None = None) -> bytes:
    """Return a figure as "png" or "svg"; without date and program version, so that equal figures give equal bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, metadata={"png": {"Software": "revcd"}, "svg": {"Date": None}}[kind], dpi=dpi)
    return stream.getvalue()


def _lines_of_seeds(axes: Axes, results: Sequence[dict[str, Any]], over: str, name: str, colour: str) -> None:
    for seed in sorted({result["seed"] for result in results}):
        points = [(result[over], 100 * result["figures"][name]) for result in results if result["seed"] == seed]
        axes.plot(*zip(*points, strict=True), color=colour, linewidth=0.6, alpha=0.6)


def _weight_axis(axes: Axes, weights: Sequence[float]) -> None:
    """Make the axis logarithmic, with 0 at its left end, and mark the weights."""
    positive = [weight for weight in weights if weight > 0]
    if len(positive) > 1:
        axes.set_xscale("symlog", linthresh=positive[0], linscale=0.5)
        axes.margins(x=0.03)
    if len(weights) <= _MAX_TICKS:
        axes.set_xticks(weights, [f"{weight:g}" for weight in weights])
        axes.minorticks_off()
    axes.set_xlabel("weight of the classification loss, $\\lambda_3$")


def _epoch_axis(axes: Axes, epochs: Sequence[float]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(epochs, [f"{epoch:g}" for epoch in epochs])
    axes.minorticks_off()
    axes.margins(x=0.03)
    axes.set_xlabel("epochs of training")


def _separated(heights: Sequence[float], gap: float) -> list[float]:
    """Return heights of labels that are at least `gap` apart, in the same order."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    moved = list(heights)
    for _ in range(100):
        for below, above in pairwise(order):
            overlap = gap - (moved[above] - moved[below])
            if overlap > 1e-9:
                moved[below] -= overlap / 2
                moved[above] += overlap / 2
    return moved
