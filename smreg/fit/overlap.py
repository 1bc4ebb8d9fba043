r"""Overlap and separation in many coordinates, where a linear program has no time: by conjugate gradients.

See `smreg.fit.separation` for what is looked for. Both ways need passes over the rows alone.

**There is a maximum** if there are probabilities ``q_i``, all positive, that fit the targets' moments as the
maximum does, ``sum_i s_i (q_i - t_i) x_i' = 0``: the margins ``m_ik`` of any direction then satisfy
``sum_ik s_i q_ik m_ik = 0``, so that all are zero where none is negative. They are sought near those of the
point, ``p_i``, of which many may be tiny. With ``p'_i = (1 - w_i) p_i + w_i / K`` and ``e`` that solves

    ``sum_i s_i (p'_i - t_i + (diag(p'_i) - p'_i p'_i') e_i) x_i' = r``

up to a residual r, that is ``q_i = p'_i (1 + e_i - <p'_i, e_i>)``. If no entry of the last bracket is below
1/2, a direction of recession whose largest margin is one has ``-<r, d> = sum_ik s_i q_ik m_ik``, which is at
least ``min_i s_i w_i / (2 K)``. But its length in the metric M of the intercept-only model is at most 1/2, as
no logit of a row leaves an interval of length one, and ``|<r, d>|`` is at most ``||r||_{M^-1} / 2``. A
residual below ``min_i s_i w_i / K`` hence excludes all directions, also those along which the search has come
so far that nothing of them is left in the gradient. On the way to infinity no such q exists, wherever the
point is.

**A direction of recession** is what is left of the point itself less its projection on what changes the tight
margins: the search has gone along it, and the margins that have grown are positive. Where others become
negative they are held to zero, too. The direction is believed if no margin is negative, to rounding.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import special

from smreg.fit.recession import ROUNDING, TIGHT, Margins, largest_margin, margins_along, margins_at
from smreg.objective.cross_entropy import Objective
from smreg.optimize import solver
from smreg.optimize.metric import Metric

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

MOST_SMOOTHING = 0.5  # w_i in any row
CHANGED = 0.5  # part of a probability by which it may change
SAFETY = 2.0**-1  # of the residual's bound, for a metric from a sample of rows
DIAGONAL = 2.0**-6  # and where the metric has only the variances, as if no correlation matrix were worse

NOISE = 2.0**-44  # part of a gradient that rounding leaves
MAX_HOLDS = 6  # projections, after each of which margins that are negative are held to zero
VANISHED = 2.0**-30  # part of the logits that is no direction


def has_overlap(
    objective: Objective,
    phi: Array,
    null: Metric,
    preconditioner: solver.Preconditioner | None,
    smoothing: float,
    most: int,
) -> bool:
    """Whether it is proved that no direction separates the classes, from a point near the maximum.

    Parameters
    ----------
    objective : Objective
        Without penalty.
    phi : ndarray of shape (D,)
        The point.
    null : Metric
        That of the intercept-only model.
    preconditioner : Metric or None
        One near the Hessian, None for `null`.
    smoothing : float
        ``w_i`` in a row of mean weight: with less the maximum may be farther out, and rounding tells less.
    most : int
        Products with the Hessian.
    """
    smoothed = _Smoothed(objective, phi, smoothing)
    enough = smoothed.least * (DIAGONAL if null.factors.ndim == 2 else SAFETY)

    def is_small(residual: Array) -> bool:
        return float(np.linalg.norm(null.whiten(residual))) <= enough

    step, is_solved = _conjugate_gradients(
        lambda v: objective.gradient_of(smoothed.products, v),
        -objective.gradient_of(smoothed.residuals),
        preconditioner or null,
        is_small,
        most,
    )
    return is_solved and all(change <= CHANGED for change in objective.map_changes(smoothed.change, step))


class _Smoothed:
    """Probabilities ``p'`` at a point, which are bounded from below, and what is summed over the rows.

    Attributes
    ----------
    least : float
        ``min_i s_i w_i / K`` over the rows of positive weight.
    """

    def __init__(self, objective: Objective, phi: Array, smoothing: float) -> None:
        self.sample, self.weights = objective.sample, objective.sample.weights
        used, K = self.weights > 0, len(objective.sample.priors)
        shares = np.zeros_like(self.weights)
        weighted = np.minimum(smoothing / used.sum(), MOST_SMOOTHING * self.weights[used]) / K
        shares[used] = weighted / self.weights[used]
        self.least = float(weighted.min())

        def block(rows: slice, eta: Array) -> tuple[int, Array]:
            p = special.softmax(eta, axis=0)
            return rows.start, p + shares[rows] * (1.0 - len(p) * p)

        self._probabilities = dict(objective.map_logits(block, phi))

    def residuals(self, rows: slice) -> Array:
        """``s (p' - t)``."""
        p = self._probabilities[rows.start].copy()
        return self.weights[rows] * self.sample.add_targets(p, rows, -1.0)

    def products(self, rows: slice, change: Array) -> Array:
        """``s (diag(p') - p' p'') e``."""
        p = self._probabilities[rows.start]
        return np.asarray(self.weights[rows] * p * (change - (p * change).sum(axis=0)))

    def change(self, rows: slice, change: Array) -> float:
        """The largest part by which a probability changes, in a block of rows."""
        p = self._probabilities[rows.start]
        parts = np.abs(change - (p * change).sum(axis=0))
        return float(parts.max(where=self.weights[rows] > 0, initial=0.0))


def is_direction_near(objective: Objective, phi: Array, null: Metric, most: int) -> bool:
    """Whether what a point far out has in common with no tight margin is a direction of recession.

    `most` is that of passes over the rows in each projection.
    """
    return any(_is_direction(objective, phi, null, threshold, most) for threshold in reversed(TIGHT))


def _is_direction(objective: Objective, phi: Array, null: Metric, threshold: float, most: int) -> bool:
    at = margins_at(objective, phi)
    held = _of_all_rows(at, lambda m: m.counts & (m.tied | (m.probabilities > threshold)))
    of_tight = _HeldMargins(objective, held)
    size = float(np.linalg.norm(null.whiten(of_tight.gradient(phi))))

    def is_noise(residual: Array) -> bool:
        return float(np.linalg.norm(null.whiten(residual))) <= NOISE * size

    direction, whole = phi, largest_margin(objective, phi)
    for _ in range(MAX_HOLDS):
        change, is_solved = _conjugate_gradients(
            of_tight.gradient, of_tight.gradient(direction), null, is_noise, most
        )
        if not is_solved:
            return False
        direction = direction - change
        largest = largest_margin(objective, direction)
        if not VANISHED * whole < largest < np.inf:
            return False
        negative = _negative(objective, direction, ROUNDING * largest)
        if not negative.any():
            return True
        of_tight.held |= negative
    return False


class _HeldMargins:
    """The sum of squares of the margins that are held to zero.

    `held` of shape (K, n_samples) tells which of each row.
    """

    def __init__(self, objective: Objective, held: Bools) -> None:
        self._objective, self.held = objective, held

    def gradient(self, direction: Array) -> Array:
        """Half of it; in rows of mean weight one."""
        return self._objective.gradient_of(self._residuals, direction)

    def _residuals(self, rows: slice, change: Array) -> Array:
        target, columns = self._objective.sample.target[rows], np.arange(change.shape[1])
        label = target if target.ndim == 1 else target.argmax(axis=1)
        excess = np.where(self.held[:, rows], change - change[label, columns], 0.0)
        excess[label, columns] -= excess.sum(axis=0)
        return np.asarray(excess / self.held.shape[1])


def _negative(objective: Objective, direction: Array, slack: float) -> Bools:
    return _of_all_rows(margins_along(objective, direction), lambda m: m.shortfall > slack)


def _of_all_rows(blocks: Iterator[Margins], chosen: Callable[[Margins], Bools]) -> Bools:
    return np.concatenate([chosen(m) for m in blocks], axis=1)


def _conjugate_gradients(
    product: Callable[[Array], Array],
    gradient: Array,
    preconditioner: solver.Preconditioner,
    is_small: Callable[[Array], bool],
    most: int,
) -> tuple[Array, bool]:
    """The solution of a positive semidefinite system, from zero, and whether what it leaves is small."""
    solution, residual, direction, before = np.zeros_like(gradient), gradient, np.zeros_like(gradient), 1.0
    for _ in range(most):
        if is_small(residual):
            return solution, True
        steepest = preconditioner.unwhiten(preconditioner.whiten(residual))
        squared = float(residual @ steepest)
        direction = steepest + squared / before * direction
        of_direction = product(direction)
        with np.errstate(over="ignore", invalid="ignore"):  # a step along what hardly curves
            curvature = float(direction @ of_direction)
        if not 0 < curvature < np.inf:
            break
        solution = solution + squared / curvature * direction
        residual = residual - squared / curvature * of_direction
        before = squared
    return solution, is_small(residual)
