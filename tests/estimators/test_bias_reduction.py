"""Bias reduction by Jeffreys' prior: closed forms, a plain numerical maximum, and laws.

Fits are run at ``tol=1e-10``, the norm of a mean over some dozens of samples: logits are then off by 1e-9
standard errors, of some nats at most, and probabilities by less than 1e-8.
"""

import numpy as np
import pytest
from dask import array as da
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import optimize, sparse, special
from sklearn.datasets import load_iris

from smreg import SoftmaxRegression, separation

seeds = st.integers(0, 2**20)


def fitted(X, y, sample_weight=None, offset=None, **options):
    model = SoftmaxRegression(C=np.inf, bias_reduction=True, tol=1e-10, **options)
    return model.fit(X, y, sample_weight, offset)


def probabilities(X, y, offset):
    return fitted(X, y, None, offset).predict_proba(X, offset=offset)


def table(seed):
    """A small table that is often separated, with every class, and offsets."""
    rng = np.random.default_rng(seed)
    K = rng.integers(2, 5)
    n, p = rng.integers(3 * K, 40), rng.integers(1, 4)
    X = rng.normal(size=(n, p)) * 10.0 ** rng.integers(-2, 3, p)
    X[:, 0] = rng.integers(0, 2, n)
    y = rng.integers(0, K, n)
    y[:K] = np.arange(K)
    return X, y, rng.integers(-8, 9, (n, K)) / 8


def penalised_log_likelihood(theta, X, y, weights, offset):
    """That of Jeffreys' prior for coefficients against the first class, by a dense determinant."""
    K = offset.shape[1]
    B = np.vstack([np.zeros(X.shape[1]), theta.reshape(K - 1, -1)])
    log_p = special.log_softmax(offset + X @ B.T, axis=1)
    p = np.exp(log_p[:, 1:])
    covariances = np.einsum("ik,kl->ikl", p, np.eye(K - 1)) - np.einsum("ik,il->ikl", p, p)
    information = np.einsum("i,ikl,ia,ib->kalb", weights, covariances, X, X).reshape(theta.size, theta.size)
    sign, log_determinant = np.linalg.slogdet(information)
    assert sign > 0
    return weights @ log_p[np.arange(len(y)), y] + log_determinant / 2


def gradient_by_differences(function, theta):
    """Five-point differences: an error of about 1e-3**4 in units of the function."""
    steps = 1e-3 * np.eye(theta.size)
    return np.array(
        [
            (
                8 * (function(theta + h) - function(theta - h))
                - function(theta + 2 * h)
                + function(theta - 2 * h)
            )
            / 12e-3
            for h in steps
        ]
    )


@settings(max_examples=25)
@given(seeds)
def test_it_is_a_plain_numerical_maximum(seed):
    """Of standardised columns, where the information is of order n: at the minimum of BFGS the gradient by
    differences is below 1e-6, and so coefficients agree to 1e-5. The gradient of the fit is below its error
    by rounding and differences, 1e-8 nats."""
    X, y, offset = table(seed)
    weights = np.random.default_rng(seed).integers(1, 4, len(y)).astype(float)
    Z = np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(len(X))])

    def negative(theta):
        return -penalised_log_likelihood(theta, Z, y, weights, offset)

    model = fitted(Z[:, :-1], y, weights, offset)
    ours = model.coefficients(reference=0).to_numpy()
    ours = np.vstack([ours[1:], ours[:1]]).T.ravel()
    plain = optimize.minimize(negative, np.zeros(ours.size), method="BFGS", options={"gtol": 1e-6})

    assert negative(ours) <= plain.fun + 1e-10 * abs(plain.fun)
    assert_allclose(ours, plain.x, atol=1e-4)
    assert_allclose(gradient_by_differences(negative, ours), 0, atol=1e-7)


def test_the_record_is_the_mean_objective_less_the_determinant_of_the_model_without_features():
    """Two sums over 150 samples in another order: 1e-12."""
    X, y = load_iris(return_X_y=True)
    Z, nothing, ones = np.column_stack([X, np.ones(150)]), np.zeros((150, 3)), np.ones(150)
    model = fitted(X, y)
    theta = model.coefficients(reference=0).to_numpy()
    value = penalised_log_likelihood(np.vstack([theta[1:], theta[:1]]).T.ravel(), Z, y, ones, nothing)
    null = penalised_log_likelihood(np.zeros(10), Z, y, ones, nothing) - 150 * np.log(1 / 3)

    assert model.converged_
    assert model.solution_.reason == "converged"
    assert abs(model.solution_.objective - (null - value) / 150) < 1e-12


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("is_redundant", [False, True])
def test_a_saturated_model_adds_one_half_to_each_cell(n_classes, is_redundant):
    """Whatever columns span the cells: probabilities are ``(n_k + 1/2) / (n + K/2)``."""
    counts = np.random.default_rng(n_classes).integers(0, 4, (3, n_classes))
    counts[:, 0] += 1
    counts[0, 1] = 0
    totals = counts.sum(axis=1)
    X = np.eye(3) if is_redundant else np.eye(3)[:, 1:]

    model = fitted(X, counts / totals[:, np.newaxis], totals)

    assert (counts == 0).any()
    expected = (counts + 0.5) / (totals[:, np.newaxis] + n_classes / 2)
    assert_allclose(model.predict_proba(X), expected, atol=1e-8)


@pytest.mark.parametrize("n_columns", [8, 40])
def test_with_more_columns_than_rows_each_row_is_a_cell(n_columns):
    X, y = np.random.default_rng(0).normal(size=(8, n_columns)), np.arange(8) % 3

    assert_allclose(fitted(X, y).predict_proba(X), (np.eye(3)[y] + 0.5) / 2.5, atol=1e-8)


@settings(max_examples=25)
@given(seeds)
def test_another_order_of_the_classes_is_the_same_model(seed):
    """So is any reference class: none is special."""
    X, y, offset = table(seed)
    order = np.random.default_rng(seed).permutation(offset.shape[1])
    named = np.argsort(order)[y]

    here, there = probabilities(X, y, offset), probabilities(X, named, offset[:, order])
    assert_allclose(there, here[:, order], atol=1e-7)


@settings(max_examples=25)
@given(seeds)
def test_a_linear_map_of_the_columns_and_collinear_ones_change_no_probability(seed):
    X, y, offset = table(seed)
    X /= np.abs(X).max(axis=0)
    A = np.random.default_rng(seed).integers(-2, 3, (X.shape[1], X.shape[1])) + 5.0 * np.eye(X.shape[1])
    here = probabilities(X, y, offset)

    for other in (X @ A + 3.0, np.hstack([X, X[:, :1], X.sum(axis=1, keepdims=True)]), sparse.csr_array(X)):
        assert_allclose(probabilities(other, y, offset), here, atol=1e-7)


@settings(max_examples=25)
@given(seeds)
def test_a_weight_is_a_repetition(seed):
    X, y, offset = table(seed)
    weights = np.random.default_rng(seed).integers(0, 3, len(y))
    weights[: offset.shape[1]] += 1
    rows = np.repeat(np.arange(len(y)), weights)

    weighted, repeated = fitted(X, y, weights, offset), fitted(X[rows], y[rows], None, offset[rows])
    nothing = np.zeros_like(offset)
    assert_allclose(
        weighted.predict_proba(X, offset=nothing), repeated.predict_proba(X, offset=nothing), atol=1e-7
    )


def test_estimates_are_finite_where_those_of_maximum_likelihood_are_not():
    X, y = load_iris(return_X_y=True)
    model = fitted(X, y)

    assert (separation(X, y) != 0).any(axis=None)
    assert model.converged_
    assert np.abs(model.coef_).max() < 20


def test_a_dask_array_gives_the_same():
    X, y = load_iris(return_X_y=True)
    lazy = fitted(da.from_array(X, chunks=(50, 4)), da.from_array(y, chunks=50))

    assert_allclose(lazy.coef_, fitted(X, y).coef_, atol=1e-6)


def test_without_intercepts_and_after_a_warm_start_it_is_the_same_maximum():
    X, y = load_iris(return_X_y=True)
    model = fitted(X, y, fit_intercept=False, warm_start=True)
    coef = model.coef_

    assert not model.intercept_.any()
    assert model.fit(X, y).n_iter_ <= 1
    assert_allclose(model.coef_, coef, atol=1e-6)


def test_a_penalty_besides_is_an_error_that_names_the_remedy_and_leaves_the_estimator_as_it_was():
    X, y = load_iris(return_X_y=True)
    model = SoftmaxRegression().fit(X, y).set_params(bias_reduction=True)
    coef = model.coef_

    with pytest.raises(ValueError, match=r"bias_reduction=True .* set C=np\.inf, got C=1"):
        model.fit(X, y)
    assert model.coef_ is coef


def test_too_many_coefficients_are_an_error_that_says_so():
    X = sparse.random_array((3000, 2000), density=0.01, rng=0, format="csr")

    with pytest.raises(
        ValueError, match="bias_reduction=True takes matrices of the size of the coefficients"
    ):
        fitted(X, np.arange(3000) % 3)


def test_there_are_no_penalty_factors_besides():
    model = SoftmaxRegression(C=np.inf, bias_reduction=True, penalty_factor=[1.0])

    with pytest.raises(ValueError, match=r"penalty_factor must be None where bias_reduction=True.* got \[1"):
        model.fit([[0.0], [1.0]], [0, 1])
