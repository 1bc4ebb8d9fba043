"""Stores of rows, read in blocks: all that is known of them outside of this room is what kernels return.

A store need have no more than `Rows.map_reduce`, which adds up what a kernel (`smreg.data.kernels`) returns
for its blocks. Abilities that not every store has are declared: `Rows.can_sample`, `Rows.by_index` and
`Rows.in_memory`. Methods that need one are used where a store has it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smreg.data.block import Block
from smreg.data.kernels import Draw, Kept, Kernel, Result, Sum, each, listed, of_edited
from smreg.data.systematic_sampling import met_by_thresholds
from smreg.data.targets import Targets

if TYPE_CHECKING:
    from smreg.data.matrix import MatrixRows
    from smreg.data.statistics import ColumnStatistics
    from smreg.data.tally import Tally

Array = NDArray[np.float64]

MAX_NUMBERS = 2**25  # that are kept, of each sample or a dense X: 256 MiB


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

    def read(self, requests: Sequence[Sum | Draw]) -> list[Any]:
        """Several sums and samples, each the same as by itself, in one pass for all of the same blocks."""
        made: list[Any] = [
            None if isinstance(request, Sum) else self.drawn(request, 0) for request in requests
        ]
        sums = {number: request for number, request in enumerate(requests) if isinstance(request, Sum)}
        for size, dense in dict.fromkeys(total.blocks for total in sums.values()):
            some = {number: total for number, total in sums.items() if total.blocks == (size, dense)}
            result = sum(total.result for total in some.values())
            totals = self.map_reduce(each, list(some.values()), size=size, dense=dense, result=result)
            for number, total in zip(some, totals, strict=True):
                made[number] = total
        return made

    def drawn(self, draw: Draw, part: int) -> Any:
        """Rows of one part that a sample has."""
        raise NotImplementedError

    def map_blocks(self, kernel: Kernel[Result], *arguments: Any, **hints: Any) -> Iterator[Result]:
        """What the kernel returns for every block, in their order."""
        return iter(self.map_reduce(listed, kernel, *arguments, **hints))

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


class _Edited(Rows):
    """A store whose blocks are those of another, edited."""

    def __init__(self, rows: Rows, edit: Callable[[Block], Block], **attributes: Any) -> None:
        self._rows, self._edit = rows, edit
        for name in Rows.__annotations__:
            setattr(self, name, attributes.get(name, getattr(rows, name)))

    def map_reduce(self, kernel: Kernel[Result], *arguments: Any, **hints: Any) -> Result:
        made: Result = self._rows.map_reduce(of_edited, self._edit, kernel, *arguments, **hints)
        return made

    def keep(self, kernel: Kernel[Result], *arguments: Any, **hints: Any) -> Kept[Result]:
        return self._rows.keep(of_edited, self._edit, kernel, *arguments, **hints)

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


def _of_columns(block: Block, features: NDArray[np.intp]) -> Block:
    return replace(block, X=block.X[:, features])


def _less(block: Block, shift: Array) -> Block:
    return replace(block, X=block.X - shift)
