"""Cross-validation of Dask collections against that in memory with the same folds."""

import threading

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from recorder import Recorder
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import GroupKFold, KFold, PredefinedSplit

from smreg import SoftmaxRegression, SoftmaxRegressionCV, family
from smreg.data.dask_sample import dask_sample
from smreg.data.folds import divided
from smreg.metrics import neg_cross_entropy_scorer

TOL = 1e-8
EPS = np.finfo(np.float64).eps


def make_sample(rng, n=240, p=4, n_classes=3, *, soft=False, dtype=np.float64):
    """Classes that overlap, features in mixed units, and weights, some of which are zero."""
    X = rng.normal(size=(n, p))
    eta = X @ rng.normal(size=(p, n_classes))
    labels = (eta + rng.gumbel(size=eta.shape)).argmax(axis=1)
    y = family.softmax(eta + rng.normal(size=eta.shape)) if soft else np.array(["a", "b", "c"])[labels]
    weights = rng.integers(0, 4, size=n) / 2.0
    weights[70] = 1.0  # that of a partition of one row
    return (X * [1.0, 1e2, 1e-2, 1.0]).astype(dtype), y, weights


def lazy(values, chunks=(70, 1, 100, 69)):
    """A Dask array whose partitions have such lengths."""
    return None if values is None else da.from_array(values, chunks=(chunks, *values.shape[1:]))


def make_folds(n, rng, n_folds=4):
    """Some rows are in no test part."""
    return rng.integers(-1, n_folds, n)


def logits(X, coef, intercept):
    """Of all classes, of centred columns so that they are not lost in rounding."""
    eta = X @ coef.T + intercept
    return np.column_stack([np.zeros(len(X)), eta]) if len(coef) == 1 else eta


def distance(X, weights, ours, theirs):
    """Of two models, with the intercept last, in the Fisher metric."""
    eta, other = (logits(X, at[:, : X.shape[1]], at[:, X.shape[1] :].sum(axis=1)) for at in (ours, theirs))
    p, off = family.softmax(eta), eta - other
    variance = (p * off**2).sum(axis=1) - (p * off).sum(axis=1) ** 2
    return np.sqrt(max(weights @ variance / weights.sum(), 0.0))


def assert_same_search(model, expected, X, weights, folds):
    """Every fit is within `tol` of its optimum in the Fisher metric, two within twice that.

    That metric has class weights, which here are below 4 times their mean and above a quarter of it: the
    distance without them is at most 4 times as long. Of a mean square of logits' errors each of 240 rows has
    at most the root of 240 / 0.5, for weights of 0.5 and more, and less where p (1 - p) is not below 1e-4: so
    probabilities that far from zero and one are exact to 1e-5 with a margin, and so are scores.
    """
    assert_allclose(model.Cs_, expected.Cs_, rtol=1e-6)
    assert_array_equal(model.l1_ratios_, expected.l1_ratios_)
    assert model.best_index_ == expected.best_index_
    assert model.one_standard_error_index_ == expected.one_standard_error_index_
    assert model.coefs_paths_.shape == expected.coefs_paths_.shape
    for fold in range(len(model.coefs_paths_)):
        used = np.where(folds == fold, 0.0, weights)
        for ours, theirs in zip(
            model.coefs_paths_[fold].reshape(-1, *model.coefs_paths_.shape[3:]),
            expected.coefs_paths_[fold].reshape(-1, *model.coefs_paths_.shape[3:]),
            strict=True,
        ):
            assert distance(X, used, ours, theirs) <= 8 * TOL
    for name in ("mean", "standard_error"):
        assert_allclose(model.scores_[name], expected.scores_[name], rtol=0, atol=1e-5)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-4)
    assert model.cv_results_["converged"].all()


GRID = [1e-2, 1.0, 100.0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fit_intercept": False},
        {"class_weight": "balanced"},
        {"class_weight": {"a": 2.0, "b": 0.5, "c": 1.0}},
        {"l1_ratios": [0.0, 0.5, 1.0]},
        {"rule": "one_standard_error"},
        {"refit": False},
        {"Cs": [1.0, np.inf]},
    ],
    ids=str,
)
def test_with_the_same_folds_it_is_the_search_in_memory(options, rng):
    X, y, weights = make_sample(rng)
    folds = make_folds(len(y), rng)
    options = {"Cs": GRID, "tol": TOL, "cv": PredefinedSplit(folds)} | options

    model = SoftmaxRegressionCV(**options).fit(lazy(X), lazy(y), sample_weight=lazy(weights))
    expected = SoftmaxRegressionCV(**options).fit(X, y, sample_weight=weights)
    assert_same_search(model, expected, X, weights, folds)
    assert_array_equal(model.classes_, expected.classes_)
    assert_array_equal(model.predict(X), expected.predict(X))


@pytest.mark.parametrize("kind", ["soft", "two classes", "float32", "frame"])
def test_whatever_the_data_are(kind, rng):
    """float32 features are the same numbers in both; their scores clip probabilities at the same place."""
    X, y, _ = make_sample(rng, soft=kind == "soft", dtype=np.float32 if kind == "float32" else np.float64)
    y = np.where(y == "c", "b", y) if kind == "two classes" else y
    folds = make_folds(len(y), rng)
    options = {"Cs": GRID, "tol": TOL}
    if kind == "frame":
        frame = pd.DataFrame(X, columns=list("stuv")).assign(y=y)
        parts = dd.from_pandas(frame, npartitions=5)
        X, made = frame[list("stuv")], (parts[list("stuv")], parts["y"])
    else:
        made = lazy(X), lazy(y)

    model = SoftmaxRegressionCV(cv=folds, **options).fit(*made)
    expected = SoftmaxRegressionCV(cv=PredefinedSplit(folds), **options).fit(X, y)
    tol = 1e-3 if kind == "float32" else 1e-5  # coefficients are rounded to 6e-8 of sizes up to 1e4
    assert model.coef_.dtype == expected.coef_.dtype
    assert_allclose(model.scores_["mean"], expected.scores_["mean"], rtol=0, atol=tol)
    assert model.C_ == expected.C_
    assert list(getattr(model, "feature_names_in_", [])) == list(getattr(expected, "feature_names_in_", []))


@pytest.mark.parametrize("kind", ["array", "frame", "two classes", "soft", "elastic net", "weights"])
def test_offsets_are_those_of_the_rows_in_fits_and_scores(kind, rng):
    X, y, weights = make_sample(rng, soft=kind == "soft")
    y = np.where(y == "c", "b", y) if kind == "two classes" else y
    folds = make_folds(len(y), rng)
    offset = rng.normal(size=(len(y), 2 if kind == "two classes" else 3))
    made, known, labels = lazy(X), lazy(offset), lazy(y)
    options = {"Cs": GRID, "tol": TOL}
    if kind == "frame":
        made = dd.from_pandas(pd.DataFrame(X), npartitions=4)
        labels = dd.from_pandas(pd.Series(y), npartitions=4)
        known = dd.from_pandas(pd.DataFrame(offset[:, ::-1], columns=list("cba")), npartitions=4)
    if kind == "two classes":
        offset = offset[:, 1] - offset[:, 0]
    if kind == "elastic net":
        options["l1_ratios"] = [0.5]
    if kind == "weights":
        options["class_weight"] = "balanced"
    some = (lazy(weights), weights) if kind == "weights" else (None, None)

    model = SoftmaxRegressionCV(cv=folds, **options).fit(made, labels, some[0], known)
    expected = SoftmaxRegressionCV(cv=PredefinedSplit(folds), **options).fit(X, y, some[1], offset)
    of_fits = np.ones(len(y)) if some[1] is None else weights
    assert_same_search(model, expected, X, of_fits, folds)
    assert model.has_offset_
    if kind != "soft":
        there = model.score(made, labels, some[0], offset=known)
        assert_allclose(there, model.score(X, y, some[1], offset=offset), rtol=1e-13)
    with pytest.raises(ValueError, match="score needs those"):
        model.score(made, labels)


@pytest.mark.filterwarnings("ignore:The best C")
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_the_grid_begins_at_the_null_model_with_offsets(l1_ratio, rng):
    """As in memory."""
    X, y, _ = make_sample(rng)
    folds, offset = make_folds(len(y), rng), rng.normal(size=(len(y), 3))

    model = SoftmaxRegressionCV(5, cv=folds, l1_ratios=[l1_ratio])
    model.fit(lazy(X), lazy(y), offset=lazy(offset))
    expected = SoftmaxRegressionCV(5, cv=PredefinedSplit(folds), l1_ratios=[l1_ratio])
    expected.fit(X, y, offset=offset)
    assert_allclose(model.Cs_, expected.Cs_, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:The best C")
@pytest.mark.parametrize("size", [5, "auto"])
def test_the_grid_is_that_in_memory(size, rng):
    """Its limits depend on losses that exploratory fits know to 1e-12, and falls of 3e-5 of them."""
    X, y, _ = make_sample(rng)
    folds = make_folds(len(y), rng)

    model = SoftmaxRegressionCV(size, cv=folds).fit(lazy(X), lazy(y))
    expected = SoftmaxRegressionCV(size, cv=PredefinedSplit(folds)).fit(X, y)
    assert_allclose(model.Cs_, expected.Cs_, rtol=1e-5)


SCORERS = {
    "neg_log_loss": lambda y, p, w, labels: -log_loss(y, p, sample_weight=w, labels=labels),
    "accuracy": lambda y, p, w, labels: np.average(labels[p.argmax(axis=1)] == y, weights=w),
    "neg_brier_score": lambda y, p, w, labels: -brier_score_loss(y, p, sample_weight=w, labels=labels),
}


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("scoring", [*SCORERS, None, neg_cross_entropy_scorer], ids=str)
def test_scores_are_those_of_the_folds_models(scoring, n_classes, rng):
    """To the rounding of a mean of numbers of order one."""
    X, y, weights = make_sample(rng)
    y = np.where(y == "c", "b", y) if n_classes == 2 else y
    folds = make_folds(len(y), rng)
    model = SoftmaxRegressionCV(GRID, cv=folds, scoring=scoring)
    model.fit(lazy(X), lazy(y), sample_weight=lazy(weights))

    score = SCORERS.get("accuracy" if scoring is None else scoring, SCORERS["neg_log_loss"])
    for fold, at in enumerate(model.coefs_paths_):
        test = folds == fold
        found = [
            score(
                y[test], family.softmax(logits(X[test], m[:, :-1], m[:, -1])), weights[test], model.classes_
            )
            for m in at[0]
        ]
        assert_allclose(model.cv_results_["score"].reshape(3, -1)[:, fold], found, rtol=0, atol=1e-13)


@pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy", "neg_brier_score"])
def test_a_score_of_collections_is_that_in_memory(scoring, rng):
    X, y, weights = make_sample(rng)
    model = SoftmaxRegressionCV(GRID, scoring=scoring).fit(lazy(X), lazy(y))

    made = model.score(lazy(X), lazy(y), sample_weight=lazy(weights))
    assert_allclose(made, model.score(X, y, sample_weight=weights), rtol=1e-14)


def numbers_of(X, y, cv):
    """Folds of all rows."""
    rows, _ = divided(dask_sample(X, y, None, None).rows, cv, np.unique(y))
    return np.concatenate(list(rows.map_blocks(fold_numbers)))


def fold_numbers(block):
    return block.folds


CHUNKS = [(240,), (70, 1, 100, 69), (1,) * 5 + (235,), (120, 120)]


def test_folds_do_not_depend_on_the_partitions(rng):
    """To the bit, and scores to `tol`."""
    X, y, _ = make_sample(rng)
    folds = [numbers_of(lazy(X, chunks), lazy(y, chunks), 5) for chunks in CHUNKS]
    models = [
        SoftmaxRegressionCV(GRID, cv=5, tol=TOL).fit(lazy(X, chunks), lazy(y, chunks))
        for chunks in CHUNKS[:2]
    ]

    for made in folds[1:]:
        assert_array_equal(made, folds[0])
    assert_array_equal(np.bincount(folds[0]) // 10, [4] * 5)
    assert_allclose(models[1].scores_["mean"], models[0].scores_["mean"], rtol=0, atol=1e-5)
    assert models[1].C_ == models[0].C_


def test_fold_numbers_come_in_any_form(rng):
    """Of numbers other than 0, 1, ... the order counts."""
    X, y, _ = make_sample(rng)
    folds = make_folds(len(y), rng)
    frame = pd.DataFrame(X).add_prefix("x").assign(y=y, fold=folds)
    parts = dd.from_pandas(frame, npartitions=3)
    features = parts[["x0", "x1", "x2", "x3"]]
    apart = np.where(folds < 0, -1, 7 * folds + 3)
    fits = [
        SoftmaxRegressionCV(GRID, cv=cv).fit(features, parts["y"])
        for cv in (
            parts["fold"],
            folds,
            folds.tolist(),
            PredefinedSplit(folds),
            lazy(folds, (80, 80, 80)),
            apart,
        )
    ]

    for model in fits[1:]:
        assert_array_equal(model.coefs_paths_, fits[0].coefs_paths_)
        assert_array_equal(model.cv_results_["score"], fits[0].cv_results_["score"])


class Reads:
    """Counts how often partitions are read."""

    def __init__(self):
        self.count, self.lock = 0, threading.Lock()

    def __call__(self, block):
        """Pass a partition on."""
        if len(block):
            with self.lock:
                self.count += 1
        return block

    def __dask_tokenize__(self):
        """Stand for itself, with what cannot be hashed."""
        return "reads"

    def of(self, X, chunks):
        """A collection that is read from its source in every pass."""
        return lazy(X, chunks).map_blocks(self, meta=np.empty((0, X.shape[1])), dtype=X.dtype)

    def passes(self, fit, chunks):
        """Of a fit, which reads all partitions as often."""
        self.count = 0
        fit()
        assert self.count % len(chunks) == 0
        return self.count // len(chunks)


@pytest.mark.parametrize("Cs", [np.logspace(-4, 4, 10), 10], ids=["given", "by the data"])
def test_ten_penalties_and_five_folds_take_at_most_four_times_the_passes_of_a_fit(Cs, rng):
    X, y, _ = make_sample(rng, n=3000)
    chunks, reads = (1000, 500, 1500), Reads()
    data = reads.of(X, chunks), lazy(y, chunks)

    one = reads.passes(lambda: SoftmaxRegression().fit(*data), chunks)
    search = SoftmaxRegressionCV(Cs)
    all_of_them = reads.passes(lambda: search.fit(*data), chunks)
    assert all_of_them <= 4 * one
    assert search.cv_results_["evaluations"].sum() + search.path_evaluations_.sum() > 5 * all_of_them


def test_passes_are_those_of_the_longest_way(rng):
    """Three for the sample, its folds and what is in them, one for the scores, and one for what fits share.

    Between them a candidate's full fit and its fold fits, which begin when that has ended; with single
    candidates these are what more than one meet for.
    """
    X, y, _ = make_sample(rng, n=400)
    chunks, reads = (100, 300), Reads()
    data = reads.of(X, chunks), lazy(y, chunks)
    single = [
        reads.passes(lambda C=C: SoftmaxRegressionCV([1e-2, C], cv=3).fit(*data), chunks) for C in GRID[1:]
    ]

    assert reads.passes(lambda: SoftmaxRegressionCV(GRID, cv=3).fit(*data), chunks) == max(single)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"cv": KFold(3)}, "cv must be a number of folds, a PredefinedSplit, or the number of each row's"),
        ({"cv": [(np.arange(200), np.arange(200, 240))]}, "cv must be a number of folds"),
        ({"cv": np.zeros(240)}, "cv must be a number of folds"),
        ({"cv": np.zeros(7, dtype=int)}, "cv must have a row for each of the 240 samples"),
        ({"cv": np.full(240, -1)}, "cv must have from 1 to 32767 different numbers"),
        ({"cv": 200}, "cv=200 needs a class of so many samples"),
        ({"scoring": "roc_auc_ovr"}, 'scoring must be "neg_log_loss", "accuracy", "neg_brier_score" or'),
        ({"temperature": "cv"}, 'temperature="cv" needs the logits of all samples in memory'),
    ],
    ids=str,
)
def test_bad_input_gets_a_clear_error(options, match, rng):
    """Before any fit; the estimator is as it was."""
    X, y, _ = make_sample(rng)
    model = SoftmaxRegressionCV(GRID, **options)
    with pytest.raises(ValueError, match=match):
        model.fit(lazy(X), lazy(y))
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_fold_numbers_of_a_partition_must_be_integers(rng):
    X, y, _ = make_sample(rng)
    with pytest.raises(ValueError, match="cv must have an integer for each of the"):
        SoftmaxRegressionCV(GRID, cv=lazy(np.zeros(240))).fit(lazy(X), lazy(y))


def test_groups_are_numbers_of_folds(rng):
    X, y, _ = make_sample(rng)
    with pytest.raises(ValueError, match=r"fit takes no \['groups'\] where X is a Dask collection"):
        SoftmaxRegressionCV(GRID, cv=GroupKFold(3)).fit(lazy(X), lazy(y), groups=np.arange(240) % 3)


def test_a_class_that_a_training_part_lacks_is_told(rng):
    """As in memory, word for word."""
    X, y, _ = make_sample(rng)
    folds = np.where(y == "c", 0, np.arange(240) % 3)
    said = []
    for data, cv in [((lazy(X), lazy(y)), folds), ((X, y), PredefinedSplit(folds))]:
        with pytest.warns(UserWarning, match="The training part of fold 0 has no sample") as caught:
            SoftmaxRegressionCV([1.0], cv=cv).fit(*data)
        said.append([(str(w.message), w.filename) for w in caught])

    assert said[0] == said[1]
    assert said[0][0][1] == __file__


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"refit": False}, "a model fitted to it cannot know them. In all"),
        ({}, "At least 2 classes must have"),
    ],
    ids=str,
)
def test_a_training_part_must_have_classes(options, match, rng):
    X, y, _ = make_sample(rng)
    folds = np.where(y == "c", 0, np.arange(240) % 3) if options else np.where(y == "a", 1, 0)
    with pytest.raises(
        ValueError, match=f"The training part of fold 0 has no sample of the classes.*{match}"
    ):
        SoftmaxRegressionCV([1.0], cv=folds, **options).fit(lazy(X), lazy(y))


def test_a_fold_without_weight_cannot_be_scored(rng):
    X, y, weights = make_sample(rng)
    folds = np.arange(240) % 3
    weights[folds == 1] = 0.0
    halves = 120, 120
    with pytest.raises(ValueError, match="The test part of fold 1 has no samples of positive weight"):
        SoftmaxRegressionCV(GRID, cv=folds).fit(
            lazy(X, halves), lazy(y, halves), sample_weight=lazy(weights, halves)
        )


def test_an_error_leaves_a_fitted_search_as_it_was(rng):
    X, y, _ = make_sample(rng)
    model = SoftmaxRegressionCV(GRID, cv=3).fit(lazy(X), lazy(y))
    before, coef = threading.active_count(), model.coef_
    with pytest.raises(ValueError, match="scoring must be"):
        model.set_params(scoring="roc_auc_ovr").fit(lazy(X[:, :2]), lazy(y))

    assert model.coef_ is coef
    assert model.n_features_in_ == 4
    assert threading.active_count() == before


def test_callbacks_see_the_candidates_that_they_see_in_memory(rng):
    X, y, _ = make_sample(rng)
    folds, events = np.arange(240) % 3, []
    for data, cv in [((lazy(X), lazy(y)), folds), ((X, y), PredefinedSplit(folds))]:
        recorder = Recorder()
        SoftmaxRegressionCV(GRID, cv=cv).set_callbacks(recorder).fit(*data)
        events.append(recorder.events)

    assert events[0] == events[1]


def test_a_clone_with_lazy_folds_fits_alike(rng):
    X, y, _ = make_sample(rng)
    model = SoftmaxRegressionCV(GRID, cv=lazy(np.arange(240) % 3))

    fits = [made.fit(lazy(X), lazy(y)) for made in (model, clone(model))]
    assert_array_equal(fits[0].coef_, fits[1].coef_)
