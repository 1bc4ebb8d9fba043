"""What the displays demand of their input, checked before anything is drawn."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from smreg.estimators.model_selection import SoftmaxRegressionCV


def check_cv(estimator: Any) -> None:
    """Demand a fitted `SoftmaxRegressionCV`."""
    if not isinstance(estimator, SoftmaxRegressionCV):
        raise TypeError(f"estimator must be a SoftmaxRegressionCV, got {type(estimator).__name__}.")
    check_is_fitted(estimator)


def check_predicting(estimator: Any, methods: Sequence[str]) -> None:
    """Demand a fitted classifier with one of some methods."""
    if not any(hasattr(estimator, method) for method in methods):
        raise TypeError(
            f"estimator must be a fitted classifier with {' or '.join(methods)}, "
            f"got {type(estimator).__name__}."
        )
    check_is_fitted(estimator)


def check_increasing(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Positive increasing numbers of the argument `name`."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0 or not (array[0] > 0 and np.all(array[1:] > array[:-1])):
        raise ValueError(f"{name} must be positive increasing numbers of shape (n_{name},), got {values!r}.")
    return array


def check_shape(
    values: ArrayLike, shape: tuple[int, ...], name: str, dtype: Any = np.float64
) -> NDArray[Any]:
    """An array of the argument `name`, which must have the shape."""
    array = np.asarray(values, dtype=dtype)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}.")
    return array


def check_index(index: int, n: int, name: str) -> int:
    """The argument `name`, which must be an index into `n` candidates."""
    if not 0 <= index < n:
        raise ValueError(f"{name} must be an index from 0 to {n - 1}, got {index}.")
    return int(index)


def check_classes(classes: ArrayLike | None, n: int) -> NDArray[Any]:
    """Distinct labels of `n` classes, which None numbers."""
    labels = np.arange(n) if classes is None else np.asarray(classes)
    if labels.shape != (n,) or len(np.unique(labels)) < n:
        raise ValueError(f"classes must be {n} distinct labels, one for each logit, got {classes!r}.")
    return labels


def check_temperatures(temperatures: ArrayLike) -> NDArray[np.float64]:
    """Positive finite numbers, at least one."""
    values = np.asarray(temperatures, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or not ((values > 0) & np.isfinite(values)).all():
        raise ValueError(
            f"temperatures must be positive finite numbers of shape (n_temperatures,), got {temperatures!r}."
        )
    return values
