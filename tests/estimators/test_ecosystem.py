"""Inside scikit-learn's machinery, and next to pandas, polars, joblib and skops."""

import copy
import io
import os
import pickle
import subprocess
import sys
from types import ModuleType

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import skops.io
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special
from sklearn import config_context, datasets
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    learning_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.utils.class_weight import compute_sample_weight

import smreg
from smreg import SoftmaxRegression
from smreg.metrics import neg_cross_entropy_scorer

EPS = np.finfo(np.float64).eps
TIGHT = 1e-10  # a tol that is far above rounding, and far below anything that a mistake would do

FRAMES = {
    "pandas": lambda X, names: pd.DataFrame(X, columns=names),
    "polars": lambda X, names: pl.DataFrame(X, schema=names),
}
frames = pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())


def assert_same_optimum(p, q, tol, weights=None):
    """Two fits of one objective, each within `tol` of the optimum in the Fisher metric.

    A step of norm tol has a weighted mean over the samples of ``Var_p(d eta)`` of at most tol**2, and
    ``|d p_k| = |Cov_p(1_k, d eta)| <= sqrt(Var_p(d eta)) / 2``. So each fit is off by at most tol / 2
    in the root mean square of the probabilities, and two fits differ by at most tol.
    """
    largest = np.abs(np.asarray(p) - np.asarray(q)).max(axis=1)
    assert np.sqrt(np.average(largest**2, weights=weights)) <= tol


def logit_rounding(logits):
    """What rounding may do to probabilities, or to log-probabilities, of `logits`.

    They are products and sums of a few terms, each rounded by EPS of its magnitude; a change of the
    logits by d changes log-probabilities by at most 2 d, and probabilities by less.
    """
    return 16 * EPS * (1 + np.abs(logits).max())


@pytest.fixture
def model(wine):
    return SoftmaxRegression().fit(*wine)


@pytest.fixture
def mixed_columns(rng):
    """A table with a column of strings, numbers with gaps among them, and string labels."""
    n = 300
    hue = rng.choice(["red", "green", "blue"], size=n)
    size, weight = rng.normal(size=n), rng.normal(1e4, 10.0, size=n)
    latent = np.c_[size, (hue == "red") - size, (weight - 1e4) / 10]
    y = np.array(["apple", "pear", "plum"])[(latent + rng.gumbel(size=(n, 3))).argmax(axis=1)]
    size[rng.random(n) < 0.1] = np.nan
    return pd.DataFrame({"hue": hue, "size": size, "weight": weight}), y


# -- pipelines and columns


def test_a_pipeline_over_mixed_columns_is_the_fit_to_the_transformed_matrix(mixed_columns):
    X, y = mixed_columns
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["hue"]), (numbers, ["size", "weight"])
    )
    pipeline = make_pipeline(columns, SoftmaxRegression()).fit(X, y)
    transformed = clone(columns).fit_transform(X)
    direct = SoftmaxRegression().fit(transformed, y)

    assert_array_equal(pipeline.predict_proba(X), direct.predict_proba(transformed))
    assert set(pipeline.predict(X)) == {"apple", "pear", "plum"}
    assert_allclose(pipeline.predict_proba(X.assign(hue="unseen")).sum(axis=1), 1, rtol=4 * EPS)


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_a_pipeline_s_set_output_gives_names_and_changes_no_probability(wine, output):
    X, y = wine
    bunch = datasets.load_wine(as_frame=True)
    arrays = make_pipeline(StandardScaler(), SoftmaxRegression(tol=TIGHT)).fit(X, y)
    framed = make_pipeline(StandardScaler(), SoftmaxRegression(tol=TIGHT)).set_output(transform=output)
    framed.fit(bunch.data, y)

    assert_array_equal(framed[-1].feature_names_in_, bunch.feature_names)
    assert_same_optimum(framed.predict_proba(bunch.data), arrays.predict_proba(X), TIGHT)


@frames
def test_frames_give_feature_names_and_the_same_fit_as_arrays(wine, frame):
    X, y = wine
    names = [f"f{j}" for j in range(X.shape[1])]
    framed = SoftmaxRegression(tol=TIGHT).fit(frame(X, names), y)
    plain = SoftmaxRegression(tol=TIGHT).fit(X, y)

    assert_array_equal(framed.feature_names_in_, names)
    assert not hasattr(plain, "feature_names_in_")
    assert_same_optimum(framed.predict_proba(frame(X, names)), plain.predict_proba(X), TIGHT)


@frames
@pytest.mark.parametrize("targets", ["labels", "soft"])
def test_other_columns_than_in_fit_are_an_error_and_missing_names_a_warning(wine, frame, targets):
    X, y = wine
    X = X[:, :3]
    model = SoftmaxRegression().fit(frame(X, list("abc")), y if targets == "labels" else np.eye(3)[y])

    with pytest.raises(ValueError, match="same order"):
        model.predict(frame(X[:, ::-1], list("cba")))
    with pytest.raises(ValueError, match="missing"):
        model.predict_proba(frame(X[:, :2], list("ab")))
    with pytest.raises(ValueError, match="unseen"):
        model.decision_function(frame(X, list("abd")))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)


def test_frames_of_both_libraries_are_interchangeable(wine):
    X, y = wine
    names = [f"f{j}" for j in range(X.shape[1])]
    model = SoftmaxRegression().fit(FRAMES["pandas"](X, names), y)

    assert_array_equal(model.predict(FRAMES["polars"](X, names)), model.predict(FRAMES["pandas"](X, names)))


# -- labels


WORDS = np.array(["ale", "beer", "cider"])
LABELS = {
    "ints from one": (lambda c: c + 1, np.integer),
    "negative ints": (lambda c: c - 7, np.integer),
    "uint8": (lambda c: c.astype(np.uint8), np.integer),
    "huge ints": (lambda c: c + 2**60, np.integer),
    "floats that are integers": (lambda c: c - 1.0, np.floating),
    "strings": (lambda c: WORDS[c], str),
    "object strings": (lambda c: WORDS.astype(object)[c], str),
    "list of strings": (lambda c: WORDS[c].tolist(), str),
    "Series with another index": (lambda c: pd.Series(c, index=c.cumsum() + 9), np.integer),
    "pandas string": (lambda c: pd.Series(WORDS[c], dtype="string"), str),
    "pandas Categorical": (lambda c: pd.Categorical(WORDS[c], categories=WORDS[::-1]), str),
    "pandas Series of categories": (lambda c: pd.Series(WORDS[c]).astype("category"), str),
    "polars ints": (lambda c: pl.Series(c), np.integer),
    "polars strings": (lambda c: pl.Series(WORDS[c]), str),
    "polars Categorical": (lambda c: pl.Series(WORDS[c]).cast(pl.Categorical), str),
    "dates": (lambda c: np.datetime64("2024-01-01") + c, np.datetime64),
}


@pytest.mark.parametrize(("name", "kind"), LABELS.values(), ids=LABELS.keys())
def test_the_names_of_the_classes_come_back_and_change_no_coefficient(wine, name, kind):
    X, codes = wine
    y = name(codes)
    model, coded = SoftmaxRegression().fit(X, y), SoftmaxRegression().fit(X, codes)
    predicted = model.predict(X)

    assert_array_equal(model.classes_, np.unique(np.asarray(y)))
    assert isinstance(predicted[0], kind)
    assert_array_equal(predicted, np.unique(np.asarray(y))[coded.predict(X)])
    assert_array_equal(model.coef_, coded.coef_)
    assert model.score(X, y) == coded.score(X, codes)


def test_labels_that_are_bools_are_predicted_as_bools(wine):
    X, y = wine
    model = SoftmaxRegression().fit(X, y > 0)

    assert model.predict(X).dtype == bool
    assert_array_equal(model.classes_, [False, True])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.linspace(0, 1, 178), "continuous"),
        (np.zeros(178), "only one class: 0"),
        (np.zeros(177), "inconsistent numbers of samples"),
        (None, "requires y"),
        (np.zeros((178, 2, 1)), "dim"),
    ],
)
def test_what_is_no_label_is_refused(wine, y, message):
    with pytest.raises(ValueError, match=message):
        SoftmaxRegression().fit(wine[0], y)


# -- choosing and scoring


def test_the_temperature_can_be_searched_and_changes_scores_but_no_prediction(wine):
    """The log loss of a fold is that of ``softmax(logits / T)``, a mean of rounded terms."""
    X, y = wine
    grid = {"C": [0.1, 1.0], "temperature": [0.5, 1.0, 2.0]}
    folds = list(StratifiedKFold(3).split(X, y))
    scoring = ["neg_log_loss", "accuracy"]
    search = GridSearchCV(SoftmaxRegression(), grid, scoring=scoring, refit="neg_log_loss", cv=folds)
    results = search.fit(X, y).cv_results_
    loss = results["mean_test_neg_log_loss"].reshape(2, 3)
    accuracy = results["mean_test_accuracy"].reshape(2, 3)

    assert np.ptp(accuracy, axis=1).max() == 0
    assert np.abs(np.diff(loss, axis=1)).min() > 0
    assert search.best_index_ == loss.argmax()
    for train, test in folds[:1]:
        logits = SoftmaxRegression(C=0.1).fit(X[train], y[train]).decision_function(X[test])
        by_hand = -log_loss(y[test], special.softmax(logits / 0.5, axis=1))
        assert_allclose(
            results["split0_test_neg_log_loss"][0], by_hand, rtol=0, atol=logit_rounding(logits / 0.5)
        )


@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba", "decision_function"])
def test_cross_val_predict_gives_what_each_fold_s_model_predicts(wine, method):
    X, y = wine
    folds = list(StratifiedKFold(3).split(X, y))
    predicted = cross_val_predict(SoftmaxRegression(), X, y, cv=folds, method=method)

    for train, test in folds:
        fold_model = SoftmaxRegression().fit(X[train], y[train])
        assert_array_equal(predicted[test], getattr(fold_model, method)(X[test]))


def test_a_learning_curve_ends_at_the_cross_validated_score(wine, rng):
    order = rng.permutation(177)  # so that the first half of a fold has all classes
    X, y = wine[0][order], wine[1][order]
    folds = list(KFold(3).split(X, y))
    options = {"cv": folds, "scoring": "neg_log_loss"}
    sizes, _, scores = learning_curve(SoftmaxRegression(), X, y, train_sizes=[0.5, 1.0], **options)

    assert sizes[-1] == len(folds[0][0])
    assert_array_equal(scores[-1], cross_val_score(SoftmaxRegression(), X, y, **options))


def test_a_column_that_is_constant_has_no_permutation_importance(wine):
    X, y = wine
    X = np.c_[X, np.full(len(X), 7.0)]
    model = SoftmaxRegression().fit(X, y)
    importance = permutation_importance(
        model, X, y, scoring=neg_cross_entropy_scorer, n_repeats=3, random_state=0
    ).importances_mean

    assert importance[-1] == 0
    assert importance[:-1].max() > 0


# -- meta-estimators


@pytest.mark.parametrize("n_classes", [2, 3])
def test_calibrating_the_temperature_is_dividing_the_decision_function_by_it(wine, n_classes):
    """scikit-learn's temperature scaling reads `decision_function` as logits, as it should.

    On the same data its optimum can be no worse than T = 1, up to the 64 EPS of its search. For two
    classes scikit-learn 1.9 fits the inverse temperature to the logits ``[-z, z]``, hence the 2.
    """
    X, y = wine
    y = np.minimum(y, n_classes - 1)
    model = SoftmaxRegression(C=0.01).fit(X, y)
    calibrated = CalibratedClassifierCV(FrozenEstimator(model), method="temperature").fit(X, y)
    beta = calibrated.calibrated_classifiers_[0].calibrators[0].beta_ * (2 if n_classes == 2 else 1)
    p = model.predict_proba(X, temperature=1 / beta)

    rounding = logit_rounding(beta * model.decision_function(X))
    assert_allclose(calibrated.predict_proba(X), p, rtol=0, atol=rounding)
    assert log_loss(y, p) <= log_loss(y, model.predict_proba(X)) + 64 * EPS


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("ensemble", [True, False])
def test_calibrated_probabilities_keep_the_classes(wine, method, ensemble):
    X, y = wine
    y = WORDS[y]
    model = CalibratedClassifierCV(SoftmaxRegression(), method=method, ensemble=ensemble, cv=3).fit(X, y)

    assert_array_equal(model.classes_, WORDS)
    assert model.score(X, y) > 0.9  # of 0.99 without calibration; a wrong column would give under 0.4


def test_soft_voting_is_the_mean_of_the_probabilities(wine):
    X, y = wine
    voters = [("weak", SoftmaxRegression(C=1e-3)), ("strong", SoftmaxRegression(C=10.0))]
    votes = VotingClassifier(voters, voting="soft").fit(X, WORDS[y])
    mean = np.mean([voter.fit(X, y).predict_proba(X) for _, voter in voters], axis=0)

    assert_allclose(votes.predict_proba(X), mean, rtol=4 * EPS)


def test_one_against_the_rest_is_a_binary_fit_for_each_class(wine):
    X, y = wine
    rest = OneVsRestClassifier(SoftmaxRegression()).fit(X, y)

    for k, binary in enumerate(rest.estimators_):
        assert_array_equal(binary.coef_, SoftmaxRegression().fit(X, y == k).coef_)


def test_bagging_averages_fits_that_all_converged(wine):
    X, y = wine
    bag = BaggingClassifier(SoftmaxRegression(), n_estimators=5, max_features=0.5, random_state=0).fit(X, y)
    columns = zip(bag.estimators_, bag.estimators_features_, strict=True)

    assert all(model.converged_ for model in bag.estimators_)
    mean = np.mean([model.predict_proba(X[:, features]) for model, features in columns], axis=0)
    assert_allclose(bag.predict_proba(X), mean, rtol=16 * EPS)


META_ESTIMATORS = [
    AdaBoostClassifier(SoftmaxRegression(C=1e-3), n_estimators=5, random_state=0),
    OneVsOneClassifier(SoftmaxRegression()),
    OutputCodeClassifier(SoftmaxRegression(), code_size=4, random_state=0),
    StackingClassifier([("raw", SoftmaxRegression())], final_estimator=SoftmaxRegression(), cv=3),
    make_pipeline(StandardScaler(), SoftmaxRegression(warm_start=True, n_jobs=2)),
]


@pytest.mark.parametrize("meta", META_ESTIMATORS, ids=lambda meta: type(meta).__name__)
def test_meta_estimators_learn_more_than_the_most_frequent_class(wine, meta):
    X, y = wine

    assert clone(meta).fit(X, y).score(X, y) > np.bincount(y).max() / len(y)


def test_self_training_labels_what_the_model_is_sure_of(wine):
    """Of the half without a label most are clear: the threshold is a probability of 3 / 4."""
    X, y = wine
    known = np.arange(len(y)) % 2 == 0
    trained = SelfTrainingClassifier(SoftmaxRegression()).fit(X, np.where(known, y, -1))

    assert (trained.transduction_ == y).mean() > 0.5
    assert_array_equal(trained.transduction_[known], y[known])


@pytest.mark.parametrize("meta", [MultiOutputClassifier, ClassifierChain])
def test_several_outputs_are_fits_one_by_one(wine, meta):
    X, y = wine
    several = meta(SoftmaxRegression()).fit(X, np.c_[y == 1, y == 2])

    assert_array_equal(several.estimators_[0].coef_, SoftmaxRegression().fit(X, y == 1).coef_)


def test_a_threshold_can_be_tuned_for_two_classes(wine):
    X, y = wine
    tuned = TunedThresholdClassifierCV(SoftmaxRegression(), cv=3).fit(X, y == 1)

    assert_array_equal(tuned.predict(X), tuned.estimator_.predict_proba(X)[:, 1] >= tuned.best_threshold_)


def test_selecting_features_goes_by_the_coefficients(wine):
    X, y = wine
    X = StandardScaler().fit_transform(X)
    size = np.abs(SoftmaxRegression().fit(X, y).coef_).sum(axis=0)

    assert_array_equal(SelectFromModel(SoftmaxRegression()).fit(X, y).get_support(), size >= size.mean())


def test_recursive_elimination_drops_the_noise(rng):
    """Coefficients of noise are a few standard errors, of about 2 / sqrt(2000); the others are 3."""
    X = rng.normal(size=(2000, 12))
    y = (3 * X[:, [4, 9]] @ [1, -1] + rng.logistic(size=2000)) > 0
    ranking = RFE(SoftmaxRegression(), n_features_to_select=2).fit(X, y)

    assert_array_equal(np.flatnonzero(ranking.support_), [4, 9])


def test_partial_dependence_of_the_logit_is_a_line(wine):
    """Its slope is the coefficient; differences of logits are as exact as the logits over the step."""
    X, y = wine
    model = SoftmaxRegression().fit(X, y > 0)
    line = partial_dependence(model, X, [6], response_method="decision_function", grid_resolution=5)
    step = np.diff(line["grid_values"][0])

    assert_allclose(
        np.diff(line["average"][0]) / step,
        model.coef_[0, 6],
        rtol=0,
        atol=len(X) * logit_rounding(model.decision_function(X)) / step.min(),
    )


# -- parameters, copies, files


def test_parameters_can_be_read_set_and_cloned():
    model = SoftmaxRegression(C=3.0, temperature=2.0, class_weight={0: 1.0, 1: 2.0})
    parameters = model.get_params()

    assert SoftmaxRegression(**parameters).get_params() == parameters
    assert SoftmaxRegression().set_params(**parameters).get_params() == parameters
    assert clone(model).get_params() == parameters
    with pytest.raises(ValueError, match="Invalid parameter 'c'"):
        model.set_params(c=1.0)
    with pytest.raises(TypeError, match="positional"):
        SoftmaxRegression(1.0, True)


def test_a_clone_keeps_parameters_and_drops_what_was_learnt(wine):
    model = SoftmaxRegression(C=3.0).fit(*wine)

    assert vars(clone(model)) == model.get_params()
    assert {name for name in vars(model) if name not in model.get_params()} == {
        "classes_", "coef_", "converged_", "has_offset_", "intercept_",
        "n_features_in_", "n_iter_", "solution_",
    }  # fmt: skip


def _through_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


def _through_skops(model):
    data = skops.io.dumps(model)
    unknown = skops.io.get_untrusted_types(data=data)
    assert set(unknown) == {"smreg.estimators.estimator.SoftmaxRegression", "smreg.fit.solution.Solution"}
    return skops.io.loads(data, trusted=unknown)


@pytest.mark.parametrize(
    "copied",
    [lambda m: pickle.loads(pickle.dumps(m)), _through_joblib, _through_skops, copy.deepcopy],
    ids=["pickle", "joblib", "skops", "deepcopy"],
)
@pytest.mark.parametrize("targets", ["labels", "soft"])
def test_a_copy_predicts_the_same_and_has_the_same_record(wine, copied, targets):
    X, y = wine
    y = pd.DataFrame(np.eye(3)[y], columns=WORDS) if targets == "soft" else WORDS[y]
    model = SoftmaxRegression(class_weight="balanced").fit(X, y)
    again = copied(model)

    assert again.get_params() == model.get_params()
    assert again.solution_ == model.solution_
    assert_array_equal(again.classes_, model.classes_)
    assert_array_equal(again.predict_log_proba(X), model.predict_log_proba(X))
    assert_array_equal(again.predict(X), model.predict(X))


def test_repr_is_the_call_that_makes_the_estimator():
    model = SoftmaxRegression(C=3.0, class_weight={0: 1.0, 1: 2.0}, warm_start=True)

    assert repr(SoftmaxRegression()) == "SoftmaxRegression()"
    assert eval(repr(model)).get_params() == model.get_params()


def test_the_html_of_a_notebook_shows_parameters_and_what_was_learnt(wine):
    model = SoftmaxRegression(C=3.0)
    unfitted, fitted = model._repr_html_(), model.fit(*wine)._repr_html_()

    assert all(name in unfitted for name in ["SoftmaxRegression", *model.get_params()])
    assert "solution_" in fitted
    assert "Not fitted" in unfitted
    assert "Not fitted" not in fitted


def test_the_package_exports_what_it_says():
    """A name without an underscore that is no module of ours is public, and listed, in order."""
    found = {
        name
        for name, value in vars(smreg).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }

    assert smreg.__all__ == sorted(found)


# -- predictions


@pytest.mark.parametrize("temperature", [1e-3, 0.5, 7.0, 1e6])
def test_probabilities_are_the_softmax_of_the_decision_function_over_the_temperature(
    model, wine, temperature
):
    X, _ = wine
    logits = model.decision_function(X) / temperature
    p = model.predict_proba(X, temperature=temperature)
    log_p = model.predict_log_proba(X, temperature=temperature)

    assert_allclose(p, special.softmax(logits, axis=1), rtol=0, atol=logit_rounding(logits))
    assert_allclose(log_p, special.log_softmax(logits, axis=1), rtol=0, atol=logit_rounding(logits))
    parameter = clone(model).set_params(temperature=temperature).fit(*wine)
    assert_array_equal(parameter.predict_proba(X), p)
    assert_array_equal(parameter.predict_log_proba(X), log_p)


@pytest.mark.parametrize("temperature", [1e-6, 0.5, 1e6])
def test_the_temperature_has_no_part_in_fit_and_predict(model, wine, temperature):
    X, y = wine
    other = SoftmaxRegression(temperature=temperature).fit(X, y)

    assert_array_equal(other.coef_, model.coef_)
    assert_array_equal(other.decision_function(X), model.decision_function(X))
    assert_array_equal(other.predict(X), model.predict(X))


@pytest.mark.parametrize("temperature", [0, -1.0, np.inf, np.nan, "warm", [1.0, 2.0]])
def test_a_temperature_that_is_no_positive_number_is_refused_at_every_entrance(model, wine, temperature):
    X, y = wine
    with pytest.raises(ValueError, match="temperature must be a positive finite number"):
        model.predict_proba(X, temperature=temperature)
    with pytest.raises(ValueError, match="temperature must be a positive finite number"):
        model.set_params(temperature=temperature).predict_log_proba(X)
    with pytest.raises(ValueError, match="'temperature' parameter of SoftmaxRegression must be"):
        SoftmaxRegression(temperature=temperature).fit(X, y)


def test_log_probabilities_are_finite_where_probabilities_are_zero(model, wine):
    X, _ = wine
    p = model.predict_proba(X, temperature=1e-3)
    log_p = model.predict_log_proba(X, temperature=1e-3)
    scaled = model.decision_function(X) / 1e-3

    assert (p == 0).any()
    assert np.isfinite(log_p).all()
    gap = (scaled - scaled.max(axis=1, keepdims=True))[p == 0]  # the largest has log-probability ~ 0
    assert_allclose(log_p[p == 0], gap, rtol=0, atol=np.log(3) + logit_rounding(scaled))


def test_the_decision_function_of_two_classes_is_the_log_odds_of_the_second(wine):
    X, y = wine
    model = SoftmaxRegression().fit(X, WORDS[np.minimum(y, 1)])
    z, log_p = model.decision_function(X), model.predict_log_proba(X)

    assert z.shape == (len(X),)
    assert_allclose(z, log_p[:, 1] - log_p[:, 0], rtol=0, atol=logit_rounding(z))
    assert_allclose(z, X @ model.coef_[0] + model.intercept_[0], rtol=0, atol=logit_rounding(X * model.coef_))
    assert_array_equal(model.predict(X), model.classes_[(z > 0).astype(int)])


# -- metadata routing


@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba"])
def test_a_pipeline_routes_the_temperature_on_request(wine, method):
    X, y = wine
    with config_context(enable_metadata_routing=True):
        final = SoftmaxRegression()
        pipeline = make_pipeline(StandardScaler(), final).fit(X, y)
        with pytest.raises(UnsetMetadataPassedError, match="temperature"):
            getattr(pipeline, method)(X, temperature=3.0)
        getattr(final, f"set_{method}_request")(temperature=True)
        scaled = pipeline[:-1].transform(X)

        assert_array_equal(
            getattr(pipeline, method)(X, temperature=3.0),
            getattr(final, method)(scaled, temperature=3.0),
        )
        assert_array_equal(pipeline.predict(X), final.predict(scaled))


def test_sample_weights_are_routed_on_request(wine, rng):
    X, y = wine
    weights = rng.uniform(0, 2, len(y))
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        final = SoftmaxRegression().set_fit_request(sample_weight=True)
        pipeline = make_pipeline(scaler, final).fit(X, y, sample_weight=weights)
    scaled = StandardScaler().fit_transform(X)

    assert_array_equal(pipeline[-1].coef_, SoftmaxRegression().fit(scaled, y, weights).coef_)
    assert not np.array_equal(pipeline[-1].coef_, SoftmaxRegression().fit(scaled, y).coef_)


# -- warm start


@pytest.mark.parametrize("options", [{}, {"C": 100.0}, {"fit_intercept": False}, {"tol": TIGHT}], ids=str)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_second_fit_from_the_optimum_is_over_after_one_evaluation(wine, options, n_classes):
    """The norm there is that of the first fit's end but for rounding, which may cost a step more."""
    X, y = wine
    model = SoftmaxRegression(warm_start=True, **options).fit(X, np.minimum(y, n_classes - 1))
    first, p = model.solution_, model.predict_proba(X)
    model.fit(X, np.minimum(y, n_classes - 1))

    assert model.converged_
    assert model.solution_.evaluations <= 2 < first.evaluations
    assert_same_optimum(model.predict_proba(X), p, model.tol)


@pytest.mark.parametrize("sparsified", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_warm_start_needs_no_more_than_coefficients_and_classes(wine, n_classes, fit_intercept, sparsified):
    """Set by hand, as from a file: without an intercept there is none to set, else it begins at zero."""
    X, y = wine[0], np.minimum(wine[1], n_classes - 1)
    fitted = SoftmaxRegression(fit_intercept=fit_intercept).fit(X, y)
    model = SoftmaxRegression(fit_intercept=fit_intercept, warm_start=True)
    model.coef_, model.classes_ = fitted.coef_, fitted.classes_
    model = model.sparsify() if sparsified else model
    if not fit_intercept:
        model.n_features_in_ = X.shape[1]
        assert_array_equal(model.predict_proba(X), fitted.predict_proba(X))
    model.fit(X, y)

    assert model.converged_
    assert fit_intercept or model.solution_.evaluations <= 2 < fitted.solution_.evaluations
    assert_same_optimum(model.predict_proba(X), fitted.predict_proba(X), model.tol)


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_coefficients_of_another_shape_are_no_start(wine, rows):
    X, y = wine
    model = SoftmaxRegression(warm_start=True)
    model.coef_, model.classes_ = np.ones((rows, X.shape[1])), np.unique(y)
    model.fit(X, y)

    assert_array_equal(model.coef_, SoftmaxRegression().fit(X, y).coef_)
    del model.classes_
    assert_array_equal(model.fit(X, y).coef_, SoftmaxRegression().fit(X, y).coef_)


@pytest.mark.parametrize("changed", ["samples", "C", "weights", "targets"])
def test_a_warm_start_ends_where_a_cold_one_does(wine, rng, changed):
    X, y = wine
    weights = rng.uniform(0, 2, len(y)) if changed == "weights" else None
    C = 0.1 if changed == "C" else 1.0
    if changed == "targets":
        y = np.where(rng.random(len(y)) < 0.2, rng.permutation(y), y)
    warm = SoftmaxRegression(tol=1e-6, warm_start=True).fit(X[::2], wine[1][::2])
    warm.set_params(C=C).fit(X, y, weights)
    cold = SoftmaxRegression(C=C, tol=1e-6).fit(X, y, weights)

    assert warm.converged_
    assert_same_optimum(warm.predict_proba(X), cold.predict_proba(X), 1e-6, weights)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_a_warm_start_forgets_the_coefficients_of_features_that_are_now_constant(
    wine, n_classes, fit_intercept
):
    X, y = np.array(wine[0]), np.minimum(wine[1], n_classes - 1)
    warm = SoftmaxRegression(warm_start=True, fit_intercept=fit_intercept).fit(X, y)
    learnt = warm.coef_[:, 6]
    X[:, 6] = 0.0
    warm.fit(X, y)

    assert (learnt != 0).all()
    assert_array_equal(warm.coef_[:, 6], 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda X, y: (X, np.minimum(y, 1)),
        lambda X, y: (X, y + 1),
        lambda X, y: (X, WORDS[y]),
        lambda X, y: (X[:, :5], y),
        lambda X, y: (X[:, :5], WORDS[np.minimum(y, 1)]),
    ],
    ids=["fewer classes", "other classes", "named classes", "fewer features", "all"],
)
def test_a_warm_start_with_other_classes_or_features_is_a_cold_one(wine, change):
    model = SoftmaxRegression(warm_start=True).fit(*wine).fit(*change(*wine))

    assert_array_equal(model.coef_, SoftmaxRegression().fit(*change(*wine)).coef_)


@pytest.mark.parametrize(
    ("loader", "C", "factor"),
    [
        ("iris", 1.0, 0.1),
        ("wine", 1.0, 1e3),
        ("breast_cancer", 1.0, 10.0),
        ("iris", 1e4, 1e7),
        ("wine", 1e6, 1e6),
    ],
)
def test_a_warm_start_in_other_units_still_finds_the_optimum(loader, C, factor):
    """However bad a start the old coefficients are, F - F* ~ tol**2 / 2 at the end of either fit.

    The estimate takes the curvature on the way to the optimum to be that at the end: 2 is for that.
    """
    X, y = getattr(datasets, f"load_{loader}")(return_X_y=True)
    warm = SoftmaxRegression(C=C, warm_start=True).fit(X, y).fit(X * factor, y)
    cold = SoftmaxRegression(C=C).fit(X * factor, y)

    assert warm.converged_
    assert abs(warm.solution_.objective - cold.solution_.objective) <= 2 * warm.tol**2 / 2


# -- weights


@pytest.mark.parametrize("class_weight", [{0: 1.0, 1: 3.0, 2: 0.25}, "balanced"], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_class_weights_are_sample_weights(wine, rng, class_weight, weighted):
    """What "balanced" counts are weights; on equal ones it is scikit-learn's."""
    X, y = wine
    weights = rng.uniform(0.5, 2, len(y)) if weighted else np.ones(len(y))
    factors = compute_sample_weight(class_weight, y)
    if class_weight == "balanced":
        mass = np.bincount(y, weights)
        factors = (mass.sum() / (3 * mass))[y]
    by_class = SoftmaxRegression(tol=TIGHT, class_weight=class_weight).fit(X, y, weights)
    by_sample = SoftmaxRegression(tol=TIGHT).fit(X, y, weights * factors)

    if not weighted:
        assert_allclose(factors, compute_sample_weight(class_weight, y), rtol=4 * EPS)
    assert_same_optimum(by_class.predict_proba(X), by_sample.predict_proba(X), TIGHT, weights * factors)


# -- threads


def test_fits_in_threads_are_the_fits_one_after_the_other(wine):
    strengths = np.logspace(-3, 3, 12)
    models = [SoftmaxRegression(C=C, n_jobs=1 + i % 2) for i, C in enumerate(strengths)]
    tasks = (joblib.delayed(clone(model).fit)(*wine) for model in models)
    together = joblib.Parallel(n_jobs=4, backend="threading")(tasks)

    for concurrent, model in zip(together, models, strict=True):
        assert_array_equal(concurrent.coef_, model.fit(*wine).coef_)


OVERLAP = """
import threading
from concurrent.futures import ThreadPoolExecutor

from sklearn.datasets import load_wine
from threadpoolctl import threadpool_info

from smreg import SoftmaxRegression


class Pause:
    def __init__(self):
        self.reached, self.go_on = threading.Event(), threading.Event()

    def setup(self, estimator, context): pass
    def teardown(self, estimator, context): pass
    def on_fit_task_begin(self, estimator, context): pass

    def on_fit_task_end(self, estimator, context):
        self.reached.set()
        assert self.go_on.wait(timeout=60)


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


X, y = load_wine(return_X_y=True)
before = blas_threads()
with ThreadPoolExecutor(2) as pool:
    for ends_first in (0, 1):
        pauses, fits = (Pause(), Pause()), []
        for pause in pauses:
            fits.append(pool.submit(SoftmaxRegression().set_callbacks(pause).fit, X, y))
            assert pause.reached.wait(timeout=60)
        for i in (ends_first, 1 - ends_first):
            pauses[i].go_on.set()
            assert fits[i].result(timeout=60).converged_
        after = blas_threads()
        assert after == before, f"fit {ends_first} ended first: BLAS threads {before} became {after}"
"""


def test_fits_that_overlap_leave_the_number_of_blas_threads_as_it_was():
    """Whichever of two fits ends first, and with the threads that they ran in still there.

    In a process of its own: here the tests hold BLAS to one thread, and who has set that keeps it.
    """
    two_threads = {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", OVERLAP],
        env={**os.environ, **two_threads},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
