"""The sample of rows that stands for all: its arithmetic, what it never misses, and what it estimates."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from objectives import Sample, objective_of, standardised
from scipy import linalg

from smreg.data.kernels import Kept
from smreg.data.matrix import MatrixRows
from smreg.data.targets import Targets
from smreg.objective.costs import ROWS_PER_COLUMN
from smreg.objective.information import class_metric, hessian
from smreg.objective.logits import softmax, variances
from smreg.objective.sampling import (
    DIRECTIONS,
    SKETCH,
    ClassVariances,
    RowSampler,
    drawn,
    information_leverage,
)
from smreg.optimize.metric import DenseMetric, directions, inverse_factor, inverse_root

EPS = np.finfo(np.float64).eps


def masses(rng, n=500):
    """Of six orders of magnitude, a fifth of them zero, and weights for them."""
    return 10.0 ** rng.uniform(-6, 0, n) * (rng.random(n) > 0.2), rng.uniform(0.5, 2.0, n)


def systematic(mass, weights, size):
    """Rows of a sample by mass, and their weights."""
    n = len(weights)
    rows = MatrixRows(np.zeros((n, 1)), Targets(np.arange(2), np.arange(n) % 2), weights)
    sample = drawn(rows, Kept([mass[np.newaxis]]), size)
    return sample.index, sample.weights


def leverages(sampler):
    return np.concatenate([own for own, _ in sampler.leverage.gather()])


def make_objective(X, y, weights=None, penalty=1e-4):
    n = len(X)
    weights = np.full(n, 1 / n) if weights is None else weights / weights.sum()
    priors = np.bincount(y, weights)
    sample = Sample(y, weights, priors)
    return objective_of(X, sample, ridge=penalty)


def sampler_of(objective, *, diagonal=False):
    """With the exact covariance of the standardised features."""
    z = standardised(objective)
    covariance = (z * objective.rows.weights) @ z.T
    return RowSampler(
        objective, inverse_root(covariance.diagonal()) if diagonal else inverse_factor(covariance)
    )


def sampled(objective, phi, size):
    return sampler_of(objective)(ClassVariances(objective, phi), size)


def information(objective, phi, rows=None):
    return hessian(objective, phi, rows)[0]


# -- systematic sampling


@pytest.mark.parametrize("size", [1, 7, 100, 2000])
def test_rows_are_in_order_and_no_more_than_asked_for(size, rng):
    rows, weights = systematic(*masses(rng), size)

    assert 1 <= len(rows) == len(weights) <= size
    assert (np.diff(rows) > 0).all()
    assert (weights > 0).all()


def test_the_sample_is_the_same_every_time(rng):
    mass, weights = masses(rng)
    first, second = systematic(mass, weights, 50), systematic(mass.copy(), weights.copy(), 50)

    assert_array_equal(first[0], second[0])
    assert_array_equal(first[1], second[1])


@pytest.mark.parametrize("size", [2, 16, 128])
def test_a_row_with_a_share_of_the_mass_of_one_threshold_is_met_for_certain(size, rng):
    """Masses are integers and sizes powers of two, so that no sum is rounded and a tie is one."""
    mass = np.floor(2.0 ** rng.uniform(0, 20, 300))
    mass[:3] = mass[-3:] = np.ceil(mass.sum() / size)
    rows, _ = systematic(mass, np.ones(300), size)

    assert np.isin(np.flatnonzero(mass >= mass.sum() / size), rows).all()


def test_as_many_thresholds_as_rows_of_equal_mass_meet_each_once_with_its_own_weight():
    """The sum of 64 ones and its parts are not rounded."""
    weights = np.linspace(1, 2, 64)
    rows, new = systematic(np.ones(64), weights, 64)

    assert_array_equal(rows, np.arange(64))
    assert_array_equal(new, weights)


@pytest.mark.parametrize("size", [1, 7, 100, 2000])
def test_the_weights_restore_the_total_mass(size, rng):
    """``sum_i new_i / w_i mass_i`` has `step` for each threshold; three roundings a term, and those of
    two sums of at most 500 terms."""
    mass, weights = masses(rng)
    rows, new = systematic(mass, weights, size)

    assert np.sum(new / weights[rows] * mass[rows]) == pytest.approx(mass.sum(), rel=1000 * EPS)


@pytest.mark.parametrize("size", [16, 64, 256])
def test_a_row_of_weight_two_is_met_as_often_as_two_equal_ones(size, rng):
    """Integers and powers of two, as above: the thresholds are the same, but for ratios of masses."""
    mass, weights = np.floor(2.0 ** rng.uniform(0, 10, 100)), rng.uniform(1, 2, 100)
    twice = np.repeat(np.arange(100), 2)
    rows, new = systematic(2 * mass, 2 * weights, size)
    pair_rows, pair_new = systematic(mass[twice], weights[twice], size)

    expected, actual = np.zeros(100), np.zeros(100)
    expected[rows] = new
    np.add.at(actual, twice[pair_rows], pair_new)
    assert_allclose(actual, expected, rtol=8 * EPS)


@pytest.mark.parametrize("seed", range(20))
def test_rows_without_mass_are_never_met(seed):
    """Nor where rounding of the sum lets the last threshold lie beyond it."""
    rng = np.random.default_rng(seed)
    mass, weights = masses(rng)
    mass[:5] = mass[-5:] = 0.0
    rows, _ = systematic(mass, weights, int(rng.integers(1, 3000)))

    assert (mass[rows] > 0).all()


@pytest.mark.parametrize("mass", [0.0, np.inf, np.nan, 5e-324])
def test_where_masses_say_nothing_the_weights_are_the_masses(mass, rng):
    """All zero, or not finite, or so small that a share of their sum is zero."""
    weights = rng.integers(0, 3, 200).astype(float)
    masses = np.zeros(200)
    masses[17] = mass
    rows, new = systematic(masses, weights, 50)

    expected = systematic(weights, weights, 50)
    assert_array_equal(rows, expected[0])
    assert_array_equal(new, expected[1])
    assert new.sum() == pytest.approx(weights.sum(), rel=200 * EPS)


# -- probabilities


def test_probabilities_and_variances_are_those_of_the_softmax_at_any_size_of_logits(rng):
    """Each is rounded a few times; logits of 1e3 carry an error of a thousand EPS into the exponential."""
    eta = rng.normal(size=(4, 100)) * 10.0 ** rng.uniform(-2, 3, 100)
    p = softmax(eta)
    exact = np.exp(eta - np.logaddexp.reduce(eta, axis=0))

    assert_allclose(p, exact, rtol=2**13 * EPS, atol=1e-300)
    assert_allclose(variances(eta), exact * (1 - exact), rtol=0, atol=2**13 * EPS)


# -- leverage


def test_the_leverage_is_that_of_the_standardised_features(rng):
    """``z' Cov^-1 z`` by solving; the covariance has a condition below 2**4, the jitter is 2**-40."""
    objective = make_objective(rng.normal(size=(300, 5)), np.arange(300) % 3, rng.uniform(1, 2, 300))
    z = standardised(objective)
    exact = np.sum(z * np.linalg.solve((z * objective.rows.weights) @ z.T, z), axis=0)

    assert_allclose(leverages(sampler_of(objective)), exact, rtol=2.0**-36)


def test_a_diagonal_factor_gives_the_sum_of_squares_of_the_standardised_features(rng):
    """Six squares: some ten roundings."""
    objective = make_objective(rng.normal(size=(300, 5)), np.arange(300) % 3)
    z = standardised(objective)
    variance = z**2 @ objective.rows.weights

    leverage = leverages(sampler_of(objective, diagonal=True))
    assert_allclose(leverage, (z**2 / variance[:, np.newaxis]).sum(axis=0), rtol=2**6 * EPS)


def test_of_many_features_the_leverage_is_nearly_that_of_all(rng):
    """Of m combinations with random signs the relative error is that of chi square, sqrt(2 / m) in the mean
    square, a little more or less since all rows share the signs; of 2000 the largest is some four of it."""
    objective = make_objective(rng.normal(size=(2000, 2 * SKETCH)), np.arange(2000) % 2)
    z = standardised(objective)
    exact = np.sum(z * np.linalg.solve((z * objective.rows.weights) @ z.T, z), axis=0)
    error = leverages(sampler_of(objective)) / exact - 1
    typical = np.sqrt(2 / SKETCH)

    assert np.sqrt(np.mean(error**2)) <= 1.2 * typical
    assert np.abs(error).max() <= 5 * typical


def test_the_mean_leverage_is_the_number_of_features_sketched_or_not(rng):
    """``trace(A Cov A')`` is the width; of signs over 8, the 64 squares in each column sum to one, and what
    is not on the diagonal has the size of the jitter, times a condition below 2**4 and the 129 columns."""
    for p in (5, 2 * SKETCH):
        objective = make_objective(rng.normal(size=(2000, p)), np.arange(2000) % 2)
        mean = objective.rows.weights @ leverages(sampler_of(objective))

        assert mean == pytest.approx(p + 1, rel=2.0**-32)


# -- the sampler


def test_rows_without_weight_are_not_sampled(rng):
    weights = rng.integers(0, 2, 5000).astype(float)
    objective = make_objective(rng.normal(size=(5000, 3)), np.arange(5000) % 3, weights)
    rows = sampled(objective, objective.start(), 1000).index

    assert (weights[rows] > 0).all()


def test_a_rare_category_is_sampled_as_a_whole(rng):
    """Three rows of 20000 have all that is known of a column: of the leverages, which sum to the width of 5
    with weights 1/n, each has a third, so that any sample of more than 15 has them."""
    n, rare = 20_000, [5, 6000, 19_999]
    X = rng.normal(size=(n, 4))
    X[:, 3] = 0.0
    X[rare, 3] = 1.0
    objective = make_objective(X, rng.permutation(np.arange(n) % 3))
    rows = sampled(objective, objective.start(), 32).index

    assert np.isin(rare, rows).all()


def test_a_rare_class_is_sampled_as_a_whole(rng):
    """Three rows of 20000 stand apart, and at the point only they may be of the third class.

    Of that class's variance each has a third, and of the sum of the shares a ninth, times its leverage of
    at least the one of the intercept, beside leverages of 4 in the mean: any sample of 4 * 9 = 36 has them.
    """
    n, rare = 20_000, [7, 8, 15_000]
    X, y = rng.normal(size=(n, 3)), np.arange(n) % 2
    X[rare, 0], y[rare] = 12.0, 2
    objective = make_objective(X, y)
    coef = np.array([[0.0, 0, 0], [0, 0, 0], [6, 0, 0]])
    phi = objective.coordinates.of(coef, np.array([0.0, 0.0, -72.0]))
    rows = sampled(objective, phi, 64).index

    assert np.isin(rare, rows).all()


POINTS = {"at the priors": 0.0, "amid": 1.0, "far out": 4.0}


@pytest.mark.parametrize("size", POINTS.values(), ids=POINTS)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_sampled_information_is_near_the_full_one(n_classes, size, rng):
    """Eigenvalues from r rows a dimension are within (1 +- r**-0.5)**2: with ROWS_PER_COLUMN for each
    coefficient from 9/16 to 25/16, and a tenth of slack."""
    n, p = 20_000, 10
    X = rng.standard_t(4, size=(n, p))
    objective = make_objective(X, rng.permutation(np.arange(n) % n_classes), rng.exponential(size=n))
    phi = objective.start() + size / np.sqrt(p) * rng.normal(size=objective.start().size)
    sample = sampled(objective, phi, ROWS_PER_COLUMN * phi.size)

    full = information(objective, phi)
    estimate = information(objective, phi, sample)
    ratios = linalg.eigvalsh(estimate, full)
    deviation = ROWS_PER_COLUMN**-0.5
    assert (1 - deviation) ** 2 / 1.1 <= ratios.min()
    assert ratios.max() <= 1.1 * (1 + deviation) ** 2


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_leverage_in_a_metric_sums_to_the_mean_square_of_its_directions(n_classes, rng):
    """``sum_i s_i tr(A I_i A')`` is the mean of ``d' H d`` over the directions d, H without a penalty: some
    thousand roundings, of terms that are positive."""
    y = rng.permutation(np.arange(400) % n_classes)
    objective = make_objective(rng.normal(size=(400, 5)), y, rng.exponential(size=400), penalty=0.0)
    phi = objective.start() + rng.normal(size=objective.start().size)
    metric, _ = class_metric(objective, phi)
    along = directions(metric, phi.size, DIRECTIONS)
    expected = [d @ information(objective, phi) @ d for d in along]

    changes = [objective.direction(d) for d in along]
    parts = objective.rows.map_blocks(information_leverage, objective.point(phi), changes)
    leverage = np.concatenate(list(parts))
    assert objective.rows.weights @ leverage == pytest.approx(np.mean(expected), rel=2.0**-40)


def test_what_a_sample_has_missed_is_in_the_next(rng):
    """Of 20000 rows all but 200 are certain of their class, and of these only three tell of the second
    column, in which all the others of them are zero: they are ordinary rows among all, and 32 thresholds
    miss them.

    In the metric of that sample, which knows of no curvature there but the penalty's, nearly all the
    leverage is theirs.
    """
    n, telling = 20_000, np.arange(50, 20_000, 100)
    X, y = rng.normal(size=(n, 2)), np.arange(n) % 3
    X[:, 0], X[telling, 1] = 60.0 * np.sign(X[:, 0]), 0.0
    X[telling, 0] = 0.0
    only = telling[[20, 100, 150]]
    X[only, 1] = 0.5
    objective = make_objective(X, y, penalty=1e-9)
    phi = objective.coordinates.of(np.array([[1.0, 0], [-1.0, 0], [0.0, 0]]), np.array([0.0, 0.0, 0.0]))
    sampler, at = sampler_of(objective), ClassVariances(objective, phi)
    first = sampler(at, 32)
    metric = DenseMetric(information(objective, phi, first))
    second = sampler(at, 32, metric=metric)

    assert not np.isin(only, first.index).any()
    assert np.isin(only, second.index).all()


def test_more_rows_bring_the_information_nearer(rng):
    """The deviation falls as the root of their number: with 16 times as many to a quarter, here to a half."""
    X = rng.normal(size=(40_000, 8))
    objective = make_objective(X, rng.permutation(np.arange(40_000) % 3))
    phi = objective.start() + 0.3 * rng.normal(size=objective.start().size)
    full = information(objective, phi)

    def deviation(size):
        estimate = information(objective, phi, sampled(objective, phi, size))
        return np.abs(linalg.eigvalsh(estimate, full) - 1).max()

    assert deviation(8000) <= deviation(500) / 2
