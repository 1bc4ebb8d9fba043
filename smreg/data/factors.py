"""Penalty factors, checked once at the public boundary."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

REQUIRED = "penalty_factor must be a number >= 0 for each feature"


def check_penalty_factor(
    penalty_factor: Any, n_features: int, names: NDArray[Any] | None, classes: NDArray[Any]
) -> Array | None:
    """Factors of shape (n_features,) or (n_classes, n_features), or None.

    Parameters
    ----------
    penalty_factor : array-like, dict, Series or None
        A number for each feature, or each row of ``coef_`` and feature, or by the features' names.
    n_features : int
        Of X.
    names : ndarray of shape (n_features,), or None
        Of the features, if X has any.
    classes : ndarray of shape (n_classes,)
        Labels.

    Raises
    ------
    TypeError
        If they are no numbers.
    ValueError
        If they are of another shape, negative or NaN, or for features that X does not have.
    """
    if penalty_factor is None:
        return None
    if isinstance(penalty_factor, Mapping | pd.Series):
        penalty_factor = _by_name(penalty_factor, names)
    factors = _numbers(penalty_factor)
    rows = 1 if len(classes) == 2 else len(classes)
    if factors.shape not in ((n_features,), (rows, n_features)):
        raise ValueError(
            f"{REQUIRED}, of shape ({n_features},), or for each row of coef_ and feature, of shape "
            f"({rows}, {n_features}), got an array of shape {factors.shape}."
        )
    bad = factors[~(factors >= 0)]
    if bad.size:
        raise ValueError(f"{REQUIRED} (0 for no penalty, inf for a coefficient of zero), got {bad[0]:g}.")
    return factors[0] if len(factors) == 1 and factors.ndim == 2 else factors


def check_weighted(factors: Array | None, classes: NDArray[Any], live: NDArray[np.int64]) -> None:
    """Raise a ValueError if factors differ between classes of which one has no weight."""
    missing = np.delete(classes, live).tolist()
    if factors is not None and factors.ndim == 2 and missing:
        raise ValueError(
            f"penalty_factor has a row for the classes {missing}, which have no weight and so no "
            "coefficients: leave these classes out, or give a number for each feature."
        )


def _by_name(factors: Any, names: NDArray[Any] | None) -> list[Any]:
    """The factor of each feature, one where there is none."""
    if names is None:
        raise ValueError(
            "penalty_factor by the names of features needs X with names, got X without: give a DataFrame, in "
            'a pipeline by set_output(transform="pandas"), or a number for each feature as an array.'
        )
    by_name = pd.Series(factors, dtype=object)
    if not by_name.index.is_unique:
        twice = by_name.index[by_name.index.duplicated()].unique().tolist()
        raise ValueError(f"penalty_factor must have one number for each name, got several for {twice}.")
    unknown = [name for name in by_name.index if name not in set(names)]
    if unknown:
        raise ValueError(
            f"penalty_factor must be for features of X, got {unknown}, which are none of {names.tolist()}."
        )
    return by_name.reindex(names, fill_value=1.0).tolist()


def _numbers(factors: Any) -> Array:
    """As an array of float64."""
    if isinstance(factors, pd.DataFrame):
        raise TypeError(
            f"{REQUIRED}, as an array, or by name as a dict or Series, got a DataFrame, whose rows and "
            "columns would not be matched: give .to_numpy()."
        )
    try:
        numbers = np.asarray(factors)
        if numbers.dtype.kind in "iufO" and not any(isinstance(number, str) for number in numbers.flat):
            return numbers.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{REQUIRED}, got {factors!r}.") from error
    raise TypeError(f"{REQUIRED}, got {factors!r}.")
