"""Metrics of generalised zero-shot learning from the scores of a split's test photos (docs/method.md, section 10)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...metrics.accuracy import harmonic_mean, mean_over_classes, per_class_accuracy
from ...metrics.bootstrap import ClassFigures
from ...metrics.curve import SeenUnseenCurve, class_areas, seen_unseen_curve
from ...metrics.neighbours import photos_kept
from ...scoring.calibration import calibrated


@dataclass(frozen=True)
class ClassAccuracy:
    """The accuracy on the test photos of one class, with all classes as candidates."""

    name: str
    seen: bool
    photos: int
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class GZSLReport:
    """Accuracies in 0..1, each the mean over classes of the accuracy on the class; None without photos.

    For S, U and H all classes are candidates, for T1 the unseen classes only, for `acc_seen_alone` the seen ones only.
    `defined` omits S if no candidate is unseen, and U if none is seen: these are `acc_seen_alone` and T1.
    """

    acc_seen: float | None  # S, on test photos of seen classes
    acc_unseen: float | None  # U, on photos of unseen classes
    harmonic_mean: float | None  # H = 2SU / (S + U)
    acc_zsl: float | None  # T1
    ausuc: float | None  # area under the seen-unseen curve, independent of the penalty
    acc_seen_alone: float | None  # on test photos of seen classes, with the seen classes as candidates
    sample_acc_seen: float | None  # means over photos instead of classes; not comparable with S and U
    sample_acc_unseen: float | None
    seen_as_unseen: float | None  # share of photos of seen classes predicted as an unseen class, mean over classes
    unseen_as_seen: float | None  # the reverse
    neighbour_photos_kept: float | None  # share of the most similar seen class's photos that a new class leaves to it
    seen_photos: int
    unseen_photos: int
    seen_classes: int  # candidates
    unseen_classes: int
    known_classes: int  # candidates that the backbone's classifier knows; neither seen nor unseen
    untested_classes: int  # unseen candidates without test photos
    per_class: tuple[ClassAccuracy, ...]

    def defined(self) -> GZSLReport:
        """Return the report with S and U only if classes of the other kind are candidates, too."""
        return replace(
            self,
            acc_seen=self.acc_seen if self.unseen_classes else None,
            acc_unseen=self.acc_unseen if self.seen_classes else None,
            harmonic_mean=self.harmonic_mean if self.seen_classes and self.unseen_classes else None,
        )

    def headline(self) -> dict[str, float | None]:
        """Return S, U, H, T1 and AUSUC, by these names."""
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
class SplitPredictions:
    """The predictions for N test photos; a class is its position among the candidates."""

    labels: Tensor  # (N,) int64, true classes
    predicted: Tensor  # (N,) int64
    confidence: Tensor  # (N,) probability of the predicted class, relative to the candidates

    @property
    def correct(self) -> Tensor:
        return self.predicted == self.labels


@dataclass(frozen=True)
class SplitScores:
    """The scores of the test photos of one split, from which all figures are computed.

    scores_*: (N, C), of the photos of seen and of unseen classes; labels_*: (N,) int64, their true classes; names:
    (C,), the candidates; seen: (C,) bool; nearest: (C,), see `metrics.neighbours.nearest_seen`, or None; limits: (C,),
    of the seen penalty, see `ZeroShotModel.penalty_limits`, or None; known: (C,) bool, classes without photos that the
    backbone's classifier knows, or None. The curve and AUSUC are those without limits.
    """

    scores_seen: Tensor
    scores_unseen: Tensor
    labels_seen: Tensor
    labels_unseen: Tensor
    names: tuple[str, ...]
    seen: Tensor
    nearest: Tensor | None = None
    limits: Tensor | None = None
    known: Tensor | None = None

    @property
    def unseen(self) -> Tensor:
        """The candidates that are neither seen nor known: (C,) bool."""
        return ~self.seen if self.known is None else ~(self.seen | self.known)

    def in_units(self, unit: float) -> SplitScores:
        """Return the scores divided by `unit` (see `scoring.calibration.score_unit`)."""
        return replace(self, scores_seen=self.scores_seen / unit, scores_unseen=self.scores_unseen / unit)

    def of_classes(self, rows: Tensor) -> SplitScores:
        """Return the scores with some of the candidates only, and the photos of these. rows: (M,), their positions."""
        place = torch.full((len(self.names),), -1)
        place[rows] = torch.arange(len(rows))
        of_seen, of_unseen = place[self.labels_seen], place[self.labels_unseen]
        return SplitScores(
            self.scores_seen[of_seen >= 0][:, rows],
            self.scores_unseen[of_unseen >= 0][:, rows],
            of_seen[of_seen >= 0],
            of_unseen[of_unseen >= 0],
            tuple(self.names[row] for row in rows.tolist()),
            self.seen[rows],
            known=None if self.known is None else self.known[rows],
        )

    def curve(self) -> SeenUnseenCurve | None:
        """Return S and U as functions of the seen penalty; None without photos or candidates of both kinds."""
        return seen_unseen_curve(*self._photos(), self.seen) if self._has_both_kinds() else None

    def class_figures(self, gamma: float = 0.0) -> ClassFigures:
        """Return the results of each class with photos, with the seen penalty gamma, for `metrics.bootstrap`."""
        seen, unseen = (
            _of_classes(self._calibrated(scores, gamma), labels)
            for scores, labels in ((self.scores_seen, self.labels_seen), (self.scores_unseen, self.labels_unseen))
        )
        alone = _of_classes(self.scores_unseen.masked_fill(~self.unseen, -torch.inf), self.labels_unseen)
        areas = seen.new_zeros(len(seen), len(unseen))
        return ClassFigures(
            seen, unseen, alone, class_areas(*self._photos(), self.seen) if self._has_both_kinds() else areas
        )

    def calibrated(self, gamma: float) -> tuple[Tensor, Tensor]:
        """Return the scores of all photos, (N, C), minus the seen penalty, and their labels, (N,)."""
        scores = self._calibrated(torch.cat([self.scores_seen, self.scores_unseen]), gamma)
        return scores, torch.cat([self.labels_seen, self.labels_unseen])

    def predictions(self, gamma: float, temperature: float) -> SplitPredictions:
        """Return the predictions for the photos of seen classes, followed by those of unseen classes."""
        scores, labels = self.calibrated(gamma)
        predicted = scores.argmax(1)
        probabilities = (scores / temperature).softmax(-1)
        return SplitPredictions(labels, predicted, probabilities.gather(1, predicted.unsqueeze(1)).squeeze(1))

    def report(self, gamma: float = 0.0) -> GZSLReport:
        """Return the accuracies with the seen penalty gamma."""
        n_classes, curve = len(self.names), self.curve()
        labels = self.labels_seen, self.labels_unseen
        chosen = [self._calibrated(scores, gamma).argmax(1) for scores in (self.scores_seen, self.scores_unseen)]
        accuracy = [per_class_accuracy(*pair, n_classes) for pair in zip(chosen, labels, strict=True)]
        acc_seen, acc_unseen = map(mean_over_classes, accuracy)
        photos = torch.bincount(torch.cat(labels), minlength=n_classes)
        of_class = torch.where(self.seen, *accuracy)
        return GZSLReport(
            acc_seen=acc_seen,
            acc_unseen=acc_unseen,
            harmonic_mean=harmonic_mean(acc_seen, acc_unseen),
            acc_zsl=self._alone(self.scores_unseen, self.labels_unseen, self.unseen),
            ausuc=None if curve is None else curve.ausuc(),
            acc_seen_alone=self._alone(self.scores_seen, self.labels_seen, self.seen),
            sample_acc_seen=_share(chosen[0] == labels[0]),
            sample_acc_unseen=_share(chosen[1] == labels[1]),
            seen_as_unseen=self._share_of_classes(self.unseen[chosen[0]], labels[0]),
            unseen_as_seen=self._share_of_classes(self.seen[chosen[1]], labels[1]),
            neighbour_photos_kept=self.neighbour_photos_kept(gamma),
            seen_photos=len(self.labels_seen),
            unseen_photos=len(self.labels_unseen),
            seen_classes=int(self.seen.sum()),
            unseen_classes=int(self.unseen.sum()),
            known_classes=0 if self.known is None else int(self.known.sum()),
            untested_classes=int((self.unseen & (photos == 0)).sum()),
            per_class=tuple(
                ClassAccuracy(self.names[c], bool(self.seen[c]), int(photos[c]), float(of_class[c]))
                for c in range(n_classes)
                if photos[c]
            ),
        )

    def _photos(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.scores_seen, self.labels_seen, self.scores_unseen, self.labels_unseen

    def _has_both_kinds(self) -> bool:
        """Return whether there are photos and candidates of both kinds."""
        return bool(len(self.labels_seen) and len(self.labels_unseen) and self.seen.any() and not self.seen.all())

    def neighbour_photos_kept(self, gamma: float = 0.0) -> float | None:
        """Return the share of its neighbour's photos that a new class leaves to it, see `metrics.neighbours`."""
        if self.nearest is None:
            return None
        return photos_kept(self._calibrated(self.scores_seen, gamma), self.labels_seen, self.seen, self.nearest)

    def _calibrated(self, scores: Tensor, gamma: float) -> Tensor:
        return calibrated(scores, self.seen, gamma, self.limits)

    def _alone(self, scores: Tensor, labels: Tensor, candidates: Tensor) -> float | None:
        chosen = scores.masked_fill(~candidates, -torch.inf).argmax(1)
        return mean_over_classes(per_class_accuracy(chosen, labels, len(self.names)))

    def _share_of_classes(self, selected: Tensor, labels: Tensor) -> float | None:
        """Return the share of selected photos of a class, mean over classes. selected: (N,) bool."""
        return mean_over_classes(per_class_accuracy(torch.where(selected, labels, -1), labels, len(self.names)))


def _of_classes(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the accuracy of each class with photos, in class order."""
    accuracy = per_class_accuracy(scores.argmax(1), labels, scores.shape[1])
    return accuracy[~accuracy.isnan()]


def _share(selected: Tensor) -> float | None:
    return float(selected.double().mean()) if len(selected) else None
