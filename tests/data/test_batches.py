"""A sample that is read in batches fits like the same in memory, with memory for one batch."""

import weakref

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from batching import Counted
from dask import array as da
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.dummy import DummyClassifier

from smreg import (
    SoftmaxRegression,
    SoftmaxRegressionCV,
    TemperatureScaling,
    calibration_study,
    family,
    fit_temperature,
    regularization_path,
)
from smreg.data import Batches, batch_rows
from smreg.data.batch_rows import BatchRows
from smreg.data.kernels import innermost
from smreg.metrics import (
    calibration_error,
    neg_calibration_error_scorer,
    neg_cross_entropy_scorer,
    smooth_calibration_error,
)

TOL = 1e-9
CLASSES = np.array(["bike", "bus", "car"])


def make_frame(rng, n=600, p=4, *, soft=False):
    """Classes that overlap, features in mixed units, and rows without weight."""
    X = rng.normal(size=(n, p))
    eta = X @ rng.normal(size=(p, 3))
    units = np.resize([1.0, 1e3, 1e-3, 10.0], p)
    frame = pd.DataFrame(X * units + 2.0 * units, columns=[f"x{j}" for j in range(p)])
    if soft:
        frame[CLASSES] = family.softmax(eta + rng.normal(size=eta.shape))
    else:
        frame["mode"] = CLASSES[(eta + rng.gumbel(size=eta.shape)).argmax(axis=1)]
    return frame.assign(weight=rng.integers(0, 4, size=n) / 2.0)


def cut(frame, *, at=(1, 130, 131, 400)):
    """Frames of some rows each."""
    return [frame.iloc[first:last] for first, last in zip([0, *at], [*at, len(frame)], strict=True)]


def parts_of(frame, target="mode"):
    """Features, targets and weights."""
    return frame.drop(columns=[*np.ravel(target), "weight"]), frame[target], frame["weight"]


def distance(model, other, X, weights):
    """Of two fits in the Fisher metric: that of the changes of the logits."""
    p, off = model.predict_proba(X), model.predict_log_proba(X) - other.predict_log_proba(X)
    variance = (p * off**2).sum(axis=1) - (p * off).sum(axis=1) ** 2
    return np.sqrt(max(weights @ variance / weights.sum(), 0.0))


@pytest.mark.parametrize("options", [{}, {"C": np.inf}, {"l1_ratio": 0.5}, {"fit_intercept": False}], ids=str)
@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("target", ["mode", list(CLASSES)], ids=["labels", "soft"])
def test_batches_fit_like_the_frame_in_memory(target, class_weight, options, rng):
    """Each is within `tol` of the optimum in the Fisher metric."""
    frame = make_frame(rng, soft=target != "mode")
    X, y, weights = parts_of(frame, target)
    model = SoftmaxRegression(class_weight=class_weight, tol=TOL, **options)

    ours = clone(model).fit(Batches(lambda: cut(frame), target, "weight"))
    theirs = model.fit(X, y, weights)
    assert ours.converged_
    assert_array_equal(ours.classes_, theirs.classes_)
    assert_array_equal(ours.feature_names_in_, theirs.feature_names_in_)
    assert ours.coef_.dtype == theirs.coef_.dtype
    assert distance(theirs, ours, X, weights) <= 2 * TOL


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_the_logits_are_those_of_the_fit_in_memory(class_weight, rng):
    """To 1e-9 of the largest: both take the same steps, by a sample too, and sums have another order."""
    frame = make_frame(rng, 10_000, 12)
    X, y, weights = parts_of(frame)
    model = SoftmaxRegression(class_weight=class_weight)
    batches = Batches(lambda: cut(frame, at=range(3000, 10_000, 3000)), "mode", "weight")

    ours, theirs = (clone(model).fit(*data).decision_function(X) for data in ([batches], [X, y, weights]))
    assert np.abs(ours - theirs).max() <= 1e-9 * np.abs(theirs).max()


def test_threads_change_no_bit(rng):
    """The larger batch has several blocks."""
    frame = make_frame(rng, 40_000, 30)
    models = [
        SoftmaxRegression(n_jobs=n_jobs).fit(Batches(lambda: cut(frame, at=[36_000]), "mode", "weight"))
        for n_jobs in (1, 2)
    ]

    assert_array_equal(models[0].coef_, models[1].coef_)


@pytest.mark.parametrize(
    "as_batches",
    [
        lambda frame: cut(frame),
        lambda frame: pa.Table.from_pandas(frame, preserve_index=False).to_batches(200),
        lambda frame: [pa.Table.from_pandas(part, preserve_index=False) for part in cut(frame)],
        lambda frame: [part.convert_dtypes() for part in cut(frame)],
        lambda frame: [part.convert_dtypes(dtype_backend="pyarrow") for part in cut(frame)],
        lambda frame: [part.astype({"mode": "category"}) for part in cut(frame)],
        lambda frame: [*cut(frame.iloc[:0], at=()), *cut(frame), frame.iloc[:0]],
        lambda frame: [part.reset_index(drop=True) for part in cut(frame)],
    ],
    ids=["pandas", "record batches", "tables", "nullable", "pyarrow", "categories", "empty", "index"],
)
def test_what_holds_the_batches_makes_no_difference(as_batches, rng):
    frame = make_frame(rng)
    models = [
        SoftmaxRegression(tol=TOL).fit(Batches(lambda parts=parts: parts, "mode", "weight"))
        for parts in (cut(frame), as_batches(frame))
    ]
    X, _, weights = parts_of(frame)

    assert_array_equal(models[0].classes_, models[1].classes_)
    assert distance(*models, X, weights) <= 2 * TOL


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize(
    "labels", [CLASSES, np.array([3, -1, 7]), np.array([0.0, 2.0, -1.0]), CLASSES.astype(object)]
)
def test_labels_are_found_in_all_batches(labels, ascending, rng):
    """Each has a class alone, and sorted classes come in any order."""
    frame = make_frame(rng)
    frame["mode"] = labels[np.searchsorted(CLASSES, frame["mode"])]
    frame = frame.sort_values("mode", ascending=ascending)
    ends = np.flatnonzero(frame["mode"].to_numpy()[1:] != frame["mode"].to_numpy()[:-1]) + 1
    model = SoftmaxRegression().fit(Batches(lambda: cut(frame, at=ends), "mode", "weight"))

    assert_array_equal(model.classes_, np.unique(labels))


def test_a_batch_without_weight_counts_as_nothing(rng):
    frame = make_frame(rng)
    nothing = frame.assign(weight=0.0, x0=-frame["x0"])
    X, _, weights = parts_of(frame)
    models = [
        SoftmaxRegression(tol=TOL).fit(Batches(lambda parts=parts: parts, "mode", "weight"))
        for parts in ([frame], [nothing, frame])
    ]

    assert distance(*models, X, weights) <= 2 * TOL


def test_single_precision_stays_so(rng):
    frame = make_frame(rng).astype({f"x{j}": np.float32 for j in range(4)})
    model = SoftmaxRegression().fit(Batches(lambda: cut(frame), "mode", "weight"))

    assert model.coef_.dtype == np.float32


@pytest.mark.parametrize(("class_weight", "before"), [(None, 1), ("balanced", 2)])
def test_one_pass_comes_before_the_first_evaluation_and_with_class_weights_two(
    class_weight, before, rng, monkeypatch
):
    """In all they are fewer than 30, for a fit in which rows are sampled."""
    frame = make_frame(rng, 10_000, 12)
    factory, calls, map_reduce = Counted(cut(frame)), [], BatchRows.map_reduce

    def spied(rows, kernel, *arguments, **hints):
        if innermost(kernel, arguments).__name__ == "_value_and_gradients":
            calls.append(factory.calls)
        return map_reduce(rows, kernel, *arguments, **hints)

    monkeypatch.setattr(BatchRows, "map_reduce", spied)
    solution = SoftmaxRegression(class_weight=class_weight).fit(Batches(factory, "mode", "weight")).solution_
    assert calls[0] == before
    assert solution.refreshes > 0
    assert factory.calls < 30


class Watched:
    """Makes frames, and finds that those before are gone when it is asked for another."""

    def __init__(self, frame):
        self.frame, self.most = frame, 0

    def __call__(self):
        """Frames on arrays of their own."""
        numbers, rest = self.frame[["x0", "x1", "x2", "x3"]].to_numpy(), self.frame[["mode", "weight"]]
        held = []
        for first in range(0, len(self.frame), 2000):
            self.most = max(self.most, sum(reference() is not None for reference in held))
            array = numbers[first : first + 2000].copy()
            held.append(weakref.ref(array))
            frame = pd.DataFrame(array, columns=["x0", "x1", "x2", "x3"], copy=False)
            frame[["mode", "weight"]] = rest.iloc[first : first + 2000].to_numpy()
            frame = frame.astype({"weight": float})
            del array
            yield frame
            held.append(weakref.ref(frame))
            del frame


@pytest.mark.parametrize("options", [{}, {"l1_ratio": 0.5}, {"class_weight": "balanced"}], ids=str)
def test_a_batch_is_gone_before_the_next_is_read(options, rng):
    """Neither frames nor the arrays under them are referred to, in any pass."""
    factory = Watched(make_frame(rng, 10_000))
    SoftmaxRegression(n_jobs=1, **options).fit(Batches(factory, "mode", "weight"))

    assert factory.most == 0


def test_what_is_too_much_to_keep_is_made_again(rng, monkeypatch):
    """In more passes, and to the last bit."""
    frame = make_frame(rng, 10_000, 12)
    factories = [Counted(cut(frame)), Counted(cut(frame))]
    held = SoftmaxRegression().fit(Batches(factories[0], "mode", "weight"))
    monkeypatch.setattr(batch_rows, "MAX_NUMBERS", 1000)
    made = SoftmaxRegression().fit(Batches(factories[1], "mode", "weight"))

    assert factories[1].calls > factories[0].calls
    assert_array_equal(made.coef_, held.coef_)


def test_a_warm_start_begins_at_the_previous_fit(rng):
    frames = cut(make_frame(rng))
    batches = Batches(lambda: frames, "mode", "weight")
    model = SoftmaxRegression(warm_start=True).fit(batches)
    before = model.solution_.evaluations

    assert model.fit(batches).solution_.evaluations < before


def fails(fitted, batches, message, **arguments):
    """A fit ends in an error, and leaves the estimator as it was."""
    before = dict(vars(fitted))
    with pytest.raises((TypeError, ValueError), match=message) as error:
        fitted.fit(batches, **arguments)
    after = vars(fitted)

    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)
    return error


@pytest.fixture
def fitted():
    return SoftmaxRegression().fit([[0.0], [1.0]], [0, 1])


def changed(frames, change):
    """A factory whose third pass yields other frames."""
    passes = iter([frames, frames])
    return lambda: next(passes, change(frames))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda frames: frames[:-1], "batches with rows"),
        (lambda frames: [*frames, frames[0]], "numbers of rows"),
        (lambda frames: [pd.concat(frames)], "numbers of rows"),
        (lambda frames: [*frames[:-1], frames[-1].iloc[:-1]], "numbers of rows"),
        (lambda frames: [*frames[:-1], frames[-1].iloc[::-1]], "targets or weights"),
        (lambda frames: [frames[0].assign(mode="boat"), *frames[1:]], "targets or weights"),
        (lambda frames: [frames[0].assign(weight=3.0), *frames[1:]], "targets or weights"),
        (lambda frames: [frames[0].assign(x2=0.0), *frames[1:]], "features"),
        (lambda frames: [frames[0].assign(x1=frames[0].x2, x2=frames[0].x1), *frames[1:]], "features"),
        (lambda frames: [frame[frame.columns[::-1]] for frame in frames], "columns"),
        (lambda frames: [], "batches with rows"),
    ],
)
def test_a_pass_that_yields_other_rows_is_an_error(change, what, fitted, rng):
    error = fails(fitted, Batches(changed(cut(make_frame(rng)), change), "mode", "weight"), what)

    assert what == "columns" or "Every pass must yield the rows of the first" in str(error.value)


def test_an_iterator_that_was_read_before_is_an_error(fitted, rng):
    frames = iter(cut(make_frame(rng)))

    fails(fitted, Batches(lambda: frames, "mode", "weight"), "factory must begin anew")


def without(*columns):
    return lambda frames: [frame.drop(columns=list(columns)) for frame in frames]


def last(**values):
    return lambda frames: [*frames[:-1], frames[-1].assign(**values)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("mode"), "In batch 0: there must be one column 'mode', got"),
        (without("weight"), "In batch 0: there must be one column 'weight', got"),
        (without("x0", "x1", "x2", "x3"), "In batch 0: there must be a column of features"),
        (last(x1=np.nan), "In batch 4: Input X contains NaN"),
        (last(x1=np.inf), "In batch 4: Input X contains infinity"),
        (last(x1="far"), r"In batch 4: X must hold numbers, but the columns \['x1'\] hold text"),
        (last(x1=pd.Timestamp(0)), "In batch 4: X must hold numbers, but column 'x1' holds dates"),
        (last(weight=-1.0), "In batch 4: sample_weight must be non-negative"),
        (last(mode=None), "In batch 4: Input y contains None"),
        (last(mode=3), "y must have labels of one kind"),
        (last(more=3), "In batch 4: X must have the columns"),
        (lambda frames: [frame.assign(mode="car") for frame in frames], "got only one class"),
        (lambda frames: [frame.assign(weight=0.0) for frame in frames], "got only weights of zero"),
        (lambda frames: [frame.iloc[:0] for frame in frames], "at least one sample"),
        (lambda frames: [], "at least one sample"),
        (lambda frames: frames[0].to_numpy(), "In batch 0: a batch must be a DataFrame"),
        (lambda frames: None, "factory must return an iterable of batches, got NoneType"),
    ],
)
def test_bad_batches_are_named(change, message, fitted, rng):
    frames = change(cut(make_frame(rng)))

    fails(fitted, Batches(lambda: frames, "mode", "weight"), message)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (([], "mode"), TypeError, "factory must be a function without arguments .* got list"),
        ((list, ["mode"]), ValueError, "target must be a column, or a list"),
        ((list, "mode", "mode"), ValueError, "sample_weight must be another column than the target"),
        ((list, ["a", "b"], "a"), ValueError, "sample_weight must be another column than the target"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments, kind, message):
    with pytest.raises(kind, match=message):
        Batches(*arguments)


@pytest.mark.parametrize("name", ["y", "sample_weight"])
def test_targets_and_weights_are_in_the_batches(name, fitted, rng):
    frame = make_frame(rng)

    fails(fitted, Batches(lambda: [frame], "mode"), f"^{name} must be None", **{name: np.ones(len(frame))})


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
def test_predictions_take_one_batch_at_a_time(method, rng):
    frames = cut(make_frame(rng))
    batches = Batches(lambda: frames, "mode", "weight")
    model = SoftmaxRegression().fit(batches)

    with pytest.raises(
        TypeError, match=r"^X must be in memory.*got Batches.*model\.predict\(batch\[features"
    ):
        getattr(model, method)(batches)
    assert [len(getattr(model, method)(parts_of(frame)[0])) for frame in frames] == list(map(len, frames))


BATCHES = Batches(lambda: [make_frame(np.random.default_rng(0))], "mode")
X, Y, _ = parts_of(make_frame(np.random.default_rng(0)))
MODEL = SoftmaxRegression().fit(X, Y)
SEARCH = SoftmaxRegressionCV([1.0]).fit(X, Y)
P = MODEL.predict_proba(X)
LOGITS = MODEL.decision_function(X)
NOT_TAKEN = {
    "fit y": lambda: SoftmaxRegression().fit(X, BATCHES),
    "fit sample_weight": lambda: SoftmaxRegression().fit(X, Y, BATCHES),
    "fit of Dask y": lambda: SoftmaxRegression().fit(da.from_array(X.to_numpy()), BATCHES),
    "fit of Dask sample_weight": lambda: SoftmaxRegression().fit(da.from_array(X.to_numpy()), Y, BATCHES),
    "score X": lambda: MODEL.score(BATCHES),
    "score with None X": lambda: MODEL.score(BATCHES, None),
    "score with labels X": lambda: MODEL.score(BATCHES, Y),
    "score y": lambda: MODEL.score(X, BATCHES),
    "score of a search X": lambda: SEARCH.score(BATCHES),
    "score of a search with labels X": lambda: SEARCH.score(BATCHES, Y),
    "regularization_path X": lambda: regularization_path(BATCHES, None),
    "regularization_path y": lambda: regularization_path(X, BATCHES),
    "TemperatureScaling.fit X": lambda: TemperatureScaling(MODEL).fit(BATCHES, None),
    "TemperatureScaling.fit y": lambda: TemperatureScaling(MODEL).fit(X, BATCHES),
    "TemperatureScaling.predict X": lambda: TemperatureScaling(MODEL).fit(X, Y).predict(BATCHES),
    "calibration_study X": lambda: calibration_study({"a": DummyClassifier()}, BATCHES, None),
    "calibration_study y": lambda: calibration_study({"a": DummyClassifier()}, X, BATCHES),
    "fit_temperature logits": lambda: fit_temperature(BATCHES, Y),
    "fit_temperature y": lambda: fit_temperature(LOGITS, BATCHES),
    "calibration_error probabilities": lambda: calibration_error(Y, BATCHES),
    "calibration_error y": lambda: calibration_error(BATCHES, P),
    "smooth_calibration_error y": lambda: smooth_calibration_error(BATCHES, P),
    "neg_cross_entropy_scorer X": lambda: neg_cross_entropy_scorer(MODEL, BATCHES, Y),
    "neg_cross_entropy_scorer y": lambda: neg_cross_entropy_scorer(MODEL, X, BATCHES),
    "neg_calibration_error_scorer X": lambda: neg_calibration_error_scorer(MODEL, BATCHES, Y),
}


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_what_takes_no_batches_names_the_argument_and_what_works(name):
    argument = name.split()[-1]
    with pytest.raises(
        TypeError, match=rf"^{argument} must be in memory.*got Batches.*SoftmaxRegression\.fit"
    ):
        NOT_TAKEN[name]()
