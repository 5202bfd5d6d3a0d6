"""What scikit-learn asks an estimator for: tags and its exception. It is imported only where it asks, or is there."""

from __future__ import annotations

from typing import Any

from ...errors import NotFittedError

_MESSAGE = "This ZeroShotClassifier is not fitted yet; call fit first."


def sklearn_tags() -> Any:
    """Return the tags of a classifier that needs y and dense, finite features; for scikit-learn 1.6 or later."""
    from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

    return Tags(
        estimator_type="classifier",
        target_tags=TargetTags(required=True),
        classifier_tags=ClassifierTags(),
        transformer_tags=None,
        regressor_tags=None,
        input_tags=InputTags(),
    )


def not_fitted() -> Exception:
    """Return the error of a classifier that is not fitted; scikit-learn's own as well, where it is installed."""
    try:
        from sklearn.exceptions import NotFittedError as TheirError
    except ImportError:
        return NotFittedError(_MESSAGE)
    return type("NotFittedError", (NotFittedError, TheirError), {})(_MESSAGE)
