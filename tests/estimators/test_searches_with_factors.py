"""Paths and cross-validation with penalty factors: their grids, their fits, in memory and by passes.

Two fits of one model at `tol` are within ``2 tol`` in the metric of the Hessian, which is at least the ridge.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from dask import array as da
from numpy.testing import assert_allclose, assert_array_equal
from problems import labels
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smreg import SoftmaxRegression, SoftmaxRegressionCV, regularization_path

TOL = 1e-8
INF = np.inf
PATTERNS = {
    "positive": [0.25, 1.0, 4.0, 1.0, 16.0],
    "some zero": [0.0, 1.0, 0.0, 4.0, 16.0],
    "some held": [INF, 1.0, 0.0, INF, 16.0],
    "by class": [[1.0, 1, 2, 3, 4], [1, 1, 1, 2, 2], [4, 3, 2, 1, 0.5]],
    "zero by class": [[0.0, 1, 0, 3, 4], [0.0, 1, 0, 2, 0], [4.0, 3, 0, 1, 0.5]],
    "held by class": [[INF, 1, 2, INF, 4], [1, 1, 0, INF, INF], [4, 3, 2, INF, 0]],
}


def make_data(n=150, p=5, n_classes=3):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p))
    return X, labels(X @ rng.normal(size=(p, n_classes)) / np.sqrt(p), rng)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_the_fits_of_a_search_are_those_of_single_fits(l1_ratio, pattern):
    """``2 tol`` over the root of the least ridge, 0.25 / (100 * 10): 1e-6; without one of the curvature."""
    X, y = make_data()
    fold = np.arange(len(y)) % 3
    options = {"penalty_factor": PATTERNS[pattern], "tol": TOL}
    search = SoftmaxRegressionCV([0.1, 10.0], l1_ratios=[l1_ratio], cv=PredefinedSplit(fold), **options)
    search.fit(X, y)

    for number, j in np.ndindex(3, 2):
        part = fold != number
        one = SoftmaxRegression(search.Cs_[j], l1_ratio=l1_ratio, **options).fit(X[part], y[part])
        assert_allclose(search.coefs_paths_[number, 0, j, :, :-1], one.coef_, rtol=0, atol=2e-6)
    one = SoftmaxRegression(search.C_, l1_ratio=l1_ratio, **options).fit(X, y)
    assert_allclose(search.coef_, one.coef_, rtol=0, atol=2e-6)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_a_search_by_passes_is_that_in_memory(l1_ratio, pattern):
    X, y = make_data()
    fold = np.arange(len(y)) % 3
    options = {"l1_ratios": [l1_ratio], "penalty_factor": PATTERNS[pattern], "tol": TOL}
    here = SoftmaxRegressionCV([0.1, 10.0], cv=PredefinedSplit(fold), **options).fit(X, y)
    lazy = da.from_array(X, chunks=(60, 5)), da.from_array(y, chunks=60)
    there = SoftmaxRegressionCV([0.1, 10.0], cv=fold, **options).fit(*lazy)

    assert_allclose(there.coefs_paths_, here.coefs_paths_, rtol=0, atol=2e-6)
    assert_allclose(there.scores_["mean"], here.scores_["mean"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_the_default_grid_is_that_of_the_features_in_other_units(l1_ratio):
    """To 1e-3, as grids are the same."""
    X, y = make_data()
    factors = np.array(PATTERNS["positive"])
    unit = factors if l1_ratio else np.sqrt(factors)
    here = regularization_path(X, y, l1_ratio=l1_ratio, penalty_factor=factors)

    assert_allclose(here.Cs, regularization_path(X / unit, y, l1_ratio=l1_ratio).Cs, rtol=1e-3)


@pytest.mark.parametrize("pattern", ["some zero", "some held", "zero by class"])
def test_a_default_grid_begins_at_the_fit_of_what_has_no_penalty(pattern):
    """With an L1 norm nothing else has a coefficient there, and something has at a thousandth more."""
    X, y = make_data()
    options = {"l1_ratio": 0.5, "penalty_factor": PATTERNS[pattern], "tol": TOL}
    free = np.broadcast_to(np.array(PATTERNS[pattern]) == 0, (3, 5))
    first = regularization_path(X, y, **options).Cs[0]
    at_first, later = regularization_path(X, y, Cs=[first, 1.001 * first], **options).coefs
    alone = SoftmaxRegression(INF, penalty_factor=np.where(free, 1.0, INF), tol=TOL).fit(X, y)

    assert not at_first[~free].any()
    assert later[~free].any()
    assert_allclose(at_first, alone.coef_, rtol=0, atol=1e-6)


def test_a_ridge_grid_begins_where_little_but_what_has_no_penalty_is_explained():
    """At most a hundredth of the deviance of the fit of that alone."""
    X, y = make_data()
    factors = np.array(PATTERNS["some zero"])
    path = regularization_path(X, y, penalty_factor=factors, tol=TOL)
    alone = SoftmaxRegression(INF, penalty_factor=np.where(factors == 0, 1.0, INF), tol=TOL).fit(X, y)

    assert 0.99 * alone.solution_.objective <= path.objective[0] <= alone.solution_.objective + TOL
    assert path.converged.all()


@pytest.mark.parametrize(("pattern", "n_free"), [("some zero", 2), ("some held", 1)])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_what_has_no_penalty_has_all_its_degrees_of_freedom(l1_ratio, pattern, n_free):
    """Two for each feature without a penalty and the intercept; at a large C for all that are not held."""
    X, y = make_data()
    factors = np.array(PATTERNS[pattern])
    path = regularization_path(X, y, Cs=[1e-9, 1e12], l1_ratio=l1_ratio, penalty_factor=factors, tol=TOL)

    assert path.degrees_of_freedom[0] == pytest.approx(2 * (n_free + 1), abs=1e-5)
    most = 2 * (np.count_nonzero(np.isfinite(factors)) + 1)
    if l1_ratio:  # which leaves a row for each class
        most = np.count_nonzero(path.coefs[1]) - n_free + 2
    assert path.degrees_of_freedom[1] == pytest.approx(most, abs=1e-4)


def test_factors_by_class_have_no_degrees_of_freedom_for_shifts():
    X, y = make_data()
    factors = np.array(PATTERNS["by class"]) * np.array([[1.0], [2.0], [3.0]])
    path = regularization_path(X, y, Cs=[1e-9, 1e12], penalty_factor=factors, tol=TOL)

    assert_allclose(path.degrees_of_freedom, [2, 12], rtol=0, atol=1e-4)


def test_a_search_says_that_what_has_no_penalty_separates():
    X, y = make_data(n_classes=2)
    X[:, 0] = np.where(y == 1, 1.0, -1.0)
    with pytest.warns(ConvergenceWarning, match="no penalty factor to zero"):
        SoftmaxRegressionCV([0.1, 1.0], penalty_factor=PATTERNS["some zero"]).fit(X, y)


@pytest.mark.parametrize("kind", [SoftmaxRegression, SoftmaxRegressionCV])
def test_factors_are_kept_as_they_are_given(kind):
    """By `clone`, and through a pipeline that keeps the names of features."""
    X, y = make_data()
    frame, factors = pd.DataFrame(X, columns=list("abcde")), {"b": 0.0}
    options = {"Cs": [1.0]} if kind is SoftmaxRegressionCV else {}
    model = kind(penalty_factor=factors, **options)
    pipeline = make_pipeline(StandardScaler(), model).set_output(transform="pandas").fit(frame, y)

    assert clone(model).penalty_factor == factors
    assert pipeline[-1].penalty_factor is factors
    expected = kind(penalty_factor=[1.0, 0.0, 1.0, 1.0, 1.0], **options)
    assert_array_equal(expected.fit(pipeline[:-1].transform(frame), y).coef_, pipeline[-1].coef_)
    with pytest.raises(ValueError, match="set_output"):
        model.fit(X, y)


@pytest.mark.parametrize("kind", [SoftmaxRegressionCV, None])
def test_bad_factors_are_an_error_of_searches_too(kind):
    X, y = make_data()
    fit = regularization_path if kind is None else lambda X, y, **given: kind(**given).fit(X, y)

    with pytest.raises(ValueError, match=r"penalty_factor must be a number >= 0 .*\(5,\).*\(4,\)"):
        fit(X, y, penalty_factor=np.ones(4))
    with pytest.raises(ValueError, match=r"penalty_factor has a row for the classes \[2\]"):
        fit(X, np.eye(4)[y][:, [0, 1, 3, 2]], penalty_factor=np.arange(20.0).reshape(4, 5))


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_a_fold_may_lack_a_class_that_has_factors(l1_ratio):
    """Its model is that of the others, with their rows of factors."""
    X, y = make_data()
    factors = np.array(PATTERNS["by class"])
    fold = (y == 2).astype(int)
    options = {"penalty_factor": factors, "tol": TOL}
    search = SoftmaxRegressionCV([1.0], l1_ratios=[l1_ratio], cv=PredefinedSplit(fold), **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        search.set_params(cv=[(np.flatnonzero(y != 2), np.arange(150))]).fit(X, y)

    part = y != 2
    coef = search.coefs_paths_[0, 0, 0, :, :-1]
    one = SoftmaxRegression(l1_ratio=l1_ratio, penalty_factor=factors.sum(axis=0), tol=TOL)
    assert not coef[2].any()
    assert np.sign(coef[1] - coef[0]).tolist() == np.sign(one.fit(X[part], y[part]).coef_[0]).tolist()
