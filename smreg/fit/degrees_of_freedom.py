"""Effective degrees of freedom of a fit."""

import numpy as np

from smreg.fit.coefficients import coordinates_of
from smreg.fit.formulation import Formulation
from smreg.objective import information
from smreg.objective.layout import Regression


def degrees_of_freedom(problem: Formulation, C: float, regression: Regression, l1_ratio: float) -> float:
    """``tr(H (H + R)^-1)`` at a solution, or with an L1 penalty the number of what is not zero."""
    if problem.layout.is_certain:
        return 0.0
    if not (penalty := problem.penalty(C, l1_ratio)).is_smooth:
        free = (len(problem.priors) - 1) * problem.fit_intercept
        return float(np.count_nonzero(regression.coef) + free - _n_shifts(problem, regression))
    objective = problem.objective(penalty)
    return information.degrees_of_freedom(objective, coordinates_of(problem.layout, objective, regression))


def _n_shifts(problem: Formulation, regression: Regression) -> int:
    """Features to whose coefficients anything can be added at no cost, with a row for each class."""
    if problem.layout.n_classes == 2:
        return 0
    return int(np.count_nonzero(regression.coef[:, problem.factors.free].any(axis=0)))
