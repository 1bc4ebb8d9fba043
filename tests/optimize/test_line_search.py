"""The length along a direction: of convex functions of one number, whose slopes say where they are least."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from smreg.optimize.line_search import LEVEL, EvaluatedLine, lowest

EPS = np.finfo(np.float64).eps


class Slopes:
    """A line that is known by its slope alone, and notes where it was asked for."""

    def __init__(self, slope, first=1.0):
        self.first, self.asked, self._slope = first, [], slope

    def slope(self, length):
        """The derivative."""
        self.asked.append(length)
        with np.errstate(all="ignore"):
            return float(self._slope(length))


def found(slope, first=1.0):
    """The length, and the slope there as a part of that at the start."""
    line = Slopes(slope, first)
    length = lowest(line, line.slope(0.0))
    with np.errstate(all="ignore"):
        return length, float(slope(length)) / -float(slope(0.0))


# -- minima that are known


@pytest.mark.parametrize("minimum", 10.0 ** np.array([-12, -6, -3, -1, 0, 1, 3, 6, 12]))
def test_of_a_parabola_the_minimum_is_found_from_any_first_length(minimum):
    """``(t / m - 1)**2 / 2``: a slope of LEVEL of the first is as far from m as LEVEL of it."""
    length, _ = found(lambda t: t / minimum - 1.0)

    assert abs(length / minimum - 1.0) <= LEVEL * (1 + 4 * EPS)


def test_a_first_length_at_which_the_slope_all_but_vanishes_is_the_length():
    """Newton's step of a quadratic: no other is tried."""
    line = Slopes(lambda t: t - 1.0)

    assert lowest(line, -1.0) == 1.0
    assert_array_equal(line.asked, [1.0])


def test_where_the_slope_does_not_fall_there_is_no_length():
    """A slope of zero at the start: whatever is tried, the length must not be beyond a positive slope."""
    assert lowest(Slopes(lambda t: t), 0.0) == 0.0


FUNCTIONS = {
    "an exponential that rises from nothing": lambda t: math.expm1(min(50 * (t - 0.01), 700)) * 1e-3,
    "one that overflows": lambda t: np.exp(1e4 * t) - 2.0,
    "one that falls to a plateau and rises": lambda t: -np.exp(-t) + np.exp(t - 40.0),
    "log cosh from far away": lambda t: np.tanh(100.0 * t - 300.0),
    "a power": lambda t: t**9 - 1e-3,
    "a barrier": lambda t: 1 / (0.3 - t) - 1 / 0.2 if t < 0.3 else math.nan,
}


@pytest.mark.parametrize("slope", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("first", [1e-6, 1e-2, 1.0])
def test_the_slope_all_but_vanishes_at_the_length(slope, first):
    length, part = found(slope, first)

    assert length > 0
    assert abs(part) <= LEVEL


# -- kinks: no length has a small slope, but one is nearly the minimum


@pytest.mark.parametrize("kink", [1e-9, 0.3, 1.0, 7.0, 1e5])
@pytest.mark.parametrize("rise", [0.5, 1.0, 1e3, math.inf, math.nan], ids="up by {:g}".format)
def test_at_a_kink_the_length_is_before_it(kink, rise):
    """After a kink the slope is too large, or none: halved again and again, the bracket's low end is left,
    where the function has fallen by nearly all that it can: to a half of the way at least, with some tens of
    halvings."""
    length, part = found(lambda t: -1.0 if t <= kink else rise)

    assert part < 0
    assert kink / 2 <= length <= kink


def test_a_small_kink_after_a_steep_fall_is_good_enough():
    """Slopes -1 and LEVEL / 2: whichever side, none is steeper than what may be left unless it falls."""
    _, part = found(lambda t: -1.0 if t <= 5.0 else LEVEL / 2)

    assert part <= LEVEL


# -- slopes that say nothing


@pytest.mark.parametrize("nothing", [math.nan, math.inf], ids=str)
def test_where_no_slope_beyond_the_start_is_a_number_there_is_no_length(nothing):
    assert lowest(Slopes(lambda t: nothing), -1.0) == 0.0


def test_of_a_function_that_falls_for_ever_the_length_is_finite_and_far():
    """It ends after some trials, each of which goes further."""
    line = Slopes(lambda t: -1.0)
    length = lowest(line, -1.0)

    assert 1e9 < length < math.inf
    assert (np.diff(line.asked) > 0).all()


# -- laws


def softplus(x):
    return np.logaddexp(0.0, x)


def logistic(x):
    return np.exp(-softplus(-x))


magnitudes = st.floats(-6, 6).map(lambda x: 10.0**x)
bends = st.lists(st.tuples(magnitudes, magnitudes, magnitudes), min_size=1, max_size=4)


@st.composite
def convex(draw):
    """``-t + a t**2 / 2`` and bends at lengths m, with widths w, by rises r of the slope; its derivative, and
    the size of its rounding.

    It is least somewhere: the slope rises above zero in the end.
    """
    quadratic, bent = draw(magnitudes), draw(bends)

    def value(t):
        rises = [
            r * (w * (softplus((t - m) / w) - softplus(-m / w)) - t * logistic(-m / w)) for m, w, r in bent
        ]
        return -t + quadratic * t**2 / 2 + sum(rises)

    def rounding(t):
        return 2.0**-46 * (t + quadratic * t**2 + sum(r * (t + m + w) for m, w, r in bent))

    def slope(t):
        return -1.0 + quadratic * t + sum(r * (logistic((t - m) / w) - logistic(-m / w)) for m, w, r in bent)

    return value, slope, rounding


@given(convex(), magnitudes.filter(lambda x: x <= 1))
def test_the_length_is_finite_and_its_slope_not_above_the_level(function, first):
    """Where it is not positive the function, zero at the start, has fallen, but for rounding."""
    value, slope, rounding = function
    length, part = found(slope, first)

    assert 0 < length < math.inf
    assert part <= LEVEL
    assert part > 0 or value(length) <= rounding(length)


@given(convex(), magnitudes.filter(lambda x: x <= 1))
def test_the_slope_at_the_length_is_within_the_level_of_zero(function, first):
    """The slope is smooth: a bracket that is halved holds lengths where it is small, unless the bend is as
    narrow as their rounding, which the widths here do not allow but for a minimum at 2**40 of them."""
    _, slope, _ = function
    length, part = found(slope, first)

    assert abs(part) <= LEVEL or slope(length * (1 + 2.0**-30)) > 0


@given(convex(), st.integers(-30, 30))
def test_the_unit_of_the_function_changes_no_bit(function, exponent):
    """All comparisons are of ratios of slopes, and powers of two round nothing."""
    _, slope, _ = function

    assert found(lambda t: 2.0**exponent * slope(t))[0] == found(slope)[0]


# -- lines by evaluations


def counted(calls):
    def function(x):
        calls.append(x)
        return float(x @ x) / 2, x

    return function


def test_a_line_by_evaluations_has_the_function_s_slope_value_and_gradient():
    """Exact in small integers; what was evaluated last is not evaluated again."""
    calls = []
    x, step = np.array([1.0, -2.0, 3.0]), np.array([-1.0, 0.0, 2.0])
    line = EvaluatedLine(counted(calls), x, step)

    assert line.first == 1.0
    assert line.slope(2.0) == (x + 2 * step) @ step
    value, gradient, known = line.point(2.0)
    assert value == (x + 2 * step) @ (x + 2 * step) / 2
    assert_array_equal(gradient, x + 2 * step)
    assert known is None
    assert len(calls) == 1
    line.slope(1.0)
    assert len(calls) == 2
