"""Sums of the weights: of all rows, of each class, and relative to the largest."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smreg.data.block import Block
from smreg.data.rows import Rows
from smreg.data.targets import Targets

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tally:
    """Sums of the weights.

    Attributes
    ----------
    largest : float
        Largest weight: the others are relative to it, so that no sum overflows.
    total : float
        Sum of the relative weights.
    mass : ndarray of shape (K,)
        That of each class.
    n_used : int
        Rows of positive weight.
    """

    largest: float
    total: float
    mass: Array
    n_used: int

    def __add__(self, other: "Tally") -> "Tally":
        """The sums of both."""
        largest = max(self.largest, other.largest)
        ours, theirs = (part.largest / largest if largest > 0 else 0.0 for part in (self, other))
        total, mass = ours * self.total + theirs * other.total, ours * self.mass + theirs * other.mass
        return Tally(largest, total, mass, self.n_used + other.n_used)


def tally(rows: Rows) -> Tally:
    """Sum the weights, in one pass unless the sums are known."""
    return rows.map_reduce(tallied, rows.n_classes) if rows.tally is None else rows.tally


def tallied(block: Block, n_classes: int) -> Tally:
    """Those of a block."""
    largest = float(block.weights.max(initial=0.0))
    weights = block.weights / largest if largest > 0 else block.weights
    mass = Targets(np.arange(n_classes), block.target).mass(weights)
    return Tally(largest, float(weights.sum()), mass, int(np.count_nonzero(weights)))
