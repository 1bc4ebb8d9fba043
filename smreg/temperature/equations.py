r"""Softmax of logits as a family in one parameter, the inverse temperature, and how its equations are solved.

**Family.** With the logits ``z_i`` fixed, the density of the target is ``exp(beta <z_i, t> - A(beta z_i))``:
an exponential family in the *inverse temperature* ``beta = 1/T``, whose sufficient statistic is the logit
of the target. Only differences of logits matter. Let ``d_ik = max_j z_ij - z_ik >= 0`` be the *gap* of a
class to the largest logit. The loss of all samples, of weights ``s_i`` that sum to S, is

    ``l(beta) = beta c + 1/S sum_i s_i log sum_k exp(-beta d_ik),   c = 1/S sum_i s_i <d_i, t_i>``,

so that the targets enter by a single number, the *observed gap* c, which is the observed sufficient statistic
but for sign and shift; each further pass reads the logits alone. In the family's moments,

    ``l'(beta) = c - E(beta),   l'' = V(beta),   l''' = -M(beta)``,

where E, V and M are the means over the samples of the mean, the variance and the third central moment of
the gap under ``softmax(beta z_i)``. **The likelihood equation**, as in every exponential family, is that the
expected statistic equals the observed one: ``E(beta) = c``. E falls in beta, from E(0), the mean gap of all
classes, to 0 (``E' = -V``).

**Halley's method.** E is a falling sigmoid of ``u = log beta``. Its *log odds* ``log(E(0)/E - 1)`` are nearly
linear in u: their slope is 1 where beta is small, and 2 where it is large if the gaps have a density next to
zero. Hence the likelihood equation is solved for the log odds, by Newton's method with its term of second
order (Halley's), from T = 1, safeguarded by a bracket. Multiplying the logits only shifts u.

**Intervals.** The information on beta is ``S V``. The *signed root* of the likelihood ratio,
``r(beta) = sign(beta - beta*) sqrt(2 S (l(beta) - l*))``, is nearly linear as well. The interval of the
profile likelihood is where ``|r|`` is at most the normal quantile; the same method finds its ends.

References
----------
P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed., Chapman & Hall 1989, chapter 2.
https://doi.org/10.1201/9780203753736
W. Gander, On Halley's Iteration Method, American Mathematical Monthly 92 (1985).
https://doi.org/10.1080/00029890.1985.11971554
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

BLOCK = 2**16  # numbers of a block of rows: two such arrays stay in a processor's cache
QUANTILE = float(stats.norm.ppf(0.975))  # the intervals hold with 95 %
EXACT = 1e-9  # relative error of the best temperature, whose loss is then exact to rounding
CLOSE = 1e-6  # error of an end of the interval, in widths of the interval
LINEAR = 1e-6  # share of E(0) below which its fall is its tangent, better than it is a difference
MOST_STEPS = 100  # of which bisection alone needs half
FAR = 50.0  # longest step in log beta


class Moments(NamedTuple):
    """Loss at an inverse temperature, and mean, variance and third central moment of the gap."""

    beta: float
    loss: float
    mean: float
    variance: float
    third: float


class TemperatureFamily:
    """The family of given logits, with the loss as a function of the inverse temperature.

    Parameters
    ----------
    logits : ndarray of shape (n, K)
        Finite, float32 or float64.
    target : ndarray of int of shape (n,), or of float of shape (n, K)
        Class codes or points of the simplex.
    weights : ndarray of shape (n,)
        Non-negative, not all zero.
    map_blocks : callable
        A `map`.

    Attributes
    ----------
    total : float
        Sum S of the weights.
    observed : float
        Observed gap c.
    at_zero, at_one : Moments
        At ``beta = 0``, without the third, and at ``beta = 1``.
    evaluations : int
        Passes over the logits so far.
    """

    def __init__(
        self,
        logits: NDArray[Any],
        target: NDArray[Any],
        weights: Array,
        map_blocks: Callable[..., Iterator[Any]],
    ) -> None:
        n, self.n_classes = logits.shape
        self.logits, self.map_blocks = logits, map_blocks
        self.total = float(weights.sum())
        self.weights = weights / self.total
        self.top = np.empty((n, 1))
        self.blocks = row_blocks(logits)
        self.evaluations = 1
        observed, mean, square, *at_one = self._sum(lambda rows: self._first(rows, target[rows]))
        self.observed = observed
        self.at_zero = Moments(0.0, float(np.log(self.n_classes)), mean, square, np.nan)
        self.at_one = self._moments(1.0, at_one)

    def __call__(self, beta: float) -> Moments:
        """Loss and moments at `beta`, in one pass over the logits."""
        self.evaluations += 1
        return self._moments(beta, self._sum(lambda rows: _log_sum_and_moments(self.gaps(rows), beta)))

    def gaps(self, rows: slice) -> Array:
        """Gaps to the largest logit in a block of rows."""
        block = self.logits[rows].astype(np.float64)
        return np.subtract(self.top[rows], block, out=block)

    def _first(self, rows: slice, target: NDArray[Any]) -> tuple[Array, ...]:
        """Observed gaps, the mean and variance at zero, and what is summed at one."""
        self.top[rows, 0] = self.logits[rows].max(axis=1)
        d = self.gaps(rows)
        labelled = target.ndim == 1
        observed = d[np.arange(len(d)), target] if labelled else np.einsum("ik,ik->i", d, target)
        uniform = np.full(self.n_classes, 1 / self.n_classes)
        mean = d @ uniform
        return observed, mean, d**2 @ uniform - mean**2, *_log_sum_and_moments(d, 1.0)

    def _sum(self, function: Callable[[slice], tuple[Array, ...]]) -> list[float]:
        """Weighted sums over the rows, in the order of the blocks whatever the threads."""
        sums = self.map_blocks(
            lambda rows: [self.weights[rows] @ part for part in function(rows)], self.blocks
        )
        return [float(total) for total in np.sum(list(sums), axis=0)]

    def _moments(self, beta: float, sums: list[float]) -> Moments:
        log_sum, mean, variance, third = sums
        return Moments(beta, beta * self.observed + log_sum, mean, variance, third)


def row_blocks(logits: NDArray[Any]) -> list[slice]:
    """Blocks of rows that stay in a processor's cache."""
    step = max(1, BLOCK // logits.shape[1])
    return [slice(start, start + step) for start in range(0, len(logits), step)]


def _log_sum_and_moments(d: Array, beta: float) -> tuple[Array, Array, Array, Array]:
    """``log sum_k exp(-beta d_k)``, and mean, variance and third central moment of each row's gap."""
    ones = np.ones(d.shape[1])
    e = d * -beta
    np.exp(e, out=e)
    total = e @ ones
    e *= d
    mean = e @ ones / total
    e *= d
    square = e @ ones / total
    e *= d
    cube = e @ ones / total
    variance = square - mean**2
    return np.log(total), mean, variance, cube - 3 * mean * variance - mean**3


class Step(NamedTuple):
    """A rising function of ``u = log beta`` whose zero is sought, at a point, with its derivatives there."""

    value: float
    slope: float
    curvature: float

    def halley(self) -> tuple[float, float]:
        """Step to the zero, and what it may be wrong by.

        That is the second step that Newton's method would take, squared in the share of the second order,
        and a term of third order for where there is no curvature.
        """
        if self.value == 0:
            return 0.0, 0.0
        with np.errstate(all="ignore"):
            newton = -np.divide(self.value, self.slope)
            step = newton / (1 + newton * self.curvature / (2 * self.slope))
            error = (step - newton) ** 2 / abs(step) + abs(step) ** 3 / 10
        return float(step), float(error)


def maximum(family: TemperatureFamily) -> Moments:
    """The maximum of the likelihood, where ``0 < c < E(0)``; its loss by a series about the last point."""
    at, beta = _solve(family, lambda at: _log_odds(family, at), family.at_one, (0.0, np.inf), EXACT)
    step, slope = beta - at.beta, family.observed - at.mean
    loss = at.loss + step * (slope + step * (at.variance / 2 - step * at.third / 6))
    return Moments(beta, loss, family.observed, at.variance - step * at.third, at.third)


def interval(family: TemperatureFamily, best: Moments) -> tuple[float, float]:
    """Inverse temperatures between which the likelihood ratio is below the quantile's square.

    Zero stands below where no temperature is rejected, however high.
    """
    slope = best.beta * np.sqrt(family.total * best.variance)
    squared = best.beta * best.beta
    third = 3 * squared * best.variance - squared * best.beta * best.third
    ends = []
    for side in (-1, +1):
        if side < 0 and not _rejects(family, best.loss):
            ends.append(0.0)
            continue
        step, _ = Step(-side * QUANTILE, float(slope), float(family.total * third / (3 * slope))).halley()
        if not 0 < side * step < 2:
            step = side * min(QUANTILE / slope, 2.0)
        start = family(best.beta * float(np.exp(step)))
        bracket = (best.beta, np.inf) if side > 0 else (0.0, best.beta)
        ends.append(_end(family, best.loss, side, start, bracket, CLOSE * min(1.0, QUANTILE / slope)))
    return ends[0], ends[1]


def interval_at_limit(family: TemperatureFamily, minimum: float, side: int) -> float:
    """The one end of the interval, below or above, where the maximum is at T -> 0 or at T -> inf."""
    if side < 0 and not _rejects(family, minimum):
        return 0.0
    return _end(family, minimum, side, family(_unit(family)), (0.0, np.inf), CLOSE)


def _rejects(family: TemperatureFamily, minimum: float) -> bool:
    """Whether the likelihood ratio rejects equal probabilities, T -> inf."""
    return bool(2 * family.total * (family.at_zero.loss - minimum) > QUANTILE**2)


def _end(
    family: TemperatureFamily,
    minimum: float,
    side: int,
    start: Moments,
    bracket: tuple[float, float],
    tol: float,
) -> float:
    return _solve(family, lambda at: _signed_root(family, minimum, side, at), start, bracket, tol)[1]


def _solve(
    family: TemperatureFamily,
    function: Callable[[Moments], Step],
    start: Moments,
    bracket: tuple[float, float],
    tol: float,
) -> tuple[Moments, float]:
    """Last point evaluated, and the inverse temperature in the bracket at which a function is zero.

    The last step, whose error is at most `tol`, is not evaluated.
    """
    at, beta, (low, high) = start, start.beta, bracket
    for _ in range(MOST_STEPS):
        here = function(at)
        low, high = (at.beta, high) if here.value < 0 else (low, at.beta)
        step, error = here.halley()
        beta = at.beta * float(np.exp(np.clip(step, -FAR, FAR)))
        if error <= tol:
            break
        if not low < beta < high:
            beta = _between(low, high, family)
        at = family(beta)
    return at, beta


def _between(low: float, high: float, family: TemperatureFamily) -> float:
    """Bisection of the bracket in log beta; where an end is 0 or inf, a finite point inside."""
    if low == 0:
        unit = _unit(family)
        return unit if unit < high else high / 16
    return low * 16 if high == np.inf else float(np.sqrt(low) * np.sqrt(high))


def _unit(family: TemperatureFamily) -> float:
    """Inverse temperature at which the gaps have a standard deviation of one under equal probabilities."""
    return 1 / float(np.sqrt(family.at_zero.variance))


def _log_odds(family: TemperatureFamily, at: Moments) -> Step:
    """Log odds of the expected gap, less those of the observed one."""
    at_zero, observed = family.at_zero.mean, family.observed
    goal = float(np.log(at_zero - observed) - np.log(observed))
    fall, mean = at_zero - at.mean, np.float64(at.mean)
    if fall <= LINEAR * at_zero:
        tangent = at.beta * family.at_zero.variance
        return Step(float(np.log(tangent) - np.log(at_zero)) - goal, 1.0, 0.0)
    slope, curvature = -at.beta * at.variance, at.beta * at.beta * at.third - at.beta * at.variance
    with np.errstate(all="ignore"):  # where the mean has vanished the bracket decides
        first, second = -1 / fall - 1 / mean, 1 / mean**2 - 1 / fall**2
        value = np.log(fall) - np.log(mean) - goal
        derivatives = first * slope, second * slope**2 + first * curvature
    return Step(float(value), float(derivatives[0]), float(derivatives[1]))


def _signed_root(family: TemperatureFamily, minimum: float, side: int, at: Moments) -> Step:
    """Signed root r of the likelihood ratio on one side of the maximum, less the quantile there.

    ``r**2 / 2 = S (l - minimum)`` is differentiated twice: ``r r' = S l'`` and ``r'**2 + r r'' = S l''``.
    """
    slope = at.beta * (family.observed - at.mean)
    curvature = slope + at.beta * at.beta * at.variance
    root = side * np.sqrt(2 * family.total * max(at.loss - minimum, 0.0))
    with np.errstate(all="ignore"):  # where the root has vanished the bracket decides
        root_slope = family.total * slope / root
        root_curvature = (family.total * curvature - root_slope**2) / root
    return Step(float(root - side * QUANTILE), float(root_slope), float(root_curvature))
