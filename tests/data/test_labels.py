"""Labels come back in the type in which they came, and a missing one is named wherever y is passed."""

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression

from smreg import (
    SoftmaxRegression,
    SoftmaxRegressionCV,
    TemperatureScaling,
    calibration_study,
    fit_temperature,
    regularization_path,
)
from smreg.data.labels import as_labels

N = 30
CODES = np.arange(N) % 3
X = np.random.default_rng(0).normal(size=(N, 2)) + np.column_stack([CODES, CODES == 1])
DAYS = pd.date_range("2020-01-01", periods=3)
DATES = [day.date() for day in DAYS]


def objects(values):
    """An array of objects, as they are."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def of(values):
    """A list with one of two or three labels for each sample."""
    return [values[code % len(values)] for code in CODES]


# y, and the dtype and values of classes_
KINDS = {
    "nullable bool": (pd.array(of([True, False]), dtype="boolean"), bool, [False, True]),
    "nullable int": (pd.Series(of([3, 1, 2]), dtype="Int64"), np.int64, [1, 2, 3]),
    "nullable string": (pd.Series(of(["b", "a"]), dtype="string"), object, ["a", "b"]),
    "bool[pyarrow]": (pd.Series(of([True, False]), dtype="bool[pyarrow]"), bool, [False, True]),
    "int64[pyarrow]": (pd.Series(of([3, 1, 2]), dtype="int64[pyarrow]"), np.int64, [1, 2, 3]),
    "string[pyarrow]": (pd.Series(of(["b", "a"]), dtype="string[pyarrow]"), object, ["a", "b"]),
    "date32[pyarrow]": (pd.Series(of(DATES), dtype="date32[pyarrow]"), object, DATES),
    "category of bool": (pd.Series(of([True, False]), dtype="category"), bool, [False, True]),
    "category of int": (pd.Categorical(of([3, 1, 2]), categories=[3, 2, 1, 0]), np.int64, [1, 2, 3]),
    "category of str": (pd.Series(of(["b", "a"]), dtype="category"), object, ["a", "b"]),
    "frame": (pd.DataFrame({"y": pd.array(of([True, False]), dtype="boolean")}), bool, [False, True]),
    "polars bool": (pl.Series(of([True, False])), bool, [False, True]),
    "polars category": (pl.Series(of(["b", "a"]), dtype=pl.Categorical), object, ["a", "b"]),
    "polars date": (pl.Series(of(DATES)), "datetime64[D]", DATES),
    "sparse bool": (pd.Series(pd.arrays.SparseArray(of([True, False]))), bool, [False, True]),
    "objects bool": (objects(of([True, False])), bool, [False, True]),
    "objects int": (objects(of([3, 1, 2])), np.int64, [1, 2, 3]),
    "objects float": (objects(of([3.0, 1.0, 2.0])), np.float64, [1, 2, 3]),
    "objects str": (objects(of(["b", "a"])), object, ["a", "b"]),
    "objects date": (objects(of(DATES)), object, DATES),
    "objects Timestamp": (objects(of(DAYS)), object, list(DAYS)),
    "objects huge": (objects(of([2**70, 1, 2])), object, [1, 2, 2**70]),
    "objects Decimal": (objects(of([decimal.Decimal(2), decimal.Decimal(1)])), object, [1, 2]),
    "datetime64": (pd.Series(of(DAYS)), None, list(DAYS)),
    "time zone": (pd.Series(of(DAYS.tz_localize("UTC"))), object, list(DAYS.tz_localize("UTC"))),
    "Period": (pd.Series(of(DAYS.to_period("D"))), object, list(DAYS.to_period("D"))),
    "list of bool": (of([True, False]), bool, [False, True]),
    "list of str": (of(["b", "a"]), "<U1", ["a", "b"]),
    "list of dates": (of(DATES), object, DATES),
    "variable width": (np.array(of(["b", "a"]), dtype=np.dtypes.StringDType()), object, ["a", "b"]),
}
MODELS = {
    "SoftmaxRegression": SoftmaxRegression(),
    "SoftmaxRegressionCV": SoftmaxRegressionCV(Cs=2, cv=2),
    "TemperatureScaling": TemperatureScaling(SoftmaxRegression(), cv=2),
}


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_labels_come_back_in_the_type_in_which_they_came(kind, name):
    y, dtype, classes = KINDS[kind]
    model = MODELS[name].fit(X, y)

    assert isinstance(model.classes_, np.ndarray)
    assert model.classes_.dtype == (dtype if dtype is not None else as_labels(y).dtype)
    assert_array_equal(model.classes_, np.array(classes, dtype=model.classes_.dtype))
    assert model.predict(X).dtype == model.classes_.dtype


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
@pytest.mark.parametrize("kind", KINDS)
def test_and_name_the_same_model_as_codes(kind):
    """Codes in the order of the labels: nothing else of them has a part in the fit."""
    y, _, classes = KINDS[kind]
    codes = np.unique(as_labels(y), return_inverse=True)[1]
    for model in (SoftmaxRegression(), SoftmaxRegressionCV(Cs=2, cv=2)):
        labelled = model.fit(X, y)
        probabilities, score = labelled.predict_proba(X), labelled.score(X, y)
        assert len(labelled.classes_) == len(classes)
        coded = model.fit(X, codes)

        assert_array_equal(probabilities, coded.predict_proba(X))
        assert score == coded.score(X, codes)


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_paths_take_them_too(kind):
    y, _, classes = KINDS[kind]
    codes = np.unique(as_labels(y), return_inverse=True)[1]
    logits = X @ np.random.default_rng(1).normal(size=(2, len(classes))) + np.eye(len(classes))[codes]

    assert fit_temperature(logits, y) == fit_temperature(logits, codes)
    assert_array_equal(
        regularization_path(X, y, Cs=[1.0]).coefs, regularization_path(X, codes, Cs=[1.0]).coefs
    )


def test_a_study_of_dates():
    """A splitter stratifies them as it does their codes."""
    forms = (objects(of(DATES)), CODES)
    dates, codes = (
        calibration_study({"m": SoftmaxRegression()}, X, y, cv=2, methods=["none"]) for y in forms
    )

    assert_array_equal(dates.classes, DATES)
    assert dates.table.equals(codes.table)


def test_integers_of_eight_bits_stay_such():
    model = SoftmaxRegression().fit(X, pd.Series(CODES.astype("int8"), dtype="category"))

    assert model.predict(X).dtype == np.int8


@pytest.mark.parametrize(
    "y", [objects(of([True, 2])), objects(of([1, "a"])), of([1, "a"]), objects(of([{}, []]))]
)
def test_labels_are_of_one_kind(y):
    with pytest.raises(TypeError, match=r"y must have labels of one kind, that can be sorted; got \["):
        SoftmaxRegression().fit(X, y)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        ([{1}, {2}], "set"),
        ([frozenset({1}), frozenset({2})], "frozenset"),
        ([[1], [2]], "list"),
        ([np.ones(2), np.zeros(2)], "ndarray"),
        ([{}, {}], "dict"),
    ],
    ids=["sets", "frozen sets", "lists", "arrays", "dicts"],
)
def test_collections_are_no_labels(labels, kind):
    """Sets have an order, that of inclusion, in which equal ones need not be neighbours: 19 classes for 2."""
    for y in (objects(of(labels)), pd.Series(objects(of(labels)))):
        with pytest.raises(TypeError, match=rf"y must have labels of one kind, that .*; got \['{kind}'\]"):
            SoftmaxRegression().fit(X, y)


@pytest.mark.parametrize("dtype", ["V4", [("a", int)]], ids=["raw", "records"])
def test_nor_are_records(dtype):
    with pytest.raises(TypeError, match=r"y must have labels .* sorted; got .*(V4|'a')"):
        SoftmaxRegression().fit(X, np.zeros(N, dtype=dtype))


@pytest.mark.parametrize("labels", [[1j, 2j], [1 + 0j, 2 + 0j]])
def test_nor_are_complex_numbers(labels):
    """In scikit-learn's words, without all of the data after them."""
    with pytest.raises(
        ValueError, match=r"^Complex data not supported: y must have labels.*got complex128\.$"
    ):
        SoftmaxRegression().fit(X, np.array(of(labels)))


class OfAnotherLibrary:
    """Labels of a type that NumPy has not, as whole numbers of 128 bits are."""

    shape = (len(X),)

    def __len__(self):
        """Of all samples."""
        return len(X)

    def __array__(self, dtype=None, copy=None):
        """None."""
        raise NotImplementedError("no type of 128 bits")


def test_labels_for_which_numpy_has_no_type_are_refused_by_the_argument():
    with pytest.raises(TypeError, match=r"y must have labels that NumPy can hold: .*128"):
        SoftmaxRegression().fit(X, OfAnotherLibrary())


MISSING = {
    "None among str": (of(["a", "b", None]), "None"),
    "None among int": (objects(of([1, 2, None])), "None"),
    "None among bool": (objects(of([True, False, None])), "None"),
    "NaN": (np.array(of([1.0, 2.0, np.nan])), "NaN"),
    "NaN among str": (objects(of(["a", "b", np.nan])), "NaN"),
    "NaN in a list of str": (of(["a", "b", np.nan]), "NaN"),
    "NaN in a category": (pd.Series(of(["a", "b", None]), dtype="category"), "NaN"),
    "NA among str": (pd.Series(of(["a", "b", None]), dtype="string"), "<NA>|NaN"),
    "NA among int": (pd.Series(of([1, 2, None]), dtype="Int64"), "<NA>|NaN"),
    "NA among bool": (pd.Series(of([True, False, None]), dtype="boolean"), "<NA>|NaN"),
    "NA object": (objects(of([1, 2, pd.NA])), "<NA>"),
    "int64[pyarrow]": (pd.Series(of([1, 2, None]), dtype="int64[pyarrow]"), "<NA>|NaN"),
    "NaT": (pd.Series(of([DAYS[0], DAYS[1], pd.NaT])), "NaT"),
    "NaT with a zone": (pd.Series(of([DAYS[0], DAYS[1], pd.NaT])).dt.tz_localize("UTC"), "NaT"),
    "NaT span": (np.array(of([1, 2, "NaT"]), dtype="timedelta64[s]"), "NaT"),
    "polars int": (pl.Series(of([1, 2, None])), "NaN"),
    "polars bool": (pl.Series(of([True, False, None])), "None"),
    "polars str": (pl.Series(of(["a", "b", None])), "None"),
    "masked": (np.ma.masked_array(of([1, 2, 3]), mask=CODES == 2), "None"),
}
DOORS = {
    **{name: model.fit for name, model in MODELS.items()},
    "regularization_path": regularization_path,
    "calibration_study": lambda X, y: calibration_study({"m": LogisticRegression()}, X, y, cv=2),
    "fit_temperature": lambda X, y: fit_temperature(np.column_stack([X, X[:, 0]]), y),
    "score": lambda X, y: SoftmaxRegression().fit(X, CODES).score(X, y),
    "score of CV": lambda X, y: SoftmaxRegressionCV(Cs=2, cv=2).fit(X, CODES).score(X, y),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", MISSING)
def test_missing_labels_are_named_with_their_number_and_the_first(kind, door):
    y, what = MISSING[kind]
    message = rf"Input y contains ({what}): 10 of 30 labels are missing, the first at position 2\."
    with pytest.raises(ValueError, match=message):
        DOORS[door](X, y)


@pytest.mark.parametrize("missing", [None, pd.NA, np.nan])
def test_a_soft_target_with_a_missing_number_is_refused_by_its_row(missing):
    votes = pd.DataFrame(np.eye(3)[CODES], dtype=object)
    votes.iloc[4, 1] = missing
    with pytest.raises(ValueError, match=r"Soft targets y .*row 4.*sums to nan"):
        SoftmaxRegression().fit(X, votes)


def test_a_soft_target_is_no_date():
    with pytest.raises(ValueError, match=r"Soft targets y must be real numbers, got dtype datetime64"):
        SoftmaxRegression().fit(X, np.full((N, 2), np.datetime64("2020-01-01")))


def test_a_date_is_a_label_that_class_weight_knows():
    """Of weight zero: its class has no probability."""
    model = SoftmaxRegression(class_weight={DATES[0]: 0.0}).fit(X, objects(of(DATES)))

    assert isinstance(model.predict(X[:1])[0], datetime.date)
    assert model.predict_proba(X)[:, 0].max() < 1e-12  # the documented bound
