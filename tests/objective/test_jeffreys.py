"""Jeffreys' prior: its gradient, and that it has no units."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from objectives import Sample, objective_of

from smreg.objective.jeffreys import JeffreysObjective


def problem(n_classes, *, soft=False, scale=1.0, shift=0.0, **options):
    rng = np.random.default_rng(n_classes)
    X, weights = rng.normal(size=(40, 3)), rng.uniform(0.5, 2.0, 40)
    target = rng.dirichlet(np.ones(n_classes), 40) if soft else np.arange(40) % n_classes
    one_hot = target if soft else np.eye(n_classes)[target]
    sample = Sample(target, weights / weights.sum(), weights @ one_hot / weights.sum())
    return JeffreysObjective(objective_of(X * scale + shift, sample, **options), float(weights.sum()))


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_the_gradient_is_that_of_five_point_differences(n_classes, soft, fit_intercept):
    """With steps of 2**-8: their fourth power is 2e-10, and rounding less."""
    function = problem(n_classes, soft=soft, fit_intercept=fit_intercept)
    phi = np.random.default_rng(1).normal(size=function.objective.start().size)
    step = 2.0**-8

    def along(h):
        (near, _), (behind, _) = function(phi + h), function(phi - h)
        (far, _), (far_behind, _) = function(phi + 2 * h), function(phi - 2 * h)
        return (8 * (near - behind) - (far - far_behind)) / (12 * step)

    differences = [along(step * unit) for unit in np.eye(phi.size)]
    assert_allclose(function(phi)[1], differences, atol=1e-8)


def test_products_with_the_hessian_are_symmetric():
    """Central differences are off by the square of a step of 2**-14 times third derivatives: 1e-7."""
    function = problem(3)
    size = function.objective.start().size
    product = function.hessian_at(np.random.default_rng(1).normal(size=size))
    hessian = np.array([product(unit) for unit in np.eye(size)])

    assert_allclose(hessian, hessian.T, atol=1e-7)


def test_its_value_has_no_units_and_is_the_cross_entropy_of_the_model_without_features():
    """Powers of two, and a shift that rounds: 1e-12."""
    here, there = problem(3), problem(3, scale=1024.0, shift=8.0)
    null = here(here.objective.start())[0]
    coef = np.random.default_rng(1).normal(size=(3, 3))
    coef, nothing = coef - coef.mean(axis=0), np.zeros(3)

    assert null == here.objective(here.objective.start())[0]
    value = here(here.objective.coordinates.of(coef, nothing))[0]
    moved = there.objective.coordinates.of(coef / 1024, -(coef / 1024) @ np.full(3, 8.0))
    assert abs(value - there(moved)[0]) < 1e-12
