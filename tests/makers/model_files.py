"""Small models of random weights as checkpoints, and changes of a model file in place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from revcd_cli.checkpoint.calibration import Calibration
from revcd_cli.checkpoint.metadata import read_metadata
from revcd_cli.checkpoint.model_file import Checkpoint
from revcd_cli.config import BackboneRecord, Config
from revcd_cli.data.classes.attributes import ClassAttributes
from revcd_cli.scoring.model import build_model

CALIBRATIONS = {
    "evidence": Calibration(gamma=0.1 + 0.2, temperature=1 / 3, threshold=-0.7),
    "cosine": Calibration(false_reject=0.1, false_accept=1 / 7),
}
N_CLASSES, N_ATTRIBUTES, FEATURE_DIM = 5, 6, 8
NULL = "model.networks.0.null"
SMALL = {
    "precondition": {"kind": "standardise"},
    "diffusion": {"timesteps": 20},
    "prototypes": {"components": 4},
    "class_network": {"width": 0},
    "encoder": {"n_tokens": 2, "width": 8, "heads": 2, "feedforward": 8},
    "denoiser": {"width": 8, "time_width": 4},
}
BATCH = SMALL | {
    "denoiser": {"width": 8, "time_width": 4, "norm": "batch", "reading": "B"},
    "diffusion": {"timesteps": 20, "objective": "both"},
    "precondition": {"kind": "whiten"},
    "prototypes": {"components": 4, "whitening": 0.4},
}

ENSEMBLE = SMALL | {
    "precondition": {"kind": "standardise+whiten"},
    "train": {"members": 2},
    "class_network": {"width": 4},
}
KINDS = {"layer norm": SMALL, "batch norm, two heads, whitening": BATCH, "four networks": ENSEMBLE}


def make_checkpoint(settings: dict[str, Any] = SMALL) -> Checkpoint:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(N_CLASSES, N_ATTRIBUTES, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(Config.from_dict(settings), FEATURE_DIM, N_ATTRIBUTES, 3)
    photos = torch.randn(20, FEATURE_DIM, generator=generator)
    labels = torch.arange(20) % 3
    model.prototypes.fit(photos, labels, table[:3])
    for network in model.networks:
        network.fit_preprocessing(photos, labels, table[:3])
    model.eval().fit_units(photos, table[:3], model.config.inference, ("evidence", "prototype", "cosine"))
    names = ("grey wolf", 'the "blue" whale', "Ozelot, klein", "Ждун", "e")
    return Checkpoint(
        model=model,
        classes=ClassAttributes(names, tuple(f"trait {k}" for k in range(N_ATTRIBUTES)), table.numpy(), "t.csv", "00"),
        seen=frozenset(names[:3]),
        backbone=BackboneRecord(tag="toy", weights_sha256="ab", preprocessing={"mean": [0.5]}, feature_dim=FEATURE_DIM),
        calibrations=CALIBRATIONS,
        dataset={"name": "toy", "split_sha256": "cd", "photos": 7},
        metrics={"validation": {"H": 2 / 3, "U": None}},
        seed=4,
    )


def rewrite(
    path: Path,
    *,
    document: Callable[[dict[str, Any]], Any] | None = None,
    tensors: Callable[[dict[str, torch.Tensor]], Any] | None = None,
) -> None:
    """Change a model file's metadata or tensors in place."""
    metadata, held = read_metadata(path), safetensors.torch.load(path.read_bytes())
    if document:
        document(metadata)
    if tensors:
        tensors(held)
    path.write_bytes(safetensors.torch.save(held, {"revcd": json.dumps(metadata)}))
