"""Softmax regression on plain arrays: from targets and weights to coefficients and their record."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from smreg import fisher, solver
from smreg.design import DesignMatrix
from smreg.objective import Objective, Sample
from smreg.rowspace import RowSpace, is_wide
from smreg.singletons import Singletons, has_singletons
from smreg.unpenalised import is_separated, least_norm
from smreg.validation import Targets

Array = NDArray[np.float64]

# Logit of a class without weight. The other classes' logits sum to zero, so that the largest is at
# least zero and the probability of this class is below exp(-300), and at a temperature of 10 below 1e-13.
ABSENT = -300.0

# Penalties 1 / (C S) beyond this give the same probabilities, the priors, and would overflow.
MAX_PENALTY = 1e300

EXACT = 2.0**-44  # an intercept's gradient below this is the rounding error of zero


@dataclass(frozen=True)
class Solution:
    """How a fit ended: the record of the solve.

    Attributes
    ----------
    objective : float
        Penalised mean cross-entropy at the coefficients, in nats.
    gradient_norm : float
        Norm of its gradient in the Fisher metric, in square roots of nats: what `tol` bounds.
    suboptimality : float
        ``gradient_norm**2 / 2``, the estimated excess of `objective` over its minimum, in nats.
    suboptimality_bound : float
        An upper bound on that excess, in nats, by strong convexity; inf where none is known: without
        a penalty, or with an intercept whose gradient is not zero to rounding.
    distance : float
        ``sqrt(total weight) * gradient_norm``, the estimated distance from the optimum in units of the
        standard error along the direction in which the coefficients are off.
    evaluations, iterations, refreshes : int
        Computations of objective and gradient; steps; renewals of the metric.
    seconds : float
        Wall time, without the validation of the input.
    converged : bool
        Whether a finite optimum was reached within `tol`.
    reason : {"converged", "max_iter", "rounding", "callback", "separation"}
        What ended the search: see `explain`.
    """

    objective: float
    gradient_norm: float
    suboptimality: float
    suboptimality_bound: float
    distance: float
    evaluations: int
    iterations: int
    refreshes: int
    seconds: float
    converged: bool
    reason: str

    def explain(self, tol: float, max_iter: int) -> str:
        """Say in words where the search ended and, if it did not converge, what to change."""
        where = (
            f"the gradient's norm in the Fisher metric is {self.gradient_norm:.2g} after "
            f"{self.evaluations} evaluation{'s' * (self.evaluations != 1)}, with tol={tol:g}"
        )
        if self.reason == "separation":
            return (
                "The classes are separated (complete or quasi-complete separation): without a "
                "penalty the likelihood grows forever along some direction, and no finite "
                "coefficients maximise it. The coefficients are the finite ones at which the search "
                f"stopped ({where}). Set C to a finite value, or remove what separates the classes."
            )
        return {
            "converged": f"The fit converged: {where}.",
            "callback": f"A callback stopped the fit: {where}.",
            "max_iter": (
                f"The fit did not converge: {where}. Increase max_iter, now {int(max_iter)}, or tol."
            ),
            "rounding": (
                f"The fit did not converge to tol, which floating-point arithmetic does not allow here: "
                f"{where}. The objective's estimated excess over its minimum is {self.suboptimality:.0e} "
                "nats: if that is close enough, increase tol."
            ),
        }[self.reason]


@dataclass(frozen=True)
class Regression:
    """Coefficients (rows, n_features) and intercepts (rows,), in the units of X.

    There is a row for every class, or for two classes a single one, for the second.
    """

    coef: Array
    intercept: Array


OnIteration = Callable[[Callable[[], Regression], float, float], bool]


def regress(
    design: DesignMatrix,
    targets: Targets,
    weights: Array,
    *,
    C: float,
    fit_intercept: bool,
    tol: float,
    max_iter: int,
    start: Regression | None = None,
    on_iteration: OnIteration | None = None,
) -> tuple[Regression, Solution]:
    """Minimise the penalised cross-entropy.

    Parameters
    ----------
    design : DesignMatrix
        The features.
    targets : Targets
        Labels or soft targets, with class weights already merged in.
    weights : ndarray of shape (n_samples,)
        Positive in at least two classes.
    C : float
        Inverse strength of the penalty; inf for none.
    fit_intercept : bool
        Whether there is an intercept; it is not penalised.
    tol : float
        Largest norm of the gradient in the Fisher metric.
    max_iter : int
        Most steps.
    start : Regression or None
        Where to begin; None for the intercept-only model.
    on_iteration : callable or None
        ``(regression, objective, norm) -> stop``, called after every step; the regression is a function
        that makes it.

    Returns
    -------
    Regression, Solution
        The coefficients and the record of how they were found.
    """
    began = perf_counter()
    solve = partial(
        _solve, targets=targets, weights=weights, C=C, fit_intercept=fit_intercept, tol=tol, max_iter=max_iter
    )
    space = _reduction(design, targets, weights, C, fit_intercept)
    if space is None:
        regression, solution = solve(design, start=start, on_iteration=on_iteration)
    else:

        def expand(made: Regression) -> Regression:
            return Regression(*space.expand(made.coef, made.intercept))

        def told(regression: Callable[[], Regression], objective: float, norm: float) -> bool:
            return on_iteration is not None and on_iteration(lambda: expand(regression()), objective, norm)

        begin = start and Regression(*space.restrict(start.coef, start.intercept))
        regression, solution = solve(space.coordinates, start=begin, on_iteration=told)
        regression = expand(regression)
    return regression, replace(solution, seconds=perf_counter() - began)


def _reduction(
    design: DesignMatrix, targets: Targets, weights: Array, C: float, fit_intercept: bool
) -> RowSpace | Singletons | None:
    """Fewer features that say the same, if there are."""
    if is_wide(design, len(targets.classes)):
        with np.errstate(over="ignore", under="ignore"):
            penalty = 1.0 / (C * weights.sum())
        return RowSpace(design, weights / weights.max(), centred=fit_intercept, penalty=penalty)
    return Singletons(design) if has_singletons(design) else None


def _solve(
    design: DesignMatrix,
    *,
    targets: Targets,
    weights: Array,
    C: float,
    fit_intercept: bool,
    tol: float,
    max_iter: int,
    start: Regression | None,
    on_iteration: OnIteration | None,
) -> tuple[Regression, Solution]:
    largest = weights.max()
    relative = weights / largest  # whose sum does not overflow
    layout = _Layout.of(targets, relative, fit_intercept)
    sample, total = layout.sample(targets, relative)
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        total_weight = total * largest
        penalty = float(min(np.divide(1.0, C * largest * total), MAX_PENALTY))
    objective = Objective(
        design,
        sample,
        penalty=penalty,
        fit_intercept=fit_intercept,
        single_row=layout.n_classes == 2,
    )
    report = None
    if on_iteration is not None:

        def report(point: solver.Point) -> bool:
            return on_iteration(
                lambda: layout.expand(*objective.coefficients(point.x)), point.value, point.norm
            )

    minimum = _search(objective, layout, start, tol, max_iter, report)
    phi, reason = minimum.point.x, minimum.reason
    if penalty == 0 and reason != "callback":
        if is_separated(objective, phi, None if reason == "max_iter" else minimum.newton_step):
            reason = "separation"
        else:
            phi = least_norm(objective, phi)
    solution = replace(
        _record(objective, minimum, total_weight),
        evaluations=minimum.evaluations + (start is not None),
        converged=reason == "converged",
        reason=reason,
    )
    return layout.expand(*objective.coefficients(phi)), solution


def _record(objective: Objective, minimum: solver.Minimum, total_weight: float) -> Solution:
    """What the solver found, as the user is told."""
    norm = minimum.point.norm
    return Solution(
        objective=minimum.point.value,
        gradient_norm=norm,
        suboptimality=norm**2 / 2,
        suboptimality_bound=_bound(objective, minimum.point.gradient),
        distance=float(np.sqrt(total_weight)) * norm,
        evaluations=minimum.evaluations,
        iterations=minimum.iterations,
        refreshes=minimum.refreshes,
        seconds=0.0,
        converged=minimum.reason == "converged",
        reason=minimum.reason,
    )


def _search(
    objective: Objective,
    layout: "_Layout",
    start: Regression | None,
    tol: float,
    max_iter: int,
    report: Callable[[solver.Point], bool] | None,
) -> solver.Minimum:
    """Run the solver from the intercept-only model, or from coefficients that are given."""
    phi, warm = objective.start(), False
    if start is not None:  # a start worse than none, as after a change of units, is not taken
        given = objective.coordinates(*layout.restrict(start))
        warm = objective(given)[0] <= objective.start_value
        phi = given if warm else phi
    null = [fisher.null_metric(objective)]
    ways = fisher.renewals(objective, null[0])
    return solver.minimize(
        objective,
        phi,
        null.pop,
        ways,
        tol=tol,
        max_iter=max_iter,
        warm=warm,
        on_iteration=report or (lambda point: False),
    )


def _bound(objective: Objective, gradient: Array) -> float:
    """``||dF/dW||^2 / (2 gamma)``: the penalty makes the objective strongly convex in W."""
    by_contrast = gradient.reshape(objective.shape)
    p = objective.design.n_features
    if objective.penalty == 0 or (np.abs(by_contrast[:, p:]) > EXACT).any():
        return float("inf")
    with np.errstate(over="ignore"):
        squares = (by_contrast[:, :p] * objective.scale) ** 2
        return float(np.sum(squares) / (2 * objective.penalty))


@dataclass(frozen=True)
class _Layout:
    """Which classes take part: with an intercept, those that have weight.

    The intercept of a class without weight would go to minus infinity, and its coefficients to zero,
    without any effect on the others: it is left out, and put back with the logit `ABSENT`.
    """

    n_classes: int
    live: NDArray[np.int64]

    @classmethod
    def of(cls, targets: Targets, weights: Array, fit_intercept: bool) -> "_Layout":
        mass = targets.mass(weights)
        live = np.flatnonzero(mass > 0)
        return cls(len(mass), live if fit_intercept else np.arange(len(mass)))

    def sample(self, targets: Targets, weights: Array) -> tuple[Sample, float]:
        """Targets among the live classes, with normalised weights, and the sum of the weights."""
        total = float(weights.sum())
        values = targets.values
        if len(self.live) < self.n_classes:
            if values.ndim == 1:
                codes = np.zeros(self.n_classes, dtype=np.int64)
                codes[self.live] = np.arange(len(self.live))
                values = codes[values]
            else:
                values = values[:, self.live]
        priors = targets.mass(weights)[self.live] / total
        return Sample(values, weights / total, priors), total

    def expand(self, coef: Array, intercept: Array) -> Regression:
        """Rows for all classes, with intercepts that sum to zero."""
        if len(self.live) == self.n_classes:
            return Regression(coef, intercept)
        full_coef = np.zeros((self.n_classes, coef.shape[1]))
        full_intercept = np.full(self.n_classes, ABSENT)
        full_coef[self.live], full_intercept[self.live] = coef, intercept
        return Regression(full_coef, full_intercept - full_intercept.mean())

    def restrict(self, start: Regression) -> tuple[Array, Array]:
        """Rows of the live classes."""
        if self.n_classes == 2:
            return start.coef, start.intercept
        return start.coef[self.live], start.intercept[self.live]
