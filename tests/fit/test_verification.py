"""A record that its coefficients do not bear out is found out, whatever went wrong in between."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import labels

from smreg.data.matrix import MatrixRows
from smreg.data.targets import Targets
from smreg.fit.regression import Problem
from smreg.fit.verification import objective_of, verified
from smreg.objective.layout import Regression

OPTIONS = {"l1_ratio": 0.0, "tol": 1e-9}


class Wrong(Problem):
    """A problem that gives other coefficients than those of the record."""

    def solve(self, C, **options):
        """Coefficients that are twice as large."""
        return doubled(super().solve(C, **options))


def doubled(fit):
    regression, solution = fit
    return Regression(2 * regression.coef, regression.intercept), solution


def wide(rng, kind=Problem):
    """More features than samples, so that fewer are solved for."""
    X = rng.normal(size=(30, 200))
    targets = Targets(np.arange(3), labels(X[:, :3], rng))
    problem = kind(MatrixRows(X, targets, np.ones(30)), fit_intercept=True, largest_C=1.0)
    assert problem.is_reduced(1.0)
    return problem


def logits(problem, regression):
    X = problem.given.in_memory.dense() + problem.given.shift
    return X @ regression.coef.T + regression.intercept


def test_a_reduction_that_is_wrong_is_found_out_and_the_problem_solved_as_given(rng):
    """Of coefficients that are wrong the objective is another than the record of the fit says.

    Both fits are within 1e-9 of the optimum, in the metric of the Hessian, which is more than 1e-5.
    """
    problem = wide(rng)
    fit = problem.solve(1.0, max_iter=100, **OPTIONS)

    right, _ = verified(problem, fit, 1.0, max_iter=100, dtype=float, **OPTIONS)
    repaired, record = verified(problem, doubled(fit), 1.0, max_iter=100, dtype=float, **OPTIONS)

    assert record.converged
    assert_allclose(logits(problem, repaired), logits(problem, right), rtol=0, atol=1e-6)
    assert record.objective == pytest.approx(fit[1].objective, abs=1e-12)
    assert record.evaluations > fit[1].evaluations


def test_where_nothing_gives_coefficients_that_are_those_of_the_record_it_says_so(rng):
    """The record is then that of the coefficients, and has not converged."""
    problem = wide(rng, Wrong)
    fit = problem.solve(1.0, max_iter=100, **OPTIONS)

    wrong, record = verified(problem, fit, 1.0, max_iter=100, dtype=float, **OPTIONS)

    assert (record.converged, record.reason) == (False, "rounding")
    assert record.objective == objective_of(problem, wrong, 1.0, 0.0)


@pytest.mark.parametrize("left", [0, 3])
def test_solving_it_again_takes_no_more_steps_than_are_left_and_reports_them(left, rng):
    problem, steps = wide(rng), []
    fit = problem.solve(1.0, max_iter=100, **OPTIONS)
    options = OPTIONS | {"max_iter": fit[1].iterations + left, "dtype": float}

    again, record = verified(
        problem, doubled(fit), 1.0, on_iteration=lambda *step: steps.append(step), **options
    )

    assert not record.converged
    assert record.iterations == fit[1].iterations + len(steps)
    assert len(steps) == left
    assert record.objective == pytest.approx(objective_of(problem, again, 1.0, 0.0), rel=1e-12)


def test_the_fit_of_a_part_is_found_out_too(rng):
    """Some of the rows, one of them twice, and one without weight."""
    whole, index = wide(rng), np.append(np.arange(3, 30), 29)
    rows, weights = whole.given.in_memory, np.ones(len(index))
    weights[5] = 0.0
    part = whole.part(index, Targets(np.arange(3), rows.targets.values[index]), weights)
    fit = part.solve(1.0, max_iter=100, **OPTIONS)

    repaired, record = verified(part, doubled(fit), 1.0, max_iter=100, dtype=float, **OPTIONS)

    assert record.converged
    assert_allclose(repaired.coef, part.expand(fit[0]).coef, rtol=0, atol=1e-6)
