"""Systematic sampling: which rows the thresholds meet."""

import numpy as np
from numpy.testing import assert_array_equal

from smreg.data.systematic_sampling import met_from


def test_a_threshold_at_the_start_of_a_part_meets_its_first_row_of_positive_mass():
    """And not one without weight before it, which would stand for its like with an infinite factor."""
    met = met_from(np.array([0.0, 1.0, 1.0]), 1.0, 0.0, 2)

    assert_array_equal(met.index, [1])
    assert_array_equal(met.factors, [2.0])
    assert len(met_from(np.zeros(3), 1.0, 0.0, 2).index) == 0
