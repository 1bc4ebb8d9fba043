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
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from smreg.optimize.conjugate_gradients import conjugate_gradients
from smreg.optimize.line_search import Line, lowest

Array = NDArray[np.float64]

# When to make the preconditioner anew: not before L-BFGS has had a few evaluations in it, nor more often than
# pays.
REFRESH_AFTER = 4  # fewest evaluations in one preconditioner
PATIENCE = 0.4  # evaluations in a preconditioner for each that making it costs
WARM_COST = 16.0  # evaluations that one may cost at a start that may be the end
CHEAP = 2.0  # and where Newton's steps are fewer than L-BFGS's

ROUNDING = 2.0**-50  # relative, of values
TOO_LONG = 0.5  # part of the slope to which it may rise at the first trial in a preconditioner
NEWTON_COST = 16.0
TRUSTED = 0.5
PROGRESS = 0.75  # part of the norm that a step may leave where values tell nothing: Newton's leaves 0.61

# Conjugate gradients for the norm.
NEGLIGIBLE = 2.0**-3  # part of ``g' H^-1 g`` that may be missing: a thirtieth of the norm
MAX_CONJUGATE = 20  # most steps: in a preconditioner so poor that they do not suffice, F is worth more

MANY = 2**20  # coordinates from which L-BFGS's own work outweighs the function's
MEMORY, LITTLE_MEMORY = 10, 5  # pairs that it keeps of fewer or more
UNLIMITED = 2**31 - 1  # SciPy's own limit of 15000 evaluations must not bind
OPTIONS: Any = {"ftol": 0, "gtol": 0, "maxls": 50, "maxfun": UNLIMITED, "maxiter": UNLIMITED}


class Preconditioner(Protocol):
    """A positive definite matrix M, known by a factor of its inverse ``M^-1 = A' A``."""

    def whiten(self, gradient: Array) -> Array:
        """``A g``."""

    def unwhiten(self, step: Array) -> Array:
        """``A' v``."""


class Refresh(Protocol):
    """A kind of preconditioner that is made anew as the search moves on."""

    @property
    def is_hessian(self) -> bool:
        """Whether it is the Hessian, or near enough for its norm to be believed."""

    def cost(self, value: float) -> float:
        """What making it costs where the function has that value, in evaluations."""

    def is_sampled(self, value: float) -> bool:
        """Whether it is then made of a part of the function."""

    def __call__(self, x: Array, value: float) -> Preconditioner:
        """The preconditioner at x, where the function has that value."""


class Function(Protocol):
    """A smooth convex function."""

    def __call__(self, x: Array) -> tuple[float, Array]:
        """Value and gradient."""

    def along(self, x: Array, step: Array, known: Any) -> Line:
        """The function along a direction, with what is known of the point: see `Line.point`."""

    def hessian_at(self, x: Array) -> Callable[[Array], Array]:
        """Products with the Hessian at x."""


@dataclass(frozen=True)
class Point:
    """A point, value and gradient there, the gradient's norm, and what makes lines from there cheaper."""

    x: Array
    value: float
    gradient: Array
    norm: float = math.inf
    known: Any = None


@dataclass(frozen=True)
class Minimum:
    """Where the search stopped, and why.

    Attributes
    ----------
    point : Point
        The last accepted point, with the gradient's norm in the metric of the Hessian.
    reason : {"converged", "max_iter", "callback", "rounding"}
        What ended the search; "rounding": floating point allows no further progress.
    iterations, evaluations, refreshes : int
        Steps taken; computations of value and gradient; preconditioners made.
    preconditioner : Preconditioner or None
        The last one, if it is the most exact kind.
    """

    point: Point
    reason: str
    iterations: int
    evaluations: int
    refreshes: int
    preconditioner: Preconditioner | None = None


def minimize(
    function: Function,
    start: Point,
    preconditioner: Callable[[], Preconditioner],
    refreshes: Sequence[Refresh] = (),
    *,
    tol: float,
    max_iter: int,
    warm: bool = False,
    on_iteration: Callable[[Point], bool] = lambda point: False,
) -> Minimum:
    """Minimise a smooth convex function.

    Parameters
    ----------
    function : Function
        To be minimised.
    start : Point
        Where to begin, evaluated.
    preconditioner : callable
        Hands over the one at `start`, if it is called for.
    refreshes : sequence of Refresh
        Kinds of others, from the cheapest to the most exact; none where all cost too much.
    tol : float
        Stop at this norm of the gradient in the metric of the Hessian.
    max_iter : int
        Most steps to take.
    warm : bool
        Whether `start` may be near the minimum, so that the search begins with a refresh, if one is cheap.
    on_iteration : callable
        ``point -> stop``, called after every step.

    Returns
    -------
    Minimum
        Never worse than `start`.
    """
    search = _Search(function, refreshes, tol, max_iter, on_iteration)
    point, before = search.begin(start, preconditioner, warm=warm), None
    while True:
        point, step = search.verified(point)
        if point.norm <= tol:
            return search.ended(point, "converged")
        if search.is_over:
            return search.ended(point, "callback" if search.interrupted else "max_iter")
        if search.is_exact and before is not None and not is_better(point, before):
            return search.ended(min(point, before, key=lambda at: at.norm), "rounding")
        before = point if search.is_exact else None
        point = search.advanced(point, step)


def is_better(point: Point, before: Point) -> bool:
    """Whether the value falls by more than rounding, or the norm as Newton's steps lower it."""
    least = ROUNDING * max(1.0, abs(point.value))
    return point.value < before.value - least or point.norm <= PROGRESS * before.norm


class _TooLongError(Exception):
    """The first step in a preconditioner leads too far."""


class _Search:
    """One minimisation: the present preconditioner, and what has been done.

    Attributes
    ----------
    is_fresh : bool
        Whether no step has been taken in the preconditioner.
    is_exact : bool
        Whether all steps are Newton's, since others led no further.
    ratio : float
        Of the norm in the metric of the Hessian to that in the preconditioner, as last measured.
    """

    preconditioner: Preconditioner

    def __init__(
        self,
        function: Function,
        refreshes: Sequence[Refresh],
        tol: float,
        max_iter: int,
        on_iteration: Callable[[Point], bool],
    ) -> None:
        self.function, self.on_iteration = function, on_iteration
        self.kinds, self.tol, self.max_iter = refreshes, tol, max_iter
        self.is_trusted = True
        self.ratio, self.is_fresh, self.is_exact, self.interrupted = 1.0, True, False, False
        self.iterations = self.refreshes = 0
        self.evaluations = 1  # that of the start
        self.level, self.made_at = -1, [0] * len(refreshes)

    @property
    def is_over(self) -> bool:
        """Whether a limit or the user ended the search."""
        return self.interrupted or self.iterations >= self.max_iter

    @property
    def has_hessian(self) -> bool:
        """Whether the Hessian can be made."""
        return bool(self.kinds) and self.kinds[-1].is_hessian

    def is_cheap(self, value: float) -> bool:
        """Whether the Hessian costs next to nothing."""
        return self.has_hessian and self.kinds[-1].cost(value) <= CHEAP

    def is_due(self, point: Point, begun: float, evaluations: int) -> bool:
        """Whether another preconditioner has paid for itself, and promises more than going on in this one.

        At the rate at which the norm has fallen from `begun`, in so many evaluations, it would take more to
        the end than a refresh costs.
        """
        rate = math.log(begun / point.norm) / evaluations if 0 < point.norm < begun else 0.0
        first = max(self.level, 0)
        for made_at, kind in zip(self.made_at[first:], self.kinds[first:], strict=True):
            cost = kind.cost(point.value)
            if self.evaluations - made_at >= max(PATIENCE * cost, REFRESH_AFTER):
                return rate * PATIENCE * cost < math.log(point.norm / self.tol)
        return False

    def begin(self, point: Point, preconditioner: Callable[[], Preconditioner], *, warm: bool) -> Point:
        """Choose the preconditioner at a point."""
        if not (warm and self.refresh(point, WARM_COST)):
            self.preconditioner = preconditioner()
        return self.measured(point)

    def refresh(self, point: Point, allowance: float = 0.0) -> bool:
        """Make the preconditioner anew, the most exact that is paid for; whether there was one.

        What it may cost is `allowance`, or else as many evaluations as were made in the present one.
        """
        kinds = range(max(self.level, 0), len(self.kinds))
        spent = [(self.evaluations - at) / PATIENCE for at in self.made_at]
        due = [i for i in kinds if self.kinds[i].cost(point.value) <= max(allowance, spent[i])]
        if not due:
            return False
        self.level = due[-1]
        self.preconditioner, self.ratio, self.is_fresh = self.kinds[self.level](point.x, point.value), 1.0, True
        self.refreshes += 1
        self.made_at[: self.level + 1] = [self.evaluations] * (self.level + 1)
        return True

    def measured(self, point: Point) -> Point:
        """The same point with its norm in the preconditioner, infinite where anything is not finite."""
        norm = float(np.linalg.norm(self.preconditioner.whiten(point.gradient)))
        return replace(point, norm=norm if math.isfinite(norm + point.value) else math.inf)

    def verified(self, point: Point) -> tuple[Point, Array | None]:
        """The point with the norm that counts, that in the metric of the Hessian, and Newton's step if known.

        It is measured where the norm at hand, times the last known ratio of the two, lets the search seem to
        have converged.
        """
        if self.is_fresh and self.level >= 0 and self.kinds[self.level].is_hessian:
            return point, None
        if not self.is_exact and not 0 < point.norm * self.ratio <= self.tol:
            return point, None
        if (self.is_cheap(point.value) or self.is_exact and self.has_hessian) and self.refresh(point, math.inf):
            return self.measured(point), None
        decrement, step = self.newton_step(point)
        self.ratio = decrement / point.norm if point.norm > 0 else 1.0
        return replace(point, norm=decrement), step

    def newton_step(self, point: Point) -> tuple[float, Array]:
        """The Newton decrement ``sqrt(g' H^-1 g)``, from below, and the step ``H^-1 g``.

        What is missing of its square is at most that of the residual by the least curvature, here of the
        directions so far.
        """
        precondition = self.precondition
        product, iterate = self.function.hessian_at(point.x), None
        for iterate in islice(conjugate_gradients(product, point.gradient, precondition), MAX_CONJUGATE):
            if iterate.squared <= NEGLIGIBLE * iterate.least * iterate.energy:
                break
            self.evaluations += 1
        assert iterate is not None
        return math.sqrt(iterate.energy), iterate.solution

    def precondition(self, gradient: Array) -> Array:
        """``M^-1 g``."""
        return self.preconditioner.unwhiten(self.preconditioner.whiten(gradient))

    def advanced(self, point: Point, step: Array | None) -> Point:
        """The point to which Newton's step leads, or L-BFGS."""
        promised, reached = point.norm**2 / 2, point
        if step is None and not self.is_exact and not (self.is_fresh and self.takes_newton(point.value)):
            reached = self.lbfgs(point)
        if stepped := reached is point:
            reached = self.stepped(point, self.precondition(point.gradient) if step is None else step)
            self.is_exact = self.is_exact or reached is point
        self.is_trusted = point.value - reached.value >= TRUSTED * promised
        if not self.is_over and not self.is_exact and reached.norm * self.ratio > self.tol:
            self.refresh(reached, NEWTON_COST if stepped and self.level >= 0 else CHEAP)
        return self.measured(reached)

    def takes_newton(self, value: float) -> bool:
        """Whether a Hessian, made anew after each step, is worth more than L-BFGS in it."""
        if self.level < 0 or not self.kinds[self.level].is_hessian:
            return False
        return self.kinds[self.level].cost(value) <= (CHEAP if self.is_trusted else NEWTON_COST)

    def stepped(self, point: Point, step: Array) -> Point:
        """The point where the function is least along a step, or the same."""
        self.is_fresh = False
        line = self.function.along(point.x, -step, point.known)
        length = lowest(line, -float(point.gradient @ step))
        if length == 0:
            return point
        self.evaluations += 1
        value, gradient, known = line.point(length)
        trial = self.measured(Point(point.x - length * step, value, gradient, math.inf, known))
        if not trial.norm < math.inf:
            return point
        self.accept(trial)
        return trial

    def accept(self, point: Point) -> None:
        """Count a step and tell the user."""
        self.iterations += 1
        self.interrupted = self.on_iteration(point)

    def lbfgs(self, start: Point) -> Point:
        """Run L-BFGS from `start` until the next preconditioner is due: the last accepted point."""
        latest = accepted = start
        whitened = self.preconditioner.whiten(start.gradient)
        size = lowest_norm = start.norm
        is_finished, before = False, self.evaluations

        def scaled(v: Array) -> tuple[float, Array]:
            nonlocal latest
            if not v.any():
                return start.value, size * whitened
            self.evaluations += 1
            x = start.x + self.preconditioner.unwhiten(size * v)
            value, gradient = self.function(x)
            inside = self.preconditioner.whiten(gradient)
            if self.is_fresh and not -float(inside @ whitened) <= TOO_LONG * size**2:
                raise _TooLongError
            self.is_fresh = False
            latest = Point(x, value, gradient, float(np.linalg.norm(inside)))
            if not math.isfinite(latest.norm + value):  # high enough for the line search to cut the step
                return start.value + 10.0 * max(1.0, abs(start.value)), np.zeros_like(v)
            return value, size * inside

        def step(intermediate_result: optimize.OptimizeResult) -> None:
            nonlocal accepted, lowest_norm, is_finished
            if latest.value >= accepted.value and latest.norm >= lowest_norm:
                raise StopIteration  # stalled: neither value nor norm falls any more
            accepted, lowest_norm = latest, min(lowest_norm, latest.norm)
            self.accept(replace(accepted, norm=accepted.norm * self.ratio))
            done = accepted.norm * self.ratio <= self.tol
            if done or self.is_over or self.is_due(accepted, start.norm, self.evaluations - before):
                is_finished = True
                raise StopIteration

        with suppress(_TooLongError):
            optimize.minimize(
                scaled,
                np.zeros_like(whitened),
                jac=True,
                method="L-BFGS-B",
                callback=step,
                options=OPTIONS | {"maxcor": MEMORY if start.x.size < MANY else LITTLE_MEMORY},
            )
            self.is_exact = not is_finished
        return accepted

    def ended(self, point: Point, reason: str) -> Minimum:
        """The record, with the norm in the metric of the Hessian."""
        if reason in ("max_iter", "rounding") and not (self.is_fresh and self.has_hessian):
            self.is_exact = True
            point = self.verified(point)[0]
        is_best = self.level >= 0 and self.level == len(self.kinds) - 1
        return Minimum(
            point,
            reason,
            self.iterations,
            self.evaluations,
            self.refreshes,
            self.preconditioner if is_best else None,
        )
