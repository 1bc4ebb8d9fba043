"""Sparse features of a single sample, merged: the same regression in fewer coordinates."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import labels
from scipy import linalg, sparse

from smreg import SoftmaxRegression
from smreg.data.matrix import MatrixRows
from smreg.data.targets import Targets
from smreg.objective.rowspace import is_wide
from smreg.objective.singletons import MANY, Singletons, has_singletons

EPS = np.finfo(np.float64).eps
INF = float("inf")
N_SAMPLES, N_SHARED, N_SINGLE = 2000, 60, MANY + 500


def rows_of(X):
    n = X.shape[0]
    return MatrixRows(X, Targets(np.arange(3), np.arange(n) % 3), np.ones(n))


def words(rng, n_classes=3, dtype=np.float64):
    """Shared features and many that are stored in one row alone, negative ones and zeros among them.

    A row has none, one or many of these; some rows' are all zero. The columns are in no order.
    """
    shared = sparse.random_array(
        (N_SAMPLES, N_SHARED), density=0.1, rng=rng, data_sampler=rng.standard_normal
    )
    values = rng.normal(size=N_SINGLE)
    values[::11] = 0.0
    rows = rng.integers(0, N_SAMPLES - 500, N_SINGLE)
    values[rows < 20] = 0.0
    single = sparse.csr_array((values, (rows, np.arange(N_SINGLE))), shape=(N_SAMPLES, N_SINGLE))
    X = sparse.hstack([shared, single], format="csc")[:, rng.permutation(N_SHARED + N_SINGLE)]
    X = sparse.csr_array(X, dtype=dtype)
    return X, labels(shared @ rng.normal(size=(N_SHARED, n_classes)), rng)


def merged_and_not(X, y, **options):
    """Two fits, the second to the same numbers stored dense, of which nothing is merged."""
    return SoftmaxRegression(**options).fit(X, y), SoftmaxRegression(**options).fit(X.toarray(), y)


def test_the_examples_are_merged_and_not_solved_by_rows(rng):
    X, y = words(rng)
    once = np.bincount(X.indices, minlength=X.shape[1]) == 1

    assert has_singletons(rows_of(X))
    assert not is_wide(rows_of(X), N_SAMPLES, penalised=True)
    assert once.sum() >= N_SINGLE
    assert (X.data == 0).any()
    assert (X.data < 0).any()
    assert len(set(y)) == 3


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("C", [0.01, 1.0])
@pytest.mark.parametrize(("n_classes", "fit_intercept"), [(2, True), (3, True), (3, False)])
def test_merging_changes_no_coefficient(dtype, C, n_classes, fit_intercept, rng):
    """The objective has a curvature of at least 1 / (C n): by both fits' gradients, of at most `tol` in the
    Fisher metric, F is within tol**2 / 2, and coefficients within tol * sqrt(C n) of the minimum's.

    What float32 loses are the roundings of a merged value and of a coefficient.
    """
    X, y = words(rng, n_classes, dtype)
    options = {"C": C, "tol": 1e-9, "fit_intercept": fit_intercept}
    model, plain = merged_and_not(X, y, **options)

    eps = float(np.finfo(dtype).eps)
    atol = 2e-9 * np.sqrt(C * N_SAMPLES) + 4 * eps * np.abs(plain.coef_).max()
    assert model.converged_
    assert model.coef_.dtype == plain.coef_.dtype == dtype
    assert_allclose(model.coef_, plain.coef_, rtol=0, atol=atol)
    assert_allclose(model.intercept_, plain.intercept_, rtol=0, atol=atol)
    assert model.solution_.objective == pytest.approx(plain.solution_.objective, rel=4 * eps)


def test_zeros_that_are_stored_have_no_coefficient(rng):
    X, y = words(rng)
    zero = np.asarray(abs(X).sum(axis=0)).ravel() == 0
    model = SoftmaxRegression().fit(X, y)

    assert zero.sum() >= N_SINGLE // 11
    assert_array_equal(model.coef_[:, zero], 0.0)


def test_coefficients_of_one_row_are_in_proportion_to_its_values(rng):
    """A product and a rounding each."""
    X, y = words(rng)
    model = SoftmaxRegression().fit(X, y)
    once, row = np.bincount(X.indices, minlength=X.shape[1]) == 1, X[[25]].toarray()[0]
    of_row = np.flatnonzero(once & (row != 0))
    values = row[of_row]

    assert len(of_row) > 2
    slope = model.coef_[:, of_row] @ values / (values @ values)
    assert_allclose(model.coef_[:, of_row], np.outer(slope, values), rtol=16 * EPS)


def test_without_a_penalty_merging_leaves_the_objective_and_no_longer_coefficients(rng):
    """Soft targets have a maximum. Both objectives are above it by tol**2 / 2, and rounded."""
    X, _ = words(rng)
    T = rng.dirichlet(5 * np.ones(3), N_SAMPLES)
    model, plain = merged_and_not(X, T, C=INF, tol=1e-6)

    assert model.converged_
    assert abs(model.solution_.objective - plain.solution_.objective) <= 1e-6**2 + 8 * EPS
    assert linalg.norm(model.coef_) <= linalg.norm(plain.coef_) * (1 + 1e-6)


def test_without_a_penalty_rows_with_features_of_their_own_meet_their_targets(rng):
    """Whatever is shared. With a weight of 1 / n and variances above 1e-2, a gradient of norm tol leaves
    tol * sqrt(1e2 n) in a row's logits."""
    X, _ = words(rng)
    T = rng.dirichlet(5 * np.ones(3), N_SAMPLES)
    once = np.bincount(X.indices, minlength=X.shape[1]) == 1
    own = abs(X) @ once > 1.0
    model = SoftmaxRegression(C=INF, tol=1e-6).fit(X, T)

    assert own.sum() > N_SAMPLES / 2
    assert_allclose(model.predict_proba(X)[own], T[own], rtol=0, atol=1e-6 * np.sqrt(1e2 * N_SAMPLES))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_warm_start_at_the_optimum_ends_there(n_classes, rng):
    """One evaluation tells that it is no worse than none; a few find the norm."""
    X, y = words(rng, n_classes)
    model = SoftmaxRegression(warm_start=True).fit(X, y)
    cold = model.solution_.evaluations
    model.fit(X, y)

    assert model.converged_
    assert model.solution_.evaluations < cold
    assert model.n_iter_ <= 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_values_near_the_largest_number_are_fitted(dtype, rng):
    X, y = words(rng, dtype=dtype)
    rows = np.repeat(np.arange(N_SAMPLES), np.diff(X.indptr))
    once = np.bincount(X.indices, minlength=X.shape[1]) == 1
    X.data[once[X.indices] & (rows == 25)] = 0.9 * np.finfo(dtype).max
    model = SoftmaxRegression().fit(X, y)

    assert model.converged_
    assert np.isfinite(model.solution_.objective)


# -- the change of basis


def test_expanded_coefficients_have_the_same_logits_and_norm(rng):
    """Sums of some 12 products of size one."""
    X, _ = words(rng)
    merged = Singletons(rows_of(X))
    V, c = rng.normal(size=(3, merged.coordinates.n_features)), rng.normal(size=3)
    used = np.asarray(abs(merged.coordinates.csr).sum(axis=0)).ravel() > 0
    V[:, ~used] = 0.0
    W, b = merged.expand(V, c)

    assert W.shape == (3, X.shape[1])
    assert_allclose(X @ W.T + b, merged.coordinates.csr @ V.T + c, rtol=0, atol=2**8 * EPS)
    assert_allclose(linalg.norm(W, axis=1), linalg.norm(V, axis=1), rtol=2**8 * EPS)


def test_restriction_is_the_adjoint_of_expansion(rng):
    """``<expand V, W> = <V, restrict W>``: 5e4 products of size one, whose rounding adds up as a root."""
    X, _ = words(rng)
    merged = Singletons(rows_of(X))
    V, W = rng.normal(size=(3, merged.coordinates.n_features)), rng.normal(size=(3, X.shape[1]))
    zero = np.zeros(3)

    expanded, restricted = merged.expand(V, zero)[0], merged.restrict(W, zero)[0]
    assert np.vdot(expanded, W) == pytest.approx(np.vdot(V, restricted), abs=2**12 * EPS)


def test_expansion_after_restriction_is_a_projection_that_changes_no_logit(rng):
    X, _ = words(rng)
    merged = Singletons(rows_of(X))
    W, b = rng.normal(size=(3, X.shape[1])), rng.normal(size=3)
    once = merged.expand(*merged.restrict(W, b))
    twice = merged.expand(*merged.restrict(*once))

    assert_allclose(X @ once[0].T + once[1], X @ W.T + b, rtol=0, atol=2**9 * EPS)
    assert_allclose(twice[0], once[0], rtol=0, atol=2**6 * EPS)
    assert (linalg.norm(once[0], axis=1) <= linalg.norm(W, axis=1)).all()


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_values_whose_squares_leave_the_floating_range_are_merged(size):
    """3 and 4 make 5, in any unit."""
    X = sparse.csr_array(np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 2.0]]) * size)
    merged = Singletons(rows_of(X))

    assert_allclose(merged.coordinates.csr.toarray() / size, [[5.0, 0.0], [0.0, 2.0]], rtol=8 * EPS)
    assert_allclose(
        merged.expand(np.eye(2), np.zeros(2))[0], [[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]], rtol=8 * EPS
    )


# -- when


@pytest.mark.parametrize(
    ("single", "shared", "expected"),
    [
        (MANY, 0, True),
        (MANY - 1, 0, False),
        (MANY // 4, MANY - MANY // 4, False),
        (MANY // 2, MANY - MANY // 2, True),
    ],
)
def test_features_are_merged_where_that_leaves_many_fewer(single, shared, expected):
    """A hundred rows take one each: of `MANY` a quarter is not saved if a quarter occurs once."""
    columns = np.append(np.arange(single), single + np.repeat(np.arange(shared), 2))
    rows = np.arange(len(columns)) % 100
    X = sparse.csr_array((np.ones(len(columns)), (rows, columns)), shape=(100, single + shared))

    assert has_singletons(rows_of(X)) is expected


def test_dense_features_are_not_merged():
    assert not has_singletons(rows_of(np.eye(2, MANY)))
