"""The hard problems that there are, one by one, each against an optimum that smreg had no part in.

Each converges without a warning (pytest makes errors of them) or warns truthfully. `tests/optima.py` derives
the tolerances.
"""

import warnings
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from optima import Optimum, assert_optimal, logit_rounding, optimum, symmetric
from problems import (
    STORAGES,
    Problem,
    alike,
    cauchy,
    duplicated_and_constant_columns,
    log_normal,
    more_columns_than_rows,
    nearly_of_rank_two,
    nearly_separated_with_classes_of_two_rows,
    one_hot_blocks,
    one_sample_a_class,
    rare_classes,
    sample,
    separated,
    separated_but_for_rows_of_little_weight,
    separated_classes_of_two_rows,
    separated_into_three,
    units_from_1e_minus_8_to_1e8,
    weights_over_twelve_orders,
    wide,
    wide_and_sparse,
    years_and_timestamps,
)
from scipy import linalg, optimize, sparse, special
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from smreg import SoftmaxRegression

INF = np.inf
DEFAULT, TIGHT = 1e-4, 1e-8  # tol
STEPS = 200  # so that a search that has lost its way ends soon


def assert_solved(X, problem, C, tol, best, **options):
    """Converged without a warning to the optimum."""
    model = SoftmaxRegression(C=C, tol=tol, max_iter=STEPS, **options)
    model.fit(X, problem.y, problem.weights)

    assert model.converged_
    assert_optimal(model, X, best, tol)


@cache
def solved(make, C, many_digits=False):
    """A problem and its optimum."""
    problem = make(np.random.default_rng(0))
    return problem, optimum(*problem, C, many_digits=many_digits)


def three_classes(rng):
    return alike(*sample(rng, n=50, p=2))


@pytest.mark.parametrize("C", [0.1, 10.0])
@pytest.mark.parametrize("make", [three_classes, separated, more_columns_than_rows])
def test_the_optimum_to_compare_with_is_that_of_many_digits_and_of_scikit_learn(make, C):
    """All end at norms below 1e-10."""
    problem, best = solved(make, C)
    exact = optimum(*problem, C, many_digits=True)
    theirs = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12).fit(problem.X, problem.y)

    assert_allclose(best.logits, exact.logits, rtol=0, atol=1e-9)
    assert best.value == pytest.approx(exact.value, rel=1e-14)
    assert_allclose(best.coef, symmetric(theirs.coef_), rtol=0, atol=1e-8)
    assert_allclose(best.probabilities, theirs.predict_proba(problem.X), rtol=0, atol=1e-8)


def crossed(makes, strengths, many_digits=False):
    """Every problem with every C."""
    return [(make, C, many_digits) for make in makes for C in strengths]


HARD = [
    *crossed([units_from_1e_minus_8_to_1e8, years_and_timestamps, cauchy, log_normal], [1.0, INF]),
    *crossed([duplicated_and_constant_columns, one_hot_blocks, weights_over_twelve_orders], [1.0, INF]),
    *crossed([one_sample_a_class, more_columns_than_rows], [1.0]),
    # probabilities near one leave few digits to p - t
    *crossed([separated, separated_into_three], [1.0, 1e6, 1e12], many_digits=True),
    *crossed([nearly_separated_with_classes_of_two_rows], [1.0, 1e6, INF], many_digits=True),
    *crossed([separated_but_for_rows_of_little_weight], [1.0, 1e6, INF], many_digits=True),
]


@pytest.mark.parametrize("tol", [DEFAULT, TIGHT])
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize(
    ("make", "C", "many_digits"), HARD, ids=[f"{make.__name__}-C={C:g}" for make, C, _ in HARD]
)
def test_a_hard_problem_is_solved_as_any_other(make, C, many_digits, storage, tol):
    problem, best = solved(make, C, many_digits)

    assert_solved(STORAGES[storage](problem.X), problem, C, tol, best)


@pytest.mark.parametrize("seed", [8, 41])
def test_columns_that_jitter_takes_for_one_are_told_apart(seed):
    """Without an intercept to take their means, which make up all but 1e-10 of their squares."""
    problem = nearly_of_rank_two(np.random.default_rng(seed))
    best = optimum(*problem, 1e-4, fit_intercept=False, many_digits=True)

    model = SoftmaxRegression(C=1e-4, fit_intercept=False).fit(problem.X, problem.y)

    assert model.converged_
    assert_optimal(model, problem.X, best, model.tol)


@pytest.mark.parametrize("tol", [DEFAULT, TIGHT])
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("make", [separated, separated_into_three], ids=lambda make: make.__name__)
def test_without_a_penalty_separated_classes_are_reported(make, storage, tol):
    """There is no optimum, whatever the tolerance: finite coefficients, and a warning that says why."""
    X, y, _ = make(np.random.default_rng(0))
    X = STORAGES[storage](X)
    with pytest.warns(ConvergenceWarning, match="separated"):
        model = SoftmaxRegression(C=INF, tol=tol).fit(X, y)

    assert (model.converged_, model.solution_.reason) == (False, "separation")
    assert np.isfinite(model.coef_).all()
    assert np.isfinite(model.predict_log_proba(X)).all()
    assert_array_equal(model.predict(X), y)


@pytest.mark.parametrize("tol", [DEFAULT, TIGHT, 1e-12])
@pytest.mark.parametrize("storage", ["C", "sparse"])
@pytest.mark.parametrize("C", [1.0, 1e6, 1e12])
def test_rounding_is_no_excuse_above_rounding(C, storage, tol):
    """Classes of two rows with margins of up to 300 nats, where C lets them: between such classes Newton's
    steps lower the norm by ``exp(-1/2)`` each, in float64 to some 1e-10.

    There, at last, a warning may say that floating point allows no more. Margins that differ so much make
    the excess up to four times half the norm's square, and rounding is added to the norm itself where only
    that is left: the roots add up.
    """
    problem, best = solved(separated_classes_of_two_rows, C, many_digits=True)
    X = STORAGES[storage](problem.X)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The fit did not converge to tol", ConvergenceWarning)
        model = SoftmaxRegression(C=C, tol=tol, max_iter=STEPS).fit(X, problem.y)

    norm = model.solution_.gradient_norm
    assert norm <= max(tol, 1e-9)
    assert model.solution_.reason == ("converged" if norm <= tol else "rounding")
    lost = 1e-10 if tol < 1e-10 else 0.0
    bound = (2 * np.sqrt(model.solution_.suboptimality) + lost) ** 2
    assert best.excess(model, X) <= bound + logit_rounding(model, X) ** 2


def rows_far_out(rng):
    """Twenty log-normal columns from 1e-4 to 1e4: of nearly all rows a class is certain, of some by far."""
    X = np.exp(rng.normal(0, 3, size=(100, 20)))
    logits = 5 * (X / X.std(axis=0)) @ rng.normal(size=(20, 4))
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    y[:4] = np.arange(4)
    return alike(X, y)


def decrement(model, problem):
    """Newton's decrement of three classes or more and C < inf, from the coefficients alone."""
    X, n_classes, n = problem.X, len(model.classes_), len(problem.y)
    p = special.softmax(X @ model.coef_.T + model.intercept_, axis=1)
    units = X.std(axis=0)
    Z = np.column_stack([(X - X.mean(axis=0)) / units, np.ones(n)])
    ridge = np.append(1 / (model.C * n * units**2), 0.0)
    Q = linalg.helmert(n_classes).T
    slopes = Z.T @ (p - np.eye(n_classes)[problem.y]) / n
    slopes[:-1] += (model.coef_ * units * ridge[:-1]).T
    covariances = np.einsum("ka,ik,kb->iab", Q, p, Q) - np.einsum("ia,ib->iab", p @ Q, p @ Q)
    H = np.einsum("iab,ij,il->ajbl", covariances, Z, Z, optimize=True) / n
    H = H.reshape(2 * (Q.shape[1] * Z.shape[1],)) + np.diag(np.tile(ridge, Q.shape[1]))
    root, g = np.sqrt(H.diagonal()), (slopes @ Q).T.ravel()
    return float(np.sqrt(g / root @ np.linalg.solve(H / np.outer(root, root), g / root)))


@pytest.mark.parametrize("seed", [58, 236, 251])
def test_rounding_is_no_excuse_where_a_step_meets_a_kink(seed):
    """Newton's step moves rows by thousands of nats, over kinks of F of which the Hessian has no trace.

    Where line searches gave up the norm was 2e-4. The record's norm is measured from below, to a thirtieth,
    and with the jitter on the Hessian.
    """
    problem = rows_far_out(np.random.default_rng(seed))
    model = SoftmaxRegression(C=1e4).fit(problem.X, problem.y)

    assert model.converged_
    assert decrement(model, problem) <= 1.1 * DEFAULT


@pytest.mark.parametrize("tol", [DEFAULT, TIGHT])
@pytest.mark.parametrize("strength", [1e-3, 1.0, 1e6, 1e12, 1e100])
def test_two_separated_points_have_the_coefficient_that_balances_the_penalty(strength, tol):
    """-1 and 1, with labels 0 and 1: the gradient vanishes where ``w (1 + exp(w)) = C S``, here by bisection
    of its logarithm to some 1e-15.
    """
    w = optimize.brentq(
        lambda w: np.log(w) + np.logaddexp(0, w) - np.log(strength), 1e-9, 1e3, xtol=1e-15, rtol=1e-15
    )
    problem = alike(np.array([[-1.0], [1.0]]), np.array([0, 1]))
    coef = symmetric(np.array([[w]]))
    best = Optimum.at(problem.X @ coef.T, coef, problem.y, problem.weights, gamma=2 / strength)

    assert_solved(problem.X, problem, strength / 2, tol, best)


def frequencies(counts):
    """A category for each row of `counts`: without a penalty the relative frequencies are the optimum."""
    n_categories, n_classes = counts.shape
    X, y = np.repeat(np.eye(n_categories), n_classes, axis=0), np.tile(np.arange(n_classes), n_categories)
    logits = np.repeat(np.log(counts / counts.sum(axis=1, keepdims=True)), n_classes, axis=0)
    problem = Problem(X, y, counts.ravel())
    return problem, Optimum.at(logits, np.zeros(1), y, problem.weights, gamma=0.0)


@pytest.mark.parametrize("tol", [DEFAULT, TIGHT])
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_categories_have_the_probabilities_of_their_counts(n_classes, fit_intercept, storage, tol, rng):
    """With an intercept, which they are collinear with, and without. Counts of 1 to 1e4."""
    problem, best = frequencies(np.ceil(10 ** rng.uniform(0, 4, (6, n_classes))))

    assert_solved(STORAGES[storage](problem.X), problem, INF, tol, best, fit_intercept=fit_intercept)


@pytest.mark.parametrize(("storage", "tol"), [("C", 1e-6), ("sparse", DEFAULT)])
def test_five_hundred_classes_in_five_categories_have_the_probabilities_of_their_counts(storage, tol, rng):
    problem, best = frequencies(rng.integers(1, 6, (5, 500)).astype(float))

    assert_solved(STORAGES[storage](problem.X), problem, INF, tol, best)


@cache
def five_hundred_classes(C):
    """Two rows a class on average; the optimum is that of scikit-learn's Newton-CG.

    It is run until the gradient's norm is at most 1e-12, which by the penalty's curvature 1 / (C n) is
    one of at most ``1e-12 sqrt(C n) < 1e-9`` in the metric.
    """
    rng = np.random.default_rng(0)
    X, y = sample(rng, n=1000, p=5, n_classes=500)
    y[:500] = np.arange(500)
    theirs = LogisticRegression(C=C, solver="newton-cg", tol=1e-12, max_iter=1000).fit(X, y)
    residuals = theirs.predict_proba(X) - np.eye(500)[y]
    gradient = np.column_stack([residuals.T @ X + theirs.coef_ / C, residuals.sum(axis=0)]) / len(X)
    assert np.linalg.norm(gradient) <= 1e-12
    coef = theirs.coef_ - theirs.coef_.mean(axis=0)
    problem = alike(X, y)
    logits = theirs.decision_function(X)
    return problem, Optimum.at(logits, coef, y, problem.weights, gamma=1 / (C * len(X)))


@pytest.mark.parametrize(
    ("C", "storage", "tol"),
    [
        (1.0, "C", DEFAULT),
        pytest.param(1.0, "sparse", 1e-6, marks=pytest.mark.slow),
        pytest.param(100.0, "C", DEFAULT, marks=pytest.mark.slow),
    ],
)
def test_five_hundred_classes_are_as_good_as_three(C, storage, tol):
    problem, best = five_hundred_classes(C)

    assert_solved(STORAGES[storage](problem.X), problem, C, tol, best)


@pytest.mark.parametrize("tol", [DEFAULT, TIGHT])
@pytest.mark.parametrize("storage", ["C", "sparse"])
@pytest.mark.parametrize("C", [1.0, 1e4])
def test_five_thousand_columns_of_a_hundred_rows_are_a_problem_in_a_hundred_dimensions(C, storage, tol):
    """The optimum is found in the space of the rows, in which the coefficients are."""
    problem, best = solved(wide, C)

    assert_solved(STORAGES[storage](problem.X), problem, C, tol, best)


@pytest.mark.parametrize("tol", [DEFAULT, TIGHT])
@pytest.mark.parametrize("storage", ["C", "sparse"])
@pytest.mark.parametrize("C", [1.0, 1e4])
def test_five_thousand_sparse_columns_are_no_other_problem(C, storage, tol):
    problem, best = solved(wide_and_sparse, C)

    assert_solved(STORAGES[storage](problem.X), problem, C, tol, best)


def two_classes_of(problem):
    return problem._replace(y=(problem.y > 0).astype(int))


@pytest.mark.parametrize("storage", ["C", "sparse"])
def test_five_thousand_columns_separate_two_classes(storage, rng):
    problem = two_classes_of(wide(rng))

    assert_solved(STORAGES[storage](problem.X), problem, 1.0, TIGHT, optimum(*problem, 1.0))


@pytest.mark.parametrize("storage", ["C", "sparse"])
def test_more_columns_than_rows_separate_all_labels(storage, rng):
    X, y, _ = wide(rng)
    with pytest.warns(ConvergenceWarning, match="separated"):
        model = SoftmaxRegression(C=INF).fit(STORAGES[storage](X), y)

    assert np.isfinite(model.coef_).all()
    assert_array_equal(model.predict(X), y)


@pytest.mark.parametrize("tol", [DEFAULT, TIGHT])
@pytest.mark.parametrize("storage", ["C", "sparse"])
def test_more_columns_than_rows_meet_all_soft_targets(storage, tol, rng):
    """Without a penalty the probabilities are the targets: a hundred rows can have any logits."""
    X, T = rng.normal(size=(100, 5000)), rng.dirichlet(np.ones(3), size=100)
    problem = alike(X, T)
    best = Optimum.at(np.log(T), np.zeros(1), T, problem.weights, gamma=0.0)

    assert_solved(STORAGES[storage](X), problem, INF, tol, best)


@pytest.mark.parametrize("tol", [DEFAULT, TIGHT])
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("C", [1.0, INF])
def test_features_that_are_all_zero_leave_the_priors_or_nothing(
    C, n_classes, fit_intercept, precision, storage, tol, rng
):
    """Or without an intercept nothing at all, which is the uniform distribution."""
    y, weights = np.arange(100) % n_classes, 10.0 ** rng.uniform(-6, 6, 100)
    shares = np.bincount(y, weights) / weights.sum()
    logits = np.log(shares) if fit_intercept else np.zeros(n_classes)
    problem = Problem(np.zeros((100, 4), dtype=precision), y, weights)
    best = Optimum.at(np.tile(logits, (100, 1)), np.zeros(1), y, problem.weights, gamma=0.0)

    assert_solved(STORAGES[storage](problem.X), problem, C, tol, best, fit_intercept=fit_intercept)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_features_that_are_all_zero_are_solved_as_far_as_floating_point_goes(n_classes, storage, rng):
    """To the tolerance zero, or to a warning of rounding; shares of the weight round by some 2**-52."""
    y, weights = np.arange(100) % n_classes, 10.0 ** rng.uniform(-6, 6, 100)
    X = STORAGES[storage](np.zeros((100, 4)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The fit did not converge to tol", ConvergenceWarning)
        model = SoftmaxRegression(tol=0.0).fit(X, y, weights)

    shares = np.bincount(y, weights) / weights.sum()
    assert_allclose(model.predict_proba(X[:1]), shares[np.newaxis], rtol=2.0**-48)


@pytest.mark.parametrize("tol", [DEFAULT, TIGHT])
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("C", [1.0, INF])
def test_float32_far_from_zero_is_solved_in_float64(C, storage, tol, rng):
    """Mean 1e4 and spread 1. The attributes and the logits are rounded to 24 bits, the record's objective
    is not: it tells whether the search was.
    """
    noise, y = sample(rng)
    problem = alike((noise + 1e4).astype(np.float32), y)

    assert_solved(STORAGES[storage](problem.X), problem, C, tol, optimum(*problem, C))


def in_order(problem, rows):
    return Problem(*(array[rows] for array in problem))


ORDERS = {
    "rarest first": lambda y: np.arange(len(y)),
    "rarest last": lambda y: np.arange(len(y))[::-1],
    "shuffled": lambda y: np.random.default_rng(1).permutation(len(y)),
}


@pytest.mark.parametrize("tol", [DEFAULT, TIGHT])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("C", [1.0, INF])
def test_rare_classes_are_found_in_any_order_of_the_rows(C, order, tol):
    """Five classes have 3 to 20 rows of 20000."""
    problem, best = solved(rare_classes, C)
    rows = ORDERS[order](problem.y)
    ordered = in_order(problem, rows)
    best = Optimum.at(best.logits[rows], best.coef, ordered.y, ordered.weights, best.gamma)

    assert_solved(ordered.X, ordered, C, tol, best)


def test_rare_classes_of_sparse_rows_are_found_too():
    problem, best = solved(rare_classes, 1.0)

    assert_solved(sparse.csr_array(problem.X), problem, 1.0, DEFAULT, best)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_columns_of_size_1e300_and_1e_minus_300_can_be_stored_in_any_way(fit_intercept, storage, rng):
    """Without a penalty units play no part; powers of two round nothing."""
    X, y = sample(rng)
    problem, options = alike(X * 2.0 ** np.array([996, -996, 0]), y), {"fit_intercept": fit_intercept}
    best = optimum(X, y, **options, C=INF)

    assert_solved(STORAGES[storage](problem.X), problem, INF, TIGHT, best, **options)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("C", [1.0, INF])
@pytest.mark.parametrize("mean", [1e7, 1e9])
def test_a_column_far_from_zero_is_solved_to_the_rounding_of_its_logits(mean, C, storage, seed):
    """Milliseconds since 1970 within minutes, say. Sparse columns cannot be shifted."""
    X, y = sample(np.random.default_rng(seed))
    problem = alike(X + np.array([mean, 0.0, 0.0]), y)

    assert_solved(STORAGES[storage](problem.X), problem, C, DEFAULT, optimum(*problem, C))


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("exponent", [-900, -500, 0, 500, 900])
def test_duplicated_columns_of_any_size_share_their_coefficient(exponent, storage, rng):
    """Least norm: that of a single column, halved."""
    X, y = sample(rng, p=2)
    unit = 2.0**exponent
    single = SoftmaxRegression(C=INF, tol=TIGHT).fit(X, y)
    model = SoftmaxRegression(C=INF, tol=TIGHT).fit(STORAGES[storage](np.column_stack([X, X]) * unit), y)

    assert_allclose(model.coef_[:, :2] * unit, single.coef_ / 2, rtol=0, atol=1e-6)
    assert_allclose(model.coef_[:, 2:] * unit, single.coef_ / 2, rtol=0, atol=1e-6)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("size", [1e-300, 1e-100, 1e100, 1e300])
def test_weights_of_any_size_are_solved_without_a_warning(size, fit_intercept, rng):
    """With the C of a weight of one the penalty takes all, or nothing, of features of size 1e10."""
    X, y = sample(rng)
    X *= 1e10
    problem, options = alike(X, y), {"fit_intercept": fit_intercept}
    C = INF if size > 1 else 1e-100
    best = optimum(*problem, C=C, **options)

    assert_solved(X, problem._replace(weights=np.full(len(y), size)), 1.0, DEFAULT, best, **options)
