"""Directions of recession: the margins along a direction, and linear programs that find one.

`smreg.fit.separation` defines them.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from smreg.data.block import Block
from smreg.objective.cross_entropy import Objective, Standardisation
from smreg.objective.logits import Direction, softmax
from smreg.optimize.metric import JITTER

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Chosen = tuple[NDArray[np.intp], NDArray[np.intp]]  # classes and rows of a block

TIGHT = (2.0**-7, 2.0**-14)  # probabilities of a class above which its margin is tight; tried in turn
TOLERANCE = 1e-6  # of a margin in a linear program whose variables are at most one; HiGHS's is 1e-7
ROUNDING = 2.0**-42  # of a margin, relative to the largest


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
        return softmax(-self.value)


def margins(block: Block, at: Direction) -> Margins:
    """Those of the logits at a point, or of their changes along a direction."""
    eta, columns = at.logits(block), np.arange(len(block))
    label = labels(block)
    counts = np.repeat(block.weights[np.newaxis] > 0, len(eta), axis=0)
    counts[label, columns] = False
    tied = np.zeros_like(counts) if block.target.ndim == 1 else counts & (block.target.T > 0)
    return Margins(eta[label, columns] - eta, counts, tied, label)


def labels(block: Block) -> NDArray[np.int64]:
    """The class that each target favours most."""
    target = block.target
    return np.asarray(target if target.ndim == 1 else target.argmax(axis=1), dtype=np.int64)


def largest_margin(objective: Objective, direction: Array) -> float:
    """The largest change of a margin along a direction."""
    return max(size for _, size in objective.rows.map_blocks(_extremes, objective.direction(direction)))


def is_complete(objective: Objective, phi: Array) -> bool:
    """Whether along `phi` itself all probabilities go to one: by more than the rounding of its logits."""
    return _is_of_recession(objective, phi, -ROUNDING)


def _is_of_recession(objective: Objective, direction: Array, slack: float) -> bool:
    """Whether no margin falls short, to a part of the largest."""
    worst, largest = -np.inf, 0.0
    for shortfall, size in objective.rows.map_blocks(_extremes, objective.direction(direction)):
        # NumPy's maximum propagates NaN
        largest = float(np.maximum(largest, size))
        worst = float(np.maximum(worst, shortfall))
        if slack < 0 <= worst:
            return False
    return worst <= slack * largest


def _extremes(block: Block, at: Direction) -> tuple[float, float]:
    """The largest shortfall, and the largest size of a margin."""
    m = margins(block, at)
    return float(m.shortfall.max(initial=-np.inf)), float(np.abs(m.value).max(initial=0.0))


def has_recession_direction_near(
    objective: Objective, phi: Array, max_size: int, max_program: int, allowance: Allowance
) -> bool:
    """Whether a direction of recession is found in which the margins that are tight at `phi` are zero.

    The linear programs are first about directions that change one class, then about all, in subspaces of at
    most `max_program` dimensions, if there are at most `max_size` coordinates. Often the tight margins of
    some rows already leave no subspace.
    """
    if phi.size > max_size:
        return False
    space = _row_space(objective)
    if not space.size:
        return False
    enough = 4 * objective.shape[1]  # of a label and a class: most often they have no direction in common
    for threshold, most in ((TIGHT[0], enough), *((threshold, None) for threshold in TIGHT)):
        is_empty, chosen = True, partial(tight, threshold=threshold)
        products = _products(objective, objective.point(phi), chosen, most, space)
        for basis in _null_spaces(objective, products, space):
            is_empty = is_empty and basis.size == 0
            is_small = most is None and 0 < basis.shape[1] <= max_program
            if is_small and has_recession_direction(objective, basis, allowance):
                return True
        if is_empty:
            return False
    return False


def tight(m: Margins, threshold: float) -> Bools:
    """Whether each margin is of a class that is likelier than that."""
    return m.counts & (m.tied | (m.probabilities > threshold))


def _row_space(objective: Objective) -> Array:
    """Orthonormal basis of the space that the standardised rows span: beyond it nothing changes a margin."""
    width = objective.shape[1]
    products = objective.rows.map_reduce(
        _row_products, objective.standardisation, dense=True, result=width**2
    )
    null = _null_space(products)
    return np.eye(width) if null.shape[1] == 0 else linalg.null_space(null.T)


def _row_products(block: Block, standardisation: Standardisation) -> Array:
    z = standardisation.of(block)[:, block.weights > 0]
    return np.asarray(z @ z.T)


def _products(
    objective: Objective,
    at: Direction,
    chosen: Callable[[Margins], Bools],
    most: int | None = None,
    space: Array | None = None,
) -> Array:
    """Sum of the outer products of some margins' coefficients, those of classes: (K, K, d, d).

    `most` is about how many to take of each block, label and class. The products are those in the basis of
    a `space`, if one is given.
    """
    width = (objective if space is None else space).shape[1]
    return objective.rows.map_reduce(
        _products_of,
        at,
        objective.standardisation,
        chosen,
        most,
        space,
        dense=True,
        result=(objective.rows.n_classes * width) ** 2,
    )


def _products_of(
    block: Block,
    at: Direction,
    standardisation: Standardisation,
    chosen: Callable[[Margins], Bools],
    most: int | None,
    space: Array | None,
) -> Array:
    m = margins(block, at)
    selected, z, n_classes = chosen(m), standardisation.of(block), len(m.value)
    z = z if space is None or len(space) == space.shape[1] else space.T @ z
    products = np.zeros((n_classes, n_classes, len(z), len(z)))
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
    with suppress(np.linalg.LinAlgError):  # much faster than eigenvalues; the root of one is below all pivots
        if np.linalg.cholesky(correlations).diagonal().min(initial=1.0) > 2.0**-10:
            return np.empty((len(root), 0))
    eigenvalues, vectors = np.linalg.eigh(correlations)
    null = vectors[:, eigenvalues <= JITTER * len(root)] / root[:, np.newaxis]
    return np.asarray(linalg.qr(null / linalg.norm(null, axis=0), mode="economic")[0]) if null.size else null


def has_recession_direction(objective: Objective, basis: Array, allowance: Allowance) -> bool | None:
    """Whether there is a direction of recession in the space of a basis.

    Maximise the sum of all margins over a box, under constraints added where they are violated most, 500 at a
    time. None where that takes more than the allowance or 30 programs, the tolerance does not decide, or the
    sum is not finite.
    """
    gain = basis.T @ _margin_sum(objective, np.zeros(basis.shape[0]), _that_grow)
    size = float(np.linalg.norm(gain))
    if not np.isfinite(size):
        return None
    if size <= TOLERANCE:
        return False
    gain /= size
    held = np.empty((0, gain.size))
    for _ in range(30):
        numbers = (1 + len(held)) * gain.size  # in a pivot
        pivots = int(min(allowance.numbers / numbers, np.iinfo(np.int32).max))
        if pivots == 0:
            return None
        program = optimize.linprog(
            -gain,
            A_ub=-held,
            b_ub=np.zeros(len(held)),
            bounds=(-1, 1),
            options={"maxiter": pivots},
        )
        allowance.numbers -= program.nit * numbers
        if program.status != 0 or program.x is None:
            return None
        if gain @ program.x <= TOLERANCE:
            return False
        violated = _most_violated(objective, basis @ program.x, 500)
        if len(violated) == 0:
            return True if _is_proved(objective, basis, program.x) else None
        held = np.vstack([held, violated @ basis])
    return None


def _is_proved(objective: Objective, basis: Array, x: Array) -> bool:
    """Whether ``basis @ x``, made exact in the margins that are zero to `TOLERANCE`, is one of recession."""
    products = _contracted(objective, _products(objective, objective.direction(basis @ x), _small))
    inverse = linalg.pinvh(basis.T @ products @ basis, rtol=JITTER)
    for _ in range(3):  # each takes off most of the rounding of the one before
        x = x - inverse @ (basis.T @ _margin_sum(objective, basis @ x, _that_are_small))
    return largest_margin(objective, basis @ x) > TOLERANCE and _is_of_recession(
        objective, basis @ x, ROUNDING
    )


def _small(m: Margins) -> Bools:
    return m.counts & (m.tied | (np.abs(m.value) <= TOLERANCE))


def _that_are_small(m: Margins) -> Array:
    return np.where(_small(m), m.value, 0.0)


def _that_grow(m: Margins) -> Array:
    return (m.counts & ~m.tied).astype(float)


def _margin_sum(objective: Objective, direction: Array, weights: Callable[[Margins], Array]) -> Array:
    """Gradient in the coordinates of a weighted sum of margins."""
    return objective.gradient_of(_margin_weights, objective.direction(direction), weights)


def _margin_weights(block: Block, at: Direction, weights: Callable[[Margins], Array]) -> Array:
    m = margins(block, at)
    by_class = -weights(m)
    by_class[m.label, np.arange(len(block))] -= by_class.sum(axis=0)
    return by_class


def _most_violated(objective: Objective, direction: Array, most: int) -> Array:
    """Coefficients, in the coordinates, of the margins that fall short the most, of so many."""
    at, coding = objective.direction(direction), objective.coordinates.coding
    of_all: Violated = objective.rows.map_reduce(
        _violated, at, objective.standardisation, coding, most, result=most * direction.size
    )
    return of_all.margins


@dataclass(frozen=True)
class Violated:
    """The margins that fall short the most, in that order, of equals the first.

    Attributes
    ----------
    shortfalls : ndarray of shape (n,)
        By how much.
    margins : ndarray of shape (n, D)
        Their coefficients in the coordinates.
    most : int
        How many are kept.
    """

    shortfalls: Array
    margins: Array
    most: int

    def __add__(self, other: "Violated") -> "Violated":
        """Those of both."""
        shortfalls = np.concatenate([self.shortfalls, other.shortfalls])
        kept = np.argsort(-shortfalls, kind="stable")[: self.most]
        return Violated(shortfalls[kept], np.concatenate([self.margins, other.margins])[kept], self.most)


def _violated(
    block: Block, at: Direction, standardisation: Standardisation, coding: Array, most: int
) -> Violated:
    """Those of a block."""
    m = margins(block, at)
    shortfall = m.shortfall
    classes, columns = furthest(shortfall, TOLERANCE, most)
    chosen = coefficients_of(block, m, (classes, columns), standardisation, coding)
    return Violated(shortfall[classes, columns], chosen, most)


def furthest(shortfall: Array, slack: float, most: int) -> Chosen:
    """The margins that fall short by more than some slack, the furthest of them first, and so many."""
    classes, columns = np.nonzero(shortfall > slack)
    order = np.argsort(-shortfall[classes, columns], kind="stable")[:most]
    return classes[order], columns[order]


def coefficients_of(
    block: Block, m: Margins, chosen: Chosen, standardisation: Standardisation, coding: Array
) -> Array:
    """Coefficients of some margins in the coordinates, (n, D); where they are tied, of what is to shrink."""
    classes, columns = chosen
    sign = np.where(m.tied & (m.value > 0), -1.0, 1.0)[classes, columns]
    contrast = sign[:, np.newaxis] * (coding[m.label[columns]] - coding[classes])
    z = standardisation.of(block.take(columns))
    products = contrast[:, :, np.newaxis] * z.T[:, np.newaxis, :]
    return np.asarray(products.reshape(len(columns), contrast.shape[1] * len(z)))
