"""Fits and predictions of Dask collections: those in memory, whatever holds the sample."""

import pickle
import subprocess
import sys
import warnings

import dask
import numpy as np
import pandas as pd
import pytest
from dask import array as da
from dask import dataframe as dd
from numpy.testing import assert_allclose, assert_array_equal
from recorder import Recorder
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smreg import SoftmaxRegression, SoftmaxRegressionCV
from smreg.data import dask_rows, dask_sample
from smreg.metrics import neg_cross_entropy_scorer

N, P = 150, 4
NAMES = list("pqrs")
EPS = np.finfo(np.float64).eps


@pytest.fixture(autouse=True)
def _in_turn():
    """Tasks one after the other, which for so few rows is fastest."""
    with dask.config.set(scheduler="synchronous"):
        yield


def make_sample(n_classes=3):
    """Features in mixed units, one of them far from zero; labels; weights, some of them zero."""
    rng = np.random.default_rng(n_classes)
    Z = rng.normal(size=(N, P))
    y = (Z @ rng.normal(size=(P, n_classes)) + rng.gumbel(size=(N, n_classes))).argmax(axis=1)
    weights = rng.uniform(0.5, 2, N)
    weights[::7] = 0
    return Z * [1, 10, 0.1, 1] + [0, 3, 0, 100], y, weights


X, Y, WEIGHTS = make_sample()
SOFT = np.random.default_rng(5).dirichlet(np.ones(3), N)
LABELS = np.array(["beer", "ale", "cider"])[Y]
FRAME = pd.DataFrame(X, columns=NAMES)
SPARSE = sparse.csr_array(X * (np.random.default_rng(6).random(X.shape) < 0.5))


def rows(values, size=40):
    """A Dask array of some rows in each chunk."""
    return da.from_array(np.asarray(values), chunks=(size, *np.shape(values)[1:]))


def framed(values):
    """A Dask frame or series of four partitions."""
    return dd.from_pandas(values, npartitions=4)


def of_unknown_sizes(array):
    """The same array, whose chunks have sizes that are not known."""
    return array[da.from_array(np.ones(len(array), dtype=bool), chunks=array.chunks[0])]


def divided(X, y, ends, weights=None):
    """Frames of the rows between the ends."""
    frame = pd.DataFrame(X, columns=NAMES).assign(y=y, w=1.0 if weights is None else weights)
    parts = [frame[first:last] for first, last in zip([0, *ends], [*ends, len(frame)], strict=True)]
    return dd.from_delayed([dask.delayed(part) for part in parts], meta=frame[:0])


def assert_agrees(model, other, X=X, rtol=1e-9):
    """The logits do, relative to the largest; the rounding of sums in another order is far smaller.

    The fits have converged to tol=1e-10, and their logits differ by some such part.
    """
    ours, theirs = (X @ fit.coef_.T + fit.intercept_ for fit in (model, other))
    assert_array_equal(model.classes_, other.classes_)
    assert_allclose(ours, theirs, rtol=0, atol=rtol * np.abs(theirs).max())


def fitted(X, y, weights=None, **options):
    return SoftmaxRegression(**({"tol": 1e-10} | options)).fit(X, y, sample_weight=weights)


# -- what is fitted


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"C": 100.0, "class_weight": "balanced"},
        {"class_weight": {0: 2.0, 1: 0.5}},
        {"fit_intercept": False},
        {"C": 0.1, "l1_ratio": 1.0},
        {"l1_ratio": 0.5},
        {"C": np.inf},
    ],
    ids=str,
)
def test_a_fit_in_partitions_is_the_fit_in_memory(n_classes, options):
    X, y, weights = make_sample(n_classes)
    model = fitted(da.from_array(X, chunks=(40, 3)), rows(y), rows(weights), **options)
    other = fitted(X, y, weights, **options)

    assert model.converged_
    assert_agrees(model, other, X)
    assert_allclose(model.solution_.objective, other.solution_.objective, rtol=N * EPS)


SAMPLES = {
    "y in memory": lambda: (rows(X), Y, None),
    "y a list": lambda: (rows(X), Y.tolist(), WEIGHTS.tolist()),
    "y a series, by position": lambda: (rows(X), pd.Series(Y, index=range(7, N + 7)), None),
    "y and weights of Dask frames": lambda: (framed(FRAME), framed(pd.Series(Y)), framed(pd.Series(WEIGHTS))),
    "frame, y and weights in memory": lambda: (framed(FRAME), Y, WEIGHTS),
    "frame, y and weights as series": lambda: (framed(FRAME), pd.Series(Y), pd.Series(WEIGHTS)),
    "frame, y of an array": lambda: (framed(FRAME), framed(pd.Series(Y)).to_dask_array(), None),
    "array, y of a frame": lambda: (framed(FRAME).to_dask_array(), framed(pd.Series(Y)), None),
    "arrays in other chunks": lambda: (rows(X), rows(Y, 77), rows(WEIGHTS, 13)),
    "a weight for all": lambda: (rows(X), rows(Y), 2.0),
    "chunks of unknown sizes": lambda: (of_unknown_sizes(rows(X)), rows(Y), of_unknown_sizes(rows(WEIGHTS))),
    "unknown sizes, y in memory": lambda: (of_unknown_sizes(rows(X)), Y, WEIGHTS),
    "nullable": lambda: (framed(FRAME.astype("Float64")), framed(pd.Series(Y, dtype="Int64")), None),
    "of pyarrow": lambda: (
        framed(FRAME.astype("double[pyarrow]")),
        framed(pd.Series(Y, dtype="int64[pyarrow]")),
        framed(pd.Series(WEIGHTS, dtype="double[pyarrow]")),
    ),
}


@pytest.mark.parametrize("make", SAMPLES.values(), ids=SAMPLES.keys())
def test_what_holds_the_sample_does_not_matter(make):
    X_lazy, y, weights = make()
    other = fitted(X, Y, weights if weights is None or np.isscalar(weights) else WEIGHTS)

    assert_agrees(fitted(X_lazy, y, weights), other)


TEXT = {
    "array": lambda: rows(LABELS),
    "objects": lambda: rows(LABELS.astype(object)),
    "series": lambda: framed(pd.Series(LABELS)),
    "categories": lambda: framed(pd.Series(LABELS, dtype="category")),
    "categories that are not known": lambda: framed(pd.Series(LABELS, dtype="category")).cat.as_unknown(),
    "list": LABELS.tolist,
}


@pytest.mark.parametrize("make", TEXT.values(), ids=TEXT.keys())
def test_labels_of_text_are_found_over_all_partitions(make):
    y = make()
    lazy = rows(X) if isinstance(y, da.Array) else framed(FRAME)

    assert_agrees(fitted(lazy, y), fitted(X, LABELS))


SOFT_TARGETS = {
    "array": lambda: (da.from_array(SOFT, chunks=(40, 2)), SOFT),
    "array in memory": lambda: (SOFT, SOFT),
    "frame": lambda: 2 * (pd.DataFrame(SOFT, columns=list("cab")),),
}


@pytest.mark.parametrize("options", [{}, {"class_weight": "balanced"}], ids=str)
@pytest.mark.parametrize("make", SOFT_TARGETS.values(), ids=SOFT_TARGETS.keys())
def test_soft_targets_have_the_classes_of_their_columns(make, options):
    lazy, plain = make()
    lazy = framed(lazy) if hasattr(lazy, "columns") else lazy
    X_lazy = framed(FRAME) if hasattr(lazy, "columns") else rows(X)

    assert_agrees(fitted(X_lazy, lazy, WEIGHTS, **options), fitted(X, plain, WEIGHTS, **options))


@pytest.mark.parametrize(
    ("kind", "width"), [(sparse.csr_array, P), (sparse.csr_matrix, 2), (sparse.coo_array, P)]
)
def test_chunks_may_be_sparse(kind, width):
    lazy = da.from_array(SPARSE.toarray(), chunks=(40, width)).map_blocks(kind)
    model = fitted(lazy, rows(Y))

    assert_agrees(model, fitted(SPARSE, Y), SPARSE)
    assert_array_equal(model.predict(lazy).compute(), model.predict(SPARSE))


def test_single_precision_stays_single():
    """Both round the same coefficients, up to their tolerance, to single precision."""
    single = np.float32(X)
    model, other = (fitted(store(single), Y, tol=1e-6) for store in (rows, np.asarray))

    assert model.coef_.dtype == np.float32
    assert_agrees(model, other, rtol=1e-5)
    assert model.predict_proba(rows(single)).compute().dtype == np.float32


def test_a_file_is_divided_alike_for_features_and_labels(tmp_path):
    """Dask reads a single column of several files at a time, where nothing keeps it from that."""
    for number in range(9):
        part = slice(number * 16, number * 16 + 16)
        FRAME.assign(a=1.0, b=2.0, c=3.0, y=Y)[part].to_parquet(tmp_path / f"{number}.parquet")
    frame = dd.read_parquet(tmp_path)
    model = fitted(frame[NAMES], frame["y"])

    assert len(frame["y"].to_delayed()) < frame.npartitions  # else this is no test
    assert_agrees(model, fitted(FRAME[:144], Y[:144]))
    assert_array_equal(fitted(frame[NAMES], Y[:144]).coef_, model.coef_)


def test_separated_classes_are_found_by_passes(wine):
    X, y = wine
    with pytest.warns(ConvergenceWarning, match="separat"):
        model = SoftmaxRegression(C=np.inf).fit(rows(X), rows(y))

    assert model.solution_.reason == "separation"
    assert model.score(rows(X), rows(y)) == 1


def test_wide_features_are_fitted_without_the_space_of_the_rows(rng):
    """Which needs all of X: the record then counts passes over the features as given."""
    wide = rng.normal(size=(40, 60))
    y = np.arange(40) % 3

    assert_agrees(fitted(rows(wide, 15), rows(y, 15)), fitted(wide, y), wide)


@pytest.mark.parametrize("before", [lambda: (X, Y), lambda: (rows(X), rows(Y))], ids=["memory", "Dask"])
def test_a_warm_start_begins_at_the_solution(before):
    model = SoftmaxRegression(warm_start=True).fit(*before())
    coef = model.coef_

    assert model.fit(rows(X), rows(Y)).n_iter_ <= 1
    assert_allclose(model.coef_, coef, atol=1e-3)


# -- partitions


ENDS = {
    "some empty": [0, 50, 50, 90, N],
    "one row each": [1, 2, 3, N - 2, N - 1],
    "a class in one alone": [60],
}


@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS.keys())
@pytest.mark.parametrize("labels", [LABELS, Y > 0], ids=["text", "booleans"])
def test_how_rows_are_divided_does_not_matter(ends, labels):
    order = np.argsort(Y, kind="stable")  # so that partitions have different classes, in different orders
    if ends != [60]:
        order = order[::-1]
    frame = divided(X[order], labels[order], ends, WEIGHTS[order])
    model, other = fitted(frame[NAMES], frame["y"], frame["w"]), fitted(X, labels, WEIGHTS)

    assert_allclose(model.coef_, other.coef_, atol=1e-9 * np.abs(other.coef_).max())
    assert_array_equal(model.classes_, other.classes_)
    assert_array_equal(model.predict(frame[NAMES]).compute(), other.predict(X[order]))


class Shrinking:
    """Reads partitions of 40 rows, of which one has a row less from its second time on."""

    def __init__(self, shrinks):
        self.shrinks, self.reads = shrinks, 0

    def __call__(self, number):
        """A partition."""
        self.reads += number == 2
        is_less = self.shrinks and number == 2 and self.reads > 1
        return FRAME.assign(y=Y)[40 * number : 40 * (number + 1) - is_less]

    def data(self):
        """Features and labels, which are read in every pass."""
        parts = [dask.delayed(self, pure=False)(number) for number in range(3)]
        frame = dd.from_delayed(parts, meta=FRAME.assign(y=Y)[:0])
        return frame[NAMES], frame["y"]


@pytest.mark.parametrize("model", [SoftmaxRegression(), SoftmaxRegressionCV([1.0])], ids=["fit", "search"])
def test_a_partition_that_has_other_rows_in_a_later_pass_is_named(model):
    same, shrinking = Shrinking(shrinks=False), Shrinking(shrinks=True)
    fit = clone(model).fit(*same.data())
    coef = fit.coef_
    with pytest.raises(ValueError, match=r"In partition 2: X must have the 40 rows.* first pass.*, got 39"):
        fit.fit(*shrinking.data())

    assert same.reads > 2
    assert shrinking.reads == 2
    assert fit.coef_ is coef


def test_a_partition_may_be_without_weight():
    weights = np.where(np.arange(N) < 80, 0.0, WEIGHTS)

    assert_agrees(fitted(rows(X), rows(Y), rows(weights)), fitted(X, Y, weights))


def test_of_two_labels_one_is_enough_to_have_weight():
    """As in a bootstrap sample's counts."""
    y = (Y > 0).astype(int)

    assert_agrees(fitted(rows(X), rows(y), rows(1.0 * y)), fitted(X, y, 1.0 * y))


@pytest.mark.parametrize("make", [lambda: rows(Y[:, np.newaxis]), lambda: framed(pd.DataFrame({"y": Y}))])
def test_a_single_column_is_taken_for_labels_with_one_warning(make):
    with pytest.warns(DataConversionWarning, match="1d array") as warned:
        model = fitted(framed(FRAME), make()) if hasattr(make(), "columns") else fitted(rows(X), make())

    assert len(warned) == 1
    assert_agrees(model, fitted(X, Y))


# -- predictions

METHODS = ["predict", "predict_proba", "predict_log_proba", "decision_function"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("labels", "dtype"),
    [(Y, "float64"), (LABELS, "float[pyarrow]"), (Y > 0, "Float32")],
    ids=["numbers", "text", "two"],
)
def test_predictions_of_a_frame_are_lazy_and_keep_its_divisions(method, labels, dtype):
    plain = FRAME.astype(dtype)
    model = SoftmaxRegression().fit(plain, labels)
    lazy = getattr(model, method)(framed(plain))
    values, made = getattr(model, method)(plain), lazy.compute()

    assert dask.is_dask_collection(lazy)
    assert lazy.divisions == framed(plain).divisions
    assert_array_equal(made.index, FRAME.index)
    assert_array_equal(made, values)
    if values.ndim == 2:
        assert_array_equal(lazy.columns, model.classes_)
        assert set(lazy.dtypes) == set(made.dtypes) == {values.dtype}
    else:
        assert lazy.dtype == made.dtype
    assert made.shape == values.shape


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("lazy_X", [da.from_array(X, chunks=(50, 3)), of_unknown_sizes(rows(X))])
def test_predictions_of_an_array_are_lazy(method, lazy_X):
    model = SoftmaxRegression().fit(X, LABELS)
    lazy, values = getattr(model, method)(lazy_X), getattr(model, method)(X)

    assert isinstance(lazy, da.Array)
    assert lazy.ndim == values.ndim
    assert lazy.dtype == values.dtype == lazy.compute().dtype
    assert_array_equal(lazy.compute(), values)
    assert_array_equal(lazy.chunks[0], lazy_X.chunks[0])


def test_a_temperature_divides_the_logits():
    model = SoftmaxRegression(temperature=3.0).fit(X, Y)

    assert_array_equal(model.predict_proba(rows(X)).compute(), model.predict_proba(X))
    assert_array_equal(model.predict_proba(rows(X), temperature=2.0).compute(), model.predict_proba(X, 2.0))


@pytest.mark.parametrize("weights", [None, WEIGHTS, np.where(np.arange(N) < 60, 0.0, 1.0)])
def test_accuracy_is_a_number(weights):
    labels = Y if weights is None else LABELS
    model = SoftmaxRegression().fit(X, labels)
    score, lazy_weights = model.score(X, labels, weights), None if weights is None else rows(weights)

    assert_allclose(model.score(rows(X), rows(labels), lazy_weights), score, rtol=N * EPS)
    assert_allclose(model.score(rows(X), labels, weights), score, rtol=N * EPS)
    assert isinstance(model.score(rows(X), rows(labels)), float)


@pytest.mark.parametrize("weights", [None, WEIGHTS, np.where(np.arange(N) < 60, 0.0, 1.0)])
@pytest.mark.parametrize("labels", [Y, LABELS, SOFT], ids=["numbers", "text", "soft"])
def test_the_cross_entropy_scorer_goes_by_partitions(labels, weights):
    """For any classifier; a mean of N numbers of one sign is rounded by no more than N times EPS."""
    model = SoftmaxRegression().fit(X, labels)
    for estimator in model, make_pipeline(StandardScaler(), clone(model)).fit(X, labels):
        score = neg_cross_entropy_scorer(estimator, X, labels, weights)
        lazy_weights = None if weights is None else rows(weights)

        for made in (
            neg_cross_entropy_scorer(estimator, rows(X), rows(labels), lazy_weights),
            neg_cross_entropy_scorer(estimator, da.from_array(X, chunks=(40, 3)), labels, weights),
        ):
            assert_allclose(made, score, rtol=N * EPS)
            assert isinstance(made, float)


def test_the_cross_entropy_scorer_takes_frames():
    model = SoftmaxRegression().fit(FRAME, LABELS)
    made = neg_cross_entropy_scorer(model, framed(FRAME), framed(pd.Series(LABELS)))

    assert_allclose(made, neg_cross_entropy_scorer(model, FRAME, LABELS), rtol=N * EPS)


def test_the_cross_entropy_scorer_names_what_is_wrong():
    model = SoftmaxRegression().fit(X, Y)
    with pytest.raises(
        TypeError, match="X must be a Dask collection where y, sample_weight or offset is one"
    ):
        neg_cross_entropy_scorer(model, X, rows(Y))
    with pytest.raises(ValueError, match=r"In partition 3: y has the classes \[7\]"):
        neg_cross_entropy_scorer(model, rows(X), rows(np.where(np.arange(N) == N - 1, 7, Y)))
    with pytest.raises(ValueError, match="score requires y to be passed"):
        neg_cross_entropy_scorer(model, rows(X), None)


def test_accuracy_against_soft_targets_is_refused_with_what_works():
    """The scorer that it names takes the same collections."""
    model = SoftmaxRegression().fit(X, SOFT)
    with pytest.raises(
        ValueError, match=r"score needs labels.*neg_cross_entropy_scorer.*SoftmaxRegressionCV"
    ):
        model.score(rows(X), rows(SOFT))

    made = neg_cross_entropy_scorer(model, rows(X), rows(SOFT))
    search = SoftmaxRegressionCV([model.C]).fit(rows(X), rows(SOFT))
    assert_allclose(made, search.score(rows(X), rows(SOFT)), rtol=1e-3)  # within tol of the same optimum


@pytest.mark.parametrize("lazy", [False, True], ids=["memory", "Dask"])
@pytest.mark.parametrize("given", [[], [None]], ids=["not given", "None"])
@pytest.mark.parametrize("model", [SoftmaxRegression(), SoftmaxRegressionCV([1.0])], ids=["fit", "search"])
def test_a_score_requires_y(model, given, lazy):
    fit = clone(model).fit(X, Y)
    with pytest.raises(ValueError, match=r"^score requires y to be passed, but the target y is None"):
        fit.score(rows(X) if lazy else X, *given)


def test_nan_is_found_where_predictions_are_made():
    model = SoftmaxRegression().fit(X, Y)
    bad = np.where(np.arange(N)[:, np.newaxis] == N - 1, np.nan, X)
    with pytest.raises(ValueError, match="In partition 3: Input X contains NaN"):
        model.predict(rows(bad)).compute()
    with pytest.raises(ValueError, match="In partition 3: Input X contains NaN"):
        model.score(rows(bad), rows(Y))


@pytest.mark.parametrize("method", [*METHODS, "score"])
def test_predicting_before_fit_is_an_error(method):
    arguments = (rows(X), rows(Y)) if method == "score" else (rows(X),)
    with pytest.raises(NotFittedError, match=r"not fitted.*'fit'"):
        getattr(SoftmaxRegression(), method)(*arguments)


@pytest.mark.parametrize("method", METHODS)
def test_predicting_takes_the_features_of_the_fit(method):
    predict = getattr(SoftmaxRegression().fit(framed(FRAME), Y), method)
    with pytest.raises(ValueError, match=r"(?s)feature names should match.*unseen.*z.*missing.*q"):
        predict(framed(FRAME.rename(columns={"q": "z"})))
    with pytest.raises(ValueError, match=r"X has 2 features.*expecting 4 features"):
        getattr(SoftmaxRegression().fit(rows(X), Y), method)(rows(X[:, :2]))


# -- the estimator


def test_a_fitted_model_is_of_numpy_alone():
    model = SoftmaxRegression().fit(framed(FRAME), framed(pd.Series(LABELS)))
    restored = pickle.loads(pickle.dumps(model))

    assert not any(map(dask.is_dask_collection, vars(model).values()))
    assert {type(getattr(model, name)) for name in ("coef_", "intercept_", "classes_")} == {np.ndarray}
    assert list(model.feature_names_in_) == NAMES
    assert model.n_features_in_ == P
    assert_array_equal(restored.predict_proba(FRAME), model.predict_proba(FRAME))
    assert not hasattr(clone(model), "coef_")
    assert b"dask" not in pickle.dumps(model)


def test_callbacks_are_called_as_in_memory():
    lazy, plain = Recorder(), Recorder()
    model = SoftmaxRegression().set_callbacks(lazy).fit(rows(X), rows(Y))
    SoftmaxRegression().set_callbacks(plain).fit(X, Y)

    assert lazy.events == plain.events
    assert len(lazy.events) == 2 * model.n_iter_ + 4
    assert_array_equal(lazy.fitted[-1].predict(X), model.predict(X))


def test_a_callback_stops_the_fit():
    model = SoftmaxRegression().set_callbacks(Recorder(stop_at=2)).fit(rows(X), rows(Y))

    assert model.n_iter_ == 2
    assert model.solution_.reason == "callback"


def test_dask_is_not_imported_for_what_is_in_memory():
    code = (
        "import sys, numpy as np; from smreg import SoftmaxRegression as S, regularization_path;"
        "X = np.random.default_rng(0).normal(size=(60, 2)); y = np.arange(60) % 3;"
        "S().fit(X, y).score(X, y); S().fit(X, y).predict_proba(X); regularization_path(X, y);"
        "assert not {'dask', 'distributed', 'pyarrow.dataset'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)


def test_no_warning_is_given_of_few_labels_in_a_partition():
    """scikit-learn takes many classes for few rows for a sign of regression."""
    y = np.arange(N) % 60
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SoftmaxRegression(max_iter=0, tol=10.0).fit(rows(X, 20), rows(y, 20))


def frozen(held):
    """The same, whose arrays can only be read."""
    if isinstance(held, np.ndarray):
        held.flags.writeable = False
    elif isinstance(held, list | tuple):
        [frozen(item) for item in held]
    elif hasattr(held, "__dict__") and not isinstance(held, type):
        [frozen(item) for item in vars(held).values()]
    return held


@pytest.mark.parametrize(
    "options", [{"C": 1e4}, {"l1_ratio": 1.0}, {"C": np.inf, "class_weight": "balanced"}], ids=str
)
@pytest.mark.parametrize("targets", [Y, SOFT], ids=["labels", "soft"])
def test_tasks_change_nothing_that_stays_with_the_rows(options, targets, monkeypatch):
    """Else a task that is repeated, as after a worker's death, would give another result."""
    call, encoded = dask_rows._call, dask_sample.encoded
    monkeypatch.setattr(dask_rows, "_call", lambda *held, **others: frozen(call(*frozen(held), **others)))
    monkeypatch.setattr(dask_sample, "encoded", lambda *held, **others: frozen(encoded(*held, **others)))
    many = np.concatenate([X, X + 1e-3, X - 1e-3])

    model = SoftmaxRegression(**options).fit(rows(many), np.concatenate([targets] * 3))
    assert model.converged_
