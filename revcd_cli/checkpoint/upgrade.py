"""Upgrade of model files of formats 4 and 5 to format 6: settings, and names and values of tensors.

In format 4 a model was one network, or several as `members`. The first network held the visual prototypes (`visual`),
and each one held the units of its scores by evidence, prototypes and cosine in one tensor `units`. In formats 4 and 5
the variances of visual prototypes did not include the noise, and mean photos and their numbers were not stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import PROTOTYPE_GRID
from ..errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

OLDEST_FORMAT = 4
_OLDER_PROTOTYPES = {"whitening": 0.0, "taken_limit": 1.0}  # of files without these settings
_UNITS = ("evidence_units", "prototype_unit", "cosine_units")


# Settings of format 4 that were removed, with the only value that later formats support.
_REMOVED = {
    ("loss", "form"): "v2",
    ("inference", "average"): "cosines",
    ("inference", "space"): "preconditioned",
}


def upgrade_document(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON document of an earlier format with the present settings; its format number stays.

    Raises `CheckpointError` if the model was trained with a value that is no longer supported.
    """
    config = document.get("config")
    if not isinstance(config, dict) or not all(isinstance(section, dict) for section in config.values()):
        return document  # refused later, as any wrong metadata is
    refused = [
        f'{section}.{key} = "{config[section][key]}"'
        for (section, key), kept in _REMOVED.items()
        if config.get(section, {}).get(key, kept) != kept
    ]
    kind = str(config.get("precondition", {}).get("kind", ""))
    refused += [f'precondition.kind = "{kind}"'] if "none" in kind.split("+") else []
    if refused:
        raise CheckpointError(
            f"{path}: was trained with {', '.join(refused)}, which this version of revcd no longer supports.",
            hint="Use it with the version that trained it, or train it again.",
        )
    removed = {section: {key for part, key in _REMOVED if part == section} for section in config}
    kept = {
        section: {key: value for key, value in values.items() if key not in removed[section]}
        for section, values in config.items()
    }
    kept["prototypes"] = kept.get("prototypes", {}) | {"own_share": 0.0}
    kept |= {"simulation": {"share": 0.0}, "class_network": {"width": 0}}
    return document | {"config": kept}


def mark_older_training(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with the values by which files without some settings were trained.

    These are `loss.rec_rows`, `prototypes.whitening` and `prototypes.taken_limit`.

    Raises `CheckpointError` for a model with two heads that uses the clean head without a photo: older versions did,
    and no loss had trained it.
    """
    config = document.get("config")
    if not isinstance(config, dict) or not all(isinstance(section, dict) for section in config.values()):
        return document  # refused later, as any wrong metadata is
    if "prototypes" in config:
        config = config | {"prototypes": _OLDER_PROTOTYPES | config["prototypes"]}
    loss, inference = config.get("loss", {}), config.get("inference", {})
    if "rec_rows" in loss:
        return document | {"config": config}
    unconditional = inference.get("rule", "auto") != "prototype" and (
        inference.get("rule", "auto") != "cosine" or inference.get("guidance_scale", 1.0) != 1
    )
    if config.get("diffusion", {}).get("objective") == "both" and unconditional:
        raise CheckpointError(
            f'{path}: has two heads (diffusion.objective = "both") and uses the clean vector without a photo, which '
            "nothing trained in the version that wrote it.",
            hint="Train it again.",
        )
    return document | {"config": config | {"loss": loss | {"rec_rows": "photo"}}}


def upgrade_state(state: Mapping[str, Tensor], document: dict[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of a model by their present names, with those that its format did not have.

    document: its JSON document. Unknown tensors keep their names.
    """
    upgraded = _renamed(state) if document["format"] == OLDEST_FORMAT else dict(state)
    wanted = "prototypes.inverse" in upgraded and "prototypes.weights" in upgraded
    return upgraded | _of_prototypes(upgraded, document) if wanted and document["format"] < 6 else upgraded


def _of_prototypes(state: Mapping[str, Tensor], document: dict[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of visual prototypes that format 6 added; the scores stay as they were."""
    import torch

    inverse, weights = (state[f"prototypes.{name}"].double() for name in ("inverse", "weights"))
    means = torch.linalg.pinv(inverse) @ weights
    noise = float(document["config"]["prototypes"].get("noise", PROTOTYPE_GRID["noise"][0]))
    added = {
        "noise": torch.full((len(inverse),), noise),
        "described_noise": torch.zeros(()),  # the variances of these formats do not include it
        "explained": torch.ones(()),
        "means": means.float(),
        "counts": torch.zeros(len(inverse)),  # not known
    }
    return {f"prototypes.{name}": value for name, value in added.items()}


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a model of format 4 by their names in format 5."""
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
