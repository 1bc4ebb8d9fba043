r"""Wide sparse data: Newton's method in the row space, which is never made.

At the optimum ``gamma W = -sum_i s_i (p_i - t_i) x_i'`` (see `smreg.objective.cross_entropy`). With fewer
rows than columns the search is for one vector a row, ``W = V' X`` with V of shape (n, K), and all that it
needs of the data is the product with the Gram matrix ``G = X X'``: two sparse products. Let
``R = s (p - t)`` be the residuals, ``S_i = s_i (diag(p_i) - p_i p_i')`` the information of each row, and
``E = G V``. The step to ``W'``, which changes the logits by ``e = G V' - E + 1 c'``, minimises the model

    ``<R, e> + <e, S e> / 2 + gamma/2 ||W'||^2 + delta/2 ||W' - W||^2``.

The *damping* delta, of Levenberg and Marquardt, makes the first models, far from the minimum, cheaper. With
``mu = gamma + delta`` and ``w = -e`` the model is stationary where

    ``mu V' = delta V - R + S w,   (mu + G S) w = G R + gamma E - mu 1 c'``.

**Conjugate gradients.** The operator ``mu + G S`` is self-adjoint in the inner product ``<v, S w>``. The
intercept's changes c are the multipliers of ``sum_i S_i w_i = sum_i R_i``, which leaves a search orthogonal
to constants, and whether X is centred makes no difference. Few words are common to two texts: with G replaced
by its diagonal the operator is inverted row by row, by the formula of Sherman and Morrison, and with the few
columns Z of largest variance, which are common to many, as ``G ~ diag(g) + Z Z'`` by that of Woodbury. Then 2
to 15 products do.

**How good a step is** follows from them. Where r is the residual of the system, the model lies at most
``<r, S r> / (2 mu^2)`` above its minimum, by duality. Without damping that also bounds from above the norm of
the gradient in the metric of the Hessian.

The TF-IDF matrix of 20 newsgroups takes 20 products, cheaper than evaluations, at C = 1, and 40 to 60 at
C = 100, where L-BFGS in the metric of the columns' variances takes 20 and 100 to 200 evaluations.

References
----------
D. W. Marquardt, An algorithm for least-squares estimation of nonlinear parameters, Journal of the Society for
Industrial and Applied Mathematics 11 (1963). https://doi.org/10.1137/0111030
J. Nocedal and S. Wright, Numerical Optimization, 2nd edition, Springer (2006), chapters 5 and 7.
https://doi.org/10.1007/978-0-387-40065-5
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from smreg.data.rows import sum_of
from smreg.objective.cross_entropy import Objective
from smreg.objective.logits import below_largest, exponentials
from smreg.optimize.conjugate_gradients import conjugate_gradients
from smreg.optimize.line_search import LEVEL, lowest
from smreg.optimize.metric import JITTER, inverse_factor
from smreg.optimize.protocol import Minimum, Point
from smreg.optimize.solver import is_better

Array = NDArray[np.float64]
OnIteration = Callable[[Callable[[], Array], float, float], bool]

RANK = 128  # dense columns times classes: their matrix takes about as long as a product
BLOCK = 2**11  # rows in a block of their products
PARTS = 4  # of the columns, for threads

# mu at a cold start, in parts of the mean of ``s g``; every step halves it. Without it 20 newsgroups takes
# 158 products in the place of 84 at C = 100.
FIRST_DAMPING = 0.5

# Part of the decrease that may be missing: on 20 newsgroups 0.3 takes 8 % more products, 1 takes 50 %.
ENOUGH = 0.1
MAX_CONJUGATE = 64  # products for a step: where more are needed, L-BFGS in another metric does better

SMALLEST = 1e-200  # divisor
LARGEST = 2.0**300  # number in X whose squares can be worked with, and its inverse
# Of a mean square to the penalty. V leaves logits 2**-52 of it: with 2**40 they were off by 2e-6.
MAX_RATIO = 2.0**36


def applies(objective: Objective) -> bool:
    """Whether X is sparse with fewer rows than columns, and there is a penalty above its rounding."""
    rows, penalty, at = objective.rows.in_memory, objective.penalty, objective.coordinates
    if rows is None or rows.csr is None or rows.n_samples >= rows.n_features:
        return False
    if penalty.is_zero or not penalty.is_uniform:
        return False
    if float(np.hypot(at.mean, at.spread).max(initial=0.0)) > math.sqrt(MAX_RATIO * float(penalty.ridge)):
        return False
    return 1 / LARGEST < float(np.abs(rows.csr.data).max(initial=0.0)) < LARGEST


def minimize(
    objective: Objective,
    start: Array | None,
    *,
    tol: float,
    max_iter: int,
    on_iteration: OnIteration = lambda coordinates, value, norm: False,
) -> Minimum:
    """Minimise the penalised cross-entropy of wide sparse data.

    Parameters
    ----------
    objective : Objective
        One that `applies`.
    start : ndarray of shape (D,), or None
        Coordinates that may be near the optimum, of this penalty or of another; None for the intercept-only
        model.
    tol : float
        Stop at this norm of the gradient in the metric of the Hessian.
    max_iter : int
        Most steps.
    on_iteration : callable
        ``(coordinates, value, norm) -> stop``, called after every step; the coordinates are a function that
        makes them, and the norm is that of the point before, in the metric of the damped Hessian.

    Returns
    -------
    Minimum
        Its norm is an estimate from above. The reason is "rounding" where steps
        fail, for whatever cause.
    """
    rows = _Rows(objective)
    state = rows.state_at(objective.start())
    mu, iterations, interrupted = max(rows.penalty, FIRST_DAMPING * rows.size), 0, False
    if start is not None:
        given = rows.state_at(start)
        if given.value <= state.value:
            state, mu = given, rows.penalty
    before, reason = None, ""
    while True:
        is_over = interrupted or iterations >= max_iter
        mu = rows.penalty if is_over else mu
        step = _Model(rows, state, mu).minimised(tol if mu == rows.penalty else 0.0)
        point = Point(state.dual, state.value, state.dual, step.norm)
        if mu == rows.penalty and step.norm <= tol:
            reason = "converged"
        elif is_over:
            reason = "callback" if interrupted else "max_iter"
        elif not step.norm < math.inf or (before is not None and not is_better(point, before)):
            reason = "rounding"
        following = rows.followed(state, step) if reason in ("", "converged") else None
        if following is not None:  # a last step, too, which is there
            state, before, iterations, mu = following, point, iterations + 1, max(mu / 2, rows.penalty)
            interrupted = on_iteration(partial(rows.coordinates, state), state.value, step.norm)
        if reason or following is None:
            break
    phi = rows.coordinates(state)
    value, gradient = objective(phi)
    point = Point(phi, value, gradient, step.norm)
    return Minimum(point, reason or "rounding", iterations, rows.products + 1, refreshes=0)


@dataclass(frozen=True)
class _State:
    """A point: V, ``E = G V``, the intercept, the objective, and the probabilities."""

    dual: Array
    predictors: Array
    intercept: Array
    value: float
    probabilities: Array


@dataclass(frozen=True)
class _Step:
    """Changes of V, of E and of the intercept, and a bound from above of ``||g||_{H^-1}`` of the damped H.

    The bound is infinite where conjugate gradients did not come to the end.
    """

    dual: Array
    predictors: Array
    intercept: Array
    norm: float


class _Rows:
    """The rows that have weight, with all classes: two classes with one row count as two of opposite sign."""

    def __init__(self, objective: Objective) -> None:
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
        ends = np.searchsorted(self.columns.indptr, np.linspace(0, self.columns.nnz, PARTS + 1))
        parts = [self.columns[first:last] for first, last in pairwise(ends)]
        self.parts = [(part, part.T) for part in parts if part.shape[0]]
        squares = np.asarray(self.columns.multiply(self.columns).sum(axis=0)).ravel()
        mean, rank = objective.coordinates.mean, RANK // n_classes
        largest = np.argsort(-objective.coordinates.spread, kind="stable")[:rank]
        self.dense = self.columns[largest].toarray().T - mean[largest]
        squares += mean @ mean - 2 * (self.columns.T @ mean) - _inner(self.dense, self.dense)[:, 0]
        self.diagonal = np.maximum(squares, 0.0)[:, np.newaxis]
        self.size = float(np.vdot(self.weights, self.diagonal)) / len(used)

    def gram(self, dual: Array) -> Array:
        """``G V``."""
        self.products += 1
        return sum_of(self.objective.rows.thread_map(lambda part: part[1] @ (part[0] @ dual), self.parts))

    def state(self, dual: Array, predictors: Array, intercept: Array) -> _State:
        """The point with its value."""
        eta = predictors + intercept + self.known
        below_largest(eta.T)
        linear = _inner(eta, self.target)
        total = exponentials(eta.T)[:, np.newaxis]
        eta /= total
        loss = float(np.vdot(self.weights, np.log(total) - linear))
        value = loss + self.penalty / 2 * float(np.vdot(dual, predictors))
        return _State(dual, predictors, intercept, value, eta)

    def state_at(self, phi: Array) -> _State:
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

    def residuals(self, state: _State) -> Array:
        """``s (p - t)``."""
        return self.weights * (state.probabilities - self.target)

    def followed(self, state: _State, step: _Step) -> _State | None:
        """The point near the minimum along a step, or at its end; None if the objective does not fall.

        Where the objective still falls at the end of a damped step, the next model knows better how far.
        """
        line = _RowLine(self, state, step)
        slope = line.slope(0.0)
        if not slope < 0:
            return None
        length = 1.0 if line.slope(1.0) <= -LEVEL * slope else lowest(line, slope)
        return line.state(length) if length else None

    def coordinates(self, state: _State) -> Array:
        """The point in the coordinates of the objective."""
        coef, intercept = np.asarray((self.columns @ state.dual).T), state.intercept
        if self.has_reference:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        return self.objective.coordinates.of(coef, intercept)


class _RowLine:
    """The objective along a step, on which neither X nor G is read."""

    first, evaluations = 1.0, 0

    def __init__(self, rows: _Rows, state: _State, step: _Step) -> None:
        self.rows, self.before, self.step = rows, state, step
        self.changes = step.predictors + step.intercept
        self.linear = rows.penalty * float(np.vdot(state.dual, step.predictors))
        self.quadratic = rows.penalty * float(np.vdot(step.dual, step.predictors))

    def slope(self, length: float) -> float:
        """The derivative in the length."""
        residuals = self.rows.residuals(self.state(length))
        return float(np.vdot(residuals, self.changes)) + self.linear + length * self.quadratic

    def state(self, length: float) -> _State:
        """The point at a length."""
        if not length:
            return self.before
        before, step = self.before, self.step
        return self.rows.state(
            before.dual + length * step.dual,
            before.predictors + length * step.predictors,
            before.intercept + length * step.intercept,
        )

    def point(self, length: float) -> tuple[float, Array, None]:
        """Value and the derivatives in the logits at a length."""
        state = self.state(length)
        return state.value, self.rows.residuals(state), None


class _Model:
    """The quadratic model at a point, with ``mu = gamma + delta``."""

    def __init__(self, rows: _Rows, state: _State, mu: float) -> None:
        self.rows, self.state, self.mu = rows, state, mu
        self.p = state.probabilities
        self.weighted = rows.weights * self.p
        self.inverse = 1.0 / (mu + rows.diagonal * self.weighted)  # for Sherman and Morrison
        determinant = mu * _inner(self.p, self.inverse)
        self.correction = rows.diagonal * rows.weights * self.p * self.inverse / determinant
        self.factor = inverse_factor(self.of_dense()) if rows.dense.size else np.empty((0, 0))
        self.of_constants = _generalised_inverse(self.p.T @ self.weighted)

    def information(self, w: Array) -> Array:
        """``S w``."""
        return np.asarray(self.weighted * (w - _inner(self.p, w)))

    def constant(self, image: Array) -> Array:
        """The constant c nearest to w, from ``S w``: ``sum_i S_i (w_i - c) = 0``."""
        total = image.sum(axis=0)
        return (
            self.of_constants @ total
            if self.rows.objective.coordinates.fit_intercept
            else np.zeros_like(total)
        )

    def centred(self, w: Array) -> Array:
        """The difference of w from that constant."""
        return w - self.constant(self.information(w))

    def by_rows(self, w: Array) -> Array:
        """``(mu + g S)^-1 w``."""
        scaled = self.inverse * w
        return np.asarray(scaled + self.correction * _inner(self.p, scaled))

    def of_dense(self) -> Array:
        """``1 + Z' S (mu + g S)^-1 Z`` for the dense columns Z of all classes."""
        a, Z = self.weighted * self.inverse, self.rows.dense
        (n, K), rank = a.shape, Z.shape[1]
        shares = a / np.sqrt(np.maximum(a.sum(axis=1, keepdims=True), SMALLEST))
        matrix = np.eye(K * rank)
        for first in range(0, n, BLOCK):
            block = slice(first, first + BLOCK)
            z = Z[block]
            half = (shares[block, :, np.newaxis] * z[:, np.newaxis, :]).reshape(len(z), -1)
            matrix -= half.T @ half
            for k in range(K):
                own = slice(k * rank, (k + 1) * rank)
                matrix[own, own] += (z * a[block, k, np.newaxis]).T @ z
        return matrix

    def preconditioned(self, r: Array) -> Array:
        """``(mu + (g + Z Z') S)^-1 r``."""
        by_rows, Z = self.by_rows(r), self.rows.dense
        if not Z.size:
            return by_rows
        scores = (Z.T @ self.information(by_rows)).T
        back = (self.factor.T @ (self.factor @ scores.ravel())).reshape(scores.shape)
        return np.asarray(by_rows - self.by_rows(Z @ back.T))

    def minimised(self, tol: float) -> _Step:
        """The step to the model's minimum, to within `ENOUGH` of the decrease or half the square of `tol`."""
        rows, state, mu = self.rows, self.state, self.mu
        residuals = rows.residuals(state)
        constant = self.constant(residuals)
        residuals = residuals - self.information(np.broadcast_to(constant, residuals.shape))
        image = rows.gram(residuals)
        dual, predictors = -residuals - rows.penalty * state.dual, -image - rows.penalty * state.predictors

        def product(direction: Array) -> Array:
            nonlocal image
            image = rows.gram(direction[1])
            return self.paired(mu * direction[0] + image)

        iterates = conjugate_gradients(
            product,
            self.paired(-predictors),
            lambda r: self.paired(self.preconditioned(r[0])),
            lambda v, w: np.vdot(v[0], w[1]),
        )
        for iterate in islice(iterates, MAX_CONJUGATE + 1):
            predictors = predictors + iterate.length * image
            step = self.step(dual + iterate.solution[1], predictors, constant)
            missing, decrease = self.missing(iterate.residual[0]), max(self.decrease(step), 0.0)
            is_enough = missing <= ENOUGH * decrease or 2 * (decrease + missing) <= tol**2
            if is_enough:
                break
        # without the residual of the recurrence, which rounding lets drift
        missing = self.missing(mu * (step.predictors + step.intercept + constant + iterate.solution[0]))
        norm = math.sqrt(2 * (max(self.decrease(step), 0.0) + missing))  # not a difference lost in rounding
        return replace(step, norm=norm if is_enough else math.inf)

    def paired(self, w: Array) -> Array:
        """``w - c`` for the constant nearest to w, and ``S (w - c)``, which recurrences carry along."""
        centred = self.centred(w)
        return np.stack([centred, self.information(centred)])

    def missing(self, residual: Array) -> float:
        """By how much the model can be lower still, from what is left of the system."""
        off = residual / self.mu
        return float(np.vdot(off, self.information(off))) / 2

    def step(self, dual: Array, predictors: Array, constant: Array) -> _Step:
        """The step ``V' - V`` from its multiple by mu, with the best change of the intercept."""
        change = predictors / self.mu
        intercept = -constant - self.constant(self.information(change))
        return _Step(dual / self.mu, change, intercept, math.inf)

    def decrease(self, step: _Step) -> float:
        """By how much a step lowers the model."""
        rows, state = self.rows, self.state
        e = step.predictors + step.intercept
        linear = np.vdot(rows.residuals(state), e) + rows.penalty * np.vdot(state.dual, step.predictors)
        squared = np.vdot(e, self.information(e)) + self.mu * np.vdot(step.dual, step.predictors)
        return float(-linear - squared / 2)


def _inner(v: Array, w: Array) -> Array:
    """The inner product of every row, as a column."""
    return np.asarray(np.einsum("ik,ik->i", v, w))[:, np.newaxis]


def _generalised_inverse(products: Array) -> Array:
    """That of ``sum_i S_i`` from ``sum_i s_i p_i p_i'``, whose rows add up to its diagonal."""
    between = products * (1.0 - np.eye(len(products)))
    root = np.sqrt(np.maximum(between.sum(axis=1), SMALLEST))
    unit = root / np.linalg.norm(root)
    scaled = (1.0 + JITTER) * np.eye(len(root)) - between / np.outer(root, root) + np.outer(unit, unit)
    return np.asarray(np.linalg.inv(scaled) / np.outer(root, root))
