"""Metrics: factors of inverse matrices, and the class metric's relation to the Hessian."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from objectives import Sample, objective_of

from smreg.objective import information
from smreg.optimize.metric import JITTER, SMALL, DenseMetric, Metric, directions, inverse_factor, inverse_root

EPS = np.finfo(np.float64).eps


def definite(rng, size=6):
    """A Gram matrix of four rows a column: correlations with a condition below (3 / 1)**2, some 2**4."""
    Z = rng.normal(size=(4 * size, size))
    return Z.T @ Z / len(Z)


def make_objective(rng, n_classes, *, n=60, p=3, fit_intercept=True, penalty=0.01):
    codes = rng.permutation(np.arange(n) % n_classes)
    return objective_of(
        rng.normal(size=(n, p)) + 1.0,
        Sample(codes, np.full(n, 1 / n), np.bincount(codes) / n),
        ridge=penalty,
        fit_intercept=fit_intercept,
    )


def matrix_of(metric, size):
    """A, from its products with unit vectors."""
    return np.column_stack([metric.whiten(unit) for unit in np.eye(size)])


# -- factors


SIZES = [6, SMALL + 1, 2 * SMALL + 45]  # in one piece, in two and in four


@pytest.mark.parametrize("size", SIZES)
def test_the_factor_is_one_of_the_inverse(size, rng):
    """``A' A (M + jitter) = I``: the factorisation, the inversion of the factor and the two products round
    by some n EPS times the condition of at most 2**6 each."""
    M = definite(rng, size)
    A = inverse_factor(M.copy())

    with_jitter = M + JITTER * np.diag(M.diagonal())
    assert_allclose(A.T @ A @ with_jitter, np.eye(size), rtol=0, atol=4 * size * 2**6 * EPS)


@pytest.mark.parametrize("size", SIZES)
def test_the_factor_is_lower_triangular(size, rng):
    A = inverse_factor(definite(rng, size))

    assert_array_equal(A, np.tril(A))


def test_the_jitter_is_relative_to_the_diagonal_so_that_units_change_no_bit(rng):
    """A matrix is scaled to unit diagonal first, and powers of two round nothing."""
    M, units = definite(rng), 2.0 ** np.array([-300, -20, -1, 0, 33, 400])
    scaled = inverse_factor(units[:, np.newaxis] * M * units)

    assert_array_equal(scaled, inverse_factor(M) / units)


@pytest.mark.parametrize("shift", [0.0, 1e-12, 1e-9, 1e-3], ids="least eigenvalue -{:g}".format)
def test_a_matrix_that_rounding_made_indefinite_keeps_the_norm_of_gradients_in_its_range(shift, rng):
    """Eight columns of three rows: g = M x has ``g' M^-1 g = x' M x``, which a jitter j lessens by at most
    ``j x' D x``, D the diagonal; rounding by no more again.

    The jitter stops at the first 2**4-fold that makes up for the shift: j <= JITTER + 17 shift.
    """
    Z = rng.normal(size=(3, 8))
    M = Z.T @ Z
    D = M.diagonal()
    A = inverse_factor(M - shift * np.diag(D))

    x = rng.normal(size=8)
    assert np.isfinite(A).all()
    missing = x @ M @ x - np.sum((A @ M @ x) ** 2)
    assert abs(missing) <= 2 * (JITTER + 17 * shift) * (x @ (D * x))


def test_a_matrix_with_negative_eigenvalues_of_size_one_still_gives_a_factor():
    """The jitter rises until the matrix is diagonally dominant."""
    A = inverse_factor(np.ones((5, 5)) - 4.0 * np.eye(5))

    assert np.isfinite(A).all()
    assert (A.diagonal() > 0).all()


def test_of_a_diagonal_matrix_the_factor_is_its_inverse_root():
    """But for the jitter, half of which the root sees; entries that are not positive count as one."""
    diagonal = np.array([4.0, 0.0, 1e-300, 1e300, -1.0])

    assert_allclose(inverse_root(diagonal), [0.5, 1.0, 1e150, 1e-150, 1.0], rtol=4 * EPS)
    positive = np.diag(np.where(diagonal > 0, diagonal, 0.0))
    assert_allclose(inverse_factor(positive).diagonal(), inverse_root(diagonal), rtol=JITTER)


# -- whitening


METRICS = {
    "dense": (3, 3, 4, 2),
    "diagonal": (3, 3, 4, 1),
    "dense, more blocks than rows": (5, 3, 4, 2),
    "diagonal, more blocks than rows": (5, 3, 4, 1),
    "one block": (1, 1, 12, 2),
}


def make_metric(n_blocks, n, width, dimensions, rng):
    basis = np.linalg.qr(rng.normal(size=(n_blocks, n)))[0]
    return Metric(basis, rng.normal(size=(n_blocks, *[width] * dimensions)))


@pytest.mark.parametrize("shape", METRICS.values(), ids=METRICS)
def test_whitening_is_the_product_with_the_blocks_after_the_change_of_basis(shape, rng):
    """By definition ``A = blockdiag(A_b) (basis kron I)``; 12 terms of size
    2**3 at most round by some 2**7 EPS."""
    metric, (n_blocks, n, width, _) = make_metric(*shape, rng), shape
    g = rng.normal(size=n * width)
    blocks = metric.factors if metric.factors.ndim == 3 else [np.diag(row) for row in metric.factors]

    rows = np.kron(metric.basis, np.eye(width)) @ g
    expected = [block @ row for block, row in zip(blocks, rows.reshape(n_blocks, width), strict=True)]
    assert_allclose(metric.whiten(g), np.ravel(expected), rtol=0, atol=2**8 * EPS)


@pytest.mark.parametrize("shape", METRICS.values(), ids=METRICS)
def test_unwhitening_is_the_adjoint_of_whitening(shape, rng):
    """``<A g, v> = <g, A' v>``: sums of some 2**6 terms of order 2**2 at most."""
    metric = make_metric(*shape, rng)
    g = rng.normal(size=shape[1] * shape[2])
    v = rng.normal(size=shape[0] * shape[2])

    assert abs(metric.whiten(g) @ v - g @ metric.unwhiten(v)) <= 2**8 * EPS


# -- a dense metric


@pytest.mark.parametrize("size", SIZES)
def test_a_dense_metric_is_that_of_its_matrix(size, rng):
    """``A' A = M^-1`` but for the jitter, of a condition of at most 2**6, twice."""
    M = definite(rng, size)
    metric, (g, h) = DenseMetric(M.copy()), rng.normal(size=(2, size))
    inverse = np.linalg.inv(M)

    assert_allclose(metric.unwhiten(metric.whiten(g)), inverse @ g, rtol=0, atol=2.0**-27 * np.linalg.norm(g))
    assert metric.whiten(g) @ metric.whiten(h) == pytest.approx(g @ inverse @ h, abs=2.0**-27 * size)


def test_a_dense_metric_unwhitens_by_the_adjoint(rng):
    """``<A g, v> = <g, A' v>``, to the rounding of solving with a triangle of a condition below 2**3."""
    metric, (g, v) = DenseMetric(definite(rng)), rng.normal(size=(2, 6))

    assert abs(metric.whiten(g) @ v - g @ metric.unwhiten(v)) <= 2**10 * EPS


def test_a_dense_metric_and_one_of_one_block_whiten_alike(rng):
    """By solving and by the inverse: a difference of rounding."""
    M, g = definite(rng), rng.normal(size=6)
    blocks = Metric(np.eye(1), inverse_factor(M.copy())[np.newaxis])

    assert_allclose(DenseMetric(M.copy()).whiten(g), blocks.whiten(g), rtol=0, atol=2**12 * EPS)


@pytest.mark.parametrize("exponents", [[-300, -20, -1, 0, 33, 400]], ids=str)
def test_units_that_are_powers_of_two_change_no_bit_of_a_dense_metric(exponents, rng):
    M, g, units = definite(rng), rng.normal(size=6), 2.0 ** np.array(exponents)
    here, there = DenseMetric(M.copy()), DenseMetric(units[:, np.newaxis] * M * units)

    assert_array_equal(there.whiten(units * g), here.whiten(g))
    assert_array_equal(there.unwhiten(g), here.unwhiten(g) / units)


def test_a_singular_dense_metric_keeps_the_norm_of_gradients_in_its_range(rng):
    """A jitter j lessens ``x' M x`` by at most ``j x' D x``, and rounding by no more again."""
    Z = rng.normal(size=(3, 8))
    M, x = Z.T @ Z, rng.normal(size=8)
    missing = x @ M @ x - np.sum(DenseMetric(M.copy()).whiten(M @ x) ** 2)

    assert abs(missing) <= 2 * JITTER * (x @ (M.diagonal() * x))


def test_a_dense_metric_is_called_the_hessian_only_if_it_is_told_so(rng):
    assert not DenseMetric(definite(rng)).is_hessian
    assert DenseMetric(definite(rng), is_hessian=True).is_hessian


@pytest.mark.parametrize("kind", ["dense", "of blocks"])
def test_the_mean_square_of_many_directions_is_the_inverse(kind, rng):
    """``E d d' = M^-1``. In whitened coordinates the mean of n products of signs is off by n**-0.5 in each
    entry, the largest of 36 by some four of it; the diagonal is one."""
    M, n = definite(rng), 4000
    metric = DenseMetric(M.copy()) if kind == "dense" else Metric(np.eye(1), inverse_factor(M.copy())[None])
    d = directions(metric, 6, n)
    whitened = np.array([metric.whiten(M @ v) for v in d])  # ``A M A' q = q``
    mean = whitened.T @ whitened / n

    assert_allclose(mean.diagonal(), 1.0, rtol=2.0**-30)
    assert np.abs(mean - np.eye(6)).max() <= 5 / np.sqrt(n)
    assert_array_equal(directions(metric, 6, n), d)


# -- the class metric


@pytest.mark.parametrize("penalty", [0.0, 0.01, 10.0])
@pytest.mark.parametrize("n_classes", [3, 4, 7])
@pytest.mark.parametrize("size", [0.0, 1.0, 10.0], ids="coefficients {:g}".format)
def test_the_hessian_lies_below_twice_the_class_metric(n_classes, penalty, size, rng):
    """The eigenvalues of ``A H A'`` are at most two, and not negative.

    Jitter lessens them. The condition of a class's block is below 2**20 with probabilities from e**-60 up,
    of which EPS is 2**-32.
    """
    objective = make_objective(rng, n_classes, penalty=penalty)
    phi = size * rng.normal(size=objective.start().size)
    A = matrix_of(information.class_metric(objective, phi)[0], phi.size)

    eigenvalues = np.linalg.eigvalsh(A @ information.information(objective, phi) @ A.T)
    assert eigenvalues.min() >= -(2.0**-32)
    assert eigenvalues.max() <= 2.0 + 2.0**-32


def test_at_uniform_probabilities_the_class_metric_is_the_hessian_but_for_a_factor(rng):
    """``diag(p) - p p'`` is ``1/K`` on contrasts, ``p (1 - p)`` is ``1/K (1 - 1/K)``: a ratio of K / (K - 1),
    but for a relative jitter of 2**-40 times a condition below 2**5.
    """
    K = 4
    objective = make_objective(rng, K, penalty=0.0)
    phi = np.zeros(objective.start().size)
    A = matrix_of(information.class_metric(objective, phi)[0], phi.size)

    product = A.T @ A @ information.information(objective, phi)
    assert_allclose(product, K / (K - 1) * np.eye(phi.size), rtol=0, atol=2.0**-34)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_for_two_classes_the_class_metric_is_the_hessian(fit_intercept, rng):
    """Of a single row of coefficients there is one block, the Hessian: the same sums, to their rounding of 60
    terms, EPS times a condition of less than 2**5."""
    objective = make_objective(rng, 2, fit_intercept=fit_intercept)
    phi = rng.normal(size=objective.start().size)
    ours, exact = (
        information.class_metric(objective, phi)[0],
        inverse_factor(information.information(objective, phi)),
    )

    assert_allclose(ours.basis, [[1.0]], rtol=0, atol=0)
    assert_allclose(ours.factors, [exact], rtol=0, atol=2**11 * EPS * np.abs(exact).max())
