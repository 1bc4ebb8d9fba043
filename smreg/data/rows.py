"""Rows of samples, read in blocks: all that is known of them outside of this room is what kernels return.

A *kernel* is a function of a `Block` and of arguments that are the same for all blocks. It belongs to a
module, not to a call, so that it can be sent to another process. `Rows.map_reduce` adds up what it returns,
in the order of the blocks, so that the number of threads changes no bit of any sum.

A store of rows need have no more than `Rows.map_reduce`. Abilities that not every store has are declared:
`Rows.can_sample`, `Rows.by_index` and `Rows.in_memory`. Methods that need one are used where a store has it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial, reduce
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from smreg.data.targets import Targets

if TYPE_CHECKING:
    from smreg.data.matrix import MatrixRows
    from smreg.data.statistics import ColumnStatistics

Array = NDArray[np.float64]
Result = TypeVar("Result")
Kernel = Callable[..., Result]

# Numbers that a block has, or that a kernel makes of it: the more, the smaller the part of the time in which
# the GIL is held; 2**20 of them, 8 MiB, are still in the last-level cache when they are read again.
BLOCK = 2**20

MAX_NUMBERS = 2**25  # that are kept, of each sample or a dense X: 256 MiB

NOT_FINITE = (
    "X must hold finite numbers, got NaN or infinity: scikit-learn's assume_finite=True keeps validation "
    "from saying where."
)


@dataclass(frozen=True)
class Block:
    """Some of the rows.

    Attributes
    ----------
    number : int
        Which block it is: the same rows in every pass of one kind.
    X : ndarray or CSR array of shape (n_rows, n_features)
        The features, dense in float64, or sparse.
    target : ndarray of int of shape (n_rows,), or of float of shape (n_rows, K)
        Class codes 0, ..., K - 1, or points of the simplex.
    weights : ndarray of shape (n_rows,)
        Non-negative.
    offset : ndarray of shape (n_rows, K), or None
        A known part of the logits.
    folds : ndarray of int of shape (n_rows,), or None
        Which fold of a cross-validation each row is in the test part of, -1 for none.
    """

    number: int
    X: Any
    target: NDArray[np.int64] | Array
    weights: Array
    offset: Array | None = None
    folds: NDArray[np.int16] | None = None

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.weights)

    @cached_property
    def is_used(self) -> bool:
        """Whether all rows have weight."""
        return bool(self.weights.all())

    def predictors(self, coef: Array) -> Array:
        """Linear predictors, class-major: ``coef @ X'`` of shape (K, n_rows)."""
        return predictors(self.X, coef)

    def sizes(self, coef: Array) -> Array:
        """Sums of the sizes of the terms, ``|coef| @ |X|'``."""
        return predictors(abs(self.X), np.abs(coef))

    def scores(self, residuals: Array) -> Array:
        """The products ``residuals @ X`` of shape (K, n_features)."""
        return _scores(self.X, residuals)

    def scores_of_squares(self, residuals: Array) -> Array:
        """The products ``residuals @ X**2``."""
        return _scores(self.X**2 if isinstance(self.X, np.ndarray) else self.X.multiply(self.X), residuals)

    def dense(self) -> Array:
        """The features as an array of shape (n_rows, n_features)."""
        return np.asarray(self.X if isinstance(self.X, np.ndarray) else self.X.toarray(), dtype=np.float64)

    def take(self, rows: NDArray[Any]) -> "Block":
        """Some of its rows."""
        offset, folds = (None if of is None else of[rows] for of in (self.offset, self.folds))
        return Block(self.number, self.X[rows], self.target[rows], self.weights[rows], offset, folds)

    def divide(self, scale: Array, quotients: Array) -> None:
        """Write the features over their scale into a contiguous array of shape (n_features, n_rows)."""
        if isinstance(self.X, np.ndarray):
            np.divide(self.X.T, scale[:, np.newaxis], out=quotients)
        else:
            self.X.T.astype(np.float64, copy=False).toarray(out=quotients)
            quotients /= scale[:, np.newaxis]

    def check_finite(self) -> None:
        """Raise a ValueError if the features hold NaN or infinity."""
        if not np.isfinite(self.X if isinstance(self.X, np.ndarray) else self.X.data).all():
            raise ValueError(NOT_FINITE)

    def add_targets(self, q: Array, part: float) -> Array:
        """``q + part t``, of shape (K, n_rows), in the place of q."""
        if self.target.ndim == 1:
            q[self.target, np.arange(len(self))] += part
        else:
            q += part * self.target.T
        return q


@dataclass(frozen=True)
class Kept(Generic[Result]):
    """One result for each block, to be handed to another kernel."""

    results: list[Result]
    thread_map: Callable[..., Any] = map

    def map_reduce(self, kernel: Callable[..., Any], *arguments: Any) -> Any:
        """The sum of ``kernel(result, *arguments)``."""
        return sum_of(self.keep(kernel, *arguments).results)

    def keep(self, kernel: Callable[..., Any], *arguments: Any) -> "Kept[Any]":
        """The results of another kernel, which takes these, and of each block what else is kept."""

        def of(number: int) -> Any:
            own = (a.results[number] if isinstance(a, Kept) else a for a in arguments)
            return kernel(self.results[number], *own)

        some_map = self.thread_map if len(self.results) > 1 else map
        return Kept(list(some_map(of, range(len(self.results)))), self.thread_map)

    def gather(self) -> list[Result]:
        """The results, in the order of the blocks."""
        return self.results

    def of(self, block: Block) -> Result:
        """The result of a block."""
        return self.results[block.number]


class Rows(ABC):
    """A store of rows: an implementation has `map_reduce` and the attributes without a value.

    Attributes
    ----------
    n_samples, n_features, n_classes : int
        Its shape.
    shift : ndarray of shape (n_features,)
        What is subtracted from every row of X: see `shifted`.
    numbers_per_row : float
        Stored numbers in a row, on average: what a product with X costs.
    stores_zeros : bool
        Whether blocks are dense. Else to make them so takes far more than products with them.
    eps : float
        Relative rounding of the numbers.
    rounding : ndarray of shape (n_features,), or None
        Rounding of the numbers in each column, if it is not that of their type.
    thread_map : callable
        `map`, or that of threads that are there for other work.
    can_sample : bool
        Whether `sampled` is there.
    most_kept : float
        Numbers that may be kept with the rows where they can be made again: beyond, lines are followed by
        evaluations.
    has_offset : bool
        Whether blocks have offsets.
    tally, statistics : Tally, ColumnStatistics, or None
        Sums of the weights, and statistics of the columns, if they are known.
    """

    n_samples: int
    n_features: int
    n_classes: int
    numbers_per_row: float
    shift: Array
    stores_zeros: bool = True
    eps: float = float(np.finfo(np.float64).eps)
    rounding: Array | None = None
    thread_map: Callable[..., Any] = map
    can_sample: bool = False
    most_kept: float = MAX_NUMBERS
    has_offset: bool = False
    tally: "Tally | None" = None
    statistics: "ColumnStatistics | None" = None

    @abstractmethod
    def map_reduce(
        self,
        kernel: Kernel[Result],
        *arguments: Any,
        size: int | None = None,
        dense: bool = False,
        result: int = 1,
    ) -> Result:
        """The sum of ``kernel(block, *arguments)`` over the blocks, in their order: see `sum_of`.

        The rest are hints: `size` is how many rows a block should have, if the kernel makes more for each of
        them than a few numbers for each class; `dense` is whether it makes the features dense, and `result`
        how many numbers it returns.
        """

    def read(self, requests: Sequence["Sum | Draw"]) -> list[Any]:
        """Several sums and samples, each the same as by itself, in one pass for all of the same blocks."""
        made: list[Any] = [
            None if isinstance(request, Sum) else self.drawn(request, 0) for request in requests
        ]
        sums = {number: request for number, request in enumerate(requests) if isinstance(request, Sum)}
        for size, dense in dict.fromkeys(total.blocks for total in sums.values()):
            some = {number: total for number, total in sums.items() if total.blocks == (size, dense)}
            result = sum(total.result for total in some.values())
            totals = self.map_reduce(_each, list(some.values()), size=size, dense=dense, result=result)
            for number, total in zip(some, totals, strict=True):
                made[number] = total
        return made

    def drawn(self, draw: "Draw", part: int) -> Any:
        """Rows of one part that a sample has."""
        raise NotImplementedError

    def map_blocks(self, kernel: Kernel[Result], *arguments: Any, **hints: Any) -> Iterator[Result]:
        """What the kernel returns for every block, in their order."""
        return iter(self.map_reduce(_listed, kernel, *arguments, **hints))

    def keep(self, kernel: Kernel[Result], *arguments: Any, **hints: Any) -> Kept[Result]:
        """What the kernel returns for every block, kept for another kernel with the same hints."""
        return Kept(list(self.map_blocks(kernel, *arguments, **hints)), self.thread_map)

    def sampled(self, mass: Kept[Array], size: int) -> "Rows":
        """Rows met by `size` equally spaced thresholds on the cumulative mass.

        Their weights are multiplied by the inverse of the chance with which they are met.
        """
        raise NotImplementedError

    def close(self) -> None:  # noqa: B027 -- most hold nothing
        """Free what is held for these rows in other places."""

    @property
    def by_index(self) -> "IndexedRows | None":
        """These rows if any of them can be taken by their numbers, else None."""
        return None

    @property
    def in_memory(self) -> "MatrixRows | None":
        """These rows if all of X is in memory, else None."""
        return None

    def shifted(self, shift: Array) -> "Rows":
        """These rows, with a shift subtracted from each row of X as given.

        Features whose zeros are not stored stay as they are: a shift would fill them.
        """
        if not self.stores_zeros or not (shift.any() or self.shift.any()):
            return self
        return _Edited(self.unshifted, partial(_less, shift=shift), shift=shift)

    @property
    def unshifted(self) -> "Rows":
        """These rows without a shift."""
        return self

    def columns(self, features: NDArray[np.intp]) -> "Rows":
        """Some of the features, as given."""
        return _Columns(self.unshifted, features)

    def edited(
        self, edit: Callable[[Block], Block], n_classes: int, statistics: "ColumnStatistics | None" = None
    ) -> "Rows":
        """These rows with other targets and weights, and with them the statistics of the columns if known."""
        return _Edited(self, edit, n_classes=n_classes, tally=None, statistics=statistics)


@dataclass(frozen=True)
class Sum:
    """The sum of what a kernel returns: a call of `Rows.map_reduce` that is still to be made.

    Attributes
    ----------
    kernel : callable
        To be called with each block and the arguments.
    arguments : tuple
        Those.
    size, dense, result
        Hints.
    name : str
        That of the pass.
    """

    kernel: Kernel[Any]
    arguments: tuple[Any, ...]
    size: int | None = None
    dense: bool = False
    result: int = 1
    name: str = ""

    @property
    def blocks(self) -> tuple[int | None, bool]:
        """The hints on which blocks depend."""
        return self.size, self.dense


@dataclass(frozen=True)
class Draw:
    """A systematic sample by the mass that a kernel gives every row.

    Attributes
    ----------
    kernel, arguments, hints
        As of a pass.
    size : int
        How many rows at most.
    thresholds : list of tuples
        What each part of the store gets, see `thresholds_of_parts`.
    """

    kernel: Kernel[Array]
    arguments: tuple[Any, ...]
    hints: dict[str, Any]
    size: int
    thresholds: list[tuple[float, float, int]]

    name = "sample"


def in_order(requests: Sequence[Sum | Draw], totals: Iterable[Any], samples: Iterable[Any]) -> list[Any]:
    """Sums and samples in the order in which they were asked for."""
    of_sums, of_draws = iter(totals), iter(samples)
    return [next(of_sums if isinstance(request, Sum) else of_draws) for request in requests]


def _each(block: Block, sums: Sequence[Sum]) -> tuple[Any, ...]:
    return tuple(total.kernel(block, *total.arguments) for total in sums)


class IndexedRows(Rows):
    """A store of which any rows can be taken.

    Attributes
    ----------
    weights : ndarray of shape (n_samples,)
        Of all rows.
    """

    weights: Array
    can_sample = True

    def sampled(self, mass: Kept[Array], size: int) -> Rows:
        """A systematic sample by mass."""
        met = met_by_thresholds(np.concatenate(mass.gather()), size)
        return self.take(met.index, self.weights[met.index] * met.factors, thread_map=self.thread_map)

    @abstractmethod
    def take(
        self,
        index: NDArray[np.intp],
        weights: Array,
        targets: Targets | None = None,
        thread_map: Callable[..., Any] = map,
        offset: Array | None = None,
    ) -> Rows:
        """Some of the rows, with other weights, and other targets and offsets if any are given."""


@dataclass(frozen=True)
class Met:
    """Rows that were met by thresholds.

    Attributes
    ----------
    index : ndarray of int of shape (m,)
        Their numbers.
    factors : ndarray of shape (m,)
        Of their weights.
    """

    index: NDArray[np.intp]
    factors: Array


def met_by_thresholds(mass: Array, size: int) -> Met:
    """Rows met by equally spaced thresholds on the cumulative mass, which is positive and finite."""
    step = float(mass.sum()) / size
    return met_from(mass, step, 0.5 * step, size)


def met_from(mass: Array, step: float, first: float, count: int) -> Met:
    """Rows met by so many thresholds, from the first one on, a step apart."""
    used = np.flatnonzero(mass)
    if len(used) == 0:
        return Met(used, np.empty(0))
    met = np.searchsorted(np.cumsum(mass), first + step * np.arange(count))
    index, times = np.unique(np.clip(met, used[0], used[-1]), return_counts=True)
    return Met(index, times * (step / mass[index]))


def thresholds_of_parts(totals: Array, size: int) -> list[tuple[float, float, int]]:
    """Step, first and number of the thresholds in each part of the rows, by its mass: see `met_from`."""
    starts, step = np.cumsum(totals) - totals, float(totals.sum()) / size
    first = np.clip(np.ceil(starts / step - 0.5), 0, size).astype(int)
    counts = np.diff(first, append=size)
    return list(zip([step] * len(first), (first + 0.5) * step - starts, counts.tolist(), strict=True))


def _listed(block: Block, kernel: Kernel[Result], *arguments: Any) -> list[Result]:
    return [kernel(block, *arguments)]


class _Edited(Rows):
    """A store whose blocks are those of another, edited."""

    def __init__(self, rows: Rows, edit: Callable[[Block], Block], **attributes: Any) -> None:
        self._rows, self._edit = rows, edit
        for name in Rows.__annotations__:
            setattr(self, name, attributes.get(name, getattr(rows, name)))

    def map_reduce(self, kernel: Kernel[Result], *arguments: Any, **hints: Any) -> Result:
        made: Result = self._rows.map_reduce(_of_edited, self._edit, kernel, *arguments, **hints)
        return made

    def keep(self, kernel: Kernel[Result], *arguments: Any, **hints: Any) -> Kept[Result]:
        return self._rows.keep(_of_edited, self._edit, kernel, *arguments, **hints)

    @property
    def unshifted(self) -> Rows:
        return self if self.shift is self._rows.shift else self._rows

    def sampled(self, mass: Kept[Array], size: int) -> Rows:
        sample = self._rows.sampled(mass, size)
        known = {name: getattr(self, name) for name in ("shift", "n_classes", "rounding")}
        return _Edited(sample, self._edit, tally=None, statistics=None, **known)


class _Columns(_Edited):
    """Some of the features of another store."""

    def __init__(self, rows: Rows, features: NDArray[np.intp]) -> None:
        super().__init__(
            rows,
            partial(_of_columns, features=features),
            n_features=len(features),
            shift=rows.shift[features],
            numbers_per_row=rows.numbers_per_row * len(features) / rows.n_features,
            rounding=None if rows.rounding is None else rows.rounding[features],
            statistics=None if rows.statistics is None else rows.statistics.of_columns(features),
        )
        self._features = features

    @property
    def unshifted(self) -> Rows:
        return self

    def sampled(self, mass: Kept[Array], size: int) -> Rows:
        return _Columns(self._rows.sampled(mass, size), self._features)


def _of_edited(
    block: Block, edit: Callable[[Block], Block], kernel: Kernel[Result], *arguments: Any
) -> Result:
    return kernel(edit(block), *arguments)


def innermost(kernel: Kernel[Any], arguments: Sequence[Any]) -> Kernel[Any]:
    """The kernel that another is made of, which a pass is named after."""
    while kernel in (_listed, _of_edited):
        place = 0 if kernel is _listed else 1
        kernel, arguments = arguments[place], arguments[place + 1 :]
    return kernel


def _of_columns(block: Block, features: NDArray[np.intp]) -> Block:
    return replace(block, X=block.X[:, features])


def _less(block: Block, shift: Array) -> Block:
    return replace(block, X=block.X - shift)


@dataclass(frozen=True)
class Tally:
    """Sums of the weights.

    Attributes
    ----------
    largest : float
        Largest weight: the others are relative to it, so that no sum overflows.
    total : float
        Sum of the relative weights.
    mass : ndarray of shape (K,)
        That of each class.
    n_used : int
        Rows of positive weight.
    """

    largest: float
    total: float
    mass: Array
    n_used: int

    def __add__(self, other: "Tally") -> "Tally":
        """The sums of both."""
        largest = max(self.largest, other.largest)
        ours, theirs = (part.largest / largest if largest > 0 else 0.0 for part in (self, other))
        total, mass = ours * self.total + theirs * other.total, ours * self.mass + theirs * other.mass
        return Tally(largest, total, mass, self.n_used + other.n_used)


def tally(rows: Rows) -> Tally:
    """Sum the weights, in one pass unless the sums are known."""
    return rows.map_reduce(tallied, rows.n_classes) if rows.tally is None else rows.tally


def tallied(block: Block, n_classes: int) -> Tally:
    """Those of a block."""
    largest = float(block.weights.max(initial=0.0))
    weights = block.weights / largest if largest > 0 else block.weights
    mass = Targets(np.arange(n_classes), block.target).mass(weights)
    return Tally(largest, float(weights.sum()), mass, int(np.count_nonzero(weights)))


def power_of_two(magnitude: Array) -> Array:
    """The power of two just above each magnitude, one for zero: scaling by it rounds nothing."""
    exponent = np.clip(np.frexp(magnitude)[1], -1000, 1000)  # so that the inverse is finite too
    return np.where(magnitude > 0, np.ldexp(1.0, exponent), 1.0)


def sum_of(parts: Iterable[Result]) -> Result:
    """The sum of numbers, arrays or lists, or of each entry of tuples of them, made in the first."""
    return reduce(_added, parts)


def _added(total: Any, part: Any) -> Any:
    if isinstance(total, tuple):
        return tuple(map(_added, total, part))
    total += part
    return total


def predictors(X: Any, coef: Array) -> Array:
    """``coef @ X'`` of shape (K, n_rows), for dense or sparse rows."""
    if isinstance(X, np.ndarray):
        return np.asarray(coef @ X.T)
    return np.asarray((X @ np.ascontiguousarray(coef.T)).T)


def _scores(X: Any, residuals: Array) -> Array:
    if isinstance(X, np.ndarray):
        return np.asarray(np.dot(residuals, X))  # unlike `@` it lets other threads run for a small result
    return np.asarray((X.T @ np.ascontiguousarray(residuals.T)).T)
