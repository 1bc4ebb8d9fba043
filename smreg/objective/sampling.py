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

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smreg.data.block import Block
from smreg.data.cached import cached_property
from smreg.data.kernels import Kept
from smreg.data.rows import Rows
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
    def leverage(self) -> Kept[tuple[Array, Array]]:
        """``||A z_i||^2`` for every row, nearly, and the weights."""
        objective = self.objective
        return objective.rows.keep(_leverage, objective.standardisation, self.factor, dense=True)

    def among_all(self, size: int) -> Rows:
        """At most `size` rows by their leverage alone."""
        return drawn(self.objective.rows, self.leverage.keep(_masses, 1.0, None), size)

    def __call__(self, at: "ClassVariances", size: int, metric: Metric | DenseMetric | None = None) -> Rows:
        """At most `size` rows, with the weights with which each stands for its like.

        With a `metric` from a point nearby half the sample goes by the leverage in that.
        """
        objective, in_metric = self.objective, None
        if metric is not None:
            along = [objective.direction(d) for d in directions(metric, at.phi.size, DIRECTIONS)]
            in_metric = objective.rows.keep(information_leverage, objective.point(at.phi), along, dense=True)
        return drawn(objective.rows, self.leverage.keep(_masses, at.shares(), in_metric), size)


def _masses(leverage: tuple[Array, Array], shares: Array | float, in_metric: Array | None) -> Array:
    """Those by the leverage among the features, and in a metric if there is one."""
    among_features, weights = leverage
    masses = [among_features * shares] if in_metric is None else [among_features * shares, in_metric]
    return np.asarray(weights * masses)


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
        is_known = (
            logits is not None and objective.rows.stores_zeros
        )  # whose blocks are the same, dense or not
        self._at: Point | Kept[Array] = logits if logits is not None and is_known else objective.point(phi)
        self._kept: Kept[tuple[Array, Array]] | None = None
        if objective.keeps_logits:
            self._kept = self._rows.keep(_variances, self._at, dense=True)
            totals = self._kept.map_reduce(_totals_of)
        else:
            totals = self._rows.map_reduce(_totals_at, self._at, dense=True)
        self.totals = np.maximum(totals, LEAST_VARIANCE)

    def shares(self) -> Kept[Array]:
        """``sum_k v_ik / sum_j s_j v_jk`` for every row."""
        if self._kept is None:
            return self._rows.keep(_shares_at, self._at, 1.0 / self.totals, dense=True)
        return self._kept.keep(_shares_of, 1.0 / self.totals)


def _variances(block: Block, at: Point | Kept[Array]) -> tuple[Array, Array]:
    """Those of a block, and its weights."""
    return variances(at.of(block) if isinstance(at, Kept) else at.logits(block)), block.weights


def _totals_of(kept: tuple[Array, Array]) -> Array:
    own, weights = kept
    return np.asarray(np.dot(own, weights))


def _totals_at(block: Block, at: Point | Kept[Array]) -> Array:
    return _totals_of(_variances(block, at))


def _shares_of(kept: tuple[Array, Array], inverse: Array) -> Array:
    return np.asarray(inverse @ kept[0])


def _shares_at(block: Block, at: Point | Kept[Array], inverse: Array) -> Array:
    return _shares_of(_variances(block, at), inverse)


def drawn(rows: Rows, masses: Kept[Array], size: int) -> Rows:
    """A systematic sample, of which every kind of mass draws an equal part; else the weights are masses."""
    totals = np.sum(masses.keep(_totals).gather(), axis=0)
    is_good = (totals / size > 0) & (totals < np.inf)  # false of NaN
    if not is_good.any():
        return drawn(rows, rows.keep(_weights, dense=True), size)
    return rows.sampled(masses.keep(_mixed, np.where(is_good, totals, np.inf)), size)


def _totals(masses: Array) -> Array:
    return np.asarray(masses.sum(axis=1))


def _mixed(masses: Array, totals: Array) -> Array:
    used = totals < np.inf
    return np.asarray(np.sum(masses[used] / totals[used, np.newaxis], axis=0))


def _weights(block: Block) -> Array:
    return block.weights[np.newaxis]


def _leverage(block: Block, standardisation: Standardisation, factor: Array) -> tuple[Array, Array]:
    whitened = standardisation.of(block)
    if factor.ndim == 2:
        whitened = factor @ whitened
    else:
        whitened *= factor[:, np.newaxis]
    whitened *= whitened
    return whitened.sum(axis=0), block.weights


def information_leverage(block: Block, point: Point, directions: Sequence[Direction]) -> Array:
    """``tr(A I_i A')`` for every row of weight one, nearly, by the changes of its logits."""
    p, total = softmax(point.logits(block)), np.zeros(len(block))
    with np.errstate(over="ignore", invalid="ignore"):  # along what M all but leaves out
        for direction in directions:
            change = direction.logits(block)
            change -= np.sum(p * change, axis=0)
            total += np.sum(p * change**2, axis=0)
    return total / len(directions)
