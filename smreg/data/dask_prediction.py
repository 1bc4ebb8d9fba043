"""Predictions for Dask collections, made partition by partition when they are asked for."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from dask import array as da
from dask import dataframe as dd
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score

from smreg.data.dask_partitions import Partitions, check_collection, together
from smreg.data.dask_rows import tasks, total_of
from smreg.data.labels import as_labels
from smreg.data.parts import check_lengths, in_part
from smreg.data.targets import require
from smreg.data.weights import ALL_ZERO, non_negative

Array = NDArray[Any]


def predicted(
    X: Any, of: Callable[..., Array], columns: Array | None, like: Array, offset: Any = None
) -> Any:
    """The function of every partition: a frame or series with the index of a frame X, or an array.

    Parameters
    ----------
    X : dask DataFrame or array
        Features.
    of : callable
        ``X -> ndarray``, or of X and offsets, of a column for each of the `columns`, or of one dimension if
        these are None.
    columns : ndarray or None
        Names of the columns.
    like : ndarray
        Of the type of the result.
    offset
        A known part of the logits, of Dask or in memory, or None.
    """
    if offset is not None:
        return _with_offset(X, of, columns, like, offset)
    if isinstance(X, dd.DataFrame):
        dtype = pd.Series(like).dtype  # pandas has a type of its own for text
        meta: Any = pd.Series(dtype=dtype) if columns is None else pd.DataFrame(columns=columns, dtype=dtype)
        return X.map_partitions(_of_frame, of, columns, dtype, meta=meta)
    X, dtype, n_columns = X.rechunk({1: -1}), like.dtype, None if columns is None else len(columns)
    if n_columns is None:
        return X.map_blocks(_of_array, of, None, dtype, drop_axis=1, meta=np.empty(0, dtype))
    meta = np.empty((0, n_columns), dtype)
    return X.map_blocks(_of_array, of, n_columns, dtype, chunks=(X.chunks[0], (n_columns,)), meta=meta)


def _with_offset(X: Any, of: Callable[..., Array], columns: Array | None, like: Array, offset: Any) -> Any:
    """The same with the offsets of every partition."""
    partitions = Partitions(X, offset=offset)
    items = range(len(partitions)), *partitions.items
    if isinstance(X, dd.DataFrame):
        dtype = pd.Series(like).dtype
        made = tasks("smreg-predict", _of_frame_and_offset, *items, of=of, columns=columns, dtype=dtype)
        return dd.from_delayed(made, _of_frame(X._meta, of, columns, dtype), X.divisions, verify_meta=False)
    shape = () if columns is None else (len(columns),)
    n_columns = shape[0] if shape else None
    made = tasks("smreg-predict", _of_array_and_offset, *items, of=of, n_columns=n_columns, dtype=like.dtype)
    pairs = zip(made, X.chunks[0], strict=True)
    return da.concatenate([da.from_delayed(part, (n, *shape), like.dtype) for part, n in pairs])


def _of_frame_and_offset(
    number: int, *items: Any, of: Callable[..., Array], columns: Array | None, dtype: Any
) -> Any:
    X, _, _, offset = together(*items)
    of = partial(_of_both, of=of, offset=offset)
    return _of_frame(X, of, columns, dtype, {"number": number})


def _of_array_and_offset(
    number: int, *items: Any, of: Callable[..., Array], n_columns: int | None, dtype: Any
) -> Array:
    X, _, _, offset = together(*items)
    return _of_array(X, partial(_of_both, of=of, offset=offset), n_columns, dtype, (number,))


def _of_both(X: Any, of: Callable[..., Array], offset: Any) -> Array:
    check_lengths(X, offset=offset)
    return of(X, offset=offset)


def _of_frame(
    X: pd.DataFrame,
    of: Callable[[Any], Array],
    columns: Array | None,
    dtype: Any,
    partition_info: dict[str, Any] | None = None,
) -> Any:
    number = 0 if partition_info is None else partition_info["number"]
    values = _of_array(X, of, None if columns is None else len(columns), dtype, (number,))
    if columns is None:
        return pd.Series(values, X.index, dtype)
    return pd.DataFrame(values, X.index, columns)


def _of_array(
    X: Any, of: Callable[[Any], Array], n_columns: int | None, dtype: Any, block_id: tuple[int, ...] = (0,)
) -> Array:
    """Of a block, whose place Dask gives where a function asks for it by these names."""
    dtype = dtype if isinstance(dtype, np.dtype) else object
    if X.shape[0] == 0:
        return np.empty((0,) if n_columns is None else (0, n_columns), dtype)
    with in_part(f"partition {block_id[0]}"):
        return of(X).astype(dtype, copy=False)


def accuracy(X: Any, y: Any, sample_weight: Any, predict: Callable[..., Array], offset: Any = None) -> float:
    """Weighted share of the labels that are predicted, in one pass."""
    return _mean(X, y, sample_weight, offset, partial(_hits, predict=predict))


def mean_score(
    X: Any, y: Any, sample_weight: Any, score: Callable[[Any, Any, Array, Any], float], offset: Any = None
) -> float:
    """Weighted mean of a score, itself a mean over samples, in one pass.

    Raises
    ------
    TypeError, ValueError
        If X is no Dask DataFrame or array, y is missing, or partitions do not belong together or are refused.
    """
    check_collection(X)
    return _mean(X, y, sample_weight, offset, partial(_times_weight, score=score))


def _mean(
    X: Any, y: Any, sample_weight: Any, offset: Any, total: Callable[[Any, Any, Array, Any], float]
) -> float:
    """The weighted sum that a function gives of every partition, over the weight of all."""
    require(y, "score")
    partitions = Partitions(X, y, sample_weight, offset)
    made = tasks("smreg-score", _summed, range(len(partitions)), *partitions.items, total=total)
    value, weight = total_of(made)
    if weight == 0:
        raise ValueError(
            ALL_ZERO if sample_weight is not None else "X must have at least one sample, got none."
        )
    return float(value / weight)


def _summed(number: int, *items: Any, total: Callable[[Any, Any, Array, Any], float]) -> tuple[float, float]:
    """The sum of a partition, and its weight."""
    X, y, sample_weight, offset = together(*items)
    with in_part(f"partition {number}"):
        check_lengths(X, y=y, sample_weight=sample_weight, offset=offset)
        weights = non_negative(sample_weight, len(y))
        return (total(X, y, weights, offset) if weights.any() else 0.0), float(weights.sum())


def _times_weight(
    X: Any, y: Any, weights: Array, offset: Any, score: Callable[[Any, Any, Array, Any], float]
) -> float:
    return score(X, y, weights, offset) * float(weights.sum())


def _hits(X: Any, y: Any, weights: Array, offset: Any, predict: Callable[..., Array]) -> float:
    """The weight of the labels that are predicted."""
    labels, predicted = as_labels(y), predict(X, offset=offset)
    if labels.dtype == object:  # which scikit-learn may take for no labels
        return float(weights @ (predicted == labels))
    return float(accuracy_score(labels, predicted, sample_weight=weights, normalize=False))
