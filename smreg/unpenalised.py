"""What needs care when there is no penalty: solutions that are not unique, or that do not exist.

**Collinear features.** If some combination of the centred columns is zero in every row, coefficients
along it change no probability. `least_norm` chooses, of all solutions with the same probabilities, the
one whose coefficients have the least Euclidean norm in the units of X.

**Separation.** The likelihood has a maximum if and only if there is no *direction of recession*: no
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
from scipy import linalg, optimize

from smreg.design import scores
from smreg.fisher import gram
from smreg.objective import Objective

Array = NDArray[np.float64]

MAX_NUMBERS = 2**25  # in a wide X, which is made dense: 256 MiB
MAX_SIDE = 5000  # rows or columns up to which the least norm is sought: a cube of it is computed

# Null combinations of columns are sought where the correlation matrix has eigenvalues below this, near
# its rounding errors. Which of them are null is seen by computing them row by row: their variance is then
# at most that of the error in the eigenvectors, of about 2**-52 / sqrt(SMALL_EIGENVALUE) = 2**-34.
SMALL_EIGENVALUE = 2.0**-36
NULL_VARIANCE = 2.0**-66
NEGLIGIBLE_PART = 2.0**-30  # of a null combination: above the eigenvectors' error, below what is meant

SUSPICIOUS = 0.01  # nats that a last Newton step still adds to some margin: 100 times the default tol
TOLERANCE = 1e-6  # of a margin in a linear program whose variables are at most one; HiGHS's is 1e-7
MOST_VIOLATED = 500  # constraints added to the linear program at a time
MAX_ROUNDS, MAX_PIVOTS, MAX_PROGRAM = 30, 5000, 300  # rounds, pivots in each, and variables
# Without a linear program's answer: the Newton step raises some margin by a nat or so, and lowers none by
# more than a hundredth of that.
GROWING = 0.5


def least_norm(objective: Objective, phi: Array) -> Array:
    """The coordinates with the probabilities of `phi` whose coefficients have the least norm.

    Where X has more than `MAX_SIDE` rows and columns, or is too wide to be made dense, `phi` itself.
    """
    p = objective.design.n_features
    n = int(np.count_nonzero(objective.sample.weights))
    if min(n, p) > MAX_SIDE or p == 0 or (n < p and n * p > MAX_NUMBERS):
        return phi
    minimal = phi.reshape(objective.shape).copy()
    coef = minimal[:, :p] / objective.scale
    project = _onto_rows if n < p else _off_null_space
    minimal[:, :p] = project(objective, coef) * objective.scale
    return minimal.ravel()


def _onto_rows(objective: Objective, coef: Array) -> Array:
    """Least-norm solution of ``X_c coef' = predictors`` for more columns than rows."""
    used = objective.sample.weights > 0
    rows = objective.design.rows(slice(0, objective.design.n_samples))[used]
    rows = rows - (objective.mean - objective.design.offset)
    return np.where(objective.spread > 0, linalg.lstsq(rows, rows @ coef.T)[0].T, 0.0)


def _off_null_space(objective: Objective, coef: Array) -> Array:
    """Take away the components along combinations of columns that are zero in every row."""
    varying = np.flatnonzero(objective.spread > 0)
    cov = gram(objective)[np.ix_(varying, varying)]
    root = np.sqrt(cov.diagonal())
    eigenvalues, vectors = np.linalg.eigh(cov / root / root[:, np.newaxis])
    small = vectors[:, eigenvalues < SMALL_EIGENVALUE] / root[:, np.newaxis]
    least = coef.copy()
    least[:, objective.spread == 0] = 0.0
    if small.shape[1] > 0:
        combined = np.zeros((objective.design.n_features, small.shape[1]))
        combined[varying] = small
        eigenvalues, vectors = np.linalg.eigh(gram(objective, combined))
        rounding = max(NULL_VARIANCE, (16 * float(np.finfo(objective.design.X.dtype).eps)) ** 2)
        null = _echelon(small @ vectors[:, eigenvalues < rounding])
        if null.shape[1] == 0:
            return least
        null /= objective.scale[varying, np.newaxis]
        null /= np.abs(null).max(axis=0)  # so that squares neither over- nor underflow
        null /= linalg.norm(null, axis=0)
        # By normal equations, and again: combinations of different columns stay apart, to the last zero.
        for _ in range(2):
            along = linalg.lstsq(null.T @ null, null.T @ least[:, varying].T)[0]
            least[:, varying] -= (null @ along).T
    return least


def _echelon(basis: Array) -> Array:
    """The same space in reduced echelon form, so that columns in other units do not mix by rounding."""
    count = basis.shape[1]
    pivots = linalg.qr(basis.T, mode="r", pivoting=True)[1][:count]
    echelon = basis @ linalg.pinv(basis[pivots]) if count else basis
    return np.where(np.abs(echelon) > NEGLIGIBLE_PART, echelon, 0.0)


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
