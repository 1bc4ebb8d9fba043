"""What is refused of Dask collections: before a pass where it can be, else with the partition named.

Each case lists words, as regular expressions, that the message of its error cannot do without.
"""

import copy
import re
from types import SimpleNamespace

import dask
import numpy as np
import pandas as pd
import pytest
from dask import array as da
from dask import bag
from dask import dataframe as dd
from dask.sizeof import sizeof
from numpy.testing import assert_array_equal
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from smreg import (
    SoftmaxRegression,
    TemperatureScaling,
    calibration_study,
    fit_temperature,
    regularization_path,
)
from smreg.data import dask_partitions, dask_sample, parts
from smreg.metrics import calibration_error, neg_calibration_error_scorer, smooth_calibration_error
from smreg.objective.cross_entropy import probabilities_of
from smreg.objective.logits import Point
from smreg.plots import ReliabilityDisplay, TemperatureDisplay

N, P = 60, 3
X = np.random.default_rng(0).normal(size=(N, P))
Y = np.arange(N) % 3
SOFT = np.eye(3)[Y]
ONES = np.ones(N)
FRAME = pd.DataFrame(X, columns=list("abc"))
SERIES = pd.Series(Y)


@pytest.fixture(autouse=True)
def _in_turn():
    """Tasks one after the other, which for so few rows is fastest."""
    with dask.config.set(scheduler="synchronous"):
        yield


def rows(values, size=20):
    return da.from_array(np.asarray(values), chunks=(size, *np.shape(values)[1:]))


def framed(values, n=3):
    return dd.from_pandas(values, npartitions=n)


def put(array, index, value):
    """A float copy of `array` with one entry, or one row, replaced."""
    changed = np.array(array, dtype=float)
    changed[index] = value
    return changed


def third(change):
    """A frame whose third partition is changed, unlike what Dask knows of it."""
    parts = [FRAME[:20], FRAME[20:40], change(FRAME[40:])]
    return dd.from_delayed([dask.delayed(part) for part in parts], meta=FRAME[:0], verify_meta=False)


LAZY_X, LAZY_Y = rows(X), rows(Y)


def case(name, words, X=LAZY_X, y=LAZY_Y, sample_weight=None, **params):
    return pytest.param(SimpleNamespace(words=words, data=(X, y, sample_weight), params=params), id=name)


BEFORE = [
    case("X in memory", [r"\bX\b", "Dask collection", r"compute\(\)"], X=X),
    case("X in memory, weights of Dask", [r"\bX\b", "sample_weight"], X=X, y=Y, sample_weight=rows(ONES)),
    case("X a bag", ["DataFrame or array", "Bag"], X=bag.from_sequence([1, 2])),
    case("X delayed", ["DataFrame or array", "Delayed"], X=dask.delayed(X)),
    case("X a series", ["two dimensions", "1"], X=framed(FRAME["a"])),
    case("X of three dimensions", ["two dimensions", "3"], X=rows(X[:, :, np.newaxis])),
    case("X of objects", ["numbers", "object", "astype"], X=rows(X.astype(object))),
    case("X of text", ["numbers", "<U", "astype"], X=rows(X.astype(str))),
    case("X complex", ["Complex data not supported"], X=rows(X + 1j)),
    case("X of dates", ["dates", "datetime64"], X=rows(X.astype("M8[s]"))),
    case("a column of text", [r"\['d'\]", "text", "OneHotEncoder"], X=framed(FRAME.assign(d="t"))),
    case(
        "a column of text of pyarrow",
        [r"\['d'\]", "text"],
        X=framed(FRAME.assign(d=pd.Series(["t"] * N, dtype="string[pyarrow]"))),
    ),
    case("a column of dates", ["'d'", "dates"], X=framed(FRAME.assign(d=pd.Timestamp("2020")))),
    case("a column of complex numbers", ["Complex", "'d'"], X=framed(FRAME.assign(d=1j))),
    case("no y", ["requires y"], y=None),
    case("y delayed", [r"\by\b", "Series, DataFrame or array", "Delayed"], y=dask.delayed(Y)),
    case("y too short", [r"\by\b", "60", "40"], y=rows(Y[:40])),
    case("y too short, in memory", [r"\by\b", "60", "40"], y=Y[:40]),
    case("y of one class, in memory", ["at least 2 classes", "0"], y=0 * Y),
    case("y with NaN, in memory", [r"\by\b", "NaN", "position 59"], y=put(Y, 59, np.nan)),
    case("soft y, in memory", ["sum to 1", "row 59"], y=put(SOFT, (59, 0), 0.5)),
    case(
        "y with other divisions",
        [r"\by\b", "divided", r"\(0, 30, 59\)", "repartition"],
        X=framed(FRAME),
        y=framed(SERIES, 2),
    ),
    case(
        "y with another index",
        [r"\by\b", "divided"],
        X=framed(FRAME),
        y=framed(SERIES.set_axis(range(9, 69))),
    ),
    case("y with other partitions", [r"\by\b", "3 of X", "2", "repartition"], X=framed(FRAME), y=rows(Y, 30)),
    case(
        "weights with other partitions",
        ["sample_weight", "3 of X", "2", "repartition"],
        X=framed(FRAME).clear_divisions(),
        y=Y,
        sample_weight=framed(pd.Series(ONES), 2),
    ),
    case("weights too few", ["sample_weight", "60", "7"], sample_weight=ONES[:7]),
    case("weights too few, of Dask", ["sample_weight", "60", "40"], sample_weight=rows(ONES[:40])),
    case("weights negative, in memory", ["sample_weight", "row 59", "-1"], sample_weight=put(ONES, 59, -1)),
    case("a weight of zero", ["sample_weight", "positive", "zero"], sample_weight=0.0),
]
IN_PARTITION_2 = [
    case("X with NaN", [r"\bX\b", "NaN"], X=rows(put(X, (59, 1), np.nan))),
    case("X infinite", [r"\bX\b", "infinity"], X=rows(put(X, (59, 1), np.inf))),
    case("a frame with NaN", [r"\bX\b", "NaN"], X=framed(FRAME.mask(X[59, 1] == FRAME)), y=framed(SERIES)),
    case("y with NaN", [r"\by\b", "NaN", "position 19"], y=rows(put(Y, 59, np.nan))),
    case("soft y", ["sum to 1", "row 19"], y=rows(put(SOFT, (59, 0), 0.5))),
    case("weights negative", ["sample_weight", "row 19", "-1"], sample_weight=rows(put(ONES, 59, -1))),
    case("weights with NaN", ["sample_weight", "NaN"], sample_weight=rows(put(ONES, 59, np.nan))),
    case("y of another length", [r"\by\b", "20 samples", "10"], X=framed(FRAME), y=rows(Y[:50])),
    case(
        "y with another index",
        [r"\by\b", "index of X", r"\[40, 41, 42, ...\]", r"\[0, 1, 2, ...\]", "array"],
        X=framed(FRAME).clear_divisions(),
        y=dd.from_delayed([dask.delayed(SERIES[part]) for part in (slice(20), slice(20, 40), slice(20))]),
    ),
    case(
        "y in memory with another index",
        ["index of X", "array"],
        X=framed(FRAME),
        y=SERIES.set_axis([*range(40), *range(20)]),
    ),
    case(
        "other columns", ["columns", "'c'", "'z'"], X=third(lambda part: part.rename(columns={"c": "z"})), y=Y
    ),
    case("columns in another order", ["columns", "'a', 'b'"], X=third(lambda part: part[list("cab")]), y=Y),
    case("a column fewer", ["columns", "'c'"], X=third(lambda part: part[["a", "b"]]), y=Y),
    case("text in one partition", ["numbers", "'c'", "text"], X=third(lambda part: part.assign(c="t")), y=Y),
    case(
        "dates in one partition",
        ["'c'", "dates"],
        X=third(lambda part: part.assign(c=pd.Timestamp("2020"))),
        y=Y,
    ),
    case(
        "another width",
        ["3 columns", r"\(20, 2\)"],
        X=rows(X).map_blocks(lambda block: block[:, : 2 + (block[0, 0] != X[40, 0])], dtype=float),
    ),
    case(
        "labels of several kinds",
        ["one kind", "'int64', 'str'"],
        y=rows(np.array([*Y[:-1], "a"], dtype=object)),
    ),
]
OVER_ALL = [
    case("y of one class", ["at least 2 classes", "0"], y=rows(0 * Y)),
    case("y continuous", ["continuous"], y=rows(X[:, 0])),
    case(
        "labels of one kind in each",
        ["one kind", "'t'", "0"],
        y=rows(np.array([0] * 20 + ["t"] * 40, dtype=object)),
    ),
    case("weights of zero", ["sample_weight", "positive", "zero"], sample_weight=rows(0 * ONES)),
    case("weight for one class", ["2 classes", "weight", r"\b1\b"], sample_weight=rows(1.0 * (Y == 1))),
    case("class_weight unknown", ["class_weight", r"\[7\]", r"\[0, 1, 2\]"], class_weight={0: 1.0, 7: 1.0}),
    case("no rows", ["at least one sample"], X=rows(X)[:0], y=rows(Y)[:0]),
]


def error_of(bad):
    with pytest.raises((ValueError, TypeError)) as error:  # the words are matched below
        SoftmaxRegression(**bad.params).fit(*bad.data)
    for words in bad.words:
        assert re.search(words, str(error.value)), f"{words!r} not in: {error.value}"
    return str(error.value)


@pytest.mark.parametrize("bad", BEFORE)
def test_what_is_known_without_reading_is_an_error_before_it(bad, monkeypatch):
    def passed(*_):
        raise AssertionError("a partition was read")

    monkeypatch.setattr(dask_sample, "total_of", passed)
    error_of(bad)


@pytest.mark.parametrize("bad", IN_PARTITION_2)
def test_other_errors_name_the_partition(bad):
    assert error_of(bad).startswith("In partition 2: ")


@pytest.mark.parametrize("bad", OVER_ALL)
def test_errors_about_all_partitions_name_none(bad):
    assert "partition" not in error_of(bad)


@pytest.mark.parametrize("bad", [*BEFORE[::4], *IN_PARTITION_2[::4], *OVER_ALL[::3]])
def test_a_fit_that_fails_leaves_the_estimator_as_it_was(bad):
    model = SoftmaxRegression().fit(pd.DataFrame(X[:, :2], columns=["u", "v"]), Y)
    before = copy.deepcopy(vars(model.set_params(**bad.params)))
    with pytest.raises((ValueError, TypeError)):
        model.fit(*bad.data)

    assert vars(model).keys() == before.keys()
    for name, value in before.items():
        assert_array_equal(getattr(model, name), value)


def test_the_features_are_not_read_for_the_rows_of_an_array(monkeypatch):
    """Which are known; of a frame they are, where y is in memory."""
    monkeypatch.delattr(dask_partitions, "_length")

    assert SoftmaxRegression().fit(rows(X), Y).converged_
    with pytest.raises(NameError, match="_length"):
        SoftmaxRegression().fit(framed(FRAME), Y)


# -- what takes no Dask collections

MODEL = SoftmaxRegression().fit(X, Y)
PROBABILITIES, LOGITS = MODEL.predict_proba(LAZY_X), MODEL.decision_function(LAZY_X)
ONLY_IN_MEMORY = {
    "TemperatureScaling.fit X": lambda: TemperatureScaling(MODEL).fit(LAZY_X, Y),
    "TemperatureScaling.fit y": lambda: TemperatureScaling(MODEL).fit(X, LAZY_Y),
    "TemperatureScaling.fit sample_weight": lambda: TemperatureScaling(MODEL).fit(X, Y, rows(ONES)),
    "TemperatureScaling.fit frozen X": lambda: TemperatureScaling(FrozenEstimator(MODEL)).fit(LAZY_X, Y),
    "TemperatureScaling.predict_proba X": lambda: TemperatureScaling(MODEL).fit(X, Y).predict_proba(LAZY_X),
    "fit_temperature logits": lambda: fit_temperature(LOGITS, Y),
    "fit_temperature y": lambda: fit_temperature(LOGITS.compute(), LAZY_Y),
    "calibration_study X": lambda: calibration_study({"a": DummyClassifier()}, LAZY_X, Y),
    "calibration_study y": lambda: calibration_study({"a": DummyClassifier()}, X, LAZY_Y),
    "regularization_path X": lambda: regularization_path(LAZY_X, Y),
    "regularization_path y": lambda: regularization_path(X, LAZY_Y),
    "calibration_error probabilities": lambda: calibration_error(Y, PROBABILITIES),
    "calibration_error y": lambda: calibration_error(LAZY_Y, PROBABILITIES.compute()),
    "smooth_calibration_error probabilities": lambda: smooth_calibration_error(Y, PROBABILITIES),
    "ReliabilityDisplay probabilities": lambda: ReliabilityDisplay.from_predictions(Y, PROBABILITIES),
    "TemperatureDisplay logits": lambda: TemperatureDisplay.from_predictions(LOGITS, Y),
}


@pytest.mark.parametrize("name", ONLY_IN_MEMORY)
def test_what_takes_no_dask_collection_says_how_to_convert_it(name):
    argument = name.split()[-1]
    with pytest.raises(
        TypeError, match=rf"\b{argument} must be in memory.*Dask Array.*{argument}\.compute\(\)"
    ):
        ONLY_IN_MEMORY[name]()


def test_a_calibration_error_is_no_mean_over_samples():
    """What the error names instead gives the score."""
    with pytest.raises(
        TypeError, match=r"X must be in memory.*neg_calibration_error is no mean.*compute\(\)"
    ):
        neg_calibration_error_scorer(MODEL, LAZY_X, LAZY_Y)

    error = calibration_error(LAZY_Y.compute(), MODEL.predict_proba(LAZY_X).compute(), classes=MODEL.classes_)
    assert neg_calibration_error_scorer(MODEL, X, Y) == -error


def test_steps_of_a_pipeline_that_compute_x_are_named():
    """As a StandardScaler does, which is not needed."""
    with pytest.raises(
        TypeError, match=r"X must be a Dask collection.*got ndarray.*StandardScaler.*leave that out"
    ):
        make_pipeline(FunctionTransformer(np.asarray), SoftmaxRegression()).fit(LAZY_X, LAZY_Y)


# -- tasks

NAMES = [
    "read",
    "check",
    "encode",
    "parameters",
    "sum",
    "statistics",
    "evaluation",
    "information",
    "sample",
    "mass",
    "length",
]


def test_tasks_are_named_after_what_they_do():
    """As the dashboard groups them: by their keys without numbers and tokens."""
    seen = set()
    many = np.random.default_rng(1).normal(size=(400, 30))
    y = (many[:, 0] > 0.3).astype(int) + (many[:, 1] > 0)
    with dask.callbacks.Callback(pretask=lambda key, *_: seen.add(dask.utils.key_split(key))):
        for options in {"C": 1e3, "class_weight": "balanced"}, {"C": 0.1, "l1_ratio": 1.0}:
            SoftmaxRegression(**options).fit(rows(many, 100), rows(y, 100))
        with pytest.warns(ConvergenceWarning):
            SoftmaxRegression(C=np.inf).fit(rows(many[:, :2], 100), rows(many[:, 0] > 0, 100))

    ours = {name.removeprefix("smreg-") for name in seen if name.startswith("smreg-")}
    assert ours >= {"read", "check", "encode", "evaluation", "statistics", "information", "sum", "separation"}
    assert ours <= {*NAMES, "separation", "duality", "collinear"}


def test_partitions_report_their_size():
    """By which Dask decides what to hold in memory, and what on disk."""
    read = dask_sample._read(0, X, Y, None, None, P, None)
    part = parts.encoded(read, np.arange(3), np.ones(3))
    kept = part.keep(probabilities_of, Point(np.zeros((3, P)), np.zeros(3)))

    assert sizeof(read) >= X.nbytes + ONES.nbytes
    assert sizeof(part) >= X.nbytes + ONES.nbytes
    assert sizeof(kept) >= N * 3 * 8
