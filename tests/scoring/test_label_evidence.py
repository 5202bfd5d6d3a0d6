"""Laws of the evidence of labels: log probabilities of known candidates among the labels of the model's classes."""

from __future__ import annotations

import numpy as np
import torch

from revcd_cli.scoring.label_evidence import LabelEvidence

GENERATOR = torch.Generator().manual_seed(0)
WEIGHTS, BIAS = torch.randn(5, 3, generator=GENERATOR), torch.randn(5, generator=GENERATOR)
OWNERS = ("fox", "fox", "ox", "okapi", "okapi")  # several labels stand for one class
PHOTOS = torch.randn(4, 3, generator=GENERATOR).numpy()
EVIDENCE = LabelEvidence(WEIGHTS, BIAS, OWNERS, frozenset({"fox", "okapi"}))


def test_probabilities_of_labels_of_one_class_are_added():
    found = EVIDENCE.of_candidates(PHOTOS, ["okapi", "fox"]).exp()
    shares = (torch.from_numpy(PHOTOS) @ WEIGHTS.T + BIAS).softmax(-1)
    torch.testing.assert_close(found, torch.stack([shares[:, 3:].sum(1), shares[:, :2].sum(1)], 1))


def test_classes_with_photos_and_described_classes_have_no_evidence():
    assert not EVIDENCE.of_candidates(PHOTOS, ["ox", "unicorn"]).any()


def test_evidence_does_not_depend_on_the_other_candidates():
    one, all_ = (EVIDENCE.of_candidates(PHOTOS, names) for names in (["fox"], ["ox", "okapi", "fox"]))
    assert np.array_equal(one[:, 0], all_[:, 2])


def test_all_probabilities_together_are_one():
    everyone = LabelEvidence(WEIGHTS, BIAS, OWNERS, frozenset(OWNERS))
    total = everyone.of_candidates(PHOTOS, ["fox", "ox", "okapi"]).exp().sum(1)
    torch.testing.assert_close(total, torch.ones(4))
