"""The plot of the diffusion chain: its panels stay in a grid, and classes are named as long as they are few."""

from __future__ import annotations

import re

import numpy as np
import pytest

from revcd_cli.pipeline.study.denoise import ChainSamples
from revcd_cli.reports.plots.denoise import plot_denoise


def drawn(classes: int, unseen: int, length: int) -> str:
    """The picture of three photos per class as SVG, with names of this length."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), 3)
    samples = ChainSamples(
        times=(10, 5, 0),
        rows=np.arange(len(labels)),
        labels=labels,
        seen=labels < classes - unseen,
        points=generator.normal(size=(3, len(labels), 2)),
        cosines=generator.random((3, len(labels))),
        prototypes=generator.normal(size=(classes, 2)),
        explained=(0.4, 0.2),
    )
    names = [f"class {k}".ljust(length, "x") for k in range(classes)]
    return plot_denoise(samples, names, "any")[1].decode()


def panels(svg: str) -> list[str]:
    return re.findall(r'<g id="axes_\d+">\s*<g id="patch_\d+">\s*<path d="([^"]+)"', svg)


@pytest.mark.parametrize("length", [30, 60])
def test_long_names_do_not_move_the_panels(length: int):
    short = panels(drawn(6, 2, 8))
    assert len(short) == 3 and panels(drawn(6, 2, length)) == short


@pytest.mark.parametrize(("classes", "unseen", "named"), [(12, 4, 12), (13, 4, 4), (20, 12, 12), (30, 13, 0)])
def test_all_classes_are_named_or_the_unseen_ones_or_none(classes: int, unseen: int, named: int):
    of_names = [
        group for group in re.split(r'(?=<g id=")', drawn(classes, unseen, 0)) if group.startswith('<g id="text_')
    ]
    without_comment = [group for group in of_names if "<!--" not in group]  # matplotlib's, for texts without an outline
    assert len(without_comment) == named
