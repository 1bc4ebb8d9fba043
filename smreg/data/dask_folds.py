"""Folds of rows in Dask collections: dealt out, or given by a number for each row."""

from copy import copy
from numbers import Integral
from typing import Any

import dask
import numpy as np
from dask.base import is_dask_collection
from dask.delayed import Delayed
from numpy.typing import NDArray
from sklearn.model_selection import PredefinedSplit

from smreg.data.dask_partitions import Partitions
from smreg.data.dask_rows import DaskRows, tasks
from smreg.data.folds import MOST_FOLDS, Counts, class_counts, dealt, numbers_of
from smreg.data.matrix import MatrixRows
from smreg.data.rows import Rows

DEFAULT = 5  # folds, as in scikit-learn


def divided(rows: Rows, X: Any, cv: Any, classes: NDArray[Any]) -> tuple[DaskRows, int]:
    """Rows that know their folds, and how many these are.

    Parameters
    ----------
    rows : Rows
        Of the partitions of X that have any.
    X : dask DataFrame or array
        Features, by whose partitions fold numbers are divided.
    cv : int, None, PredefinedSplit, array-like or Dask collection of integers
        How many folds, or the number of each row's.
    classes : ndarray of shape (K,)
        Labels, for errors.

    Raises
    ------
    ValueError, TypeError
        If `cv` is anything else, there are more folds than rows in any class, or fold numbers do not fit X.
    """
    assert isinstance(rows, DaskRows)
    if cv is None or isinstance(cv, Integral):
        return _dealt(rows, DEFAULT if cv is None else int(cv), classes)
    return _given(rows, X, _numbers(cv))


def _dealt(rows: DaskRows, n_folds: int, classes: NDArray[Any]) -> tuple[DaskRows, int]:
    """In one pass."""
    rows.passes += 1
    counts = np.array(dask.compute(*tasks("smreg-count", _counts, rows.parts)))
    total = counts.sum(axis=0)
    if n_folds > min(total.max(), MOST_FOLDS):
        largest = repr(classes.tolist()[total.argmax()]) if len(total) > 1 else "of all rows"
        raise ValueError(
            f"cv={n_folds} needs a class of so many samples, but the largest, {largest}, has {total.max()}. "
            "Use fewer folds."
        )
    before = np.cumsum(counts, axis=0) - counts
    return _with(rows, tasks("smreg-deal", _dealt_part, rows.parts, list(before), n_folds=n_folds)), n_folds


def _numbers(cv: Any) -> Any:
    """Fold numbers as they came, if they are some."""
    if isinstance(cv, PredefinedSplit):
        return np.asarray(cv.test_fold)
    if is_dask_collection(cv):
        return cv
    values = numbers_of(cv)
    if values is None:
        raise ValueError(
            "cv must be a number of folds, a PredefinedSplit, or the number of each row's fold, as an array "
            f"or a Dask collection, where X is a Dask collection; got {cv!r}. For another splitter "
            "number its test parts, with -1 for rows that are in none."
        )
    return values


def _given(rows: DaskRows, X: Any, numbers: Any) -> tuple[DaskRows, int]:
    """In one pass over the numbers, which names them 0, 1, ... in their order."""
    partitions = Partitions(X, lengths=rows.lengths)
    parts = partitions.aligned(numbers, "cv", jointly=False)
    used = [(k, part) for k, (part, n) in enumerate(zip(parts, rows.lengths, strict=True)) if n > 0]
    checked = tasks("smreg-folds", _checked, *zip(*used, strict=True), [n for n in rows.lengths if n > 0])
    found = np.unique(np.concatenate(dask.compute(*tasks("smreg-found", np.unique, checked))))
    found = found[found >= 0]
    if not 0 < len(found) <= MOST_FOLDS:
        raise ValueError(f"cv must have from 1 to {MOST_FOLDS} different numbers of folds, got {len(found)}.")
    return _with(rows, tasks("smreg-divide", _divided_part, rows.parts, checked, found=found)), len(found)


def _with(rows: DaskRows, parts: list[Delayed]) -> DaskRows:
    made = copy(rows)
    made.parts = parts
    return made


def _counts(part: MatrixRows) -> Counts:
    return class_counts(part.targets.values, part.n_classes)


def _dealt_part(part: MatrixRows, before: Counts, n_folds: int) -> MatrixRows:
    return part.divided(dealt(part.targets.values, before, n_folds))


def _checked(number: int, values: Any, length: int) -> NDArray[np.int64]:
    """The numbers of a partition, of which all that are negative are -1."""
    folds = np.asarray(values)
    if folds.shape != (length,) or folds.dtype.kind not in "iu":
        raise ValueError(
            f"In partition {number}: cv must have an integer for each of the {length} samples of X, got "
            f"{folds.dtype} of shape {folds.shape}."
        )
    return np.maximum(folds.astype(np.int64), -1)


def _divided_part(part: MatrixRows, folds: NDArray[np.int64], found: NDArray[np.int64]) -> MatrixRows:
    codes = np.where(folds < 0, -1, np.searchsorted(found, folds))
    return part.divided(codes.astype(np.int16))
