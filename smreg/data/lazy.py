"""Dask collections, as far as they are known without Dask: it is imported only where they come in."""

import sys
from typing import Any


def is_lazy(values: Any) -> bool:
    """Whether these are a Dask collection."""
    dask = sys.modules.get("dask.base")
    return dask is not None and bool(dask.is_dask_collection(values))


def refuse_lazy(values: Any, name: str) -> None:
    """Raise a TypeError for a Dask collection, where all that NumPy could do is to compute it unasked."""
    if is_lazy(values):
        raise TypeError(
            f"{name} must be in memory here, got a Dask {type(values).__name__}: pass {name}.compute() if it "
            "fits. SoftmaxRegression and SoftmaxRegressionCV take Dask collections as they are."
        )
