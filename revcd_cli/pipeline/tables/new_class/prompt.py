"""The text of `revcd classes new --prompt`, with which any language model can describe a new class."""

from __future__ import annotations

import numpy as np

from ..description_space import own_units
from .session import NewClass

CONTROLS = 5  # known classes that the language model describes, too

_TEXT = """\
Describe "{name}" by the {count} attributes below, for a table that compares classes.

Give a number for each attribute, on the scale of its own line: the line names classes with the lowest and the highest
values of the table, with these values. Values between them and beyond them are fine.

Describe {controls} in the same way and on the same scales. Their true values are known and
will be compared with yours. Estimate each value from what you know of the class; do not copy values between classes.

Attributes:
{lines}

Reply with CSV only: this first line, then one line for each attribute, in this order, with numbers alone.
{header}
"""


def prompt_text(new: NewClass) -> str:
    """Return the text, with anchors for each attribute and five known classes as controls."""
    table = new.neighbours.table
    controls = control_rows(new)
    anchors = [row for row in range(len(table.names)) if row not in controls] or controls
    names = [table.names[row] for row in controls]
    lines = []
    for column, attribute in enumerate(table.attributes):
        values = table.values[anchors, column]
        order = np.argsort(values, kind="stable")
        low, high = (f"{values[k]:g} ({table.names[anchors[k]]})" for k in (order[0], order[-1]))
        middle = order[len(order) // 2]
        entry = new.glossary.get(attribute)
        meaning = f"{entry.question} " if entry else ""
        lines.append(
            f"- {attribute}: {meaning}From {low} over {values[middle]:g} ({table.names[anchors[middle]]}) to {high}."
        )
    return _TEXT.format(
        name=new.name,
        count=len(lines),
        controls=", ".join(names),
        lines="\n".join(lines),
        header=",".join(_quoted(cell) for cell in ("attribute", new.name, *names)),
    )


def control_rows(new: NewClass) -> list[int]:
    """Return rows of the table that differ much: each is the one that is farthest from those before.

    The first is the nearest to the mean. Classes with photos in training are preferred.
    """
    table, known = new.neighbours.table, new.neighbours.known
    units = own_units(table.values).astype(np.float64)
    allowed = [row for row, name in enumerate(table.names) if known is None or name in known.seen]
    if len(allowed) < CONTROLS:
        allowed = list(range(len(table.names)))
    centre = units[allowed].mean(axis=0)
    chosen = [min(allowed, key=lambda row: float(((units[row] - centre) ** 2).sum()))]
    while len(chosen) < min(CONTROLS, len(allowed)):
        distance = ((units[allowed][:, None] - units[chosen]) ** 2).sum(axis=2).min(axis=1)
        chosen.append(allowed[int(distance.argmax())])
    return chosen


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(sign in cell for sign in ',;"\t\n') else cell
