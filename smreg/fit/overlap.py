r"""Overlap and separation in many coordinates, where a linear program has no time: by conjugate gradients.

See `smreg.fit.separation` for the definitions. Both methods need passes over the rows alone.

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
so far that nothing of them is left in the gradient. Where there is a direction of recession no such q exists,
wherever the point is.

**A direction of recession** is what is left of the point itself less its projection on what changes the tight
margins: the search has gone along it, and the margins that have grown are positive. Where others become
negative they are held to zero, too. The direction is believed if no margin is negative, to rounding.
"""

import numpy as np
from numpy.typing import NDArray

from smreg.data.block import Block
from smreg.data.kernels import Kept
from smreg.fit.recession import ROUNDING, TIGHT, labels, largest_margin, margins, tight
from smreg.objective.cross_entropy import Objective
from smreg.objective.logits import Direction, Point, softmax
from smreg.optimize.conjugate_gradients import conjugate_gradients, first
from smreg.optimize.protocol import Preconditioner

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]


def has_overlap(
    objective: Objective,
    phi: Array,
    null: Preconditioner,
    preconditioner: Preconditioner | None,
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
        ``w_i`` in a row of mean weight: with less the maximum may be farther out, and rounding matters less.
    most : int
        Products with the Hessian.
    """
    n_used, rows = objective.loss.n_used, objective.rows
    least = min(rows.map_blocks(_least, smoothing / n_used)) / rows.n_classes
    smoothed = rows.keep(_smoothed, objective.point(phi), smoothing / n_used)
    enough = least / 64  # as the metric may be of a sample of rows, or of variances alone

    metric = preconditioner or null
    iterates = conjugate_gradients(
        lambda v: objective.gradient_of(_products, objective.direction(v), smoothed),
        -objective.gradient_of(_residuals, smoothed),
        lambda residual: metric.unwhiten(metric.whiten(residual)),
    )
    iterate, is_solved = first(
        iterates, lambda at: float(np.linalg.norm(null.whiten(at.residual))) <= enough, most
    )
    changes = rows.map_blocks(_change, objective.direction(iterate.solution), smoothed)
    return is_solved and max(changes) <= 0.5


def _shares(weights: Array, smoothing: float) -> Array:
    """``s_i w_i`` of rows with weight, of which half is left to the probabilities at least."""
    return np.minimum(smoothing, weights / 2)


def _least(block: Block, smoothing: float) -> float:
    """``min_i s_i w_i`` over the rows of positive weight."""
    return float(_shares(block.weights[block.weights > 0], smoothing).min(initial=np.inf))


def _smoothed(block: Block, point: Point, smoothing: float) -> Array:
    """Probabilities ``p'`` at a point, which are bounded from below."""
    p, used = softmax(point.logits(block)), block.weights > 0
    shares = np.zeros(len(block))
    shares[used] = _shares(block.weights[used], smoothing) / len(p) / block.weights[used]
    return np.asarray(p + shares * (1.0 - len(p) * p))


def _residuals(block: Block, smoothed: Kept[Array]) -> Array:
    """``s (p' - t)``."""
    return block.weights * block.add_targets(smoothed.of(block).copy(), -1.0)


def _products(block: Block, direction: Direction, smoothed: Kept[Array]) -> Array:
    """``s (diag(p') - p' p'') e``."""
    p, change = smoothed.of(block), direction.logits(block)
    return np.asarray(block.weights * p * (change - (p * change).sum(axis=0)))


def _change(block: Block, direction: Direction, smoothed: Kept[Array]) -> float:
    """The largest part by which a probability changes, in a block of rows."""
    p, change = smoothed.of(block), direction.logits(block)
    parts = np.abs(change - (p * change).sum(axis=0))
    return float(parts.max(where=block.weights > 0, initial=0.0))


def is_direction_near(objective: Objective, phi: Array, null: Preconditioner, most: int) -> bool:
    """Whether what a point far out has in common with no tight margin is a direction of recession.

    `most` is that of passes over the rows in each projection.
    """
    return any(_is_direction(objective, phi, null, threshold, most) for threshold in reversed(TIGHT))


def _is_direction(
    objective: Objective, phi: Array, null: Preconditioner, threshold: float, most: int
) -> bool:
    rows = objective.rows
    held = rows.keep(_tight, objective.point(phi), threshold)

    def of_held(direction: Array) -> Array:
        """Half the gradient of the sum of squares of the margins that are held to zero."""
        return objective.gradient_of(_held_margins, objective.direction(direction), held, rows.n_samples)

    def size(residual: Array) -> float:
        return float(np.linalg.norm(null.whiten(residual)))

    noise = ROUNDING * size(of_held(phi))
    direction, size_of_all = phi, largest_margin(objective, phi)
    for _ in range(6):  # each holds the margins to zero that the one before has made negative
        iterates = conjugate_gradients(of_held, of_held(direction), lambda r: null.unwhiten(null.whiten(r)))
        iterate, is_solved = first(iterates, lambda at: size(at.residual) <= noise, most)
        if not is_solved:
            return False
        direction = direction - iterate.solution
        largest = largest_margin(objective, direction)
        if not 2.0**-30 * size_of_all < largest < np.inf:  # more is left than rounding
            return False
        at, slack = objective.direction(direction), ROUNDING * largest
        if not any(rows.map_blocks(_any_negative, at, slack)):
            return True
        held = rows.keep(_or_negative, at, slack, held)
    return False


def _tight(block: Block, point: Point, threshold: float) -> Bools:
    """Which margins are tight."""
    return tight(margins(block, point), threshold)


def _any_negative(block: Block, at: Direction, slack: float) -> bool:
    return bool((margins(block, at).shortfall > slack).any())


def _or_negative(block: Block, at: Direction, slack: float, held: Kept[Bools]) -> Bools:
    return held.of(block) | (margins(block, at).shortfall > slack)


def _held_margins(block: Block, at: Direction, held: Kept[Bools], n_samples: int) -> Array:
    """In rows of mean weight one."""
    change, label, columns = at.logits(block), labels(block), np.arange(len(block))
    excess = np.where(held.of(block), change - change[label, columns], 0.0)
    excess[label, columns] -= excess.sum(axis=0)
    return np.asarray(excess / n_samples)
