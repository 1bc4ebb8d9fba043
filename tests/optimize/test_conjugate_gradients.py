"""Conjugate gradients: against solving, with bounds of what is missing, in any inner product."""

from itertools import islice

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from smreg.optimize.conjugate_gradients import conjugate_gradients

EPS = np.finfo(np.float64).eps
SIZE = 12


def definite(rng, size=SIZE, condition=100.0):
    """With eigenvalues from 1 / condition to 1."""
    basis = np.linalg.qr(rng.normal(size=(size, size)))[0]
    return basis * np.geomspace(1 / condition, 1.0, size) @ basis.T


def iterates(H, b, M=None, most=4 * SIZE, **options):
    M = np.eye(len(H)) if M is None else M
    return list(
        islice(conjugate_gradients(lambda v: H @ v, b, lambda r: np.linalg.solve(M, r), **options), most)
    )


def until(small, H, b, M=None, **options):
    """The first iterate whose residual is that small, relatively, in the preconditioner's norm."""
    made = iterates(H, b, M, **options)
    return next(at for at in made if at.squared <= small**2 * made[0].squared)


PRECONDITIONERS = {
    "none": lambda H, rng: np.eye(len(H)),
    "its diagonal": lambda H, rng: np.diag(H.diagonal()),
    "another matrix": lambda H, rng: definite(rng, len(H), 10.0),
}


@pytest.mark.parametrize("precondition", PRECONDITIONERS.values(), ids=PRECONDITIONERS)
def test_the_solution_is_that_of_the_system(precondition, rng):
    """An error of the residual's 1e-10 times the condition of at most 1e2 and that of M of at most 10."""
    H, b = definite(rng), rng.normal(size=SIZE)
    at = until(1e-10, H, b, precondition(H, rng))

    exact = np.linalg.solve(H, b)
    assert_allclose(at.solution, exact, rtol=0, atol=1e-7 * np.linalg.norm(exact))


def test_the_first_iterate_is_zero_and_costs_no_product(rng):
    b = rng.normal(size=SIZE)
    first = next(conjugate_gradients(lambda v: pytest.fail("a product"), b, lambda r: 2.0 * r))

    assert_array_equal(first.solution, np.zeros(SIZE))
    assert_array_equal(first.residual, b)
    assert (first.energy, first.least) == (0.0, np.inf)
    assert first.squared == pytest.approx(2.0 * b @ b, rel=SIZE * EPS)


def test_preconditioned_by_the_matrix_itself_it_takes_one_step(rng):
    """And the one curvature is one; to the rounding of a solution, EPS times a condition of 100."""
    H, b = definite(rng), rng.normal(size=SIZE)
    second = iterates(H, b, H, 2)[1]

    assert_allclose(second.solution, np.linalg.solve(H, b), rtol=1e3 * SIZE * EPS)
    assert second.least == pytest.approx(1.0, rel=1e3 * SIZE * EPS)


@pytest.mark.parametrize("distinct", [1, 2, 4])
def test_there_are_as_many_steps_as_distinct_eigenvalues(distinct, rng):
    """In exact arithmetic the residual is then zero; here some hundred EPS of it."""
    basis = np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0]
    H = basis * (1.0 + np.arange(SIZE) % distinct) @ basis.T
    b = rng.normal(size=SIZE)
    last = iterates(H, b, most=distinct + 1)[-1]

    assert np.linalg.norm(last.residual) <= 2**10 * EPS * np.linalg.norm(b)


@pytest.mark.parametrize("precondition", PRECONDITIONERS.values(), ids=PRECONDITIONERS)
def test_the_energy_rises_to_that_of_the_solution_and_what_is_missing_is_that_of_the_residual(
    precondition, rng
):
    """``b' H^-1 b = energy + r' H^-1 r``, and the energy is ``v' H v``.

    Directions lose their conjugacy as the residual falls, to the root of EPS at most in so few steps.
    """
    H, b = definite(rng), rng.normal(size=SIZE)
    whole = b @ np.linalg.solve(H, b)
    made = iterates(H, b, precondition(H, rng), SIZE)

    energies = np.array([at.energy for at in made])
    assert (np.diff(energies) >= 0).all()
    slack = np.sqrt(EPS) * whole
    for at in made:
        assert at.energy <= whole + slack
        assert at.energy + at.residual @ np.linalg.solve(H, at.residual) == pytest.approx(whole, abs=slack)
        assert at.solution @ H @ at.solution == pytest.approx(at.energy, abs=slack)


@pytest.mark.parametrize("precondition", PRECONDITIONERS.values(), ids=PRECONDITIONERS)
def test_what_is_reported_of_the_residual_is_its_own(precondition, rng):
    """``r = b - H v`` and ``r' M^-1 r``: the recursion drifts by some EPS of the largest of all steps."""
    H, b = definite(rng), rng.normal(size=SIZE)
    M = precondition(H, rng)
    for at in iterates(H, b, M, SIZE):
        assert_allclose(at.residual, b - H @ at.solution, rtol=0, atol=2**10 * EPS * np.linalg.norm(b) * 100)
        assert at.squared == pytest.approx(at.residual @ np.linalg.solve(M, at.residual), rel=2**10 * EPS)


@pytest.mark.parametrize("precondition", PRECONDITIONERS.values(), ids=PRECONDITIONERS)
def test_the_least_curvature_is_from_above_and_falls_to_the_least_eigenvalue(precondition, rng):
    """Directions are no eigenvectors: each Rayleigh quotient is at least the least eigenvalue of ``M^-1 H``,
    and at most the largest. After as many steps as coordinates they are conjugate and span all, so that the
    trace of the inverse bounds the least: ``1 / l_min <= sum_j 1 / quotient_j``."""
    H, b = definite(rng), rng.normal(size=SIZE)
    M = precondition(H, rng)
    eigenvalues = np.linalg.eigvals(np.linalg.solve(M, H)).real
    least = np.array([at.least for at in iterates(H, b, M, SIZE + 1)[1:]])

    assert (np.diff(least) <= 0).all()
    assert (least >= eigenvalues.min() * (1 - 2**10 * SIZE * EPS)).all()
    assert least[0] <= eigenvalues.max() * (1 + 2**10 * SIZE * EPS)
    assert least[-1] <= SIZE * eigenvalues.min() * (1 + 2**10 * SIZE * EPS)


def test_the_directions_are_conjugate(rng):
    """``d_i' H d_j = 0``: differences of solutions are multiples of them."""
    H, b = definite(rng, condition=10.0), rng.normal(size=SIZE)
    directions = np.diff([at.solution for at in iterates(H, b, most=6)], axis=0)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    products = directions @ H @ directions.T

    assert_allclose(products - np.diag(products.diagonal()), 0, rtol=0, atol=2**12 * EPS)


def test_of_a_singular_consistent_system_the_solution_is_that_of_least_norm(rng):
    """All iterates are in the range of H; the condition there is below 2**6."""
    Z = rng.normal(size=(4, SIZE))
    H = Z.T @ Z
    b = H @ rng.normal(size=SIZE)
    made = iterates(H, b, most=20)

    at = min(made, key=lambda at: at.squared)
    assert_allclose(at.solution, np.linalg.pinv(H, rcond=1e-9) @ b, rtol=0, atol=2.0**-30)
    assert np.isfinite([(one.energy, one.squared) for one in made]).all()


def test_along_what_does_not_curve_there_is_no_step():
    """The one direction of a zero matrix, and of a negative one."""
    for H in (np.zeros((3, 3)), -np.eye(3)):
        made = iterates(H, np.ones(3))

        assert len(made) == 1
        assert_array_equal(made[0].solution, np.zeros(3))


def test_of_a_right_hand_side_of_zero_the_solution_is_zero_without_a_product():
    made = list(conjugate_gradients(lambda v: pytest.fail("a product"), np.zeros(3), lambda r: r))

    assert len(made) == 1
    assert made[0].squared == 0.0


def test_in_another_inner_product_it_solves_what_is_self_adjoint_there(rng):
    """``G^-1 H`` is self-adjoint in ``<u, v> = u' G v``; the energy is ``b' G v``. The condition of both is
    below 1e2 * 10."""
    H, G, b = definite(rng), definite(rng, condition=10.0), rng.normal(size=SIZE)
    product = np.linalg.solve(G, H)
    made = list(
        islice(conjugate_gradients(lambda v: product @ v, b, lambda r: r, inner=lambda u, v: u @ G @ v), 40)
    )
    at = next(at for at in made if at.squared <= 1e-20 * made[0].squared)

    exact = np.linalg.solve(product, b)
    assert_allclose(at.solution, exact, rtol=0, atol=1e-6 * np.linalg.norm(exact))
    assert at.energy == pytest.approx(b @ G @ exact, rel=1e-12)


def test_arrays_of_any_shape_are_vectors(rng):
    """A matrix of unknowns, as of coefficients for each class: the same to the last bit."""
    H, b = definite(rng), rng.normal(size=SIZE)
    flat = iterates(H, b, most=5)[-1]
    made = conjugate_gradients(
        lambda V: (H @ V.ravel()).reshape(3, 4),
        b.reshape(3, 4),
        lambda R: np.linalg.solve(np.eye(SIZE), R.ravel()).reshape(3, 4),
    )
    shaped = list(islice(made, 5))[-1]

    assert_array_equal(shaped.solution.ravel(), flat.solution)


def test_units_that_are_powers_of_two_change_no_bit(rng):
    """With a preconditioner that has the units: coordinates times u, gradients by u."""
    H, b, units = definite(rng), rng.normal(size=SIZE), 2.0 ** rng.integers(-20, 20, SIZE)
    here = list(islice(conjugate_gradients(lambda v: H @ v, b, lambda r: r), 6))[-1]
    there = list(
        islice(conjugate_gradients(lambda v: H @ (v / units) / units, b / units, lambda r: r * units**2), 6)
    )[-1]

    assert_array_equal(there.solution, units * here.solution)
    assert (there.energy, there.least) == (here.energy, here.least)
