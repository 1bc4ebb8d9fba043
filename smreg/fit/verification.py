"""The check that the record of a fit agrees with its coefficients.

Where a smaller problem was solved in the place of the one as given (see `Problem.is_reduced`), the objective
is computed once more, from the coefficients in the precision in which they are kept, and the features as
given. If it differs from the record by more than the rounding of the logits, the problem is solved as given.
If it differs then too, the record gets the objective of the coefficients and the reason "rounding". Full fits
and fold fits are checked alike.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smreg.data.block import Block
from smreg.fit.regression import OnIteration, Problem
from smreg.fit.solution import Fit, Solution
from smreg.objective.cross_entropy import mean_loss
from smreg.objective.layout import Regression
from smreg.objective.logits import Point
from smreg.optimize.metric import JITTER

Array = NDArray[np.float64]


def verified(
    problem: Problem,
    fit: Fit,
    C: float,
    *,
    l1_ratio: float,
    tol: float,
    max_iter: int,
    dtype: Any,
    on_iteration: OnIteration | None = None,
) -> Fit:
    """The fit in terms of the features as given, with a record that agrees with its coefficients.

    Parameters
    ----------
    problem : Problem
        Of all samples.
    fit : tuple of Regression and Solution
        What solving it has given.
    C, l1_ratio, tol, max_iter : float, float, float, int
        With which it was solved; another search has as many steps as are left of `max_iter`.
    dtype : dtype
        That in which the coefficients are kept.
    on_iteration : callable or None
        Called after every step of another search, see `Problem.solve`.
    """
    regression, solution = problem.expand(fit[0]), fit[1]
    if solution.reason == "callback" or not problem.is_reduced(C):
        return regression, solution
    if _agrees(problem, regression, solution, C, l1_ratio, dtype):
        return regression, solution
    left = max_iter - solution.iterations
    if left > 0:
        problem, first = problem.unreduced(), solution
        options: dict[str, Any] = {"l1_ratio": l1_ratio, "tol": tol, "max_iter": left}
        regression, again = problem.solve(C, on_iteration=on_iteration, **options)
        solution = _after(first, again)
        if _agrees(problem, regression, solution, C, l1_ratio, dtype):
            return regression, solution
    value = objective_of(problem, _kept(regression, dtype), C, l1_ratio)
    reason = "rounding" if solution.converged else solution.reason
    return regression, replace(solution, objective=value, converged=False, reason=reason)


def _after(first: Solution, again: Solution) -> Solution:
    """The record of a second search, with what both have taken."""
    return replace(
        again,
        evaluations=first.evaluations + again.evaluations,
        iterations=first.iterations + again.iterations,
        refreshes=first.refreshes + again.refreshes,
        seconds=first.seconds + again.seconds,
    )


def _agrees(
    problem: Problem, regression: Regression, solution: Solution, C: float, l1_ratio: float, dtype: Any
) -> bool:
    """Whether the objective of the coefficients, as they are kept, is that of the record."""
    kept = _kept(regression, dtype)
    value = objective_of(problem, kept, C, l1_ratio)
    difference = abs(value - solution.objective)
    if difference <= JITTER * max(1.0, abs(value)):  # the rounding of the products that reduce a problem
        return True
    return difference <= float(np.finfo(dtype).eps) * _largest_logit(problem, kept)


def _kept(regression: Regression, dtype: Any) -> Regression:
    """The coefficients in the precision in which they are kept."""
    coef, intercept = regression.in_precision(dtype)
    return Regression(coef.astype(np.float64), intercept.astype(np.float64))


def objective_of(problem: Problem, regression: Regression, C: float, l1_ratio: float) -> float:
    """The objective that coefficients give, in one pass over the features as given."""
    with np.errstate(over="ignore", invalid="ignore"):
        loss = problem.given.map_reduce(mean_loss, _point(problem, regression))
    return problem.penalty_of(regression, C, l1_ratio) + loss


def _point(problem: Problem, regression: Regression) -> Point:
    """The coefficients for the features as they are read."""
    coef, intercept = problem.layout.restrict(regression)
    return Point(coef, intercept + coef @ problem.given.shift)


def _largest_logit(problem: Problem, regression: Regression) -> float:
    """The largest sum of the sizes of a logit's terms, to which its rounding error is proportional."""
    coef, intercept = problem.layout.restrict(regression)
    constant = np.abs(intercept) + np.abs(coef) @ np.abs(problem.given.shift)
    return max(problem.given.map_blocks(_largest_terms, coef, constant))


def _largest_terms(block: Block, coef: Array, constant: Array) -> float:
    terms = block.sizes(coef) + constant[:, np.newaxis]
    if block.offset is not None:
        terms = terms + np.abs(block.offset).max(axis=1)
    return float(terms[:, block.weights > 0].max(initial=0.0))
