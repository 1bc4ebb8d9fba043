"""What a fit reports to scikit-learn's callbacks, and what they may make it do."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from recorder import Recorder
from sklearn import config_context
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smreg import SoftmaxRegression
from smreg.metrics import neg_cross_entropy_scorer

EPS = np.finfo(np.float64).eps


def balanced(n_steps):
    """The hooks of a fit with so many steps."""
    steps = [(event, "step", k) for k in range(n_steps) for event in ("begin", "end")]
    return [
        ("setup", "fit", 0),
        ("begin", "fit", 0),
        *steps,
        ("end", "fit", 0),
        ("teardown", "fit", 0),
    ]


# -- the order of events


@pytest.mark.parametrize("options", [{}, {"C": 100.0, "n_jobs": 2}, {"tol": 1e-10}], ids=str)
@pytest.mark.parametrize("targets", ["labels", "soft"])
def test_every_task_that_begins_ends_and_there_is_one_for_each_step(wine, options, targets):
    X, y = wine
    recorder = Recorder()
    model = SoftmaxRegression(**options).set_callbacks(recorder)
    model.fit(X, y if targets == "labels" else np.eye(3)[y])

    assert recorder.events == balanced(model.n_iter_)
    assert model.n_iter_ > 0


def test_a_fit_without_steps_is_a_task_without_subtasks(wine):
    X, _ = wine
    recorder = Recorder()
    model = SoftmaxRegression(max_iter=0).set_callbacks(recorder)
    model.fit(X, np.full((len(X), 3), 1 / 3))

    assert model.converged_
    assert recorder.events == balanced(0)


def test_callbacks_are_given_the_arguments_of_fit(wine, rng):
    X, y = pd.DataFrame(wine[0]).add_prefix("f"), pd.Series(wine[1])
    weights = rng.uniform(0, 2, len(y))
    recorder = Recorder()
    SoftmaxRegression().set_callbacks(recorder).fit(X, y, sample_weight=weights)

    for seen_X, seen_y, metadata in recorder.seen:
        assert seen_X is X
        assert seen_y is y
        assert metadata["sample_weight"] is weights


@pytest.mark.parametrize("n_classes", [2, 3])
def test_callbacks_are_given_an_estimator_that_predicts_at_every_step(wine, n_classes):
    """Its loss, plus the penalty, is the objective, which no step increases but by its rounding."""
    X, y = wine
    y = np.minimum(y, n_classes - 1)
    recorder = Recorder()
    model = SoftmaxRegression().set_callbacks(recorder).fit(X, y)
    *steps, last = recorder.fitted
    objectives = [
        -step.predict_log_proba(X)[np.arange(len(y)), y].mean() + (step.coef_**2).sum() / (2 * len(y))
        for step in recorder.fitted
    ]

    assert len(steps) == model.n_iter_
    assert_array_equal(last.predict_proba(X), model.predict_proba(X))
    assert_allclose(objectives[-1], model.solution_.objective, rtol=len(y) * EPS)
    assert np.diff(objectives).max() <= len(y) * EPS


# -- stopping


@pytest.mark.parametrize("step", [1, 2, 5])
@pytest.mark.parametrize("options", [{}, {"tol": 0.0}, {"C": 1e6}], ids=str)
def test_a_callback_can_stop_a_fit_without_a_warning(wine, step, options):
    X, y = wine
    recorder = Recorder(stop_at=step)
    model = SoftmaxRegression(**options).set_callbacks(recorder).fit(X, y)

    assert model.n_iter_ == step
    assert model.converged_ is False
    assert model.solution_.reason == "callback"
    assert recorder.events == balanced(step)
    assert_array_equal(recorder.fitted[-1].coef_, model.coef_)
    assert_array_equal(recorder.fitted[-2].coef_, model.coef_)
    assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=4 * EPS)


def test_a_fit_that_was_stopped_can_be_taken_up_again(wine):
    """Both end within tol of the minimum F*: each F - F* ~ tol**2 / 2."""
    X, y = wine
    model = SoftmaxRegression(warm_start=True).set_callbacks(Recorder(stop_at=5)).fit(X, y)
    stopped = model.solution_
    model.set_callbacks().fit(X, y)
    whole = SoftmaxRegression().fit(X, y)

    assert model.converged_
    assert model.solution_.objective < stopped.objective
    assert abs(model.solution_.objective - whole.solution_.objective) <= model.tol**2


def test_a_stop_at_the_step_that_converges_is_convergence(wine):
    n_steps = SoftmaxRegression().fit(*wine).n_iter_
    model = SoftmaxRegression().set_callbacks(Recorder(stop_at=n_steps)).fit(*wine)

    assert model.converged_
    assert model.solution_.reason == "converged"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a fault")], ids=repr)
@pytest.mark.parametrize(
    "error_in", [None, ("setup", "fit"), ("begin", "fit"), ("begin", "step"), ("end", "fit")], ids=str
)
def test_an_exception_leaves_a_fitted_estimator_as_it_was(wine, error, error_in):
    X, y = wine
    model = SoftmaxRegression().fit(X, y)
    before = dict(vars(model))
    recorder = Recorder(stop_at=2, error=error, error_in=error_in)
    with pytest.raises(type(error)):
        model.set_callbacks(recorder).fit(X[:, :4], np.array(["ale", "beer"])[np.minimum(y, 1)])
    after = dict(vars(model.set_callbacks()))

    assert recorder.events[-1] == ("teardown", "fit", 0)
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    assert_array_equal(model.predict(X), SoftmaxRegression().fit(X, y).predict(X))


def test_an_exception_leaves_an_unfitted_estimator_unfitted(wine):
    model = SoftmaxRegression().set_callbacks(Recorder(stop_at=1, error=KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        model.fit(*wine)

    assert vars(model.set_callbacks()) == SoftmaxRegression().get_params()


# -- scikit-learn's own callbacks


@pytest.fixture
def wide_terminal(monkeypatch):
    """Wide enough for the whole line of a progress bar, and without colours."""
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("wide_terminal")
@pytest.mark.parametrize("options", [{}, {"max_iter": 0, "tol": 100.0}], ids=str)
def test_a_progress_bar_ends_at_100_percent(wine, capsys, options):
    SoftmaxRegression(**options).set_callbacks(ProgressBar()).fit(*wine)
    (line,) = capsys.readouterr().out.splitlines()

    assert "SoftmaxRegression - fit" in line
    assert "100%" in line


@pytest.mark.usefixtures("wide_terminal")
def test_a_progress_bar_of_a_search_has_a_line_for_each_fit(wine, capsys):
    """The search, its candidates, two fits for each of them, and the fit with the best."""
    search = GridSearchCV(make_pipeline(SoftmaxRegression()), {"softmaxregression__C": [0.1, 1.0]}, cv=2)
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(*wine)
    lines = capsys.readouterr().out.splitlines()
    fits = [line for line in lines if "SoftmaxRegression - fit" in line]

    assert len(fits) == 2 * 2 + 1
    assert all("100%" in line for line in lines)


FORMS = {
    "arrays": lambda X, y: (X, y),
    "lists": lambda X, y: (X.tolist(), y.tolist()),
    "pandas": lambda X, y: (pd.DataFrame(X).add_prefix("f"), pd.Series(y)),
    "polars": lambda X, y: (pl.DataFrame(X), pl.Series(y)),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("weighted", [False, True])
def test_a_monitor_logs_the_score_of_every_step_and_of_the_end(wine, rng, form, weighted):
    X, y = form(*wine)
    weights = {"sample_weight": rng.uniform(0, 2, len(y))} if weighted else {}
    monitor = ScoringMonitor(scoring=["neg_log_loss", "accuracy"])
    model = SoftmaxRegression().set_callbacks(monitor).fit(X, y, **weights)
    log = monitor.get_logs().data_as_pandas.set_index("task_name")
    steps, end = log.loc["step"], log.loc["fit"]

    assert steps["task_id"].tolist() == list(range(model.n_iter_))
    assert end["neg_log_loss"] == get_scorer("neg_log_loss")(model, X, y, **weights)
    assert end["accuracy"] == model.score(X, y, **weights)
    assert steps["neg_log_loss"].iloc[-1] == end["neg_log_loss"]
    assert steps["neg_log_loss"].iloc[0] < end["neg_log_loss"]


@pytest.mark.parametrize("weighted", [False, True])
def test_a_monitor_takes_the_scorer_of_soft_targets(wine, rng, weighted):
    X, y = wine
    targets = pd.DataFrame(SoftmaxRegression(C=0.01).fit(X, y).predict_proba(X), columns=list("cab"))
    weights = {"sample_weight": rng.uniform(0, 2, len(y))} if weighted else {}
    monitor = ScoringMonitor(scoring={"ce": neg_cross_entropy_scorer})
    model = SoftmaxRegression().set_callbacks(monitor).fit(X, targets, **weights)
    log = monitor.get_logs().data_as_pandas.set_index("task_name")["ce"]

    assert len(log) == model.n_iter_ + 1
    assert log.loc["fit"] == neg_cross_entropy_scorer(model, X, targets, **weights)
    assert log.loc["step"].iloc[0] < log.loc["fit"]


def test_a_monitor_gets_weights_by_metadata_routing(wine, rng):
    X, y = wine
    weights = rng.uniform(0, 2, len(y))
    with config_context(enable_metadata_routing=True):
        scorer = clone(neg_cross_entropy_scorer).set_score_request(sample_weight=True)
        monitor = ScoringMonitor(scoring={"ce": scorer})
        model = SoftmaxRegression().set_fit_request(sample_weight=True).set_callbacks(monitor)
        model.fit(X, y, sample_weight=weights)
        log = monitor.get_logs().data_as_pandas.set_index("task_name")["ce"]

    assert log.loc["fit"] == neg_cross_entropy_scorer(model, X, y, sample_weight=weights)


def test_a_monitor_inside_a_search_logs_every_fit(wine):
    """Two folds for each of two candidates, and the fit with the best."""
    monitor = ScoringMonitor(scoring="neg_log_loss")
    pipeline = make_pipeline(StandardScaler(), SoftmaxRegression().set_callbacks(monitor))
    search = GridSearchCV(pipeline, {"softmaxregression__C": [0.1, 1.0]}, cv=2).fit(*wine)
    log = monitor.get_logs().data_as_pandas
    refit = log[log["task_name"] == "step"].groupby("parent_task_id_path").size()

    assert len(monitor.get_logs("all")) == 1
    assert len(refit) == 2 * 2 + 1
    assert search.best_estimator_[-1].n_iter_ in refit.tolist()


# -- callbacks as part of the estimator


def test_callbacks_change_no_bit_of_the_fit(wine):
    plain = SoftmaxRegression().fit(*wine)
    watched = SoftmaxRegression().set_callbacks(ScoringMonitor(scoring="accuracy"), Recorder())
    watched.fit(*wine)

    assert_array_equal(watched.coef_, plain.coef_)
    assert_array_equal(watched.intercept_, plain.intercept_)
    assert watched.n_iter_ == plain.n_iter_


def test_an_estimator_with_a_monitor_can_be_pickled_and_refitted(wine):
    X, y = wine
    monitor = ScoringMonitor(scoring="neg_log_loss")
    model = SoftmaxRegression().set_callbacks(monitor).fit(X, y).fit(X, y)
    again = pickle.loads(pickle.dumps(model))

    assert len(monitor.get_logs("all")) == 2
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.fit(X, y).n_iter_ == model.n_iter_


# -- verbose


@pytest.mark.parametrize("verbose", [1, True, 3])
def test_verbose_prints_a_line_for_each_step_the_last_with_the_result(wine, capsys, verbose):
    model = SoftmaxRegression(verbose=verbose).fit(*wine)
    lines = capsys.readouterr().out.splitlines()

    assert len(lines) == model.n_iter_ + 1
    assert f"{model.solution_.objective:.9f}" in lines[-2]
    assert lines[-1] == model.solution_.explain(model.tol, model.max_iter)


def test_nothing_is_printed_unasked(wine, capfd):
    SoftmaxRegression(n_jobs=2).fit(*wine).predict(wine[0])

    assert capfd.readouterr() == ("", "")
