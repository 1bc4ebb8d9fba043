r"""Penalised cross-entropy of softmax regression: the objective, its coordinates, its curvature.

With weights ``s_i`` that sum to ``S`` and ``gamma = 1 / (C S)``,

    ``F(W, b) = 1/S sum_i s_i [A(eta_i) - <eta_i, t_i>] + gamma/2 ||W||^2,   eta_i = W x_i + b``,

whose gradient is, by ``grad A = p`` (see `smreg.family`),

    ``dF/dW = 1/S sum_i s_i (p_i - t_i) x_i' + gamma W,   dF/db = 1/S sum_i s_i (p_i - t_i)``.

**Coordinates.** The solver sees a flat vector ``phi`` of shape (D,), the rows of a matrix with a row
for each *contrast* of the classes and a column for each feature, the intercept last:

    ``W = Q phi_W / scale,   b = Q phi_b - W mean``.

- ``Q`` has one orthonormal column less than there are classes, each summing to zero: adding a
  constant to all logits changes no probability and the penalty wants W to sum to zero over the
  classes, so nothing is lost, lengths are kept, and what remains is identified (the minimal form of
  the family). For two classes scikit-learn's convention keeps one row, for the second class, and
  ``Q`` is the number one.
- ``mean`` is the weighted mean of the features, so that the intercept is nearly uncorrelated with
  the coefficients; without an intercept it is zero.
- ``scale`` is a power of two near the square root of the curvature of a column, so that all numbers
  the solver sees are of magnitude one, whatever the units, and no bit is rounded in going to and fro.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from smreg.data.design import ColumnStatistics, DesignMatrix, power_of_two, predictors, scores, sum_of

Array = NDArray[np.float64]
Result = TypeVar("Result")


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


@cache
def helmert(n_classes: int) -> Array:
    """Orthonormal contrasts of the classes, of shape (n_classes, n_classes - 1), not to be written to."""
    contrasts = np.asarray(linalg.helmert(n_classes).T)
    contrasts.setflags(write=False)
    return contrasts


class Objective:
    """The penalised cross-entropy as a function of the solver's coordinates.

    Parameters
    ----------
    design : DesignMatrix
        The features.
    sample : Sample
        Targets and weights.
    penalty : float
        ``gamma = 1 / (C S)``, zero for none.
    fit_intercept : bool
        Whether there is an intercept.
    single_row : bool
        Two classes with a coefficient vector for the second one alone.
    columns : ColumnStatistics, optional
        Mean and spread of the features with these weights, if they are known.
    like : Objective, optional
        Another one, on other rows or weights, whose coordinates to share.
    class_rows : bool
        Whether the coordinates have a row for each class instead of each contrast, ``Q`` being the identity:
        for penalties that are not those of contrasts. Adding a constant to a column is then no change. Two
        classes with a single row have no other.
    determined : ndarray of bool of shape (n_features,), optional
        Features that others determine: like constants they have no part in any direction.

    Attributes
    ----------
    evaluations : int
        How often it was computed.
    """

    def __init__(
        self,
        design: DesignMatrix,
        sample: Sample,
        *,
        penalty: float,
        fit_intercept: bool,
        single_row: bool,
        columns: ColumnStatistics | None = None,
        like: "Objective | None" = None,
        class_rows: bool = False,
        determined: NDArray[np.bool_] | None = None,
    ) -> None:
        self.design, self.sample, self.penalty = design, sample, penalty
        self.fit_intercept, self.single_row = fit_intercept, single_row
        n_classes = len(sample.priors)
        self.class_contrasts = np.eye(2, 1, -1) if single_row else helmert(n_classes)
        self.class_rows, self.determined = class_rows and not single_row, determined
        if self.class_rows:
            self.class_contrasts = np.eye(n_classes)
        self.contrasts = self.class_contrasts[1:] if single_row else self.class_contrasts
        self.shape = (self.contrasts.shape[1], design.n_features + fit_intercept)
        self.mean, self.spread, self.scale = like.standard if like else self._standard(columns, determined)
        self.ridge = (np.sqrt(penalty) / self.scale) ** 2
        self._resting = np.flatnonzero(self.spread == 0)
        self._has_zero_weights = bool((sample.weights == 0).any())
        self.evaluations = 0

    def _standard(
        self, columns: ColumnStatistics | None, determined: NDArray[np.bool_] | None
    ) -> tuple[Array, Array, Array]:
        """Mean, spread and scale of the features: the choice of the coordinates."""
        columns = columns or self.design.statistics(self.sample.weights)
        if self.fit_intercept:
            mean, spread = columns.mean, columns.spread
            self.design.shift_far_columns(columns)
        else:
            mean, spread = np.zeros(self.design.n_features), np.hypot(columns.mean, columns.spread)
        if determined is not None:
            spread = np.where(determined, 0.0, spread)
        return mean, spread, power_of_two(np.hypot(spread, np.sqrt(self.penalty)))

    @property
    def standard(self) -> tuple[Array, Array, Array]:
        """Mean, spread and scale of the features, each of shape (n_features,)."""
        return self.mean, self.spread, self.scale

    def __call__(self, phi: Array) -> tuple[float, Array]:
        """Objective and gradient at `phi`, in one pass over the rows."""
        self.evaluations += 1
        coef, intercept = self._at_offset(phi)

        def block(rows: slice) -> tuple[float, Array, Array]:
            X = self.design.block(rows)
            loss, residuals = self._loss_and_residuals(rows, self._logits(rows, X, coef, intercept))
            residuals = residuals[-len(coef) :]
            return loss, scores(X, residuals), residuals.sum(axis=1)

        root = np.sqrt(self.penalty) * coef  # whose square does not overflow, unlike that of coef
        loss = 0.5 * float(np.vdot(root, root))
        coef_gradient, intercept_gradient = self.penalty * coef, np.zeros(len(coef))
        for block_loss, block_scores, total in self.design.map(block, len(self.sample.priors)):
            loss += block_loss
            coef_gradient += block_scores
            intercept_gradient += total
        return loss, self.pull_back(coef_gradient, intercept_gradient)

    def pull_back(self, coef_gradient: Array, intercept_gradient: Array) -> Array:
        """A gradient in the coordinates from those in coefficients and intercepts as `X` is read."""
        p = self.design.n_features
        gradient = np.empty(self.shape)
        if self.fit_intercept:
            far = self.mean - self.design.offset
            coef_gradient = coef_gradient - intercept_gradient[:, np.newaxis] * far
            gradient[:, p] = self.contrasts.T @ intercept_gradient
        gradient[:, :p] = self.contrasts.T @ (coef_gradient / self.scale)
        gradient[:, self._resting] = 0.0  # a constant has no part in any direction
        return gradient.ravel()

    def start(self) -> Array:
        """The intercept-only model, the logits being the log priors: the optimum as C goes to 0."""
        phi = np.zeros(self.shape)
        if self.fit_intercept:
            log_priors = np.log(self.sample.priors)
            phi[:, -1] = self.contrasts.T @ (log_priors - log_priors[0])[-len(self.contrasts) :]
        return phi.ravel()

    @property
    def start_value(self) -> float:
        """The objective at `start`: the entropy of the priors, or without intercepts ``log K``."""
        priors = self.sample.priors
        return float(-np.sum(priors * np.log(priors))) if self.fit_intercept else np.log(len(priors))

    def coordinates(self, coef: Array, intercept: Array) -> Array:
        """The solver's coordinates of coefficients (rows, p) and intercepts (rows,).

        What the coefficients of constant features add to the logits goes to the intercepts.
        """
        phi = np.empty(self.shape)
        phi[:, : self.design.n_features] = self.contrasts.T @ np.where(
            self.spread > 0, coef * self.scale, 0.0
        )
        if self.fit_intercept:
            phi[:, -1] = self.contrasts.T @ (intercept + coef @ self.mean)
        return phi.ravel()

    def coefficients(self, phi: Array) -> tuple[Array, Array]:
        """Coefficients (rows, p) and intercepts (rows,) in the units of X."""
        coef, intercept = self._at_offset(phi)
        intercept = intercept - coef @ self.design.offset
        return coef, intercept - intercept.mean() if self.class_rows else intercept

    def map_logits(
        self, function: Callable[..., Result], *points: Array, dense: bool = False
    ) -> Iterator[Result]:
        """`function` of every block of rows and its logits, of shape (K, n_rows); zero without weight.

        It takes the logits of all the points that are given. `dense` makes the blocks small enough for the
        dense rows of a sparse X.
        """
        coefficients = [self._at_offset(phi) for phi in points]
        return self.design.map(
            lambda rows: function(rows, *self._logits_at(rows, coefficients)),
            len(self.sample.priors),
            dense=dense,
        )

    def gradient_of(self, residuals: Callable[..., Array], *points: Array) -> Array:
        """Gradient in the coordinates of a sum over the rows, in one pass.

        `residuals` takes a block of rows and its logits at the points, if any, as for `map_logits`, and gives
        the derivatives in the logits, of shape (K, n_rows).
        """
        n_rows = len(self.contrasts)

        def block(rows: slice, *eta: Array) -> tuple[Array, Array]:
            own = residuals(rows, *eta)[-n_rows:]
            return scores(self.design.block(rows), own), own.sum(axis=1)

        coef, intercept = (sum_of(part) for part in zip(*self.map_logits(block, *points), strict=True))
        return self.pull_back(coef, intercept)

    def logits(self, phi: Array, *, dense: bool = False) -> Iterator[tuple[slice, Array]]:
        """Blocks of rows with their logits."""
        return self.map_logits(lambda rows, eta: (rows, eta), phi, dense=dense)

    def standardised(self, rows: slice | NDArray[np.int64]) -> Array:
        """Rows in the solver's coordinates, feature-major: (D / (K - 1), n_rows), the last entries one."""
        block, p = self.design.rows(rows).T, self.design.n_features
        z = np.ones((self.shape[1], block.shape[1]))
        with np.errstate(over="ignore", invalid="ignore"):  # in rows without weight
            np.divide(block, self.scale[:, np.newaxis], out=z[:p])
            z[:p] -= ((self.mean - self.design.offset) / self.scale)[:, np.newaxis]
        z[self._resting] = 0.0
        if self._has_zero_weights:
            z[:p, self.sample.weights[rows] == 0] = 0.0
        return z

    def _at_offset(self, phi: Array) -> tuple[Array, Array]:
        """Coefficients, and the intercepts that belong to rows as the design matrix reads them."""
        by_contrast = phi.reshape(self.shape)
        if self.design.is_sparse:  # whose products want a row for each feature
            theta = (by_contrast.T @ self.contrasts.T).T
        else:
            theta = self.contrasts @ by_contrast
        coef = theta[:, : self.design.n_features] / self.scale
        coef[:, self._resting] = 0.0
        if not self.fit_intercept:
            return coef, np.zeros(len(coef))
        return coef, theta[:, -1] - coef @ (self.mean - self.design.offset)

    def _logits_at(self, rows: slice, coefficients: Sequence[tuple[Array, Array]]) -> Iterator[Array]:
        X = self.design.block(rows)
        return (self._logits(rows, X, *at) for at in coefficients)

    def _logits(self, rows: slice, X: Any, coef: Array, intercept: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):  # a step too long: the solver cuts it
            eta = predictors(X, coef)
            eta += intercept[:, np.newaxis]
        if self.single_row:
            eta = np.concatenate([np.zeros_like(eta), eta])
        if self._has_zero_weights:  # whatever X holds there, it must not count
            eta[:, self.sample.weights[rows] == 0] = 0.0
        return eta

    def _loss_and_residuals(self, rows: slice, eta: Array) -> tuple[float, Array]:
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
