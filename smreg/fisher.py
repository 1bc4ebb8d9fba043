r"""The metric of the solver: Fisher information plus the penalty's curvature.

At logits with probabilities ``p_i`` the objective has the Hessian (see `smreg.objective` for the
coordinates: contrasts ``Q`` of the classes, standardised features ``z_i``, a one for the intercept)

    ``H = 1/S sum_i s_i [Q' (diag(p_i) - p_i p_i') Q] kron [z_i z_i'] + gamma / scale^2``,

which is exact, not an approximation: for the canonical link the observed and the expected information
are the same. A metric here is a factor ``H = L L'`` of it, as two maps: ``whiten`` takes a gradient
``g`` to ``L^-1 g``, whose Euclidean length is ``||g||_{H^-1}``, and ``unwhiten`` takes a step ``v``
back to ``L^-T v``. In the whitened coordinates the Hessian is the identity and L-BFGS, which starts
from the identity, starts with Newton's step.

- `null_metric`: at the intercept-only model all rows have the priors ``pi`` as probabilities, so that
  ``H = Q' (diag(pi) - pi pi') Q kron Cov(z) + gamma / scale^2``: one matrix of size p and one of
  size K - 1 to factorise, after one pass over X.
- `fisher_metric`: at any point, as a dense matrix of size D = (K - 1)(p + 1), while that is affordable.

Both are factorised after scaling to unit diagonal, and with `JITTER` added to it: a Cholesky
factorisation of a semi-definite matrix (collinear columns without a penalty) then succeeds, and since
the gradient vanishes along the directions that the jitter makes up for, they are left alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from smreg.family import fisher_information, softmax
from smreg.objective import Objective

Array = NDArray[np.float64]

# The rounding of a Gram matrix is some multiples of 2**-52 of its diagonal; this is 2**12 of them. Columns
# so nearly collinear that an eigenvalue of their correlation matrix is below it (x and x + 1e-7 e, say)
# are resolved without a penalty only as far as the jitter lets the norm see them.
JITTER = 2.0**-40

# The information of the current point costs D**2 operations a row, an evaluation about 4 K numbers a row.
# Up to this ratio (a dense X with D = 1200) it is worth its cost: no decision counts rows, so that weights
# and repetition take the same path.
MAX_EVALUATIONS_WORTH = 300
MAX_NULL_BYTES = 2**28  # for the K - 1 factors of the null metric: 256 MiB
MAX_NULL_SPARSE = 1000  # columns of a sparse X, whose evaluations cost less than factors of that size


@dataclass(frozen=True)
class CholeskyMetric:
    """A dense metric ``H = diag(root) factor factor' diag(root)`` with a lower triangular factor."""

    factor: Array
    root: Array

    def whiten(self, gradient: Array) -> Array:
        """``L^-1 g``."""
        return np.asarray(
            linalg.solve_triangular(self.factor, gradient / self.root, lower=True, check_finite=False)
        )

    def unwhiten(self, step: Array) -> Array:
        """``L^-T v``."""
        solved = linalg.solve_triangular(self.factor, step, lower=True, trans="T", check_finite=False)
        return np.asarray(solved / self.root)


@dataclass(frozen=True)
class NullMetric:
    """The metric at the intercept-only model, block-diagonal over the principal contrasts.

    Attributes
    ----------
    rotation : ndarray of shape (K - 1, K - 1)
        Eigenvectors of ``Q' (diag(pi) - pi pi') Q``.
    blocks : tuple of CholeskyMetric, or None
        For each of them the metric of the coefficients; None where that is diagonal.
    root : ndarray of shape (K - 1, p + 1)
        Square root of the metric's diagonal, the intercept last.
    """

    rotation: Array
    blocks: tuple[CholeskyMetric, ...] | None
    root: Array

    def whiten(self, gradient: Array) -> Array:
        """``L^-1 g``."""
        rotated = self.rotation.T @ gradient.reshape(self.root.shape)
        whitened = rotated / self.root
        for row, block in enumerate(self.blocks or ()):
            p = len(block.root)
            whitened[row, :p] = block.whiten(rotated[row, :p])
        return whitened.ravel()

    def unwhiten(self, step: Array) -> Array:
        """``L^-T v``."""
        whitened = step.reshape(self.root.shape)
        rotated = whitened / self.root
        for row, block in enumerate(self.blocks or ()):
            p = len(block.root)
            rotated[row, :p] = block.unwhiten(whitened[row, :p])
        return np.asarray(self.rotation @ rotated).ravel()


Metric = CholeskyMetric | NullMetric


def null_metric(objective: Objective) -> NullMetric:
    """The metric at the intercept-only model, without an intercept at uniform probabilities."""
    Q = objective.class_contrasts
    logits = np.log(objective.sample.priors) if objective.fit_intercept else np.zeros(len(Q))
    eigenvalues, rotation = np.linalg.eigh(Q.T @ fisher_information(logits) @ Q)
    eigenvalues = np.maximum(eigenvalues, JITTER * eigenvalues.max())
    p = objective.design.n_features
    root = np.ones(objective.shape)
    diagonal = np.outer(eigenvalues, (objective.spread / objective.scale) ** 2) + objective.ridge
    root[:, :p] = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    if objective.fit_intercept:
        root[:, p] = np.sqrt(eigenvalues)
    too_large = 8 * len(eigenvalues) * p**2 > MAX_NULL_BYTES
    if p <= 1 or too_large or (objective.design.is_sparse and p > MAX_NULL_SPARSE):
        return NullMetric(rotation, None, root)
    covariance = gram(objective)
    blocks = tuple(cholesky_metric(value * covariance + np.diag(objective.ridge)) for value in eigenvalues)
    return NullMetric(rotation, blocks, root)


def is_renewable(objective: Objective) -> bool:
    """Whether `fisher_metric` is worth its cost."""
    size = objective.shape[0] * objective.shape[1]
    evaluation = 4 * len(objective.contrasts) * objective.design.numbers_per_row
    return bool(size**2 <= MAX_EVALUATIONS_WORTH * evaluation)


def fisher_metric(objective: Objective, phi: Array) -> CholeskyMetric:
    """The metric at `phi`."""
    return cholesky_metric(information(objective, phi))


def information(objective: Objective, phi: Array) -> Array:
    """Fisher information plus the penalty's curvature at `phi`: the Hessian, of shape (D, D).

    The blocks for two classes, ``-1/S sum_i s_i p_ik p_il z_i z_i'``, come from one product. Those for one
    are computed with ``p_ik (1 - p_ik)``: as a difference of sums they would drown in rounding where
    probabilities are near one.
    """
    Q, width = objective.class_contrasts, objective.shape[1]
    n_classes = len(Q)
    varying = [1] if objective.single_row else range(n_classes)
    own = np.zeros((n_classes, width, width))
    between = np.zeros((n_classes * width, n_classes * width))
    for rows, eta in objective.logits(phi, dense=True):
        p = np.asarray(softmax(eta.T).T, dtype=np.float64)
        s, z = objective.sample.weights[rows], objective.standardised(rows)
        variance = s * p * _complement(p)
        for k in varying:
            half = z * np.sqrt(variance[k])[:, np.newaxis]
            own[k] += half.T @ half
        if not objective.single_row:
            means = np.einsum("ki,ij->ikj", np.sqrt(s) * p, z).reshape(len(z), -1)
            between -= means.T @ means
    blocks = between.reshape(n_classes, width, n_classes, width)
    blocks[np.arange(n_classes), :, np.arange(n_classes), :] = own
    hessian = np.einsum("ka,kilj,lb->aibj", Q, blocks, Q, optimize=True)
    ridge = np.zeros(objective.shape)
    ridge[:, : objective.design.n_features] = objective.ridge
    hessian = hessian.reshape(ridge.size, ridge.size)
    hessian[np.diag_indices(ridge.size)] += ridge.ravel()
    return np.asarray(hessian)


def _complement(p: Array) -> Array:
    """``1 - p`` for class probabilities (K, n_rows), to full precision where it is tiny."""
    complement, top = 1.0 - p, (p.argmax(axis=0), np.arange(p.shape[1]))
    others = p.copy()
    others[top] = 0.0
    complement[top] = others.sum(axis=0)
    return complement


def cholesky_metric(hessian: Array) -> CholeskyMetric:
    """Factorise a positive semi-definite matrix scaled to unit diagonal, with jitter."""
    diagonal = hessian.diagonal()
    root = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = hessian / root / root[:, np.newaxis]
    jitter = JITTER
    while True:
        scaled[np.diag_indices(len(root))] = 1.0 + jitter
        try:
            return CholeskyMetric(linalg.cholesky(scaled, lower=True, check_finite=False), root)
        except linalg.LinAlgError:
            jitter *= 16.0  # at a jitter of len(root) the matrix is diagonally dominant


def gram(objective: Objective, combinations: Array | None = None) -> Array:
    """Weighted Gram matrix of the standardised features, or of linear combinations of them.

    With an intercept the features are centred and it is their covariance. `combinations` has a column
    for each.
    """
    p, design, weights = objective.design.n_features, objective.design, objective.sample.weights
    if design.is_sparse and combinations is None:
        weighted = design.X.multiply(weights[:, np.newaxis]).tocsr()
        moments = (weighted.T @ design.X).toarray() - np.outer(objective.mean, objective.mean)
        return np.asarray(moments / objective.scale / objective.scale[:, np.newaxis])

    def block(rows: slice) -> Array:
        z = objective.standardised(rows)[:, :p]
        half = (z if combinations is None else z @ combinations) * np.sqrt(weights[rows])[:, np.newaxis]
        return np.asarray(half.T @ half)

    parts = design.map(block, p, dense=True)
    total = next(parts)
    for part in parts:
        total += part
    return total
