"""A sample in Dask collections, checked partition by partition, and what a first pass knows of it.

The first pass reads features, targets and weights of each partition together, checks them, and sums up what
the fit needs of them: labels, weights, and moments of the columns. With class weights, which are known only
then, a second pass sums up anew. Where workers have the memory, the partitions stay with them after the
first; elsewhere every pass reads them again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import dask
import numpy as np
import pandas as pd
from dask import array as da
from dask import dataframe as dd
from dask.base import get_scheduler, is_dask_collection
from dask.delayed import Delayed, delayed
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_array

from smreg.data.dask_rows import DaskRows, tasks, total_of
from smreg.data.features import DTYPES, as_numbers, naming
from smreg.data.labels import as_labels
from smreg.data.matrix import MatrixRows
from smreg.data.offsets import check_dimensions, columns_of_classes, of_classes, offset_values, relative
from smreg.data.rows import Block, Tally, tallied
from smreg.data.sample import Sample
from smreg.data.statistics import Moments, moments
from smreg.data.targets import Targets, check_soft_targets, encode_labels, is_soft
from smreg.data.weights import check_live, check_sample_weight, class_weight_vector, merged

Array = NDArray[np.float64]

SHARE_OF_MEMORY = 0.5  # of the workers', that a sample may take
MAX_NUMBERS = 2**25  # one for each row and class, up to which results are kept without workers


def dask_sample(
    X: Any,
    y: Any,
    sample_weight: Any,
    class_weight: Mapping[Any, float] | str | None,
    offset: Any = None,
) -> Sample:
    """Check a sample, in one pass.

    Raises
    ------
    TypeError, ValueError
        As of a sample in memory, naming the partition; or if partitions of X, y, the weights and the offsets
        do not belong together.
    """
    if offset is not None:
        check_dimensions(offset)
    partitions = Partitions(X)
    others = {"y": y, "sample_weight": sample_weight, "offset": offset}
    items = partitions.parts, *(partitions.aligned(values, name) for name, values in others.items())
    read = tasks("smreg-read", _read, range(len(partitions.parts)), *items, names=partitions.names)
    client = _client()
    held = read if client is None else list(dask.persist(*read))
    summary: _Summary = total_of(tasks("smreg-check", _summary, range(len(read)), held))
    classes = summary.checked_classes()
    order = None if offset is None else columns_of_classes(offset, classes)
    if client is not None and summary.n_bytes > SHARE_OF_MEMORY * _memory(client):
        held = read
    class_weights = class_weight_vector(class_weight, classes, summary.tally.mass)
    fewest = 1 if len(classes) == 2 and (summary.tally.mass > 0).all() else 2
    check_live(classes, summary.tally.mass * class_weights, fewest)
    used = [part for part, length in zip(held, summary.lengths, strict=True) if length > 0]
    parts = tasks(
        "smreg-encode", _encoded, used, classes=classes, class_weights=class_weights, offset_order=order
    )
    holds = client is not None or sum(summary.lengths) * len(classes) <= MAX_NUMBERS
    rows = _rows(parts if held is read else dask.persist(*parts), summary, len(classes), holds)
    rows.has_offset = offset is not None
    if (class_weights != 1).any():
        rows.tally, of_columns = rows.map_reduce(_described, len(classes))
        rows.statistics = of_columns.statistics(rows.eps)
    return Sample(rows, classes, summary.dtype)


def _rows(parts: Sequence[Delayed], summary: "_Summary", n_classes: int, holds: bool) -> DaskRows:
    n, p = sum(summary.lengths), len(summary.moments.low)
    eps = float(np.finfo(summary.dtype).eps)
    return DaskRows(
        parts,
        holds=holds,
        n_samples=n,
        n_features=p,
        n_classes=n_classes,
        numbers_per_row=summary.n_stored / n,
        stores_zeros=not summary.is_sparse,
        shift=np.zeros(p),
        eps=eps,
        tally=summary.tally,
        statistics=summary.moments.statistics(eps),
    )


def _described(block: Block, n_classes: int) -> tuple[Tally, Moments]:
    return tallied(block, n_classes), moments(block)


def _client() -> Any:
    """The client of a cluster, if one is in use."""
    client = getattr(get_scheduler(), "__self__", None)
    return client if hasattr(client, "scheduler_info") else None


def _memory(client: Any) -> float:
    """Bytes that all workers may take."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return float(sum(worker["memory_limit"] or np.inf for worker in workers))


class Partitions:
    """The partitions of the features, and what goes with them.

    Attributes
    ----------
    parts : list of Delayed
        One for each.
    names : list or None
        Names of the columns of a frame.
    """

    def __init__(self, X: Any) -> None:
        self.X, self.names = X, None
        if isinstance(X, dd.DataFrame):
            self.names, self.parts = list(X.columns), X.to_delayed()
        elif isinstance(X, da.Array) and X.ndim == 2 and X.dtype != object:
            self.parts = X.rechunk({1: -1}).to_delayed().ravel().tolist()
        else:
            raise TypeError(
                f"X must be a Dask DataFrame, or a Dask array of two dimensions and numbers, got {X}."
            )

    @cached_property
    def lengths(self) -> list[int]:
        """How many rows each has: of a frame after a pass."""
        if isinstance(self.X, da.Array) and not np.isnan(self.X.chunks[0]).any():
            return list(self.X.chunks[0])
        return list(dask.compute(*tasks("smreg-length", len, self.parts)))

    def aligned(self, values: Any, name: str) -> list[Any]:
        """Values for the rows of each."""
        if values is None or np.isscalar(values):
            return [values] * len(self.parts)
        if not is_dask_collection(values):
            return self._divided(values, name)
        if isinstance(values, da.Array):
            known = [array for array in (self.X, values) if isinstance(array, da.Array)]
            if len(known) == 2 and not any(np.isnan(array.chunks[0]).any() for array in known):
                self._check_length(len(values), name)
                values = values.rechunk({0: self.X.chunks[0]})
            values = values.rechunk({1: -1}) if values.ndim == 2 else values
        elif getattr(values, "known_divisions", False) and getattr(self.X, "known_divisions", False):
            self._check_divisions(values, name)
        parts: list[Any] = np.ravel(values.to_delayed()).tolist()
        if len(parts) != len(self.parts):
            raise ValueError(
                f"{name} must have a partition for each of the {len(self.parts)} of X, got {len(parts)}: "
                f"repartition one of them."
            )
        return parts

    def _check_length(self, n: int, name: str) -> None:
        if n != sum(self.lengths):
            raise ValueError(
                f"{name} must have a row for each of the {sum(self.lengths)} samples of X, got {n}."
            )

    def _check_divisions(self, values: Any, name: str) -> None:
        if values.divisions != self.X.divisions:
            raise ValueError(f"{name} must be divided like X, at {self.X.divisions}, got {values.divisions}.")

    def _divided(self, values: Any, name: str) -> list[Any]:
        """Values in memory, of which each partition gets its own."""
        values = values if hasattr(values, "shape") else np.asarray(values)
        self._check_length(len(values), name)
        rows = getattr(values, "iloc", values)
        ends = np.cumsum([0, *self.lengths])
        return [delayed(rows[first:last], traverse=False) for first, last in pairwise(ends)]


@dataclass(frozen=True)
class _Read:
    """A partition that was checked.

    Attributes
    ----------
    X : ndarray or CSR array of shape (n_rows, n_features)
        float32 or float64.
    y : ndarray of labels, or Targets
        Whose classes are those of soft targets.
    weights : ndarray of shape (n_rows,)
        Those of the samples.
    offset : ndarray of shape (n_rows,) or (n_rows, n_classes), or None
        In the columns in which they came.
    """

    X: Any
    y: Any
    weights: Array
    offset: Array | None = None


def _read(number: int, X: Any, y: Any, sample_weight: Any, offset: Any, names: list[Any] | None) -> _Read:
    """Check a partition."""
    try:
        return _checked(X, y, sample_weight, offset, names)
    except (TypeError, ValueError) as error:
        raise type(error)(f"In partition {number}: {error}") from error


def _checked(X: Any, y: Any, sample_weight: Any, offset: Any, names: list[Any] | None) -> _Read:
    n = X.shape[0]
    if names is not None and list(X.columns) != names:
        raise ValueError(f"X must have the columns {names}, got {list(X.columns)}.")
    for name, values in ("y", y), ("sample_weight", sample_weight), ("offset", offset):
        if values is not None and not np.isscalar(values) and len(values) != n:
            raise ValueError(f"{name} must have a row for each of the {n} samples of X, got {len(values)}.")
        index = getattr(values, "index", None)
        if isinstance(index, pd.Index) and isinstance(X, pd.DataFrame) and not index.equals(X.index):
            raise ValueError(f"{name} must have the index of X.")
    soft = is_soft(y)
    if n == 0:
        n_features = X.shape[1]
        return _Read(np.empty((0, n_features)), check_soft_targets(y) if soft else np.empty(0), np.empty(0))
    with naming(X, "X"):
        X = check_array(as_numbers(X, "X"), accept_sparse="csr", dtype=DTYPES, input_name="X")
    labels = check_soft_targets(y) if soft else as_labels(y)
    known = None if offset is None else offset_values(offset, n)
    return _Read(X, labels, check_sample_weight(sample_weight, n), known)


@dataclass(frozen=True)
class _Summary:
    """What is known of some partitions.

    Attributes
    ----------
    lengths : tuple of int
        How many rows each has.
    classes : ndarray or None
        Labels that they have, or the names of all columns of soft targets; None of no rows.
    is_soft : bool
        Which of both.
    tally : Tally
        Sums of the weights, over all and by class.
    moments : Moments
        Of the columns.
    dtype : dtype
        Of the features.
    n_stored, n_bytes : int
        Numbers that the features take, and bytes.
    is_sparse : bool
        Whether zeros are not stored.
    """

    lengths: tuple[int, ...]
    classes: NDArray[Any] | None
    is_soft: bool
    tally: Tally
    moments: Moments
    dtype: np.dtype[Any]
    n_stored: int
    n_bytes: int
    is_sparse: bool

    def __add__(self, other: "_Summary") -> "_Summary":
        """That of the partitions of both."""
        lengths, classes = self.lengths + other.lengths, self._classes_with(other)
        if self.classes is None or other.classes is None:
            return replace(self if other.classes is None else other, lengths=lengths)
        return _Summary(
            lengths,
            classes,
            self.is_soft,
            _of_classes(self.tally, self.classes, classes) + _of_classes(other.tally, other.classes, classes),
            self.moments + other.moments,
            np.result_type(self.dtype, other.dtype),
            self.n_stored + other.n_stored,
            self.n_bytes + other.n_bytes,
            self.is_sparse or other.is_sparse,
        )

    def _classes_with(self, other: "_Summary") -> Any:
        """Classes of both, which must be of one kind."""
        if self.classes is None or other.classes is None:
            return None
        kinds = ["number" if c.dtype.kind in "biuf" else c.dtype.kind for c in (self.classes, other.classes)]
        same = self.is_soft == other.is_soft and kinds[0] == kinds[1]
        if not same or (self.is_soft and not np.array_equal(self.classes, other.classes)):
            raise ValueError(
                "y must have labels of one kind, or the same columns, in all partitions; got "
                f"{self.classes.tolist()[:9]} in some and {other.classes.tolist()[:9]} in others."
            )
        return np.union1d(self.classes, other.classes)

    def checked_classes(self) -> NDArray[Any]:
        """All classes."""
        if self.classes is None:
            raise ValueError("X must have at least one sample, got none in any partition.")
        if self.is_soft:
            return self.classes
        return encode_labels(
            np.repeat(self.classes, 2)
        ).classes  # as few labels for each class look continuous


def _of_classes(tally: Tally, classes: NDArray[Any], all_classes: NDArray[Any]) -> Tally:
    """The same with a place for each of more classes."""
    mass = np.zeros(len(all_classes))
    mass[np.searchsorted(all_classes, classes)] = tally.mass
    return replace(tally, mass=mass)


def _summary(number: int, read: _Read) -> _Summary:
    """That of a partition."""
    soft = isinstance(read.y, Targets)
    targets = read.y if soft else Targets(*np.unique(read.y, return_inverse=True))
    n_classes, is_sparse = len(targets.classes), sparse.issparse(read.X)
    rows = MatrixRows(read.X, targets, read.weights)
    n, stored = read.X.shape[0], read.X.data if is_sparse else read.X
    if n == 0:
        return _Summary(
            (0,),
            None,
            soft,
            *_described(Block(0, read.X, targets.values, read.weights), n_classes),
            read.X.dtype,
            0,
            0,
            False,
        )
    try:
        described = rows.map_reduce(_described, n_classes)
    except ValueError as error:
        raise ValueError(f"In partition {number}: {error}") from error
    return _Summary(
        (n,),
        targets.classes,
        soft,
        *described,
        read.X.dtype,
        stored.size,
        stored.nbytes,
        sparse.issparse(read.X),
    )


def _encoded(
    read: _Read, classes: NDArray[Any], class_weights: Array, offset_order: list[int] | None
) -> MatrixRows:
    """Rows with codes of the classes, class weights merged in, and offsets in the order of the classes."""
    targets = read.y if isinstance(read.y, Targets) else Targets(classes, np.searchsorted(classes, read.y))
    offset = None if read.offset is None else relative(of_classes(read.offset, offset_order))
    return MatrixRows(read.X, *merged(targets, read.weights, class_weights), offset=offset)
