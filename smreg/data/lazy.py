"""Dask collections, as far as they are known without Dask: it is imported only where they come in."""

import sys
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data


def is_lazy(values: Any) -> bool:
    """Whether these are a Dask collection."""
    dask = sys.modules.get("dask.base")
    return dask is not None and bool(dask.is_dask_collection(values))


def check_lazy_features(estimator: BaseEstimator, X: Any, *, reset: bool) -> None:
    """Number and names of features against those of `fit`, or kept by it; the content is not looked at.

    Raises a ValueError if they differ, or X has not two dimensions.
    """
    if not is_lazy(X):
        raise TypeError(
            "X must be a Dask collection where y, sample_weight or offset is one: pass them in memory, by "
            "their compute(), or X as a Dask DataFrame or array."
        )
    if getattr(X, "ndim", 2) != 2:
        raise ValueError(f"X must have two dimensions, got {X.ndim}.")
    header = X._meta if hasattr(X, "columns") else np.empty((1, X.shape[1]))
    validate_data(estimator, header, reset=reset, skip_check_array=True)
