r"""A quadratic with an L1 penalty, minimised by an active set.

The model that a proximal Newton step minimises is

    ``q(x) = <g, x - x0> + 1/2 (x - x0)' H (x - x0) + sum_j w_j |x_j|``,

with the gradient ``g`` at ``x0``, a positive semi-definite H and weights ``w_j >= 0``, some of them zero. x
is its minimum where with ``h = g + H (x - x0)``

    ``h_j = -w_j sign(x_j)`` for ``x_j`` not zero, and ``|h_j| <= w_j`` for ``x_j`` zero.

**Active set.** Active are the coordinates that are not zero, those without a weight, and those that are
zero but want to move, ``|h_j| > w_j``. Within the orthant of their signs q is a plain quadratic, whose
minimum is one linear system away. Active coordinates whose step leaves the orthant at once are put back to
rest; the others go as far as the orthant reaches, and those that meet its border stop there, at exactly
zero. Every step lowers q, and one that meets no border ends at the minimum over the active set: no set comes
twice, and there are finitely many. In practice a handful of steps suffice.

References
----------
D. P. Bertsekas, Projected Newton methods for optimization problems with simple constraints, SIAM Journal on
Control and Optimization 20 (1982). https://doi.org/10.1137/0320018
J. J. Moré and G. Toraldo, On the solution of large quadratic programming problems with bound constraints,
SIAM Journal on Optimization 1 (1991). https://doi.org/10.1137/0801008
H. Lee, A. Battle, R. Raina and A. Y. Ng, Efficient sparse coding algorithms, NIPS (2006).
https://doi.org/10.7551/mitpress/7503.003.0105
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from smreg.metric import scaled_cholesky

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

ACCURACY = 2.0**-10  # of the step's length in the metric H
SUFFICIENT = 2.0**-5  # part of the slope that a step must achieve; one to the minimum achieves a half
MAX_HALVINGS = 60
MAX_FACES = 200


class Quadratic(Protocol):
    """A positive semi-definite H."""

    diagonal: Array

    def product(self, v: Array) -> Array:
        """``H v``."""

    def solve(self, active: NDArray[np.int64], rhs: Array) -> Array:
        """The solution v of ``H v = rhs`` among the active coordinates."""


class DenseQuadratic:
    """H as a matrix of shape (m, m)."""

    def __init__(self, matrix: Array) -> None:
        self.matrix, self.diagonal = matrix, matrix.diagonal().copy()

    def product(self, v: Array) -> Array:
        """``H v``."""
        moved = np.flatnonzero(v)
        if 2 * len(moved) < len(v):
            return np.asarray(v[moved] @ self.matrix[moved])
        return np.asarray(self.matrix @ v)

    def solve(self, active: NDArray[np.int64], rhs: Array) -> Array:
        """By Cholesky's factor."""
        factor, root = scaled_cholesky(self.matrix[np.ix_(active, active)])
        return np.asarray(linalg.cho_solve((factor, True), rhs / root, check_finite=False) / root)


@dataclass(frozen=True)
class Step:
    """Where the quadratic has its minimum.

    Attributes
    ----------
    x : ndarray of shape (m,)
        The minimum.
    product : ndarray of shape (m,)
        ``H (x - x0)``.
    faces : int
        Linear systems solved.
    """

    x: Array
    product: Array
    faces: int


def minimize(
    quadratic: Quadratic,
    gradient: Array,
    start: Array,
    weights: Array,
    together: NDArray[np.int64] | None = None,
    n_together: int = 0,
) -> Step:
    """Minimise the quadratic.

    Parameters
    ----------
    quadratic : Quadratic
        H.
    gradient : ndarray of shape (m,)
        g, at the start.
    start : ndarray of shape (m,)
        x0.
    weights : ndarray of shape (m,)
        Of the absolute values.
    together : ndarray of int of shape (m,), optional
        A group for each coordinate. H is zero along the direction in which all `n_together` of a group move
        by the same: one that is zero is then kept there.
    n_together : int
        Size of the groups.
    """
    x, moved = start.copy(), np.zeros_like(start)
    slope, faces, settled = gradient.copy(), 0, False
    while faces < MAX_FACES:
        excess = np.maximum(np.abs(slope) - weights, 0.0)
        excess[x != 0] = 0.0
        allowed = ACCURACY**2 * max(float((x - start) @ moved), 0.0)
        if settled and float(np.sum(excess**2 / np.maximum(quadratic.diagonal, TINY))) <= allowed:
            break
        sign = np.where(x != 0, np.sign(x), -np.sign(slope))
        active = (x != 0) | (weights == 0) | (excess > 0)
        if together is not None:
            _hold(active, np.where(weights > 0, together, -1), n_together, x, excess)
        direction, n = _direction(quadratic, active, slope + weights * sign, sign * (x == 0) * (weights > 0))
        faces += n
        reached = _search(quadratic, x, direction, slope, weights, sign)
        if reached is None:
            break
        x, change, settled = reached
        moved += change
        slope += change
    return Step(x, moved, faces)


TINY = 1e-300


def _hold(
    active: Mask, group: NDArray[np.int64], size: int, x: Array, excess: Array
) -> None:
    """Of every group that is active as a whole, let the one rest that least wants to move."""
    members = np.flatnonzero(active & (group >= 0))
    counts = np.bincount(group[members])
    whole = members[counts[group[members]] == size]
    order = np.lexsort((excess[whole], np.abs(x[whole]), group[whole]))
    _, first = np.unique(group[whole][order], return_index=True)
    active[whole[order[first]]] = False


def _direction(quadratic: Quadratic, active: Mask, slope: Array, outward: Array) -> tuple[Array, int]:
    """The step to the minimum over the active set, without coordinates that leave zero the wrong way.

    `outward` is the sign with which one leaves zero, if it is there.
    """
    n = 0
    while True:
        n += 1
        direction = np.zeros_like(slope)
        members = np.flatnonzero(active)
        direction[members] = quadratic.solve(members, -slope[members])
        wrong = direction * outward < 0
        if not wrong.any():
            return direction, n
        active = active & ~wrong


def _search(
    quadratic: Quadratic, x: Array, direction: Array, slope: Array, weights: Array, sign: Array
) -> tuple[Array, Array, bool] | None:
    """The point where q is lower, H times the step to it, and whether it is the minimum of the active set."""
    length = 1.0
    for _ in range(MAX_HALVINGS):
        trial = x + length * direction
        crossed = (trial * sign < 0) & (weights > 0)
        trial[crossed] = 0.0
        step = trial - x
        change = quadratic.product(step)
        linear = float(slope @ step + weights @ (np.abs(trial) - np.abs(x)))
        if linear < 0 and linear + 0.5 * float(step @ change) <= SUFFICIENT * linear:
            return trial, change, length == 1.0 and not crossed.any()
        length /= 2
    return None
