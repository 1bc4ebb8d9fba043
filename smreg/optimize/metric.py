r"""Metrics: positive definite matrices ``M``, known by a factor of their inverse ``M^-1 = A' A``.

`Metric.whiten` takes a gradient ``g`` to ``A g``, whose Euclidean length is ``||g||_{M^-1}``, and
`Metric.unwhiten` takes a step ``v`` back to ``A' v``. A may have more rows than columns.

Matrices are factorised after scaling to unit diagonal, and with `JITTER` added to it: a Cholesky
factorisation of a semi-definite matrix (collinear columns without a penalty) then succeeds, and since
the gradient vanishes along the directions that the jitter makes up for, they are left alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Array = NDArray[np.float64]

# The rounding of a Gram matrix is some multiples of 2**-52 of its diagonal; this is 2**12 of them. Columns
# so nearly collinear that an eigenvalue of their correlation matrix is below it (x and x + 1e-7 e, say)
# are resolved without a penalty only as far as the jitter lets the norm see them.
JITTER = 2.0**-40
DETERMINED = 64 * JITTER  # part of a variance, given others, that differs from none

# Rows of a matrix that is small: it is not worth a thread, and its triangle is inverted by LAPACK, for which
# SciPy's routines, unlike NumPy's, hold the GIL.
SMALL = 128

TINY = 1e-200  # divisor, whose root and inverse can be multiplied with


@dataclass(frozen=True)
class Metric:
    """A metric that is block-diagonal after a change of basis.

    With the gradient as a matrix G of n rows, row b of ``basis @ G`` is whitened by its own factor.

    Attributes
    ----------
    basis : ndarray of shape (n_blocks, n)
        With orthonormal columns.
    factors : ndarray of shape (n_blocks, width, width), or (n_blocks, width) where they are diagonal
        ``A_b``, with ``A_b' A_b`` the inverse of block b.
    """

    basis: Array
    factors: Array
    is_hessian = False

    def whiten(self, gradient: Array) -> Array:
        """``A g``."""
        rows = self.basis @ gradient.reshape(self.basis.shape[1], -1)
        if self.factors.ndim == 2:
            return np.asarray(self.factors * rows).ravel()
        if len(rows) == 1:
            return np.asarray(np.dot(self.factors[0], rows[0]))
        return np.asarray(np.matmul(self.factors, rows[:, :, np.newaxis])).ravel()

    def unwhiten(self, step: Array) -> Array:
        """``A' v``."""
        rows = step.reshape(len(self.basis), -1)
        if self.factors.ndim == 2:
            return np.asarray(self.basis.T @ (self.factors * rows)).ravel()
        if len(rows) == 1:
            steps = np.dot(rows, self.factors[0])
        else:
            steps = np.matmul(rows[:, np.newaxis, :], self.factors)[:, 0]
        return np.asarray(self.basis.T @ steps).ravel()


class DenseMetric:
    """A metric that is one matrix, with a factor of it.

    Parameters
    ----------
    matrix : ndarray of shape (D, D)
        Positive semi-definite. It is overwritten.
    is_hessian : bool
        Whether it is that of the point at which it was made. It is not where jitter makes up for more than
        a part of what is known of a variable given others: norms are too small there.
    """

    def __init__(self, matrix: Array, *, is_hessian: bool = False) -> None:
        self._factor, self._root = scaled_cholesky(matrix)
        self.is_hessian = is_hessian and bool(self._factor.diagonal().min() ** 2 > DETERMINED)

    def whiten(self, gradient: Array) -> Array:
        """``A g``."""
        return np.asarray(linalg.lapack.dtrtrs(self._factor.T, gradient / self._root, trans=1)[0])

    def unwhiten(self, step: Array) -> Array:
        """``A' v``."""
        return np.asarray(linalg.lapack.dtrtrs(self._factor.T, step)[0] / self._root)


def directions(metric: Metric | DenseMetric, size: int, count: int) -> Array:
    """``A' q`` for vectors q of random signs, of shape (count, size): their mean square is ``M^-1``.

    The signs are the same every time.
    """
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (count, len(metric.whiten(np.zeros(size)))))
    return np.array([metric.unwhiten(q) for q in signs])


def scaled_cholesky(matrix: Array) -> tuple[Array, Array]:
    """L and r with ``M = diag(r) L L' diag(r)`` for a positive semi-definite M, with jitter on its diagonal.

    M is overwritten.
    """
    diagonal = matrix.diagonal()
    root = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    matrix /= root
    matrix /= root[:, np.newaxis]
    jitter = JITTER
    while True:
        matrix.flat[:: len(root) + 1] = 1.0 + jitter
        factor = _cholesky(matrix)
        if factor is not None:
            return factor, root
        jitter *= 16.0  # at a jitter of len(root) the matrix is diagonally dominant


def _cholesky(matrix: Array) -> Array | None:
    """Its lower triangular factor, or None where it is not positive definite."""
    if len(matrix) <= SMALL:
        upper, info = linalg.lapack.dpotrf(matrix.T)
        return None if info else np.asarray(upper.T)
    try:
        return np.asarray(np.linalg.cholesky(matrix), np.float64)
    except np.linalg.LinAlgError:
        return None


def inverse_factor(matrix: Array) -> Array:
    """A lower triangular A with ``A' A = M^-1`` for a positive semi-definite M, with jitter on its diagonal.

    M is overwritten.
    """
    factor, root = scaled_cholesky(matrix)
    return np.ascontiguousarray(_inverse_of_triangle(factor) / root)


def _inverse_of_triangle(L: Array) -> Array:
    """The inverse of a lower triangular matrix, by halves of it."""
    if len(L) <= SMALL:
        return np.asarray(linalg.lapack.dtrtri(L, lower=1)[0])
    half = len(L) // 2
    inverse = np.zeros_like(L)
    inverse[:half, :half] = _inverse_of_triangle(L[:half, :half])
    inverse[half:, half:] = _inverse_of_triangle(L[half:, half:])
    inverse[half:, :half] = -np.dot(np.dot(inverse[half:, half:], L[half:, :half]), inverse[:half, :half])
    return inverse


def inverse_root(diagonal: Array) -> Array:
    """The same for diagonal matrices: entries that are not positive count as one."""
    return 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))


def laplacian_inverse(products: Array) -> Array:
    """A generalised inverse of the Laplacian of a graph, of the covariance of classes among others.

    Of `products` the entries off the diagonal are the weights of its edges: not negative. The diagonal is of
    no account, as it is that of which rows sum to zero.
    """
    between = products * (1.0 - np.eye(len(products)))
    root = np.sqrt(np.maximum(between.sum(axis=1), TINY))
    unit = root / np.linalg.norm(root)
    scaled = (1.0 + JITTER) * np.eye(len(root)) - between / np.outer(root, root) + np.outer(unit, unit)
    return np.asarray(np.linalg.inv(scaled) / np.outer(root, root))
