"""L-BFGS in a metric: SciPy's optimiser, run in coordinates in which it has little left to do.

The solver minimises a smooth convex function ``F`` of a flat vector and knows nothing else about it.
What makes it fast is the *metric*: a positive definite matrix ``M = L L'`` near the Hessian, given as
the maps ``whiten(g) = L^-1 g`` and ``unwhiten(v) = L^-T v``. Three things follow from it.

**Coordinates.** L-BFGS runs on the increment ``v`` in ``x + unwhiten(norm * v)``. With M equal to the
Hessian the level sets are spheres and the first step is Newton's. SciPy's first trial has length one,
so that the factor ``norm``, the norm of the gradient, makes it the full Newton step. As ``x`` moves
the Hessian changes: after `REFRESH_AFTER` evaluations the metric is renewed at the current point, and
L-BFGS starts again from there.

**Stopping.** ``norm = ||g||_{M^-1} = ||L^-1 g||`` has no units, and ``F - F* ~ norm**2 / 2`` where M
is the Hessian. The search has converged when it is at most `tol` in the metric renewed at the final
point. Where renewing it costs too much, the norm in the Hessian's metric is computed by conjugate
gradients as soon as the one at hand seems small enough: with a poor metric it can be a hundred times
larger. SciPy's own ``ftol`` and ``gtol``, which depend on the units, are zero.

**Rounding.** A line search compares values of F, a mean of terms of order one, and they carry
rounding errors of some ``2**-52``: below a norm of about ``2**-26`` every comparison is noise. Before
that, at `RESOLUTION`, or wherever the line search gives up, Newton's step is taken on the strength of
the gradient alone, for as long as that at least halves the norm.

References
----------
D. C. Liu and J. Nocedal, On the limited memory BFGS method for large scale optimization, Mathematical
Programming 45 (1989). https://doi.org/10.1007/BF01589116
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Array = NDArray[np.float64]
Function = Callable[[Array], tuple[float, Array]]

REFRESH_AFTER = 4  # fewest evaluations in one metric: by then L-BFGS has had the best of it
RESOLUTION = 2.0**-22  # norm below which values of F near one tell no more: 2**4 times the noise
DIFFERENCE = 2.0**-17  # length in the metric over which gradients are differenced: 2**-52 / it is small
NEGLIGIBLE = 2.0**-10  # part of ``g' H^-1 g`` that ends the conjugate gradients
MAX_CONJUGATE = 100  # and the most steps of them
UNLIMITED = 2**31 - 1  # SciPy's own limit of 15000 evaluations must not bind


class Metric(Protocol):
    """A positive definite matrix M, known by a factor of its inverse ``M^-1 = A' A``."""

    def whiten(self, gradient: Array) -> Array:
        """``A g``."""

    def unwhiten(self, step: Array) -> Array:
        """``A' v``."""


class Renewal(Protocol):
    """A way to renew the metric."""

    @property
    def cost(self) -> float:
        """What it costs, in evaluations."""

    @property
    def is_hessian(self) -> bool:
        """Whether the metric is the Hessian, or near enough for its norm to be believed."""

    def at(self, x: Array, norm: float) -> Metric:
        """The metric at x, where the gradient has that norm."""


@dataclass(frozen=True)
class Point:
    """A point, the function's value and gradient there, and the gradient's norm in a metric."""

    x: Array
    value: float
    gradient: Array
    norm: float


@dataclass(frozen=True)
class Minimum:
    """Where the search stopped, and why.

    Attributes
    ----------
    point : Point
        The last accepted point. Its norm is that in the metric of the Hessian, or before the search came
        close and where the metric is not renewed, that in the metric at hand.
    metric : Metric
        The metric at that point, or the one that there is.
    reason : {"converged", "max_iter", "callback", "rounding"}
        What ended the search; "rounding": floating point allows no further progress.
    iterations, evaluations, refreshes : int
        Steps taken; computations of value and gradient; renewals of the metric.
    """

    point: Point
    metric: Metric
    reason: str
    iterations: int
    evaluations: int
    refreshes: int


def minimize(
    function: Function,
    start: Array,
    metric: Metric,
    renewals: Sequence[Renewal] = (),
    *,
    tol: float,
    max_iter: int,
    on_iteration: Callable[[Point], bool] = lambda point: False,
) -> Minimum:
    """Minimise a smooth convex function by L-BFGS in a metric.

    Parameters
    ----------
    function : callable
        ``x -> (value, gradient)``.
    start : ndarray of shape (D,)
        Where to begin.
    metric : Metric
        The metric at `start`.
    renewals : sequence of Renewal
        Ways to renew it, from the cheapest to the most exact; none where all cost too much.
    tol : float
        Stop at this norm of the gradient in the metric.
    max_iter : int
        Most steps to take.
    on_iteration : callable
        ``point -> stop``, called after every step.

    Returns
    -------
    Minimum
        Never worse than `start`.
    """
    search = _Search(function, metric, renewals, tol, max_iter, on_iteration)
    point = search.verified(search.evaluate(start))
    while True:
        reason = ""
        if point.norm <= tol:
            reason = "converged"
        elif search.over:
            reason = "callback" if search.interrupted else "max_iter"
        else:
            reached, stalled = search.lbfgs(point)
            if stalled or search.unresolved(reached):
                reached = search.newton(reached)
            renewed = search.renew(reached, best=reached is point)
            if reached is point and not renewed:
                reason = "rounding"
            point = search.verified(search.measured(reached)) if renewed else reached
        if reason:
            if reason in ("max_iter", "rounding") and not search.is_hessian:
                norm = search.conjugate_gradients(point)[0]
                point = replace(point, norm=max(point.norm, norm))
            return Minimum(
                point, search.metric, reason, search.iterations, search.evaluations, search.refreshes
            )


class _Search:
    """One minimisation: the function in the current metric, and what was asked of it so far."""

    def __init__(
        self,
        function: Function,
        metric: Metric,
        renewals: Sequence[Renewal],
        tol: float,
        max_iter: int,
        on_iteration: Callable[[Point], bool],
    ) -> None:
        self.function, self.metric, self.on_iteration = function, metric, on_iteration
        self.renewals, self.tol, self.max_iter = renewals, tol, max_iter
        self.is_hessian, self.ratio = False, 1.0
        self.iterations = self.evaluations = self.refreshes = 0
        self.level, self.renewed_at = 0, [0] * len(renewals)
        self.interrupted = False

    @property
    def over(self) -> bool:
        """Whether a limit or the user ended the search."""
        return self.interrupted or self.iterations >= self.max_iter

    @property
    def due_at(self) -> float:
        """Number of evaluations at which a renewal of the metric has paid for itself."""
        ways = zip(self.renewed_at[self.level :], self.renewals[self.level :], strict=True)
        return min((at + max(way.cost / 2, REFRESH_AFTER) for at, way in ways), default=math.inf)

    def renew(self, point: Point, best: bool) -> bool:
        """Renew the metric in the most exact way that is paid for; whether there was one.

        `best` asks for the most exact of all, if the metric at hand is not.
        """
        ways = range(self.level, len(self.renewals))
        due = [i for i in ways if self.evaluations >= self.renewed_at[i] + self.renewals[i].cost / 2]
        if best:
            due = [i for i in ways if i == len(self.renewals) - 1 and not self.is_hessian]
        if not due:
            return False
        self.level, way = due[-1], self.renewals[due[-1]]
        self.metric = way.at(point.x, point.norm)
        self.is_hessian, self.ratio = way.is_hessian, 1.0
        self.renewed_at[: self.level + 1] = [self.evaluations] * (self.level + 1)
        self.refreshes += 1
        return True

    def evaluate(self, x: Array) -> Point:
        """Value and gradient at x."""
        self.evaluations += 1
        return self.measured(Point(x, *self.function(x), norm=math.inf))

    def measured(self, point: Point) -> Point:
        """The same point with its norm in the current metric, infinite where anything is not finite."""
        norm = float(np.linalg.norm(self.metric.whiten(point.gradient)))
        finite = math.isfinite(norm) and math.isfinite(point.value)
        return replace(point, norm=norm if finite else math.inf)

    def unresolved(self, point: Point) -> bool:
        """Whether Newton's step tells more than values, which drown in rounding, can."""
        resolution = RESOLUTION * math.sqrt(max(1.0, abs(point.value)))
        return self.is_hessian and point.norm <= resolution

    def verified(self, point: Point) -> Point:
        """`point`, as evaluated, with the norm that counts: that in the metric of the Hessian.

        Where the metric is not renewed, its ratio to the norm at hand is measured when the last known one
        lets the search seem to have converged.
        """
        estimate = point.norm * self.ratio
        if not self.is_hessian and 0 < estimate <= self.tol:
            estimate = max(point.norm, self.conjugate_gradients(point)[0])
            self.ratio = estimate / point.norm
        return replace(point, norm=estimate)

    def conjugate_gradients(self, point: Point) -> tuple[float, Array]:
        """Newton's decrement ``sqrt(g' H^-1 g)``, from below, and the whitened step ``H^-1 g`` behind it.

        Conjugate gradients in the metric, products with the Hessian being differences of gradients, until
        neither the last step nor the residual is worth mentioning beside ``g' H^-1 g``.
        """
        residual = self.metric.whiten(point.gradient)
        direction, squared = residual, float(residual @ residual)
        total, solution = 0.0, np.zeros_like(residual)
        for _ in range(MAX_CONJUGATE):
            length = DIFFERENCE / float(np.linalg.norm(direction))
            nearby = self.evaluate(point.x + self.metric.unwhiten(length * direction))
            product = self.metric.whiten(nearby.gradient - point.gradient) / length
            curvature = float(direction @ product)
            if not 0 < curvature < math.inf:
                break
            step = squared / curvature
            total += step * squared
            solution = solution + step * direction
            residual = residual - step * product
            previous, squared = squared, float(residual @ residual)
            if max(step * previous, squared) <= NEGLIGIBLE * total:
                break
            direction = residual + squared / previous * direction
        return math.sqrt(total), solution

    def accept(self, point: Point) -> None:
        """Count a step and tell the user."""
        self.iterations += 1
        self.interrupted = self.on_iteration(point)

    def lbfgs(self, start: Point) -> tuple[Point, bool]:
        """Run L-BFGS from `start`: the last accepted point, and whether the line search gave up."""
        latest = accepted = start
        whitened = self.metric.whiten(start.gradient)
        size = float(np.linalg.norm(whitened))
        lowest = size
        stopped = False
        if self.unresolved(start):
            return start, True
        due_at = self.due_at

        def scaled(v: Array) -> tuple[float, Array]:
            nonlocal latest
            if v.any():
                latest = self.evaluate(start.x + self.metric.unwhiten(size * v))
            if not math.isfinite(latest.norm):  # high enough for the line search to cut the step
                return start.value + 10.0 * max(1.0, abs(start.value)), np.zeros_like(v)
            return latest.value, size * self.metric.whiten(latest.gradient)

        def step(intermediate_result: optimize.OptimizeResult) -> None:
            nonlocal accepted, stopped, lowest
            if latest.value >= accepted.value and latest.norm >= lowest:
                raise StopIteration  # stalled: neither value nor norm falls any more
            accepted, lowest = self.verified(latest), min(lowest, latest.norm)
            self.accept(accepted)
            done = accepted.norm <= self.tol or self.unresolved(accepted)
            if done or self.over or self.evaluations >= due_at:
                stopped = True
                raise StopIteration

        optimize.minimize(
            scaled,
            np.zeros_like(whitened),
            jac=True,
            method="L-BFGS-B",
            callback=step,
            options={"ftol": 0, "gtol": 0, "maxls": 50, "maxfun": UNLIMITED, "maxiter": UNLIMITED},
        )
        return accepted, not stopped

    def newton(self, point: Point) -> Point:
        """Newton steps for as long as each at least halves the norm."""
        while point.norm > self.tol and not self.over:
            if self.is_hessian:
                whitened = self.metric.whiten(point.gradient)
            else:
                whitened = self.conjugate_gradients(point)[1]
            trial = self.verified(self.evaluate(point.x - self.metric.unwhiten(whitened)))
            if not trial.norm <= point.norm / 2:
                break
            self.accept(trial)
            point = trial
        return point
