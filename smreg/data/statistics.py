"""Statistics of every column of X: means, spreads, and extremes by groups of rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from smreg.data.rows import NOT_FINITE, Block, Rows, power_of_two, sum_of

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Columns whose mean exceeds their spread by more than this are shifted as they are read: folding the
# shift into the intercept would cost the logits as many bits, of the 53 that there are.
MAX_MEAN_TO_SPREAD = 2.0**13


@dataclass(frozen=True)
class ColumnStatistics:
    """Weighted mean and standard deviation of every column, each of shape (n_features,).

    `rounding` is that of its numbers: variation below it is not information.
    """

    mean: Array
    spread: Array
    rounding: Array

    @property
    def shift(self) -> Array:
        """The mean of columns that lie far from zero, for their spread; zero for others."""
        return np.where(np.abs(self.mean) / MAX_MEAN_TO_SPREAD > self.spread, self.mean, 0.0)


def statistics(rows: Rows) -> ColumnStatistics:
    """Mean and spread over the rows with positive weight; the weights sum to one.

    The spread is exactly zero for a constant column, and nothing over- or underflows: columns
    are brought to magnitude one by a power of two before they are squared.

    Raises a ValueError where X holds NaN or infinity.
    """
    lows, highs, sums = zip(*rows.map_blocks(_range_and_sum), strict=True)
    low, high = np.min(lows, axis=0), np.max(highs, axis=0)
    largest = np.maximum(np.abs(low), np.abs(high))
    if not np.isfinite(largest).all():
        raise ValueError(NOT_FINITE)
    unit = power_of_two(largest)
    mean = np.clip(sum_of(sums), low, high)
    spread = unit * np.sqrt(np.maximum(rows.map_reduce(_squares, mean / unit, unit), 0.0))
    rounding = rows.eps * largest if rows.rounding is None else rows.rounding
    return ColumnStatistics(mean, np.where(low == high, 0.0, spread), rounding)


def extremes(block: Block, members: Bools) -> tuple[Array, Array]:
    """Least and largest value of every column in each group of rows, of shape (n_groups, n_features).

    `members`, of shape (n_groups, n_rows), is whether a row is in a group. For a group without rows they are
    inf and -inf.
    """
    lows, highs = zip(*(_ends(block.X[chosen]) for chosen in members), strict=True)
    return np.array(lows), np.array(highs)


def _ends(X: Any) -> tuple[Array, Array]:
    """Least and largest value of every column."""
    if X.shape[0] == 0:
        return np.full(X.shape[1], np.inf), np.full(X.shape[1], -np.inf)
    low, high = X.min(axis=0), X.max(axis=0)
    return (low, high) if isinstance(X, np.ndarray) else (low.toarray().ravel(), high.toarray().ravel())


def _used(block: Block) -> tuple[Any, Array]:
    """Features and weights of the rows that have weight."""
    if block.is_used:
        return block.X, block.weights
    used = block.weights > 0
    return block.X[used], block.weights[used]


def _range_and_sum(block: Block) -> tuple[Array, Array, Array]:
    X, weights = _used(block)
    if len(weights) < len(block):  # the others take part in products, if only with zeros
        block.check_finite()
    with np.errstate(invalid="ignore"):  # of what is not finite, and no statistics
        return *_ends(X), np.asarray(X.T.astype(np.float64, copy=False) @ weights)


def _squares(block: Block, mean: Array, unit: Array) -> Array:
    """Sums of the squared deviations from the mean, both in some unit."""
    X, weights = _used(block)
    if isinstance(X, np.ndarray):
        z = X / unit
        z -= mean
        return np.asarray(weights @ np.square(z, out=z))
    z = X.multiply(1 / unit).tocsr()
    stored = sparse.csr_array((np.ones(z.nnz), z.indices, z.indptr), shape=z.shape)
    zeros = (
        weights.sum() - stored.T @ weights
    )  # weight of what is not stored, whose deviation is minus the mean
    z.data = (z.data - mean[z.indices]) ** 2
    return np.asarray(z.T @ weights + np.maximum(zeros, 0.0) * mean**2)
