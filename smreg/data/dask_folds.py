"""Folds of rows in Dask collections, by the numbers in another collection."""

from typing import Any

import dask
import numpy as np
from numpy.typing import NDArray

from smreg.data.dask_partitions import Partitions
from smreg.data.dask_rows import tasks
from smreg.data.folds import Store, codes_of, distinct_folds
from smreg.data.matrix import MatrixRows


def divided_by(rows: Store, X: Any, numbers: Any) -> tuple[Store, int]:
    """Rows that know their folds, and how many these are, after a pass over the numbers.

    Parameters
    ----------
    rows : PartedRows
        Of the partitions of X that have any.
    X : dask DataFrame or array
        Features, by whose partitions fold numbers are divided.
    numbers : Dask collection of integers
        The number of each row's fold.

    Raises
    ------
    ValueError, TypeError
        If fold numbers do not fit X.
    """
    partitions = Partitions(X, lengths=rows.lengths)
    parts = partitions.aligned(numbers, "cv", jointly=False)
    used = [(k, part) for k, (part, n) in enumerate(zip(parts, rows.lengths, strict=True)) if n > 0]
    checked = tasks("smreg-folds", _checked, *zip(*used, strict=True), [n for n in rows.lengths if n > 0])
    found = distinct_folds(list(dask.compute(*tasks("smreg-found", np.unique, checked))))
    return rows.with_parts(_numbered, checked, found=found), len(found)


def _checked(number: int, values: Any, length: int) -> NDArray[np.int64]:
    """The numbers of a partition, of which all that are negative are -1."""
    folds = np.asarray(values)
    if folds.shape != (length,) or folds.dtype.kind not in "iu":
        raise ValueError(
            f"In partition {number}: cv must have an integer for each of the {length} samples of X, got "
            f"{folds.dtype} of shape {folds.shape}."
        )
    return np.maximum(folds.astype(np.int64), -1)


def _numbered(part: MatrixRows, numbers: NDArray[np.int64], found: NDArray[np.int64]) -> MatrixRows:
    return part.divided(codes_of(numbers, found))
