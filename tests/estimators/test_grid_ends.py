"""Of a best candidate at an end of the grid is warned where the score still rises there, and only there."""

import re

import numpy as np
import pytest

from smreg.estimators.grid_ends import warn_of_an_end


def ends_at(means, errors=0.0, l1_ratio=0.0):
    """Scores of four candidates a factor of a hundred apart."""
    scores = {"C": np.logspace(-2, 4, 4), "l1_ratio": np.full(4, l1_ratio), "mean": np.array(means)}
    scores["standard_error"] = np.full(4, errors)
    warn_of_an_end(scores, int(np.argmax(means)), stacklevel=1)


def test_a_score_that_still_rises_at_the_end_of_the_grid_is_warned_of():
    """Of steps over two decades that rise alike, half for a factor of ten."""
    with pytest.warns(UserWarning, match=r"1e\+04, is the largest .* by 0.05 .*logspace\(-2, 8, 21\)"):
        ends_at([-0.5, -0.4, -0.3, -0.2])
    with pytest.warns(UserWarning, match=r"0.01, is the smallest .* by 0.0091 .*logspace\(-6, 4, 21\)"):
        ends_at([-0.2, -1.2, -1.3, -1.4])


def test_after_a_step_of_many_decades_nothing_is_said_of_what_is_beyond():
    C, rising = np.logspace(-6, 3, 4), np.array([-9.0, -9.0, -7.0, -0.2])
    for best, means, match in [
        (3, rising, r"1e\+03, is the largest .* 3\.0 decades.* Cs=np\.logspace\(0, 3, 7\)"),
        (0, rising[::-1], r"1e-06, is the smallest .* 3\.0 decades.* Cs=np\.logspace\(-6, -3, 7\)"),
    ]:
        scores = {"C": C, "l1_ratio": np.zeros(4), "mean": means, "standard_error": np.zeros(4)}
        with pytest.warns(UserWarning, match=match) as warned:
            warn_of_an_end(scores, best, stacklevel=1)
        assert "rises" not in str(warned[0].message)


def test_the_wider_grid_that_is_advised_ends_where_floating_point_does():
    C = np.array([1e-306, 1e-304, 1e304, 1e306])
    for means, limits in [([-0.5, -0.4, -0.3, -0.2], r"-306, 307"), ([-0.2, -1.2, -1.3, -1.4], r"-307, 306")]:
        scores = {"C": C, "l1_ratio": np.zeros(4), "mean": np.array(means), "standard_error": np.zeros(4)}
        with pytest.warns(UserWarning, match=rf"still rises there.* Cs=np\.logspace\({limits},"):
            warn_of_an_end(scores, int(np.argmax(means)), stacklevel=1)


def test_a_rise_that_dies_away_is_reckoned_by_the_power_that_it_follows():
    """``m(C) = -C**-k``: from C to 10 C it rises by ``C**-k (1 - 10**-k)``, for powers up to one."""
    C = np.logspace(-2, 4, 4)
    for power in (0.2, 0.5, 1.0):
        rise = 1e4 * C[-1] ** -power * (1 - 10**-power)
        with pytest.warns(UserWarning, match=re.escape(f"by {rise:.2g} for")):
            ends_at(-1e4 * C**-power)


def test_a_score_that_rises_by_a_thousandth_or_a_tenth_of_its_error_a_decade_is_not_warned_of():
    """Nor where the best is inside: warnings are errors here."""
    ends_at([-0.5, -0.4, -0.3, -0.29])
    ends_at([-0.5, -0.4, -0.3, -0.2], errors=0.51)
    ends_at([-0.5, -0.2, -0.3, -0.4])
    ends_at([-0.2, -0.3, -0.4, -0.5])


def test_where_a_lasso_begins_with_no_feature_there_is_nothing_below_it():
    """All coefficients are zero at the smallest C already: warnings are errors here."""
    ends_at([-0.2, -1.2, -1.3, -1.4], l1_ratio=1.0)
