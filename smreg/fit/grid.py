r"""Grids of C from a strong penalty to a weak one, between limits that the data set.

**The strongest penalty** leaves nothing but the priors: see `strongest`.

**The weakest** is found by fits in decades of C, from the strongest on. From decade to decade the loss falls,
at first by more, in the end by less. The grid ends where it falls by `NEGLIGIBLE_FALL` a decade for the last
time: beyond, C is of no consequence for the model. (So it is for separated classes, whose loss falls for ever
as C grows.) A fall that is as small in between, because features of small variance are still shrunk to
nothing, is no end: see `_shrinkage_limit`.

The limits are invariant to how the model is written: to the order and the storage of X, to constants added to
its columns, to weights in the place of repetitions. In other units of all features the grid is multiplied by
``unit**-2``, for the lasso by ``unit**-1``. Where floating point cannot represent all of it, the part that it
can is taken, with a warning.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from smreg.data.statistics import power_of_two
from smreg.fit.regression import Problem
from smreg.fit.solution import Fit
from smreg.objective.penalty import LARGEST

Array = NDArray[np.float64]
Grid = int | Literal["auto"] | Array
Explore = Callable[[Problem, Iterator[float], float, dict[str, Any]], Iterator[Fit]]

# Part of the null deviance that the model with the strongest penalty of a grid may explain, and degrees of
# freedom that it may have.
NOTHING = 0.01
NEGLIGIBLE_FALL = 3e-5  # nats a decade
FEWEST_DECADES = 2.0  # of a grid
STEP = 0.5  # decades between the values of a grid whose size is not given


def check_grid(Cs: Any) -> Grid:
    """A number of values, "auto", or the values themselves in increasing order."""
    if isinstance(Cs, str) and Cs == "auto":
        return "auto"
    if isinstance(Cs, Integral) and not isinstance(Cs, bool):
        if Cs < 1:
            raise ValueError(f"Cs must be at least 1 where it is a number of values, got {Cs}.")
        return int(Cs)
    required = 'Cs must be a number of values or "auto" or a 1-D sequence of positive numbers'
    values = np.sort(_numbers(Cs, required))
    if not (values > 0).all():
        raise ValueError(f"Cs must be positive (inf for no penalty), got {values[~(values > 0)].tolist()}.")
    if len(np.unique(values)) < len(values):
        raise ValueError(f"Cs must be distinct, got {values.tolist()}.")
    return values


def check_l1_ratios(l1_ratios: Any) -> Array:
    """Distinct numbers from 0 to 1, in the order in which they came."""
    values = _numbers(l1_ratios, "l1_ratios must be a 1-D sequence of numbers from 0 to 1")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"l1_ratios must be from 0 to 1, got {values.tolist()}.")
    if len(np.unique(values)) < len(values):
        raise ValueError(f"l1_ratios must be distinct, got {values.tolist()}.")
    return values


def _numbers(values: Any, required: str) -> Array:
    """A sequence of numbers, at least one, as an array; strings and bools are not numbers."""
    numbers = None
    with suppress(TypeError, ValueError, OverflowError):
        array = np.asarray(values)
        numbers = array.astype(np.float64) if array.ndim and array.dtype.kind in "iufO" else None
    if numbers is None:
        raise TypeError(f"{required}, got {values!r}.")
    if numbers.ndim > 1 or numbers.size == 0:
        raise ValueError(f"{required}, got an array of shape {numbers.shape}.")
    return numbers


def weakest_of(Cs: Grid, factors: Array | None) -> float:
    """The weakest penalty that a grid may have: with factors some, as no penalty is another problem."""
    if isinstance(Cs, np.ndarray):
        return float(Cs[-1])
    return math.inf if factors is None else LARGEST


def grid(
    paths: Sequence[tuple[Problem, float]],
    size: int | Literal["auto"],
    max_iter: int,
    *,
    has_folds: bool,
    stacklevel: int,
    explore: "Explore | None" = None,
) -> Array:
    """Values of C in equal steps of the logarithm, between limits that the data set.

    Parameters
    ----------
    paths : sequence of tuples of Problem and float
        The problem for each l1_ratio, and that: the grid reaches from the strongest penalty that one of them
        needs to the weakest.
    size : int or "auto"
        How many; "auto" is as many as make steps of half a decade at most, up to 41.
    max_iter : int
        Most steps of the exploratory fits, by which the grid's end is found.
    has_folds : bool
        Whether parts of the samples are fitted, too. With an L1 penalty chance gives these larger gradients
        at the intercept-only model: the grid begins by a step lower.
    stacklevel : int
        Of the warning that floating point cannot represent all of the grid.
    explore : callable or None
        ``(problem, Cs, least, options) -> fits``, makes the exploratory fits as they are asked for, at least
        up to the C `least`; None for one after the other.
    """
    if size == 1:
        return np.ones(1)
    starts = [
        strongest(problem, l1_ratio) * (10.0**-STEP if has_folds and l1_ratio > 0 else 1.0)
        for problem, l1_ratio in paths
    ]
    wanted, (least, most) = min(starts), _representable(paths[0][0])
    first = float(np.clip(wanted, least, most / 10.0**FEWEST_DECADES))
    ends = [weakest(*path, first, most, max_iter, explore or _one_by_one) for path in paths]
    last = max(end for end, _ in ends)
    if first != wanted or not all(is_end for _, is_end in ends):
        warnings.warn(
            "No C that floating point can hold makes the penalty strong enough, or weak enough, for features "
            f"of such units and such weights: the grid is from {first:.3g} to {last:.3g} and may miss the "
            "best C. Measure the features in other units, or give values of your own as Cs=.",
            UserWarning,
            stacklevel=stacklevel,
        )
    if size == "auto":
        size = min(math.ceil((math.log10(last) - math.log10(first)) / STEP) + 1, 41)
    return np.geomspace(first, last, int(size))


def _representable(problem: Problem) -> tuple[float, float]:
    """The least and the largest C that, like their penalties, are normal floating-point numbers."""
    tiny = float(np.finfo(np.float64).tiny)
    least, most = problem.strength_at(np.array([LARGEST, tiny])).tolist()
    return max(least, tiny), min(most, 1 / tiny)


def strongest(problem: Problem, l1_ratio: float) -> float:
    """The C below which the model is the priors: zero or inf where floating point has none.

    With the gradient G of the mean cross-entropy in the coefficients at the model of the intercepts, and of
    the coefficients that have no penalty, ``||W|| <= C S ||G||``, and the cross-entropy falls by at most
    ``<-G, W> <= C S ||G||^2``: for the ridge penalty that is to be a hundredth of the null deviance. With an
    L1 penalty all coefficients are zero exactly up to ``C = l1_ratio / (S max |G|)``. Penalty factors f are
    units: G stands for ``G / sqrt(f)``, with an L1 penalty for ``G / f``.

    Where the features explain next to nothing, G is noise, and a fold has another one: it must not be too
    small to set a limit. With the information's diagonal h at that model, the fit has at most
    ``C S sum h`` degrees of freedom, for the ridge penalty no more than `NOTHING`; and with an L1
    penalty |G| counts as no less than the root of as large a part of the largest h.
    """
    base, factors = problem.base, problem.factors
    gradient, null_deviance = problem.null_gradient(None if base is None else base[0])
    root_h = problem.root_null_information()
    power = 1.0 if l1_ratio > 0 else 0.5
    gradient, root_h = factors.over(gradient, power), factors.over(root_h, power)
    if not root_h.any():
        return 1.0
    unit = power_of_two(root_h.max())  # in which squares neither over- nor underflow
    gradient, root_h = gradient / unit, root_h / unit
    if l1_ratio > 0:
        by_chance = np.sqrt(NOTHING) * root_h.max()
        return float(problem.strength_at(max(np.abs(gradient).max(), by_chance) * (unit / l1_ratio)))
    penalty = np.sum(root_h**2) / NOTHING
    if null_deviance > 0:
        penalty = max(penalty, np.sum(gradient**2) / (NOTHING * null_deviance))
    with np.errstate(over="ignore"):
        return float(problem.strength_at(penalty * unit * unit))


def in_decades(first: float, most: float) -> Iterator[float]:
    """Values of C a decade apart, as far as they may go."""
    C = first
    while True:
        yield C
        if most < 10 * C:
            return
        C = 10 * C


def _one_by_one(
    problem: Problem, Cs: Iterator[float], least: float, options: dict[str, Any]
) -> Iterator[Fit]:
    """Exploratory fits, each from the solution of the one before."""
    regression = None
    for C in Cs:
        regression, solution = problem.solve(C, start=regression, **options)
        yield regression, solution


def weakest(
    problem: Problem,
    l1_ratio: float,
    first: float,
    most: float,
    max_iter: int,
    explore: Explore = _one_by_one,
) -> tuple[float, bool]:
    """The C beyond which the loss falls by no more than `NEGLIGIBLE_FALL` a decade, and whether it is that.

    That is `FEWEST_DECADES` above the first at least. Between two decades the fall is interpolated as a power
    of C. Exploration ends where the loss is all but zero, below which it cannot fall, and where a fit takes
    more than 100 steps: near-separated classes take thousands for falls near the negligible. The C is not the
    end if the loss falls on beyond the `most` that C may be, or if features are shrunk to nothing even there.
    """
    least_end, is_end = _shrinkage_limit(problem, l1_ratio, most)
    losses = list[float]()
    options: dict[str, Any] = {
        "l1_ratio": l1_ratio,
        "tol": 1e-6,  # so that the loss is exact to 1e-12
        "max_iter": min(max_iter, 100),
    }
    fits = explore(problem, in_decades(first, most), least_end, options)
    for C, (regression, solution) in zip(in_decades(first, most), fits, strict=False):
        coef, _ = problem.layout.restrict(regression)
        losses.append(solution.objective - problem.penalty(C, l1_ratio).value(coef))
        if losses[-1] <= NEGLIGIBLE_FALL or (len(losses) > 1 and solution.reason == "max_iter"):
            break
        if len(losses) > 1 and least_end <= C and losses[-2] - losses[-1] <= NEGLIGIBLE_FALL:
            break
    else:
        is_end = False
    falls = np.append(-np.diff(losses), 0.0)
    steps = np.log(np.maximum(falls / NEGLIGIBLE_FALL, 0.1))  # less counts as so much between two decades
    last = int(np.flatnonzero(steps > 0).max(initial=-1))
    decades = 0.0 if last < 0 else last + 1 + steps[last] / (steps[last] - steps[last + 1])
    half = 10.0 ** (max(decades, FEWEST_DECADES) / 2)  # the square of which may overflow
    return min(first * half * half, most), is_end


def _shrinkage_limit(problem: Problem, l1_ratio: float, most: float) -> tuple[float, bool]:
    """The C above which no coefficient is shrunk by more than half, or held at zero though it matters.

    A coefficient with the curvature h, given all others, at the intercept-only model is shrunk to half by a
    ridge of as much, and can lower the loss by `NEGLIGIBLE_FALL` only if its gradient is above
    ``sqrt(2 h NEGLIGIBLE_FALL)``, so that an L1 penalty below that does not hold it at zero.

    Features that would need more than the `most` that C may be do not count; the second is whether there are
    none.
    """
    root_h, factors = problem.root_null_curvatures()
    penalties = np.full_like(root_h, np.inf)
    if l1_ratio < 1:
        with np.errstate(over="ignore"):
            penalties = root_h**2 / (1 - l1_ratio)
    if l1_ratio > 0:
        penalties = np.minimum(penalties, root_h * (np.sqrt(2 * NEGLIGIBLE_FALL) / l1_ratio))
    with np.errstate(over="ignore"):
        penalties = penalties / factors
    Cs = problem.strength_at(penalties)
    return float(Cs[most >= Cs].max(initial=0.0)), bool((most >= Cs).all())
