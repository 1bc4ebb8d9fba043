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
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from smreg.data.block import Block
from smreg.data.cached import cached_property
from smreg.data.kernels import Kept, Kernel
from smreg.data.rows import Rows
from smreg.objective.coordinates import Coordinates
from smreg.objective.logits import Direction, Point, below_largest, exponentials, softmax
from smreg.objective.null_model import NullModel, null_model
from smreg.objective.penalty import Penalty
from smreg.optimize.line_search import EvaluatedLine, Line

if TYPE_CHECKING:
    from smreg.objective.collinear import NullSpace

Array = NDArray[np.float64]

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


def mean_entropy(block: Block) -> float:
    """A block's part in the mean entropy of soft targets, which a divergence from them is without."""
    if block.target.ndim == 1:
        return 0.0
    return float(block.weights @ special.entr(block.target).sum(axis=1))


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
    kept : Kept or None
        Their standardised features, where these are kept.
    """

    coordinates: Coordinates
    shift: Array
    kept: Kept[Array] | None = None

    def of(self, block: Block) -> Array:
        """A block of rows, feature-major: (width, n_rows), the last entries one; zero without weight."""
        if self.kept is not None:
            return self.kept.of(block)
        at = self.coordinates
        z = np.ones((at.shape[1], len(block)))
        features = z[: at.n_features]
        with np.errstate(over="ignore", invalid="ignore"):  # in rows without weight
            block.divide(at.scale, features)
            features -= ((at.mean - self.shift) / at.scale)[:, np.newaxis]
        features[at.resting] = 0.0
        if not block.is_used:
            features[:, block.weights == 0] = 0.0
        return z


def _standardised(block: Block, standardisation: Standardisation) -> Array:
    return standardisation.of(block)


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
    nulls : NullSpace or None
        Combinations of features, one feature of each of which the coordinates leave out.

    Attributes
    ----------
    curvature : ndarray of shape (1, width), or (rows, width) where it is not the same for all classes
        That of the penalty in the coordinates, zero for the intercept.
    evaluations : int
        How often it was computed.
    """

    def __init__(
        self,
        loss: CrossEntropy,
        penalty: Penalty,
        coordinates: Coordinates,
        nulls: "NullSpace | None" = None,
    ) -> None:
        self.loss, self.penalty, self.coordinates, self.nulls = loss, penalty, coordinates, nulls
        self.rows, self.shape = loss.rows, coordinates.shape
        self.curvature = np.asarray(penalty.within(coordinates).ridge)
        self.evaluations = 0

    def __call__(self, phi: Array) -> tuple[float, Array]:
        """Objective and gradient at `phi`, in one pass over the rows."""
        self.evaluations += 1
        return self.penalised(phi, *self.loss(self.point(phi)))

    def penalised(self, phi: Array, loss: float, scores: Array, totals: Array) -> tuple[float, Array]:
        """Objective and gradient from the data term and its gradients in coefficients and intercepts."""
        curved = self.curved(phi)
        return loss + float(phi @ curved) / 2, self.pull_back(scores, totals) + curved

    def curved(self, phi: Array) -> Array:
        """The product with the Hessian of the penalty."""
        return np.asarray(self.curvature * phi.reshape(self.shape)).ravel()

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

    @cached_property
    def kept_standardisation(self) -> Standardisation:
        """The same with all rows kept, in one block."""
        at = self.standardisation
        blocks = self.rows.map_blocks(_standardised, at, size=self.rows.n_samples, dense=True)
        return replace(at, kept=Kept(list(blocks)))

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
        return LogitLine(self, phi, step, logits) if self.keeps_logits else EvaluatedLine(self, phi, step)

    @property
    def keeps_logits(self) -> bool:
        """Whether the logits of all rows fit in memory."""
        return self.rows.n_samples * self.rows.n_classes <= self.rows.most_kept

    def hessian_at(self, phi: Array) -> Callable[[Array], Array]:
        """Products with the Hessian at a point, in one pass over the rows each."""
        probabilities = self.rows.keep(probabilities_of, self.point(phi))

        def product(v: Array) -> Array:
            gradient = self.gradient_of(information_times, probabilities, self.direction(v))
            return np.asarray(gradient + self.curved(v))

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
    """Logits of a block of rows at a point, and their changes along a direction.

    Attributes
    ----------
    weights : ndarray of shape (n_rows,)
        Those of the rows.
    logits, changes : ndarray of shape (K, n_rows)
        At the point, and in a length of one.
    of_targets : float
        ``sum_i s_i <t_i, d_i>`` for the changes d.
    largest : float
        Size of the largest change.
    """

    weights: Array
    logits: Array
    changes: Array
    of_targets: float
    largest: float


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
        curved, parts = objective.curved(step), self.moving.keep(_changes_of_targets).gather()
        self.linear = float(phi @ curved) - sum(of_targets for of_targets, _ in parts)
        self.quadratic, self.largest = float(step @ curved), max(largest for _, largest in parts)

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
        logits, n_rows = self.moving.keep(_moved, length), len(objective.coordinates.contrasts)
        loss = objective.rows.map_reduce(_value_and_gradients, logits, n_rows)
        is_exact = length * self.largest <= MAX_CHANGE
        return *objective.penalised(phi, *loss), logits if is_exact else None

    def growth(self, length: float) -> float:
        """``sup ||g||_{H^-1}`` at a length over that at the start, for any g: see `Line.growth`.

        The derivative of the variance of any change of the logits is a third central moment, at most twice
        the largest change along the line times that variance.
        """
        return float(np.exp(min(length * self.largest, MAX_CHANGE / 2)))


def _moving(block: Block, point: Point | Kept[Array], direction: Direction) -> _Moving:
    logits = point.of(block) if isinstance(point, Kept) else point.logits(block)
    changes = direction.logits(block)
    if block.target.ndim == 1:
        along = changes[block.target, np.arange(len(block))]
    else:
        along = np.einsum("ki,ik->i", changes, block.target)
    largest = float(np.abs(changes).max(initial=0.0))
    return _Moving(block.weights, logits, changes, float(along @ block.weights), largest)


def _moved(at: _Moving, length: float) -> Array:
    return at.logits + length * at.changes


def _changes_of_targets(at: _Moving) -> tuple[float, float]:
    """The change of the loss by the targets' logits, and the largest change."""
    return at.of_targets, at.largest


def _slope(at: _Moving, length: float) -> float:
    """``sum_i s_i <softmax(eta_i + t d_i), d_i>``."""
    p = length * at.changes
    p += at.logits
    total = exponentials(below_largest(p))
    return float((np.einsum("ki,ki->i", p, at.changes) / total) @ at.weights)
