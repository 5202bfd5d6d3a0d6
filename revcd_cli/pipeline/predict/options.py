"""How photos are classified: the options of `Predictor.stream` and of `revcd predict`."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import UsageError


@dataclass(frozen=True)
class PredictOptions:
    """Options that hold for all photos of a run; `Predictor.stream` explains them."""

    top_k: int = 5
    seed: int | None = None  # of the noise; None: the model's
    reject: bool = False
    min_probability: float = 0.0
    explain: bool = False  # generate the attributes of each photo
    thumbnails: bool = False  # keep a small JPEG of each photo
    details: bool = False  # read what each file says about the photo
    batch_size: int | None = None  # photos in one forward pass of the backbone
    workers: int | None = None  # threads that decode

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise UsageError(f"top_k must be at least 1; got {self.top_k}.")
        if not 0 <= self.min_probability <= 1:
            raise UsageError(f"min_probability must be in 0..1; got {self.min_probability:g}.")
