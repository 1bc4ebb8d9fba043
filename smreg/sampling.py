r"""Rows that stand for all: a deterministic sample for estimating the Fisher information.

The part that row i has in the information is about its *leverage*

    ``l_i = z_i' Cov(z)^-1 z_i  *  sum_k s_i v_ik / sum_j s_j v_jk,   v_ik = p_ik (1 - p_ik)``,

a first factor for where the row lies among the features and a second for what it tells of each class at
the current point. Rows are drawn with probabilities in proportion to it and count in inverse proportion,
so that every direction, rare class and rare category keeps its share: a row that alone tells of a direction
is taken for certain. The sampling is systematic: equally spaced thresholds on the cumulative
leverage. Nothing is random, and a row of weight two is met as often as two equal rows.

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

from smreg.objective import Objective

Array = NDArray[np.float64]

# A leverage need not be exact: that of so many random combinations of the whitened features has an error
# of a fifth. The signs are the same in every fit.
SKETCH = 64


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
        self, phi: Array, temperature: float, totals: Array, size: int, damping: float = 0.0
    ) -> tuple[NDArray[np.int64], Array]:
        """Indices of at most `size` rows, and the weights with which each stands for its like.

        `totals` are the sums of the variances over all rows, for every class, to each of which the damping is
        still to be added.
        """
        totals = totals + damping
        inverse = np.divide(1.0, totals, out=np.zeros_like(totals), where=totals > 0)
        shares = self.objective.map_logits(
            lambda rows, eta: inverse @ (variances(eta, temperature) + damping), phi
        )
        weights = self.objective.sample.weights
        return systematic(weights * np.concatenate(list(shares)) * self.leverage, weights, size)


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
