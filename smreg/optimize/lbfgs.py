r"""L-BFGS, SciPy's, on the increment in the metric of a preconditioner.

It runs on ``v`` in ``x + unwhiten(norm * v)``: with M equal to the Hessian the level sets are spheres, and
the first trial, of length one, is Newton's step. An increment loses nothing to a badly conditioned map back
to the parameters. SciPy's own ``ftol`` and ``gtol``, which depend on the units, are zero.

References
----------
D. C. Liu and J. Nocedal, On the limited memory BFGS method for large scale optimization, Mathematical
Programming 45 (1989). https://doi.org/10.1007/BF01589116
"""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from smreg.optimize.protocol import Function, Point, Preconditioner

Array = NDArray[np.float64]

MEMORY = 10  # pairs that are kept
OPTIONS: Any = {"ftol": 0, "gtol": 0, "maxls": 50, "maxcor": MEMORY}
OPTIONS |= dict.fromkeys(["maxfun", "maxiter"], 2**31 - 1)  # SciPy's limit of 15000 must not bind


@dataclass(frozen=True)
class Run:
    """What a run has come to.

    Attributes
    ----------
    point : Point
        The last accepted one, with its norm in the preconditioner.
    evaluations : int
        Of the function.
    is_enough : bool
        Whether the caller ended it, else it stalled.
    inverse : callable or None
        What it has learnt of the inverse Hessian, whitened; None where the first step led too far.
    """

    point: Point
    evaluations: int
    is_enough: bool
    inverse: Callable[[Array], Array] | None


class _TooLongError(Exception):
    """The first step leads too far."""


def lbfgs(
    function: Function,
    preconditioner: Preconditioner,
    start: Point,
    is_enough: Callable[[Point, int], bool],
    *,
    most: float = math.inf,
) -> Run:
    """Minimise from a point until the caller has enough, or neither value nor norm falls any more.

    Parameters
    ----------
    function : Function
        Smooth and convex.
    preconditioner : Preconditioner
        In whose metric the norms are.
    start : Point
        Where to begin, with its norm.
    is_enough : callable
        ``(point, evaluations) -> end``, called after every step.
    most : float
        Slope at the end of the first trial, in parts of that at its start with the sign changed, beyond which
        the run ends at once.
    """
    whitened, size = preconditioner.whiten(start.gradient), start.norm
    latest = accepted = start
    lowest_norm, evaluations, has_enough = size, 0, False

    def scaled(v: Array) -> tuple[float, Array]:
        nonlocal latest, evaluations
        if not v.any():
            return start.value, size * whitened
        evaluations += 1
        x = start.x + preconditioner.unwhiten(size * v)
        value, gradient = function(x)
        with np.errstate(over="ignore", invalid="ignore"):
            inside = preconditioner.whiten(gradient)
            norm = math.sqrt(inside @ inside)
        if evaluations == 1 and not -float(inside @ whitened) <= most * size**2:
            raise _TooLongError
        is_finite = math.isfinite(norm + value)
        latest = Point(x, value, gradient, norm if is_finite else math.inf)
        if not is_finite:  # high enough for the line search to cut the step
            return start.value + 10.0 * max(1.0, abs(start.value)), np.zeros_like(v)
        return value, size * inside

    def step(intermediate_result: optimize.OptimizeResult) -> None:
        nonlocal accepted, lowest_norm, has_enough
        if latest.value >= accepted.value and latest.norm >= lowest_norm:
            raise StopIteration
        accepted, lowest_norm = latest, min(lowest_norm, latest.norm)
        has_enough = is_enough(accepted, evaluations)
        if has_enough:
            raise StopIteration

    inverse = None
    with suppress(_TooLongError):
        result = optimize.minimize(
            scaled, np.zeros_like(whitened), jac=True, method="L-BFGS-B", callback=step, options=OPTIONS
        )
        pairs: Any = result.hess_inv  # in steps of `size`
        inverse = optimize.LbfgsInvHessProduct(size * pairs.sk, pairs.yk / size).matvec
    return Run(accepted, evaluations, has_enough, inverse)
