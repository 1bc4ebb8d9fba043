r"""Elastic net: the cross-entropy with a penalty that makes coefficients exactly zero.

With ``gamma = 1 / (C S)`` and ``rho`` for `l1_ratio` the objective is

    ``F(W, b) = L(W, b) + R(W),   R(W) = gamma [(1 - rho)/2 ||W||_F^2 + rho ||W||_1]``,

with the mean cross-entropy L. The search takes place in symmetric coding (see
`smreg.objective.coordinates`), in which R is a sum over the coordinates, ``a/2 theta**2 + l |theta|``.

**Proximal Newton.** A step minimises the model of F in which L is replaced by its quadratic Taylor
polynomial and R is kept as it is. As for Newton's method, units play no part: F is a function of the
coefficients, whatever the columns are measured in, and so is its model. The norm that `tol` bounds is the
step's length in the metric of the Hessian,

    ``norm = ||d||_H,   F - F* ~ norm**2 / 2``,

which for ``rho = 0`` is Newton's decrement. Some ten evaluations of F lead from the intercept-only model
to the optimum of a table in raw units.

**Working set.** The model needs the Hessian only among the coefficients that are not zero, or want to move
from there, ``|dL/dtheta| > l``: the others stay at zero in the model, and the next gradient shows those
that should not have.

**Steps that are too long.** Where classes are rare or nearly separated, the Hessian says little of F a step
away. The line search goes by slopes, along a line on which logits move without X being read.

**Shifts.** Adding a constant to a column of W changes no probability for three classes or more. With a
ridge the sum of the column's coefficients is determined by it; with the L1 norm alone, ``rho = 1``, the norm
is least where a median of the column is zero, and for an even number of classes anywhere between its two
medians. Among these `canonical` takes the shift that makes most coefficients zero.

References
----------
J. D. Lee, Y. Sun and M. A. Saunders, Proximal Newton-type methods for minimizing composite functions, SIAM
Journal on Optimization 24 (2014). https://doi.org/10.1137/130921428
J. Friedman, T. Hastie and R. Tibshirani, Regularization paths for generalized linear models via coordinate
descent, Journal of Statistical Software 33 (2010). https://doi.org/10.18637/jss.v033.i01
G.-X. Yuan, C.-H. Ho and C.-J. Lin, An improved GLMNET for L1-regularized logistic regression, Journal of
Machine Learning Research 13 (2012). https://www.jmlr.org/papers/v13/yuan12a.html
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from smreg.objective.duality import duality_gap
from smreg.objective.penalty import Penalty
from smreg.objective.working import Hessians
from smreg.optimize.line_search import LEVEL, Line, lowest
from smreg.optimize.protocol import Point
from smreg.optimize.quadratic import Model
from smreg.optimize.solver import MAX_HALVINGS, ROUNDING, is_better

Array = NDArray[np.float64]

# A step solved to a part of its length costs another step later; near the optimum, where steps shrink like
# their squares, it is solved as well as the next one is short. Models of longer steps are made from a sample
# of the rows, where that is cheaper: the Hessian changes over such a step by more than the sample errs.
LOOSE = 0.1

# Part of `tol` at which the norm is enough, whatever the gap: without it fits with hardly any penalty, whose
# gap is not tight, take 14 % more evaluations.
SURELY = 2.0**-6


class ElasticNet:
    """The objective in the coordinates of its loss.

    Parameters
    ----------
    hessians : Hessians
        Of the loss.
    penalty : Penalty
        R.
    """

    def __init__(self, hessians: Hessians, penalty: Penalty) -> None:
        self.hessians, self.loss = hessians, (loss := hessians.loss)
        self.shape, self.penalty = loss.shape, penalty.within(loss.coordinates)
        self.ridge = np.broadcast_to(self.penalty.ridge, self.shape)
        self.l1 = np.broadcast_to(self.penalty.l1, self.shape)
        self.free, self.held = self.l1 == 0, np.zeros(self.shape, dtype=bool)
        self.free[:, loss.coordinates.resting] = False
        self.held[:, : loss.rows.n_features] = np.isinf(penalty.l1)
        self.has_shifts = penalty.is_shared and not np.any(penalty.ridge) and loss.coordinates.is_symmetric

    def at(self, theta: Array) -> Point:
        """Value there and gradient of the loss, in one pass over the rows."""
        value, gradient = self.loss(theta.ravel())
        return Point(theta, value + self.penalty.value(theta), gradient.reshape(self.shape))

    def along(self, point: Point, step: "Step") -> "ElasticLine":
        """The objective along a step."""
        line = self.loss.along(point.x.ravel(), step.direction.ravel(), point.known)
        return ElasticLine(self, line, point.x, step)

    def canonical(self, theta: Array) -> Array:
        """With the L1 norm alone, the same probabilities with the least norm, by shifts of the columns.

        Of those the one with the most zeros, then that of least Euclidean norm, then the smaller shift.
        """
        if not self.has_shifts:
            return theta
        W, n_classes = theta[:, : self.loss.rows.n_features], self.shape[0]
        ordered = np.sort(W, axis=0)
        low, high = ordered[(n_classes - 1) // 2], ordered[n_classes // 2]
        more = np.sum(high == W, axis=0) - np.sum(low == W, axis=0)
        nearer = np.abs(high - W.mean(axis=0)) <= np.abs(low - W.mean(axis=0))
        theta = theta.copy()
        theta[:, : W.shape[1]] -= np.where((more > 0) | ((more == 0) & nearer), high, low)
        return theta


@dataclass(frozen=True)
class Step:
    """The minimum of a model, the direction to it, and its length in the metric of the Hessian."""

    theta: Array
    direction: Array
    norm: float


class ElasticLine:
    """An elastic net along a step.

    The L1 norm has a kink where a coefficient is zero. Of the slopes there the one nearest to zero counts: so
    the whole step, which makes coefficients exactly zero, is kept wherever the minimum is at such a kink.
    """

    def __init__(self, net: ElasticNet, line: Line, theta: Array, step: Step) -> None:
        self.net, self.line, self.theta, self.step = net, line, theta, step
        self.first = line.first

    def theta_at(self, length: float) -> Array:
        """The coefficients at a length."""
        return self.step.theta if length == 1 else self.theta + length * self.step.direction

    def slope(self, length: float) -> float:
        """The derivative in the length."""
        return self.with_penalty(self.line.slope(length), length)

    def with_penalty(self, slope: float, length: float) -> float:
        """That of the loss with the penalty's."""
        net, d, theta = self.net, self.step.direction, self.theta_at(length)
        slope += float(np.vdot(net.ridge * theta + net.l1 * np.sign(theta), d))
        kink = float(np.sum(net.l1 * np.abs(d), where=theta == 0))
        return slope + kink if length == 0 else math.copysign(max(abs(slope) - kink, 0.0), slope)

    def reached(self, length: float) -> Point:
        """The point at a length."""
        net, (loss, gradient, known) = self.net, self.line.point(length)
        theta = net.canonical(self.theta_at(length))  # whose L1 norm is the record's
        return Point(theta, loss + net.penalty.value(theta), gradient.reshape(net.shape), known=known)


@dataclass(frozen=True)
class Minimum:
    """Where the search stopped, and why.

    Attributes
    ----------
    theta : ndarray of shape (rows, width)
        The last point.
    value, norm, gap : float
        F there, the length of the step that would be next, and the duality gap, in nats.
    reason : {"converged", "max_iter", "callback", "rounding"}
        What ended the search.
    iterations, evaluations, refreshes : int
        Steps taken; passes over the rows for values and gradients, and for the gap; Hessians made.
    """

    theta: Array
    value: float
    norm: float
    gap: float
    reason: str
    iterations: int
    evaluations: int
    refreshes: int


def minimize(
    net: ElasticNet,
    start: Point,
    *,
    tol: float,
    max_iter: int,
    on_iteration: Callable[[Array, float, float], bool] = lambda theta, value, norm: False,
) -> Minimum:
    """Minimise an elastic net from a point.

    Parameters
    ----------
    net : ElasticNet
        The objective.
    start : Point
        Where to begin, evaluated.
    tol : float
        Stop at this norm.
    max_iter : int
        Most steps to take.
    on_iteration : callable
        ``(theta, value, norm) -> stop``, called after every step.

    Returns
    -------
    Minimum
        Never worse than the start, but for the rounding of F.
    """
    search, point, before, iterations, reason = _Search(net, tol), start, None, 0, ""
    while True:
        step = search.step(point)
        point = replace(point, norm=step.norm)
        interrupted = iterations > 0 and on_iteration(point.x, point.value, step.norm)
        if step.norm <= tol and (iterations >= max_iter or search.is_certain(point, step)):
            reason = "converged"
        elif interrupted:
            reason = "callback"
        elif iterations >= max_iter:
            reason = "max_iter"
        elif not step.norm < math.inf or (before is not None and not is_better(point, before)):
            reason = "rounding"
        following = None if reason else search.follow(point, step)
        if following is None:
            return search.ended(point, step, iterations, reason or "rounding")
        point, before, iterations = following, point, iterations + 1


class _Search:
    """One minimisation: its counts, and what earlier steps have taught."""

    def __init__(self, net: ElasticNet, tol: float) -> None:
        self.net, self.tol = net, tol
        self.norm, self.gap, self.evaluations, self.refreshes = math.inf, math.inf, 1, 0

    def is_certain(self, point: Point, step: Step) -> bool:
        """Whether the duality gap confirms the norm, or the norm is so small that it need not."""
        self.gap = self.duality_gap(point, step)
        small = max(self.tol**2, ROUNDING * max(1.0, abs(point.value)))
        return self.gap <= small or step.norm <= SURELY * self.tol

    def duality_gap(self, point: Point, step: Step) -> float:
        """At the point, by the probabilities that the step leads to; at most F, which is never negative."""
        self.evaluations += 2  # passes over the rows
        gap = duality_gap(self.net.loss, self.net.penalty, point.x, step.direction)
        return min(gap, point.value) if gap >= 0 else point.value

    def ended(self, point: Point, step: Step, iterations: int, reason: str) -> Minimum:
        """The record."""
        converged = step.norm <= self.tol and reason != "callback"
        if not (converged and self.gap < math.inf):
            self.gap = self.duality_gap(point, step)
        return Minimum(
            point.x,
            point.value,
            step.norm,
            self.gap,
            "converged" if converged else reason,
            iterations,
            self.evaluations,
            self.refreshes,
        )

    def step(self, point: Point) -> Step:
        """The minimum of the model at a point, of all rows if that is the end."""
        sampled = self.norm > LOOSE
        step = self.solve(point, sampled=sampled)
        if step.norm <= self.tol and sampled:
            step = self.solve(point, sampled=False)
        self.norm = step.norm
        return step

    def solve(self, point: Point, *, sampled: bool) -> Step:
        """The minimum of the model, to a part of the step's length."""
        net, theta = self.net, point.x
        slope = point.gradient + net.ridge * theta
        members = (theta != 0) | net.free | (np.abs(slope) > net.l1)
        columns = np.nonzero(members)[1]
        if not len(columns):
            return Step(theta, np.zeros(net.shape), 0.0)
        accuracy = LOOSE * min(max(self.norm, LOOSE**2), 1.0)
        H = net.hessians.at(theta, members, net.ridge[members], accuracy, sampled=sampled)
        self.refreshes += 1
        groups = columns if net.has_shifts else None
        model = Model(H, slope[members], theta[members], net.l1[members], groups, net.shape[0])
        minimum = model.minimum(accuracy)
        if not minimum.is_exact and minimum.norm <= self.tol:
            minimum = model.minimum(accuracy, exact=True)
        reached, direction = theta.copy(), np.zeros(net.shape)
        reached[members], direction[members] = minimum.x, minimum.x - theta[members]
        return Step(reached, direction, minimum.norm)

    def follow(self, point: Point, step: Step) -> Point | None:
        """The point near the minimum along a step; None if F does not fall along it.

        The whole step is taken wherever F is about as low there, for its coefficients that are exactly zero.
        Where the slope is small but positive F may have risen, from a start far above its minimum.
        """
        line = self.net.along(point, step)
        slope = line.with_penalty(float(np.vdot(point.gradient, step.direction)), 0.0)
        if not slope < 0:
            return None
        reached, highest = None, point.value + ROUNDING * max(1.0, abs(point.value))
        if line.first == 1 and abs(line.slope(1.0)) <= -LEVEL * slope:
            reached = line.reached(1.0)
        if reached is None or reached.value > highest:
            length = lowest(line, slope)
            reached = line.reached(length) if length else None
            while reached and not reached.value <= highest and length * 2.0**MAX_HALVINGS > 1:
                length /= 2
                reached = line.reached(length)
        self.evaluations += line.line.evaluations
        return reached if reached and math.isfinite(reached.value) else None
