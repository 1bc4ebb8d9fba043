"""Labels as a plain array, of the type in which they came."""

from collections.abc import Mapping, Set
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import assert_all_finite, column_or_1d

from smreg.data.lazy import refuse_lazy

# What objects that are all of a kind, as pandas calls it, are stored as.
PLAIN: Mapping[str, type] = {
    "boolean": np.bool_,
    "integer": np.int64,
    "floating": np.float64,
    "mixed-integer-float": np.float64,
}


def as_labels(y: Any, name: str = "y") -> NDArray[Any]:
    """Labels of shape (n_samples,): booleans and integers as such, whatever held them.

    Nullable and categorical columns, those of pyarrow and polars, and arrays of objects are taken for what
    they hold; what NumPy has no type for, as dates with a time zone, stays an object.

    Raises
    ------
    TypeError
        If labels have no type of NumPy, are records or collections, or of Dask.
    ValueError
        If a label is missing (None, NaN, `pandas.NA`, NaT, masked), infinite or complex, or the shape is
        another.
    """
    refuse_lazy(y, name)
    if not sparse.issparse(y):
        y = _plain_array(y, name)
        _check_kind(y, name)
    labels = y if isinstance(y, np.ndarray) and y.ndim == 1 else column_or_1d(y, warn=True)
    if labels.dtype.kind == "T":  # NumPy's strings of variable width, of which scikit-learn does not know
        labels = labels.astype(object)
    _check_missing(labels, name)
    assert_all_finite(labels, input_name=name)
    return _of_one_type(labels) if labels.dtype == object else labels


def is_text(labels: NDArray[Any]) -> bool:
    """Whether objects are strings or bytes, of which scikit-learn knows that they are labels."""
    return len(labels) > 0 and isinstance(labels[0], str | bytes)


def _plain_array(y: Any, name: str) -> NDArray[Any]:
    if np.ma.is_masked(y):
        return np.where(np.ma.getmaskarray(y), np.array(None), np.ma.getdata(y))
    try:
        labels = np.asarray(y)
    except Exception as error:  # of many types
        raise TypeError(f"{name} must have labels that NumPy can hold: {error}.") from error
    if labels.dtype.kind == "U" and not hasattr(y, "dtype"):  # of a list, in which NaN has become "nan"
        objects = np.asarray(y, dtype=object)
        if not all(isinstance(label, str) for label in objects.ravel()):
            return objects
    return labels


def _check_kind(labels: NDArray[Any], name: str) -> None:
    """Raise an error for what has no order, or only some of it, as sets have that of inclusion."""
    if labels.dtype.kind == "c":
        raise ValueError(
            f"Complex data not supported: {name} must have labels that can be sorted, got {labels.dtype}."
        )
    kinds = set(map(type, labels.ravel())) if labels.dtype == object else set()
    unsorted = any(kind.__hash__ is None or issubclass(kind, Set) for kind in kinds)
    if unsorted or labels.dtype.kind == "V":
        got = sorted(kind.__name__ for kind in kinds) or labels.dtype
        raise TypeError(f"{name} must have labels of one kind, that can be sorted; got {got}.")


def _check_missing(labels: NDArray[Any], name: str) -> None:
    missing = np.asarray(pd.isna(labels))
    if missing.any():
        row = int(np.argmax(missing))
        what = "NaN" if isinstance(labels[row], float | np.floating) else str(labels[row])
        raise ValueError(
            f"Input {name} contains {what}: {missing.sum()} of {len(labels)} labels are missing, the first "
            f"at position {row}."
        )


def _of_one_type(labels: NDArray[Any]) -> NDArray[Any]:
    """Objects as booleans or numbers if they are such, else as they are."""
    dtype = PLAIN.get(pd.api.types.infer_dtype(labels, skipna=False))
    if dtype is not None:
        with suppress(OverflowError):  # integers beyond 64 bits can be sorted as they are
            return labels.astype(dtype)
    return labels
