"""Which combinations of columns are zero, where there is no penalty."""

import numpy as np
import pytest
from scipy import sparse

from smreg.data.matrix import MatrixRows
from smreg.data.targets import Targets
from smreg.fit.regression import Problem


def number_of_columns_sought(X, y):
    """Those that are not left out of an unpenalised search as determined by others."""
    targets = Targets(np.unique(y), y)
    problem = Problem(MatrixRows(X, targets, np.ones(len(y))), fit_intercept=True, largest_C=np.inf)
    return np.count_nonzero(problem.objective(problem.penalty(np.inf)).coordinates.spread)


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("seed", range(8))
def test_all_that_are_determined_are_left_out_though_they_lie_a_million_spreads_from_zero(storage, seed):
    """Five kinds of rows leave four columns. The rounding of the means is no combination of its own."""
    rng = np.random.default_rng(seed)
    kinds = np.round(3 * rng.normal(size=(5, 35))) + 2.0**21 * rng.integers(-1, 2, 35)
    X, y = np.tile(kinds, (8, 1)), np.arange(40) // 10

    assert number_of_columns_sought(storage(X), y) == 4
