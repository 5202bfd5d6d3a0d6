"""The chance that an answer is right: its quantities by hand, and its weights against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from revcd_cli.checkpoint.calibration import Calibration
from revcd_cli.scoring.rejection import answer_chances, answer_quantities, fit_chance

SEEN = torch.tensor([True, True, False])


def test_the_quantities_are_the_best_score_its_margin_its_log_odds_and_whether_it_is_unseen():
    scores = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 4.0]])
    chances = (scores / 0.5).softmax(1).amax(1)
    expected = torch.stack([torch.tensor([4.0, 8.0]), torch.tensor([2.0, 6.0]), torch.logit(chances)], 1).double()
    found = answer_quantities(scores, SEEN, 0.5)
    torch.testing.assert_close(found[:, :3], expected, rtol=1e-5, atol=1e-5)
    assert found[:, 3].tolist() == [0, 1]


def test_quantities_are_finite_for_one_candidate_and_for_extreme_scores():
    assert answer_quantities(torch.tensor([[3.0], [-1e30]]), SEEN[:1], 1.0).isfinite().all()
    assert answer_quantities(torch.tensor([[1e30, -torch.inf, 0.0]]), SEEN, 1e-3).isfinite().all()


def drawn(rows: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 4, generator=generator).double() * torch.tensor([1.0, 5.0, 0.1, 2.0]) + 3
    chance = torch.sigmoid(x @ torch.tensor([1.0, -0.2, 3.0, 0.0]).double() - 10)
    return x, torch.rand(rows, generator=generator) < chance


def test_weights_are_those_of_scikit_learns_logistic_regression():
    x, right = drawn()
    standard = ((x - x.mean(0)) / x.std(0, correction=0)).numpy()
    model = LogisticRegression(C=1 / (1e-3 * len(x)), tol=1e-10, max_iter=500).fit(standard, right.numpy())
    chances = answer_chances(x, fit_chance(x, right))
    np.testing.assert_allclose(chances, model.predict_proba(standard)[:, 1], atol=1e-5)


def test_chances_are_calibrated_on_the_photos_of_the_fit():
    x, right = drawn()
    chances = answer_chances(x, fit_chance(x, right))
    assert float(chances.mean()) == pytest.approx(float(right.double().mean()), abs=1e-6)


@pytest.mark.parametrize("right", [torch.zeros(50).bool(), torch.ones(50).bool()])
def test_answers_of_one_kind_only_and_constant_quantities_give_finite_weights(right: torch.Tensor):
    assert np.isfinite(fit_chance(drawn(50)[0], right)).all()
    assert np.isfinite(fit_chance(torch.full((50, 4), 2.0).double(), right)).all()


def test_a_calibration_without_weights_compares_the_best_score():
    scores = torch.tensor([[2.0, 1.0, 0.0]])
    assert Calibration(threshold=1.0).fits(scores, SEEN).tolist() == [2.0]
    fitted = Calibration(threshold=0.5, rejection=(1.0, 0.0, 0.0, 0.0, -2.0)).fits(scores, SEEN)
    assert fitted.tolist() == pytest.approx([0.5])
