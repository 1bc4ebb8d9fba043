r"""Penalised cross-entropy of softmax regression: the data term, and the objective in coordinates.

With weights ``s_i`` that sum to one the objective is

    ``F(W, b) = L + R,   L(W, b) = sum_i s_i [A(eta_i) - <eta_i, t_i>],   eta_i = W x_i + b``,

whose gradient is, by ``grad A = p`` (see `smreg.family`),

    ``dF/dW = sum_i s_i (p_i - t_i) x_i' + dR/dW,   dF/db = sum_i s_i (p_i - t_i)``.

The penalty R is that of `smreg.objective.penalty`: for ``C`` and the sum ``S`` of the weights as they came it
is ``gamma/2 ||W||^2`` with ``gamma = 1 / (C S)``. The solver sees W and b in the coordinates of
`smreg.objective.coordinates`.

**Points and directions.** Logits at a point may have a part that no coefficient changes; their changes along
a direction have none.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from smreg.data.design import DesignMatrix, predictors, scores, sum_of
from smreg.objective.coordinates import Coordinates
from smreg.objective.null_model import NullModel, null_model
from smreg.objective.penalty import Penalty
from smreg.optimize.line_search import EvaluatedLine, Line

Array = NDArray[np.float64]
Result = TypeVar("Result")
Logits = dict[int, Array]  # of the blocks of rows, by their first row

MAX_NUMBERS = 2**25  # logits and their changes that are kept: 512 MiB
MAX_CHANGE = 2.0**10  # nats: what is added to logits leaves them exact to 2**-42
Coefficients = tuple[Array, Array]  # (rows, n_features) and (rows,), for X as it is read


@dataclass(frozen=True)
class Sample:
    """What the regression is fitted to, one entry a row of X.

    Attributes
    ----------
    target : ndarray of int of shape (n,), or of float of shape (n, K)
        Class codes 0, ..., K - 1, or points of the simplex.
    weights : ndarray of shape (n,)
        Non-negative, summing to one.
    priors : ndarray of shape (K,)
        Weighted mean of the target: positive, but for classes without weight where there are no intercepts.
    """

    target: NDArray[np.int64] | Array
    weights: Array
    priors: Array

    def add_targets(self, q: Array, rows: slice, part: float) -> Array:
        """``q + part t`` of a block of rows, of shape (K, n_rows), in the place of q."""
        target = self.target[rows]
        if target.ndim == 1:
            q[target, np.arange(len(target))] += part
        else:
            q += part * target.T
        return q


@dataclass(frozen=True)
class CrossEntropy:
    """The data term: the mean cross-entropy, as a function of linear predictors.

    Attributes
    ----------
    design : DesignMatrix
        The features.
    sample : Sample
        Targets and weights.
    """

    design: DesignMatrix
    sample: Sample

    def null_model(self, fit_intercept: bool) -> NullModel:
        """The model without features."""
        return null_model(self.sample.priors, fit_intercept)

    def logits(self, rows: slice | NDArray[np.int64], predicted: Array) -> Array:
        """Those of all classes (K, n_rows) at a point, from linear predictors in rows of coefficients."""
        return self.changes(rows, predicted)

    def changes(self, rows: slice | NDArray[np.int64], predicted: Array) -> Array:
        """The same along a direction; zero in rows without weight."""
        n_reference = len(self.sample.priors) - len(predicted)
        if n_reference:
            predicted = np.concatenate([np.zeros((n_reference, predicted.shape[1])), predicted])
        if self.has_zero_weights:  # whatever X holds there, it must not count
            predicted[:, self.sample.weights[rows] == 0] = 0.0
        return predicted

    @cached_property
    def has_zero_weights(self) -> bool:
        """Whether some rows do not count."""
        return bool((self.sample.weights == 0).any())

    def value_and_residuals(self, rows: slice | NDArray[np.int64], eta: Array) -> tuple[float, Array]:
        """``sum_i s_i [A(eta_i) - <eta_i, t_i>]`` and ``s_i (p_i - t_i)``, logits turned in place."""
        s, target = self.sample.weights[rows], self.sample.target[rows]
        with np.errstate(invalid="ignore"):
            eta -= eta.max(axis=0)
        if target.ndim == 1:
            at_label = target, np.arange(len(target))
            linear = eta[at_label]
        else:
            linear = np.einsum("ki,ik->i", eta, target)
        np.exp(eta, out=eta)
        total = eta.sum(axis=0)
        loss = float(np.dot(s, np.log(total) - linear))  # A(eta) - <eta, t>
        eta *= s / total
        if target.ndim == 1:
            eta[at_label] -= s
        else:
            eta -= s * target.T
        return loss, eta


class Objective:
    """The penalised cross-entropy as a function of the solver's coordinates.

    Parameters
    ----------
    loss : CrossEntropy
        The data term.
    penalty : Penalty
        Smooth, and the same for all classes unless the coordinates have a row for each.
    coordinates : Coordinates
        Those of the solver.

    Attributes
    ----------
    curvature : ndarray of shape (1, width), or (rows, width) where it is not the same for all classes
        That of the penalty in the coordinates, zero for the intercept.
    evaluations : int
        How often it was computed.
    """

    def __init__(self, loss: CrossEntropy, penalty: Penalty, coordinates: Coordinates) -> None:
        self.loss, self.penalty, self.coordinates = loss, penalty, coordinates
        self.design, self.sample, self.shape = loss.design, loss.sample, coordinates.shape
        self.null = loss.null_model(coordinates.fit_intercept)
        self.curvature = np.asarray(penalty.within(coordinates).ridge)
        self.evaluations = 0

    def __call__(self, phi: Array) -> tuple[float, Array]:
        """Objective and gradient at `phi`, in one pass over the rows."""
        self.evaluations += 1
        at = coef, intercept = self._as_read(phi)

        def block(rows: slice) -> tuple[float, Array, Array]:
            X = self.design.block(rows)
            loss, residuals = self.loss.value_and_residuals(rows, self.loss.logits(rows, _predicted(X, at)))
            residuals = residuals[-len(coef) :]
            return loss, scores(X, residuals), residuals.sum(axis=1)

        value, coef_gradient = self.penalty.value(coef), self.penalty.gradient(coef)
        intercept_gradient = np.zeros_like(intercept)
        for loss, block_scores, total in self.design.map(block, len(self.sample.priors)):
            value += loss
            coef_gradient += block_scores
            intercept_gradient += total
        return value, self.pull_back(coef_gradient, intercept_gradient)

    def pull_back(self, coef_gradient: Array, intercept_gradient: Array) -> Array:
        """A gradient in the coordinates from those in coefficients and intercepts as X is read."""
        return self.coordinates.pull_back(coef_gradient, intercept_gradient, self.design.offset)

    def start(self) -> Array:
        """The intercept-only model."""
        rows, intercept = len(self.coordinates.contrasts), self.null.intercept
        nothing = np.zeros((rows, self.design.n_features))
        return self.coordinates.of(nothing, (intercept - intercept[0])[-rows:])

    def coefficients(self, phi: Array) -> tuple[Array, Array]:
        """Coefficients (rows, p) and intercepts (rows,) in the units of X."""
        coef, intercept = self._as_read(phi)
        intercept = intercept - coef @ self.design.offset
        return coef, intercept - intercept.mean() if self.coordinates.is_symmetric else intercept

    def map_logits(
        self, function: Callable[..., Result], phi: Array, *directions: Array, dense: bool = False
    ) -> Iterator[Result]:
        """`function` of every block of rows and its logits, of shape (K, n_rows); zero without weight.

        It takes the changes of the logits along directions, too, if any are given. `dense` makes the blocks
        small enough for the dense rows of a sparse X.
        """
        return self._map(function, (phi,), directions, dense)

    def map_changes(
        self, function: Callable[..., Result], *directions: Array, dense: bool = False
    ) -> Iterator[Result]:
        """`function` of every block of rows and the changes of its logits along directions."""
        return self._map(function, (), directions, dense)

    def _map(
        self,
        function: Callable[..., Result],
        points: tuple[Array, ...],
        directions: tuple[Array, ...],
        dense: bool,
    ) -> Iterator[Result]:
        at, along = ([self._as_read(phi) for phi in some] for some in (points, directions))

        def block(rows: slice) -> Result:
            X = self.design.block(rows)
            logits = (self.loss.logits(rows, _predicted(X, coefficients)) for coefficients in at)
            changes = (self.loss.changes(rows, _predicted(X, coefficients)) for coefficients in along)
            return function(rows, *logits, *changes)

        return self.design.map(block, len(self.sample.priors), dense=dense)

    def gradient_of(self, residuals: Callable[..., Array], *directions: Array) -> Array:
        """Gradient in the coordinates of a sum over the rows, in one pass.

        `residuals` takes a block of rows and the changes of its logits along the directions, if any, as for
        `map_changes`, and gives the derivatives in the logits, of shape (K, n_rows).
        """
        n_rows = len(self.coordinates.contrasts)

        def block(rows: slice, *changes: Array) -> tuple[Array, Array]:
            own = residuals(rows, *changes)[-n_rows:]
            return scores(self.design.block(rows), own), own.sum(axis=1)

        coef, intercept = (sum_of(part) for part in zip(*self.map_changes(block, *directions), strict=True))
        return self.pull_back(coef, intercept)

    def along(self, phi: Array, step: Array, logits: Logits | None = None) -> Line:
        """The objective along a direction, without reading X where the logits fit in memory."""
        if self.design.n_samples * len(self.sample.priors) > MAX_NUMBERS:
            return EvaluatedLine(self, phi, step)
        return LogitLine(self, phi, step, logits)

    def hessian_at(self, phi: Array) -> Callable[[Array], Array]:
        """Products with the Hessian at a point, in one pass over the rows each."""
        probabilities = dict(self.map_logits(lambda rows, eta: (rows.start, special.softmax(eta, axis=0)), phi))

        def residuals(rows: slice, change: Array) -> Array:
            p = probabilities[rows.start]
            return np.asarray(self.sample.weights[rows] * p * (change - np.sum(p * change, axis=0)))

        def product(v: Array) -> Array:
            curved = (self.curvature * v.reshape(self.shape)).ravel()
            return np.asarray(self.gradient_of(residuals, v) + curved)

        return product

    def standardised(self, rows: slice | NDArray[np.int64]) -> Array:
        """Rows in the solver's coordinates, feature-major: (width, n_rows), the last entries one."""
        z = self.coordinates.standardise(self.design.rows(rows), self.design.offset)
        if self.loss.has_zero_weights:
            z[: self.design.n_features, self.sample.weights[rows] == 0] = 0.0
        return z

    def _as_read(self, phi: Array) -> tuple[Array, Array]:
        """Coefficients, and the intercepts that belong to rows as the design matrix reads them."""
        return self.coordinates.coefficients(phi, self.design.offset)


def _predicted(X: Any, at: tuple[Array, Array]) -> Array:
    coef, intercept = at
    with np.errstate(over="ignore", invalid="ignore"):  # a step too long: the solver cuts it
        eta = predictors(X, coef)
        eta += intercept[:, np.newaxis]
    return eta


class LogitLine:
    """The objective along a direction: its logits ``eta_i + t d_i`` move along a line, and X is not read.

    Parameters
    ----------
    objective : Objective
        Whose logits fit in memory.
    phi, step : ndarray of shape (D,)
        The point and the direction.
    logits : dict or None
        Those of the point, if they are known.
    """

    def __init__(self, objective: Objective, phi: Array, step: Array, logits: Logits | None) -> None:
        self.objective, self.phi, self.step = objective, phi, step
        if logits is None:
            logits = dict(objective.map_logits(lambda rows, eta: (rows.start, eta), phi))
        self.logits = logits
        self.changes = dict(objective.map_changes(lambda rows, change: (rows.start, change), step))
        curved = (objective.curvature * step.reshape(objective.shape)).ravel()
        self.linear, self.quadratic = float(phi @ curved), float(step @ curved)

    def slope(self, length: float) -> float:
        """The derivative in the length, ``sum_i s_i <softmax(eta_i + t d_i) - t_i, d_i>`` and the penalty's."""
        with np.errstate(over="ignore", invalid="ignore"):
            loss = sum(self._map(lambda rows: self._slope(rows, length)))
            return float(loss + self.linear + length * self.quadratic)

    def _slope(self, rows: slice, length: float) -> float:
        change, sample = self.changes[rows.start], self.objective.sample
        p = length * change
        p += self.logits[rows.start]
        p -= p.max(axis=0)
        np.exp(p, out=p)
        p /= p.sum(axis=0)
        sample.add_targets(p, rows, -1.0)
        p *= change
        return float(p.sum(axis=0) @ sample.weights[rows])

    def point(self, length: float) -> tuple[float, Array, Logits | None]:
        """Value, gradient and logits at a length."""
        objective, phi = self.objective, self.phi + length * self.step
        objective.evaluations += 1
        coef, n_rows, kept = objective._as_read(phi)[0], len(objective.coordinates.contrasts), Logits()

        def block(rows: slice) -> tuple[float, float, Array, Array]:
            moved = length * self.changes[rows.start]
            largest = float(np.abs(moved).max(initial=0.0))
            moved += self.logits[rows.start]
            kept[rows.start] = moved
            loss, residuals = objective.loss.value_and_residuals(rows, moved.copy())
            own = residuals[-n_rows:]
            return largest, loss, scores(objective.design.block(rows), own), own.sum(axis=1)

        largest, losses, coef_gradients, intercept_gradients = zip(*self._map(block), strict=True)
        value = objective.penalty.value(coef) + sum(losses)
        gradient = objective.pull_back(
            objective.penalty.gradient(coef) + sum_of(coef_gradients), sum_of(intercept_gradients)
        )
        return value, gradient, kept if max(largest) <= MAX_CHANGE else None

    def _map(self, block: Callable[[slice], Result]) -> Iterator[Result]:
        return self.objective.design.map(block, len(self.objective.sample.priors))
