"""How well photos show each attribute, measured on the held-out classes of the validation folds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...data.datasets.dataset import Dataset
from ...data.datasets.splits import Split
from ...scoring.generated_attributes import attribute_reliability


def shown_attributes(
    dataset: Dataset, folds: Sequence[Split], drawn: Sequence[Tensor | None]
) -> dict[str, float | None]:
    """Return the reliability of each attribute over the held-out classes of all folds, see `attribute_reliability`.

    drawn: of each fold, the mean generated attributes of its U held-out classes (U, A); {} is returned if one lacks.
    Means are subtracted within each fold: the values that a fold generates are biased away from those of its held-out
    classes, which would appear as a negative correlation across folds.
    """
    generated = [each for each in drawn if each is not None]
    if len(generated) < len(drawn):
        return {}
    tables = [dataset.classes.values[np.unique(dataset.labels[fold.test_unseen])] for fold in folds]
    means, table = (
        torch.cat([torch.as_tensor(each) - torch.as_tensor(each).mean(0) for each in parts])
        for parts in (generated, tables)
    )
    shares = attribute_reliability(means, torch.arange(len(table)), table).tolist()
    named = zip(dataset.classes.attributes, shares, strict=True)
    return {name: None if math.isnan(share) else round(share, 4) for name, share in named}
