"""Statistics of every column of X: means, spreads, and extremes by groups of rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from smreg.data.block import NOT_FINITE, Block
from smreg.data.rows import Rows

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Columns whose mean exceeds their spread by more than this are shifted as they are read: folding the
# shift into the intercept would cost the logits as many bits, of the 53 that there are.
MAX_MEAN_TO_SPREAD = 2.0**13
TINY = 2.0**-1000  # the unit of no rows: any other is larger


@dataclass(frozen=True)
class ColumnStatistics:
    """Weighted mean and standard deviation of every column, each of shape (n_features,).

    `rounding` is that of its numbers: variation below it is not information.
    """

    mean: Array
    spread: Array
    rounding: Array

    def of_columns(self, features: NDArray[np.intp]) -> "ColumnStatistics":
        """Those of some columns."""
        return ColumnStatistics(self.mean[features], self.spread[features], self.rounding[features])

    def times(self, units: Array) -> "ColumnStatistics":
        """Those of the columns times a unit of each."""
        return ColumnStatistics(self.mean * units, self.spread * units, self.rounding * units)

    def emptied(self, columns: Bools) -> "ColumnStatistics":
        """The same with some columns as if they were zero."""
        return ColumnStatistics(
            *(np.where(columns, 0.0, known) for known in (self.mean, self.spread, self.rounding))
        )

    @property
    def shift(self) -> Array:
        """The mean of columns that lie far from zero, for their spread; zero for others."""
        return np.where(np.abs(self.mean) / MAX_MEAN_TO_SPREAD > self.spread, self.mean, 0.0)


def statistics(rows: Rows) -> ColumnStatistics:
    """Mean and spread over the rows with positive weight, in one pass unless they are known.

    The spread is exactly zero for a constant column, and nothing over- or underflows: columns
    are brought to magnitude one by a power of two before they are squared.

    Raises a ValueError where X holds NaN or infinity.
    """
    if rows.statistics is not None:
        return rows.statistics
    return rows.map_reduce(moments).statistics(rows.eps, rows.rounding)


@dataclass(frozen=True)
class Moments:
    """Sums over some rows, of every column.

    Attributes
    ----------
    low, high : ndarray of shape (n_features,)
        Least and largest value, inf and -inf of no rows.
    largest, weight : float
        Largest weight, and the sum of the weights in parts of it, which does not overflow.
    mean, squares : ndarray of shape (n_features,)
        Weighted mean, and sum of the squared deviations from it, in `unit` and its square.
    unit : ndarray of shape (n_features,)
        A power of two.
    """

    low: Array
    high: Array
    largest: float
    weight: float
    mean: Array
    squares: Array
    unit: Array

    def __add__(self, other: "Moments") -> "Moments":
        """Those of both, see Chan, Golub and LeVeque (1983), https://doi.org/10.2307/2683386."""
        largest, unit = max(self.largest, other.largest), np.maximum(self.unit, other.unit)
        ours, theirs = self.unit / unit, other.unit / unit
        our_part, their_part = (own.largest / largest if largest > 0 else 0.0 for own in (self, other))
        weight = our_part * self.weight + their_part * other.weight
        part = their_part * other.weight / weight if weight > 0 else 0.0
        with np.errstate(invalid="ignore"):  # of infinities, which are found out in the end
            apart = theirs * other.mean - ours * self.mean
            between = part * our_part * self.weight * apart**2
            squares = our_part * ours**2 * self.squares + their_part * theirs**2 * other.squares + between
            mean = ours * self.mean + part * apart
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return Moments(low, high, largest, weight, mean, squares, unit)

    def statistics(self, eps: float, rounding: Array | None = None) -> ColumnStatistics:
        """Means and spreads; numbers are rounded to a part `eps`, or as is known."""
        largest = np.maximum(np.abs(self.low), np.abs(self.high))
        if not np.isfinite(largest).all():
            raise ValueError(NOT_FINITE)
        spread = np.where(self.low == self.high, 0.0, self.unit * np.sqrt(self.squares / self.weight))
        mean = np.clip(self.unit * self.mean, self.low, self.high)
        return ColumnStatistics(mean, spread, eps * largest if rounding is None else rounding)


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


def moments(block: Block) -> Moments:
    """Those of a block."""
    X, weights = _used(block)
    if len(weights) < len(block):  # the others take part in products, if only with zeros
        block.check_finite()
    low, high = _ends(X)
    if len(weights) == 0:
        return Moments(low, high, 0.0, 0.0, np.zeros(len(low)), np.zeros(len(low)), np.full(len(low), TINY))
    with np.errstate(invalid="ignore", over="ignore"):
        largest = np.maximum(np.abs(low), np.abs(high))
        unit = np.where(largest == 0, TINY, power_of_two(largest))
        heaviest = float(weights.max())
        weights = weights / heaviest
        return Moments(low, high, heaviest, float(weights.sum()), *_deviations(X, weights, unit), unit)


def _deviations(X: Any, weights: Array, unit: Array) -> tuple[Array, Array]:
    """Weighted means, and sums of the squared deviations from them, in a unit."""
    total = weights.sum()
    if isinstance(X, np.ndarray):
        z = X / unit
        mean = weights @ z / total
        z -= mean
        return mean, np.asarray(weights @ np.square(z, out=z))
    z = X.multiply(1 / unit).tocsr()
    stored = sparse.csr_array((np.ones(z.nnz), z.indices, z.indptr), shape=z.shape)
    mean = np.asarray(z.T @ weights) / total
    zeros = np.maximum(total - stored.T @ weights, 0.0)  # weight of those, whose deviation is minus the mean
    z.data = (z.data - mean[z.indices]) ** 2
    return mean, np.asarray(z.T @ weights + zeros * mean**2)


def power_of_two(magnitude: Array) -> Array:
    """The power of two just above each magnitude, one for zero: scaling by it rounds nothing."""
    exponent = np.clip(np.frexp(magnitude)[1], -1000, 1000)  # so that the inverse is finite too
    return np.where(magnitude > 0, np.ldexp(1.0, exponent), 1.0)
