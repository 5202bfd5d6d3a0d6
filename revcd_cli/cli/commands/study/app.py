"""The command group `revcd study`."""

from __future__ import annotations

import typer

from .cls_weight import cls_weight
from .denoise import denoise
from .epochs import epochs
from .ladder import ladder

app = typer.Typer(
    help="Repeat the paper's studies; run an ablation study.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("ladder")(ladder)
app.command("cls-weight")(cls_weight)
app.command("denoise")(denoise)
app.command("epochs")(epochs)
