"""Fitted attributes: coefficients as they are stored, and what is put back where a fit fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from smreg.objective.layout import Regression

Array = NDArray[np.floating[Any]]


def fitted_attributes(regression: Regression, dtype: Any) -> dict[str, Array]:
    """Coefficients and intercepts, in the precision of X, or where that cannot hold them in float64."""
    coef, intercept = regression.in_precision(dtype)
    return {"coef_": coef, "intercept_": intercept}


@contextmanager
def unchanged_on_failure(estimator: BaseEstimator) -> Iterator[None]:
    """Put all fitted attributes back as they were if anything, Ctrl-C included, ends the fit."""
    before = _attributes_of(estimator)
    try:
        yield
    except BaseException:
        for name in _attributes_of(estimator):
            delattr(estimator, name)
        for name, value in before.items():
            setattr(estimator, name, value)
        raise


def _attributes_of(estimator: BaseEstimator) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(estimator).items()
        if name.endswith("_") and not name.startswith("_")
    }
