"""A block of rows: its features, targets and weights, and the products of its features with coefficients.

How its features are stored is known here, dense or sparse, and in no kernel.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Numbers that a block has, or that a kernel makes of it: the more, the smaller the part of the time in which
# the GIL is held; 2**20 of them, 8 MiB, are still in the last-level cache when they are read again.
BLOCK = 2**20

NOT_FINITE = (
    "X must hold finite numbers, got NaN or infinity: scikit-learn's assume_finite=True keeps validation "
    "from saying where."
)


@dataclass(frozen=True)
class Block:
    """Some of the rows.

    Attributes
    ----------
    number : int
        Which block it is: the same rows in every pass of one kind.
    X : ndarray or CSR array of shape (n_rows, n_features)
        The features, dense in float64, or sparse.
    target : ndarray of int of shape (n_rows,), or of float of shape (n_rows, K)
        Class codes 0, ..., K - 1, or points of the simplex.
    weights : ndarray of shape (n_rows,)
        Non-negative.
    offset : ndarray of shape (n_rows, K), or None
        A known part of the logits.
    folds : ndarray of int of shape (n_rows,), or None
        Which fold of a cross-validation each row is in the test part of, -1 for none.
    """

    number: int
    X: Any
    target: NDArray[np.int64] | Array
    weights: Array
    offset: Array | None = None
    folds: NDArray[np.int16] | None = None

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.weights)

    @cached_property
    def is_used(self) -> bool:
        """Whether all rows have weight."""
        return bool(self.weights.all())

    def predictors(self, coef: Array) -> Array:
        """Linear predictors, class-major: ``coef @ X'`` of shape (K, n_rows)."""
        return predictors(self.X, coef)

    def sizes(self, coef: Array) -> Array:
        """Sums of the sizes of the terms, ``|coef| @ |X|'``."""
        return predictors(abs(self.X), np.abs(coef))

    def scores(self, residuals: Array) -> Array:
        """The products ``residuals @ X`` of shape (K, n_features)."""
        return _scores(self.X, residuals)

    def scores_of_squares(self, residuals: Array) -> Array:
        """The products ``residuals @ X**2``."""
        return _scores(self.X**2 if isinstance(self.X, np.ndarray) else self.X.multiply(self.X), residuals)

    def dense(self) -> Array:
        """The features as an array of shape (n_rows, n_features)."""
        return np.asarray(self.X if isinstance(self.X, np.ndarray) else self.X.toarray(), dtype=np.float64)

    def take(self, rows: NDArray[Any]) -> "Block":
        """Some of its rows."""
        offset, folds = (None if of is None else of[rows] for of in (self.offset, self.folds))
        return Block(self.number, self.X[rows], self.target[rows], self.weights[rows], offset, folds)

    def divide(self, scale: Array, quotients: Array) -> None:
        """Write the features over their scale into a contiguous array of shape (n_features, n_rows)."""
        if isinstance(self.X, np.ndarray):
            np.divide(self.X.T, scale[:, np.newaxis], out=quotients)
        else:
            self.X.T.astype(np.float64, copy=False).toarray(out=quotients)
            quotients /= scale[:, np.newaxis]

    def check_finite(self) -> None:
        """Raise a ValueError if the features hold NaN or infinity."""
        if not np.isfinite(self.X if isinstance(self.X, np.ndarray) else self.X.data).all():
            raise ValueError(NOT_FINITE)

    def add_targets(self, q: Array, part: float) -> Array:
        """``q + part t``, of shape (K, n_rows), in the place of q."""
        if self.target.ndim == 1:
            q[self.target, np.arange(len(self))] += part
        else:
            q += part * self.target.T
        return q


def predictors(X: Any, coef: Array) -> Array:
    """``coef @ X'`` of shape (K, n_rows), for dense or sparse rows."""
    if isinstance(X, np.ndarray):
        return np.asarray(coef @ X.T)
    return np.asarray((X @ np.ascontiguousarray(coef.T)).T)


def _scores(X: Any, residuals: Array) -> Array:
    if isinstance(X, np.ndarray):
        return np.asarray(np.dot(residuals, X))  # unlike `@` it lets other threads run for a small result
    return np.asarray((X.T @ np.ascontiguousarray(residuals.T)).T)
