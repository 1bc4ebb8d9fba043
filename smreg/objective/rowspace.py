r"""Wide data, solved in their row space.

With more features than samples, coefficients orthogonal to all (centred) rows change no logit and only
cost penalty: at the optimum there are none. Let the rows have the singular value decomposition

    ``R = diag(sqrt(s)) (X - mean) = U diag(sigma) B``

with weights ``s``, at most n singular values and orthonormal rows of B. With ``W = V B`` the logits are
those of coefficients V on the features ``Z = (X - mean) B'``, and ``||W|| = ||V||``: the same regression
with n features in the place of p. They are uncorrelated, too.

U and sigma are those of ``R R'``, of size n, and ``B = diag(1 / sigma) U' R`` is never made. Rounding
errors of ``R R'`` hide directions whose variance is below some ``2**-48`` of the largest. Where the penalty
does not outweigh them, R is decomposed itself, at the cost of two copies of X; then only what lies below
that of the largest singular value is lost.

The rows of R, weighted by the roots of s, sum to zero, so that they span one dimension less than there are
rows. A mean that is far from zero has a rounding error that would hide that, and pass for one more direction:
it is taken from R in turn. And since the numbers of X are known to their rounding alone, the coordinates are
too: it is handed on with them.

**Penalty factors** f are units: R has the columns over ``sqrt(f_j)``, zero where f is infinite. Columns
without a penalty are no part of R: they are coordinates as they are, still without one.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from smreg.data.block import BLOCK
from smreg.data.kernels import sum_of
from smreg.data.matrix import MatrixRows
from smreg.data.rows import MAX_NUMBERS, Rows
from smreg.data.statistics import ColumnStatistics, power_of_two
from smreg.objective.factors import Factors
from smreg.optimize.metric import TINY
from smreg.optimize.solver import ROUNDING

Array = NDArray[np.float64]

MAX_DECOMPOSITION = 1000  # evaluations of the objective that the decomposition may cost
MAX_PROJECTION = 2**28  # ``p n^2`` up to which that is done for the sake of the least norm, whatever it saves
# Of the largest variance to one that counts, where R is not decomposed itself; and of the logits of two
# columns, which then lose 2**-24 at most.
MAX_RATIO = 2.0**28

UNIFORM = Factors()


def is_wide(rows: Rows, n_used: int, *, penalised: bool) -> bool:
    """Whether X has fewer rows with weight than columns, and not so many that decomposing it costs too much.

    Without a penalty the coefficients of least norm are in the row space, which then is worth more.
    """
    n, p = n_used, rows.n_features
    if not penalised and n < p and p * n**2 <= MAX_PROJECTION:
        return True
    cost = 2 * p * n**2 + 20 * n**3
    return bool(n < p and cost <= MAX_DECOMPOSITION * 4 * n * rows.numbers_per_row * rows.n_classes)


def is_resolved(columns: ColumnStatistics, *, centred: bool, penalty: float) -> bool:
    """Whether the decomposition, which rounds to a part of the largest column, keeps all others.

    A coefficient makes logits of about one by a column of size d, and so is at most some ``1 / d``; by the
    penalty gamma it is at most ``d / gamma``. The rounding of the largest column times as much is lost.
    """
    size = columns.spread if centred else np.hypot(columns.spread, columns.mean)
    size = size[size > columns.rounding]
    with np.errstate(over="ignore", divide="ignore"):
        coef = np.minimum(1 / size, size / penalty if penalty > 0 else np.inf)
        return bool((size.max(initial=0.0) * coef <= MAX_RATIO).all())


class RowSpace:
    """Coordinates of the rows in an orthonormal basis of the space that they span.

    Parameters
    ----------
    rows : MatrixRows
        Fewer than columns.
    columns : ColumnStatistics
        Of X, with these weights.
    centred : bool
        Whether the mean is taken from the rows.
    penalty : float
        ``1 / (C S)``.
    factors : Factors
        Of the penalty, the same for all classes.

    Attributes
    ----------
    factors : Factors
        Those of the coordinates.
    """

    def __init__(
        self,
        rows: MatrixRows,
        columns: ColumnStatistics,
        *,
        centred: bool,
        penalty: float,
        factors: Factors = UNIFORM,
    ) -> None:
        self.scale = None if factors.is_uniform else factors.units
        self.free = factors.free
        used = np.flatnonzero(rows.weights)
        self.rows, self.used, self.centred, self.unit = rows, rows.used(), centred, 1.0
        self.root = np.sqrt(rows.weights[used] / rows.weights.sum())
        self.mean = columns.mean if centred else np.zeros(rows.n_features)
        width = max(BLOCK // len(used), 1)
        self.panels = [slice(j, j + width) for j in range(0, rows.n_features, width)]
        gram = self._gram()
        if not TINY < gram.max(initial=0.0) < np.inf:
            self.unit = float(power_of_two(np.array(self.used.largest())))
            gram = self._gram()
        variances, U = np.linalg.eigh(gram)
        self.basis: Array | None = None
        is_small = rows.stores_zeros or len(used) * rows.n_features <= MAX_NUMBERS
        if penalty / self.unit / self.unit < variances[-1] / MAX_RATIO and is_small:
            R = self._centred(self._rows(slice(None)))
            U, sigma, basis = linalg.svd(R, full_matrices=False, check_finite=False)
            basis[:, ~R.any(axis=0)] = 0.0
            kept = sigma > ROUNDING * sigma[0]
            U, sigma, self.basis = U[:, kept], sigma[kept], basis[kept]
            self.left = U
        else:
            kept = variances > ROUNDING * variances[-1]
            U, sigma = U[:, kept], np.sqrt(variances[kept])
            self.left = U / sigma
        self.size = len(sigma)
        Z = np.zeros((rows.n_samples, self.size + len(self.free)))
        Z[used, : self.size] = U * (sigma * self.unit) / self.root[:, np.newaxis]
        self.factors, rounding = factors, self._rounding(columns.rounding)
        if self.scale is not None:
            self.factors = Factors.of(np.repeat([1.0, 0.0], [self.size, len(self.free)]))
        if len(self.free):
            Z[:, self.size :] = rows.columns(self.free).dense()
            own = np.finfo(np.float64).eps * np.abs(Z[:, : self.size]).max(axis=0)
            rounding = np.append(own if rounding is None else rounding, columns.rounding[self.free])
        self.coordinates = rows.replaced(Z, rounding)

    def expand(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """Coefficients of the features, and intercepts, from those of the coordinates."""
        own, free = np.split(coef, [self.size], axis=1)
        if self.basis is None:
            left = own @ self.left.T
            features = np.concatenate(list(self._map(lambda rows, panel: left @ rows)), axis=1)
        else:
            features = own @ self.basis
        features = features if self.scale is None else features * self.scale
        intercept = intercept - features @ self.mean
        features[:, self.free] = free
        return features, intercept

    def restrict(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """The reverse: what changes no logit is lost."""
        free = coef[:, self.free]
        if self.scale is not None:
            coef = np.where(self.scale > 0, coef, 0.0)
        shifted = intercept + coef @ self.mean
        if self.scale is not None:
            coef = coef / np.where(self.scale > 0, self.scale, 1.0)
        if self.basis is not None:
            own = coef @ self.basis.T
        else:
            own = sum_of(self._map(lambda rows, panel: coef[:, panel] @ rows.T)) @ self.left
        return np.concatenate([own, free], axis=1) if len(self.free) else own, shifted

    def _rounding(self, of_columns: Array) -> Array | None:
        """That of the coordinates, where there is a basis."""
        if self.basis is None:
            return None
        of_columns = of_columns if self.scale is None else of_columns * self.scale
        largest = max(float(of_columns.max(initial=0.0)), TINY)
        return np.asarray(largest * np.sqrt(np.square(self.basis) @ np.square(of_columns / largest)))

    def _rows(self, panel: slice) -> Array:
        """Some columns of ``R / unit``."""
        rows: Array = np.subtract(self.used[panel], self.mean[panel], dtype=np.float64)
        rows *= (self.root / self.unit)[:, np.newaxis]
        if self.scale is not None:
            rows *= self.scale[panel]
        return rows

    def _map(self, function: Callable[[Array, slice], Array]) -> Iterator[Array]:
        """`function` of the rows in every panel of columns."""

        def of(panel: slice) -> Array:
            with np.errstate(over="ignore", invalid="ignore"):
                return function(self._rows(panel), panel)

        at_a_time = max(MAX_NUMBERS // len(self.used) ** 2, 1)  # of results of n x n, which wait to be added
        for first in range(0, len(self.panels), at_a_time):
            yield from self.rows.thread_map(of, self.panels[first : first + at_a_time])

    def _gram(self) -> Array:
        """``R R' / unit^2``, where that does not overflow."""
        gram = sum_of(self._map(lambda rows, panel: np.asarray(rows @ rows.T)))
        with np.errstate(over="ignore", invalid="ignore"):
            return self._centred(self._centred(gram).T)

    def _centred(self, rows: Array) -> Array:
        """Rows whose sum, weighted by the roots, is zero but for rounding, without that sum."""
        return rows - np.outer(self.root, self.root @ rows) if self.centred else rows
