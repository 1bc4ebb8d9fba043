"""Rows that are read in batches, from the first to the last in every pass, with memory for one.

No reference to a batch outlives what is computed of it: iterators are chained by `map` and `filter`, which
keep none, where the variable of a loop would hold a batch while the next is read.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import is_dataclass
from functools import partial
from itertools import count
from operator import itemgetter
from typing import Any, Self
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from smreg.data.batches import Batches
from smreg.data.kernels import Draw, Kept, Kernel, Result, Sum, in_order, sum_of
from smreg.data.matrix import MatrixRows, joined
from smreg.data.parts import PartedRows, Read, answered, checked, describe_weighed, encoded, in_part, summary
from smreg.data.rows import MAX_NUMBERS
from smreg.data.sample import Sample
from smreg.data.systematic_sampling import thresholds_of_parts
from smreg.data.targets import Targets

Array = NDArray[np.float64]

OTHER_ROWS = (
    "Every pass must yield the rows of the first, in the same batches: factory must begin anew whenever it "
    "is called, and read the same."
)
COMPARED = ("numbers of rows", "targets or weights", "features")


def batch_sample(
    estimator: BaseEstimator,
    batches: Batches,
    class_weight: Mapping[Any, float] | str | None,
    thread_map: Callable[..., Any],
) -> Sample:
    """Check a sample in one pass, or with class weights in two.

    Raises
    ------
    TypeError, ValueError
        As of a sample in memory, naming the batch, or if the second pass yields other rows.
    """
    reader = _Reader(batches, estimator)
    known = sum_of(reader.each(lambda _, read: summary(read, thread_map)))
    classes = known.checked_classes()
    class_weights = known.class_weights(class_weight, classes)
    attributes = {"thread_map": thread_map, "lengths": known.lengths, **known.attributes()}
    rows = BatchRows(reader, classes, class_weights, **attributes)
    describe_weighed(rows, class_weights)
    return Sample(rows, classes, known.dtype)


class BatchRows(PartedRows):
    """Rows of which a reader yields batches.

    Parameters
    ----------
    reader : _Reader
        After its first pass.
    classes, class_weights : ndarray of shape (n_classes,)
        By which labels are encoded and weighed.
    attributes
        What is known of all rows, see `smreg.data.parts.PartedRows`.
    """

    def __init__(
        self, reader: "_Reader", classes: NDArray[Any], class_weights: Array, **attributes: Any
    ) -> None:
        self._reader, self._classes, self._finish = reader, (classes, class_weights), _as_it_is
        for name, value in attributes.items():
            setattr(self, name, value)

    def each(self, of: Callable[[int, MatrixRows], Result]) -> Iterator[Result]:
        """What a function makes of every batch, by its place, in one pass."""
        return self._reader.each(
            lambda place, read: of(place, self._finish(place, encoded(read, *self._classes, self.thread_map)))
        )

    def map_reduce(self, kernel: Kernel[Result], *arguments: Any, **hints: Any) -> Result:
        """The sum of what the kernel returns, in one pass."""

        def of(place: int, rows: MatrixRows) -> Result:
            return rows.map_reduce(kernel, *_own(arguments, place, rows), **hints)

        return sum_of(self.each(of))

    def keep(self, kernel: Kernel[Result], *arguments: Any, **hints: Any) -> "KeptOfBatches[Result]":
        """What the kernel returns for every block."""

        def of(place: int, rows: MatrixRows) -> Kept[Result]:
            return rows.keep(kernel, *_own(arguments, place, rows), **hints)

        return KeptOfBatches(self, of)

    def sampled(self, mass: Kept[Array], size: int) -> MatrixRows:
        """A systematic sample in memory, drawn in every batch by the mass of those before."""
        assert isinstance(mass, KeptOfBatches)
        totals = np.array([sum(map(np.sum, part.gather())) for part in mass.each()])
        places = thresholds_of_parts(totals, size)

        def of(place: int, rows: MatrixRows) -> MatrixRows | None:
            return rows.met(mass.part(place, rows), places[place]) if places[place][-1] else None

        return joined([part for part in self.each(of) if part is not None], self.thread_map)

    def read(self, requests: Sequence[Sum | Draw]) -> list[Any]:
        """Several sums and samples, each the same as by itself, in one pass."""
        sums = [request for request in requests if isinstance(request, Sum)]
        draws = [request for request in requests if isinstance(request, Draw)]
        totals, *drawn = sum_of(self.each(lambda place, rows: answered(rows, place, sums, draws)))
        samples = (joined(drawn.pop(0)) for _ in draws)  # of whose parts nothing is left then
        return in_order(requests, totals, samples)

    def of_parts(self, function: Callable[[MatrixRows], Result]) -> list[Result]:
        """What a function makes of every batch, in one pass."""
        return list(self.each(lambda _, rows: function(rows)))

    def with_parts(
        self, function: Callable[..., MatrixRows], *items: Sequence[Any], **arguments: Any
    ) -> Self:
        """Rows whose batches are what a function makes of these, in every pass."""

        def finish(place: int, rows: MatrixRows) -> MatrixRows:
            return function(self._finish(place, rows), *(item[place] for item in items), **arguments)

        made = copy(self)
        made._finish = finish
        return made


def _as_it_is(place: int, rows: MatrixRows) -> MatrixRows:
    return rows


class KeptOfBatches(Kept[Result]):
    """Results of every batch, held if they are few enough, and else made again whenever they are asked for.

    Parameters
    ----------
    rows : BatchRows
        The rows.
    make : callable
        ``(place, rows of a batch) -> Kept``.
    parts : list of Kept, optional
        Those of the batches, where they are held already.
    """

    def __init__(
        self,
        rows: BatchRows,
        make: Callable[[int, Any], Kept[Result]],
        parts: list[Kept[Result]] | None = None,
    ) -> None:
        held = _held(rows.each(make)) if parts is None else parts
        vars(self).update(rows=rows, make=make, parts=held)

    rows: BatchRows
    make: Callable[[int, Any], Kept[Result]]
    parts: list[Kept[Result]] | None

    def part(self, place: int, rows: MatrixRows | None) -> Kept[Result]:
        """Those of a batch, made of its rows where they are not held."""
        return self.make(place, rows) if self.parts is None else self.parts[place]

    def each(self) -> Iterator[Kept[Result]]:
        """Those of every batch, in a pass if they are not held."""
        return self.rows.each(self.make) if self.parts is None else iter(self.parts)

    def map_reduce(self, kernel: Callable[..., Any], *arguments: Any) -> Any:
        """The sum of ``kernel(result, *arguments)``."""
        return sum_of(part.map_reduce(kernel, *arguments) for part in self.each())

    def keep(self, kernel: Callable[..., Any], *arguments: Any) -> "KeptOfBatches[Any]":
        """The results of another kernel, which takes these, and of each block what else is kept."""

        def of(place: int, rows: MatrixRows | None) -> Kept[Any]:
            return self.part(place, rows).keep(kernel, *_own(arguments, place, rows))

        all_kept = [self, *(a for a in arguments if isinstance(a, KeptOfBatches))]
        if any(kept.parts is None for kept in all_kept):
            return KeptOfBatches(self.rows, of)
        return KeptOfBatches(self.rows, of, [of(place, None) for place in range(len(self.parts or ()))])

    def gather(self) -> list[Result]:
        """The results, in the order of the blocks."""
        return [result for part in self.each() for result in part.gather()]


def _own(arguments: tuple[Any, ...], place: int, rows: MatrixRows | None) -> list[Any]:
    """What is kept of a batch, in the place of what is kept of all."""
    return [a.part(place, rows) if isinstance(a, KeptOfBatches) else a for a in arguments]


def _held(parts: Iterator[Kept[Result]]) -> list[Kept[Result]] | None:
    """All parts, or None if they have too many numbers."""
    held, numbers = [], 0
    for part in parts:
        held.append(part)
        numbers += _numbers(part.results)
        if numbers > MAX_NUMBERS:
            return None
    return held


def _numbers(results: Any) -> int:
    """How many there are in arrays, in lists and tuples of them, and in records."""
    if isinstance(results, np.ndarray):
        return results.size
    if is_dataclass(results):
        return sum(map(_numbers, vars(results).values()))
    return sum(map(_numbers, results)) if isinstance(results, list | tuple) else 1


class _Reader:
    """Reads batches, and sees to it that every pass yields the rows of the first.

    Parameters
    ----------
    batches : Batches
        To be read.
    estimator : BaseEstimator
        Which gets the number and the names of the features from the first batch.
    """

    def __init__(self, batches: Batches, estimator: BaseEstimator) -> None:
        self.batches, self.estimator = batches, estimator
        self.names: list[Any] | None = None
        self.first: list[tuple[int, int, int]] | None = None

    def each(self, of: Callable[[int, Read], Result]) -> Iterator[Result]:
        """What a function makes of every batch that has rows, by its place among them, in one pass."""
        met = list[tuple[int, int, int]]()
        made = map(partial(self._made, of, met), count(), self.batches)
        yield from map(itemgetter(0), filter(None, made))
        if not met and self.first is None:
            raise ValueError("X must have at least one sample, got none in any batch.")
        self.first = met if self.first is None else self.first
        if len(met) < len(self.first):
            raise ValueError(
                f"{OTHER_ROWS} The first had {len(self.first)} batches with rows, this one {len(met)}."
            )

    def _made(
        self, of: Callable[[int, Read], Result], met: list[Any], number: int, batch: Any
    ) -> tuple[Result] | None:
        """What the function makes of a batch that has rows, else None."""
        with in_part(f"batch {number}"):
            read = self._checked(batch)
            if len(read) == 0:
                return None
            met.append(_fingerprint(read))
            self._compare(met)
        return (of(len(met) - 1, read),)

    def _checked(self, batch: Any) -> Read:
        X, y, sample_weight = self.batches.divided(batch)
        if self.names is None:
            validate_data(self.estimator, X, reset=True, skip_check_array=True)
            self.names = list(X.columns)
        return checked(X, y, sample_weight, len(self.names), self.names)

    def _compare(self, met: list[tuple[int, int, int]]) -> None:
        """Raise a ValueError if the batch met last is not that of the first pass."""
        if self.first is None:
            return
        first = self.first[len(met) - 1] if len(met) <= len(self.first) else (0, 0, 0)
        differ = [name for name, one, other in zip(COMPARED, first, met[-1], strict=True) if one != other]
        if differ:
            raise ValueError(f"{OTHER_ROWS} There are other {differ[0]} than in the first.")


def _fingerprint(read: Read) -> tuple[int, int, int]:
    """Number of rows, and checksums: of targets and weights, and of the features of every row."""
    targets = read.y.values if isinstance(read.y, Targets) else pd.util.hash_array(read.y)
    of_targets = crc32(targets.tobytes(), crc32(read.weights.tobytes()))
    X: Any = read.X
    if not isinstance(X, np.ndarray):
        features = crc32(X.indices.tobytes(), crc32(X.indptr.tobytes(), crc32(X.data.tobytes())))
        return len(read), of_targets, features
    bits = X.view(f"u{X.itemsize}").astype(np.uint64, copy=False)
    odd = np.arange(1, 2 * bits.shape[1], 2, dtype=np.uint64)  # so that columns may not be exchanged
    return len(read), of_targets, crc32((bits @ odd).tobytes())
