"""What comes in as Dask collections: the partitions of the features, and what goes with them.

What is known without reading is checked at once, and the rest partition by partition. A partition is what
the user sees as one: Dask's own optimisation, which reads several at a time where only few columns of a file
are used, is not asked for, since it would divide the features of a frame otherwise than its labels.
"""

import sys
import warnings
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import dask
import numpy as np
import pandas as pd
from dask import array as da
from dask import dataframe as dd
from dask.delayed import Delayed, delayed
from sklearn.base import BaseEstimator
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.validation import validate_data

from smreg.data.dask_rows import tasks
from smreg.data.features import as_numbers
from smreg.data.lazy import is_lazy, refuse_lazy
from smreg.data.offsets import check_dimensions
from smreg.data.targets import as_targets, is_soft
from smreg.data.weights import check_sample_weight

AS_DIVIDED = {"optimization.tune.active": False}  # the setting of Dask that keeps partitions apart


def check_lazy_features(estimator: BaseEstimator, X: Any, *, reset: bool) -> None:
    """Kind, number and names of features, against those of `fit` or kept by it; the content is not read.

    Raises
    ------
    TypeError
        If X is no Dask DataFrame or array, or holds dates or objects.
    ValueError
        If X has other features, or not two dimensions, or holds text or complex numbers.
    """
    check_collection(X)
    if isinstance(X, da.Array):
        header = _header(X)
    else:
        header = X._meta
        text = [name for name, dtype in X.dtypes.items() if _is_text(dtype)]
        if text:
            raise ValueError(
                f"X must hold numbers, but the columns {text} hold text: encode them, as by OneHotEncoder, "
                "turn them into numbers, as by astype(float), or leave them out."
            )
    validate_data(estimator, as_numbers(header, "X"), reset=reset, skip_check_array=True)


def check_collection(X: Any) -> None:
    """Raise a TypeError or ValueError if X is no Dask DataFrame or array of two dimensions, or lost."""
    if not is_lazy(X):
        raise TypeError(
            f"X must be a Dask collection where y, sample_weight or offset is one, got {type(X).__name__}: "
            "pass them in memory, by their compute(), or X as a Dask DataFrame or array. If a step of a "
            "Pipeline has computed X, as a StandardScaler does, leave that out: no fit needs scaled features."
        )
    if not isinstance(X, da.Array | dd.DataFrame | dd.Series):
        raise TypeError(f"X must be a Dask DataFrame or array, or in memory, got a Dask {type(X).__name__}.")
    if X.ndim != 2:
        raise ValueError(f"X must have two dimensions, got {X.ndim}.")
    _check_running(X, "X")


def _header(X: Any) -> Any:
    """An array of the width and type of a Dask array."""
    if X.dtype.kind in "OSUTV":
        raise TypeError(
            f"X must hold numbers, got a Dask array of dtype {X.dtype}: convert it, as by X.astype(float)."
        )
    if X.dtype.kind == "c":
        raise ValueError("Complex data not supported: X must hold real numbers.")
    if np.isnan(X.shape[1]):
        raise ValueError("X must have a known number of columns: use its compute_chunk_sizes().")
    return np.empty((1, X.shape[1]), X.dtype)


def dtype_of(X: Any) -> np.dtype[Any]:
    """What the features are as floating point: see `check_features`."""
    dtypes = [X.dtype] if isinstance(X, da.Array) else [getattr(d, "numpy_dtype", d) for d in X.dtypes]
    single = all(isinstance(dtype, np.dtype) for dtype in dtypes) and np.result_type(*dtypes) == np.float32
    return np.dtype(np.float32 if single else np.float64)


def _is_text(dtype: Any) -> bool:
    """Whether a column holds strings, unlike objects, which may be numbers."""
    return not pd.api.types.is_object_dtype(dtype) and pd.api.types.is_string_dtype(dtype)


def _check_running(values: Any, name: str) -> None:
    """Raise a ValueError if the values are results of a client that is closed."""
    distributed = sys.modules.get("distributed")
    if distributed is None or not is_lazy(values):
        return
    if any(future.status in ("cancelled", "lost") for future in distributed.futures_of(values)):
        raise ValueError(
            f"{name} refers to results that a cluster held for a client that is closed, or that were "
            "cancelled: make it again, of what is stored, or persist it with the client in use."
        )


class Partitions:
    """The partitions of a sample.

    Parameters
    ----------
    X : dask DataFrame or array
        Features, see `check_lazy_features`.
    y, sample_weight, offset
        Of Dask, where they have the partitions of X, or in memory. Weights may be a number, or None, and
        offsets None.
    lengths : sequence of int, optional
        How many rows each has, if that is known.

    Attributes
    ----------
    names : list or None
        Names of the columns of a frame.
    n_features : int
        How many there are.
    items : tuple of lists
        What `together` takes, for each partition.

    Raises
    ------
    TypeError, ValueError
        As of a sample in memory, or if X, y, weights and offsets do not belong together.
    """

    def __init__(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        offset: Any = None,
        lengths: Sequence[int] | None = None,
    ) -> None:
        self.X, self.n_features, self._lengths = X, X.shape[1], lengths
        self.names = list(X.columns) if isinstance(X, dd.DataFrame) else None
        if offset is not None:
            check_dimensions(offset)
        y = columnwise(y) if y is None or is_lazy(y) else in_memory(y)
        others = {"y": y, "sample_weight": sample_weight, "offset": offset}
        items = [self.aligned(values, name) for name, values in others.items()]
        if not is_lazy(sample_weight):
            n = 1 if sample_weight is None or np.isscalar(sample_weight) else sum(self.lengths)
            check_sample_weight(sample_weight, n)
        self.items = self._parts(*others.values()), *items

    def __len__(self) -> int:
        """The number of partitions."""
        return int(self.X.npartitions if self.names is not None else self.X.numblocks[0])

    def _parts(self, *others: Any) -> list[Delayed]:
        """The features, and of a frame what are frames too, so that a file is read once."""
        if self.names is None:
            parts: list[Delayed] = self.X.rechunk({1: -1}).to_delayed().ravel().tolist()
            return parts
        frames = [values if _is_frame(values) else None for values in others]
        meta = {"meta": self.X._meta, "enforce_metadata": False, "align_dataframes": False}
        return _as_divided(self.X.map_partitions(_tuple, *frames, **meta))

    @cached_property
    def lengths(self) -> list[int]:
        """How many rows each has: where that is not known and X does not say, after a pass."""
        if self._lengths is not None:
            return list(self._lengths)
        if self.names is None and not np.isnan(self.X.chunks[0]).any():
            return list(self.X.chunks[0])
        return list(dask.compute(*tasks("smreg-length", _length, self._parts())))

    def aligned(self, values: Any, name: str, *, jointly: bool = True) -> list[Any]:
        """Values for the rows of each; None for frames that are read jointly with a frame X."""
        if values is None or np.isscalar(values):
            return [values] * len(self)
        if not is_lazy(values):
            return self._divided(values, name)
        if not isinstance(values, da.Array | dd.Series | dd.DataFrame):
            raise TypeError(
                f"{name} must be a Dask Series, DataFrame or array, or in memory, got a Dask "
                f"{type(values).__name__}."
            )
        _check_running(values, name)
        if isinstance(values, da.Array):
            values = self._rechunked(values, name)
        elif self.names is not None and values.known_divisions and self.X.known_divisions:
            self._check_divisions(values, name)
        n = values.numblocks[0] if isinstance(values, da.Array) else values.npartitions
        if n != len(self):
            raise ValueError(
                f"{name} must have a partition for each of the {len(self)} of X, got {n}: repartition "
                "one of them, or pass both as arrays of known chunks."
            )
        if isinstance(values, da.Array):
            return list(np.ravel(values.to_delayed()))
        return [None] * n if jointly and self.names is not None else _as_divided(values)

    def _rechunked(self, values: Any, name: str) -> Any:
        """A Dask array in chunks like those of X, where they are known, and of all columns."""
        values = values.rechunk({1: -1}) if values.ndim == 2 else values
        if self.names is None and not any(np.isnan(array.chunks[0]).any() for array in (self.X, values)):
            self._check_length(len(values), name)
            values = values.rechunk({0: self.X.chunks[0]})
        return values

    def _check_length(self, n: int, name: str) -> None:
        if n != sum(self.lengths):
            raise ValueError(
                f"{name} must have a row for each of the {sum(self.lengths)} samples of X, got {n}."
            )

    def _check_divisions(self, values: Any, name: str) -> None:
        if values.divisions != self.X.divisions:
            raise ValueError(
                f"{name} must be divided like X, at {self.X.divisions}, got {values.divisions}: use "
                f"{name}.repartition(divisions=X.divisions), or where their indices differ arrays."
            )

    def _divided(self, values: Any, name: str) -> list[Any]:
        """Values in memory, of which each partition gets its own."""
        refuse_lazy(values, name)
        values = values if hasattr(values, "shape") else np.asarray(values)
        self._check_length(len(values), name)
        rows = getattr(values, "iloc", values)
        ends = np.cumsum([0, *self.lengths])
        return [delayed(rows[first:last], traverse=False) for first, last in pairwise(ends)]


def together(part: Any, *others: Any) -> tuple[Any, ...]:
    """Features, targets, weights and offsets of a partition, that were read together or apart."""
    if not isinstance(part, tuple):
        return part, *others
    X, *read = part
    return X, *(apart if jointly is None else jointly for jointly, apart in zip(read, others, strict=True))


def _is_frame(values: Any) -> bool:
    return isinstance(values, dd.DataFrame | dd.Series)


def _as_divided(frame: Any) -> list[Delayed]:
    """A task for each partition."""
    with dask.config.set(AS_DIVIDED):
        return list(frame.to_delayed())


def _tuple(*frames: Any) -> Any:
    return frames


def _length(part: Any) -> int:
    return int((part[0] if isinstance(part, tuple) else part).shape[0])


def columnwise(y: Any) -> Any:
    """Targets as they come, but labels of Dask that are a column of two dimensions, with a warning."""
    if not isinstance(y, da.Array | dd.DataFrame) or y.ndim != 2 or y.shape[1] != 1:
        return y
    warnings.warn(
        "A column-vector y was passed when a 1d array was expected: y is taken for labels.",
        DataConversionWarning,
        stacklevel=2,
    )
    return y[:, 0] if isinstance(y, da.Array) else y[y.columns[0]]


def in_memory(y: Any) -> Any:
    """Labels as a plain array, or with the index that they had, or soft targets as they came."""
    index, checked = getattr(y, "index", None), as_targets(y)
    return (
        pd.Series(checked, index, checked.dtype)
        if isinstance(index, pd.Index) and not is_soft(y)
        else checked
    )


def is_soft_target(y: Any) -> bool:
    """Whether targets, of Dask or in memory, have the shape of soft ones."""
    if not is_lazy(y):
        return is_soft(y)
    return isinstance(y, da.Array | dd.DataFrame) and y.ndim == 2 and y.shape[1] != 1
