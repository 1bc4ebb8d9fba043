r"""The penalty: a quadratic and an L1 term with a factor for each coefficient.

    ``R(W) = sum_kj [a_kj / 2 W_kj^2 + l_kj |W_kj|]``

Intercepts are not penalised. Where the factors are one number for all coefficients, the quadratic term is
invariant under rotations of the features; where they are the same for all classes, W sums to zero over these
at the minimum. What replaces a problem by a smaller one asks for that.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from smreg.objective.coordinates import Coordinates

Array = NDArray[np.float64]

LARGEST = 1e300  # factor: with more the probabilities are the priors too, but its products would overflow


@dataclass(frozen=True)
class Penalty:
    """R.

    Attributes
    ----------
    ridge, l1 : float or ndarray that broadcasts to (rows, n_features)
        a and l, in the units of X: not negative. Where l is infinite the coefficient is held at zero.
    """

    ridge: Array | float = 0.0
    l1: Array | float = 0.0

    @cached_property
    def is_smooth(self) -> bool:
        """Whether there is no L1 term."""
        return not np.any(self.l1)

    @cached_property
    def is_zero(self) -> bool:
        """Whether there is no penalty."""
        return self.is_smooth and not np.any(self.ridge)

    @property
    def only_holds(self) -> bool:
        """Whether coefficients are free of a penalty, or held at zero."""
        return not np.any(self.ridge) and bool(np.all((np.asarray(self.l1) == 0) | np.isinf(self.l1)))

    @property
    def unpenalised(self) -> NDArray[np.bool_]:
        """Features without a penalty in any row, or all of them, of shape (n_features,) or ()."""
        nothing = (np.asarray(self.ridge) == 0) & (np.asarray(self.l1) == 0)
        return np.asarray(nothing.all(axis=0) if nothing.ndim == 2 else nothing)

    @property
    def is_uniform(self) -> bool:
        """Whether the factors are one number for all coefficients."""
        return np.size(self.ridge) == np.size(self.l1) == 1

    @property
    def is_shared(self) -> bool:
        """Whether the factors are the same for all classes."""
        return all(np.ndim(factors) < 2 or len(np.asarray(factors)) == 1 for factors in (self.ridge, self.l1))

    def value(self, coef: Array) -> float:
        """R."""
        root = np.sqrt(self.ridge) * coef  # whose square does not overflow, unlike that of coef
        value = 0.5 * float(np.vdot(root, root))
        if not self.is_smooth:
            with np.errstate(over="ignore"):
                value += float(np.sum(np.minimum(self.l1, LARGEST) * np.abs(coef)))
        return value

    def within(self, coordinates: Coordinates) -> "Penalty":
        """The same as a function of coordinates that have a row for each class, or of any if it is shared.

        Its factors are of shape (1, width), or (rows, width) where they are not shared.
        """
        scale, of_intercept = coordinates.scale, int(coordinates.fit_intercept)

        def full(factors: Array) -> Array:
            factors = np.atleast_2d(np.minimum(factors, LARGEST))
            return np.concatenate([factors, np.zeros((len(factors), of_intercept))], axis=1)

        with np.errstate(over="ignore"):
            return Penalty(full((np.sqrt(self.ridge) / scale) ** 2), full(self.l1 / scale))
