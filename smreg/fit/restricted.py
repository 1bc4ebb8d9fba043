"""Separation by some coefficients of a feature, where those of other classes are held at zero.

The definitions are those of `smreg.fit.separation`, for directions in which what is held does not change.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smreg.fit.overlap import has_overlap, is_direction_near
from smreg.fit.recession import has_recession_direction, is_complete
from smreg.fit.separation import LEAST_SMOOTHING, SMOOTHING, Budget
from smreg.objective.costs import evaluation_cost
from smreg.objective.cross_entropy import Objective
from smreg.objective.logits import Direction
from smreg.objective.working import Hessians
from smreg.optimize.metric import DenseMetric
from smreg.optimize.quadratic import DenseQuadratic

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

BUDGET = Budget()


class _Restricted(Objective):
    """An objective at any point, along directions in which only some coordinates change."""

    def __init__(self, objective: Objective, members: Bools) -> None:
        super().__init__(objective.loss, objective.penalty, objective.coordinates)
        self.evaluations, self.members = objective.evaluations, members

    def direction(self, phi: Array) -> Direction:
        return super().direction(np.where(self.members.ravel(), phi, 0.0))

    def pull_back(self, coef_gradient: Array, intercept_gradient: Array) -> Array:
        return np.where(self.members.ravel(), super().pull_back(coef_gradient, intercept_gradient), 0.0)


@dataclass(frozen=True)
class _Among:
    """A metric of some coordinates."""

    metric: DenseMetric
    members: Bools

    is_hessian = False

    def whiten(self, gradient: Array) -> Array:
        """``A g``."""
        return self.metric.whiten(gradient[self.members])

    def unwhiten(self, step: Array) -> Array:
        """``A' v``."""
        full = np.zeros(len(self.members))
        full[self.members] = self.metric.unwhiten(step)
        return full


def is_separated_among(
    hessians: Hessians, members: Bools, theta: Array, budget: Budget = BUDGET
) -> bool | None:
    """Whether the classes are separated by some coordinates, from a point; None if that is not decided.

    Parameters
    ----------
    hessians : Hessians
        Of the loss, in coordinates with a row for each class.
    members : ndarray of bool of shape (rows, width)
        Those that are free.
    theta : ndarray of shape (rows, width)
        A point near the minimum, if there is one, or far out.
    budget : Budget
        What it may cost.
    """
    objective, phi = _Restricted(hessians.loss, members), theta.ravel()
    if is_complete(objective, phi):
        return True
    null, near = _metric(hessians, members, objective.start()), _metric(hessians, members, phi)
    if null is None or near is None:
        return None
    if has_overlap(objective, phi, null, near, SMOOTHING, budget.passes):
        return False
    free = np.flatnonzero(members)
    if len(free) <= budget.program:
        allowance = budget.allowance(objective.evaluations * evaluation_cost(objective))
        found = has_recession_direction(objective, np.eye(phi.size)[:, free], allowance)
        if found is not None:
            return found
    if is_direction_near(objective, phi, null, budget.passes):
        return True
    return False if has_overlap(objective, phi, null, near, LEAST_SMOOTHING, budget.passes) else None


def _metric(hessians: Hessians, members: Bools, phi: Array) -> _Among | None:
    """The Hessian at a point among some coordinates, if it is a matrix."""
    nothing = np.zeros(np.count_nonzero(members))
    hessian = hessians.at(phi.reshape(members.shape), members, nothing, 1.0, sampled=False)
    if not isinstance(hessian, DenseQuadratic):
        return None
    return _Among(DenseMetric(hessian.matrix), members.ravel())
