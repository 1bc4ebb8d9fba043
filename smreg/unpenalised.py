"""Without a penalty: solutions that are not unique.

If some combination of the centred columns is zero in every row, coefficients
along it change no probability. `least_norm` chooses, of all solutions with the same probabilities, the
one whose coefficients have the least Euclidean norm in the units of X.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

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
