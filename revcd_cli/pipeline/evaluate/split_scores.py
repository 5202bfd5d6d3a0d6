"""Every figure of generalised zero-shot learning, from the scores of a split's test photos (method.md 9)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...metrics.accuracy import harmonic_mean, mean_over_classes, per_class_accuracy
from ...metrics.curve import SeenUnseenCurve, seen_unseen_curve
from ...scoring.calibration import calibrated


@dataclass(frozen=True)
class ClassAccuracy:
    """How many of a class's test photos were named rightly among all classes."""

    name: str
    seen: bool
    photos: int
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class GZSLReport:
    """Accuracies as shares of 1, each the mean over classes of the class's own accuracy; None where no photo is.

    S, U and H have every candidate class open, T1 the unseen ones alone, S alone the seen ones.
    """

    acc_seen: float | None  # S, on test photos of seen classes
    acc_unseen: float | None  # U, on photos of unseen classes
    harmonic_mean: float | None  # H = 2SU / (S + U)
    acc_zsl: float | None  # T1
    ausuc: float | None  # area under the seen-unseen curve, whatever the penalty
    acc_seen_alone: float | None  # on test photos of seen classes, those being the only candidates
    sample_acc_seen: float | None  # means over photos instead of classes: not S and U, and not to be mixed with them
    sample_acc_unseen: float | None
    seen_as_unseen: float | None  # share of seen classes' photos answered with an unseen class (mean over classes)
    unseen_as_seen: float | None  # and the reverse
    seen_photos: int
    unseen_photos: int
    seen_classes: int  # candidates
    unseen_classes: int
    per_class: tuple[ClassAccuracy, ...]

    def headline(self) -> dict[str, float | None]:
        """Return S, U, H, T1 and AUSUC by their short names."""
        return {
            "S": self.acc_seen,
            "U": self.acc_unseen,
            "H": self.harmonic_mean,
            "T1": self.acc_zsl,
            "AUSUC": self.ausuc,
        }

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Answers:
    """What a model says of N test photos; classes are positions among the candidates."""

    labels: Tensor  # (N,) true classes
    answered: Tensor  # (N,)
    confidence: Tensor  # (N,) probability of the answer, relative to the candidates

    @property
    def right(self) -> Tensor:
        return self.answered == self.labels


@dataclass(frozen=True)
class SplitScores:
    """Scores of the test photos of one split, from which every figure follows without the model.

    scores_*: (N, C) of the photos of seen and of unseen classes; labels_*: (N,) their true classes; names: (C,)
    candidates; seen: (C,) bool.
    """

    scores_seen: Tensor
    scores_unseen: Tensor
    labels_seen: Tensor
    labels_unseen: Tensor
    names: tuple[str, ...]
    seen: Tensor

    def in_units(self, unit: float) -> SplitScores:
        """Return the scores divided by `unit` (see `core.calibrate.score_unit`)."""
        return replace(self, scores_seen=self.scores_seen / unit, scores_unseen=self.scores_unseen / unit)

    def curve(self) -> SeenUnseenCurve | None:
        """Return S and U over the seen penalty; None where photos or candidates of one kind are missing."""
        if not (len(self.labels_seen) and len(self.labels_unseen) and self.seen.any() and not self.seen.all()):
            return None
        return seen_unseen_curve(self.scores_seen, self.labels_seen, self.scores_unseen, self.labels_unseen, self.seen)

    def calibrated(self, gamma: float) -> tuple[Tensor, Tensor]:
        """Return the scores of all photos (N, C), seen penalty subtracted, and their labels (N,)."""
        scores = calibrated(torch.cat([self.scores_seen, self.scores_unseen]), self.seen, gamma)
        return scores, torch.cat([self.labels_seen, self.labels_unseen])

    def answers(self, gamma: float, temperature: float) -> Answers:
        """Return the answers to the photos of seen classes and then to those of unseen ones."""
        scores, labels = self.calibrated(gamma)
        answered = scores.argmax(1)
        probabilities = (scores / temperature).softmax(-1)
        return Answers(labels, answered, probabilities.gather(1, answered.unsqueeze(1)).squeeze(1))

    def report(self, gamma: float = 0.0) -> GZSLReport:
        """Return the accuracies with the seen penalty gamma."""
        n_classes, curve = len(self.names), self.curve()
        labels = self.labels_seen, self.labels_unseen
        chosen = [calibrated(scores, self.seen, gamma).argmax(1) for scores in (self.scores_seen, self.scores_unseen)]
        accuracy = [per_class_accuracy(*pair, n_classes) for pair in zip(chosen, labels, strict=True)]
        acc_seen, acc_unseen = map(mean_over_classes, accuracy)
        photos = torch.bincount(torch.cat(labels), minlength=n_classes)
        of_class = torch.where(self.seen, *accuracy)
        return GZSLReport(
            acc_seen=acc_seen,
            acc_unseen=acc_unseen,
            harmonic_mean=harmonic_mean(acc_seen, acc_unseen),
            acc_zsl=self._alone(self.scores_unseen, self.labels_unseen, ~self.seen),
            ausuc=None if curve is None else curve.ausuc(),
            acc_seen_alone=self._alone(self.scores_seen, self.labels_seen, self.seen),
            sample_acc_seen=_share(chosen[0] == labels[0]),
            sample_acc_unseen=_share(chosen[1] == labels[1]),
            seen_as_unseen=self._share_of_classes(~self.seen[chosen[0]], labels[0]),
            unseen_as_seen=self._share_of_classes(self.seen[chosen[1]], labels[1]),
            seen_photos=len(self.labels_seen),
            unseen_photos=len(self.labels_unseen),
            seen_classes=int(self.seen.sum()),
            unseen_classes=int((~self.seen).sum()),
            per_class=tuple(
                ClassAccuracy(self.names[c], bool(self.seen[c]), int(photos[c]), float(of_class[c]))
                for c in range(n_classes)
                if photos[c]
            ),
        )

    def _alone(self, scores: Tensor, labels: Tensor, candidates: Tensor) -> float | None:
        chosen = scores.masked_fill(~candidates, -torch.inf).argmax(1)
        return mean_over_classes(per_class_accuracy(chosen, labels, len(self.names)))

    def _share_of_classes(self, happened: Tensor, labels: Tensor) -> float | None:
        """Return the mean over classes of the share of a class's photos to which something happened. (N,) bool."""
        return mean_over_classes(per_class_accuracy(torch.where(happened, labels, -1), labels, len(self.names)))


def _share(happened: Tensor) -> float | None:
    return float(happened.double().mean()) if len(happened) else None
