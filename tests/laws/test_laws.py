"""Laws of the fitted model.

A fit at `tol` has a gradient whose norm in the Fisher metric is at most `tol`. The coefficients are then
within `tol` of the optimum in that metric, and a logit of row x within ``tol * sqrt(x' H^-1 x)``; that
root is at most 1312 in the data here (digits, C=1), so that two fits at TIGHT = 1e-10 agree in logits to
3e-7, and in probabilities, which change by at most half of what the logits do, to 2e-7.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression

from smreg import SoftmaxRegression, cross_entropy
from smreg.family import sufficient_statistic

TIGHT = 1e-10
AGREE = {"rtol": 0, "atol": 3e-7}


def fit(X, y, sample_weight=None, **options):
    return SoftmaxRegression(**{"tol": TIGHT} | options).fit(X, y, sample_weight)


@pytest.mark.parametrize("C", [1.0, 1e-3])
def test_a_weight_is_a_repetition(raw_data, C, rng):
    """Same objective, same priors, same metric: the two searches differ in rounding alone."""
    X, y = raw_data
    weights = rng.integers(0, 3, len(y))
    weighted = fit(X, y, weights, C=C)
    repeated = fit(X.repeat(weights, axis=0), y.repeat(weights), C=C)

    assert_allclose(weighted.decision_function(X), repeated.decision_function(X), **AGREE)


def test_a_weight_is_a_repetition_at_the_default_tolerance(raw_data, rng):
    """No decision counts rows: evaluations are equal, and logits to rounding, amplified by their size."""
    X, y = raw_data
    weights = rng.integers(0, 3, len(y))
    weighted = fit(X, y, weights, tol=1e-4)
    repeated = fit(X.repeat(weights, axis=0), y.repeat(weights), tol=1e-4)

    assert weighted.solution_.evaluations == repeated.solution_.evaluations
    assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=0, atol=1e-7)


def test_scaling_all_weights_and_c_inversely_changes_nothing(wine):
    """Only weights / S and C S enter the objective, and 2**10 is exact in both."""
    X, y = wine
    plain, scaled = fit(X, y, np.ones(len(y))), fit(X, y, np.full(len(y), 2.0**10), C=2.0**-10)

    np.testing.assert_array_equal(plain.coef_, scaled.coef_)


def test_permuting_rows_features_or_classes_permutes_the_answer(raw_data, rng):
    X, y = raw_data
    model = fit(X, y)
    rows, columns = rng.permutation(len(y)), rng.permutation(X.shape[1])
    by_row = fit(X[rows], y[rows])
    by_column = fit(X[:, columns], y)
    by_class = fit(X, -y)

    assert_allclose(by_row.decision_function(X), model.decision_function(X), **AGREE)
    assert_allclose(by_column.decision_function(X[:, columns]), model.decision_function(X), **AGREE)
    assert_allclose(by_class.predict_proba(X)[:, ::-1], model.predict_proba(X), **AGREE)


def test_coefficients_and_intercepts_sum_to_zero_over_the_classes(raw_data):
    """Adding a constant to all logits changes nothing: the penalty and a convention choose. To rounding."""
    X, y = raw_data
    model = fit(X, y)
    if len(model.classes_) == 2:
        assert model.coef_.shape == (1, X.shape[1])
        return
    scale = np.abs(model.coef_).max()
    assert_allclose(model.coef_.sum(axis=0), 0.0, atol=1e-14 * scale * len(model.classes_))
    far = np.abs(model.coef_ @ np.abs(X).max(axis=0)).max()
    assert_allclose(model.intercept_.sum(), 0.0, atol=1e-14 * far * len(model.classes_))


def test_the_residuals_sum_to_zero_with_an_intercept(raw_data):
    """The intercept's entries of the gradient, at most the norm times the largest root of the metric: 1."""
    X, y = raw_data
    model = fit(X, y, C=0.1)
    residuals = model.predict_proba(X) - sufficient_statistic(y, len(model.classes_))

    assert_allclose(residuals.mean(axis=0), 0.0, atol=2 * TIGHT)


def test_the_residuals_balance_the_penalty_in_every_feature(raw_data):
    """The gradient vanishes: ``residuals' X / n + W / (C n) = 0``, in units of each column's spread."""
    X, y = raw_data
    model = fit(X, y, C=0.1)
    residuals = model.predict_proba(X) - sufficient_statistic(y, len(model.classes_))
    residuals = residuals[:, -len(model.coef_) :]
    gradient = (residuals.T @ X + model.coef_ / model.C) / len(y)

    spread = np.where(X.std(axis=0) > 0, np.hypot(X.std(axis=0), X.mean(axis=0)), 1.0)
    # 1e-10, and the rounding of predict_proba's logits, some 1e-13, times the spread of the column
    assert_allclose(gradient / spread, 0.0, atol=2e-10)


@pytest.mark.parametrize("C", [1e-12, 1e-300, 5e-324])
def test_as_c_goes_to_zero_the_probabilities_are_the_priors(wine, C):
    """Coefficients are of the order C n times the spread of X, at most 1e-12 * 178 * 315**2 in a logit."""
    X, y = wine
    priors = np.bincount(y) / len(y)

    assert_allclose(fit(X, y, C=C).predict_proba(X), np.tile(priors, (len(y), 1)), atol=2e-5)


def test_the_objective_is_the_one_in_the_docstring(raw_data):
    """Computed from the attributes, to the rounding of logits up to 1e3 and sums of 2000 terms."""
    X, y = raw_data
    model = fit(X, y, C=2.0)
    logits = model.decision_function(X)
    if logits.ndim == 1:
        logits = np.column_stack([np.zeros_like(logits), logits])
    loss = cross_entropy(sufficient_statistic(y, logits.shape[1]), logits).mean()

    expected = loss + np.sum(model.coef_**2) / (2 * 2.0 * len(y))
    assert model.solution_.objective == pytest.approx(expected, rel=1e-11)


def test_the_suboptimality_that_is_reported_is_the_one_there_is(raw_data):
    """``norm**2 / 2`` is that of a quadratic with the final Hessian; the cubic term changes it by less than
    half here. Rounding of the two objectives, 1e-14, is all that hides it.
    """
    X, y = raw_data
    loose, tight = fit(X, y, tol=1e-2), fit(X, y)
    excess = loose.solution_.objective - tight.solution_.objective

    assert excess == pytest.approx(loose.solution_.suboptimality, rel=0.5, abs=1e-14)


def test_without_an_intercept_there_is_a_rigorous_bound(raw_data):
    """Strong convexity: no excess over the minimum exceeds it, here with the tight fit as the minimum."""
    X, y = raw_data
    loose, tight = fit(X, y, tol=1e-2, fit_intercept=False), fit(X, y, fit_intercept=False)

    bound = loose.solution_.suboptimality_bound
    assert loose.solution_.objective - tight.solution_.objective <= bound < np.inf


def test_units_that_are_powers_of_two_take_the_same_path(table, rng):
    """Without penalty the units play no part: evaluations are equal, and the probabilities to rounding."""
    frame = table("anes96.csv")
    X, y = frame.drop(columns="PID").to_numpy(float), frame["PID"]
    units = 2.0 ** rng.integers(-60, 60, X.shape[1])
    here, there = fit(X, y, C=np.inf, tol=1e-4), fit(X * units, y, C=np.inf, tol=1e-4)

    assert here.solution_.evaluations == there.solution_.evaluations
    assert_allclose(there.predict_proba(X * units), here.predict_proba(X), rtol=1e-9)


def test_the_record_agrees_with_the_attributes(wine):
    model = fit(*wine)
    solution = model.solution_

    assert model.converged_ is solution.converged is True
    assert model.n_iter_ == solution.iterations
    assert solution.gradient_norm <= TIGHT
    assert solution.suboptimality == solution.gradient_norm**2 / 2
    assert solution.distance == np.sqrt(len(wine[1])) * solution.gradient_norm
    with pytest.raises(AttributeError):
        solution.objective = 0.0


@st.composite
def problems(draw, max_exponent):
    """Features in units from 2**-max_exponent to 2**max_exponent, codes of all classes, options."""
    n_classes, n_features = draw(st.integers(2, 4)), draw(st.integers(1, 4))
    n_samples = draw(st.integers(12, 40))
    exponent = st.integers(-max_exponent, max_exponent)
    units = 2.0 ** np.array(draw(st.lists(exponent, min_size=n_features, max_size=n_features)))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    X = rng.normal(size=(n_samples, n_features)) * units
    y = rng.permutation(np.arange(n_samples) % n_classes)
    options = {"C": 10.0 ** draw(st.integers(-3, 3)), "fit_intercept": draw(st.booleans())}
    return X.astype(draw(st.sampled_from([np.float32, np.float64]))), y, options


@given(problems(max_exponent=30))
def test_every_problem_converges_and_reports_by_how_much(problem):
    """``F - F* ~ tol**2 / 2``: the cubic term may double it, and values near one round by 1e-15."""
    X, y, options = problem
    loose, tight = fit(X, y, tol=1e-4, **options), fit(X, y, tol=1e-8, **options)

    assert loose.converged_
    assert tight.converged_
    assert loose.coef_.dtype == X.dtype
    assert -1e-15 <= loose.solution_.objective - tight.solution_.objective <= 1e-4**2 + 1e-15


@given(problems(max_exponent=3))
def test_in_units_that_scikit_learn_can_take_it_finds_nothing_else(problem):
    """Probabilities to 1e-8 times the root above, some 10; float32 attributes round logits by 2**-24."""
    X, y, options = problem
    theirs = LogisticRegression(solver="newton-cholesky", tol=1e-10, **options)
    theirs.fit(X.astype(np.float64), y)

    expected = theirs.predict_proba(X)
    atol = 1e-5 if X.dtype == np.float32 else 1e-7
    assert_allclose(fit(X, y, tol=1e-8, **options).predict_proba(X), expected, rtol=0, atol=atol)


@pytest.mark.parametrize(("n", "p", "K", "C"), [(300, 2000, 2, 100), (500, 1000, 3, 1), (1000, 120, 12, 100)])
def test_where_a_dense_metric_does_not_pay_the_excess_is_still_the_one_reported(n, p, K, C, rng):
    """Conjugate gradients give the norm from below, to a sixteenth or so of its square; a last Newton step
    makes it up to four times too large, to be safe."""
    X = rng.normal(size=(n, p))
    y = (X[:, :K] + rng.normal(size=(n, K))).argmax(axis=1)
    loose, tight = fit(X, y, tol=1e-4, C=C), fit(X, y, tol=1e-6, C=C)
    excess = loose.solution_.objective - tight.solution_.objective

    assert loose.solution_.suboptimality / 16 <= excess <= 2 * loose.solution_.suboptimality <= 1e-4**2
