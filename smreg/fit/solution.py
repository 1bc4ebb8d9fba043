"""The record of a solve, and with the coefficients a fit."""

from dataclasses import dataclass, replace

import numpy as np

from smreg.objective.layout import Regression


@dataclass(frozen=True)
class Solution:
    """How a fit ended: the record of the solve.

    Attributes
    ----------
    objective : float
        Penalised mean cross-entropy at the coefficients, in nats. With `bias_reduction` the penalty is
        ``-(log det I - log det I_0) / (2 S)``, where the information ``I_0`` is that of the model without
        features: it has no units.
    gradient_norm : float
        Norm of its gradient in the Fisher metric, in square roots of nats: what `tol` bounds. With an L1
        penalty it is the length of the next proximal Newton step in that metric, which without one is the
        same; with `bias_reduction` the metric is the Hessian of `objective`.
    suboptimality : float
        ``gradient_norm**2 / 2``, the estimated excess of `objective` over its minimum, in nats.
    suboptimality_bound : float
        An upper bound on that excess, in nats, by strong convexity; inf where none is known: without
        a penalty, or with an intercept, or another coefficient that has none, whose gradient is not zero to
        rounding. With an L1 penalty it is
        the duality gap, which is finite, but far from tight where the penalty is below the rounding of the
        gradient.
    distance : float
        ``sqrt(total weight) * gradient_norm``, the estimated distance from the optimum in units of the
        standard error along the direction in which the coefficients are off.
    evaluations, iterations, refreshes : int
        Computations of objective and gradient; steps; refreshes of the preconditioner.
    seconds : float
        Wall time, without the validation of the input.
    converged : bool
        Whether a finite optimum was reached within `tol`.
    reason : {"converged", "max_iter", "rounding", "callback", "separation", "undecided"}
        What ended the search: see `explain`. It is "separation" where the classes are known to be separated
        by coefficients without a penalty, so that there is no optimum, and "undecided" where `tol` was
        reached, but they may be.
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

    @property
    def duality_gap(self) -> float:
        """Difference of the objective and a value of the dual problem, in nats: the `suboptimality_bound`.

        For the ridge penalty alone the two are the same number, too: that of the dual point which the
        probabilities themselves are.
        """
        return self.suboptimality_bound

    def explain(self, tol: float, max_iter: int) -> str:
        """A message: where the search ended and, if it did not converge, what to change."""
        where = (
            f"the gradient's norm in the Fisher metric is {self.gradient_norm:.2g} after "
            f"{self.evaluations} evaluation{'s' * (self.evaluations != 1)}, with tol={tol:g}"
        )
        if self.reason == "separation":
            return (
                "The classes are separated (complete or quasi-complete separation): without a "
                "penalty the likelihood grows forever along some direction, and no finite "
                "coefficients maximise it. The coefficients are the finite ones at which the search "
                f"stopped ({where}). Set C to a finite value, and no penalty factor to zero, or, in "
                "SoftmaxRegression, bias_reduction=True, or remove what separates the classes: "
                "smreg.separation names the coefficients concerned."
            )
        if self.reason == "undecided":
            return (
                "The classes may be separated (complete or quasi-complete separation): not decided. The "
                "search came to its end, but some probabilities still go to zero or one, as they do where "
                "the likelihood grows forever along some direction and no finite coefficients maximise it. "
                f"The coefficients are the finite ones at which the search stopped ({where}). Set C to a "
                "finite value, and no penalty factor to zero, or, in SoftmaxRegression, bias_reduction=True, "
                "or remove what separates the classes, if smreg.separation names any; at a maximum a smaller "
                "tol decides."
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


def record(
    value: float,
    norm: float,
    bound: float,
    counts: tuple[int, int, int],
    reason: str,
    *,
    seconds: float,
    total_weight: float,
) -> Solution:
    """The record of a solve, whose counts are those of evaluations, iterations and refreshes."""
    evaluations, iterations, refreshes = counts
    return Solution(
        objective=value,
        gradient_norm=norm,
        suboptimality=norm**2 / 2,
        suboptimality_bound=bound,
        distance=float(np.sqrt(total_weight)) * norm if norm > 0 else norm,
        evaluations=evaluations,
        iterations=iterations,
        refreshes=refreshes,
        seconds=seconds,
        converged=reason == "converged",
        reason=reason,
    )


Fit = tuple[Regression, Solution]


def judged(fit: Fit, base: Fit | None) -> Fit:
    """A fit, by what is known of the coefficients that have no penalty."""
    regression, solution = fit
    reason = "" if base is None else base[1].reason
    if reason == "separation" or (reason == "undecided" and solution.converged):
        return regression, replace(solution, converged=False, reason=reason)
    return fit
