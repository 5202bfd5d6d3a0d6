"""`ZeroShotClassifier`: it predicts as its model file, takes descriptions in every form, and refuses wrong arrays."""

from __future__ import annotations

import doctest
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from revcd_cli import Predictor, ZeroShotClassifier, load_checkpoint
from revcd_cli.config import Config
from revcd_cli.data.classes.attributes import ClassAttributes, write_attribute_csv
from revcd_cli.data.features.feature_set import FeatureSet
from revcd_cli.errors import ConfigError, NotFittedError, RevcdError
from revcd_cli.pipeline.estimator import estimator as estimator_module
from tests.makers.toy import SMALL

ANIMALS = ("zebra", "horse", "tiger", "wolf", "seal", "okapi")  # no photo of an okapi
VALUES = np.random.default_rng(3).uniform(size=(6, 8)).astype(np.float32)
DESCRIPTIONS = dict(zip(ANIMALS, VALUES, strict=True))
MAP = np.random.default_rng(4).normal(size=(8, 24))
SETTINGS = {name: dict(section) for name, section in SMALL.items()}


def photos(names: tuple[str, ...], count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features that are a linear map of the description plus noise, and their classes."""
    labels = np.repeat(names, count)
    clean = np.array([DESCRIPTIONS[name] for name in labels]) @ MAP
    return clean + 0.3 * np.random.default_rng(seed).normal(size=clean.shape), labels


X, Y = photos(ANIMALS[:5], 16, 0)


@pytest.fixture(scope="module")
def fitted() -> ZeroShotClassifier:
    return ZeroShotClassifier(settings=SETTINGS).fit(X, Y, class_descriptions=DESCRIPTIONS)


def test_a_class_without_photos_is_named_by_its_description(fitted: ZeroShotClassifier):
    assert fitted.classes_.tolist() == sorted(ANIMALS)
    assert fitted.seen_classes_.tolist() == sorted(ANIMALS[:5])
    new, truth = photos(ANIMALS, 20, 1)
    answers = fitted.predict(new)
    assert np.mean(answers[truth == "okapi"] == "okapi") > 0.5  # chance: 1/6
    assert fitted.score(new, truth) == np.mean(answers == truth) > 0.6


def test_probabilities_sum_to_one_and_the_largest_is_the_answer(fitted: ZeroShotClassifier):
    shares = fitted.predict_proba(X)
    assert shares.shape == (len(X), 6) and np.allclose(shares.sum(1), 1)
    assert (fitted.classes_[shares.argmax(1)] == fitted.predict(X)).all()


def test_a_row_is_answered_alike_alone_and_in_any_order(fitted: ZeroShotClassifier):
    order = np.random.default_rng(0).permutation(len(X))
    assert np.allclose(fitted.predict_proba(X[order]), fitted.predict_proba(X)[order], atol=1e-6)
    assert np.allclose(fitted.predict_proba(X[:1]), fitted.predict_proba(X)[:1], atol=1e-6)


def test_the_saved_model_predicts_the_same(fitted: ZeroShotClassifier, tmp_path: Path):
    path = fitted.save(tmp_path / "arrays.safetensors")
    checkpoint = load_checkpoint(path)
    features = FeatureSet(
        paths=tuple(map(str, range(len(X)))),
        features=X.astype(np.float32),
        status=("ok",) * len(X),
        reason=("",) * len(X),
        sha256=("",) * len(X),
        backbone=checkpoint.backbone,
    )
    predictions = Predictor(checkpoint, None).predict(features, top_k=6)
    shares = fitted.predict_proba(X)
    if checkpoint.model.config.inference.rule == "prototype":  # other rules draw noise by the photo's hash
        for row, prediction in zip(shares, predictions, strict=True):
            found = {each.name: each.probability for each in prediction.candidates}
            assert [found[name] for name in fitted.classes_] == pytest.approx(row.tolist(), abs=1e-4)
    assert np.mean([p.best.name == a for p, a in zip(predictions, fitted.predict(X), strict=True)]) > 0.9
    with pytest.raises(RevcdError, match="exists"):
        fitted.save(path)


def test_descriptions_in_every_form_give_the_same_model(fitted: ZeroShotClassifier, tmp_path: Path):
    pandas = pytest.importorskip("pandas")
    names = [f"trait {k}" for k in range(8)]
    table = ClassAttributes(ANIMALS, tuple(names), VALUES, "memory", "00")
    write_attribute_csv(tmp_path / "attributes.csv", table)
    forms = (
        table,
        tmp_path / "attributes.csv",
        str(tmp_path / "attributes.csv"),
        pandas.DataFrame(VALUES, index=ANIMALS, columns=names),
        {name: dict(zip(names, row.tolist(), strict=True)) for name, row in DESCRIPTIONS.items()},
    )
    expected = fitted.predict_proba(X)
    for form in forms:
        found = ZeroShotClassifier(settings=SETTINGS).fit(X, Y, class_descriptions=form).predict_proba(X)
        assert np.allclose(found, expected, atol=1e-4)


def test_classes_keep_their_type():
    numbers = np.array([ANIMALS.index(name) for name in Y])
    described = dict(enumerate(VALUES))
    model = ZeroShotClassifier(settings=SETTINGS).fit(X, numbers, class_descriptions=described)
    assert model.classes_.dtype.kind == "i" and model.predict(X).dtype.kind == "i"
    assert model.score(X, numbers) > 0.8


def test_without_descriptions_the_classes_are_told_apart_by_their_photos():
    model = ZeroShotClassifier().fit(X, Y)
    assert model.classes_.tolist() == sorted(ANIMALS[:5])
    new, truth = photos(ANIMALS[:5], 20, 1)
    assert model.score(new, truth) > 0.9


def test_settings_of_a_section_precede_the_parameters_and_unknown_ones_are_refused():
    given = ZeroShotClassifier(rule="cosine", epochs=7, settings={"train": {"epochs": 3}})
    config = given._config(described=True)
    assert (config.inference.rule, config.train.epochs) == ("cosine", 3)
    assert ZeroShotClassifier(settings=Config())._config(described=True) == Config()
    with pytest.raises(ConfigError, match="epoch"):
        ZeroShotClassifier(settings={"train": {"epoch": 3}}).fit(X, Y)


def test_parameters_can_be_read_and_set():
    model = ZeroShotClassifier(epochs=3)
    assert model.set_params(rule="joint").get_params()["rule"] == "joint"
    assert repr(model) == "ZeroShotClassifier(epochs=3, rule='joint')"
    with pytest.raises(ValueError, match="Invalid parameter 'epoch'"):
        model.set_params(epoch=3)


@pytest.mark.parametrize(
    ("x", "y", "described", "error", "says"),
    [
        (X[0], Y[:1], None, ValueError, "expected .N, D., a row of features"),
        (X, Y[:-1], None, ValueError, "80 rows and y has 79 labels"),
        (np.where(np.arange(24) == 3, np.nan, X), Y, None, ValueError, "NaN or inf.*80 of 80 rows, the first in row 0"),
        (X * 1e300, Y, None, ValueError, "too large for float32"),
        (X[:0], Y[:0], None, ValueError, "0 sample"),
        (X, None, None, ValueError, "requires y"),
        (X, np.full(80, "zebra"), None, ValueError, "y has 1 class"),
        (X, np.linspace(0, 1, 80), None, ValueError, "Unknown label type"),
        (X, Y, {"zebra": [1, 2], "horse": [3, 4]}, ValueError, "no row for classes of y: seal, tiger, wolf"),
        (X, Y, {"zebra": [1, 2], "horse": [3]}, ValueError, "have .1, 2. values"),
        (X, Y, {"zebra": {"a": 1}, "horse": {"b": 1}}, ValueError, "'horse' has other attributes"),
        (X, Y, {**DESCRIPTIONS, "Zebra": VALUES[0]}, ValueError, 'name "zebra", up to case'),
        (X, Y, {name: np.full(8, np.inf) for name in ANIMALS}, ValueError, "must be finite numbers"),
        (X, Y, [VALUES], TypeError, "class_descriptions is a list; expected"),
    ],
)
def test_a_wrong_input_is_a_plain_error_of_the_usual_type(x, y, described, error: type, says: str):
    with pytest.raises(error, match=says) as caught:
        ZeroShotClassifier(settings=SETTINGS).fit(x, y, class_descriptions=described)
    assert isinstance(caught.value, RevcdError)


def test_another_number_of_features_is_refused(fitted: ZeroShotClassifier):
    with pytest.raises(ValueError, match="X has 3 features, but ZeroShotClassifier is expecting 24"):
        fitted.predict(X[:, :3])


def test_columns_of_a_data_frame_are_those_of_the_fit():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"f{k}" for k in range(24)])
    model = ZeroShotClassifier().fit(frame, Y)
    assert model.feature_names_in_.tolist() == list(frame.columns)
    assert (model.predict(frame) == model.predict(X)).all()
    with pytest.raises(ValueError, match="in another order"):
        model.predict(frame[frame.columns[::-1]])


def test_a_fitted_classifier_can_be_pickled(fitted: ZeroShotClassifier):
    copy = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(copy.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.slow
def test_it_works_without_scikit_learn():
    program = """
import sys
sys.modules["sklearn"] = None
import numpy as np
from revcd_cli import ZeroShotClassifier
from revcd_cli.errors import NotFittedError
model, random = ZeroShotClassifier(), np.random.default_rng(0)
try:
    model.predict(np.zeros((1, 4)))
except NotFittedError as error:
    print(error)
x = np.repeat(np.eye(4), 5, axis=0) + 0.1 * random.normal(size=(20, 4))
print(model.fit(x, np.repeat(list("abcd"), 5)).score(x, np.repeat(list("abcd"), 5)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["This ZeroShotClassifier is not fitted yet; call fit first.", "1.0"], (
        done.stderr
    )


def test_an_unfitted_classifier_says_so():
    with pytest.raises(NotFittedError, match="call fit first"):
        ZeroShotClassifier().predict(X)


@pytest.mark.slow
def test_the_example_of_its_documentation_runs():
    assert doctest.testmod(estimator_module).failed == 0
