"""The Hessian from a sum over pairs of classes, some of whose terms are left out."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from objectives import Sample, logits_at, objective_of, standardised
from scipy import linalg

from smreg import family
from smreg.objective import information
from smreg.objective.information import NEGLIGIBLE

EPS = np.finfo(np.float64).eps


def make_objective(rng, n_classes, *, n=600, p=4, symmetric=False, ridge=0.0):
    y = rng.permutation(np.arange(n) % n_classes)
    weights = rng.exponential(size=n)
    weights /= weights.sum()
    X = rng.standard_t(4, size=(n, p)) * [1.0, 10.0, 1e-3, 1.0]
    return objective_of(X, Sample(y, weights, np.bincount(y, weights)), ridge=ridge, symmetric=symmetric)


def plain(objective, phi):
    """``sum_i s_i Q' (diag(p_i) - p_i p_i') Q kron z_i z_i'`` of the family, and the penalty's curvature."""
    Q, z = objective.coordinates.coding, standardised(objective).T
    variance = family.fisher_information(logits_at(objective, phi).T)
    H = np.einsum("i,ka,ikl,lb,im,in->ambn", objective.rows.weights, Q, variance, Q, z, z, optimize=True)
    return H.reshape(phi.size, phi.size) + np.diag(
        np.broadcast_to(objective.curvature, objective.shape).ravel()
    )


def points(objective, size, rng):
    return objective.start() + size * rng.normal(size=objective.start().size)


SIZES = {"at the priors": 0.0, "amid": 1.0, "far": 6.0, "farther": 30.0}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("n_classes", [2, 3, 7])
@pytest.mark.parametrize("symmetric", [False, True])
def test_with_nothing_left_out_it_is_the_plain_sum(n_classes, size, symmetric, rng):
    """To some hundred roundings of the diagonal's root, and those of logits of up to 1e3, relatively."""
    if symmetric and n_classes == 2:
        symmetric = False
    objective = make_objective(rng, n_classes, symmetric=symmetric, ridge=0.01)
    phi = points(objective, size, rng)
    expected = plain(objective, phi)
    root = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))

    actual, share = information.hessian(objective, phi)
    assert_allclose(actual / root, expected / root, rtol=0, atol=2.0**-38)
    assert share == 1.0
    assert_allclose(information.information(objective, phi), actual, rtol=0, atol=0)


@pytest.mark.parametrize("size", [0.0, 1.0, 6.0])
@pytest.mark.parametrize("n_classes", [2, 3, 7, 20])
def test_what_is_left_out_is_positive(n_classes, size, rng):
    """Terms are positive semi-definite: H without some lies below H in the Loewner order, and above zero.

    Rounding, of matrices whose diagonal is at most one: n EPS and some."""
    objective = make_objective(rng, n_classes, ridge=1e-4)
    phi = points(objective, size, rng)
    H, made = plain(objective, phi), information.hessian(objective, phi, None, NEGLIGIBLE)[0]
    diagonal = np.maximum(H.diagonal(), 2.0**-40 * H.diagonal().max())
    root = np.sqrt(np.outer(diagonal, diagonal))

    assert linalg.eigvalsh((H - made) / root).min() >= -(2.0**-38)
    assert linalg.eigvalsh(made / root).min() >= -(2.0**-38)
    assert_allclose(made, made.T, rtol=0, atol=2.0**-40 * np.abs(made).max())


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_what_is_left_out_is_little_of_all(n_classes, size, rng):
    """Measured as the rows are: of the information of each feature in units of ``T_j``, its sum over classes.

    A row is left out if it has less than NEGLIGIBLE of the mean of each class, which in sum is at most that
    part of the class's; and of the others, for a pair, those with less than that part of the pair's mean. Of
    the Laplacian's trace, twice the sum of the pairs, as much is missing at most from each of the two.
    """
    objective = make_objective(rng, n_classes, ridge=0.0, symmetric=n_classes > 2)
    phi = points(objective, size, rng)
    z, s = standardised(objective), objective.rows.weights
    p = family.softmax(logits_at(objective, phi).T).T
    units = (z**2) @ (s * np.sum(p * (1 - p), axis=0))
    n_rows, width = objective.shape

    def trace(H):
        return np.sum(H.diagonal().reshape(n_rows, width) / units)

    H, made = plain(objective, phi), information.hessian(objective, phi, None, NEGLIGIBLE)[0]
    assert trace(H) * (1 - 2 * NEGLIGIBLE) - 2.0**-38 <= trace(made) <= trace(H) * (1 + 2.0**-38)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_no_coordinate_loses_what_it_has(n_classes, rng):
    """Of the curvature of each class in each of the categories, whose counts span four orders of magnitude,
    most is kept: a direction that loses all has a preconditioner of rounding there."""
    counts = np.ceil(10 ** rng.uniform(0, 4, (12, n_classes)))
    X, y = np.repeat(np.eye(12), n_classes, axis=0), np.tile(np.arange(n_classes), 12)
    s = counts.ravel() / counts.sum()
    objective = objective_of(X, Sample(y, s, np.bincount(y, s)), fit_intercept=False, symmetric=n_classes > 2)
    logits = np.log(counts / counts.sum(axis=1, keepdims=True)).T
    own = logits[1:] - logits[:1] if n_classes == 2 else logits
    phi = objective.coordinates.of(own, np.zeros(len(own)))
    H, made = plain(objective, phi), information.hessian(objective, phi, None, NEGLIGIBLE)[0]

    assert (made.diagonal() >= H.diagonal() / 2).all()


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_the_share_is_that_of_the_products_taken(n_classes, rng):
    """Between none and all, and the less, the more rows are certain of their class."""
    objective = make_objective(rng, n_classes)
    shares = [
        information.hessian(objective, points(objective, size, np.random.default_rng(1)), None, NEGLIGIBLE)[1]
        for size in (0.0, 3.0, 30.0, 300.0)
    ]

    assert all(0 < share <= 1 + 2**10 * EPS for share in shares)
    assert (np.diff(shares) < 0).all()


def test_rows_of_equal_part_are_all_taken(rng):
    """Vertices of a cube at uniform probabilities."""
    X = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
    X, y = np.repeat(X, 3, axis=0), np.tile(np.arange(3), 8)
    objective = objective_of(X, Sample(y, np.full(24, 1 / 24), np.full(3, 1 / 3)))
    phi = objective.start()
    made, share = information.hessian(objective, phi, None, NEGLIGIBLE)

    assert share == 1.0
    assert_allclose(made, plain(objective, objective.start()), rtol=0, atol=2.0**-46)
