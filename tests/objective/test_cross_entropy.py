"""The objective's mathematics: value, gradient and Hessian, whatever X is stored as."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from objectives import Sample, logits_at, objective_of, standardised
from problems import STORED_AS
from scipy import sparse

from smreg import family
from smreg.objective import information, null_metric
from smreg.optimize.metric import JITTER, DenseMetric, inverse_factor

EPS = np.finfo(np.float64).eps


def make_objective(
    n_classes=3,
    *,
    soft=False,
    fit_intercept=True,
    penalty=0.1,
    store=np.ascontiguousarray,
    n_samples=40,
    thread_map=map,
):
    """An objective on weighted random rows in mixed units, a third of the entries zero."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n_samples, 4)) * (rng.random((n_samples, 4)) > 1 / 3)
    X = X * [1.0, 1e3, 1e-3, 10.0] + [0.0, 5e3, 0.0, 1.0]
    if soft:
        target = rng.dirichlet(np.ones(n_classes), size=n_samples)
    else:
        target = rng.permutation(np.arange(n_samples) % n_classes)
    weights = rng.integers(0, 4, size=n_samples) / 1.0
    weights /= weights.sum()
    one_hot = target if soft else family.sufficient_statistic(target, n_classes)
    return objective_of(
        store(X),
        Sample(target, weights, weights @ one_hot),
        ridge=penalty,
        fit_intercept=fit_intercept,
        thread_map=thread_map,
    )


def from_definition(objective, phi):
    """The formula in the objective's docstring, written with the family's functions."""
    coef, intercept = objective.coefficients(phi)
    rows = objective.rows.unshifted
    eta = rows.dense() @ coef.T + intercept
    if objective.coordinates.has_reference:
        eta = np.column_stack([np.zeros(len(eta)), eta])
    target = rows.targets.values
    if target.ndim == 1:
        target = family.sufficient_statistic(target, eta.shape[1])
    loss = rows.weights @ family.cross_entropy(target, eta)
    return loss + objective.penalty.ridge / 2 * np.sum(coef**2)


def five_point_differences(function, phi, h=1e-3):
    """Derivatives of a function in each coordinate."""
    return [
        (
            8 * (function(phi + step) - function(phi - step))
            - (function(phi + 2 * step) - function(phi - 2 * step))
        )
        / (12 * h)
        for step in h * np.eye(phi.size)
    ]


CASES = [
    pytest.param({}, id="labels"),
    pytest.param({"soft": True}, id="soft"),
    pytest.param({"n_classes": 2}, id="binary"),
    pytest.param({"n_classes": 2, "soft": True}, id="binary soft"),
    pytest.param({"fit_intercept": False}, id="no intercept"),
    pytest.param({"penalty": 0.0}, id="no penalty"),
    pytest.param({"store": sparse.csr_array}, id="sparse"),
    pytest.param({"store": sparse.csr_array, "soft": True, "n_classes": 2}, id="sparse soft"),
]


@pytest.mark.parametrize("case", CASES)
def test_the_value_is_the_penalised_mean_cross_entropy(case, rng):
    """Both sum 40 terms of order one: they agree to some 40 roundings."""
    objective = make_objective(**case)
    phi = rng.normal(size=objective.start().size)

    assert_allclose(objective(phi)[0], from_definition(objective, phi), rtol=100 * EPS)


@pytest.mark.parametrize("case", CASES)
def test_the_gradient_is_that_of_finite_differences(case, rng):
    """Five points: the error is h**4 / 30 times the fifth derivative, plus the rounding 1.5 EPS F / h.

    With h = 1e-3 they are about 1e-12 (derivatives of order 10 in standardised coordinates) and 1e-12.
    """
    objective = make_objective(**case)
    phi = rng.normal(size=objective.start().size) / 2

    numeric = five_point_differences(lambda at: objective(at)[0], phi)
    assert_allclose(objective(phi)[1], numeric, rtol=0, atol=2e-11)


@pytest.mark.parametrize("case", CASES)
def test_the_information_is_the_derivative_of_the_gradient(case, rng):
    """The link is canonical: observed and expected information are the same. Error as above."""
    objective = make_objective(**case)
    phi = rng.normal(size=objective.start().size) / 2

    numeric = five_point_differences(lambda at: objective(at)[1], phi)
    assert_allclose(information.information(objective, phi), numeric, rtol=0, atol=2e-11)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [1.0, 10.0, 30.0])
def test_the_information_keeps_its_digits_where_probabilities_are_near_one(case, size, rng):
    """``1/S sum_i s_i Q' V_i Q kron z_i z_i'`` with each V_i from the family, which loses none.

    Entries are sums of 40 terms, each a few roundings off relative to the diagonal's. The logits of some
    300 are themselves rounded, by 2**-44, and so are the probabilities, relatively.
    """
    objective = make_objective(**case)
    phi = size * rng.normal(size=objective.start().size)
    Q = objective.coordinates.coding
    z, variance = standardised(objective).T, family.fisher_information(logits_at(objective, phi).T)
    expected = np.einsum(
        "i,ka,ikl,lb,im,in->ambn", objective.rows.weights, Q, variance, Q, z, z, optimize=True
    )
    expected = expected.reshape(phi.size, phi.size)
    ridge, p = np.zeros(objective.shape), objective.rows.n_features
    ridge[:, :p] = objective.penalty.ridge / objective.coordinates.scale**2
    expected += np.diag(ridge.ravel())

    root = np.sqrt(expected.diagonal())
    actual = information.information(objective, phi)
    assert_allclose(actual / np.outer(root, root), expected / np.outer(root, root), rtol=0, atol=2.0**-40)


@pytest.mark.parametrize("case", CASES)
def test_the_null_metric_is_the_information_at_the_intercept_only_model(case):
    """M = L L' with L = unwhiten^-T; both have entries of order one, and M the added jitter."""
    objective = make_objective(**case)
    metric = null_metric.null_metric(objective)
    start = objective.start()
    whitened = np.column_stack([metric.whiten(row) for row in information.information(objective, start)])
    twice = np.column_stack([metric.whiten(row) for row in whitened])

    assert_allclose(twice, np.eye(start.size), rtol=0, atol=20 * JITTER)


@pytest.mark.parametrize("case", CASES)
def test_whiten_and_unwhiten_belong_to_the_same_factor(case, rng):
    """<A g, v> = <g, A' v>, to the rounding of products with a factor of condition below 1e3."""
    objective = make_objective(**case)
    g = rng.normal(size=objective.start().size)
    phi = g / 10
    for metric in (
        null_metric.null_metric(objective),
        DenseMetric(information.information(objective, phi)),
        information.class_metric(objective, phi)[0],
    ):
        whitened = metric.whiten(g)
        v = rng.normal(size=whitened.size)
        assert_allclose(whitened @ v, g @ metric.unwhiten(v), rtol=1e3 * EPS * 20)


def test_a_singular_matrix_still_gives_a_metric():
    """Two equal columns: A' A is the inverse of the matrix with the jitter on its unit diagonal.

    The matrix with unit diagonal has the condition 2 / JITTER, and so large are relative rounding errors.
    """
    singular = np.array([[4.0, 4.0, 0.0], [4.0, 4.0, 0.0], [0.0, 0.0, 0.0]])
    factor = inverse_factor(singular.copy())

    with_jitter = singular + np.diag([4, 4, 1]) * JITTER + np.diag([0, 0, 1])
    assert_allclose(factor.T @ factor @ with_jitter, np.eye(3), rtol=0, atol=100 * EPS / JITTER)


@pytest.mark.parametrize("store", STORED_AS.values(), ids=STORED_AS)
def test_storage_does_not_matter(store, rng):
    """Dense and sparse differ in the order of summation alone: some 40 roundings of terms of order one."""
    reference, stored = make_objective(), make_objective(store=store)
    phi = rng.normal(size=reference.start().size)

    for expected, actual in zip(reference(phi), stored(phi), strict=True):
        assert_allclose(actual, expected, rtol=0, atol=100 * EPS)


def test_an_intercept_is_a_column_of_ones_without_penalty(rng):
    """Both evaluate the same sum, the intercept's coordinate being the coefficient of the ones."""
    X = rng.normal(size=(30, 3))
    X -= X.mean(axis=0)
    codes = np.arange(30) % 3
    sample = Sample(codes, np.full(30, 1 / 30), np.full(3, 1 / 3))
    with_intercept = objective_of(X, sample)
    ones = objective_of(np.column_stack([X, np.ones(30)]), sample, fit_intercept=False)
    coef = rng.normal(size=(3, 4))
    coef -= coef.mean(axis=0)
    phi = with_intercept.coordinates.of(coef[:, :3], coef[:, 3])

    value = with_intercept(phi)[0]
    assert_allclose(ones(ones.coordinates.of(coef, np.zeros(3)))[0], value, rtol=100 * EPS)


def test_coordinates_and_coefficients_are_inverse(rng):
    """Up to the rounding of `mean @ coef`, with means of up to 5e3 spreads."""
    objective = make_objective()
    coef = rng.normal(size=(3, 4)) / [1.0, 1e3, 1e-3, 10.0]
    intercept = rng.normal(size=3)
    coef, intercept = coef - coef.mean(axis=0), intercept - intercept.mean()

    back = objective.coefficients(objective.coordinates.of(coef, intercept))
    assert_allclose(back[0], coef, rtol=0, atol=10 * EPS * np.abs(coef).max(axis=0).max())
    assert_allclose(back[1], intercept, rtol=0, atol=1e5 * EPS)


def test_blocks_of_rows_and_threads_change_nothing(rng):
    """More rows than a block holds: sums in the order of the blocks, so equal to the last bit."""
    from concurrent.futures import ThreadPoolExecutor

    n_samples = 200_000
    with ThreadPoolExecutor(3) as pool:
        serial = make_objective(n_samples=n_samples)
        threaded = make_objective(n_samples=n_samples, thread_map=pool.map)
        phi = rng.normal(size=serial.start().size)
        assert len(list(serial.rows.map_blocks(len))) > 1
        for expected, actual in zip(serial(phi), threaded(phi), strict=True):
            assert_array_equal(actual, expected)
        # n roundings of terms of order 1 / n at most
        assert_allclose(serial(phi)[0], from_definition(serial, phi), rtol=1e3 * EPS)


def test_units_that_are_powers_of_two_change_no_bit(rng):
    """Scaling columns by them is exact in every step from X to value and gradient."""
    X, units = rng.normal(size=(50, 3)) + 5, np.array([2.0**40, 2.0**-30, 1.0])
    sample = Sample(np.arange(50) % 3, np.full(50, 1 / 50), np.full(3, 1 / 3))
    here = objective_of(X, sample)
    there = objective_of(X * units, sample)
    phi = rng.normal(size=here.start().size)

    for expected, actual in zip(here(phi), there(phi), strict=True):
        assert_array_equal(actual, expected)
