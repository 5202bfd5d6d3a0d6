"""Upgrade of model files from format 4 to format 5.

In format 4 a model was one network, or several as `members`. The first network held the visual prototypes (`visual`),
and each one held the units of its scores by evidence, prototypes and cosine in one tensor `units`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_UNITS = ("evidence_units", "prototype_unit", "cosine_units")


def upgrade_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a model of format 4 by their names in format 5; unknown ones keep their names."""
    import torch

    upgraded: dict[str, Tensor] = {}
    units: dict[int, Tensor] = {}
    for name, value in state.items():
        match = re.fullmatch(r"members\.(\d+)\.(.+)", name)
        number, own_name = (int(match[1]), match[2]) if match else (0, name)
        if own_name == "units" and value.shape == (len(_UNITS),):
            units[number] = value
        elif own_name.startswith("visual."):
            upgraded[f"prototypes.{own_name.removeprefix('visual.')}"] = value
        else:
            upgraded[f"networks.{number}.{own_name}"] = value
    if units:
        columns = torch.stack([units[number].float() for number in sorted(units)]).T  # (3, M)
        upgraded |= dict(zip(_UNITS, columns.contiguous(), strict=True))
        upgraded["prototype_unit"] = upgraded["prototype_unit"][0]
    return upgraded
