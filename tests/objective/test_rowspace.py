"""Wide data: the regression in the space of the rows is the regression."""

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from optima import UNEQUAL, assert_optimal, optimum
from problems import labels
from scipy import linalg, sparse
from sklearn.linear_model import LogisticRegression

from smreg import SoftmaxRegression, cross_entropy
from smreg.data.matrix import MatrixRows
from smreg.data.statistics import statistics
from smreg.data.targets import Targets
from smreg.objective.rowspace import RowSpace, is_wide

EPS = np.finfo(np.float64).eps
INF = float("inf")
TIGHT = 1e-9
DENSE = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "float32 C": lambda X: np.ascontiguousarray(X, dtype=np.float32),
    "float32 F": lambda X: np.asfortranarray(X, dtype=np.float32),
}
STORAGES = DENSE | {
    "CSR": sparse.csr_array,
    "float32 CSR": lambda X: sparse.csr_array(X, dtype=np.float32),
}
every_storage = pytest.mark.parametrize("store", STORAGES.values(), ids=STORAGES)


def wide(rng, n=30, p=200, n_classes=3):
    """Numbers that float32 has, half of them zero."""
    X = rng.normal(size=(n, p)) * (rng.random((n, p)) < 0.5)
    X = X.astype(np.float32).astype(float)
    targets = Targets(np.arange(n_classes), np.arange(n) % n_classes)
    assert is_wide(MatrixRows(X, targets, np.ones(n)), n, penalised=True)
    return X, labels(X[:, :n_classes], rng)


def row_space(X, weights=None, *, centred=True, penalty=1.0):
    weights = np.ones(X.shape[0]) if weights is None else weights
    targets = Targets(np.arange(2), np.arange(len(weights)) % 2)
    rows = MatrixRows(X, targets, weights / weights.sum())
    return RowSpace(rows, statistics(rows), centred=centred, penalty=penalty)


def centred_rows(X, weights=None):
    return X - np.average(X, axis=0, weights=weights)


def fit(X, y, sample_weight=None, **options):
    return SoftmaxRegression(**({"tol": TIGHT} | options)).fit(X, y, sample_weight)


# -- the coordinates


WAYS = {"by the Gram matrix": 1.0, "by decomposition": 0.0}
both_ways = pytest.mark.parametrize("penalty", WAYS.values(), ids=WAYS)


@both_ways
@pytest.mark.parametrize("centred", [True, False])
@every_storage
def test_the_coordinates_have_the_inner_products_of_the_rows(store, centred, penalty, rng):
    """``Z Z' = (X - mean) (X - mean)'``: sums of 200 products, whose sizes are 2**7 on the diagonal."""
    X, _ = wide(rng)
    Z = row_space(store(X), centred=centred, penalty=penalty).coordinates.dense()
    rows = centred_rows(X) if centred else X

    assert Z.shape == (30, 30 - centred)
    assert_allclose(Z @ Z.T, rows @ rows.T, rtol=0, atol=2**7 * 200 * EPS)


@both_ways
def test_with_weights_the_mean_is_the_weighted_one(penalty, rng):
    """As above. Rows with a weight below 1e-3 of the others are divided by its root, less than 2**5."""
    X, _ = wide(rng)
    weights = 10.0 ** rng.uniform(-3, 0, len(X))
    Z = row_space(X, weights, penalty=penalty).coordinates.dense()

    rows = centred_rows(X, weights)
    assert_allclose(Z @ Z.T, rows @ rows.T, rtol=0, atol=2**12 * 200 * EPS)


@both_ways
@every_storage
def test_expanded_coefficients_have_the_same_logits(store, penalty, rng):
    """``X W' + b = Z V' + c``: sums of 200 terms of size one, the rows of a condition below 2**3."""
    X, _ = wide(rng)
    space = row_space(store(X), penalty=penalty)
    V, c = rng.normal(size=(3, space.coordinates.n_features)), rng.normal(size=3)
    W, b = space.expand(V, c)

    assert W.shape == (3, X.shape[1])
    assert_allclose(X @ W.T + b, space.coordinates.dense() @ V.T + c, rtol=0, atol=2**12 * EPS)
    assert_allclose(linalg.norm(W, axis=1), linalg.norm(V, axis=1), rtol=2**8 * EPS)


@both_ways
@every_storage
def test_expansion_after_restriction_projects_onto_the_rows(store, penalty, rng):
    """No centred row's logit changes, and what is left is a combination of them."""
    X, _ = wide(rng)
    space, rows = row_space(store(X), penalty=penalty), centred_rows(X)
    W, b = rng.normal(size=(3, X.shape[1])), rng.normal(size=3)
    projected, shifted = space.expand(*space.restrict(W, b))

    assert_allclose(projected, W @ np.linalg.pinv(rows, rcond=1e-10) @ rows, rtol=0, atol=2**10 * EPS)
    assert_allclose(X @ projected.T + shifted, X @ W.T + b, rtol=0, atol=2**13 * EPS)


@both_ways
@every_storage
def test_restriction_after_expansion_changes_nothing(store, penalty, rng):
    X, _ = wide(rng)
    space = row_space(store(X), penalty=penalty)
    V, c = rng.normal(size=(3, space.coordinates.n_features)), rng.normal(size=3)
    back = space.restrict(*space.expand(V, c))

    assert_allclose(back[0], V, rtol=0, atol=2**10 * EPS)
    assert_allclose(back[1], c, rtol=0, atol=2**10 * EPS)


@both_ways
def test_equal_rows_have_equal_coordinates_and_take_no_more_of_them(penalty, rng):
    """Of ten rows, each twice, nine differences are left."""
    X = np.repeat(rng.normal(size=(10, 50)), 2, axis=0)
    Z = row_space(X, penalty=penalty).coordinates.dense()

    assert Z.shape == (20, 9)
    assert_allclose(Z[::2], Z[1::2], rtol=0, atol=2**12 * EPS)


# -- the regression


@every_storage
@pytest.mark.parametrize("C", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_wide_data_have_the_optimum_of_newtons_method(store, C, fit_intercept, n_classes, rng):
    X, y = wide(rng, n_classes=n_classes)
    model = fit(store(X), y, C=C, fit_intercept=fit_intercept)

    assert model.converged_
    assert_optimal(model, X, optimum(X, y, C=C, fit_intercept=fit_intercept), TIGHT)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_scikit_learn_finds_the_same(n_classes, rng):
    """Its gradients are below 1e-10 and the objective is convex by 1/n: coefficients are off by n 1e-10."""
    X, y = wide(rng, n_classes=n_classes)
    theirs = LogisticRegression(solver="newton-cg", tol=1e-10, max_iter=1000).fit(X, y)

    assert_allclose(fit(X, y).coef_, theirs.coef_, rtol=0, atol=len(X) * 1e-10)


@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array], ids=["dense", "CSR"])
@pytest.mark.parametrize("C", [1e2, 1e8])
def test_directions_of_little_variance_count_where_the_penalty_is_smaller_still(C, store, rng):
    """Five directions of variance one, all others of 1e-8: that is above the second penalty, 1 / (30 C).

    The Gram matrix rounds by some EPS, which is 2e-8 of them and leaves that in the logits: far below `tol`.
    """
    X = rng.normal(size=(30, 5)) @ rng.normal(size=(5, 200)) / 14 + 1e-4 * rng.normal(size=(30, 200)) / 14
    T = rng.dirichlet(5 * np.ones(3), len(X))
    model = fit(store(X), T, C=C, tol=1e-6)

    assert model.converged_
    assert optimum(X, T, C=C).excess(model, X) <= UNEQUAL * 1e-6**2


@pytest.mark.parametrize("constant", [0.1, 1e3, 1e100])
@pytest.mark.parametrize(
    "store",
    [np.ascontiguousarray, np.asfortranarray, sparse.csr_array],
    ids=["C", "F", "CSR"],
)
def test_a_constant_column_has_no_coefficient_and_no_part(store, constant, rng):
    """Of all others the coefficients are those without it: of size one, rounded in other sums."""
    X, _ = wide(rng)
    T = rng.dirichlet(np.ones(3), len(X))
    with_constant = np.insert(X, 7, constant, axis=1)
    model, plain = fit(store(with_constant), T), fit(X, T)

    assert_array_equal(model.coef_[:, 7], 0.0)
    assert_allclose(np.delete(model.coef_, 7, axis=1), plain.coef_, rtol=0, atol=2**10 * EPS)


@pytest.mark.parametrize("constant", [0.1, 1e3])
@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array], ids=["dense", "CSR"])
def test_without_a_penalty_a_constant_column_has_no_coefficient_either(store, constant, rng):
    """As above; the rows are decomposed as dense ones."""
    X, _ = wide(rng)
    T = rng.dirichlet(5 * np.ones(3), len(X))
    model = fit(store(np.insert(X, 7, constant, axis=1)), T, C=INF)

    assert_array_equal(model.coef_[:, 7], 0.0)
    assert_allclose(np.delete(model.coef_, 7, axis=1), fit(X, T, C=INF).coef_, rtol=0, atol=2**10 * EPS)


def test_a_column_of_zeros_has_no_coefficient_in_a_sparse_x(rng):
    X, y = wide(rng)
    X[:, 7] = 0.0

    assert_array_equal(fit(sparse.csr_array(X), y).coef_[:, 7], 0.0)


@pytest.mark.parametrize("mean", [1e4, 1e6])
@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array], ids=["dense", "CSR"])
def test_a_column_far_from_zero_is_as_good_as_its_numbers(store, mean, rng):
    """As it is in narrow data, dense or sparse."""
    X, y = wide(rng)
    X[:, 7] += mean
    model = fit(store(X), y)

    assert optimum(X, y).excess(model, X) <= TIGHT**2


@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array], ids=["dense", "CSR"])
@pytest.mark.parametrize("C", [1.0, INF])
def test_numbers_whose_squares_overflow_are_fitted(C, store, rng):
    X, _ = wide(rng)
    X[:, 7] *= 1e200
    model = SoftmaxRegression(C=C).fit(store(X), rng.dirichlet(np.ones(3), len(X)))

    assert model.converged_
    assert np.isfinite(model.coef_).all()


@every_storage
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_without_a_penalty_the_coefficients_have_the_least_norm(store, fit_intercept, n_classes, rng):
    """Thirty rows can have any logits: the targets'. Coefficients solve least squares, condition below 2**3;
    the search leaves `tol` in the logits, times the root of 30 rows in one of them over p (1 - p) > 1e-2."""
    X, _ = wide(rng)
    T = rng.dirichlet(5 * np.ones(n_classes), len(X))
    model = fit(store(X), T, C=INF, fit_intercept=fit_intercept)
    eta = (
        np.log(T) - np.log(T)[:, :1] if n_classes == 2 else np.log(T) - np.log(T).mean(axis=1)[:, np.newaxis]
    )
    eta = eta[:, 1:] if n_classes == 2 else eta
    rows = centred_rows(X) if fit_intercept else X

    least = np.linalg.pinv(rows, rcond=1e-10) @ (eta - eta.mean(axis=0) if fit_intercept else eta)
    rounding = np.finfo(model.coef_.dtype).eps
    assert_allclose(model.coef_, least.T, rtol=0, atol=60 * TIGHT + rounding)


# -- units


def in_mixed_units(rng, n=12, p=30):
    return rng.normal(size=(n, p)) * 10.0 ** rng.permutation(np.linspace(-8, 8, p))


STORED = {"C": np.ascontiguousarray, "F": np.asfortranarray, "CSR": sparse.csr_array}


@pytest.mark.parametrize("store", STORED.values(), ids=STORED)
def test_columns_of_all_units_have_the_optimum_of_many_digits(store, rng):
    X = in_mixed_units(rng)
    y = np.arange(len(X)) % 3
    best = optimum(X, y, many_digits=True)

    assert_optimal(fit(store(X), y, tol=1e-6), X, best, 1e-6)


@pytest.mark.parametrize("store", STORED.values(), ids=STORED)
@pytest.mark.parametrize("exponent", [20, 40, 300])
def test_a_column_in_a_huge_unit_hides_no_other(store, exponent, rng):
    """A penalty of one is next to nothing for that column, and for all others what it was."""
    X, y = rng.normal(size=(8, 12)), np.arange(8) % 3
    X[:, 7] *= 2.0**exponent
    best = optimum(X, y, many_digits=True)

    assert_optimal(fit(store(X), y, tol=1e-6), X, best, 1e-6)


@every_storage
@pytest.mark.parametrize("exponent", [20, 40, 60, 100])
def test_a_column_in_a_huge_unit_hides_no_other_without_a_penalty(store, exponent, rng):
    """Thirty rows can have any logits, and so the targets' entropy; `tol` leaves half of its square."""
    X, _ = wide(rng)
    X[:, 7] *= 2.0**exponent
    T = rng.dirichlet(5 * np.ones(3), len(X))
    model = fit(store(X), T, C=INF, tol=1e-5)

    assert model.solution_.reason == "converged"
    assert model.solution_.objective == pytest.approx(-(T * np.log(T)).sum(axis=1).mean(), abs=1e-10)


def least_norm_of_many_digits(X, eta):
    """Coefficients ``R' (R R' + 1 1')^-1 eta`` for centred rows R and logits, in 80 digits."""
    with mpmath.workdps(80):
        exact = np.vectorize(mpmath.mpf, otypes=[object])
        rows = exact(X) - exact(X).sum(axis=0) / len(X)
        gram = mpmath.matrix((rows @ rows.T + 1).tolist())
        dual = np.column_stack([list(mpmath.lu_solve(gram, mpmath.matrix(list(k)))) for k in exact(eta).T])
        return (rows.T @ dual).T.astype(float)


@pytest.mark.parametrize("store", STORED.values(), ids=STORED)
def test_without_a_penalty_columns_of_all_units_have_the_least_norm_of_many_digits(store, rng):
    """Relative to the largest product of a column: logits are those of the targets within `tol` times 2**5,
    and those of the eleven largest directions, 1e3 apart from the next, lose some 2**10 EPS * 1e6."""
    X, T = in_mixed_units(rng), rng.dirichlet(5 * np.ones(3), 12)
    model = fit(store(X), T, C=INF)
    eta = np.log(T) - np.log(T).mean(axis=1)[:, np.newaxis]

    unit = np.abs(X).max(axis=0)
    least = least_norm_of_many_digits(X, eta - eta.mean(axis=0)) * unit
    assert_allclose(model.coef_ * unit, least, rtol=0, atol=2**5 * TIGHT + 2**10 * EPS * 1e6)


@pytest.mark.parametrize("store", STORED.values(), ids=STORED)
def test_units_of_all_columns_and_c_change_together(store, rng):
    """By a power of two, of which no bit of a row space depends: X times u has C times u**-2."""
    X, y = wide(rng)
    for exponent in (-200, 20, 200):
        unit = 2.0**exponent
        here, there = fit(store(X), y), fit(store(X * unit), y, C=unit**-2)
        assert_array_equal(there.coef_ * unit, here.coef_)


# -- weights, starts and callbacks


@every_storage
@pytest.mark.parametrize("C", [1.0, INF])
def test_rows_without_weight_may_hold_anything(store, C, rng):
    """Those that are left are fitted as if alone: 28 rows of the same numbers in sums of another order."""
    X, _ = wide(rng)
    T = rng.dirichlet(5 * np.ones(3), len(X))
    weights = np.ones(len(X))
    weights[[3, 11]] = 0.0
    used = weights > 0
    alone = fit(store(X[used]), T[used], C=C)
    huge = 1e300 if store(X).dtype == np.float64 else 1e30
    X[~used] = huge * rng.choice([-1.0, 1.0], (2, X.shape[1]))
    model = fit(store(X), T, weights, C=C)

    rounding = max(2**10 * EPS, 2 * np.finfo(model.coef_.dtype).eps * np.abs(alone.coef_).max())
    assert_allclose(model.coef_, alone.coef_, rtol=0, atol=rounding + TIGHT)


@pytest.mark.parametrize("store", STORED.values(), ids=STORED)
@pytest.mark.parametrize("C", [1.0, INF])
def test_a_warm_start_at_the_optimum_ends_there(store, C, rng):
    """One evaluation tells that it is no worse than none, one begins, and some find the norm."""
    X, _ = wide(rng)
    T = rng.dirichlet(5 * np.ones(3), len(X))
    model = fit(store(X), T, C=C, warm_start=True, tol=1e-6)
    before, cold = model.coef_, model.solution_.evaluations
    model.fit(store(X), T)

    assert model.converged_
    assert model.solution_.evaluations < cold
    assert_allclose(model.coef_, before, rtol=0, atol=1e-5)


def test_a_warm_start_from_any_coefficients_has_the_logits_of_their_part_in_the_rows(rng):
    """What is orthogonal to all rows changes no logit, so that it costs no evaluation and is gone."""
    X, y = wide(rng)
    model = fit(X, y, warm_start=True, tol=1e-6)
    best, rows, cold = model.coef_, centred_rows(X), model.solution_.evaluations
    beside = rng.normal(size=best.shape)
    beside -= beside @ np.linalg.pinv(rows, rcond=1e-10) @ rows
    model.coef_, model.intercept_ = best + beside, model.intercept_ - beside @ X.mean(axis=0)
    model.fit(X, y)

    assert model.solution_.evaluations < cold
    assert_allclose(model.coef_, best, rtol=0, atol=1e-5)


class _Watcher:
    """Keeps the coefficients after every step."""

    def __init__(self):
        self.coefficients = []

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        if context.task_name == "step":
            self.coefficients.append((fitted_estimator.coef_, fitted_estimator.intercept_))


@pytest.mark.parametrize("store", STORED.values(), ids=STORED)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_callbacks_see_coefficients_of_the_features(store, n_classes, rng):
    X, y = wide(rng, n_classes=n_classes)
    watcher = _Watcher()
    model = SoftmaxRegression(tol=TIGHT).set_callbacks(watcher).fit(store(X), y)

    assert len(watcher.coefficients) == model.n_iter_ > 0
    assert {coef.shape for coef, _ in watcher.coefficients} == {model.coef_.shape}
    assert model.coef_.shape[1] == X.shape[1]
    assert_array_equal(watcher.coefficients[-1][0], model.coef_)
    assert_array_equal(watcher.coefficients[-1][1], model.intercept_)


# -- far from zero, without a penalty


def far(rng, mean, n=60, p=200):
    """Three classes of rows far from zero, multiples of 2**-8 so that the sum with the mean is exact."""
    X = rng.normal(size=(3, p))[np.arange(n) % 3] + rng.normal(size=(n, p))
    return np.round(X * 2**8) / 2**8 + mean


def objective_of(model, X, targets):
    """The cross-entropy that coefficients give, from their logits in float64."""
    logits = X.astype(np.float64) @ model.coef_.T.astype(np.float64) + model.intercept_
    return float(cross_entropy(targets, logits).mean())


def size_of_logits(model, X):
    """The largest sum of the sizes of a logit's terms: what the rounding of coefficients is multiplied by."""
    return float((np.abs(X) @ np.abs(model.coef_).T + np.abs(model.intercept_)).max())


@pytest.mark.parametrize("mean", [0.0, 2.0**4, 2.0**10, 2.0**20])
@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array], ids=["dense", "CSR"])
def test_without_a_penalty_wide_rows_far_from_zero_are_fitted_as_near_to_it(store, mean, rng):
    """Soft targets are met exactly, by least-norm coefficients that no shift changes: the objective is their
    entropy.

    Sums of 200 terms whose sizes the mean multiplies; the condition of the rows is below 2**4.
    """
    X, votes = far(rng, 0.0), rng.dirichlet([2, 2, 2], size=60)
    near, away = fit(X, votes, C=INF), fit(store(X + mean), votes, C=INF)
    entropy = -np.mean(np.sum(votes * np.log(votes), axis=1))

    assert away.converged_
    assert away.solution_.objective == pytest.approx(entropy, rel=1e-12)
    assert objective_of(away, X + mean, votes) == pytest.approx(
        entropy, abs=2**4 * EPS * size_of_logits(away, X + mean)
    )
    assert_allclose(away.coef_, near.coef_, rtol=0, atol=1e-9 + 2**10 * EPS * mean * np.abs(near.coef_).max())
