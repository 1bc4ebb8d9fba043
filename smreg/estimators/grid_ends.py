"""Warnings of a best candidate at the end of a grid of C, beyond which a better one may lie."""

import math
import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LONG_STEP = 2.5  # decades between values of C, after which nothing is known of what is beyond

FLAT, FLAT_PART = 1e-3, 0.1  # rise of a score for a factor of ten in C that is none; in standard errors

ALL_KEPT = 1 - 1e-6  # of a rise, by the next


def warn_of_an_end(scores: Mapping[str, Array], best: int, *, stacklevel: int) -> None:
    """Warn if the best candidate is at the end of a grid that the data set, and the score still rises there.

    By less than a tenth of its standard error, or 0.001, for ten times as much of C it counts as flat. Below
    the smallest C of a path with an L1 penalty nothing changes any more.
    """
    path = np.flatnonzero(scores["l1_ratio"] == scores["l1_ratio"][best])
    if len(path) < 2 or best not in (path[0], path[-1]):
        return
    C, is_first = scores["C"], best == path[0]
    if is_first and scores["l1_ratio"][best] > 0:
        return
    towards_it = path[2::-1] if is_first else path[-3:]
    rise = _rise_beyond(C[towards_it], scores["mean"][towards_it], slows=not is_first)
    if rise > max(FLAT, FLAT_PART * np.nan_to_num(scores["standard_error"][best])):
        step = np.sort(C[towards_it[-2:]])
        coarse = np.ptp(np.log10(step)) > LONG_STEP
        warnings.warn(
            f"The best C, {C[best]:.3g}, is the {'smallest' if is_first else 'largest'} of the grid, "
            + (_of_coarse(step) if coarse else _of_rising(C, rise, is_first=is_first)),
            UserWarning,
            stacklevel=stacklevel,
        )


def _of_coarse(step: Array) -> str:
    """What to do about a long step, from C to C, to the best."""
    first, last = math.floor(np.log10(step[0])), math.ceil(np.log10(step[1]))
    return (
        f"whose steps are of {np.ptp(np.log10(step)):.1f} decades: a better C may lie within the step to it. "
        f"Give values of your own, as in Cs=np.logspace({first}, {last}, {2 * (last - first) + 1}), or take "
        'Cs="auto".'
    )


def _of_rising(C: Array, rise: float, *, is_first: bool) -> str:
    """What to do about a score that still rises at an end of the grid."""
    other = "smaller" if is_first else "larger"
    limit = (
        "At a C of zero nothing is left but how frequent the classes are."
        if is_first
        else "Where the classes are all but separated, more C always helps a little."
    )
    return (
        f"and the mean score still rises there, by {rise:.2g} for a factor of ten. Give {other} values of "
        f"your own, as in Cs=np.logspace({_decades(C, other)}). {limit}"
    )


def _rise_beyond(C: Array, means: Array, *, slows: bool) -> float:
    """By how much the score may rise for a factor of ten beyond the last of two or three values of C.

    Towards no penalty, as towards the null model, the last of it goes like a power of C, by a tenth for a
    factor of ten; towards no penalty it may be slower, by the last two steps.
    """
    step = abs(np.log10(C[-1] / C[-2]))
    steps = np.diff(means)
    kept = 10.0**-step
    if slows and len(steps) > 1:
        kept = float(np.clip(steps[1] / steps[0], kept, ALL_KEPT)) if steps[0] > 0 else ALL_KEPT
    return float(steps[-1] * kept / (1 - kept) * (1 - kept ** (1 / step)))


def _decades(Cs: Array, other: str) -> str:
    """The limits of a wider grid, as far as floating point goes, for `numpy.logspace`."""
    first, last = math.floor(np.log10(Cs.min())), math.ceil(np.log10(Cs.max()))
    first, last = (max(first - 4, -307), last) if other == "smaller" else (first, min(last + 4, 307))
    return f"{first}, {last}, {2 * (last - first) + 1}"
