"""Predictions for Dask collections, made partition by partition when they are asked for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from dask import dataframe as dd
from numpy.typing import NDArray

from smreg.data.dask_rows import tasks, total_of
from smreg.data.dask_sample import Partitions
from smreg.data.labels import as_labels
from smreg.data.weights import check_sample_weight

Array = NDArray[Any]


def predicted(X: Any, of: Callable[[Any], Array], columns: Array | None, dtype: Any) -> Any:
    """The function of every partition: a frame or series with the index of a frame X, or an array.

    Parameters
    ----------
    X : dask DataFrame or array
        Features.
    of : callable
        ``X -> ndarray``, of a column for each of the `columns`, or of one dimension if these are None.
    columns : ndarray or None
        Names of the columns.
    dtype : dtype
        Of the result.
    """
    if isinstance(X, dd.DataFrame):
        meta: Any = pd.Series(dtype=dtype) if columns is None else pd.DataFrame(columns=columns, dtype=dtype)
        return X.map_partitions(_of_frame, of, columns, dtype, meta=meta)
    X = X.rechunk({1: -1})
    if columns is None:
        return X.map_blocks(_of_array, of, None, drop_axis=1, dtype=dtype, meta=np.empty(0, dtype))
    n_columns, meta = len(columns), np.empty((0, len(columns)), dtype)
    return X.map_blocks(_of_array, of, n_columns, chunks=(X.chunks[0], (n_columns,)), dtype=dtype, meta=meta)


def _of_frame(X: pd.DataFrame, of: Callable[[Any], Array], columns: Array | None, dtype: Any) -> Any:
    values = of(X) if len(X) else np.empty((0,) if columns is None else (0, len(columns)), dtype)
    if columns is None:
        return pd.Series(values, index=X.index)
    return pd.DataFrame(values, index=X.index, columns=columns)


def _of_array(X: Any, of: Callable[[Any], Array], n_columns: int | None) -> Array:
    if X.shape[0] == 0:
        return np.empty((0,) if n_columns is None else (0, n_columns))
    return of(X)


def accuracy(X: Any, y: Any, sample_weight: Any, predict: Callable[[Any], Array]) -> float:
    """Weighted share of the labels that are predicted, in one pass."""
    partitions = Partitions(X)
    columns = partitions.parts, partitions.aligned(y, "y"), partitions.aligned(sample_weight, "sample_weight")
    hits, weight = total_of(tasks("smreg-score", _hits, *columns, predict=predict))
    return float(hits / weight)


def mean_score(X: Any, y: Any, sample_weight: Any, score: Callable[[Any, Any, Array], float]) -> float:
    """Weighted mean of a score, itself a mean over samples, in one pass."""
    partitions = Partitions(X)
    columns = partitions.parts, partitions.aligned(y, "y"), partitions.aligned(sample_weight, "sample_weight")
    total, weight = total_of(tasks("smreg-score", _scored, *columns, score=score))
    return float(total / weight)


def _scored(
    X: Any, y: Any, sample_weight: Any, score: Callable[[Any, Any, Array], float]
) -> tuple[float, float]:
    """The score times the weight, and that."""
    if X.shape[0] == 0:
        return 0.0, 0.0
    weights = check_sample_weight(sample_weight, X.shape[0])
    return score(X, y, weights) * float(weights.sum()), float(weights.sum())


def _hits(X: Any, y: Any, sample_weight: Any, predict: Callable[[Any], Array]) -> tuple[float, float]:
    """The weight of the labels that are predicted, and of all."""
    if X.shape[0] == 0:
        return 0.0, 0.0
    labels, weights = as_labels(y), check_sample_weight(sample_weight, X.shape[0])
    return float(weights @ (predict(X) == labels)), float(weights.sum())
