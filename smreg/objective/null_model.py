"""The model without features: intercepts alone, or without them the same probability for all classes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class NullModel:
    """What the fit begins with, and is compared with.

    Attributes
    ----------
    intercept : ndarray of shape (K,)
        Intercepts of all classes.
    probabilities : ndarray of shape (K,)
        Their mean over the rows.
    value : float
        The mean cross-entropy.
    """

    intercept: Array
    probabilities: Array
    value: float

    @property
    def information(self) -> Array:
        """The covariance of the classes, of shape (K, K)."""
        made = np.outer(-self.probabilities, self.probabilities)
        np.fill_diagonal(made, 0.0)
        np.fill_diagonal(made, -made.sum(axis=0))
        return made


def null_model(priors: Array, fit_intercept: bool) -> NullModel:
    """That of logits without a constant part: the priors, the optimum as C goes to 0, in closed form."""
    if not fit_intercept:
        K = len(priors)
        return NullModel(np.zeros(K), np.full(K, 1 / K), float(np.log(K)))
    log_priors = np.log(priors)
    return NullModel(log_priors, priors, float(-np.sum(priors * log_priors)))
