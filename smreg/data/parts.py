"""Parts of a sample, each checked as it is read, and what is known of all of them.

A part is a partition of Dask collections, or a batch. Labels, weights and moments of the columns are summed
up part by part, so that one pass is enough.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_array

from smreg.data.block import Block
from smreg.data.features import DTYPES, as_numbers, naming
from smreg.data.kernels import Draw, Result, Sum
from smreg.data.labels import as_labels
from smreg.data.matrix import MatrixRows
from smreg.data.offsets import of_classes, offset_values, relative
from smreg.data.rows import Rows
from smreg.data.statistics import Moments, moments
from smreg.data.tally import Tally, tallied
from smreg.data.targets import Targets, check_soft_targets, distinct, encode_labels, is_soft
from smreg.data.weights import ALL_ZERO, check_live, class_weight_vector, merged, non_negative

Array = NDArray[np.float64]


@contextmanager
def in_part(name: str) -> Iterator[None]:
    """Name the part in errors about what it holds."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"In {name}: {error}") from error


@dataclass(frozen=True)
class Read:
    """A part that was checked.

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

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.weights)


def checked(
    X: Any, y: Any, sample_weight: Any, n_features: int, names: list[Any] | None, offset: Any = None
) -> Read:
    """Check a part, which must have so many columns, of these names if there are any."""
    check_lengths(X, y=y, sample_weight=sample_weight, offset=offset)
    if names is not None and list(X.columns) != names:
        raise ValueError(f"X must have the columns {names}, got {list(X.columns)}.")
    if X.ndim != 2 or X.shape[1] != n_features:
        raise ValueError(f"X must have two dimensions and {n_features} columns, got the shape {X.shape}.")
    soft = is_soft(y)
    if len(y) == 0:
        return Read(np.empty((0, n_features)), check_soft_targets(y) if soft else np.empty(0), np.empty(0))
    with naming(X, "X"):
        X = check_array(as_numbers(X, "X"), accept_sparse="csr", dtype=DTYPES, input_name="X")
    labels = check_soft_targets(y) if soft else as_labels(y)
    known = None if offset is None else offset_values(offset, len(y))
    return Read(X, labels, non_negative(sample_weight, len(y)), known)


def check_lengths(X: Any, **others: Any) -> None:
    """Raise a ValueError unless others have the rows of X: their number, and of frames the index."""
    n = X.shape[0]
    for name, values in others.items():
        if values is None or np.isscalar(values):
            continue
        if len(values) != n:
            raise ValueError(f"{name} must have a row for each of the {n} samples of X, got {len(values)}.")
        index = getattr(values, "index", None)
        if isinstance(index, pd.Index) and isinstance(X, pd.DataFrame) and not index.equals(X.index):
            raise ValueError(
                f"{name} must have the index of X, {_first(X.index)}, got {_first(index)}: join them by it "
                f"first, or pass {name} as an array, which goes by position."
            )


def _first(index: Any) -> str:
    """The first entries of an index, for a message."""
    return str(index[:3].tolist())[:-1] + (", ...]" if len(index) > 3 else "]")


def tally_and_moments(block: Block, n_classes: int) -> tuple[Tally, Moments]:
    """Sums of the weights, and moments of the columns."""
    return tallied(block, n_classes), moments(block)


def describe_weighed(rows: Rows, class_weights: Array) -> None:
    """Sum up anew, in a pass, where class weights have changed what the first pass knew."""
    if (class_weights != 1).any():
        rows.tally, of_columns = rows.map_reduce(tally_and_moments, len(class_weights))
        rows.statistics = of_columns.statistics(rows.eps)


@dataclass(frozen=True)
class Summary:
    """What is known of some parts.

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

    def __add__(self, other: "Summary") -> "Summary":
        """That of the parts of both."""
        lengths, classes = self.lengths + other.lengths, self._classes_with(other)
        if self.classes is None or other.classes is None:
            return replace(self if other.classes is None else other, lengths=lengths)
        return Summary(
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

    def _classes_with(self, other: "Summary") -> Any:
        """Classes of both, which must be of one kind."""
        if self.classes is None or other.classes is None:
            return None
        kinds = ["number" if c.dtype.kind in "iuf" else c.dtype.kind for c in (self.classes, other.classes)]
        try:
            if kinds[0] == kinds[1] and self.is_soft == other.is_soft:
                union = np.union1d(self.classes, other.classes)
                if not self.is_soft or np.array_equal(self.classes, other.classes):
                    return union
        except TypeError:  # objects that are not of one kind
            pass
        raise ValueError(
            "y must have labels of one kind, or the same columns, in all parts; got "
            f"{self.classes.tolist()[:9]} in some and {other.classes.tolist()[:9]} in others."
        )

    def checked_classes(self) -> NDArray[Any]:
        """All classes."""
        if self.classes is None:
            raise ValueError("X must have at least one sample, got none.")
        if self.is_soft:
            return self.classes
        return encode_labels(np.repeat(self.classes, 2)).classes  # one label for each is taken for continuous

    def class_weights(self, class_weight: Mapping[Any, float] | str | None, classes: NDArray[Any]) -> Array:
        """The weight of every class, of which enough must have samples of positive weight."""
        if self.tally.largest == 0:
            raise ValueError(ALL_ZERO)
        mass = self.tally.mass
        class_weights = class_weight_vector(class_weight, classes, mass)
        two_labels = len(classes) == 2 and (not self.is_soft or bool((mass > 0).all()))
        check_live(classes, mass * class_weights, fewest=1 if two_labels else 2)
        return class_weights

    def attributes(self) -> dict[str, Any]:
        """Those of a store of rows with class weights of one, see `smreg.data.rows.Rows`."""
        n, p, eps = sum(self.lengths), len(self.moments.low), float(np.finfo(self.dtype).eps)
        return {
            "n_samples": n,
            "n_features": p,
            "n_classes": len(self.tally.mass),
            "numbers_per_row": self.n_stored / n,
            "stores_zeros": not self.is_sparse,
            "shift": np.zeros(p),
            "eps": eps,
            "tally": self.tally,
            "statistics": self.moments.statistics(eps),
        }


def _of_classes(tally: Tally, classes: NDArray[Any], all_classes: NDArray[Any]) -> Tally:
    """The same with a place for each of more classes."""
    mass = np.zeros(len(all_classes))
    mass[np.searchsorted(all_classes, classes)] = tally.mass
    return replace(tally, mass=mass)


def summary(read: Read, thread_map: Callable[..., Any] = map) -> Summary:
    """That of a part, by threads over blocks of its rows if there are any."""
    soft = isinstance(read.y, Targets)
    targets = read.y if soft else distinct(read.y)
    n_classes, is_sparse = len(targets.classes), sparse.issparse(read.X)
    if len(read) == 0:
        of_none = tally_and_moments(Block(0, read.X, targets.values, read.weights), n_classes)
        return Summary((0,), None, soft, *of_none, read.X.dtype, 0, 0, False)
    of_all = MatrixRows(read.X, targets, read.weights, thread_map).map_reduce(tally_and_moments, n_classes)
    stored = read.X.data if is_sparse else read.X
    classes, size = targets.classes, (stored.size, stored.nbytes)
    return Summary((len(read),), classes, soft, *of_all, read.X.dtype, *size, is_sparse)


def encoded(
    read: Read,
    classes: NDArray[Any],
    class_weights: Array,
    thread_map: Callable[..., Any] = map,
    offset_order: list[int] | None = None,
) -> MatrixRows:
    """Rows with codes of the classes, class weights merged in, and offsets in the order of the classes."""
    targets = read.y if isinstance(read.y, Targets) else Targets(classes, np.searchsorted(classes, read.y))
    offset = None if read.offset is None else relative(of_classes(read.offset, offset_order))
    return MatrixRows(read.X, *merged(targets, read.weights, class_weights), thread_map, offset=offset)


class PartedRows(Rows):
    """Rows in parts, of which each is in memory only while a pass is at it.

    The functions of parts belong to a module, so that they can be sent to another process.

    Attributes
    ----------
    lengths : sequence of int
        Rows of all parts, also of those that have none, which are left out everywhere else.
    """

    lengths: Sequence[int]
    can_sample = True

    @abstractmethod
    def of_parts(self, function: Callable[[MatrixRows], Result]) -> list[Result]:
        """What a function makes of every part, in one pass."""

    @abstractmethod
    def with_parts(
        self, function: Callable[..., MatrixRows], *items: Sequence[Any], **arguments: Any
    ) -> Self:
        """Rows whose parts are what a function makes of these, with an item for each, in every pass."""


def answered(part: MatrixRows, number: int, sums: Sequence[Sum], draws: Sequence[Draw]) -> tuple[Any, ...]:
    """The sums of a part, and for each sample a list with its rows there, if it has any."""
    drawn = ([part.drawn(draw, number)] if draw.thresholds[number][-1] > 0 else [] for draw in draws)
    return tuple(part.read(sums)), *drawn
