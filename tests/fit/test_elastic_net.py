"""The elastic net: optimality, exact zeros, and agreement with what people trust."""

import warnings

import numpy as np
import problems
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from objectives import Sample, objective_of
from optima import symmetric_logits
from recorder import Recorder
from scipy import optimize, sparse, special
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import scale

from smreg import SoftmaxRegression
from smreg.data.matrix import MatrixRows
from smreg.data.targets import Targets
from smreg.fit import elastic_net
from smreg.fit.elastic_net import ElasticNet, Step, _Search
from smreg.fit.regression import Problem
from smreg.objective.penalty import Penalty
from smreg.objective.working import Hessians, Products
from smreg.optimize import quadratic
from smreg.optimize.metric import JITTER

TIGHT = 1e-9  # the objective is then 5e-19 above its minimum, less than its rounding
ROUNDING = 1e-14  # of an objective of order one, a mean of terms of that order
RATIOS = [0.3, 1.0]


@pytest.fixture(params=["iris", "wine", "breast_cancer"])
def table(request):
    return getattr(datasets, f"load_{request.param}")(return_X_y=True)


@pytest.fixture
def four_classes(rng):
    return problems.sample(rng, n=200, p=6, n_classes=4)


def value(coef, intercept, X, y, C, l1_ratio, weights=None):
    """The objective from its definition, for labels that are codes."""
    s = np.ones(len(y)) if weights is None else weights
    eta = X @ coef.T + intercept
    eta = np.column_stack([np.zeros(len(y)), eta]) if eta.shape[1] == 1 else eta
    loss = np.average(special.logsumexp(eta, axis=1) - eta[np.arange(len(y)), y], weights=s)
    penalty = (1 - l1_ratio) / 2 * np.sum(coef**2) + l1_ratio * np.abs(coef).sum()
    return loss + penalty / (C * s.sum())


def objective(model, X, y, weights=None):
    coef = np.asarray(model.coef_, dtype=float)
    return value(coef, model.intercept_, X, y, model.C, model.l1_ratio, weights)


def gradient(model, X, y):
    """Of the mean cross-entropy, in the coefficients and the intercepts."""
    rows = len(model.coef_)
    residuals = model.predict_proba(X) - np.eye(len(model.classes_))[y]
    return residuals[:, -rows:].T @ X / len(y), residuals[:, -rows:].mean(axis=0)


def fit(X, y, **options):
    return SoftmaxRegression(**({"tol": TIGHT} | options)).fit(X, y)


def problem(X, y, **options):
    targets = Targets(np.unique(y), y)
    options = {"fit_intercept": True, "largest_C": 1.0, "l1": True} | options
    return Problem(MatrixRows(X, targets, np.ones(len(y))), **options)


class ByProducts(Hessians):
    """Hessians that are never made."""

    def at(self, theta, members, ridge, accuracy, *, sampled):
        """H by its products."""
        return Products(self.loss, theta, *np.nonzero(members), ridge, accuracy)


def net(X, y, l1_ratio=1.0, C=1.0, kind=Hessians):
    sample = Sample(y, np.full(len(y), 1 / len(y)), np.bincount(y) / len(y))
    strength = 1 / (C * len(y))
    penalty = Penalty(strength * (1 - l1_ratio), strength * l1_ratio)
    return ElasticNet(kind(objective_of(X, sample, symmetric=True)), penalty)


def start_of(net):
    """The intercept-only model, evaluated."""
    return net.at(net.loss.start().reshape(net.shape))


# The optimum


@pytest.mark.parametrize("C", [0.1, 10.0])
@pytest.mark.parametrize("l1_ratio", RATIOS)
@pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "no intercept"])
def test_the_optimality_conditions_hold_for_every_coefficient(table, l1_ratio, C, fit_intercept):
    """With a step d to the minimum of the model the conditions are off by ``(H d)_j``, of which the square is
    at most ``H_jj ||d||_H^2``, and ``H_jj <= mean(x_j^2) / 4 + gamma``. A sum of n rounded terms is off by a
    few ``2**-52 max |x_j|`` besides.
    """
    X, y = table
    model = fit(X, y, C=C, l1_ratio=l1_ratio, fit_intercept=fit_intercept)
    by_coef, by_intercept = gradient(model, X, y)
    gamma, W = 1 / (C * len(y)), model.coef_
    slope = by_coef + gamma * (1 - l1_ratio) * W
    tolerance = TIGHT * np.sqrt(np.mean(X**2, axis=0) / 4 + gamma) + 2e-14 * np.abs(X).max(axis=0)

    assert model.converged_
    assert (np.abs(slope + gamma * l1_ratio * np.sign(W)) <= tolerance)[W != 0].all()
    assert (np.abs(slope) <= gamma * l1_ratio + tolerance)[W == 0].all()
    assert not fit_intercept or (np.abs(by_intercept) <= TIGHT).all()
    assert l1_ratio < 1 or (W == 0).any()
    assert (W != 0).any()


@pytest.mark.parametrize("l1_ratio", RATIOS)
def test_the_minimum_is_scipy_s_for_the_problem_split_into_signs(table, l1_ratio):
    """Split into two bounded parts, W = U - V, F is smooth. L-BFGS-B gets as near as ``ftol`` lets it."""
    X, y = table
    X, n_classes, p = scale(X), y.max() + 1, X.shape[1]
    rows = 1 if n_classes == 2 else n_classes
    T = np.eye(n_classes)[y][:, -rows:]
    gamma = 1 / len(y)

    def split(v):
        U, V = v[: 2 * rows * p].reshape(2, rows, p)
        b = v[2 * rows * p :]
        eta = X @ (U - V).T + b
        q = special.expit(eta) if rows == 1 else special.softmax(eta, axis=1)
        by_W = (q - T).T @ X / len(y) + gamma * (1 - l1_ratio) * (U - V)
        F = value(U - V, b, X, y, 1.0, l1_ratio)
        F += gamma * l1_ratio * ((U + V).sum() - np.abs(U - V).sum())
        slopes = [by_W + gamma * l1_ratio, gamma * l1_ratio - by_W]
        return F, np.concatenate([np.ravel(slopes), (q - T).mean(axis=0)])

    size = 2 * rows * p
    bounds = [(0, None)] * size + [(None, None)] * rows
    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 10_000, "maxfun": 100_000}
    theirs = optimize.minimize(
        split, np.zeros(size + rows), jac=True, method="L-BFGS-B", bounds=bounds, options=options
    )
    ours = fit(X, y, l1_ratio=l1_ratio)

    assert ours.solution_.objective <= theirs.fun + ROUNDING
    assert ours.solution_.objective == pytest.approx(theirs.fun, rel=1e-9)
    assert objective(ours, X, y) == pytest.approx(ours.solution_.objective, rel=1e-13)


@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
@pytest.mark.parametrize("C", [0.02, 0.1])
def test_saga_run_to_convergence_finds_the_same_objective_and_support(table, l1_ratio, C):
    """Thousands of its steps leave saga up to 1e-8 above the minimum, where our gap is rounding. The support
    is unique but for ``l1_ratio=1`` with three classes. An excess e lets a coefficient of standardised data
    be off by some ``sqrt(2 e n) C``, 1e-3 here: what is nearer to zero is not told from it.
    """
    X, y = table
    X = scale(X)
    ours = fit(X, y, C=C, l1_ratio=l1_ratio)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = LogisticRegression(solver="saga", C=C, l1_ratio=l1_ratio, tol=1e-9, max_iter=3000)
        theirs.fit(X, y)

    assert ours.solution_.duality_gap <= ROUNDING
    excess = objective(theirs, X, y) - objective(ours, X, y)
    assert -ROUNDING <= excess <= 1e-8
    if l1_ratio < 1 or len(ours.classes_) == 2:
        clear = (np.abs(ours.coef_) > 1e-3) | (ours.coef_ == 0)
        assert_array_equal((np.abs(theirs.coef_) > 1e-3)[clear], (ours.coef_ != 0)[clear])


@pytest.mark.parametrize("l1_ratio", RATIOS)
@pytest.mark.parametrize("C", [0.1, 100.0])
@pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "no intercept"])
def test_the_duality_gap_bounds_the_excess_wherever_the_search_stops(table, l1_ratio, C, fit_intercept):
    """At the optimum the gap is rounding: that of the dual point's conditions, sums of terms of the size of a
    column, relative to the weight gamma that they are held to, in units of F.
    """
    X, y = table
    options = {"C": C, "l1_ratio": l1_ratio, "fit_intercept": fit_intercept}
    least = fit(X, y, **options).solution_
    for max_iter in (0, 1, 2, 4, 8):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            solution = fit(X, y, **options, tol=1e-4, max_iter=max_iter).solution_
        excess = solution.objective - least.objective
        assert -ROUNDING <= excess <= solution.duality_gap + ROUNDING
    relative = 2.0**-50 * np.abs(X).max() * C * len(y) / l1_ratio
    assert least.duality_gap <= ROUNDING + relative * least.objective


@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_a_fit_at_the_default_tol_is_within_its_square_of_the_minimum(raw_data, l1_ratio):
    """In raw units, without a warning: the gap is to half of ``tol**2`` what the norm says."""
    X, y = raw_data
    solution = fit(X, y, l1_ratio=l1_ratio, tol=1e-4).solution_

    assert solution.converged
    assert 0 <= solution.duality_gap <= 1e-8


@pytest.mark.parametrize("make", problems.HARD)
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_hard_problems_converge(make, l1_ratio, rng):
    X, y, weights = make(rng)
    model = SoftmaxRegression(l1_ratio=l1_ratio).fit(X, y, weights)

    assert model.converged_
    assert 0 <= model.solution_.suboptimality <= 0.5e-8


def test_a_step_that_is_longer_than_its_norm_says_is_not_taken_for_rounding(table):
    """The norm is too small to change F by more than rounding, while the step makes F rise: 2**-30."""
    elastic_net = net(*table, C=1e6)
    start = elastic_net.at(np.zeros(elastic_net.shape))
    direction = np.sign(start.gradient)

    reached = _Search(elastic_net, 1e-6).follow(start, Step(direction, direction, norm=1e-9))

    assert elastic_net.at(direction).value > start.value + 0.1
    assert reached is None or reached.value <= start.value + 2.0**-30 * max(1.0, start.value)


def test_the_excess_of_a_fit_that_sampled_rows_is_within_its_gap(rng):
    X, y = problems.sample(rng, n=20_000, p=12, n_classes=5)
    rough, fine = (fit(X, y, l1_ratio=0.5, C=0.01, tol=tol).solution_ for tol in (1e-4, TIGHT))

    assert 0 <= rough.objective - fine.objective + ROUNDING <= rough.duality_gap + 2 * ROUNDING
    assert rough.duality_gap <= 1e-8


# Zeros


@pytest.mark.parametrize("l1_ratio", RATIOS)
def test_the_model_is_the_priors_up_to_the_largest_correlation_and_not_beyond(table, l1_ratio):
    X, y = table
    codes = np.eye(y.max() + 1)[y][:, -1 if y.max() == 1 else slice(None)].reshape(len(y), -1)
    largest = np.abs((codes - codes.mean(axis=0)).T @ (X - X.mean(axis=0))).max()
    C = l1_ratio / largest
    at, beyond = (fit(X, y, C=C * factor, l1_ratio=l1_ratio) for factor in (1 - 1e-9, 1.01))

    assert not at.coef_.any()
    assert_allclose(at.predict_proba(X[:1])[0], np.bincount(y) / len(y), rtol=1e-12)
    assert np.count_nonzero(beyond.coef_) == 1 or len(beyond.classes_) > 2
    assert beyond.coef_.any()


def test_as_the_l1_ratio_goes_to_zero_the_ridge_remains(table):
    """F differs by less than ``gamma rho ||W||_1``, and strong convexity turns that into a distance."""
    X, y = table
    X, rho = scale(X), 1e-10
    ridge, almost = fit(X, y), fit(X, y, l1_ratio=rho)
    size = np.abs(ridge.coef_).sum()

    assert almost.solution_.objective == pytest.approx(ridge.solution_.objective, abs=rho * size / len(y))
    assert np.sum((almost.coef_ - ridge.coef_) ** 2) <= 4 * rho * size


def test_without_an_intercept_a_strong_penalty_leaves_even_odds(rng):
    X, y = problems.sample(rng)
    model = fit(X, y, C=1e-6, l1_ratio=0.5, fit_intercept=False)

    assert not model.coef_.any()
    assert model.n_iter_ == 0
    assert model.solution_.objective == pytest.approx(np.log(3), rel=1e-12)
    assert 0 <= model.solution_.duality_gap <= ROUNDING


def test_without_a_penalty_the_l1_ratio_plays_no_part(rng):
    X, y = problems.sample(rng)
    ridge, lasso = (fit(X, y, C=np.inf, l1_ratio=l1_ratio) for l1_ratio in (0.0, 1.0))

    assert_array_equal(ridge.coef_, lasso.coef_)
    assert lasso.solution_.duality_gap == np.inf


# Many minima


def shifts_of_least_norm(w):
    """The values of a column that, subtracted from it, leave the least L1 norm, by trying all."""
    norms = [np.abs(w - c).sum() for c in w]
    return [c for c, norm in zip(w, norms, strict=True) if norm <= min(norms)]


@given(hnp.arrays(float, st.tuples(st.integers(3, 8), st.integers(1, 4)), elements=st.integers(-3, 3)))
def test_the_canonical_shift_has_the_least_l1_norm_the_most_zeros_and_the_least_length(W):
    """Whole numbers, whose sums are exact and among which there are ties."""
    X, y = np.random.default_rng(0).normal(size=(2 * len(W), W.shape[1])), np.arange(2 * len(W)) % len(W)
    theta = np.column_stack([W, np.zeros(len(W))])
    shifted = net(X, y).canonical(theta)

    for w, v in zip(W.T, shifted[:, :-1].T, strict=True):
        options = [w - c for c in shifts_of_least_norm(w)]
        keys = [(-np.sum(o == 0), round(np.sum(o**2), 9), o[0] - w[0]) for o in options]
        assert (-np.sum(v == 0), round(np.sum(v**2), 9), v[0] - w[0]) == min(keys)
    assert_array_equal(shifted[:, -1], theta[:, -1])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("max_iter", [1, 2, 3])
@pytest.mark.parametrize("seed", [31, 36, 39])
def test_the_record_of_a_lasso_that_was_cut_short_is_that_of_its_canonical_coefficients(seed, max_iter):
    """Sums of 60 losses near one and 12 sizes are exact to some hundred roundings."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(60, 4)) * 10.0 ** rng.integers(-1, 2, 4), rng.permutation(np.arange(60) % 3)
    X[:, 0] += 2 * y
    model = SoftmaxRegression(l1_ratio=1.0, C=10.0, max_iter=max_iter).fit(X, y)

    assert model.solution_.objective == pytest.approx(objective(model, X, y), rel=2.0**-44)


def test_the_lasso_of_four_classes_is_canonical(four_classes):
    X, y = four_classes
    model = fit(X, y, l1_ratio=1.0)
    theta = np.column_stack([model.coef_, model.intercept_])

    assert (model.coef_ == 0).any(axis=0).all()
    assert_array_equal(net(X, y).canonical(theta), theta)


@pytest.mark.parametrize("l1_ratio", RATIOS)
def test_the_order_of_classes_plays_no_part(four_classes, l1_ratio):
    """Two fits within 1e-9 standard errors of the optimum."""
    X, y = four_classes
    order = np.array([2, 0, 3, 1])
    one, other = fit(X, y, l1_ratio=l1_ratio), fit(X, order[y], l1_ratio=l1_ratio)

    assert_array_equal(one.coef_ == 0, other.coef_[order] == 0)
    assert_allclose(one.coef_, other.coef_[order], rtol=0, atol=1e-7)
    assert_allclose(one.intercept_, other.intercept_[order], rtol=0, atol=1e-7)


# Invariances


@pytest.mark.parametrize("l1_ratio", RATIOS)
def test_a_weight_of_two_is_the_sample_twice(four_classes, l1_ratio, rng):
    X, y = four_classes
    counts = rng.integers(0, 4, len(y))
    weighted = SoftmaxRegression(l1_ratio=l1_ratio, tol=TIGHT).fit(X, y, counts)
    repeated = fit(np.repeat(X, counts, axis=0), np.repeat(y, counts), l1_ratio=l1_ratio)

    assert_array_equal(weighted.coef_ == 0, repeated.coef_ == 0)
    assert_allclose(weighted.coef_, repeated.coef_, rtol=0, atol=1e-7)


@pytest.mark.parametrize("exponent", [-40, -7, 1, 33])
def test_with_the_l1_norm_alone_units_scale_the_penalty(exponent):
    """Columns in units of a power of two and a C to match are the same problem, to the last bit."""
    X, y = datasets.load_iris(return_X_y=True)
    unit = 2.0**exponent
    plain, scaled = fit(X, y, l1_ratio=1.0, tol=1e-4), fit(X * unit, y, l1_ratio=1.0, C=1 / unit, tol=1e-4)

    assert_array_equal(plain.coef_, scaled.coef_ * unit)
    assert_array_equal(plain.intercept_, scaled.intercept_)


@pytest.mark.parametrize("storage", problems.STORAGES)
@pytest.mark.parametrize("l1_ratio", RATIOS)
def test_the_storage_of_x_plays_no_part(four_classes, storage, l1_ratio):
    X, y = four_classes
    X = np.where(np.abs(X) < 0.7, 0.0, X)
    plain, stored = fit(X, y, l1_ratio=l1_ratio), fit(problems.STORAGES[storage](X), y, l1_ratio=l1_ratio)

    assert_array_equal(plain.coef_ == 0, stored.coef_ == 0)
    assert_allclose(plain.coef_, stored.coef_, rtol=0, atol=1e-7)
    assert_allclose(plain.predict_proba(X), stored.predict_proba(X), rtol=0, atol=1e-8)


def test_single_precision_is_kept_and_solved_in_double(four_classes):
    X, y = four_classes
    X = X.astype(np.float32)
    single, double = fit(X, y, l1_ratio=0.5), fit(X.astype(float), y, l1_ratio=0.5)

    assert single.coef_.dtype == np.float32
    assert single.solution_.objective == double.solution_.objective


def test_the_number_of_threads_changes_no_bit(rng):
    X, y = problems.sample(rng, n=30_000, p=10)
    one, two = (fit(X, y, l1_ratio=0.5, C=1e-3, tol=1e-4, n_jobs=n) for n in (1, 2))

    assert_array_equal(one.coef_, two.coef_)
    assert one.solution_.duality_gap == two.solution_.duality_gap


@pytest.mark.parametrize("l1_ratio", RATIOS)
def test_one_hot_soft_targets_are_labels(four_classes, l1_ratio):
    X, y = four_classes
    hard, soft = fit(X, y, l1_ratio=l1_ratio), fit(X, np.eye(4)[y], l1_ratio=l1_ratio)

    assert_allclose(hard.coef_, soft.coef_, rtol=0, atol=1e-7)
    assert hard.solution_.objective == pytest.approx(soft.solution_.objective, abs=ROUNDING)


def test_a_class_without_weight_changes_nothing_but_its_own_row(four_classes):
    X, y = four_classes
    weights = (y != 1).astype(float)
    model = SoftmaxRegression(l1_ratio=0.5, tol=TIGHT).fit(X, y, weights)
    without = fit(X[y != 1], y[y != 1], l1_ratio=0.5)

    assert not model.coef_[1].any()
    assert_allclose(model.coef_[[0, 2, 3]], without.coef_, rtol=0, atol=1e-7)
    assert (model.predict_proba(X)[:, 1] < 1e-100).all()


# The ways to the optimum


@pytest.mark.parametrize("l1_ratio", RATIOS)
@pytest.mark.parametrize("storage", problems.STORAGES)
def test_products_with_the_hessian_lead_to_the_same_optimum_as_its_matrix(four_classes, l1_ratio, storage):
    X, y = four_classes
    X = problems.STORAGES[storage](X)
    nets = [net(X, y, l1_ratio, kind=kind) for kind in (Hessians, ByProducts)]
    made = [
        elastic_net.minimize(each, start_of(each), tol=tol, max_iter=100)
        for each, tol in zip(nets, (TIGHT, 1e-8), strict=True)
    ]
    by_matrix, by_products = (nets[0].loss.coefficients(minimum.theta) for minimum in made)

    assert made[1].reason == "converged"
    assert_array_equal(by_matrix[0] == 0, by_products[0] == 0)
    for of_matrix, of_products in zip(by_matrix, by_products, strict=True):
        assert_allclose(of_matrix, of_products, rtol=0, atol=1e-6)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_the_products_are_those_of_the_matrix(four_classes, l1_ratio, rng):
    X, y = four_classes
    sparse_net = net(sparse.csr_array(X), y, l1_ratio)
    theta = rng.normal(size=sparse_net.shape)
    members = rng.random(theta.shape) < 0.7
    members[:, -1] = True
    options = theta, members, sparse_net.ridge[members], 1e-12
    matrix = sparse_net.hessians.at(*options, sampled=False)
    products = ByProducts(sparse_net.hessians.loss).at(*options, sampled=False)
    v, active = rng.normal(size=members.sum()), np.flatnonzero(rng.random(members.sum()) < 0.5)

    assert_allclose(products.product(v), matrix.product(v), rtol=0, atol=1e-13)
    assert_allclose(products.diagonal, matrix.diagonal, rtol=1e-12)
    solved = [H.solve(active, v[active], exact=True)[0] for H in (matrix, products)]
    assert_allclose(solved[0], solved[1], rtol=1e-6, atol=1e-8)


def test_a_step_where_the_curvature_drowns_has_the_length_that_its_fall_tells():
    """H is singular: along (1, -1) the jitter alone bounds the step. Its curvature of ``2 JITTER`` is not in
    the products with H, and what they have, rounding, told of a length of zero: of a minimum.
    """
    slope = 1e-10 * np.array([1.0, -1.0])
    model = quadratic.Model(
        quadratic.DenseQuadratic(np.ones((2, 2))), slope, np.array([1.0, 1.0]), np.zeros(2)
    )
    minimum = model.minimum(1e-3)
    fall = -slope @ (minimum.x - model.start)

    assert fall == pytest.approx(2e-20 / JITTER, rel=1e-3)
    assert minimum.norm == pytest.approx(np.sqrt(2 * fall), rel=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.floats(0, 3))
def test_the_minimum_of_a_model_meets_its_conditions(seed, size, weight):
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(size, size + 1))
    H, g, start = half @ half.T, rng.normal(size=size), rng.normal(size=size) * (rng.random(size) < 0.5)
    weights = weight * (rng.random(size) < 0.8)
    made = quadratic.Model(quadratic.DenseQuadratic(H), g, start, weights).minimum(2.0**-10, exact=True)

    assert made.norm == pytest.approx(np.sqrt((made.x - start) @ H @ (made.x - start)), rel=1e-6, abs=1e-12)
    assert_is_minimum(made, H, g, start, weights)


@given(st.integers(0, 2**32 - 1), st.integers(2, 14))
def test_the_minimum_of_a_singular_model_meets_its_conditions(seed, size):
    """Some coordinates begin so near zero that the others' steps to that border are less than their rounding.
    The slope is one at which the model has a minimum.
    """
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(rng.integers(1, size + 1), size))
    H, weights = half.T @ half / size, np.full(size, 10.0 ** rng.uniform(-3, 0))
    start = rng.normal(size=size) * (rng.random(size) < 0.6)
    is_tiny = rng.random(size) < 0.2
    start[is_tiny] = rng.choice([-1.0, 1.0], is_tiny.sum()) * 10.0 ** rng.uniform(-22, -15, is_tiny.sum())
    g = H @ rng.normal(size=size) + weights * rng.uniform(-1, 1, size=size)
    made = quadratic.Model(quadratic.DenseQuadratic(H), g, start, weights).minimum(2.0**-10, exact=True)

    assert_is_minimum(made, H, g, start, weights)


def assert_is_minimum(made, H, g, start, weights):
    """The active set is settled to ``2**-20`` of the fall: what is left of the slopes is at most
    ``2**-10`` of the norm in the metric of the diagonal.
    """
    slope = g + H @ (made.x - start)
    beyond = np.maximum(np.abs(slope) - weights, 0)
    excess = np.where(made.x == 0, beyond, np.abs(slope + weights * np.sign(made.x)))
    rounding = 1e-6 * (np.abs(g).max() + weights.max())

    assert made.is_exact
    assert (excess <= 2.0**-9 * np.sqrt(H.diagonal()) * made.norm + rounding).all()


class Unsolvable(quadratic.DenseQuadratic):
    """H whose systems floating point does not solve."""

    def solve(self, active, rhs, *, exact):
        """Uphill."""
        return -rhs, True


def test_a_model_that_floating_point_cannot_minimise_is_not_at_its_minimum():
    """A length of zero would say so; what the slope misses, in the metric of the diagonal, is one."""
    g, weights = np.array([3.0, 0.5]), np.array([1.0, 1.0])
    made = quadratic.Model(Unsolvable(4 * np.eye(2)), g, np.zeros(2), weights).minimum(1e-3)

    assert made.norm == 1.0  # (3 - 1) / sqrt(4)
    assert_array_equal(made.x, 0)


class NotSolved(Hessians):
    """Hessians whose systems floating point does not solve."""

    def at(self, *arguments, **options):
        """One of them."""
        return Unsolvable(super().at(*arguments, **options).matrix)


def test_a_fit_that_floating_point_cannot_continue_is_not_converged(four_classes):
    unsolved = net(*four_classes, kind=NotSolved)
    made = elastic_net.minimize(unsolved, start_of(unsolved), tol=1e-4, max_iter=100)

    assert made.reason == "rounding"
    assert made.norm > 1e-4


@pytest.mark.parametrize("l1_ratio", RATIOS)
def test_a_path_from_strong_to_weak_ends_where_fits_of_their_own_do(l1_ratio):
    X, y = datasets.load_wine(return_X_y=True)
    made, start = problem(X, y, largest_C=100.0), None
    for C in np.geomspace(1e-3, 1e2, 21):
        warm, record = made.solve(C, l1_ratio=l1_ratio, tol=1e-4, max_iter=100, start=start)
        cold = made.solve(C, l1_ratio=l1_ratio, tol=TIGHT, max_iter=100)[1]
        assert record.converged
        assert -ROUNDING <= record.objective - cold.objective <= record.duality_gap + ROUNDING
        start = warm


@pytest.mark.parametrize("unit", [1e-300, 1e-150, 1.0, 1e150, 1e300])
@pytest.mark.parametrize("C", [1e-300, 1.0, 1e300])
@pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "no intercept"])
def test_nothing_over_or_underflows(unit, C, fit_intercept, rng):
    X, y = problems.sample(rng, n=30)
    for l1_ratio in (1e-300, 0.5, 1.0):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = fit(unit * X, y, C=C, l1_ratio=l1_ratio, fit_intercept=fit_intercept, max_iter=30)
        assert np.isfinite(model.coef_).all()
        assert 0 <= model.solution_.duality_gap <= model.solution_.objective + ROUNDING


def test_a_start_worse_than_none_is_not_taken(rng):
    X, y = problems.sample(rng)
    made = problem(X, y)
    cold, record = made.solve(1.0, l1_ratio=0.5, tol=1e-4, max_iter=100)
    far = type(cold)(1e3 * cold.coef[::-1], cold.intercept)
    warm, other = made.solve(1.0, l1_ratio=0.5, tol=1e-4, max_iter=100, start=far)

    assert_array_equal(warm.coef, cold.coef)
    assert other.evaluations == record.evaluations + 1


def test_a_warm_start_at_the_optimum_takes_no_step(rng):
    X, y = problems.sample(rng)
    model = SoftmaxRegression(l1_ratio=0.5, warm_start=True).fit(X, y)
    coef = model.coef_
    model.sparsify().fit(X, y)

    assert model.n_iter_ == 0
    assert_allclose(model.coef_, coef, rtol=1e-12, atol=0)


# The estimator


def test_a_fit_that_ends_early_says_so_and_is_no_worse_than_the_start(rng):
    X, y = problems.sample(rng)
    with pytest.warns(ConvergenceWarning, match="Increase max_iter, now 1"):
        model = SoftmaxRegression(l1_ratio=0.5, max_iter=1).fit(X, y)

    priors = np.bincount(y) / len(y)
    assert model.n_iter_ == 1
    assert model.solution_.objective <= -priors @ np.log(priors)
    assert (
        model.solution_.duality_gap >= model.solution_.objective - fit(X, y, l1_ratio=0.5).solution_.objective
    )


def test_a_fit_that_is_interrupted_leaves_the_estimator_as_it_was(rng):
    X, y = problems.sample(rng)
    model = SoftmaxRegression(l1_ratio=0.5).fit(X, y)
    model.set_callbacks(Recorder(stop_at=1, error=KeyboardInterrupt()))
    before = dict(vars(model))

    with pytest.raises(KeyboardInterrupt):
        model.fit(2 * X, y)
    assert all(vars(model)[name] is before[name] for name in before)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array])
def test_a_sparsified_model_predicts_as_before(rng, n_classes, store):
    X, y = problems.sample(rng, n_classes=n_classes)
    model = SoftmaxRegression(C=0.1, l1_ratio=1.0).fit(X, y)
    coef, X = model.coef_, store(X)
    methods = "decision_function", "predict", "predict_proba", "predict_log_proba"
    before = [getattr(model, method)(X) for method in methods]

    assert model.sparsify() is model
    assert sparse.issparse(model.coef_)
    assert model.coef_.nnz == np.count_nonzero(coef)
    for method, expected in zip(methods, before, strict=True):
        assert_array_equal(getattr(model, method)(X), expected)
    assert model.densify() is model
    assert_array_equal(model.coef_, coef)
    assert_array_equal(model.densify().coef_, coef)


@pytest.mark.parametrize("method", ["sparsify", "densify"])
def test_without_a_fit_there_is_nothing_to_sparsify(method):
    with pytest.raises(NotFittedError):
        getattr(SoftmaxRegression(), method)()


@pytest.mark.parametrize("l1_ratio", [-0.1, 1.1, np.nan, None, "elasticnet"])
def test_an_l1_ratio_outside_0_and_1_is_refused(rng, l1_ratio):
    X, y = problems.sample(rng)
    with pytest.raises(ValueError, match="l1_ratio"):
        SoftmaxRegression(l1_ratio=l1_ratio).fit(X, y)


def test_verbose_tells_the_steps(rng, capsys):
    X, y = problems.sample(rng)
    model = SoftmaxRegression(l1_ratio=0.5, verbose=1).fit(X, y)

    printed = capsys.readouterr().out
    assert f"step {model.n_iter_}: objective {model.solution_.objective:.9f}" in printed
    assert "The fit converged" in printed


def test_probabilities_are_those_of_the_logits(four_classes):
    X, y = four_classes
    model = fit(X, y, l1_ratio=1.0)

    assert_allclose(model.predict_proba(X), special.softmax(symmetric_logits(model, X), axis=1), rtol=1e-12)
    assert model.intercept_.sum() == pytest.approx(0, abs=1e-12)


# -- rounding


def wide_columns_far_from_zero(seed):
    """Small integers, most of them some 2**22 away from zero, in units from 2**-6 to 2**6."""
    rng = np.random.default_rng(seed)
    X = rng.integers(-5, 6, (6, 21)) + 2.0**22 * rng.choice([-1, 0, 1], 21)
    return X * 2.0 ** rng.integers(-6, 7, 21), np.array([1, 0, 0, 1, 0, 1])


@pytest.mark.parametrize("seed", [11, 16])
def test_steps_that_drown_in_the_rounding_of_logits_come_to_an_end(seed):
    """A sparse X is not shifted, so that its logits carry 2**22 times their rounding, and the gradient's norm
    stays above tol: the search would go on until max_iter.
    """
    X, y = wide_columns_far_from_zero(seed)
    dense = SoftmaxRegression(l1_ratio=1.0, tol=1e-6).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        stored = SoftmaxRegression(l1_ratio=1.0, tol=1e-6).fit(sparse.csr_array(X), y)

    assert stored.solution_.reason in ("converged", "rounding")
    assert stored.n_iter_ <= 200
    assert stored.solution_.objective == pytest.approx(dense.solution_.objective, abs=2**22 * 21 * 2.0**-52)


# -- columns that others determine


@pytest.mark.parametrize("l1_ratio", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_with_a_penalty_columns_that_others_determine_keep_their_own_coefficients(rng, n_classes, l1_ratio):
    """What is best without a penalty, the least norm, is not taken for what is best with one: the record is
    what the coefficients give, to the rounding of sums of 200 terms, and none is above it nearby.
    """
    X, y = problems.sample(rng, n_classes=n_classes)
    X = np.column_stack([X, 2.54 * X[:, 0] + X[:, 1]])
    model = SoftmaxRegression(C=0.1, l1_ratio=l1_ratio, tol=1e-8).fit(X, y)
    theirs = LogisticRegression(C=0.1, l1_ratio=l1_ratio, solver="saga", tol=1e-10, max_iter=50_000).fit(X, y)

    def objective(fitted):
        size = np.abs(fitted.coef_)
        penalty = np.sum((1 - l1_ratio) / 2 * size**2 + l1_ratio * size) / (0.1 * len(y))
        return penalty - np.mean(fitted.predict_log_proba(X)[np.arange(len(y)), y])

    assert objective(model) == pytest.approx(model.solution_.objective, abs=1e-13)
    assert objective(model) <= objective(theirs) + 1e-13
