"""Bad input is an error, before any work, that says what is wrong; the estimator stays as it was.

A message names the argument, what is required and what came: each case lists words, as regular
expressions, that its message cannot do without. Where scikit-learn's own validation speaks (X, lengths
of y, parameters), the words are scikit-learn's.
"""

import copy
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.exceptions import DataConversionWarning, NotFittedError

from smreg import SoftmaxRegression
from smreg.objective.cross_entropy import Objective

N = 12
X = np.random.default_rng(0).normal(size=(N, 3))
Y = np.arange(N) % 3
SOFT = np.eye(3)[Y]
ONES = np.ones(N)
NAN, INF = np.nan, np.inf
FRAME = pd.DataFrame(X, columns=list("abc"))


def put(array, index, value):
    """A float copy of `array` with one entry, or one row, replaced."""
    changed = np.array(array, dtype=float)
    changed[index] = value
    return changed


def case(name, words, X=X, y=Y, sample_weight=None, **params):
    return pytest.param(SimpleNamespace(words=words, data=(X, y, sample_weight), params=params), id=name)


BAD_X = [
    case("X with NaN", [r"\bX\b", "NaN"], X=put(X, (2, 1), NAN)),
    case("X infinite", [r"\bX\b", "infinity"], X=put(X, (2, 1), INF)),
    case("X minus infinite in float32", [r"\bX\b", "infinity"], X=np.float32(put(X, 0, -INF))),
    case("sparse X with NaN", [r"\bX\b", "NaN"], X=sparse.csr_array(put(X, (2, 1), NAN))),
    case("X without rows", ["0 sample", "minimum of 1"], X=X[:0], y=Y[:0]),
    case("X without rows, soft y", ["0 sample", "minimum of 1"], X=X[:0], y=SOFT[:0]),
    case("X without columns", ["0 feature", "minimum of 1"], X=X[:, :0]),
    case("X of one dimension", ["2D array", "1D array"], X=X[:, 0]),
    case("X complex", ["[Cc]omplex"], X=X + 1j),
]
BAD_LABELS = [
    case("y with NaN", [r"\by\b", "NaN"], y=put(Y, 3, NAN)),
    case("y infinite", [r"\by\b", "infinity"], y=put(Y, 3, INF)),
    case("y of objects with NaN", ["NaN"], y=np.array(["a", "b", NAN] * 4, dtype=object)),
    case("y with None", [r"\by\b", "None"], y=np.array(["a", "b", None] * 4, dtype=object)),
    case("y of one class", [r"\by\b", "at least 2 classes", "'a'"], y=np.array(["a"] * N)),
    case("y continuous", ["Unknown label type: continuous"], y=X[:, 0]),
    case("y ragged", ["different lengths"], y=[[0, 1], [1]] * 6),
    case("y of three dimensions", ["dim 3", "<= 2"], y=np.zeros((N, 2, 2))),
    case("y scalar", [r"\by\b", "1d array", r"\(\)"], y=3),
    case("no y", [r"requires y", "None"], y=None),
    case("y too short", ["numbers of samples", "12", "7"], y=Y[:7]),
]
BAD_SOFT = [
    case("soft y with NaN", [r"\by\b", "sum to 1", "row 5", "sums to nan"], y=put(SOFT, (5, 0), NAN)),
    case("soft y infinite", [r"\by\b", "sum to 1", "row 5", "sums to inf"], y=put(SOFT, (5, 0), INF)),
    case(
        "soft y negative",
        [r"\by\b", "non-negative", "row 5", "-0.5", r"sums to 1\."],
        y=put(SOFT, slice(5, 7), [1.5, -0.5, 0.0]),
    ),
    case(
        "soft y not summing to one",
        [r"\by\b", "sum to 1", "row 5", r"sums to 1\.3\b"],
        y=put(SOFT, slice(5, None), [0.3, 0.0, 1.0]),
    ),
    case(
        "soft y a hair off",  # ten times what rounding in float64 may do, sqrt(2**-52)
        [r"\by\b", "sum to 1", "row 0", "1.00000015"],
        y=put(SOFT, (0, 0), 1.00000015),
    ),
    case("y multilabel", [r"\by\b", "sum to 1", "row 0", "sums to 2"], y=np.array([[1, 1, 0]] * N)),
    case("soft y sparse", [r"\by\b", "dense", "sparse", "toarray"], y=sparse.csr_array(SOFT)),
    case("soft y of text", [r"\by\b", "numeric", "<U1", "1-D"], y=np.array([["a", "b", "c"]] * N)),
    case("soft y complex", [r"\by\b", "numeric|real", "complex"], y=SOFT + 0j),
    case(
        "soft y with a column twice",
        [r"\by\b", "distinct names", "'a', 'b', 'a'"],
        y=pd.DataFrame(SOFT, columns=["a", "b", "a"]),
    ),
    case("soft y without columns", [r"\by\b"], y=SOFT[:, :0]),
    case("soft y too short", ["numbers of samples", "12", "7"], y=SOFT[:7]),
]
BAD_WEIGHTS = [
    case("weights with NaN", ["sample_weight", "NaN"], sample_weight=put(ONES, 3, NAN)),
    case("weights infinite", ["sample_weight", "infinity"], sample_weight=put(ONES, 3, INF)),
    case(
        "weights negative",
        ["sample_weight", "non-negative", "row 3", "-2.5"],
        sample_weight=put(ONES, slice(3, 5), [-2.5, -1.0]),
    ),
    case("weights zero", ["weight", "positive", "zero"], sample_weight=0 * ONES),
    case("weight scalar zero", ["weight", "positive", "zero"], sample_weight=0.0),
    case("weights too few", ["sample_weight", "12", "7"], sample_weight=ONES[:7]),
    case("weights a column", ["sample_weight", "1-D", r"\(12, 1\)"], sample_weight=ONES[:, None]),
    case("weight for one class", ["2 classes", "weight", r"\b1\b"], sample_weight=1.0 * (Y == 1)),
    case("weight for one soft class", ["2 classes", "weight"], y=SOFT, sample_weight=1.0 * (Y == 1)),
    case("soft y of one class", ["2 classes", r"\b0\b"], y=np.eye(3)[0 * Y]),
]
BAD_CLASS_WEIGHTS = [
    case(
        "class_weight unknown",
        ["class_weight", r"\['0', 7\]", r"\[0, 1, 2\]"],
        class_weight={0: 1.0, "0": 1.0, 7: 2.0},
    ),
    case("class_weight unknown to soft y", ["class_weight", r"\['b'\]"], y=SOFT, class_weight={"b": 1}),
    case("class_weight negative", ["class_weight", "non-negative", "-1"], class_weight={1: -1.0}),
    case("class_weight NaN", ["class_weight", "finite", "nan"], class_weight={1: NAN}),
    case("class_weight infinite", ["class_weight", "finite", "inf"], class_weight={1: INF}),
    case("class_weight of text", ["class_weight", "numbers", "'much'"], class_weight={1: "much"}),
    case("class_weight misspelt", ["class_weight", "balanced", "'balance'"], class_weight="balance"),
    case("class_weight for one", ["2 classes", r"\b2\b(?! classes)"], class_weight={0: 0.0, 1: 0.0}),
    case("class_weight zero", ["2 classes|class_weight"], class_weight=dict.fromkeys(range(3), 0.0)),
]
BAD_FACTORS = [
    case("factors too few", ["penalty_factor", r"\(3,\)", r"\(3, 3\)", r"\(2,\)"], penalty_factor=[1.0, 2.0]),
    case(
        "factors of too few rows",
        ["penalty_factor", r"\(3, 3\)", r"\(2, 3\)"],
        penalty_factor=np.ones((2, 3)),
    ),
    case("factors of two classes", [r"\(1, 3\)", r"\(2, 3\)"], y=Y % 2, penalty_factor=np.ones((2, 3))),
    case("factors NaN", ["penalty_factor", ">= 0", "nan"], penalty_factor=[1.0, NAN, 1.0]),
    case("factors negative", ["penalty_factor", ">= 0", "-1"], penalty_factor=[1.0, -1.0, 1.0]),
    case("factors minus infinite", ["penalty_factor", ">= 0", "-inf"], penalty_factor=[1.0, -INF, 1.0]),
    case("factor alone", ["penalty_factor", "array-like"], penalty_factor=2.0),
    case("factors of text", ["penalty_factor", "number", "'much'"], penalty_factor=["much", "1", "1"]),
    case("factors complex", ["penalty_factor", "number"], penalty_factor=[1j, 1.0, 1.0]),
    case(
        "factors by name without names",
        ["penalty_factor", 'set_output.transform="pandas"'],
        penalty_factor={"a": 0.0},
    ),
    case(
        "factors by unknown names",
        ["penalty_factor", r"\['d', 0\]", r"\['a', 'b', 'c'\]"],
        X=FRAME,
        penalty_factor={"a": 0.0, "d": 1.0, 0: 1.0},
    ),
    case(
        "factors by name twice",
        ["penalty_factor", "'a'"],
        X=FRAME,
        penalty_factor=pd.Series([1.0, 2.0], ["a", "a"]),
    ),
    case("factors by name negative", ["penalty_factor", ">= 0", "-2"], X=FRAME, penalty_factor={"a": -2.0}),
    case(
        "factors in a frame", ["penalty_factor", "DataFrame", "to_numpy"], X=FRAME, penalty_factor=FRAME[:3]
    ),
]
BAD_PARAMETERS = [
    case(f"{name}={value!r}", [f"'{name}'", required, re.escape(f"{value!r}")], **{name: value})
    for name, required, values in [
        ("C", r"\(0\.0, inf\]", [0, -1.0, -INF, NAN, "1", None]),
        ("temperature", r"\(0\.0, inf\)", [0.0, -1.0, NAN, INF, None]),
        ("tol", r"\[0\.0, inf\)", [-1e-4, NAN, INF]),
        ("max_iter", r"\[0, inf\)", [-1, 1.5, NAN]),
        ("fit_intercept", "bool", ["yes", None]),
        ("warm_start", "bool", ["yes"]),
        ("n_jobs", "int", [1.5, "all"]),
    ]
    for value in values
] + [case("n_jobs=0", ["n_jobs", "0"], n_jobs=0)]
BAD = BAD_X + BAD_LABELS + BAD_SOFT + BAD_WEIGHTS + BAD_CLASS_WEIGHTS + BAD_FACTORS + BAD_PARAMETERS


def fitted():
    """A model with feature names, other classes and another number of features than the bad cases."""
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(N, 4)), columns=list("pqrs"))
    return SoftmaxRegression().fit(frame, np.array(["a", "b", "c", "d"])[np.arange(N) % 4])


def state(estimator):
    """All that an estimator holds, copied; callbacks belong to the user."""
    held = {name: value for name, value in vars(estimator).items() if name != "_skl_callbacks"}
    return copy.deepcopy(held)


def assert_unchanged(estimator, before):
    after = state(estimator)
    assert after.keys() == before.keys()
    for name, value in before.items():
        if isinstance(value, np.ndarray):
            assert after[name].dtype == value.dtype
            assert_array_equal(after[name], value)
        elif isinstance(value, pd.Series | pd.DataFrame):
            assert after[name].equals(value), name
        else:
            assert after[name] == value or value != value, name  # a parameter may be NaN


@pytest.fixture
def no_work(monkeypatch):
    """The objective must not be evaluated."""

    def evaluated(*_):
        raise AssertionError("the objective was evaluated")

    monkeypatch.setattr(Objective, "__call__", evaluated)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("bad", BAD)
def test_bad_input_is_an_error_that_says_what_is_wrong(bad):
    with pytest.raises((ValueError, TypeError)) as error:  # the words are matched below
        SoftmaxRegression(**bad.params).fit(*bad.data)

    for words in bad.words:
        assert re.search(words, str(error.value)), f"{words!r} not in: {error.value}"


@pytest.mark.parametrize("make", [fitted, SoftmaxRegression], ids=["fitted", "unfitted"])
@pytest.mark.parametrize("bad", BAD)
def test_a_fit_that_fails_leaves_the_estimator_as_it_was(bad, make):
    estimator = make().set_params(**bad.params)
    before = state(estimator)
    with pytest.raises(Exception):  # noqa: B017, PT011 -- which one is the test above
        estimator.fit(*bad.data)

    assert_unchanged(estimator, before)


class Raise:
    """A callback that raises at the beginning, after some steps, or at the end of a fit."""

    def __init__(self, error, when):
        self.error, self.when = error, when

    def setup(self, estimator, context):
        """Before the fit."""
        self.steps = 0

    def teardown(self, estimator, context):
        """After the fit."""

    def on_fit_task_begin(self, estimator, context):
        """Raise at the beginning of the root task."""
        if self.when == "begin" and context.parent is None:
            raise self.error

    def on_fit_task_end(self, estimator, context):
        """Count steps; raise at the one wanted, or at the end of the root task."""
        self.steps += context.parent is not None
        if self.when == ("end" if context.parent is None else self.steps):
            raise self.error


@pytest.mark.parametrize("make", [fitted, SoftmaxRegression], ids=["fitted", "unfitted"])
@pytest.mark.parametrize("when", ["begin", 1, 2, "end"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_fit_that_is_interrupted_leaves_the_estimator_as_it_was(make, when, error):
    estimator = make().set_callbacks(Raise(error, when))
    before = state(estimator)
    with pytest.raises(error):
        estimator.fit(X, Y)

    assert_unchanged(estimator, before)


METHODS = ["predict", "predict_proba", "predict_log_proba", "decision_function"]


@pytest.mark.parametrize("method", METHODS)
def test_predicting_before_fit_is_an_error(method):
    with pytest.raises(NotFittedError, match=r"SoftmaxRegression.*not fitted.*'fit'"):
        getattr(SoftmaxRegression(), method)(X)


@pytest.mark.parametrize("method", METHODS)
def test_predicting_takes_the_features_of_the_fit(method):
    frame = pd.DataFrame(X, columns=list("pqr"))
    predict = getattr(SoftmaxRegression().fit(frame, Y), method)

    with pytest.raises(ValueError, match=r"(?s)feature names should match.*unseen.*z.*missing.*q"):
        predict(frame.rename(columns={"q": "z"}))
    with pytest.raises(ValueError, match=r"(?s)feature names should match.*same order"):
        predict(frame[["r", "q", "p"]])
    predict = getattr(SoftmaxRegression().fit(X, Y), method)
    for wrong in (X[:, :2], sparse.csr_array(X[:, :2])):
        with pytest.raises(ValueError, match=r"X has 2 features.*expecting 3 features"):
            predict(wrong)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_predicting_for_features_that_are_not_finite_is_an_error(method, value):
    predict = getattr(SoftmaxRegression().fit(X, Y), method)
    with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
        predict(put(X, (0, 0), value))


@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba"])
@pytest.mark.parametrize("temperature", [0, -1.0, NAN, INF, "1", np.array([1.0, 2.0])])
def test_a_temperature_is_a_positive_finite_number_whether_argument_or_parameter(method, temperature):
    model = SoftmaxRegression().fit(X, Y)
    required = rf"temperature must be a positive finite number, got {re.escape(repr(temperature))}"

    with pytest.raises(ValueError, match=required):
        getattr(model, method)(X, temperature=temperature)
    with pytest.raises(ValueError, match=required):
        getattr(model.set_params(temperature=temperature), method)(X)


def test_accuracy_against_soft_targets_points_to_the_scorer_that_takes_them():
    model = SoftmaxRegression().fit(X, SOFT)
    with pytest.raises(ValueError, match=r"labels.*\(n_samples,\).*\(12, 3\).*neg_cross_entropy_scorer"):
        model.score(X, SOFT)


@pytest.mark.parametrize("column", [Y[:, None], pd.DataFrame({"y": Y})], ids=["array", "frame"])
def test_a_single_column_of_labels_is_taken_for_labels_with_a_warning(column):
    with pytest.warns(DataConversionWarning, match="1d array was expected"):
        model = SoftmaxRegression().fit(X, column)

    plain = SoftmaxRegression().fit(X, Y)
    assert_array_equal(model.classes_, plain.classes_)
    assert_array_equal(model.coef_, plain.coef_)
    assert_array_equal(model.intercept_, plain.intercept_)
