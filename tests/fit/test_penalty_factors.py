"""Fits with penalty factors have the least objective, and say whether there is one.

The minimum of a convex function is where its slope vanishes. A fit has converged where the slope g has
``||g||_{H^-1} <= tol`` in the metric of the Hessian H, so that ``|g_j| <= tol sqrt(H_jj)``, and with an L1
term so do the slopes less the term's. ``H_jj`` is at most ``max_i x_ij^2 / 4`` plus the ridge. The step
behind the norm is solved to a tenth, and bounds get twice that.
"""

import re

import numpy as np
import pandas as pd
import pytest
from dask import array as da
from numpy.testing import assert_allclose, assert_array_equal
from problems import labels
from scipy import optimize, sparse, special
from sklearn.exceptions import ConvergenceWarning

from smreg import SoftmaxRegression
from smreg.data import Batches
from smreg.data.matrix import MatrixRows
from smreg.data.targets import Targets
from smreg.fit.regression import Problem

TOL = 1e-8
EPS = np.finfo(np.float64).eps
INF = np.inf
STORES = {"dense": np.ascontiguousarray, "sparse": sparse.csr_array}
PATTERNS = {
    "positive": [0.1, 1.0, 2.0, 3.0, 10.0],
    "some zero": [0.0, 1.0, 0.0, 3.0, 10.0],
    "some held": [INF, 1.0, 0.0, INF, 10.0],
    "one held": [INF, 1.0, 1.0, 1.0, 1.0],
    "by class": [[0.1, 1, 2, 3, 4], [1, 1, 1, 2, 2], [4, 3, 2, 1, 0.5]],
    "zero by class": [[0.0, 1, 0, 3, 4], [0.0, 1, 0, 2, 0], [4.0, 3, 0, 1, 0.5]],
    "held by class": [[INF, 1, 2, INF, 4], [1, 1, 0, INF, INF], [4, 3, 2, INF, 0]],
}


class Plain:
    """The objective as its formula says it."""

    def __init__(self, X, y, factors, C=1.0, l1_ratio=0.0, weights=None, offset=0.0):
        self.offset, self.X, self.targets = offset, X, np.eye(y.max() + 1)[y] if y.ndim == 1 else y
        n_classes = self.targets.shape[1]
        shape = 1 if n_classes == 2 else n_classes, X.shape[1]
        self.factors, weights = (
            np.broadcast_to(factors, shape),
            np.ones(len(X)) if weights is None else weights,
        )
        strength, self.share = 1 / (C * weights.sum()), weights / weights.sum()
        self.held = np.isinf(self.factors)
        finite = np.where(self.held, 0.0, self.factors)
        self.ridge, self.l1 = finite * strength * (1 - l1_ratio), finite * strength * l1_ratio

    def __call__(self, W, b):
        """Value, the slopes in W without those of the L1 term, and the slopes in b."""
        eta = self.X @ W.T + b
        eta = (np.column_stack([np.zeros(len(eta)), eta]) if len(W) == 1 else eta) + self.offset
        residuals = (special.softmax(eta, axis=1) - self.targets) * self.share[:, np.newaxis]
        losses = special.logsumexp(eta, axis=1) - (self.targets * eta).sum(axis=1)
        penalty = np.sum(self.ridge * W**2) / 2 + np.sum(self.l1 * np.abs(W))
        own = residuals[:, -len(W) :]
        return float(self.share @ losses) + penalty, own.T @ self.X + self.ridge * W, own.sum(axis=0)

    def assert_minimal(self, model, tol=TOL):
        """The slopes are within the bounds of the module's docstring, and the record is true."""
        W, record = model.coef_, model.solution_
        value, slope, slope_b = self(W, model.intercept_)
        bound = 2 * tol * np.sqrt(np.max(self.X**2, axis=0) / 4 + self.ridge)
        beyond = np.where(W == 0, np.abs(slope) - self.l1, np.abs(slope + self.l1 * np.sign(W)))

        assert record.reason == "converged"
        assert record.objective == pytest.approx(value, rel=1e-13)
        assert (np.where(self.held, 0.0, beyond) <= bound).all()
        assert (np.abs(slope_b) <= tol).all()
        assert not W[self.held].any()

    def least(self):
        """The least value with a smooth penalty, and the coefficients, by BFGS."""
        free, rows = ~self.held, len(self.held)

        def function(theta):
            W = np.zeros(free.shape)
            W[free] = theta[:-rows]
            value, slope, slope_b = self(W, theta[-rows:])
            return value, np.append(slope[free], slope_b)

        start = np.zeros(np.count_nonzero(free) + rows)
        found = optimize.minimize(function, start, jac=True, options={"gtol": 1e-9, "maxiter": 10_000})
        W = np.zeros(free.shape)
        W[free] = found.x[:-rows]
        return found.fun, W


def make_data(rng, n=120, p=5, n_classes=3):
    X = rng.normal(size=(n, p)) * rng.permutation(np.geomspace(0.3, 3, p)) + rng.integers(0, 5, p)
    return X, labels((X - X.mean(axis=0)) @ rng.normal(size=(p, n_classes)) / np.sqrt(p), rng)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
@pytest.mark.parametrize("C", [0.5, INF])
def test_the_minimum_is_that_of_scipy(C, store, pattern, rng):
    """BFGS ends at a gradient of 1e-9 where the curvature is at least some 1e-3: 1e-6 in a coefficient."""
    X, y = make_data(rng)
    plain = Plain(X, y, PATTERNS[pattern], C)
    model = SoftmaxRegression(C, penalty_factor=PATTERNS[pattern], tol=TOL).fit(store(X), y)

    value, W = plain.least()
    plain.assert_minimal(model)
    assert model.solution_.objective == pytest.approx(value, abs=1e-12)
    assert_allclose(model.coef_, W, atol=1e-5)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_with_an_l1_norm_the_slopes_are_those_of_a_minimum(l1_ratio, store, pattern, rng):
    """And the duality gap bounds what is missing, where coefficients without a penalty are in balance."""
    X, y = make_data(rng)
    factors = PATTERNS[pattern]
    model = SoftmaxRegression(0.1, l1_ratio=l1_ratio, penalty_factor=factors, tol=TOL).fit(store(X), y)

    Plain(X, y, factors, 0.1, l1_ratio).assert_minimal(model)
    assert 0 <= model.solution_.suboptimality_bound <= 1e-12


@pytest.mark.parametrize("pattern", ["positive", "some zero", "some held"])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_two_classes_have_one_row_of_factors(l1_ratio, pattern, rng):
    X, y = make_data(rng, n_classes=2)
    given = np.array(PATTERNS[pattern])
    options = {"C": 0.3, "l1_ratio": l1_ratio, "tol": TOL}
    model = SoftmaxRegression(penalty_factor=given[np.newaxis], **options).fit(X, y)

    Plain(X, y, given, 0.3, l1_ratio).assert_minimal(model)
    other = SoftmaxRegression(penalty_factor=given, **options).fit(X, y)
    assert_array_equal(model.coef_, other.coef_)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_soft_targets_weights_and_class_weights_count(l1_ratio, pattern, rng):
    """Class weights of soft targets are those of their parts."""
    X, y = make_data(rng)
    soft = 0.7 * np.eye(3)[y] + 0.1
    weights, by_class = rng.uniform(0.5, 2, len(y)), np.array([1.0, 2.0, 0.5])
    weighted = soft * by_class
    options = {"l1_ratio": l1_ratio, "penalty_factor": PATTERNS[pattern], "tol": TOL}
    model = SoftmaxRegression(class_weight=dict(enumerate(by_class)), **options).fit(X, soft, weights)

    total = weighted.sum(axis=1)
    plain = Plain(X, weighted / total[:, np.newaxis], PATTERNS[pattern], 1.0, l1_ratio, weights * total)
    plain.assert_minimal(model)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("p", [5, 200])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_offsets_go_with_factors(l1_ratio, p, pattern, rng):
    """In the fit of what has no penalty, too, and in the row space."""
    X, y = make_data(rng, p=p)
    offset = 2 * rng.normal(size=(len(y), 3))
    factors = np.ones((3, p)) * 0.5
    factors[:, :5] = PATTERNS[pattern]
    factors = factors if pattern.endswith("class") else factors[0]
    model = SoftmaxRegression(l1_ratio=l1_ratio, penalty_factor=factors, tol=TOL).fit(X, y, offset=offset)

    Plain(X, y, factors, 1.0, l1_ratio, offset=offset).assert_minimal(model)


@pytest.mark.parametrize("pattern", ["positive", "some zero", "some held"])
@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_wide_features_have_factors(l1_ratio, store, pattern, rng):
    X, y = make_data(rng, n=60, p=150)
    factors = np.tile(PATTERNS[pattern], 30)
    factors[:5], factors[5:] = np.minimum(factors[:5], 10.0), np.maximum(factors[5:], 0.1)
    model = SoftmaxRegression(l1_ratio=l1_ratio, penalty_factor=factors, tol=TOL).fit(store(X), y)

    Plain(X, y, factors, 1.0, l1_ratio).assert_minimal(model)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_wide_features_with_factors_are_solved_in_their_row_space(share, rng):
    """Which expands to coefficients of all, and back: those of a fit are in the row space, to rounding."""
    X, y = make_data(rng, n=40, p=200)
    factors = rng.choice([0.5, 1.0, 4.0, INF], 200)
    factors[: int(share * 10)] = 0.0
    rows = MatrixRows(X, Targets(np.arange(3), y), np.ones(40))
    problem = Problem(rows, fit_intercept=True, largest_C=1.0, factors=factors)
    fit, record = problem.solve(1.0, tol=TOL, max_iter=1000)
    expanded = problem.expand(fit)

    assert problem.is_reduced(1.0)
    assert fit.coef.shape[1] <= 40 + 5
    again = problem.restrict(expanded)
    assert_allclose(again.coef, fit.coef, rtol=0, atol=1e-11 * np.abs(fit.coef).max())
    assert_allclose(again.intercept, fit.intercept, rtol=0, atol=1e-11 * np.abs(fit.coef).max())
    assert problem.penalty_of(expanded, 1.0, 0.0) == pytest.approx(problem.penalty(1.0).value(fit.coef))
    value, _, _ = Plain(X, y, factors)(expanded.coef, expanded.intercept)
    assert record.objective == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_dask_collections_have_the_same_model(l1_ratio, pattern, rng):
    """In other blocks: sums round otherwise."""
    X, y = make_data(rng)
    options = {"l1_ratio": l1_ratio, "penalty_factor": PATTERNS[pattern], "tol": TOL}
    lazy = da.from_array(X, chunks=(50, 5)), da.from_array(y, chunks=50)

    Plain(X, y, PATTERNS[pattern], 1.0, l1_ratio).assert_minimal(SoftmaxRegression(**options).fit(*lazy))


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_coefficients_without_a_penalty_sum_to_zero_over_the_classes(l1_ratio, rng):
    """Those that have the same probabilities and least norm, also of collinear features."""
    X, y = make_data(rng)
    X[:, 2] = X[:, 0]
    factors = np.tile([0.0, 1.0, 0.0, 3.0, 1.0], (3, 1))
    for given in (factors[0], factors + np.outer([0, 0, 1], [0, 1, 0, 0, 0])):
        model = SoftmaxRegression(l1_ratio=l1_ratio, penalty_factor=given, tol=TOL).fit(X, y)
        size = np.abs(model.coef_).max()
        assert_allclose(model.coef_[:, [0, 2]].sum(axis=0), 0, atol=16 * EPS * size)
        assert_allclose(model.coef_[:, 0], model.coef_[:, 2], rtol=0, atol=1e-10 * size)
        Plain(X, y, given, 1.0, l1_ratio).assert_minimal(model)


def test_a_ridge_with_factors_by_class_balances_the_coefficients(rng):
    """``sum_k f_kj W_kj = 0``: the slope of the penalty in a shift, that of the loss being zero.

    To the bound of three slopes, ``tol sqrt(H_jj)`` each, over the strength.
    """
    X, y = make_data(rng)
    f = np.array(PATTERNS["zero by class"])
    model = SoftmaxRegression(penalty_factor=f, tol=TOL).fit(X, y)

    assert_allclose(np.sum(f * model.coef_, axis=0), 0, atol=3 * TOL * len(y) * np.abs(X).max())
    assert np.abs(model.coef_.sum(axis=0)).max() > 1e-3


def separated_by_first(rng, n_classes=2):
    """The first feature tells the last class from the others."""
    X, y = rng.normal(size=(150, 4)), rng.permutation(150) % n_classes
    X[:, 0] = np.where(y == n_classes - 1, 1.0, -1.0) + 0.1 * rng.normal(size=150)
    return X, y


SEPARATING = {
    "free": (2, [0.0, 1, 1, 1]),
    "free of three classes": (3, [0.0, 1, 1, 1]),
    "free for the last class": (3, [[1.0, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 1]]),
    "free for the others": (3, [[0.0, 1, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]]),
}
HARMLESS = {
    "penalised": (2, [1.0, 0, 0, 1]),
    "penalised for the last class": (3, [[1.0, 1, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]]),
    "held": (3, [INF, 0.0, 0.0, 1.0]),
    "held by class": (3, [[INF, 0.0, 1, 1], [0, 1, 1, 1], [INF, 0, 1, 1]]),
}


@pytest.mark.parametrize("case", SEPARATING)
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_coefficients_without_a_penalty_may_separate_the_classes_at_a_finite_c(l1_ratio, case, rng):
    n_classes, factors = SEPARATING[case]
    X, y = separated_by_first(rng, n_classes)
    model = SoftmaxRegression(l1_ratio=l1_ratio, penalty_factor=factors)

    with pytest.warns(ConvergenceWarning, match=re.escape("no penalty factor to zero")):
        model.fit(X, y)
    assert model.solution_.reason == "separation"
    assert np.isfinite(model.coef_).all()


@pytest.mark.parametrize("case", HARMLESS)
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_a_penalty_on_what_separates_is_enough(l1_ratio, case, rng):
    n_classes, factors = HARMLESS[case]
    X, y = separated_by_first(rng, n_classes)
    model = SoftmaxRegression(l1_ratio=l1_ratio, penalty_factor=factors, tol=TOL).fit(X, y)

    Plain(X, y, factors, 1.0, l1_ratio).assert_minimal(model)


@pytest.mark.parametrize("free", [[0, 1], [1, 2]])
def test_what_is_held_cannot_separate_without_a_penalty(free, rng):
    """Of three classes, the last told from the others by the first feature, two have coefficients for it."""
    X, y = separated_by_first(rng, 3)
    factors = np.ones((3, 4))
    factors[[k for k in range(3) if k not in free], 0] = INF
    held = SoftmaxRegression(INF, penalty_factor=factors, tol=TOL)
    with pytest.warns(ConvergenceWarning, match="separated"):
        held.fit(X, y)

    factors[[0, 2], 0], factors[1, 0] = INF, 1.0
    Plain(X, y, factors, INF).assert_minimal(held.set_params(penalty_factor=factors).fit(X, y))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_batches_have_the_same_model(l1_ratio, pattern, rng):
    X, y = make_data(rng)
    frame = pd.DataFrame(X, columns=list("abcde")).assign(y=y)
    batches = Batches(lambda: [frame[:50], frame[50:]], target="y")
    given = PATTERNS[pattern]
    factors = given if np.ndim(given) == 2 else dict(zip("abcde", given, strict=True))
    model = SoftmaxRegression(l1_ratio=l1_ratio, penalty_factor=factors, tol=TOL).fit(batches)

    Plain(X, y, given, 1.0, l1_ratio).assert_minimal(model)


def test_the_bound_of_suboptimality_holds(rng):
    """The objective less that of a fit to rounding, which itself is off by that of sums."""
    X, y = make_data(rng)
    for pattern, l1_ratio in [(name, l1) for name in PATTERNS for l1 in (0.0, 0.5, 1.0)]:
        options = {"l1_ratio": l1_ratio, "penalty_factor": PATTERNS[pattern]}
        rough = SoftmaxRegression(tol=1e-1, **options).fit(X, y).solution_
        exact = SoftmaxRegression(tol=TOL, **options).fit(X, y).solution_
        assert rough.objective - exact.objective <= rough.suboptimality_bound + 256 * EPS


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_a_warm_start_may_have_other_factors(l1_ratio, rng):
    """Coefficients that are held now are zero again."""
    X, y = make_data(rng)
    model = SoftmaxRegression(l1_ratio=l1_ratio, warm_start=True, tol=TOL).fit(X, y)
    for factors in PATTERNS.values():
        model.set_params(penalty_factor=factors).fit(X, y)
        Plain(X, y, factors, 1.0, l1_ratio).assert_minimal(model)


def test_factors_go_by_name_and_the_rest_are_one(rng):
    X, y = make_data(rng)
    frame, given = pd.DataFrame(X, columns=list("abcde")), {"d": 0.0, "b": 2.5}
    expected = SoftmaxRegression(penalty_factor=[1.0, 2.5, 1.0, 0.0, 1.0]).fit(frame, y)
    for factors in (given, pd.Series(given)):
        model = SoftmaxRegression(penalty_factor=factors)
        assert_array_equal(model.fit(frame, y).coef_, expected.coef_)
        assert model.penalty_factor is factors


def test_a_class_without_weight_has_no_factors(rng):
    X, y = make_data(rng)
    factors, weights = np.array(PATTERNS["by class"]), (y != 1).astype(float)

    with pytest.raises(ValueError, match=r"penalty_factor has a row for the classes \[1\]"):
        SoftmaxRegression(penalty_factor=factors).fit(X, y, weights)
    SoftmaxRegression(penalty_factor=factors[0]).fit(X, y, weights)
    kept = SoftmaxRegression(penalty_factor=factors, fit_intercept=False, tol=TOL).fit(X, y, weights)
    assert kept.converged_
