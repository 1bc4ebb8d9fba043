"""L-BFGS in a metric, on functions whose minimum is known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from smreg.metric import Metric, inverse_factor
from smreg.solver import minimize

HESSIAN = np.array([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]])
OPTIMUM = np.array([1.0, -2.0, 0.5])


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
    renewals = () if refresh is None else (Renewal(lambda x, norm: refresh(x)),)
    return minimize(function, np.zeros(3) if start is None else start, lambda: metric, renewals, **options)


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
