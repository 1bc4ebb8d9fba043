r"""The cross-entropy with Jeffreys' prior, whose minimum is an estimate of less bias, always finite.

With weights that sum to S, the information ``I = S H`` and the intercept-only model ``phi_0``, it is

    ``L(phi) - 1/(2 S) [log det H(phi) - log det H(phi_0)]``.

The determinant at the intercept-only model makes it a number without units, the same for any reference
class, scale or basis of the columns. With the blocks of classes ``M_i = Q (z_i' H^-1 z_i) Q'`` of a row's
leverage, of shape (K, K), the derivative of ``log det H`` in the logits of the row is

    ``s_i d/d eta_i tr(M_i (diag(p_i) - p_i p_i'))``
    ``    = s_i p_i [diag(M_i) - <p_i, diag(M_i)> - 2 (M_i p_i - p_i' M_i p_i)]``,

product and sum with a vector being those of its entries. For two classes that is ``h_i (1 - 2 p_i)`` with the
leverage ``h_i = s_i p_i (1 - p_i) z_i' H^-1 z_i``, Firth's adjustment. In a saturated model it adds 1/2 to
the count of each cell.

The function need not be convex, and far out its information is singular. The search begins at the minimum of
a cross-entropy that is: that of targets to which the prior adds what it would if all leverages were equal. On
20000 x 54 with seven classes that takes 70 evaluations, where from the model without features the search was
far from the minimum after 300 s. It goes on by L-BFGS in the metric of the information, which is near the
Hessian but for directions that separate some samples. There it is up to ten times as large, so that Fisher
scoring would converge slowly. It ends where Newton's decrement is small, by conjugate gradients on
differences of the gradient.

References
----------
D. Firth, Bias reduction of maximum likelihood estimates, Biometrika 80 (1993).
https://doi.org/10.1093/biomet/80.1.27
I. Kosmidis and D. Firth, Jeffreys-prior penalty, finiteness and shrinkage in binomial-response generalized
linear models, Biometrika 108 (2021). https://doi.org/10.1093/biomet/asaa052
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from smreg.data.block import Block
from smreg.objective.costs import fits
from smreg.objective.cross_entropy import CrossEntropy, Objective, Standardisation
from smreg.objective.information import information
from smreg.objective.logits import Point, softmax
from smreg.optimize.line_search import EvaluatedLine, Line
from smreg.optimize.metric import DenseMetric

Array = NDArray[np.float64]

DIFFERENCE = 2.0**-14  # nats, of the logits in the mean of rows that are in doubt


class JeffreysObjective:
    """The cross-entropy with Jeffreys' prior as a function of the solver's coordinates.

    Parameters
    ----------
    objective : Objective
        Without penalty, in coordinates that are identified.
    total : float
        S, the sum of the weights.

    Raises
    ------
    ValueError
        If the information of so many coefficients is too large, or singular at the intercept-only model.
    """

    def __init__(self, objective: Objective, total: float) -> None:
        self.objective, self.part, self.evaluations = objective, 1.0 / (2.0 * total), 0
        size = objective.start().size
        if not fits(objective, 3 * size**2):
            raise ValueError(
                "bias_reduction=True takes matrices of the size of the coefficients in each step, which for "
                f"{size} of them are too large: X must have fewer features."
            )
        self._at, self._hessian = np.full(size, np.nan), np.empty((size, size))
        self._null = _log_determinant(self.hessian(objective.start()))
        if self._null == -math.inf:
            raise ValueError(
                "bias_reduction=True needs features of which none is all but determined by others: X must "
                "not have such columns, or be in memory with no more than 5000 columns or rows."
            )

    def __call__(self, phi: Array) -> tuple[float, Array]:
        """Value and gradient, infinite where the information is singular."""
        self.evaluations += 1
        value, gradient = self.objective(phi)
        hessian = self.hessian(phi)
        log_determinant = _log_determinant(hessian) if np.isfinite(hessian).all() else -math.inf
        if log_determinant == -math.inf:
            return math.inf, np.full(phi.size, np.nan)
        adjustment = self.objective.gradient_of(
            _adjustment,
            self.objective.point(phi),
            _inverse(hessian).reshape(*self.objective.shape, *self.objective.shape),
            self.objective.standardisation,
        )
        return value - self.part * (log_determinant - self._null), gradient - self.part * adjustment

    def hessian(self, phi: Array) -> Array:
        """The information for weights that sum to one, and one where a column rests; not to be written to."""
        if not np.array_equal(phi, self._at):
            self._at, self._hessian = phi.copy(), information(self.objective, phi)
            rests = np.zeros(self.objective.shape)
            rests[:, self.objective.coordinates.resting] = 1.0
            self._hessian.flat[:: phi.size + 1] += rests.ravel()
        return self._hessian

    def along(self, phi: Array, step: Array, known: Any) -> Line:
        """The function along a direction."""
        return EvaluatedLine(self, phi, step)

    def hessian_at(self, phi: Array) -> Callable[[Array], Array]:
        """Products with the Hessian, by central differences of the gradient."""

        def product(v: Array) -> Array:
            length = DIFFERENCE / math.sqrt(v @ self.hessian(phi) @ v)
            ahead, behind = self(phi + length * v)[1], self(phi - length * v)[1]
            return np.asarray((ahead - behind) / (2 * length))

        return product


class Scoring:
    """The information at a point as a preconditioner."""

    is_hessian = False

    def __init__(self, function: JeffreysObjective) -> None:
        self._function = function

    def cost(self, value: float) -> float:
        """Nothing: it is made with each evaluation."""
        return 0.0

    def __call__(self, phi: Array, value: float, known: Any, *, complete: bool, exact: bool) -> DenseMetric:
        """The preconditioner at a point."""
        return DenseMetric(self._function.hessian(phi).copy())


def smoothed(objective: Objective, total: float) -> CrossEntropy:
    """The cross-entropy of targets to which the prior adds what it would if all leverages were equal.

    That is ``h/2`` to each class of a row with the leverage ``h = D / ((K - 1) S)`` for each unit of weight:
    its minimum is finite, and a start that no linear map of the columns changes.
    """
    priors = objective.loss.priors
    K = len(priors)
    added = objective.start().size / (K - 1) / total * K / 2
    part = added / (1.0 + added)
    rows = objective.rows.edited(partial(_smoothed, part=part, n_classes=K), K)
    return CrossEntropy(rows, (1.0 - part) * priors + part / K)


def _smoothed(block: Block, part: float, n_classes: int) -> Block:
    target = np.eye(n_classes)[block.target] if block.target.ndim == 1 else block.target
    return replace(block, target=np.asarray((1.0 - part) * target + part / n_classes, dtype=np.float64))


def _log_determinant(matrix: Array) -> float:
    """That of a symmetric matrix, minus infinity where it is not positive definite but for rounding."""
    diagonal = matrix.diagonal()
    if not (diagonal > 0).all():
        return -math.inf
    root = np.sqrt(diagonal)
    try:
        factor = np.linalg.cholesky(matrix / root / root[:, np.newaxis]).diagonal()
    except np.linalg.LinAlgError:
        return -math.inf
    if factor.min(initial=1.0) ** 2 <= len(root) * np.finfo(float).eps:
        return -math.inf
    return float(2 * (np.log(factor).sum() + np.log(root).sum()))


def _inverse(matrix: Array) -> Array:
    root = np.sqrt(matrix.diagonal())
    factor = linalg.cho_factor(matrix / root / root[:, np.newaxis], lower=True)
    return np.asarray(linalg.cho_solve(factor, np.eye(len(root))) / root / root[:, np.newaxis])


def _adjustment(block: Block, point: Point, inverse: Array, standardisation: Standardisation) -> Array:
    """Derivatives of ``log det H`` in the logits of a block of rows, of shape (K, n_rows)."""
    z, coding = standardisation.of(block), standardisation.coordinates.coding
    p = softmax(point.logits(block))
    rows = len(inverse)
    leverage = np.empty((rows, rows, len(block)))
    for a in range(rows):
        for b in range(a + 1):
            leverage[a, b] = leverage[b, a] = np.einsum("ji,ji->i", z, inverse[a, :, b] @ z)
    of_classes = np.einsum("ka,abi,lb->kli", coding, leverage, coding, optimize=True)
    own, mean = np.einsum("kki->ki", of_classes), np.einsum("kli,li->ki", of_classes, p)
    change = own - (p * own).sum(axis=0) - 2.0 * (mean - (p * mean).sum(axis=0))
    return np.asarray(block.weights * p * change)
