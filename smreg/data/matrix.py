"""Rows of a matrix in memory, or in a file that is mapped to memory.

X may be C- or F-ordered, float32 or float64, a memmap, read-only, or sparse CSR. It is never copied
in full: products with it go block by block, in float64 whatever the storage. A dense block is small
enough for the processor's cache; a sparse one stays sparse in the products of an evaluation. The blocks
depend on the shape of X and the number of classes alone.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from smreg.data.block import BLOCK, Block
from smreg.data.kernels import Draw, Kept, Kernel, Result, sum_of
from smreg.data.rows import IndexedRows
from smreg.data.statistics import ColumnStatistics
from smreg.data.systematic_sampling import met_from
from smreg.data.targets import Targets

Array = NDArray[np.float64]

SPARSE_BLOCKS = 8  # at most: a sparse block returns a dense vector of p for every class
BLOCKS_IN_FLIGHT = 16  # results computed but not yet added, so that the threads of a pool are kept busy
NUMBERS_IN_FLIGHT = 2**24  # and the numbers in them: 128 MiB


class MatrixRows(IndexedRows):
    """Rows of X, minus the `shift`, with targets and weights.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        float32 or float64, finite.
    targets : Targets
        One for each row.
    weights : ndarray of shape (n_samples,)
        Non-negative.
    thread_map : callable, default=map
        `map`, or the `map` of a thread pool: results must come in the order of the blocks.
    rounding : ndarray of shape (n_features,), optional
        That of the numbers in each column, if it is not that of their type.
    offset : ndarray of shape (n_samples, K), optional
        A known part of the logits.

    Attributes
    ----------
    index : ndarray of int, or None
        The rows of a dense X that there are, in place of all.
    """

    def __init__(
        self,
        X: Any,
        targets: Targets,
        weights: Array,
        thread_map: Callable[..., Any] = map,
        rounding: Array | None = None,
        offset: Array | None = None,
    ) -> None:
        self._X, self.targets, self.weights = X, targets, weights
        self.index: NDArray[np.intp] | None = None
        self.thread_map, self.rounding, self.offset = thread_map, rounding, offset
        self.has_offset = offset is not None
        self.folds: NDArray[np.int16] | None = None
        self.stores_zeros = not sparse.issparse(X)
        self.eps = float(np.finfo(X.dtype).eps)
        self.n_samples, self.n_features = X.shape
        self.numbers_per_row = float(self.n_features if self.stores_zeros else X.nnz / self.n_samples)
        self.n_classes = len(targets.classes)
        self.shift = np.zeros(self.n_features)
        self._blocks: dict[tuple[int, int, int], Block] = {}

    @property
    def by_index(self) -> "MatrixRows":
        """These rows."""
        return self

    @property
    def in_memory(self) -> "MatrixRows":
        """These rows."""
        return self

    def map_reduce(self, kernel: Kernel[Result], *arguments: Any, **hints: Any) -> Result:
        """The sum of what the kernel returns."""
        return sum_of(self.map_blocks(kernel, *arguments, **hints))

    def map_blocks(
        self,
        kernel: Kernel[Result],
        *arguments: Any,
        size: int | None = None,
        dense: bool = False,
        result: int = 1,
    ) -> Iterator[Result]:
        """What the kernel returns for every block, in their order."""

        def of(block: tuple[int, slice]) -> Result:
            return kernel(self._block(*block), *arguments)

        size = size or -(-self.n_samples // self._n_blocks(dense))
        if size >= self.n_samples:
            yield of((0, slice(0, self.n_samples)))
            return
        starts = range(0, self.n_samples, size)
        blocks = [(k, slice(start, min(start + size, self.n_samples))) for k, start in enumerate(starts)]
        at_a_time = max(min(BLOCKS_IN_FLIGHT, NUMBERS_IN_FLIGHT // result), 1)
        for first in range(0, len(blocks), at_a_time):
            some = blocks[first : first + at_a_time]
            yield from self.thread_map(of, some)

    def _n_blocks(self, dense: bool) -> int:
        if self.stores_zeros or dense:
            n_blocks = -(-self.n_samples * (self.n_features + 2 * self.n_classes) // BLOCK)
            return n_blocks + n_blocks % 2 if n_blocks > 1 else 1  # as much for each of two threads
        worth = int(np.clip(self._X.nnz // max(4 * self.n_features, 1), 1, SPARSE_BLOCKS))
        return int(2 ** (worth.bit_length() - 1))

    def _block(self, number: int, rows: slice) -> Block:
        """A block of rows, kept where it is on the memory of X."""
        key = number, rows.start, rows.stop
        if key in self._blocks:
            return self._blocks[key]
        X = self._dense(rows) if self.stores_zeros else self._sparse(rows)
        offset, folds = _rows_of(self.offset, rows), _rows_of(self.folds, rows)
        block = Block(number, X, self.targets.values[rows], self.weights[rows], offset, folds)
        if not self.stores_zeros or np.may_share_memory(X, self._X):
            self._blocks[key] = block
        return block

    def _dense(self, rows: slice) -> Array:
        """Rows of a dense X, minus the shift."""
        if self.index is None:
            X = self._X[rows]
        elif self._X.flags.c_contiguous:
            X = self._X.take(self.index[rows], axis=0)  # faster; of another layout it would copy all
        else:
            X = self._X[self.index[rows]]
        if self.shift.any():
            return np.asarray(np.subtract(X, self.shift, dtype=np.float64))
        return np.asarray(X, dtype=np.float64)

    def _sparse(self, rows: slice) -> Any:
        """Rows of a sparse X, on the same memory."""
        ends = self._X.indptr[rows.start : rows.stop + 1]
        stored = slice(ends[0], ends[-1])
        parts = self._X.data[stored], self._X.indices[stored], ends - ends[0]
        return sparse.csr_array(parts, shape=(len(ends) - 1, self.n_features))

    def shifted(self, shift: Array) -> "MatrixRows":
        """These rows, with a shift subtracted from each row of a dense X as given."""
        if not self.stores_zeros or not (shift.any() or self.shift.any()):
            return self
        return self._with(shift=shift)

    @property
    def unshifted(self) -> "MatrixRows":
        """These rows without a shift."""
        return self.shifted(np.zeros_like(self.shift))

    def edited(
        self, edit: Callable[[Block], Block], n_classes: int, statistics: ColumnStatistics | None = None
    ) -> "MatrixRows":
        """These rows with other targets and weights, and with them the statistics of the columns if known."""
        made = edit(Block(0, None, self.targets.values, self.weights, self.offset, self.folds))
        targets = Targets(np.arange(n_classes), made.target)
        return self._with(
            targets=targets,
            weights=made.weights,
            offset=made.offset,
            n_classes=n_classes,
            tally=None,
            statistics=statistics,
        )

    def take(
        self,
        index: NDArray[np.intp],
        weights: Array,
        targets: Targets | None = None,
        thread_map: Callable[..., Any] = map,
        offset: Array | None = None,
    ) -> "MatrixRows":
        """Some of the rows, with other weights: of a dense X without a copy."""
        targets = targets or self.targets.take(index)
        offset = _rows_of(self.offset, index) if offset is None else offset
        folds = _rows_of(self.folds, index)
        if not self.stores_zeros:
            copied = MatrixRows(self._X[index], targets, weights, thread_map, self.rounding, offset)
            return copied.divided(folds)
        chosen = index if self.index is None else self.index[index]
        return self._with(
            index=chosen,
            n_samples=len(chosen),
            n_classes=len(targets.classes),
            targets=targets,
            weights=weights,
            offset=offset,
            folds=folds,
            thread_map=thread_map,
            tally=None,
            statistics=None,
        )

    def copied(self, index: NDArray[np.intp], weights: Array) -> "MatrixRows":
        """Some of the rows, with other weights, without the memory of the others."""
        offset, folds = _rows_of(self.offset, index), _rows_of(self.folds, index)
        copied = MatrixRows(
            self._X[index], self.targets.take(index), weights, rounding=self.rounding, offset=offset
        )
        return copied.divided(folds)

    def drawn(self, draw: Draw, part: int) -> "MatrixRows":
        """Rows of one part that a sample has, copied."""
        return self.met(self.keep(draw.kernel, *draw.arguments, **draw.hints), draw.thresholds[part])

    def met(self, mass: Kept[Array], thresholds: tuple[float, float, int]) -> "MatrixRows":
        """Rows that are met by thresholds on their mass, see `met_from`, copied."""
        met = met_from(np.concatenate(mass.gather()), *thresholds)
        return self.copied(met.index, self.weights[met.index] * met.factors)

    def divided(self, folds: NDArray[np.int16] | None) -> "MatrixRows":
        """These rows, each in the test part of a fold of that number."""
        return self._with(folds=folds)

    def columns(self, features: NDArray[np.intp]) -> "MatrixRows":
        """Some of the features as given, for a copy of them."""
        X = self._X[:, features] if self.index is None else self._X[np.ix_(self.index, features)]
        return self.replaced(X, None if self.rounding is None else self.rounding[features])

    def replaced(self, X: Any, rounding: Array | None = None) -> "MatrixRows":
        """Other features of the same rows."""
        return MatrixRows(X, self.targets, self.weights, self.thread_map, rounding, self.offset)

    @property
    def csr(self) -> Any:
        """A sparse X as it is, or None."""
        return None if self.stores_zeros else self._X

    def dense(self) -> Array:
        """All of X, minus the shift."""
        return self._block(0, slice(0, self.n_samples)).dense()

    def used(self) -> "Used":
        """All features of the rows that have weight."""
        rows = np.flatnonzero(self.weights)
        return Used(self._X, rows if self.index is None else self.index[rows])

    def _with(self, **attributes: Any) -> "MatrixRows":
        made = copy(self)
        vars(made).update(attributes, _blocks={})
        return made


def _rows_of(values: Any, rows: Any) -> Any:
    """Some rows of what may be missing."""
    return None if values is None else values[rows]


class Used:
    """Some rows of X, of which columns are read as dense, as given."""

    def __init__(self, X: Any, rows: NDArray[np.intp]) -> None:
        self._X, self._rows = X if isinstance(X, np.ndarray) else X.tocsc(), rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, columns: slice) -> NDArray[Any]:
        """Some columns, of shape (n_rows, n_columns)."""
        X = self._X[:, columns]
        X = X if isinstance(X, np.ndarray) else X.toarray()
        return np.asarray(X[self._rows] if len(self._rows) < len(X) else X)

    def largest(self) -> float:
        """The largest size of a number."""
        X = self._X[self._rows]
        return max(float(X.max()), -float(X.min()))


def joined(parts: Sequence[MatrixRows], thread_map: Callable[..., Any] = map) -> MatrixRows:
    """The rows of all parts, which are to have the same classes, copied."""
    stores = [part._X for part in parts]
    is_sparse = any(map(sparse.issparse, stores))
    X = sparse.vstack(stores, format="csr") if is_sparse else np.concatenate(stores)
    values = np.concatenate([part.targets.values for part in parts])
    weights = np.concatenate([part.weights for part in parts])
    offsets = [part.offset for part in parts if part.offset is not None]  # of all, or of none
    offset = np.concatenate(offsets) if offsets else None
    rows = MatrixRows(X, Targets(parts[0].targets.classes, values), weights, thread_map, offset=offset)
    folds = [part.folds for part in parts if part.folds is not None]
    return rows.divided(np.concatenate(folds)) if folds else rows


def unlabelled(X: Any, n_classes: int, offset: Array | None = None) -> MatrixRows:
    """Rows to be predicted, without targets and weight."""
    n = X.shape[0]
    targets = Targets(np.arange(n_classes), np.zeros(n, dtype=np.int64))
    return MatrixRows(X, targets, np.zeros(n), offset=offset)
