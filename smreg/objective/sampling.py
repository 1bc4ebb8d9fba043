r"""Rows that stand for all: a deterministic sample for estimating the Fisher information.

The part that row i has in the information is about its *leverage*

    ``l_i = z_i' Cov(z)^-1 z_i  *  sum_k s_i v_ik / sum_j s_j v_jk,   v_ik = p_ik (1 - p_ik)``,

a first factor for where the row lies among the features and a second for its information on each class at
the current point. Rows are drawn with probabilities in proportion to it and count in inverse proportion,
so that every direction, rare class and rare category keeps its share: a row that alone is informative on a
direction is always taken. The sampling is systematic: equally spaced thresholds on the cumulative
leverage. Nothing is random, and a row of weight two is met as often as two equal rows.

**Few rows.** Where nearly all rows are certain of their class, the information of those that are not is
another than that of the features, and a row that alone is informative on a direction there may be an
ordinary one among all. Where the sample is small, half of it is drawn by the leverage ``tr(A I_i A')`` in a
metric ``M^-1 = A' A`` from a point nearby, with the information I_i of the row: the mean over vectors q of
random signs of the variance, under p_i, of the change of the row's logits along ``A' q``. A direction that
M lacks is long in it, so that its rows come first.

References
----------
P. Drineas, M. Mahoney and S. Muthukrishnan, Sampling algorithms for l2 regression and applications, SODA
(2006). https://doi.org/10.1145/1109557.1109682
P. Xu, J. Yang, F. Roosta-Khorasani, C. Re and M. Mahoney, Sub-sampled Newton methods with non-uniform
sampling, NIPS (2016). https://doi.org/10.48550/arXiv.1607.00559
"""

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from smreg.data.rows import Block, IndexedRows, Kept, Rows
from smreg.objective.cross_entropy import Objective, Standardisation
from smreg.objective.logits import Direction, Point, softmax, variances
from smreg.optimize.metric import DenseMetric, Metric, directions

Array = NDArray[np.float64]

# A leverage need not be exact: that of so many random combinations of the whitened features has an error
# of a fifth. The signs are the same in every fit.
SKETCH = 64
LEAST_VARIANCE = 2.0**-80  # of a class, which divides: less is none
DIRECTIONS = 4  # for the leverage in a metric, each half an evaluation


class RowSampler:
    """Draws rows for estimating the information of an objective.

    Parameters
    ----------
    objective : Objective
        Whose rows.
    factor : ndarray of shape (width, width), or (width,) where it is diagonal
        A, with ``A' A`` in the place of the inverse covariance of the standardised features.
    """

    def __init__(self, objective: Objective, factor: Array) -> None:
        if factor.ndim == 2 and len(factor) > SKETCH:
            signs = np.random.default_rng(0).choice([-1.0, 1.0], (SKETCH, len(factor)))
            factor = signs @ factor / np.sqrt(SKETCH)
        self.objective, self.factor = objective, factor

    @cached_property
    def leverage(self) -> Array:
        """``||A z_i||^2`` for every row, nearly, of shape (n_samples,)."""
        objective = self.objective
        parts = objective.rows.map_blocks(_leverage, objective.standardisation, self.factor, dense=True)
        return np.concatenate(list(parts))

    def __call__(self, at: "ClassVariances", size: int, metric: Metric | DenseMetric | None = None) -> Rows:
        """At most `size` rows, with the weights with which each stands for its like.

        With a `metric` from a point nearby half the sample goes by the leverage in that.
        """
        rows = indexed(self.objective.rows)
        mass = rows.weights * at.shares() * self.leverage
        if metric is not None:
            other = information_leverage(self.objective, metric, at.phi)
            mass = _shares(mass) + _shares(rows.weights * other)
        return drawn(rows, mass, size)


class ClassVariances:
    """The variances ``v_ik = p_ik (1 - p_ik)`` at a point, not to full precision.

    They are kept where logits are.

    Parameters
    ----------
    objective : Objective
        Whose rows.
    phi : ndarray of shape (D,)
        The point.
    logits : Kept or None
        Those of the point, if they are known.

    Attributes
    ----------
    totals : ndarray of shape (K,)
        ``sum_i s_i v_ik`` for every class, positive.
    """

    def __init__(self, objective: Objective, phi: Array, logits: Kept[Array] | None = None) -> None:
        self.phi, self._rows = phi, objective.rows
        self._point = objective.point(phi) if logits is None else logits
        self._kept: list[tuple[Array, Array]] = []
        self._kept = list(self._parts()) if objective.keeps_logits else []
        self.totals = np.maximum(sum(total for _, total in self._parts()), LEAST_VARIANCE)

    def _parts(self) -> Iterable[tuple[Array, Array]]:
        """Variances and their sums in each block of rows."""
        return self._kept or self._rows.map_blocks(_variances_and_totals, self._point)

    def shares(self) -> Array:
        """``sum_k v_ik / sum_j s_j v_jk`` for every row, of shape (n_samples,)."""
        return np.concatenate([(1.0 / self.totals) @ own for own, _ in self._parts()])


def _variances_and_totals(block: Block, point: Point | Kept[Array]) -> tuple[Array, Array]:
    own = variances(point.of(block) if isinstance(point, Kept) else point.logits(block))
    return own, np.dot(own, block.weights)


def indexed(rows: Rows) -> IndexedRows:
    """Rows that can be taken by their numbers: others are not sampled."""
    assert rows.by_index is not None
    return rows.by_index


def drawn(rows: IndexedRows, mass: Array, size: int) -> Rows:
    """A systematic sample by mass, see `systematic`."""
    return rows.take(*systematic(mass, rows.weights, size), thread_map=rows.thread_map)


def _leverage(block: Block, standardisation: Standardisation, factor: Array) -> Array:
    whitened = standardisation.of(block)
    if factor.ndim == 2:
        whitened = factor @ whitened
    else:
        whitened *= factor[:, np.newaxis]
    whitened *= whitened
    return np.asarray(whitened.sum(axis=0))


def _shares(mass: Array) -> Array:
    """Parts of the sum, none where it is zero or not finite."""
    total = mass.sum()
    return mass / total if 0 < total < np.inf else np.zeros_like(mass)


def information_leverage(objective: Objective, metric: Metric | DenseMetric, phi: Array) -> Array:
    """``tr(A I_i A')`` for every row of weight one, nearly, of shape (n_samples,)."""
    along = [objective.direction(d) for d in directions(metric, phi.size, DIRECTIONS)]
    parts = objective.rows.map_blocks(_information_leverage, objective.point(phi), along)
    return np.concatenate(list(parts))


def _information_leverage(block: Block, point: Point, directions: Sequence[Direction]) -> Array:
    p, total = softmax(point.logits(block)), np.zeros(len(block))
    with np.errstate(over="ignore", invalid="ignore"):  # along what M all but leaves out
        for direction in directions:
            change = direction.logits(block)
            change -= np.sum(p * change, axis=0)
            total += np.sum(p * change**2, axis=0)
    return total / len(directions)


def systematic(mass: Array, weights: Array, size: int) -> tuple[NDArray[np.int64], Array]:
    """Rows met by `size` equally spaced thresholds on the cumulative mass, and their new weights."""
    cumulative = np.cumsum(mass)
    step = cumulative[-1] / size
    if not 0 < step < np.inf:
        return systematic(weights, weights, size)
    met = np.searchsorted(cumulative, (np.arange(size) + 0.5) * step)
    rows, times = np.unique(np.minimum(met, np.flatnonzero(mass)[-1]), return_counts=True)
    return rows, weights[rows] * times * (step / mass[rows])
