"""Cross-validation of batches: that of a Dask collection of the same rows, with memory for one batch."""

import threading
import weakref

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from batching import Counted
from numpy.testing import assert_allclose, assert_array_equal
from recorder import Recorder
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import KFold, PredefinedSplit
from sklearn.utils.validation import check_is_fitted

from smreg import SoftmaxRegression, SoftmaxRegressionCV, family
from smreg.data import Batches
from smreg.data.batch_rows import batch_sample
from smreg.data.dask_sample import dask_sample
from smreg.data.folds import divided
from smreg.metrics import neg_cross_entropy_scorer

CLASSES = np.array(["bike", "bus", "car"])
FEATURES = [f"x{j}" for j in range(4)]
GRID = [1e-2, 1.0, 100.0]
ENDS = 1, 130, 131, 400


def make_frame(rng, n=600, *, soft=False):
    """Classes that overlap, features in mixed units, and rows without weight."""
    X = rng.normal(size=(n, 4))
    eta = X @ rng.normal(size=(4, 3))
    frame = pd.DataFrame(X * [1.0, 1e3, 1e-3, 10.0], columns=FEATURES)
    if soft:
        frame[CLASSES] = family.softmax(eta + rng.normal(size=eta.shape))
    else:
        frame["mode"] = CLASSES[(eta + rng.gumbel(size=eta.shape)).argmax(axis=1)]
    return frame.assign(weight=rng.integers(1, 4, size=n) / 2.0)


def cut(frame, ends=ENDS):
    """Frames of some rows each."""
    return [frame.iloc[first:last] for first, last in zip([0, *ends], [*ends, len(frame)], strict=True)]


def batches_of(frame, target="mode", ends=ENDS):
    return Batches(Counted(cut(frame, ends)), target, "weight")


def dask_of(frame, target="mode", ends=ENDS):
    """Features, targets and weights, with a partition for each batch."""
    collection = dd.concat([dd.from_pandas(part, npartitions=1) for part in cut(frame, ends)])
    return collection[FEATURES], collection[target], collection["weight"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"Cs": 4},
        {"fit_intercept": False},
        {"class_weight": "balanced"},
        {"class_weight": {"bike": 2.0, "bus": 0.5, "car": 1.0}},
        {"l1_ratios": [0.0, 0.5, 1.0]},
        {"rule": "one_standard_error"},
        {"refit": False},
        {"Cs": [1.0, np.inf]},
        {"scoring": "accuracy"},
        {"scoring": "neg_brier_score", "temperature": 2.0},
        {"scoring": neg_cross_entropy_scorer},
        {"cv": PredefinedSplit(np.arange(600) % 4 - 1)},
        {"soft": True},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:The best C")
def test_it_is_the_search_of_a_dask_collection(options, rng):
    """With the same partitions: both take the same steps, by sums that differ in rounding alone.

    Coefficients and scores then do so too, to some thousand times the rounding, for how much a solution may
    turn at errors of its gradient.
    """
    options = {"Cs": GRID, "cv": 3, "tol": 1e-8} | options
    soft = options.pop("soft", False)
    frame, target = make_frame(rng, soft=soft), list(CLASSES) if soft else "mode"
    X, y, weights = dask_of(frame, target)

    model = SoftmaxRegressionCV(**options).fit(batches_of(frame, target))
    expected = SoftmaxRegressionCV(**options).fit(X, y, sample_weight=weights)
    size = np.abs(expected.coefs_paths_).max(axis=(0, 1, 2, 3))
    assert_allclose(model.coefs_paths_ / size, expected.coefs_paths_ / size, rtol=0, atol=1e-9)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-9, atol=1e-12)
    for name in ("C", "mean", "standard_error"):
        assert_allclose(model.scores_[name], expected.scores_[name], rtol=1e-9)
    assert model.best_index_ == expected.best_index_
    assert_array_equal(model.classes_, expected.classes_)
    assert_array_equal(model.feature_names_in_, FEATURES)
    assert model.temperature_ == expected.temperature_


def folds_of(sample, cv):
    """The fold numbers of all rows."""
    rows, _ = divided(sample.rows, cv, sample.classes)
    return np.concatenate(list(rows.map_blocks(fold_numbers)))


def fold_numbers(block):
    return block.folds


@pytest.mark.parametrize("soft", [False, True], ids=["labels", "soft"])
@pytest.mark.parametrize("ends", [ENDS, (), (300,), tuple(range(1, 60))], ids=len)
def test_folds_are_those_of_a_dask_collection_whatever_the_batches(ends, soft, rng):
    frame, target = make_frame(rng, soft=soft), list(CLASSES) if soft else "mode"
    ours = batch_sample(SoftmaxRegressionCV(), batches_of(frame, target, ends), None, map)

    theirs = dask_sample(*dask_of(frame, target), None)
    assert_array_equal(folds_of(ours, 5), folds_of(theirs, 5))


def test_empty_batches_have_no_folds(rng):
    frame, folds = make_frame(rng), np.arange(600) % 3
    fits = [
        SoftmaxRegressionCV(GRID, cv=cv).fit(batches_of(frame, ends=ends))
        for cv in (3, folds)
        for ends in (ENDS, (0, *ENDS, 400, 600))
    ]

    for one, other in (fits[:2], fits[2:]):
        assert_array_equal(one.coefs_paths_, other.coefs_paths_)


def test_fold_numbers_come_in_any_form(rng):
    """Of numbers other than 0, 1, ... the order counts."""
    frame, folds = make_frame(rng), rng.integers(-1, 4, 600)
    apart = np.where(folds < 0, -5, 7 * folds + 3)
    fits = [
        SoftmaxRegressionCV(GRID, cv=cv).fit(batches_of(frame))
        for cv in (folds, folds.tolist(), PredefinedSplit(folds), pd.Series(folds), apart)
    ]

    for model in fits[1:]:
        assert_array_equal(model.coefs_paths_, fits[0].coefs_paths_)


@pytest.mark.parametrize(("Cs", "most"), [(np.logspace(-4, 4, 10), 2), (10, 4)], ids=["given", "by the data"])
@pytest.mark.filterwarnings("ignore:The best C")
def test_ten_penalties_and_five_folds_take_few_times_the_passes_of_a_fit(Cs, most, rng):
    """Not fifty times as many, for which the fits would be by themselves."""
    batches = batches_of(make_frame(rng, 3000))
    SoftmaxRegression().fit(batches)
    one, batches.factory.calls = batches.factory.calls, 0
    search = SoftmaxRegressionCV(Cs).fit(batches)

    assert batches.factory.calls <= most * one
    assert search.cv_results_["evaluations"].sum() > 5 * batches.factory.calls


class Watched:
    """Makes frames, and finds that those before are gone when it is asked for another."""

    def __init__(self, frame):
        self.parts, self.most = [part.to_dict("list") for part in cut(frame, (2000, 4000))], 0

    def __call__(self):
        """Frames on arrays of their own."""
        held = []
        for part in self.parts:
            self.most = max(self.most, sum(reference() is not None for reference in held))
            numbers = np.column_stack([part[name] for name in FEATURES])
            frame = pd.DataFrame(numbers, columns=FEATURES, copy=False)
            frame = frame.assign(mode=part["mode"], weight=part["weight"])
            held += [weakref.ref(numbers), weakref.ref(frame)]
            del numbers
            yield frame
            del frame


@pytest.mark.parametrize("options", [{}, {"l1_ratios": [0.5]}, {"class_weight": "balanced"}], ids=str)
def test_a_batch_is_gone_before_the_next_is_read(options, rng):
    """Neither frames nor the arrays under them are referred to, in any pass."""
    factory = Watched(make_frame(rng, 6000))
    SoftmaxRegressionCV(GRID, n_jobs=1, **options).fit(Batches(factory, "mode", "weight"))

    assert factory.most == 0


def test_threads_change_no_bit(rng):
    """The larger batch has several blocks."""
    frame = make_frame(rng, 110_000)
    frame["mode"] = np.searchsorted(CLASSES, frame["mode"])
    fits = [
        SoftmaxRegressionCV([1.0], cv=2, n_jobs=n_jobs).fit(batches_of(frame, ends=(109_000,)))
        for n_jobs in (1, 2)
    ]

    assert_array_equal(fits[0].coefs_paths_, fits[1].coefs_paths_)
    assert_array_equal(fits[0].scores_["mean"], fits[1].scores_["mean"])


def fails(model, batches, error, **arguments):
    """A fit ends in an error, leaves the estimator as it was, and no thread."""
    before, n_threads = dict(vars(model)), threading.active_count()
    with pytest.raises(type(error), match=str(error)):
        model.fit(batches, **arguments)
    after = vars(model)

    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)
    assert threading.active_count() == n_threads


class Failing:
    """A factory whose pass of that number yields other frames, or raises an error."""

    def __init__(self, frames, number, other):
        self.frames, self.number, self.other, self.calls = frames, number, other, 0

    def __call__(self):
        """The batches."""
        self.calls += 1
        if self.calls != self.number:
            return iter(self.frames)
        if isinstance(self.other, BaseException):
            raise self.other
        return iter(self.other)


@pytest.mark.parametrize("number", [2, 3, 4, 8, 12])
@pytest.mark.parametrize("kind", ["shorter", "other", "OSError", "interrupt"])
def test_a_pass_that_fails_leaves_a_fitted_search_as_it_was(kind, number, rng):
    """Counting rows, describing folds, fitting: in any pass."""
    frames = cut(make_frame(rng))
    model = SoftmaxRegressionCV(GRID, cv=3).fit(Batches(lambda: frames, "mode", "weight"))
    others = {
        "shorter": (frames[:-1], ValueError("Every pass must yield the rows of the first")),
        "other": (frames[::-1], ValueError("Every pass must yield the rows of the first")),
        "OSError": (OSError("the disk is gone"), OSError("the disk is gone")),
        "interrupt": (KeyboardInterrupt("now"), KeyboardInterrupt("now")),
    }
    other, error = others[kind]

    fails(model, Batches(Failing(frames, number, other), "mode", "weight"), error)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cv": KFold(3)}, "cv must be a number of folds, a PredefinedSplit, or the number of each row's"),
        ({"cv": [(np.arange(200), np.arange(200, 600))]}, "cv must be a number of folds"),
        ({"cv": np.zeros(600)}, "cv must be a number of folds"),
        ({"cv": dd.from_pandas(pd.Series(np.arange(600) % 3))}, "cv must be a number of folds"),
        ({"cv": np.zeros(7, dtype=int)}, "cv must have a row for each of the 600 samples of X, got 7"),
        ({"cv": np.full(600, -1)}, "cv must have from 1 to 32767 different numbers"),
        ({"cv": 500}, "cv=500 needs a class of so many samples"),
        ({"scoring": "roc_auc_ovr"}, "where X is a Dask collection or Batches and y are labels"),
        ({"temperature": "cv"}, 'temperature="cv" needs the logits of all samples in memory'),
    ],
    ids=str,
)
def test_bad_arguments_are_named(options, message, rng):
    fails(SoftmaxRegressionCV(GRID, **options), batches_of(make_frame(rng)), ValueError(message))


@pytest.mark.parametrize("name", ["y", "sample_weight"])
def test_targets_and_weights_are_in_the_batches(name, rng):
    message = f"{name} must be None where X is Batches, which names its column"
    arguments = {name: np.ones(600)}

    fails(SoftmaxRegressionCV(GRID), batches_of(make_frame(rng)), ValueError(message), **arguments)


def test_groups_are_numbers_of_folds(rng):
    message = r"fit takes no \['groups'\] where X is a Dask collection or Batches"

    fails(SoftmaxRegressionCV(GRID), batches_of(make_frame(rng)), ValueError(message), groups=np.ones(600))


def test_without_targets_what_is_in_memory_is_refused():
    model = SoftmaxRegressionCV()
    with pytest.raises(ValueError, match="y"):
        model.fit(np.ones((10, 2)))
    with pytest.raises(NotFittedError):
        check_is_fitted(model)


def test_a_class_that_a_training_part_lacks_is_told(rng):
    frame = make_frame(rng)
    folds = np.where(frame["mode"] == "car", 0, np.arange(600) % 3)
    with pytest.warns(UserWarning, match="The training part of fold 0 has no sample") as caught:
        SoftmaxRegressionCV([1.0], cv=folds).fit(batches_of(frame))

    assert caught[0].filename == __file__


def test_callbacks_see_the_candidates_that_they_see_in_memory(rng):
    frame, folds, events = make_frame(rng), np.arange(600) % 3, []
    for data in ([batches_of(frame)], [frame[FEATURES], frame["mode"]]):
        recorder = Recorder()
        SoftmaxRegressionCV(GRID, cv=PredefinedSplit(folds)).set_callbacks(recorder).fit(*data)
        events.append(recorder.events)

    assert events[0] == events[1]


def test_a_clone_fits_alike(rng):
    batches, model = batches_of(make_frame(rng)), SoftmaxRegressionCV(GRID, cv=3)

    fits = [made.fit(batches) for made in (model, clone(model))]
    assert_array_equal(fits[0].coef_, fits[1].coef_)


def test_predictions_and_scores_take_one_batch_at_a_time(rng):
    frame = make_frame(rng)
    model = SoftmaxRegressionCV(GRID, cv=3).fit(batches_of(frame))
    with pytest.raises(TypeError, match=r"got Batches.*as (in )?model\.predict\(batch"):
        model.predict(batches_of(frame))

    assert [len(model.predict(part[FEATURES])) for part in cut(frame)] == list(map(len, cut(frame)))
