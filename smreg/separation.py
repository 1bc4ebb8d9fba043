r"""Separation: whether the unpenalised likelihood has a maximum.

It has one if and only if there is no *direction of recession*: no coefficients and intercepts, other than
such that change nothing, that give every row's label a logit at least as high as every other class's
(Albert and Anderson 1984). Where there is one, the likelihood grows along it forever. A soft target allows
several classes: these must then share the highest logit. The difference of the logits of the label and
another class is a *margin*: all margins are to be non-negative, and not all zero. Rows without weight do
not count.

**One column** is decided exactly, in one pass. Let ``f_k(x) = w_k x + b_k`` be the logits of one feature,
``m(x) = max_k f_k(x)``, which is convex, and ``[l_k, h_k]`` the least interval with all values of the rows
that allow class k. There ``f_k = m`` at both ends, and hence throughout. If m is linear from the least
value l to the largest value h, take it off: all ``f_k <= 0``, and zero on ``[l_k, h_k]``. One of them can
be anything else if and only if its interval is the point l or the point h. If m has a kink at c between l
and h, no interval has c inside; and if none has, ``max(0, x - c)`` is such an m, with ``f_k = 0`` for the
intervals on the left of c. Hence there is a direction of recession if and only if

- all rows that allow some class have the least value of all, or all have the largest, or
- the intervals fall into two groups, one on the left and one on the right, that share at most an end point.

So it is for a dummy with which some class never occurs, and for any column that is constant but for
deviations to one side in rows of some classes. Without an intercept ``f_k(x) = w_k x``: classes that are
allowed at some ``x > 0`` have the highest w_k of all, those at some ``x < 0`` the lowest. There is a
direction of recession if and only if no class is among both, and these two groups exist, or one does and is
not all classes.

**A point on the way to infinity** tells where to look. Margins of rows whose probabilities are still far
from zero and one do not grow: they are *tight*. The directions in which all these are zero are a subspace,
most often a small one, and a linear program in it (Konis 2007) finds a direction of recession if there is
one: first among those that change one class alone. Its constraints are all margins, so that what was taken
for tight can only hide a direction. It is believed if, once it is made exact in the margins that are zero
to the program's tolerance, none is negative, to rounding.

**At a maximum** there is none. With the change ``e`` of the logits by Newton's step, which takes the
gradient ``sum_i s_i (p_i - t_i) x_i'`` to zero to first order, and ``q = p + (diag(p) - p p') e``, there is
``sum_i s_i (q_i - t_i) x_i' = 0``. If no two logits of a row change apart by one nat, q is positive, and
the margins ``m_ik`` of any direction satisfy ``sum_ik s_i q_ik m_ik = 0``: all are zero where none is
negative. On the way to infinity the step adds about a nat to some margin, however far the search has come.
What is at hand is an estimate of Newton's step. The margins that it misses have grown until their gradient
is small, so that they are not tight.

References
----------
A. Albert and J. A. Anderson, On the existence of maximum likelihood estimates in logistic regression
models, Biometrika 71 (1984). https://doi.org/10.1093/biomet/71.1.1
K. Konis, Linear programming algorithms for detecting separated data in binary logistic regression
models, DPhil thesis, University of Oxford (2007).
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize, special

from smreg.design import scores
from smreg.objective import Objective
from smreg.solver import Minimum

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

FIRST_LOOK = 40  # evaluations: most searches that end, end before; doubled after each look

SUSPICIOUS = 0.01  # nats that a last Newton step still adds to some margin: 100 times the default tol
# Where there are too many coordinates to look from the point, an estimate of that step is believed at a norm
# of `NEAR`. From a larger one the way to the maximum is itself Newton's step; that to infinity is longer.
NEAR, MOVED = 2.0**-20, 0.1
TIGHT = (2.0**-7, 2.0**-14)  # probabilities above which a class other than the label is near enough

ENOUGH = 4  # tight margins a column, of a label and a class, that most often have no direction in common

TOLERANCE = 1e-6  # of a margin in a linear program whose variables are at most one; HiGHS's is 1e-7
ROUNDING = 2.0**-42  # of a margin, relative to the largest
REGULAR = 2.0**-10  # least pivot of a factor that leaves no doubt
NULL = 2.0**-40  # eigenvalue of a correlation matrix that is zero to rounding
REFINEMENTS = 3  # of a direction
MOST_VIOLATED = 500  # constraints added to the linear program at a time
MAX_ROUNDS, MAX_PIVOTS = 30, 5000  # linear programs, and pivots in each

# Sizes up to which a subspace and a program in it are worth their time, in a look after so many evaluations.
SIZE_PER_EVALUATION, PROGRAM_PER_EVALUATION = 16, 1
MAX_SIZE, MAX_PROGRAM = 2000, 300


class Watch:
    """Tells in an unpenalised search, and at its end, whether there is a maximum.

    Parameters
    ----------
    objective : Objective
        Without penalty. Looks are taken when it has been evaluated often enough to have paid for them.
    as_given : bool
        Whether its columns are those of the user, not computed ones, whose ties are broken by rounding.
    """

    def __init__(self, objective: Objective, *, as_given: bool) -> None:
        self.objective, self.due_at, self.found = objective, FIRST_LOOK, False
        self._by_column: bool | None = None if as_given else False
        self._is_one_column = as_given and objective.design.n_features == 1

    def __call__(self, phi: Callable[[], Array]) -> bool:
        """Whether the classes are known to be separated, after a step to `phi`."""
        evaluations = self.objective.evaluations
        if evaluations >= self.due_at:
            self.due_at = 2 * evaluations
            self.found = self._is_seen(phi(), evaluations)
        return self.found

    def verdict(self, minimum: Minimum, before: Array | None = None) -> str:
        """Why the search ended: its own reason, "separation", or "undecided" if that is not excluded.

        `before` is where the search ended at a larger tolerance.
        """
        reason = minimum.reason
        if self.found:
            return "separation"
        if reason == "callback" or not np.isfinite(minimum.point.value):
            return reason
        found = self._is_found_at(minimum, before)
        if found:
            return "separation"
        return "undecided" if found is None and reason == "converged" else reason

    def _is_found_at(self, minimum: Minimum, before: Array | None) -> bool | None:
        """Whether the classes are separated, None where that is not decided.

        Where the search was cut short, no linear program is worth its time.
        """
        phi = minimum.point.x
        if self._has_column() or _is_complete(self.objective, phi):
            return True
        if self._is_one_column or minimum.reason == "max_iter":
            return False
        is_growing = _largest_margin(self.objective, minimum.newton_step) > SUSPICIOUS
        is_far = phi.size > MAX_SIZE and not self._is_near(minimum, before)
        return is_separated(self.objective, phi, is_possible=is_growing or is_far)

    def _is_near(self, minimum: Minimum, before: Array | None) -> bool:
        if before is None:
            return minimum.point.norm <= NEAR
        return _largest_margin(self.objective, minimum.point.x - before) <= MOVED

    def _has_column(self) -> bool:
        if self._by_column is None:
            self._by_column = is_separated_by_a_column(self.objective)
        return self._by_column

    def _is_seen(self, phi: Array, evaluations: int) -> bool:
        if self._has_column() or _is_complete(self.objective, phi):
            return True
        if self._is_one_column:
            return False
        size, program = SIZE_PER_EVALUATION * evaluations, PROGRAM_PER_EVALUATION * evaluations
        return _is_seen_from(self.objective, phi, min(size, MAX_SIZE), min(program, MAX_PROGRAM))


def is_separated(objective: Objective, phi: Array, *, is_possible: bool) -> bool | None:
    """Whether there is a direction of recession: as seen from `phi`, or where it is possible, from anywhere.

    None where it is possible and would take too long to tell.
    """
    if _is_seen_from(objective, phi, MAX_SIZE, MAX_PROGRAM):
        return True
    if not is_possible:
        return False
    return _has_recession_direction(objective, np.eye(phi.size)) if phi.size <= MAX_PROGRAM else None


def is_separated_by_a_column(objective: Objective) -> bool:
    """Whether there is a direction of recession in one column, and the intercept if there is one."""
    target, weights = objective.sample.target, objective.sample.weights
    codes = np.arange(len(objective.sample.priors))[:, np.newaxis]

    def allowing(rows: slice) -> Bools:
        t = target[rows]
        return np.asarray((codes == t if t.ndim == 1 else t.T > 0) & (weights[rows] > 0))

    low, high = objective.design.extremes(allowing, len(codes))
    if not objective.fit_intercept:
        above, below = high > 0, low < 0
        both_sides = above.any(axis=0) & below.any(axis=0)
        is_free = (above.any(axis=0) | below.any(axis=0)) & ~(above | below).all(axis=0)
        return bool((~(above & below).any(axis=0) & (both_sides | is_free)).any())
    least, largest = low.min(axis=0), high.max(axis=0)
    at_an_end = (high == least).any(axis=0) | (low == largest).any(axis=0)
    order = np.argsort(low, axis=0)
    reached = np.maximum.accumulate(np.take_along_axis(high, order, axis=0), axis=0)
    apart = (reached[:-1] <= np.take_along_axis(low, order, axis=0)[1:]).any(axis=0)
    return bool(((at_an_end | apart) & (least < largest)).any())


@dataclass(frozen=True)
class _Margins:
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


def _margins(objective: Objective, phi: Array, *, dense: bool = False) -> Iterator[_Margins]:
    for rows, eta in objective.logits(phi, dense=dense):
        target, columns = objective.sample.target[rows], np.arange(eta.shape[1])
        label = np.asarray(target if target.ndim == 1 else target.argmax(axis=1), dtype=np.int64)
        counts = np.repeat(objective.sample.weights[np.newaxis, rows] > 0, len(eta), axis=0)
        counts[label, columns] = False
        tied = np.zeros_like(counts) if target.ndim == 1 else counts & (target.T > 0)
        yield _Margins(rows, eta[label, columns] - eta, counts, tied, label)


def _largest_margin(objective: Objective, direction: Array) -> float:
    """The largest change of a margin along a direction."""
    return float(max(np.abs(m.value).max(initial=0.0) for m in _margins(objective, direction)))


def _is_complete(objective: Objective, phi: Array) -> bool:
    """Whether along `phi` itself all probabilities go to one: by more than the rounding of its logits."""
    return _is_of_recession(objective, phi, -ROUNDING)


def _is_of_recession(objective: Objective, direction: Array, slack: float) -> bool:
    """Whether no margin falls short, to a part of the largest."""
    worst, largest = -np.inf, 0.0
    for m in _margins(objective, direction):
        largest = max(largest, float(np.abs(m.value).max(initial=0.0)))
        worst = max(worst, float(m.shortfall.max(initial=-np.inf)))
        if slack < 0 <= worst:
            return False
    return worst <= slack * largest


def _is_seen_from(objective: Objective, phi: Array, max_size: int, max_program: int) -> bool:
    """Whether a direction of recession is found where the margins that are tight at `phi` are zero.

    Sought are first directions that change one class, then all, in subspaces of at most `max_program`
    dimensions, if there are at most `max_size` coordinates. Often a part of the rows shows that there are
    none.
    """
    if phi.size > max_size:
        return False
    enough = ENOUGH * objective.shape[1]
    for threshold, most in ((TIGHT[0], enough), *((threshold, None) for threshold in TIGHT)):

        def tight(m: _Margins, threshold: float = threshold) -> Bools:
            return m.counts & (m.tied | (m.probabilities > threshold))

        is_empty = True
        for basis in _null_spaces(objective, _products(objective, phi, tight, most)):
            is_empty = is_empty and basis.size == 0
            is_small = most is None and 0 < basis.shape[1] <= max_program
            if is_small and _has_recession_direction(objective, basis):
                return True
        if is_empty:
            return False
    return False


def _products(
    objective: Objective, phi: Array, chosen: Callable[[_Margins], Bools], most: int | None = None
) -> Array:
    """Sum of the outer products of some margins' coefficients, those of classes: (K, K, d, d).

    `most` is about how many to take of each block, label and class.
    """
    n_classes, width = len(objective.sample.priors), objective.shape[1]
    products = np.zeros((n_classes, n_classes, width, width))
    for m in _margins(objective, phi, dense=True):
        selected, z = chosen(m), objective.standardised(m.rows)
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


def _null_spaces(objective: Objective, products: Array) -> Iterator[Array]:
    """Bases of the directions in which margins are zero: of one class at a time, then of all."""
    Q = objective.class_contrasts
    if len(Q) > 2:
        for row, own in zip(Q, np.einsum("kkij->kij", products), strict=True):
            yield np.kron(row[:, np.newaxis] / np.linalg.norm(row), _null_space(own))
    yield _null_space(_contracted(objective, products))


def _contracted(objective: Objective, products: Array) -> Array:
    """The products in the coordinates: (D, D)."""
    Q = objective.class_contrasts
    contracted = np.einsum("ka,klij,lb->aibj", Q, products, Q, optimize=True)
    size = Q.shape[1] * products.shape[-1]
    return np.asarray(contracted.reshape(size, size))


def _null_space(products: Array) -> Array:
    """Orthonormal basis of the null space of a positive semidefinite matrix, to rounding."""
    root = np.sqrt(products.diagonal())
    root = np.where(root > 0, root, 1.0)
    correlations = products / root / root[:, np.newaxis]
    with suppress(np.linalg.LinAlgError):  # much faster than eigenvalues
        if np.linalg.cholesky(correlations).diagonal().min() > REGULAR:
            return np.empty((len(root), 0))
    eigenvalues, vectors = np.linalg.eigh(correlations)
    null = vectors[:, eigenvalues <= NULL * len(root)] / root[:, np.newaxis]
    return np.asarray(linalg.qr(null / linalg.norm(null, axis=0), mode="economic")[0]) if null.size else null


def _has_recession_direction(objective: Objective, basis: Array) -> bool | None:
    """Whether there is a direction of recession in the space of a basis.

    Maximise the sum of all margins over a box, under constraints added where they are violated. None where
    that takes too long, or its tolerance is not enough to tell.
    """
    gain = basis.T @ _margin_sum(
        objective, np.zeros(basis.shape[0]), lambda m: (m.counts & ~m.tied).astype(float)
    )
    if not linalg.norm(gain) > TOLERANCE:
        return False
    gain /= linalg.norm(gain)
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
        violated = _most_violated(objective, basis @ program.x)
        if len(violated) == 0:
            return True if _is_proved(objective, basis, program.x) else None
        constraints = np.vstack([constraints, violated @ basis])
    return None


def _is_proved(objective: Objective, basis: Array, x: Array) -> bool:
    """Whether ``basis @ x``, made exact in the margins that are zero to `TOLERANCE`, is one of recession."""

    def small(m: _Margins) -> Bools:
        return m.counts & (m.tied | (np.abs(m.value) <= TOLERANCE))

    products = _contracted(objective, _products(objective, basis @ x, small))
    inverse = linalg.pinvh(basis.T @ products @ basis, rtol=NULL)
    for _ in range(REFINEMENTS):
        off = _margin_sum(objective, basis @ x, lambda m: np.where(small(m), m.value, 0.0))
        x = x - inverse @ (basis.T @ off)
    return _largest_margin(objective, basis @ x) > TOLERANCE and _is_of_recession(
        objective, basis @ x, ROUNDING
    )


def _margin_sum(objective: Objective, phi: Array, weights: Callable[[_Margins], Array]) -> Array:
    """Gradient in the coordinates of a weighted sum of margins."""
    coef, intercept = np.zeros((len(objective.contrasts), objective.design.n_features)), 0.0
    for m in _margins(objective, phi):
        by_class = -weights(m)
        by_class[m.label, np.arange(by_class.shape[1])] -= by_class.sum(axis=0)
        by_class = by_class[-len(coef) :]
        coef = coef + scores(objective.design.block(m.rows), by_class)
        intercept = intercept + by_class.sum(axis=1)
    return objective.pull_back(coef, np.asarray(intercept))


def _most_violated(objective: Objective, phi: Array) -> Array:
    """Coefficients, in the coordinates, of the margins that fall short the most."""
    Q = objective.class_contrasts
    shortfalls, margins = [np.empty(0)], [np.empty((0, phi.size))]
    for m in _margins(objective, phi):
        shortfall = m.shortfall
        classes, columns = np.nonzero(shortfall > TOLERANCE)
        most = np.argsort(-shortfall[classes, columns], kind="stable")[:MOST_VIOLATED]
        classes, columns = classes[most], columns[most]
        sign = np.where(m.tied & (m.value > 0), -1.0, 1.0)[classes, columns]
        contrast = sign[:, np.newaxis] * (Q[m.label[columns]] - Q[classes])
        z = objective.standardised(m.rows.start + columns)
        shortfalls.append(shortfall[classes, columns])
        margins.append((contrast[:, :, np.newaxis] * z.T[:, np.newaxis, :]).reshape(len(most), phi.size))
    most = np.argsort(-np.concatenate(shortfalls), kind="stable")[:MOST_VIOLATED]
    return np.concatenate(margins)[most]
