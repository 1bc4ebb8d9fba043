"""Directions of recession: the margins along a direction, and linear programs that find one.

See `smreg.fit.separation` for what they are.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize, special

from smreg.data.design import scores
from smreg.objective.cross_entropy import Objective, Sample

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

TIGHT = (2.0**-7, 2.0**-14)  # probabilities above which a class other than the label is near enough
ENOUGH = 4  # tight margins a column, of a label and a class, that most often have no direction in common

TOLERANCE = 1e-6  # of a margin in a linear program whose variables are at most one; HiGHS's is 1e-7
ROUNDING = 2.0**-42  # of a margin, relative to the largest
REGULAR = 2.0**-10  # least pivot of a factor that leaves no doubt
NULL = 2.0**-40  # eigenvalue of a correlation matrix that is zero to rounding
REFINEMENTS = 3  # of a direction
MOST_VIOLATED = 500  # constraints added to the linear program at a time
MAX_ROUNDS, MAX_PIVOTS = 30, 5000  # linear programs, and pivots in each


@dataclass
class Allowance:
    """What linear programs may still cost.

    Attributes
    ----------
    numbers : float
        Constraints times variables, summed over the pivots.
    """

    numbers: float


@dataclass(frozen=True)
class Margins:
    """By how much the logits of the labels exceed those of other classes, in one block of rows.

    All of shape (K, n_rows). A soft target stands for the class it favours most; classes that it
    allows besides must keep the same logit in a direction of recession: they are `tied`.
    """

    rows: slice
    value: Array
    counts: Bools
    tied: Bools
    label: NDArray[np.int64]

    @property
    def shortfall(self) -> Array:
        """How far each margin is from what a direction of recession needs."""
        needed = np.where(self.tied, np.abs(self.value), -self.value)
        return np.where(self.counts, needed, -np.inf)

    @property
    def probabilities(self) -> Array:
        """Of the classes, where the margins are those of the logits."""
        return np.asarray(special.softmax(-self.value, axis=0))


def margins_at(objective: Objective, phi: Array, *, dense: bool = False) -> Iterator[Margins]:
    """Those of the logits at a point, block by block."""
    return objective.map_logits(partial(_margins, objective.sample), phi, dense=dense)


def margins_along(objective: Objective, direction: Array, *, dense: bool = False) -> Iterator[Margins]:
    """Their changes along a direction."""
    return objective.map_changes(partial(_margins, objective.sample), direction, dense=dense)


def _margins(sample: Sample, rows: slice, eta: Array) -> Margins:
    target, columns = sample.target[rows], np.arange(eta.shape[1])
    label = np.asarray(target if target.ndim == 1 else target.argmax(axis=1), dtype=np.int64)
    counts = np.repeat(sample.weights[np.newaxis, rows] > 0, len(eta), axis=0)
    counts[label, columns] = False
    tied = np.zeros_like(counts) if target.ndim == 1 else counts & (target.T > 0)
    return Margins(rows, eta[label, columns] - eta, counts, tied, label)


def largest_margin(objective: Objective, direction: Array) -> float:
    """The largest change of a margin along a direction."""
    return float(max(np.abs(m.value).max(initial=0.0) for m in margins_along(objective, direction)))


def is_complete(objective: Objective, phi: Array) -> bool:
    """Whether along `phi` itself all probabilities go to one: by more than the rounding of its logits."""
    return _is_of_recession(objective, phi, -ROUNDING)


def _is_of_recession(objective: Objective, direction: Array, slack: float) -> bool:
    """Whether no margin falls short, to a part of the largest."""
    worst, largest = -np.inf, 0.0
    for m in margins_along(objective, direction):
        # NumPy's maximum keeps what is no number
        largest = float(np.maximum(largest, np.abs(m.value).max(initial=0.0)))
        worst = float(np.maximum(worst, m.shortfall.max(initial=-np.inf)))
        if slack < 0 <= worst:
            return False
    return worst <= slack * largest


def is_seen_from(
    objective: Objective, phi: Array, max_size: int, max_program: int, allowance: Allowance
) -> bool:
    """Whether a direction of recession is found where the margins that are tight at `phi` are zero.

    Sought are first directions that change one class, then all, in subspaces of at most `max_program`
    dimensions, if there are at most `max_size` coordinates. Often a part of the rows shows that there are
    none.
    """
    if phi.size > max_size:
        return False
    space = _row_space(objective)
    if not space.size:
        return False
    enough = ENOUGH * objective.shape[1]
    for threshold, most in ((TIGHT[0], enough), *((threshold, None) for threshold in TIGHT)):

        def tight(m: Margins, threshold: float = threshold) -> Bools:
            return m.counts & (m.tied | (m.probabilities > threshold))

        is_empty = True
        products = _products(objective, margins_at(objective, phi, dense=True), tight, most, space)
        for basis in _null_spaces(objective, products, space):
            is_empty = is_empty and basis.size == 0
            is_small = most is None and 0 < basis.shape[1] <= max_program
            if is_small and has_recession_direction(objective, basis, allowance):
                return True
        if is_empty:
            return False
    return False


def _row_space(objective: Objective) -> Array:
    """Orthonormal basis of the space that the standardised rows span: beyond it nothing changes a margin."""
    width, weights = objective.shape[1], objective.sample.weights
    products = np.zeros((width, width))
    for rows in objective.design.map(lambda rows: rows, dense=True):
        z = objective.standardised(rows)[:, weights[rows] > 0]
        products += z @ z.T
    null = _null_space(products)
    return np.eye(width) if null.shape[1] == 0 else linalg.null_space(null.T)


def _products(
    objective: Objective,
    blocks: Iterator[Margins],
    chosen: Callable[[Margins], Bools],
    most: int | None = None,
    space: Array | None = None,
) -> Array:
    """Sum of the outer products of some margins' coefficients, those of classes: (K, K, d, d).

    `most` is about how many to take of each block, label and class. The products are those in the basis of
    a `space`, if one is given.
    """
    n_classes, width = len(objective.sample.priors), (objective if space is None else space).shape[1]
    products = np.zeros((n_classes, n_classes, width, width))
    for m in blocks:
        selected, z = chosen(m), objective.standardised(m.rows)
        z = z if space is None or len(space) == width else space.T @ z
        for label in np.unique(m.label):
            own = m.label == label
            z_own, selected_own = z[:, own], selected[:, own]
            for other in np.flatnonzero(selected_own.any(axis=1)):
                rows = np.flatnonzero(selected_own[other])
                rows = rows if most is None else rows[:: len(rows) // most + 1]
                product = z_own[:, rows] @ z_own[:, rows].T
                products[label, label] += product
                products[other, other] += product
                products[label, other] -= product
                products[other, label] -= product
    return products


def _null_spaces(objective: Objective, products: Array, space: Array) -> Iterator[Array]:
    """Bases of the directions in a space in which margins are zero: of one class at a time, then of all."""
    Q = objective.coordinates.coding
    if len(Q) > 2:
        for row, own in zip(Q, np.einsum("kkij->kij", products), strict=True):
            yield np.kron(row[:, np.newaxis] / np.linalg.norm(row), space @ _null_space(own))
    null = _null_space(_contracted(objective, products))
    yield np.einsum("ij,ajm->aim", space, null.reshape(Q.shape[1], space.shape[1], -1)).reshape(
        Q.shape[1] * len(space), -1
    )


def _contracted(objective: Objective, products: Array) -> Array:
    """The products in the coordinates: (D, D)."""
    Q = objective.coordinates.coding
    contracted = np.einsum("ka,klij,lb->aibj", Q, products, Q, optimize=True)
    size = Q.shape[1] * products.shape[-1]
    return np.asarray(contracted.reshape(size, size))


def _null_space(products: Array) -> Array:
    """Orthonormal basis of the null space of a positive semidefinite matrix, to rounding.

    Where the matrix is not finite there is none.
    """
    if not np.isfinite(products).all():
        return np.empty((len(products), 0))
    root = np.sqrt(np.maximum(products.diagonal(), 0.0))  # rounding makes some negative
    root = np.where(root > 0, root, 1.0)
    correlations = products / root / root[:, np.newaxis]
    with suppress(np.linalg.LinAlgError):  # much faster than eigenvalues
        if np.linalg.cholesky(correlations).diagonal().min(initial=1.0) > REGULAR:
            return np.empty((len(root), 0))
    eigenvalues, vectors = np.linalg.eigh(correlations)
    null = vectors[:, eigenvalues <= NULL * len(root)] / root[:, np.newaxis]
    return np.asarray(linalg.qr(null / linalg.norm(null, axis=0), mode="economic")[0]) if null.size else null


def has_recession_direction(objective: Objective, basis: Array, allowance: Allowance) -> bool | None:
    """Whether there is a direction of recession in the space of a basis.

    Maximise the sum of all margins over a box, under constraints added where they are violated. None where
    that takes more than the allowance, its tolerance is not enough to tell, or the sum is not finite.
    """
    gain = basis.T @ _margin_sum(
        objective, np.zeros(basis.shape[0]), lambda m: (m.counts & ~m.tied).astype(float)
    )
    size = float(np.linalg.norm(gain))
    if not np.isfinite(size):
        return None
    if size <= TOLERANCE:
        return False
    gain /= size
    constraints = np.empty((0, gain.size))
    for _ in range(MAX_ROUNDS):
        numbers = (1 + len(constraints)) * gain.size  # in a pivot
        pivots = int(min(allowance.numbers / numbers, MAX_PIVOTS))
        if pivots == 0:
            return None
        program = optimize.linprog(
            -gain,
            A_ub=-constraints,
            b_ub=np.zeros(len(constraints)),
            bounds=(-1, 1),
            options={"maxiter": pivots},
        )
        allowance.numbers -= program.nit * numbers
        if program.status != 0 or program.x is None:
            return None
        if gain @ program.x <= TOLERANCE:
            return False
        violated = _most_violated(objective, basis @ program.x)
        if len(violated) == 0:
            return True if _is_proved(objective, basis, program.x) else None
        constraints = np.vstack([constraints, violated @ basis])
    return None


def _is_proved(objective: Objective, basis: Array, x: Array) -> bool:
    """Whether ``basis @ x``, made exact in the margins that are zero to `TOLERANCE`, is one of recession."""

    def small(m: Margins) -> Bools:
        return m.counts & (m.tied | (np.abs(m.value) <= TOLERANCE))

    along = margins_along(objective, basis @ x, dense=True)
    products = _contracted(objective, _products(objective, along, small))
    inverse = linalg.pinvh(basis.T @ products @ basis, rtol=NULL)
    for _ in range(REFINEMENTS):
        off = _margin_sum(objective, basis @ x, lambda m: np.where(small(m), m.value, 0.0))
        x = x - inverse @ (basis.T @ off)
    return largest_margin(objective, basis @ x) > TOLERANCE and _is_of_recession(
        objective, basis @ x, ROUNDING
    )


def _margin_sum(objective: Objective, direction: Array, weights: Callable[[Margins], Array]) -> Array:
    """Gradient in the coordinates of a weighted sum of margins along a direction."""
    coef, intercept = np.zeros((len(objective.coordinates.contrasts), objective.design.n_features)), 0.0
    for m in margins_along(objective, direction):
        by_class = -weights(m)
        by_class[m.label, np.arange(by_class.shape[1])] -= by_class.sum(axis=0)
        by_class = by_class[-len(coef) :]
        coef = coef + scores(objective.design.block(m.rows), by_class)
        intercept = intercept + by_class.sum(axis=1)
    return objective.pull_back(coef, np.asarray(intercept))


def _most_violated(objective: Objective, direction: Array) -> Array:
    """Coefficients, in the coordinates, of the margins that fall short the most along a direction."""
    Q = objective.coordinates.coding
    shortfalls, found = [np.empty(0)], [np.empty((0, direction.size))]
    for m in margins_along(objective, direction):
        shortfall = m.shortfall
        classes, columns = np.nonzero(shortfall > TOLERANCE)
        most = np.argsort(-shortfall[classes, columns], kind="stable")[:MOST_VIOLATED]
        classes, columns = classes[most], columns[most]
        sign = np.where(m.tied & (m.value > 0), -1.0, 1.0)[classes, columns]
        contrast = sign[:, np.newaxis] * (Q[m.label[columns]] - Q[classes])
        z = objective.standardised(m.rows.start + columns)
        shortfalls.append(shortfall[classes, columns])
        found.append((contrast[:, :, np.newaxis] * z.T[:, np.newaxis, :]).reshape(len(most), direction.size))
    most = np.argsort(-np.concatenate(shortfalls), kind="stable")[:MOST_VIOLATED]
    return np.concatenate(found)[most]
