"""Double precision for closed forms."""

from __future__ import annotations

from torch import Tensor

WITHOUT_FLOAT64 = {"mps"}  # kinds of device


def in_double(x: Tensor) -> Tensor:
    """Return x in float64, on its own device or, where that has no float64 (Apple's MPS), on the CPU."""
    return (x.cpu() if x.device.type in WITHOUT_FLOAT64 else x).double()
