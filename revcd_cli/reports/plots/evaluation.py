"""Plots of an evaluation other than the seen-unseen curve: confusion, calibration, classes and attributes.

All return PNG and SVG, in the style of `plots.figures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...pipeline.evaluate.diagnosis import SUBSETS, AttributeReliability, Diagnosis
from .figures import BOTH, SEEN, UNSEEN, new_figure, png_and_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"all": BOTH, "seen": SEEN, "unseen": UNSEEN}
_MOST_INCHES = 40.0  # of a picture with a line for each class
_DPI = 150  # of pictures that grow with the classes
_GRID: dict[str, Any] = {"color": "#E0E0E0", "linewidth": 0.7}


def plot_confusion(diagnosis: Diagnosis, title: str) -> tuple[bytes, bytes]:
    """Draw the shares of each tested class's photos by answer; the picture grows, so that names stay legible."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    tested = diagnosis.confusion.sum(1) > 0
    counts, columns = diagnosis.confusion[tested], len(diagnosis.names)
    rows = [name for name, is_tested in zip(diagnosis.names, tested, strict=True) if is_tested]
    row_seen = np.array(diagnosis.seen, dtype=bool)[tested]
    cell = min(max(0.09, 7 / max(columns, 1)), 0.22, _MOST_INCHES / max(columns, 1))  # inches
    font = min(8.0, 72 * cell * 0.75)
    names = font / 72 * 0.6 * max(map(len, diagnosis.names), default=0)
    with new_figure((max(4.0, cell * columns + names + 1.8), max(3.0, cell * len(rows) + names + 1.6))) as figure:
        axes = figure.add_subplot()
        filled = np.argwhere(counts)  # only these are drawn: with 200 classes nearly all cells are empty
        corners = filled[:, None, ::-1] + np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
        shares = 100 * (counts / np.maximum(counts.sum(1, keepdims=True), 1))[counts > 0]
        colours = LinearSegmentedColormap.from_list("shares", ["#FFFFFF", "#9AB7CE", "#0B2A40"])
        cells = PolyCollection(corners, array=shares, cmap=colours, norm=PowerNorm(0.5, 0, 100), linewidth=0)
        axes.add_collection(cells)
        axes.set(xlim=(-0.5, columns - 0.5), ylim=(len(rows) - 0.5, -0.5), aspect="equal")
        for axis, shown, kinds in ((axes.xaxis, diagnosis.names, diagnosis.seen), (axes.yaxis, rows, row_seen)):
            axis.set_ticks(range(len(shown)), shown, fontsize=font, parse_math=False)
            axis.set_tick_params(length=0, pad=2)
            for label, is_seen in zip(axis.get_ticklabels(), kinds, strict=True):
                label.set_color(SEEN if is_seen else UNSEEN)
        axes.xaxis.set_tick_params(labelrotation=90)
        axes.axvline(sum(diagnosis.seen) - 0.5, color=BOTH, linewidth=0.8)
        axes.axhline(int(row_seen.sum()) - 0.5, color=BOTH, linewidth=0.8)
        axes.spines[:].set_visible(True)
        axes.set_xlabel("answer")
        axes.set_ylabel("true class")
        bar = figure.colorbar(
            cells, ax=axes, shrink=min(1.0, 4 / figure.get_figheight()), pad=0.02, ticks=(1, 10, 50, 100)
        )
        bar.minorticks_off()
        bar.ax.tick_params(labelsize=8)
        bar.set_label("photos of the true class (%)", fontsize=9)
        _title(axes, f"{title}\nseen classes blue, unseen classes orange")
        return png_and_svg(figure, _DPI)


def plot_calibration(diagnosis: Diagnosis, title: str) -> tuple[bytes, bytes]:
    """Plot accuracy over confidence, and the number of photos in each bin."""
    errors = diagnosis.calibration_errors()
    with new_figure((4.6, 5.2)) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        above.plot([0, 100], [0, 100], color="#B0B0B0", linewidth=1, linestyle=":")
        for part, marker in zip(SUBSETS, "Dos", strict=True):
            bins = diagnosis.calibration[part]
            filled = bins.photos > 0
            if filled.any():
                label = f"{part}, expected error {100 * (errors[part] or 0.0):.1f}"
                values = (100 * bins.confidence[filled], 100 * bins.accuracy[filled])
                above.plot(*values, marker=marker, markersize=5, linewidth=1.6, color=_COLOURS[part], label=label)
        above.legend(fontsize=8, frameon=False, loc="upper left")
        above.set_ylim(0, 100)
        above.set_ylabel("accuracy (%)")
        edges = np.linspace(0, 100, len(diagnosis.calibration["all"].photos) + 1)
        base = np.zeros(len(edges) - 1, dtype=int)
        for part in ("seen", "unseen"):
            photos = diagnosis.calibration[part].photos.numpy()
            width = np.diff(edges) * 0.9
            below.bar(edges[:-1] + np.diff(edges) / 2, photos, width=width, bottom=base, color=_COLOURS[part])
            base = base + photos
        below.set_xlim(0, 100)
        below.set_xlabel("confidence (%)")
        below.set_ylabel("photos")
        for axes in (above, below):
            axes.grid(**_GRID)
            axes.set_axisbelow(True)
        _title(above, title)
        return png_and_svg(figure)


def plot_per_class(per_class: Sequence[dict[str, Any]], title: str) -> tuple[bytes, bytes]:
    """Plot each class's accuracy as a bar, the best at the top. per_class: entries of metrics.json."""
    ordered = sorted(per_class, key=lambda entry: (entry["accuracy"], entry["name"]))
    with new_figure(_size_of_rows(len(ordered))) as figure:
        axes = _rows_of(figure, [f"{entry['name']} ({entry['photos']:,})" for entry in ordered])
        colours = [SEEN if entry["seen"] else UNSEEN for entry in ordered]
        axes.barh(range(len(ordered)), [100 * entry["accuracy"] for entry in ordered], height=0.7, color=colours)
        axes.set_xlim(0, 100)
        axes.set_xlabel("accuracy (%)")
        _title(axes, f"{title}\nseen classes blue, unseen classes orange; number of test photos in brackets")
        return png_and_svg(figure, _DPI)


def plot_attributes(attributes: Sequence[AttributeReliability], title: str) -> tuple[bytes, bytes]:
    """Plot how well photos show each attribute, the best at the top."""
    ordered = sorted(attributes, key=lambda each: (each.unseen is not None, each.unseen, each.seen or 0, each.name))
    series = (("validation", "#B0B0B0", "D"), ("seen", SEEN, "o"), ("unseen", UNSEEN, "s"))
    with new_figure(_size_of_rows(len(ordered))) as figure:
        axes = _rows_of(figure, [each.name for each in ordered])
        axes.axvline(0, color=BOTH, linewidth=0.8)
        for name, colour, marker in series:
            points = [(getattr(each, name), row) for row, each in enumerate(ordered) if getattr(each, name) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), marker, color=colour, markersize=4, label=name, clip_on=False)
        axes.set_xlim(-1, 1)
        axes.set_xlabel("correlation over classes between photos and table")
        if axes.get_legend_handles_labels()[0]:
            figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
        _title(axes, title)
        return png_and_svg(figure, _DPI)


def _size_of_rows(rows: int) -> tuple[float, float]:
    return (6.0, min(_MOST_INCHES, 1.6 + 0.17 * rows))


def _rows_of(figure: Figure, names: Sequence[str]) -> Axes:
    axes = figure.add_subplot()
    axes.set_yticks(range(len(names)), names, fontsize=7, parse_math=False)
    axes.set_ylim(-0.7, max(len(names), 1) - 0.3)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=9)
    axes.grid(axis="x", **_GRID)
    axes.set_axisbelow(True)
    return axes


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=10, parse_math=False)
