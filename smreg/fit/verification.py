"""What a fit reports is what its coefficients give.

Where a smaller problem was solved in the place of the one as given (see `Problem.is_reduced`), the objective
is computed once more, from the coefficients in the precision in which they are kept, and the features as
they came. It must be that of the record up to the rounding of the logits: else the problem is solved as
given, and where that does not help either the record says what the coefficients give, and that floating
point did not allow more. So it is of the folds of a search, whose coefficients are all applied in one pass.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smreg.data.design import DesignMatrix, predictors, sum_of
from smreg.fit.regression import OnIteration, Problem
from smreg.fit.solution import Solution
from smreg.objective.layout import Regression

Array = NDArray[np.float64]
Fit = tuple[Regression, Solution]

ROUNDING = 2.0**-40  # relative, of the sums over rows and features


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
    """The fit in terms of the features as they came, with a record that is that of its coefficients.

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
    if difference <= ROUNDING * max(1.0, abs(value)):
        return True
    return difference <= float(np.finfo(dtype).eps) * _largest_logit(problem, kept)


def _kept(regression: Regression, dtype: Any) -> Regression:
    """The coefficients in the precision in which they are kept."""
    coef, intercept = regression.in_precision(dtype)
    return Regression(coef.astype(np.float64), intercept.astype(np.float64))


def verified_parts(
    problem: Problem,
    parts: Sequence[tuple[Problem, NDArray[np.intp]]],
    fits: Sequence[Fit],
    C: float,
    *,
    dtype: Any,
    **options: Any,
) -> list[Fit]:
    """The same of fits to some of the rows each, in one pass over all of them where they agree.

    Parameters
    ----------
    problem : Problem
        Of all samples.
    parts : sequence of tuples of Problem and ndarray of int
        Made by its `part`, and the rows.
    fits : sequence of tuples of Regression and Solution
        What solving them has given.
    C, dtype, **options : float, dtype, dict
        As for `verified`.
    """
    expanded = [part.expand(regression) for (part, _), (regression, _) in zip(parts, fits, strict=True)]
    reduced = [k for k, (part, _) in enumerate(parts) if part.is_reduced(C)]
    kept = [_kept(expanded[k], dtype) for k in reduced]
    losses = _losses(
        problem.given, [(*parts[k], regression) for k, regression in zip(reduced, kept, strict=True)]
    )
    made = [(regression, fit[1]) for regression, fit in zip(expanded, fits, strict=True)]
    for k, regression, loss in zip(reduced, kept, losses, strict=True):
        part, (_, solution) = parts[k][0], fits[k]
        value = loss + part.penalty(C, options["l1_ratio"]).value(regression.coef)
        if not abs(value - solution.objective) <= ROUNDING * max(1.0, abs(value)):
            made[k] = verified(part, fits[k], C, dtype=dtype, **options)
    return made


def _losses(design: DesignMatrix, parts: Sequence[tuple[Problem, NDArray[np.intp], Regression]]) -> Array:
    """Mean cross-entropy of each part of the rows by its coefficients."""
    if not parts:
        return np.empty(0)
    restricted = [part.layout.restrict(regression) for part, _, regression in parts]
    coef = np.concatenate([coef for coef, _ in restricted])
    intercept = np.concatenate([intercept for _, intercept in restricted]) + coef @ design.offset
    ends, terms = np.cumsum([len(coef) for coef, _ in restricted]), [part.loss for part, _, _ in parts]

    def losses(rows: slice) -> Array:
        eta = predictors(design.block(rows), coef) + intercept[:, np.newaxis]
        made = []
        for (_, index, _), loss, own in zip(parts, terms, np.split(eta, ends[:-1]), strict=True):
            members = np.flatnonzero((index >= rows.start) & (index < rows.stop))
            logits = loss.logits(members, own[:, index[members] - rows.start])
            made.append(loss.value_and_residuals(members, logits)[0])
        return np.array(made)

    with np.errstate(over="ignore", invalid="ignore"):
        return sum_of(design.map(losses, len(coef)))


def objective_of(problem: Problem, regression: Regression, C: float, l1_ratio: float) -> float:
    """The objective that coefficients give, in one pass over the features as they came."""
    design = problem.given
    (loss,) = _losses(design, [(problem, np.arange(design.n_samples), regression)])
    return problem.penalty(C, l1_ratio).value(regression.coef) + float(loss)


def _largest_logit(problem: Problem, regression: Regression) -> float:
    """The largest sum of the sizes of a logit's terms, which tells how far rounding them goes."""
    coef, intercept = problem.layout.restrict(regression)
    design, weights = problem.given, problem.sample.weights
    at_offset = np.abs(intercept) + np.abs(coef) @ np.abs(design.offset)

    def size(rows: slice) -> float:
        terms = predictors(abs(design.block(rows)), np.abs(coef)) + at_offset[:, np.newaxis]
        return float(terms[:, weights[rows] > 0].max(initial=0.0))

    return max(design.map(size, len(problem.sample.priors)))
