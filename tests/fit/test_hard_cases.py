"""Data that are hard are not errors: they have answers. What is hard to solve is in test_hard_problems.py.

**Tolerance.** A fit has ended where the gradient's norm in the Fisher metric is at most `tol`. To first
order, the logits are then off by ``d_i`` with ``sum_i s_i/S Var_{p_i}(d_i) <= tol**2``: the left side
is the squared distance in that metric. A probability is off by ``p_k (d_k - E d)``, at most the root
of that variance: over the samples, the weighted root mean square of the largest error of a probability
is at most `tol`, and that of two fits at most ``2 tol``. `assert_same_probabilities` states it. On top
comes the rounding of logits, `logit_rounding`. pytest turns warnings that are not expected into errors.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from optima import logit_rounding
from problems import STORAGES as LAYOUTS
from problems import labels, sample
from scipy import sparse
from sklearn import config_context
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from smreg import SoftmaxRegression, SoftmaxRegressionCV, fit_temperature, regularization_path

TOL = 1e-8
INF = np.inf


def fit(X, y, sample_weight=None, **options):
    return SoftmaxRegression(**{"tol": TOL} | options).fit(X, y, sample_weight)


def assert_same_probabilities(p, q, *, tol=TOL, weights=None, rounding=1e-14):
    largest = np.abs(p - q).max(axis=1)
    assert np.sqrt(np.average(largest**2, weights=weights)) <= 2 * tol + rounding


@pytest.mark.parametrize("C", [1.0, INF])
@pytest.mark.parametrize("constant", [0.0, 3.7, -1e15, 1e300, 1e-300])
def test_a_constant_column_has_no_part_in_the_answer(C, constant, rng):
    """Its distances from its mean, exactly zero, are all that meets its coefficient."""
    X, y = sample(rng)
    model = fit(np.insert(X, 1, constant, axis=1), y, C=C)

    assert_array_equal(model.coef_[:, 1], 0.0)
    assert_same_probabilities(
        model.predict_proba(np.insert(X, 1, constant, axis=1)), fit(X, y, C=C).predict_proba(X)
    )


def test_without_an_intercept_a_constant_column_is_one(rng):
    X, y = sample(rng)
    by_column = fit(np.insert(X, 0, 8.0, axis=1), y, C=INF, fit_intercept=False)

    assert_same_probabilities(
        by_column.predict_proba(np.insert(X, 0, 8.0, axis=1)), fit(X, y, C=INF).predict_proba(X)
    )


@pytest.mark.parametrize("C", [1.0, INF])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_features_that_are_all_zero_leave_the_priors(C, make):
    """Exactly zero coefficients; logarithms and softmax round by a few times 2**-52."""
    y = np.repeat([0, 1, 2], [5, 3, 2])
    model = fit(make(np.zeros((10, 2))), y, C=C)

    assert_array_equal(model.coef_, 0.0)
    assert_allclose(model.predict_proba(np.zeros((1, 2))), [[0.5, 0.3, 0.2]], rtol=2.0**-50)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("C", [1.0, INF])
def test_a_duplicated_column_shares_its_coefficient_equally(C, n_classes, rng):
    """As the penalty, or without it the least norm, wants.

    The penalty's curvature gamma = 1/(C n) bounds the difference by tol/sqrt(gamma), twice. The least
    norm is a projection that rounds coefficients of order one by a few 2**-52.
    """
    X, y = sample(rng, p=2, n_classes=n_classes)
    model = fit(np.column_stack([X, X]), y, C=C)

    atol = 1e-14 if C == INF else 2 * TOL * np.sqrt(C * len(y))
    assert_allclose(model.coef_[:, :2], model.coef_[:, 2:], rtol=0, atol=atol)
    single = fit(X, y, C=2 * C)  # halves w/2, w/2 of a coefficient w have half its square
    assert_same_probabilities(model.predict_proba(np.column_stack([X, X])), single.predict_proba(X))


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_columns_of_size_1e300_and_1e_minus_300_stand_side_by_side(n_classes, fit_intercept, rng):
    """Without a penalty units play no part; powers of two round nothing."""
    X, y = sample(rng, n_classes=n_classes)
    units = 2.0 ** np.array([996, -996, 0])
    options = {"C": INF, "fit_intercept": fit_intercept}
    model = fit(X * units, y, **options)

    assert model.converged_
    assert_same_probabilities(model.predict_proba(X * units), fit(X, y, **options).predict_proba(X))


def test_a_penalty_leaves_huge_units_free_and_takes_tiny_ones_away(rng):
    """In units of 1e300 coefficients cost 1e-600, in units of 1e-300 they would cost 1e600."""
    X, y = sample(rng, p=2)
    units = 2.0 ** np.array([996, -996])

    assert_same_probabilities(
        fit(X * units, y).predict_proba(X * units),
        fit(X[:, :1], y, C=INF).predict_proba(X[:, :1]),
    )


@pytest.mark.parametrize("C", [1.0, INF])
@pytest.mark.parametrize("shift", [2.0**20, -(2.0**33)], ids=["1e6", "-1e10"])
def test_the_distance_of_a_column_from_zero_plays_no_part(C, shift, rng):
    """Features are multiples of 2**-16, so that the shift is exact; only logits round."""
    X, y = sample(rng)
    X = np.round(X * 2**16) / 2**16
    near, far = fit(X, y, C=C), fit(X + shift, y, C=C)

    assert far.converged_
    assert_same_probabilities(
        far.predict_proba(X + shift),
        near.predict_proba(X),
        rounding=logit_rounding(far, X + shift),
    )


def test_float32_far_from_zero_loses_only_what_float32_coefficients_lose(rng):
    """Coefficients and logits are rounded to 24 bits: that of features at 1e4 is all the difference."""
    noise, y = sample(rng)
    X = (noise + 1e4).astype(np.float32)
    single, double = fit(X, y), fit(X.astype(np.float64), y)

    assert single.coef_.dtype == np.float32
    assert single.solution_.objective == double.solution_.objective  # only the answer is rounded
    assert_same_probabilities(
        single.predict_proba(X),
        double.predict_proba(X.astype(np.float64)),
        rounding=logit_rounding(double, X, np.float32),
    )


@pytest.mark.parametrize("C", [1.0, INF])
@pytest.mark.parametrize("scale", [1e-300, 1e300, 1e307])
def test_the_size_of_the_weights_matters_only_to_the_penalty(C, scale, rng):
    """Only C S enters the objective, even where 200 weights of 1e307 sum to more than a float holds."""
    X, y = sample(rng)
    weights = rng.uniform(1, 2, len(y))
    model = fit(X, y, weights * scale, C=C / scale)

    assert_same_probabilities(
        model.predict_proba(X), fit(X, y, weights, C=C).predict_proba(X), weights=weights
    )


@pytest.mark.parametrize("soft", [False, True], ids=["labels", "soft"])
@pytest.mark.parametrize(("n_classes", "factor"), [(4, 1.0), (3, 2.0)])
@pytest.mark.parametrize("C", [1.0, INF])
def test_a_class_without_weight_has_no_probability_and_no_part(C, n_classes, factor, soft, rng):
    """The others are as if it was not there.

    If two are left, the single row w of scikit-learn's binary convention is the rows -w/2 and w/2 here,
    of half its square: they are penalised like w with twice the C.
    """
    X, y = sample(rng, n_classes=n_classes)
    living = y != 1
    T = np.eye(n_classes)[np.where(living, y, 0)]
    model = fit(X, T, living, C=C) if soft else fit(X, y, living, C=C)
    without = fit(X[living], y[living], C=factor * C)

    assert np.isfinite(model.intercept_).all()
    p = model.predict_proba(X)
    assert_same_probabilities(np.delete(p, 1, axis=1), without.predict_proba(X), weights=living)
    for far in (1.0, 1e3, 1e9):
        assert model.predict_proba(X * far)[:, 1].max() < 1e-12


@pytest.mark.parametrize("soft", [False, True], ids=["labels", "soft"])
@pytest.mark.parametrize("options", [{}, {"C": INF}, {"l1_ratio": 0.5}, {"class_weight": "balanced"}])
@pytest.mark.parametrize("absent", [0, 1])
def test_nor_has_one_of_two_classes(absent, options, soft, rng):
    """With its documented intercept, 300 nats below the other: nothing is left to be fitted."""
    X, y = sample(rng, n_classes=2)
    weights = (y != absent).astype(float)
    model = fit(X, np.eye(2)[y] if soft else y, weights, **options)

    assert_array_equal(model.coef_, np.zeros((1, X.shape[1])))
    assert_array_equal(model.intercept_, [300.0 if absent == 0 else -300.0])
    assert model.converged_
    # the negative log-probability of the other, log(1 + exp(-300)), rounds to 0
    assert model.solution_.objective == model.solution_.gradient_norm == 0.0
    for far in (1.0, 1e3, 1e9):
        assert model.predict_proba(X * far, temperature=10.0)[:, absent].max() < 1e-12


def test_a_class_weight_of_zero_does_the_same_to_one_of_two(rng):
    X, y = sample(rng, n_classes=2)
    names = np.array(["no", "yes"])[y]

    assert_array_equal(fit(X, names, class_weight={"yes": 0.0}).intercept_, [-300.0])
    assert_array_equal(fit(X, names, class_weight={"no": 0.0}).intercept_, [300.0])
    with pytest.raises(ValueError, match=r"positive weight .* got none"):
        fit(X, names, class_weight={"no": 0.0, "yes": 0.0})


def test_one_of_two_classes_without_weight_in_a_path_and_a_search(rng):
    X, y = sample(rng, n_classes=2)
    weights = (y == 0).astype(float)
    path = regularization_path(X, y, Cs=10, sample_weight=weights)
    search = SoftmaxRegressionCV(Cs=10, l1_ratios=[0.0, 1.0]).fit(X, y, sample_weight=weights)

    assert_array_equal(path.intercepts, np.full((10, 1), -300.0))
    assert_array_equal(path.degrees_of_freedom, np.zeros(10))
    assert_array_equal(search.intercept_, [-300.0])
    # the log loss clips probabilities at the precision of float64
    assert_array_equal(search.scores_["mean"], np.full(20, np.log(1 - np.finfo(float).eps)))


def test_what_knows_but_one_class_is_a_warm_start_that_is_not_taken(rng):
    """Its intercept alone costs 300 nats for each sample of the other class."""
    X, y = sample(rng, n_classes=2)
    model = SoftmaxRegression(warm_start=True).fit(X, y, sample_weight=y == 0).fit(X, y)

    assert_array_equal(model.coef_, SoftmaxRegression().fit(X, y).coef_)


def test_bootstrap_samples_of_a_rare_class_can_be_fitted(rng):
    """Bagging passes their counts as weights: of a hundred, exp(-3) lack all three positives."""
    X = rng.normal(size=(200, 3))
    y = np.arange(200) < 3
    bag = BaggingClassifier(SoftmaxRegression(), n_estimators=100, random_state=0).fit(X, y)

    certain = [model for model in bag.estimators_ if (model.intercept_ == -300.0).all()]
    assert 0 < len(certain) < 20
    mean = np.mean([model.predict_proba(X) for model in bag.estimators_], axis=0)
    assert_allclose(bag.predict_proba(X), mean, rtol=1e-12)  # the rounding of a sum of 100


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_without_an_intercept_a_class_without_weight_has_a_duality_gap(l1_ratio, n_classes, rng):
    X, y = sample(rng, n_classes=n_classes)
    model = fit(X, y, (y != 1).astype(float), l1_ratio=l1_ratio, fit_intercept=False)

    assert 0 <= model.solution_.duality_gap < 1e-6  # of 0.7 nats: a bound that is far above tol**2 / 2


@pytest.mark.parametrize("class_weight", [{1: 0.0}, None])
def test_a_class_without_weight_and_without_an_intercept_still_competes(class_weight, rng):
    """Then nothing sends its logit away: scikit-learn's answer, at a tolerance far below TOL."""
    X, y = sample(rng, n_classes=4)
    weights = None if class_weight else (y != 1).astype(float)
    options = {"fit_intercept": False, "class_weight": class_weight}
    theirs = LogisticRegression(solver="newton-cholesky", tol=1e-12, **options).fit(X, y, weights)

    assert_same_probabilities(
        fit(X, y, weights, **options).predict_proba(X), theirs.predict_proba(X), weights=y != 1
    )


def test_a_thousand_classes_have_the_probabilities_of_their_counts(rng):
    """A binary feature without a penalty: in both groups they are the relative frequencies."""
    counts = rng.integers(1, 6, (2, 1000))
    X = np.repeat([[0.0], [1.0]], 1000, axis=0)
    model = fit(X, np.tile(np.arange(1000), 2), counts.ravel(), C=INF, tol=1e-6)

    assert model.converged_
    assert_same_probabilities(
        model.predict_proba([[0.0], [1.0]]),
        counts / counts.sum(axis=1, keepdims=True),
        tol=1e-6,
        weights=counts.sum(axis=1),
    )


def test_a_million_rows_are_the_table_of_their_counts(rng):
    """75 cells: 25 values of two features and 3 classes, each with its count as a weight."""
    cells = np.stack(np.meshgrid(np.arange(-2, 3), np.arange(-2, 3), np.arange(3)), -1).reshape(-1, 3)
    X, y = cells[:, :2].astype(float), cells[:, 2]
    counts = rng.multinomial(10**6, rng.dirichlet(np.ones(len(cells))))
    rows = rng.permutation(np.repeat(np.arange(len(cells)), counts))

    assert_same_probabilities(
        fit(X[rows], y[rows]).predict_proba(X), fit(X, y, counts).predict_proba(X), weights=counts
    )


LINE = np.array([[-2.0], [-1.0], [1.0], [2.0]])
CATEGORY = np.eye(4)[np.arange(60) % 4]
CYCLE = np.arange(60) // 4 % 3  # every class in every category
IRIS = load_iris(return_X_y=True)
CLOUD = np.random.default_rng(0).normal(size=(100, 3))
SIDE = (CLOUD @ [1.0, 2.0, 3.0] > 0).astype(int)
DEEPEST = int(np.abs(CLOUD @ [1.0, 2.0, 3.0]).argmax())
AMBIGUOUS = np.append(CLOUD, CLOUD[[DEEPEST]], axis=0)  # the deepest point, with both labels
BOTH = np.append(SIDE, 1 - SIDE[DEEPEST])
UNITS, FAR = np.array([1e-6, 1.0, 1e6]), np.array([0.0, 1e6, 0.0])


@pytest.mark.parametrize(
    ("X", "y", "options"),
    [
        pytest.param(LINE, [0, 0, 1, 1], {}, id="complete"),
        pytest.param(np.append(LINE, [[0], [0]], 0), [0, 0, 1, 1, 0, 1], {}, id="quasi-complete"),
        pytest.param(LINE, [0, 0, 1, 1], {"fit_intercept": False}, id="no intercept"),
        pytest.param(CATEGORY, np.where(CATEGORY[:, 0], 1, CYCLE), {}, id="category of one class"),
        pytest.param(CATEGORY, np.where(CATEGORY[:, 0], CYCLE // 2, CYCLE), {}, id="never class 2"),
        pytest.param(CLOUD[:4], [0, 1, 2, 3], {}, id="one sample a class"),
        pytest.param(CLOUD.reshape(10, 30), np.arange(10) % 3, {}, id="more columns than rows"),
        pytest.param(CLOUD * UNITS + FAR, SIDE, {}, id="in other units"),
        pytest.param(*IRIS, {}, id="one class of three"),
        pytest.param(LINE, [[0.5, 0.5, 0.0]] * 2 + [[0.0, 0.0, 1.0]] * 2, {}, id="soft, two classes tied"),
    ],
)
def test_classes_that_are_separated_are_reported(X, y, options):
    with pytest.warns(ConvergenceWarning, match="separat") as record:
        model = SoftmaxRegression(C=INF, **options).fit(X, y)

    assert "Set C to a finite value" in str(record[0].message)
    assert np.isfinite(model.coef_).all()
    assert np.isfinite(model.intercept_).all()
    assert model.converged_ is False
    assert model.solution_.reason == "separation"
    assert np.isfinite(model.predict_log_proba(X)).all()


@pytest.mark.parametrize("tol", [1e-4, 1e-10])
@pytest.mark.parametrize(
    ("X", "y", "options"),
    [
        pytest.param(np.append(LINE, [[1.5]], 0), [0, 0, 1, 1, 0], {}, id="overlap"),
        pytest.param(LINE, [1, 0, 0, 1], {"fit_intercept": False}, id="no intercept"),
        pytest.param(CATEGORY, CYCLE, {}, id="categories"),
        pytest.param(CLOUD, np.arange(100) % 3, {}, id="noise"),
        pytest.param(np.zeros((3, 1)), [0, 1, 2], {}, id="no features to speak of"),
        pytest.param(AMBIGUOUS, BOTH, {}, id="but for one point"),
        pytest.param(AMBIGUOUS * UNITS + FAR, BOTH, {}, id="but for one point, in other units"),
        pytest.param(IRIS[0][50:], IRIS[1][50:] - 1, {}, id="two classes of iris"),
        pytest.param(CLOUD, np.eye(2)[SIDE] * 0.98 + 0.01, {}, id="soft, all possible"),
    ],
)
def test_classes_that_are_not_separated_have_a_maximum(X, y, options, tol):
    """No warning, and residuals that are uncorrelated with the features.

    An entry of the gradient is at most the norm times the root of the Hessian's diagonal, which is
    below the mean square of the column.
    """
    model = fit(X, y, C=INF, tol=tol, **options)

    assert model.converged_
    T = np.eye(len(model.classes_))[y] if np.ndim(y) == 1 else y
    residuals = model.predict_proba(X) - T
    centred = X - X.mean(axis=0) if model.fit_intercept else X
    spread = np.sqrt(np.mean(centred**2, axis=0))
    bound = (tol + logit_rounding(model, X)) * spread
    assert (np.abs(residuals.T @ centred) / len(X) <= bound).all()


@pytest.mark.parametrize("C", [1e6, 1e12])
@pytest.mark.parametrize(("X", "y"), [(CLOUD, SIDE), IRIS], ids=["cloud", "iris"])
def test_with_a_penalty_however_small_separated_classes_have_an_answer(X, y, C):
    """No warning, and an objective tol**2 / 2 above its minimum; cubic terms at most double it."""
    model = SoftmaxRegression(C=C).fit(X, y)

    assert model.converged_
    excess = model.solution_.objective - fit(X, y, C=C, tol=1e-9).solution_.objective
    assert excess <= 1e-4**2


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_of_all_equivalent_coefficients_those_of_least_norm_are_taken(n_classes, fit_intercept, rng):
    """Two one-hot blocks, one of them also in other units.

    The answer is the least-squares solution of least norm for the model's own logits. Both round by
    2**-52 times a condition below 1e4.
    """
    a, b = rng.integers(0, 3, 300), rng.integers(0, 4, 300)
    X = np.column_stack([np.eye(3)[a], np.eye(4)[b], 10 * np.eye(4)[b]])
    model = fit(X, labels(rng.normal(size=(3, n_classes))[a], rng), C=INF, fit_intercept=fit_intercept)

    centred = X - X.mean(axis=0) if fit_intercept else X
    least = np.linalg.pinv(centred, rcond=1e-10) @ centred @ model.coef_.T
    assert_allclose(model.coef_, least.T, rtol=0, atol=1e-12)
    if n_classes > 2:
        assert_allclose(model.coef_.sum(axis=0), 0.0, atol=1e-14)


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("mean", [0, 10, 100, 1000, 8000])
def test_a_sparse_column_far_from_zero_that_another_determines_is_left_out_too(mean, storage, rng):
    """Its products with itself, less the square of its mean, hide by their rounding that it is determined.

    The coefficients of z and ``mean + 2 z`` are as one to two, to the tolerance of the fit.
    """
    z = np.round(4 * rng.normal(size=(200, 2)))
    X, y = np.column_stack([z, 4 * mean + 2 * z[:, 1]]), rng.integers(0, 3, 200)
    coef = fit(storage(X), y, C=INF, tol=1e-8).coef_

    assert_allclose(coef[:, 2], 2 * coef[:, 1], rtol=0, atol=1e-8)


def test_equal_columns_in_other_units_share_their_coefficient_by_their_units(rng):
    """Least norm: coefficients of c z are c / sum(c**2) of that of z, whatever the units around them.

    A reader looks at each column, so that each is held to its own size, to the tolerance of the fits.
    """
    z, u = rng.normal(size=(2, 500))
    y = (z + u + rng.logistic(size=500) > 0).astype(int)
    plain = fit(np.column_stack([z, u]), y, C=INF).coef_[0]
    seconds, milliseconds = 2.0**-20 * z, 2.0**-10 * z
    model = fit(np.column_stack([seconds, milliseconds, u * 2.0**30, u * 2.0**30]), y, C=INF)

    units = np.array([2.0**-20, 2.0**-10])
    assert_allclose(model.coef_[0, :2], plain[0] * units / np.sum(units**2), rtol=1e-6)
    assert_allclose(model.coef_[0, 2:], plain[1] / 2.0**31, rtol=1e-6)


@pytest.mark.parametrize("constant", [0.0, 1e300])
def test_with_more_columns_than_rows_soft_targets_are_met_exactly_with_the_least_norm(constant, rng):
    """All classes are possible, hence not separated, and 10 rows in 40 columns can have any logits.

    The coefficients round by 2**-52 times a condition below 1e2, that of a constant column not at all.
    """
    X, T = rng.normal(size=(10, 40)), rng.dirichlet(np.ones(3), size=10)
    X[:, 1] = constant
    model = fit(X, T, C=INF)

    assert model.converged_
    assert_array_equal(model.coef_[:, 1], 0.0)
    assert_same_probabilities(model.predict_proba(X), T)
    centred = X - X.mean(axis=0)
    centred[:, 1] = 0.0
    least = np.linalg.pinv(centred, rcond=1e-10) @ centred @ model.coef_.T
    assert_allclose(model.coef_, least.T, rtol=0, atol=1e-13)


@pytest.mark.parametrize("distance", [1e-3, 1e-5, 1e-6, 1e-7])
def test_columns_that_are_nearly_equal_are_not_equal(distance, rng):
    """Without a penalty, x and x + distance * e carry the information of x and e, here all in e.

    The least eigenvalue of their correlation is about distance**2 / 4, below which the metric's jitter of
    2**-40 may lie or not: the norm that is compared with tol is that without it. X and its mean round the
    logits.
    """
    x, e = rng.normal(size=(2, 200))
    y = labels(np.column_stack([np.zeros(200), 2 * e]), rng)
    X, plain = np.column_stack([x, x + distance * e]), np.column_stack([x, e])
    model = SoftmaxRegression(C=INF).fit(X, y)

    assert model.converged_
    assert_same_probabilities(
        model.predict_proba(X),
        fit(plain, y, C=INF).predict_proba(plain),
        tol=1e-4,
        rounding=2 * logit_rounding(model, X),
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("distance", [1e-6, 1e-7])
def test_the_decrement_of_columns_that_are_nearly_equal_is_below_tol(distance, seed):
    """It is computed in x and e, whose information has eigenvalues of order one.

    Conjugate gradients may miss a 16th of its square, and the Hessian's jitter, where it counts as known, a
    64th: together less than a tenth of it.
    """
    rng = np.random.default_rng(seed)
    x, e = rng.normal(size=(2, 200))
    y = labels(np.column_stack([np.zeros(200), 2 * e]), rng)
    X = np.column_stack([x, x + distance * e])
    model = SoftmaxRegression(C=INF).fit(X, y)

    Z = np.column_stack([x, (X[:, 1] - X[:, 0]) / distance, np.ones(len(y))])
    p = model.predict_proba(X)[:, 1]
    gradient, information = Z.T @ (p - y) / len(y), Z.T @ (Z * (p * (1 - p))[:, None]) / len(y)
    assert model.converged_
    assert np.sqrt(gradient @ np.linalg.solve(information, gradient)) <= 1.1 * 1e-4


def test_too_few_steps_are_reported_with_what_was_reached_and_what_to_change(rng):
    """The norm in the record is ``sqrt(g' H^-1 g)`` from the attributes.

    The metric's jitter of 2**-40 and the rounding of a gradient of some 1e-2 change less than 1e-9.
    """
    X, y = sample(rng, n_classes=2)
    with pytest.warns(ConvergenceWarning) as record:
        model = SoftmaxRegression(max_iter=2, tol=1e-7).fit(X, y)

    p = model.predict_proba(X)[:, 1]
    Z, ridge = np.column_stack([X, np.ones(len(y))]), np.array([1.0, 1.0, 1.0, 0.0]) / len(y)
    theta = np.append(model.coef_, model.intercept_)
    gradient = Z.T @ (p - y) / len(y) + ridge * theta
    hessian = Z.T @ (Z * (p * (1 - p))[:, None]) / len(y) + np.diag(ridge)
    norm = np.sqrt(gradient @ np.linalg.solve(hessian, gradient))
    solution, message = model.solution_, str(record[0].message)
    assert solution.gradient_norm == pytest.approx(norm, rel=1e-9)
    assert solution.reason == "max_iter"
    assert (model.converged_, model.n_iter_) == (False, 2)
    for words in (f"{norm:.2g}", "tol=1e-07", f"{solution.evaluations} evaluations", "max_iter, now 2"):
        assert words in message
    assert record[0].filename == __file__  # it points at the line that called fit


@pytest.mark.parametrize("p", [3, 1300], ids=["refreshed metric", "null metric"])
def test_a_tol_below_rounding_is_reported(p, rng):
    """The gradient rounds by some 2**-56: no number of steps gets to 1e-20, and 100 suffice to see it.

    Values of order one are known to 2**-52: by ``F - F* = norm**2 / 2`` a norm of 2**-25 is reached.
    """
    X, y = sample(rng, n=60, p=p)
    with pytest.warns(ConvergenceWarning, match=r"tol=1e-20.*increase tol") as record:
        model = SoftmaxRegression(tol=1e-20, max_iter=100).fit(X, y)

    assert f"{model.solution_.gradient_norm:.2g}" in str(record[0].message)
    assert 1e-20 < model.solution_.gradient_norm < 2.0**-25
    assert model.solution_.reason == "rounding"
    assert model.converged_ is False


@pytest.mark.parametrize("C", [1.0, INF])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("huge", [1e12, 1e160, 1e300])
@pytest.mark.parametrize("unit", [1.0, 2.0**-40], ids=["unit 1", "unit 1e-12"])
def test_rows_without_weight_may_hold_anything_finite(C, make, huge, unit, rng):
    """Even if their logits, or their distance from the mean in standard deviations, would overflow."""
    X, y = sample(rng)
    X *= unit
    used = np.arange(len(y)) % 7 > 0
    X[~used] = huge * rng.choice([-1, 1], X.shape)[~used]
    model, without = fit(make(X), y, used, C=C), fit(X[used], y[used], C=C)

    assert model.converged_
    assert_same_probabilities(model.predict_proba(X[used]), without.predict_proba(X[used]))


def assert_bit_identical(model, other):
    assert_array_equal(model.coef_, other.coef_)
    assert_array_equal(model.intercept_, other.intercept_)
    assert model.solution_.objective == other.solution_.objective
    assert model.solution_.evaluations == other.solution_.evaluations


STORAGES = LAYOUTS | {"float32": lambda X: X.astype(np.float32)}


@pytest.mark.parametrize("soft", [False, True], ids=["labels", "soft"])
@pytest.mark.parametrize("storage", STORAGES)
def test_the_number_of_threads_and_a_second_fit_change_no_bit(storage, soft, rng):
    """30000 x 10 numbers are three blocks of rows, or eight sparse ones."""
    X, y = sample(rng, n=30_000, p=10)
    X = STORAGES[storage](X * (X > 0))
    target = np.eye(3)[y] * 0.7 + 0.1 if soft else y
    one = fit(X, target, n_jobs=1)
    two = fit(X, target, n_jobs=2)
    again = fit(X[:100], np.arange(100) % 2, tol=1e-2, n_jobs=2).set_params(tol=TOL).fit(X, target)

    assert_bit_identical(one, two)
    assert_bit_identical(one, again)


def read_only(X, tmp_path):
    X = X.copy()
    X.flags.writeable = False
    return X


def memory_mapped(X, tmp_path):
    np.save(tmp_path / "X.npy", X)
    return np.load(tmp_path / "X.npy", mmap_mode="r")


def strided(X, tmp_path):
    return np.repeat(X, 2, axis=1)[::-1, ::2][::-1]


def sparse_with_64_bit_indices(X, tmp_path):
    X = sparse.csr_array(X)
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


@pytest.mark.parametrize(
    "store",
    [
        read_only,
        memory_mapped,
        strided,
        sparse_with_64_bit_indices,
        *(
            pytest.param(lambda X, _, convert=convert: convert(X), id=name)
            for name, convert in {
                **STORAGES,
                "big-endian": lambda X: X.astype(">f8"),
                "integers": lambda X: X.astype(np.int64),
                "list": lambda X: X.tolist(),
                "CSR matrix": sparse.csr_matrix,
                "CSC": sparse.csc_array,
                "COO": sparse.coo_array,
                "sparse float32": lambda X: sparse.csr_array(X.astype(np.float32)),
            }.items()
        ),
    ],
)
def test_how_the_features_are_stored_plays_no_part_nor_are_they_changed(store, tmp_path, rng):
    """Small whole numbers, which all formats hold; float32 rounds the coefficients and logits."""
    X, y = sample(rng, n=500)
    X, weights = np.trunc(3 * X), rng.uniform(0, 2, len(y))
    y.flags.writeable = weights.flags.writeable = False
    stored = store(X, tmp_path)
    model, plain = fit(stored, y, weights), fit(X, y, weights)

    precision = model.coef_.dtype
    assert precision == (np.float32 if getattr(stored, "dtype", None) == np.float32 else np.float64)
    assert_same_probabilities(
        model.predict_proba(stored),
        plain.predict_proba(X),
        weights=weights,
        rounding=logit_rounding(plain, X, precision),
    )
    assert_array_equal(stored.toarray() if sparse.issparse(stored) else stored, X)


def test_weights_of_all_magnitudes_give_finite_coefficients(wine):
    """A class whose weights underflow beside the others' has no weight."""
    X, y = wine
    model = fit(X, y, np.where(y == 2, 1e-300, 1e300))

    assert np.isfinite(model.coef_).all()
    assert model.predict_proba(X)[:, 2].max() < 1e-12


def test_sparse_columns_far_from_zero_are_as_good_as_floating_point_lets_them_be(rng):
    """A mean of 1e9 spreads costs the logits 1e9 roundings of 2**-53: 1e-7, and with the sums' some 1e-6."""
    X = rng.normal(size=(500, 2))
    y = (X.sum(axis=1) + rng.logistic(size=500) > 0).astype(int)
    far = X + np.array([1e9, 0.0])
    dense, thin = fit(far, y), SoftmaxRegression().fit(sparse.csr_array(far), y)

    assert_allclose(thin.predict_proba(far), dense.predict_proba(far), rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [1e300, 1.7e308])
def test_logits_beyond_the_floating_range_are_answered(size, rng):
    """They are the largest number that there is: the class is certain."""
    X, y = sample(rng, n_classes=2)
    model = fit(X, y)
    model.coef_ = model.coef_ * 1e10
    far = size * np.sign(model.coef_[-1:])
    p = model.predict_proba(far)

    assert_allclose(p.sum(axis=1), 1.0, rtol=1e-15)
    assert p[0, -1] == 1.0
    assert model.predict(far)[0] == model.classes_[-1]


@pytest.mark.parametrize("tol", [1e-4, 1e-10])
def test_separation_is_found_whatever_the_tolerance(tol):
    """One class of iris is separated from the others, which overlap: at 1e-10 rounding ends the search."""
    X, y = load_iris(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="separated"):
        model = SoftmaxRegression(C=INF, tol=tol).fit(X, y)

    assert model.solution_.reason == "separation"


def test_an_unpenalised_search_that_ends_at_max_iter_is_not_reported_as_separated(rng):
    """Before it converged nothing is known of separation, and no linear program is worth its time."""
    X = rng.normal(size=(2000, 400))
    y = (X[:, 0] + rng.normal(size=2000) > 0).astype(int)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        model = SoftmaxRegression(C=INF, max_iter=2).fit(X, y)

    assert model.solution_.reason == "max_iter"


# -- rounding that is no information


def heights_in_two_units(dtype):
    """Centimetres and inches beside two other features, each rounded by itself."""
    rng = np.random.default_rng(7)
    cm, kg, score = (
        rng.normal(170, 10, 60),
        rng.normal(70, 12, 60),
        rng.normal(size=60) + 0.3 * (np.arange(60) % 3),
    )
    return np.column_stack([cm, cm / 2.54, kg, score]).astype(dtype), np.arange(60) % 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_rounding_of_collinear_columns_is_not_fitted(dtype):
    """Both columns have the information of one of them: the logits are those without the second.

    It is off by the rounding of 170 cm, times a coefficient below 1; tol=1e-10 is beyond that.
    """
    X, y = heights_in_two_units(dtype)
    both, one = (SoftmaxRegression(C=np.inf, tol=1e-10).fit(Z, y) for Z in (X, X[:, [0, 2, 3]]))
    rounding = float(np.finfo(dtype).eps) * 2**9  # eight sums of terms up to 30

    assert both.converged_
    assert both.solution_.objective == pytest.approx(one.solution_.objective, abs=rounding)
    assert_allclose(both.decision_function(X), one.decision_function(X[:, [0, 2, 3]]), rtol=0, atol=rounding)
    assert_allclose(both.coef_[:, 0], 2.54 * both.coef_[:, 1], rtol=0, atol=rounding)  # coefficients below 1


def test_a_column_that_is_constant_but_for_rounding_is_constant():
    """1e8 and its neighbours in float32, eight apart, given to the classes one by one."""
    X = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    y = np.arange(60) % 3
    far = np.nextafter(np.float32(1e8), np.where(y == 1, np.inf, 0).astype(np.float32))
    model = SoftmaxRegression(C=np.inf).fit(np.column_stack([X, far]), y)

    assert model.converged_
    assert_array_equal(model.coef_[:, 2], 0.0)


@pytest.mark.parametrize("options", [{}, {"C": np.inf}, {"l1_ratio": 1.0}, {"l1_ratio": 0.5}], ids=str)
@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_an_error_without_validation_too(number, store, options, wine):
    """With assume_finite validation does not check: the fit does not begin, and nothing fitted is lost."""
    X, y = wine
    model = SoftmaxRegression().fit(X, y).set_params(**options)
    before, X = model.coef_, X.copy()
    X[5, 3] = number
    with config_context(assume_finite=True), pytest.raises(ValueError, match="X must hold finite numbers"):
        model.fit(store(X), y)
    assert model.coef_ is before


@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_samples_with_what_is_no_number_are_not_predicted(store, wine):
    """Not by a third for each class, as logits of NaN would be."""
    X, y = wine
    model = SoftmaxRegression().fit(X, y)
    X = X.copy()
    X[5, 3] = np.nan
    for predict in (model.predict, model.predict_proba, model.predict_log_proba, model.decision_function):
        with (
            config_context(assume_finite=True),
            pytest.raises(ValueError, match="X must hold finite numbers"),
        ):
            predict(store(X))


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_targets_and_logits_that_are_no_numbers_are_named(number, wine):
    X, y = wine
    logits = SoftmaxRegression().fit(X, y).decision_function(X)
    weights, votes, bad = np.ones(len(y)), np.eye(3)[y], logits.copy()
    weights[7], votes[7, 0], bad[7, 0] = number, number, number
    with config_context(assume_finite=True):
        with pytest.raises(ValueError, match=r"sample_weight must be non-negative and finite, got .* row 7"):
            SoftmaxRegression().fit(X, y, weights)
        with pytest.raises(ValueError, match=r"Soft targets y .* row 7"):
            SoftmaxRegression().fit(X, votes)
        with pytest.raises(ValueError, match="logits must lie between"):
            fit_temperature(bad, y)


@pytest.mark.parametrize("options", [{}, {"C": np.inf}, {"l1_ratio": 1.0}], ids=str)
def test_what_is_no_number_is_an_error_in_rows_without_weight_too(options, wine):
    """Zero times NaN is none."""
    X, y = wine
    X, weights = X.copy(), np.ones(len(y))
    X[5, 3], weights[5] = np.nan, 0.0
    with config_context(assume_finite=True), pytest.raises(ValueError, match="X must hold finite numbers"):
        SoftmaxRegression(**options).fit(X, y, weights)


def test_folds_whose_coefficients_float32_cannot_hold_are_kept_in_float64(rng):
    """Columns of spread 1e-39, nearly the least numbers: the scores are those of the same in float64."""
    X, y = (rng.normal(size=(60, 3)) * 1e-39).astype(np.float32), np.arange(60) % 3
    single, double = (SoftmaxRegressionCV([1e70, 1e76], cv=3).fit(Z, y) for Z in (X, X.astype(np.float64)))

    assert np.isfinite(single.coefs_paths_).all()
    assert_allclose(single.scores_["mean"], double.scores_["mean"], rtol=0, atol=1e-4)
