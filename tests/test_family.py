"""Laws of the categorical exponential family.

Tolerances count EPS, the spacing of doubles at 1: a rounding costs EPS / 2, an exp, log or log1p at
most EPS. TINY is the spacing of the subnormal numbers, below which nothing can be kept.

GRID holds multiples of 1/8 up to 8 for K = 4 classes. Sums, differences, means of 4 are exact: laws
about differences hold bit for bit. Log-probabilities are within 18 nats. A probability is off by K + 3
EPS of itself (exp above and below, a sum of K, a quotient), a log-probability by 70 (3 * 18, and 16 by
its log-sum-exp, see `exact`), an expectation of these by 18 K / 2 more for its sum and 18 K for weights
that sum to one only up to K EPS: 178. The error of p inside or beside a logarithm adds at most 7 * 18.
No law takes more than two expectations: TOL = 512 EPS covers them all.
"""

import functools
import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special, stats

from smreg.family import (
    check_temperature,
    cross_entropy,
    entropy,
    fisher_information,
    gradient,
    hardmax,
    kl_divergence,
    log_partition,
    log_softmax,
    sigmoid,
    softmax,
    softplus,
    sufficient_statistic,
    to_reference_coding,
    to_symmetric_coding,
)

INF, DOUBLE = math.inf, np.finfo(float)
EPS, TINY, MAX = float(DOUBLE.eps), float(DOUBLE.smallest_subnormal), float(DOUBLE.max)
TOL = 512 * EPS
K = 4
GRID = np.random.default_rng(0).integers(-64, 65, size=(20, K)) / 8
TARGETS = np.vstack([np.eye(K), np.random.default_rng(1).dirichlet(np.ones(K), size=16)])
GRID.flags.writeable = TARGETS.flags.writeable = False  # no function writes into its argument

# Functions of logits alone, under the names that pytest shall show.
LOSS = functools.wraps(cross_entropy)(lambda z: cross_entropy(np.full_like(z, 0.25), z))
RESIDUAL = functools.wraps(gradient)(lambda z: gradient(np.full_like(z, 0.25), z))
SPREAD = functools.wraps(entropy)(lambda z: entropy(softmax(z)))
KL = functools.wraps(kl_divergence)(lambda z: kl_divergence(softmax(z), softmax(-z)))
OF_LOGITS = [log_partition, softmax, log_softmax, fisher_information, LOSS, RESIDUAL]
OF_ARRAYS = [*OF_LOGITS, SPREAD, KL, sigmoid, softplus, to_reference_coding, to_symmetric_coding]

law = settings(derandomize=True, deadline=None, max_examples=100)
finite = st.floats(allow_nan=False, allow_infinity=False)
extreme = st.sampled_from([-INF, -MAX, -1e308, -TINY, 0.0, TINY, 1e308, MAX])
rows = st.lists(st.floats(-40, 40) | finite | extreme, min_size=1, max_size=5)
rows = rows.filter(lambda row: max(row) > -INF)
temperatures = st.floats(0.1, 10) | st.floats(TINY, MAX) | st.sampled_from([TINY, 1e308, MAX])
assert_close = functools.partial(assert_allclose, rtol=0, atol=TOL)


def exact(row, temperature=1.0):
    """Log-probabilities, probabilities, and the log-sum-exp of distances with its slack, to 150 bits.

    The slack, in EPS, is due to its terms ``exp(r)``: each is off by ``|r|`` (two roundings), 1 (exp) and
    K (sum, scaling) of itself. Doubles differ by up to 2099 bits; exp(-1000) is below TINY.
    """
    with mpmath.workprec(2300):
        distance = [(mpmath.mpf(z) - mpmath.mpf(max(row))) / mpmath.mpf(temperature) for z in row]
    with mpmath.workprec(150):
        below = [max(r, -1000) for r in distance if r < 0]
        ties = len(row) - len(below)
        lse = mpmath.log(ties) + mpmath.log1p(mpmath.fsum(map(mpmath.exp, below)) / ties)
        slack = mpmath.fsum(mpmath.exp(r) * (len(row) + 1 - r) for r in below)
        log_p = [r - lse for r in distance]
        return log_p, [mpmath.exp(max(value, -1000)) for value in log_p], lse, slack


@pytest.mark.parametrize("shift", [-1024.0, 0.25, 1024.0])
@pytest.mark.parametrize("function", [softmax, log_softmax, hardmax, fisher_information])
def test_only_differences_between_logits_matter(function, shift):
    """Logits and shift are multiples of 1/8: the sum is exact, both results agree bit for bit."""
    assert_array_equal(function(GRID + shift), function(GRID))


def test_derivatives_agree_with_five_point_differences():
    """Mean and variance are derivatives of A, ``p - t`` is that of the loss, sigmoid of softplus.

    The formula is off by ``h**4 / 30`` times the fifth derivative. Along one logit p is a sigmoid, each
    other entry a share of 1 - p; with ``v = p (1 - p) <= 1/4`` it is ``v (1 - 2p) (1 - 12 v)`` for A and
    ``v (1 - 30 v + 120 v**2)`` for p, at most 1/2. Steps are exact, values good to one expectation, or
    TOL / 2, and their weights add up to 1.5 / h.
    """
    h = 2.0**-8

    def differences(f):
        at = {m: f(GRID[:, np.newaxis] + m * h * np.eye(K)) for m in (-2, -1, 1, 2)}
        return (at[-2] - at[2] + 8 * (at[1] - at[-1])) / (12 * h)

    check = functools.partial(assert_close, atol=h**4 / 60 + 1.5 / h * TOL / 2)
    check(differences(log_partition), softmax(GRID))
    check(differences(softmax), fisher_information(GRID))
    check(differences(lambda z: cross_entropy(TARGETS[:, np.newaxis], z)), gradient(TARGETS, GRID))
    check(differences(lambda z: softplus(z).sum(axis=-1)), sigmoid(GRID))


def test_fisher_information_is_the_covariance_of_one_hot_vectors_under_softmax():
    """All K outcomes weighted by p: K terms of sum at most 1, and p sums to one only up to K EPS."""
    centred = sufficient_statistic(np.arange(K), K) - softmax(GRID)[:, np.newaxis]
    covariance = np.einsum("ny,nyj,nyk->njk", softmax(GRID), centred, centred)
    information = fisher_information(GRID)
    assert_close(information, covariance, atol=4 * K * EPS)
    assert_close(information.sum(axis=-1), 0, atol=K * EPS)
    assert_array_equal(information, information.swapaxes(-1, -2))


def test_confident_classes_keep_their_digits():
    """``log p = -log1p(e)``, and ``p (1 - p) = e / (1 + e)**2`` from two p of K + 3 = 5 EPS."""
    e = math.exp(-50)
    assert_allclose(log_softmax([50.0, 0.0]), [-math.log1p(e), -50 - math.log1p(e)], rtol=4 * EPS)
    variance = e / (1 + e) ** 2 * np.array([[1, -1], [-1, 1]])
    assert_allclose(fisher_information([50.0, 0.0]), variance, rtol=14 * EPS)


@law
@given(rows)
def test_log_partition_agrees_with_its_definition_and_its_bounds(row):
    """Log-sum-exp is good to 2 EPS of itself and its slack; adding the maximum rounds once more."""
    _, _, lse, slack = exact(row)
    error = EPS * (2 * lse + slack + abs(lse + max(row))) + TINY
    value = float(log_partition(row))
    assert abs(value - (lse + max(row))) <= error
    assert max(row) <= value <= max(row) + mpmath.log(len(row)) + error


@law
@given(rows, temperatures)
def test_softmax_and_log_softmax_agree_with_their_definitions(row, temperature):
    """``r = (eta - max) / T`` is rounded twice: exp(r) is off by ``|r| EPS``, and zero beyond 750.

    Exp above and below, a sum of K whose terms lose ``|r| exp(r) <= 1 / e``, a quotient: K + 3 more.
    The logarithm ``r - lse`` adds numbers of one sign, 3 EPS of the result, and the slack; it is -inf
    for a logit of -inf, else only beyond the floating range. No temperature moves the maximum.
    """
    log_p, p, _, slack = exact(row, temperature)
    values, log_values = softmax(row, temperature), log_softmax(row, temperature)
    for value, log_value, expected, log_expected in zip(values, log_values, p, log_p, strict=True):
        error = EPS * expected * (min(-log_expected, 750) + len(row) + 3) + TINY
        assert abs(float(value) - expected) <= error
        log_error = EPS * (3 * min(-log_expected, mpmath.mpf(MAX)) + slack) + TINY
        out_of_range = log_value == -INF and log_expected <= -MAX * (1 - 4 * EPS)
        assert abs(float(log_value) - log_expected) <= log_error or out_of_range
    assert values[np.argmax(row)] == values.max()
    assert log_values[np.argmax(row)] == log_values.max()


@law
@given(rows, temperatures, st.integers(0, 5))
def test_a_logit_of_minus_infinity_might_as_well_not_be_there(row, temperature, position):
    """Probability exactly 0, logarithm exactly -inf; the K others may be summed in another order."""
    at = min(position, len(row))
    for function, nothing in [(softmax, 0.0), (log_softmax, -INF)]:
        values = function([*row[:at], -INF, *row[at:]], temperature)
        assert values[at] == nothing
        expected = function(row, temperature)
        assert_allclose(np.delete(values, at), expected, rtol=(len(row) + 3) * EPS, atol=TINY)


@law
@given(finite, temperatures)
def test_a_single_class_is_certain(z, temperature):
    assert softmax([z], temperature) == [1.0]
    assert log_softmax([z], temperature) == [0.0]
    assert log_partition([z]) == z
    assert fisher_information([z]) == [[0.0]]


@pytest.mark.parametrize("temperature", [TINY, 1e-300, 1e-4])
def test_softmax_for_temperature_to_zero_is_hardmax_and_uniform_over_ties(temperature):
    """Other logits are at least 1/8 below, 1250 temperatures: their exponential is exactly zero."""
    logits = np.vstack([GRID, [[1, 1, 0, -1], [2, 2, 2, 2], [0, -INF, 0, 0]]])
    largest = logits == logits.max(axis=-1, keepdims=True)
    unique = largest.sum(axis=-1) == 1
    p = softmax(logits, temperature)
    assert_array_equal(p, largest / largest.sum(axis=-1, keepdims=True))
    assert_array_equal(p[unique], hardmax(logits)[unique])


@pytest.mark.parametrize("temperature", [1e18, 1e308, MAX])
def test_softmax_for_temperature_to_infinity_is_uniform_on_finite_logits(temperature):
    """Distances are at most 16 / T < EPS / 8: their exponential is exactly one."""
    logits = np.vstack([GRID, [[0, -INF, 8, 1], [-INF, -INF, 3, -INF]]])
    possible = np.isfinite(logits)
    assert_array_equal(softmax(logits, temperature), possible / possible.sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("temperature", [2.0**-60, 0.5, 1.0, 8.0, 2.0**30])
@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_temperature_divides_the_logits_bit_for_bit_and_leaves_their_argmax(function, temperature):
    """Division by a power of two is exact, and logits that differ do so by 2**-33 at least."""
    assert_array_equal(function(GRID, temperature), function(GRID / temperature))
    assert_array_equal(function(GRID, temperature).argmax(axis=-1), GRID.argmax(axis=-1))


def test_log_softmax_of_logits_whose_difference_alone_is_too_large_for_a_float_is_finite():
    """Their difference of 3e308 exceeds `MAX`, a quarter of it does not."""
    z = [1.5e308, -1.5e308]

    assert_array_equal(log_softmax(z, 4.0), [0.0, -0.75e308])


def test_cross_entropy_is_entropy_plus_a_divergence_that_vanishes_at_the_target():
    loss = cross_entropy(TARGETS, GRID)
    assert_close(loss, log_partition(GRID) - (GRID * TARGETS).sum(axis=-1))
    assert_close(loss, entropy(TARGETS) + kl_divergence(TARGETS, softmax(GRID)))
    assert (loss >= entropy(TARGETS) - TOL).all()
    with np.errstate(divide="ignore"):
        best = np.log(TARGETS)
    assert_close(cross_entropy(TARGETS, best), entropy(TARGETS))
    assert_close(gradient(TARGETS, best), 0)
    assert_array_equal(kl_divergence(TARGETS, TARGETS), np.zeros(len(TARGETS)))


@law
@given(rows)
def test_cross_entropy_of_a_label_is_its_negative_log_softmax(row):
    """Only zeros are added to one term, whatever the other logits are."""
    assert_allclose(cross_entropy(np.eye(len(row)), row), -log_softmax(row), rtol=2 * EPS, atol=TINY)


@pytest.mark.parametrize("z", [1.0, 1e308, MAX])
def test_cross_entropy_is_finite_wherever_its_value_is(z):
    """``A - <eta, t> = A`` at logits (z, -z), though one log-probability may be out of range."""
    assert_allclose(cross_entropy([0.5, 0.5], [z, -z]), z + math.log1p(math.exp(-2 * z)), rtol=4 * EPS)


@law
@given(st.lists(st.tuples(st.floats(-740, 0), st.floats(-740, 0)), min_size=2, max_size=5))
def test_entropy_and_divergence_agree_with_their_definitions(pairs):
    """Terms of the entropy have one sign: logarithm, product and sum cost K + 2 EPS of it.

    A term ``t log(t / p) - t + p`` is off by ``3 |t log(t / p)| + t + p``, their sum by K of itself,
    and ``sum p - sum t`` is zero only to 2 K EPS. Probabilities reach down to the subnormal numbers.
    """
    t, p = softmax(np.array(pairs).T).tolist()
    with mpmath.workprec(150):
        h = -mpmath.fsum(a * mpmath.log(a) for a in t)
        terms = [a * (mpmath.log(a) - mpmath.log(b)) for a, b in zip(t, p, strict=True)]
        kl, size = mpmath.fsum(terms), mpmath.fsum(map(abs, terms))
    assert abs(float(entropy(t)) - h) <= EPS * (len(t) + 2) * h + len(t) * TINY
    assert abs(float(kl_divergence(t, p)) - kl) <= EPS * (3 * size + 2 + len(t) * (abs(kl) + 2))


def test_cross_entropy_and_divergence_are_not_symmetric_and_follow_their_closed_forms():
    """With p = (0.9, 0.1) and q uniform; sums of two terms below 2, with 8 roundings at most."""
    p, q = np.array([0.9, 0.1]), np.array([0.5, 0.5])
    h, pq, qp = -0.9 * math.log(0.9) - 0.1 * math.log(0.1), math.log(2), -0.5 * math.log(0.09)
    assert_close([cross_entropy(p, np.log(q)), cross_entropy(q, np.log(p))], [pq, qp], atol=16 * EPS)
    assert_close([kl_divergence(p, q), kl_divergence(q, p)], [pq - h, qp - pq], atol=16 * EPS)
    assert_array_equal(cross_entropy([[0.0, 1.0], [0.5, 0.5]], [-INF, 0.0]), [0.0, INF])
    assert_array_equal(kl_divergence([[0.0, 1.0], [0.5, 0.5]], [0.0, 1.0]), [0.0, INF])


@law
@given(finite)
def test_sigmoid_and_softplus_are_the_family_of_two_classes(z):
    """Distances to the maximum are exact: K + 3 = 5 EPS on one side, 3 on the other.

    A sigmoid ``1 / (1 + exp(-z))`` ends where exp overflows: below the smallest normal number.
    """
    assert_allclose(sigmoid(z), softmax([0.0, z])[1], rtol=8 * EPS, atol=DOUBLE.smallest_normal)
    assert_allclose(softplus(z), log_partition([0.0, z]), rtol=8 * EPS, atol=TINY)


@pytest.mark.parametrize("reference", range(-K, K))
def test_codings_invert_each_other_and_keep_the_probabilities(reference):
    """Differences and means of four multiples of 1/8 are exact: all of this holds bit for bit."""
    minimal = to_reference_coding(GRID, reference)
    symmetric = to_symmetric_coding(minimal, reference)
    assert_array_equal(minimal, np.delete(GRID - GRID[:, [reference]], reference, axis=1))
    assert_array_equal(symmetric, GRID - GRID.mean(axis=-1, keepdims=True))
    assert_array_equal(to_reference_coding(symmetric, reference), minimal)
    assert_array_equal(softmax(symmetric), softmax(GRID))


def test_symmetric_coding_reaches_as_far_as_its_values():
    """The mean of (0, z, z) is 2 z / 3 though their sum is out of range; four roundings."""
    assert_allclose(to_symmetric_coding([1.5e308] * 2), [-1e308, 0.5e308, 0.5e308], rtol=4 * EPS)


@pytest.mark.parametrize("reference", [K, -K - 1])
@pytest.mark.parametrize(("coding", "width"), [(to_reference_coding, K), (to_symmetric_coding, K - 1)])
def test_codings_refuse_a_reference_that_is_no_class(coding, width, reference):
    with pytest.raises((IndexError, ValueError)):
        coding(np.zeros(width), reference)


def test_hardmax_takes_the_first_of_several_largest():
    logits = [[3.0, 1.0, 0.2], [0.0, 2.0, 2.0], [-INF, -MAX, -MAX], [TINY, 0.0, TINY]]
    assert_array_equal(hardmax(logits), [[1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize("codes", [1, [2, 0], [[0, 1, 2], [2, 2, 0]], [], np.array([2, 1], np.uint8)])
def test_sufficient_statistic_has_its_single_one_at_the_code(codes):
    one_hot = sufficient_statistic(codes, n_classes=3)
    assert one_hot.shape == (*np.shape(codes), 3)
    assert_array_equal(one_hot.argmax(axis=-1), codes)
    assert_array_equal(np.sort(one_hot, axis=-1), np.broadcast_to([0.0, 0.0, 1.0], one_hot.shape))


@pytest.mark.parametrize("codes", [[0, 3], [-1], [0.0, 1.0], ["a"], [True], 3, [None]])
def test_sufficient_statistic_refuses_what_is_no_code(codes):
    with pytest.raises(ValueError, match=r"codes must be integers from 0 to n_classes - 1 = 2, got"):
        sufficient_statistic(codes, n_classes=3)


@pytest.mark.parametrize("function", OF_ARRAYS)
def test_leading_axes_are_a_stack_of_rows(function):
    """At most the order of a sum of K values below 18 differs; a stack of no rows has no results."""
    stack = GRID[:6].reshape(2, 3, K)
    expected = np.reshape([function(row) for row in GRID[:6]], function(stack).shape)
    assert_close(function(stack), expected, atol=18 * K * EPS)
    assert function(np.zeros((0, K))).shape == (0, *function(GRID).shape[1:])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("function", OF_ARRAYS)
def test_floating_precision_is_kept_and_integers_become_double(function, dtype):
    assert function(np.array([[3, 1, 0]], dtype)).dtype == (float if dtype is np.int64 else dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("temperature", [0.7, 1.0, 1e30])
@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_low_precision_is_the_double_result_rounded_once(function, temperature, dtype):
    top = np.finfo(dtype).max
    logits = np.vstack([GRID, [[top, -top, 0, 1], [-INF, -top, -top, -INF]]]).astype(dtype)
    with np.errstate(over="ignore"):
        expected = function(logits.astype(float), temperature).astype(dtype)
    assert_array_equal(function(logits, temperature), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_log_partition_reaches_as_far_as_its_values_in_every_precision(dtype):
    """No difference of logits and no sum over 70000 classes overflows; a logarithm and a rounding."""
    top = np.finfo(dtype).max
    assert log_partition(np.array([top, -top])) == top
    many = float(log_partition(np.zeros(70000, dtype)))
    assert abs(many - math.log(70000)) <= 2 * np.finfo(dtype).eps * math.log(70000)


def test_values_agree_with_scipy():
    assert_close(softmax(GRID), special.softmax(GRID, axis=-1))
    assert_close(log_softmax(GRID), special.log_softmax(GRID, axis=-1))
    assert_close(softplus(GRID), -special.log_expit(-GRID))
    assert_close(entropy(TARGETS), stats.entropy(TARGETS, axis=-1))
    assert_close(kl_divergence(TARGETS, softmax(GRID)), stats.entropy(TARGETS, softmax(GRID), axis=-1))


@pytest.mark.parametrize("bad", [[np.nan, 0.0], [INF, 0.0], [-INF, -INF], [INF, np.nan]])
@pytest.mark.parametrize("function", [*OF_LOGITS, hardmax])
def test_a_row_that_is_no_distribution_is_named(function, bad):
    good = [0.0, -INF]
    with pytest.raises(ValueError, match=r"logits must be finite or -inf.* row 1 is \["):
        function([good, bad, bad])
    with pytest.raises(ValueError, match=r"logits must be finite or -inf.* row \(1, 0\) is \["):
        function([[good, good], [bad, good]])


@pytest.mark.parametrize("shape", [(), (0,), (3, 0)])
@pytest.mark.parametrize("function", [*OF_LOGITS, hardmax])
def test_logits_without_a_class_are_refused(function, shape):
    with pytest.raises(ValueError, match=r"at least one class along the last axis, got shape \("):
        function(np.zeros(shape))


NO_TEMPERATURES = [0, -1.0, np.nan, INF, "1", None, 1j, np.ones(2), 10**400, Fraction(1, 10**400)]


@pytest.mark.parametrize("temperature", NO_TEMPERATURES, ids=lambda T: repr(T)[:12])
def test_a_temperature_must_be_a_positive_finite_number(temperature):
    for function in (check_temperature, lambda T: softmax([0, 1], T), lambda T: log_softmax([0, 1], T)):
        with pytest.raises(ValueError, match="temperature must be a positive finite number, got"):
            function(temperature)


@pytest.mark.parametrize("temperature", [TINY, 1, MAX, np.float32(0.5), np.int64(3), Fraction(1, 2)])
def test_a_good_temperature_comes_back_as_a_float(temperature):
    assert type(check_temperature(temperature)) is float
    assert check_temperature(temperature) == temperature


def test_worked_examples_follow_the_definition():
    """Without a shift: K + 3 = 6 EPS on each side, and ``|r| / 2 < 2`` for a rounded difference."""
    examples = [([3, 1, 0.2], [0.836, 0.113, 0.051]), ([2, 1, 0.1], [0.659, 0.242, 0.099])]
    for logits, stored in examples:
        definition = np.array([math.exp(z) for z in logits]) / sum(math.exp(z) for z in logits)
        assert_allclose(softmax(logits), definition, rtol=14 * EPS)
        assert_array_equal(softmax(logits).round(3), stored)
