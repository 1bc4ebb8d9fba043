r"""L-BFGS and Newton's method in the metric of a preconditioner.

The function ``F`` is smooth and convex, of a flat vector, and nothing else is known of it here. What makes
the search fast is the *preconditioner*: a positive definite matrix ``M`` near the Hessian ``H``, known by a
factor of its inverse ``M^-1 = A' A`` as the maps ``whiten(g) = A g`` and ``unwhiten(v) = A' v``.

**L-BFGS** in that metric, see `smreg.optimize.lbfgs`, begins every cold search, in the preconditioner of the
start.

**Refresh.** As ``x`` moves the Hessian changes. The caller gives kinds of preconditioners, from the
cheapest to the most exact, each with its cost in evaluations of F. Another one is made where the
evaluations in the present one have cost about as much as it does, the most exact of those that have paid
for themselves, unless at the rate at which the norm falls fewer are left to the end.

**Newton's method.** A Hessian that costs next to nothing is made anew after each step. Where F falls by less
than half of what its quadratic model promises, as where classes are rare or nearly separated, the model says
little of F a few nats away, and L-BFGS learns nothing there: each step is then in a preconditioner of its
own, the cheapest kind of those that cost less than `WORTH` evaluations. A poor one leads no less far: on
kddcup99_20k the blocks of the classes take F from 1.1 to 0.0081 in 27 steps, all of the Hessian in 35.

**Steps that are too long** have one remedy: a line search that brings the slope to nearly zero, see
`smreg.optimize.line_search`. It costs a fraction of an evaluation, since along a line the logits are
linear. It is made for each of Newton's steps, and for the first one of L-BFGS where F still rises at its
end.

**Stopping.** The Newton decrement ``||g||_{H^-1}`` has no units, and ``F - F* ~ decrement**2 / 2``. The
norm in the preconditioner is nearly that where M is fresh, and a hundred times too small where it is poor.
Before the search is called converged the decrement is therefore computed at that very point: from the
Hessian, or by conjugate gradients on products with it, which M preconditions, corrected by what L-BFGS has
learnt. They also give Newton's step, which is taken if the decrement is not small enough. After a step from
a point whose Hessian is at hand a line may know by how much norms in it differ from those at its end: where
the norm is small enough even so, the Hessian is not made anew, and that norm is reported.

**Jitter.** Where columns are so nearly collinear that a Hessian cannot be factorised without jitter, steps
in it hardly move along what the jitter hides, the norm in it is far too small, and each is as good as the one
before: such steps are counted, and beyond some all are those of conjugate gradients on the true Hessian.

**Rounding.** L-BFGS compares values of F, a mean of terms of order one, which carry rounding errors of some
``2**-52``: below a decrement of about ``2**-26`` every comparison is noise. Where it stalls, for that or
any other reason, all further steps are Newton's, along which slopes resolve what values no longer do, for
as long as the value falls or the decrement does.

=============== ======================================================================================
constant        evaluations of eleven fits (nine tables at C = 1, two nearly separated), 275 as it is
=============== ======================================================================================
`REFRESH_AFTER` 3: 271, with more refreshes; 5: 309; 6: 313. As the cost of a Hessian that is made anew after
                each step, 2: 275; 4: 251, with 9 refreshes more of 89
`PATIENCE`      0.15: 273; 0.6: 281; 1: 365, with 67 refreshes in place of 89
`WORTH`         4: 356; 8: 323; 32: 275. The most exact kind in place of the cheapest: kddcup99_20k takes
                472 evaluations in place of 84
`TRUSTED`       0.25: 295; 0.75: 265, both within what other kernels of BLAS change
`LOST`          none: 275; 2500 rows, 350 features and 7 classes of which the rows of two are separated take
                3000 evaluations at C = inf, and 200 with it
`NEGLIGIBLE`    where it is not squared far from the Hessian the decrement comes out three times too small on
                300 rows of 2000 columns
=============== ======================================================================================

References
----------
J. Nocedal and S. Wright, Numerical Optimization, 2nd edition, Springer (2006), chapters 3, 5 and 7.
https://doi.org/10.1007/978-0-387-40065-5
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from smreg.optimize.conjugate_gradients import conjugate_gradients
from smreg.optimize.lbfgs import lbfgs
from smreg.optimize.line_search import lowest
from smreg.optimize.protocol import Function, Minimum, Point, Preconditioner, Refresh

Array = NDArray[np.float64]

REFRESH_AFTER = 4  # fewest evaluations in one preconditioner, but where another costs less
PATIENCE = 0.3  # evaluations in a preconditioner, and that another must promise, for each that it costs
WORTH = 16.0  # evaluations that a preconditioner may cost after each step that is not trusted
TRUSTED = 0.5  # part of what the quadratic model promises
LOST = 2.0**-20  # part below which the model lacks the curvature in some direction

# The rounding of values and of norms; and where values do not resolve a step, the part of the decrement that
# it may leave: Newton's leaves 0.61 if F is an exponential.
ROUNDING, PROGRESS = 2.0**-48, 0.75
MAX_HALVINGS = 60  # of a step to whose end the slope is small, but F has risen

NEGLIGIBLE = 2.0**-4  # part of its square that conjugate gradients may miss near the Hessian; else its square
MARGIN = 2.0  # by which the ratio of the decrement to the norm may change over such a step
MAX_CONJUGATE = 20  # most steps far from the end: where they do not suffice, F is worth more


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
    search, before = _Search(function, refreshes, tol, max_iter, on_iteration), None
    point = search.begin(start, preconditioner, warm=warm)
    while True:
        point, step, is_verified = search.verified(point)
        if is_verified and point.norm <= tol:
            return search.ended(point, "converged")
        if search.is_over:
            return search.ended(point, "callback" if search.interrupted else "max_iter")
        if is_verified:
            if before is not None and not is_better(point, before):
                if search.is_exact:
                    return search.ended(min(point, before, key=lambda at: at.norm), "rounding")
                search.is_exact = True
            before = point
        point = search.advanced(point, step)


def is_better(point: Point, before: Point) -> bool:
    """Whether the value falls by more than rounding, or the norm as Newton's steps lower it."""
    return _highest(point) < before.value or point.norm <= PROGRESS * before.norm


def _highest(point: Point) -> float:
    """A value that may be that of the point, but for rounding."""
    return point.value + ROUNDING * max(1.0, abs(point.value))


def _finite(norm: float, value: float) -> float:
    """The norm, infinite where it or the value is not finite."""
    return norm if math.isfinite(norm + value) else math.inf


class _Search:
    """One minimisation: the present preconditioner, and what has been done.

    Attributes
    ----------
    preconditioner : Preconditioner
        The present one.
    inverse : callable or None
        What L-BFGS has learnt of the inverse Hessian in it.
    ratio : float
        Of the decrement to the norm in the preconditioner, as last measured.
    is_fresh : bool
        Whether no step has been taken in it.
    is_trusted : bool
        Whether the last ones have lowered the function as the quadratic model promised.
    slow : int
        Number of the last steps, each in a Hessian with jitter, that have left most of the norm.
    lowest : float
        The norm before them.
    has_taken_newton : bool
        Whether the last step was Newton's, by conjugate gradients.
    is_complete : bool
        Whether nothing is left out of preconditioners any more, since one has lost a direction.
    is_exact : bool
        Whether all steps are Newton's, with the Hessian of the whole function, since others led no further.
    level : int
        The kind of the preconditioner, -1 for that of the start.
    made_at : list of int
        Number of evaluations when each kind, or a more exact one, was made last.
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
        self.inverse: Callable[[Array], Array] | None = None
        self.ratio, self.is_fresh, self.is_trusted = 1.0, True, True
        self.is_exact = self.is_complete = self.has_taken_newton = self.interrupted = False
        self.iterations = self.refreshes = self.slow = 0
        self.lowest = math.inf
        self.evaluations = 1  # that of the start
        self.level, self.made_at = -1, [0] * len(refreshes)

    @property
    def is_over(self) -> bool:
        """Whether a limit or the user ended the search."""
        return self.interrupted or self.iterations >= self.max_iter

    @property
    def is_slow(self) -> bool:
        """Whether steps in Hessians with jitter have long left the norm as it was."""
        return self.slow >= 2 * REFRESH_AFTER

    @property
    def is_at_hessian(self) -> bool:
        """Whether the preconditioner is the Hessian of the present point."""
        return self.is_fresh and self.level >= 0 and self.preconditioner.is_hessian

    @property
    def has_hessian(self) -> bool:
        """Whether the Hessian can be made."""
        return bool(self.kinds) and self.kinds[-1].is_hessian

    def is_cheap(self, value: float) -> bool:
        """Whether the Hessian costs little, or after vain conjugate gradients no more than the search."""
        most = max(WORTH, self.evaluations) if self.is_exact or self.has_taken_newton else REFRESH_AFTER
        return self.has_hessian and self.kinds[-1].cost(value) <= most

    def is_due(self, point: Point, begun: float, evaluations: int) -> bool:
        """Whether another preconditioner has paid for itself, and promises more than going on in this one.

        At the rate at which the norm has fallen from `begun`, in so many evaluations, it would take more to
        the end than a refresh costs.
        """
        rate = math.log(begun / point.norm) / evaluations if 0 < point.norm < begun else 0.0
        first = max(self.level, 0)
        for made_at, kind in zip(self.made_at[first:], self.kinds[first:], strict=True):
            cost = kind.cost(point.value)
            if self._is_paid(kind, cost, made_at):
                return self.tol == 0 or rate * PATIENCE * cost < math.log(point.norm / self.tol)
        return False

    def _is_paid(self, kind: Refresh, cost: float, made_at: int) -> bool:
        """Whether the evaluations since then have cost about as much as a preconditioner of that kind."""
        fewest = min(REFRESH_AFTER, 1 + cost) if kind.is_hessian else REFRESH_AFTER
        return self.evaluations - made_at >= max(PATIENCE * cost, fewest)

    def begin(self, point: Point, preconditioner: Callable[[], Preconditioner], *, warm: bool) -> Point:
        """Choose the preconditioner at a point."""
        if not (warm and self.refresh(point, WORTH)):
            self.preconditioner = preconditioner()
        return self.measured(point)

    def refresh(self, point: Point, allowance: float = 0.0) -> bool:
        """Make the preconditioner anew, the most exact that is paid for; whether there was one.

        A Hessian, or the first one, may cost an allowance, others the evaluations in the present one. After
        a step that is not trusted it is the cheapest, and any may cost the allowance, unless a Hessian costs
        little.
        """
        kinds = range(max(self.level, 0), len(self.kinds))
        allowed = [allowance if self.level < 0 or kind.is_hessian else -math.inf for kind in self.kinds]
        costs = [kind.cost(point.value) for kind in self.kinds]
        paid = map(self._is_paid, self.kinds, costs, self.made_at)
        due = [i for i, is_paid in enumerate(paid) if i in kinds and (is_paid or costs[i] <= allowed[i])]
        if not self.is_trusted and self.kinds and costs[-1] > REFRESH_AFTER:
            due = [i for i, cost in enumerate(costs) if cost <= allowance][:1] or due
        if not due:
            return False
        self.level = due[-1]
        self.preconditioner = self.kinds[self.level](
            point.x, point.value, point.known, complete=self.is_complete, exact=self.is_exact
        )
        self.inverse, self.ratio, self.is_fresh, self.has_taken_newton = None, 1.0, True, False
        self.refreshes += 1
        self.made_at[: self.level + 1] = [self.evaluations] * (self.level + 1)
        return True

    def measured(self, point: Point) -> Point:
        """The same point with its norm in the preconditioner."""
        return replace(point, norm=self.norm(point.value, point.gradient))

    def norm(self, value: float, gradient: Array) -> float:
        """That of a gradient in the preconditioner, infinite where it or the value is not finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            whitened = self.preconditioner.whiten(gradient)
            return _finite(math.sqrt(whitened @ whitened), value)

    def verified(self, point: Point) -> tuple[Point, Array | None, bool]:
        """The point with its decrement, Newton's step if known, and whether the decrement is.

        It is computed where the norm at hand, times the last known ratio of the two, lets the search seem to
        have converged, and where steps in Hessians with jitter are slow.
        """
        if self.is_at_hessian or point.bound <= self.tol:
            return point, None, True
        if not (self.is_exact or self.is_slow or point.norm * self.ratio <= self.tol):
            return point, None, False
        if point.norm <= ROUNDING:
            return point, None, True
        if self.has_taken_newton and not self.has_hessian and MARGIN * self.ratio * point.norm <= self.tol:
            return replace(point, norm=MARGIN * self.ratio * point.norm), None, True
        if not self.is_fresh and self.is_cheap(point.value):
            self.refresh(point, max(WORTH, self.evaluations))
            point = self.measured(point)
            if self.is_at_hessian:
                return point, None, True
        decrement, step = self.newton_step(point)
        self.ratio = decrement / point.norm if point.norm > 0 else 1.0
        return replace(point, norm=decrement), step, True

    def newton_step(self, point: Point) -> tuple[float, Array]:
        """The Newton decrement ``sqrt(g' H^-1 g)``, from below, and the step ``H^-1 g``.

        What is missing of its square is at most that of the residual by the least curvature, here the least
        Ritz value, or less where the last decrement has shown less. While more than that may be missing
        conjugate gradients go on, where they would be called converged, or steps are slow, for as many
        products as the search has taken.
        """
        is_near = self.is_fresh and self.level >= 0 and self.kinds[self.level].is_hessian
        negligible = NEGLIGIBLE if is_near and not self.is_slow else NEGLIGIBLE**2
        product, iterate = self.function.hessian_at(point.x), None
        iterates = conjugate_gradients(product, point.gradient, self.precondition)
        for count, iterate in enumerate(islice(iterates, max(MAX_CONJUGATE, self.evaluations) + 1)):
            self.evaluations += count > 0
            # A decrement before may have shown less; and where M lacks curvature the first values are huge.
            least = min(iterate.least, self.ratio**-2, 1.0)
            enough = iterate.squared <= negligible * least * iterate.energy
            goes_on = self.is_slow or iterate.energy <= self.tol**2
            if (count >= 2 - self.is_fresh and enough) or (count >= MAX_CONJUGATE and not goes_on):
                break
        assert iterate is not None
        if not 0 < iterate.energy < math.inf and iterate.squared != 0:  # the curvature is lost in rounding
            return math.inf, self.precondition(point.gradient)
        return math.sqrt(iterate.energy), iterate.solution

    def precondition(self, gradient: Array) -> Array:
        """``M^-1 g``, where L-BFGS has run corrected by what it has learnt."""
        whitened = self.preconditioner.whiten(gradient)
        return self.preconditioner.unwhiten(whitened if self.inverse is None else self.inverse(whitened))

    def advanced(self, point: Point, step: Array | None) -> Point:
        """The point to which L-BFGS leads, or Newton's step, and a preconditioner there if one is due."""
        promised, reached = point.norm**2 / 2, point
        if step is None and not self.is_exact and not (self.is_fresh and self.takes_newton(point.value)):
            reached = self.lbfgs(point)
        if stepped := reached is point:
            reached = self.stepped(point, self.precondition(point.gradient) if step is None else step)
            self.is_exact = self.is_exact or reached is point
        self.has_taken_newton, fall = step is not None, point.value - reached.value
        self.is_trusted = fall >= TRUSTED * promised
        is_lost = self.level >= 0 and fall <= LOST * promised and promised > _highest(point) - point.value
        self.is_complete = self.is_complete or is_lost
        goes_on = not self.is_over and not self.is_exact and reached.norm * self.ratio > self.tol
        if goes_on and self.refresh(reached, WORTH if stepped and self.level >= 0 else REFRESH_AFTER):
            reached = self.measured(reached)
            self.count_slow(reached, is_newton=stepped and self.is_trusted)
        return reached

    def count_slow(self, point: Point, *, is_newton: bool) -> None:
        """Count steps of Newton's in Hessians with jitter since the norm has last been lowered."""
        if self.is_slow:
            return
        if not is_newton or self.is_at_hessian or not self.takes_newton(point.value):
            self.slow, self.lowest = 0, math.inf
        elif point.norm <= PROGRESS * self.lowest:
            self.slow, self.lowest = 0, point.norm
        else:
            self.slow += 1

    def takes_newton(self, value: float) -> bool:
        """Whether a preconditioner, made anew after each step, is worth more than L-BFGS in it."""
        if self.level < 0 or (self.is_trusted and not self.kinds[self.level].is_hessian):
            return False
        return self.kinds[self.level].cost(value) <= (REFRESH_AFTER if self.is_trusted else WORTH)

    def stepped(self, point: Point, step: Array) -> Point:
        """The point where the function is least along a step, or the same."""
        was_at_hessian, self.is_fresh = self.is_at_hessian, False
        line = self.function.along(point.x, -step, point.known)
        length, highest = lowest(line, -float(point.gradient @ step)), _highest(point)
        trial = point
        while length > 0:
            value, gradient, known = line.point(length)
            norm = self.norm(value, gradient)
            if value <= highest and norm < math.inf:
                bound = line.growth(length) * norm if was_at_hessian else math.inf
                trial = Point(point.x - length * step, value, gradient, norm, known, bound)
                break
            length = length / 2 if length * 2.0**MAX_HALVINGS > 1 else 0.0
        self.evaluations += line.evaluations
        if trial is not point:
            self.accept(trial)
        return trial

    def accept(self, point: Point) -> None:
        """Count a step and call back."""
        self.iterations += 1
        self.interrupted = self.on_iteration(point)

    def lbfgs(self, start: Point) -> Point:
        """Run L-BFGS from `start` until the next preconditioner is due: the last accepted point."""
        before = self.evaluations

        def is_enough(point: Point, evaluations: int) -> bool:
            self.evaluations = before + evaluations
            self.accept(replace(point, norm=point.norm * self.ratio))
            done = point.norm * self.ratio <= self.tol
            return done or self.is_over or self.is_due(point, start.norm, evaluations)

        most = TRUSTED if self.is_fresh else math.inf
        run = lbfgs(self.function, self.preconditioner, start, is_enough, most=most)
        self.evaluations = before + run.evaluations
        if run.inverse is not None:
            self.inverse, self.is_exact, self.is_fresh = run.inverse, not run.is_enough, False
        return run.point

    def ended(self, point: Point, reason: str) -> Minimum:
        """The record, with the norm in the metric of the Hessian."""
        if reason != "converged" and not self.is_at_hessian:
            self.is_exact = True
            point = self.verified(point)[0]
            reason = "converged" if point.norm <= self.tol else reason
        is_best = self.level >= 0 and self.level == len(self.kinds) - 1
        return Minimum(
            point,
            reason,
            self.iterations,
            self.evaluations,
            self.refreshes,
            self.preconditioner if is_best else None,
        )
