"""A penalty has the same value in the units of X and in coordinates, and says what it is."""

import numpy as np
import pytest

from smreg.data.statistics import ColumnStatistics
from smreg.objective.coordinates import Coordinates, contrasts, reference_coding, symmetric_coding
from smreg.objective.penalty import Penalty

P = 4
EPS = np.finfo(np.float64).eps


def factors(shape, rng):
    return rng.uniform(0.0, 2.0, shape)


@pytest.mark.parametrize(
    ("coding", "shape"),
    [(reference_coding(), P), (contrasts(3), P), (contrasts(3), ()), (symmetric_coding(3), (3, P))],
)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_a_penalty_within_coordinates_has_the_value_of_that_of_the_coefficients(
    coding, shape, fit_intercept, rng
):
    """To the rounding of a sum of 24 terms. The L1 term is one of coefficients, not of contrasts."""
    columns = ColumnStatistics(rng.normal(size=P), 10.0 ** rng.uniform(-3, 3, P), np.zeros(P))
    coordinates = Coordinates.standardising(columns, coding, fit_intercept=fit_intercept)
    phi = rng.normal(size=coordinates.shape)
    coef, _ = coordinates.coefficients(phi.ravel(), np.zeros(P))
    is_coded = coding.shape == (3, 2)
    penalty = Penalty(factors(shape, rng), 0.0 if is_coded else factors(shape, rng))

    assert penalty.within(coordinates).value(phi) == pytest.approx(penalty.value(coef), rel=100 * EPS)


def test_a_penalty_says_what_it_is(rng):
    for_features, for_all = factors(P, rng), factors((3, P), rng)

    assert Penalty().is_zero
    assert Penalty(np.zeros(P)).is_zero
    assert not Penalty(0.0, 1.0).is_zero
    assert Penalty(for_all).is_smooth
    assert not Penalty(1.0, for_features).is_smooth
    assert Penalty(1.0, 2.0).is_uniform
    assert not Penalty(1.0, for_features).is_uniform
    assert Penalty(for_features, 1.0).is_shared
    assert not Penalty(for_all).is_shared


def test_no_penalty_overflows_within_coordinates():
    """Units of 1e-300 make squares of the largest factors infinite: they are cut."""
    columns = ColumnStatistics(np.zeros(1), np.array([1e-300]), np.zeros(1))
    coordinates = Coordinates.standardising(columns, contrasts(3), fit_intercept=True)
    within = Penalty(1e300, 1e300).within(coordinates)

    assert np.isfinite(within.ridge).all()
    assert np.isfinite(within.l1).all()
