"""Conjugate gradients for a positive semi-definite system, step by step: who solves says what is enough.

References
----------
J. Nocedal and S. Wright, Numerical Optimization, 2nd edition, Springer (2006), chapter 5.
https://doi.org/10.1007/978-0-387-40065-5
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Iterate:
    """An approximate solution v of ``H v = b``.

    Attributes
    ----------
    solution, residual : ndarray
        v and ``b - H v``.
    squared : float
        ``r' M^-1 r`` for the residual r and the preconditioner M.
    energy : float
        ``b' v = v' H v``, which rises to ``b' H^-1 b``.
    least : float
        The least Ritz value: the least curvature ``d' H d / d' M d`` in the span of the directions so far.
    length : float
        That of the last step, in parts of its direction d, of which the product was taken.
    """

    solution: Array
    residual: Array
    squared: float
    energy: float
    least: float
    length: float


def conjugate_gradients(
    product: Callable[[Array], Array],
    b: Array,
    precondition: Callable[[Array], Array],
    inner: Callable[[Array, Array], Any] = np.vdot,
) -> Iterator[Iterate]:
    """Iterates from zero on, until a direction hardly curves.

    Parameters
    ----------
    product : callable
        ``v -> H v``, self-adjoint in the inner product.
    b : ndarray
        The right-hand side.
    precondition : callable
        ``r -> M^-1 r``.
    inner : callable
        The inner product.
    """
    solution, residual, energy, least, length = np.zeros_like(b), b, 0.0, math.inf, 0.0
    last = 1.0
    direction, before = np.zeros_like(b), math.inf
    diagonal, off_diagonal = list[float](), list[float]()  # of Lanczos's tridiagonal matrix
    while True:
        steepest = precondition(residual)
        squared = float(inner(residual, steepest))
        yield Iterate(solution, residual, squared, energy, least, length)
        if not 0 < squared < math.inf:
            return
        share = squared / before
        direction = steepest + share * direction
        with np.errstate(over="ignore", invalid="ignore"):  # a step along what hardly curves
            image = product(direction)
            curvature = float(inner(direction, image))
            if not 0 < curvature < math.inf:
                return
            length = squared / curvature
            solution = solution + length * direction
            residual = residual - length * image
        if diagonal:
            off_diagonal.append(math.sqrt(share) / last)
        diagonal.append(1.0 / length + (share / last if len(diagonal) else 0.0))
        ritz = linalg.eigvalsh_tridiagonal(diagonal, off_diagonal, select="i", select_range=(0, 0))
        energy, least = energy + length * squared, min(least, float(ritz[0]))
        before, last = squared, length


def first(
    iterates: Iterator[Iterate], is_enough: Callable[[Iterate], bool], most: int
) -> tuple[Iterate, bool]:
    """The first iterate that is enough, or after so many products the last, and whether it is enough."""
    for iterate in islice(iterates, most + 1):
        if is_enough(iterate):
            return iterate, True
    return iterate, False
