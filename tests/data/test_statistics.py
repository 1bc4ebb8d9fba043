"""What is known of every column, whatever X is stored as."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import STORED_AS

from smreg.data.kernels import sum_of
from smreg.data.matrix import MatrixRows
from smreg.data.statistics import moments, statistics
from smreg.data.targets import Targets

EPS = np.finfo(np.float64).eps


def test_statistics_are_the_weighted_mean_and_standard_deviation(rng):
    """As numpy computes them, to the rounding of sums of 60 terms; a constant has no spread at all."""
    X = rng.normal(size=(60, 3)) * [1.0, 1e150, 1e-150]
    X = np.column_stack([X, np.full(60, 0.1)])
    weights = rng.random(60)
    weights[::7] = 0.0
    weights /= weights.sum()
    expected = np.sqrt(weights @ ((X[:, 0] - weights @ X[:, 0]) ** 2)) * np.array([1.0, 1e150, 1e-150])
    X[:, 1], X[:, 2] = X[:, 0] * 1e150, X[:, 0] * 1e-150

    targets = Targets(np.arange(2), np.arange(60) % 2)
    for store in STORED_AS.values():
        columns = statistics(MatrixRows(store(X), targets, weights))
        assert_allclose(columns.mean, weights @ X, rtol=1e3 * EPS)
        assert_allclose(columns.spread[:3], expected, rtol=100 * EPS)
        assert columns.spread[3] == 0.0


@pytest.mark.parametrize("size", [1e-320, 1.0, 1e306, 1e307])
def test_weights_of_any_size_weigh_alike(size, rng):
    """Their sum may overflow: in parts they are relative to the largest. Subnormal ones have few digits."""
    X, weights = rng.normal(size=(60, 3)) + 1e3, rng.integers(0, 4, 60).astype(float)
    targets = Targets(np.arange(2), np.arange(60) % 2)

    def added(weights):
        parts = (MatrixRows(X[i : i + 7], targets, weights[i : i + 7]) for i in range(0, 60, 7))
        return sum_of(part.map_reduce(moments) for part in parts).statistics(EPS)

    ours, theirs = added(size * weights), added(weights)
    assert_allclose(ours.mean, theirs.mean, rtol=16 * EPS)
    assert_allclose(ours.spread, theirs.spread, rtol=2**10 * EPS)
