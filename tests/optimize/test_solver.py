"""The search for a minimum, on functions whose minimum is known."""

import numpy as np
import pytest
from convex import (
    HESSIAN,
    OPTIMUM,
    Convex,
    Kind,
    barrier,
    bend,
    condition,
    decay,
    decrement,
    exponentials,
    hessian_kind,
    log_cosh,
    metric_of,
    minimize,
    quadratic,
    quartic,
    root,
    separable,
)
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from smreg.optimize import solver
from smreg.optimize.line_search import EvaluatedLine
from smreg.optimize.metric import DenseMetric

EPS = np.finfo(np.float64).eps
EUCLIDEAN = metric_of(np.eye(3))
FAR = np.array([3.0, -2.0, 1.0])

# The Hessian for nothing, for so much that it is never made, and not at all.
PRICES = {"a Hessian for nothing": 0.0, "a dear Hessian": 1e6, "no Hessian": None}


def kinds_of(function, price):
    return [] if price is None else [hessian_kind(function, price)]


def norm_bounds(function, point, metric):
    """Between which the norm that is reported lies, where its preconditioner is no Hessian.

    By conjugate gradients from zero it is from below. They end where ``r' M^-1 r`` is `NEGLIGIBLE` of the
    energy times the least curvature seen; what is missing is at most ``r' M^-1 r`` by the least there is, and
    a curvature seen is at most the condition times that.
    """
    exact, missing = (
        decrement(function, point),
        solver.NEGLIGIBLE * condition(function.hessian(point.x), metric),
    )
    return exact / np.sqrt(1 + missing), exact


# -- quadratics: Newton's step is exact


@pytest.mark.parametrize("units", [1.0, np.array([1e8, 1.0, 1e-8])], ids=["one", "mixed"])
@pytest.mark.parametrize("price", PRICES.values(), ids=PRICES)
def test_in_the_metric_of_its_hessian_a_quadratic_takes_one_step(units, price):
    """But for the jitter of 2**-40 in the metric, which a condition below 2**2 and a ratio of entries of 2**2
    can raise to 2**-36."""
    function = quadratic(units)
    minimum = minimize(function, np.zeros(3), metric_of(function.hessian(None)), kinds_of(function, price))

    assert (minimum.reason, minimum.iterations) == ("converged", 1)
    assert len(function.points) == 2
    assert_allclose(minimum.point.x, OPTIMUM * units, rtol=2.0**-36)


@pytest.mark.parametrize("warm", [False, True])
def test_with_the_hessian_for_nothing_a_quadratic_takes_a_step_more_at_most_from_any_metric(warm):
    """In a poor metric the first step may lead astray; in the Hessian one is enough."""
    function = quadratic()
    minimum = minimize(
        function, np.zeros(3), metric_of(np.diag([1.0, 9.0, 100.0])), [hessian_kind(function)], warm=warm
    )

    assert minimum.reason == "converged"
    assert minimum.iterations <= (1 if warm else 3)
    assert_allclose(minimum.point.x, OPTIMUM, rtol=2.0**-36)


def test_in_a_poor_metric_it_converges_too():
    """The norm, at most 1e-8 and a little more for what is not seen of it, bounds the error by norm / root of
    the least eigenvalue of 1.26."""
    function = quadratic()
    minimum = minimize(function, np.zeros(3), EUCLIDEAN)

    assert minimum.reason == "converged"
    assert minimum.point.norm <= 1e-8
    slack = np.sqrt(1 + solver.NEGLIGIBLE * condition(HESSIAN, EUCLIDEAN))
    assert_allclose(minimum.point.x, OPTIMUM, rtol=0, atol=1e-8 * slack / np.sqrt(1.26))


# -- the norm is the Newton decrement, whatever the metric


WRONG = {"right": 1.0, "a hundredfold": 1e2, "a millionfold": 1e6, "a hundredth": 1e-2}


@pytest.mark.parametrize("factor", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("max_iter", [0, 1, 2])
@pytest.mark.parametrize("price", PRICES.values(), ids=PRICES)
def test_the_norm_that_is_reported_at_a_limit_is_the_newton_decrement(factor, max_iter, price):
    """From below, unless the Hessian has been made. Products and differences round by 2**-52, times a
    condition below 2**6, the start's gradient of 2**4 and a decrement's derivative: 2**-40 of the first."""
    function, metric = quadratic(), metric_of(factor * np.diag([1.0, 4.0, 9.0]))
    minimum = minimize(function, np.zeros(3), metric, kinds_of(function, price), tol=1e-14, max_iter=max_iter)
    low, high = norm_bounds(function, minimum.point, metric)

    if minimum.reason == "max_iter":
        assert low - 2.0**-36 <= minimum.point.norm <= high * (1 + 2.0**-30) + 2.0**-36
    else:
        assert high <= 2.0**-36


@pytest.mark.parametrize("factor", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("price", PRICES.values(), ids=PRICES)
def test_a_wrong_metric_does_not_end_the_search_early(factor, price):
    """In a metric ten times too long in each direction a gradient has a tenth of its norm."""
    function = quadratic()
    metric = metric_of(factor * HESSIAN * np.outer([1, 2, 3], [1, 2, 3]))
    minimum = minimize(function, np.zeros(3), metric, kinds_of(function, price), tol=1e-6)
    missing = solver.NEGLIGIBLE * condition(HESSIAN, metric)

    assert minimum.reason == "converged"
    assert minimum.point.norm <= 1e-6
    assert decrement(function, minimum.point) <= 1e-6 * np.sqrt(1 + missing)


def test_the_excess_over_the_minimum_is_half_the_norm_squared():
    """Exactly so for a quadratic, here before the first step, in its own metric: a jitter as above."""
    function = quadratic()
    start = minimize(
        function, np.zeros(3), metric_of(HESSIAN), [hessian_kind(function)], warm=True, max_iter=0
    ).point

    assert start.value == pytest.approx(start.norm**2 / 2, rel=2.0**-35)


@pytest.mark.parametrize("far", [3.0, 18.0, 30.0, 1000.0])
def test_a_start_that_only_its_metric_calls_the_minimum_is_left(far):
    """The norm in the metric, ``|tanh x| / 1e10``, is below tol, and there is hardly any curvature, or from
    19 on none: Newton's step leads nowhere."""
    function = log_cosh()
    minimum = minimize(function, np.full(3, far), metric_of(1e20 * np.eye(3)), tol=1e-2)

    assert minimum.reason == "converged"
    assert np.linalg.norm(minimum.point.x) <= 1.1e-2


# -- a linear change of coordinates, with the metric changed accordingly, changes nothing


def changed(function, T):
    """The same function of ``y = T x``."""
    inverse = np.linalg.inv(T)

    def value_and_gradient(y):
        value, gradient = function.value_and_gradient(inverse @ y)
        return value, inverse.T @ gradient

    return Convex(value_and_gradient, lambda y: inverse.T @ function.hessian(inverse @ y) @ inverse)


@pytest.mark.parametrize("made", [quadratic, log_cosh, exponentials, root], ids=lambda made: made.__name__)
@pytest.mark.parametrize("price", PRICES.values(), ids=PRICES)
def test_units_that_are_powers_of_two_change_no_bit(made, price):
    """Of values, norms and counts: they round nothing."""
    units = 2.0 ** np.array([-30, 3, 20])
    here, there = made(), changed(made(), np.diag(units))
    metric = 0.3 * HESSIAN
    ours = minimize(here, FAR, DenseMetric(metric.copy()), kinds_of(here, price))
    theirs = minimize(
        there, units * FAR, DenseMetric(metric / np.outer(units, units)), kinds_of(there, price)
    )

    assert_array_equal(theirs.point.x, units * ours.point.x)
    assert (theirs.point.value, theirs.point.norm, theirs.reason) == (
        ours.point.value,
        ours.point.norm,
        ours.reason,
    )
    assert theirs.iterations == ours.iterations
    assert theirs.evaluations == ours.evaluations
    assert theirs.refreshes == ours.refreshes


@pytest.mark.parametrize("made", [quadratic, log_cosh, exponentials, root], ids=lambda made: made.__name__)
@pytest.mark.parametrize("price", PRICES.values(), ids=PRICES)
def test_any_change_of_coordinates_leads_the_same_way(made, price, rng):
    """The first steps, while rounding of some EPS times a condition of 2**10 has not been multiplied by more
    than 2**16; at the end both are within tol, in the metric of a Hessian of at least one at these minima."""
    T = rng.normal(size=(3, 3)) + 3 * np.eye(3)
    back = np.linalg.inv(T)
    here, there = made(), changed(made(), T)
    paths = [], []
    ends = []
    for function, x, matrix, path in (
        (here, FAR, HESSIAN, paths[0]),
        (there, T @ FAR, back.T @ HESSIAN @ back, paths[1]),
    ):
        end = minimize(
            function,
            x,
            metric_of(matrix),
            kinds_of(function, price),
            on_iteration=lambda point, path=path: bool(path.append(point.value)),
        )
        ends.append(end.point.x)

    steps = min(3, *map(len, paths))
    assert_allclose(paths[1][:steps], paths[0][:steps], rtol=0, atol=2.0**-26)
    assert_allclose(back @ ends[1], ends[0], rtol=0, atol=2.2e-8)


# -- no end is worse than the start

FUNCTIONS = {
    "log cosh": (log_cosh, FAR, 0.0),
    "a root": (root, FAR, 0.0),
    "a bend": (bend, np.zeros(3), 1 + np.log(5) / 5),
    "a bend before a small rise": (
        lambda: bend(0.15, 0.01, 0.002),
        np.zeros(3),
        0.01 + 0.002 * np.log(1 / 0.15),
    ),
    "a decay": (decay, np.full(3, 14.0), -np.log(5e-5)),
    "a barrier": (barrier, np.full(3, 0.1), 0.5),
    "exponentials": (exponentials, np.array([40.0, -20.0, 5.0]), np.log(2) / 3),
    "exponentials that overflow a step away": (exponentials, np.array([-100.0, 0.0, 5.0]), np.log(2) / 3),
    "corners": (lambda: bend(1.0, 0.0, 1e-3), FAR, 0.0),
    "sharp corners": (lambda: bend(0.5, 0.0, 1e-8), FAR, 1e-8 * np.log(2)),
}


@pytest.mark.parametrize(("made", "start", "optimum"), FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("price", PRICES.values(), ids=PRICES)
@pytest.mark.parametrize("factor", [1e-2, 1.0, 1e2])
def test_the_minimum_is_found(made, start, optimum, price, factor):
    """The norm, within the factor of what is not seen of it, is a distance in the metric of the curvature at
    the minimum; twice that, since it changes nearby."""
    function, tol = made(), 1e-6
    minimum = minimize(function, start, metric_of(factor * np.eye(3)), kinds_of(function, price), tol=tol)

    assert minimum.reason == "converged"
    curvature = function.hessian(np.full(3, optimum)).diagonal()
    assert_allclose(minimum.point.x, optimum, rtol=0, atol=2 * tol / np.sqrt(curvature.min()))


@pytest.mark.parametrize(("made", "start", "optimum"), FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("price", PRICES.values(), ids=PRICES)
@pytest.mark.parametrize("warm", [False, True])
def test_no_end_is_worse_than_the_start(made, start, optimum, price, warm):
    for factor in (1e-4, 1.0, 1e4):
        for max_iter in (0, 1, 2, 5, 1000):
            function = made()
            minimum = minimize(
                function,
                start,
                metric_of(factor * np.eye(3)),
                kinds_of(function, price),
                tol=1e-9,
                max_iter=max_iter,
                warm=warm,
            )

            assert minimum.point.value <= function(start)[0]
            assert minimum.iterations <= max_iter


@st.composite
def sums_of_bends(draw):
    """Convex in three coordinates: a little of a square, and bends along random directions."""
    numbers = st.floats(-3, 3)
    rows = np.array(draw(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=6)))
    shifts = np.array([draw(numbers) for _ in rows])
    sharpness = np.array([10.0 ** draw(st.floats(-1, 3)) for _ in rows])
    ridge = 10.0 ** draw(st.floats(-6, 0))

    def logits(x):
        return sharpness * (rows @ x - shifts)

    def value_and_gradient(x):
        with np.errstate(all="ignore"):
            t = logits(x)
            value = np.sum((np.logaddexp(t, -t) - np.log(2)) / sharpness) + ridge * x @ x / 2
            return float(value), rows.T @ np.tanh(t) + ridge * x

    def hessian(x):
        curvature = sharpness / np.cosh(np.minimum(np.abs(logits(x)), 350)) ** 2
        return (rows.T * curvature) @ rows + ridge * np.eye(3)

    return Convex(value_and_gradient, hessian)


@given(sums_of_bends(), st.sampled_from(list(PRICES.values())), st.floats(-3, 3), st.integers(0, 20))
def test_no_step_of_any_search_raises_the_value(function, price, size, max_iter):
    """But for the rounding of two values, whose terms are of a size below 2**7."""
    values, start = [], np.array([2.0, -1.0, 0.5])
    metric = metric_of(10.0**size * np.eye(3))
    minimum = minimize(
        function,
        start,
        metric,
        kinds_of(function, price),
        tol=1e-6,
        max_iter=max_iter,
        on_iteration=lambda point: bool(values.append(point.value)),
    )
    values = [function.value_and_gradient(start)[0], *values]

    assert (np.diff(values) <= 2.0**10 * EPS).all()
    assert minimum.point.value <= values[0]
    assert minimum.evaluations >= 1


@given(sums_of_bends(), st.sampled_from([0.0, None]), st.floats(-3, 3))
def test_every_search_ends_where_the_gradient_is_small(function, price, size):
    """The decrement is at most tol but for what conjugate gradients do not see of it, a root of the condition
    in the metric at most."""
    minimum = minimize(
        function, [2.0, -1.0, 0.5], metric_of(10.0**size * np.eye(3)), kinds_of(function, price), tol=1e-6
    )

    assert minimum.reason in ("converged", "rounding")
    exact = decrement(function, minimum.point)
    assert exact <= 1e-5 or minimum.reason == "rounding"


# -- limits, and the user


@pytest.mark.parametrize("price", PRICES.values(), ids=PRICES)
@pytest.mark.parametrize("max_iter", [1, 2, 3])
def test_it_ends_after_max_iter_steps(price, max_iter):
    steps, function = [], log_cosh()
    minimum = minimize(
        function,
        [30.0, -20.0, 10.0],
        EUCLIDEAN,
        kinds_of(function, price),
        max_iter=max_iter,
        on_iteration=lambda point: bool(steps.append(point)),
    )

    assert minimum.reason == "max_iter"
    assert minimum.iterations == len(steps) == max_iter
    assert_array_equal(minimum.point.x, steps[-1].x)


@pytest.mark.parametrize("price", PRICES.values(), ids=PRICES)
def test_the_user_can_end_it(price):
    """The norm is the Newton decrement, of whose square conjugate gradients may miss a 16th."""
    function = log_cosh()
    minimum = minimize(
        function, [30.0, -20.0, 10.0], EUCLIDEAN, kinds_of(function, price), on_iteration=lambda point: True
    )

    assert (minimum.reason, minimum.iterations) == ("callback", 1)
    H, gradient = function.hessian(minimum.point.x), minimum.point.gradient
    assert minimum.point.norm == pytest.approx(np.sqrt(gradient @ np.linalg.solve(H, gradient)), rel=1 / 16)


def test_the_start_is_returned_where_it_is_the_minimum():
    function = quadratic()
    minimum = minimize(function, OPTIMUM, EUCLIDEAN)

    assert (minimum.reason, minimum.iterations, minimum.evaluations) == ("converged", 0, 1)
    assert_array_equal(minimum.point.x, OPTIMUM)


@pytest.mark.parametrize("price", PRICES.values(), ids=PRICES)
def test_a_flat_function_is_at_its_minimum(price):
    flat = separable(np.zeros_like, np.zeros_like, np.zeros_like)
    minimum = minimize(flat, FAR, EUCLIDEAN, kinds_of(flat, price))

    assert (minimum.reason, minimum.iterations, minimum.point.norm) == ("converged", 0, 0.0)


@pytest.mark.parametrize("price", PRICES.values(), ids=PRICES)
def test_a_function_without_a_minimum_is_followed_to_the_limit(price):
    """``exp(-x)``: each of Newton's steps has length one, and a line search goes no less far."""
    function = separable(lambda x: np.exp(-x), lambda x: -np.exp(-x), lambda x: np.exp(-x))
    minimum = minimize(function, np.zeros(3), EUCLIDEAN, kinds_of(function, price), max_iter=4)

    assert minimum.reason == "max_iter"
    assert minimum.point.value < 3 * np.exp(-4.0 if price == 0.0 else -1.0)


def test_a_tolerance_of_zero_is_allowed():
    """It is met where the gradient is zero, or rounding ends the search."""
    for price in PRICES.values():
        function = log_cosh()
        minimum = minimize(function, FAR, EUCLIDEAN, kinds_of(function, price), tol=0.0)

        assert minimum.reason in ("converged", "rounding")
        assert np.abs(minimum.point.x).max() <= 2.0**-26


# -- rounding


@pytest.mark.parametrize("tol", [1e-4, 1e-8, 1e-12])
@pytest.mark.parametrize("price", PRICES.values(), ids=PRICES)
def test_a_tolerance_below_the_resolution_of_the_function_is_reached(tol, price):
    """Values near one differ by norm**2 / 2 < 2**-52 below norms of 2e-8; the gradient sees further."""
    function = quadratic(offset=1.0)
    minimum = minimize(
        function, np.zeros(3), metric_of(HESSIAN + np.eye(3)), kinds_of(function, price), tol=tol
    )

    assert minimum.reason == "converged"
    assert minimum.point.norm <= tol


def rough(size=1e-12):
    """A gradient that never falls below a size in an entry, as if it were a sum that does not cancel."""
    return Convex(
        lambda x: (1.0 + float(x @ x) / 2, x + np.where(x < 0, -size, size)), lambda x: np.eye(len(x))
    )


@pytest.mark.parametrize("price", PRICES.values(), ids=PRICES)
def test_a_tolerance_below_rounding_ends_with_the_reason_rounding(price):
    function = rough()
    minimum = minimize(function, [1.0, 2.0, 3.0], EUCLIDEAN, kinds_of(function, price), tol=1e-14)

    assert minimum.reason == "rounding"
    assert 1e-12 <= minimum.point.norm <= 1e-11
    assert minimum.refreshes < 100


def test_it_ends_too_where_the_preconditioner_is_never_the_hessian():
    """It must not be made at the same point for ever."""
    minimum = minimize(
        rough(), [1.0, 2.0, 3.0], EUCLIDEAN, [Kind(lambda x: np.eye(3), is_hessian=False)], tol=1e-14
    )

    assert minimum.reason == "rounding"
    assert minimum.refreshes < 100


@pytest.mark.parametrize("price", [*PRICES.values(), 10.0])
def test_a_function_that_falls_nowhere_though_its_gradient_says_so_comes_to_an_end(price):
    """Rounding can do that."""
    function = Convex(lambda x: (1.0, np.ones_like(x)), lambda x: np.eye(3))
    minimum = minimize(function, np.zeros(3), EUCLIDEAN, kinds_of(function, price))

    assert minimum.reason == "rounding"
    assert function.work < 10_000


# -- counts


@pytest.mark.parametrize(("made", "start", "optimum"), FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("price", PRICES.values(), ids=PRICES)
def test_all_evaluations_and_products_are_counted(made, start, optimum, price):
    """A product with the Hessian is as dear as an evaluation, and counts as one; the start is handed over."""
    function = made()
    kinds = kinds_of(function, price)
    minimum = minimize(function, start, EUCLIDEAN, kinds, tol=1e-6)

    assert minimum.evaluations == function.work
    assert minimum.refreshes == sum(len(kind.made) for kind in kinds)


def test_a_preconditioner_that_knows_next_to_nothing_takes_a_limited_number_of_products(rng):
    """Of a Hessian of two hundred eigenvalues over ten orders of magnitude."""
    basis = np.linalg.qr(rng.normal(size=(200, 200)))[0]
    H = basis * np.geomspace(1e-10, 1.0, 200) @ basis.T
    g = rng.normal(size=200)
    function = Convex(lambda x: (float(x @ H @ x / 2 - g @ x), H @ x - g), lambda x: H)
    minimum = minimize(function, np.zeros(200), metric_of(np.eye(200)), max_iter=0)

    assert function.products <= solver.MAX_CONJUGATE
    assert minimum.evaluations == function.work
    assert minimum.point.norm <= np.sqrt(g @ np.linalg.solve(H, g)) * (1 + 2.0**-10)


# -- which preconditioner is made, and when


def kinds_at(*prices, hessian=True):
    """Of several, only the last is the Hessian of log cosh; the others are three times as large."""
    last = len(prices) - 1
    exact = log_cosh().hessian
    return [
        Kind(lambda x, k=k: (1.0 if k == last else 3.0) * exact(x), price, is_hessian=k == last and hessian)
        for k, price in enumerate(prices)
    ]


POOR = metric_of(0.1 * np.eye(3))


@pytest.mark.parametrize("warm", [False, True])
def test_a_kind_that_costs_more_than_the_search_is_never_made(warm):
    (kind,) = kinds_at(1e6)
    minimum = minimize(log_cosh(), FAR, POOR, [kind], tol=1e-10, warm=warm)

    assert minimum.reason == "converged"
    assert minimum.refreshes == len(kind.asked) == 0


@pytest.mark.parametrize("hessian", [False, True])
def test_a_kind_that_costs_nothing_is_made(hessian):
    (kind,) = kinds_at(0.0, hessian=hessian)
    minimum = minimize(log_cosh(), FAR, POOR, [kind], tol=1e-10)

    assert minimum.reason == "converged"
    assert minimum.refreshes == len(kind.asked) >= hessian


@pytest.mark.parametrize("price", [10.0, 20.0, 40.0])
def test_a_dear_kind_is_not_made_before_evaluations_have_paid_for_it(price):
    """PATIENCE of them for each that it costs; convergence is slow, of thirty directions of other curvature,
    in a poor metric."""
    function, paid = quartic(np.geomspace(1.0, 1e3, 30)), []
    kind = Kind(lambda x: paid.append(function.work) or function.hessian(x), price)
    minimum = minimize(function, np.ones(30), metric_of(np.eye(30)), [kind], tol=1e-9)

    assert minimum.reason == "converged"
    assert minimum.refreshes == len(paid) >= 1
    assert paid[0] >= solver.PATIENCE * price


def test_of_two_kinds_the_cheap_one_is_made_while_the_dear_one_is_not_paid_for():
    """In a poor metric of many directions."""
    function = quartic(np.geomspace(1.0, 1e3, 30))
    cheap, dear = Kind(function.hessian, 1.0, is_hessian=False), Kind(function.hessian, 1e6)
    minimum = minimize(function, np.ones(30), metric_of(np.eye(30)), [cheap, dear], tol=1e-9)

    assert minimum.reason == "converged"
    assert (len(cheap.asked) >= 1, len(dear.asked)) == (True, 0)


def test_of_two_kinds_that_are_paid_for_the_most_exact_is_made_and_never_a_lesser_one_again():
    kinds = kinds_at(0.0, 0.0)
    minimum = minimize(log_cosh(), FAR, POOR, kinds, tol=1e-10)

    assert minimum.reason == "converged"
    assert (len(kinds[0].asked), len(kinds[1].asked) >= 1) == (0, True)


@pytest.mark.parametrize(("price", "refreshed"), [(0.0, True), (1e6, False)])
def test_a_warm_start_begins_with_a_refresh_unless_that_is_too_dear(price, refreshed):
    """Another preconditioner is not made then."""
    function, (kind,), made = log_cosh(), kinds_at(price), []
    start = solver.Point(FAR, *function(FAR))
    solver.minimize(
        function,
        start,
        lambda: made.append(EUCLIDEAN) or EUCLIDEAN,
        [kind],
        tol=1e-8,
        max_iter=9,
        warm=True,
        on_iteration=lambda point: True,
    )

    assert any(x is FAR for x in kind.asked) == refreshed
    assert len(made) == (not refreshed)


def test_a_cold_start_begins_in_the_preconditioner_that_is_handed_over():
    (kind,) = kinds_at(0.0)
    minimize(log_cosh(), FAR, EUCLIDEAN, [kind], on_iteration=lambda point: True)

    assert not any(np.array_equal(x, FAR) for x in kind.asked)


def test_a_warm_start_at_the_minimum_takes_one_evaluation_and_one_preconditioner():
    minimum = minimize(log_cosh(), np.full(3, 1e-9), EUCLIDEAN, kinds_at(0.0), warm=True)

    assert minimum.reason == "converged"
    assert (minimum.iterations, minimum.evaluations, minimum.refreshes) == (0, 1, 1)


@pytest.mark.parametrize("start", [FAR, np.full(3, 0.1)])
def test_a_warm_start_needs_no_more_steps_with_the_hessian_at_hand(start):
    """Nor does a start in which Newton's step would lead away end elsewhere."""
    function = log_cosh()
    minimum = minimize(function, start, EUCLIDEAN, [hessian_kind(function)], warm=True)

    assert minimum.reason == "converged"
    assert_allclose(minimum.point.x, 0, rtol=0, atol=1.1e-8)


def test_near_the_minimum_newton_s_steps_are_taken_where_the_hessian_costs_nothing():
    """They leave ``x - sinh(2 x) / 2`` of x, some ``2 x**3 / 3``: two steps from 0.05 to below 1e-10."""
    function = log_cosh()
    minimum = minimize(function, np.full(3, 0.05), EUCLIDEAN, [hessian_kind(function)], tol=1e-10, warm=True)

    assert minimum.reason == "converged"
    assert minimum.iterations == 2


class KnownGrowth(EvaluatedLine):
    """A line of a function whose second derivatives change by a factor of ``exp(2 |dx|)`` at most."""

    def growth(self, length):
        """``|d log cosh''| = 2 |tanh| cosh**-2 |dx|``, and the root of that of the factor."""
        return np.exp(length * np.abs(self._step).max())


@pytest.mark.parametrize("line", [EvaluatedLine, KnownGrowth])
def test_the_hessian_is_not_made_once_more_where_the_last_one_bounds_the_decrement(line):
    """The two steps of the law before, the last from 1e-4: the Hessian there and so the norm in it differ
    from those at its end by a part of 1e-8."""
    function = log_cosh()
    function.along = lambda x, step, known: line(function, x, step)
    kind = hessian_kind(function)
    minimum = minimize(function, np.full(3, 0.05), EUCLIDEAN, [kind], tol=1e-10, warm=True)

    assert minimum.reason == "converged"
    assert (minimum.iterations, minimum.refreshes) == (2, 3 if line is EvaluatedLine else 2)
    decrement = np.linalg.norm(DenseMetric(function.hessian(minimum.point.x)).whiten(minimum.point.gradient))
    assert minimum.point.norm == pytest.approx(decrement, rel=1e-8, abs=0)


@pytest.mark.parametrize("prices", [(), (1e6,), (0.0, 1e6), (0.0, 0.0)], ids=str)
def test_the_last_preconditioner_is_handed_over_where_it_is_of_the_most_exact_kind(prices):
    kinds = kinds_at(*prices)
    minimum = minimize(log_cosh(), FAR, POOR, kinds, tol=1e-10)

    assert minimum.reason == "converged"
    if prices == (0.0, 0.0):
        assert minimum.preconditioner is kinds[-1].made[-1]
    else:
        assert minimum.preconditioner is None


def test_a_preconditioner_that_is_called_the_hessian_is_believed():
    """With its norm, in place of conjugate gradients."""
    function = quadratic()
    minimum = minimize(function, np.zeros(3), metric_of(HESSIAN), [hessian_kind(function)])

    assert (minimum.evaluations, function.products, minimum.refreshes) == (2, 0, 1)
