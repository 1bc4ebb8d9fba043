r"""The model without features: intercepts alone, or without them the offsets alone.

Its logits are ``o_i + b``. Without offsets all rows have the same probabilities: those of the mean target,
the *priors*, or without intercepts of ``1 / K`` for every class. With offsets the intercepts minimise

    ``sum_i s_i [A(o_i + b) - <o_i + b, t_i>]``,

whose gradient is ``sum_i s_i p_i`` less the priors, and whose Hessian ``sum_i s_i (diag(p_i) - p_i p_i')``: a
problem of the size of the classes, for Newton's method. As all priors are positive it has a minimum whatever
the offsets are. The search begins with a step of iterative scaling, ``b + log(priors / mean p)``,
which never makes the value larger, and where all rows have one offset leads to the minimum.

References
----------
J. N. Darroch and D. Ratcliff, Generalized Iterative Scaling for Log-Linear Models, Annals of Mathematical
Statistics 43 (1972). https://doi.org/10.1214/aoms/1177692379
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smreg.data.block import Block
from smreg.data.rows import Rows
from smreg.objective.logits import log_softmax, logits
from smreg.optimize.line_search import lowest
from smreg.optimize.metric import laplacian_inverse
from smreg.optimize.solver import MAX_HALVINGS

Array = NDArray[np.float64]

LEAST_CURVATURE = 2.0**-40  # part of that of rows that are alike, where all rows are all but certain
NEAR = 2.0**-20  # decrement from which a whole step leaves nothing but rounding, as it is squared
MAX_STEPS = 100  # 3 to 5 are usual, some 20 where offsets differ by thousands of nats
FARTHEST = 100.0  # nats, of a first trial of a step
ROUNDING = 2.0**-44  # part of the value
LEAST_PROBABILITY = 2.0**-1000  # that divides


@dataclass(frozen=True)
class NullModel:
    """What the fit begins with, and is compared with.

    Attributes
    ----------
    intercept : ndarray of shape (K,)
        Intercepts of all classes.
    probabilities : ndarray of shape (K,)
        Their mean over the rows.
    information : ndarray of shape (K, K)
        The covariance of the classes, in the mean over the rows.
    value : float
        The mean cross-entropy.
    """

    intercept: Array
    probabilities: Array
    information: Array
    value: float


def null_model(rows: Rows, priors: Array, fit_intercept: bool) -> NullModel:
    """The optimum as C goes to 0, in closed form where there are no offsets.

    Parameters
    ----------
    rows : Rows
        Targets, offsets, and weights that sum to one.
    priors : ndarray of shape (K,)
        The mean target, positive with an intercept.
    fit_intercept : bool
        Whether there are intercepts.
    """
    if rows.has_offset:
        featureless, nothing = _without_features(rows), np.zeros(len(priors))
        return _fitted(featureless, priors) if fit_intercept else _model(featureless, nothing)
    if fit_intercept:
        intercept = np.log(priors)
        return NullModel(intercept, priors, _covariance(priors), float(-np.sum(priors * intercept)))
    K = len(priors)
    uniform = np.full(K, 1 / K)
    return NullModel(np.zeros(K), uniform, _covariance(uniform), float(np.log(K)))


def _covariance(probabilities: Array) -> Array:
    return _centred(np.outer(probabilities, probabilities))


def _centred(products: Array) -> Array:
    """The covariance of the classes, whose rows sum to zero, from the products of their probabilities."""
    made = -products
    np.fill_diagonal(made, 0.0)
    np.fill_diagonal(made, -made.sum(axis=0))
    return made


def _without_features(rows: Rows) -> Rows:
    """The same without X, which is not read, where that can be taken away."""
    held = rows.in_memory
    return rows if held is None else held.replaced(np.empty((held.n_samples, 0)))


def _model(rows: Rows, intercept: Array) -> NullModel:
    """That of intercepts, in one pass over the rows."""
    return NullModel(intercept, *rows.map_reduce(_moments, intercept))


def _moments(block: Block, intercept: Array) -> tuple[Array, Array, float]:
    """Sums of probabilities, information and cross-entropies."""
    log_p = log_softmax(logits(block, np.repeat(intercept[:, np.newaxis], len(block), axis=1)))
    if block.target.ndim == 1:
        linear = log_p[block.target, np.arange(len(block))]
    else:
        linear = np.einsum("ki,ik->i", log_p, block.target)
    p = np.exp(log_p)
    weighted = block.weights * p
    return weighted.sum(axis=1), _centred(weighted @ p.T), -float(block.weights @ linear)


def _fitted(rows: Rows, priors: Array) -> NullModel:
    """The minimum, by Newton's method."""
    mean = _model(rows, np.zeros(len(priors))).probabilities
    model = _model(rows, np.log(priors / np.maximum(mean, LEAST_PROBABILITY)))
    least, value, steepest = LEAST_CURVATURE * np.outer(priors, priors), math.inf, -math.inf
    for _ in range(MAX_STEPS):
        gradient = model.probabilities - priors
        step = -laplacian_inverse(np.maximum(-model.information, least)) @ gradient
        step -= step.mean()
        slope = float(gradient @ step)
        if slope > -(NEAR**2):
            is_last = slope < 0 and np.abs(step).max() <= 1  # where it is longer there is next to none
            return _model(rows, model.intercept + step) if is_last else model
        if not (model.value < value or slope > steepest):
            break  # rounding, where offsets are huge
        value, steepest = model.value, slope
        part = min(FARTHEST / np.abs(step).max(), 1.0)
        line = _Line(rows, priors, model.intercept, part * step)
        length = lowest(line, part * slope)
        highest = value + ROUNDING * max(1.0, abs(value))
        while length * 2.0**MAX_HALVINGS > 1 and not line.at(length).value <= highest:
            length /= 2  # the slope is small, but positive
        model = line.at(length)
    return model


class _Line:
    """The value along a change of the intercepts."""

    first, evaluations = 1.0, 0

    def __init__(self, rows: Rows, priors: Array, intercept: Array, step: Array) -> None:
        self._rows, self._priors, self._intercept, self._step = rows, priors, intercept, step
        self._reached: tuple[float, NullModel] | None = None

    def at(self, length: float) -> NullModel:
        """The model there."""
        if self._reached is None or self._reached[0] != length:
            self._reached = length, _model(self._rows, self._intercept + length * self._step)
        return self._reached[1]

    def slope(self, length: float) -> float:
        """The derivative in the length."""
        return float((self.at(length).probabilities - self._priors) @ self._step)

    def point(self, length: float) -> tuple[float, Array, None]:
        """Value and gradient there."""
        model = self.at(length)
        return model.value, model.probabilities - self._priors, None
