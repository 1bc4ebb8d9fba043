"""Guesses at the solutions along a path: exact for the curves that they assume, and harmless for others.

And the order in which the whole and its parts are solved.
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
from smreg.fit.regression import Problem, Regression
from smreg.fit.trail import Trail, follow

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


def trail(curve, Cs=Cs[:3], spread=(1.0, 1.0)):
    """A trail along ``curve(C)``, a vector of coefficients and the intercept."""
    made = Trail(np.array(spread))
    for C in Cs:
        made = made.added(C, regression(curve(C)))
    return made


def line(C, start=(1.0, -2.0, 3.0), direction=(0.5, 4.0, -7.0)):
    return np.array(start) + np.log(C) * np.array(direction)


def rounding(*vectors):
    """Of a handful of sums and products of numbers of that size."""
    return 16 * EPS * max(np.abs(v).max() for v in vectors)


@pytest.mark.parametrize("n_points", [2, 3])
def test_a_curve_that_is_linear_in_log_c_is_followed_exactly(n_points):
    guess = vector(trail(line, Cs[:n_points]).guess(Cs[n_points]))

    assert_allclose(guess, line(Cs[n_points]), rtol=0, atol=rounding(line(Cs[n_points]), line(Cs[0])))


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_changes_that_shrink_by_a_constant_factor_are_followed_exactly(ratio):
    """Steps of equal length, each with so much of the change of the last."""
    done = np.append(0.0, np.cumsum(ratio ** np.arange(3)))
    places = dict(zip([1.0, 10.0, 100.0, 1000.0], 2.0 + np.outer(done, [0.5, 4.0, -7.0]), strict=True))
    guess = vector(trail(places.__getitem__, [1.0, 10.0, 100.0]).guess(1000.0))

    assert_allclose(guess, places[1000.0], rtol=0, atol=rounding(places[1000.0]))


@given(points, st.floats(1.01, 1e6))
def test_a_guess_goes_on_by_at_most_the_last_slope_and_never_back(points, ratio):
    """With a factor from zero to one, which is one and the same for all coefficients."""
    values = dict(zip(Cs, np.column_stack([points, np.zeros(4)]), strict=True))
    last, before = values[Cs[2]], values[Cs[1]]
    furthest = np.log(ratio) / np.log(Cs[2] / Cs[1]) * (last - before)
    step = vector(trail(values.__getitem__).guess(Cs[2] * ratio)) - last
    slack = 64 * EPS * (np.abs(last) + np.abs(furthest)).max()

    assert (step * furthest >= -slack * np.abs(furthest)).all()
    assert (np.abs(step) <= np.abs(furthest) + slack).all()
    assert_allclose(step[0] * furthest[1], step[1] * furthest[0], rtol=0, atol=slack * np.abs(furthest).max())


@given(points, st.integers(-20, 20))
def test_a_guess_does_not_depend_on_the_units_of_a_feature(points, exponent):
    """A power of two rounds nothing."""
    unit = np.array([2.0**exponent, 1.0, 1.0])
    values = dict(zip(Cs, np.column_stack([points, np.zeros(4)]), strict=True))
    guess = vector(trail(values.__getitem__).guess(Cs[3]))
    in_units = trail(lambda C: values[C] / unit, spread=unit[:2]).guess(Cs[3])

    assert_array_equal(vector(in_units) * unit, guess)


def test_the_first_point_is_the_guess_at_the_second_and_without_points_there_is_none():
    assert Trail(np.ones(2)).guess(1.0) is None
    assert_array_equal(vector(trail(line, [0.1]).guess(1.0)), line(0.1))


def test_no_penalty_is_guessed_at_by_the_last_point():
    """The logarithm of C has no length to go."""
    assert_array_equal(vector(trail(line).guess(np.inf)), line(Cs[2]))


@given(points)
def test_points_that_do_not_change_are_guessed_to_stay(points):
    point = np.append(points[0], 1.0)

    assert_array_equal(vector(trail(lambda C: point).guess(Cs[3])), point)


@given(points)
def test_a_part_that_is_like_the_whole_begins_at_its_solution(points):
    values = dict(zip(Cs, np.column_stack([points, np.zeros(4)]), strict=True))
    for n_points in range(4):
        whole, part = trail(values.__getitem__, Cs[: n_points + 1]), trail(values.__getitem__, Cs[:n_points])
        guess = vector(part.guess_beside(whole, Cs[n_points]))

        assert_allclose(guess, values[Cs[n_points]], rtol=0, atol=rounding(*values.values()))


@given(points)
def test_a_part_beside_the_whole_keeps_its_distance(points):
    beside = np.array([5.0, -3.0, 2.0])
    values = dict(zip(Cs, np.column_stack([points, np.zeros(4)]), strict=True))
    whole, part = trail(values.__getitem__, Cs), trail(lambda C: values[C] + beside, Cs[:3])
    guess = vector(part.guess_beside(whole, Cs[3]))

    assert_allclose(guess, values[Cs[3]] + beside, rtol=0, atol=rounding(beside, *values.values()))


def test_a_deviation_from_the_whole_that_is_linear_in_log_c_is_followed_where_the_whole_is_a_line():
    def deviating(C):
        return line(C, direction=(1.0, 3.0, -8.0))

    guess = vector(trail(deviating).guess_beside(trail(line, Cs), Cs[3]))

    assert_allclose(guess, deviating(Cs[3]), rtol=0, atol=rounding(deviating(Cs[3]), line(Cs[3])))


def test_where_a_search_begins_changes_its_length_and_not_its_end(wine):
    """Both ends are within tol**2 / 2 of the minimum, to first order, and the path costs less."""
    X, y = wine
    path = regularization_path(X, y, Cs=np.geomspace(1e-3, 1e3, 13))
    cold = [SoftmaxRegression(C=C).fit(X, y).solution_ for C in path.Cs]

    assert_allclose(path.objective, [solution.objective for solution in cold], rtol=0, atol=1e-4**2)
    assert path.evaluations.sum() < sum(solution.evaluations for solution in cold)


OPTIONS = {"l1_ratio": 0.0, "tol": 1e-4, "max_iter": 100}


def whole_and_parts(X, y, n_parts=3, made=Problem):
    """A problem, and those without every `n_parts`-th row."""
    n_samples, weights = len(y), np.ones(len(y))
    problem = made(MatrixRows(X, encode_labels(y), weights), fit_intercept=True, largest_C=Cs[-1], l1=False)
    rows = [np.flatnonzero(np.arange(n_samples) % n_parts != i) for i in range(n_parts)]
    return problem, [problem.part(part, encode_labels(y[part]), weights[part]) for part in rows]


@pytest.mark.parametrize("n_threads", [1, 2, 8])
def test_threads_solve_what_one_solves_in_turn(wine, n_threads):
    """One thread alone too, though its tasks wait for one another: each for those before it."""
    problem, parts = whole_and_parts(*wine)
    in_turn = list(follow(problem, Cs, parts, **OPTIONS))
    with ThreadPoolExecutor(n_threads) as pool:
        side_by_side = list(follow(problem, Cs, parts, **OPTIONS, pool=pool))

    assert len(side_by_side) == len(in_turn) == len(Cs)
    for expected, actual in zip(in_turn, side_by_side, strict=True):
        for (a, _), (b, _) in zip([expected[0], *expected[1]], [actual[0], *actual[1]], strict=True):
            assert_array_equal(np.column_stack([b.coef, b.intercept]), np.column_stack([a.coef, a.intercept]))


def test_in_turn_nothing_is_solved_before_it_is_asked_for(wine):
    solved = []

    class Recorded(Problem):
        """Notes when it is solved."""

        def solve(self, C, **options):
            """Solve it."""
            solved.append((C, self))
            return super().solve(C, **options)

        def solve_for_parts(self, C, allowance, **options):
            """Solve it, for parts as well."""
            solved.append((C, self))
            return super().solve_for_parts(C, allowance, **options)

    problem, parts = whole_and_parts(*wine, made=Recorded)
    steps = follow(problem, Cs, parts, **OPTIONS)
    for i, C in enumerate(Cs):
        assert len(solved) == 4 * i
        next(steps)
        assert solved[4 * i :] == [(C, part) for part in (problem, *parts)]


def assert_begins_at(start, guess):
    assert (start is None) == (guess is None)
    if guess is not None:
        assert_array_equal(start.coef, guess.coef)
        assert_array_equal(start.intercept, guess.intercept)


def test_a_part_begins_beside_the_whole_and_itself_before_in_the_metric_of_the_whole(wine):
    shared_at = {}

    class Compared(Problem):
        """Knows where it should begin."""

        def solve(self, C, *, start, shared, **options):
            """Solve it as a part."""
            assert_begins_at(start, trails[self].guess_beside(trails[problem], C))
            assert shared is shared_at[C]
            fit = super().solve(C, start=start, shared=shared, **options)
            trails[self] = trails[self].added(C, fit[0])
            return fit

        def solve_for_parts(self, C, allowance, *, start, **options):
            """Solve it as the whole."""
            assert_begins_at(start, trails[self].guess(C))
            fit, shared_at[C] = super().solve_for_parts(C, allowance, start=start, **options)
            assert shared_at[C] is not None  # the Hessian of wine costs nothing
            trails[self] = trails[self].added(C, fit[0])
            return fit, shared_at[C]

    problem, parts = whole_and_parts(*wine, made=Compared)
    trails = {fit: Trail(fit.spread) for fit in (problem, *parts)}

    assert len(list(follow(problem, Cs, parts, **OPTIONS))) == len(Cs)
    assert list(shared_at) == list(Cs)


class Recorder(Executor):
    """Counts what is submitted, to be done in turn."""

    submitted = 0

    def submit(self, function, /, *args, **kwargs):
        """Something to be done."""
        self.submitted += 1
        return IN_TURN.submit(function, *args, **kwargs)


def test_threads_are_given_the_parts_of_one_step_ahead_and_the_whole_of_two(wine):
    problem, parts = whole_and_parts(*wine)
    pool = Recorder()
    steps = follow(problem, Cs, parts, **OPTIONS, pool=pool)
    submitted = [pool.submitted for _ in steps]

    assert submitted == [3 + 2 * 3, 4 + 3 * 3, 4 + 4 * 3, 4 + 4 * 3]


def test_what_goes_wrong_in_a_thread_comes_out(wine):
    class Failing(Problem):
        """One of its parts cannot be solved for one C."""

        def solve(self, C, **options):
            """Solve it, or not."""
            if self is parts[1] and Cs[2] == C:
                raise ZeroDivisionError("a fault")
            return super().solve(C, **options)

    problem, parts = whole_and_parts(*wine, made=Failing)
    with ThreadPoolExecutor(2) as pool:
        steps = follow(problem, Cs, parts, **OPTIONS, pool=pool)
        for _ in Cs[:2]:
            next(steps)
        with pytest.raises(ZeroDivisionError, match="a fault"):
            next(steps)
