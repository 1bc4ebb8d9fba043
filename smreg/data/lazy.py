"""Data that are not in memory: Dask collections, as far as they are known without Dask, and batches."""

import sys
from typing import Any

from smreg.data.batches import Batches


def is_lazy(values: Any) -> bool:
    """Whether these are a Dask collection. Dask is imported only where one comes in."""
    dask = sys.modules.get("dask.base")
    return dask is not None and bool(dask.is_dask_collection(values))


def refuse_lazy(values: Any, name: str) -> None:
    """Raise a TypeError for Dask collections, which NumPy could but compute unasked, and for batches."""
    if isinstance(values, Batches):
        raise TypeError(
            f"{name} must be in memory here, got Batches, which SoftmaxRegression.fit and "
            "SoftmaxRegressionCV.fit alone read, as X with all of the sample. Predict and score batch by "
            "batch, as model.predict(batch[features]); for all else pass some rows in memory."
        )
    if is_lazy(values):
        raise TypeError(
            f"{name} must be in memory here, got a Dask {type(values).__name__}: pass {name}.compute() if it "
            "fits. SoftmaxRegression and SoftmaxRegressionCV take Dask collections as they are."
        )
