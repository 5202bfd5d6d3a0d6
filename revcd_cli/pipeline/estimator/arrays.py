"""Check the arrays and class descriptions that a program gives to `ZeroShotClassifier`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...data.classes.attributes import ClassAttributes, class_key, read_attribute_csv
from ...errors import ArrayError, ArrayTypeError, listed

SOURCE = "class_descriptions"
_NAMED = 3


def feature_array(X: Any, n_features: int | None = None, names: Any = None) -> np.ndarray:
    """Return features as (N, D) float32. Raises `ArrayError` for what is no finite, numeric table with rows.

    n_features, names: of the features that the classifier was fitted with, if it is fitted.
    """
    if hasattr(X, "toarray"):
        raise ArrayTypeError("X is a sparse matrix; image features are dense.", hint="Give X.toarray().")
    given = column_names(X)
    if n_features is not None and names is not None and given is not None and list(given) != list(names):
        unknown = [name for name in given if name not in names]
        problem = f"no such feature in the fit: {listed(unknown, _NAMED)}" if unknown else "they are in another order"
        raise ArrayError(f"The columns of X are not those of the fit: {problem}.")
    x = np.asarray(X)
    if x.dtype.kind == "c":
        raise ArrayError("Complex data not supported: X has complex numbers.")
    if x.dtype.kind == "O":
        try:
            x = x.astype(np.float64)
        except TypeError as error:
            raise ArrayTypeError(f"X has values that are no numbers: {error}.") from error
        except ValueError as error:
            raise ArrayError(f"X has values that are no numbers: {error}.") from error
    if x.dtype.kind not in "fiub":
        raise ArrayError(f"X has values of the type {x.dtype}; expected numbers.")
    if x.ndim != 2:
        raise ArrayError(
            f"X has the shape {x.shape}; expected (N, D), a row of features for each photo.",
            hint="Reshape your data: X.reshape(1, -1) is a single photo.",
        )
    if n_features is not None and x.shape[1] != n_features:
        raise ArrayError(
            f"X has {x.shape[1]} features, but ZeroShotClassifier is expecting {n_features} features as input."
        )
    if not x.shape[1]:
        raise ArrayError(f"0 feature(s) (shape={x.shape}) while a minimum of 1 is required.")
    if not x.shape[0]:
        raise ArrayError(f"0 sample(s) (shape={x.shape}) while a minimum of 1 is required.")
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(x, dtype=np.float32)
    wrong = ~np.isfinite(x).all(axis=1)
    if wrong.any():
        raise ArrayError(
            f"X contains NaN or inf, or values too large for float32, in {int(wrong.sum()):,} of {len(x):,} rows, "
            f"the first in row {int(wrong.argmax())}."
        )
    return x


def column_names(X: Any) -> np.ndarray | None:
    """Return the column names of a data frame if all are strings, else None."""
    columns = getattr(X, "columns", None)
    if columns is None or not all(isinstance(name, str) for name in columns):
        return None
    return np.asarray(columns, dtype=object)


def label_array(y: Any, n_rows: int) -> np.ndarray:
    """Return labels (N,), one for each of the `n_rows` rows of X. Raises `ArrayError`."""
    if y is None:
        raise ArrayError("ZeroShotClassifier requires y to be passed, but the target y is None.")
    labels = np.asarray(y)
    if labels.ndim != 1:
        raise ArrayError(f"y has the shape {labels.shape}; expected (N,), a class for each row of X.")
    if len(labels) != n_rows:
        raise ArrayError(f"X has {n_rows:,} rows and y has {len(labels):,} labels; expected one label a row.")
    if labels.dtype.kind == "c":
        raise ArrayError("Complex data not supported: y has complex numbers.")
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all():
            raise ArrayError("Input y contains NaN or inf.")
        if (labels != np.round(labels)).any():
            raise ArrayError("Unknown label type: y has numbers with fractions, which are no classes.")
    return labels


def class_table(descriptions: Any, labels: np.ndarray) -> tuple[ClassAttributes, np.ndarray]:
    """Return the class table, with names as text, and its classes (C,) in the type of `labels` where that is possible.

    descriptions: a `ClassAttributes`, the path of a CSV file, a mapping from class to values, or a data frame with a
    row for each class; None describes each class of `labels` by itself alone. Raises `ArrayError` and `InputFileError`.
    """
    if descriptions is None:
        classes = np.unique(labels)
        return _table(classes, np.eye(len(classes)), [f"is {name}" for name in classes]), classes
    if isinstance(descriptions, str | Path):
        descriptions = read_attribute_csv(descriptions)
    if isinstance(descriptions, ClassAttributes):
        return descriptions, np.array(descriptions.names, dtype=object)
    if hasattr(descriptions, "columns") and hasattr(descriptions, "index"):
        names = [str(name) for name in descriptions.columns]
        return _table(descriptions.index, descriptions.to_numpy(), names), np.asarray(descriptions.index)
    if isinstance(descriptions, Mapping):
        return _of_mapping(descriptions)
    raise ArrayTypeError(
        f"class_descriptions is a {type(descriptions).__name__}; expected a table of revcd, the path of a CSV file, a "
        "data frame with a row for each class, or a mapping from class to values."
    )


def _of_mapping(descriptions: Mapping[Any, Any]) -> tuple[ClassAttributes, np.ndarray]:
    rows = list(descriptions.values())
    names: list[str] | None = None
    if rows and all(isinstance(row, Mapping) for row in rows):
        names = list(rows[0])
        odd = next((label for label, row in descriptions.items() if set(row) != set(names)), None)
        if odd is not None:
            raise ArrayError(f"class_descriptions: {odd!r} has other attributes than the first class.")
        rows = [[row[name] for name in names] for row in rows]
    lengths = {np.size(row) for row in rows}
    if len(lengths) != 1:
        raise ArrayError(f"class_descriptions: the classes have {sorted(lengths)} values; expected one number of them.")
    values = np.array([np.ravel(row) for row in rows])
    return _table(descriptions, values, names), np.asarray(list(descriptions))


def _table(classes: Any, values: np.ndarray, attributes: list[str] | None) -> ClassAttributes:
    names = tuple(str(name) for name in classes)
    keys = [class_key(name) for name in names]
    double = next((name for name, key in zip(names, keys, strict=True) if keys.count(key) > 1), None)
    if double is not None:
        raise ArrayError(f'Two classes have the name "{double}", up to case and spaces.')
    if values.ndim != 2 or values.dtype.kind not in "fiub" or not values.size or not np.isfinite(values).all():
        raise ArrayError(f"class_descriptions must be finite numbers (C, A); got {values.dtype} {values.shape}.")
    attributes = attributes or [f"attribute {k + 1}" for k in range(values.shape[1])]
    return ClassAttributes(names, tuple(map(str, attributes)), values.astype(np.float32), SOURCE, sha256="")
