"""Extrapolated starts along a path: exact for the curves that they assume, and harmless for others.

And the order in which full fits and fold fits are made.
"""

from concurrent.futures import Executor, ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from smreg import SoftmaxRegression, regularization_path
from smreg.data.matrix import MatrixRows
from smreg.data.targets import encode_labels
from smreg.data.threads import IN_TURN
from smreg.fit.continuation import History, fit_path
from smreg.fit.regression import Problem, Regression

EPS = np.finfo(np.float64).eps
Cs = np.array([0.1, 0.3, 2.0, 50.0])  # in steps of different lengths

finite = st.integers(-(10**9), 10**9).map(lambda i: i / 1024)  # no subnormal numbers, whose units do round
points = st.lists(st.tuples(finite, finite), min_size=4, max_size=4)


def regression(point):
    """One row of coefficients, and the intercept."""
    *coef, intercept = point
    return Regression(np.array([coef], dtype=float), np.array([intercept], dtype=float))


def vector(regression):
    return np.append(regression.coef, regression.intercept)


def history(curve, Cs=Cs[:3], spread=(1.0, 1.0)):
    """A history along ``curve(C)``, a vector of coefficients and the intercept."""
    made = History(np.array(spread))
    for C in Cs:
        made = made.extended(C, regression(curve(C)))
    return made


def line(C, start=(1.0, -2.0, 3.0), direction=(0.5, 4.0, -7.0)):
    return np.array(start) + np.log(C) * np.array(direction)


def rounding(*vectors):
    """Of a handful of sums and products of numbers of that size."""
    return 16 * EPS * max(np.abs(v).max() for v in vectors)


@pytest.mark.parametrize("n_points", [2, 3])
def test_a_curve_that_is_linear_in_log_c_is_extrapolated_exactly(n_points):
    start = vector(history(line, Cs[:n_points]).extrapolate(Cs[n_points]))

    assert_allclose(start, line(Cs[n_points]), rtol=0, atol=rounding(line(Cs[n_points]), line(Cs[0])))


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_changes_that_shrink_by_a_constant_factor_are_extrapolated_exactly(ratio):
    """Steps of equal length, each with so much of the change of the last."""
    done = np.append(0.0, np.cumsum(ratio ** np.arange(3)))
    points = dict(zip([1.0, 10.0, 100.0, 1000.0], 2.0 + np.outer(done, [0.5, 4.0, -7.0]), strict=True))
    start = vector(history(points.__getitem__, [1.0, 10.0, 100.0]).extrapolate(1000.0))

    assert_allclose(start, points[1000.0], rtol=0, atol=rounding(points[1000.0]))


@given(points, st.floats(1.01, 1e6))
def test_an_extrapolation_goes_on_by_at_most_the_last_slope_and_never_back(points, ratio):
    """With a factor from zero to one, which is one and the same for all coefficients."""
    values = dict(zip(Cs, np.column_stack([points, np.zeros(4)]), strict=True))
    last, before = values[Cs[2]], values[Cs[1]]
    furthest = np.log(ratio) / np.log(Cs[2] / Cs[1]) * (last - before)
    step = vector(history(values.__getitem__).extrapolate(Cs[2] * ratio)) - last
    slack = 64 * EPS * (np.abs(last) + np.abs(furthest)).max()

    assert (step * furthest >= -slack * np.abs(furthest)).all()
    assert (np.abs(step) <= np.abs(furthest) + slack).all()
    assert_allclose(step[0] * furthest[1], step[1] * furthest[0], rtol=0, atol=slack * np.abs(furthest).max())


@given(points, st.integers(-20, 20))
def test_an_extrapolation_does_not_depend_on_the_units_of_a_feature(points, exponent):
    """A power of two rounds nothing."""
    unit = np.array([2.0**exponent, 1.0, 1.0])
    values = dict(zip(Cs, np.column_stack([points, np.zeros(4)]), strict=True))
    start = vector(history(values.__getitem__).extrapolate(Cs[3]))
    in_units = history(lambda C: values[C] / unit, spread=unit[:2]).extrapolate(Cs[3])

    assert_array_equal(vector(in_units) * unit, start)


def test_the_second_fit_starts_from_the_first_and_the_first_starts_cold():
    assert History(np.ones(2)).extrapolate(1.0) is None
    assert_array_equal(vector(history(line, [0.1]).extrapolate(1.0)), line(0.1))


def test_without_a_penalty_the_start_is_the_last_point():
    """The step in the logarithm of C is infinite: nothing is extrapolated."""
    assert_array_equal(vector(history(line).extrapolate(np.inf)), line(Cs[2]))


@given(points)
def test_points_that_do_not_change_are_extrapolated_to_stay(points):
    point = np.append(points[0], 1.0)

    assert_array_equal(vector(history(lambda C: point).extrapolate(Cs[3])), point)


@given(points)
def test_a_fold_fit_with_the_curve_of_the_full_fit_starts_at_its_solution(points):
    values = dict(zip(Cs, np.column_stack([points, np.zeros(4)]), strict=True))
    for n_points in range(4):
        full = history(values.__getitem__, Cs[: n_points + 1])
        fold = history(values.__getitem__, Cs[:n_points])
        start = vector(fold.extrapolate_fold(full, Cs[n_points]))

        assert_allclose(start, values[Cs[n_points]], rtol=0, atol=rounding(*values.values()))


@given(points)
def test_a_constant_deviation_from_the_full_fit_is_kept(points):
    deviation = np.array([5.0, -3.0, 2.0])
    values = dict(zip(Cs, np.column_stack([points, np.zeros(4)]), strict=True))
    full, fold = history(values.__getitem__, Cs), history(lambda C: values[C] + deviation, Cs[:3])
    start = vector(fold.extrapolate_fold(full, Cs[3]))

    assert_allclose(start, values[Cs[3]] + deviation, rtol=0, atol=rounding(deviation, *values.values()))


def test_a_deviation_that_is_linear_in_log_c_is_extrapolated_where_the_full_fits_are_a_line():
    def deviating(C):
        return line(C, direction=(1.0, 3.0, -8.0))

    start = vector(history(deviating).extrapolate_fold(history(line, Cs), Cs[3]))

    assert_allclose(start, deviating(Cs[3]), rtol=0, atol=rounding(deviating(Cs[3]), line(Cs[3])))


def test_a_warm_start_changes_the_length_of_a_search_and_not_its_end(wine):
    """Both ends are within tol**2 / 2 of the minimum, to first order, and the path costs less."""
    X, y = wine
    path = regularization_path(X, y, Cs=np.geomspace(1e-3, 1e3, 13))
    cold = [SoftmaxRegression(C=C).fit(X, y).solution_ for C in path.Cs]

    assert_allclose(path.objective, [solution.objective for solution in cold], rtol=0, atol=1e-4**2)
    assert path.evaluations.sum() < sum(solution.evaluations for solution in cold)


OPTIONS = {"l1_ratio": 0.0, "tol": 1e-4, "max_iter": 100}


def full_and_folds(X, y, n_folds=3, made=Problem):
    """A problem, and those without every `n_folds`-th row."""
    n_samples, weights = len(y), np.ones(len(y))
    problem = made(MatrixRows(X, encode_labels(y), weights), fit_intercept=True, largest_C=Cs[-1], l1=False)
    train = [np.flatnonzero(np.arange(n_samples) % n_folds != i) for i in range(n_folds)]
    return problem, [problem.part(rows, encode_labels(y[rows]), weights[rows]) for rows in train]


@pytest.mark.parametrize("n_threads", [1, 2, 8])
def test_threads_give_the_fits_of_one_thread(wine, n_threads):
    """A pool of one too, though its tasks need one another's results: each those of tasks before it."""
    problem, folds = full_and_folds(*wine)
    in_turn = list(fit_path(problem, Cs, folds, **OPTIONS))
    with ThreadPoolExecutor(n_threads) as pool:
        threaded = list(fit_path(problem, Cs, folds, **OPTIONS, pool=pool))

    assert len(threaded) == len(in_turn) == len(Cs)
    for expected, actual in zip(in_turn, threaded, strict=True):
        for (a, _), (b, _) in zip([expected[0], *expected[1]], [actual[0], *actual[1]], strict=True):
            assert_array_equal(np.column_stack([b.coef, b.intercept]), np.column_stack([a.coef, a.intercept]))


def test_without_threads_nothing_is_solved_before_it_is_asked_for(wine):
    solved = []

    class Recorded(Problem):
        """Notes when it is solved."""

        def solve(self, C, **options):
            """Solve it."""
            solved.append((C, self))
            return super().solve(C, **options)

        def solve_for_parts(self, C, **options):
            """Solve it, with a metric for folds."""
            solved.append((C, self))
            return super().solve_for_parts(C, **options)

    problem, folds = full_and_folds(*wine, made=Recorded)
    steps = fit_path(problem, Cs, folds, **OPTIONS)
    for i, C in enumerate(Cs):
        assert len(solved) == 4 * i
        next(steps)
        assert solved[4 * i :] == [(C, fitted) for fitted in (problem, *folds)]


def assert_starts_at(start, expected):
    assert (start is None) == (expected is None)
    if expected is not None:
        assert_array_equal(start.coef, expected.coef)
        assert_array_equal(start.intercept, expected.intercept)


def test_a_fold_fit_starts_by_its_history_and_the_full_one_in_the_metric_of_the_full_fit(wine):
    shared_at = {}

    class Compared(Problem):
        """Knows where it should start."""

        def solve(self, C, *, start, shared, **options):
            """Solve it as a fold."""
            assert_starts_at(start, histories[self].extrapolate_fold(histories[problem], C))
            assert shared is shared_at[C]
            fit = super().solve(C, start=start, shared=shared, **options)
            histories[self] = histories[self].extended(C, fit[0])
            return fit

        def solve_for_parts(self, C, *, start, **options):
            """Solve it as that of all samples."""
            assert_starts_at(start, histories[self].extrapolate(C))
            fit, shared_at[C] = super().solve_for_parts(C, start=start, **options)
            assert shared_at[C] is not None  # the Hessian of wine costs nothing
            histories[self] = histories[self].extended(C, fit[0])
            return fit, shared_at[C]

    problem, folds = full_and_folds(*wine, made=Compared)
    histories = {fitted: History(fitted.spread) for fitted in (problem, *folds)}

    assert len(list(fit_path(problem, Cs, folds, **OPTIONS))) == len(Cs)
    assert list(shared_at) == list(Cs)


class Recorder(Executor):
    """Counts what is submitted, which is done at once."""

    submitted = 0

    def submit(self, function, /, *args, **kwargs):
        """Something to be done."""
        self.submitted += 1
        return IN_TURN.submit(function, *args, **kwargs)


def test_fold_fits_are_submitted_one_step_ahead_and_full_fits_two(wine):
    problem, folds = full_and_folds(*wine)
    pool = Recorder()
    steps = fit_path(problem, Cs, folds, **OPTIONS, pool=pool)
    submitted = [pool.submitted for _ in steps]

    assert submitted == [3 + 2 * 3, 4 + 3 * 3, 4 + 4 * 3, 4 + 4 * 3]


def test_an_error_in_a_thread_is_raised(wine):
    class Failing(Problem):
        """One of its folds cannot be solved for one C."""

        def solve(self, C, **options):
            """Solve it, or not."""
            if self is folds[1] and Cs[2] == C:
                raise ZeroDivisionError("a fault")
            return super().solve(C, **options)

    problem, folds = full_and_folds(*wine, made=Failing)
    with ThreadPoolExecutor(2) as pool:
        steps = fit_path(problem, Cs, folds, **OPTIONS, pool=pool)
        for _ in Cs[:2]:
            next(steps)
        with pytest.raises(ZeroDivisionError, match="a fault"):
            next(steps)
