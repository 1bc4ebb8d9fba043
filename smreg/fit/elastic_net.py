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
from there, ``|dL/dtheta| > l``: the others stay at zero in the model, and the next gradient tells of those
that should not have.

**Steps that are too long.** Where classes are rare or nearly separated, the Hessian says little of F a step
away (see `smreg.objective.fisher`). When a step must be shortened, the following models take the information
at logits divided by a temperature, softer with every such step and harder again with those that are not.
Converged is what has converged at a temperature of one.

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
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smreg.objective import fisher
from smreg.objective.duality import duality_gap
from smreg.objective.penalty import Penalty
from smreg.objective.working import Hessians
from smreg.optimize.quadratic import Model

Array = NDArray[np.float64]

SUFFICIENT = 1e-4  # part of the decrease to first order that a step must achieve
SHORTER, SHORTEST = 0.5, 0.1  # between which a step that does not is shortened
MAX_TRIALS = 40

# A step solved to a part `accuracy` of its length costs another step later. Near the optimum, where steps
# shrink like their squares, it is solved as well as the next one is short.
LOOSE, EXACT = 0.1, 2.0**-10

# Models of steps longer than this are made from a sample of the rows, where that is cheaper: the Hessian
# changes over such a step by more than the sample errs.
SAMPLED = 0.1

# Softening of the information (see smreg.objective.fisher), begun when a step is too long, relaxed when F
# falls by this part of the decrease to first order: a half is what a quadratic would.
FIRST_SOFTENING, MAX_SOFTENING, LEAST_SOFTENING = 0.1, 0.4, 0.01
GOOD = 0.4

RESOLUTION = 2.0**-22  # norm below which values of F near one tell no more
RISE = 2.0**-30  # of F near one: what its rounding may be where means are 1e6 spreads from zero
PROGRESS = 0.75  # part of the norm that a step may leave there
PATIENCE = 50  # steps in which F or the lowest norm must fall by as much as is of account
ROUNDING = 2.0**-50  # of F, and of a gap
SURELY = 2.0**-6  # part of `tol` at which the norm is enough, whatever the gap
GAP_EVALUATIONS = 2  # passes over the rows for the duality gap


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
        self.has_shifts = penalty.is_shared and not np.any(penalty.ridge) and loss.coordinates.is_symmetric

    def at(self, theta: Array) -> "Point":
        """Value and gradient of the loss at theta, in one pass over the rows."""
        value, gradient = self.loss(theta.ravel())
        return Point(theta, value + self.penalty.value(theta), gradient.reshape(self.shape))

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
class Point:
    """A point of shape (rows, width), F there, and the gradient of the loss."""

    theta: Array
    value: float
    gradient: Array


@dataclass(frozen=True)
class Step:
    """The minimum of a model, the way there, and its length in the metric of the Hessian."""

    theta: Array
    direction: Array
    norm: float


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
    search, point, iterations, reason = _Search(net, tol), start, 0, ""
    while True:
        previous, step = search.norm, search.step(point)
        interrupted = iterations > 0 and on_iteration(point.theta, point.value, step.norm)
        if step.norm <= tol and (iterations >= max_iter or search.is_certain(point, step)):
            reason = "converged"
        elif interrupted:
            reason = "callback"
        elif iterations >= max_iter:
            reason = "max_iter"
        elif (
            not step.norm < math.inf
            or (search.is_blind(point, previous) and step.norm > PROGRESS * previous)
            or search.is_idle(point, step, iterations)
        ):
            reason = "rounding"
        following = None if reason else search.follow(point, step)
        if following is None:
            return search.ended(point, step, iterations, reason or "rounding")
        point, iterations = following, iterations + 1


class _Search:
    """One minimisation: its counts, and what earlier steps have taught."""

    def __init__(self, net: ElasticNet, tol: float) -> None:
        self.net, self.tol = net, tol
        self.norm, self.softening, self.gap = math.inf, 0.0, math.inf
        self.evaluations, self.refreshes = 1, 0
        self.value_before = self.lowest_before = self.lowest = math.inf

    def is_idle(self, point: Point, step: Step, iterations: int) -> bool:
        """Whether neither F, by what `tol` leaves of it, nor the norm has fallen in so many steps.

        Differences drown where the terms of a logit are far larger than the logit itself.
        """
        self.lowest = min(self.lowest, step.norm)
        if iterations % PATIENCE:
            return False
        falls = self.value_before - point.value > self.tol**2 / 2
        idle = not falls and self.lowest > PROGRESS * self.lowest_before
        self.value_before, self.lowest_before = point.value, self.lowest
        return idle

    def is_blind(self, point: Point, norm: float) -> bool:
        """Whether a step of that norm changes F by less than its rounding."""
        return norm <= RESOLUTION * math.sqrt(max(1.0, abs(point.value)))

    def is_certain(self, point: Point, step: Step) -> bool:
        """Whether the duality gap confirms the norm, or the norm is so small that it need not."""
        self.gap = self.duality_gap(point, step)
        small = max(self.tol**2, ROUNDING * max(1.0, abs(point.value)))
        return self.gap <= small or step.norm <= SURELY * self.tol

    def duality_gap(self, point: Point, step: Step) -> float:
        """At the point, by the probabilities that the step leads to; at most F, which is never negative."""
        self.evaluations += GAP_EVALUATIONS
        gap = duality_gap(self.net.loss, self.net.penalty, point.theta, step.direction)
        return min(gap, point.value) if gap >= 0 else point.value

    def ended(self, point: Point, step: Step, iterations: int, reason: str) -> Minimum:
        """The record."""
        converged = step.norm <= self.tol and reason != "callback"
        if not (converged and self.gap < math.inf):
            self.gap = self.duality_gap(point, step)
        return Minimum(
            point.theta,
            point.value,
            step.norm,
            self.gap,
            "converged" if converged else reason,
            iterations,
            self.evaluations,
            self.refreshes,
        )

    def step(self, point: Point) -> Step:
        """The minimum of the model at a point, of all rows at a temperature of one if that is the end."""
        sampled = self.norm > SAMPLED
        step = self.solve(point, self.temperature(point), sampled=sampled)
        if step.norm <= self.tol and (sampled or self.softening):
            step = self.solve(point, 1.0, sampled=False)
        self.norm = step.norm
        return step

    def temperature(self, point: Point) -> float:
        """Divisor of the logits at which the information is taken."""
        if not self.softening:
            return 1.0
        totals = fisher.class_variances(self.net.loss, point.theta.ravel())
        return 1.0 + self.softening * self.norm * float(np.sqrt(np.mean(1.0 / totals)))

    def solve(self, point: Point, temperature: float, *, sampled: bool) -> Step:
        """The minimum of the model, to a part of the step's length."""
        net, theta = self.net, point.theta
        slope = point.gradient + net.ridge * theta
        members = (theta != 0) | (net.l1 == 0) | (np.abs(slope) > net.l1)
        columns = np.nonzero(members)[1]
        if not len(columns):
            return Step(theta, np.zeros(net.shape), 0.0)
        accuracy = min(max(LOOSE * self.norm, EXACT), LOOSE)
        H = net.hessians.at(theta, temperature, members, net.ridge[members], accuracy, sampled=sampled)
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
        """The point that a step leads to, shortened until F falls; None if it does not."""
        if not step.direction.any():
            return None
        net, length, blind = self.net, 1.0, self.is_blind(point, step.norm)
        penalty = net.penalty.value(point.theta)
        for _ in range(MAX_TRIALS):
            theta = step.theta if length == 1 else point.theta + length * step.direction
            trial = net.at(theta)
            self.evaluations += 1
            change = trial.value - point.value
            slope = float(np.vdot(point.gradient, theta - point.theta)) + net.penalty.value(theta) - penalty
            is_rounding = blind and change <= RISE * max(1.0, abs(point.value))
            if is_rounding or change <= SUFFICIENT * slope:
                self.adapt(length, change, slope)
                return Point(net.canonical(theta), trial.value, trial.gradient)
            shorter = 0.5 * slope / (slope - change) if slope < change < math.inf else 0.0
            length *= min(max(shorter, SHORTEST), SHORTER)
        return None

    def adapt(self, length: float, change: float, slope: float) -> None:
        """Soften the next models, or harden them, as a step shows."""
        if length < 1:
            self.softening = min(max(2 * self.softening, FIRST_SOFTENING), MAX_SOFTENING)
        elif change <= GOOD * slope:
            self.softening = self.softening / 2 if self.softening > LEAST_SOFTENING else 0.0
