"""Targets, checked once at the public boundary and brought to plain arrays.

A target is either a label for each sample or, as an array or DataFrame of shape (n, K) with K >= 2, a
*soft target*: a point of the simplex for each sample.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from smreg.data.labels import as_labels, is_text
from smreg.data.lazy import refuse_lazy

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Targets:
    """Classes, and for each sample its class or a distribution over the classes.

    Attributes
    ----------
    classes : ndarray of shape (K,)
        Sorted class labels.
    values : ndarray of int of shape (n,), or of float of shape (n, K)
        Class codes 0, ..., K - 1, or points of the simplex.
    """

    classes: NDArray[Any]
    values: NDArray[np.int64] | Array

    def take(self, rows: NDArray[np.intp]) -> "Targets":
        """Those of some of the samples."""
        return Targets(self.classes, self.values[rows])

    def mass(self, weights: Array) -> Array:
        """Total weight of each class, of shape (K,)."""
        if self.values.ndim == 1:
            counts = np.bincount(self.values, weights=weights, minlength=len(self.classes))
            return counts.astype(np.float64)
        return np.asarray(weights @ self.values)


def is_soft(y: Any) -> bool:
    """Whether `y` has the shape of soft targets: two dimensions and not a single column."""
    refuse_lazy(y, "y")
    try:
        shape = y.shape if hasattr(y, "shape") else np.asarray(y).shape
    except ValueError as error:
        raise ValueError(
            "y must be labels of shape (n_samples,) or soft targets of shape (n_samples, n_classes), "
            "got rows of different lengths."
        ) from error
    return len(shape) == 2 and shape[1] != 1


def encode_labels(y: NDArray[Any]) -> Targets:
    """Class codes of a validated 1-D array of labels, of two classes at least."""
    targets = _encode(y)
    if len(targets.classes) < 2:
        raise ValueError(
            f"y must have at least 2 classes, got only one class: {targets.classes.tolist()[0]!r}."
        )
    return targets


def _encode(y: NDArray[Any]) -> Targets:
    targets, is_integral = distinct(y), y.dtype.kind in "biu"  # which can be nothing but labels
    may_be_a_regression = 2 * len(targets.classes) > len(y)  # of which scikit-learn warns
    if may_be_a_regression if is_integral else y.dtype != object or is_text(y):
        check_classification_targets(y)
    return targets


def distinct(y: NDArray[Any]) -> Targets:
    """Codes of labels that may be those of one class, or fewer than those of classes should be."""
    try:
        if y.dtype == object and not is_text(y) and any(isinstance(label, bool | np.bool_) for label in y):
            raise TypeError("bool")  # among others: True would be 1
        classes, codes = np.unique(y, return_inverse=True)
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in y})
        raise TypeError(f"y must have labels of one kind, that can be sorted; got {kinds}.") from error
    return Targets(classes, codes.astype(np.int64))


def check_soft_targets(y: Any) -> Targets:
    """Rows on the simplex, their columns sorted by class: the names of a DataFrame's, else 0..K-1."""
    if sparse.issparse(y):
        raise ValueError("Soft targets y must be dense, got a sparse matrix: use y.toarray().")
    values = np.asarray(y)
    if values.shape[1] == 0:
        raise ValueError(f"Soft targets y must have a column for each class, got shape {values.shape}.")
    if values.dtype.kind in "cmM":
        raise ValueError(f"Soft targets y must be real numbers, got dtype {values.dtype}.")
    precision = _precision(y, values)
    if values.dtype == object:
        values = np.where(pd.isna(values), np.nan, values)
    try:
        values = values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"y of shape {values.shape} means soft targets, one column of probabilities for each "
            f"class, and must be numeric; got dtype {values.dtype}. For labels pass a 1-D y."
        ) from error
    values /= _row_sums(values, precision)[:, np.newaxis]
    classes, order = _sorted_classes(y, values.shape[1])
    return Targets(classes, values if order == sorted(order) else values[:, order])


def _row_sums(values: Array, precision: np.dtype[Any]) -> Array:
    """Sums of the rows, each of which must be one to rounding, of non-negative numbers.

    A row computed in some precision sums to one up to a few of its roundings for each class; the square
    root is what scikit-learn's log_loss allows.
    """
    sums = values.sum(axis=1)
    tolerance = np.sqrt(np.finfo(precision).eps)
    good = (values >= 0).all(axis=1) & (np.abs(sums - 1) <= tolerance)
    if not good.all():
        row = int(np.argmin(good))
        entries = np.array2string(values[row], threshold=10, edgeitems=3)
        raise ValueError(
            "Soft targets y must have rows of non-negative numbers that sum to 1; "
            f"row {row} is {entries} and sums to {sums[row]}. Divide counts "
            "or rounded numbers by the sum of their row; for labels pass a 1-D y."
        )
    return np.asarray(sums)


def _sorted_classes(y: Any, n_classes: int) -> tuple[NDArray[Any], list[int]]:
    """Names of the columns, or their numbers, sorted, and the columns in that order."""
    names = list(y.columns) if hasattr(y, "columns") else list(range(n_classes))
    try:
        order = sorted(range(len(names)), key=names.__getitem__)
    except TypeError:
        order = []
    classes = np.asarray(names)[order]
    missing = any(name != name for name in names)
    if missing or classes.shape != (n_classes,) or len(set(names)) < n_classes:
        raise ValueError(
            "The columns of soft targets y must have distinct names of one kind, one for each class; "
            f"got {names}."
        )
    return classes, order


def _precision(y: Any, values: NDArray[Any]) -> np.dtype[Any]:
    """Floating type that soft targets were computed in, also where pandas wraps it."""
    if values.dtype.kind == "f":
        return values.dtype
    wrapped = [getattr(dtype, "numpy_dtype", None) for dtype in getattr(y, "dtypes", [])]
    single = len(wrapped) > 0 and all(dtype == np.float32 for dtype in wrapped)
    return np.dtype(np.float32 if single else np.float64)


def as_targets(y: Any) -> Any:
    """Labels as a 1-D array, see `as_labels`, or soft targets as an array or DataFrame."""
    require(y, "fit")
    if is_soft(y):
        return y if hasattr(y, "shape") else np.asarray(y)
    return as_labels(y)


def require(y: Any, method: str) -> None:
    """Raise a ValueError if a method got no targets."""
    if y is None:
        raise ValueError(f"{method} requires y to be passed, but the target y is None.")


def check_targets(y: Any) -> tuple[Any, Targets]:
    """Targets as `as_targets` gives them, and their encoding."""
    y = as_targets(y)
    return y, encode(y)


def encode(y: Any) -> Targets:
    """The encoding of targets as `as_targets` gives them."""
    if is_soft(y):
        return check_soft_targets(y)
    if len(y) == 0:
        raise ValueError("y must have at least one sample, got none.")
    return encode_labels(y)


def strata(y: Any, targets: Targets) -> Any:
    """Targets for a splitter: codes in place of objects that scikit-learn does not take for labels."""
    return y if is_soft(y) or y.dtype != object or is_text(y) else targets.values


def targets_of_columns(y: Any, classes: Any, n_classes: int, of: str) -> Targets:
    """Targets whose classes are the columns of what `of` names, in that order.

    Without `classes` the columns are the sorted labels if y has as many, else what `_columns_of_some` says.
    """
    names = None if classes is None else _names_of_columns(classes, n_classes, of)
    if is_soft(y):
        return _soft_of_columns(check_soft_targets(y), hasattr(y, "columns"), names, n_classes, of)
    labels = as_labels(y)
    if names is None and labels.dtype.kind in "iu" and labels.min() == 0 and labels.max() < n_classes:
        return Targets(np.arange(n_classes), labels.astype(np.int64))
    targets = _encode(labels)
    if names is None:
        if len(targets.classes) == n_classes:
            return targets
        names = _columns_of_some(targets.classes, n_classes, of)
    column = {name: number for number, name in enumerate(names.tolist())}
    unknown = [label for label in targets.classes.tolist() if label not in column]
    if unknown:
        raise ValueError(f"y has the labels {unknown}, which are not among the classes {names.tolist()}.")
    codes = np.array([column[label] for label in targets.classes.tolist()])
    return Targets(names, codes[targets.values])


def _columns_of_some(labels: NDArray[Any], n_classes: int, of: str) -> NDArray[Any]:
    """Labels of all columns, of which y has some: False and True, or numbers from 0, which y has."""
    boolean = all(isinstance(label, bool | np.bool_) for label in labels)
    if boolean and n_classes == 2:
        return np.array([False, True])
    some = set(labels.tolist()) if labels.dtype.kind in "iufO" and not boolean else set()
    if 0 in some and some <= set(range(n_classes)):
        return np.arange(n_classes)
    raise ValueError(
        f"y has the classes {labels.tolist()}, but {of} have {n_classes} columns. If y lacks some of their "
        "classes, pass the labels of all columns, in their order, as classes=."
    )


def _names_of_columns(classes: Any, n_classes: int, of: str) -> NDArray[Any]:
    names = column_or_1d(classes)
    if len(names) != n_classes or len(set(names.tolist())) < n_classes:
        raise ValueError(
            f"classes must be the distinct labels of the {n_classes} columns of {of}, got {names.tolist()}."
        )
    return np.asarray(names)


def _soft_of_columns(
    soft: Targets, named: bool, names: NDArray[Any] | None, n_classes: int, of: str
) -> Targets:
    """Soft targets, with the named columns of a DataFrame in the order of `names`."""
    if len(soft.classes) != n_classes:
        raise ValueError(
            f"Soft targets y must have a column for each of the {n_classes} columns of {of}, "
            f"got {len(soft.classes)}."
        )
    if names is None or not named:
        return soft if names is None else Targets(names, soft.values)
    column = {name: number for number, name in enumerate(soft.classes.tolist())}
    if set(column) != set(names.tolist()):
        raise ValueError(
            f"The columns of soft targets y must be the classes {names.tolist()}, "
            f"got {soft.classes.tolist()}."
        )
    return Targets(names, soft.values[:, [column[name] for name in names.tolist()]])
