"""Penalties and logits that the library does not have are fitted by what it has.

The minimum of a convex function is where its slope vanishes: it is checked by that, written plainly. A fit
has converged where the slope g has ``||g||_{H^-1} <= tol`` in the metric of the Hessian H, so that
``|g_j| <= tol sqrt(H_jj)``, and with an L1 term so do the slopes less the term's. ``H_jj`` is at most
``max_i x_ij^2 / 4`` plus the ridge. The step behind the norm is solved to a tenth, and bounds get twice that.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from objectives import logits_at
from problems import labels
from scipy import optimize, sparse, special

from smreg.data.matrix import MatrixRows
from smreg.data.targets import Targets
from smreg.fit import rownewton
from smreg.fit.regression import Problem
from smreg.fit.verification import objective_of
from smreg.objective.penalty import Penalty
from smreg.objective.singletons import MANY, Singletons, has_singletons

TOL = 1e-8
OPTIONS = {"tol": TOL, "max_iter": 1000}
STORES = {"dense": np.ascontiguousarray, "sparse": sparse.csr_array}


def make_rows(X, y, **options):
    return MatrixRows(X, Targets(np.unique(y), y), np.ones(len(y)), **options)


def make_problem(X, y, kind=Problem, known=None, **options):
    options = {"fit_intercept": True, "largest_C": 1.0} | options
    return kind(make_rows(X, y, offset=known), **options)


def with_factors(factors):
    """Problems whose penalty has a factor for each coefficient."""

    class Factored(Problem):
        def penalty(self, C, l1_ratio=0.0):
            uniform = super().penalty(C, l1_ratio)
            return Penalty(factors * uniform.ridge, factors * uniform.l1)

    return Factored


@dataclass(frozen=True)
class Plain:
    """The objective as its formula says it."""

    X: np.ndarray
    y: np.ndarray
    penalty: Penalty
    known: np.ndarray | float = 0.0

    def __call__(self, W, b):
        """Value, the slopes in W without those of the L1 term, and the slopes in b."""
        eta = self.X @ W.T + b
        eta = (np.column_stack([np.zeros(len(eta)), eta]) if len(W) == 1 else eta) + self.known
        n = np.arange(len(self.y))
        residuals = special.softmax(eta, axis=1) / len(n)
        residuals[n, self.y] -= 1 / len(n)
        R = np.sum(self.penalty.ridge * W**2) / 2 + np.sum(self.penalty.l1 * np.abs(W))
        value = np.mean(special.logsumexp(eta, axis=1) - eta[n, self.y]) + R
        own = residuals[:, -len(W) :]
        return value, own.T @ self.X + self.penalty.ridge * W, own.sum(axis=0)

    def assert_minimal(self, fit, *, fit_intercept=True):
        """The slopes are within the bounds of the module's docstring."""
        regression, record = fit
        W, l1 = regression.coef, np.broadcast_to(self.penalty.l1, regression.coef.shape)
        value, slope, slope_b = self(W, regression.intercept)
        bound = 2 * TOL * np.sqrt(np.max(self.X**2, axis=0) / 4 + self.penalty.ridge)

        assert record.converged
        assert record.objective == pytest.approx(value, rel=1e-13)
        beyond = np.where(W == 0, np.maximum(np.abs(slope) - l1, 0.0), np.abs(slope + l1 * np.sign(W)))
        assert (beyond <= bound).all()
        assert not fit_intercept or (np.abs(slope_b) <= TOL).all()

    def by_scipy(self, n_rows):
        """The coefficients of a smooth minimum, found by BFGS."""
        shape = n_rows, self.X.shape[1] + 1

        def function(theta):
            theta = theta.reshape(shape)
            value, slope, slope_b = self(theta[:, :-1], theta[:, -1])
            return value, np.column_stack([slope, slope_b]).ravel()

        options = {"gtol": 1e-9, "maxiter": 10_000}
        found = optimize.minimize(function, np.zeros(shape).ravel(), jac=True, options=options)
        return found.x.reshape(shape)[:, :-1]


def make_data(rng, n=80, p=5, n_classes=3):
    X = rng.normal(size=(n, p))
    return X, labels(X @ rng.normal(size=(p, n_classes)) / np.sqrt(p), rng)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("p", [5, 200])
@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
def test_a_ridge_factor_is_a_change_of_units(store, p, n_classes, rng):
    """By ``f w^2 = (sqrt(f) w)^2``: also for wide X, where uniform factors lead to another problem.

    Both are off by at most ``tol`` in a metric of at least the ridge, so that coefficients differ by at most
    ``2 tol`` over its root. The longest are as exact as floating point allows.
    """
    X, y = make_data(rng, p=p, n_classes=n_classes)
    factors = 10.0 ** rng.uniform(-1, 1, p)
    made = make_problem(store(X), y, with_factors(factors))
    unit = np.sqrt(factors)

    fit = made.solve(1.0, **OPTIONS)
    scaled, _ = make_problem(store(X / unit), y).solve(1.0, **OPTIONS) if p < 80 else plainly(X / unit, y)
    assert not made.is_reduced(1.0)
    Plain(X, y, made.penalty(1.0)).assert_minimal(fit)
    atol = 2 * TOL / np.sqrt(made.penalty(1.0).ridge.min())
    assert_allclose(fit[0].coef, scaled.coef / unit, rtol=1e-12, atol=atol)


def plainly(X, y):
    """The uniform problem, in the coefficients of all features."""
    reduced = make_problem(X, y)
    assert reduced.is_reduced(1.0)
    regression, record = reduced.solve(1.0, **OPTIONS)
    return reduced.expand(regression), record


def test_features_of_a_single_sample_are_not_merged_under_factors_of_their_own(rng):
    """Nor is there a search in the row space of sparse X."""
    X, y = make_data(rng, n=100, n_classes=2)
    once = np.zeros((100, MANY))
    once[rng.integers(0, 100, MANY), np.arange(MANY)] = rng.uniform(1, 2, MANY)
    X = np.hstack([X, once])
    stored, factors = sparse.csr_array(X), rng.uniform(0.5, 2.0, X.shape[1])
    made = make_problem(stored, y, with_factors(factors))

    assert has_singletons(make_rows(stored, y))
    assert not made.is_reduced(1.0)
    assert not rownewton.applies(made.objective(made.penalty(1.0)))
    Plain(X, y, made.penalty(1.0)).assert_minimal(made.solve(1.0, **OPTIONS))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("p", [5, 200])
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
def test_l1_factors_are_those_of_each_coefficient(store, l1_ratio, p, n_classes, rng):
    """By the slopes, and for the lasso by ``f |w| = |f w|``: the same are zero."""
    X, y = make_data(rng, p=p, n_classes=n_classes)
    factors = rng.uniform(0.5, 2.0, p)
    made = make_problem(store(X), y, with_factors(factors), l1=True)

    fit = made.solve(0.1, l1_ratio=l1_ratio, **OPTIONS)
    Plain(X, y, made.penalty(0.1, l1_ratio)).assert_minimal(fit)
    assert 0 < np.count_nonzero(fit[0].coef) < fit[0].coef.size
    if l1_ratio == 1:
        scaled, _ = make_problem(store(X / factors), y, l1=True).solve(0.1, l1_ratio=1.0, **OPTIONS)
        assert_array_equal(fit[0].coef != 0, scaled.coef != 0)


def test_a_feature_without_a_factor_is_not_penalised(rng):
    X, y = make_data(rng)
    factors = np.array([0.0, 1.0, 1.0, 0.0, 2.0])
    for l1_ratio in (0.0, 0.5):
        made = make_problem(X, y, with_factors(factors), l1=l1_ratio > 0)
        Plain(X, y, made.penalty(0.1, l1_ratio)).assert_minimal(made.solve(0.1, l1_ratio=l1_ratio, **OPTIONS))


@pytest.mark.parametrize("p", [4, 100])
def test_factors_may_differ_between_classes(p, rng):
    """W then does not sum to zero over the classes, and all their rows are searched."""
    X, y = make_data(rng, n=60, p=p)
    made = make_problem(X, y, with_factors(rng.uniform(0.5, 2.0, (3, p))))
    plain = Plain(X, y, made.penalty(1.0))

    fit = made.solve(1.0, **OPTIONS)
    plain.assert_minimal(fit)
    assert np.abs(fit[0].coef.sum(axis=0)).max() > 1e-3
    assert_allclose(fit[0].coef, plain.by_scipy(3), atol=1e-6)  # the gradient over the ridge: 1e-9 / 1e-2


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("p", [5, 100])
@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
def test_known_logits_are_added_to_those_of_the_coefficients(store, p, n_classes, rng):
    """With a ridge and with an L1 norm, also in the row space."""
    X, y = make_data(rng, p=p, n_classes=n_classes)
    known = rng.normal(size=(len(y), n_classes))
    for l1_ratio in (0.0, 0.5):
        made = make_problem(store(X), y, known=known, l1=l1_ratio > 0)
        regression, record = made.solve(1.0, l1_ratio=l1_ratio, **OPTIONS)
        plain = Plain(X, y, made.penalty(1.0, l1_ratio), known)
        regression = made.expand(regression)
        plain.assert_minimal((regression, record))
        assert objective_of(made, regression, 1.0, l1_ratio) == pytest.approx(record.objective, rel=1e-13)
        assert record.evaluations <= 40


@pytest.mark.parametrize("n_classes", [2, 3])
def test_known_logits_are_added_where_features_of_a_single_sample_are_merged(n_classes, rng):
    X, y = make_data(rng, n=100, n_classes=n_classes)
    once = np.zeros((100, MANY))
    once[rng.integers(0, 100, MANY), np.arange(MANY)] = rng.uniform(1, 2, MANY)
    X, known = np.hstack([X, once]), rng.normal(size=(100, n_classes))
    made = make_problem(sparse.csr_array(X), y, known=known)

    assert isinstance(made._space, Singletons)
    regression, record = made.solve(1.0, **OPTIONS)
    Plain(X, y, made.penalty(1.0), known).assert_minimal((made.expand(regression), record))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_known_logits_are_added_in_the_row_space_of_sparse_features(n_classes, rng):
    """Which is searched where none is made: here, where an L1 penalty may be asked for, too."""
    X, y = make_data(rng, p=100, n_classes=n_classes)
    known = rng.normal(size=(len(y), n_classes))
    made = make_problem(sparse.csr_array(X), y, known=known, l1=True)

    assert rownewton.applies(made.objective(made.penalty(1.0)))
    Plain(X, y, made.penalty(1.0), known).assert_minimal(made.solve(1.0, **OPTIONS))


def test_a_direction_has_no_known_logits(rng):
    """Logits change along it by what its coefficients say, to rounding."""
    X, y = make_data(rng)
    known = 3 * rng.normal(size=(len(y), 3))
    made = make_problem(X, y, known=known)
    objective = made.objective(made.penalty(1.0))
    phi, d = rng.normal(size=(2, objective.start().size))

    (along,) = objective.rows.map_blocks(lambda block, at: at.logits(block), objective.direction(d))
    moved = logits_at(objective, phi + d) - logits_at(objective, phi)
    assert_allclose(moved, along, rtol=0, atol=1e-13)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_known_logits_agree_with_scipy(n_classes, rng):
    """Which ends at a gradient of 1e-9, over a curvature of at least the ridge of 1/80."""
    X, y = make_data(rng, n_classes=n_classes)
    known = 3 * rng.normal(size=(len(y), n_classes))
    made = make_problem(X, y, known=known)

    regression, _ = made.solve(1.0, **OPTIONS)
    expected = Plain(X, y, made.penalty(1.0), known).by_scipy(len(regression.coef))
    assert_allclose(regression.coef, expected, atol=2 * TOL / np.sqrt(1 / 80) + 1e-7)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_without_a_penalty_known_logits_change_the_maximum_but_not_whether_there_is_one(fit_intercept, rng):
    X, y = make_data(rng)
    known = rng.normal(size=(len(y), 3))
    options = {"fit_intercept": fit_intercept, "largest_C": np.inf}
    made = make_problem(X, y, known=known, **options)

    fit = made.solve(np.inf, **OPTIONS)
    Plain(X, y, Penalty(), known).assert_minimal(fit, fit_intercept=fit_intercept)
    separated = make_problem(X, (X[:, 0] > 0).astype(int), known=known[:, :2], **options)
    assert separated.solve(np.inf, **OPTIONS)[1].reason == "separation"
