"""L-BFGS in a metric, on functions whose minimum is known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from smreg.optimize import solver
from smreg.optimize.metric import Metric, inverse_factor

EPS = np.finfo(np.float64).eps
HESSIAN = np.array([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]])
OPTIMUM = np.array([1.0, -2.0, 0.5])


def minimize(function, start, metric, *arguments, **options):
    return solver.minimize(function, start, lambda: metric, *arguments, **options)


def cholesky_metric(matrix):
    return Metric(np.eye(1), inverse_factor(np.array(matrix, dtype=float))[np.newaxis])


EUCLIDEAN = cholesky_metric(np.eye(3))


@dataclass
class Renewal:
    """A way to renew the metric at the cost of nothing."""

    at: Callable
    cost: float = 0.0
    is_hessian: bool = True


def quadratic(units=1.0):
    """``(x - x*)' H (x - x*) / 2`` in other units, its metric and its minimum."""

    def function(x):
        g = HESSIAN @ (x / units - OPTIMUM)
        return 0.5 * float((x / units - OPTIMUM) @ g), g / units

    return function, cholesky_metric(HESSIAN / np.outer(units, units)), OPTIMUM * units


def log_cosh(x):
    """Convex, with minimum 0 at 0, curvature 1 there and none far away."""
    return float(np.sum(np.logaddexp(x, -x) - np.log(2))), np.tanh(x)


def solve(function, metric, start=None, refresh=None, **options):
    options = {"tol": 1e-8, "max_iter": 1000} | options
    renewals = () if refresh is None else (Renewal(lambda x, norm, is_damped: refresh(x)),)
    return minimize(function, np.zeros(3) if start is None else start, metric, renewals, **options)


@pytest.mark.parametrize("units", [1.0, np.array([1e8, 1.0, 1e-8])], ids=["one", "mixed"])
def test_in_the_metric_of_its_hessian_a_quadratic_takes_one_step(units):
    """One evaluation after the first: Newton's step is exact, but for the jitter of 2**-40 in the metric,
    which a condition below 2**2 and a ratio of entries of 2**2 can raise to 2**-36."""
    function, metric, optimum = quadratic(units)
    minimum = solve(function, metric, refresh=lambda x: metric)

    assert minimum.reason == "converged"
    assert (minimum.iterations, minimum.evaluations) == (1, 2)
    assert_allclose(minimum.point.x, optimum, rtol=2.0**-36)


def test_in_a_poor_metric_it_converges_too():
    """The norm in the Euclidean metric bounds the error by norm / (least eigenvalue of 1.38)."""
    function, _, optimum = quadratic()
    minimum = solve(function, EUCLIDEAN)

    assert minimum.reason == "converged"
    assert minimum.point.norm <= 1e-8
    assert_allclose(minimum.point.x, optimum, rtol=0, atol=1e-8 / 1.38)


def test_the_norm_that_it_reports_is_that_of_the_gradient_in_the_metric():
    """``g' H^-1 g`` by its definition. Products with H are differences of gradients of some 2**3 over 2**-17
    and round by 2**-52 * 2**20; that of the norm is half as much."""
    function, metric, _ = quadratic()
    minimum = solve(function, metric, max_iter=0)

    gradient = function(np.zeros(3))[1]
    assert minimum.reason == "max_iter"
    assert minimum.point.norm == pytest.approx(
        np.sqrt(gradient @ np.linalg.solve(HESSIAN, gradient)), rel=2.0**-32
    )


def test_the_excess_over_the_minimum_is_half_the_norm_squared():
    """Exactly so for a quadratic, here before the first step; rounding as above."""
    function, metric, _ = quadratic()
    start = solve(function, metric, max_iter=0).point

    assert start.value == pytest.approx(start.norm**2 / 2, rel=2.0**-31)


def test_refreshes_follow_the_curvature_and_the_last_norm_is_in_the_last_metric():
    """Far out log cosh has next to no curvature, so that a metric from there is useless near zero."""
    used = []

    def refresh(x):
        used.append(cholesky_metric(np.diag(1 - np.tanh(x) ** 2)))
        return used[-1]

    start = np.array([3.0, -2.0, 1.0])
    minimum = solve(log_cosh, refresh(start), start, refresh)

    assert minimum.reason == "converged"
    assert minimum.refreshes == len(used) - 1 >= 1
    assert np.linalg.norm(used[-1].whiten(minimum.point.gradient)) == minimum.point.norm <= 1e-8


@pytest.mark.parametrize("tol", [1e-4, 1e-8, 1e-12])
def test_a_tolerance_below_the_resolution_of_the_function_is_reached(tol):
    """Values near one differ by norm**2 / 2 < 2**-52 below norms of 2e-8; the gradient sees further."""
    function, metric, _ = quadratic()
    far_from_zero = solve(lambda x: (function(x)[0] + 1, function(x)[1]), metric, tol=tol)

    assert far_from_zero.reason == "converged"
    assert far_from_zero.point.norm <= tol


def test_a_tolerance_below_rounding_ends_with_the_reason_rounding():
    """The gradient never falls below 1e-12 in an entry, as if it were a sum that does not cancel."""

    def rough(x):
        return 1.0 + x @ x / 2, x + np.where(x < 0, -1e-12, 1e-12)

    minimum = solve(rough, EUCLIDEAN, np.array([1.0, 2.0, 3.0]), lambda x: EUCLIDEAN, tol=1e-14)

    assert minimum.reason == "rounding"
    assert 1e-12 <= minimum.point.norm <= 1e-11


def test_it_ends_after_max_iter_steps():
    steps = []
    minimum = solve(
        log_cosh,
        EUCLIDEAN,
        start=np.array([30.0, -20.0, 10.0]),
        max_iter=2,
        on_iteration=lambda point: bool(steps.append(point)),
    )

    assert minimum.reason == "max_iter"
    assert minimum.iterations == len(steps) == 2
    assert minimum.point is steps[-1] or minimum.point.value == steps[-1].value


def test_the_user_can_end_it():
    minimum = solve(log_cosh, EUCLIDEAN, start=np.ones(3) * 5, on_iteration=lambda point: True)

    assert minimum.reason == "callback"
    assert minimum.iterations == 1


def test_steps_never_rise_and_evaluations_are_all_counted():
    """Each accepted step lowers the value: the line search demands a decrease."""
    calls, values = [], []

    def counted(x):
        calls.append(x)
        return log_cosh(x)

    minimum = solve(
        counted,
        EUCLIDEAN,
        start=np.array([30.0, -20.0, 10.0]),
        on_iteration=lambda point: bool(values.append(point.value)),
    )

    assert minimum.evaluations == len(calls)
    assert (np.diff(values) < 0).all()


def test_a_step_to_where_the_function_is_not_finite_is_cut():
    """-log(1 - x) + ... has its minimum at 1/2; the first trial, of length 100, is outside."""

    def barrier(x):
        with np.errstate(all="ignore"):
            return float(np.sum(-np.log(x) - np.log(1 - x))), -1 / x + 1 / (1 - x)

    minimum = solve(barrier, cholesky_metric(1e-2 * np.eye(3)), start=np.full(3, 0.1))

    assert minimum.reason == "converged"
    # the norm of 1e-8 is measured in a metric of 1e-2, the curvature at the minimum is 8
    assert_allclose(minimum.point.x, 0.5, rtol=0, atol=1e-9)


def test_the_start_is_returned_where_it_is_the_minimum():
    function, metric, optimum = quadratic()
    minimum = solve(function, metric, start=optimum)

    assert (minimum.iterations, minimum.evaluations) == (0, 1)
    assert_array_equal(minimum.point.x, optimum)


# -- which metric is renewed, and when


def ways(*costs, hessian=True):
    """Exact metrics of log cosh at these costs, and the points at which each was asked for.

    Of several, only the last is the Hessian; the others are three times as large.
    """
    asked = [[] for _ in costs]

    def way(k):
        last = k == len(costs) - 1

        def at(x, norm, is_damped):
            asked[k].append((x, norm))
            return cholesky_metric(np.diag((1.0 if last else 3.0) * (1 - np.tanh(x) ** 2)))

        return Renewal(at, costs[k], is_hessian=last and hessian)

    return [way(k) for k in range(len(costs))], asked


FAR = np.array([3.0, -2.0, 1.0])
LONG = {"tol": 1e-10, "max_iter": 1000}


@pytest.mark.parametrize("warm", [False, True])
def test_a_way_that_costs_more_than_the_search_is_never_used(warm):
    """In a metric near the Hessian there are tens of evaluations, which pay for 1 / PATIENCE as many."""
    renewals, asked = ways(1e6)
    minimum = minimize(log_cosh, FAR, cholesky_metric(0.1 * np.eye(3)), renewals, warm=warm, **LONG)

    assert minimum.reason == "converged"
    assert minimum.refreshes == len(asked[0]) == 0


def test_a_way_that_costs_nothing_is_used():
    renewals, asked = ways(0.0)
    minimum = minimize(log_cosh, FAR, cholesky_metric(0.1 * np.eye(3)), renewals, **LONG)

    assert minimum.reason == "converged"
    assert minimum.refreshes == len(asked[0]) >= 1


@pytest.mark.parametrize("cost", [10.0, 20.0, 40.0])
def test_a_dear_way_is_not_used_before_evaluations_have_paid_for_it(cost):
    """Those of one search come to PATIENCE for each that the renewal costs; convergence is slow, of a quartic
    in thirty directions of other curvature, in a poor metric."""
    units = np.geomspace(1.0, 1e3, 30)
    evaluations, used = [], []

    def quartic(x):
        evaluations.append(x)
        return float(np.sum((units * x) ** 2 / 2 + x**4)), units**2 * x + 4 * x**3

    def at(x, norm, is_damped):
        used.append(len(evaluations))
        return cholesky_metric(np.diag(units**2 + 12 * x**2))

    minimum = minimize(
        quartic, np.ones(30), cholesky_metric(np.eye(30)), [Renewal(at, cost)], tol=1e-9, max_iter=1000
    )

    assert minimum.reason == "converged"
    assert minimum.refreshes == len(used) >= 1
    assert used[0] >= solver.PATIENCE * cost
    assert (np.diff(used) >= solver.PATIENCE * cost).all()


def test_of_two_ways_the_cheap_one_is_used_while_the_dear_one_is_not_paid_for():
    renewals, asked = ways(0.0, 1e6)
    minimum = minimize(log_cosh, FAR, cholesky_metric(0.1 * np.eye(3)), renewals, **LONG)

    assert minimum.reason == "converged"
    assert (len(asked[0]) >= 1, len(asked[1])) == (True, 0)


def test_of_two_ways_that_are_paid_for_the_most_exact_is_used_and_never_a_lesser_one_again():
    renewals, asked = ways(0.0, 0.0)
    minimum = minimize(log_cosh, FAR, cholesky_metric(0.1 * np.eye(3)), renewals, **LONG)

    assert minimum.reason == "converged"
    assert (len(asked[0]), len(asked[1]) >= 1) == (0, True)


@pytest.mark.parametrize(
    ("cost", "renewed"), [(0.0, True), (solver.WARM_COST, True), (2 * solver.WARM_COST, False)]
)
def test_a_warm_start_renews_the_metric_there_first_unless_that_is_too_dear(cost, renewed):
    """For its own sake: with the norm zero, which damps nothing. Another metric is not made then."""
    renewals, asked = ways(cost)
    options = {"tol": 1e-8, "max_iter": 9, "on_iteration": lambda point: True}
    made = []
    solver.minimize(
        log_cosh, FAR, lambda: made.append(EUCLIDEAN) or EUCLIDEAN, renewals, warm=True, **options
    )

    assert [norm for x, norm in asked[0] if x is FAR] == [0.0] * renewed
    assert len(made) == (not renewed)


def test_a_cold_start_does_not():
    renewals, asked = ways(solver.WARM_COST)
    options = {"tol": 1e-8, "max_iter": 9, "on_iteration": lambda point: True}
    minimize(log_cosh, FAR, EUCLIDEAN, renewals, **options)

    assert not any(x is FAR for x, _ in asked[0])


def test_a_warm_start_at_the_minimum_takes_one_evaluation_and_one_metric():
    renewals, _ = ways(0.0)
    minimum = minimize(log_cosh, np.full(3, 1e-9), EUCLIDEAN, renewals, warm=True, tol=1e-8, max_iter=9)

    assert minimum.reason == "converged"
    assert (minimum.iterations, minimum.evaluations, minimum.refreshes) == (0, 1, 1)


@pytest.mark.parametrize("costs", [(), (1e6,), (0.0, 1e6), (0.0, 0.0)])
def test_the_last_metric_is_handed_over_where_it_was_made_in_the_most_exact_way(costs):
    renewals, _ = ways(*costs)
    made = [[] for _ in costs]
    for way, mine in zip(renewals, made, strict=True):
        way.at = lambda *given, at=way.at, mine=mine: mine.append(at(*given)) or mine[-1]
    minimum = minimize(log_cosh, FAR, cholesky_metric(0.1 * np.eye(3)), renewals, **LONG)

    assert minimum.reason == "converged"
    if costs == (0.0, 0.0):
        assert minimum.metric is made[-1][-1]
    else:
        assert minimum.metric is None


SLOPE = 5e-5


def decay(x):
    """``exp(-x)`` plus a slope: with a curvature of ``exp(-x)``, flat beyond its minimum at 9.9."""
    return float(np.exp(-x).sum() + SLOPE * x.sum()), SLOPE - np.exp(-x)


@pytest.mark.parametrize("damping", [0.0, SLOPE])
def test_a_metric_in_which_newton_s_step_leads_astray_is_made_again_damped_and_not_for_ever(damping):
    """From 14, with a norm of 0.09, it leads to -46, where the function is 1e20. With the curvature at the
    minimum added it is one nat long; with nothing added it is no better, and line searches must do.

    A norm of 1e-8 is a distance of ``1e-8 / sqrt(SLOPE)`` from the minimum.
    """
    asked = []

    def at(x, norm, is_damped):
        asked.append((x[0], is_damped))
        return cholesky_metric(np.diag(np.exp(-x) + is_damped * damping))

    way = Renewal(at, cost=2 * solver.CHEAP)
    minimum = minimize(decay, np.full(3, 14.0), EUCLIDEAN, [way], tol=1e-8, max_iter=1000, warm=True)

    assert minimum.reason == "converged"
    assert_allclose(minimum.point.x, -np.log(SLOPE), rtol=0, atol=1.1e-8 / np.sqrt(SLOPE))
    assert asked[:2] == [(14.0, False), (14.0, True)]
    assert sum(is_damped for _, is_damped in asked) <= solver.MOST_DAMPED
    assert minimum.refreshes == len(asked)


# -- Newton's steps, where the Hessian costs nothing


@pytest.mark.parametrize("cost", [0.0, solver.CHEAP, 2 * solver.CHEAP])
def test_near_the_minimum_newton_s_steps_are_taken_where_the_hessian_costs_nothing(cost):
    """They leave ``x - sinh(2 x) / 2`` of x, some ``x**3``: two steps from 0.05 to below 1e-10. With a dearer
    Hessian each step would be one of L-BFGS, in the metric of the start."""
    start = np.full(3, 0.05)
    renewals, asked = ways(cost)
    minimum = minimize(log_cosh, start, EUCLIDEAN, renewals, **LONG)

    assert minimum.reason == "converged"
    if cost <= solver.CHEAP:
        assert (minimum.iterations, minimum.evaluations) == (2, 3)
        assert [norm for _, norm in asked[0]] == [0.0] * 3
    else:
        assert minimum.evaluations > 3


def root(x):
    """``sqrt(1 + x**2)``, whose Newton steps lead from x to ``-x**3``; its derivatives."""
    length = np.sqrt(1 + x**2)
    return length, x / length, length**-3.0


def bend(x):
    """Falls with slope 1 up to a bend at 1, with a width of 1/5, and rises with slope 1/5 after it.

    Newton's step from 0 leads to 25, where the slope is a fifth of that at 0, but the value is larger.
    """
    p = 1 / (1 + np.exp(-5 * (x - 1)))
    return -x + 0.24 * np.logaddexp(0, 5 * (x - 1)), 1.2 * p - 1, 6 * p * (1 - p)


@pytest.mark.parametrize(
    ("function", "start", "optimum"), [(root, 3.0, 0.0), (bend, 0.0, 1 + np.log(5) / 5)], ids=["root", "bend"]
)
def test_where_newton_s_steps_lead_astray_the_search_goes_on_without_them(function, start, optimum):
    """Both are made small enough for the norm to lie below `NEAR` at the start, far as that is."""
    SMALL, tol = 2.0**-11, 1e-8
    values = []

    def small(x):
        value, slope, _ = function(x[0])
        return SMALL * value, SMALL * np.array([slope])

    def hessian(x, norm=0.0, is_damped=False):
        return cholesky_metric([[SMALL * function(x[0])[2]]])

    x = np.array([start])
    value, gradient = small(x)
    assert solver.NEAR / 2 < np.linalg.norm(hessian(x).whiten(gradient)) < solver.NEAR
    minimum = minimize(
        small,
        x,
        hessian(x),
        [Renewal(hessian)],
        tol=tol,
        max_iter=1000,
        on_iteration=lambda point: values.append(point.value),
    )

    assert minimum.reason == "converged"
    assert (np.diff([value, *values]) <= 8 * EPS * SMALL).all()  # two values of at most 4, rounded
    distance = tol / np.sqrt(SMALL * function(optimum)[2])  # norm, by the curvature
    assert_allclose(minimum.point.x, [optimum], rtol=0, atol=2 * distance)


# -- the norm is that of the Hessian, whatever the metric


WRONG = {"a hundredfold": 1e2, "a millionfold": 1e6, "a hundredth": 1e-2}


@pytest.mark.parametrize("factor", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("renewals", [(), (1e6,), (1e6, 1e6)], ids=["no way", "a dear way", "two"])
def test_a_wrong_metric_does_not_end_the_search_early(factor, renewals):
    """In a metric ten times too long in each direction a gradient has a tenth of its norm.

    What is reported is from below, by conjugate gradients that are meant to leave a sixteenth of the square,
    and here leave less than an eighth.
    """
    function, _, optimum = quadratic()
    metric = cholesky_metric(factor * HESSIAN * np.outer([1, 2, 3], [1, 2, 3]))
    minimum = minimize(function, np.zeros(3), metric, ways(*renewals)[0], tol=1e-6, max_iter=1000)

    error = minimum.point.x - optimum
    norm = np.sqrt(error @ HESSIAN @ error)
    assert minimum.reason == "converged"
    assert minimum.point.norm <= 1e-6
    assert norm <= 1e-6 * np.sqrt(8 / 7)


@pytest.mark.parametrize("factor", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("max_iter", [0, 1, 2])
def test_the_norm_that_is_reported_at_a_limit_is_that_of_the_hessian_whatever_the_metric(factor, max_iter):
    """By conjugate gradients, from below, to an eighth of its square: meant is a sixteenth, by the least
    curvature seen. Differences of gradients round by 2**-52 * 2**17, times a condition below 2**6."""
    function, _, _ = quadratic()
    metric = cholesky_metric(factor * np.diag([1.0, 4.0, 9.0]))
    minimum = minimize(function, np.zeros(3), metric, tol=1e-12, max_iter=max_iter)

    g = minimum.point.gradient
    norm = np.sqrt(g @ np.linalg.solve(HESSIAN, g))
    assert minimum.reason == "max_iter"
    assert np.sqrt(7 / 8) * norm - 2.0**-24 <= minimum.point.norm <= norm * (1 + 2.0**-24) + 2.0**-24


def test_a_start_that_only_its_metric_calls_the_minimum_is_left_though_newton_s_step_fails():
    """The norm in the metric, ``|tanh x| / 1e2.5``, is below tol; Newton's step ``-sinh(2 x) / 2`` leads
    from 3 to below -97. At the end the norm in the Hessian is at most tol, and the Hessian is nearly one."""
    minimum = minimize(log_cosh, FAR, cholesky_metric(1e5 * np.eye(3)), tol=1e-2, max_iter=1000)

    assert minimum.reason == "converged"
    assert np.linalg.norm(minimum.point.x) <= 1.01e-2


def test_a_metric_that_is_called_the_hessian_is_believed():
    """With its norm, in place of conjugate gradients: the two evaluations are the start and Newton's step."""
    function, metric, _ = quadratic()
    minimum = minimize(
        function, np.zeros(3), metric, [Renewal(lambda x, norm, is_damped: metric)], tol=1e-8, max_iter=9
    )

    assert (minimum.evaluations, minimum.refreshes) == (2, 1)


@pytest.mark.parametrize("factor", [1.0, *WRONG.values()])
@pytest.mark.parametrize("warm", [False, True])
def test_no_end_is_worse_than_the_start(factor, warm):
    for max_iter in (0, 1, 5, 1000):
        metric = cholesky_metric(factor * np.eye(3))
        minimum = minimize(log_cosh, FAR, metric, ways(0.0)[0], tol=1e-9, max_iter=max_iter, warm=warm)

        assert minimum.point.value <= log_cosh(FAR)[0]
        assert minimum.iterations <= max_iter


def test_a_tolerance_below_rounding_ends_in_a_metric_that_is_never_exact_too():
    """Its only way to be renewed is not the Hessian: it must not be tried at the same point for ever."""

    def rough(x):
        return 1.0 + x @ x / 2, x + np.where(x < 0, -1e-12, 1e-12)

    renewals = [Renewal(lambda x, norm, is_damped: EUCLIDEAN, is_hessian=False)]
    minimum = minimize(rough, np.array([1.0, 2.0, 3.0]), EUCLIDEAN, renewals, tol=1e-14, max_iter=1000)

    assert minimum.reason == "rounding"
    assert minimum.refreshes < 100


@pytest.mark.parametrize("cost", [0.0, 10.0])
def test_a_function_that_falls_nowhere_though_its_gradient_says_so_comes_to_an_end(cost):
    """Rounding can do that. Each step is tried from a metric made at the very point, once."""
    calls = []

    def function(x):
        calls.append(x)
        assert len(calls) < 10_000, "the search goes round in circles"
        return 1.0, np.ones_like(x)

    renewals = [Renewal(lambda x, norm, is_damped: EUCLIDEAN, cost=cost)]
    minimum = minimize(function, np.zeros(3), EUCLIDEAN, renewals, tol=1e-8, max_iter=1000)

    assert minimum.reason == "rounding"
    assert minimum.iterations == 0
