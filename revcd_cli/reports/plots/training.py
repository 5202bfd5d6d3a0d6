"""Plot the learning curves of a training: the losses, and S, U and H in validation, over epochs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ...pipeline.train.train import TrainSummary, curves_path
from ...system.files import write_bytes
from .figures import BOTH, SEEN, UNSEEN, new_figure, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOSSES = (
    ("loss", "loss", BOTH),
    ("rec", "reconstruction", SEEN),
    ("noise", "noise", UNSEEN),
    ("cls", "classification", "#009E73"),
)
_ACCURACIES = (("S", SEEN), ("H", BOTH), ("U", UNSEEN))
_SIZES: dict[str, dict[str, Any]] = {"thin": {"linewidth": 0.6, "alpha": 0.5}, "mean": {"linewidth": 1.8}}


def write_learning_curves(summary: TrainSummary, dataset: str) -> None:
    """Draw the learning curves of a finished training to a PNG next to its model. dataset: its name, for the title."""
    title = f"{summary.output.stem}, trained on {dataset}"
    write_bytes(curves_path(summary.output), plot_training(summary.history, summary.epochs, title))


def plot_training(history: Sequence[dict[str, Any]], chosen: int, title: str) -> bytes:
    """Plot each fold as a thin line, the mean of the folds as a thick line, and the final training dashed. Returns PNG.

    history: entries of `EpochInfo`, in their order; chosen: the number of epochs that validation chose.
    """
    folds = _by_fold(entry for entry in history if entry["phase"] == "validation")
    final = [entry for entry in history if entry["phase"] == "final"]
    with new_figure((8.6 if folds else 4.6, 3.7)) as figure:
        axes = figure.subplots(1, 2 if folds else 1, squeeze=False)[0]
        _draw_losses(axes[0], folds, final)
        if folds:
            _draw_figures(axes[1], folds)
        for each in axes:
            each.axvline(chosen, color="#B0B0B0", linewidth=1, linestyle=":", zorder=0)
            each.set_xlabel("epoch")
            each.xaxis.get_major_locator().set_params(integer=True)
            each.grid(axis="y", color="#E0E0E0", linewidth=0.7)
            each.set_axisbelow(True)
            if each.get_legend_handles_labels()[0]:
                each.legend(fontsize=8, frameon=False)
        number = f"{len(folds)} folds (thin) and their mean (thick); " if len(folds) > 1 else ""
        dashes = f"{number}dashed: the final training; dotted: {chosen} epochs chosen" if folds else "no validation"
        figure.suptitle(f"{title}\n{dashes}", x=0.01, ha="left", fontsize=10, parse_math=False)
        return picture(figure, "png")


def _draw_losses(axes: Axes, folds: Sequence[Sequence[dict[str, Any]]], final: Sequence[dict[str, Any]]) -> None:
    for name, label, colour in _LOSSES:
        if not all(entry[name] > 0 for entry in (*final, *(each for fold in folds for each in fold))):
            continue  # a part of weight 0 cannot be drawn on a logarithmic axis
        for fold in folds if len(folds) > 1 else ():
            axes.plot(*_points(fold, name), color=colour, **_SIZES["thin"])
        if folds:
            axes.plot(*_mean([_points(fold, name) for fold in folds]), color=colour, label=label, **_SIZES["mean"])
        if final:
            line: dict[str, Any] = (
                {"linestyle": "--", "linewidth": 1.2} if folds else {"label": label, **_SIZES["mean"]}
            )
            axes.plot(*_points(final, name), color=colour, **line)
    axes.set_yscale("log")
    axes.set_ylabel("loss")
    axes.set_title("the parts are unweighted", loc="left", fontsize=9)


def _draw_figures(axes: Axes, folds: Sequence[Sequence[dict[str, Any]]]) -> None:
    for name, colour in _ACCURACIES:
        measured = [
            [{"epoch": each["epoch"], **each["validation"]} for each in fold if each["validation"]] for fold in folds
        ]
        lines = [_points(fold, name, 100) for fold in measured]
        lines = [line for line in lines if line[0]]
        for line in lines if len(lines) > 1 else ():
            axes.plot(*line, color=colour, **_SIZES["thin"])
        if lines:
            axes.plot(*_mean(lines), color=colour, marker="o", markersize=3, label=name, **_SIZES["mean"])
    axes.set_ylim(0, 100)
    axes.set_ylabel("validation (%)")
    axes.set_title("each fold at its best seen penalty", loc="left", fontsize=9)


def _by_fold(entries: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    folds: dict[int, list[dict[str, Any]]] = {}
    for entry in entries:
        folds.setdefault(entry["fold"], []).append(entry)
    return list(folds.values())


def _points(entries: Iterable[dict[str, Any]], name: str, scale: float = 1.0) -> tuple[list[int], list[float]]:
    """Return the epochs where a figure is defined, and its values."""
    defined = [(entry["epoch"], scale * entry[name]) for entry in entries if entry[name] is not None]
    return [epoch for epoch, _ in defined], [value for _, value in defined]


def _mean(lines: Sequence[tuple[list[int], list[float]]]) -> tuple[list[int], list[float]]:
    """Return the mean of lines over their common epochs."""
    values = [dict(zip(*line, strict=True)) for line in lines]
    common = sorted(set.intersection(*(set(each) for each in values)))
    return common, [fmean(each[epoch] for each in values) for epoch in common]
