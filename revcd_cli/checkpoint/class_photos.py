"""Photos of classes that were given to a trained model: their mean, in the components of its visual prototypes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class ClassPhotos:
    """J classes with photos given after the training. means: (J, P), of their photos; counts: numbers of photos."""

    names: tuple[str, ...]
    means: Tensor
    counts: tuple[int, ...]

    def with_others(self, other: ClassPhotos) -> ClassPhotos:
        """Return these classes and those of `other`, which replace classes of the same name."""
        import torch

        kept = self.without(other.names)
        means = torch.cat([kept.means, other.means.to(kept.means)]) if kept.names else other.means
        return ClassPhotos((*kept.names, *other.names), means, (*kept.counts, *other.counts))

    def without(self, names: Iterable[str]) -> ClassPhotos:
        """Return these classes without some, by name in any spelling."""
        from ..data.classes.attributes import class_key

        dropped = {class_key(name) for name in names}
        rows = [row for row, name in enumerate(self.names) if class_key(name) not in dropped]
        names, counts = tuple(self.names[row] for row in rows), tuple(self.counts[row] for row in rows)
        return ClassPhotos(names, self.means[rows], counts)

    @property
    def numbers(self) -> dict[str, int]:
        """The number of photos of each class."""
        return dict(zip(self.names, self.counts, strict=True))
