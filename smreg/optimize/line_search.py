"""A convex function along a direction: where its slope all but vanishes.

Values of the function are not compared: near the minimum they carry rounding errors larger than what slopes
still resolve. Where the slope is not positive a convex function is no higher than at the start of the line.
"""

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEVEL = 0.2  # part of the slope that may be left
FAR = 8.0  # by which a length is divided at most, or by half of it multiplied


class Slopes(Protocol):
    """The derivative of a function along a direction from a point."""

    @property
    def first(self) -> float:
        """A length to begin with, at most one."""

    def slope(self, length: float) -> float:
        """The derivative in the length."""


class Line(Slopes, Protocol):
    """A function along a direction from a point."""

    @property
    def evaluations(self) -> int:
        """How often the function was computed, the gradient included."""

    def point(self, length: float) -> tuple[float, Array, Any]:
        """Value and gradient there, and what makes lines from there cheaper, or None."""

    def growth(self, length: float) -> float:
        """By how much a norm in the inverse Hessian there is at most larger than in that of the start."""


class EvaluatedLine:
    """The same by evaluations of the function."""

    first = 1.0

    def __init__(self, function: Callable[[Array], tuple[float, Array]], x: Array, step: Array) -> None:
        self._function, self._x, self._step, self.evaluations = function, x, step, 0
        self._last: tuple[float, tuple[float, Array]] | None = None

    def slope(self, length: float) -> float:
        """Its derivative in the length."""
        return float(self.point(length)[1] @ self._step)

    def point(self, length: float) -> tuple[float, Array, None]:
        """Value and gradient there."""
        if self._last is None or self._last[0] != length:
            self.evaluations += 1
            self._last = length, self._function(self._x + length * self._step)
        return *self._last[1], None

    def growth(self, length: float) -> float:
        """Nothing is known of it."""
        return math.inf


def lowest(line: Slopes, slope: float) -> float:
    """A length near the minimum along a line whose slope is negative at its start, zero if there is none.

    From the first length on it is bracketed, and interpolated in the bracket by the slopes at its ends.
    """
    (low, slope_low), (high, slope_high), length = (0.0, slope), (math.inf, math.inf), line.first
    was_low, divisor = False, 1.0
    for trial in range(60):
        at = line.slope(length)
        if abs(at) <= -LEVEL * slope:
            return length
        is_low, is_again = at < 0, trial > 0 and (at < 0) == was_low
        if is_low:
            before, low, slope_low = (low, slope_low), length, at
        else:
            high, slope_high = length, at if math.isfinite(at) else math.inf
        if high == math.inf:
            rise = slope_low - before[1]
            secant = low - slope_low * (low - before[0]) / rise if rise > 0 else math.inf
            length = min(secant, FAR / 2 * low)
        elif low == 0 and (is_again or slope_high > -FAR * slope_low):  # too far for interpolation
            divisor *= FAR
            length = high / divisor
        elif slope_high > -FAR * slope_low:
            length = math.sqrt(low * high)
        elif is_again:
            length = (low + high) / 2
        else:
            part = -slope_low / (slope_high - slope_low)
            length = low + (high - low) * min(max(part, 1 / FAR), 1 - 1 / FAR)
        was_low = is_low
        if not low < length < high:
            break
    return low
