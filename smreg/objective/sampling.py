r"""Rows that stand for all: a deterministic sample for estimating the Fisher information.

The part that row i has in the information is about its *leverage*

    ``l_i = z_i' Cov(z)^-1 z_i  *  sum_k s_i v_ik / sum_j s_j v_jk,   v_ik = p_ik (1 - p_ik)``,

a first factor for where the row lies among the features and a second for what it tells of each class at
the current point. Rows are drawn with probabilities in proportion to it and count in inverse proportion,
so that every direction, rare class and rare category keeps its share: a row that alone tells of a direction
is taken for certain. The sampling is systematic: equally spaced thresholds on the cumulative
leverage. Nothing is random, and a row of weight two is met as often as two equal rows.

**Few rows.** Where nearly all rows are certain of their class, the information of those that are not is
another than that of the features, and a row that alone tells of a direction there may be an ordinary one
among all. Where the sample is too small to meet it all the same, a metric ``M^-1 = A' A`` from a point nearby
tells the leverage ``tr(A I_i A')`` in the information I_i of the row: the mean over vectors q of random signs
of the variance, under p_i, of the change of the row's logits along ``A' q``. What M has missed is long in it,
and the rows that tell of that come first.

References
----------
P. Drineas, M. Mahoney and S. Muthukrishnan, Sampling algorithms for l2 regression and applications, SODA
(2006). https://doi.org/10.1145/1109557.1109682
P. Xu, J. Yang, F. Roosta-Khorasani, C. Re and M. Mahoney, Sub-sampled Newton methods with non-uniform
sampling, NIPS (2016). https://doi.org/10.48550/arXiv.1607.00559
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from smreg.objective.cross_entropy import Objective
from smreg.optimize.metric import Metric

Array = NDArray[np.float64]

# A leverage need not be exact: that of so many random combinations of the whitened features has an error
# of a fifth. The signs are the same in every fit.
SKETCH = 64
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

        def block(rows: slice) -> Array:
            z = self.objective.standardised(rows)
            whitened = self.factor @ z if self.factor.ndim == 2 else self.factor[:, np.newaxis] * z
            whitened *= whitened
            return np.asarray(whitened.sum(axis=0))

        return np.concatenate(list(self.objective.design.map(block, dense=True)))

    def __call__(
        self,
        phi: Array,
        temperature: float,
        totals: Array,
        size: int,
        damping: float = 0.0,
        metric: Metric | None = None,
    ) -> tuple[NDArray[np.int64], Array]:
        """Indices of at most `size` rows, and the weights with which each stands for its like.

        `totals` are the sums of the variances over all rows, for every class, to each of which the damping is
        still to be added. With a `metric` from a point nearby half the sample goes by the leverage in that.
        """
        totals = totals + damping
        inverse = np.divide(1.0, totals, out=np.zeros_like(totals), where=totals > 0)
        shares = self.objective.map_logits(
            lambda rows, eta: inverse @ (variances(eta, temperature) + damping), phi
        )
        weights = self.objective.sample.weights
        mass = weights * np.concatenate(list(shares)) * self.leverage
        if metric is None:
            return systematic(mass, weights, size)
        other = weights * information_leverage(self.objective, metric, phi, temperature, damping)
        return systematic(_shares(mass) + _shares(other), weights, size)


def _shares(mass: Array) -> Array:
    """Parts of the sum, none where it is zero or not finite."""
    total = mass.sum()
    return mass / total if 0 < total < np.inf else np.zeros_like(mass)


def information_leverage(
    objective: Objective, metric: Metric, phi: Array, temperature: float, damping: float = 0.0
) -> Array:
    """``tr(A I_i A')`` for every row of weight one, nearly, of shape (n_samples,)."""

    def block(rows: slice, eta: Array, *changes: Array) -> Array:
        p, total = probabilities(eta, temperature), np.zeros(eta.shape[1])
        with np.errstate(over="ignore", invalid="ignore"):  # along what M all but leaves out
            for change in changes:
                total += damping * np.sum(change**2, axis=0)
                change -= np.sum(p * change, axis=0)
                total += np.sum(p * change**2, axis=0)
        return total / len(changes)

    return np.concatenate(list(objective.map_logits(block, phi, *metric.directions(DIRECTIONS))))


def systematic(mass: Array, weights: Array, size: int) -> tuple[NDArray[np.int64], Array]:
    """Rows met by `size` equally spaced thresholds on the cumulative mass, and their new weights."""
    cumulative = np.cumsum(mass)
    step = cumulative[-1] / size
    if not 0 < step < np.inf:
        return systematic(weights, weights, size)
    met = np.searchsorted(cumulative, (np.arange(size) + 0.5) * step)
    rows, times = np.unique(np.minimum(met, np.flatnonzero(mass)[-1]), return_counts=True)
    return rows, weights[rows] * times * (step / mass[rows])


def variances(eta: Array, temperature: float) -> Array:
    """``p (1 - p)`` for logits of shape (K, n_rows) divided by a temperature, not to full precision."""
    p = probabilities(eta, temperature)
    p -= p * p
    return p


def probabilities(eta: Array, temperature: float) -> Array:
    """Softmax of logits of shape (K, n_rows) divided by a temperature."""
    p = eta - eta.max(axis=0)
    p /= temperature
    np.exp(p, out=p)
    p /= p.sum(axis=0)
    return np.asarray(p)


def complement(p: Array) -> Array:
    """``1 - p`` for class probabilities (K, n_rows), to full precision where it is tiny."""
    rest, top = 1.0 - p, (p.argmax(axis=0), np.arange(p.shape[1]))
    others = p.copy()
    others[top] = 0.0
    rest[top] = others.sum(axis=0)
    return rest
