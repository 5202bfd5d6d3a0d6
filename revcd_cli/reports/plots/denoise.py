"""Plot the samples of the diffusion chain in the plane of the class descriptions, one panel per timestep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from .figures import SEEN, UNSEEN, new_figure, png_and_svg

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ...pipeline.study.denoise import ChainSamples

Limits = tuple[tuple[float, float], tuple[float, float]]

_MASSES = (0.9, 0.7, 0.5, 0.25)  # shares of the samples that the contours hold
_GRID = 120  # points along each axis at which a density is computed
_MAX_NAMED = 12  # classes that are named in the picture: all, or the unseen ones, or none if these are more


def plot_denoise(
    samples: ChainSamples,
    names: Sequence[str],
    title: str,
) -> tuple[bytes, bytes]:
    """Draw one panel per timestep: the density of seen and unseen samples, and the descriptions of their classes.

    names: (C,) classes. Returns PNG and SVG.
    """
    prototypes, explained = samples.prototypes, samples.explained
    shown = np.unique(samples.labels)
    is_seen = np.isin(shown, samples.labels[samples.seen])
    columns = min(3, len(samples.times))
    rows = math.ceil(len(samples.times) / columns)
    limits = _limits(np.concatenate([samples.points.reshape(-1, 2), prototypes[shown]]))
    groups = ((True, SEEN, "o", prototypes[shown[is_seen]]), (False, UNSEEN, "^", prototypes[shown[~is_seen]]))
    with new_figure((2.9 * columns, 2.75 * rows + 1.1)) as figure:
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for panel in panels[len(samples.times) :]:
            panel.set_visible(False)
        for step, (t, panel) in enumerate(zip(samples.times, panels, strict=False)):
            for group in groups:
                _draw_group(panel, samples, step, limits, *group)
            panel.set_title(f"t = {t}" + (f"  ({t / samples.times[0]:.1f} T)" if t else "  (end)"), fontsize=11)
            panel.set(xlim=limits[0], ylim=limits[1])
        figure.supxlabel(f"first principal component of the descriptions ({explained[0]:.0%})", fontsize=11)
        figure.supylabel(f"second component ({explained[1]:.0%})", fontsize=11)
        _legend(figure, samples, title)
        named = next((some for some in (shown, shown[~is_seen]) if len(some) <= _MAX_NAMED), shown[:0])
        last = panels[len(samples.times) - 1]
        _name(last, [names[label] for label in named], prototypes[named], prototypes[shown])
        return png_and_svg(figure)


def _draw_group(
    panel: Axes,
    samples: ChainSamples,
    step: int,
    limits: Limits,
    seen: bool,
    colour: str,
    marker: str,
    marks: np.ndarray,
) -> None:
    _density(panel, samples.points[step, samples.seen == seen], colour, limits)
    panel.scatter(
        marks[:, 0], marks[:, 1], s=26, marker=marker, color=colour, edgecolors="white", linewidths=0.7, zorder=3
    )
    cosine = samples.mean_cosine(step, seen)
    if cosine is not None:
        text = f"{round(cosine, 2) + 0.0:.2f}"  # + 0.0 turns -0 into 0
        height = 0.98 if seen else 0.89
        panel.text(0.98, height, text, color=colour, fontsize=10, transform=panel.transAxes, ha="right", va="top")


def _limits(points: np.ndarray) -> Limits:
    low, high = points.min(0), points.max(0)
    margin = 0.06 * np.maximum(high - low, 1e-6)
    (x0, y0), (x1, y1) = (low - margin).tolist(), (high + margin).tolist()
    return (x0, x1), (y0, y1)


def _density(panel: Axes, points: np.ndarray, colour: str, limits: Limits) -> None:
    """Fill the smallest regions that hold given shares of the samples (N, 2); mark the samples if they are too few."""
    from matplotlib.colors import to_rgba
    from scipy.stats import gaussian_kde

    if len(points) < 3 or np.linalg.matrix_rank(points - points.mean(0)) < 2:
        panel.scatter(points[:, 0], points[:, 1], s=12, color=colour, alpha=0.5, linewidths=0)
        return
    # Scott's rule assumes one peak and would smooth over the peaks of the classes.
    density = gaussian_kde(points.T, bw_method=lambda kde: 0.6 * kde.scotts_factor())
    x, y = np.meshgrid(*(np.linspace(*limit, _GRID) for limit in limits))
    heights = density(np.stack([x.ravel(), y.ravel()])).reshape(x.shape)
    levels = np.unique(np.quantile(density(points.T), [1 - mass for mass in _MASSES]))
    fills = [to_rgba(colour, 0.12 + 0.13 * k) for k in range(len(levels))]
    panel.contourf(x, y, heights, levels=[*levels, np.inf], colors=fills)
    panel.contour(x, y, heights, levels=levels, colors=colour, linewidths=0.6, alpha=0.7)


def _name(panel: Axes, names: Sequence[str], places: np.ndarray, marks: np.ndarray) -> None:
    """Write names next to their places (N, 2), each where it covers no other name and none of the marks (M, 2)."""
    from matplotlib.patheffects import withStroke

    figure = cast("Figure", panel.figure)
    figure.draw_without_rendering()  # computes the layout, and so the positions of the marks
    points, marks = (panel.transData.transform(some) * 72 / figure.dpi for some in (places, marks))
    size, taken = 8.0, [(x, y, x, y) for x, y in marks]
    for name, place, point in zip(names, places, points, strict=True):
        width, height = 0.58 * size * len(name), 1.2 * size
        boxes = [(dx, dy, point[0] + dx - width / 2, point[1] + dy - height / 2) for dx, dy in _around(width, height)]
        corners = [(x, y, x + width, y + height) for _, _, x, y in boxes]
        free = [k for k, box in enumerate(corners) if not any(_overlap(box, other) for other in taken)]
        chosen = free[0] if free else 0
        taken.append(corners[chosen])
        text = panel.annotate(
            name,
            place,
            xytext=boxes[chosen][:2],
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=size,
            arrowprops={"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2},
            parse_math=False,
            zorder=4,
        )
        text.set_in_layout(False)  # a name beside a panel would move the panels, and the marks away from the names
        text.set_path_effects([withStroke(linewidth=2, foreground="white")])


def _around(width: float, height: float) -> list[tuple[float, float]]:
    """Return the offsets, in points, that are tried for a text of this size: near ones first."""
    tries = []
    for far in (0.0, 0.9 * height, 1.8 * height):
        side, up = width / 2 + 5, height / 2 + 3 + far
        tries += [(side, far), (-side, far), (0.0, up), (0.0, -up), (side, -far), (-side, -far)]
    return tries


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def _legend(figure: Figure, samples: ChainSamples, title: str) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Artist] = []
    for name, colour, marker in (("seen", SEEN, "o"), ("unseen", UNSEEN, "^")):
        handles.append(Patch(facecolor=colour, alpha=0.5, label=f"samples, {name} classes"))
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle="", label=f"descriptions, {name}"))
    held = ", ".join(f"{100 * mass:g}" for mass in sorted(_MASSES))
    text = (
        f"{title}: one chain for each of {len(samples.rows):,} test photos; regions hold {held} % of the samples.\n"
        "In the corner: mean cosine between a sample and the description of its photo's class."
    )
    style = {"ncols": 4, "frameon": False, "fontsize": 9.5, "columnspacing": 1.2, "handletextpad": 0.5}
    legend = figure.legend(handles=handles, loc="outside upper center", title=text, title_fontsize=9.5, **style)
    legend.get_title().set_parse_math(False)
