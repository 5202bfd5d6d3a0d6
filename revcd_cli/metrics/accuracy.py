"""Accuracy of generalised zero-shot learning: per-class mean top-1, S, U, H (paper section 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor


def per_class_accuracy(predicted: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Return correct_c / n_c for every class, NaN where a class has no row. predicted, labels: (N,). Returns (C,)."""
    total = torch.bincount(labels, minlength=n_classes).double()
    correct = torch.bincount(labels[predicted == labels], minlength=n_classes).double()
    return correct / total  # 0/0 is NaN: absent, not wrong


def mean_over_classes(accuracy: Tensor) -> float | None:
    """Return the mean over the classes that have rows, or None if none has. accuracy: (C,) with NaN for absent."""
    present = accuracy[~accuracy.isnan()]
    return float(present.mean()) if len(present) else None


def harmonic_mean(acc_seen: float | None, acc_unseen: float | None) -> float | None:
    """Return H = 2SU / (S + U), 0 where both are 0, None where one of them is not defined."""
    if acc_seen is None or acc_unseen is None:
        return None
    total = acc_seen + acc_unseen
    return 2 * acc_seen * acc_unseen / total if total else 0.0


def confusion_matrix(predicted: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Return the number of rows by true and by predicted class: (C, C). predicted, labels: (N,)."""
    pairs = labels * n_classes + predicted
    return torch.bincount(pairs, minlength=n_classes * n_classes).view(n_classes, n_classes)
