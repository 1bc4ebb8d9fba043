"""The metadata of a search, its reports, and the input that it refuses."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from dask import array as da
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from problems import separated_into_three
from recorder import Recorder
from scipy import sparse
from sklearn import config_context, datasets
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.exceptions import ConvergenceWarning, UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import accuracy_score, get_scorer, make_scorer, rand_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    PredefinedSplit,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smreg import SoftmaxRegression, SoftmaxRegressionCV, TemperatureScaling, calibration_study
from smreg.estimators import path_search
from smreg.metrics import neg_cross_entropy_scorer
from smreg.objective import rowspace

X, Y = datasets.load_iris(return_X_y=True)
CS = [0.1, 1.0]
SOFT = 0.9 * np.eye(3)[Y] + 0.1 / 3


def search(**options):
    return SoftmaxRegressionCV(**{"Cs": CS, "cv": 3} | options)


@pytest.fixture
def weights(rng):
    return rng.uniform(0.1, 3, len(Y))


@pytest.fixture
def groups(rng):
    return rng.integers(0, 12, len(Y))


# -- folds


@pytest.mark.parametrize("kind", [np.asarray, list, pd.Series])
def test_numbers_of_folds_are_a_predefined_split(rng, kind):
    """All that are negative are of rows in no test part; with metadata routing, too."""
    numbers = rng.integers(-2, 4, len(Y))
    expected = search(cv=PredefinedSplit(np.maximum(numbers, -1))).fit(X, Y)
    made = search(cv=kind(numbers)).fit(X, Y)
    with config_context(enable_metadata_routing=True):
        routed = clone(made).fit(X, Y)

    for other in made, routed:
        assert_array_equal(other.coefs_paths_, expected.coefs_paths_)
        assert_array_equal(other.cv_results_["score"], expected.cv_results_["score"])


def test_numbers_of_folds_are_taken_by_all_that_divides_samples(rng):
    numbers = rng.integers(0, 3, len(Y))
    scaled = [TemperatureScaling(SoftmaxRegression(), cv=cv) for cv in (numbers, PredefinedSplit(numbers))]
    studies = [
        calibration_study({"a": SoftmaxRegression()}, X, Y, cv=cv)
        for cv in (numbers, PredefinedSplit(numbers))
    ]

    assert len({model.fit(X, Y).temperature_ for model in scaled}) == 1
    assert_frame_equal(studies[0].table, studies[1].table)


@pytest.mark.parametrize(
    ("cv", "error", "match"),
    [
        (np.arange(7), ValueError, "cv must have a row for each of the 150 samples of X, got 7"),
        (np.full(150, -1), ValueError, "cv must have at least one fold, got none"),
        (da.arange(150), TypeError, r"cv must be in memory here, got a Dask Array: pass cv\.compute\(\)"),
    ],
    ids=["too few", "none", "of Dask"],
)
def test_numbers_of_folds_must_fit_the_samples(cv, error, match):
    model = search(cv=cv)
    with pytest.raises(error, match=match):
        model.fit(X, Y)


# -- metadata


def weighted_log_loss(request=True):
    return get_scorer("neg_log_loss").set_score_request(sample_weight=request)


def test_with_routing_weights_go_where_they_are_asked_for(weights):
    plain = search().fit(X, Y, sample_weight=weights)
    with config_context(enable_metadata_routing=True):
        scorer = weighted_log_loss()
        asked = search(scoring=scorer).fit(X, Y, sample_weight=weights)
        refused = search(scoring=weighted_log_loss(False)).fit(X, Y, sample_weight=weights)
        score = asked.score(X, Y, sample_weight=weights)

    assert_array_equal(asked.cv_results_["score"], plain.cv_results_["score"])
    assert_array_equal(refused.coefs_paths_, plain.coefs_paths_)
    assert (refused.cv_results_["score"] != plain.cv_results_["score"]).all()
    assert score == plain.score(X, Y, sample_weight=weights) == scorer(plain, X, Y, sample_weight=weights)


def test_with_routing_groups_go_to_the_splitter_and_soft_targets_to_their_scorer(weights, groups):
    plain = search(cv=GroupKFold(3)).fit(X, SOFT, sample_weight=weights, groups=groups)
    with config_context(enable_metadata_routing=True):
        scorer = clone(neg_cross_entropy_scorer).set_score_request(sample_weight=True)
        routed = search(cv=GroupKFold(3), scoring=scorer)
        routed.fit(X, SOFT, sample_weight=weights, groups=groups)

    assert_array_equal(routed.cv_results_["score"], plain.cv_results_["score"])


def test_with_routing_what_nobody_asked_for_is_an_error(weights, groups):
    with config_context(enable_metadata_routing=True):
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            search().fit(X, Y, sample_weight=weights)
        with pytest.raises(TypeError, match="groups"):
            search().fit(X, Y, groups=groups)


def test_with_routing_an_outer_cross_validation_passes_groups_on(groups):
    with config_context(enable_metadata_routing=True):
        outer = cross_val_score(
            search(cv=GroupKFold(2)), X, Y, params={"groups": groups}, cv=GroupKFold(3), scoring="accuracy"
        )
    for score, (train, test) in zip(outer, GroupKFold(3).split(X, Y, groups), strict=True):
        model = search(cv=GroupKFold(2)).fit(X[train], Y[train], groups=groups[train])
        assert score == get_scorer("accuracy")(model, X[test], Y[test])


def test_without_routing_other_metadata_are_an_error_and_a_pipeline_passes_weights_and_groups(
    weights, groups
):
    with pytest.raises(ValueError, match=r"fit got the parameters \['colour'\], which need metadata routing"):
        search().fit(X, Y, colour=weights)
    model = search().fit(X, Y)
    with pytest.raises(ValueError, match=r"score got the parameters \['groups'\]"):
        model.score(X, Y, groups=groups)
    params = {"softmaxregressioncv__groups": groups, "softmaxregressioncv__sample_weight": weights}
    pipeline = make_pipeline(StandardScaler(), search(cv=GroupKFold(3))).fit(X, Y, **params)
    alone = search(cv=GroupKFold(3)).fit(pipeline[0].transform(X), Y, sample_weight=weights, groups=groups)

    assert_array_equal(pipeline[-1].cv_results_["score"], alone.cv_results_["score"])


def test_a_single_weight_for_all_changes_neither_scores_nor_choice():
    """It is the penalty that it changes: C is so many times as large."""
    one, two = search().fit(X, Y), search(Cs=np.divide(CS, 2)).fit(X, Y, sample_weight=2.0)

    assert_allclose(two.cv_results_["score"], one.cv_results_["score"], rtol=1e-12)
    assert 2 * two.C_ == one.C_


ROUTED = {
    "asks": (lambda: weighted_log_loss(), {"sample_weight"}),
    "declines": (lambda: weighted_log_loss(False), {"sample_weight"}),
    "unset": (lambda: get_scorer("neg_log_loss"), {"sample_weight"}),
    "a name": (lambda: "neg_log_loss", {"sample_weight"}),
    "alias": (lambda: weighted_log_loss("importance"), {"importance"}),
    "alias by the metric's name": (lambda: weighted_log_loss("importance"), {"sample_weight"}),
    "alias and none": (lambda: weighted_log_loss("importance"), {"importance", "none"}),
    "ours asks": (lambda: ours("neg_log_loss"), {"sample_weight"}),
    "ours alias": (lambda: ours("importance"), {"importance"}),
    "function": (lambda: lambda estimator, X, y: estimator.predict_proba(X).max(), {"sample_weight"}),
}


def ours(alias):
    request = True if alias == "neg_log_loss" else alias
    return clone(neg_cross_entropy_scorer).set_score_request(sample_weight=request)


def outcome(call):
    """What a call gives, or of which kind its error is."""
    try:
        return call()
    except (TypeError, ValueError) as error:
        return type(error)


@pytest.mark.parametrize(("scorer", "names"), ROUTED.values(), ids=ROUTED.keys())
@pytest.mark.parametrize("wrap", [lambda model: model, make_pipeline], ids=["alone", "pipeline"])
@pytest.mark.parametrize("method", ["fit", "score"])
def test_weights_are_routed_as_in_logistic_regression_cv(weights, scorer, names, wrap, method):
    """The scorer alone says what `score` takes. Two fits at their tolerances differ by less than 1e-3."""
    params = {name: None if name == "none" else weights for name in names}
    params = {"sample_weight" if name == "none" else name: value for name, value in params.items()}
    found = []
    with config_context(enable_metadata_routing=True):
        for make in (
            search,
            partial(
                LogisticRegressionCV,
                Cs=CS,
                cv=3,
                l1_ratios=(0.0,),
                use_legacy_attributes=False,
                tol=1e-8,
                max_iter=1000,
            ),
        ):
            model = make(scoring=scorer()).set_fit_request(sample_weight=True)
            pipeline = wrap(model)
            if method == "fit":
                found.append(outcome(lambda: fold_scores(pipeline.fit(X, Y, **params), model)))  # noqa: B023
            else:
                model.fit(X, Y)
                found.append(outcome(lambda: pipeline.score(X, Y, **params)))  # noqa: B023

    if isinstance(found[1], type):
        assert found[0] is found[1]
    else:
        assert_allclose(found[0], found[1], rtol=0, atol=1e-3)


def fold_scores(_, model):
    """Scores by fold, then C."""
    if isinstance(model, SoftmaxRegressionCV):
        return model.cv_results_["score"].reshape(len(CS), 3).T
    return model.scores_[:, 0]


def test_without_routing_a_weight_of_none_is_not_passed_on():
    model = search(scoring=lambda estimator, X, y: 1.0).fit(X, Y, sample_weight=None)

    assert model.score(X, Y, sample_weight=None) == 1


def weightless(estimator, X, y):
    """The mean probability of the first class, a scorer without weights."""
    return float(estimator.predict_proba(X)[:, 0].mean())


@pytest.mark.parametrize(
    "scoring",
    [weightless, "adjusted_rand_score", make_scorer(rand_score), partial(weightless)],
    ids=["function", "name", "scorer", "partial"],
)
def test_a_scorer_that_takes_no_weights_gets_none_with_a_warning(weights, scoring):
    """The fits are weighted, as those of a scorer with weights are."""
    with pytest.warns(UserWarning, match="takes no sample_weight") as caught:
        model = search(scoring=scoring).fit(X, Y, sample_weight=weights)
    plain, function = search().fit(X, Y, sample_weight=weights), get_scorer(scoring)
    fold = SoftmaxRegression()
    fold.coef_, fold.intercept_ = np.split(model.coefs_paths_[0, 0, 0], [4], axis=1)
    fold.intercept_, fold.classes_, fold.n_features_in_ = fold.intercept_[:, 0], model.classes_, 4
    _, test = next(StratifiedKFold(3).split(X, Y))

    assert [warning.filename for warning in caught] == [__file__]
    assert_array_equal(model.coefs_paths_, plain.coefs_paths_)
    assert model.cv_results_["score"][0] == function(fold, X[test], Y[test])
    with pytest.warns(UserWarning, match="takes no sample_weight") as caught:
        assert model.score(X, Y, sample_weight=weights) == function(model, X, Y)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize(
    "scoring",
    [
        lambda estimator, X, y, **params: get_scorer("accuracy")(estimator, X, y, **params),
        make_scorer(lambda y, predicted, **params: accuracy_score(y, predicted, **params)),
    ],
    ids=["scorer", "metric"],
)
def test_a_scorer_that_takes_any_parameters_takes_weights(weights, scoring):
    plain = search(scoring="accuracy").fit(X, Y, sample_weight=weights)
    model = search(scoring=scoring).fit(X, Y, sample_weight=weights)

    assert_array_equal(model.cv_results_["score"], plain.cv_results_["score"])
    assert model.score(X, Y, sample_weight=weights) == plain.score(X, Y, sample_weight=weights)


# -- callbacks


def test_every_candidate_is_a_task_and_every_fold_one_in_it():
    recorder = Recorder()
    search().set_callbacks(recorder).fit(X, Y)
    candidates = [
        [
            ("begin", "candidate", j),
            *[(event, "fold", k) for k in range(3) for event in ("begin", "end")],
            ("end", "candidate", j),
        ]
        for j in range(2)
    ]

    assert recorder.events == [
        ("setup", "fit", 0),
        ("begin", "fit", 0),
        *candidates[0],
        *candidates[1],
        ("end", "fit", 0),
        ("teardown", "fit", 0),
    ]


def test_a_candidate_s_estimator_is_the_fit_to_all_data_and_the_last_the_search_itself():
    recorder = Recorder()
    model = search(tol=1e-9, temperature="cv").set_callbacks(recorder).fit(X, Y)
    ended = [task for event, task, _ in recorder.events if event == "end"]
    fitted = [pair for pair in zip(ended, recorder.fitted, strict=True) if pair[0] != "fold"]
    (*candidates, (task, last)) = fitted

    assert task == "fit"
    assert_array_equal(last.predict_proba(X), model.predict_proba(X))
    for (_, fitted), C in zip(candidates, CS, strict=True):
        alone = SoftmaxRegression(C=C, tol=1e-9).fit(X, Y)
        # within tol of one optimum: Pinsker's inequality
        off = np.abs(fitted.predict_proba(X) - alone.predict_proba(X)).max(axis=1)
        assert np.sqrt(np.mean(off**2)) <= 3e-9


def test_callbacks_change_no_bit():
    plain, watched = search().fit(X, Y), search().set_callbacks(Recorder()).fit(X, Y)

    assert_array_equal(watched.coef_, plain.coef_)
    assert_array_equal(watched.coefs_paths_, plain.coefs_paths_)


def test_a_progress_bar_shows_candidates_and_ends_at_100_percent(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    search().set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()

    assert "SoftmaxRegressionCV - fit" in lines[0]
    assert sum("candidate" in line for line in lines) == 2
    assert all("100%" in line for line in lines)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_monitor_logs_the_score_of_every_candidate_and_of_the_end(weights, weighted):
    monitor = ScoringMonitor(scoring=["neg_log_loss", "accuracy"])
    options = {"sample_weight": weights} if weighted else {}
    model = search().set_callbacks(monitor).fit(X, Y, **options)
    log = monitor.get_logs().data_as_pandas.set_index("task_name")
    candidates, end = log.loc["candidate"], log.loc["fit"]

    assert len(candidates) == 2
    assert end["neg_log_loss"] == get_scorer("neg_log_loss")(model, X, Y, **options)
    assert candidates["neg_log_loss"].iloc[CS.index(model.C_)] == end["neg_log_loss"]
    assert candidates["neg_log_loss"].is_monotonic_increasing  # with C the fit to all data


def test_a_monitor_and_a_progress_bar_work_inside_a_grid_search():
    monitor = ScoringMonitor(scoring="neg_log_loss")
    pipeline = make_pipeline(StandardScaler(), search().set_callbacks(monitor))
    GridSearchCV(pipeline, {"softmaxregressioncv__rule": ["best", "one_standard_error"]}, cv=2).fit(X, Y)
    log = monitor.get_logs().data_as_pandas

    assert (log["task_name"] == "candidate").sum() == 2 * (2 * 2 + 1)


def test_verbose_prints_a_line_for_each_candidate(capsys):
    model = search(verbose=1).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()

    assert [line.split(",")[0] for line in lines] == ["C=0.1", "C=1"]
    assert all(f"{mean:.6g}" in line for mean, line in zip(model.scores_["mean"], lines, strict=True))
    search().fit(X, Y)
    assert capsys.readouterr().out == ""


# -- interruptions


def state(estimator):
    return {name: id(value) for name, value in vars(estimator).items() if name != "_callbacks"}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a fault")], ids=repr)
@pytest.mark.parametrize(
    "error_in",
    [
        ("setup", "fit"),
        ("begin", "fit"),
        ("begin", "candidate"),
        ("end", "fold"),
        ("end", "candidate"),
        ("end", "fit"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("fitted", [True, False])
def test_an_interruption_leaves_the_estimator_as_it_was(error, error_in, fitted):
    model = search(temperature="cv")
    if fitted:
        model.fit(X, Y)
    recorder = Recorder(error=error, error_in=error_in)
    model.set_callbacks(recorder)
    before = state(model)
    with pytest.raises(type(error)):
        model.fit(X[:, :2], np.array(["ale", "beer"])[np.minimum(Y, 1)])

    assert state(model) == before
    assert recorder.events[-1] == ("teardown", "fit", 0)
    if fitted:
        assert_array_equal(model.predict(X), search().fit(X, Y).predict(X))


def test_ctrl_c_in_a_scorer_leaves_a_fitted_estimator_as_it_was():
    calls = []

    def scorer(estimator, X, y):
        calls.append(len(y))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return 1.0

    model = search().fit(X, Y)
    model.set_params(scoring=scorer)
    before = state(model)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X[:, :2], Y)

    assert state(model) == before
    assert len(calls) == 4


# -- bad input


ORDER = np.arange(len(Y))
BAD = [
    ({"Cs": 0}, "Cs"),
    ({"Cs": True}, "Cs must be a number of values or .* got True"),
    ({"Cs": None}, "Cs"),
    ({"Cs": []}, "Cs must be .*1-D"),
    ({"Cs": [[0.1]]}, r"Cs must be .*1-D sequence of positive numbers, got an array of shape \(1, 1\)"),
    ({"Cs": [1.0, -1.0]}, r"Cs must be positive .* got \[-1.0\]"),
    ({"Cs": [1.0, np.nan]}, r"Cs must be positive .* got \[nan\]"),
    ({"Cs": [0.1, 1.0, 0.1]}, r"Cs must be distinct, got \[0.1, 0.1, 1.0\]"),
    ({"Cs": ["1"]}, "Cs must be a number of values or"),
    ({"l1_ratios": 0.5}, "l1_ratios"),
    ({"l1_ratios": []}, "l1_ratios must be a 1-D sequence of numbers from 0 to 1"),
    ({"l1_ratios": [0.0, 1.5]}, r"l1_ratios must be from 0 to 1, got \[0.0, 1.5\]"),
    ({"l1_ratios": [np.nan]}, r"l1_ratios must be from 0 to 1, got \[nan\]"),
    ({"l1_ratios": [0, 0]}, r"l1_ratios must be distinct, got \[0.0, 0.0\]"),
    ({"l1_ratios": ["0.5"]}, "l1_ratios must be a 1-D sequence of numbers from 0 to 1"),
    ({"rule": "first"}, "rule"),
    ({"temperature": 0}, "temperature"),
    ({"temperature": np.inf}, "temperature"),
    ({"temperature": "warm"}, "temperature"),
    ({"scoring": "log loss"}, "scoring"),
    ({"scoring": ["accuracy"]}, "scoring"),
    ({"cv": 1}, "cv"),
    ({"cv": "all"}, "cv"),
    ({"cv": []}, "cv must have at least one fold, got none"),
    ({"cv": [(ORDER, [150])]}, r"cv must give indices of the 150 samples.* fold 0 has \[150\]"),
    ({"cv": [(ORDER, [0]), (ORDER, [-151])]}, r"cv must give indices of the 150 .* fold 1 has \[-151\]"),
    ({"cv": [(ORDER / 2, [0])]}, "cv must give indices of the 150 samples"),
    ({"cv": [(np.ones(100, dtype=bool), [0])]}, "cv must give indices .*, or masks with an entry for each"),
    ({"cv": [(ORDER[:, np.newaxis], [0])]}, r"(?s)fold 0 has .* of shape \(150, 1\)"),
    ({"cv": [(ORDER, [])]}, "The test part of fold 0 has no samples of positive weight"),
    (
        {"cv": [(ORDER, [0]), ([], ORDER)]},
        r"training part of fold 1 has no sample of the classes \[0, 1, 2\]",
    ),
    (
        {"cv": KFold(3), "temperature": "cv"},
        r"The training part of fold 0 has no sample of the classes \[0\], .*class 0 has 50 samples: use",
    ),
    ({"cv": KFold(3), "refit": False}, r"The training part of fold 0 has no sample of the classes \[0\]"),
    ({"cv": StratifiedKFold(60)}, "n_splits=60 needs a class of so many samples, but the largest, 0, has 50"),
    (
        {"cv": [(ORDER, ORDER[:50])], "temperature": "cv"},
        "at least 2 classes in the test parts .* the class 0",
    ),
    ({"cv": GroupKFold(3)}, "groups"),
]


@pytest.mark.parametrize(("bad", "words"), BAD, ids=[words for _, words in BAD])
@pytest.mark.parametrize("fitted", [True, False])
def test_bad_parameters_are_errors_that_say_what_is_wrong_before_any_work(monkeypatch, bad, words, fitted):
    model = search()
    if fitted:
        model.fit(X, Y)
    model.set_params(**bad)
    before = state(model)
    monkeypatch.delattr(path_search, "PathSearch")

    with pytest.raises((ValueError, TypeError), match=words):
        model.fit(X, Y)
    assert state(model) == before


@pytest.mark.parametrize("scoring", [None, "accuracy", "roc_auc_ovr"])
def test_a_scorer_that_needs_labels_refuses_soft_targets_before_any_work(monkeypatch, scoring):
    model = search(scoring=scoring).fit(X, Y)
    monkeypatch.delattr(path_search, "PathSearch")

    for call in (model.fit, model.score):
        with pytest.raises(ValueError, match=r"needs labels, but y of shape \(150, 3\) holds soft targets"):
            call(X, SOFT)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_an_error_that_names_the_fold_and_c(value):
    model = search(scoring=lambda estimator, X, y: value if len(y) < 50 else 0.0)
    with pytest.raises(ValueError, match=rf"scoring gave {value} for fold 1 and C=0\.1"):
        model.set_params(cv=[(ORDER, ORDER[:50]), (ORDER, ORDER[:20])]).fit(X, Y)


@pytest.mark.parametrize("value", [np.ones(2), {"a": 1.0}, [1.0], None, "0.5"], ids=str)
def test_a_score_that_is_not_a_number_is_an_error(value):
    with pytest.raises(ValueError, match="scoring must give a single number"):
        search(scoring=lambda estimator, X, y: value).fit(X, Y)


@pytest.mark.parametrize(
    ("y", "train", "weights", "fold"),
    [
        (np.array(["ale", "beer", "cider"])[Y], ORDER[:100], None, r"\['cider'\]"),
        (Y, ORDER[:130], np.where((Y == 2) & (ORDER < 130), 0.0, 1.0), r"\[2\]"),
        (pd.DataFrame(np.eye(3)[Y], columns=list("acb")), ORDER[:100], None, r"\['b'\]"),
    ],
    ids=["labels", "weights", "soft targets"],
)
def test_a_training_part_without_a_class_is_named_with_the_class_as_it_is_called(y, train, weights, fold):
    """And refused where logits or coefficients of all folds are brought together."""
    options = {"cv": [(ORDER, ORDER), (train, ORDER[130:])], "fit_intercept": False}
    lacks = rf"training part of fold 1 has no sample of the classes {fold}"
    with pytest.warns(UserWarning, match=lacks) as caught:
        search(**options).fit(X, y, sample_weight=weights)

    assert [warning.filename for warning in caught] == [__file__]
    with pytest.raises(ValueError, match=lacks):
        search(**options, refit=False).fit(X, y, sample_weight=weights)
    whole = [(ORDER, ORDER), (train, ORDER)]
    with pytest.raises(ValueError, match=lacks):
        search(**options | {"cv": whole}, temperature="cv").fit(X, y, sample_weight=weights)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_class_of_fewer_samples_than_folds_is_warned_of(n):
    """From two samples on every training part has one at least; of a single one the error names the class."""
    rare = np.append(np.array(["ale", "beer", "cider"])[Y], n * ["mead"])
    with pytest.warns(UserWarning, match=r"least populated|training part") as caught:
        model = search(cv=5).fit(np.append(X, X[:n], axis=0), rare)
    others = [str(warning.message) for warning in caught if "least populated" not in str(warning.message)]

    assert np.isfinite(model.cv_results_["score"]).all()
    assert len(caught) - len(others) == 1
    assert len(others) == (n == 1)
    assert all("no sample of the classes ['mead']" in words for words in others)
    assert all("class 'mead' has 1 sample," in words for words in others)


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_any_classifier_must_know_a_class_of_a_single_sample_which_a_frozen_one_may():
    names = np.append(np.array(["ale", "beer", "cider"])[Y], "mead")
    data = np.append(X, X[:1], axis=0)
    with pytest.raises(ValueError, match=r"class 'mead' has 1 sample, .*leave .* out, or .*FrozenEstimator"):
        TemperatureScaling(SoftmaxRegression(), cv=StratifiedKFold(3)).fit(data, names)

    frozen = FrozenEstimator(SoftmaxRegression().fit(data, names))
    assert TemperatureScaling(frozen).fit(data, names).temperature_ > 0


def test_a_metric_in_place_of_a_scorer_is_refused():
    with pytest.raises(ValueError, match="scor"):
        search(scoring=accuracy_score).fit(X, Y)


def test_fits_that_do_not_converge_are_warned_of_once_where_fit_is_called():
    with pytest.warns(ConvergenceWarning) as caught:
        model = search(max_iter=2).fit(X, Y)

    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert "fits did not converge" in str(caught[0].message)
    assert not model.converged_


def test_separated_classes_without_a_penalty_are_warned_of_and_scored(rng):
    X, y, _ = separated_into_three(rng)
    with pytest.warns(ConvergenceWarning, match="separat"):
        model = search(Cs=[1.0, np.inf]).fit(X, y)

    assert np.isfinite(model.cv_results_["score"]).all()
    assert_array_equal(model.cv_results_["converged"], [True] * 3 + [False] * 3)


def test_a_probability_of_zero_counts_as_the_least_there_is_as_in_scikit_learn():
    """Two classes are on either side of zero, but for one label, far out and not among those fitted to."""
    X, y = np.array([-1.0, -2.0, 1.0, 2.0, 1e3])[:, np.newaxis], np.array([0, 0, 1, 1, 0])
    model = search(Cs=[10.0], cv=[([0, 1, 2, 3], [4])]).fit(X, y)

    assert_array_equal(model.cv_results_["score"], np.log(np.finfo(float).eps))


def expands_wrongly(monkeypatch):
    """From now on a space of rows gives coefficients that are too large by a half."""
    expand = rowspace.RowSpace.expand

    def wrong(self, coef, intercept):
        return expand(self, 1.5 * coef, intercept)

    monkeypatch.setattr(rowspace.RowSpace, "expand", wrong)


@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("n_folds", [1, 3])
def test_a_fold_s_fit_whose_record_is_not_that_of_its_coefficients_is_made_again(
    monkeypatch, wrap, dtype, n_classes, n_folds
):
    """As `test_record` has it for single fits: rows of another order, some twice, and with weights of zero.

    Scores of fits within `tol` differ by at most what the distance of their logits, on some ten rows, allows.
    """
    rng = np.random.default_rng(0)
    y = np.arange(30) % n_classes
    wide = wrap((rng.normal(size=(30, 80)) + y[:, np.newaxis] / 2).astype(dtype))
    order = rng.permutation(30)
    folds = [
        (np.append(np.delete(order, part), order[-1]), order[part]) for part in np.split(np.arange(30), 3)
    ]
    weights = np.where(np.arange(30) % 7 == 0, 0.0, 1.0)
    model = SoftmaxRegressionCV([0.01, 1.0, 10.0], cv=folds[:n_folds], tol=1e-6)
    right = model.fit(wide, y, weights).cv_results_["score"]
    expands_wrongly(monkeypatch)

    again = model.fit(wide, y, weights)

    assert_allclose(again.cv_results_["score"], right, atol=1e-4)
    assert again.cv_results_["converged"].all()
