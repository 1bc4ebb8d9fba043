"""Predictions for Dask collections, made partition by partition when they are asked for."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from dask import array as da
from dask import dataframe as dd
from numpy.typing import NDArray

from smreg.data.dask_rows import tasks, total_of
from smreg.data.dask_sample import Partitions
from smreg.data.labels import as_labels
from smreg.data.weights import check_sample_weight

Array = NDArray[Any]


def predicted(X: Any, of: Callable[..., Array], columns: Array | None, dtype: Any, offset: Any = None) -> Any:
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
    dtype : dtype
        Of the result.
    offset : dask or other array or frame, or None
        A known part of the logits, with the partitions of X or in memory.
    """
    if offset is not None:
        return _with_offset(X, offset, of, columns, dtype)
    if isinstance(X, dd.DataFrame):
        meta: Any = pd.Series(dtype=dtype) if columns is None else pd.DataFrame(columns=columns, dtype=dtype)
        return X.map_partitions(_of_frame, of, columns, dtype, meta=meta)
    X = X.rechunk({1: -1})
    if columns is None:
        return X.map_blocks(_of_array, of, None, drop_axis=1, dtype=dtype, meta=np.empty(0, dtype))
    n_columns, meta = len(columns), np.empty((0, len(columns)), dtype)
    return X.map_blocks(_of_array, of, n_columns, chunks=(X.chunks[0], (n_columns,)), dtype=dtype, meta=meta)


def _with_offset(X: Any, offset: Any, of: Callable[..., Array], columns: Array | None, dtype: Any) -> Any:
    """The same with an offset for every partition."""
    partitions = Partitions(X)
    items = partitions.parts, partitions.aligned(offset, "offset")
    n_columns = None if columns is None else len(columns)
    if isinstance(X, dd.DataFrame):
        parts = tasks("smreg-predict", _of_frame_and_offset, *items, of=of, columns=columns, dtype=dtype)
        return dd.from_delayed(parts, meta=_of_frame(X._meta, of, columns, dtype), divisions=X.divisions)
    parts = tasks("smreg-predict", _of_array_and_offset, *items, of=of, n_columns=n_columns)
    shape = () if n_columns is None else (n_columns,)
    pairs = zip(parts, X.chunks[0], strict=True)
    return da.concatenate([da.from_delayed(part, (n, *shape), dtype) for part, n in pairs])


def _of_frame_and_offset(
    X: pd.DataFrame, offset: Any, of: Callable[..., Array], columns: Array | None, dtype: Any
) -> Any:
    return _of_frame(X, partial(of, offset=offset), columns, dtype)


def _of_array_and_offset(X: Any, offset: Any, of: Callable[..., Array], n_columns: int | None) -> Array:
    return _of_array(X, partial(of, offset=offset), n_columns)


def _of_frame(X: pd.DataFrame, of: Callable[[Any], Array], columns: Array | None, dtype: Any) -> Any:
    values = of(X) if len(X) else np.empty((0,) if columns is None else (0, len(columns)), dtype)
    if columns is None:
        return pd.Series(values, index=X.index)
    return pd.DataFrame(values, index=X.index, columns=columns)


def _of_array(X: Any, of: Callable[[Any], Array], n_columns: int | None) -> Array:
    if X.shape[0] == 0:
        return np.empty((0,) if n_columns is None else (0, n_columns))
    return of(X)


def accuracy(X: Any, y: Any, sample_weight: Any, predict: Callable[..., Array], offset: Any = None) -> float:
    """Weighted share of the labels that are predicted, in one pass."""
    partitions = Partitions(X)
    others = {"y": y, "sample_weight": sample_weight, "offset": offset}
    columns = partitions.parts, *(partitions.aligned(values, name) for name, values in others.items())
    hits, weight = total_of(tasks("smreg-score", _hits, *columns, predict=predict))
    return float(hits / weight)


def _hits(
    X: Any, y: Any, sample_weight: Any, offset: Any, predict: Callable[..., Array]
) -> tuple[float, float]:
    """The weight of the labels that are predicted, and of all."""
    if X.shape[0] == 0:
        return 0.0, 0.0
    labels, weights = as_labels(y), check_sample_weight(sample_weight, X.shape[0])
    return float(weights @ (predict(X, offset=offset) == labels)), float(weights.sum())
