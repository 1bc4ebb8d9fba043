r"""The metric at the intercept-only model, with which a cold search begins.

All rows have the probabilities ``pi`` of that model, so that the Hessian is

    ``H = Q' (diag(pi) - pi pi') Q kron Cov(z) + gamma / scale^2``,

one matrix of the size of the features, and one of the size of the classes: after one pass over X a factor for
each eigenvalue of the latter. Where rows have offsets, and so probabilities of their own, the mean over the
rows stands in its place.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smreg.data.block import Block
from smreg.data.rows import Rows
from smreg.objective.costs import fits, sample_size
from smreg.objective.cross_entropy import Objective, Standardisation
from smreg.objective.information import inverse_factors, sum_rows, weighted_gram
from smreg.objective.sampling import RowSampler
from smreg.optimize.metric import JITTER, Metric, inverse_factor, inverse_root

Array = NDArray[np.float64]


@dataclass(frozen=True)
class NullCovariance:
    """Covariance of the features as the null metric needs it, for any penalty.

    Attributes
    ----------
    matrix : ndarray of shape (p, p), or (p,) where only its diagonal is taken
        In units of `scale`.
    scale : ndarray of shape (p,)
        Powers of two.
    """

    matrix: Array
    scale: Array

    def at(self, scale: Array) -> Array:
        """The same in other units."""
        ratio = self.scale / scale
        return self.matrix * (np.outer(ratio, ratio) if self.matrix.ndim == 2 else ratio**2)


def null_covariance(objective: Objective) -> NullCovariance:
    """The covariance of all rows, or of a sample of them, or its diagonal, as size allows."""
    at, p, width = objective.coordinates, objective.rows.n_features, objective.shape[1]
    if p <= 1 or not fits(objective, objective.shape[0] * width**2):
        return NullCovariance((at.spread / at.scale) ** 2, at.scale)
    total = sum_rows(objective, _null_rows(objective), _covariance, numbers=2 * width, result=width**2)
    return NullCovariance(total[:p, :p], at.scale)


def _covariance(block: Block, standardisation: Standardisation) -> Array:
    return weighted_gram(standardisation.of(block), block.weights)


def root_null_curvatures(objective: Objective, covariance: NullCovariance) -> Array:
    """Root of the curvature of each coefficient given all others, at the intercept-only model.

    In the units of X, of the variance of each feature given the others, or where they determine it its own,
    times the least eigenvalue of the classes' covariance.
    """
    variances = np.atleast_1d(
        covariance.matrix.diagonal() if covariance.matrix.ndim == 2 else covariance.matrix
    )
    given = variances
    if covariance.matrix.ndim == 2:
        given = 1.0 / np.square(inverse_factor(covariance.matrix.copy())).sum(axis=0)
    given = np.where(given > 64 * JITTER * variances, given, variances)  # more than rounding leaves of none
    least, _ = _null_classes(objective)
    return np.asarray(np.sqrt(given * least.min()) * covariance.scale)


def _null_classes(objective: Objective) -> tuple[Array, Array]:
    """Eigenvalues, positive, and eigenvectors of the contrasts' covariance at the intercept-only model."""
    Q = objective.coordinates.coding
    eigenvalues, rotation = np.linalg.eigh(Q.T @ objective.null.information @ Q)
    return np.maximum(eigenvalues, JITTER * eigenvalues.max()), rotation


def null_metric(objective: Objective, covariance: NullCovariance | None = None) -> Metric:
    """The metric at the intercept-only model, without an intercept at uniform probabilities.

    `covariance` is that of another penalty, if it is known.
    """
    covariance = covariance or null_covariance(objective)
    eigenvalues, rotation = _null_classes(objective)
    return Metric(rotation.T, _null_factors(objective, covariance, eigenvalues))


def row_sampler(objective: Objective, covariance: NullCovariance) -> RowSampler:
    """A sampler by the leverage in the null metric, of the combination of classes that varies most."""
    eigenvalues, _ = _null_classes(objective)
    return RowSampler(objective, _null_factors(objective, covariance, eigenvalues[-1:])[0])


def _null_factors(objective: Objective, covariance: NullCovariance, eigenvalues: Array) -> Array:
    """Factors of the null metric, one for each eigenvalue of the classes' covariance."""
    p, ridge = objective.rows.n_features, objective.curvature.mean(axis=0)
    matrix = covariance.at(objective.coordinates.scale)
    if matrix.ndim == 1:
        variances = np.ones(objective.shape[1])
        variances[:p] = matrix
        return inverse_root(np.outer(eigenvalues, variances) + ridge)
    of_all = np.eye(objective.shape[1])  # the features' mean is zero, so that the intercept is by itself
    of_all[:p, :p] = matrix
    return inverse_factors(objective, eigenvalues[:, np.newaxis, np.newaxis] * of_all + np.diag(ridge))


def _null_rows(objective: Objective) -> Rows | None:
    """Rows for estimating the covariance of the features; None for all."""
    size = sample_size(objective, objective.shape[1] ** 2)
    if size == objective.rows.n_samples:
        return None
    ridge = objective.curvature.mean(axis=0)
    return RowSampler(objective, inverse_root(_column_variances(objective) + ridge)).among_all(size)


def _column_variances(objective: Objective) -> Array:
    """Those of the standardised features, and one for the intercept."""
    at, variances = objective.coordinates, np.ones(objective.shape[1])
    variances[: at.n_features] = (at.spread / at.scale) ** 2
    return variances
