r"""The cone of the directions of recession, and the shortest of those along which all margins grow that can.

A direction d is in the cone if no margin ``<m, d>`` is negative: see `smreg.fit.separation`. The *projection*
of a vector g on it is, by Moreau's decomposition, ``g + sum_m l_m m`` for the multipliers ``l_m >= 0`` that
make it shortest: non-negative least squares, with the margins added that are violated most, until none is.
With the sum of some margins for g it is zero if and only if none of these can grow. Else some of them grow
along it, the rest are added up anew, and so on until none is left that can: the sum of the projections is
then in the relative interior of the cone (Rockafellar 1970, section 6).

The *shortest direction* with margins of at least h where these can grow, and 0 elsewhere, is found by another
projection (Lawson and Hanson 1974, chapter 23): that of ``(0, 1)`` on the cone of all ``(d, t)`` with
``<m, d> >= h t``, or 0. It depends on no sum over rows, and so not on their number or weights. Collinear
columns share in it as in coefficients of least norm.

References
----------
J. J. Moreau, Décomposition orthogonale d'un espace hilbertien selon deux cônes mutuellement polaires,
Comptes rendus 255 (1962).
C. L. Lawson and R. J. Hanson, Solving Least Squares Problems, Prentice-Hall (1974).
https://doi.org/10.1137/1.9781611971217
R. T. Rockafellar, Convex Analysis, Princeton (1970). https://doi.org/10.1515/9781400873173
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from smreg.data.block import Block
from smreg.data.kernels import Kept
from smreg.data.statistics import extremes
from smreg.fit.formulation import Formulation
from smreg.fit.recession import Violated, coefficients_of, furthest, labels, margins
from smreg.objective.coordinates import Coordinates
from smreg.objective.cross_entropy import Objective, Standardisation
from smreg.objective.logits import Direction
from smreg.objective.penalty import Penalty

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

AT_A_TIME = 300  # margins that are added to the least squares
ROUNDING = 2.0**-44  # of a margin, along what is the projection of a vector of length one
NOTHING = 2.0**-40  # length of what is left of one, or its product with a constraint that holds it
GROWTH = 2.0**-30  # from which on it grows; and part of the goal that differs from none


def divergence(problem: Formulation, reference: int) -> Array:
    """Signs of the shortest direction against a reference class, zero where it is so but for rounding.

    Parameters
    ----------
    problem : Formulation
        With intercepts, and all features as they came.
    reference : int
        The class that others are compared with.

    Returns
    -------
    ndarray of shape (K, n_features + 1)
        The first column is that of the intercepts, for features as they came. A class without weight has an
        intercept below those of the others, and coefficients of zero.
    """
    layout, n_features = problem.layout, problem.given.n_features
    theta, centre = np.zeros((layout.n_classes, n_features + 1)), np.zeros(n_features)
    if not layout.is_certain:
        objective = _objective(problem)
        at = objective.coordinates
        theta[layout.live] = at.coding @ shortest_direction(objective).reshape(objective.shape)
        centre = at.mean * at.unit
    theta -= theta[reference]
    theta[np.abs(theta) <= GROWTH * np.abs(theta).max()] = 0.0
    terms = np.column_stack([-theta[:, :-1] * centre, theta[:, -1]])
    intercept = terms.sum(axis=1)
    intercept[np.abs(intercept) <= GROWTH * np.abs(terms).sum(axis=1)] = 0.0
    is_live = np.isin(np.arange(layout.n_classes), layout.live).astype(float)
    rank = is_live - is_live[reference]
    signs = np.sign(np.column_stack([intercept, theta[:, :-1]]))
    signs[rank != 0, 0] = rank[rank != 0]
    return np.asarray(signs)


def shortest_direction(objective: Objective) -> Array:
    """The shortest direction, in the coordinates, along which all margins grow that can; zero if none can."""
    direction, growing = _interior(objective)
    if not direction.any():
        return direction
    least = min(objective.rows.map_blocks(_least, objective.direction(direction), growing))
    cone = _Cone(objective, growing, least / float(np.linalg.norm(direction)))
    goal = np.append(np.zeros(direction.size), 1.0)
    return _projection(cone, goal, np.empty((0, goal.size)))[0][:-1]


def _objective(problem: Formulation) -> Objective:
    """The cross-entropy for columns that go from -1 to 1; those that are constant rest."""
    rows = problem.loss.rows
    lows, highs = zip(*rows.unshifted.map_blocks(_ends), strict=True)
    low, high = np.min(lows, axis=0), np.max(highs, axis=0)
    half = np.where(problem.varies(), high / 2 - low / 2, 0.0)
    scale = np.where(half > 0, half, 1.0)
    coding = problem.coding()
    return Objective(problem.loss, Penalty(), Coordinates(coding, low / 2 + high / 2, half, scale, True))


def _ends(block: Block) -> tuple[Array, Array]:
    low, high = extremes(block, block.weights[np.newaxis] > 0)
    return low[0], high[0]


def _interior(objective: Objective) -> tuple[Array, Kept[Bools]]:
    """A direction in the relative interior of the cone, and which margins grow along it."""
    rows, size = objective.rows, objective.shape[0] * objective.shape[1]
    direction, held = np.zeros(size), np.empty((0, size))
    at = objective.direction(direction)
    waiting = rows.keep(_growable, at)
    growing = rows.keep(_along, at, waiting)
    cone = _Cone(objective, growing, 0.0)
    while True:
        goal = objective.gradient_of(_sum, waiting)
        length = float(np.linalg.norm(goal))
        if length == 0:
            return direction, growing
        projection, held = _projection(cone, goal / length, held)
        length = float(np.linalg.norm(projection))
        if length <= GROWTH:
            return direction, growing
        at = objective.direction(projection / length)
        if not any(rows.map_blocks(_any_along, at, waiting)):
            return direction, growing
        direction = direction + projection / length
        growing = rows.keep(_added, at, waiting, growing)
        waiting = rows.keep(_left, at, waiting)


@dataclass(frozen=True)
class _Cone:
    """All ``(d, t)`` with no negative margin, or with ``<m, d> >= floor t`` where it grows.

    Attributes
    ----------
    objective : Objective
        Of the margins.
    growing : Kept
        Which margins grow, of each block.
    floor : float
        If it is zero there is no t.
    """

    objective: Objective
    growing: Kept[Bools]
    floor: float

    def violated(self, x: Array) -> Array:
        """Coefficients of the constraints that are violated most, of so many, each of length one."""
        objective = self.objective
        direction, level = (x[:-1], x[-1] * self.floor) if self.floor else (x, 0.0)
        found: Violated = objective.rows.map_reduce(
            _violated,
            objective.direction(direction),
            objective.standardisation,
            objective.coordinates.coding,
            self.growing,
            (self.floor, level),
            result=AT_A_TIME * x.size,
        )
        made = found.margins if self.floor else found.margins[:, :-1]
        return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True))


def _projection(cone: _Cone, goal: Array, likely: Array) -> tuple[Array, Array]:
    """The projection of a vector of length one on the cone, and the constraints that hold it there.

    Where many constraints meet SciPy's least squares may end short of the minimum: one is then added at a
    time. Some that are likely to hold it may be given.
    """
    x, length, held, multipliers = goal, 1.0, likely[:0], np.empty(0)
    while length > NOTHING and len(violated := cone.violated(x)):
        given = np.vstack([likely, held, violated])
        best = optimize.nnls(given.T, -goal, maxiter=30 * len(given))[0]
        some, best = given[best > 0], best[best > 0]
        if np.abs(some @ (goal + best @ some)).max(initial=0.0) > NOTHING or not len(best):
            some, best = _with_one(held, multipliers, violated[0], goal)
        shorter = goal + best @ some
        if np.linalg.norm(shorter) >= length:
            break
        x, held, multipliers, likely = shorter, some, best, likely[:0]
        length = float(np.linalg.norm(x))
    return x, held


def _with_one(held: Array, multipliers: Array, violated: Array, goal: Array) -> tuple[Array, Array]:
    """Constraints and multipliers with another that is violated, less those that it makes superfluous.

    It is a step of Lawson and Hanson's method: what is violated does not depend linearly on what holds.
    """
    held, multipliers = np.vstack([held, violated]), np.append(multipliers, 0.0)
    while True:
        best = np.linalg.lstsq(held.T, -goal)[0]
        negative = best <= 0
        if not negative.any():
            return held, np.asarray(best)
        parts = np.full(len(best), np.inf)
        parts[negative] = multipliers[negative] / (multipliers - best)[negative]
        first = int(parts.argmin())
        multipliers = np.delete(multipliers + parts[first] * (best - multipliers), first)
        held = np.delete(held, first, axis=0)


def _growable(block: Block, at: Direction) -> Bools:
    m = margins(block, at)
    return m.counts & ~m.tied


def _along(block: Block, at: Direction, waiting: Kept[Bools]) -> Bools:
    """Which of the margins that wait grow along a direction."""
    return waiting.of(block) & (margins(block, at).value > GROWTH)


def _any_along(block: Block, at: Direction, waiting: Kept[Bools]) -> bool:
    return bool(_along(block, at, waiting).any())


def _added(block: Block, at: Direction, waiting: Kept[Bools], growing: Kept[Bools]) -> Bools:
    return growing.of(block) | _along(block, at, waiting)


def _left(block: Block, at: Direction, waiting: Kept[Bools]) -> Bools:
    return waiting.of(block) & ~_along(block, at, waiting)


def _least(block: Block, at: Direction, growing: Kept[Bools]) -> float:
    """The smallest margin of those that grow."""
    return float(margins(block, at).value.min(where=growing.of(block), initial=np.inf))


def _sum(block: Block, waiting: Kept[Bools]) -> Array:
    """Derivatives in the logits of the sum of the margins that wait."""
    by_class = -waiting.of(block).astype(float)
    by_class[labels(block), np.arange(len(block))] -= by_class.sum(axis=0)
    return by_class


def _violated(
    block: Block,
    at: Direction,
    standardisation: Standardisation,
    coding: Array,
    growing: Kept[Bools],
    levels: tuple[float, float],
) -> Violated:
    """Those of a block, with a coefficient of t."""
    (floor, level), m, own = levels, margins(block, at), growing.of(block)
    shortfall = m.shortfall + level * own
    chosen = furthest(shortfall, ROUNDING, AT_A_TIME)
    of_direction = coefficients_of(block, m, chosen, standardisation, coding)
    with_t = np.column_stack([of_direction, -floor * own[chosen]])
    return Violated(shortfall[chosen], with_t, AT_A_TIME)
