"""The Gaussian over rows of a class table, against formulas written out row by row and a search over all questions."""

from __future__ import annotations

import numpy as np
import pytest

from revcd_cli.data.classes.imputation import RowDistribution, error_factor, impute_missing


def table(classes: int = 30, attributes: int = 7, seed: int = 0) -> np.ndarray:
    """Return correlated columns of different scales (C, A)."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(classes, 3)) @ random.normal(size=(3, attributes))
    return (mixed + 0.4 * random.normal(size=mixed.shape)) * 10.0 ** np.arange(attributes) / 1000 + 5


def shrunk(values: np.ndarray) -> np.ndarray:
    covariance = np.cov(values.T, bias=True)
    return 0.9 * covariance + 0.1 * np.diag(np.diag(covariance))


def test_the_estimate_is_the_conditional_gaussian_of_textbooks():
    values, known = table(), [1, 4, 5]
    unknown = [0, 2, 3, 6]
    r, m, answers = shrunk(values), values.mean(0), table(seed=3)[0][known]
    inverse = np.linalg.inv(r)  # the precision matrix: another formula for the same Gaussian
    rest = np.linalg.inv(inverse[np.ix_(unknown, unknown)])
    mean = m[unknown] - rest @ inverse[np.ix_(unknown, known)] @ (answers - m[known])
    found = RowDistribution.of(values).given(known, answers)
    np.testing.assert_allclose(found.values[unknown], mean, rtol=1e-9)
    np.testing.assert_allclose(found.spread[unknown], np.sqrt(np.diag(rest)), rtol=1e-9)
    np.testing.assert_array_equal(found.values[known], answers)
    np.testing.assert_array_equal(found.spread[known], 0)


def test_without_answers_the_estimate_is_mean_and_standard_deviation_of_the_columns():
    found = RowDistribution.of(table()).given([], [])
    np.testing.assert_allclose(found.values, table().mean(0))
    np.testing.assert_allclose(found.spread, table().std(0))


def test_the_order_of_answers_does_not_matter_and_several_rows_give_what_each_gives_alone():
    rows, answers = RowDistribution.of(table()), table(seed=4)[:5]
    together = rows.given([2, 0, 6], answers[:, [2, 0, 6]])
    for row, values in zip(answers, together.values, strict=True):
        np.testing.assert_allclose(rows.given([6, 2, 0], row[[6, 2, 0]]).values, values, rtol=1e-9)


def test_estimates_follow_the_columns_when_these_are_permuted_shifted_or_scaled():
    values, answers = table(), table(seed=5)[0]
    order, scale = np.random.default_rng(1).permutation(7), np.array([1, 3, 0.1, 50, 1, 2, 9])
    plain = RowDistribution.of(values).given([1, 3], answers[[1, 3]])
    other = RowDistribution.of((values * scale - 4)[:, order])
    places = [int(np.flatnonzero(order == column)[0]) for column in (1, 3)]
    found = other.given(places, (answers * scale - 4)[[1, 3]])
    np.testing.assert_allclose(found.values, (plain.values * scale - 4)[order], rtol=1e-8)
    np.testing.assert_allclose(found.spread, (plain.spread * scale)[order], rtol=1e-8, atol=1e-12)


def slow_order(r: np.ndarray, weights: np.ndarray) -> list[int]:
    """Choose each next column by computing the variance that would be left after every possible answer."""
    chosen: list[int] = []
    for _ in r:

        def left(columns: list[int]) -> float:
            gain = np.linalg.solve(r[np.ix_(columns, columns)], r[columns])
            return float(weights @ np.diag(r - r[:, columns] @ gain))

        others = [column for column in range(len(r)) if column not in chosen]
        chosen.append(min(others, key=lambda column: left([*chosen, column])))
    return chosen


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_questions_is_that_of_a_search_for_the_least_variance_left(seed: int):
    values = table(seed=seed) / 10.0 ** np.arange(7)
    weights = np.random.default_rng(seed).uniform(0.1, 1, size=7)
    rows = RowDistribution.of(values)
    order = slow_order(shrunk(values), weights)
    assert rows.question_order(7, weights=weights) == order
    assert rows.question_order(4, weights=weights, asked=order[:3]) == order[3:]


def test_the_order_of_questions_follows_permuted_columns():
    values, order = table(attributes=6) / 10.0 ** np.arange(6), np.array([3, 0, 5, 1, 4, 2])
    plain = RowDistribution.of(values).question_order(6)
    assert [int(order[column]) for column in RowDistribution.of(values[:, order]).question_order(6)] == plain


def test_constant_columns_are_not_asked_for_and_keep_their_value():
    values = np.c_[table(), np.full(30, 7.0)]
    rows = RowDistribution.of(values)
    assert sorted(rows.question_order(99)) == list(range(7))
    assert rows.given([7, 0], [9.0, values[0, 0]]).values[7] == 9
    assert rows.given([0], [values[0, 0]]).values[7] == 7
    only = RowDistribution.of(values[:1])
    assert only.question_order(5) == []
    np.testing.assert_array_equal(only.given([2], [1.0]).values, np.where(np.arange(8) == 2, 1.0, values[0]))


def test_gaps_are_filled_as_the_reference_says_row_by_row():
    values, rows = table(seed=2), RowDistribution.of(table())
    holed = values.copy()
    holed[[0, 0, 4, 9], [1, 2, 3, 0]] = np.nan
    done = impute_missing(holed, table())
    for row in range(len(values)):
        known = np.flatnonzero(~np.isnan(holed[row]))
        np.testing.assert_allclose(done.values[row], rows.given(known, holed[row, known]).values, rtol=1e-8)
    assert done.imputed == 4 and 0 < done.error < 1.5


def test_without_a_reference_correlated_columns_fill_each_other_better_than_means():
    values = table(classes=60) / 10.0 ** np.arange(7)
    holes = np.random.default_rng(8).random(values.shape) < 0.1
    done = impute_missing(np.where(holes, np.nan, values))
    scale = values.std(0)
    errors = ((done.values - values) / scale)[holes]
    means = ((values.mean(0) - values) / scale)[holes]
    assert np.sqrt((errors**2).mean()) < 0.7 * np.sqrt((means**2).mean())
    np.testing.assert_array_equal(done.values[~holes], values[~holes])
    assert np.sqrt((errors**2).mean()) == pytest.approx(done.error, rel=0.3)  # the stated error is the real one


def test_a_table_without_gaps_stays_as_it_is():
    done = impute_missing(table())
    np.testing.assert_array_equal(done.values, table())
    assert (done.imputed, done.error) == (0, 0.0)


def test_the_stated_error_is_the_real_one_although_the_covariance_comes_from_few_rows():
    random = np.random.default_rng(0)
    loadings = random.normal(size=(6, 40))
    values = random.normal(size=(1030, 6)) @ loadings + random.normal(size=(1030, 40))
    few, many, known = values[:30], values[30:], np.arange(40) < 12
    unit = few.std(0)
    found = RowDistribution.of(few).given(np.flatnonzero(known), many[:, known])
    real = np.sqrt(np.mean((((found.values - many) / unit)[:, ~known]) ** 2))
    stated = np.sqrt(np.mean((found.spread / unit)[~known] ** 2))
    assert stated < 0.9 * real  # the conditional variance alone is too sure
    assert stated * error_factor(few, known[None]) == pytest.approx(real, rel=0.1)
