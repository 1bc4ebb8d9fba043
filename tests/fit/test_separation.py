"""Without a penalty there is a maximum unless some direction separates the classes, at least in part.

The truth is a linear program with a constraint for every margin, on integers of one digit: a direction at a
vertex of its box has margins that are ratios of determinants of a few such numbers, far above its tolerance
of 1e-7 if they are not zero.
"""

import copy
import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from objectives import Sample, objective_of
from problems import STORAGES, labels
from scipy import optimize, sparse
from sklearn.exceptions import ConvergenceWarning

from smreg import SoftmaxRegression, SoftmaxRegressionCV, regularization_path
from smreg.data.kernels import sum_of
from smreg.data.rows import Rows
from smreg.fit import recession
from smreg.fit.separation import Budget, Watch
from smreg.fit.solution import Solution
from smreg.objective.cross_entropy import CrossEntropy, Objective
from smreg.objective.null_metric import null_metric
from smreg.optimize import solver
from smreg.optimize.protocol import Point

INF = np.inf


def reason(X, y, sample_weight=None, **options):
    """Why the fit ended; converged in silence, or with a warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = SoftmaxRegression(C=INF, **options).fit(X, y, sample_weight)
    assert model.converged_ == (model.solution_.reason == "converged") == (not caught)
    return model.solution_.reason


def is_separated(X, T, *, fit_intercept):
    """Whether a direction gives no margin less than zero, ties none, and some more."""
    Z = np.column_stack([X, np.ones(len(X))]) if fit_intercept else X
    T = T[:, T.any(axis=0)] if fit_intercept else T
    margins, ties = [], []
    for z, t in zip(Z, T, strict=True):
        label = t.argmax()
        for k in np.delete(np.arange(len(t)), label):
            unit = np.eye(len(t))
            (ties if t[k] > 0 else margins).append(np.outer(unit[label] - unit[k], z).ravel())
    if not margins:
        return False
    A = np.array(margins)
    program = optimize.linprog(
        -A.sum(axis=0),
        A_ub=-A,
        b_ub=np.zeros(len(A)),
        A_eq=np.array(ties) if ties else None,
        b_eq=np.zeros(len(ties)) if ties else None,
        bounds=(-1, 1),
    )
    assert program.status == 0
    return bool(-program.fun > 1e-5)


@st.composite
def tables(draw, max_features):
    """Small integers, hard labels or soft targets, weights of zero to two, and classes 0 to K - 1."""
    n_classes, p = draw(st.integers(2, 5)), draw(st.integers(1, max_features))
    n = draw(st.integers(n_classes, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X = rng.integers(-draw(st.integers(0, 2)), draw(st.integers(1, 3)), size=(n, p)).astype(float)
    sharpness = draw(st.sampled_from([0.0, 1.0, 10.0]))
    T = np.eye(n_classes)[labels(sharpness * X @ rng.normal(size=(p, n_classes)), rng)]
    T[:n_classes] = np.eye(n_classes)
    is_soft = rng.random(n) < draw(st.sampled_from([0.0, 0.2, 1.0]))
    allowed = np.maximum(T, rng.random(T.shape) < 0.5)
    T[is_soft] = (allowed / allowed.sum(axis=1, keepdims=True))[is_soft]
    weights = rng.integers(draw(st.integers(0, 1)), 3, size=n).astype(float)
    weights[:2] = 1.0
    return X, T, weights


def assert_decided(X, T, weights, storage, fit_intercept):
    is_hard = (T.max(axis=1) == 1).all()
    y = T.argmax(axis=1) if is_hard else T
    found = reason(STORAGES[storage](X), y, weights, fit_intercept=fit_intercept)

    used = weights > 0
    separated = is_separated(X[used], T[used], fit_intercept=fit_intercept)
    assert found == ("separation" if separated else "converged")


@given(table=tables(1), storage=st.sampled_from(["C", "sparse"]), fit_intercept=st.booleans())
def test_one_column_is_decided_exactly(table, storage, fit_intercept):
    assert_decided(*table, storage, fit_intercept)


@given(table=tables(4), storage=st.sampled_from(["C", "sparse"]), fit_intercept=st.booleans())
@settings(max_examples=200)
def test_separation_is_found_if_and_only_if_there_is_some(table, storage, fit_intercept):
    assert_decided(*table, storage, fit_intercept)


@pytest.mark.parametrize("value", [-1e6, 0.0, 0.1])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("storage", STORAGES)
def test_a_column_that_is_constant_but_for_rows_of_some_classes_separates(storage, sign, value, rng):
    """Whatever the constant: it deviates to one side, never in class 2. To both sides in all classes not."""
    X, y = rng.normal(size=(500, 3)), np.arange(500) % 3
    X[:, 1] = value
    deviates = (y != 2) & (rng.random(500) < 0.1)
    X[deviates, 1] += sign * rng.uniform(1, 2, deviates.sum())

    assert reason(STORAGES[storage](X), y) == "separation"
    X[:6, 1] = value + np.array([-1.0, -1.0, -1.0, 1.0, 1.0, 1.0])
    assert reason(STORAGES[storage](X), y) == "converged"


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("is_rotated", [False, True])
@pytest.mark.parametrize("overlap", [1e-1, 1e-3, 1e-5, 1e-7])
def test_one_pair_that_overlaps_is_enough_for_a_maximum(overlap, is_rotated, n_classes, rng):
    """Two rows, alike but for `overlap`, are on the wrong sides of the border of classes 0 and 1, which have
    no other such rows. Further classes overlap these two."""
    n = 300
    X, y = rng.normal(size=(n, 4)), np.zeros(n, dtype=int)
    y[X[:, 0] > 0] = 1
    X[-1] = X[-2]
    X[-2:, 0], y[-2:] = [overlap / 2, -overlap / 2], [0, 1]
    for k in range(2, n_classes):
        y[rng.choice(n - 2, n // 10, replace=False)] = k
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0] if is_rotated else np.eye(4)

    assert reason(X @ rotation, y) == "converged"


@pytest.mark.parametrize("distance", [0.0, 1e-13, 1e-9, 1e-3])
def test_one_column_whose_classes_touch_separates_and_one_where_they_overlap_does_not(distance):
    """To the last bit: the comparison of two numbers is exact."""
    x = np.concatenate([-np.arange(1.0, 20.0), [distance], np.arange(1.0, 20.0), [0.0]])
    y = np.repeat([0, 1], 20)

    assert reason(x[:, np.newaxis], y) == ("separation" if distance == 0 else "converged")


def many_coordinates(rng, n=2000, p=100, n_classes=5):
    """More coordinates, 404, than a linear program of all of them takes."""
    X = rng.normal(size=(n, p))
    return X, labels(X @ rng.normal(size=(p, n_classes)) / np.sqrt(p), rng)


def hidden(X, y, rng):
    """A dummy with which class 0 never occurs, in seven others' combinations: no column shows it."""
    X = X.copy()
    X[:, 0] = (y != 0) & (rng.random(len(y)) < 0.01)
    X[:, :8] = X[:, :8] @ np.linalg.qr(rng.normal(size=(8, 8)))[0]
    return X


def test_separation_in_a_combination_of_columns_is_found_beyond_the_size_of_the_linear_program(rng):
    X, y = many_coordinates(rng)

    assert reason(X, y) == "converged"
    assert reason(hidden(X, y, rng), y) == "separation"
    assert reason(sparse.csr_array(hidden(X, y, rng)), y) == "separation"


def partly_separated(n, p, n_classes, rng, *, storage="C", is_soft=False):
    """Two features, zero but in some rows of class 1 and at both borders of 0 and 1, hidden in others."""
    X = rng.normal(size=(n, p)) * (rng.random((n, p)) < (0.1 if storage == "sparse" else 1.0))
    y = labels(X @ rng.normal(size=(p, n_classes)) / np.sqrt(p), rng)
    X[:, 0] = ((y == 1) & (rng.random(n) < 0.1)) * rng.uniform(0.5, 2.0, n)
    X[:, 1] = np.select([y == 0, y == 1], [1.0, -1.0]) * np.abs(rng.normal(size=n))
    T = np.eye(n_classes)[y]
    if is_soft:
        rows = (X[:, 0] == 0) & (y > 1)
        T[rows] = (T[rows] + rng.dirichlet(np.ones(n_classes), rows.sum())) / 2
    return X, T if is_soft else y


def mixed(X, columns, rng):
    """The same in other coordinates, in which no column shows what some combination does."""
    X = X.copy()
    X[:, columns] = X[:, columns] @ rng.normal(size=(len(columns), len(columns)))
    return X


@pytest.mark.parametrize(
    ("storage", "is_soft", "tol"),
    [
        ("C", False, 1e-2),
        ("C", False, 1e-7),
        ("C", True, 1e-4),
        ("sparse", False, 1e-4),
        ("sparse", True, 1e-2),
    ],
)
@pytest.mark.parametrize(("n", "p", "n_classes"), [(1500, 90, 6), (2500, 350, 7)])
def test_hidden_separation_is_found_at_any_size_and_a_maximum_is_too(
    n, p, n_classes, tol, is_soft, storage, rng
):
    """About 450 and 2,100 coordinates, either feature by itself, wherever the search has ended."""
    X, y = partly_separated(n, p, n_classes, rng, storage=storage, is_soft=is_soft)
    made, columns = STORAGES[storage], rng.choice(np.arange(2, p), 6, replace=False)

    for feature in (0, 1):
        rotated = mixed(np.delete(X, 1 - feature, axis=1), np.append(columns - 1, 0), rng)
        assert reason(made(rotated), y, tol=tol) == "separation"
    assert reason(made(X[:, 2:]), y, tol=tol) == "converged"


def test_a_null_space_bears_a_diagonal_that_rounding_made_negative():
    """A sum of squares that is zero but for rounding is that of a null direction: the first unit vector."""
    null = recession._null_space(np.diag([-(2.0**-80), 1.0]))

    np.testing.assert_array_equal(np.abs(null), [[1.0], [0.0]])


@pytest.mark.parametrize(("numbers", "found"), [(0.0, None), (1e4, None), (1e9, True)])
def test_linear_programs_keep_within_their_allowance(numbers, found, rng):
    """Where that is used up nothing is decided: a pivot with the first 500 rows takes 10,500 numbers."""
    X = rng.normal(size=(1000, 20))
    y = (X @ rng.normal(size=20) > 0).astype(np.int64)
    sample = Sample(y, np.full(len(y), 1 / len(y)), np.bincount(y) / len(y))
    objective = objective_of(X, sample)

    allowance = recession.Allowance(numbers)
    assert recession.has_recession_direction(objective, np.eye(21), allowance) is found


@pytest.mark.parametrize("weight", [1e200, 1e300])
def test_a_row_that_outweighs_all_others_overflows_nowhere(weight, rng):
    """The suite takes NumPy's warnings for errors.

    At the priors two classes of 20 rows have a share of ``20 / weight`` each, of which the entropy is below
    the bound; the minimum is below that.
    """
    X, y, weights = rng.normal(size=(60, 3)), np.arange(60) % 3, np.ones(60)
    weights[3] = weight

    model = SoftmaxRegression(C=np.inf).fit(X, y, sample_weight=weights)

    assert np.isfinite(model.coef_).all()
    assert model.solution_.objective <= 60 * np.log(weight) / weight


def test_a_separated_row_near_the_largest_number_is_never_called_converged(rng):
    """Sums of margins overflow: no linear program decides more than the point itself."""
    X, y = rng.normal(size=(60, 3)), np.arange(60) % 3
    X[7, 1] = 1e308

    assert reason(X, y) in ("separation", "undecided")


def verdict(X, y, budget):
    """Why an unpenalised search ended, by checks of that cost, and whether it has reached `tol`."""
    sample = Sample(y, np.full(len(y), 1 / len(y)), np.bincount(y) / len(y))
    objective = objective_of(X, sample)
    start = Point(objective.start(), *objective(objective.start()))
    minimum = solver.minimize(objective, start, lambda: null_metric(objective), tol=1e-4, max_iter=1000)
    varies = np.ones(X.shape[1], dtype=bool)
    return minimum.reason, Watch(objective, varies, lambda: null_metric(objective), budget).verdict(minimum)


def test_a_maximum_is_proved_without_a_linear_program_and_separation_is_not_denied_for_lack_of_time(rng):
    X, y = many_coordinates(rng, p=20, n_classes=3)

    assert verdict(X, y, Budget(size=0, program=0, numbers=0.0)) == ("converged", "converged")
    assert verdict(hidden(X, y, rng), y, Budget(size=0, program=0, passes=0)) == ("converged", "undecided")
    assert verdict(hidden(X, y, rng), y, Budget()) == ("converged", "separation")


def test_without_any_time_nothing_is_called_converged(rng):
    """That there is a maximum is proved, or it is not known."""
    data = many_coordinates(rng, p=20, n_classes=3)

    assert verdict(*data, Budget(size=0, program=0, passes=0)) == ("converged", "undecided")


def test_it_is_said_that_separation_is_undecided():
    record = Solution(0.1, 1e-5, 5e-11, INF, 1e-3, 60, 40, 5, 0.1, converged=False, reason="undecided")

    assert re.search(r"may be separated.*: not decided.*finite value", record.explain(1e-4, 100))


@pytest.mark.parametrize("dummies", [1, 20])
@pytest.mark.parametrize("n_classes", [3, 7])
def test_separation_by_dummies_of_a_few_rows_is_found(n_classes, dummies, rng):
    """Columns of ten orders, dummies of a few rows, and classes that never occur with them."""
    n = 3000
    X = np.exp(3 * rng.normal(size=(n, 10))) * 10.0 ** np.arange(-5, 5)
    X = np.column_stack([X, rng.random((n, dummies)) < 0.01])
    y = labels(np.log(X[:, :10]) @ rng.normal(size=(10, n_classes)), rng)
    X[y == 0, 10:] = 0.0
    with pytest.warns(ConvergenceWarning, match="classes are separated"):
        model = SoftmaxRegression(C=INF).fit(X, y)

    assert model.solution_.reason == "separation"


def test_a_search_that_ends_at_max_iter_reports_a_column_that_separates(rng):
    X, y = many_coordinates(rng, p=20)
    X[:, 0] = (y == 1) & (rng.random(len(y)) < 0.1)

    assert reason(X, y, max_iter=2) == "separation"


def test_paths_and_searches_warn_of_columns_that_separate(rng):
    X, y = many_coordinates(rng, n=300, p=5, n_classes=3)
    X[:, 0] = (y == 1) & (rng.random(len(y)) < 0.3)
    with pytest.warns(ConvergenceWarning, match=r"1 of 2 fits.*classes are separated"):
        path = regularization_path(X, y, Cs=[1.0, INF])
    with pytest.warns(ConvergenceWarning, match="classes are separated"):
        search = SoftmaxRegressionCV(Cs=[1.0, INF]).fit(X, y)

    assert path.converged.tolist() == [True, False]
    assert np.isfinite(search.cv_results_["score"]).all()


class Parts(Rows):
    """Ten rows at a time, with what sums over the first ones of them hold."""

    def __init__(self, rows):
        self._rows, self.sums = rows, []
        for name in Rows.__annotations__:
            setattr(self, name, getattr(rows, name))

    def map_reduce(self, kernel, *arguments, **hints):
        """The sum of all parts."""
        parts = list(self._rows.map_blocks(kernel, *arguments, size=10))
        self.sums = [sum_of(copy.deepcopy(parts[: n + 1])) for n in range(len(parts))]
        return self.sums[-1]


@pytest.mark.parametrize("most", [1, 7, 150, 10**6])
def test_margins_that_fall_short_most_are_picked_part_by_part(rng, most):
    """Of equals the first; no more than are asked for are held at any time."""
    X, y = rng.integers(-1, 2, size=(200, 3)).astype(float), np.arange(200) % 3
    whole = objective_of(X, Sample(y, np.full(200, 1 / 200), np.bincount(y) / 200))
    loss = CrossEntropy(Parts(whole.rows), whole.loss.priors)
    objective = Objective(loss, whole.penalty, whole.coordinates)
    direction = rng.normal(size=whole.shape).ravel()

    made = recession._most_violated(objective, direction, most)
    shortfalls = [part.shortfalls for part in loss.rows.sums]
    expected = recession._most_violated(objective, direction, 10**6)
    assert len(expected) > 100
    assert len(np.unique(loss.rows.sums[-1].shortfalls)) < len(expected)  # of some there are several
    assert_array_equal(made, expected[:most])
    assert max(map(len, shortfalls)) <= most
    assert (np.diff(shortfalls[-1]) <= 0).all()
