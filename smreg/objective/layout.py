"""Coefficients of all classes, and which classes take part in a fit."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smreg.data.block import Block
from smreg.data.tally import Tally

Array = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]

# Logit of a class without weight. The other classes' logits sum to zero, so that the largest is at
# least zero and the probability of this class is below exp(-300), and at a temperature of 10 below 1e-13.
ABSENT = -300.0


@dataclass(frozen=True)
class Regression:
    """Coefficients (rows, n_features) and intercepts (rows,), in the units of X.

    There is a row for every class, or for two classes a single one, for the second.
    """

    coef: Array
    intercept: Array

    def in_precision(self, dtype: Any) -> tuple[Floats, Floats]:
        """Coefficients and intercepts of that type, or where it cannot hold them as they are."""
        with np.errstate(over="ignore"):
            coef, intercept = self.coef.astype(dtype), self.intercept.astype(dtype)
        if np.isfinite(coef).all() and np.isfinite(intercept).all():
            return coef, intercept
        return self.coef, self.intercept


@dataclass(frozen=True)
class Layout:
    """Which classes take part: with an intercept, those that have weight.

    The intercept of a class without weight would go to minus infinity, and its coefficients to zero,
    without any effect on the others: it is left out, and put back with the logit `ABSENT`. Of two classes
    that leaves one, and nothing to be fitted.

    Attributes
    ----------
    tally : Tally
        What the rows weigh.
    live : ndarray of int
        The classes that take part.
    """

    tally: Tally
    live: NDArray[np.int64]

    @classmethod
    def of(cls, tally: Tally, fit_intercept: bool) -> "Layout":
        """That of rows that weigh so much."""
        return cls(tally, np.flatnonzero((tally.mass > 0) | (not fit_intercept)))

    @property
    def n_classes(self) -> int:
        """Classes that there are."""
        return len(self.tally.mass)

    @property
    def is_certain(self) -> bool:
        """Whether there is but one class."""
        return len(self.live) == 1

    @property
    def priors(self) -> Array:
        """Weighted mean of the targets among the live classes."""
        return np.asarray(self.tally.mass[self.live] / self.tally.total)

    def __call__(self, block: Block) -> Block:
        """A block with weights that sum to one over all rows, and targets among the live classes."""
        weights = block.weights / self.tally.largest / self.tally.total
        if len(self.live) == self.n_classes:
            return replace(block, weights=weights)
        codes = np.zeros(self.n_classes, dtype=np.int64)  # of classes without weight it is any
        codes[self.live] = np.arange(len(self.live))
        target = codes[block.target] if block.target.ndim == 1 else block.target[:, self.live]
        offset = None if block.offset is None else block.offset[:, self.live]
        return replace(block, target=target, weights=weights, offset=offset)

    def expand(self, coef: Array, intercept: Array) -> Regression:
        """Rows for all classes, with intercepts that sum to zero, or the difference of two."""
        if len(self.live) == self.n_classes:
            return Regression(coef, intercept)
        full_coef = np.zeros((self.n_classes, coef.shape[1]))
        full_intercept = np.full(self.n_classes, ABSENT)
        full_coef[self.live], full_intercept[self.live] = coef, intercept
        if self.n_classes == 2:
            return Regression(full_coef[1:], np.diff(full_intercept))
        return Regression(full_coef, full_intercept - full_intercept.mean())

    def restrict(self, start: Regression) -> tuple[Array, Array]:
        """Rows of the live classes."""
        if self.n_classes == 2:
            return start.coef, start.intercept
        return start.coef[self.live], start.intercept[self.live]
