"""The temperature that fits, its uncertainty, its limits; and what is not accepted."""

import dataclasses
import warnings

import mpmath
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory import peak_of
from numpy.testing import assert_allclose
from problems import labels
from scipy import optimize, stats
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from smreg import cross_entropy, log_softmax, softmax
from smreg.temperature.equations import TemperatureFamily, maximum
from smreg.temperature.scaling import fit_temperature

CRITICAL = stats.chi2.ppf(0.95, 1)


def scaled(rng, n=400, n_classes=4, temperature=2.0):
    """Logits that are too large by a factor, and their labels."""
    z = 2 * rng.normal(size=(n, n_classes))
    return temperature * z, labels(z, rng)


def loss(logits, y, beta, weights=None):
    """Mean cross-entropy of one-hot or soft targets at an inverse temperature."""
    t = np.eye(logits.shape[1])[y] if np.ndim(y) == 1 else y
    return np.average(cross_entropy(t, beta * logits), weights=weights)


def slope(logits, y, beta, weights=None):
    """Derivative of that loss, ``E_p[z] - <z, t>``."""
    t = np.eye(logits.shape[1])[y] if np.ndim(y) == 1 else y
    return np.average(((softmax(beta * logits) - t) * logits).sum(axis=1), weights=weights)


def assert_same_fit(one, other, **tolerance):
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name == "limit":
            assert a == b
        elif field.name != "evaluations":
            assert_allclose(a, b, err_msg=field.name, **tolerance)


@pytest.mark.parametrize("n_classes", [2, 3, 30])
@pytest.mark.parametrize("factor", [1e-3, 0.3, 1.0, 3.0, 1e3])
def test_the_slope_vanishes_at_the_temperature(rng, n_classes, factor):
    """To 1e-8 of itself the temperature is solved for 1e-9 (EXACT): a factor of ten is left for what the
    estimate of the last step's error leaves out."""
    z, y = scaled(rng, n_classes=n_classes, temperature=factor)
    beta = 1 / fit_temperature(z, y).temperature

    best = optimize.brentq(lambda b: slope(z, y, b), beta / 2, 2 * beta, xtol=1e-14 * beta, rtol=1e-14)
    assert beta == pytest.approx(best, rel=1e-8)


def test_the_temperature_is_that_of_forty_digits(rng):
    """Values of both are exact to rounding of sums of 50 terms; only the last step is cut, at 1e-9."""
    z, y = scaled(rng, n=50)
    with mpmath.workdps(40):
        rows = [[mpmath.mpf(float(x)) for x in row] for row in z]

        def derivative(beta):
            total = mpmath.mpf(0)
            for row, k in zip(rows, y, strict=True):
                e = [mpmath.exp(beta * x) for x in row]
                total += mpmath.fdot(e, row) / sum(e) - row[k]
            return total

        best = 1 / mpmath.findroot(derivative, (0.3, 0.7))
    assert fit_temperature(z, y).temperature == pytest.approx(float(best), rel=1e-8)


def test_the_standard_error_is_that_of_the_losses_curvature(rng):
    """``1 / sqrt(S l''(beta))`` and ``dT = -T^2 dbeta``. The curvature is a series of first order from a
    point at most 2e-3 of beta away, where a step's error is 1e-9 by its cube: off by that squared, with a
    factor of two for its coefficient."""
    z, y = scaled(rng)
    fit = fit_temperature(z, y)
    beta, h = 1 / fit.temperature, 1e-4
    curvature = (slope(z, y, beta + h) - slope(z, y, beta - h)) / (2 * h)

    assert fit.standard_error == pytest.approx(fit.temperature**2 / np.sqrt(len(y) * curvature), rel=1e-5)


def test_losses_and_likelihood_ratio_are_those_of_the_definition(rng):
    """Sums of 400 terms are exact to some 1e-14."""
    z, y = scaled(rng)
    fit = fit_temperature(z, y)

    assert fit.log_loss_before == pytest.approx(log_loss(y, softmax(z)), rel=1e-13)
    assert fit.log_loss_after == pytest.approx(log_loss(y, softmax(z, fit.temperature)), rel=1e-13)
    assert fit.statistic == pytest.approx(2 * 400 * (fit.log_loss_before - fit.log_loss_after), rel=1e-13)
    assert fit.p_value == pytest.approx(stats.chi2.sf(fit.statistic, 1), rel=1e-13)


@pytest.mark.parametrize("n", [30, 400, 5000])
def test_at_the_intervals_ends_the_likelihood_ratio_is_critical(rng, n):
    """Ends are within 1e-6 of a width (CLOSE), and the ratio is a square of the distance: twice that, and as
    much again for what the estimated error leaves out."""
    z, y = scaled(rng, n=n)
    fit = fit_temperature(z, y)

    for end in fit.confidence_interval:
        ratio = 2 * n * (loss(z, y, 1 / end) - fit.log_loss_after)
        assert ratio == pytest.approx(CRITICAL, rel=4e-6)


def test_the_intervals_agree_where_there_are_many_samples(rng):
    """Both are 1.96 standard errors away; the profile's bends by ``1.96^2 / sqrt(n)`` times a skewness of
    order one."""
    fit = fit_temperature(*scaled(rng, n=40_000))
    distances = np.subtract([fit.confidence_interval, fit.wald_interval], fit.temperature)

    assert_allclose(distances / fit.standard_error, [[-1.96, 1.96]] * 2, atol=1.96**2 / np.sqrt(40_000))


def test_the_interval_covers_the_truth_at_its_level():
    """Of 1000 samples of 500, 95 % within 93 and 97: three standard deviations of the binomial count."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(1000):
        low, high = fit_temperature(*scaled(rng, n=500, n_classes=3)).confidence_interval
        covered += low <= 2.0 <= high

    assert 930 <= covered <= 970


@pytest.mark.parametrize("n_classes", [3, 10])
def test_the_temperature_is_the_inverse_of_scikit_learns(rng, n_classes):
    """Their search sees the loss alone: it is exact to the root of the loss's rounding, 1e-8, over the root
    of its curvature."""
    X = rng.normal(size=(3000, 4))
    y = labels(X @ rng.normal(size=(4, n_classes)), rng)
    model = LogisticRegression().fit(X[:1000], y[:1000])
    theirs = CalibratedClassifierCV(FrozenEstimator(model), method="temperature", cv=2).fit(X, y)
    beta = theirs.calibrated_classifiers_[0].calibrators[0].beta_

    assert fit_temperature(model.decision_function(X), y).temperature == pytest.approx(1 / beta, rel=1e-6)


def test_with_two_classes_scikit_learns_inverse_temperature_is_half_of_ours(rng):
    """They take the decision values as logits of both classes, with both signs."""
    X = rng.normal(size=(3000, 4))
    y = labels(X @ rng.normal(size=(4, 2)), rng)
    model = LogisticRegression().fit(X[:1000], y[:1000])
    theirs = CalibratedClassifierCV(FrozenEstimator(model), method="temperature", cv=2).fit(X, y)
    beta = theirs.calibrated_classifiers_[0].calibrators[0].beta_

    assert fit_temperature(model.decision_function(X), y).temperature == pytest.approx(
        1 / (2 * beta), rel=1e-6
    )


@given(exponent=st.integers(-60, 60), seed=st.integers(0, 1000))
def test_multiplying_the_logits_multiplies_the_temperature(exponent, seed):
    """By a power of two all numbers but beta are the same but for exponents; the search begins elsewhere, so
    that they agree as two searches do: to twice 1e-9 for T, to twice 1e-6 widths for the ends, and to a
    series of first order for the standard error, as above."""
    z, y = scaled(np.random.default_rng(seed), n=60)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, other = fit_temperature(z, y), fit_temperature(z * 2.0**exponent, y)

    assert other.temperature * 2.0**-exponent == pytest.approx(one.temperature, rel=4e-9)
    assert other.standard_error * 2.0**-exponent == pytest.approx(one.standard_error, rel=1e-5)
    assert_allclose(
        np.multiply(other.confidence_interval, 2.0**-exponent), one.confidence_interval, rtol=4e-6
    )


def test_adding_a_constant_to_rows_changes_nothing(rng):
    """Multiples of 1/8 below 2^10: the sums and differences are exact, bit for bit."""
    z = rng.integers(-64, 65, size=(200, 5)) / 8
    y = labels(z / 8, rng)
    shifts = rng.integers(-1000, 1000, size=(200, 1)) / 8

    assert fit_temperature(z, y) == fit_temperature(z + shifts, y)


def test_permuting_the_classes_changes_nothing(rng):
    """Sums over classes in another order: rounding."""
    z, y = scaled(rng)
    order = np.array([2, 0, 3, 1])

    assert_same_fit(fit_temperature(z, y), fit_temperature(z[:, order], np.argsort(order)[y]), rtol=1e-12)


@pytest.mark.parametrize(
    "names", [["d", "c", "b", "a"], [0, 10, 20, 30], [1, 2, 3, 4], [-1.0, 0.0, 1.0, 7.0]]
)
def test_labels_are_names(rng, names):
    z, y = scaled(rng)
    renamed = np.array(names)[y]
    column = np.argsort(names)

    assert fit_temperature(z[:, column], renamed) == fit_temperature(z[:, column], np.argsort(column)[y])
    assert fit_temperature(z, renamed, classes=names) == fit_temperature(z, y)


def test_labels_that_are_no_numbers_from_zero_do_not_determine_which_column_has_none(rng):
    z, y = scaled(rng)
    z, y = z[y != 1], y[y != 1]

    for labels_of_three in (y + 1, y[y > 0], y == 2, (y + 1).astype(float)):
        with pytest.raises(ValueError, match=r"logits have 4 columns.*classes="):
            fit_temperature(z[: len(labels_of_three)], labels_of_three)
    assert fit_temperature(z, y + 1, classes=[1, 2, 3, 4]) == fit_temperature(z, y)
    assert fit_temperature(z, y.astype(float)) == fit_temperature(z, y)


def test_a_class_without_labels_is_found_by_its_number_or_its_name(rng):
    z, y = scaled(rng)
    z, y = z[y != 1], y[y != 1]
    names = np.array(["a", "b", "c", "d"])

    assert fit_temperature(z, y) == fit_temperature(z, names[y], classes=names)
    assert slope(z, y, 1 / fit_temperature(z, y).temperature) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_one_column_is_the_second_class_against_the_first(rng, shape):
    """Differences from zero are exact, bit for bit."""
    z, y = scaled(rng, n_classes=2)
    difference = z[:, 1] - z[:, 0]
    both = np.column_stack([np.zeros(len(y)), difference])

    assert fit_temperature(difference.reshape(shape), y == 1) == fit_temperature(both, y)


def test_integer_weights_are_repetitions(rng):
    """Sums in another order: rounding."""
    z, y = scaled(rng)
    weights = rng.integers(0, 4, len(y))
    repeated = np.repeat(np.arange(len(y)), weights)

    assert_same_fit(
        fit_temperature(z, y, sample_weight=weights),
        fit_temperature(z[repeated], y[repeated]),
        rtol=1e-11,
    )


def test_soft_targets_weigh_labels(rng):
    """A soft target is each label with its probability as weight, that counts no samples: rounding."""
    z, _ = scaled(rng, n=100)
    t = softmax(rng.normal(size=(100, 4)))
    each = np.repeat(np.arange(100), 4)

    soft = fit_temperature(z, t)
    with pytest.warns(UserWarning, match="sums to 100 over 400 samples"):
        labelled = fit_temperature(z[each], np.tile(np.arange(4), 100), sample_weight=t.ravel())
    assert_same_fit(soft, labelled, rtol=1e-11)


@pytest.mark.parametrize("weights", [np.full(400, 1 / 400), np.linspace(0.01, 0.99, 400)])
def test_weights_that_count_no_samples_are_warned_of_and_change_no_temperature(rng, weights):
    """But by the rounding of weights that are multiplied to a mean of one, as the warning says."""
    z, y = scaled(rng)
    with pytest.warns(UserWarning, match=r"sample_weight sums to .* over 400 samples.*frequency.*sampling"):
        warned = fit_temperature(z, y, sample_weight=weights)
    normalised = fit_temperature(z, y, sample_weight=weights / weights.mean())

    assert warned.temperature == pytest.approx(normalised.temperature, rel=4e-9)
    assert np.ptp(warned.confidence_interval) > np.ptp(normalised.confidence_interval)


def test_soft_targets_of_a_temperature_give_it_back(rng):
    """The slope vanishes at once for every sample; T is exact to 1e-9."""
    z = rng.normal(size=(50, 4))

    fit = fit_temperature(z, softmax(z, 2.5))
    assert fit.temperature == pytest.approx(2.5, rel=1e-8)


def test_named_columns_of_soft_targets_go_with_the_classes(rng):
    z = rng.normal(size=(100, 3))
    t = pd.DataFrame(softmax(z + rng.normal(size=z.shape)), columns=["b", "c", "a"])

    assert_same_fit(
        fit_temperature(z, t, classes=["b", "c", "a"]), fit_temperature(z, t.to_numpy()), rtol=1e-12
    )
    assert_same_fit(fit_temperature(z[:, [2, 0, 1]], t), fit_temperature(z, t.to_numpy()), rtol=1e-12)


def test_single_precision_logits_are_computed_in_double(rng):
    z, y = scaled(rng)
    z = z.astype(np.float32)

    assert fit_temperature(z, y) == fit_temperature(z.astype(np.float64), y)


def test_the_number_of_threads_changes_no_bit(rng):
    z, y = scaled(rng, n=50_000, n_classes=5)
    with threadpool_limits(1, user_api="openmp"):
        one = fit_temperature(z, y)
    with threadpool_limits(2, user_api="openmp"):
        assert fit_temperature(z, y) == one


def test_the_logits_are_not_copied(rng):
    """Beside 40 MB of logits there are five vectors of n, and a few blocks of half a MiB."""
    z = rng.standard_normal(size=(100_000, 100), dtype=np.float32)
    y = labels(z, rng)

    assert peak_of(fit_temperature, z, y) < 5 * 8e5 + 8e6


def test_moments_are_the_derivatives_of_the_loss(rng):
    """Central differences at h = 1e-3 are off by ``h^2`` times two derivatives on, of order ten here."""
    z, y = scaled(rng, n=50)
    family = TemperatureFamily(z, y, np.ones(50), map)
    h, at, above, below = 1e-3, family(0.4), family(0.401), family(0.399)

    assert family.observed - at.mean == pytest.approx((above.loss - below.loss) / (2 * h), abs=1e-4)
    assert at.variance == pytest.approx((below.mean - above.mean) / (2 * h), abs=1e-4)
    assert at.third == pytest.approx((below.variance - above.variance) / (2 * h), abs=1e-3)


def test_the_moments_at_zero_are_those_of_equal_probabilities(rng):
    """Means and variances of four numbers: rounding."""
    z, y = scaled(rng, n=50)
    d = z.max(axis=1, keepdims=True) - z
    at_zero = TemperatureFamily(z, y, np.ones(50), map).at_zero

    assert_allclose(at_zero[:4], [0, np.log(4), d.mean(), d.var(axis=1).mean()], rtol=1e-13)


def test_the_expected_gap_is_the_observed_one(rng):
    """Exact to 1e-9 in beta, and so is the gap to its slope."""
    z, y = scaled(rng)
    family = TemperatureFamily(z, y, np.ones(len(y)), map)

    assert family(maximum(family).beta).mean == pytest.approx(family.observed, rel=1e-8)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_where_all_are_right_the_temperature_is_nearly_zero(rng, scale):
    """At the stand-in the least gap is ``log((K - 1) / eps)`` nats, so that lesser classes have at most eps
    together; the finite end of the interval is where the likelihood ratio is critical."""
    z = rng.normal(size=(50, 4)) * scale
    y = z.argmax(axis=1)
    with pytest.warns(UserWarning, match=r"maximum at T -> 0"):
        fit = fit_temperature(z, y)

    lesser = 1 - softmax(z, fit.temperature).max(axis=1)
    assert fit.limit == "zero"
    assert 0 < fit.temperature <= 1
    assert lesser.max() <= 2 * np.finfo(float).eps  # of which one is the rounding of 1 - p
    assert fit.log_loss_after <= fit.log_loss_before
    assert fit.confidence_interval[0] == 0
    assert 2 * 50 * loss(z, y, 1 / fit.confidence_interval[1]) == pytest.approx(CRITICAL, rel=1e-5)
    assert fit.standard_error == np.inf
    assert fit.wald_interval == (0, np.inf)


def test_targets_that_share_the_largest_logit_have_the_limit_zero():
    """The loss tends to the mean logarithm of how many share it."""
    z = np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0], [3.0, 0.0, 3.0], [0.0, 0.0, 5.0]])
    with pytest.warns(UserWarning, match=r"maximum at T -> 0"):
        fit = fit_temperature(z, [0, 1, 2, 2])

    assert fit.log_loss_after == pytest.approx(0.75 * np.log(2), rel=1e-15)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_where_logits_point_away_the_temperature_is_huge(rng, scale):
    """At the stand-in the widest logits are eps apart, and so are probabilities, to rounding."""
    z = rng.normal(size=(50, 4)) * scale
    y = z.argmin(axis=1)
    with pytest.warns(UserWarning, match=r"maximum at T -> inf"):
        fit = fit_temperature(z, y)

    assert fit.limit == "infinity"
    assert 1 <= fit.temperature < np.inf
    assert_allclose(softmax(z, fit.temperature), 0.25, rtol=4 * np.finfo(float).eps)
    assert fit.log_loss_after == pytest.approx(np.log(4), rel=1e-15)
    low, high = fit.confidence_interval
    assert high == np.inf
    assert 2 * 50 * (loss(z, y, 1 / low) - np.log(4)) == pytest.approx(CRITICAL, rel=1e-5)


def test_targets_of_average_logits_have_the_limit_infinity(rng):
    """Each class once for each row of logits: the slope at equal probabilities is zero, but for rounding."""
    z = np.repeat(rng.normal(size=(9, 3)), 3, axis=0)
    with pytest.warns(UserWarning, match=r"maximum at T -> inf"):
        assert fit_temperature(z, np.tile(np.arange(3), 9)).limit == "infinity"


def test_logits_that_are_equal_have_the_temperature_one():
    with pytest.warns(UserWarning, match=r"all equal"):
        fit = fit_temperature(np.full((4, 3), 7.0), [0, 1, 2, 2])

    assert (fit.limit, fit.temperature, fit.confidence_interval) == ("flat", 1.0, (0.0, np.inf))
    assert fit.p_value == 1


def test_where_equal_probabilities_are_not_rejected_the_interval_has_no_upper_end(rng):
    z, y = 0.3 * rng.normal(size=(20, 3)), np.arange(20) % 3
    z[np.arange(20), y] += 0.3
    fit = fit_temperature(z, y)

    assert fit.limit is None
    assert 2 * 20 * (np.log(3) - fit.log_loss_after) < CRITICAL
    assert fit.confidence_interval[1] == np.inf


def test_one_sample_that_is_wrong_makes_the_temperature_finite(rng):
    """Of 2000 samples that are right by far; as above, 1e-8 of T."""
    z = 30 * rng.normal(size=(2000, 5))
    y = z.argmax(axis=1)
    y[0] = z[0].argmin()
    beta = 1 / fit_temperature(z, y).temperature
    best = optimize.brentq(lambda b: slope(z, y, b), beta / 2, 2 * beta, xtol=1e-14 * beta, rtol=1e-14)

    assert beta == pytest.approx(best, rel=1e-8)


def test_probabilities_in_place_of_logits_are_warned_of(rng):
    z, y = scaled(rng)
    with pytest.warns(UserWarning, match="logits look like probabilities"):
        fit_temperature(softmax(z), y)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
@pytest.mark.parametrize("container", [np.asarray, np.float32, np.ndarray.tolist, pd.DataFrame, pl.DataFrame])
def test_so_are_probabilities_of_one_column(rng, shape, container):
    z, y = scaled(rng, n_classes=2)
    p = container(softmax(z)[:, 1].reshape(shape))
    with pytest.warns(UserWarning, match="logits look like probabilities.*one column"):
        fit_temperature(p, y)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_one_column_beyond_zero_and_one_is_no_probability(rng, shape):
    """Warnings are errors."""
    z, y = scaled(rng, n_classes=2)
    p = softmax(z)[:, 1]

    fit_temperature(np.log(p / (1 - p)).reshape(shape), y)
    fit_temperature(np.append(p, 1.5).reshape(shape), np.append(y, 1))
    fit_temperature(np.append(p, -0.5).reshape(shape), np.append(y, 1))


def test_logits_of_zero_in_one_column_are_flat_and_not_taken_for_probabilities():
    with pytest.warns(UserWarning, match="all equal") as caught:
        fit_temperature(np.zeros(6), [0, 1] * 3)

    assert len(caught) == 1


@pytest.mark.parametrize(
    "kept",
    [lambda p: p.astype(np.float32).astype(float), lambda p: p.round(6), lambda p: p.astype(np.float16)],
)
def test_probabilities_of_less_precision_are_warned_of_too(rng, kept):
    z, y = scaled(rng)

    with pytest.warns(UserWarning, match="look like probabilities"):
        fit_temperature(kept(softmax(z)), y)


def test_a_wrong_row_of_hardly_any_weight_has_an_answer(rng):
    """The likelihood falls only where 1/T is beyond the square root of the largest number."""
    z, _ = scaled(rng)
    y, weights = z.argmax(axis=1), np.ones(len(z))
    y[0], weights[0] = (y[0] + 1) % z.shape[1], 1e-200

    fitted = fit_temperature(z, y, sample_weight=weights)

    low, high = fitted.confidence_interval
    assert 0 < low < fitted.temperature < high < np.inf


def test_log_probabilities_are_as_good_as_logits(rng):
    """They differ by a constant in each row: rounding of logits of some ten."""
    z, y = scaled(rng)

    assert_same_fit(fit_temperature(log_softmax(z), y), fit_temperature(z, y), rtol=1e-11)


Z = np.array([[2.0, 0.0, 1.0], [0.0, 1.0, 3.0], [1.0, 2.0, 0.0], [3.0, 1.0, 2.0]])
Y = np.array([0, 2, 1, 2])


@pytest.mark.parametrize(
    ("logits", "y", "options", "message"),
    [
        (np.where(Z == 3, np.nan, Z), Y, {}, "logits contains NaN"),
        (np.where(Z == 3, np.inf, Z), Y, {}, "logits contains infinity"),
        (np.where(Z == 0, -np.inf, Z), Y, {}, "logits contains infinity"),
        (1e101 * Z, Y, {}, r"logits must lie between -1e\+100 and 1e\+100"),
        (Z[:0], Y[:0], {}, "0 sample"),
        (Z[np.newaxis], Y, {}, "dim 3"),
        (Z, Y[:3], {}, "inconsistent numbers of samples"),
        (Z, [0, 1, 2, 3], {}, r"y has the classes \[0, 1, 2, 3\], but logits have 3 columns"),
        (Z, ["a", "b", "b", "a"], {}, r"y has the classes \['a', 'b'\].*pass the labels of all columns"),
        (Z, ["a", "b", "b", "d"], {"classes": list("abc")}, r"labels \['d'\].*not among the classes"),
        (Z, Y, {"classes": [0, 1]}, "classes must be the distinct labels of the 3 columns"),
        (Z, Y, {"classes": [0, 1, 1]}, "classes must be the distinct labels of the 3 columns"),
        (Z, [0, 0, 0, 0], {}, "at least 2 classes with positive sample_weight, got only the class 0"),
        (Z, [1, 1, 1, 1], {}, r"y has the classes \[1\], but logits have 3 columns.*classes=\."),
        (Z, ["a"] * 4, {"classes": list("abc")}, "got only the class 'a'"),
        (Z, [1, 1, 1, 0], {"sample_weight": [1, 1, 1, 0]}, "got only the class 1"),
        (Z, Y, {"sample_weight": np.zeros(4)}, "sample_weight must have a positive weight"),
        (Z, Y, {"sample_weight": [1, -1, 1, 1]}, "sample_weight must be non-negative"),
        (Z, Y, {"sample_weight": np.ones(3)}, "one weight for each of the 4 samples"),
        (Z, np.full((4, 2), 0.5), {}, "Soft targets y must have a column for each of the 3 columns"),
        (Z, np.full((4, 3), 0.5), {}, "sum to 1"),
        (Z, [0.5, 1.5, 2.5, 0.5], {}, "continuous"),
        (
            Z,
            pd.DataFrame(np.eye(3)[Y], columns=list("abc")),
            {"classes": list("abd")},
            r"columns of soft targets y must be the classes \['a', 'b', 'd'\]",
        ),
    ],
)
def test_bad_input_is_refused_by_name(logits, y, options, message):
    with pytest.raises(ValueError, match=message):
        fit_temperature(logits, y, **options)
