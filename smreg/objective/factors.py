"""Penalty factors: by what the strength of the penalty is multiplied for each coefficient.

A coefficient with the factor zero is not penalised, and one with the factor infinity is *held* at zero. A
feature that is held in all rows *rests*, like a column of zeros. What is held in some rows alone has an
infinite L1 penalty.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from smreg.objective.penalty import LARGEST, Penalty

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEAST = 5e-324  # a penalty that underflows is still one


@dataclass(frozen=True)
class Factors:
    """The factors of the coefficients.

    Attributes
    ----------
    values : float, or ndarray of shape (n_features,) or (rows, n_features)
        Finite: for what is held they are of no consequence.
    resting : ndarray of bool of shape (n_features,), or None
        Features that are held in all rows, if there are any.
    held : ndarray of bool of shape (rows, n_features), or None
        What is held besides, if anything is.
    """

    values: Array | float = 1.0
    resting: Bools | None = None
    held: Bools | None = None

    @classmethod
    def of(cls, given: Array | None) -> Self:
        """Factors of shape (n_features,) or (rows, n_features), without repetitions; None for one."""
        if given is None:
            return cls()
        rows = np.atleast_2d(given)
        rows = rows[:1] if (rows == rows[0]).all() else rows
        is_held = np.isinf(rows)
        resting: Bools = np.all(is_held, axis=0)
        held = is_held & ~resting
        values = np.where(is_held, 1.0 if rows[~is_held].any() else 0.0, rows)
        if not is_held.any() and (values == values.flat[0]).all():
            return cls(float(values.flat[0]))
        return cls(
            values[0] if len(values) == 1 else values,
            resting if resting.any() else None,
            held if held.any() else None,
        )

    @property
    def is_uniform(self) -> bool:
        """Whether all coefficients have the same, and none is held."""
        return isinstance(self.values, float)

    @property
    def is_zero(self) -> bool:
        """Whether nothing has a penalty at any C, nor is held."""
        return isinstance(self.values, float) and self.values == 0

    @cached_property
    def unpenalised(self) -> Bools | None:
        """Which coefficients have no penalty though others have one, of shape (1 or rows, n_features)."""
        if isinstance(self.values, float) or not self.values.any():
            return None
        is_zero = np.atleast_2d(self.values == 0)
        is_zero = is_zero if self.held is None else is_zero & ~self.held
        return is_zero if is_zero.any() else None

    @property
    def free(self) -> NDArray[np.intp]:
        """Features with no penalty in any row, though others have one."""
        return np.flatnonzero([] if self.unpenalised is None else self.unpenalised.all(axis=0))

    @property
    def units(self) -> Array:
        """``1 / sqrt(f)`` of each feature, the same for all classes: zero for what has none or rests."""
        values = np.asarray(self.values, dtype=np.float64)
        moves = values > 0 if self.resting is None else (values > 0) & ~self.resting
        return np.asarray(np.where(moves, 1 / np.sqrt(np.where(moves, values, 1.0)), 0.0))

    def penalty(self, strength: float, l1_ratio: float) -> Penalty:
        """Ridge and L1 norm, of a strength together that is multiplied by the factors."""
        if isinstance(self.values, float):
            strength = min(self.values * strength, LARGEST)
        ridge, l1 = strength * (1 - l1_ratio), strength * l1_ratio
        if l1 == 0 < min(strength, l1_ratio):
            l1 = LEAST
        if isinstance(self.values, float):
            return Penalty(ridge, l1)
        of_l1 = self._times(l1)
        if self.held is not None:
            of_l1 = np.where(self.held, np.inf, of_l1)
        return Penalty(self._times(ridge), of_l1)

    def _times(self, number: float) -> Array | float:
        """The products, zero only where one of the two is."""
        if number == 0 or not np.any(self.values):
            return 0.0
        with np.errstate(over="ignore", under="ignore"):
            products = np.minimum(self.values * np.float64(number), LARGEST)
        return np.where(self.values > 0, np.maximum(products, LEAST), 0.0)

    @property
    def largest(self) -> Array | float:
        """The largest of each feature, of what is not held."""
        if isinstance(self.values, float):
            return self.values
        known = np.atleast_2d(self.values)
        return np.asarray((known if self.held is None else np.where(self.held, 0.0, known)).max(axis=0))

    def over(self, sizes: Array, power: float = 1.0) -> Array:
        """Sizes (rows, n_features) over a power of the factors: zero for what has none or is held."""
        known = np.broadcast_to(np.power(self.values, power), sizes.shape)
        is_penalised = known > 0
        if self.held is not None:
            is_penalised = is_penalised & ~self.held
        with np.errstate(over="ignore"):
            return np.asarray(np.divide(sizes, known, out=np.zeros_like(sizes), where=is_penalised))
