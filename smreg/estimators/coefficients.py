"""Coefficients of a fitted estimator: dense, in double precision, and as a table."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smreg import family
from smreg.objective.layout import Regression

Array = NDArray[Any]


def dense(coef: Any) -> Array:
    """Coefficients, sparse after `sparsify`, as an array."""
    return coef if isinstance(coef, np.ndarray) else np.asarray(coef.toarray())


def intercepts_of(model: Any) -> NDArray[np.float64]:
    """Intercepts in double precision: zeros where coefficients were set by hand, without any."""
    return np.asarray(getattr(model, "intercept_", np.zeros(model.coef_.shape[0])), dtype=np.float64)


def regression_of(model: Any) -> Regression:
    """Coefficients, dense, and intercepts, in double precision."""
    return Regression(dense(model.coef_).astype(np.float64, copy=False), intercepts_of(model))


def table_of(model: Any, reference: Any) -> pd.DataFrame:
    """A row for the intercept and each feature, a column for each class."""
    rows = dense(model.coef_).T
    names, intercepts = row_names(model, len(rows)), intercepts_of(model).astype(rows.dtype)
    if model.fit_intercept or intercepts.any():  # also if that was set to False after the fit
        rows = np.vstack([intercepts, rows])
    else:
        names = names[1:]
    classes = model.classes_
    if len(classes) == 2:
        rows = np.hstack([-rows / 2, rows / 2] if reference is None else [np.zeros_like(rows), rows])
    if reference is None:
        return pd.DataFrame(rows, names, classes)
    place = place_of(classes, reference)
    return pd.DataFrame(family.to_reference_coding(rows, place), names, np.delete(classes, place))


def row_names(model: Any, n_features: int) -> list[Any]:
    """Those of a table's rows: the intercept, and the features that the estimator has taken the names of."""
    default = [f"x{j}" for j in range(n_features)]
    names, intercept = list(getattr(model, "feature_names_in_", default)), "intercept"
    while intercept in names:
        intercept = f"({intercept})"
    return [intercept, *names]


def place_of(classes: Array, label: Any) -> int:
    """Position of a class."""
    if np.ndim(label) == 0:
        is_bool = isinstance(label, bool | np.bool_)  # which equals a number, but is none
        are_bools = classes.dtype == bool
        places = [place for place, known in enumerate(classes) if known == label and is_bool == are_bools]
        if places:
            return places[0]
    raise ValueError(f"reference must be one of the classes {classes.tolist()}, got {label!r}.")
