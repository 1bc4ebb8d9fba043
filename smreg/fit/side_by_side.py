"""Fits for all penalties and folds at a time, for rows of which passes are what costs.

The full fits, to all samples, begin together at the intercept-only model, and share their passes: there are
as many as the one takes that takes most. Along the grid, one after the other, each would take fewer, but all
together several times as many. A fold fit begins where the full fit with its penalty ends, in the metric
that was last, as along a path (see `smreg.fit.continuation`), and meanwhile other full fits may still run.
Without a penalty it begins at the intercept-only model.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smreg.data.shared_passes import Meeting, SharedRows
from smreg.fit.grid import Explore
from smreg.fit.regression import Problem
from smreg.fit.shared_metric import Shared
from smreg.fit.solution import Fit
from smreg.fit.verification import verified
from smreg.objective.layout import Regression

Array = NDArray[np.float64]

# Fits at a time: each has a metric of its own, and all together no more than so many numbers (1 GiB).
AT_A_TIME, METRICS = 64, 2**27
DECADES = 5  # of an exploration, at a time: most grids end among the first


@dataclass(frozen=True)
class Path:
    """What is fitted with one l1_ratio: all samples, and the training parts of folds."""

    l1_ratio: float
    problem: Problem
    folds: Sequence[Problem]


def fit_side_by_side(
    rows: SharedRows,
    paths: Sequence[Path],
    Cs: Array,
    *,
    tol: float,
    max_iter: int,
    dtype: Any,
    n_threads: int,
) -> list[list[tuple[Fit, list[Fit]]]]:
    """Fit to all samples and to the training parts of the folds.

    Parameters
    ----------
    rows : SharedRows
        Of which the problems are.
    paths : sequence of Path
        One for each l1_ratio.
    Cs : ndarray of shape (n_Cs,)
        Inverse strengths of the penalty.
    tol, max_iter, dtype
        As for `smreg.fit.verification.verified`.
    n_threads : int
        Fits that compute at a time, while none reads.

    Returns
    -------
    list of lists of tuples
        For each path and C the full fit and the fold fits, verified.
    """
    _fit_bases(rows, paths, n_threads)
    fits = _Fits(_meeting(rows, n_threads), {"tol": tol, "max_iter": max_iter}, dtype)
    steps = [[fits.meeting.submit(fits.full, path, C) for C in Cs.tolist()] for path in paths]
    fits.meeting.run()
    made = [[step.result() for step in of_path] for of_path in steps]
    return [[(full, [fold.result() for fold in folds]) for full, folds in of_path] for of_path in made]


def _fit_bases(rows: SharedRows, paths: Sequence[Path], n_threads: int) -> None:
    """Fit what has no penalty, where other coefficients have one: for all C the same."""
    problems = {id(problem): problem for path in paths for problem in (path.problem, *path.folds)}
    some = [problem for problem in problems.values() if problem.unpenalised is not None]
    if some:
        meeting = _meeting(rows, n_threads)
        for problem in some:
            meeting.submit(_fit_base, problem)
        meeting.run()


def _fit_base(problem: Problem) -> None:
    _ = problem.base


def exploring(rows: SharedRows, n_threads: int) -> Explore:
    """Exploratory fits for the limits of a grid, some decades of C side by side."""

    def explore(
        problem: Problem, Cs: Iterator[float], least: float, options: dict[str, Any]
    ) -> Iterator[Fit]:
        start = None

        def solve(C: float) -> Fit:
            return copy(problem).solve(C, start=start, **options)

        while some := list(_some_decades(Cs, least)):
            meeting = _meeting(rows, n_threads)
            fits = [meeting.submit(solve, C) for C in some]
            meeting.run()
            for fit in fits:
                start = fit.result()[0]
                yield fit.result()

    return explore


def _some_decades(Cs: Iterator[float], least: float) -> Iterator[float]:
    """All decades below some C, of which the end is seldom far, and so many more."""
    more = 0
    for C in Cs:
        yield C
        more += least <= C
        if more >= DECADES:
            return


def _meeting(rows: SharedRows, n_threads: int) -> Meeting:
    size = max(rows.n_classes - 1, 1) * (rows.n_features + 1)
    return Meeting(rows, int(np.clip(METRICS // size**2, 1, AT_A_TIME)), n_threads)


@dataclass(frozen=True)
class _Fits:
    """Fits that meet, with their options."""

    meeting: Meeting
    options: dict[str, Any]
    dtype: Any

    def full(self, path: Path, C: float) -> tuple[Fit, list[Future[Fit]]]:
        """The full fit, which lets the fold fits begin."""
        problem, shared = copy(path.problem), None
        penalty = problem.penalty(C, path.l1_ratio)
        if path.folds and penalty.is_smooth and not penalty.is_zero:
            fit, shared = problem.solve_for_parts(C, **self.options)
        else:
            fit = problem.solve(C, l1_ratio=path.l1_ratio, **self.options)
        folds = [
            self.meeting.submit(self.fold, fold, path.l1_ratio, C, fit[0], shared) for fold in path.folds
        ]
        return self._verified(problem, path.l1_ratio, C, fit), folds

    def fold(
        self, problem: Problem, l1_ratio: float, C: float, start: Regression, shared: Shared | None
    ) -> Fit:
        """A fold fit from the solution of the full fit."""
        problem = copy(problem)
        begin = None if problem.penalty(C).is_zero else start
        fit = problem.solve(C, l1_ratio=l1_ratio, start=begin, shared=shared, **self.options)
        return self._verified(problem, l1_ratio, C, fit)

    def _verified(self, problem: Problem, l1_ratio: float, C: float, fit: Fit) -> Fit:
        return verified(problem, fit, C, l1_ratio=l1_ratio, dtype=self.dtype, **self.options)
