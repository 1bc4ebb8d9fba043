"""SoftmaxRegressionCV chooses what a search by hand chooses, and keeps what it found.

**Tolerance of scores.** Two fits of a fold that reach `tol` are within ``sqrt(2 UNEQUAL) tol`` of its optimum
in the metric M of the Hessian (see `optima`). A score with the gradient g in the coefficients then differs
between them by at most ``2 sqrt(2 UNEQUAL) tol ||g||_{M^-1}``, to first order: less than 3 tol times the
*sensitivity* ``||g||_{M^-1}``, which `sensitivity` computes. For the log loss of iris and wine up to C = 1 it
is below 2, so that `TIGHT` keeps these scores within `CLOSE`.
"""

import inspect
import pickle
import re
import warnings
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from optima import UNEQUAL, logit_rounding, optimum
from problems import more_columns_than_rows, one_hot_blocks, sample, wide_and_sparse
from scipy import linalg, sparse
from sklearn import datasets
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    get_scorer,
    get_scorer_names,
    log_loss,
    make_scorer,
)
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smreg import SoftmaxRegression, SoftmaxRegressionCV, regularization_path
from smreg.estimators.candidates import choose
from smreg.metrics import calibration_error, neg_cross_entropy_scorer
from smreg.temperature.scaling import fit_temperature

TIGHT, CLOSE = 1e-9, 6e-9
FEW = [0.01, 0.1, 1.0]


@pytest.fixture
def iris():
    return datasets.load_iris(return_X_y=True)


def sensitivity(model, X, y, test_X, test_y, C):
    """``||g||_{M^-1}`` of the mean log loss on test data, for a model with intercepts and K >= 3 classes."""
    Q = linalg.helmert(len(model.classes_)).T
    Z, test_Z = (np.column_stack([rows, np.ones(len(rows))]) for rows in (X, test_X))
    P, width = model.predict_proba(X), Z.shape[1]
    H = np.empty((Q.shape[1], width, Q.shape[1], width))
    for c in range(Q.shape[1]):
        for d in range(c + 1):
            variance = P @ (Q[:, c] * Q[:, d]) - (P @ Q[:, c]) * (P @ Q[:, d])
            variance[np.abs(variance) < 1e-100] = (
                0.0  # products with subnormal numbers take ten times as long
            )
            H[c, :, d] = H[d, :, c] = (Z.T * variance) @ Z / len(Z)
    M = H.reshape(2 * (Q.shape[1] * width,))
    M += np.diag(np.tile(np.append(np.full(width - 1, 1 / (C * len(X))), 0.0), Q.shape[1]))
    residuals = model.predict_proba(test_X) - np.eye(len(Q))[test_y]
    g = (Q.T @ residuals.T @ test_Z).ravel() / len(test_X)
    root = np.sqrt(M.diagonal())  # M of unit diagonal, whatever the units
    return np.sqrt(g / root @ linalg.solve(M / root / root[:, np.newaxis], g / root, assume_a="pos"))


def fold_model(model, k, j, C):
    """The k-th fold's model of the j-th C."""
    coef = model.coefs_paths_[k, 0, j]
    made = SoftmaxRegression(C=C)
    made.coef_, made.intercept_ = coef[:, :-1], coef[:, -1]
    made.classes_, made.n_features_in_ = model.classes_, coef.shape[1] - 1
    return made


def scores_of(search, name="score"):
    """A search's scores, folds within candidates, and their means."""
    n_splits, results = search.n_splits_, search.cv_results_
    splits = np.column_stack([results[f"split{k}_test_{name}"] for k in range(n_splits)])
    return splits.ravel(), results[f"mean_test_{name}"]


def assert_same_choice(model, search, atol=CLOSE, name="score"):
    splits, means = scores_of(search, name)

    assert_allclose(model.cv_results_["score"], splits, rtol=0, atol=atol)
    assert_allclose(model.scores_["mean"], means, rtol=0, atol=atol)
    assert (
        search.cv_results_["params"][int(search.cv_results_[f"rank_test_{name}"].argmin())]["C"] == model.C_
    )


# -- what it chooses


@pytest.mark.parametrize(
    ("name", "Cs", "n_folds"),
    [
        ("iris", np.logspace(-4, 4, 10), 5),
        ("wine", np.logspace(-4, 4, 10), 5),
        ("digits", np.logspace(-4, 2, 4), 3),
    ],
)
def test_it_chooses_what_grid_search_chooses_and_scores_agree_to_1e_minus_6(name, Cs, n_folds):
    """With a tol derived from the sensitivities; for 3 factors of the module's word, and 2 to spare."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    rough = SoftmaxRegressionCV(Cs, cv=n_folds).fit(X, y)
    worst = max(
        sensitivity(fold_model(rough, k, j, C), X[train], y[train], X[test], y[test], C)
        for k, (train, test) in enumerate(StratifiedKFold(n_folds).split(X, y))
        for j, C in enumerate(Cs)
    )
    tol, change = 1e-6 / (3 * 2 * worst), 1e-6
    scorings = {"neg_log_loss": change, "accuracy": 1e-15, "roc_auc_ovr": 1e-15}
    search = GridSearchCV(
        SoftmaxRegression(tol=tol), {"C": Cs}, cv=n_folds, scoring=list(scorings), refit="neg_log_loss"
    ).fit(X, y)
    for scoring, atol in scorings.items():
        model = SoftmaxRegressionCV(Cs, cv=n_folds, scoring=scoring, tol=tol).fit(X, y)
        assert_same_choice(model, search, atol, scoring)
        assert model.converged_
        if scoring == "neg_log_loss":
            best = optimum(X, y, C=model.C_)
            assert best.excess(model, X) <= UNEQUAL * (tol + logit_rounding(model, X)) ** 2


def brier(estimator, X, y):
    """Minus the squared error of the probabilities."""
    return -float(np.mean((estimator.predict_proba(X)[:, 0] - (y == 0)) ** 2))


@pytest.mark.parametrize("scoring", [brier, get_scorer("neg_log_loss"), neg_cross_entropy_scorer, None])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_any_scorer_gives_what_it_gives_in_grid_search(wine, scoring, n_classes):
    """None is accuracy, also in `score`. Brier's score has gradients like the log loss's."""
    X, y = wine[0], np.minimum(wine[1], n_classes - 1)
    model = SoftmaxRegressionCV(FEW, scoring=scoring, tol=TIGHT).fit(X, y)
    search = GridSearchCV(SoftmaxRegression(tol=TIGHT), {"C": FEW}, scoring=scoring).fit(X, y)
    ours, theirs = ((scoring or get_scorer("accuracy"))(fitted, X, y) for fitted in (model, search))

    assert_same_choice(model, search)
    assert model.score(X, y) == ours
    assert_allclose(ours, theirs, rtol=0, atol=CLOSE)


def splits_as_masks(n):
    folds = np.arange(n) % 3
    return [(folds != k, folds == k) for k in range(3)]


CVS = {
    "number": 4,
    "splitter": StratifiedKFold(3, shuffle=True, random_state=0),
    "not stratified": KFold(3, shuffle=True, random_state=0),
    "drawn": ShuffleSplit(4, test_size=0.3, random_state=0),
    "drawn once": ShuffleSplit(1, random_state=0),
    "list": [(np.arange(0, 178, 2), np.arange(1, 178, 2)), (np.arange(1, 178, 2), np.arange(0, 178, 6))],
    "lists of lists": [(list(range(0, 178, 2)), list(range(1, 178, 2)))],
    "masks": splits_as_masks(178),
    "from the end": [(np.arange(-178, 0, 2), np.arange(-177, 0, 2))],
    "with repetitions": [(np.append(np.arange(0, 178, 2), np.arange(0, 100, 2)), np.full(9, 1))],
}


@pytest.mark.parametrize("cv", CVS.values(), ids=CVS.keys())
def test_folds_are_those_of_grid_search(wine, cv):
    search = GridSearchCV(SoftmaxRegression(tol=TIGHT), {"C": FEW}, cv=cv, scoring="neg_log_loss")
    if cv is CVS["with repetitions"]:  # the single class of whose test part scikit-learn's scorer refuses
        search.set_params(scoring=neg_cross_entropy_scorer)

    assert_same_choice(SoftmaxRegressionCV(FEW, cv=cv, tol=TIGHT).fit(*wine), search.fit(*wine))


def test_groups_stay_together(wine, rng):
    groups = rng.integers(0, 12, len(wine[1]))
    model = SoftmaxRegressionCV(FEW, cv=GroupKFold(4), tol=TIGHT).fit(*wine, groups=groups)
    search = GridSearchCV(SoftmaxRegression(tol=TIGHT), {"C": FEW}, cv=GroupKFold(4), scoring="neg_log_loss")

    assert_same_choice(model, search.fit(*wine, groups=groups))


@pytest.mark.parametrize("class_weight", ["balanced", {0: 5.0, 2: 0.5}], ids=str)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_class_weights_are_those_of_each_fold_s_training_part(wine, class_weight, n_classes):
    X, y = wine[0][30:], np.minimum(wine[1], n_classes - 1)[30:]
    class_weight = "balanced" if class_weight == "balanced" else {0: 5.0, n_classes - 1: 0.5}
    model = SoftmaxRegressionCV(FEW, class_weight=class_weight, tol=TIGHT).fit(X, y)
    search = GridSearchCV(
        SoftmaxRegression(tol=TIGHT, class_weight=class_weight), {"C": FEW}, scoring="neg_log_loss"
    )

    assert_same_choice(model, search.fit(X, y))
    assert search.best_params_["C"] == model.C_
    assert_allclose(model.predict_proba(X), search.predict_proba(X), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_soft_targets_are_scored_by_their_cross_entropy(wine, rng, n_classes):
    X, y = wine[0], np.minimum(wine[1], n_classes - 1)
    T = 0.6 * np.eye(n_classes)[y] + 0.4 * rng.dirichlet(np.ones(n_classes), len(y))
    cv = KFold(3, shuffle=True, random_state=0)
    model = SoftmaxRegressionCV(FEW, cv=cv, tol=TIGHT).fit(X, T)
    search = GridSearchCV(SoftmaxRegression(tol=TIGHT), {"C": FEW}, cv=cv, scoring=neg_cross_entropy_scorer)

    assert_same_choice(model, search.fit(X, T))
    assert model.score(X, T) == neg_cross_entropy_scorer(model, X, T)
    assert_allclose(
        model.scores_["mean"],
        SoftmaxRegressionCV(FEW, cv=cv, tol=TIGHT).fit(X, pd.DataFrame(T)).scores_["mean"],
    )


@pytest.mark.parametrize("temperature", ["cv", 1.0])
def test_a_weight_is_so_many_samples_in_fits_scores_and_temperature(wine, rng, temperature):
    """With folds that keep the repetitions together. T moves with the logits, by less than ten times that."""
    X, y = wine
    counts, fold = rng.integers(0, 4, len(y)), rng.permutation(np.arange(len(y)) % 3)
    options = {"Cs": FEW, "tol": TIGHT, "temperature": temperature}
    weighed = SoftmaxRegressionCV(cv=PredefinedSplit(fold), **options).fit(X, y, sample_weight=counts)
    repeated = SoftmaxRegressionCV(cv=PredefinedSplit(np.repeat(fold, counts)), **options)
    repeated.fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))

    assert_allclose(weighed.cv_results_["score"], repeated.cv_results_["score"], rtol=0, atol=CLOSE)
    assert weighed.C_ == repeated.C_
    assert_allclose(weighed.temperature_, repeated.temperature_, rtol=10 * CLOSE)
    assert_allclose(weighed.predict_proba(X), repeated.predict_proba(X), rtol=0, atol=10 * CLOSE)


def test_the_weights_count_in_the_mean_of_each_fold_s_score(wine, rng):
    X, y = wine
    weights = rng.uniform(0, 3, len(y))
    model = SoftmaxRegressionCV([0.1], cv=3, tol=TIGHT).fit(X, y, sample_weight=weights)
    expected = [
        -log_loss(
            y[test],
            SoftmaxRegression(C=0.1, tol=TIGHT)
            .fit(X[train], y[train], weights[train])
            .predict_proba(X[test]),
            sample_weight=weights[test],
        )
        for train, test in StratifiedKFold(3).split(X, y)
    ]

    assert_allclose(model.cv_results_["score"], expected, rtol=0, atol=CLOSE)


def test_a_test_part_without_some_of_the_classes_has_the_right_log_loss(wine):
    X, y = wine
    test = np.flatnonzero(y == 1)[:20]
    train = np.setdiff1d(np.arange(len(y)), test)
    model = SoftmaxRegressionCV(FEW, cv=[(train, test)], tol=TIGHT).fit(X, y)
    fits = [SoftmaxRegression(C=C, tol=TIGHT).fit(X[train], y[train]) for C in FEW]

    assert_allclose(
        model.scores_["mean"],
        [fit.predict_log_proba(X[test])[:, 1].mean() for fit in fits],
        rtol=0,
        atol=CLOSE,
    )


TAKES_LABELS = [
    name
    for name in get_scorer_names()
    if "labels" in inspect.signature(get_scorer(name)._score_func).parameters
]
OF_TWO_CLASSES = ["f1", "precision", "recall", "jaccard"]
OF_SETS = ["f1_samples", "precision_samples", "recall_samples", "jaccard_samples"]
NOT_DEFINED = ["roc_auc", "roc_auc_ovr"]
IN_PROBABILITIES = ["neg_brier_score", "d2_log_loss_score", "d2_brier_score", "top_k_accuracy"]
OWN = {
    "metric's options": make_scorer(log_loss, greater_is_better=False, response_method="predict_proba"),
    "labels of its own": make_scorer(f1_score, average="macro", labels=[0, 1]),
    "labels in a partial": make_scorer(partial(f1_score, average="macro", labels=[0, 1])),
    "classes": make_scorer(calibration_error, greater_is_better=False, response_method="predict_proba"),
    "y named labels": make_scorer(lambda labels, predicted: np.mean(labels == predicted)),
}


def value_with_labels(scorer, model, X, y):
    """What scikit-learn's metric says if it is called with all classes."""
    metric, options, method = scorer._score_func, scorer._kwargs, scorer._response_method
    (method,) = {method} if isinstance(method, str) else {"decision_function"}
    names = list(inspect.signature(metric).parameters)[2:]
    arguments = {
        name: model.classes_ for name in ("labels", "classes") if name in names and name not in options
    }
    if isinstance(metric, partial):
        arguments = {}
    return scorer._sign * metric(y, getattr(model, method)(X), **arguments, **options)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize(
    "scoring",
    [*sorted(set(TAKES_LABELS) - {*OF_TWO_CLASSES, *OF_SETS, *NOT_DEFINED}), *OWN.values()],
    ids=lambda scoring: scoring if isinstance(scoring, str) else repr(scoring)[:40],
)
def test_a_test_part_without_a_class_has_the_score_of_the_metric_given_all_classes(wine, scoring):
    """Those of scikit-learn that are not defined on some class count it as zero, and say so."""
    X, y = wine
    test = np.flatnonzero(y < 2)[::4]
    train = np.setdiff1d(np.arange(len(y)), test)
    model = SoftmaxRegressionCV(FEW, cv=[(train, test)], scoring=scoring).fit(X, y)

    for j, C in enumerate(FEW):
        expected = value_with_labels(get_scorer(scoring), fold_model(model, 0, j, C), X[test], y[test])
        assert_allclose(model.cv_results_["score"][j], expected, rtol=1e-12)
    expected = value_with_labels(get_scorer(scoring), model, X[test], y[test])
    assert_allclose(model.score(X[test], y[test]), expected, rtol=1e-12)


@pytest.mark.parametrize("scoring", IN_PROBABILITIES)
def test_so_has_a_fold_of_a_rare_class(scoring):
    """Digits with two samples of nine: of three folds one has none to test. All folds give finite scores."""
    X, y = datasets.load_digits(return_X_y=True)
    rows = np.append(np.flatnonzero(y < 9)[:400], np.flatnonzero(y == 9)[:2])
    X, y = X[rows], y[rows]
    with pytest.warns(UserWarning, match="least populated class"):
        model = SoftmaxRegressionCV(FEW, cv=3, scoring=scoring).fit(X, y)
    with pytest.warns(UserWarning, match="least populated class"):
        parts = [test for _, test in StratifiedKFold(3).split(X, y)]

    assert sorted(9 in y[test] for test in parts) == [False, True, True]
    for k, test in enumerate(parts):
        expected = value_with_labels(get_scorer(scoring), fold_model(model, k, 0, FEW[0]), X[test], y[test])
        assert_allclose(model.cv_results_["score"][k], expected, rtol=1e-12)


@pytest.mark.parametrize("names", [["n", "y"], [0, 1], [-1, 1], [1, 2], [False, True]], ids=str)
@pytest.mark.parametrize(
    "scoring", [*OF_TWO_CLASSES, "f1_macro", "average_precision", "neg_brier_score", "d2_brier_score"]
)
def test_of_two_classes_the_second_is_the_positive_one_unless_the_metric_names_one(wine, scoring, names):
    X, y = wine[0], np.array(names)[np.minimum(wine[1], 1)]
    model = SoftmaxRegressionCV([0.01], cv=3, scoring=scoring).fit(X, y)
    fold, (_, test) = fold_model(model, 0, 0, 0.01), next(StratifiedKFold(3).split(X, y))
    scorer, positive = get_scorer(scoring), {"pos_label": 1 if 1 in names else names[1]}
    options = ({} if scoring == "f1_macro" else positive) | scorer._kwargs
    if scoring in OF_TWO_CLASSES or scoring == "f1_macro":
        response = fold.predict(X[test])
    elif scoring == "average_precision":
        response = fold.decision_function(X[test]) * (1 if positive["pos_label"] == names[1] else -1)
    else:
        response, options = fold.predict_proba(X[test])[:, 1], {"pos_label": names[1]}

    expected = scorer._sign * scorer._score_func(y[test], response, **options)
    assert_allclose(model.cv_results_["score"][0], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("scoring", "name"),
    [
        ("roc_auc_ovr", "'roc_auc_ovr'"),
        ("average_precision", "'average_precision'"),
        (get_scorer("roc_auc_ovr"), r"make_scorer\(roc_auc_score"),
        (make_scorer(lambda y, p: np.nan if len(np.unique(y)) < 3 else 1.0), r"make_scorer\(<lambda>"),
    ],
    ids=str,
)
def test_where_a_score_is_not_defined_for_want_of_a_class_scorer_class_and_fold_are_named(
    wine, scoring, name
):
    X, y = wine[0], np.array(["ale", "beer", "cider"])[wine[1]]
    test = np.flatnonzero(y != "beer")[::4]
    splits = [*StratifiedKFold(2).split(X, y), (np.setdiff1d(np.arange(len(y)), test), test)]
    reason = rf"no sample of the classes \['beer'\].* {name}"
    with pytest.raises(ValueError, match=f"for fold 2 and C=0.01.*{reason}"):
        SoftmaxRegressionCV(FEW, cv=splits, scoring=scoring).fit(X, y)

    model = SoftmaxRegressionCV(FEW, cv=splits[:2], scoring=scoring).fit(X, y)
    assert 0 < model.score(X, y) <= 1
    with pytest.raises(ValueError, match=reason):
        model.score(X[test], y[test])


# -- what the folds are given


@pytest.mark.parametrize("p", [25, 40, 200], ids=["some folds separated", "all separated", "wide"])
@pytest.mark.parametrize("Cs", [[np.inf], [0.1, np.inf]], ids=["alone", "after a ridge"])
def test_without_a_penalty_a_fold_knows_nothing_of_what_it_is_scored_on(rng, p, Cs):
    """Where there are many solutions, or none, the one that is found depends on where the search begins.

    Labels that no feature predicts are known to one in three, by models that are those of the training parts
    alone to rounding, which the end of a search without a minimum multiplies: 1e-6 of what they say.
    """
    X, y = rng.normal(size=(60, p)), np.arange(60) % 3
    cv = list(StratifiedKFold(5).split(X, y))
    with pytest.warns(ConvergenceWarning, match="separated"):
        model = SoftmaxRegressionCV(Cs, cv=cv, scoring="accuracy").fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        alone = [SoftmaxRegression(np.inf).fit(X[train], y[train]) for train, _ in cv]

    for k, (fit, (_, test)) in enumerate(zip(alone, cv, strict=True)):
        coef = model.coefs_paths_[k, 0, -1, :, :-1]
        assert_allclose(coef, fit.coef_, rtol=0, atol=1e-6 * np.abs(fit.coef_).max())
        assert model.cv_results_["score"][-5:][k] == fit.score(X[test], y[test])


def test_without_a_penalty_the_folds_of_wide_data_have_the_least_norm(rng):
    """Soft targets are met exactly by many; the least of them is in the row space of the training part.

    Both minima are exact to tol, and the condition of the rows is below 2**4.
    """
    X, votes = rng.normal(size=(60, 200)), rng.dirichlet([2, 2, 2], size=60)
    cv = list(KFold(5).split(X))
    model = SoftmaxRegressionCV([0.1, np.inf], cv=cv, tol=TIGHT).fit(X, votes)

    for k, (train, _) in enumerate(cv):
        alone = SoftmaxRegression(np.inf, tol=TIGHT).fit(X[train], votes[train])
        assert_allclose(model.coefs_paths_[k, 0, -1, :, :-1], alone.coef_, rtol=0, atol=2**4 * TIGHT)


# -- training parts without a class


def lacking(y):
    """Three folds: one of all classes to fit to, one without the class 2, one without the class 0."""
    rows = np.arange(len(y))
    parts = [np.flatnonzero(y == 2), np.flatnonzero(y == 0)]
    return [(rows[::2], rows[1::2]), *((np.setdiff1d(rows, part)[::2], rows[::3]) for part in parts)]


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("shape", ["tall", "wide", "soft", "weighted"])
def test_a_training_part_without_a_class_is_fitted_as_the_same_samples_with_weight(
    wine, rng, shape, fit_intercept, l1_ratio
):
    """All samples outside the part have no weight in a fit of their own. Both are within tol of one optimum,
    so that by Pinsker's inequality the mean square of a probability's difference is bounded as below.
    """
    X, y = StandardScaler().fit_transform(wine[0]), wine[1]
    X = np.column_stack([X, rng.normal(size=(len(y), 400))]) if shape == "wide" else X
    weights = rng.integers(1, 4, len(y)) if shape == "weighted" else np.ones(len(y))
    target = np.eye(3)[y] if shape == "soft" else y
    folds, tol = lacking(y), 1e-7
    options = {"fit_intercept": fit_intercept, "tol": tol}
    model = SoftmaxRegressionCV(FEW, cv=folds, l1_ratios=[l1_ratio], **options)
    with pytest.warns(UserWarning, match="training part") as caught:
        model.fit(X, target, sample_weight=weights)

    messages = [str(warning.message) for warning in caught]
    assert [words[:73] for words in messages] == [
        f"The training part of fold {k} has no sample of the classes [{c}]. Its model gi"[:73]
        for k, c in ((1, 2), (2, 0))
    ]
    assert all(("300 nats" in words) == fit_intercept for words in messages)
    assert model.cv_results_["converged"].all()
    for k, (train, test) in enumerate(folds):
        inside = np.isin(np.arange(len(y)), train)
        for j, C in enumerate(FEW):
            alone = SoftmaxRegression(C=C, l1_ratio=l1_ratio, **options).fit(X, target, weights * inside)
            fold = SoftmaxRegression()
            coef, p = model.coefs_paths_[k, 0, j], X.shape[1]
            fold.coef_, fold.intercept_ = coef[:, :p], coef[:, p] if fit_intercept else np.zeros(3)
            fold.classes_, fold.n_features_in_ = model.classes_, p
            off = np.abs(fold.predict_proba(X[train]) - alone.predict_proba(X[train])).max(axis=1)
            assert np.sqrt(np.average(off**2, weights=weights[train])) <= 2 * np.sqrt(UNEQUAL) * tol
            lost = {1: 2, 2: 0}.get(k)
            if fit_intercept and lost is not None:
                others = np.delete(fold.intercept_, lost).mean()
                assert_allclose(fold.intercept_[lost] - others, -300, rtol=1e-12)
                assert_array_equal(fold.coef_[lost], 0)
            score = neg_cross_entropy_scorer if shape == "soft" else get_scorer("neg_log_loss")
            expected = score(fold, X[test], target[test], sample_weight=weights[test])
            assert_allclose(model.cv_results_["score"][3 * j + k], expected, rtol=1e-9)


def test_a_training_part_without_a_class_changes_no_other_fold_whatever_the_threads(wine):
    X, y = wine
    folds = lacking(y)
    with pytest.warns(UserWarning, match="training part"):
        one, two = (SoftmaxRegressionCV(FEW, cv=folds, n_jobs=n).fit(X, y) for n in (1, 3))
    alone = SoftmaxRegressionCV(FEW, cv=[folds[0], folds[0]]).fit(X, y)

    assert_array_equal(one.coefs_paths_, two.coefs_paths_)
    assert_array_equal(one.coefs_paths_[0], alone.coefs_paths_[0])
    assert_array_equal(one.coef_, alone.coef_)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_a_training_part_of_one_of_two_classes_is_fitted_as_that_class_with_weight_alone(
    wine, fit_intercept, l1_ratio
):
    """With an intercept certain of it by 300 nats; without, as far as the penalty lets it be."""
    X, y = StandardScaler().fit_transform(wine[0]), np.minimum(wine[1], 1)
    only = np.flatnonzero(y == 1)
    folds, options = [(only, np.arange(len(y))), (np.arange(len(y)), only)], {"fit_intercept": fit_intercept}
    model = SoftmaxRegressionCV(FEW, cv=folds, l1_ratios=[l1_ratio], tol=1e-8, **options)
    with pytest.warns(UserWarning, match=r"fold 0 has no sample of the classes \[0\]"):
        model.fit(X, y)

    for j, C in enumerate(FEW):
        alone = SoftmaxRegression(C=C, l1_ratio=l1_ratio, tol=1e-8, **options).fit(X, y, y == 1)
        row = alone.coef_[0] if not fit_intercept else np.append(alone.coef_, alone.intercept_)
        assert_allclose(model.coefs_paths_[0, 0, j, 0], row, rtol=0, atol=1e-6)
    assert (model.coefs_paths_[0, 0, :, 0, -1] == 300).all() == fit_intercept


# -- the rules


def test_the_one_standard_error_rule_takes_the_smallest_c_near_enough_with_the_best_one_s_l1_ratio():
    scores = {
        "C": np.tile([0.1, 1.0, 10.0], 2),
        "l1_ratio": np.repeat([0.0, 0.5], 3),
        "mean": np.array([-0.50, -0.49, -0.6, -0.52, -0.42, -0.40]),
        "standard_error": np.array([0.1, 0.1, 0.1, 0.1, 0.1, 0.05]),
    }

    assert choose(scores) == (5, 4)
    assert choose(scores | {"standard_error": np.full(6, 0.2)}) == (5, 3)
    assert choose(scores | {"standard_error": np.zeros(6)}) == (5, 5)
    assert choose(scores | {"standard_error": np.full(6, np.nan)}) == (5, 5)
    assert choose(scores | {"mean": np.full(6, -0.5)}) == (0, 0)


@pytest.mark.parametrize("rule", ["best", "one_standard_error"])
def test_both_choices_are_visible_and_the_rule_s_is_fitted(wine, rule):
    X, y = wine
    model = SoftmaxRegressionCV(np.geomspace(1e-3, 1e3, 7), rule=rule, tol=1e-6).fit(X, y)
    table = pd.DataFrame(model.scores_)
    folds = pd.DataFrame(model.cv_results_).groupby("C")["score"]
    best, near = table.loc[model.best_index_], table.loc[model.one_standard_error_index_]
    again = SoftmaxRegression(C=model.C_, tol=1e-6).fit(X, y)

    assert_allclose(table["mean"], folds.mean())
    assert_allclose(table["standard_error"], folds.sem())
    assert best["mean"] == table["mean"].max()
    assert near["C"] == table.loc[table["mean"] >= best["mean"] - best["standard_error"], "C"].min()
    assert near["C"] < best["C"]
    assert (best if rule == "best" else near)["C"] == model.C_
    # both within tol of one optimum: Pinsker's inequality, for the mean square
    off = np.abs(model.predict_proba(X) - again.predict_proba(X)).max(axis=1)
    assert np.sqrt(np.mean(off**2)) <= 2 * np.sqrt(UNEQUAL) * 1e-6


# -- the temperature


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("rule", ["best", "one_standard_error"])
def test_the_temperature_is_that_of_the_logits_out_of_fold_at_the_chosen_c(wine, n_classes, rule):
    """T moves with the logits, by less than a hundred times the sensitivity of a score."""
    X, y = wine[0], np.minimum(wine[1], n_classes - 1)
    model = SoftmaxRegressionCV(FEW, temperature="cv", rule=rule, tol=TIGHT).fit(X, y)
    chosen = SoftmaxRegression(C=model.C_, tol=TIGHT)
    logits = cross_val_predict(chosen, X, y, cv=5, method="decision_function")
    fit = fit_temperature(logits, y)
    plain = SoftmaxRegressionCV(FEW, rule=rule, tol=TIGHT).fit(X, y)

    assert_allclose(model.temperature_, fit.temperature, rtol=100 * CLOSE)
    assert model.temperature_ != 1
    assert_array_equal(model.scores_["mean"], plain.scores_["mean"])
    assert_array_equal(model.coef_, plain.coef_)
    assert_array_equal(model.predict_proba(X), plain.predict_proba(X, temperature=model.temperature_))


def test_calibration_by_scikit_learn_gives_the_same_temperature(wine):
    """It fits T to the same out-of-fold logits, by its own minimiser."""
    X, y = wine
    model = SoftmaxRegressionCV([0.1], temperature="cv", tol=TIGHT).fit(X, y)
    calibrated = CalibratedClassifierCV(
        SoftmaxRegression(C=0.1, tol=TIGHT), method="temperature", ensemble=False
    ).fit(X, y)

    # scikit-learn's stopping rule for 1/T, a bounded scalar minimisation with an xatol of 64 eps of float64
    # at best, and of the square root of rounding where the likelihood is flat
    assert_allclose(model.predict_proba(X), calibrated.predict_proba(X), rtol=0, atol=1e-6)


def test_a_temperature_that_is_given_counts_in_the_scores(wine):
    X, y = wine
    model = SoftmaxRegressionCV(FEW, temperature=2.0, tol=TIGHT).fit(X, y)
    search = GridSearchCV(
        SoftmaxRegression(tol=TIGHT, temperature=2.0), {"C": FEW}, scoring="neg_log_loss"
    ).fit(X, y)

    assert model.temperature_ == 2.0
    assert_same_choice(model, search)
    assert_allclose(model.predict_proba(X), search.predict_proba(X), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("fitted", [1.0, "cv"])
def test_a_temperature_that_is_set_after_the_fit_is_that_of_the_probabilities(wine, fitted):
    """As for `SoftmaxRegression`, so that what `fit_temperature` has found can be set."""
    X, y = wine
    model = SoftmaxRegressionCV([0.1], temperature=fitted).fit(X, y)
    plain = SoftmaxRegression(C=0.1).fit(X, y)
    for name in ("predict_proba", "predict_log_proba"):
        expected = getattr(model, name)(X, temperature=4.0)
        model.set_params(temperature=4.0)
        assert_array_equal(getattr(model, name)(X), expected)
        plain.set_params(temperature=4.0)
        assert_array_equal(getattr(plain, name)(X), getattr(plain, name)(X, temperature=4.0))
        before = model.set_params(temperature=fitted)
        assert_array_equal(getattr(before, name)(X), getattr(model, name)(X, temperature=model.temperature_))


def test_a_temperature_from_soft_targets_and_from_samples_tested_more_than_once(wine, rng):
    X, y = wine
    T = 0.6 * np.eye(3)[y] + 0.4 * rng.dirichlet(np.ones(3), len(y))
    cv = ShuffleSplit(4, test_size=0.5, random_state=0)
    model = SoftmaxRegressionCV([0.1], cv=cv, temperature="cv", tol=TIGHT).fit(X, T)
    splits = list(cv.split(X))
    logits = [SoftmaxRegression(C=0.1, tol=TIGHT).fit(X[a], T[a]).decision_function(X[b]) for a, b in splits]
    targets = [T[b] for _, b in splits]

    fit = fit_temperature(np.concatenate(logits), np.concatenate(targets))
    assert_allclose(model.temperature_, fit.temperature, rtol=100 * CLOSE)


def test_a_temperature_from_test_parts_without_the_first_class(iris):
    """Out-of-fold logits have a column for it as well."""
    X, y = iris
    tested = np.flatnonzero(y > 0)
    cv = [(np.setdiff1d(np.arange(len(y)), tested[k::3]), tested[k::3]) for k in range(3)]
    model = SoftmaxRegressionCV([0.1], cv=cv, temperature="cv", tol=TIGHT).fit(X, y)
    logits = [SoftmaxRegression(C=0.1, tol=TIGHT).fit(X[a], y[a]).decision_function(X[b]) for a, b in cv]

    fit = fit_temperature(np.concatenate(logits), np.concatenate([y[b] for _, b in cv]), classes=[0, 1, 2])
    assert_allclose(model.temperature_, fit.temperature, rtol=100 * CLOSE)


def test_no_word_on_weights_or_logits_where_the_temperature_alone_is_wanted(rng):
    """Warnings are errors: weights sum to one, and logits of two classes lie between zero and one."""
    X, y = rng.normal(size=(60, 1)), np.arange(60) % 5 > 1
    X[y] += 0.3
    model = SoftmaxRegressionCV([1e-1], temperature="cv").fit(X, y, sample_weight=np.full(60, 1 / 60))
    logits = model.decision_function(X)

    assert logits.min() > 0
    assert logits.max() < 1


# -- what it keeps


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_every_fit_to_a_fold_is_the_optimum_of_its_training_part(wine, n_classes, fit_intercept):
    X, y = wine[0], np.minimum(wine[1], n_classes - 1)
    Cs, tol = [1e-3, 1.0, 1e3], 1e-6
    model = SoftmaxRegressionCV(Cs, cv=3, fit_intercept=fit_intercept, tol=tol).fit(X, y)

    assert model.coefs_paths_.shape == (3, 1, 3, 1 if n_classes == 2 else 3, 13 + fit_intercept)
    for k, (train, _) in enumerate(StratifiedKFold(3).split(X, y)):
        for j, C in enumerate(Cs):
            coef = model.coefs_paths_[k, 0, j]
            fold = SoftmaxRegression()
            fold.coef_, fold.classes_, fold.n_features_in_ = coef[:, :13], model.classes_, 13
            fold.intercept_ = coef[:, 13] if fit_intercept else np.zeros(len(coef))
            best = optimum(X[train], y[train], C=C, fit_intercept=fit_intercept)
            rounding = logit_rounding(fold, X[train])
            assert best.excess(fold, X[train]) <= UNEQUAL * (tol + rounding) ** 2


@pytest.mark.parametrize("outlier", [1e6, 1e9, 1e12, 1e150])
def test_an_outlier_in_the_test_part_plays_no_part_in_the_fit(wine, outlier):
    """Its column has 1e6 to 1e150 times the spread in all data, in whose coordinates the fold's coefficient
    would be zero to rounding. The full fit itself may not converge: the variance of the other entries is
    below the rounding of this one."""
    X, y = wine[0].copy(), wine[1]
    X[0, 3] = outlier
    rows, Cs, tol = np.arange(len(X)), [1e-3, 1.0, 1e3], 1e-6
    train, test = rows[rows % 4 > 0], rows[rows % 4 == 0]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ". of 9 fits did not converge", ConvergenceWarning)
        model = SoftmaxRegressionCV(Cs, cv=[(train, test)] * 2, scoring="accuracy", tol=tol).fit(X, y)

    assert model.cv_results_["converged"].all()
    for j, C in enumerate(Cs):
        fold = fold_model(model, 0, j, C)
        best = optimum(X[train], y[train], C=C)
        assert best.excess(fold, X[train]) <= UNEQUAL * (tol + logit_rounding(fold, X[train])) ** 2


def test_the_results_are_tidy_tables(iris):
    model = SoftmaxRegressionCV([10.0, 0.1], cv=3).fit(*iris)
    results, scores = pd.DataFrame(model.cv_results_), pd.DataFrame(model.scores_)

    assert list(results.columns) == ["C", "l1_ratio", "fold", "score", "evaluations", "seconds", "converged"]
    assert_array_equal(results["C"], [0.1] * 3 + [10.0] * 3)
    assert_array_equal(results["fold"], [0, 1, 2] * 2)
    assert (results["l1_ratio"] == 0).all()
    assert results["converged"].all()
    assert (results[["evaluations", "seconds"]] > 0).all(axis=None)
    assert list(scores.columns) == ["C", "l1_ratio", "mean", "standard_error"]
    assert_array_equal(scores["C"], model.Cs_)
    assert_array_equal(model.Cs_, [0.1, 10.0])
    assert model.path_evaluations_.shape == (1, 2)
    assert model.l1_ratio_ == 0
    assert results.pivot(index="fold", columns="C", values="score").shape == (3, 2)


def test_the_default_grid_is_that_of_the_path_of_all_data(wine):
    assert_array_equal(SoftmaxRegressionCV(5).fit(*wine).Cs_, regularization_path(*wine, Cs=5).Cs)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_without_refit_the_coefficients_are_the_mean_of_the_folds(wine, fit_intercept):
    X, y = wine
    model = SoftmaxRegressionCV(FEW, refit=False, fit_intercept=fit_intercept).fit(X, y)
    refitted = SoftmaxRegressionCV(FEW, fit_intercept=fit_intercept).fit(X, y)
    mean = model.coefs_paths_[:, 0, FEW.index(model.C_)].mean(axis=0)

    assert model.C_ == refitted.C_
    assert_array_equal(model.coef_, mean[:, :13])
    assert_array_equal(model.intercept_, mean[:, 13] if fit_intercept else np.zeros(3))
    assert not np.array_equal(model.coef_, refitted.coef_)
    assert model.converged_


@pytest.mark.parametrize("cv", [3, [(np.arange(0, 1797, 2), np.arange(1, 1797, 2))]], ids=["folds", "one"])
def test_the_number_of_threads_changes_no_bit(cv):
    X, y = datasets.load_digits(return_X_y=True)
    one, *others = (
        SoftmaxRegressionCV([1e-4, 1e-3, 0.01, 0.1], cv=cv, n_jobs=n_jobs).fit(X, y) for n_jobs in (1, 2, 7)
    )

    for other in others:
        assert_array_equal(one.coefs_paths_, other.coefs_paths_)
        assert_array_equal(one.coef_, other.coef_)
        assert_array_equal(one.cv_results_["score"], other.cv_results_["score"])
        assert_array_equal(one.cv_results_["evaluations"], other.cv_results_["evaluations"])


def test_folds_cost_fewer_evaluations_than_fits_of_their_own(wine):
    X, y = wine
    Cs = np.logspace(-4, 4, 10)
    model = SoftmaxRegressionCV(Cs).fit(X, y)
    alone = sum(
        SoftmaxRegression(C=C).fit(X[train], y[train]).solution_.evaluations
        for C in Cs
        for train, _ in StratifiedKFold(5).split(X, y)
    )

    assert model.cv_results_["evaluations"].sum() < alone


def test_float32_stays_float32_and_scores_as_float64_does_to_its_rounding(wine):
    """Coefficients are rounded to float32 after a fit in float64: logits of the rounding's bound, twice."""
    X, y = wine[0].astype(np.float32), wine[1]
    single, double = (SoftmaxRegressionCV(FEW, tol=TIGHT).fit(Z, y) for Z in (X, X.astype(np.float64)))

    assert single.coef_.dtype == single.coefs_paths_.dtype == single.predict_proba(X).dtype == np.float32
    assert_array_equal(single.cv_results_["evaluations"], double.cv_results_["evaluations"])
    rounding = max(
        logit_rounding(fold_model(single, k, j, C), X) for k in range(5) for j, C in enumerate(FEW)
    )
    assert_allclose(single.scores_["mean"], double.scores_["mean"], rtol=0, atol=2 * rounding)
    assert single.C_ == double.C_


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csc_matrix, np.asfortranarray])
def test_the_storage_of_x_changes_no_score(rng, form):
    """Wide data, of 100 x 5000 numbers."""
    X, y, _ = wide_and_sparse(rng)
    stored, plain = (SoftmaxRegressionCV(FEW, cv=3, tol=1e-7).fit(Z, y) for Z in (form(X), X))
    worst = 3 * 1e-7 * np.sqrt(2 * FEW[-1] * len(y)) * np.abs(X).sum(axis=1).max()

    assert stored.C_ == plain.C_
    assert_allclose(stored.scores_["mean"], plain.scores_["mean"], rtol=0, atol=worst)


def test_wide_data_have_the_scores_of_grid_search(rng):
    X, y, _ = more_columns_than_rows(rng)
    model = SoftmaxRegressionCV(FEW, cv=3, tol=TIGHT).fit(X, y)
    search = GridSearchCV(SoftmaxRegression(tol=TIGHT), {"C": FEW}, cv=3, scoring="neg_log_loss")

    assert_same_choice(model, search.fit(X, y))


def test_features_far_from_zero_have_the_folds_of_the_same_features_near_zero(rng):
    """Multiples of 2**-10, shifted by 2**30 exactly: the penalty gamma bounds the distance of two optima
    by ``2 sqrt(2 excess / gamma)``.
    """
    X, y = sample(rng, n=300)
    X, Cs, tol = np.round(X * 2**10) / 2**10, np.array([1e-2, 1.0, 100.0]), 1e-8
    near, far = (SoftmaxRegressionCV(Cs, cv=3, tol=tol).fit(Z, y) for Z in (X, X + 2.0**30))
    distance = np.abs(near.coefs_paths_ - far.coefs_paths_)[..., :3].max(axis=(0, 1, 3, 4))

    assert far.cv_results_["converged"].all()
    assert (distance <= 2 * np.sqrt(UNEQUAL) * tol * np.sqrt(2 * Cs * len(y))).all()


# -- as an estimator among others


def test_feature_names_are_kept_and_no_warning_is_given():
    X, y = datasets.load_wine(return_X_y=True, as_frame=True)
    names = np.array(["ale", "beer", "cider"])[y]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = SoftmaxRegressionCV(FEW, temperature="cv").fit(X, pd.Series(names))
        predicted = model.predict(X)

    assert_array_equal(model.feature_names_in_, X.columns)
    assert_array_equal(model.classes_, ["ale", "beer", "cider"])
    assert set(predicted) == set(names)


@pytest.mark.parametrize("frame", ["pandas", "polars", "numbered"])
def test_a_scorer_gets_the_rows_of_the_frame(frame):
    """And the folds' models know the names of the features, so that none of their methods warns."""
    X, y = datasets.load_wine(return_X_y=True, as_frame=True)
    X.columns = range(13) if frame == "numbered" else X.columns
    first = X.columns[0]
    data = pl.from_pandas(X) if frame == "polars" else X

    def of_the_strong(estimator, X, y):
        assert type(X) is type(data)
        rows = np.asarray(X[first]) > 13
        return accuracy_score(y[rows], estimator.predict(X)[rows])

    def of_the_strong_by_hand(estimator, X, y):
        rows = X[:, 0] > 13
        return accuracy_score(y[rows], estimator.predict(X)[rows])

    model = SoftmaxRegressionCV(FEW, scoring=of_the_strong).fit(data, y.to_numpy())
    by_hand = SoftmaxRegressionCV(FEW, scoring=of_the_strong_by_hand).fit(X.to_numpy(), y.to_numpy())

    assert_array_equal(model.cv_results_["score"], by_hand.cv_results_["score"])
    assert 0 < model.score(data, y.to_numpy()) < 1


@pytest.mark.parametrize("scoring", ["accuracy", "neg_brier_score", neg_cross_entropy_scorer])
def test_scores_of_a_frame_are_those_of_its_array(scoring):
    X, y = datasets.load_wine(return_X_y=True, as_frame=True)
    options = {"Cs": FEW, "scoring": scoring, "temperature": "cv"}
    framed, plain = (SoftmaxRegressionCV(**options).fit(Z, y) for Z in (X, X.to_numpy()))

    assert_array_equal(framed.cv_results_["score"], plain.cv_results_["score"])
    assert framed.temperature_ == plain.temperature_


def test_it_can_be_cloned_and_pickled(iris):
    model = SoftmaxRegressionCV(FEW, temperature="cv", cv=KFold(3, shuffle=True, random_state=0)).fit(*iris)
    again, fresh = pickle.loads(pickle.dumps(model)), clone(model)

    assert fresh.get_params()["Cs"] == FEW
    assert not hasattr(fresh, "coef_")
    assert_array_equal(again.predict_proba(iris[0]), model.predict_proba(iris[0]))
    assert_array_equal(fresh.fit(*iris).coef_, model.coef_)
    assert "C" not in model.get_params()
    assert "warm_start" not in model.get_params()


def test_it_works_in_a_pipeline_and_inside_a_cross_validation(wine):
    X, y = wine
    pipeline = make_pipeline(StandardScaler(), SoftmaxRegressionCV(FEW, cv=3, tol=TIGHT))
    nested = cross_val_score(pipeline, X, y, cv=3)
    by_hand = [
        -log_loss(y[test], clone(pipeline).fit(X[train], y[train]).predict_proba(X[test]))
        for train, test in StratifiedKFold(3).split(X, y)
    ]
    outer = GridSearchCV(SoftmaxRegressionCV(FEW, cv=3), {"rule": ["best", "one_standard_error"]}, cv=3)

    assert_allclose(nested, by_hand, rtol=1e-12)
    assert outer.fit(X, y).best_params_["rule"] in {"best", "one_standard_error"}


# -- with an L1 penalty


def test_l1_ratios_and_cs_are_searched_as_grid_search_does(wine):
    """To 1e-5, which a tol of 1e-7 bounds by the module's word for sensitivities up to 30."""
    X, y = StandardScaler().fit_transform(wine[0]), wine[1]
    model = SoftmaxRegressionCV(FEW, l1_ratios=[0.0, 0.5, 1.0], cv=3, tol=1e-7).fit(X, y)
    grid = {"l1_ratio": [0.0, 0.5, 1.0], "C": FEW}
    search = GridSearchCV(SoftmaxRegression(tol=1e-7), grid, cv=3, scoring="neg_log_loss").fit(X, y)
    by_hand = pd.DataFrame(search.cv_results_).sort_values(["param_l1_ratio", "param_C"])

    assert_allclose(model.scores_["mean"], by_hand["mean_test_score"].astype(float), rtol=0, atol=1e-5)
    assert_array_equal(model.scores_["l1_ratio"], by_hand["param_l1_ratio"].astype(float))
    assert {"C": model.C_, "l1_ratio": model.l1_ratio_} == search.best_params_
    assert model.coefs_paths_.shape == (3, 3, 3, 3, 14)
    assert model.path_evaluations_.shape == (3, 3)


# -- the grid by itself


def wide_and_far(rng, n=80, p=300):
    """Classes that a tenth of the labels belie, in rows eight spreads from zero, more columns than rows."""
    y = np.arange(n) % 3
    X = 0.25 * rng.normal(size=(3, p))[y] + rng.normal(size=(n, p)) + 8
    return X, np.where(rng.random(n) < 0.1, (y + 1) % 3, y)


def shares(rng, n=300):
    """Five parts of a whole, which sum to one."""
    y = np.arange(n) % 3
    parts = rng.gamma(4 * np.array([[2, 1, 1, 1, 1], [1, 2, 1, 1, 1], [1, 1, 2, 1, 1.0]])[y])
    return parts / parts.sum(axis=1, keepdims=True), y


def months(rng):
    """The month of every day of a leap year, by its number and one that says nothing."""
    days = np.arange(366)
    month = np.searchsorted(np.cumsum([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30]), days, side="right")
    return np.column_stack([days + 1.0, rng.permutation(366)]), month


def full_one_hot_block(rng):
    X, y, _ = one_hot_blocks(rng)
    return X, y


def as_many_columns_as_rows(rng):
    X, y = sample(rng, n=40, p=40)
    return X + 5, y


def best(model):
    return float(model.scores_["mean"].max())


@pytest.mark.parametrize("make", [wide_and_far, as_many_columns_as_rows], ids=lambda make: make.__name__)
def test_centring_changes_neither_the_grid_nor_the_scores(rng, make):
    """The limits are found to 1e-6 of their logarithm; scores are within 2 tol of the ones at an optimum."""
    X, y = make(rng)
    here, there = (SoftmaxRegressionCV(cv=3).fit(Z, y) for Z in (X, X - X.mean(axis=0)))

    assert_allclose(there.Cs_, here.Cs_, rtol=1e-5)
    assert_allclose(there.scores_["mean"], here.scores_["mean"], rtol=0, atol=1e-3)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
@pytest.mark.parametrize("unit", [2.0**-10, 2.0**7])
def test_the_grid_follows_the_units_where_features_determine_each_other(rng, unit, l1_ratio):
    """By their square for ridge, by themselves for the lasso: powers of two round nothing."""
    X, y = shares(rng)
    here, there = (SoftmaxRegressionCV(l1_ratios=[l1_ratio], cv=3).fit(Z, y) for Z in (X, unit * X))

    assert_allclose(there.Cs_ * unit ** (2 - l1_ratio), here.Cs_, rtol=1e-5)
    assert_allclose(there.scores_["mean"], here.scores_["mean"], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    "make",
    [wide_and_far, shares, months, full_one_hot_block, as_many_columns_as_rows],
    ids=lambda make: make.__name__,
)
def test_a_grid_ten_decades_wider_has_no_better_score(rng, make):
    """By more than 0.003 nats, or a fifth of a standard error: half a decade from the best C costs less."""
    X, y = make(rng)
    model = SoftmaxRegressionCV(cv=3).fit(X, y)
    ends = np.log10(model.Cs_[[0, -1]] * [1e-4, 1e6])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # where next to no penalty is left
        wider = SoftmaxRegressionCV(np.logspace(*ends, int(2 * np.ptp(ends))), cv=3, max_iter=100).fit(X, y)

    error = wider.scores_["standard_error"][wider.best_index_]
    assert best(wider) - best(model) <= max(3e-3, 0.2 * error)


def test_the_grid_that_is_advised_after_a_coarse_one_has_a_better_score_inside(rng):
    """Features in mixed units have grids of some twenty decades. Of the finer one nothing is warned."""
    Z = rng.normal(size=(400, 4))
    y = (Z @ rng.normal(size=(4, 3)) + rng.gumbel(size=(400, 3))).argmax(axis=1)
    X = Z * [1e6, 1e3, 1, 1e-3]
    with pytest.warns(UserWarning, match="steps are of .* decades") as warned:
        coarse = SoftmaxRegressionCV(4, cv=3).fit(X, y)
    limits = re.search(r"np\.logspace\((.*?), (.*?), (.*?)\)", str(warned[0].message)).groups()
    finer = SoftmaxRegressionCV(np.logspace(*map(int, limits)), cv=3).fit(X, y)

    assert best(finer) > best(coarse)
    assert finer.C_ < coarse.C_


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_the_grid_of_a_lasso_begins_where_no_fold_has_a_feature_though_all_are_noise(l1_ratio, seed):
    """With so few samples some fold has a larger gradient than all data."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(45, 5)), np.arange(45) % 3
    cv = list(StratifiedKFold(3, shuffle=True, random_state=seed).split(X, y))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the ends of grids
        model = SoftmaxRegressionCV(l1_ratios=[l1_ratio], cv=cv).fit(X, y)

    assert not model.coefs_paths_[:, 0, 0, :, :-1].any()
    assert model.coefs_paths_[:, 0, 3, :, :-1].any()


def test_a_grid_of_ones_own_ends_where_it_ends(wine):
    """Without a word: warnings are errors here."""
    assert SoftmaxRegressionCV([1e-6, 1e-5], cv=3).fit(*wine).C_ == 1e-5
