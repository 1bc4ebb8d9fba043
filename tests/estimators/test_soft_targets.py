"""Targets that are distributions over the classes, and the scorer that takes them."""

import itertools
import pickle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context, datasets
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    LearningCurveDisplay,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import smreg
from smreg import SoftmaxRegression, log_softmax
from smreg.family import entropy, fisher_information
from smreg.metrics import calibration_error, neg_calibration_error_scorer, neg_cross_entropy_scorer

EPS = np.finfo(np.float64).eps
TIGHT = 1e-10  # a tol that is far above rounding, and far below anything that a mistake would do


def assert_same_optimum(p, q, tol, weights=None):
    """Two fits of one objective, each within `tol` of the optimum in the Fisher metric.

    A step of norm tol has a weighted mean over the samples of ``Var_p(d eta)`` of at most tol**2, and
    ``|d p_k| = |Cov_p(1_k, d eta)| <= sqrt(Var_p(d eta)) / 2``. So each fit is off by at most tol / 2
    in the root mean square of the probabilities, and two fits differ by at most tol.
    """
    largest = np.abs(np.asarray(p) - np.asarray(q)).max(axis=1)
    assert np.sqrt(np.average(largest**2, weights=weights)) <= tol


def expanded(X, targets, weights):
    """Every sample once for each class, with the class as its label and its share of the weight."""
    n, n_classes = targets.shape
    labels = np.tile(np.arange(n_classes), n)
    return np.repeat(X, n_classes, axis=0), labels, (targets * weights[:, np.newaxis]).ravel()


@pytest.fixture
def weights(rng):
    return rng.uniform(0, 2, 178)


@pytest.fixture
def soft_wine(wine):
    """Wine, with what a strongly penalised model says of it for targets."""
    X, y = wine
    return X, SoftmaxRegression(C=0.01).fit(X, y).predict_proba(X)


# -- the fit


@pytest.mark.parametrize("dtype", [float, np.float32, int, bool])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_hot_rows_are_labels(wine, weights, n_classes, dtype):
    X, y = wine
    y = np.minimum(y, n_classes - 1)
    soft = SoftmaxRegression(tol=TIGHT).fit(X, np.eye(n_classes, dtype=dtype)[y], weights)
    hard = SoftmaxRegression(tol=TIGHT).fit(X, y, weights)

    assert soft.coef_.shape == hard.coef_.shape
    assert_array_equal(soft.predict(X), hard.predict(X))
    assert_same_optimum(soft.predict_proba(X), hard.predict_proba(X), TIGHT, weights)


@pytest.mark.parametrize("C", [0.1, np.inf])
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_a_soft_row_is_its_classes_as_weighted_samples(rng, n_classes, C):
    """The objectives are the same mean of 100 times K terms, but for the rounding of their sum."""
    X = rng.normal(size=(100, 3)) * [1.0, 1e3, 1e-3]
    targets, weights = rng.dirichlet(np.ones(n_classes), size=100), rng.uniform(0, 2, 100)
    soft = SoftmaxRegression(C=C, tol=TIGHT).fit(X, targets, weights)
    hard = SoftmaxRegression(C=C, tol=TIGHT).fit(*expanded(X, targets, weights))

    assert_same_optimum(soft.predict_proba(X), hard.predict_proba(X), TIGHT, weights)
    assert_allclose(soft.solution_.objective, hard.solution_.objective, rtol=100 * n_classes * EPS)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [2, 1, 0]], ids=str)
def test_the_columns_of_a_frame_are_the_classes_in_any_order(soft_wine, frame, order):
    X, targets = soft_wine
    names = ["ale", "beer", "cider"]
    permuted = frame(dict(zip(np.array(names)[order], targets[:, order].T, strict=True)))
    named, plain = (SoftmaxRegression(tol=TIGHT).fit(X, t) for t in (permuted, targets))

    assert_array_equal(named.classes_, names)
    assert_array_equal(named.predict(X), np.array(names)[plain.predict(X)])
    assert_same_optimum(named.predict_proba(X), plain.predict_proba(X), TIGHT)


@pytest.mark.parametrize("columns", [[-1, 3, 20], [False, True], pd.date_range("2024-01-01", periods=3)])
def test_columns_may_have_any_names_that_can_be_sorted(soft_wine, columns):
    X, targets = soft_wine
    targets = targets[:, : len(columns)] / targets[:, : len(columns)].sum(axis=1, keepdims=True)
    backwards = pd.DataFrame(targets[:, ::-1], columns=columns[::-1])
    model = SoftmaxRegression().fit(X, backwards)

    assert_array_equal(model.classes_, list(columns))
    assert set(model.predict(X)) <= set(columns)


@pytest.mark.parametrize("as_type", [np.asarray, np.ndarray.tolist, np.asfortranarray])
def test_the_classes_of_an_array_are_numbers(soft_wine, as_type):
    X, targets = soft_wine

    assert_array_equal(SoftmaxRegression().fit(X, as_type(targets)).classes_, [0, 1, 2])


def test_dummies_of_labels_are_the_labels(wine):
    X, y = wine
    names = pd.Series(np.array(["ale", "beer", "cider"])[y])
    dummies, labels = (SoftmaxRegression(tol=TIGHT).fit(X, t) for t in (pd.get_dummies(names), names))

    assert_array_equal(dummies.classes_, labels.classes_)
    assert_same_optimum(dummies.predict_proba(X), labels.predict_proba(X), TIGHT)


@pytest.mark.parametrize(
    "as_type",
    [
        lambda t: t,
        lambda t: pd.DataFrame(t),
        lambda t: pl.DataFrame(t),
        lambda t: pd.DataFrame(t).astype("Float32"),
    ],
    ids=["array", "pandas", "polars", "pandas nullable"],
)
def test_probabilities_in_single_precision_are_targets(wine, as_type):
    """They sum to one up to their own precision, and are normalised in double precision."""
    X, y = wine
    targets = SoftmaxRegression(C=0.01).fit(X.astype(np.float32), y).predict_proba(X.astype(np.float32))
    exact = targets.astype(float) / targets.astype(float).sum(axis=1, keepdims=True)
    single, double = (SoftmaxRegression(tol=TIGHT).fit(X, t) for t in (as_type(targets), exact))

    assert targets.dtype == np.float32
    assert_same_optimum(single.predict_proba(X), double.predict_proba(X), TIGHT)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_student_of_a_model_has_its_coefficients_over_the_temperature(rng, n_classes, temperature):
    """At the teacher's coefficients over T the gradient ``p - t`` is zero: the optimum is there.

    A norm of tol in the metric H is a distance of at most tol over the root of H's least eigenvalue,
    which for K >= 3 is that on the subspace where the classes sum to zero; the rest is rounding.
    """
    X = rng.normal(size=(400, 3))
    labels = (X[:, [0]] * np.arange(n_classes) + rng.gumbel(size=(400, n_classes))).argmax(axis=1)
    teacher = SoftmaxRegression(C=np.inf).fit(X, labels)
    targets = teacher.predict_proba(X, temperature=temperature)
    student = SoftmaxRegression(C=np.inf, tol=1e-8).fit(X, targets)

    rows = np.c_[X, np.ones(len(X))]
    information = fisher_information(np.log(targets))
    if n_classes == 2:
        information = information[:, 1:, 1:]
    hessian = np.einsum("ijk,ia,ib->jakb", information, rows, rows) / len(X)
    size = len(teacher.coef_) * rows.shape[1]
    eigenvalues = np.linalg.eigvalsh(hessian.reshape(size, size))
    least = eigenvalues[0 if n_classes == 2 else rows.shape[1]]
    # in centred coordinates the intercept moves with the coefficients by the mean of X, of order one
    error = 1e-8 / np.sqrt(least) + 1e3 * EPS
    assert_allclose(student.coef_, teacher.coef_ / temperature, rtol=0, atol=error)
    assert_allclose(student.intercept_, teacher.intercept_ / temperature, rtol=0, atol=error)


@pytest.mark.parametrize("class_weight", [{0: 1.0, 1: 3.0, 2: 0.25}, {0: 0.0, 1: 1.0, 2: 1.0}, "balanced"])
def test_class_weights_multiply_the_shares_of_a_soft_target(soft_wine, weights, class_weight):
    """Weights ``w_i sum_k c_k t_ik``, targets ``c_k t_ik`` normalised: the samples ``w_i c_k t_ik``."""
    X, targets = soft_wine
    factors = np.array([class_weight[k] for k in range(3)]) if class_weight != "balanced" else None
    if factors is None:
        mass = weights @ targets
        factors = mass.sum() / (3 * mass)
    by_class = SoftmaxRegression(tol=TIGHT, class_weight=class_weight).fit(X, targets, weights)
    by_share = SoftmaxRegression(tol=TIGHT).fit(*expanded(X, targets * factors, weights))

    total = weights * (targets @ factors)
    assert_same_optimum(by_class.predict_proba(X), by_share.predict_proba(X), TIGHT, total)


@pytest.mark.parametrize("position", [0, 2, 3])
def test_a_column_without_mass_changes_nothing_for_the_others(soft_wine, position):
    """Its intercept lies 40 nats below the mean of the others: its probability is below exp(-40)."""
    X, targets = soft_wine
    wider = np.insert(targets, position, 0.0, axis=1)
    model, without = (SoftmaxRegression(tol=TIGHT).fit(X, t) for t in (wider, targets))
    p = model.predict_proba(X)

    assert_array_equal(model.classes_, np.arange(4))
    assert p[:, position].max() <= np.exp(-40)
    assert_array_equal(model.coef_[position], 0)
    assert abs(model.intercept_.sum()) <= 16 * EPS * np.abs(model.intercept_).max()
    assert_same_optimum(np.delete(p, position, axis=1), without.predict_proba(X), TIGHT)


def test_two_columns_with_mass_among_three_are_a_binary_fit_with_half_the_penalty(soft_wine):
    """Two rows -u/2 and u/2 have the squared norm u**2 / 2, a single row u has u**2."""
    X, targets = soft_wine
    two = targets[:, :2] / targets[:, :2].sum(axis=1, keepdims=True)
    three = SoftmaxRegression(C=1.0, tol=TIGHT).fit(X, np.c_[two, np.zeros(len(X))])
    binary = SoftmaxRegression(C=2.0, tol=TIGHT).fit(X, two)

    assert_same_optimum(three.predict_proba(X)[:, :2], binary.predict_proba(X), TIGHT)


@pytest.mark.parametrize("penalty", [1.0, np.inf])
def test_targets_that_do_not_depend_on_the_features_are_predicted_everywhere(wine, penalty):
    """The optimum is the start, the log priors; what it costs is the entropy, to a rounded mean."""
    X, _ = wine
    prior = np.array([0.5, 0.3, 0.2])
    model = SoftmaxRegression(C=penalty).fit(X, np.tile(prior, (len(X), 1)))

    assert model.solution_.evaluations == 1
    assert_allclose(model.predict_proba(X), np.tile(prior, (len(X), 1)), rtol=16 * EPS)
    assert_allclose(model.solution_.objective, -prior @ np.log(prior), rtol=len(X) * EPS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t * 0.999, r"sum to 1; row 0 .* sums to 0\.99"),
        (lambda t: np.c_[t[:, 0] + 2 * t[:, 1], -t[:, 1], t[:, 2]], "non-negative"),
        (lambda t: np.where(np.arange(len(t))[:, None] == 3, np.nan, t), "row 3"),
        (lambda t: t[:-1], "inconsistent numbers of samples"),
        (lambda t: t.astype(str).astype(object) + "x", "must be numeric"),
        (lambda t: pd.DataFrame(t, columns=list("aab")), "distinct names"),
        (lambda t: np.tile([1.0, 0.0, 0.0], (len(t), 1)), "[Aa]t least 2 classes"),
    ],
)
def test_what_is_no_distribution_is_refused(soft_wine, change, message):
    X, targets = soft_wine
    with pytest.raises(ValueError, match=message):
        SoftmaxRegression().fit(X, change(targets))


def test_a_refused_row_is_shown_with_what_is_wrong_about_it(soft_wine):
    """A sum that is off by a millionth must not be reported as 1."""
    X, targets = soft_wine
    with pytest.raises(ValueError, match=r"sums to (?!1\.?$)"):
        SoftmaxRegression().fit(X, targets * (1 + 1e-7))


def test_accuracy_against_soft_targets_is_refused_with_the_remedy(soft_wine):
    X, targets = soft_wine
    with pytest.raises(ValueError, match="neg_cross_entropy_scorer"):
        SoftmaxRegression().fit(X, targets).score(X, targets)


# -- the scorer


def mean_rounding(n, terms):
    """Of a mean of n terms with some roundings each."""
    return (n + 32) * EPS * max(1.0, np.abs(terms).max())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_score_is_minus_the_cross_entropy_of_the_logits(soft_wine, weights, n_classes, weighted):
    X, targets = soft_wine
    targets = targets[:, :n_classes] / targets[:, :n_classes].sum(axis=1, keepdims=True)
    model = SoftmaxRegression(temperature=2.0).fit(X, targets)
    logits = model.decision_function(X) / 2.0
    if n_classes == 2:
        logits = np.c_[np.zeros(len(X)), logits]
    losses = smreg.cross_entropy(targets, logits)
    w = weights if weighted else None

    assert_allclose(
        neg_cross_entropy_scorer(model, X, targets, sample_weight=w),
        -np.average(losses, weights=w),
        rtol=0,
        atol=mean_rounding(len(X), logits),
    )


@pytest.mark.parametrize("classifier", [SoftmaxRegression(C=0.1), LogisticRegression(C=1e-4, tol=1e-2)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("names", [[-1, 5, 7], ["ale", "beer", "cider"]], ids=str)
def test_for_labels_the_score_is_scikit_learn_s_log_loss(wine, weights, classifier, weighted, names):
    """No probability is small enough to be clipped by it; -log p has errors of EPS, as p is rounded."""
    X, y = wine
    X, labels = StandardScaler().fit_transform(X), np.array(names)[y]
    model = clone(classifier).fit(X, labels)
    w = {"sample_weight": weights} if weighted else {}

    assert_allclose(
        neg_cross_entropy_scorer(model, X, labels, **w),
        get_scorer("neg_log_loss")(model, X, labels, **w),
        rtol=0,
        atol=mean_rounding(len(X), model.predict_log_proba(X)),
    )


def test_one_hot_targets_score_as_their_labels(wine):
    X, y = wine
    model = SoftmaxRegression().fit(X, y)

    assert_allclose(
        neg_cross_entropy_scorer(model, X, np.eye(3)[y]),
        neg_cross_entropy_scorer(model, X, y),
        rtol=len(X) * EPS,
    )


class _Unsorted:
    """A classifier whose classes are in any order, with the log-probabilities given as X."""

    def __init__(self, classes):
        self.classes_ = np.asarray(classes)

    def predict_log_proba(self, X):
        return X

    def predict_proba(self, X):
        return np.exp(X)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("names", [["a", "b", "c"], [0, 1, 2], [-1, 5, 7], [0.0, 1.0, 2.0]])
def test_the_score_takes_the_columns_in_the_classifiers_order(rng, order, names):
    """Also in those of other measures, which are computed in another order of sums."""
    log_p, codes, order = log_softmax(rng.normal(size=(40, 3))), rng.integers(0, 3, 40), list(order)
    names, inverse = np.array(names), np.argsort(order)
    model, t = _Unsorted(names[order]), pd.DataFrame(np.eye(3)[codes][:, inverse], columns=names)

    for target in (names[order][codes], t):
        assert_allclose(
            neg_cross_entropy_scorer(model, log_p, target),
            log_p[np.arange(40), codes].mean(),
            rtol=40 * EPS,
        )
        assert neg_calibration_error_scorer(model, log_p, target) == pytest.approx(
            -calibration_error(codes, np.exp(log_p), classes=range(3)), abs=40 * EPS
        )


def test_the_score_of_two_unsorted_classes_is_no_error(rng):
    """Here a label is larger than all before the last."""
    log_p = log_softmax(rng.normal(size=(6, 2)))
    score = neg_cross_entropy_scorer(_Unsorted(["b", "a"]), log_p, ["a", "b"] * 3)

    assert_allclose(score, log_p[np.arange(6), [1, 0] * 3].mean(), rtol=6 * EPS)


@pytest.mark.parametrize("y", [["1", "2", "1"], [1, 3, 2], [1.5, 1.0, 2.0]])
def test_a_label_that_is_no_class_is_not_taken_for_one(rng, y):
    with pytest.raises(ValueError, match="not among"):
        neg_cross_entropy_scorer(_Unsorted([2, 1]), log_softmax(rng.normal(size=(3, 2))), y)


def test_unnamed_columns_of_soft_targets_are_those_of_numbered_classes(rng):
    log_p = log_softmax(rng.normal(size=(6, 3)))
    with pytest.raises(ValueError, match=r"must be the classes \[2, 0, 1\], got \[0, 1, 2\]"):
        neg_cross_entropy_scorer(_Unsorted([2, 0, 1]), log_p, np.eye(3)[[0, 1, 2] * 2])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_the_score_takes_columns_in_any_order(soft_wine, frame):
    X, targets = soft_wine
    columns = dict(zip("abc", targets.T, strict=True))
    model = SoftmaxRegression().fit(X, frame(columns))
    score, permuted = (
        neg_cross_entropy_scorer(model, X, frame({k: columns[k] for k in order})) for order in ("abc", "cab")
    )

    assert_allclose(permuted, score, rtol=len(X) * EPS)


def test_a_fold_without_some_class_is_scored_by_the_others(wine):
    X, y = wine
    test = np.flatnonzero(y < 2)
    folds = [(np.arange(len(y)), test)]
    score = cross_val_score(SoftmaxRegression(), X, y, scoring=neg_cross_entropy_scorer, cv=folds)
    log_p = SoftmaxRegression().fit(X, y).predict_log_proba(X)[test, y[test]]

    assert_allclose(score, [log_p.mean()], rtol=len(test) * EPS)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (lambda y: y + 1, r"classes \[3\], not among \[0, 1, 2\]"),
        (lambda y: y.astype(str), r"not among \[0, 1, 2\]"),
        (lambda y: np.eye(4)[y], r"must be the classes \[0, 1, 2\], got \[0, 1, 2, 3\]"),
        (lambda y: pd.DataFrame(np.eye(3)[y], columns=list("abc")), "must be the classes"),
        (lambda y: np.eye(3)[y] / 2, "sum to 1"),
        (lambda y: y[1:], "inconsistent numbers of samples"),
    ],
)
def test_targets_that_the_classifier_does_not_know_are_refused(wine, targets, message):
    X, y = wine
    with pytest.raises(ValueError, match=message):
        neg_cross_entropy_scorer(SoftmaxRegression().fit(X, y), X, targets(y))


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA], ids=str)
def test_a_missing_label_is_no_class_for_the_scorer(missing, wine):
    """Nor is it the class "nan", which NumPy makes of it in a list of strings."""
    X, y = wine
    names = np.array(["nan", "a", "b"])[y]
    model = SoftmaxRegression().fit(X, names)
    for with_gap in ([missing, *names[1:]], np.array([missing, *names[1:]], dtype=object)):
        with pytest.raises(ValueError, match=r"Input y contains .* 1 of 178 labels are missing"):
            neg_cross_entropy_scorer(model, X, with_gap)


class _Certain:
    """Says that every sample is of the first class, and of no other."""

    classes_ = np.arange(3)

    def predict_log_proba(self, X):
        return np.tile([0.0, -np.inf, -np.inf], (len(X), 1))


@pytest.mark.parametrize(
    ("targets", "score"),
    [
        ([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], 0.0),
        ([[1.0, 0.0, 0.0], [0.9, 0.1, 0.0]], -np.inf),
        ([0, 0], 0.0),
        ([0, 1], -np.inf),
    ],
)
def test_a_class_of_probability_zero_costs_nothing_unless_it_occurs(targets, score):
    """Then ``0 log 0 = 0``, and otherwise nothing is clipped."""
    assert neg_cross_entropy_scorer(_Certain(), np.zeros((2, 1)), targets) == score


def test_the_scorer_copies_and_survives_pickling(wine):
    X, y = wine
    model = SoftmaxRegression().fit(X, y)
    score = neg_cross_entropy_scorer(model, X, y)

    for copied in (
        clone(neg_cross_entropy_scorer),
        pickle.loads(pickle.dumps(neg_cross_entropy_scorer)),
    ):
        assert copied(model, X, y) == score


# -- choosing by the score


def by_hand(pipeline, X, targets, weights, folds, C):
    """Mean over the folds of the weighted score, for every C."""
    scores = np.empty((len(C), len(folds)))
    for i, strength in enumerate(C):
        for j, (train, test) in enumerate(folds):
            model = clone(pipeline).set_params(softmaxregression__C=strength)
            model.fit(X[train], targets[train], softmaxregression__sample_weight=weights[train])
            losses = smreg.cross_entropy(targets[test], model.decision_function(X[test]))
            scores[i, j] = -np.average(losses, weights=weights[test])
    return scores.mean(axis=1)


@pytest.mark.parametrize("frame", [np.asarray, pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("named", [False, True])
def test_the_penalty_can_be_searched_with_soft_targets(soft_wine, frame, named):
    """Frames are summed in another order than arrays: the fits may differ within `tol`.

    The penalty makes F strongly convex with the modulus 1 / (C n), so that coefficients are off by at
    most tol sqrt(C n), a logit by that times the length of its row (1, x), and a cross-entropy by twice
    as much; both fits may be; and 2 is for the intercept, which has no penalty.
    """
    X, targets = soft_wine
    C, folds = [1e-3, 0.1, 10.0], list(KFold(3, shuffle=True, random_state=0).split(X))
    pipeline = make_pipeline(StandardScaler(), SoftmaxRegression(tol=TIGHT))
    search = GridSearchCV(
        pipeline,
        {"softmaxregression__C": C},
        scoring={"ce": neg_cross_entropy_scorer} if named else neg_cross_entropy_scorer,
        cv=folds,
        refit="ce" if named else True,
    ).fit(X, frame(targets))
    scores = search.cv_results_["mean_test_ce" if named else "mean_test_score"]
    expected = by_hand(pipeline, X, targets, np.ones(len(X)), folds, C)

    longest = np.sqrt(1 + (StandardScaler().fit_transform(X) ** 2).sum(axis=1).max())
    assert_allclose(scores, expected, rtol=0, atol=8 * TIGHT * np.sqrt(max(C) * len(X)) * longest)
    assert search.best_params_ == {"softmaxregression__C": C[int(np.argmax(expected))]}


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("routing", [False, True])
def test_weights_given_to_a_search_reach_fit_and_score(soft_wine, weights, routing, named):
    X, targets = soft_wine
    C, folds = [0.01, 1.0], list(KFold(3, shuffle=True, random_state=0).split(X))
    expected = by_hand(make_pipeline(SoftmaxRegression()), X, targets, weights, folds, C)
    model, scorer = SoftmaxRegression(), clone(neg_cross_entropy_scorer)
    with config_context(enable_metadata_routing=routing):
        if routing:
            model.set_fit_request(sample_weight=True)
            scorer.set_score_request(sample_weight=True)
        search = GridSearchCV(
            model,
            {"C": C},
            scoring={"ce": scorer} if named else scorer,
            cv=folds,
            refit="ce" if named else True,
        ).fit(X, targets, sample_weight=weights)

    found = search.cv_results_["mean_test_ce" if named else "mean_test_score"]
    assert_allclose(found, expected, rtol=len(X) * EPS)


def test_weights_given_to_a_cross_validation_reach_fit_and_score(soft_wine, weights):
    X, targets = soft_wine
    folds = list(KFold(3, shuffle=True, random_state=0).split(X))
    with config_context(enable_metadata_routing=True):
        scorer = clone(neg_cross_entropy_scorer).set_score_request(sample_weight=True)
        model = SoftmaxRegression().set_fit_request(sample_weight=True)
        params = {"sample_weight": weights}
        scores = cross_validate(model, X, targets, scoring=scorer, cv=folds, params=params)["test_score"]

    expected = by_hand(make_pipeline(SoftmaxRegression()), X, targets, weights, folds, [1.0])
    assert_allclose(scores.mean(), expected, rtol=len(X) * EPS)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_learning_curves_of_soft_targets_can_be_drawn(soft_wine, n_classes):
    X, targets = soft_wine
    targets = targets[:, :n_classes] / targets[:, :n_classes].sum(axis=1, keepdims=True)
    folds = list(KFold(2, shuffle=True, random_state=0).split(X))  # of 89 samples each
    display = LearningCurveDisplay.from_estimator(
        SoftmaxRegression(), X, targets, scoring=neg_cross_entropy_scorer, cv=folds, train_sizes=[0.5, 1.0]
    )
    plt.close(display.figure_)

    assert_array_equal(
        display.test_scores[-1],
        cross_val_score(SoftmaxRegression(), X, targets, scoring=neg_cross_entropy_scorer, cv=folds),
    )


def test_the_scorer_of_the_package_requests_nothing_by_itself():
    with config_context(enable_metadata_routing=True):
        clone(neg_cross_entropy_scorer).set_score_request(sample_weight=True)
        request = neg_cross_entropy_scorer.get_metadata_routing()

    assert request.score.requests == {"offset": None, "sample_weight": None}


@pytest.mark.parametrize("C", [1e-4, 1.0])
def test_a_student_stands_between_the_best_constant_and_its_teacher(C):
    """Below by Gibbs' inequality; above since the best constant is the start, and costs no penalty."""
    X, y = datasets.load_digits(return_X_y=True)
    targets = SoftmaxRegression(C=1e-3).fit(X, y).predict_proba(X)
    student = SoftmaxRegression(C=C).fit(X[:, ::2], targets)
    score = neg_cross_entropy_scorer(student, X[:, ::2], targets)

    constant = entropy(targets.mean(axis=0))
    assert -constant < score < -entropy(targets).mean()
