r"""Coordinates: the linear map between coefficients in the units of X and what a minimiser sees.

That is a flat vector ``phi`` of shape (D,), the rows of a matrix with a column for each feature, and one for
the intercept, the last:

    ``W = Q phi_W / scale,   b = Q phi_b - W mean``.

- ``Q`` is the *coding* of the classes. Adding a constant to all logits changes no probability, and a penalty
  that is the same for all classes wants W to sum to zero over them: nothing is lost by *contrasts*,
  orthonormal columns that each sum to zero. Lengths are kept, and what remains is identified (the minimal
  form of the family). *Symmetric coding* keeps a row for each class, Q being the identity. *Reference coding*
  of two classes keeps one row, for the second class: scikit-learn's convention.
- ``mean`` is the weighted mean of the features, so that the intercept is nearly uncorrelated with
  the coefficients; without an intercept it is zero.
- ``scale`` is a power of two near the square root of the curvature of a column, so that all numbers
  the solver sees are of magnitude one, whatever the units, and no bit is rounded in going to and fro.

A constant column has no part in any direction: it *rests*. So does one that others determine, where it is
left out.
"""

from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from smreg.data.statistics import ColumnStatistics, power_of_two

Array = NDArray[np.float64]


@cache
def contrasts(n_classes: int) -> Array:
    """Orthonormal contrasts of the classes, of shape (n_classes, n_classes - 1), not to be written to."""
    made = np.asarray(linalg.helmert(n_classes).T)
    made.setflags(write=False)
    return made


def symmetric_coding(n_classes: int) -> Array:
    """A row for each class."""
    return np.eye(n_classes)


def reference_coding() -> Array:
    """Two classes with a row for the second one alone."""
    return np.eye(2, 1, -1)


@dataclass(frozen=True)
class Coordinates:
    """The linear map.

    Attributes
    ----------
    coding : ndarray of shape (K, n_rows)
        Q.
    mean, spread, scale : ndarray of shape (n_features,)
        Of the features; the spread is zero for those that rest.
    fit_intercept : bool
        Whether there is an intercept.
    by_feature : bool
        Whether the coefficients of a feature lie side by side, as products with sparse rows want them.
    determined : ndarray of bool of shape (n_features,), or None
        Features left out since others determine them, where these are known.
    """

    coding: Array
    mean: Array
    spread: Array
    scale: Array
    fit_intercept: bool
    by_feature: bool = False
    determined: NDArray[np.bool_] | None = None

    @classmethod
    def standardising(
        cls,
        columns: ColumnStatistics,
        coding: Array,
        *,
        fit_intercept: bool,
        ridge: Array | float = 0.0,
        by_feature: bool = False,
        determined: NDArray[np.bool_] | None = None,
    ) -> "Coordinates":
        """Those in which the curvature of each column, with its ridge, is of magnitude one."""
        mean, spread = columns.mean, columns.spread
        if not fit_intercept:
            mean, spread = np.zeros_like(mean), np.hypot(mean, spread)
        if determined is not None:
            spread = np.where(determined, 0.0, spread)
        scale = power_of_two(np.hypot(spread, np.sqrt(np.atleast_2d(ridge).max(axis=0))))
        return cls(coding, mean, spread, scale, fit_intercept, by_feature, determined)

    def of_features(self, features: NDArray[np.int64]) -> "Coordinates":
        """The same for some of the features alone."""
        mean, spread, scale = self.mean[features], self.spread[features], self.scale[features]
        return replace(self, mean=mean, spread=spread, scale=scale)

    @cached_property
    def shape(self) -> tuple[int, int]:
        """That of ``phi`` as a matrix."""
        return self.coding.shape[1], self.n_features + self.fit_intercept

    @property
    def n_features(self) -> int:
        """Columns of X."""
        return len(self.mean)

    @cached_property
    def has_reference(self) -> bool:
        """Whether the logit of the first class is zero, and there is no row for it."""
        return not self.coding[0].any()

    @property
    def is_symmetric(self) -> bool:
        """Whether there is a row for each class, so that adding a constant to a column is no change."""
        return len(self.coding) == self.shape[0]

    @cached_property
    def contrasts(self) -> Array:
        """The coding of the classes that have coefficients."""
        return self.coding[1:] if self.has_reference else self.coding

    @cached_property
    def resting(self) -> NDArray[np.intp]:
        """Features without a part in any direction."""
        return np.flatnonzero(self.spread == 0)

    @cached_property
    def unit(self) -> Array:
        """One over the scale of the features, without rounding; zero for those that rest."""
        return np.where(self.spread > 0, 1.0 / self.scale, 0.0)

    def coefficients(self, phi: Array, origin: Array) -> tuple[Array, Array]:
        """Coefficients (rows, p), and the intercepts (rows,) that belong to features minus an origin."""
        by_contrast = phi.reshape(self.shape)
        theta = (by_contrast.T @ self.contrasts.T).T if self.by_feature else self.contrasts @ by_contrast
        coef = theta[:, : self.n_features] * self.unit
        if not self.fit_intercept:
            return coef, np.zeros(len(coef))
        return coef, theta[:, -1] - coef @ (self.mean - origin)

    def of(self, coef: Array, intercept: Array) -> Array:
        """The coordinates of coefficients (rows, p) and intercepts (rows,) in the units of X.

        What the coefficients of constant features add to the logits goes to the intercepts.
        """
        phi = np.empty(self.shape)
        phi[:, : self.n_features] = self.contrasts.T @ np.where(self.spread > 0, coef * self.scale, 0.0)
        if self.fit_intercept:
            phi[:, -1] = self.contrasts.T @ (intercept + coef @ self.mean)
        return phi.ravel()

    def pull_back(self, coef_gradient: Array, intercept_gradient: Array, origin: Array) -> Array:
        """A gradient in the coordinates from those in what `coefficients` gives: its transpose."""
        gradient = np.empty(self.shape)
        if self.fit_intercept:
            coef_gradient = coef_gradient - intercept_gradient[:, np.newaxis] * (self.mean - origin)
            gradient[:, -1] = self.contrasts.T @ intercept_gradient
        gradient[:, : self.n_features] = self.contrasts.T @ (coef_gradient * self.unit)
        return gradient.ravel()
