"""Which estimates are infinite is known before any fit.

The truth is two linear programs for each coefficient, its largest and its smallest value in a box among all
directions of recession, on integers of one digit: a vertex has coordinates that are ratios of determinants of
a few of them, far above the tolerance of 1e-7 if they are not zero.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from dask import array as da
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal
from scipy import optimize, sparse
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from smreg import SoftmaxRegression, separation
from smreg.data import Batches

seeds = st.integers(0, 2**20)


def small(seed, n_classes=None):
    """Integers of one digit, and classes that are separated in part of the draws, each there."""
    rng = np.random.default_rng(seed)
    K = n_classes or rng.integers(2, 5)
    n, p = rng.integers(K + 1, 25), rng.integers(1, 4)
    X = rng.integers(0, 2, (n, p)) if rng.random() < 0.3 else rng.integers(-2, 3, (n, p))
    noise = rng.choice([0.1, 1.0, 3.0]) * rng.normal(size=(n, K))
    y = (X @ rng.integers(-2, 3, (p, K)) + noise).argmax(axis=1)
    y[:K] = np.arange(K)
    return X.astype(float), y


def signs_in_all_directions(X, y, reference):
    """Whether each coefficient against a reference, first the intercept, can be positive, and negative."""
    Z, K = np.column_stack([np.ones(len(X)), X]), y.max() + 1
    coding = np.delete(np.eye(K), reference, axis=1)
    margins = np.array(
        [
            np.outer(coding[label] - coding[k], z).ravel()
            for z, label in zip(Z, y, strict=True)
            for k in np.delete(np.arange(K), label)
        ]
    )

    def reaches(direction):
        program = optimize.linprog(-direction, A_ub=-margins, b_ub=np.zeros(len(margins)), bounds=(-1, 1))
        assert program.status == 0
        return -program.fun > 1e-6

    units = np.eye(margins.shape[1])
    shape = K - 1, Z.shape[1]
    return (
        np.reshape([reaches(unit) for unit in units], shape).T,
        np.reshape([reaches(-unit) for unit in units], shape).T,
    )


@settings(max_examples=60)
@given(seeds)
def test_an_estimate_is_infinite_as_linear_programs_say(seed):
    """Where all directions say the same; where they differ each of the three may be."""
    X, y = small(seed)
    reference = seed % (y.max() + 1)
    positive, negative = signs_in_all_directions(X, y, reference)
    if np.linalg.matrix_rank(np.column_stack([np.ones(len(X)), X])) < X.shape[1] + 1:
        return

    table = separation(X, y, reference=reference).to_numpy()

    assert (table[~positive & ~negative] == 0).all()
    assert (table[positive & ~negative] == np.inf).all()
    assert (table[negative & ~positive] == -np.inf).all()
    assert (table != 0).any() == (positive | negative).any()


def same_features(table, other):
    """All but the intercepts, which depend on where the columns have their zero."""
    assert_array_equal(table.to_numpy()[1:], other.to_numpy()[1:])


@settings(max_examples=40)
@given(seeds)
def test_units_and_zeros_of_the_columns_change_no_coefficient(seed):
    X, y = small(seed)
    scale = 10.0 ** np.random.default_rng(seed).integers(-6, 7, X.shape[1])

    assert_frame_equal(separation(X * scale, y), separation(X, y))
    same_features(separation(X + 3.0, y), separation(X, y))
    same_features(separation(-X, y), -separation(X, y) + 0.0)


@settings(max_examples=40)
@given(seeds)
def test_equal_samples_their_order_and_their_weights_change_nothing(seed):
    X, y = small(seed)
    rng = np.random.default_rng(seed)
    rows = np.append(rng.permutation(len(X)), rng.integers(0, len(X), 10))
    table = separation(X, y)

    assert_frame_equal(separation(X[rows], y[rows]), table)
    assert_frame_equal(separation(X, y, rng.uniform(1e-6, 1e6, len(X))), table)
    assert_frame_equal(separation(sparse.csr_array(X), y), table)
    assert_frame_equal(separation(np.vstack([X, X]), np.append(y, y[::-1]), np.repeat([1, 0], len(X))), table)


@settings(max_examples=40)
@given(seeds)
def test_one_hot_targets_and_other_names_of_the_classes_change_nothing(seed):
    X, y = small(seed)
    names = np.array(["d", "c", "b", "a"])[: y.max() + 1]

    table = separation(X, y)
    assert_array_equal(separation(X, np.eye(len(names))[y]), table)
    assert_frame_equal(
        separation(X, names[y], reference=names[0])[names[1:]], table.set_axis(names[1:], axis=1)
    )


@settings(max_examples=40)
@given(seeds)
def test_what_is_infinite_against_one_class_is_minus_that_the_other_way_round(seed):
    X, y = small(seed)
    tables = [separation(X, y, reference=k) for k in range(y.max() + 1)]

    for k, table in enumerate(tables):
        for other in table:
            assert_array_equal(table[other], -tables[other][k] + 0.0)


def test_a_column_twice_shares_the_sign():
    X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), [0, 0, 1, 1]

    assert separation(np.hstack([X, X]), y)[1].tolist() == [-np.inf, np.inf, np.inf]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_finite_estimates_stay_where_they_are_as_the_penalty_vanishes_and_others_grow(n_classes):
    """A dummy that the first class never has. Its coefficients against that class grow by nearly
    log(1000) = 6.9 as C is multiplied by 1000, as ``exp(-w)`` is to the gradient ``w / C`` of the penalty.
    All others move by 1 / C over their curvature, of some samples: far less than 0.1."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, n_classes, 90)
    X = pd.DataFrame({"treated": (y > 0) & (rng.random(90) < 0.5), "dose": rng.normal(size=90)}).astype(float)

    table = separation(X, y)
    weak, weaker = (SoftmaxRegression(C=C, tol=1e-6).fit(X, y).coefficients(reference=0) for C in (1e4, 1e7))
    grown = np.where(table == 0, 0.0, np.sign(table) * 6.9)

    assert (table.loc["treated"] == np.inf).all()
    assert (table.loc[["intercept", "dose"]] == 0).all(axis=None)
    np.testing.assert_allclose(weaker - weak, grown, atol=0.5)
    np.testing.assert_allclose((weaker - weak)[table == 0].fillna(0), 0, atol=0.1)


def test_classes_that_overlap_have_finite_estimates_alone():
    iris = load_iris(as_frame=True)
    overlapping = iris.target > 0
    table = separation(iris.data[overlapping][["sepal length (cm)"]], iris.target[overlapping])

    assert table.index.tolist() == ["intercept", "sepal length (cm)"]
    assert table.columns.tolist() == [2]
    assert (table == 0).all(axis=None)


def test_a_class_apart_from_all_others_is_found():
    X, y = load_iris(return_X_y=True)
    table = separation(X[:, 2:], y, reference=1)

    assert (table[0] == [np.inf, -np.inf, -np.inf]).all()
    assert (table[2] == 0).all()


def test_a_class_without_weight_has_an_intercept_of_minus_infinity():
    X, y = load_iris(return_X_y=True)
    weights = (y > 0).astype(float)

    table = separation(X[:, :1], y, weights, reference=1)
    assert_array_equal(table, [[-np.inf, 0], [0, 0]])
    assert_array_equal(separation(X[:, :1], y, weights), [[np.inf, np.inf], [0, 0]])
    assert_array_equal(separation(X[:, :1], y > 0, weights), [[np.inf], [0]])


def test_it_agrees_with_the_warning_of_the_fit():
    X, y = load_iris(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match=r"bias_reduction=True.*smreg\.separation"):
        SoftmaxRegression(C=np.inf).fit(X, y)

    assert (separation(X, y) != 0).any(axis=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SoftmaxRegression(C=np.inf).fit(X[:, :1], y)
    assert (separation(X[:, :1], y) == 0).all(axis=None)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"reference": "z"}, ValueError, r"reference must be one of the classes \[0, 1\], got 'z'"),
        ({"X": da.ones((4, 1))}, TypeError, "X"),
        ({"X": Batches(lambda: [], target="y"), "y": None}, TypeError, "X must be in memory.*Batches"),
        ({"X": [[0.0], [np.nan], [1.0], [2.0]]}, ValueError, "Input X contains NaN"),
        ({"y": [0, 0, 0, 0]}, ValueError, "class"),
        ({"sample_weight": [1, 1, 1, -1]}, ValueError, "sample_weight"),
    ],
)
def test_bad_input_is_an_error_that_names_the_argument(arguments, error, message):
    given = {"X": [[0.0], [1.0], [2.0], [3.0]], "y": [0, 1, 0, 1]} | arguments
    with pytest.raises(error, match=message):
        separation(**given)
