"""Factors are as few as there are, and a penalty is zero only where one of strength and factor is."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from smreg.objective.factors import Factors
from smreg.objective.penalty import LARGEST

INF = np.inf


def test_equal_factors_are_a_number():
    for given in (None, np.ones(3), np.ones((4, 3))):
        assert Factors.of(given) == Factors(1.0)
    assert Factors.of(np.zeros(3)).is_zero
    assert not Factors.of(np.array([1.0, 1.0, INF])).is_uniform


def test_rows_that_are_alike_are_one():
    made = Factors.of(np.tile([1.0, 0.0, INF], (3, 1)))

    assert_array_equal(made.values, [1.0, 0.0, 1.0])
    assert_array_equal(made.resting, [False, False, True])
    assert made.held is None
    assert_array_equal(made.free, [1])


def test_what_is_held_in_some_rows_has_an_infinite_l1_penalty():
    made = Factors.of(np.array([[1.0, INF, 2.0], [INF, INF, 0.0]]))
    penalty = made.penalty(1.0, 0.5)

    assert_array_equal(made.resting, [False, True, False])
    assert_array_equal(np.isinf(penalty.l1), [[False, False, False], [True, False, False]])
    assert_array_equal(penalty.ridge[:, 2], [1.0, 0.0])
    assert_array_equal(made.unpenalised, [[False, False, False], [False, False, True]])
    assert penalty.value(np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 5.0]])) == 0.25 + 0.5 + 0.5 + 1.0


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_a_penalty_neither_vanishes_nor_overflows_by_rounding(l1_ratio):
    factors = Factors.of(np.array([0.0, 1e-200, 1e200]))

    weak, strong = factors.penalty(1e-200, l1_ratio), factors.penalty(1e200, l1_ratio)
    assert_array_equal(weak.ridge > 0, [False, True, True])
    assert_array_equal(np.broadcast_to(weak.l1, 3) > 0, [False, l1_ratio > 0, l1_ratio > 0])
    assert strong.ridge.max() == LARGEST
    assert factors.penalty(0.0, l1_ratio).is_zero


def test_sizes_over_factors_leave_out_what_has_none_or_is_held():
    made = Factors.of(np.array([[4.0, 0.0, INF], [1.0, 2.0, 4.0]]))

    assert_array_equal(made.over(np.ones((2, 3))), [[0.25, 0.0, 0.0], [1.0, 0.5, 0.25]])
    assert_array_equal(made.over(np.ones((2, 3)), 0.5)[:, 0], [0.5, 1.0])
    assert_array_equal(made.largest, [4.0, 2.0, 4.0])
    assert_array_equal(Factors.of(np.array([4.0, 0.0, INF])).units, [0.5, 0.0, 0.0])
