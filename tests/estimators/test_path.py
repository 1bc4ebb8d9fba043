"""The regularisation path: its grid, its points and their degrees of freedom."""

import warnings
from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from optima import UNEQUAL, logit_rounding, optimum
from problems import cauchy, labels, more_columns_than_rows, sample, separated_into_three, wide_and_sparse
from scipy import linalg, sparse
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning

from smreg import SoftmaxRegression, SoftmaxRegressionCV, regularization_path
from smreg.estimators import path as path_module

EPS, INF = np.finfo(np.float64).eps, float("inf")
FORMS = (np.ascontiguousarray, np.asfortranarray, sparse.csr_array)


def models(path):
    """An estimator with the coefficients of each point."""
    for coef, intercept in zip(path.coefs, path.intercepts, strict=True):
        model = SoftmaxRegression()
        model.coef_, model.intercept_ = coef, intercept
        model.classes_, model.n_features_in_ = path.classes, coef.shape[1]
        yield model


def softened(y, part):
    """Soft targets: so much of the label, the rest of all classes alike."""
    n_classes = y.max() + 1
    return part * np.eye(n_classes)[y] + (1 - part) / n_classes


# -- the points


def iris(rng):
    return datasets.load_iris(return_X_y=True)


def two_of_wine(rng):
    X, y = datasets.load_wine(return_X_y=True)
    return X, np.minimum(y, 1)


def soft(rng):
    X, y = datasets.load_wine(return_X_y=True)
    return X, softened(y, 0.7)


def in_fortran_order(rng):
    X, y = datasets.load_wine(return_X_y=True)
    return np.asfortranarray(X), y


POINTS = [iris, two_of_wine, soft, in_fortran_order, cauchy, separated_into_three, more_columns_than_rows]


@pytest.mark.parametrize("tol", [1e-4, 1e-8])
@pytest.mark.parametrize("options", [{}, {"fit_intercept": False}], ids=["intercepts", "none"])
@pytest.mark.parametrize("make", POINTS, ids=lambda make: make.__name__)
def test_every_point_is_within_tol_of_the_optimum_for_its_c(rng, make, options, tol):
    """What `optima` says of a fit holds for a point of the path, wherever its search began."""
    X, y = make(rng)[:2]
    Cs = [1e-4, 1e-2, 1.0, 100.0]
    path = regularization_path(X, y, Cs=Cs, tol=tol, **options)

    assert path.converged.all()
    for model, C, objective in zip(models(path), Cs, path.objective, strict=True):
        best, rounding = optimum(X, y, C=C, **options), logit_rounding(model, X)
        assert best.excess(model, X) <= UNEQUAL * (tol + rounding) ** 2
        assert abs(objective - best.value) <= UNEQUAL * tol**2 + 2 * rounding + 1e-14 * max(1, best.value)


def test_a_sparse_x_has_the_path_of_the_dense_one(rng):
    """As coefficients: the penalty gamma bounds their distance from the optimum by ``tol / sqrt(gamma)``."""
    X, y, _ = wide_and_sparse(rng)
    Cs, tol = np.array([1e-3, 0.1, 10.0]), 1e-6
    of_sparse, of_dense = (
        regularization_path(form(X), y, Cs=Cs, tol=tol) for form in (sparse.csr_array, np.array)
    )
    distance = np.sqrt(np.sum((of_sparse.coefs - of_dense.coefs) ** 2, axis=(1, 2)))

    assert (distance <= 2 * np.sqrt(UNEQUAL) * tol * np.sqrt(2 * Cs * len(y))).all()
    assert_allclose(of_sparse.degrees_of_freedom, of_dense.degrees_of_freedom, rtol=1e-4)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 0.2, 1: 3.0}], ids=str)
def test_a_weight_is_so_many_samples_and_class_weights_multiply_it(wine, rng, n_classes, class_weight):
    """Both within tol of one optimum: probabilities differ by at most 2 tol in the weighted mean square."""
    X, y = wine[0], np.minimum(wine[1], n_classes - 1)
    counts = rng.integers(0, 4, len(y))
    options = {"Cs": [1e-3, 1.0, 1e3], "tol": 1e-6, "class_weight": class_weight}
    weighed = regularization_path(X, y, sample_weight=counts, **options)
    repeated = regularization_path(np.repeat(X, counts, axis=0), np.repeat(y, counts), **options)
    of_class = {
        "None": np.ones(3),
        "balanced": 1 / np.bincount(y, counts, minlength=3).clip(1),
        "{0: 0.2, 1: 3.0}": np.array([0.2, 3.0, 1.0]),
    }[str(class_weight)]
    s = counts * of_class[y]

    for one, other in zip(models(weighed), models(repeated), strict=True):
        off = np.abs(one.predict_proba(X) - other.predict_proba(X)).max(axis=1)
        assert np.sqrt(s @ off**2 / s.sum()) <= 2 * np.sqrt(UNEQUAL) * 1e-6
    assert_allclose(weighed.objective, repeated.objective, rtol=0, atol=UNEQUAL * 1e-12 + 1e-14)


def test_the_number_of_threads_changes_no_bit(rng):
    X, y = sample(rng, n=30_000, p=8)
    one, two = (regularization_path(X, y, Cs=4, n_jobs=n_jobs) for n_jobs in (1, 2))

    for name in ("Cs", "coefs", "intercepts", "objective", "evaluations", "degrees_of_freedom"):
        assert_array_equal(getattr(one, name), getattr(two, name))


def test_cs_are_taken_in_increasing_order(wine):
    path = regularization_path(*wine, Cs=[10.0, 1e3, 0.1, 1], tol=1e-2)
    again = regularization_path(*wine, Cs=[0.1, 1.0, 10.0, 1e3], tol=1e-2)

    assert_array_equal(path.Cs, [0.1, 1.0, 10.0, 1e3])
    assert_array_equal(path.coefs, again.coefs)


# -- the grid


def a_hundredth_of_a_label(rng):
    X, y = datasets.load_wine(return_X_y=True)
    return X, softened(y, 0.01)


def null_model(y, weights, fit_intercept):
    """Targets, weights that sum to one, and the probabilities of the intercept-only model."""
    T = np.eye(y.max() + 1)[y] if y.ndim == 1 else y
    s = weights / weights.sum()
    return T, s, s @ T if fit_intercept else np.full(T.shape[1], 1 / T.shape[1])


def mean_divergence(T, s, P):
    ratio = np.divide(T, P, out=np.ones_like(T), where=T > 0)
    return s @ (T * np.log(ratio)).sum(axis=1)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "make", [iris, two_of_wine, soft, a_hundredth_of_a_label, cauchy], ids=lambda make: make.__name__
)
def test_the_smallest_c_explains_at_most_a_hundredth_of_the_null_deviance(rng, make, weighted, fit_intercept):
    """By the bound ``C S ||G||**2``, which is that hundredth; a soft target's own entropy is no deviance.

    G is a sum of n terms, some thousand times as large, for features far from zero, as what they sum to.
    """
    X, y = make(rng)[:2]
    weights = rng.uniform(0.1, 5, len(X)) if weighted else np.ones(len(X))
    path = regularization_path(X, y, Cs=3, sample_weight=weights, fit_intercept=fit_intercept, tol=1e-8)
    T, s, p = null_model(y, weights, fit_intercept)
    null, G = mean_divergence(T, s, p), ((p - T) * s[:, np.newaxis]).T @ X
    G = G[1:] if len(p) == 2 else G
    h = np.outer((p * (1 - p))[-len(G) :], s @ (X - fit_intercept * (s @ X)) ** 2)
    strongest = next(models(path))
    bounds = 0.01 * null / np.sum(G**2), 0.01 / np.sum(h)

    assert_allclose(path.Cs[0] * weights.sum(), min(bounds), rtol=1000 * len(X) * EPS)
    assert 0 < null - mean_divergence(T, s, strongest.predict_proba(X)) <= 0.01 * null


def losses(path, X, y):
    """Cross-entropy along a path."""
    return np.array([-np.mean(model.predict_log_proba(X)[np.arange(len(y)), y]) for model in models(path)])


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("make", [iris, two_of_wine, cauchy], ids=lambda make: make.__name__)
def test_beyond_the_largest_c_the_loss_falls_by_next_to_nothing_a_decade(rng, make, l1_ratio):
    """And just before it by about as much: in the decade that ends there, less than it does in one between a
    decade before and after, where it is found by a power of C. Losses are exact to 5e-9 by their tol.
    """
    X, y = make(rng)[:2]
    end = regularization_path(X, y, Cs=2, l1_ratio=l1_ratio).Cs[-1]
    path = regularization_path(X, y, Cs=end * 10.0 ** np.arange(-1, 4), l1_ratio=l1_ratio)
    falls = -np.diff(losses(path, X, y))

    assert 1.5e-5 < falls[0] < 6e-5
    assert (falls[1:] < 3e-5).all()


def in_unlike_units(rng):
    """A feature of spread 1e3 that explains little, and one of spread 1e-3 that separates the classes."""
    y = np.arange(200) % 2
    return np.column_stack([1e3 * (rng.normal(size=200) + 0.3 * y), 1e-3 * (rng.normal(size=200) + 3 * y)]), y


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_a_fall_that_pauses_while_a_feature_of_small_variance_is_shrunk_to_nothing_is_no_end(rng, l1_ratio):
    """The last C comes within 0.01 nats of no penalty; the first feature by itself stays far from that."""
    X, y = in_unlike_units(rng)
    path = regularization_path(X, y, Cs=4, l1_ratio=l1_ratio)
    last, first_alone = (
        losses(path, X, y)[-1],
        losses(regularization_path(X[:, :1], y, Cs=4), X[:, :1], y)[-1],
    )
    best = losses(regularization_path(X, y, Cs=[INF]), X, y)[0]

    assert last - best < 0.01
    assert first_alone - best > 0.3


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_features_that_are_independent_of_the_classes_set_no_limit(rng, l1_ratio):
    """In a balanced design the gradient at the null model is but rounding, which another storage changes."""
    X, y = np.tile([[1.0, 0.1], [-1.0, 0.3], [1.0, 0.3], [-1.0, 0.1]], (10, 1)), np.repeat([0, 1], 20)
    here, *others = (regularization_path(form(X), y, Cs=3, l1_ratio=l1_ratio).Cs for form in FORMS)

    assert here[0] < 1e3
    for there in others:
        assert_allclose(there, here, rtol=1e-12)


def test_the_grid_has_equal_steps_of_the_logarithm_and_as_many_as_asked_for(wine):
    for n_Cs in (2, 3, 10):
        path = regularization_path(*wine, Cs=n_Cs, tol=1e-2)
        steps = np.diff(np.log(path.Cs))

        assert len(path.Cs) == n_Cs
        assert_allclose(steps, steps.mean(), rtol=0, atol=1e-13)  # of logarithms up to 20
    assert_array_equal(regularization_path(*wine, Cs=1).Cs, [1.0])


@pytest.mark.parametrize("exponent", [-30, -1, 7])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_other_units_of_all_features_change_c_by_their_square(wine, exponent, fit_intercept):
    """A power of two rounds nothing but the logarithms of the grid."""
    X, y = wine
    plain = regularization_path(X, y, Cs=4, fit_intercept=fit_intercept)
    scaled = regularization_path(X * 2.0**exponent, y, Cs=4, fit_intercept=fit_intercept)

    assert_allclose(scaled.Cs * 4.0**exponent, plain.Cs, rtol=1e-13)
    assert_allclose(scaled.degrees_of_freedom, plain.degrees_of_freedom, rtol=1e-9)
    assert_array_equal(scaled.evaluations, plain.evaluations)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_repetitions_change_c_by_their_number_and_the_order_of_the_classes_nothing(rng, n_classes):
    """Up to the rounding of sums of n terms, and what it does to the inverse of a covariance near one."""
    X, y = sample(rng, n_classes=n_classes)
    Cs = regularization_path(X, y, Cs=4).Cs
    rtol = 100 * len(y) * EPS

    assert_allclose(regularization_path(np.tile(X, (3, 1)), np.tile(y, 3), Cs=4).Cs * 3, Cs, rtol=rtol)
    assert_allclose(
        regularization_path(X, y, Cs=4, sample_weight=np.full(len(y), 0.25)).Cs / 4, Cs, rtol=rtol
    )
    assert_allclose(regularization_path(X, n_classes - 1 - y, Cs=4).Cs, Cs, rtol=rtol)


@pytest.mark.parametrize(
    ("X", "y"),
    [
        (np.ones((6, 2)), [0, 1] * 3),
        (np.zeros((6, 2)), [0, 1, 2] * 2),
        ([[1.0], [-1.0]] * 4, [0, 0, 1, 1] * 2),
        ([[1.0], [2.0]], [0, 1]),
        (np.arange(6.0)[:, np.newaxis], np.full((6, 2), 0.5)),
        (np.arange(6.0)[:, np.newaxis] * 1e-150, [0, 1] * 3),
        (np.arange(6.0)[:, np.newaxis] * 1e145, [0, 1] * 3),
        (np.arange(6.0)[:, np.newaxis] * 1e145, np.full((6, 2), 0.5)),
    ],
    ids=[
        "constant",
        "zero",
        "uncorrelated",
        "two samples",
        "nothing to explain",
        "tiny",
        "huge",
        "huge and nothing to explain",
    ],
)
def test_a_grid_is_increasing_positive_and_finite_whatever_the_features(X, y):
    Cs = regularization_path(X, y, Cs=5).Cs

    assert (np.diff(Cs) > 0).all()
    assert Cs[0] > 0
    assert np.isfinite(Cs).all()
    assert Cs[-1] >= 99 * Cs[0]  # two decades, but for the rounding of a logarithm


def three_columns(rng, units=(1.0, 1.0, 1.0)):
    """Three features that distinguish three classes, in these units."""
    y = np.arange(150) % 3
    return (rng.normal(size=(150, 3)) + np.eye(3)[y]) * np.array(units), y


@pytest.mark.parametrize(
    ("l1_ratio", "exponents"), [(0.0, (-490, 475)), (0.5, (-490, 990)), (1.0, (-1000, -540, 540, 990))]
)
def test_the_grid_follows_the_units_as_far_as_floating_point_goes(rng, l1_ratio, exponents):
    """By the square of a power of two, for the lasso by itself; a mixture begins as the lasso does, and its
    end is not before that. Only the logarithms of the grid are rounded, which go up to 700.
    """
    X, y = three_columns(rng)
    plain = regularization_path(X, y, l1_ratio=l1_ratio).Cs
    for exponent in exponents:
        Cs = regularization_path(X * 2.0**exponent, y, l1_ratio=l1_ratio).Cs
        unit = 2.0**exponent if l1_ratio else 4.0**exponent

        assert_allclose(Cs[0] * unit, plain[0], rtol=1e-12)
        if l1_ratio != 0.5:
            assert_allclose(Cs * unit, plain, rtol=1e-12)
        assert Cs[-1] * unit > 0.1 * plain[-1]


@pytest.mark.parametrize("exponent", [-1000, 1020])
def test_so_it_does_with_the_scale_of_the_weights(rng, exponent):
    """Whose sum, in the second case, is above the largest number."""
    X, y = three_columns(rng, [2.0**-100 if exponent > 0 else 1.0] * 3)
    plain = regularization_path(X, y, l1_ratio=1.0).Cs
    weights = np.full(len(y), 2.0**exponent)
    Cs = regularization_path(X, y, l1_ratio=1.0, sample_weight=weights).Cs

    assert_allclose(Cs * weights[0], plain, rtol=1e-12)


@pytest.mark.parametrize(
    ("units", "l1_ratio"),
    [
        ([1e-148, 1e6, 1.0], 0.0),
        ([1e-148, 1e6, 1.0], 0.5),
        ([1e-148, 1e6, 1.0], 1.0),
        ([1e-160, 1.0, 1e140], 1.0),
    ],
)
def test_at_the_end_of_the_grid_no_column_in_most_unlike_units_is_shrunk(rng, units, l1_ratio):
    """There the loss is that of no penalty, to 1e-3: about three decades of what counts as negligible."""
    X, y = three_columns(rng, units)
    path = regularization_path(X, y, l1_ratio=l1_ratio)
    best = regularization_path(X / np.array(units), y, Cs=[INF]).objective[0]

    assert (np.diff(path.Cs) > 0).all()
    assert losses(path, X, y)[-1] - best < 1e-3


BEYOND_FLOATS = {
    "huge": ([1e160] * 3, 0.0),
    "huge among others": ([1e160, 1.0, 1.0], 0.0),
    "just too huge": ([1e150] * 3, 0.0),
    "largest": ([1e300] * 3, 0.0),
    "tiny": ([1e-160] * 3, 0.0),
    "tiny among others": ([1e-160, 1.0, 1.0], 0.0),
    "just too tiny": ([1e-153] * 3, 0.0),
    "tiny for the ridge of a mixture": ([1e-155] * 3, 0.5),
    "tiny among others for that": ([1e-160, 1.0, 1.0], 0.5),
}


@pytest.mark.filterwarnings("ignore:The best C")
@pytest.mark.parametrize("name", BEYOND_FLOATS)
def test_a_grid_that_floating_point_cannot_hold_is_warned_of(rng, name):
    """With what to do, and whoever called as the place; what it can hold is the grid."""
    units, l1_ratio = BEYOND_FLOATS[name]
    X, y = three_columns(rng, units)
    said = "No C that floating point can hold .* Measure the features in other units, or give .* Cs="
    with pytest.warns(UserWarning, match=said) as caught:
        Cs = regularization_path(X, y, l1_ratio=l1_ratio).Cs
    with pytest.warns(UserWarning, match=said) as caught_of_search:
        model = SoftmaxRegressionCV(l1_ratios=[l1_ratio], cv=2).fit(X, y)

    of_grid = [warning for warning in [*caught, *caught_of_search] if "hold" in str(warning.message)]
    assert [warning.filename for warning in of_grid] == [__file__] * 2
    assert l1_ratio > 0 or np.array_equal(model.Cs_, Cs)
    for grid in (Cs, model.Cs_):
        assert (np.diff(grid) > 0).all()
        assert grid[0] > 0
        assert np.isfinite(grid).all()


def test_a_feature_too_tiny_for_any_c_takes_no_part_in_the_grid_of_the_others(rng):
    """Else half-decades would become steps of a factor of 1e8."""
    X, y = three_columns(rng, [1e-160, 1.0, 1.0])
    with pytest.warns(UserWarning, match="No C that floating point can hold"):
        Cs = regularization_path(X, y).Cs

    assert_allclose(Cs, regularization_path(X[:, 1:], y).Cs, rtol=0.1)


def test_weights_that_leave_no_c_are_warned_of(rng):
    X, y = three_columns(rng)
    for weight in (1e307, 1e-310):
        with pytest.warns(UserWarning, match="No C that floating point can hold .* such weights"):
            Cs = regularization_path(X, y, sample_weight=np.full(len(y), weight)).Cs
        assert np.isfinite(Cs).all()


def test_a_grid_by_itself_has_steps_of_half_a_decade_at_most(wine):
    Cs = regularization_path(*wine).Cs
    steps = np.diff(np.log10(Cs))

    assert 0.4 < steps.min() <= steps.max() <= 0.5 + 1e-12
    assert_array_equal(SoftmaxRegressionCV(cv=2).fit(*wine).Cs_, Cs)


# -- degrees of freedom


def dense_degrees_of_freedom(X, model, C, *, fit_intercept=True):
    """``tr(H (H + R)^-1)`` by its definition, of the classes' contrasts and the features as they are."""
    P = model.predict_proba(X)
    Z = np.column_stack([X, np.ones((len(X), int(fit_intercept)))])
    if P.shape[1] == 2:
        H, n_rows = (Z.T * (P[:, 0] * P[:, 1])) @ Z / len(X), 1
    else:
        Q, n_rows = linalg.helmert(P.shape[1]).T, P.shape[1] - 1
        V = np.einsum("kc,ik,kd->icd", Q, P, Q) - np.einsum("kc,ik,il,ld->icd", Q, P, P, Q)
        H = np.einsum("icd,ip,iq->cpdq", V, Z, Z).reshape(2 * (n_rows * Z.shape[1],)) / len(X)
    R = np.tile(np.append(np.full(X.shape[1], 1 / (C * len(X))), np.zeros(int(fit_intercept))), n_rows)
    return np.trace(np.linalg.solve(H + np.diag(R), H))


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("shape", [(200, 4), (15, 40)], ids=["tall", "wide"])
def test_degrees_of_freedom_are_the_trace_of_their_definition(rng, n_classes, fit_intercept, shape):
    """The jitter, 2**-40 of each diagonal entry, counts by the condition of H + R, at most 1e4 here."""
    X = rng.normal(size=shape)
    y = labels(X[:, :1] * np.arange(n_classes), rng)
    y[:n_classes] = np.arange(n_classes)
    Cs = [1e-3, 0.1, 10.0]
    path = regularization_path(X, y, Cs=Cs, fit_intercept=fit_intercept)
    dense = [
        dense_degrees_of_freedom(X, model, C, fit_intercept=fit_intercept)
        for model, C in zip(models(path), Cs, strict=True)
    ]

    assert_allclose(path.degrees_of_freedom, dense, rtol=1e4 * 2.0**-40)


def test_degrees_of_freedom_at_uniform_probabilities_are_those_of_ridge_regression_and_grow_with_c(rng):
    """For targets that say nothing H is the covariance over K, for each of the K - 1 contrasts.

    With its eigenvalues d each of them has an intercept and ``sum_j d_j / (d_j + K gamma)``.
    """
    X = rng.normal(size=(50, 4)) * [0.1, 1.0, 2.0, 30.0]
    Cs = np.geomspace(1e-4, 1e4, 9)
    path = regularization_path(X, np.full((50, 3), 1 / 3), Cs=Cs)
    d = np.linalg.eigvalsh(np.cov(X.T, bias=True))
    closed = [2 * (1 + np.sum(d / (d + 3 / (C * 50)))) for C in Cs]

    assert_allclose(path.degrees_of_freedom, closed, rtol=1e-10)  # the jitter's 2**-40, some hundred times
    assert (np.diff(path.degrees_of_freedom) > 0).all()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_degrees_of_freedom_go_from_the_intercepts_to_the_rank(rng, n_classes, fit_intercept):
    """One column is constant, one a multiple of another, and the intercept is the constant's equal."""
    X, y = sample(rng, p=3, n_classes=n_classes)
    X = np.column_stack([X, 2 * X[:, 0], np.ones(len(X))])
    path = regularization_path(X, y, Cs=[1e-20, 1.0, np.inf], fit_intercept=fit_intercept)
    few, some, many = path.degrees_of_freedom / (n_classes - 1)

    assert_allclose(few, float(fit_intercept), rtol=0, atol=1e-9)
    assert few < some < many
    assert many == 4


def test_degrees_of_freedom_are_nan_where_their_matrix_would_be_too_large(rng):
    """With 59 contrasts of 61 coefficients: 3599 rows, three such matrices in more than 256 MiB."""
    X, y = rng.normal(size=(300, 60)), np.arange(300) % 60
    path = regularization_path(X, y, Cs=[1e-3], tol=1e-2)

    assert np.isnan(path.degrees_of_freedom).all()
    assert path.converged.all()


# -- the record


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_table_has_a_row_for_each_c_class_and_feature(n_classes):
    X, y = datasets.load_iris(return_X_y=True, as_frame=True)
    names = np.array(["setosa", "versicolor", "virginica"])[np.minimum(y, n_classes - 1)]
    path = regularization_path(X, names, Cs=[0.1, 10.0])
    table = path.to_frame()
    rows = ["versicolor"] if n_classes == 2 else sorted(set(names))

    assert list(table.columns) == ["C", "class", "feature", "coefficient"]
    assert len(table) == 2 * len(rows) * 4
    assert_array_equal(path.feature_names, X.columns)
    for (C, label, feature), (value,) in table.set_index(["C", "class", "feature"]).iterrows():
        i, k, j = path.Cs.tolist().index(C), rows.index(label), X.columns.get_loc(feature)
        assert value == path.coefs[i, k, j]


def test_features_without_names_have_numbers_in_the_table(wine):
    path = regularization_path(*wine, Cs=[1.0], tol=1e-2)

    assert path.feature_names is None
    assert sorted(set(path.to_frame()["feature"])) == list(range(13))
    assert isinstance(path.to_frame(), pd.DataFrame)


def test_a_path_cannot_be_changed(wine):
    with pytest.raises(FrozenInstanceError):
        regularization_path(*wine, Cs=[1.0]).Cs = np.ones(1)


def test_fits_that_do_not_converge_are_warned_of_once_and_recorded(wine):
    with pytest.warns(ConvergenceWarning) as caught:
        path = regularization_path(*wine, Cs=[1e-9, 1.0, 100.0], max_iter=2)

    assert path.converged.tolist() == [True, False, False]
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert "2 of 3 fits did not converge" in str(caught[0].message)
    assert "max_iter, now 2" in str(caught[0].message)


def test_separated_classes_without_a_penalty_are_named_as_such(rng):
    X, y, _ = separated_into_three(rng)
    with pytest.warns(ConvergenceWarning, match=r"1 of 2 fits.*separat"):
        path = regularization_path(X, y, Cs=[1.0, np.inf])

    assert path.converged.tolist() == [True, False]
    assert np.isfinite(path.coefs).all()


# -- bad input


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"Cs": 0}, "Cs must be at least 1"),
        ({"Cs": -3}, "Cs must be at least 1"),
        ({"Cs": True}, "Cs must be a number of values or .* got True"),
        ({"Cs": 0.5}, "Cs must be a number of values or .* got 0.5"),
        ({"Cs": None}, "Cs must be a number of values or .* got None"),
        ({"Cs": "ten"}, "Cs must be a number of values or .* got 'ten'"),
        ({"Cs": ["0.1", "1"]}, "Cs must be a number of values or"),
        ({"Cs": [True, False]}, "Cs must be a number of values or"),
        ({"Cs": [1j]}, "Cs must be a number of values or"),
        ({"Cs": [10**400]}, "Cs must be a number of values or"),
        ({"Cs": {1.0, 2.0}}, "Cs must be a number of values or"),
        ({"Cs": [[0.1], [1.0, 2.0]]}, "Cs must be a number of values or"),
        ({"Cs": [[0.1, 1.0]]}, r"1-D sequence of positive numbers, got an array of shape \(1, 2\)"),
        ({"Cs": []}, r"1-D sequence of positive numbers, got an array of shape \(0,\)"),
        ({"Cs": [1.0, 0.0]}, r"Cs must be positive .* got \[0.0\]"),
        ({"Cs": [-1.0, 2.0]}, r"Cs must be positive .* got \[-1.0\]"),
        ({"Cs": [1.0, np.nan]}, r"Cs must be positive .* got \[nan\]"),
        ({"Cs": [1.0, 0.1, 1]}, r"Cs must be distinct, got \[0.1, 1.0, 1.0\]"),
        ({"Cs": [np.inf, np.inf]}, r"Cs must be distinct, got \[inf, inf\]"),
        ({"l1_ratio": -0.1}, r"'l1_ratio' parameter .* range \[0.0, 1.0\]. Got -0.1"),
        ({"l1_ratio": 1.5}, r"'l1_ratio' parameter .* range \[0.0, 1.0\]. Got 1.5"),
        ({"l1_ratio": np.nan}, r"'l1_ratio' parameter .* range \[0.0, 1.0\]. Got nan"),
        ({"l1_ratio": [0.5]}, r"'l1_ratio' parameter .* range \[0.0, 1.0\]. Got \[0.5\]"),
        ({"l1_ratio": "0.5"}, r"'l1_ratio' parameter .* range \[0.0, 1.0\]. Got '0.5'"),
        ({"tol": -1.0}, "tol"),
        ({"max_iter": 1.5}, "max_iter"),
        ({"n_jobs": 0}, "n_jobs"),
        ({"class_weight": "even"}, "class_weight"),
        ({"fit_intercept": "no"}, "fit_intercept"),
        ({"sample_weight": [1.0]}, "sample_weight"),
    ],
    ids=str,
)
def test_bad_input_is_an_error_that_says_what_is_wrong_before_any_work(wine, monkeypatch, bad, words):
    monkeypatch.delattr(path_module, "Problem")

    with pytest.raises((ValueError, TypeError), match=words):
        regularization_path(*wine, **bad)


def test_labels_of_one_class_and_shapes_that_disagree_are_errors(wine):
    X, y = wine
    with pytest.raises(ValueError, match="at least 2 classes"):
        regularization_path(X, np.zeros(len(X)))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        regularization_path(X, y[:-1])


def test_no_warning_is_given_where_there_is_nothing_to_warn_of(wine):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        regularization_path(*wine)

    assert caught == []


# -- with an L1 penalty


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("l1_ratio", [0.3, 1.0])
def test_the_smallest_c_with_an_l1_penalty_is_the_largest_without_coefficients(wine, n_classes, l1_ratio):
    """A hundredth above it there are some, with a small tol: one gradient alone reaches the limit."""
    X, y = wine[0], np.minimum(wine[1], n_classes - 1)
    path = regularization_path(X, y, Cs=5, l1_ratio=l1_ratio)
    above = regularization_path(X, y, Cs=[1.01 * path.Cs[0]], l1_ratio=l1_ratio, tol=1e-8)

    assert not path.coefs[0].any()
    assert path.coefs[1:].any(axis=(1, 2)).all()
    assert above.coefs.any()
    assert_allclose(path.objective[0], mean_divergence(*null_model(y, np.ones(len(y)), True)), rtol=1e-9)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_a_path_with_an_l1_penalty_is_one_fit_after_the_other_and_counts_what_is_not_zero(
    wine, n_classes, fit_intercept
):
    """Both objectives are within UNEQUAL tol**2 of the minimum."""
    X, y = wine[0], np.minimum(wine[1], n_classes - 1)
    options = {"l1_ratio": 0.5, "fit_intercept": fit_intercept, "tol": 1e-6}
    path = regularization_path(X, y, Cs=[1e-3, 0.1, 10.0], **options)
    alone = [SoftmaxRegression(C=C, **options).fit(X, y) for C in path.Cs]
    free = (n_classes - 1) * fit_intercept

    assert_allclose(path.objective, [fit.solution_.objective for fit in alone], rtol=0, atol=UNEQUAL * 1e-12)
    assert_array_equal(path.degrees_of_freedom, np.count_nonzero(path.coefs, axis=(1, 2)) + free)
