r"""Collinear features without a penalty: which combinations of columns are zero, and the least norm.

If some combination of the centred columns is zero in every row, coefficients along it change no probability.
Each such combination *determines* one of its columns by the others: the search leaves that column out, and of
all solutions with the same probabilities the one is taken whose coefficients have the least Euclidean norm in
the units of X.

**Rounding.** The numbers of a column are known to their rounding r_j alone, and a combination ``a`` of
columns to ``sqrt(sum_j a_j^2 r_j^2)``. What varies by less is no information: fitted, it would ask for
coefficients so large that no digit of them would be known.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from smreg.data.block import Block
from smreg.data.rows import MAX_NUMBERS
from smreg.objective.cross_entropy import Objective, Standardisation
from smreg.objective.information import gram

Array = NDArray[np.float64]

MAX_RATIO = 2.0**4  # of mean to spread, for the Gram matrix of sparse features
MAX_SIDE = 5000  # rows or columns up to which combinations are sought: a cube of it is computed

# Null combinations of columns are sought where the correlation matrix has eigenvalues below this, near
# its rounding errors. Which of them are null is decided by computing them row by row: their variance is then
# at most that of the error in the eigenvectors, of about ``2**-52 / sqrt(SMALL_EIGENVALUE)``.
SMALL_EIGENVALUE = 2.0**-36
ERROR = 2.0**-34


@dataclass(frozen=True)
class NullSpace:
    """Combinations of the columns that are zero in every row but for a constant.

    Attributes
    ----------
    echelon : ndarray of shape (n_features, n_combinations)
        In reduced echelon form: each has a one at its own pivot and zeros at those of the others.
    pivots : ndarray of int of shape (n_combinations,)
        The columns that they determine.
    scale : ndarray of shape (n_features,)
        Units of the columns in the combinations: powers of two.
    """

    echelon: Array
    pivots: NDArray[np.intp]
    scale: Array

    @classmethod
    def empty(cls, n_features: int) -> "NullSpace":
        """That of columns of which none is determined by others."""
        return cls(np.empty((n_features, 0)), np.empty(0, dtype=np.intp), np.ones(n_features))

    def among(self, features: NDArray[np.intp], n_features: int) -> "NullSpace":
        """The same where these are some of the features."""
        echelon, scale = np.zeros((n_features, len(self.pivots))), np.ones(n_features)
        echelon[features], scale[features] = self.echelon, self.scale
        return NullSpace(echelon, features[self.pivots], scale)

    @property
    def determined(self) -> NDArray[np.bool_]:
        """Whether each column is one of those that the others determine."""
        mask = np.zeros(len(self.scale), dtype=bool)
        mask[self.pivots] = True
        return mask

    def eliminated(self, coef: Array) -> Array:
        """Coefficients with the same probabilities that are zero for the columns that are determined."""
        scaled = coef * self.scale
        scaled = scaled - scaled[:, self.pivots] @ self.echelon.T
        scaled[:, self.pivots] = 0.0
        return np.asarray(scaled / self.scale)

    def least_norm(self, coef: Array) -> Array:
        """The coefficients with the same probabilities that have the least norm."""
        if not len(self.pivots):
            return coef
        involved = self.echelon.any(axis=1)
        null = self.echelon[involved] / self.scale[involved, np.newaxis]
        null /= np.abs(null).max(axis=0)  # so that squares neither over- nor underflow
        null /= linalg.norm(null, axis=0)
        least = coef[:, involved]
        # By normal equations, and again: combinations of different columns stay apart, to the last zero.
        for _ in range(2):
            along = linalg.lstsq(null.T @ null, null.T @ least.T)[0]
            least = least - (null @ along).T
        coef = coef.copy()
        coef[:, involved] = least
        return coef


def null_space(objective: Objective, rounding: Array) -> NullSpace | None:
    """The combinations that are null, to the rounding of the columns.

    None where they are not sought: with more columns than rows, or too many of both.

    Parameters
    ----------
    objective : Objective
        Whose features, none of them left out as determined.
    rounding : ndarray of shape (n_features,)
        That of their numbers.
    """
    n, p = objective.loss.n_used, objective.rows.n_features
    if n < p or min(n, p) > MAX_SIDE:
        return None
    spread, scale = objective.coordinates.spread, objective.coordinates.scale
    known = np.flatnonzero(spread > rounding)  # any other is constant, for all that is known
    constant = np.setdiff1d(np.flatnonzero(spread > 0), known)
    combinations = _null_combinations(objective, known, rounding / scale)
    echelon, pivots = _echelon(combinations)
    of_constants = np.zeros((p, len(constant)))
    of_constants[constant, np.arange(len(constant))] = 1.0
    return NullSpace(np.hstack([echelon, of_constants]), np.append(pivots, constant), scale)


def onto_rows(objective: Objective, phi: Array) -> Array:
    """The coordinates with the probabilities of `phi`, and the least norm, for more columns than rows.

    Where X is not in memory, has more than `MAX_SIDE` rows, or is too wide to be made dense, `phi` itself.
    So it is where columns are in so unlike units that what distinguishes some of them is lost in the rounding
    of others.
    """
    n, p, of_all = objective.loss.n_used, objective.rows.n_features, objective.rows.in_memory
    if of_all is None or min(n, p) > MAX_SIDE or n * p > MAX_NUMBERS or p == 0:
        return phi
    at, minimal = objective.coordinates, phi.reshape(objective.shape).copy()
    coef = minimal[:, :p] / at.scale
    rows = of_all.dense()[of_all.weights > 0] - (at.mean - of_all.shift)
    logits = rows @ coef.T
    rows[:, at.resting] = 0.0
    least = linalg.lstsq(rows, logits, cond=max(n, p) * np.finfo(float).eps)[0].T
    least[:, at.resting] = 0.0
    if np.abs(rows @ least.T - logits).max() > ERROR * max(1.0, np.abs(logits).max()):
        return phi
    minimal[:, :p] = least * at.scale
    return minimal.ravel()


def _null_combinations(objective: Objective, columns: NDArray[np.intp], rounding: Array) -> Array:
    """Null combinations of some standardised columns, whose rounding is given, of shape (n_features, m)."""
    combined = np.zeros((objective.rows.n_features, len(columns)))
    if not len(columns):
        return combined
    cov = _feature_gram(objective)[np.ix_(columns, columns)]
    root = np.sqrt(cov.diagonal())
    eigenvalues, vectors = np.linalg.eigh(cov / root / root[:, np.newaxis])
    noise = np.square(rounding[columns] / root) @ np.square(vectors)
    vectors = vectors[:, eigenvalues < SMALL_EIGENVALUE + 4 * noise]
    combined = combined[:, : vectors.shape[1]]
    combined[columns] = vectors / root[:, np.newaxis]
    if not vectors.shape[1]:
        return combined
    variances, rotation = np.linalg.eigh(_feature_gram(objective, combined))
    noise = np.square(rounding[columns] / root) @ np.square(vectors @ rotation)
    return np.asarray(combined @ rotation[:, variances < np.maximum((2 * ERROR) ** 2, noise)])


def _feature_gram(objective: Objective, combinations: Array | None = None) -> Array:
    """Weighted Gram matrix of the standardised features, or of linear combinations of them.

    With an intercept the features are centred and it is their covariance. `combinations` has a column
    for each. Where means are up to `MAX_RATIO` spreads from zero those of sparse features are taken off
    their products, which loses a part ``2**-52 MAX_RATIO**2``, and in other cases off the features.
    """
    at, rows = objective.coordinates, objective.rows.in_memory
    near = (np.abs(at.mean) / MAX_RATIO <= at.spread) | (at.spread == 0)
    if rows is not None and rows.csr is not None and combinations is None and near.all():
        unit, used = np.where(at.spread > 0, 1 / at.scale, 0.0), rows.weights > 0
        scaled = rows.csr[used].astype(np.float64).multiply(unit).tocsr()
        weighted = scaled.multiply(rows.weights[used, np.newaxis]).tocsr()
        mean = at.mean * unit
        return np.asarray((weighted.T @ scaled).toarray() - np.outer(mean, mean))
    products, means = objective.rows.map_reduce(
        _gram_and_sum, objective.standardisation, combinations, dense=True, result=at.n_features**2
    )
    if at.fit_intercept:  # the rounding of means that are far from zero
        products -= np.outer(means, means)
    return products


def _gram_and_sum(
    block: Block, standardisation: Standardisation, combinations: Array | None
) -> tuple[Array, Array]:
    z = standardisation.of(block)[: standardisation.coordinates.n_features]
    z = z if combinations is None else combinations.T @ z
    total = z @ block.weights
    z *= np.sqrt(block.weights)
    return gram(z), total


def _echelon(basis: Array) -> tuple[Array, NDArray[np.intp]]:
    """The same space in reduced echelon form, so that columns in other units do not mix by rounding."""
    count = basis.shape[1]
    if count == 0:
        return basis, np.empty(0, dtype=np.intp)
    pivots = linalg.qr(basis.T, mode="r", pivoting=True)[1][:count]
    echelon = basis @ linalg.pinv(basis[pivots])
    echelon = np.where(np.abs(echelon) > 16 * ERROR, echelon, 0.0)  # and below what is meant
    echelon[pivots] = np.eye(count)
    return echelon, pivots.astype(np.intp)
