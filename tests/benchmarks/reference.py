"""The objective that every solver is held to, and its exact minimum, found without smreg.

For n rows ``x_i`` with classes ``y_i``, coefficients W and intercepts b,

    ``F(W, b) = 1/n sum_i [log sum_k exp(eta_ik) - eta_{i, y_i}] + 1/(2 C n) ||W||^2,  eta_i = W x_i + b``.

It is scikit-learn's: the intercepts are not penalised, and two classes have a single row, for the second one.

The minimum is found by Newton's method with the exact Hessian on standardised columns, each step solved by
conjugate gradients. Their preconditioner is the Cholesky factor of the Hessian at this or an earlier point,
or its diagonal where there are more than `max_dense` coefficients. Data with more columns than rows are first
turned into their principal components, in whose span the minimum lies. How exact it is tells the Newton
decrement, ``g' H^-1 g / 2``, the excess over the minimum to second order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

Array = NDArray[np.float64]

MAX_DENSE = 4000  # coefficients up to which the Hessian is factorised
EXACT = 1e-15  # the search ends at this Newton decrement, relative to F(start) - F


@dataclass(frozen=True)
class Problem:
    """Features X, dense or CSR, class codes y and inverse penalty C, with the objective F."""

    X: Any
    y: NDArray[np.int64]
    C: float = 1.0

    @cached_property
    def n_classes(self) -> int:
        """K."""
        return int(self.y.max()) + 1

    @cached_property
    def priors(self) -> Array:
        """Frequencies of the classes."""
        return np.bincount(self.y) / len(self.y)

    @cached_property
    def start_value(self) -> float:
        """F of the intercept-only model: the entropy of the priors."""
        return float(-np.sum(self.priors * np.log(self.priors)))

    @property
    def penalty(self) -> float:
        """Factor of ``1/2 ||W||^2``."""
        return 1 / (self.C * len(self.y))

    def value(self, coef: Array, intercept: Array) -> float:
        """F at coefficients (K, p) and intercepts (K,), or (1, p) and (1,) for two classes."""
        logits = np.asarray(self.X @ coef.T) + intercept
        if self.n_classes == 2:
            logits = np.hstack([np.zeros_like(logits), logits])
        return cross_entropy(logits, self.y)[0] + 0.5 * self.penalty * float(np.sum(coef**2))

    def gap(self, value: float, minimum: float) -> float:
        """How much of the way from the start to the minimum is left at `value`."""
        return (value - minimum) / (self.start_value - minimum)


@dataclass(frozen=True)
class Optimum:
    """The minimum of F, where it is, its Newton decrement over ``F(start) - F``, and the steps it took."""

    value: float
    coef: Array
    intercept: Array
    decrement: float
    steps: int


def cross_entropy(logits: Array, y: NDArray[np.int64]) -> tuple[float, Array]:
    """Mean cross-entropy, and the probabilities, of logits (n, K)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    totals = exponentials.sum(axis=1)
    loss = np.mean(np.log(totals) - shifted[np.arange(len(y)), y])
    return float(loss), exponentials / totals[:, np.newaxis]


def minimum(problem: Problem, max_steps: int = 200, max_dense: int = MAX_DENSE) -> Optimum:
    """The exact minimum of F.

    Raises
    ------
    RuntimeError
        If `max_steps` Newton steps do not reach it.
    """
    space = _Space(problem, max_dense)
    theta = space.start()
    value, P = space.value(theta)
    solve, products = space.preconditioner(P), 0
    for steps in range(1, max_steps + 1):
        gradient = space.gradient(theta, P)
        step, decrement, products = _newton_step(space, P, gradient, solve)
        if products > 20:
            solve = space.preconditioner(P)
        left = decrement / (problem.start_value - value) if value < problem.start_value else np.inf
        theta, value, P = _line_search(space, theta, value, step, decrement, check=left > 1e-10)
        if left <= EXACT:
            coef, intercept = space.coefficients(theta)
            return Optimum(problem.value(coef, intercept), coef, intercept, left, steps)
    raise RuntimeError(f"no minimum within {max_steps} Newton steps: relative decrement {left:.1e}")


def _newton_step(
    space: "_Space", P: Array, gradient: Array, solve: Callable[[Array], Array]
) -> tuple[Array, float, int]:
    """Solve ``H step = -gradient`` by conjugate gradients; the decrement and the number of products."""
    step, residual = np.zeros_like(gradient), -gradient
    direction = preconditioned = solve(residual)
    size = first = float(np.vdot(residual, preconditioned))
    products = 0
    while products < 1000:
        products += 1
        image = space.hessian_times(P, direction)
        length = size / float(np.vdot(direction, image))
        step += length * direction
        residual = residual - length * image
        preconditioned = solve(residual)
        previous, size = size, float(np.vdot(residual, preconditioned))
        if size <= first * min(1e-3, max(first, 1e-12)) or size == 0:
            break
        direction = preconditioned + size / previous * direction
    return step, -float(np.vdot(gradient, step)) / 2, products


def _line_search(
    space: "_Space", theta: Array, value: float, step: Array, decrement: float, *, check: bool
) -> tuple[Array, float, Array]:
    """Halve the step until F falls; near the minimum, where rounding hides that, there is no `check`."""
    length = 1.0
    while True:
        trial = theta + length * step
        trial_value, P = space.value(trial)
        if not check or trial_value <= value - 1e-4 * length * decrement:
            return trial, trial_value, P
        length /= 2


class _Space:
    """F in coordinates theta (K - 1, q + 1): standardised columns, orthonormal contrasts of the classes.

    Adding a constant to all logits changes no probability, so that the best W sums to zero over the classes:
    ``W = Q V`` with orthonormal columns of Q that each sum to zero loses nothing.
    """

    def __init__(self, problem: Problem, max_dense: int) -> None:
        self.problem, self.K, self.max_dense = problem, problem.n_classes, max_dense
        self.Q = np.eye(2)[:, 1:] if self.K == 2 else linalg.helmert(self.K).T
        n, p = problem.X.shape
        self.basis: Array | None = None
        self.mean, self.scale, columns = np.zeros(p), np.ones(p), problem.X
        if sparse.issparse(columns) and (self.K - 1) * (p + 1) <= max_dense:
            columns = columns.toarray()
        if not sparse.issparse(columns):
            self.mean = columns.mean(axis=0)
            columns = columns - self.mean
            if p > n:
                left, sizes, right = linalg.svd(columns, full_matrices=False)
                kept = sizes > 1e-12 * sizes[0]
                columns, self.basis = left[:, kept] * sizes[kept], right[kept]
            self.scale = columns.std(axis=0)
            self.scale[self.scale == 0] = 1.0
            columns = columns / self.scale
        ones = np.ones((n, 1))
        self.A = sparse.hstack([columns, ones], "csr") if sparse.issparse(columns) else np.c_[columns, ones]
        self.ridge = np.append(problem.penalty / self.scale**2, 0.0)

    def start(self) -> Array:
        """The intercept-only model."""
        theta = np.zeros((self.K - 1, self.A.shape[1]))
        log_priors = np.log(self.problem.priors)
        theta[:, -1] = (log_priors - log_priors[0]) @ self.Q
        return theta

    def coefficients(self, theta: Array) -> tuple[Array, Array]:
        """W and b in the units of X; for two classes a single row."""
        rows = (self.Q @ theta)[-1:] if self.K == 2 else self.Q @ theta
        coef = rows[:, :-1] / self.scale
        coef = coef if self.basis is None else coef @ self.basis
        return coef, rows[:, -1] - coef @ self.mean

    def value(self, theta: Array) -> tuple[float, Array]:
        """F and the probabilities."""
        loss, P = cross_entropy(np.asarray(self.A @ theta.T) @ self.Q.T, self.problem.y)
        return loss + 0.5 * float(np.sum(self.ridge * theta**2)), P

    def gradient(self, theta: Array, P: Array) -> Array:
        """Gradient of F in theta."""
        residuals = P.copy()
        residuals[np.arange(len(P)), self.problem.y] -= 1
        return self._pull_back(residuals) + self.ridge * theta

    def hessian_times(self, P: Array, theta: Array) -> Array:
        """Hessian of F times a vector."""
        eta = np.asarray(self.A @ theta.T) @ self.Q.T
        return self._pull_back(P * (eta - (P * eta).sum(axis=1, keepdims=True))) + self.ridge * theta

    def preconditioner(self, P: Array) -> Callable[[Array], Array]:
        """Inverse of the Hessian, or where it is too large of its diagonal."""
        if (self.K - 1) * self.A.shape[1] > self.max_dense:
            square = self.A.multiply(self.A) if sparse.issparse(self.A) else self.A**2
            curvatures = P @ self.Q**2 - (P @ self.Q) ** 2
            diagonal = np.asarray(square.T @ curvatures).T / len(P) + self.ridge
            return lambda theta: theta / diagonal
        H = self._hessian(P)
        H[np.diag_indices_from(H)] *= 1 + 1e-12
        factor = linalg.cho_factor(H, lower=True, overwrite_a=True)
        return lambda theta: linalg.cho_solve(factor, theta.ravel()).reshape(theta.shape)

    def _hessian(self, P: Array) -> Array:
        size, at = self.A.shape[1], np.arange(self.A.shape[1])
        H = np.empty((self.K - 1, size, self.K - 1, size))
        means = P @ self.Q
        for i in range(self.K - 1):
            for j in range(i + 1):
                curvatures = P @ (self.Q[:, i] * self.Q[:, j]) - means[:, i] * means[:, j]
                H[i, :, j] = (self.A * curvatures[:, np.newaxis]).T @ self.A / len(P)
                H[j, :, i] = H[i, :, j].T
            H[i, at, i, at] += self.ridge
        return H.reshape((self.K - 1) * size, -1)

    def _pull_back(self, rows: Array) -> Array:
        return np.asarray(self.A.T @ (rows @ self.Q)).T / len(rows)
