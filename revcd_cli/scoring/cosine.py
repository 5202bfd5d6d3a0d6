"""The cosine rule (paper section 3.6, Eq. 23-24): sampled descriptions compared with those of the classes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def cosine_scores(samples: Tensor, z: Tensor) -> Tensor:
    """Return the mean over K samples of their cosine with each description (Eq. 24): (B, C).

    samples: (B, K, A) and z: (C, A), both preconditioned.
    """
    return F.normalize(samples, dim=-1).mean(1) @ F.normalize(z, dim=-1).T


def nearest_class(samples: Tensor, z: Tensor) -> Tensor:
    """Return argmin_y d(s_hat, s_y) over the candidates (Eq. 23), with the distance d = 1 - cosine (Eq. 24): (B,).

    samples: (B, K, A) and z: (C, A), both preconditioned; of equal distances, the first class.
    """
    return cosine_scores(samples, z).argmax(1)
