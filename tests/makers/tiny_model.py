"""A small RevCD network and zero-shot model with random weights, and photos and descriptions for them."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from revcd_cli.config import Config
from revcd_cli.core.model import RevCD
from revcd_cli.scoring.model import ZeroShotModel
from revcd_cli.scoring.prototypes.visual_prototypes import VisualPrototypes

FEATURES, ATTRIBUTES, CLASSES, PHOTOS, TIMESTEPS = 9, 5, 6, 4, 20


def revcd(objective: str = "v", norm: str = "layer", reading: str = "A", seed: int = 0) -> RevCD:
    """Return a float64 network in evaluation mode."""
    torch.manual_seed(seed)
    config = Config.from_dict(
        {
            "diffusion": {"timesteps": TIMESTEPS, "objective": objective},
            "encoder": {"n_tokens": 2, "width": 16, "heads": 2, "feedforward": 16},
            "denoiser": {"width": 16, "time_width": 8, "norm": norm, "reading": reading},
            "prototypes": {"components": 6},
            "inference": {"rule": "joint"},  # no sampling, which needs more steps for the objective "eps"
        }
    )
    model = RevCD(config, FEATURES, ATTRIBUTES, CLASSES).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    model.fit_preprocessing(*_training_photos())
    return model


def zero_shot(network: RevCD) -> ZeroShotModel:
    """A model of this one network, with visual prototypes."""
    visual = VisualPrototypes(network.config.prototypes, FEATURES, ATTRIBUTES, CLASSES)
    visual.double().fit(*_training_photos())
    return ZeroShotModel(network.config, [network], visual).eval()


def _training_photos() -> tuple[Tensor, Tensor, Tensor]:
    return photos(50), torch.arange(50) % CLASSES, prototypes(seed=5)


def photos(rows: int = PHOTOS, seed: int = 1) -> Tensor:
    return torch.randn(rows, FEATURES, dtype=torch.float64, generator=Generator().manual_seed(seed))


def prototypes(seed: int = 2, n_classes: int = CLASSES) -> Tensor:
    return torch.rand(n_classes, ATTRIBUTES, dtype=torch.float64, generator=Generator().manual_seed(seed))


def generators(numbers: range | list[int] = range(PHOTOS)) -> list[Generator]:
    """Return one generator per photo, seeded by the photo's number."""
    return [Generator().manual_seed(100 + number) for number in numbers]
