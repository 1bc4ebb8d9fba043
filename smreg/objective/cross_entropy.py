r"""Penalised cross-entropy of softmax regression: the data term, and the objective in coordinates.

With weights ``s_i`` that sum to one the objective is

    ``F(W, b) = L + R,   L(W, b) = sum_i s_i [A(eta_i) - <eta_i, t_i>],   eta_i = o_i + W x_i + b``,

whose gradient is, by ``grad A = p`` (see `smreg.family`),

    ``dF/dW = sum_i s_i (p_i - t_i) x_i' + dR/dW,   dF/db = sum_i s_i (p_i - t_i)``.

The penalty R is that of `smreg.objective.penalty`: for ``C`` and the sum ``S`` of the weights as they came it
is ``gamma/2 ||W||^2`` with ``gamma = 1 / (C S)``. The solver sees W and b in the coordinates of
`smreg.objective.coordinates`.

**Points and directions.** Logits at a point may have a part that no coefficient changes, the offsets ``o_i``;
their changes along a direction have none.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smreg.data.rows import Block, Kept, Kernel, Rows
from smreg.objective.coordinates import Coordinates
from smreg.objective.logits import Direction, Point, below_largest, exponentials, softmax
from smreg.objective.null_model import NullModel, null_model
from smreg.objective.penalty import Penalty
from smreg.optimize.line_search import EvaluatedLine, Line

Array = NDArray[np.float64]

MAX_NUMBERS = 2**25  # logits that are kept, and their changes: 512 MiB
FIRST_CHANGE = 100.0  # nats, of the logit that changes most, at the first trial of a length
MAX_CHANGE = 2.0**10  # nats: what is added to logits leaves them exact to 2**-42


@dataclass(frozen=True)
class CrossEntropy:
    """The data term: the mean cross-entropy as a function of coefficients and intercepts for X as it is read.

    Attributes
    ----------
    rows : Rows
        Features, targets, and weights that sum to one.
    priors : ndarray of shape (K,)
        Weighted mean of the targets: positive, but for classes without weight where there are no intercepts.
    """

    rows: Rows
    priors: Array

    def __call__(self, point: Point) -> tuple[float, Array, Array]:
        """Value, and gradients in coefficients and intercepts, in one pass over the rows."""
        return self.rows.map_reduce(_value_and_gradients, point, len(point.coef))

    @cached_property
    def null_model(self) -> Callable[[bool], NullModel]:
        """The model without features, with intercepts or without: fitted once, where there are offsets."""
        return cache(partial(null_model, self.rows, self.priors))

    @cached_property
    def n_used(self) -> int:
        """The number of rows of positive weight."""
        return self.rows.map_reduce(_n_used)


def _n_used(block: Block) -> int:
    return int(np.count_nonzero(block.weights))


def _value_and_gradients(block: Block, point: Point | Kept[Array], n_rows: int) -> tuple[float, Array, Array]:
    logits = point.of(block).copy() if isinstance(point, Kept) else point.logits(block)
    loss, residuals = _loss_and_residuals(block, logits)
    residuals = residuals[-n_rows:]
    return loss, block.scores(residuals), residuals.sum(axis=1)


def mean_loss(block: Block, point: Point) -> float:
    """A block's part in the value."""
    return _loss_and_residuals(block, point.logits(block))[0]


def _loss_and_residuals(block: Block, eta: Array) -> tuple[float, Array]:
    """``sum_i s_i [A(eta_i) - <eta_i, t_i>]`` and ``s_i (p_i - t_i)``, logits turned in place."""
    s, target = block.weights, block.target
    eta = below_largest(eta)
    if target.ndim == 1:
        at_label = target, np.arange(len(target))
        linear = eta[at_label]
    else:
        linear = np.einsum("ki,ik->i", eta, target)
    total = exponentials(eta)
    loss = float(np.dot(s, np.log(total) - linear))  # A(eta) - <eta, t>
    eta *= s / total
    if target.ndim == 1:
        eta[at_label] -= s
    else:
        eta -= s * target.T
    return loss, eta


@dataclass(frozen=True)
class Standardisation:
    """Rows as coordinates see them.

    Attributes
    ----------
    coordinates : Coordinates
        These.
    shift : ndarray of shape (n_features,)
        What has been taken from the rows.
    """

    coordinates: Coordinates
    shift: Array

    def of(self, block: Block) -> Array:
        """A block of rows, feature-major: (width, n_rows), the last entries one; zero without weight."""
        at = self.coordinates
        z = np.ones((at.shape[1], len(block)))
        features = z[: at.n_features]
        with np.errstate(over="ignore", invalid="ignore"):  # in rows without weight
            block.divide(at.scale, features)
            features -= ((at.mean - self.shift) / at.scale)[:, np.newaxis]
        features[at.resting] = 0.0
        if not block.weights.all():
            features[:, block.weights == 0] = 0.0
        return z


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
        self.rows, self.shape = loss.rows, coordinates.shape
        self.curvature = np.asarray(penalty.within(coordinates).ridge)
        self.evaluations = 0

    def __call__(self, phi: Array) -> tuple[float, Array]:
        """Objective and gradient at `phi`, in one pass over the rows."""
        self.evaluations += 1
        point = self.point(phi)
        loss, scores, totals = self.loss(point)
        value = self.penalty.value(point.coef) + loss
        return value, self.pull_back(self.penalty.gradient(point.coef) + scores, totals)

    @cached_property
    def null(self) -> NullModel:
        """The model without features."""
        return self.loss.null_model(self.coordinates.fit_intercept)

    def point(self, phi: Array) -> Point:
        """The coefficients, and the intercepts that belong to rows as they are read."""
        return Point(*self.coordinates.coefficients(phi, self.rows.shift))

    def direction(self, phi: Array) -> Direction:
        """The same of a direction."""
        return Direction(*self.coordinates.coefficients(phi, self.rows.shift))

    @property
    def standardisation(self) -> Standardisation:
        """Rows in the coordinates."""
        return Standardisation(self.coordinates, self.rows.shift)

    def pull_back(self, coef_gradient: Array, intercept_gradient: Array) -> Array:
        """A gradient in the coordinates from those in coefficients and intercepts as X is read."""
        return self.coordinates.pull_back(coef_gradient, intercept_gradient, self.rows.shift)

    def start(self) -> Array:
        """The intercept-only model."""
        rows, intercept = len(self.coordinates.contrasts), self.null.intercept
        nothing = np.zeros((rows, self.rows.n_features))
        return self.coordinates.of(nothing, (intercept - intercept[0])[-rows:])

    def coefficients(self, phi: Array) -> tuple[Array, Array]:
        """Coefficients (rows, p) and intercepts (rows,) in the units of X."""
        point = self.point(phi)
        intercept = point.intercept - point.coef @ self.rows.shift
        return point.coef, intercept - intercept.mean() if self.coordinates.is_symmetric else intercept

    def along(self, phi: Array, step: Array, logits: Kept[Array] | None = None) -> Line:
        """The objective along a direction, without reading X where the logits fit in memory."""
        if self.rows.n_samples * self.rows.n_classes > MAX_NUMBERS:
            return EvaluatedLine(self, phi, step)
        return LogitLine(self, phi, step, logits)

    def hessian_at(self, phi: Array) -> Callable[[Array], Array]:
        """Products with the Hessian at a point, in one pass over the rows each."""
        probabilities = self.rows.keep(probabilities_of, self.point(phi))

        def product(v: Array) -> Array:
            curved = (self.curvature * v.reshape(self.shape)).ravel()
            gradient = self.gradient_of(information_times, probabilities, self.direction(v))
            return np.asarray(gradient + curved)

        return product

    def gradient_of(self, residuals: Kernel[Array], *arguments: Any) -> Array:
        """Gradient in the coordinates of a sum over the rows, in one pass.

        The kernel gives the derivatives in the logits, of shape (K, n_rows).
        """
        n_rows = len(self.coordinates.contrasts)
        return self.pull_back(*self.rows.map_reduce(_pulled_to_features, residuals, n_rows, *arguments))


def _pulled_to_features(
    block: Block, residuals: Kernel[Array], n_rows: int, *arguments: Any
) -> tuple[Array, Array]:
    own = residuals(block, *arguments)[-n_rows:]
    return block.scores(own), own.sum(axis=1)


def probabilities_of(block: Block, point: Point) -> Array:
    """Those at a point, to be kept for products with the information."""
    return softmax(point.logits(block))


def information_times(block: Block, probabilities: Kept[Array], direction: Direction) -> Array:
    """``s (diag(p) - p p') d`` for the changes d of the logits."""
    p, change = probabilities.of(block), direction.logits(block)
    return np.asarray(block.weights * p * (change - np.sum(p * change, axis=0)))


@dataclass(frozen=True)
class _Moving:
    """Rows without their features, their logits at a point, and the changes of these along a direction."""

    rows: Block
    logits: Array
    changes: Array


class LogitLine:
    """The objective along a direction: its logits ``eta_i + t d_i`` move along a line, and X is not read.

    Parameters
    ----------
    objective : Objective
        Whose logits fit in memory.
    phi, step : ndarray of shape (D,)
        The point and the direction.
    logits : Kept or None
        Those of the point, if they are known.
    """

    def __init__(self, objective: Objective, phi: Array, step: Array, logits: Kept[Array] | None) -> None:
        self.objective, self.phi, self.step, self.evaluations = objective, phi, step, 0
        point = objective.point(phi) if logits is None else logits
        self.moving = objective.rows.keep(_moving, point, objective.direction(step))
        curved = (objective.curvature * step.reshape(objective.shape)).ravel()
        self.linear, self.quadratic = float(phi @ curved), float(step @ curved)
        self.linear -= self.moving.map_reduce(_change_of_targets)
        self.largest = max(self.moving.keep(_largest_change).gather())

    @property
    def first(self) -> float:
        """A length to begin with: a whole step, or what changes no logit by more than is of use."""
        return min(1.0, FIRST_CHANGE / self.largest) if self.largest > 0 else 1.0

    def slope(self, length: float) -> float:
        """The derivative, ``sum_i s_i <softmax(eta_i + t d_i) - t_i, d_i>`` and that of the penalty."""
        with np.errstate(over="ignore", invalid="ignore"):
            loss = self.moving.map_reduce(_slope, length)
            return float(loss + self.linear + length * self.quadratic)

    def point(self, length: float) -> tuple[float, Array, Kept[Array] | None]:
        """Value, gradient and logits at a length."""
        objective, phi = self.objective, self.phi + length * self.step
        objective.evaluations += 1
        self.evaluations += 1
        at, logits = objective.point(phi), self.moving.keep(_moved, length)
        loss, scores, totals = objective.rows.map_reduce(_value_and_gradients, logits, len(at.coef))
        gradient = objective.pull_back(objective.penalty.gradient(at.coef) + scores, totals)
        is_exact = length * self.largest <= MAX_CHANGE
        return objective.penalty.value(at.coef) + loss, gradient, logits if is_exact else None


def _moving(block: Block, point: Point | Kept[Array], direction: Direction) -> _Moving:
    logits = point.of(block) if isinstance(point, Kept) else point.logits(block)
    return _Moving(replace(block, X=None), logits, direction.logits(block))


def _moved(at: _Moving, length: float) -> Array:
    return at.logits + length * at.changes


def _largest_change(at: _Moving) -> float:
    return float(np.abs(at.changes).max(initial=0.0))


def _change_of_targets(at: _Moving) -> float:
    """``sum_i s_i <t_i, d_i>``."""
    rows = at.rows
    if rows.target.ndim == 1:
        along = at.changes[rows.target, np.arange(len(rows))]
    else:
        along = np.einsum("ki,ik->i", at.changes, rows.target)
    return float(along @ rows.weights)


def _slope(at: _Moving, length: float) -> float:
    """``sum_i s_i <softmax(eta_i + t d_i), d_i>``."""
    p = length * at.changes
    p += at.logits
    total = exponentials(below_largest(p))
    return float((np.einsum("ki,ki->i", p, at.changes) / total) @ at.rows.weights)
