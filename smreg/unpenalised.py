"""Separation: without a penalty there may be no solution.

The likelihood has a maximum if and only if there is no *direction of recession*: no
coefficients, other than such that change nothing, that give every row's label a logit at least as
high as every other class's (Albert and Anderson 1984). Where there is one, the likelihood grows along
it forever. `is_separated` decides this by linear programming (Konis 2007).

References
----------
A. Albert and J. A. Anderson, On the existence of maximum likelihood estimates in logistic regression
models, Biometrika 71 (1984). https://doi.org/10.1093/biomet/71.1.1
K. Konis, Linear programming algorithms for detecting separated data in binary logistic regression
models, DPhil thesis, University of Oxford (2007).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from smreg.design import scores
from smreg.objective import Objective

Array = NDArray[np.float64]

SUSPICIOUS = 0.01  # nats that a last Newton step still adds to some margin: 100 times the default tol
TOLERANCE = 1e-6  # of a margin in a linear program whose variables are at most one; HiGHS's is 1e-7
MOST_VIOLATED = 500  # constraints added to the linear program at a time
MAX_ROUNDS, MAX_PIVOTS, MAX_PROGRAM = 30, 5000, 300  # rounds, pivots in each, and variables
# Without a linear program's answer: the Newton step raises some margin by a nat or so, and lowers none by
# more than a hundredth of that.
GROWING = 0.5


@dataclass(frozen=True)
class _Margins:
    """By how much the logits of the labels exceed those of other classes, in one block of rows.

    All of shape (K, n_rows). A soft target stands for the class it favours most; classes that it
    allows besides must keep the same logit in a direction of recession: they are `tied`.
    """

    rows: slice
    value: Array
    counts: NDArray[np.bool_]
    tied: NDArray[np.bool_]
    label: NDArray[np.int64]

    @property
    def shortfall(self) -> Array:
        """How far each margin is from what a direction of recession needs."""
        needed = np.where(self.tied, np.abs(self.value), -self.value)
        return np.where(self.counts, needed, -np.inf)


def _margins(objective: Objective, phi: Array) -> Iterator[_Margins]:
    for rows, eta in objective.logits(phi):
        target, columns = objective.sample.target[rows], np.arange(eta.shape[1])
        label = np.asarray(target if target.ndim == 1 else target.argmax(axis=1), dtype=np.int64)
        counts = np.repeat(objective.sample.weights[np.newaxis, rows] > 0, len(eta), axis=0)
        counts[label, columns] = False
        tied = np.zeros_like(counts) if target.ndim == 1 else counts & (target.T > 0)
        yield _Margins(rows, eta[label, columns] - eta, counts, tied, label)


def is_separated(objective: Objective, phi: Array, newton_step: Array | None) -> bool:
    """Whether the unpenalised likelihood has no maximum, as far as that can be told at a bounded cost.

    Parameters
    ----------
    objective : Objective
        Without penalty.
    phi : ndarray of shape (D,)
        Where the search for a maximum ended.
    newton_step : ndarray of shape (D,) or None
        The Newton step from there, if the search was not cut short. At a maximum it is tiny; on the way to
        infinity it adds about a nat to the margins that can still grow.
    """
    if all((m.shortfall < 0).all() for m in _margins(objective, phi)):
        return True  # along `phi` itself all probabilities go to one
    if newton_step is None:
        return False
    growth = max(np.abs(m.value).max(initial=0.0) for m in _margins(objective, newton_step))
    if growth <= SUSPICIOUS:
        return False
    found = _has_recession_direction(objective) if phi.size <= MAX_PROGRAM else None
    if found is None:
        shortfall = max(m.shortfall.max() for m in _margins(objective, newton_step))
        return bool(growth > GROWING and shortfall < SUSPICIOUS * growth)
    return found


def _has_recession_direction(objective: Objective) -> bool | None:
    """Maximise the sum of all margins over a box, under constraints added where they are violated.

    None where that takes too long.
    """
    gain = _margin_sum(objective)
    if not gain.any():
        return False
    gain /= np.linalg.norm(gain)
    constraints = np.empty((0, gain.size))
    for _ in range(MAX_ROUNDS):
        program = optimize.linprog(
            -gain,
            A_ub=-constraints,
            b_ub=np.zeros(len(constraints)),
            bounds=(-1, 1),
            options={"maxiter": MAX_PIVOTS},
        )
        if program.status != 0 or program.x is None:
            return None
        if gain @ program.x <= TOLERANCE:
            return False
        violated = _most_violated(objective, program.x)
        if len(violated) == 0:
            return True
        constraints = np.vstack([constraints, violated])
    return None


def _margin_sum(objective: Objective) -> Array:
    """Gradient in the coordinates of the sum of all margins that are free to grow."""
    coef, intercept = np.zeros((len(objective.contrasts), objective.design.n_features)), 0.0
    for m in _margins(objective, np.zeros(objective.shape).ravel()):
        free = m.counts & ~m.tied
        weights = -free.astype(float)
        weights[m.label, np.arange(free.shape[1])] = free.sum(axis=0)
        weights = weights[-len(coef) :]
        coef = coef + scores(objective.design.block(m.rows), weights)
        intercept = intercept + weights.sum(axis=1)
    return objective.pull_back(coef, np.asarray(intercept))


def _most_violated(objective: Objective, phi: Array) -> Array:
    """Coefficients, in the coordinates, of the margins that fall short the most."""
    Q = objective.class_contrasts
    found: list[tuple[float, Array]] = []
    for m in _margins(objective, phi):
        shortfall = m.shortfall
        most = np.argsort(-shortfall, axis=None)[:MOST_VIOLATED]
        classes, columns = np.unravel_index(most, shortfall.shape)
        z = objective.standardised(m.rows)
        for k, i in zip(classes, columns, strict=True):
            if shortfall[k, i] <= TOLERANCE:
                break
            sign = -1.0 if m.tied[k, i] and m.value[k, i] > 0 else 1.0
            margin = sign * np.outer(Q[m.label[i]] - Q[k], z[:, i]).ravel()
            found.append((float(shortfall[k, i]), margin))
    found.sort(key=lambda pair: -pair[0])
    return np.array([margin for _, margin in found[:MOST_VIOLATED]])
