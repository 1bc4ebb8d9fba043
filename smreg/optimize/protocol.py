"""What a minimiser asks of a function and its preconditioners, and what it says of a minimum."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from smreg.optimize.line_search import Line

Array = NDArray[np.float64]


class Preconditioner(Protocol):
    """A positive definite matrix M, known by a factor of its inverse ``M^-1 = A' A``."""

    @property
    def is_hessian(self) -> bool:
        """Whether M is the Hessian at the point where it was made."""

    def whiten(self, gradient: Array) -> Array:
        """``A g``."""

    def unwhiten(self, step: Array) -> Array:
        """``A' v``."""


class Refresh(Protocol):
    """A kind of preconditioner that is made anew as the search moves on."""

    @property
    def is_hessian(self) -> bool:
        """Whether it is the Hessian, or near enough for its norm to be believed."""

    def cost(self, value: float, /) -> float:
        """What making it costs where the function has that value, in evaluations."""

    def __call__(
        self, x: Array, value: float, known: Any, /, *, complete: bool, exact: bool
    ) -> Preconditioner:
        """The preconditioner at a point: see `Point`.

        A complete one leaves out nothing for being small, and an exact one is of the whole function.
        """


class Function(Protocol):
    """A smooth convex function."""

    def __call__(self, x: Array, /) -> tuple[float, Array]:
        """Value and gradient."""

    def along(self, x: Array, step: Array, known: Any, /) -> Line:
        """The function along a direction, with what is known of the point: see `Line.point`."""

    def hessian_at(self, x: Array, /) -> Callable[[Array], Array]:
        """Products with the Hessian at x."""


@dataclass(frozen=True)
class Point:
    """A point, value and gradient there, and what is known of it.

    Attributes
    ----------
    norm : float
        That of the gradient in some metric.
    known : object
        What makes lines from there cheaper.
    bound : float
        Upper bound of the Newton decrement.
    """

    x: Array
    value: float
    gradient: Array
    norm: float = math.inf
    known: Any = None
    bound: float = math.inf


@dataclass(frozen=True)
class Minimum:
    """Where the search stopped, and why.

    Attributes
    ----------
    point : Point
        The last accepted point, with the gradient's norm in the metric of the Hessian.
    reason : {"converged", "max_iter", "callback", "rounding"}
        What ended the search; "rounding": floating point allows no further progress.
    iterations, evaluations, refreshes : int
        Steps taken; computations of value and gradient; preconditioners made.
    preconditioner : Preconditioner or None
        The last one, if it is the most exact kind.
    """

    point: Point
    reason: str
    iterations: int
    evaluations: int
    refreshes: int
    preconditioner: Preconditioner | None = None
