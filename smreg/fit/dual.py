"""Points of wide sparse data in the row space: a vector for each row, by which the features are combined.

With ``W = V' X`` all that is needed of X is the product with ``G = X X'``; see `smreg.fit.rownewton`.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from smreg.data.kernels import sum_of
from smreg.objective.cross_entropy import Objective
from smreg.objective.logits import below_largest, exponentials
from smreg.optimize.line_search import LEVEL, lowest
from smreg.optimize.solver import MAX_HALVINGS, ROUNDING

Array = NDArray[np.float64]


@dataclass(frozen=True)
class State:
    """A point: V, ``E = G V``, the intercept, the objective, and the probabilities."""

    dual: Array
    predictors: Array
    intercept: Array
    value: float
    probabilities: Array


@dataclass(frozen=True)
class Step:
    """Changes of V, of E and of the intercept, and a bound from above of ``||g||_{H^-1}`` of the damped H.

    The bound is infinite where conjugate gradients did not come to the end.
    """

    dual: Array
    predictors: Array
    intercept: Array
    norm: float


class DualRows:
    """The rows that have weight, with all classes: two classes with one row count as two of opposite sign.

    Parameters
    ----------
    objective : Objective
        Of sparse rows in memory.
    rank : int
        Dense columns times classes: the matrix of 128 takes about as long to make as a product.
    """

    def __init__(self, objective: Objective, rank: int = 128) -> None:
        self.objective, self.products = objective, 0
        rows = objective.rows.in_memory
        assert rows is not None
        used, n_classes = np.flatnonzero(rows.weights), rows.n_classes
        self.weights, target = rows.weights[used, np.newaxis], rows.targets.values[used]
        self.target = np.eye(n_classes)[target] if target.ndim == 1 else target.astype(np.float64)
        self.has_reference = objective.coordinates.has_reference
        self.penalty = float(objective.penalty.ridge) * (2.0 if self.has_reference else 1.0)
        self.known = 0.0 if rows.offset is None else rows.offset[used]  # that no coefficient changes
        X = rows.csr
        self.columns = (X if len(used) == X.shape[0] else X[used]).T.astype(np.float64).tocsr()
        ends = np.searchsorted(self.columns.indptr, np.linspace(0, self.columns.nnz, 5))  # for threads
        parts = [self.columns[first:last] for first, last in pairwise(ends)]
        self.parts = [(part, part.T) for part in parts if part.shape[0]]
        squares = np.asarray(self.columns.multiply(self.columns).sum(axis=0)).ravel()
        mean = objective.coordinates.mean
        largest = np.argsort(-objective.coordinates.spread, kind="stable")[: rank // n_classes]
        self.dense = self.columns[largest].toarray().T - mean[largest]
        squares += mean @ mean - 2 * (self.columns.T @ mean) - inner(self.dense, self.dense)[:, 0]
        self.diagonal = np.maximum(squares, 0.0)[:, np.newaxis]
        self.size = float(np.vdot(self.weights, self.diagonal)) / len(used)

    def gram(self, dual: Array) -> Array:
        """``G V``."""
        self.products += 1
        return sum_of(self.objective.rows.thread_map(lambda part: part[1] @ (part[0] @ dual), self.parts))

    def state(self, dual: Array, predictors: Array, intercept: Array) -> State:
        """The point with its value."""
        eta = predictors + intercept + self.known
        below_largest(eta.T)
        linear = inner(eta, self.target)
        total = exponentials(eta.T)[:, np.newaxis]
        eta /= total
        loss = float(np.vdot(self.weights, np.log(total) - linear))
        value = loss + self.penalty / 2 * float(np.vdot(dual, predictors))
        return State(dual, predictors, intercept, value, eta)

    def state_at(self, phi: Array) -> State:
        """The point of coordinates that may be an optimum, so that V is in proportion to the residuals."""
        coef, intercept = self.objective.coefficients(phi)
        if self.has_reference:
            coef, intercept = np.stack([-coef[0], coef[0]]) / 2, np.array([-0.5, 0.5]) * intercept
        nothing = np.zeros_like(self.target)
        if not coef.any():
            return self.state(nothing, nothing, intercept)
        predictors = self.columns.T @ np.ascontiguousarray(coef.T)
        dual = self.residuals(self.state(nothing, predictors, intercept))
        image = self.gram(dual)
        squared = float(np.vdot(dual, image))
        factor = float(np.vdot(dual, predictors)) / squared if squared > 0 else 0.0
        return self.state(factor * dual, factor * image, intercept)

    def residuals(self, state: State) -> Array:
        """``s (p - t)``."""
        return self.weights * (state.probabilities - self.target)

    def followed(self, state: State, step: Step) -> State | None:
        """The point near the minimum along a step, or at its end; None if the objective does not fall.

        Where the objective still falls at the end of a damped step, the next model knows better how far.
        """
        line = DualLine(self, state, step)
        slope = line.slope(0.0)
        if not slope < 0:
            return None
        length = 1.0 if line.slope(1.0) <= -LEVEL * slope else lowest(line, slope)
        while length * 2.0**MAX_HALVINGS > 1:
            reached = line.state(length)
            if reached.value <= state.value + ROUNDING * max(1.0, abs(state.value)):
                return reached
            length /= 2  # its slope is small, but positive
        return None

    def coordinates(self, state: State) -> Array:
        """The point in the coordinates of the objective."""
        coef, intercept = np.asarray((self.columns @ state.dual).T), state.intercept
        if self.has_reference:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        return self.objective.coordinates.of(coef, intercept)


class DualLine:
    """The objective along a step, on which neither X nor G is read."""

    first = 1.0

    def __init__(self, rows: DualRows, state: State, step: Step) -> None:
        self.rows, self.before, self.step = rows, state, step
        self.changes = step.predictors + step.intercept
        self.linear = rows.penalty * float(np.vdot(state.dual, step.predictors))
        self.quadratic = rows.penalty * float(np.vdot(step.dual, step.predictors))

    def slope(self, length: float) -> float:
        """The derivative in the length."""
        residuals = self.rows.residuals(self.state(length))
        return float(np.vdot(residuals, self.changes)) + self.linear + length * self.quadratic

    def state(self, length: float) -> State:
        """The point at a length."""
        if not length:
            return self.before
        before, step = self.before, self.step
        return self.rows.state(
            before.dual + length * step.dual,
            before.predictors + length * step.predictors,
            before.intercept + length * step.intercept,
        )


def inner(v: Array, w: Array) -> Array:
    """The inner product of every row, as a column."""
    return np.asarray(np.einsum("ik,ik->i", v, w))[:, np.newaxis]
