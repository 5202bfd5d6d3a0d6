"""The classifier that a backbone was trained with: a weight vector for each of its labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..config import BackboneRecord
from ..errors import WeightsError
from ..system.files import file_sha256
from .labels import LabelSet, label_set
from .source import EMBEDDED, decide_source
from .weights import check_weights_file, read_state_dict


@dataclass(frozen=True, eq=False)
class Classifier:
    """A linear classifier of features: logits = weights @ feature + bias, one for each of L labels."""

    weights: np.ndarray  # (L, D) float32
    bias: np.ndarray  # (L,) float32
    labels: LabelSet


def why_no_classifier(record: BackboneRecord) -> str:
    """Return why features of this kind have no classifier, "" if they may have one."""
    if not record.weights_sha256:
        return f"the features ({record.tag}) were not extracted by revcd, so the network behind them is not at hand"
    if record.tokens:
        return "the features are spatial tokens, and classifiers read pooled features"
    return ""


def load_classifier(record: BackboneRecord, *, weights: Path | None = None) -> Classifier:
    """Return the classifier of the backbone that computed some features.

    weights: the user's file of the backbone's weights, as for `load_backbone`. Only the classifier's tensors are used;
    they equal those of timm's `get_classifier()`. Raises `WeightsError` if there is none, or if the file is another one
    than that of the features.
    """
    problem = why_no_classifier(record)
    if problem:
        raise WeightsError(f"There is no classifier: {problem}.")
    source = decide_source(record.tag, weights)
    check_weights_file(source.path)
    if file_sha256(source.path) != record.weights_sha256:
        raise WeightsError(
            f"{source.path}: is not the weights file that the features were computed with (sha256 "
            f"{record.weights_sha256[:12]}).",
            hint="Give the right file with --weights FILE, or extract the features again.",
        )
    name = "_fc" if source.tag == EMBEDDED else classifier_name(source.tag)
    state = read_state_dict(source.path)
    if not name or f"{name}.weight" not in state:
        raise WeightsError(f"{source.tag}: its weights have no classifier, so it knows no labels.")
    matrix = _rows(state[f"{name}.weight"])
    if matrix is None or matrix.shape[1] != record.feature_dim:
        raise WeightsError(f"{source.tag}: its classifier is not one linear map of the {record.feature_dim} features.")
    bias = state.get(f"{name}.bias", matrix.new_zeros(len(matrix)))
    return Classifier(matrix.numpy(), bias.float().numpy(), label_set(len(matrix)))


def classifier_name(tag: str) -> str:
    """Return the name of the classifier among the modules of a timm network, "" without one."""
    import timm

    published = timm.models.get_pretrained_cfg(tag)
    name = published.classifier if published is not None else None
    return name if isinstance(name, str) else name[0] if name else ""


def _rows(weight: Tensor) -> Tensor | None:
    """Return the weights as (L, D); a 1 x 1 convolution of pooled features is such a map, too."""
    if weight.ndim == 4 and weight.shape[2:] == (1, 1):
        weight = weight.flatten(1)
    return weight.to(torch.float32).contiguous() if weight.ndim == 2 else None
