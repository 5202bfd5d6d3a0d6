"""Settings of simulated classes, on which the networks are trained beside the seen ones."""

from __future__ import annotations

from dataclasses import dataclass

from .checks import check_choice, check_range


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """Made-up classes, drawn anew for every batch from the Gaussian process of the visual prototypes."""

    share: float = 0.5  # of the rows of a batch; 0 trains on photos of seen classes alone, as the paper does
    kind: str = "gaussian"  # of descriptions: "gaussian" (mean and covariance of the seen ones) | "mixture" (of 2 to 4)
    shrinkage: float = 0.1  # "gaussian": of the covariance towards its diagonal
    # Length and noise of the process: "fitted" (those of the prototypes) | "drawn" (from `PROTOTYPE_GRID`, by batch)
    process: str = "fitted"

    def __post_init__(self) -> None:
        check_range("simulation.share", self.share, 0, 1)
        check_choice("simulation.kind", self.kind, ("gaussian", "mixture"))
        check_range("simulation.shrinkage", self.shrinkage, 0, 1)
        check_choice("simulation.process", self.process, ("fitted", "drawn"))
