r"""Warm-started fits along a grid of C, from a strong penalty to a weak one, to all samples and to folds.

**Extrapolation.** Along the grid the coefficients are a smooth curve in ``log C``: at first each step of the
grid changes them as much as the last one, and where the penalty has become weak, less and less. From a
solution and the change ``v`` that led to it, the next fit starts at ``theta + rho v``, with ``rho`` between
zero and one as the last change followed from the one before. A *fold fit*, to the training part of a fold,
has almost the curve of the *full fit*, to all samples, and only its deviation from that is extrapolated.

**Order.** A fold fit depends on the full fit at its C and on the same fold's at the C before, and on nothing
else. With several threads the full fits are therefore submitted first.

**Without a penalty** there may be many solutions, or none, and which one a search finds depends on its start
and its metric. Starting from the full fit would leak the test part of the fold into its model, so that an
unpenalised fold fit starts cold.

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
from smreg.fit.regression import Problem
from smreg.fit.shared_metric import Shared
from smreg.fit.solution import Fit
from smreg.objective.layout import Regression

Array = NDArray[np.float64]


@dataclass(frozen=True)
class History:
    """The last solutions along a path, and the extrapolation from them.

    Attributes
    ----------
    spread : ndarray of shape (n_features,)
        Standard deviations of the features: coefficients are compared by what they do to the logits.
    logs : tuple of float
        ``log C`` of the last solutions, three at most.
    points : tuple of ndarrays
        These solutions.
    """

    spread: Array
    logs: tuple[float, ...] = ()
    points: tuple[Array, ...] = ()

    def extended(self, C: float, solution: Regression) -> "History":
        """The history with the next solution."""
        point = np.column_stack([solution.coef, solution.intercept])
        return History(self.spread, (*self.logs[-2:], float(np.log(C))), (*self.points[-2:], point))

    def extrapolate(self, C: float) -> Regression | None:
        """The solution at a larger C, extrapolated from the last ones; None if there are none."""
        if not self.points:
            return None
        point = self.points[-1]
        if len(self.points) > 1:
            point = point + self._persistence() * self._stretch(C) * self._change(-1)
        return _regression(point)

    def extrapolate_fold(self, full: "History", C: float) -> Regression:
        """The solution of a fold fit at the C that the full fit's history ends with."""
        if not self.points:
            return _regression(full.points[-1])
        point = self.points[-1] + full._change(-1)
        if len(self.points) > 1:
            deviation = self._change(-1) - full._change(-2)
            point = point + full._persistence() * self._stretch(C) * deviation
        return _regression(point)

    def _change(self, i: int) -> Array:
        return self.points[i] - self.points[i - 1]

    def _stretch(self, C: float) -> float:
        """The next step in ``log C``, in units of the last; zero where one of them is not finite."""
        stretch = (np.log(C) - self.logs[-1]) / (self.logs[-1] - self.logs[-2])
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
        return self._change(i) / (self.logs[i] - self.logs[i - 1])


def _regression(point: Array) -> Regression:
    return Regression(np.ascontiguousarray(point[:, :-1]), point[:, -1])


@dataclass(frozen=True)
class Step:
    """A fit, the history that ends with it, and of a full fit a metric near there that folds share."""

    fit: Fit
    history: History
    shared: Shared | None = None


def fit_path(
    problem: Problem,
    Cs: Array,
    folds: Sequence[Problem] = (),
    *,
    l1_ratio: float,
    tol: float,
    max_iter: int,
    pool: Executor = IN_TURN,
) -> Iterator[tuple[Fit, list[Fit]]]:
    """Fit to all samples, and to the training parts of folds, for one C after the other.

    A fold fit starts from the full fit's solution, in the last metric of its search; without a penalty it
    starts cold. Meanwhile the full fit for the next C may already run.

    Parameters
    ----------
    problem : Problem
        That of all samples.
    Cs : ndarray of shape (n_Cs,)
        Increasing.
    folds : sequence of Problem
        Those of the training parts, made by its `part`.
    l1_ratio, tol, max_iter : float, float, int
        As for `Problem.solve`.
    pool : Executor
        Threads that begin what is submitted in that order, and that the problems do not use; by default
        each fit is made when its turn comes.

    Yields
    ------
    tuple of Regression and Solution, list of such tuples
        The full fit and the fold fits, for each C.
    """
    options: dict[str, Any] = {"l1_ratio": l1_ratio, "tol": tol, "max_iter": max_iter}

    def fit_full(C: float, before: Future[Step] | None) -> Step:
        history = before.result().history if before else History(problem.spread)
        shared, start = None, history.extrapolate(C)
        if folds and (penalty := problem.penalty(C, l1_ratio)).is_smooth and not penalty.is_zero:
            fit, shared = problem.solve_for_parts(C, start=start, tol=tol, max_iter=max_iter)
        else:
            fit = problem.solve(C, start=start, **options)
        return Step(fit, history.extended(C, fit[0]), shared)

    def fit_fold(fold: Problem, C: float, full: Future[Step], before: Future[Step] | None) -> Step:
        full_step, history = full.result(), before.result().history if before else History(problem.spread)
        start = None if fold.penalty(C).is_zero else history.extrapolate_fold(full_step.history, C)
        fit = fold.solve(C, start=start, shared=full_step.shared, **options)
        return Step(fit, history.extended(C, fit[0]))

    def submit() -> Iterator[tuple[Future[Step], list[Future[Step]]]]:
        next_full = pool.submit(fit_full, Cs[0], None)
        last: Sequence[Future[Step] | None] = [None] * len(folds)
        for C, next_C in zip_longest(Cs, Cs[1:]):
            full = next_full
            if next_C is not None:
                next_full = pool.submit(fit_full, next_C, full)
            pairs = zip(folds, last, strict=True)
            submitted = [pool.submit(fit_fold, fold, C, full, before) for fold, before in pairs]
            yield full, submitted
            last = submitted

    steps = submit()
    pending = deque(islice(steps, 1))  # fold fits are submitted a value of C early, full fits two
    while pending:
        pending.extend(islice(steps, 1))
        full, fold_steps = pending.popleft()
        yield full.result().fit, [step.result().fit for step in fold_steps]
