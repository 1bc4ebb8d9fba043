"""Convex functions whose minimum is known, and preconditioners for them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from smreg.optimize import solver
from smreg.optimize.line_search import EvaluatedLine
from smreg.optimize.metric import DenseMetric


@dataclass
class Convex:
    """A function by its value and gradient, and its Hessian, which counts what is computed of it."""

    value_and_gradient: Callable
    hessian: Callable
    points: list = field(default_factory=list)
    products: int = 0

    def __call__(self, x):
        """Value and gradient."""
        self.points.append(x)
        return self.value_and_gradient(x)

    def along(self, x, step, known):
        """By evaluations."""
        assert known is None
        return EvaluatedLine(self, x, step)

    def hessian_at(self, x):
        """Products, each of which is counted."""
        H = self.hessian(x)

        def product(v):
            self.products += 1
            return H @ v

        return product

    @property
    def work(self):
        """Evaluations and products so far."""
        return len(self.points) + self.products


@dataclass
class Kind:
    """A kind of preconditioner at a price, that notes where it was made, and when."""

    at: Callable
    price: float = 0.0
    is_hessian: bool = True
    asked: list = field(default_factory=list)
    made: list = field(default_factory=list)

    def cost(self, value):
        """The same anywhere."""
        return self.price

    def is_sampled(self, value):
        """Of all."""
        return False

    def __call__(self, x, value, known, *, complete, exact):
        """The preconditioner."""
        self.asked.append(x)
        self.made.append(DenseMetric(np.array(self.at(x), dtype=float), is_hessian=self.is_hessian))
        return self.made[-1]


def metric_of(matrix):
    """The metric that is a matrix."""
    return DenseMetric(np.array(matrix, dtype=float))


def hessian_kind(function, price=0.0):
    """The Hessian of a function."""
    return Kind(function.hessian, price)


def minimize(function, x, metric, kinds=(), *, tol=1e-8, max_iter=1000, **options):
    """From a point, in a metric to begin with."""
    x = np.asarray(x, float)
    start = solver.Point(x, *function(x))
    return solver.minimize(function, start, lambda: metric, kinds, tol=tol, max_iter=max_iter, **options)


def decrement(function, point):
    """``sqrt(g' H^-1 g)`` where H can be inverted."""
    g = function.value_and_gradient(point.x)[1]
    return float(np.sqrt(g @ np.linalg.solve(function.hessian(point.x), g)))


def condition(matrix, metric):
    """The ratio of the largest and least curvature in a metric."""
    A = np.column_stack([metric.whiten(unit) for unit in np.eye(len(matrix))])
    curvatures = np.linalg.eigvalsh(A @ matrix @ A.T)
    return curvatures[-1] / curvatures[0]


# -- functions

HESSIAN = np.array([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]])
OPTIMUM = np.array([1.0, -2.0, 0.5])


def quadratic(units=1.0, offset=0.0):
    """``(x - x*)' H (x - x*) / 2`` in other units."""

    def value_and_gradient(x):
        g = HESSIAN @ (x / units - OPTIMUM)
        return offset + 0.5 * float((x / units - OPTIMUM) @ g), g / units

    H = HESSIAN / np.outer(units, units) if np.ndim(units) else HESSIAN / units**2
    return Convex(value_and_gradient, lambda x: H)


def separable(value, slope, curvature):
    """The sum of one function of each coordinate; where it is not finite its gradient is unknown."""

    def value_and_gradient(x):
        with np.errstate(all="ignore"):
            total = float(np.sum(value(x)))
            if not total < 1e150:  # whose square is finite
                return np.inf, np.full_like(x, np.nan)
            return total, slope(x)

    def hessian(x):
        with np.errstate(all="ignore"):
            return np.diag(curvature(x))

    return Convex(value_and_gradient, hessian)


def log_cosh():
    """Convex, with minimum 0 at 0, curvature 1 there and none far away."""
    return separable(
        lambda x: np.logaddexp(x, -x) - np.log(2), np.tanh, lambda x: 4 / (np.exp(x) + np.exp(-x)) ** 2
    )


def root():
    """``sqrt(1 + x**2)``, whose Newton steps lead from x to ``-x**3``."""
    return separable(
        lambda x: np.sqrt(1 + x**2), lambda x: x / np.sqrt(1 + x**2), lambda x: (1 + x**2) ** -1.5
    )


def bend(rise=0.2, at=1.0, width=0.2):
    """Falls with slope 1 up to a bend, with a width, and rises after it."""

    def p(x):
        return 1 / (1 + np.exp(-(x - at) / width))

    return separable(
        lambda x: -x + (1 + rise) * width * np.logaddexp(0, (x - at) / width),
        lambda x: (1 + rise) * p(x) - 1,
        lambda x: (1 + rise) / width * p(x) * (1 - p(x)),
    )


def decay(slope=5e-5):
    """``exp(-x)`` plus a slope: least at ``-log(slope)``, with a curvature of ``exp(-x)``, flat beyond."""
    return separable(lambda x: np.exp(-x) + slope * x, lambda x: slope - np.exp(-x), lambda x: np.exp(-x))


def barrier():
    """``-log(x) - log(1 - x)``, with minimum at 1/2 and none outside."""
    return separable(
        lambda x: -np.log(x) - np.log(1 - x), lambda x: -1 / x + 1 / (1 - x), lambda x: x**-2 + (1 - x) ** -2
    )


def exponentials():
    """``exp(x) + exp(-2 x)``, least at ``log(2) / 3``."""
    return separable(
        lambda x: np.exp(x) + np.exp(-2 * x),
        lambda x: np.exp(x) - 2 * np.exp(-2 * x),
        lambda x: np.exp(x) + 4 * np.exp(-2 * x),
    )


def quartic(units):
    """``(u x)**2 / 2 + x**4``, least at zero."""
    return separable(
        lambda x: (units * x) ** 2 / 2 + x**4,
        lambda x: units**2 * x + 4 * x**3,
        lambda x: units**2 + 12 * x**2,
    )
