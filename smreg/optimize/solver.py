"""L-BFGS in a metric: SciPy's optimiser, run in coordinates in which it has little left to do.

The solver minimises a smooth convex function ``F`` of a flat vector and knows nothing else about it.
What makes it fast is the *metric*: a positive definite matrix ``M`` near the Hessian ``H``, known by a
factor of its inverse ``M^-1 = A' A`` as the maps ``whiten(g) = A g`` and ``unwhiten(v) = A' v``.

**Coordinates.** L-BFGS runs on the increment ``v`` in ``x + unwhiten(norm * v)``. With M equal to the
Hessian the level sets are spheres and the first step is Newton's. SciPy's first trial has length one,
so that the factor ``norm``, the norm of the gradient, makes it the full Newton step. An increment loses
nothing to a badly conditioned way back to the parameters.

**Renewal.** As ``x`` moves the Hessian changes. The caller gives *ways* to renew the metric, from the
cheapest to the most exact, each with its cost in evaluations of F. As with renting skis or buying them,
a way is taken when the evaluations made without it have cost about as much as it does (`PATIENCE`), the most
exact of those that are due; then L-BFGS starts again from there. Once an exact way has paid for itself,
the search does not go back to a cheaper one. With the metrics of `smreg.objective.fisher` the optimum of a
table in raw units is some 10 to 40 evaluations away, where the metric of the start alone takes 15 to 500 and
plain L-BFGS thousands.

**Damping.** Where F is all but flat at a point, Newton's step from there may lead anywhere. If at the first
trial in a fresh metric F rises by `MISLED` times ``norm**2``, where it should have fallen by half of that, no
line search along such a direction leads far: the metric is made again, damped. (Not more than `MOST_DAMPED`
times, for in that metric some searches take steps too small.)

**Stopping.** ``norm = ||g||_{H^-1}`` has no units, and ``F - F* ~ norm**2 / 2``. The norm in the metric at
hand is nearly that where the metric is fresh, and a hundred times too small where it is poor. Before the
search is called converged, the norm is therefore measured in the Hessian of the very point: by renewing the
metric there where that costs next to nothing (then the norm is as good as that metric), and else by
conjugate gradients with differences of gradients, of which two or three suffice after a first direction
from L-BFGS's own inverse. They give Newton's step besides, which is taken if the norm was not small enough.
SciPy's own ``ftol`` and ``gtol``, which depend on the units, are zero.

**Newton.** Where the Hessian costs next to nothing, L-BFGS hands over to Newton's method at a norm of `NEAR`,
and takes over again should a step not do what Newton's steps do near a minimum.

**Rounding.** A line search compares values of F, a mean of terms of order one, and they carry
rounding errors of some ``2**-52``: below a norm of about ``2**-26`` every comparison is noise. Before
that, at `RESOLUTION`, or wherever the line search gives up, Newton's step is taken on the strength of
the gradient alone, for as long as that lowers the norm.

**Corners.** A line search that gives up need not be at the end. A row far out, all but certain of its class,
has no part in the Hessian, and a step that moves its logits by millions meets a corner of F where another
class becomes the likelier. Only who stands within a few nats of the corner knows of it: along Newton's
steps the slope is therefore brought to nearly zero, by bisection, and the Hessian made anew at each such
point, until the norm is small enough or F falls no more.

References
----------
D. C. Liu and J. Nocedal, On the limited memory BFGS method for large scale optimization, Mathematical
Programming 45 (1989). https://doi.org/10.1007/BF01589116
J. Nocedal and S. Wright, Numerical Optimization, 2nd edition, Springer (2006), chapters 5 and 7.
https://doi.org/10.1007/978-0-387-40065-5
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Array = NDArray[np.float64]
Function = Callable[[Array], tuple[float, Array]]

# When to renew the metric: not before L-BFGS has had a few evaluations in it, nor more often than pays.
REFRESH_AFTER = 4  # fewest evaluations in one metric
PATIENCE = 0.4  # evaluations in a metric for each that renewing it costs
WARM_COST = 16.0  # evaluations that a metric may cost at a start that may be the end
CHEAP = 2.0  # and where it saves conjugate gradients

NEAR = 2.0**-3  # norm from which Newton's steps are fewer than L-BFGS's, where the Hessian costs nothing
MISLED, MOST_DAMPED = 100.0, 4  # see Damping
RESOLUTION = 2.0**-20  # norm below which values of F near one tell no more: 2**6 times the noise
PROGRESS = 0.75  # part of the norm that a Newton step may leave: where F is exponential it leaves 0.61
EARLY_PROGRESS = 2.0**-2  # and an early one: where it converges quadratically it leaves much less

MOST_CORNERS = 32  # steps of a search to corners of F: where more are needed they come to no end
MAX_BISECTIONS = 60  # of a step along which F has all but a corner
LEVEL = 0.1  # part of the slope that may be left there
SHORTER = 8.0  # divisor of the length while it is too long

# Conjugate gradients for the norm.
DIFFERENCE = 2.0**-17  # length in the metric over which gradients are differenced: 2**-52 / it is small
NEGLIGIBLE = 2.0**-4  # part of ``g' H^-1 g`` that may be missing: a thirtieth of the norm
MAX_CONJUGATE = 20  # most steps: in a metric so poor that they do not suffice, they are better spent on F
MARGIN = 2.0  # by which the ratio of two norms may change over a Newton step

MANY = 2**20  # coordinates from which L-BFGS's own work outweighs the function's
MEMORY, LITTLE_MEMORY = 10, 5  # pairs that it keeps of fewer or more
UNLIMITED = 2**31 - 1  # SciPy's own limit of 15000 evaluations must not bind
OPTIONS: Any = {"ftol": 0, "gtol": 0, "maxls": 50, "maxfun": UNLIMITED, "maxiter": UNLIMITED}


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

    def at(self, x: Array, norm: float, is_damped: bool) -> Metric:
        """The metric at x, where the gradient has that norm."""


@dataclass(frozen=True)
class Point:
    """A point, the function's value and gradient there, the whitened gradient, and its norm."""

    x: Array
    value: float
    gradient: Array
    whitened: Array
    norm: float


@dataclass(frozen=True)
class Minimum:
    """Where the search stopped, and why.

    Attributes
    ----------
    point : Point
        The last accepted point, with the gradient's norm in the metric of the Hessian, or after a Newton step
        that ended the search an estimate from above.
    reason : {"converged", "max_iter", "callback", "rounding"}
        What ended the search; "rounding": floating point allows no further progress.
    iterations, evaluations, refreshes : int
        Steps taken; computations of value and gradient; renewals of the metric.
    metric : Metric or None
        The last one, if it was made in the most exact way, undamped.
    """

    point: Point
    reason: str
    iterations: int
    evaluations: int
    refreshes: int
    metric: Metric | None = None


def minimize(
    function: Function,
    start: Array,
    metric: Callable[[], Metric],
    renewals: Sequence[Renewal] = (),
    *,
    tol: float,
    max_iter: int,
    warm: bool = False,
    on_iteration: Callable[[Point], bool] = lambda point: False,
) -> Minimum:
    """Minimise a smooth convex function by L-BFGS in a metric.

    Parameters
    ----------
    function : callable
        ``x -> (value, gradient)``.
    start : ndarray of shape (D,)
        Where to begin.
    metric : callable
        Hands over the metric at `start`, if it is called for.
    renewals : sequence of Renewal
        Ways to renew it, from the cheapest to the most exact; none where all cost too much.
    tol : float
        Stop at this norm of the gradient in the metric.
    max_iter : int
        Most steps to take.
    warm : bool
        Whether `start` may be near the minimum, so that the search begins with a renewal, if one is cheap.
    on_iteration : callable
        ``point -> stop``, called after every step.

    Returns
    -------
    Minimum
        Never worse than `start`.
    """
    search = _Search(function, renewals, tol, max_iter, on_iteration)
    point = search.verified(search.begin(start, metric, warm=warm))
    while True:
        reason = ""
        if point.norm <= tol:
            reason = "converged"
        elif search.over:
            reason = "callback" if search.interrupted else "max_iter"
        else:
            reached = search.descend(point)
            if search.stalled or search.wants_newton(reached):
                reached = search.newton(reached)
            if search.stalled:
                reached = search.corners(reached)
            stuck = reached.x is point.x
            renewed = reached.norm > tol and search.renew(reached, math.inf if stuck else 0.0, exact=stuck)
            if stuck and not renewed and (search.stalled or search.is_drowned(point)):
                reason = "rounding"
            point = search.verified(search.measured(reached)) if renewed else reached
        if reason:
            return search.ended(point, reason)


class _MisledError(Exception):
    """The metric tells nothing of the function a step away."""


class _Search:
    """One minimisation: the function in the current metric, and what was asked of it so far."""

    def __init__(
        self,
        function: Function,
        renewals: Sequence[Renewal],
        tol: float,
        max_iter: int,
        on_iteration: Callable[[Point], bool],
    ) -> None:
        self.metric: Metric
        self.function, self.on_iteration = function, on_iteration
        self.renewals, self.tol, self.max_iter = renewals, tol, max_iter
        self.ratio, self.stalled = 1.0, False
        self.directions = 2  # that conjugate gradients take at least: one where M is nearly H
        self.renewed_from: Array | None = None
        self.exact_at: Array | None = None
        self.hessian_at: Array | None = None
        self.looked_at: Array | None = None
        self.seen = 0.0, np.empty(0)
        self.iterations = self.evaluations = self.refreshes = 0
        self.level, self.renewed_at = 0, [0] * len(renewals)
        self.is_damped, self.dampings, self.n_corners = False, 0, 0
        self.near = NEAR if self.is_cheap else 0.0
        self.interrupted = False

    @property
    def over(self) -> bool:
        """Whether a limit or the user ended the search."""
        return self.interrupted or self.iterations >= self.max_iter

    @property
    def is_cheap(self) -> bool:
        """Whether the Hessian costs next to nothing."""
        return bool(self.renewals) and self.renewals[-1].is_hessian and self.renewals[-1].cost <= CHEAP

    @property
    def due_at(self) -> float:
        """Number of evaluations at which a renewal of the metric has paid for itself."""
        ways = zip(self.renewed_at[self.level :], self.renewals[self.level :], strict=True)
        return min((at + max(PATIENCE * way.cost, REFRESH_AFTER) for at, way in ways), default=math.inf)

    def begin(self, x: Array, metric: Callable[[], Metric], *, warm: bool) -> Point:
        """Evaluate x and choose the metric there."""
        self.evaluations += 1
        bare = Point(x, *self.function(x), np.empty(0), math.inf)
        if not (warm and self.renew(bare, WARM_COST, exact=True)):
            self.metric = metric()
        return self.measured(bare)

    def renew(self, point: Point, allowance: float, *, exact: bool = False) -> bool:
        """Renew the metric in the most exact way that is paid for; whether there was one.

        What may be spent is `allowance`, or else as many evaluations as were made in the present one.
        `exact` asks for the metric of this very point, not of the steps to be taken from there.
        """
        known = self.exact_at if exact else self.renewed_from
        lowest = self.level + (exact and point.x is known)
        ways = range(lowest, len(self.renewals)) if exact or point.x is not known else ()
        spent = [(self.evaluations - at) / PATIENCE for at in self.renewed_at]
        due = [i for i in ways if self.renewals[i].cost <= max(allowance, spent[i])]
        if not due:
            return False
        self.level = due[-1]
        is_hessian = self.renewals[self.level].is_hessian
        self.make_metric(point.x, 0.0 if exact else point.norm, is_damped=False)
        self.directions = 1 if is_hessian else 2
        self.exact_at = point.x if exact else None
        self.renewed_from, self.hessian_at = point.x, point.x if exact and is_hessian else None
        self.renewed_at[: self.level + 1] = [self.evaluations] * (self.level + 1)
        return True

    def damp(self, point: Point) -> Point:
        """Make the metric again, damped; the point with its norm in that."""
        self.make_metric(point.x, point.norm, is_damped=True)
        self.directions, self.hessian_at = 2, None
        self.dampings += 1
        return self.measured(point)

    def make_metric(self, x: Array, norm: float, *, is_damped: bool) -> None:
        """Make the metric in the present way."""
        self.metric, self.ratio = self.renewals[self.level].at(x, norm, is_damped), 1.0
        self.is_damped = is_damped
        self.refreshes += 1

    def evaluate(self, x: Array) -> Point:
        """Value and gradient at x."""
        self.evaluations += 1
        return self.point(x, *self.function(x))

    def measured(self, point: Point) -> Point:
        """The same point with its norm in the current metric."""
        return self.point(point.x, point.value, point.gradient)

    def point(self, x: Array, value: float, gradient: Array) -> Point:
        """A point with its norm in the current metric, infinite where anything is not finite."""
        whitened = self.metric.whiten(gradient)
        norm = float(np.linalg.norm(whitened))
        finite = math.isfinite(norm) and math.isfinite(value)
        return Point(x, value, gradient, whitened, norm if finite else math.inf)

    def verified(self, point: Point, guess: Callable[[], Array] | None = None) -> Point:
        """`point`, as evaluated, with the norm that counts: that in the metric of the Hessian.

        Its ratio to the norm at hand is measured when the last known one lets the search seem to have
        converged; `guess` makes a whitened step to begin with.
        """
        if point.x is self.hessian_at:
            return point
        estimate = point.norm * self.ratio
        if 0 < estimate <= self.tol:
            if self.renew_cheaply(point):
                return self.measured(point)
            estimate = self.look(point, guess and guess())[0]
            self.ratio = estimate / point.norm
        return replace(point, norm=estimate)

    def renew_cheaply(self, point: Point) -> bool:
        """Renew the metric to the Hessian at `point`, if that saves conjugate gradients."""
        return self.is_cheap and self.renew(point, CHEAP, exact=True)

    def newton_step(self, point: Point) -> tuple[float, Array]:
        """Newton's decrement ``sqrt(g' H^-1 g)``, and the whitened step ``H^-1 g`` behind it."""
        if point.x is self.hessian_at:
            return point.norm, point.whitened
        return self.seen if point.x is self.looked_at else self.look(point, None)

    def look(self, point: Point, guess: Array | None) -> tuple[float, Array]:
        """The same, from below, whatever the metric, by conjugate gradients in it.

        Products with the Hessian are differences of gradients. The first direction is the guess, the
        others residuals, until what remains of ``g' H^-1 g`` is negligible: at most the residual's square by
        the least curvature, that of the directions so far.
        """
        residual = point.whitened
        direction = residual if guess is None else guess
        squared, longest, total = float(residual @ residual), 1.0, 0.0
        solution = np.zeros_like(residual)
        for iteration in range(MAX_CONJUGATE):
            size = float(np.linalg.norm(direction))
            enough = iteration >= self.directions and longest * squared <= NEGLIGIBLE * total
            if enough or not size > 0:
                break
            nearby = self.evaluate(point.x + self.metric.unwhiten(DIFFERENCE / size * direction))
            product = (nearby.whitened - point.whitened) * (size / DIFFERENCE)
            curvature, slope = float(direction @ product), float(direction @ residual)
            if not 0 < curvature < math.inf:
                total = max(total, float(point.whitened @ point.whitened))
                break
            step = slope / curvature
            total += step * slope
            solution = solution + step * direction
            residual = residual - step * product
            longest = max(longest, size**2 / curvature)
            previous, squared = squared, float(residual @ residual)
            first = iteration == 0 and guess is not None
            direction = residual + (0.0 if first else squared / previous) * direction
        self.looked_at, self.seen = point.x, (math.sqrt(total), solution)
        return self.seen

    def accept(self, point: Point) -> None:
        """Count a step and tell the user."""
        self.iterations += 1
        self.interrupted = self.on_iteration(point)

    def wants_newton(self, point: Point) -> bool:
        """Whether Newton's step is known, or costs least, or tells more than values drowned in rounding."""
        return point.x is self.looked_at or point.norm <= self.near or self.is_drowned(point)

    def is_drowned(self, point: Point) -> bool:
        """Whether values near the point drown in rounding."""
        return point.norm <= RESOLUTION * math.sqrt(max(1.0, abs(point.value)))

    def is_misled(self, point: Point, trial: Point) -> bool:
        """Whether F rises at a trial beyond all that the metric foretold."""
        return not trial.value <= point.value + MISLED * point.norm**2

    def descend(self, start: Point) -> Point:
        """Run L-BFGS from `start`, in a damped metric where a fresh one leads astray."""
        try:
            return self.lbfgs(start)
        except _MisledError:
            damped = self.damp(start)
            reached = self.lbfgs(damped)
            return start if reached is damped else reached

    def lbfgs(self, start: Point) -> Point:
        """Run L-BFGS from `start`: the last accepted point. It may have stalled there."""
        latest = accepted = start
        size = lowest = float(np.linalg.norm(start.whitened))
        due_at, finished = self.due_at, False
        is_fresh = start.x is self.renewed_from and not self.is_damped and self.dampings < MOST_DAMPED
        self.stalled = False
        if self.wants_newton(start):
            return start

        def scaled(v: Array) -> tuple[float, Array]:
            nonlocal latest, is_fresh
            if v.any():
                latest = self.evaluate(start.x + self.metric.unwhiten(size * v))
                if is_fresh and self.is_misled(start, latest):
                    raise _MisledError
                is_fresh = False
            if not math.isfinite(latest.norm):  # high enough for the line search to cut the step
                return start.value + 10.0 * max(1.0, abs(start.value)), np.zeros_like(v)
            return latest.value, size * latest.whitened

        def step(intermediate_result: optimize.OptimizeResult) -> None:
            nonlocal accepted, lowest, finished
            if latest.value >= accepted.value and latest.norm >= lowest:
                raise StopIteration  # stalled: neither value nor norm falls any more
            accepted, lowest = replace(latest, norm=latest.norm * self.ratio), min(lowest, latest.norm)
            self.accept(accepted)
            done = accepted.norm <= self.tol or self.wants_newton(accepted)
            if done or self.over or self.evaluations >= due_at:
                finished = True
                raise StopIteration

        result = optimize.minimize(
            scaled,
            np.zeros_like(start.whitened),
            jac=True,
            method="L-BFGS-B",
            callback=step,
            options=OPTIONS | {"maxcor": MEMORY if start.x.size < MANY else LITTLE_MEMORY},
        )
        self.stalled = not finished
        if accepted is start:
            return start

        def guess() -> Array:
            pairs: Any = result.hess_inv  # in steps of `size`
            inverse = optimize.LbfgsInvHessProduct(size * pairs.sk, pairs.yk / size)
            return np.asarray(inverse.matvec(accepted.whitened))

        return self.verified(replace(accepted, norm=accepted.norm / self.ratio), guess)

    def newton(self, point: Point) -> Point:
        """Newton steps for as long as each lowers the norm, and an early one the value too.

        Where an early one does not, L-BFGS goes on, and there are no more early ones.
        """
        while point.norm > self.tol and not self.over:
            if self.renew_cheaply(point):
                point = self.measured(point)
            step = self.newton_step(point)[1]
            trial = self.evaluate(point.x - self.metric.unwhiten(step))
            norm, is_early = self.ratio * trial.norm, point.norm <= self.near and not self.is_drowned(point)
            if is_early and (norm > EARLY_PROGRESS * point.norm or trial.value > point.value):
                self.near = 0.0
                return self.descend(point)
            if not norm <= PROGRESS * point.norm:
                break
            surely = 0 < MARGIN * norm <= self.tol and not self.is_cheap
            trial = replace(trial, norm=MARGIN * norm) if surely else self.verified(trial)
            self.accept(trial)
            point = trial
        self.looked_at = None
        return point

    def corners(self, point: Point) -> Point:
        """Newton steps in the Hessian of the very point, each as far as F falls along it, while it does."""
        if not (self.renewals and self.renewals[-1].is_hessian):
            return point
        while self.n_corners < MOST_CORNERS and not (self.over or self.is_drowned(point)):
            if point.x is not self.hessian_at and not self.renew(point, math.inf, exact=True):
                break
            point = self.measured(point)
            trial = None if point.norm <= self.tol else self.lowest_along(point)
            if trial is None:
                break
            self.accept(trial)
            self.n_corners += 1
            point = trial
        return point

    def lowest_along(self, point: Point) -> Point | None:
        """The lowest point that bisection meets along the metric's step, at most a whole one.

        It ends where the slope has all but vanished. None if F does not fall.
        """
        step, level = -self.metric.unwhiten(point.whitened), LEVEL * point.norm**2
        low, high, length, best = 0.0, math.inf, 1.0, point
        for _ in range(MAX_BISECTIONS):
            trial = self.evaluate(point.x + length * step)
            slope = float(trial.gradient @ step) if math.isfinite(trial.norm) else math.inf
            best = trial if trial.value < best.value else best
            if best is trial and (abs(slope) <= level or (length == 1.0 and slope < 0)):
                break
            low, high = (length, high) if slope < 0 else (low, length)
            if not high < math.inf:
                break
            length = math.sqrt(low * high) if low > 0 else high / SHORTER
        return None if best is point else best

    def ended(self, point: Point, reason: str) -> Minimum:
        """The record, with the norm in the metric of the Hessian wherever that can be told."""
        if reason in ("max_iter", "rounding"):
            if self.renew(point, math.inf, exact=True):
                point = self.measured(point)
            point = replace(point, norm=self.newton_step(point)[0])
        counts = self.iterations, self.evaluations, self.refreshes
        is_exact = self.refreshes > 0 and self.level == len(self.renewals) - 1 and not self.is_damped
        return Minimum(point, reason, *counts, self.metric if is_exact else None)
