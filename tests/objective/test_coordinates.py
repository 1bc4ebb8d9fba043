"""Coordinates are a linear map with its inverse and its transpose, in any coding of the classes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from smreg.data.block import Block
from smreg.data.statistics import ColumnStatistics
from smreg.objective.coordinates import Coordinates, contrasts, reference_coding, symmetric_coding
from smreg.objective.cross_entropy import Standardisation

CODINGS = {"contrasts": contrasts(4), "symmetric": symmetric_coding(4), "reference": reference_coding()}
P = 5
EPS = np.finfo(np.float64).eps


@pytest.fixture(params=CODINGS.values(), ids=CODINGS)
def coordinates(request, rng):
    """Of features in mixed units, the last one constant."""
    mean, spread = rng.normal(size=P), np.append(10.0 ** rng.uniform(-3, 3, P - 1), 0.0)
    columns = ColumnStatistics(mean, spread, np.zeros(P))
    return Coordinates.standardising(columns, request.param, fit_intercept=True)


def test_the_gradient_goes_back_by_the_transpose(coordinates, rng):
    """``<G, W> + <g, b> = <A'(G, g), phi>`` for the map A, to the rounding of sums of some 50 terms."""
    phi, origin = rng.normal(size=coordinates.shape).ravel(), rng.normal(size=P)
    coef, intercept = coordinates.coefficients(phi, origin)
    G, g = rng.normal(size=coef.shape), rng.normal(size=intercept.shape)

    size = np.sum(np.abs(G * coef)) + np.abs(g) @ (np.abs(intercept) + np.abs(coef) @ np.abs(origin))
    pulled = coordinates.pull_back(G, g, origin) @ phi
    assert pulled == pytest.approx(np.sum(G * coef) + g @ intercept, abs=100 * EPS * size)


def test_coordinates_of_coefficients_are_those_that_they_came_from(coordinates, rng):
    phi = rng.normal(size=coordinates.shape)
    phi[:, P - 1] = 0.0  # which rests

    back = coordinates.of(*coordinates.coefficients(phi.ravel(), np.zeros(P)))
    assert_allclose(
        back, phi.ravel(), atol=100 * EPS * max(1.0, np.abs(coordinates.mean / coordinates.scale).max())
    )


def test_standardised_rows_give_the_logits_of_the_coefficients(coordinates, rng):
    """At their own magnitude: ``x / scale`` is of that of the logits' terms."""
    X, phi = rng.normal(size=(7, P)), rng.normal(size=coordinates.shape)
    X[:, -1] = coordinates.mean[-1]
    coef, intercept = coordinates.coefficients(phi.ravel(), np.zeros(P))

    block = Block(0, X, np.zeros(7, dtype=int), np.ones(7))
    z = Standardisation(coordinates, np.zeros(P)).of(block)
    size = (np.abs(X) + np.abs(coordinates.mean)) @ np.abs(coef).T + 10.0
    assert (
        np.abs(z.T @ phi.T @ coordinates.contrasts.T - (X @ coef.T + intercept)) <= 100 * EPS * size
    ).all()


def test_coordinates_of_some_features_are_theirs(coordinates):
    features = np.array([1, 3])
    some = coordinates.of_features(features)
    assert some.shape == (coordinates.shape[0], 3)
    assert_array_equal(some.scale, coordinates.scale[features])
