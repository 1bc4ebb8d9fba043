r"""A quadratic with an L1 penalty, minimised by an active set.

The model that a proximal Newton step minimises is

    ``q(x) = <g, x - x0> + 1/2 (x - x0)' H (x - x0) + sum_j l_j |x_j|``,

with the gradient ``g`` at ``x0``, a positive semi-definite H and weights ``l_j >= 0``, some of them zero. x
is its minimum where with the slope ``h = g + H (x - x0)``

    ``h_j = -l_j sign(x_j)`` for ``x_j`` not zero, and ``|h_j| <= l_j`` for ``x_j`` zero.

**Active set.** Active are the coordinates that are not zero, those without a weight, and those that are
zero but want to move, ``|h_j| > l_j``. Within the orthant of their signs q is a plain quadratic, whose
minimum is one linear system away. Coordinates that want to leave zero, but would leave it with the wrong sign
when all move together, stay there. The others go as far as the orthant reaches, and those that meet its
border stop there, at exactly zero. Every step lowers q, one that meets a border makes the active set smaller,
and one that meets none ends at the minimum over it: no set ends two such steps, and there are finitely
many. In practice a handful of steps suffices.

References
----------
D. P. Bertsekas, Projected Newton methods for optimization problems with simple constraints, SIAM Journal on
Control and Optimization 20 (1982). https://doi.org/10.1137/0320018
J. J. Moré and G. Toraldo, On the solution of large quadratic programming problems with bound constraints,
SIAM Journal on Optimization 1 (1991). https://doi.org/10.1137/0801008
"""

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from smreg.optimize.metric import TINY, scaled_cholesky

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Quadratic(Protocol):
    """A positive semi-definite H."""

    diagonal: Array

    def product(self, v: Array) -> Array:
        """``H v``."""

    def solve(self, active: Indices, rhs: Array, *, exact: bool) -> tuple[Array, bool]:
        """A solution v of ``H v = rhs`` among the active coordinates, and whether it is one to accuracy.

        Unless it must be `exact`, it need only lower ``1/2 v' H v - v' rhs``.
        """


class DenseQuadratic:
    """H as a matrix of shape (m, m)."""

    def __init__(self, matrix: Array) -> None:
        self.matrix, self.diagonal = matrix, matrix.diagonal().copy()

    def product(self, v: Array) -> Array:
        """``H v``."""
        return np.asarray(self.matrix @ v)

    def solve(self, active: Indices, rhs: Array, *, exact: bool) -> tuple[Array, bool]:
        """By Cholesky's factor, which is always exact."""
        factor, root = scaled_cholesky(self.matrix[np.ix_(active, active)])
        return linalg.cho_solve((factor, True), rhs / root, check_finite=False) / root, True


@dataclass(frozen=True)
class ModelMinimum:
    """Where a model is least.

    Attributes
    ----------
    x : ndarray of shape (m,)
        The minimum.
    norm : float
        ``||x - x0||_H``; where floating point allows no further step, with what is left to go.
    is_exact : bool
        Whether the active set is final, or floating point allows no further step; else q is lower than at
        x0, but not least.
    """

    x: Array
    norm: float
    is_exact: bool


@dataclass(frozen=True)
class _Stage:
    """A point, H times the step there, by how much q has fallen, and whether the last step met no border."""

    x: Array
    moved: Array
    fall: float
    final: bool


@dataclass(frozen=True)
class Model:
    """The function q.

    Attributes
    ----------
    quadratic : Quadratic
        H.
    gradient, start : ndarray of shape (m,)
        g and x0.
    weights : ndarray of shape (m,)
        l.
    groups : ndarray of int of shape (m,), or None
        If given, H is zero along the direction in which all `group_size` coordinates of a group move by the
        same: one of them is then kept where it is.
    group_size : int
        Coordinates in a complete group.
    """

    quadratic: Quadratic
    gradient: Array
    start: Array
    weights: Array
    groups: Indices | None = None
    group_size: int = 0

    def minimum(self, accuracy: float, *, exact: bool = False) -> ModelMinimum:
        """The minimum of q.

        The active set is final when coordinates at rest could lower q by a part ``accuracy**2`` of what the
        others have. Unless it must be `exact`, the search ends already where a step lowers q by no more.
        """
        at, fell = _Stage(self.start, np.zeros_like(self.start), 0.0, final=False), math.inf
        for _ in range(500):  # more than any problem so far has taken
            slope, little = self.gradient + at.moved, accuracy**2 * at.fall
            excess = np.where(at.x == 0, np.maximum(np.abs(slope) - self.weights, 0.0), 0.0)
            if at.final and float(np.sum(excess**2 / np.maximum(self.quadratic.diagonal, TINY))) <= little:
                return ModelMinimum(at.x, self._length(at), True)
            if not exact and fell <= little:
                break
            following = self._step(at, slope, excess, exact=exact)
            if following is None:
                return ModelMinimum(at.x, math.hypot(self._length(at), self._left(at, slope, excess)), True)
            fell, at = following.fall - at.fall, following
        return ModelMinimum(at.x, self._length(at), False)

    def _length(self, at: _Stage) -> float:
        """``||x - x0||_H``, or where H is so nearly singular that it is lost in rounding, by the fall of q.

        That is at least half of its square.
        """
        step = at.x - self.start
        square, diagonal = float(step @ at.moved), self.quadratic.diagonal
        rounding = len(step) * 2.0**-52 * float(step**2 @ diagonal)
        return math.sqrt(square if square > rounding else max(square, 2.0 * at.fall))

    def _left(self, at: _Stage, slope: Array, excess: Array) -> float:
        """By how much the conditions of a minimum are missed, in the metric of the diagonal."""
        missed = np.where(at.x == 0, excess, slope + self.weights * np.sign(at.x))
        return math.sqrt(np.sum(missed**2 / np.maximum(self.quadratic.diagonal, TINY)))

    def _step(self, at: _Stage, slope: Array, excess: Array, *, exact: bool) -> _Stage | None:
        """Towards the minimum over the active set; None where floating point allows none."""
        signs = np.where(at.x != 0, np.sign(at.x), -np.sign(slope))
        active = (at.x != 0) | (self.weights == 0) | (excess > 0)
        if self.groups is not None:
            self._hold(active, at.x, excess)
        signs[self.weights == 0] = 0.0
        slope = slope + self.weights * signs
        direction, solved = self._direction(active, slope, np.where(at.x == 0, signs, 0.0), exact=exact)
        following = self._search(at, direction, slope, signs)
        return following and replace(following, final=following.final and solved)

    def _hold(self, active: Mask, x: Array, excess: Array) -> None:
        """Of every group whose members are all active, let the one rest that least wants to move."""
        assert self.groups is not None
        members = np.flatnonzero(active & (self.weights > 0))
        counts = np.bincount(self.groups[members])
        complete = members[counts[self.groups[members]] == self.group_size]
        order = np.lexsort((excess[complete], np.abs(x[complete]), self.groups[complete]))
        _, first = np.unique(self.groups[complete][order], return_index=True)
        active[complete[order[first]]] = False

    def _direction(self, active: Mask, slope: Array, outward: Array, *, exact: bool) -> tuple[Array, bool]:
        """To the minimum over the active set, without coordinates that leave zero with the wrong sign.

        The second part is whether it reaches that, up to accuracy.
        `outward` is the sign with which one leaves zero, if it is there.
        """
        while True:
            direction, members = np.zeros_like(slope), np.flatnonzero(active)
            direction[members], solved = self.quadratic.solve(members, -slope[members], exact=exact)
            wrong = direction * outward < 0
            if not wrong.any():
                return direction, solved
            active = active & ~wrong

    def _search(self, at: _Stage, direction: Array, slope: Array, signs: Array) -> _Stage | None:
        """Go along a direction within the orthant of the signs, zero for coordinates without a border.

        Up to the first border q falls, to the minimum over the active set at length one. Beyond it
        coordinates stop at zero, and the length is halved until q falls by a 32nd of the slope, where the
        minimum has half, or to that border.
        """
        meets = direction * signs < 0
        reach = np.divide(-at.x, direction, out=np.full_like(direction, math.inf), where=meets)
        border, length = float(reach.min(initial=math.inf)), 1.0
        while True:
            stopped = reach <= length
            step = np.where(stopped, -at.x, length * direction)  # the difference of two points is rounded
            change = self.quadratic.product(step)
            linear = float(slope @ step)
            fall = -linear - 0.5 * float(step @ change)
            if length <= border or fall >= -linear / 32 > 0:
                break
            length = max(length / 2, border)
        if not linear < 0:
            return None
        x = np.where(stopped, 0.0, at.x + step)
        return _Stage(x, at.moved + change, at.fall + max(fall, 0.0), not stopped.any())
