"""The candidate classes of a prediction: those of the model or of a table, and classes with given photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ...checkpoint.class_photos import ClassPhotos
from ...checkpoint.model_file import Checkpoint
from ...data.classes.attributes import ClassAttributes, align, class_positions
from ...data.classes.kinds import PHOTOS
from ...data.classes.scale import rescale_rows
from ...data.classes.table_findings import table_findings
from ...data.findings import NOTE, WARNING, of_rank, raise_first_error
from ...scoring.candidate_kinds import CandidateKinds
from ...scoring.model import ZeroShotModel
from .given_photos import kinds_with_photos


@dataclass(frozen=True)
class CandidateClasses:
    """The C candidate classes.

    prototypes: (C, A), descriptions with the attributes in the order of the model; own: (C,), position among the
    classes of the training, -1 for a class that is not one of them; kinds: (C,), see `data.classes.kinds`. Classes that
    have given photos and no description come last.
    """

    names: tuple[str, ...]
    prototypes: torch.Tensor
    own: torch.Tensor
    kinds: tuple[str, ...]
    source: str
    sha256: str
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what was mended
    photos: ClassPhotos | None = None  # given for classes after the training
    undescribed: int = 0  # number of classes without a description
    limits: torch.Tensor | None = None  # (C,), of the seen penalty, set by `limited`

    @property
    def seen(self) -> torch.Tensor:
        """Whether the model was trained on photos of each class: (C,) bool."""
        return torch.tensor([kind == PHOTOS for kind in self.kinds])

    def trained_as(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        """Return the name of each class in the training of the model, or its own name if it is not one of them."""
        trained = checkpoint.trained_names
        return tuple(trained[k] if k >= 0 else name for k, name in zip(self.own.tolist(), self.names, strict=True))

    def limited(self, model: ZeroShotModel, rule: str) -> CandidateClasses:
        """Return the candidates with the limits of the seen penalty, see `ZeroShotModel.penalty_limits`."""
        kinds = self.scoring_kinds(model) or CandidateKinds(self.own)
        return replace(self, limits=model.penalty_limits(self.prototypes, kinds, rule))

    def scoring_kinds(self, model: ZeroShotModel) -> CandidateKinds | None:
        """Return what the model's prototypes need to know of the candidates; None if they need only descriptions."""
        if self.photos is None:
            return model.kinds(self.own)
        described = torch.arange(len(self.names)) < len(self.names) - self.undescribed
        return kinds_with_photos(self.own, self.names, described, self.photos)


def candidate_classes(
    checkpoint: Checkpoint, classes: ClassAttributes | None = None, *, rescale: bool = False
) -> CandidateClasses:
    """Return the classes of the model, or those of a table, with its attributes matched to the model by name.

    A class is seen if the model was trained on photos of a class with its name. rescale: convert rows on another scale
    than the model's table. Raises `InputFileError` if attributes are missing or unknown, or for rows or columns on
    another scale.
    """
    warnings: list[str] = []
    notes: list[str] = []
    if classes is None:
        classes = replace(checkpoint.classes, source=f"model {checkpoint.name}")
    else:
        classes = align(classes, checkpoint.classes.attributes)
        if rescale:
            classes, notes = rescale_rows(classes, checkpoint.classes)
        findings = table_findings(classes, checkpoint.classes)
        raise_first_error(findings, classes.source)
        warnings = [finding.sentence for finding in of_rank(findings, WARNING)]
        notes += [finding.text for finding in of_rank(findings, NOTE)]
    photos = checkpoint.photos
    classes, undescribed = _with_undescribed(classes, photos.names if photos else ())
    kinds = tuple(checkpoint.kind(name) for name in classes.names)
    own = torch.from_numpy(class_positions(classes.names, checkpoint.trained_names))
    prototypes = torch.from_numpy(classes.values)
    return CandidateClasses(
        classes.names,
        prototypes,
        own,
        kinds,
        classes.source,
        classes.sha256,
        tuple(warnings),
        tuple(notes),
        photos,
        undescribed,
    )


def _with_undescribed(classes: ClassAttributes, names: Sequence[str]) -> tuple[ClassAttributes, int]:
    """Return the table with a row for each name that it lacks, the mean of its rows, and their number."""
    added = [name for name, row in zip(names, class_positions(names, classes.names), strict=True) if row < 0]
    mean = classes.values.mean(0, keepdims=True).repeat(len(added), 0)
    values = np.concatenate([classes.values, mean])
    return replace(classes, names=(*classes.names, *added), values=values), len(added)
