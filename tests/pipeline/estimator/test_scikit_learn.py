"""`ZeroShotClassifier` in scikit-learn: its own checks of estimators, cloning, searches and pipelines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from revcd_cli import ZeroShotClassifier
from tests.makers.toy import SMALL

from .test_estimator import DESCRIPTIONS, SETTINGS, X, Y

# Checks of scikit-learn's contract that do not fit, and why; docs/python.md lists the same.
EXPECTED_FAILURES = {
    "check_supervised_y_2d": "y of the shape (N, 1) is refused with an error, not taken with a warning",
}


def expected_failures(estimator: Any) -> dict[str, str]:
    return EXPECTED_FAILURES


@pytest.mark.slow
@parametrize_with_checks([ZeroShotClassifier(settings=SMALL)], expected_failed_checks=expected_failures)
def test_the_contract_of_scikit_learn_is_kept(estimator: ZeroShotClassifier, check: Any):
    check(estimator)


def test_a_clone_has_the_parameters_and_no_model():
    fitted = ZeroShotClassifier(random_state=3, settings=SETTINGS).fit(X, Y)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "checkpoint_") and is_classifier(copy)


def test_a_search_passes_the_descriptions_on():
    search = GridSearchCV(ZeroShotClassifier(settings=SETTINGS), {"rule": ["prototype", "cosine"]}, cv=2)
    search.fit(X, Y, class_descriptions=DESCRIPTIONS)
    assert set(search.best_estimator_.classes_) == set(DESCRIPTIONS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_it_is_the_last_step_of_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), ZeroShotClassifier(settings=SETTINGS))
    pipeline.fit(X, Y, zeroshotclassifier__class_descriptions=DESCRIPTIONS)
    assert pipeline.score(X, Y) > 0.8
