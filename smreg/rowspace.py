r"""Wide data, solved in their row space.

With more features than samples, coefficients orthogonal to all (centred) rows change no logit and only
cost penalty: at the optimum there are none. Let the rows have the singular value decomposition

    ``R = diag(sqrt(s)) (X - mean) = U diag(sigma) B``

with weights ``s``, at most n singular values and orthonormal rows of B. With ``W = V B`` the logits are
those of coefficients V on the features ``Z = (X - mean) B'``, and ``||W|| = ||V||``: the same regression
with n features in the place of p. They are uncorrelated, too.

U and sigma are those of ``R R'``, of size n, and ``B = diag(1 / sigma) U' R`` is never made. Rounding
errors of ``R R'`` hide directions whose variance is below some ``2**-52`` of the largest. Where the penalty
does not outweigh them, R is decomposed itself, at the cost of two copies of X.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from smreg.design import DesignMatrix, power_of_two, sum_of

Array = NDArray[np.float64]

MAX_DECOMPOSITION = 1000  # evaluations of the objective that the decomposition may cost
PANEL_NUMBERS = 2**20  # entries of the columns that are centred at a time
NEGLIGIBLE_VARIANCE = 2.0**-40  # of a direction, relative to the largest, that a penalty outweighs
ROUNDING = 2.0**-48  # relative size of a singular value that is zero


def is_wide(design: DesignMatrix, n_classes: int) -> bool:
    """Whether X is dense with fewer rows than columns, and not so many that decomposing it costs more."""
    n, p = design.n_samples, design.n_features
    cost = 2 * p * n**2 + 20 * n**3
    return not design.is_sparse and n < p and cost <= MAX_DECOMPOSITION * 4 * n * p * n_classes


class RowSpace:
    """Coordinates of the rows in an orthonormal basis of the space that they span.

    Parameters
    ----------
    design : DesignMatrix
        Dense, with fewer rows than columns.
    weights : ndarray of shape (n_samples,)
        Non-negative.
    centred : bool
        Whether the mean is taken from the rows.
    penalty : float
        ``1 / (C S)``.
    """

    def __init__(self, design: DesignMatrix, weights: Array, *, centred: bool, penalty: float) -> None:
        self.design, self.centred, self.unit = design, centred, 1.0
        self.used = np.flatnonzero(weights)
        self.root = np.sqrt(weights[self.used] / weights.sum())
        self.mean = np.zeros(design.n_features)
        width = max(PANEL_NUMBERS // len(self.used), 1)
        self.panels = [slice(j, j + width) for j in range(0, design.n_features, width)]
        gram = self._gram()
        if not np.isfinite(gram).all():
            self.unit = float(power_of_two(np.abs(design.X[self.used]).max().astype(np.float64)))
            gram = self._gram()
        variances, U = np.linalg.eigh(gram)
        self.basis: Array | None = None
        if penalty < NEGLIGIBLE_VARIANCE * variances[-1] * self.unit**2:
            rows = np.concatenate([self._rows(panel) for panel in self.panels], axis=1)
            U, sigma, self.basis = linalg.svd(rows, full_matrices=False, check_finite=False)
            self.left = U
        else:
            kept = variances > ROUNDING * variances[-1]
            U, sigma = U[:, kept], np.sqrt(variances[kept])
            self.left = U / sigma
        Z = np.zeros((design.n_samples, len(sigma)))
        Z[self.used] = U * (sigma * self.unit) / self.root[:, np.newaxis]
        self.coordinates = DesignMatrix(Z, design.map_blocks)

    def expand(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """Coefficients of the features, and intercepts, from those of the coordinates."""
        if self.basis is not None:
            features = coef @ self.basis
        else:
            left = coef @ self.left.T
            features = np.concatenate(
                list(self.design.map_blocks(lambda panel: left @ self._rows(panel), self.panels)), axis=1
            )
        return features, intercept - features @ self.mean

    def restrict(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """The reverse: what changes no logit is lost."""
        if self.basis is not None:
            coordinates = coef @ self.basis.T
        else:
            products = (coef[:, panel] @ self._rows(panel).T for panel in self.panels)
            coordinates = sum_of(products) @ self.left
        return coordinates, intercept + coef @ self.mean

    def _rows(self, panel: slice) -> Array:
        """Some columns of ``R / unit``."""
        X = self.design.X[:, panel]
        rows = np.array(X if len(self.used) == len(X) else X[self.used], dtype=np.float64)
        if self.centred:
            mean = self.root**2 @ rows
            self.mean[panel] = np.clip(mean, rows.min(axis=0), rows.max(axis=0))
            rows -= self.mean[panel]  # exactly zero in constant columns
        rows *= (self.root / self.unit)[:, np.newaxis]
        return rows

    def _gram(self) -> Array:
        def block(panel: slice) -> Array:
            rows = self._rows(panel)
            return np.asarray(rows @ rows.T)

        with np.errstate(over="ignore", invalid="ignore"):
            return sum_of(self.design.map_blocks(block, self.panels))
