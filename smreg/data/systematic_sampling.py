"""Systematic sampling: the rows that equally spaced thresholds meet on the cumulative mass.

A store in parts draws the same rows part by part, as the thresholds of each follow from the masses of all.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Met:
    """Rows that were met by thresholds.

    Attributes
    ----------
    index : ndarray of int of shape (m,)
        Their numbers.
    factors : ndarray of shape (m,)
        Of their weights.
    """

    index: NDArray[np.intp]
    factors: Array


def met_by_thresholds(mass: Array, size: int) -> Met:
    """Rows met by equally spaced thresholds on the cumulative mass, which is positive and finite."""
    step = float(mass.sum()) / size
    return met_from(mass, step, 0.5 * step, size)


def met_from(mass: Array, step: float, first: float, count: int) -> Met:
    """Rows met by so many thresholds, from the first one on, a step apart."""
    used = np.flatnonzero(mass)
    if len(used) == 0:
        return Met(used, np.empty(0))
    met = np.searchsorted(np.cumsum(mass), first + step * np.arange(count))
    index, times = np.unique(np.clip(met, used[0], used[-1]), return_counts=True)
    return Met(index, times * (step / mass[index]))


def thresholds_of_parts(totals: Array, size: int) -> list[tuple[float, float, int]]:
    """Step, first and number of the thresholds in each part of the rows, by its mass: see `met_from`."""
    starts, step = np.cumsum(totals) - totals, float(totals.sum()) / size
    first = np.clip(np.ceil(starts / step - 0.5), 0, size).astype(int)
    counts = np.diff(first, append=size)
    return list(zip([step] * len(first), (first + 0.5) * step - starts, counts.tolist(), strict=True))
