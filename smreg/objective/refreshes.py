r"""Preconditioners that are made anew as a search moves on, and what they cost.

There are two kinds, from the cheaper to the more exact: the blocks of the classes, and the Hessian (see
`smreg.objective.information`). Each is made of all rows, of which those that are all but certain of their
class cost next to nothing, or of a sample of them, whichever costs less (see `smreg.objective.sampling`).
Where a sample has few rows for the coordinates, it is drawn in the metric of the one before, too.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from smreg.data.kernels import Kept
from smreg.objective.costs import ELEMENTWISE, MIN_ROWS, NO_COST, SPEED, evaluation_cost, fits, sample_size
from smreg.objective.cross_entropy import Objective
from smreg.objective.information import NEGLIGIBLE, class_metric, hessian, identified
from smreg.objective.sampling import DIRECTIONS, ClassVariances, RowSampler
from smreg.optimize.metric import DenseMetric, Metric

Array = NDArray[np.float64]

UNCERTAIN = 4.0  # times the sum of the classes' variances: about the share of informative rows and pairs
ROWS_PER_COORDINATE = 256  # of a preconditioner, at most
FEW_ROWS = 4  # for each coordinate, and part of all: with fewer it matters most which they are


@dataclass
class Share:
    """Share of the rows and pairs of classes that are informative: the smaller, the better the fit.

    Attributes
    ----------
    known : float
        The share where it was known last.
    value : float
        The objective there.
    is_measured : bool
        Whether it was measured, not estimated.
    """

    known: float
    value: float
    is_measured: bool = False

    def at(self, value: float) -> float:
        """The share where the objective has that value."""
        return self.known * value / self.value if value < self.value else self.known

    def estimate(self, totals: Array, value: float) -> None:
        """By the sums of the variances of all classes, where it has not been measured."""
        if not self.is_measured:
            self.known, self.value = min(UNCERTAIN * float(totals.sum()), 1.0), value

    def measure(self, share: float, value: float) -> None:
        """As it was for all rows."""
        self.known, self.value, self.is_measured = share, value, True


class Refresh:
    """A kind of preconditioner that is made anew as the search moves on.

    Parameters
    ----------
    objective : Objective
        To be minimised.
    sampler : callable
        Makes the sampler of rows, where there are too many for all of them.
    share : Share
        That of the rows that matter, which all kinds know.
    is_hessian : bool
        Whether the preconditioner is the Hessian, but for sampling, so that the norm of the gradient in it is
        to be believed; else it has the blocks of the classes.
    """

    def __init__(
        self, objective: Objective, sampler: Callable[[], RowSampler], share: "Share", *, is_hessian: bool
    ) -> None:
        self.objective, self.sampler, self.share, self.is_hessian = objective, sampler, share, is_hessian
        self._last = list[Metric | DenseMetric]()
        n_blocks, width = objective.shape
        self._n_blocks, self._size = (1, n_blocks * width) if is_hessian else (n_blocks, width)
        self._n_drawn = self._n_rows  # of these several may be one, so that it falls to those of the last

    def cost(self, value: float) -> float:
        """What it costs where the objective has that value, in evaluations."""
        factors = (1 if self.is_hessian else 2) * self._n_blocks * self._size**3 / 3
        operations = min(self._of_all(value), self._of_sample) + factors
        return float(1 + operations / self._evaluation) if operations > NO_COST else 0.0

    @cached_property
    def _evaluation(self) -> float:
        """Operations that take as long as an evaluation, of which the least takes some 50 microseconds."""
        return max(SPEED * evaluation_cost(self.objective), NO_COST / 8)

    @cached_property
    def _per_row(self) -> float:
        """Operations for a row that is informative on all pairs of classes."""
        elements = ELEMENTWISE * len(self.objective.coordinates.contrasts) * self.objective.shape[1]
        return float(self._n_blocks * self._size**2 + elements)

    def _of_all(self, value: float) -> float:
        """Operations for all rows: the fewer, the more rows are certain of their class."""
        pairs = ELEMENTWISE * len(self.objective.coordinates.contrasts) ** 2 / 2
        return self.objective.rows.n_samples * (self.share.at(value) * self._per_row + pairs)

    @cached_property
    def _n_rows(self) -> int:
        """Rows in a sample."""
        enough = ROWS_PER_COORDINATE * self.objective.shape[0] * self.objective.shape[1]
        return min(sample_size(self.objective, self._per_row), max(enough, MIN_ROWS))

    @property
    def _of_sample(self) -> float:
        """Operations for a sample."""
        if self._n_rows == self.objective.rows.n_samples:
            return math.inf
        return self._n_drawn * self._per_row + (1 + self._is_few * DIRECTIONS / 2) * self._evaluation

    @cached_property
    def _is_few(self) -> bool:
        """Whether the sample is so small that it matters most which rows it has."""
        size = self.objective.shape[0] * self.objective.shape[1]
        return self._n_rows < min(self.objective.rows.n_samples / FEW_ROWS, FEW_ROWS * size)

    def __call__(
        self,
        phi: Array,
        value: float,
        logits: Kept[Array] | None = None,
        *,
        complete: bool = False,
        exact: bool = False,
    ) -> Metric | DenseMetric:
        """The preconditioner at a point, where logits may be known.

        A complete one leaves out nothing for being small, and an exact one is of all rows.
        """
        rows = None
        is_sampled = self._of_sample < self._of_all(value) and not exact
        if is_sampled:
            variances = ClassVariances(self.objective, phi, logits)
            nearby = self._last[-1] if self._is_few and self._last else None
            rows = self.sampler()(variances, self._n_rows, metric=nearby)
            self._n_drawn = rows.n_samples
            self.share.estimate(variances.totals, value)
        made: Metric | DenseMetric
        leaves_out = not (complete or is_sampled or exact or self._of_all(math.inf) <= NO_COST)
        negligible = NEGLIGIBLE if leaves_out else 0.0
        if self.is_hessian:
            matrix, share = hessian(self.objective, phi, rows, negligible)
            made = DenseMetric(
                identified(self.objective, matrix), is_hessian=rows is None and negligible == 0
            )
        else:
            made, share = class_metric(self.objective, phi, rows, negligible)
        if leaves_out or complete:
            self.share.measure(share, value)
        self._last[:] = [] if rows is None else [made]
        return made


def refreshes(objective: Objective, sampler: Callable[[], RowSampler]) -> list[Refresh]:
    """The kinds of preconditioner that memory allows, from the cheapest to the most exact."""
    K, width = objective.shape
    has_one_block = objective.coordinates.has_reference
    made, share = list[Refresh](), Share(1.0, 0.0)
    if not has_one_block and fits(objective, K * width**2):
        made.append(Refresh(objective, sampler, share, is_hessian=False))
    if fits(objective, (1 if has_one_block else 3) * (K * width) ** 2):
        made.append(Refresh(objective, sampler, share, is_hessian=True))
    return made
