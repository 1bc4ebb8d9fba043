"""The design matrix, read in blocks of rows: the only code that knows how X is stored.

X may be C- or F-ordered, float32 or float64, a memmap, read-only, or sparse CSR. It is never copied
as a whole: products with it go block by block, in float64 whatever the storage. A dense block is small
enough for the processor's cache; a sparse one stays sparse in the products of an evaluation. The blocks
depend on the shape of X and the number of classes alone and their results are added in order, so that the
number of threads changes no bit of any sum.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]
Result = TypeVar("Result")

# Numbers in a block: the more, the less the threads wait for the interpreter; 2**20 of them, 8 MiB, are
# still in the last-level cache when they are read again.
BLOCK = 2**20
SPARSE_BLOCKS = 8  # at most: a sparse block returns a dense vector of p for every class
BLOCKS_IN_FLIGHT = 16  # results that may wait for being added, for a pool of threads to keep busy

# Columns whose mean exceeds their spread by more than this are shifted as they are read: folding the
# shift into the intercept would cost the logits as many bits, of the 53 that there are.
MAX_MEAN_TO_SPREAD = 2.0**13

NOT_FINITE = (
    "X must hold finite numbers, got NaN or infinity: scikit-learn's assume_finite=True keeps validation "
    "from saying where."
)


@dataclass(frozen=True)
class ColumnStatistics:
    """Weighted mean and standard deviation of every column, each of shape (n_features,).

    `rounding` is that of its numbers: what varies by less is no information.
    """

    mean: Array
    spread: Array
    rounding: Array


class DesignMatrix:
    """Rows of X, minus an `offset` in the columns that need one.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        float32 or float64, finite.
    map_blocks : callable, default=map
        `map`, or the `map` of a thread pool: results must come in the order of the blocks.
    index : ndarray of int, optional
        The rows of a dense X that there are, in place of all.
    rounding : ndarray of shape (n_features,), optional
        That of the numbers in each column, if it is not that of their type.
    """

    def __init__(
        self,
        X: Any,
        map_blocks: Callable[..., Any] = map,
        index: NDArray[np.intp] | None = None,
        rounding: Array | None = None,
    ) -> None:
        self.X, self.index, self.rounding = X, index, rounding
        self.n_samples, self.n_features = X.shape[0] if index is None else len(index), X.shape[1]
        self.is_sparse = sparse.issparse(X)
        self.offset = np.zeros(self.n_features)
        self.map_blocks = map_blocks
        self._sparse_rows: dict[tuple[int, int], Any] = {}

    def part(self, index: NDArray[np.intp], map_blocks: Callable[..., Any] = map) -> "DesignMatrix":
        """Some of the rows: of a dense X without a copy."""
        if self.is_sparse:
            made = DesignMatrix(self.X[index], map_blocks, None, self.rounding)
        else:
            chosen = index if self.index is None else self.index[index]
            made = DesignMatrix(self.X, map_blocks, chosen, self.rounding)
        made.offset = self.offset
        return made

    def _read(self, rows: slice | NDArray[np.intp]) -> Any:
        """A block of X as it is stored."""
        if self.index is None:
            return self.X[rows]
        chosen = self.index[rows]
        if self.X.flags.c_contiguous:
            return self.X.take(chosen, axis=0)  # faster, but it would first copy all of another layout
        return self.X[chosen]

    @property
    def numbers_per_row(self) -> float:
        """Stored numbers in a row, on average: what a product with X costs."""
        return float(self.X.nnz / self.n_samples if self.is_sparse else self.n_features)

    def map(
        self, function: Callable[[slice], Result], n_columns: int = 1, *, dense: bool = False
    ) -> Iterator[Result]:
        """`function` of every block of rows, in order.

        It makes `n_columns` numbers for a row; `dense` tells that it reads the rows of a sparse X as dense.
        """
        if self.is_sparse and not dense:
            worth = int(np.clip(self.X.nnz // (4 * self.n_features), 1, SPARSE_BLOCKS))
            size = -(-self.n_samples // 2 ** (worth.bit_length() - 1))
        else:
            numbers = self.n_samples * (self.n_features + 2 * n_columns)
            n_blocks = -(-numbers // BLOCK)
            n_blocks += n_blocks % 2 if n_blocks > 1 else 0  # as much for each of two threads
            size = -(-self.n_samples // n_blocks)
        starts = range(0, self.n_samples, size)
        blocks = [slice(start, min(start + starts.step, self.n_samples)) for start in starts]
        for first in range(0, len(blocks), BLOCKS_IN_FLIGHT):
            some = blocks[first : first + BLOCKS_IN_FLIGHT]
            yield from self.map_blocks(function, some) if len(blocks) > 1 else map(function, some)

    def rows(self, rows: slice | NDArray[np.intp]) -> Array:
        """A block of rows, dense, in float64, minus the offset."""
        block = self.X[rows].toarray() if self.is_sparse else self._read(rows)
        if self.offset.any():
            return np.asarray(np.subtract(block, self.offset, dtype=np.float64))
        return np.asarray(block, dtype=np.float64)

    def block(self, rows: slice) -> Any:
        """A block of rows, for `predictors` and `scores`: dense in float64, or sparse, minus the offset."""
        return self._stored(rows) if self.is_sparse else self.rows(rows)

    def _stored(self, rows: slice) -> Any:
        """A block of a sparse X, on the same memory."""
        key = rows.start, rows.stop
        if key not in self._sparse_rows:
            ends = self.X.indptr[rows.start : rows.stop + 1]
            stored = slice(ends[0], ends[-1])
            parts = self.X.data[stored], self.X.indices[stored], ends - ends[0]
            self._sparse_rows[key] = sparse.csr_array(parts, shape=(len(ends) - 1, self.n_features))
        return self._sparse_rows[key]

    def check_finite(self, rows: slice) -> None:
        """Raise a ValueError if some number of a block is none."""
        block = self._read(rows)
        if not np.isfinite(block.data if self.is_sparse else block).all():
            raise ValueError(NOT_FINITE)

    def statistics(self, weights: Array) -> ColumnStatistics:
        """Mean and spread over the rows with positive weight; the weights sum to one.

        The spread is exactly zero for a constant column, and nothing over- or underflows: columns
        are brought to magnitude one by a power of two before they are squared.

        Raises a ValueError where a number is none: no fit begins with it.
        """

        def weighted(rows: slice) -> tuple[Any, Array]:
            used = weights[rows] > 0
            block = self._read(rows)
            return (block, weights[rows]) if used.all() else (block[used], weights[rows][used])

        def extremes(rows: slice) -> tuple[Array, Array]:
            block, w = weighted(rows)
            if len(w) < rows.stop - rows.start:  # the others take part in products, if only with zeros
                self.check_finite(rows)
            if len(w) == 0:
                return np.full(self.n_features, np.inf), np.full(self.n_features, -np.inf)
            ends = block.min(axis=0), block.max(axis=0)
            return ends if not self.is_sparse else tuple(end.toarray().ravel() for end in ends)

        lows, highs = zip(*self.map(extremes), strict=True)
        low, high = np.min(lows, axis=0).astype(float), np.max(highs, axis=0).astype(float)
        largest = np.maximum(np.abs(low), np.abs(high))
        if not np.isfinite(largest).all():
            raise ValueError(NOT_FINITE)
        unit = power_of_two(largest)

        def sums(rows: slice) -> Array:
            block, w = weighted(rows)
            return np.asarray(block.T.astype(np.float64, copy=False) @ w)

        mean = np.clip(sum_of(self.map(sums)), low, high)

        def squares(rows: slice) -> Array:
            block, w = weighted(rows)
            if not self.is_sparse:
                return np.asarray(w @ (block / unit - mean / unit) ** 2)
            z = block.multiply(1 / unit).tocsr()
            stored = sparse.csr_array((np.ones(z.nnz), z.indices, z.indptr), shape=z.shape)
            zeros = w.sum() - stored.T @ w  # the weight of what is not stored, whose deviation is the mean
            z.data = (z.data - (mean / unit)[z.indices]) ** 2
            return np.asarray(z.T @ w + np.maximum(zeros, 0.0) * (mean / unit) ** 2)

        spread = unit * np.sqrt(np.maximum(sum_of(self.map(squares)), 0.0))
        rounding = np.finfo(self.X.dtype).eps * largest if self.rounding is None else self.rounding
        return ColumnStatistics(mean, np.where(low == high, 0.0, spread), rounding)

    def extremes(self, members: Callable[[slice], NDArray[np.bool_]], n_groups: int) -> tuple[Array, Array]:
        """Least and largest value of every column in each group of rows, of shape (n_groups, n_features).

        `members` tells which of a block of rows are in each group, by an array of shape (n_groups, n_rows).
        For a group without any they are inf and -inf.
        """

        def block(rows: slice) -> tuple[Array, Array]:
            values = self._stored(rows) if self.is_sparse else self._read(rows)
            low = np.full((n_groups, self.n_features), np.inf)
            high = -low
            for k, chosen in enumerate(members(rows)):
                if chosen.any():
                    ends = values[chosen].min(axis=0), values[chosen].max(axis=0)
                    low[k], high[k] = (end.toarray().ravel() for end in ends) if self.is_sparse else ends
            return low, high

        lows, highs = zip(*self.map(block, n_groups), strict=True)
        return np.min(lows, axis=0), np.max(highs, axis=0)

    def shift_far_columns(self, columns: ColumnStatistics) -> None:
        """From now on read columns that lie far from zero, for their spread, relative to their mean.

        Sparse columns stay as they are: a shift would fill them.
        """
        far = np.abs(columns.mean) / MAX_MEAN_TO_SPREAD > columns.spread
        if not self.is_sparse:
            self.offset = np.where(far, columns.mean, 0.0)


def power_of_two(magnitude: Array) -> Array:
    """The power of two just above each magnitude, one for zero: scaling by it rounds nothing."""
    exponent = np.clip(np.frexp(magnitude)[1], -1000, 1000)  # so that the inverse is finite too
    return np.where(magnitude > 0, np.ldexp(1.0, exponent), 1.0)


def sum_of(parts: Iterable[Array]) -> Array:
    """Their sum, made in the first of them."""
    parts = iter(parts)
    total = next(parts)
    for part in parts:
        total += part
    return total


def predictors(block: Any, coef: Array) -> Array:
    """Linear predictors of a block of rows, class-major: ``coef @ block.T`` of shape (K, n_rows)."""
    if not isinstance(block, np.ndarray):
        return np.asarray((block @ np.ascontiguousarray(coef.T)).T)
    return np.asarray(coef @ block.T)


def scores(block: Any, residuals: Array) -> Array:
    """The products ``residuals @ block`` of shape (K, n_features)."""
    if not isinstance(block, np.ndarray):
        return np.asarray((block.T @ np.ascontiguousarray(residuals.T)).T)
    return np.asarray(np.dot(residuals, block))  # `@` keeps other threads waiting where the result is small
