"""Offsets at the public entries: shapes and names, predictions, routing, scorers, and what is refused.

Laws of the fits are in `tests/laws/test_laws_of_offsets.py`. Fits run at ``tol=1e-10``: two of one model then
differ in logits by at most ``2e-10 sqrt(x' H^-1 x)``, a root that is below a hundred for the data here.
"""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import statsmodels.api as sm
from dask import array as da
from dask import dataframe as dd
from dask.base import is_dask_collection
from numpy.testing import assert_allclose, assert_array_equal
from problems import labels
from scipy import optimize, sparse, special
from sklearn import config_context
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.exceptions import ConvergenceWarning, UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss, make_scorer
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smreg import (
    SoftmaxRegression,
    SoftmaxRegressionCV,
    TemperatureScaling,
    calibration_study,
    regularization_path,
)
from smreg.data import Batches
from smreg.metrics import neg_calibration_error_scorer, neg_cross_entropy_scorer

TIGHT = 1e-10
AGREE = {"rtol": 0, "atol": 1e-8}
METHODS = ["decision_function", "predict", "predict_proba", "predict_log_proba"]


def data(rng, n=150, p=3, n_classes=3):
    """Features, labels and offsets, of which the labels know."""
    X, offset = rng.normal(size=(n, p)), 1.5 * rng.normal(size=(n, n_classes))
    return X, labels(X @ rng.normal(size=(p, n_classes)) + offset, rng), offset


def fit(X, y, offset=None, sample_weight=None, **options):
    return SoftmaxRegression(**{"tol": TIGHT} | options).fit(X, y, sample_weight, offset)


# -- agreement with others


@pytest.mark.parametrize("weighted", [False, True])
def test_two_classes_agree_with_statsmodels(weighted, rng):
    """Its binomial GLM, by iterated least squares until the deviance changes by 1e-14 of itself."""
    X, y, offset = data(rng, n_classes=2)
    weights = rng.integers(1, 4, len(y)).astype(float) if weighted else None
    known = offset[:, 1] - offset[:, 0]
    family = sm.families.Binomial()
    theirs = sm.GLM(y, sm.add_constant(X), family=family, offset=known, freq_weights=weights).fit(tol=1e-14)
    ours = fit(X, y, known, weights, C=np.inf)

    assert_allclose(np.append(ours.intercept_, ours.coef_), theirs.params, rtol=0, atol=1e-7)
    total = len(y) if weights is None else weights.sum()
    assert ours.solution_.objective == pytest.approx(-theirs.llf / total, rel=1e-12)


@pytest.mark.parametrize("C", [0.1, 10.0])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_ridge_penalty_agrees_with_a_plain_minimum(n_classes, C, rng):
    """SciPy's, which ends at a gradient of 1e-9: over the ridge of ``1 / (C n)``, 1.5e-6 off at most."""
    X, y, offset = data(rng, n_classes=n_classes)
    n, p = X.shape
    rows = 1 if n_classes == 2 else n_classes

    def function(theta):
        theta = theta.reshape(rows, p + 1)
        eta = np.column_stack([np.zeros(n), X @ theta[0, :p] + theta[0, p]]) if rows == 1 else 0
        eta = offset + (eta if rows == 1 else X @ theta[:, :p].T + theta[:, p])
        residuals = special.softmax(eta, axis=1) - np.eye(n_classes)[y]
        loss = np.mean(special.logsumexp(eta, axis=1) - eta[np.arange(n), y])
        slope = residuals[:, -rows:].T @ np.column_stack([X, np.ones(n)]) / n
        slope[:, :p] += theta[:, :p] / (C * n)
        return loss + np.sum(theta[:, :p] ** 2) / (2 * C * n), slope.ravel()

    options = {"gtol": 1e-9, "maxiter": 10_000}
    theirs = optimize.minimize(function, np.zeros(rows * (p + 1)), jac=True, options=options)
    ours = fit(X, y, offset, C=C)

    assert_allclose(ours.coef_, theirs.x.reshape(rows, p + 1)[:, :p], rtol=0, atol=2e-6)
    assert ours.solution_.objective == pytest.approx(theirs.fun, rel=1e-12)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_offsets_linear_in_x_shift_coefficients_by_their_centred_part(n_classes, rng):
    """Without a penalty; of two classes the row is that of the second against the first."""
    X, y, offset = data(rng, n_classes=n_classes)
    V = rng.normal(size=(n_classes, X.shape[1]))
    shift = V[1:] - V[:1] if n_classes == 2 else V - V.mean(axis=0)
    model, moved = (fit(X, y, known, C=np.inf) for known in (offset, offset + X @ V.T))

    assert_allclose(moved.coef_, model.coef_ - shift, **AGREE)
    assert_allclose(moved.intercept_, model.intercept_, **AGREE)


def test_poisson_counts_with_exposures_are_multinomial_given_their_total(rng):
    """Three kinds of counts: each kind's row against the first is what Poisson regressions with an effect for
    every sample would have, so that the fitted means of each kind add up to its counts."""
    X, exposure = rng.normal(size=(200, 2)), rng.uniform(0.1, 10.0, (200, 3))
    counts = rng.poisson(exposure * np.exp(X @ rng.normal(size=(2, 3)) / 2)) + 0.0
    counts[counts.sum(axis=1) == 0, 0] = 1.0
    total = counts.sum(axis=1)
    model = fit(X, counts / total[:, np.newaxis], np.log(exposure), total, C=np.inf)

    means = total[:, np.newaxis] * model.predict_proba(X, offset=np.log(exposure))
    assert_allclose(means.sum(axis=0), counts.sum(axis=0), rtol=1e-9)
    assert_allclose(means.T @ X, counts.T @ X, rtol=0, atol=1e-6)


# -- shapes and names


def test_for_two_classes_one_column_is_that_of_the_second_against_the_first(rng):
    """Whatever the first one is: differences of eighths are exact."""
    X, y, _ = data(rng, n_classes=2)
    offset = rng.integers(-16, 17, (len(y), 2)) / 8
    pairs, single = fit(X, y, offset), fit(X, y, offset[:, 1] - offset[:, 0])

    assert_array_equal(pairs.coef_, single.coef_)
    for method in METHODS:
        one = getattr(pairs, method)(X, offset=offset)
        assert_array_equal(one, getattr(single, method)(X, offset=offset[:, 1] - offset[:, 0]))


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, pa.table])
def test_the_columns_of_a_frame_are_matched_to_the_classes_by_name(frame, rng):
    X, y, offset = data(rng)
    names = np.array(["ash", "beech", "oak"])
    by_name = frame({names[k]: offset[:, k] for k in (2, 0, 1)})
    one, other = fit(X, names[y], offset), fit(X, names[y], by_name)

    assert_array_equal(one.coef_, other.coef_)
    assert_array_equal(one.predict_proba(X, offset=offset), other.predict_proba(X, offset=by_name))


@pytest.mark.parametrize(
    "kind", [lambda o: o.tolist(), np.asfortranarray, lambda o: o.astype(np.float32), lambda o: o.astype(int)]
)
def test_offsets_may_be_any_kind_of_numbers(kind, rng):
    """Whole numbers, which all kinds have."""
    X, y, _ = data(rng)
    offset = rng.integers(-2, 3, (len(y), 3)).astype(float)

    assert_array_equal(fit(X, y, kind(offset)).coef_, fit(X, y, offset).coef_)


BAD = {
    "one column": (lambda o: o[:, 0], r"shape \(n_samples, 3\).*got shape \(150,\)"),
    "two columns": (lambda o: o[:, :2], r"got shape \(150, 2\)"),
    "a number": (lambda o: 1.0, r"got shape \(\)"),
    "fewer rows": (lambda o: o[:-1], "a row for each of the 150 samples of X, got 149"),
    "a cube": (lambda o: o[..., np.newaxis], r"got shape \(150, 3, 1\)"),
    "rows of different lengths": (lambda o: [*o.tolist()[:-1], [0.0]], "offset must hold numbers, in rows"),
    "NaN": (lambda o: np.where(o == o[7, 1], np.nan, o), "offset contains NaN"),
    "infinity": (lambda o: np.where(o == o[7, 1], -np.inf, o), "offset contains infinity"),
    "a range that overflows": (lambda o: np.where(o == o[7, 1], 1.7e308, -1e308), "finite.* in row 7"),
    "sparse": (sparse.csr_array, "offset must be dense"),
    "text": (lambda o: np.where(o == o[7, 1], "?", o.astype(str)), "offset must hold numbers"),
    "complex": (lambda o: o + 1j, "Complex data not supported"),
    "dates": (lambda o: np.full(o.shape, np.datetime64("2020-01-01")), "offset must hold numbers.* dates"),
    "other names": (
        lambda o: pd.DataFrame(o, columns=[0, 1, "two"]),
        r"lacks \[2\] and has the unknown \['two'\]",
    ),
    "a missing name": (lambda o: pd.DataFrame(o[:, :2]), r"lacks \[2\]"),
    "a name twice": (lambda o: pd.DataFrame(o[:, [0, 1, 2, 2]], columns=[0, 1, 2, 2]), "each once"),
}


@pytest.mark.parametrize(("bad", "message"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("estimator", [SoftmaxRegression(), SoftmaxRegressionCV(Cs=2)], ids=["one", "CV"])
def test_bad_offsets_are_refused_and_leave_the_model_as_it_was(estimator, bad, message, rng):
    X, y, offset = data(rng)
    model = clone(estimator).fit(X, y, offset=offset)
    before = pickle.dumps(vars(model))

    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(X, y, offset=bad(offset))
    assert pickle.dumps(vars(model)) == before
    for method in METHODS:
        with pytest.raises((ValueError, TypeError), match=message):
            getattr(model, method)(X, offset=bad(offset))
    with pytest.raises((ValueError, TypeError), match=message):
        regularization_path(X, y, Cs=[1.0], offset=bad(offset))


def test_what_validation_leaves_out_under_assume_finite_is_refused_too(rng):
    X, y, offset = data(rng)
    offset[3, 0] = np.nan

    with (
        config_context(assume_finite=True),
        pytest.raises(ValueError, match=r"offset must be finite.* row 3"),
    ):
        fit(X, y, offset)


# -- predictions


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_predictions_add_offsets_to_the_logits_and_divide_both_by_the_temperature(kind, n_classes, rng):
    """To the rounding of sums."""
    X, y, offset = data(rng, n_classes=n_classes)
    model = fit(kind(X), y, offset, temperature=2.0)
    more = rng.normal(size=offset.shape)
    eta = X @ model.coef_.T + model.intercept_
    eta = more + (np.column_stack([np.zeros(len(X)), eta]) if n_classes == 2 else eta)

    given = model.decision_function(kind(X), offset=more)
    assert_allclose(given, eta[:, 1] - eta[:, 0] if n_classes == 2 else eta, rtol=1e-13, atol=1e-13)
    assert_allclose(model.predict_proba(kind(X), offset=more), special.softmax(eta / 2, axis=1), atol=1e-13)
    assert_allclose(
        model.predict_log_proba(kind(X), 4.0, offset=more), special.log_softmax(eta / 4, axis=1), atol=1e-12
    )
    assert_array_equal(model.predict(kind(X), offset=more), eta.argmax(axis=1))
    assert model.score(X, y, offset=more) == np.mean(eta.argmax(axis=1) == y)


def test_float32_features_keep_their_type_with_offsets(rng):
    X, y, offset = data(rng)
    model = SoftmaxRegression().fit(X.astype(np.float32), y, offset=offset)

    assert model.coef_.dtype == model.predict_proba(X.astype(np.float32), offset=offset).dtype == np.float32


@pytest.mark.parametrize("estimator", [SoftmaxRegression(), SoftmaxRegressionCV(Cs=2)], ids=["one", "CV"])
def test_a_model_fitted_with_offsets_says_that_predictions_need_them(estimator, rng):
    """Zeros say that there are none. A copy remembers; a fit without offsets forgets."""
    X, y, offset = data(rng)
    model = clone(estimator).fit(X, y, offset=offset)
    for fitted in (model, pickle.loads(pickle.dumps(model))):
        assert fitted.has_offset_
        for method in METHODS:
            message = rf"{method} needs those.*set_{method}_request\(offset=True\).*cross_val_predict"
            with pytest.raises(ValueError, match=message):
                getattr(fitted, method)(X)
        with pytest.raises(ValueError, match="score needs those"):
            fitted.score(X, y)
    assert not hasattr(clone(model), "has_offset_")

    without = model.fit(X, y)
    assert not without.has_offset_
    assert_array_equal(without.predict_proba(X), without.predict_proba(X, offset=np.zeros_like(offset)))


def test_a_model_fitted_without_offsets_takes_those_of_priors_that_have_changed(rng):
    """Bayes' rule: probabilities times the ratios of the priors, normalised."""
    X, y, _ = data(rng)
    model, ratios = fit(X, y), np.array([0.2, 1.0, 3.0])
    p = model.predict_proba(X) * ratios

    corrected = model.predict_proba(X, offset=np.tile(np.log(ratios), (len(X), 1)))
    assert_allclose(corrected, p / p.sum(axis=1, keepdims=True), rtol=1e-13)


def test_a_class_without_weight_has_its_offset_and_no_say(rng):
    """The others are fitted as if it were not there."""
    X, y, offset = data(rng)
    weights = (y != 1).astype(float)
    model = fit(X, y, offset, weights)
    two = fit(X[y != 1], y[y != 1], offset[y != 1][:, [0, 2]], C=2.0)  # w, for -w/2 and w/2

    assert (model.predict_proba(X, offset=offset)[:, 1] < 1e-100).all()
    eta = model.decision_function(X, offset=offset)
    assert_allclose(eta[:, 2] - eta[:, 0], two.decision_function(X, offset=offset[:, [0, 2]]), **AGREE)


def test_without_a_penalty_finite_offsets_change_nothing_about_separation(rng):
    X, _, offset = data(rng, n_classes=2)
    separated = (X[:, 0] > 0).astype(int)

    with pytest.warns(UserWarning, match="separated"):
        model = SoftmaxRegression(C=np.inf).fit(X, separated, offset=10 * offset)
    assert model.solution_.reason == "separation"


def test_a_warm_start_from_the_optimum_is_over_after_one_evaluation(rng):
    X, y, offset = data(rng)
    model = SoftmaxRegression(warm_start=True).fit(X, y, offset=offset)

    assert model.fit(X, y, offset=offset).solution_.evaluations == 1


@pytest.mark.parametrize("scale", [1e3, 1e6, 1e300])
def test_huge_offsets_end_a_fit(scale, rng):
    """Where rounding leaves no optimum the record says so; numbers are finite in any case."""
    X, y, offset = data(rng)
    model = SoftmaxRegression(max_iter=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y, offset=scale * offset)

    assert np.isfinite(model.coef_).all()
    assert np.isfinite(model.predict_proba(X, offset=scale * offset)).all()


@pytest.mark.parametrize("seed", [1380, 1446])
def test_an_elastic_net_begins_surer_than_it_ends_and_no_step_leads_uphill(seed):
    """With offsets of thousands of nats slopes are small where the objective has risen."""
    rng = np.random.default_rng(seed)
    n_classes, n, p = (int(rng.integers(*limits)) for limits in ((2, 5), (8, 60), (1, 5)))
    X = rng.normal(size=(n, p)) * 10.0 ** rng.integers(-2, 3, p)
    y = np.append(np.arange(n_classes), rng.integers(0, n_classes, n - n_classes))
    offset = rng.normal(size=(n, n_classes)) * 10.0 ** rng.uniform(-1, 3.5)
    options = {"C": 10.0 ** rng.uniform(-2, 4), "l1_ratio": float(rng.choice([0.5, 1.0]))}
    model = fit(X, y, offset, tol=1e-4, fit_intercept=bool(rng.integers(2)), **options)

    assert model.converged_


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_with_an_overwhelming_penalty_a_fit_is_over_where_it_begins(n_classes, l1_ratio, rng):
    """At the null model, whose mean probabilities are the classes' shares: to 2**-38, by its last step."""
    X, y, offset = data(rng, n_classes=n_classes)
    model = SoftmaxRegression(C=1e-12, l1_ratio=l1_ratio).fit(X, y, offset=offset)

    assert model.n_iter_ <= 1
    shares = model.predict_proba(X, offset=offset).mean(axis=0)
    assert_allclose(shares, np.bincount(y) / len(y), rtol=0, atol=1e-10)


# -- routing


@pytest.fixture
def routing():
    with config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize("method", [*METHODS, "score"])
def test_a_pipeline_routes_offsets_on_request(routing, method, rng):
    X, y, offset = data(rng)
    model = SoftmaxRegression(tol=TIGHT).set_fit_request(offset=True)
    model = getattr(model, f"set_{method}_request")(offset=True)
    pipeline = make_pipeline(StandardScaler(), model).fit(X, y, offset=offset)
    plain = fit(StandardScaler().fit_transform(X), y, offset)
    args = (y,) if method == "score" else ()

    given = getattr(pipeline, method)(X, *args, offset=offset)
    expected = getattr(plain, method)(StandardScaler().fit_transform(X), *args, offset=offset)
    assert_allclose(given, expected, rtol=1e-12)


def test_offsets_that_nobody_asked_for_are_an_error_of_routing(routing, rng):
    X, y, offset = data(rng)
    pipeline = make_pipeline(StandardScaler(), SoftmaxRegression())

    with pytest.raises(UnsetMetadataPassedError, match="offset"):
        pipeline.fit(X, y, offset=offset)


def by_hand(X, y, offset, Cs, score):
    """Mean scores over three folds of fits with their offsets."""
    folds = list(KFold(3).split(X))
    return [
        np.mean(
            [
                score(fit(X[train], y[train], offset[train], C=C), X[test], y[test], offset[test])
                for train, test in folds
            ]
        )
        for C in Cs
    ]


def test_a_grid_search_with_scoring_none_routes_offsets_to_score(routing, rng):
    X, y, offset = data(rng)
    model = SoftmaxRegression(tol=TIGHT).set_fit_request(offset=True).set_score_request(offset=True)
    search = GridSearchCV(model, {"C": [0.01, 1.0]}, cv=KFold(3)).fit(X, y, offset=offset)

    expected = by_hand(X, y, offset, [0.01, 1.0], lambda m, X, y, o: m.score(X, y, offset=o))
    assert_allclose(search.cv_results_["mean_test_score"], expected, rtol=1e-14)


@pytest.mark.parametrize("scorer", [neg_cross_entropy_scorer, neg_calibration_error_scorer])
def test_scorers_of_ours_take_offsets_on_request(routing, scorer, rng):
    X, y, offset = data(rng)
    model = SoftmaxRegression(tol=TIGHT).set_fit_request(offset=True)
    asking = clone(scorer).set_score_request(offset=True)
    search = GridSearchCV(model, {"C": [0.01, 1.0]}, cv=KFold(3), scoring=asking).fit(X, y, offset=offset)
    cross = cross_validate(
        clone(model).set_params(C=1.0), X, y, cv=KFold(3), scoring=asking, params={"offset": offset}
    )

    expected = by_hand(X, y, offset, [0.01, 1.0], lambda m, X, y, o: scorer(m, X, y, offset=o))
    assert_allclose(search.cv_results_["mean_test_score"], expected, rtol=1e-6)
    assert_allclose(cross["test_score"].mean(), expected[1], rtol=1e-6)


def test_what_passes_no_offsets_on_gets_the_error_that_says_what_does(routing, rng):
    """scikit-learn's scorers by name, and its predictions out of fold."""
    X, y, offset = data(rng)
    model = SoftmaxRegression().set_fit_request(offset=True).set_predict_proba_request(offset=True)

    with pytest.raises(ValueError, match="predict_proba needs those"):
        cross_validate(model, X, y, scoring="neg_log_loss", params={"offset": offset}, error_score="raise")
    with pytest.raises(ValueError, match="SoftmaxRegressionCV, which takes any scorer"):
        cross_val_predict(model, X, y, method="predict_proba", params={"offset": offset})


def test_without_routing_a_grid_search_says_why_it_has_no_scores(rng):
    """It passes offsets to `fit` alone, and turns errors of scores into warnings."""
    X, y, offset = data(rng)
    search = GridSearchCV(SoftmaxRegression(), {"C": [1.0]}, cv=2)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        search.fit(X, y, offset=offset)
    assert np.isnan(search.cv_results_["mean_test_score"]).all()
    assert "score needs those of its samples" in str(warned[0].message)


# -- cross-validation


SCORINGS = {
    "neg_log_loss": lambda m, X, y, o: -log_loss(y, m.predict_proba(X, offset=o)),
    "accuracy": lambda m, X, y, o: m.score(X, y, offset=o),
    None: lambda m, X, y, o: m.score(X, y, offset=o),
    neg_cross_entropy_scorer: lambda m, X, y, o: neg_cross_entropy_scorer(m, X, y, offset=o),
    make_scorer(log_loss, response_method="predict_proba", greater_is_better=False): lambda m, X, y, o: (
        -log_loss(y, m.predict_proba(X, offset=o))
    ),
}


@pytest.mark.parametrize("scoring", SCORINGS, ids=["log loss", "accuracy", "None", "ours", "made"])
def test_any_scorer_works_in_a_search_whose_folds_have_their_offsets(scoring, rng):
    X, y, offset = data(rng)
    Cs = [0.01, 1.0]
    model = SoftmaxRegressionCV(Cs=Cs, cv=KFold(3), scoring=scoring, tol=TIGHT).fit(X, y, offset=offset)

    assert_allclose(model.scores_["mean"], by_hand(X, y, offset, Cs, SCORINGS[scoring]), rtol=1e-7)
    chosen = fit(X, y, offset, C=model.C_)
    assert_allclose(model.coef_, chosen.coef_, **AGREE)
    assert model.score(X, y, offset=offset) == pytest.approx(
        SCORINGS[scoring](chosen, X, y, offset), rel=1e-7
    )
    with pytest.raises(ValueError, match="score needs those"):
        model.score(X, y)


def test_a_search_is_routed_offsets_like_a_model(routing, rng):
    X, y, offset = data(rng)
    search = SoftmaxRegressionCV(Cs=[0.01, 1.0]).set_fit_request(offset=True).set_score_request(offset=True)
    pipeline = make_pipeline(StandardScaler(), search).fit(X, y, offset=offset)
    plain = SoftmaxRegressionCV(Cs=[0.01, 1.0]).fit(StandardScaler().fit_transform(X), y, offset=offset)

    assert_array_equal(pipeline[-1].coef_, plain.coef_)
    assert pipeline.score(X, y, offset=offset) == plain.score(
        StandardScaler().fit_transform(X), y, offset=offset
    )


def test_the_temperature_is_fitted_to_logits_out_of_fold_with_their_offsets(rng):
    """Offsets four times too large for the labels: all logits are divided by more than one."""
    X, y, offset = data(rng, n=600)
    model = SoftmaxRegressionCV(Cs=[1.0], cv=KFold(3), temperature="cv", tol=TIGHT)
    model.fit(X, y, offset=4 * offset)
    logits, targets = [], []
    for train, test in KFold(3).split(X):
        fold = fit(X[train], y[train], 4 * offset[train])
        logits.append(fold.decision_function(X[test], offset=4 * offset[test]))
        targets.append(y[test])
    logits, targets = np.concatenate(logits), np.concatenate(targets)

    def slope(T):
        return np.sum((special.softmax(logits / T, axis=1) - np.eye(3)[targets]) * logits)

    assert model.temperature_ == pytest.approx(optimize.brentq(slope, 0.5, 20, xtol=1e-12), rel=1e-7)
    assert model.temperature_ > 1.5
    expected = special.softmax(model.decision_function(X, offset=offset) / model.temperature_, axis=1)
    assert_allclose(model.predict_proba(X, offset=offset), expected, rtol=1e-12, atol=1e-300)


def test_without_refitting_the_mean_of_the_folds_has_offsets_too(rng):
    X, y, offset = data(rng)
    model = SoftmaxRegressionCV(Cs=[1.0], cv=KFold(3), refit=False, tol=TIGHT).fit(X, y, offset=offset)
    folds = [fit(X[train], y[train], offset[train]) for train, _ in KFold(3).split(X)]

    assert_allclose(model.coef_, np.mean([fold.coef_ for fold in folds], axis=0), **AGREE)


@pytest.mark.filterwarnings("ignore:The training part of fold")
@pytest.mark.parametrize("p", [3, 200])
@pytest.mark.parametrize("without", ["no fold", "one fold"])
def test_fold_fits_have_the_offsets_of_their_classes(without, p, rng):
    """Where a class has no weight at all, or none in the training part of a fold."""
    X, y, offset = data(rng, n=90, p=p, n_classes=4)
    y = np.sort(y) if without == "one fold" else y
    weights = np.where(y == 1, 0.0, 1.0) if without == "no fold" else None
    model = SoftmaxRegressionCV(Cs=[1.0], cv=KFold(3), tol=TIGHT).fit(X, y, weights, offset)

    for k, (train, _) in enumerate(KFold(3).split(X)):
        weights_of_fold = np.zeros(len(y))
        weights_of_fold[train] = 1.0 if weights is None else weights[train]
        fold = fit(X, y, offset, weights_of_fold)
        assert_allclose(model.coefs_paths_[k, 0, 0, :, :p], fold.coef_, **AGREE)
        assert_allclose(model.coefs_paths_[k, 0, 0, :, p], fold.intercept_, **AGREE)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_a_default_grid_begins_at_the_null_model_with_the_offsets(l1_ratio, rng):
    """With a ridge it explains at most a hundredth of the null deviance, with an L1 norm nothing at all."""
    X, y, offset = data(rng)
    path = regularization_path(X, y, l1_ratio=l1_ratio, offset=offset, tol=1e-8)
    null = fit(np.zeros((len(y), 1)), y, offset)
    eta = offset + X @ path.coefs[0].T + path.intercepts[0]
    loss = log_loss(y, special.softmax(eta, axis=1))

    assert 0.99 * null.solution_.objective <= loss <= null.solution_.objective + 1e-12
    assert l1_ratio == 0 or not path.coefs[0].any()
    assert_allclose(path.intercepts[0], null.intercept_, atol=0.05)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_models_of_a_path_converge_within_few_evaluations(l1_ratio, rng):
    """As many as a path without offsets takes, and half as much again."""
    X, y, offset = data(rng)
    Cs = np.geomspace(1e-3, 1e3, 13)
    with_offsets = regularization_path(X, y, Cs=Cs, l1_ratio=l1_ratio, offset=offset)
    without = regularization_path(X, y, Cs=Cs, l1_ratio=l1_ratio)

    assert with_offsets.converged.all()
    assert with_offsets.evaluations.sum() <= 1.5 * without.evaluations.sum()


# -- callbacks, calibration and Dask


@pytest.mark.parametrize("estimator", [SoftmaxRegression(), SoftmaxRegressionCV(Cs=[1.0])], ids=["one", "CV"])
def test_a_callback_scores_models_that_hold_the_offsets_of_the_samples(estimator, rng):
    X, y, offset = data(rng)
    monitor = ScoringMonitor(scoring="neg_log_loss")
    model = clone(estimator).set_callbacks(monitor).fit(X, y, offset=offset)

    log = monitor.get_logs().data_as_pandas.set_index("task_name")["neg_log_loss"]
    assert log.loc["fit"] == -log_loss(y, model.predict_proba(X, offset=offset))
    with pytest.raises(ValueError, match="predict needs those"):
        model.predict(X)


def test_calibration_of_a_model_with_offsets_says_what_to_use(rng):
    X, y, offset = data(rng)
    frozen = FrozenEstimator(SoftmaxRegression().fit(X, y, offset=offset))

    with pytest.raises(ValueError, match=r'SoftmaxRegressionCV\(temperature="cv"\)'):
        TemperatureScaling(SoftmaxRegression()).fit(X, y, offset=offset)
    with pytest.raises(ValueError, match=r"fit_temperature\(model.decision_function\(X, offset=offset\)"):
        TemperatureScaling(frozen).fit(X, y)
    with pytest.raises(ValueError, match="was fitted with offsets"):
        calibration_study({"frozen": frozen}, X, y)


def frame_of(values, columns=None):
    return dd.from_pandas(pd.DataFrame(values, columns=columns), npartitions=3)


LAZY = {
    "array": lambda X, o: (da.from_array(X, (40, 2)), da.from_array(o, (50, 1))),
    "array, in memory": lambda X, o: (da.from_array(X, (40, 2)), o),
    "frame": lambda X, o: (frame_of(X), frame_of(o[:, ::-1], [2, 1, 0])),
    "frame, in memory": lambda X, o: (frame_of(X), pd.DataFrame(o)),
    "frame and array": lambda X, o: (frame_of(X), da.from_array(o, (50, 3))),
}


@pytest.mark.parametrize("lazy", LAZY.values(), ids=LAZY)
def test_offsets_of_dask_collections_are_divided_like_their_features(lazy, rng):
    """Products are of other shapes, and predictions the same to the rounding of sums."""
    X, y, offset = data(rng)
    model = fit(X, y, offset)
    features, known = lazy(X, offset)
    made = fit(features, y, known)

    assert made.has_offset_
    assert_allclose(made.coef_, model.coef_, **AGREE)
    for method in METHODS:
        given = getattr(model, method)(features, offset=known)
        assert is_dask_collection(given)
        assert_allclose(given.compute(), getattr(model, method)(X, offset=offset), rtol=1e-13, atol=1e-13)
    assert model.score(features, y, offset=known) == model.score(X, y, offset=offset)
    with pytest.raises(ValueError, match="predict needs those"):
        model.predict(features)


@pytest.mark.parametrize("lazy", LAZY.values(), ids=LAZY)
def test_a_scorer_of_dask_collections_takes_their_offsets(lazy, rng):
    """To the rounding of a mean of numbers of order one."""
    X, y, offset = data(rng)
    model = fit(X, y, offset)
    features, known = lazy(X, offset)

    given = neg_cross_entropy_scorer(model, features, y, offset=known)
    assert_allclose(given, neg_cross_entropy_scorer(model, X, y, offset=offset), rtol=0, atol=1e-14)
    with pytest.raises(ValueError, match="predict_log_proba needs those"):
        neg_cross_entropy_scorer(model, features, y)


def test_for_two_classes_dask_has_one_column_too(rng):
    X, y, offset = data(rng, n_classes=2)
    known = offset[:, 1] - offset[:, 0]
    frame, series = dd.from_pandas(pd.DataFrame(X), 3), dd.from_pandas(pd.Series(known), 3)
    model = fit(X, y, known)

    assert_allclose(fit(frame, y, series).coef_, model.coef_, **AGREE)
    given = model.decision_function(frame, offset=series)
    assert_allclose(given.compute(), model.decision_function(X, offset=known), rtol=1e-13, atol=1e-13)


def test_partitions_may_be_empty_sparse_or_of_text_labels(rng):
    X, y, offset = data(rng)
    names = np.array(["a", "b", "c"])[y]
    model = fit(X, names, offset)
    frame = dd.from_pandas(pd.DataFrame(X), 3).map_partitions(lambda part: part[part.index < 90])
    known = dd.from_pandas(pd.DataFrame(offset), 3).map_partitions(lambda part: part[part.index < 90])
    csr = da.from_array(X, (50, 3)).map_blocks(sparse.csr_array, meta=sparse.csr_array((0, 3)))

    expected = model.predict(X, offset=offset)
    given = model.predict(frame, offset=known.rename(columns=dict(enumerate("abc"))))
    assert_array_equal(given.compute(), expected[:90])
    assert_array_equal(model.predict(csr, offset=offset).compute(), expected)
    assert_allclose(fit(csr, names, da.from_array(offset, (50, 3))).coef_, model.coef_, **AGREE)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (sparse.csr_array, "offset must be dense"),
        (lambda o: da.from_array(o[:, :2], (50, 2)), r"shape \(n_samples, 3\)"),
        (lambda o: da.from_array(o[:-1], (50, 3)), "offset must have a row for each"),
        (lambda o: dd.from_pandas(pd.DataFrame(o, columns=[0, 1, 3]), 3), r"lacks \[2\]"),
        (lambda o: np.where(o == o[77, 1], np.nan, o), "In partition 1: Input offset contains NaN"),
        (lambda o: 1.0, r"offset must .* got shape"),
    ],
    ids=["sparse", "columns", "rows", "names", "NaN", "a number"],
)
def test_bad_offsets_of_dask_collections_are_refused(bad, message, rng):
    X, y, offset = data(rng)
    features = da.from_array(X, (50, 3))
    model = fit(features, y, offset)

    with pytest.raises(ValueError, match=message):
        fit(features, y, bad(offset))
    if "NaN" not in message:
        with pytest.raises(ValueError, match=message):
            model.predict(features, offset=bad(offset))


def test_a_bad_partition_is_named_when_predictions_are_computed(rng):
    X, y, offset = data(rng)
    model = fit(X, y, offset)
    offset[77, 1] = np.nan

    for lazy in (da.from_array(X, (50, 3)), frame_of(X)):
        with pytest.raises(ValueError, match="In partition 1: Input offset contains NaN"):
            model.predict_proba(lazy, offset=offset).compute()
        with pytest.raises(ValueError, match="In partition 1: Input offset contains NaN"):
            model.score(lazy, y, offset=offset)


def test_frames_with_other_indices_do_not_belong_together(rng):
    """They are not aligned by their labels, so that a shuffled frame is found out."""
    X, y, offset = data(rng)
    model, features = fit(X, y, offset), frame_of(X)
    shuffled = pd.DataFrame(offset).sample(frac=1.0, random_state=0)

    with pytest.raises(ValueError, match="offset must have the index of X"):
        fit(features, y, shuffled)
    with pytest.raises(ValueError, match="offset must have the index of X"):
        model.predict(features, offset=shuffled).compute()


def test_batches_have_no_offsets(rng):
    X, y, offset = data(rng)
    frame = pd.DataFrame(X, columns=list("abc")).assign(y=y)
    model = SoftmaxRegression()

    with pytest.raises(ValueError, match="offset must be None where X is Batches"):
        model.fit(Batches(lambda: [frame], target="y"), offset=offset)
    assert not hasattr(model, "classes_")


def test_offsets_of_dask_need_features_of_dask(rng):
    X, y, offset = data(rng)
    known = da.from_array(offset)

    for model in SoftmaxRegression(), SoftmaxRegressionCV(Cs=2):
        with pytest.raises(TypeError, match="X must be a Dask collection"):
            model.fit(X, y, offset=known)
        with pytest.raises(TypeError, match="offset must be in memory"):
            model.fit(X, y, offset=offset).predict(X, offset=known)
