"""What an evaluation costs, and what may be spent on a preconditioner: the one cost model."""

import numpy as np
from numpy.typing import NDArray

from smreg.objective.cross_entropy import Objective

Array = NDArray[np.float64]

MAX_BYTES = 2**28  # for the factors of a metric: 256 MiB
MAX_DENSE_SPARSE = 1000  # columns of a sparse X, whose evaluations cost less than factors of that size
# Operations take two thirds as long in a large matrix product as in an evaluation, whose products are thin.
# The exponential of a logit takes as long as some 32 more features, and a number for each class and feature
# of a row, made for a product, as 128 operations of it.
SPEED = 1.5
EXPONENTIAL = 32
ELEMENTWISE = 128
NO_COST = 2**22  # operations: some tenths of a millisecond
# A sample has the rows that this many evaluations pay for, but enough of them: a covariance estimated
# from r rows for each dimension has its eigenvalues within a factor of (1 +- r**-0.5)**2.
SAMPLE_EVALUATIONS = 4
ROWS_PER_COLUMN = 16
MIN_ROWS = 1024


def sample_size(objective: Objective, per_row: float) -> int:
    """Rows to sample, at a cost of `per_row` operations each; all if there are no more, or no sample."""
    if not objective.rows.can_sample:
        return objective.rows.n_samples
    rows = SAMPLE_EVALUATIONS * SPEED * evaluation_cost(objective) / max(per_row, 1)
    rows = max(rows, ROWS_PER_COLUMN * objective.shape[1], MIN_ROWS)
    return int(min(rows, objective.rows.n_samples))


def evaluation_cost(objective: Objective) -> float:
    """Operations of an evaluation of the objective.

    Rows count to the nearest power of two, so that a weight, its repetitions and a few rows more or less
    take the same path.
    """
    n_samples = 2.0 ** round(np.log2(objective.rows.n_samples))
    per_class = objective.rows.numbers_per_row + EXPONENTIAL
    return float(4.0 * n_samples * len(objective.coordinates.contrasts) * per_class)


def fits(objective: Objective, numbers: int) -> bool:
    """Whether a metric with so many numbers keeps within the bounds of memory and of cost."""
    if not objective.rows.stores_zeros and objective.rows.n_features > MAX_DENSE_SPARSE:
        return False
    return 8 * numbers <= MAX_BYTES
