"""What the displays demand of their input, checked before anything is drawn."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted


def check_record(record: Any, name: str, kind: str, attributes: Iterable[str]) -> None:
    """Demand that the argument `name` is of a kind that has the attributes."""
    if not all(hasattr(record, attribute) for attribute in attributes):
        raise TypeError(f"{name} must be a {kind}, got {type(record).__name__}.")


def check_cv(estimator: Any, attributes: Iterable[str]) -> None:
    """Demand a fitted `SoftmaxRegressionCV`."""
    check_record(estimator, "estimator", "SoftmaxRegressionCV", ["fit"])
    check_is_fitted(estimator)
    check_record(estimator, "estimator", "SoftmaxRegressionCV", attributes)


def check_inverse_strengths(Cs: ArrayLike) -> NDArray[np.float64]:
    """Values of C: positive, increasing and so distinct."""
    values = np.asarray(Cs, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or not (values[0] > 0 and np.all(values[1:] > values[:-1])):
        raise ValueError(f"Cs must be positive increasing numbers of shape (n_Cs,), got {Cs!r}.")
    return values


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
