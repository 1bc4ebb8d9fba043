"""What a search is given besides the data, what it tells, and what it refuses."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import separated_into_three
from sklearn import config_context, datasets
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.exceptions import ConvergenceWarning, UnsetMetadataPassedError
from sklearn.metrics import accuracy_score, get_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smreg import SoftmaxRegression, SoftmaxRegressionCV
from smreg import model_selection as module
from smreg.metrics import neg_cross_entropy_scorer

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


# -- callbacks


class _Recorder:
    """Notes every hook, and raises an error in one of them."""

    def __init__(self, error=None, error_in=None):
        self.error, self.error_in = error, error_in
        self.events, self.fitted = [], []

    def setup(self, estimator, context):
        self._note("setup", context)

    def teardown(self, estimator, context):
        self._note("teardown", context)

    def on_fit_task_begin(self, estimator, context):
        self._note("begin", context)

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        if fitted_estimator is not None:
            self.fitted.append((context.task_name, fitted_estimator))
        self._note("end", context)

    def _note(self, event, context):
        self.events.append((event, context.task_name, context.task_id))
        if self.error is not None and self.error_in == (event, context.task_name):
            raise self.error


def test_every_candidate_is_a_task_and_every_fold_one_in_it():
    recorder = _Recorder()
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
    recorder = _Recorder()
    model = search(tol=1e-9, temperature="cv").set_callbacks(recorder).fit(X, Y)
    (*candidates, (task, last)) = [fitted for fitted in recorder.fitted if fitted[0] != "fold"]

    assert task == "fit"
    assert_array_equal(last.predict_proba(X), model.predict_proba(X))
    for (_, fitted), C in zip(candidates, CS, strict=True):
        alone = SoftmaxRegression(C=C, tol=1e-9).fit(X, Y)
        # within tol of one optimum: Pinsker's inequality
        off = np.abs(fitted.predict_proba(X) - alone.predict_proba(X)).max(axis=1)
        assert np.sqrt(np.mean(off**2)) <= 3e-9


def test_callbacks_change_no_bit():
    plain, watched = search().fit(X, Y), search().set_callbacks(_Recorder()).fit(X, Y)

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
    recorder = _Recorder(error, error_in)
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
    ({"cv": KFold(3)}, r"The training part of fold 0 has no sample of the classes \[0\]"),
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
    monkeypatch.delattr(module, "PathSearch")

    with pytest.raises((ValueError, TypeError), match=words):
        model.fit(X, Y)
    assert state(model) == before


@pytest.mark.parametrize("scoring", [None, "accuracy", "roc_auc_ovr"])
def test_a_scorer_that_needs_labels_refuses_soft_targets_before_any_work(monkeypatch, scoring):
    model = search(scoring=scoring).fit(X, Y)
    monkeypatch.delattr(module, "PathSearch")

    for call in (model.fit, model.score):
        with pytest.raises(ValueError, match=r"needs labels, but y of shape \(150, 3\) holds soft targets"):
            call(X, SOFT)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_an_error_that_names_the_fold_and_c(value):
    model = search(scoring=lambda estimator, X, y: value if len(y) < 50 else 0.0)
    with pytest.raises(ValueError, match=rf"scoring gave {value} for fold 1 and C=0\.1"):
        model.set_params(cv=[(ORDER, ORDER[:50]), (ORDER, ORDER[:20])]).fit(X, Y)


@pytest.mark.parametrize("value", [np.ones(2), {"a": 1.0}, [1.0]], ids=str)
def test_a_score_that_is_not_a_number_is_an_error(value):
    with pytest.raises(ValueError, match="scoring must give a single number"):
        search(scoring=lambda estimator, X, y: value).fit(X, Y)


def test_a_fold_without_a_class_is_named_with_the_class_as_it_is_called():
    names = np.array(["ale", "beer", "cider"])[Y]
    with pytest.raises(ValueError, match=r"training part of fold 2 has no sample of the classes \['cider'\]"):
        search(cv=[(ORDER, ORDER), (ORDER, ORDER), (ORDER[:100], ORDER[100:])]).fit(X, names)
    weights = np.where((Y == 2) & (ORDER < 130), 0.0, 1.0)
    with pytest.raises(ValueError, match=r"training part of fold 0 has no sample of the classes \[2\]"):
        search(cv=[(ORDER[:130], ORDER[130:])]).fit(X, Y, sample_weight=weights)
    T = pd.DataFrame(np.eye(3)[Y], columns=list("acb"))
    with pytest.raises(ValueError, match=r"training part of fold 0 has no sample of the classes \['b'\]"):
        search(cv=[(ORDER[:100], ORDER[100:])]).fit(X, T)


def test_a_class_of_fewer_samples_than_folds_is_warned_of_and_a_single_one_refused():
    """With two samples every training part has one at least, and the log loss knows the class."""
    rare = Y.copy()
    rare[:2] = 3
    with pytest.warns(UserWarning, match="The least populated class in y has only 2 members"):
        model = search(cv=5).fit(X, rare)
    assert_array_equal(model.classes_, [0, 1, 2, 3])
    assert np.isfinite(model.cv_results_["score"]).all()

    rare[1] = 0
    with (
        pytest.warns(UserWarning, match="The least populated class in y has only 1 members"),
        pytest.raises(ValueError, match=r"has no sample of the classes \[3\]"),
    ):
        search(cv=5).fit(X, rare)


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
