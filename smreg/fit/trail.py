r"""Solutions along a grid of C, from a strong penalty to a weak one, and guesses at the next.

**Extrapolation.** Along a grid of C, from strong to weak, the coefficients are a smooth curve in ``log C``:
at first each step of the grid changes them as much as the last one, and where the penalty has become weak,
less and less. From a solution and the change ``v`` that led to it, the next guess is ``theta + rho v``, with
``rho`` between zero and one as the last change followed from the one before. The fit to a part of the data
is a curve beside that of the whole, and only its deviation must be guessed.

**Order.** A part waits for the whole at its C and for itself at the C before, and for nothing else: in
several threads the whole goes ahead.

**Without a penalty** there may be many solutions, or none, and what is found depends on where the search
begins, and in which metric. Beside the whole it would have learnt from the rows that it is to be scored on: a
part is then solved by itself.

References
----------
J. Friedman, T. Hastie and R. Tibshirani, Regularization Paths for Generalized Linear Models via Coordinate
Descent, Journal of Statistical Software 33 (2010). https://doi.org/10.18637/jss.v033.i01
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smreg.data.threads import IN_TURN
from smreg.fit.regression import Problem, Shared
from smreg.fit.solution import Solution
from smreg.objective.layout import Regression

Array = NDArray[np.float64]

SHARED_COST = 16.0  # evaluations that a metric for all parts may cost


@dataclass(frozen=True)
class Trail:
    """Solutions along a path so far, and guesses at the next.

    Attributes
    ----------
    spread : ndarray of shape (n_features,)
        Standard deviations of the features: coefficients are compared by what they do to the logits.
    places : tuple of float
        ``log C`` of the last solutions, three at most.
    points : tuple of ndarrays
        These solutions.
    """

    spread: Array
    places: tuple[float, ...] = ()
    points: tuple[Array, ...] = ()

    def added(self, C: float, solution: Regression) -> "Trail":
        """The trail with the next solution."""
        point = np.column_stack([solution.coef, solution.intercept])
        return Trail(self.spread, (*self.places[-2:], float(np.log(C))), (*self.points[-2:], point))

    def guess(self, C: float) -> Regression | None:
        """The solution at a larger C, extrapolated from the last ones."""
        if not self.points:
            return None
        guess = self.points[-1]
        if len(self.points) > 1:
            guess = guess + self._persistence() * self._stretch(C) * self._change(-1)
        return _regression(guess)

    def guess_beside(self, leader: "Trail", C: float) -> Regression:
        """The solution at the C that a similar problem's trail has just reached."""
        if not self.points:
            return _regression(leader.points[-1])
        guess = self.points[-1] + leader._change(-1)
        if len(self.points) > 1:
            deviation = self._change(-1) - leader._change(-2)
            guess = guess + leader._persistence() * self._stretch(C) * deviation
        return _regression(guess)

    def _change(self, i: int) -> Array:
        return self.points[i] - self.points[i - 1]

    def _stretch(self, C: float) -> float:
        """The next step in ``log C``, in units of the last; zero if there is no telling."""
        stretch = (np.log(C) - self.places[-1]) / (self.places[-1] - self.places[-2])
        return float(stretch) if np.isfinite(stretch) else 0.0

    def _persistence(self) -> float:
        """The part of a step's change that the next step has, from zero to one, by the last two."""
        if len(self.points) < 3:
            return 1.0
        unit = np.append(self.spread, 0.0)
        last, before = (self._slope(i) * unit for i in (-1, -2))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            ratio = np.vdot(last, before) / np.vdot(before, before)
        return float(np.clip(ratio, 0.0, 1.0)) if np.isfinite(ratio) else 0.0

    def _slope(self, i: int) -> Array:
        return self._change(i) / (self.places[i] - self.places[i - 1])


def _regression(point: Array) -> Regression:
    return Regression(np.ascontiguousarray(point[:, :-1]), point[:, -1])


Fit = tuple[Regression, Solution]

AHEAD = 1  # steps of the grid for which parts may be begun early; the whole is begun one more before


@dataclass(frozen=True)
class Step:
    """A fit, the trail that leads to it, and a metric near there where it is for others too."""

    fit: Fit
    trail: Trail
    shared: Shared | None = None


def follow(
    problem: Problem,
    Cs: Array,
    parts: Sequence[Problem] = (),
    *,
    l1_ratio: float,
    tol: float,
    max_iter: int,
    pool: Executor = IN_TURN,
) -> Iterator[tuple[Fit, list[Fit]]]:
    """Solve a problem, and parts of it, for one C after the other.

    The parts begin beside the solution of the whole, in the last metric of its search, or without a penalty
    by themselves. Meanwhile the whole is solved for the next C.

    Parameters
    ----------
    problem : Problem
        That of all samples.
    Cs : ndarray of shape (n_Cs,)
        Increasing.
    parts : sequence of Problem
        Made by its `part`.
    l1_ratio, tol, max_iter : float, float, int
        As for `Problem.solve`.
    pool : Executor
        Threads that begin what is submitted in that order, and that the problems do not use; by default
        everything is done when its turn comes.

    Yields
    ------
    tuple of Regression and Solution, list of such tuples
        Of the whole and of each part, for each C.
    """
    options: dict[str, Any] = {"l1_ratio": l1_ratio, "tol": tol, "max_iter": max_iter}

    def lead(C: float, before: Future[Step] | None) -> Step:
        trail = before.result().trail if before else Trail(problem.spread)
        shared, start = None, trail.guess(C)
        if parts and l1_ratio == 0 and not problem.penalty(C).is_zero:
            fit, shared = problem.solve_for_parts(C, SHARED_COST, start=start, tol=tol, max_iter=max_iter)
        else:
            fit = problem.solve(C, start=start, **options)
        return Step(fit, trail.added(C, fit[0]), shared)

    def beside(part: Problem, C: float, leader: Future[Step], before: Future[Step] | None) -> Step:
        whole, trail = leader.result(), before.result().trail if before else Trail(problem.spread)
        start = None if part.penalty(C).is_zero else trail.guess_beside(whole.trail, C)
        fit = part.solve(C, start=start, shared=whole.shared, **options)
        return Step(fit, trail.added(C, fit[0]))

    def begin() -> Iterator[tuple[Future[Step], list[Future[Step]]]]:
        following = pool.submit(lead, Cs[0], None)
        row: Sequence[Future[Step] | None] = [None] * len(parts)
        for C, next_C in zip_longest(Cs, Cs[1:]):
            leader = following
            if next_C is not None:
                following = pool.submit(lead, next_C, leader)
            pairs = zip(parts, row, strict=True)
            submitted = [pool.submit(beside, part, C, leader, before) for part, before in pairs]
            yield leader, submitted
            row = submitted

    begun = begin()
    waiting = deque(islice(begun, AHEAD))
    while waiting:
        waiting.extend(islice(begun, 1))
        whole, row = waiting.popleft()
        yield whole.result().fit, [part.result().fit for part in row]
