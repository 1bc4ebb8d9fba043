"""The objective along a direction by its logits, and its Hessian by products: against evaluations."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from objectives import Sample, logits_at, objective_of
from scipy import linalg, sparse

from smreg import family
from smreg.data.block import Block
from smreg.data.rows import _Edited
from smreg.objective import information
from smreg.objective.cross_entropy import FIRST_CHANGE, MAX_CHANGE, CrossEntropy, LogitLine, Objective
from smreg.optimize.line_search import EvaluatedLine

EPS = np.finfo(np.float64).eps


class WithOffset:
    """An edit of a block: known logits, which are the same function of its number of rows every time."""

    def __init__(self, offset):
        self.offset = offset

    def __call__(self, block: Block):
        """The block with its offsets."""
        return replace(block, offset=self.offset)


def make_objective(
    n_classes=3, *, soft=False, offset=False, weights=True, store=np.ascontiguousarray, n=50, **options
):
    """On random rows in mixed units far from zero, so that columns are shifted; a fifth have no weight."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n, 4)) * [1.0, 1e3, 1e-3, 10.0] + [0.0, 5e4, 0.0, 1.0]
    target = rng.dirichlet(np.ones(n_classes), n) if soft else rng.permutation(np.arange(n) % n_classes)
    s = rng.integers(0, 5, n) / 1.0 if weights else np.ones(n)
    s /= s.sum()
    one_hot = target if soft else family.sufficient_statistic(target, n_classes)
    made = objective_of(store(X), Sample(target, s, s @ one_hot), **({"ridge": 0.1} | options))
    if not offset:
        return made

    rows = _Edited(made.rows, WithOffset(rng.normal(size=(n, n_classes))))
    return Objective(CrossEntropy(rows, made.loss.priors), made.penalty, made.coordinates)


CASES = [
    pytest.param({}, id="labels"),
    pytest.param({"soft": True}, id="soft targets"),
    pytest.param({"n_classes": 2}, id="two classes"),
    pytest.param({"n_classes": 2, "soft": True}, id="two classes, soft targets"),
    pytest.param({"symmetric": True}, id="symmetric coding"),
    pytest.param({"offset": True}, id="known logits"),
    pytest.param({"offset": True, "n_classes": 2}, id="two classes, known logits"),
    pytest.param({"weights": False}, id="equal weights"),
    pytest.param({"fit_intercept": False}, id="no intercept"),
    pytest.param({"ridge": 0.0}, id="no penalty"),
    pytest.param({"store": sparse.csr_array}, id="sparse"),
    pytest.param({"store": sparse.csr_array, "soft": True, "n_classes": 2}, id="sparse, soft targets"),
]
LENGTHS = [0.0, 1e-3, 0.3, 1.0, 7.0]


def point_and_step(objective, rng):
    """With logits of some units, since the columns far from zero are centred in the coordinates."""
    return rng.normal(size=(2, objective.start().size)) / 2


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("length", LENGTHS)
def test_the_slope_is_the_gradient_along_the_direction(case, length, rng):
    """Both are sums of 50 terms of order one to ten, but of other products; at 7 the logits are some 30."""
    objective = make_objective(**case)
    phi, step = point_and_step(objective, rng)
    line = LogitLine(objective, phi, step, None)

    expected = objective(phi + length * step)[1] @ step
    scale = np.abs(objective(phi)[1] @ step) + np.abs(expected) + 1
    assert line.slope(length) == pytest.approx(expected, abs=2.0**-38 * scale)


@pytest.mark.parametrize("case", CASES)
def test_the_slope_is_the_derivative_of_the_value(case, rng):
    """Five points, of h = 1e-3: errors of ``h**4 / 30`` times a fifth derivative of some 1e2, and of
    rounding, ``1.5 EPS F / h``."""
    objective, h = make_objective(**case), 1e-3
    phi, step = point_and_step(objective, rng)
    line = LogitLine(objective, phi, step, None)

    def value(t):
        return objective(phi + t * step)[0]

    t = 0.3
    numeric = (8 * (value(t + h) - value(t - h)) - value(t + 2 * h) + value(t - 2 * h)) / (12 * h)
    assert line.slope(t) == pytest.approx(numeric, abs=1e-10)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("length", LENGTHS)
def test_a_point_of_the_line_is_an_evaluation(case, length, rng):
    """Value and gradient, from logits that have moved and not from X: to the rounding of logits of up to
    30 in sums of 50 terms."""
    objective = make_objective(**case)
    phi, step = point_and_step(objective, rng)
    value, gradient, _ = LogitLine(objective, phi, step, None).point(length)
    expected = objective(phi + length * step)

    assert value == pytest.approx(expected[0], rel=2.0**-42)
    assert_allclose(gradient, expected[1], rtol=0, atol=2.0**-40 * max(1, np.abs(expected[1]).max()))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("length", LENGTHS)
def test_no_norm_in_the_inverse_hessian_grows_by_more_along_a_line(case, length, rng):
    """``H(start) <= growth**2 H(there)`` in the Loewner order, to the rounding of eigenvalues."""
    objective = make_objective(**case)
    phi, step = point_and_step(objective, rng)
    before, after = (information.information(objective, at) for at in (phi, phi + length * step))
    after *= LogitLine(objective, phi, step, None).growth(length) ** 2

    assert linalg.eigvalsh(after - before).min() >= -(2.0**-44) * np.abs(after).max()


@pytest.mark.parametrize("case", CASES)
def test_what_is_known_of_a_point_are_its_logits_and_lines_from_there_are_the_same(case, rng):
    """To the rounding of one more sum."""
    objective = make_objective(**case)
    phi, step = point_and_step(objective, rng)
    _, _, known = LogitLine(objective, phi, step, None).point(0.5)
    there = phi + 0.5 * step

    used = np.concatenate(list(objective.rows.map_blocks(lambda block: block.weights > 0)))
    own, expected = np.hstack(known.results), logits_at(objective, there)
    assert_allclose(own[:, used], expected[:, used], rtol=0, atol=2.0**-40)
    fresh, kept = (objective.along(there, -step, logits) for logits in (None, known))
    for length in LENGTHS:
        assert kept.slope(length) == pytest.approx(fresh.slope(length), abs=2.0**-36)


def test_a_line_of_logits_does_not_read_x(rng):
    """After it has been made: the store may fail then, but for the products of a point's gradient."""
    objective = make_objective()
    phi, step = point_and_step(objective, rng)
    line = LogitLine(objective, phi, step, None)
    expected, passes = line.slope(0.3), []

    class Refusing(type(objective.rows)):
        def map_reduce(self, *arguments, **hints):
            passes.append(arguments)
            raise AssertionError("X is read")

    objective.rows.__class__ = Refusing
    assert line.slope(0.3) == expected
    assert not passes


def test_the_points_of_a_line_are_counted_as_evaluations(rng):
    objective = make_objective()
    phi, step = point_and_step(objective, rng)
    line = LogitLine(objective, phi, step, None)
    before = objective.evaluations
    line.slope(0.1)
    line.slope(1.0)
    assert objective.evaluations == before

    line.point(1.0)
    assert objective.evaluations == before + 1


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3, 1e9])
def test_the_first_length_is_a_whole_step_unless_a_logit_changes_too_much(size, rng):
    """The largest change of a logit, of a row with weight, is at most FIRST_CHANGE."""
    objective = make_objective()
    phi, step = point_and_step(objective, rng)
    step *= size
    line = LogitLine(objective, phi, step, None)
    change = np.abs(logits_at(objective, phi + step) - logits_at(objective, phi)).max()

    assert line.first == pytest.approx(min(1.0, FIRST_CHANGE / change), rel=2.0**-30)


def test_a_step_that_changes_no_logit_is_taken_as_a_whole():
    objective = make_objective(ridge=0.0)
    phi = objective.start()

    assert LogitLine(objective, phi, np.zeros_like(phi), None).first == 1.0


@pytest.mark.parametrize(("length", "is_known"), [(0.5, True), (2.0, False)])
def test_logits_that_have_moved_too_far_are_not_kept(length, is_known, rng):
    """They would carry the rounding of the longest step into all that follow."""
    objective = make_objective()
    phi, step = point_and_step(objective, rng)
    change = np.abs(logits_at(objective, phi + step) - logits_at(objective, phi)).max()
    line = LogitLine(objective, phi, step * MAX_CHANGE / change, None)

    assert (line.point(length)[2] is not None) == is_known


@pytest.mark.parametrize("length", [1e200, 1e308])
def test_far_out_the_slope_is_a_number_or_none_and_nothing_warns(length, rng):
    """Logits overflow: the line search asks for shorter ones."""
    objective = make_objective()
    phi, step = point_and_step(objective, rng)
    slope = LogitLine(objective, phi, step, None).slope(length)

    assert slope > 0 or np.isnan(slope)


def test_where_logits_do_not_fit_the_line_is_evaluated(rng):
    """Rows that say they are many."""
    made = make_objective()
    rows = _Edited(made.rows, WithOffset(None), n_samples=2**40)
    objective = Objective(CrossEntropy(rows, made.loss.priors), made.penalty, made.coordinates)
    phi, step = point_and_step(objective, rng)

    line = objective.along(phi, step)
    assert isinstance(line, EvaluatedLine)
    assert line.slope(0.3) == objective(phi + 0.3 * step)[1] @ step


# -- products with the Hessian


@pytest.mark.parametrize("case", CASES)
def test_products_with_the_hessian_are_those_with_the_information(case, rng):
    """The same sums of 50 terms of up to some ten, in another order."""
    objective = make_objective(**case)
    phi, v = point_and_step(objective, rng)
    H = information.information(objective, phi)

    expected = H @ v
    assert_allclose(objective.hessian_at(phi)(v), expected, rtol=0, atol=2.0**-40 * np.abs(expected).max())


@pytest.mark.parametrize("case", CASES)
def test_products_with_the_hessian_are_derivatives_of_the_gradient(case, rng):
    """Five points of h = 1e-3 again, with derivatives of order 1e2 at most."""
    objective, h = make_objective(**case), 1e-3
    phi, v = point_and_step(objective, rng)

    def gradient(t):
        return objective(phi + t * v)[1]

    numeric = (8 * (gradient(h) - gradient(-h)) - gradient(2 * h) + gradient(-2 * h)) / (12 * h)
    assert_allclose(objective.hessian_at(phi)(v), numeric, rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_products_with_the_hessian_are_linear_and_self_adjoint(case, rng):
    """A known logit has no part in a direction: twice of it is twice, to the bit."""
    objective = make_objective(**case)
    phi, v = point_and_step(objective, rng)
    w = rng.normal(size=phi.size)
    product = objective.hessian_at(phi)

    assert_array_equal(product(2.0 * v), 2.0 * product(v))
    assert_allclose(product(v + w), product(v) + product(w), rtol=0, atol=2.0**-36)
    assert w @ product(v) == pytest.approx(v @ product(w), abs=2.0**-36)
    assert v @ product(v) >= 0
