"""Offsets: the part of the logits that is known beforehand, checked once at the public boundary.

They are given for each sample and class. Adding a constant to those of a sample changes no probability, so
that for two classes one column is enough, that of the second class against the first.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_array

from smreg.data.features import as_numbers, naming
from smreg.data.lazy import is_lazy

Array = NDArray[np.float64]


def check_offset(offset: Any, n_samples: int, classes: NDArray[Any]) -> Array:
    """Finite offsets of shape (n_samples, n_classes), in the order of the classes; of two the first is zero.

    Parameters
    ----------
    offset : array-like or DataFrame of shape (n_samples, n_classes), or for two classes (n_samples,)
        As they came. The columns of a frame are matched by name.
    n_samples : int
        Rows that they are for.
    classes : ndarray of shape (n_classes,)
        The classes that they are for.

    Raises
    ------
    TypeError
        If they are no numbers, or a Dask collection.
    ValueError
        If they are sparse, of another shape or not finite, or columns are not the classes.
    """
    if is_lazy(offset):
        raise TypeError("offset must be in memory where X is, got a Dask collection: pass offset.compute().")
    order = columns_of_classes(offset, classes)
    values = offset_values(offset, n_samples)
    return of_classes(values, order)


def columns_of_classes(offset: Any, classes: NDArray[Any]) -> list[int] | None:
    """Which column is that of each class; None for one dimension. The content is not read."""
    check_dimensions(offset)
    K = len(classes)
    if hasattr(offset, "columns") and getattr(offset, "ndim", 2) == 2:  # which a Series of Dask has, too
        names = getattr(offset, "column_names", None)  # of a table of pyarrow, whose columns are values
        return _columns_by_name(list(offset.columns) if names is None else names, classes.tolist())
    shape = _shape(offset)
    if len(shape) == 1 and K == 2:
        return None
    if len(shape) == 2 and shape[1] == K:
        return list(range(K))
    one = " or (n_samples,), of classes_[1] against classes_[0]" if K == 2 else ""
    raise ValueError(
        f"offset must be of shape (n_samples, {K}), a column for each of the classes {classes.tolist()[:20]}"
        f"{one}, got shape {tuple(shape)}."
    )


def check_dimensions(offset: Any) -> None:
    """Raise a ValueError for offsets that are sparse, or of other than one or two dimensions, unread."""
    if sparse.issparse(offset):
        raise ValueError("offset must be dense, got a sparse matrix: use offset.toarray().")
    if len(shape := _shape(offset)) not in (1, 2):
        raise ValueError(f"offset must have one or two dimensions, got shape {tuple(shape)}.")


def _shape(offset: Any) -> tuple[Any, ...]:
    if hasattr(offset, "shape"):
        return tuple(offset.shape)
    with naming(offset, "offset"):
        return np.shape(offset)


def _columns_by_name(names: list[Any], classes: list[Any]) -> list[int]:
    missing = [label for label in classes if label not in names]
    unknown = [name for name in names if name not in classes]
    if missing or unknown or len(names) > len(classes):
        faults = {"lacks": missing, "has the unknown": unknown}
        found = " and ".join(f"{verb} {labels}" for verb, labels in faults.items() if labels)
        raise ValueError(
            f"The columns of offset must be the classes {classes}, each once, got {names}"
            f"{found and ', which ' + found}."
        )
    return [names.index(label) for label in classes]


def offset_values(offset: Any, n_samples: int) -> Array:
    """Offsets as finite numbers, in the columns in which they came."""
    numbers = as_numbers(offset, "offset")
    with naming(numbers, "offset"):
        values = np.asarray(
            check_array(numbers, dtype=np.float64, ensure_2d=False, copy=True, input_name="offset")
        )
    if len(values) != n_samples:
        raise ValueError(
            f"offset must have a row for each of the {n_samples} samples of X, got {len(values)}."
        )
    finite = np.isfinite(values).reshape(n_samples, -1).all(axis=1)  # with assume_finite not checked yet
    with np.errstate(over="ignore", invalid="ignore"):
        finite &= np.isfinite(np.ptp(values.reshape(n_samples, -1), axis=1))
    if not finite.all():
        row = int(np.argmin(finite))
        raise ValueError(
            f"offset must be finite, and so must differences in a row, got {values[row]} in row {row}."
        )
    return values


def of_classes(values: Array, order: list[int] | None) -> Array:
    """A column for each class."""
    if order is None:
        return np.column_stack([np.zeros_like(values), values])
    values = values if order == sorted(order) else values[:, order]
    if values.shape[1] == 2:
        return np.column_stack([np.zeros(len(values)), values[:, 1] - values[:, 0]])
    return values


def fitted_offset(offset: Any, n_samples: int, classes: NDArray[Any]) -> Array | None:
    """Those for a fit: less the largest of each row, which changes nothing but the rounding of logits."""
    if offset is None:
        return None
    return relative(check_offset(offset, n_samples, classes))


def relative(offset: Array) -> Array:
    """Offsets less the largest of each row."""
    return np.asarray(offset - offset.max(axis=1, keepdims=True))


def missing_offset(estimator: Any, method: str) -> ValueError:
    """The error where a model that was fitted with offsets is not given those of other samples."""
    name = type(estimator).__name__
    return ValueError(
        f"This {name} was fitted with offsets, and {method} needs those of its samples: pass offset=. Where "
        "another estimator calls it, offsets are metadata: after "
        "sklearn.set_config(enable_metadata_routing=True) a Pipeline passes on what "
        f"set_{method}_request(offset=True) asks for, and GridSearchCV and cross_validate with scoring=None "
        "what set_score_request(offset=True) does, of the model or of a scorer of smreg.metrics. "
        "scikit-learn's own scorers by name, and cross_val_predict, pass nothing on to predictions: use one "
        "of those, or SoftmaxRegressionCV, which takes any scorer."
    )
