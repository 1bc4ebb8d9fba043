"""How far above its minimum a ridge objective stands: a rigorous bound, by strong convexity."""

import numpy as np
from numpy.typing import NDArray

from smreg.objective.cross_entropy import Objective
from smreg.optimize.metric import JITTER

Array = NDArray[np.float64]


def suboptimality_bound(objective: Objective, gradient: Array) -> float:
    """``sum_kj (dF/dW_kj)^2 / (2 a_kj)`` with the ridges a, in which the objective is strongly convex."""
    by_contrast, p = gradient.reshape(objective.shape), objective.rows.n_features
    strength = float(np.max(objective.penalty.ridge))
    if strength == 0:
        return float("inf")
    parts = np.broadcast_to(objective.penalty.ridge / strength, (len(by_contrast), p))
    free = np.column_stack([parts == 0, np.ones((len(parts), by_contrast.shape[1] - p), dtype=bool)])
    if (np.abs(by_contrast[free]) > JITTER).any():  # of whose square nothing is left
        return float("inf")
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        squares = (by_contrast[:, :p] * objective.coordinates.scale) ** 2
        return float(np.sum(np.where(parts > 0, squares / parts, 0.0)) / (2 * strength))
