"""Laws of the categorical exponential family.

Tolerances are counted in EPS, the spacing of doubles at 1; one rounding costs EPS / 2, one call of exp,
log or log1p at most EPS. TINY is the spacing of the subnormal numbers, below which nothing can be kept.

GRID holds multiples of 1/8 up to 8 for K = 4 classes: sums, differences and means of its rows are exact,
so that laws about differences of logits hold bit for bit. All its log-probabilities are within 18 nats.
Then a probability is off by at most K + 3 = 7 EPS of itself (one exp each in numerator and denominator,
a sum of K, a quotient), a log-probability by 3 * 18 + 16, an expectation of log-probabilities by 18 K / 2
more for its sum and 18 K for targets whose sum is one only to K EPS. No law on GRID below adds more than
two such expectations and 7 * 18 for the error of a probability in front of a logarithm: TOL covers them.
"""

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

EPS = np.finfo(float).eps
TINY = np.finfo(float).smallest_subnormal
MAX = np.finfo(float).max
INF = np.inf

K = 4
GRID = np.random.default_rng(0).integers(-64, 65, size=(20, K)) / 8
TARGETS = np.vstack([np.eye(K), np.random.default_rng(1).dirichlet(np.ones(K), size=16)])
TOL = 512 * EPS

CALLS = {
    "log_partition": log_partition,
    "softmax": softmax,
    "log_softmax": log_softmax,
    "fisher_information": fisher_information,
    "cross_entropy": lambda z: cross_entropy(softmax(z), z),
    "gradient": lambda z: gradient(softmax(-np.asarray(z)), z),
    "entropy": lambda z: entropy(softmax(z)),
    "kl_divergence": lambda z: kl_divergence(softmax(z), softmax(-np.asarray(z))),
    "sigmoid": sigmoid,
    "softplus": softplus,
    "to_reference_coding": to_reference_coding,
    "to_symmetric_coding": to_symmetric_coding,
}
OF_LOGITS = {
    "log_partition": log_partition,
    "softmax": softmax,
    "log_softmax": log_softmax,
    "hardmax": hardmax,
    "fisher_information": fisher_information,
    "cross_entropy": lambda z: cross_entropy([0.5, 0.5], z),
    "gradient": lambda z: gradient([0.5, 0.5], z),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
each_of_logits = pytest.mark.parametrize("call", OF_LOGITS.values(), ids=OF_LOGITS.keys())

law = settings(derandomize=True, deadline=None, max_examples=120)
logit = st.one_of(
    st.floats(-40, 40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([-INF, -MAX, -1e308, -TINY, 0.0, TINY, 1.0, 1e308, MAX]),
)
rows = st.lists(logit, min_size=1, max_size=5).filter(lambda row: max(row) > -INF)
temperatures = st.one_of(
    st.floats(0.1, 10), st.floats(TINY, MAX), st.sampled_from([TINY, 1.0, 1e308, MAX])
)


def exact(row, temperature=1.0):
    """Distances below the maximum, their log-sum-exp and its slack, in bits enough for MAX - TINY.

    The slack, in EPS, is what log-sum-exp inherits from its terms ``exp(r)``: each is off by ``|r|`` (two
    roundings in r), 1 (exp) and K (the sum and its scaling) of itself, and the logarithm passes it on.
    """
    with mpmath.workprec(2300):
        z = [mpmath.mpf(float(value)) for value in row]
        r = [(value - max(z)) / mpmath.mpf(temperature) for value in z]
        lse = mpmath.log(mpmath.fsum(mpmath.exp(x) for x in r))
        slack = mpmath.fsum(mpmath.exp(x) * (len(r) + 1 - x) for x in r if -INF < x < 0)
        return r, lse, slack


def five_point(f, x, h):
    """Derivatives of f along each entry of the rows of x; the error is ``h**4 / 30 * |f'''''|``."""
    at = {m: f(x[:, np.newaxis, :] + m * h * np.eye(x.shape[-1])) for m in (-2, -1, 1, 2)}
    return (at[-2] - at[2] + 8 * (at[1] - at[-1])) / (12 * h)


# --- the family: log-partition, mean, variance -----------------------------------------------------


@pytest.mark.parametrize("shift", [-1024.0, 0.25, 1024.0])
@pytest.mark.parametrize("function", [softmax, log_softmax, fisher_information, hardmax])
def test_only_differences_between_logits_matter(function, shift):
    """Logits and shift are multiples of 1/8: the sum is exact and both results agree bit for bit."""
    assert_array_equal(function(GRID + shift), function(GRID))


@pytest.mark.parametrize("shift", [-1024.0, 0.25, 1024.0])
def test_log_partition_moves_with_a_constant_added_to_each_row(shift):
    """The difference to the maximum is the same on both sides; three sums below 1042 are rounded."""
    assert_allclose(
        log_partition(GRID + shift), log_partition(GRID) + shift, atol=3 * 1042 * EPS / 2, rtol=0
    )


@pytest.mark.parametrize(
    ("function", "derivative"),
    [
        (log_partition, softmax(GRID)),
        (softmax, fisher_information(GRID)),
        (lambda z: cross_entropy(TARGETS[:, np.newaxis], z), gradient(TARGETS, GRID)),
        (lambda z: softplus(z).sum(axis=-1), sigmoid(GRID)),
    ],
    ids=[
        "log_partition: softmax",
        "softmax: fisher_information",
        "cross_entropy: gradient",
        "softplus: sigmoid",
    ],
)
def test_derivatives_agree_with_five_point_differences(function, derivative):
    """Grad A is softmax, hess A the Fisher information, the gradient of cross-entropy ``p - t``.

    Along one logit, p is a sigmoid and 1 - p one in the other direction. With ``v = p (1 - p) <= 1/4`` the
    fifth derivative of A is ``v (1 - 2p) (1 - 12 v)`` and of softmax ``v (1 - 30 v + 120 v**2)`` or its
    share: at most 1/2. The steps are exact, the values good to TOL / 2, the weights ``18 / 12 h``.
    """
    h = 2.0**-8
    atol = h**4 / 30 / 2 + 1.5 / h * TOL / 2
    assert_allclose(five_point(function, GRID, h), derivative, atol=atol, rtol=0)


def test_fisher_information_is_the_covariance_of_one_hot_vectors_under_softmax():
    """All K outcomes, weighted by p: sums of K terms in [-1, 1], each off by less than 10 EPS."""
    for z, information in zip(GRID, fisher_information(GRID), strict=True):
        p = softmax(z)
        centred = sufficient_statistic(np.arange(K), K) - p
        assert_allclose(
            information, (p[:, np.newaxis] * centred).T @ centred, atol=10 * K * EPS, rtol=0
        )


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_fisher_information_is_symmetric_and_positive_with_rows_that_sum_to_zero(scale):
    """Entries are at most 1/4; a row is a sum of K of them, an eigenvalue moves by their norm."""
    information = fisher_information(scale * GRID)
    assert_array_equal(information, information.swapaxes(-1, -2))
    assert_allclose(information.sum(axis=-1), 0, atol=K * EPS)
    assert np.linalg.eigvalsh(information).min() >= -K * EPS


def test_fisher_information_keeps_the_digits_of_a_confident_class():
    """The variance is ``e / (1 + e)**2``; two probabilities, each off by K + 3 = 5 EPS, and a product."""
    e = math.exp(-40)
    expected = e / (1 + e) ** 2 * np.array([[1, -1], [-1, 1]])
    assert_allclose(fisher_information([40.0, 0.0]), expected, rtol=2 * 5 * EPS + 4 * EPS)


def test_density_of_every_class_is_its_softmax():
    """``exp(<eta, T(y)> - A)`` with an exponent below 18, off by 32 EPS from A and 9 from the difference."""
    inner = np.einsum("nk,yk->ny", GRID, sufficient_statistic(np.arange(K), K))
    density = np.exp(inner - log_partition(GRID)[:, np.newaxis])
    assert_allclose(density, softmax(GRID), rtol=(32 + 9 + 8) * EPS)


@law
@given(rows)
def test_log_partition_lies_between_the_maximum_and_log_n_classes_above_it(row):
    """The upper bound is rounded in the logarithm and in the sum, on both sides."""
    above = max(row) + math.log(len(row))
    assert max(row) <= log_partition(row) <= above + 2 * EPS * abs(above) + 4 * EPS * math.log(len(row))


@law
@given(rows)
def test_log_partition_agrees_with_its_definition_in_high_precision(row):
    """Log-sum-exp is good to 2 EPS of itself and the slack; adding the maximum rounds once more."""
    _, lse, slack = exact(row)
    with mpmath.workprec(2300):
        expected = lse + max(row)
    assert abs(log_partition(row) - expected) <= EPS * (abs(expected) + 2 * lse + slack) + TINY


# --- softmax over the whole floating range ---------------------------------------------------------


@law
@given(rows, temperatures)
def test_softmax_agrees_with_its_definition_in_high_precision(row, temperature):
    """``r = (eta - max) / T`` is rounded twice, so exp(r) is off by ``|r| EPS``; the sum of all exp(r)
    by at most K / e, and exp, sum and quotient add K / 2 + 3. Beyond 750 nats p is zero anyway.
    """
    r, lse, _ = exact(row, temperature)
    for p, x in zip(softmax(row, temperature), r, strict=True):
        with mpmath.workprec(2300):
            expected = mpmath.exp(x - lse)
        assert abs(p - expected) <= EPS * expected * (min(-x, 750) + len(row) + 3) + TINY


@law
@given(rows, temperatures)
def test_log_softmax_agrees_with_its_definition_in_high_precision(row, temperature):
    """``r - lse`` adds two numbers of one sign: 3 EPS of the result and the slack of the log-sum-exp.

    It may be -inf only where the exact value is beyond the floating range, and must be for -inf.
    """
    r, lse, slack = exact(row, temperature)
    for log_p, x in zip(log_softmax(row, temperature), r, strict=True):
        with mpmath.workprec(2300):
            expected = x - lse
        close = abs(log_p - expected) <= EPS * (3 * min(abs(expected), MAX) + slack) + TINY
        assert close or (log_p == -INF and expected <= -MAX * (1 - 4 * EPS))


@law
@given(rows, temperatures)
def test_softmax_is_a_point_of_the_simplex(row, temperature):
    """K quotients by a sum of K, summed: ``2 K - 1`` roundings."""
    p = softmax(row, temperature)
    assert (p >= 0).all()
    assert abs(p.sum() - 1) <= len(row) * EPS


@law
@given(rows, temperatures, st.integers(0, 5))
def test_a_logit_of_minus_infinity_might_as_well_not_be_there(row, temperature, position):
    """Probability exactly 0 and logarithm exactly -inf; for the rest, K terms are summed in another order."""
    at = min(position, len(row))
    longer = [*row[:at], -INF, *row[at:]]
    for function, nothing in [(softmax, 0.0), (log_softmax, -INF)]:
        values = function(longer, temperature)
        assert values[at] == nothing
        rtol = (len(row) + 3) * EPS
        assert_allclose(np.delete(values, at), function(row, temperature), rtol=rtol, atol=TINY)


@law
@given(rows, temperatures)
def test_no_temperature_takes_the_maximum_from_the_largest_logit(row, temperature):
    """Its distance to the maximum is exactly zero, all others are at most that."""
    largest = np.argmax(row)
    for values in (softmax(row, temperature), log_softmax(row, temperature)):
        assert values[largest] == values.max()


@law
@given(st.floats(allow_nan=False, allow_infinity=False), temperatures)
def test_a_single_class_is_certain(z, temperature):
    assert_array_equal(softmax([z], temperature), [1.0])
    assert_array_equal(log_softmax([z], temperature), [0.0])
    assert log_partition([z]) == z
    assert_array_equal(fisher_information([z]), [[0.0]])


def test_log_softmax_keeps_the_digits_of_a_confident_class():
    """``-log1p(exp(-50))``: one exp and one log1p on each side."""
    assert_allclose(log_softmax([50.0, 0.0])[0], -math.log1p(math.exp(-50)), rtol=4 * EPS)


# --- temperature -----------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [TINY, 1e-300, 1e-4])
def test_softmax_for_temperature_to_zero_is_uniform_over_the_largest_logits(temperature):
    """Another logit is at least 1/8 below, 1250 temperatures: its exponential is exactly zero."""
    ties = np.vstack([GRID, [[1, 1, 0, -1], [2, 2, 2, 2], [0, -INF, 0, 0]]])
    largest = ties == ties.max(axis=-1, keepdims=True)
    expected = largest / largest.sum(axis=-1, keepdims=True)

    p = softmax(ties, temperature)

    assert_array_equal(p, expected)
    unique = largest.sum(axis=-1) == 1
    assert_array_equal(p[unique], hardmax(ties)[unique])


@pytest.mark.parametrize("temperature", [1e18, 1e308, MAX])
def test_softmax_for_temperature_to_infinity_is_uniform_on_finite_logits(temperature):
    """Distances below 16 temperatures ** -1 < EPS / 8 have an exponential of exactly one."""
    logits = np.vstack([GRID, [[0, -INF, 8, 1], [-INF, -INF, 3, -INF]]])
    finite = np.isfinite(logits)
    assert_array_equal(softmax(logits, temperature), finite / finite.sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("temperature", [0.01, 0.3, 1.0, 7.0, 1000.0])
@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_argmax_is_the_same_at_every_temperature(function, temperature):
    """Logits that differ do so by 1/8, far more than the rounding at these temperatures."""
    assert_array_equal(function(GRID, temperature).argmax(axis=-1), GRID.argmax(axis=-1))


@pytest.mark.parametrize("temperature", [2.0**-60, 0.5, 1.0, 8.0, 2.0**60])
@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_temperature_divides_the_logits_bit_for_bit_where_division_is_exact(function, temperature):
    assert_array_equal(function(GRID, temperature), function(GRID / temperature))


@law
@given(st.lists(st.floats(-40, 40), min_size=1, max_size=5), st.floats(0.1, 10))
def test_temperature_divides_the_logits(row, temperature):
    """With m the largest ``|eta| / T``, r is off by 2 m EPS on each side; p by twice the sum of both (in
    numerator and denominator), and by K + 3 on each side for the rest.
    """
    m = np.abs(row).max() / temperature
    expected = softmax(np.array(row) / temperature)
    assert_allclose(softmax(row, temperature), expected, rtol=(8 * m + 2 * len(row) + 6) * EPS)


def test_entropy_grows_with_temperature():
    """``dH/dT = Var(eta) / T**3``; H is at most log K and good to TOL."""
    h = np.array([entropy(softmax(GRID, T)) for T in (0.01, 0.1, 0.5, 1.0, 2.0, 10.0, 1e3, 1e9)])
    assert (np.diff(h, axis=0) >= -TOL).all()
    assert_allclose(h[-1], math.log(K), atol=TOL)


# --- cross-entropy, entropy, divergence ------------------------------------------------------------


def test_cross_entropy_is_log_partition_minus_inner_product():
    expected = log_partition(GRID) - (GRID * TARGETS).sum(axis=-1)
    assert_allclose(cross_entropy(TARGETS, GRID), expected, atol=TOL)


def test_cross_entropy_is_entropy_plus_divergence():
    expected = entropy(TARGETS) + kl_divergence(TARGETS, softmax(GRID))
    assert_allclose(cross_entropy(TARGETS, GRID), expected, atol=TOL)


def test_cross_entropy_is_least_and_the_entropy_where_softmax_is_the_target():
    with np.errstate(divide="ignore"):
        logits = np.log(TARGETS)
    assert_allclose(cross_entropy(TARGETS, logits), entropy(TARGETS), atol=TOL)
    assert_allclose(gradient(TARGETS, logits), 0, atol=TOL)
    assert (cross_entropy(TARGETS, GRID) >= entropy(TARGETS) - TOL).all()


def test_divergence_is_the_bregman_divergence_of_log_partition():
    """``KL(p_a, p_b) = A(b) - A(a) - <p_a, b - a>``, with 7 EPS of p times ``|b - a| <= 16`` at most."""
    other = GRID[::-1]
    p = softmax(GRID)
    expected = log_partition(other) - log_partition(GRID) - (p * (other - GRID)).sum(axis=-1)
    assert_allclose(kl_divergence(p, softmax(other)), expected, atol=TOL)


def test_gradient_is_mean_minus_target_and_sums_to_zero():
    """``p`` and the target sum to one up to K EPS, their difference adds as much."""
    assert_array_equal(gradient(TARGETS, GRID), softmax(GRID) - TARGETS)
    assert_allclose(gradient(TARGETS, GRID).sum(axis=-1), 0, atol=3 * K * EPS)


@law
@given(rows)
def test_cross_entropy_of_a_label_is_its_negative_log_softmax(row):
    """Zeros are added to one term, whatever the other logits are."""
    assert_allclose(cross_entropy(np.eye(len(row)), row), -log_softmax(row), rtol=2 * EPS, atol=TINY)


@law
@given(st.lists(st.tuples(st.floats(-740, 0), st.floats(-740, 0)), min_size=2, max_size=5))
def test_entropy_and_divergence_agree_with_their_definitions_in_high_precision(pairs):
    """Terms of the entropy have one sign: logarithm, product and sum cost K + 2 EPS of it.

    A term ``t log(t / p) - t + p`` is off by ``3 |t log(t / p)| + t + p``, their sum by K of itself, and
    ``sum p - sum t`` is zero only to 2 K. Probabilities reach into the subnormal numbers.
    """
    t, p = softmax(np.array(pairs).T)
    with mpmath.workprec(200):
        h = -mpmath.fsum(mpmath.mpf(a) * mpmath.log(a) for a in t)
        terms = [
            mpmath.mpf(a) * mpmath.log(mpmath.mpf(a) / mpmath.mpf(b)) for a, b in zip(t, p, strict=True)
        ]
        kl, size = mpmath.fsum(terms), mpmath.fsum(abs(x) for x in terms)

    assert abs(entropy(t) - h) <= EPS * (len(t) + 2) * h + len(t) * TINY
    assert abs(kl_divergence(t, p) - kl) <= EPS * (3 * size + 2 + len(t) * abs(kl) + 2 * len(t))


def test_entropy_lies_between_certainty_and_the_uniform_distribution():
    """The uniform one has K equal terms: exact for K = 4 but for the logarithm."""
    assert_array_equal(entropy(np.eye(K)), np.zeros(K))
    assert_allclose(entropy(np.full(K, 1 / K)), math.log(K), rtol=2 * EPS)
    assert (entropy(TARGETS) <= math.log(K) * (1 + 2 * EPS)).all()


def test_divergence_of_a_distribution_from_itself_is_zero():
    assert_array_equal(kl_divergence(TARGETS, TARGETS), np.zeros(len(TARGETS)))


def test_cross_entropy_and_divergence_are_not_symmetric():
    """Closed forms with p = (0.9, 0.1) and q uniform; sums of two terms below 2, 4 roundings each."""
    p, q = np.array([0.9, 0.1]), np.array([0.5, 0.5])
    h = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)
    assert_allclose(cross_entropy(p, np.log(q)), math.log(2), rtol=16 * EPS)
    assert_allclose(cross_entropy(q, np.log(p)), -0.5 * math.log(0.09), rtol=16 * EPS)
    assert_allclose(kl_divergence(p, q), math.log(2) - h, atol=16 * EPS)
    assert_allclose(kl_divergence(q, p), -0.5 * math.log(0.09) - math.log(2), atol=16 * EPS)


def test_a_class_that_is_impossible_costs_nothing_or_everything():
    assert_array_equal(cross_entropy([[0.0, 1.0], [0.5, 0.5]], [-INF, 0.0]), [0.0, INF])
    assert_array_equal(kl_divergence([[0.0, 1.0], [0.5, 0.5]], [0.0, 1.0]), [0.0, INF])


@pytest.mark.parametrize("z", [1e308, MAX])
def test_cross_entropy_is_finite_wherever_its_value_is(z):
    """The loss of (1/2, 1/2) at logits (z, -z) is z, although one log-probability is beyond the range."""
    assert cross_entropy([0.5, 0.5], [z, -z]) == z


# --- two classes, and codings ----------------------------------------------------------------------


@law
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_sigmoid_and_softplus_are_the_family_of_two_classes(z):
    """Distances to the maximum are exact: K + 3 = 5 EPS on one side, 3 on the other.

    A logistic function ``1 / (1 + exp(-z))`` ends where exp overflows: below the smallest normal number.
    """
    assert_allclose(
        sigmoid(z), softmax([0.0, z])[1], rtol=8 * EPS, atol=np.finfo(float).smallest_normal
    )
    assert_allclose(softplus(z), log_partition([0.0, z]), rtol=8 * EPS, atol=TINY)


def test_sigmoid_and_softplus_at_the_ends():
    assert_array_equal(sigmoid([-INF, 0.0, INF]), [0.0, 0.5, 1.0])
    assert_array_equal(softplus([-INF, 1e308, INF]), [0.0, 1e308, INF])


@pytest.mark.parametrize("reference", range(-K, K))
def test_codings_invert_each_other_and_keep_the_probabilities(reference):
    """Differences and means of four multiples of 1/8 are exact: everything agrees bit for bit."""
    minimal = to_reference_coding(GRID, reference)
    symmetric = to_symmetric_coding(minimal, reference)

    assert_array_equal(minimal, np.delete(GRID - GRID[:, [reference]], reference, axis=1))
    assert_array_equal(symmetric, GRID - GRID.mean(axis=-1, keepdims=True))
    assert_array_equal(symmetric.sum(axis=-1), np.zeros(len(GRID)))
    assert_array_equal(to_reference_coding(symmetric, reference), minimal)
    assert_array_equal(softmax(symmetric), softmax(GRID))


def test_symmetric_coding_reaches_as_far_as_its_values():
    """The mean of (0, z, z) is 2 z / 3 although their sum is beyond the range; three roundings."""
    z = 1.5e308
    assert_allclose(to_symmetric_coding([z, z]), [-1e308, 0.5e308, 0.5e308], rtol=4 * EPS)


@pytest.mark.parametrize("reference", [K, -K - 1])
@pytest.mark.parametrize(("coding", "width"), [(to_reference_coding, K), (to_symmetric_coding, K - 1)])
def test_codings_refuse_a_reference_that_is_no_class(coding, width, reference):
    with pytest.raises((IndexError, ValueError)):
        coding(np.zeros(width), reference)


# --- one-hot vectors -------------------------------------------------------------------------------


def test_hardmax_takes_the_first_of_several_largest():
    logits = [[3.0, 1.0, 0.2], [0.0, 2.0, 2.0], [-INF, -MAX, -MAX], [TINY, 0.0, TINY]]
    assert_array_equal(hardmax(logits), [[1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize("codes", [1, [2, 0], [[0, 1, 2], [2, 2, 0]], [], np.array([2, 1], np.uint8)])
def test_sufficient_statistic_has_its_single_one_at_the_code(codes):
    one_hot = sufficient_statistic(codes, n_classes=3)
    assert one_hot.shape == (*np.shape(codes), 3)
    assert_array_equal(one_hot.argmax(axis=-1), codes)
    assert_array_equal(one_hot, hardmax(one_hot))


@pytest.mark.parametrize("codes", [[0, 3], [-1], [0.0, 1.0], ["a"], [True], 3, [None]])
def test_sufficient_statistic_refuses_what_is_no_code(codes):
    with pytest.raises(ValueError, match=r"codes must be integers from 0 to n_classes - 1 = 2, got"):
        sufficient_statistic(codes, n_classes=3)


# --- arrays ----------------------------------------------------------------------------------------


@each_call
def test_leading_axes_are_a_stack_of_rows(call):
    """Row by row, at most the order of the sums is another; values are below 18."""
    stack = GRID[:6].reshape(2, 3, K)
    expected = np.reshape([call(row) for row in GRID[:6]], call(stack).shape)
    assert_allclose(call(stack), expected, atol=18 * K * EPS, rtol=0)


def test_an_empty_stack_of_rows_gives_an_empty_result():
    empty = np.zeros((0, K))
    shapes = {name: call(empty).shape for name, call in CALLS.items()}
    assert shapes["log_partition"] == shapes["cross_entropy"] == shapes["entropy"] == (0,)
    assert shapes["softmax"] == shapes["log_softmax"] == shapes["gradient"] == (0, K)
    assert shapes["fisher_information"] == (0, K, K)
    assert hardmax(empty).shape == (0, K)


def test_one_target_is_compared_with_every_row():
    assert_array_equal(
        cross_entropy(TARGETS[5], GRID), cross_entropy(np.tile(TARGETS[5], (20, 1)), GRID)
    )
    assert_array_equal(gradient(TARGETS[5], GRID), gradient(np.tile(TARGETS[5], (20, 1)), GRID))


@each_call
@pytest.mark.parametrize(
    ("given_as", "returned_as"),
    [("float16", "float16"), ("float32", "float32"), ("float64", "float64"), ("int64", "float64")],
)
def test_floating_precision_is_kept_and_integers_become_double(call, given_as, returned_as):
    assert call(np.array([[3, 1, 0], [2, 2, 1]], dtype=given_as)).dtype == returned_as


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("function", [softmax, log_softmax])
@pytest.mark.parametrize("temperature", [0.7, 1.0, 1e30])
def test_low_precision_is_the_double_result_rounded_once(function, dtype, temperature):
    top = np.finfo(dtype).max
    logits = np.vstack([GRID, [[top, -top, 0, 1], [-INF, -top, -top, -INF]]]).astype(dtype)
    with np.errstate(over="ignore"):
        expected = function(logits.astype(float), temperature).astype(dtype)
    assert_array_equal(function(logits, temperature), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_log_partition_reaches_as_far_as_its_values_in_every_precision(dtype):
    """Neither a difference of logits nor a sum over 70000 classes may overflow; two roundings."""
    top = np.finfo(dtype).max
    assert log_partition(np.array([top, -top], dtype)) == top
    many = log_partition(np.zeros(70000, dtype))
    assert abs(float(many) - math.log(70000)) <= np.finfo(dtype).eps * math.log(70000)


@each_call
def test_no_function_writes_into_its_argument(call):
    logits = GRID.copy()
    logits.flags.writeable = False
    assert call(logits).flags.writeable
    assert_array_equal(logits, GRID)


@pytest.mark.parametrize(
    ("ours", "scipys"),
    [
        (softmax(GRID), special.softmax(GRID, axis=-1)),
        (log_softmax(GRID), special.log_softmax(GRID, axis=-1)),
        (log_partition(GRID), special.logsumexp(GRID, axis=-1)),
        (sigmoid(GRID), special.expit(GRID)),
        (softplus(GRID), -special.log_expit(-GRID)),
        (entropy(TARGETS), stats.entropy(TARGETS, axis=-1)),
        (kl_divergence(TARGETS, softmax(GRID)), stats.entropy(TARGETS, softmax(GRID), axis=-1)),
    ],
    ids=["softmax", "log_softmax", "log_partition", "sigmoid", "softplus", "entropy", "kl_divergence"],
)
def test_values_agree_with_scipy(ours, scipys):
    assert_allclose(ours, scipys, atol=TOL, rtol=0)


# --- errors ----------------------------------------------------------------------------------------


@each_of_logits
@pytest.mark.parametrize(
    "bad", [[np.nan, 0.0], [INF, 0.0], [-INF, -INF], [np.nan, -INF], [INF, np.nan]]
)
def test_a_row_that_is_no_distribution_is_named(call, bad):
    good = [0.0, -INF]
    with pytest.raises(ValueError, match=r"logits must be finite or -inf.* row 1 is \["):
        call([good, bad, bad])
    with pytest.raises(ValueError, match=r"row \(1, 0\) is \["):
        call([[good, good], [bad, good]])
    with pytest.raises(ValueError, match=r"logits must be finite or -inf"):
        call(bad)


@each_of_logits
@pytest.mark.parametrize("shape", [(), (0,), (3, 0)])
def test_logits_without_a_class_axis_are_refused(call, shape):
    with pytest.raises(ValueError, match=r"at least one class along the last axis, got shape \("):
        call(np.zeros(shape))


NO_TEMPERATURES = [0, -0.0, -1.0, np.nan, INF, -INF, "1", None, 1j, [1.0], np.array([1.0, 2.0])]
BEYOND_FLOATS = [10**400, Fraction(1, 10**400)]


@pytest.mark.parametrize("temperature", NO_TEMPERATURES + BEYOND_FLOATS, ids=lambda T: repr(T)[:16])
@pytest.mark.parametrize(
    "function",
    [check_temperature, lambda T: softmax([0.0, 1.0], T), lambda T: log_softmax([0.0, 1.0], T)],
)
def test_a_temperature_must_be_a_positive_finite_number(function, temperature):
    with pytest.raises(ValueError, match=r"temperature must be a positive finite number, got"):
        function(temperature)


@pytest.mark.parametrize(
    "temperature", [TINY, 1, 2.5, MAX, np.float32(0.5), np.int64(3), Fraction(1, 2)]
)
def test_a_good_temperature_comes_back_as_a_float(temperature):
    checked = check_temperature(temperature)
    assert type(checked) is float
    assert checked == temperature


# --- stored numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("logits", "stored"),
    [([3.0, 1.0, 0.2], [0.836, 0.113, 0.051]), ([2.0, 1.0, 0.1], [0.659, 0.242, 0.099])],
)
def test_worked_examples_follow_the_definition(logits, stored):
    """Tutorials round them wrongly. ``exp(z)`` without a shift: K + 3 EPS on each side, 3 for rounded r."""
    definition = np.array([math.exp(z) for z in logits]) / sum(math.exp(z) for z in logits)
    assert_allclose(softmax(logits), definition, rtol=15 * EPS)
    assert_array_equal(definition.round(3), stored)
