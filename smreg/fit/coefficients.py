"""Coefficients of all classes and features, from the coordinates of a search, and back."""

import numpy as np
from numpy.typing import NDArray

from smreg.objective.cross_entropy import Objective
from smreg.objective.layout import Layout, Regression
from smreg.objective.penalty import Penalty

Array = NDArray[np.float64]


def regression_at(
    layout: Layout, objective: Objective, phi: Array, penalty: Penalty | None = None
) -> Regression:
    """The coefficients of all classes at a point: without a penalty, of all with its probabilities the least.

    The penalty is that of the objective unless another is given.
    """
    coef, intercept = objective.coefficients(phi)
    if objective.nulls is not None:
        least = objective.nulls.least_norm(coef)
        coef, intercept = least, intercept + (coef - least) @ objective.coordinates.mean
    unpenalised = (penalty or objective.penalty).unpenalised
    if objective.coordinates.is_symmetric and unpenalised.any():
        coef -= np.where(unpenalised, coef.mean(axis=0), 0.0)
    return layout.expand(coef, intercept)


def coordinates_of(layout: Layout, objective: Objective, regression: Regression) -> Array:
    """The coordinates of a search at which a model stands."""
    coef, intercept = layout.restrict(regression)
    if objective.nulls is not None:
        eliminated = objective.nulls.eliminated(coef)
        coef, intercept = eliminated, intercept + (coef - eliminated) @ objective.coordinates.mean
    return objective.coordinates.of(coef, intercept)
