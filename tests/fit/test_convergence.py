"""Laws of convergence: what a fit says of itself is true, and what does not matter changes nothing.

`tests/optima.py` has the optima, which smreg has no part in, and derives the tolerances: where the
gradient's norm is at most tol the excess over the minimum is at most ``tol**2``, and the root of the mean
square of the rows' largest errors of a probability at most ``tol / sqrt(2)``. Two such fits are at most
``sqrt(2) tol`` apart.
"""

import warnings
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from optima import UNEQUAL, assert_optimal, logit_rounding, optimum
from problems import (
    STORAGES,
    a_few_wrong_labels,
    cauchy,
    labels,
    log_normal,
    many_classes,
    nearly_separated_with_classes_of_two_rows,
    rare_categories,
    rare_classes,
    sample,
    separated_into_three,
    three_rows_far_out,
    weights_over_twelve_orders,
    wide,
    words,
    years_and_timestamps,
)
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from smreg import SoftmaxRegression

INF = np.inf
DEFAULT, TIGHT = 1e-4, 1e-8  # tol


def fit(X, y, weights=None, **options):
    return SoftmaxRegression(**options).fit(X, y, weights)


def large(make):
    """The same problem with 20000 rows."""

    def made(rng):
        return make(rng, n=20_000)

    made.__name__ = f"{make.__name__}-large"
    return made


LARGE = [
    rare_classes,
    rare_categories,
    a_few_wrong_labels,
    three_rows_far_out,
    many_classes,
    *map(large, (cauchy, log_normal, weights_over_twelve_orders, years_and_timestamps)),
]
VARIETY = [
    *((make, C) for make in LARGE for C in (1.0, INF)),
    (nearly_separated_with_classes_of_two_rows, 1e6),
    (separated_into_three, 1e6),
    (separated_into_three, 1e12),
    (wide, 1e-2),
    (wide, 1.0),
    (words, 1.0),
    (words, 100.0),
]
NAMES = [f"{make.__name__}-C={C:g}" for make, C in VARIETY]


@cache
def solved(make, C, fit_intercept=True):
    """A problem and its optimum."""
    problem = make(np.random.default_rng(0))
    many_digits = make is separated_into_three  # whose probabilities near one leave few to p - t
    return problem, optimum(*problem, C, fit_intercept=fit_intercept, many_digits=many_digits)


@cache
def fitted(make, C, storage="C"):
    """A model at the default tolerance."""
    problem, _ = solved(make, C)
    return fit(STORAGES[storage](problem.X), problem.y, problem.weights, C=C)


@pytest.mark.parametrize(
    ("make", "C", "storage"),
    [(make, C, "C") for make, C in VARIETY] + [(make, C, "sparse") for make, C in VARIETY if C == 1],
    ids=NAMES + [f"{make.__name__}-sparse" for make, C in VARIETY if C == 1],
)
def test_problems_large_and_small_are_solved(make, C, storage):
    problem, best = solved(make, C)
    model = fitted(make, C, storage)

    assert model.converged_
    assert_optimal(model, STORAGES[storage](problem.X), best, DEFAULT)


@pytest.mark.parametrize(("make", "C"), VARIETY, ids=NAMES)
def test_the_excess_over_the_minimum_is_at_most_twice_the_one_reported(make, C):
    """``norm**2 / 2`` is that of a quadratic, and the terms beyond it at most double it. Logits that are
    off by their rounding d add ``d**2 / 2`` to it, and the same again by the mixed term.
    """
    problem, best = solved(make, C)
    model = fitted(make, C)
    reported, rounding = model.solution_.suboptimality, logit_rounding(model, problem.X)

    assert best.excess(model, problem.X) <= UNEQUAL * 2 * reported + rounding**2
    assert reported <= DEFAULT**2 / 2


BOUNDED = [
    (rare_classes, 1.0),
    (rare_categories, 1e-2),
    (a_few_wrong_labels, 1e-3),
    (separated_into_three, 1e6),
    (wide, 1.0),
    (words, 1.0),
]


@pytest.mark.parametrize("tol", [1e-2, DEFAULT])
@pytest.mark.parametrize(("make", "C"), BOUNDED, ids=[f"{make.__name__}-C={C:g}" for make, C in BOUNDED])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_no_excess_is_above_the_rigorous_bound(make, C, fit_intercept, tol):
    """Strong convexity; with an intercept there may be no bound. Rounding of the logits comes on top."""
    problem, best = solved(make, C, fit_intercept)
    model = fit(*problem, C=C, fit_intercept=fit_intercept, tol=tol)
    bound = model.solution_.suboptimality_bound

    assert fit_intercept or bound < INF
    assert best.excess(model, problem.X) <= bound + logit_rounding(model, problem.X) ** 2


def assert_same(p, q, tol, weights=None, rounding=1e-12):
    """Two fits: the weighted root of the mean square of the rows' largest differences."""
    largest = np.abs(p - q).max(axis=1)
    assert np.sqrt(np.average(largest**2, weights=weights)) <= np.sqrt(2) * tol + rounding


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("n", [300, 20_000])
def test_without_a_penalty_units_that_are_powers_of_two_take_the_same_path(n, storage, rng):
    """All numbers are the same but for their exponents. Where a library's rounding depends on those, it
    is some 1e-16, which no fit here raises to more than 1e-10.
    """
    X, y = sample(rng, n, p=6, n_classes=4)
    units = 2.0 ** rng.integers(-60, 60, 6)
    here = fit(STORAGES[storage](X), y, C=INF)
    there = fit(STORAGES[storage](X * units), y, C=INF)

    assert here.solution_.evaluations == there.solution_.evaluations
    assert_allclose(there.predict_proba(X * units), here.predict_proba(X), rtol=0, atol=1e-10)


@pytest.mark.parametrize("tol", [DEFAULT, TIGHT])
@pytest.mark.parametrize("C", [1e-2, INF])
@pytest.mark.parametrize("n", [500, 6000, 12_000])
def test_a_weight_of_three_is_the_row_three_times(n, C, tol, rng):
    """Also where one of the two has so many rows, above 10000, that a solver may look at a part of them."""
    X, y = sample(rng, n, p=5, n_classes=4)
    weights = np.where(rng.random(n) < 0.5, 3, 1)
    weighted = fit(X, y, weights, C=C, tol=tol)
    repeated = fit(X.repeat(weights, axis=0), y.repeat(weights), C=C, tol=tol)

    assert_same(weighted.predict_proba(X), repeated.predict_proba(X), tol, weights)
    difference = weighted.solution_.objective - repeated.solution_.objective
    assert abs(difference) <= tol**2 + 1e-14  # means of terms of order one round by some 1e-15


@pytest.mark.parametrize("tol", [DEFAULT, TIGHT])
@pytest.mark.parametrize("make", [rare_classes, rare_categories, large(cauchy)])
def test_the_order_of_the_rows_plays_no_part(make, tol, rng):
    """Sorted by label or by a feature, and shuffled; logits up to 1e3 round by 1e-13."""
    X, y, _ = make(np.random.default_rng(0))
    shuffled = rng.permutation(len(y))
    orders = [shuffled, shuffled[np.argsort(y[shuffled], kind="stable")], np.argsort(X[:, 0], kind="stable")]
    models = [fit(X[rows], y[rows], tol=tol) for rows in orders]

    for model in models:
        assert_same(model.predict_proba(X), models[0].predict_proba(X), tol)


def assert_bit_identical(model, other):
    assert_array_equal(model.coef_, other.coef_)
    assert_array_equal(model.intercept_, other.intercept_)
    for name in ("objective", "gradient_norm", "evaluations", "iterations", "reason"):
        assert getattr(model.solution_, name) == getattr(other.solution_, name)


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("storage", STORAGES)
def test_the_same_number_of_threads_gives_the_same_bits(storage, n_jobs, rng):
    X, y = sample(rng, n=30_000, p=10)
    X = STORAGES[storage](X)

    assert_bit_identical(fit(X, y, n_jobs=n_jobs), fit(X, y, n_jobs=n_jobs))


@pytest.mark.parametrize("shape", [(100, 5000), (2000, 300)], ids=["wide", "many coefficients"])
def test_the_same_number_of_threads_gives_the_same_bits_where_metrics_are_dear(shape, rng):
    X = rng.normal(size=shape)
    y = labels(X[:, :4], rng)

    assert_bit_identical(fit(X, y, n_jobs=2), fit(X, y, n_jobs=2))


def with_outlier(column):
    column[0] *= 1e12
    return column


COLUMNS = {  # from a column of normal numbers
    "normal": lambda z: z,
    "huge": lambda z: z * 2.0**900,
    "tiny": lambda z: z * 2.0**-900,
    "far": lambda z: 1e12 + z,
    "zero": lambda z: z * 0,
    "constant": lambda z: z * 0 - 3.7,
    "huge constant": lambda z: z * 0 + 1e100,
    "binary": lambda z: (z > 0).astype(float),
    "rare": lambda z: (z == z.max()).astype(float),
    "heavy tail": lambda z: np.sinh(5 * z),
    "outlier": with_outlier,
    "mixture": lambda z: np.where(np.arange(len(z)) % 2, z * 1e-100, z * 1e100),
}
WEIGHTS = {
    "equal": lambda rng, n: np.ones(n),
    "counts": lambda rng, n: np.append(np.ones(4), rng.integers(0, 3, n - 4)),  # the first have all classes
    "twelve orders": lambda rng, n: 10.0 ** rng.uniform(-6, 6, n),
    "huge": lambda rng, n: 1e100 * rng.uniform(1, 2, n),
}


@st.composite
def weird_problems(draw):
    """Columns of any kind, some of them twice, codes of all classes, weights, and an estimator."""
    n_classes, n = draw(st.integers(2, 4)), draw(st.integers(5, 25))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    kinds = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=4))
    X = np.column_stack([COLUMNS[kind](rng.normal(size=n)) for kind in kinds])
    X = X[:, draw(st.lists(st.integers(0, len(kinds) - 1), min_size=1, max_size=5))]
    weights = WEIGHTS[draw(st.sampled_from(sorted(WEIGHTS)))](rng, n)
    model = SoftmaxRegression(
        C=draw(st.sampled_from([1e-6, 1.0, 1e6, 1e15, INF])),
        fit_intercept=draw(st.booleans()),
        tol=draw(st.sampled_from([0.0, 1e-10, 1e-4, 1e-1])),
        max_iter=draw(st.sampled_from([0, 1, 2, 5, 50])),
    )
    return STORAGES[draw(st.sampled_from(sorted(STORAGES)))](X), np.arange(n) % n_classes, weights, model


def fit_and_listen(model, X, y, weights):
    """Fit, and return the warnings, which can only be those of convergence."""
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        model.fit(X, y, weights)
    assert {warning.category for warning in record} <= {ConvergenceWarning}
    return record


def objective_of(model, X, y, weights):
    """From the probabilities and coefficients, by its definition."""
    log_p = model.predict_log_proba(X)[np.arange(len(y)), y]
    root = np.sqrt(1 / model.C / weights.max() / (weights / weights.max()).sum()) * model.coef_
    return -np.average(log_p, weights=weights / weights.max()) + np.sum(root**2) / 2


def entropy_without_features(y, weights, fit_intercept):
    """The objective of the intercept-only model: the entropy of the classes' shares of the weight."""
    shares = np.bincount(y, weights=weights / weights.max())
    shares = shares[shares > 0] / shares.sum()
    return -np.sum(shares * np.log(shares)) if fit_intercept else np.log(y.max() + 1)


def assert_sound(model, record, X, y, weights, start):
    """Finite, truthful, and no worse than the start.

    Objectives are means of terms of order one, known to some 1e-15 and to the rounding of the logits: where
    sparse columns far from zero cannot be shifted the record's has that too.
    """
    solution = model.solution_
    assert len(record) == (not model.converged_)
    assert solution.converged == model.converged_ == (solution.reason == "converged")
    assert solution.gradient_norm <= model.tol or not model.converged_
    for numbers in (model.coef_, model.intercept_, solution.objective, solution.gradient_norm):
        assert np.isfinite(numbers).all()
    assert np.isfinite(model.predict_log_proba(X)).all()
    rounding = 1e-14 + 2 * logit_rounding(model, X)
    assert solution.objective <= start + (rounding if sparse.issparse(X) else 1e-14)
    assert objective_of(model, X, y, weights) <= start + rounding or rounding > 1e-6


@settings(max_examples=100)
@given(weird_problems())
def test_no_fit_raises_nor_is_worse_than_its_start(problem):
    X, y, weights, model = problem
    record = fit_and_listen(model, X, y, weights)

    assert_sound(model, record, X, y, weights, entropy_without_features(y, weights, model.fit_intercept))


@settings(max_examples=60)
@given(weird_problems(), st.sampled_from([1.0, 2.0**-20, 2.0**20]), st.sampled_from([0, 1, 5]))
def test_no_warm_start_raises_nor_makes_a_fit_worse(problem, factor, max_iter):
    """From the coefficients of the same problem, or of one in other units: whichever start is better."""
    X, y, weights, model = problem
    start = entropy_without_features(y, weights, model.fit_intercept)
    fit_and_listen(model, X, y, weights)
    first = model.solution_.objective
    model.set_params(warm_start=True, max_iter=max_iter)
    record = fit_and_listen(model, X * factor, y, weights)

    assert_sound(model, record, X * factor, y, weights, start)
    assert factor != 1 or model.solution_.objective <= first + 2 * logit_rounding(model, X) + 1e-14
