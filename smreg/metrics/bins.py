"""Bins of predicted probabilities, and the sums over each that all binned measures are made of.

Bins are closed on the right, ``(e_b, e_(b+1)]``, and the first one on both sides. *Equal width*
("uniform") has the edges ``b / B``. *Equal mass* ("quantile") has the inverse of the empirical distribution
function at ``b / B`` as its inner edges, for each column its own: equal probabilities are in one bin, without
ties the counts of samples of equal weight differ by at most one, and an integer weight is as good as a
repeated sample.
"""

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smreg.metrics.predictions import Events

Array = NDArray[np.floating[Any]]

BLOCK = 2**16  # probabilities of a block of rows, which stay in a processor's cache
REACHED = 1 - 2.0**-40  # share of a weight that a rounded sum must reach; integers below 2^40 are exact
BELOW = 1 - 2.0**-50  # takes a product that is rounded up to an edge below it, and none past another edge


@dataclass(frozen=True)
class Binned:
    """Means over bins: R columns of probabilities, B bins each.

    Attributes
    ----------
    edges : ndarray of shape (R, B + 1)
        From at most 0 to at least 1.
    count : ndarray of shape (R, B)
        Weight in each bin.
    probability, frequency : ndarray of shape (R, B)
        Mean predicted probability and relative frequency of the event, NaN in empty bins.
    """

    edges: Array
    count: Array
    probability: Array
    frequency: Array

    @property
    def gap(self) -> Array:
        """Frequency less probability, zero in empty bins."""
        return np.where(self.count > 0, self.frequency - self.probability, 0.0)

    @property
    def share(self) -> Array:
        """Share of each bin in the weight of its column, over the number of columns: together one."""
        return np.asarray(self.count / self.count.sum(axis=1, keepdims=True) / len(self.count))


class Binning:
    """How probabilities are put in bins.

    Parameters
    ----------
    n_bins : int
        Number B of bins.
    strategy : {"uniform", "quantile"}
        Equal width or equal mass.
    edges : array-like of shape (B + 1,) or None
        Increasing, from at most 0 to at least 1: bins that are given.
    """

    def __init__(self, n_bins: Any, strategy: Any, edges: ArrayLike | None) -> None:
        if not isinstance(n_bins, Integral) or n_bins < 1:
            raise ValueError(f"n_bins must be an integer of at least 1, got {n_bins!r}.")
        if strategy not in ("uniform", "quantile"):
            raise ValueError(f'strategy must be "uniform" or "quantile", got {strategy!r}.')
        self.uniform = edges is None and strategy == "uniform"
        self.equal_mass = edges is None and strategy == "quantile"
        self.edges = np.linspace(0, 1, int(n_bins) + 1) if edges is None else _check_edges(edges)
        self.n_bins = len(self.edges) - 1

    def means(self, events: Events, weights: NDArray[np.float64]) -> Binned:
        """Means of the events' probabilities and outcomes in each bin."""
        n_columns = events.probability.shape[1]
        sums = np.zeros((3, n_columns, self.n_bins))
        edges = np.tile(self.edges, (n_columns, 1))
        if self.uniform:
            step = max(1, BLOCK // n_columns)
            for start in range(0, len(weights), step):
                rows = slice(start, start + step)
                self._add_rows(sums, Events(*(part[rows] for part in events)), weights[rows])
        else:
            for column in range(n_columns):
                edges[column], bins = self.assign(events.probability[:, column], weights)
                probability, hits = events.probability[:, column], events.hits(column)
                for total, values in zip(sums, (np.ones_like(hits), probability, hits), strict=True):
                    total[column] = np.bincount(bins, weights * values, self.n_bins)
        count, mass, hits = sums
        with np.errstate(invalid="ignore"):
            return Binned(edges, count, mass / count, hits / count)

    def assign(self, p: Array, weights: NDArray[np.float64]) -> tuple[Array, NDArray[np.intp]]:
        """Edges for a column of probabilities, and the number of the bin of each."""
        edges = self.edges.copy()
        if self.equal_mass:
            edges[1:-1] = _quantiles(p, weights, self.n_bins)
        return edges, np.searchsorted(edges[1:-1], p)

    def _add_rows(self, sums: Array, events: Events, weights: NDArray[np.float64]) -> None:
        """Add a block of rows to the sums of weights, probabilities and outcomes in bins of equal width.

        Rows of probabilities sum to one, so that less than B of their numbers lie beyond the first bin, which
        is summed by itself: most numbers need no search.
        """
        p, outcome = events.probability.astype(np.float64, copy=False), events.outcome
        shape, size = sums[0].shape, sums[0].size
        in_first = (p <= self.edges[1]).astype(np.float64)
        beyond = np.flatnonzero(in_first.ravel() == 0)
        row, column = np.divmod(beyond, p.shape[1])
        value, weight = p.ravel()[beyond], weights[row]
        place = column * self.n_bins + self._number(value)

        def add(total: Array, first: Array, rest: Array) -> None:
            total[:, 0] += np.einsum("i,ik->k", weights, first)  # whose bits no number of threads changes
            total += np.bincount(place, rest, size).reshape(shape)

        add(sums[0], in_first, weight)
        add(sums[1], in_first * p, weight * value)
        if outcome.ndim == 2:
            add(sums[2], in_first * outcome, weight * outcome.ravel()[beyond])
        else:
            place = outcome * self.n_bins + self._number(p[np.arange(len(p)), outcome])
            sums[2] += np.bincount(place, weights, size).reshape(shape)

    def _number(self, p: Array) -> NDArray[np.intp]:
        """Number of the bin of equal width: truncation finds it, or next to an edge the one before it."""
        number = (p * (self.n_bins * BELOW)).astype(np.intp)
        return number + (p > self.edges[number + 1])


def _quantiles(p: Array, weights: NDArray[np.float64], n_bins: int) -> Array:
    """Inverse of the empirical distribution function at ``b / n_bins``, b = 1, ..., n_bins - 1.

    That is the least p up to which ``n_bins`` times the weight is ``b`` times the total: a comparison of
    integers if weights are, or if they are equal, which are counted. Sums of others are rounded.
    """
    order = np.argsort(p, kind="stable")
    ordered = weights[order]
    positive = ordered > 0
    equal = ordered.max() == ordered.min(initial=np.inf, where=positive)
    cumulative = np.cumsum(positive if equal else ordered, dtype=np.float64)
    goals = np.arange(1, n_bins) * cumulative[-1]
    reached = np.searchsorted(n_bins * cumulative, goals * REACHED)
    return np.asarray(p[order[reached]])


def _check_edges(edges: ArrayLike) -> Array:
    values = np.asarray(edges, dtype=np.float64)
    good = values.ndim == 1 and len(values) >= 2 and values[0] <= 0 and values[-1] >= 1
    if not good or not (np.diff(values) > 0).all():
        raise ValueError(
            f"edges must be an increasing 1-D array from at most 0 to at least 1, got {edges!r}."
        )
    return values
