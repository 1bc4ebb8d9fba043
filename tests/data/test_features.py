"""Features of every type are fitted as their float64 would be, or refused by name.

What a type can hold without rounding are small integers and halves: both fits then see the same numbers, and
so must agree bit for bit. A frame of sparse columns is compared with a CSR matrix of its numbers.
"""

import datetime
import uuid
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.naive_bayes import GaussianNB

from smreg import (
    SoftmaxRegression,
    SoftmaxRegressionCV,
    TemperatureScaling,
    calibration_study,
    fit_temperature,
    regularization_path,
)
from smreg.data.features import _floating, check_features

N = 24
Y = np.arange(N) % 3
COUNTS = np.random.default_rng(0).integers(0, 3, size=(N, 3)) + 2 * (Y[:, None] == np.arange(3))
FLAGS = COUNTS > 1
NAMES = list("pqr")
DAYS = pd.Series(pd.date_range("2020-01-01", periods=N))
METHODS = ["predict", "predict_proba", "predict_log_proba", "decision_function", "score"]

NUMPY = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float64",
    "longdouble",
    "object",
    ">f8",
    ">i4",
]
NULLABLE = [
    "boolean",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "Float32",
    "Float64",
]
ARROW = [
    f"{name}[pyarrow]"
    for name in ["bool", "int8", "uint8", "int64", "uint64", "halffloat", "float", "double"]
]
POLARS = [pl.Boolean, pl.Int8, pl.UInt8, pl.Int64, pl.UInt64, pl.Float32, pl.Float64, pl.Decimal(10, 2)]
SPARSE = ["bool", "int8", "uint8", "int64", "uint64", "longdouble", "float64"]
FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]


def numbers(dtype):
    """Booleans for a type of booleans, else counts."""
    return FLAGS if "bool" in str(dtype).lower() else COUNTS


def as_float(X):
    """The numbers of a table as a plain array of float64, or a CSR matrix of such."""
    if isinstance(X, pd.DataFrame) and all(isinstance(dtype, pd.SparseDtype) for dtype in X.dtypes):
        return sparse.csr_array(np.column_stack([np.asarray(X[name], dtype=float) for name in X]))
    return sparse.csr_array(X.toarray().astype(float)) if sparse.issparse(X) else np.asarray(X, dtype=float)


def table(name):
    """A table of that kind and type, by its name."""
    kind, dtype = name.split(" ", 1)
    if kind == "array":
        return numbers(dtype).astype(dtype)
    if kind == "list":
        return numbers(dtype).tolist()
    if kind == "pandas":
        return pd.DataFrame(numbers(dtype), columns=NAMES).astype(dtype)
    if kind == "mixed":
        return pd.DataFrame(COUNTS, columns=NAMES).astype({"p": "float64", "q": dtype})
    if kind == "category":
        return pd.DataFrame(numbers(dtype), columns=NAMES).astype("category")
    if kind == "polars":
        dtype = POLARS[int(dtype)]
        return pl.DataFrame(numbers(dtype), schema=NAMES).with_columns(pl.all().cast(dtype))
    if kind == "scipy":
        dtype, layout = dtype.split()
        return sparse.coo_array(numbers(dtype).astype(dtype)).asformat(layout)
    dtype, fill = dtype.split()
    X = numbers(dtype).astype(dtype)
    columns = [pd.arrays.SparseArray(column, fill_value=X.dtype.type(float(fill))) for column in X.T]
    return pd.DataFrame(dict(zip(NAMES, columns, strict=True)))


TABLES = [
    *(f"array {dtype}" for dtype in NUMPY),
    *(f"list {dtype}" for dtype in ("bool", "int64")),
    *(f"pandas {dtype}" for dtype in [*NUMPY, *NULLABLE, *ARROW]),
    *(f"mixed {dtype}" for dtype in ["float16", "object", *NULLABLE[1:], *ARROW[1:]]),
    *(f"category {dtype}" for dtype in ("bool", "int64")),
    *(f"polars {number}" for number in range(len(POLARS))),
    *(f"scipy {dtype} {layout}" for dtype in SPARSE for layout in FORMATS),
    *(f"sparse {dtype} {fill}" for dtype in [*SPARSE[:-2], "float64", "float16"] for fill in (0, 1)),
    "sparse float64 nan",
    "sparse float32 nan",
]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_fitted_as_its_float64_would_be(name):
    X = table(name)
    ours, plain = SoftmaxRegression().fit(X, Y), SoftmaxRegression().fit(as_float(X), Y)

    assert ours.coef_.dtype == np.float64
    assert_array_equal(ours.coef_, plain.coef_)
    assert_array_equal(ours.intercept_, plain.intercept_)
    assert abs(ours.coef_).max() > 0.1  # there is something to find


@pytest.mark.parametrize("name", TABLES)
def test_and_predicted_for_as_its_float64_would_be(name):
    X = table(name)
    plain = as_frame_of(X)
    model = SoftmaxRegression().fit(plain, Y)

    for method in METHODS:
        y = (Y,) if method == "score" else ()
        assert_array_equal(getattr(model, method)(X, *y), getattr(model, method)(plain, *y))


def as_frame_of(X):
    """The float64 of a table, with the names of its columns if it has any; sparse columns stay sparse."""
    plain = as_float(X)
    if not hasattr(X, "columns"):
        return plain
    return (
        pd.DataFrame.sparse.from_spmatrix(plain, columns=NAMES)
        if sparse.issparse(plain)
        else (pd.DataFrame(plain, columns=NAMES))
    )


@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_array, lambda X: pd.DataFrame(X, columns=NAMES)])
def test_single_precision_stays(wrap):
    model = SoftmaxRegression().fit(wrap(COUNTS.astype(np.float32)), Y)

    assert model.coef_.dtype == np.float32
    assert model.predict_proba(wrap(COUNTS.astype(np.float32))).dtype == np.float32


def test_dummies_that_are_sparse_booleans_are_the_dummies():
    """The fit to all of them being True, in place of the dummies, has the probabilities 1/3 everywhere."""
    colours = pd.Series(list("rgbbrrgbgbrgbgrrrbgg"))
    y = [0, 1, 2, 2, 0, 0, 1, 1, 1, 2, 0, 2, 2, 1, 0, 1, 0, 2, 1, 1]
    few, plain = (pd.get_dummies(colours, sparse=stored) for stored in (True, False))
    model = SoftmaxRegression(tol=1e-10).fit(few, y)

    dense = SoftmaxRegression(tol=1e-10).fit(plain, y)
    # both are within 1e-10 in the Fisher metric, where a coefficient's unit is at most (C n) ** 0.5 < 5
    np.testing.assert_allclose(model.coef_, dense.coef_, atol=1e-8)
    assert abs(model.coef_).max() > 0.1
    np.testing.assert_allclose(model.predict_proba(few), model.predict_proba(plain), atol=1e-12)


def time_columns():
    """Dates and time spans in whatever holds them, by name."""
    spans = DAYS - DAYS[0]
    missing = DAYS.where(DAYS.index != 3)
    pandas = {
        "datetime64": DAYS,
        "NaT": missing,
        "time zone": DAYS.dt.tz_localize("UTC"),
        "timedelta64": spans,
        "timedelta NaT": missing - DAYS[0],
        "Timestamp": DAYS.astype(object),
        "Timestamp with a zone": DAYS.dt.tz_localize("UTC").astype(object),
        "Timedelta": spans.astype(object),
        "date": DAYS.dt.date,
        "datetime": pd.Series([day.to_pydatetime() for day in DAYS], dtype=object),
        "timedelta": pd.Series([datetime.timedelta(days=k) for k in range(N)], dtype=object),
        "time": DAYS.dt.time,
        "numpy spans": pd.Series(objects([np.timedelta64(k, "D") for k in range(N)]), dtype=object),
        "one span among numbers": pd.Series(objects([1.0] * (N - 1) + [np.timedelta64("NaT")]), dtype=object),
        "Period": DAYS.dt.to_period("D"),
        "Period objects": DAYS.dt.to_period("D").astype(object),
        "category": DAYS.astype("category"),
        "sparse": pd.Series(pd.arrays.SparseArray(spans.to_numpy())),
        **{
            f"{name}[pyarrow]": DAYS.astype(f"{name}[pyarrow]")
            for name in ("timestamp[ns]", "date32", "date64", "timestamp[us, tz=UTC]")
        },
        "duration[pyarrow]": spans.astype("duration[ns][pyarrow]"),
    }
    frames = {
        f"pandas {name} {where}": pd.DataFrame({**rest, "when": column})
        for name, column in pandas.items()
        for where, rest in {"alone": {}, "among others": {"p": COUNTS[:, 0], "q": 0.5 * COUNTS[:, 1]}}.items()
    }
    polars = {
        "Date": DAYS.dt.date.tolist(),
        "Datetime": [day.to_pydatetime() for day in DAYS],
        "Datetime with a zone": [day.to_pydatetime() for day in DAYS.dt.tz_localize("UTC")],
        "Duration": [datetime.timedelta(days=k) for k in range(N)],
        "Time": DAYS.dt.time.tolist(),
        "Date null": [None, *DAYS.dt.date[1:]],
    }
    frames |= {f"polars {name} alone": pl.DataFrame({"when": column}) for name, column in polars.items()}
    frames |= {
        f"polars {name} among others": pl.DataFrame({"p": COUNTS[:, 0], "when": column})
        for name, column in polars.items()
    }
    return frames | {"pyarrow": frames["polars Datetime among others"].to_arrow()}


def objects(values):
    """An array of objects, as they are."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


TIMES = time_columns()


@pytest.mark.parametrize("name", TIMES)
def test_a_column_of_dates_or_time_spans_is_refused_by_its_name(name):
    with pytest.raises(TypeError, match=r"X must hold numbers, but column 'when' holds dates, times or"):
        SoftmaxRegression().fit(TIMES[name], Y)


@pytest.mark.parametrize(
    "X",
    [
        DAYS.to_numpy()[:, None],
        (DAYS - DAYS[0]).to_numpy()[:, None],
        objects([np.datetime64("2020-01-01")] * N)[:, None],
        [[1.0, day] for day in DAYS],
        [[day] for day in DAYS.dt.date],
        [[day] for day in DAYS.to_numpy()],
    ],
    ids=["datetime64", "timedelta64", "objects", "Timestamps among others", "dates", "list of datetime64"],
)
def test_so_is_an_array_or_a_list_of_them(X):
    with pytest.raises(TypeError, match=r"X must hold numbers, but it holds dates, times or time spans"):
        SoftmaxRegression().fit(X, Y)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(DAYS.dt.date).dictionary_encode(),
        pa.RunEndEncodedArray.from_arrays([N // 2, N], pa.array([1, 2], type=pa.timestamp("s"))),
        pa.array([1] * N, type=pa.time32("s")),
    ],
    ids=["dictionary", "runs", "times of day"],
)
def test_so_is_a_table_of_encoded_dates(column):
    """Which NumPy makes dates of, and validation numbers."""
    with pytest.raises(TypeError, match=r"X must hold numbers, but column 'when' holds dates, times or"):
        SoftmaxRegression().fit(pa.table({"p": COUNTS[:, 0], "when": column}), Y)


NO_NUMBERS = {
    "complex": 1j,
    "complex without an imaginary part": 2 + 0j,
    "complex128": np.complex128(2),
    "dict": {"a": 1},
    "list": [1, 2],
    "list of one": [1],
    "tuple": (1, 2),
    "set": {1},
    "ndarray": np.ones(2),
    "Series": pd.Series([1.0]),
    "sparse array": sparse.csr_array(np.eye(1)),
    "record": np.void(b"ab"),
    "UUID": uuid.UUID(int=1),
    "Interval": pd.Interval(0, 1),
    "DateOffset": pd.DateOffset(days=1),
    "ellipsis": ...,
    "function": len,
    "object": object(),
}


def hashable(value):
    """Whether a category may be that."""
    return type(value).__hash__ is not None and not isinstance(value, np.void | tuple)


@pytest.mark.parametrize("is_alone", [False, True])
@pytest.mark.parametrize("name", NO_NUMBERS)
def test_objects_that_are_no_numbers_are_refused_with_their_column_and_type(name, is_alone):
    """Though all the others are: in objects of pandas and polars, dense, sparse or as categories."""
    value = NO_NUMBERS[name]
    column = pd.Series(objects([value] * N if is_alone else [1.0] * (N - 1) + [value]))
    frames = [column, pd.Series(pd.arrays.SparseArray(column.to_numpy()))]
    if hashable(value):
        frames.append(column.astype("category"))
    tables = [pd.DataFrame({"p": COUNTS[:, 0], "when": made}) for made in frames]
    tables += [pd.DataFrame({"when": made}) for made in frames]
    tables += [pl.DataFrame({"p": COUNTS[:, 0], "when": pl.Series(column.tolist(), dtype=pl.Object)})]
    kind = type(value).__name__
    for X in tables:
        with pytest.raises(TypeError, match=rf"X must hold numbers, but column 'when' holds .*: {kind}\."):
            SoftmaxRegression().fit(X, Y)
    with pytest.raises(TypeError, match=rf"X must hold numbers, but it holds .*: {kind}\."):
        SoftmaxRegression().fit(column.to_numpy()[:, np.newaxis], Y)


@pytest.mark.parametrize("make", [Decimal, Fraction, lambda number: np.array(float(number)), np.float16, str])
def test_objects_that_stand_for_numbers_are_fitted_as_these(make):
    X = objects([make(int(number)) for number in COUNTS.ravel()]).reshape(COUNTS.shape)
    model = SoftmaxRegression().fit(X, Y)

    assert_array_equal(model.coef_, SoftmaxRegression().fit(COUNTS, Y).coef_)


ODD_COLUMNS = {
    "pandas Interval": pd.Series(pd.interval_range(0, N)),
    "pandas cut": pd.Series(pd.cut(COUNTS[:, 1], 3)),
    "pandas list[pyarrow]": pa.array([[1.0]] * N),
    "pandas struct[pyarrow]": pa.array([{"a": 1}] * N),
    "pandas map[pyarrow]": pa.array([[("a", 1)]] * N, type=pa.map_(pa.string(), pa.int64())),
    "pandas month_day_nano": pa.array([pa.MonthDayNano([1, 2, 3])] * N),
    "polars List": pl.Series([[1.0]] * N),
    "polars Array": pl.Series([[1.0, 2.0]] * N, dtype=pl.Array(pl.Float64, 2)),
    "polars Array of one": pl.Series([[1.0]] * N, dtype=pl.Array(pl.Float64, 1)),
    "polars Struct": pl.Series([{"a": 1, "b": 2}] * N),
    "pyarrow list": pa.array([[1.0]] * N),
    "pyarrow fixed list": pa.array([[1.0, 2.0]] * N, type=pa.list_(pa.float64(), 2)),
    "pyarrow struct": pa.array([{"a": 1}] * N),
    "pyarrow month_day_nano": pa.array([pa.MonthDayNano([1, 2, 3])] * N),
}


def frame_with(kind, column):
    """A frame of that kind with a plain column, and one called "when"."""
    if kind == "polars":
        return pl.DataFrame({"p": COUNTS[:, 0], "when": column})
    if kind == "pyarrow":
        return pa.table({"p": COUNTS[:, 0], "when": column})
    if isinstance(column, pa.Array):
        column = pd.Series(pd.arrays.ArrowExtensionArray(column))
    return pd.DataFrame({"p": COUNTS[:, 0], "when": column})


@pytest.mark.parametrize("name", ODD_COLUMNS)
def test_a_column_of_a_type_that_is_none_of_numbers_is_refused_by_its_name(name):
    X = frame_with(name.split()[0], ODD_COLUMNS[name])
    with pytest.raises(TypeError, match=r"X must hold numbers, but column 'when' holds"):
        SoftmaxRegression().fit(X, Y)


TEXTS = {
    "pandas string": pd.Series(["a", "b"] * (N // 2), dtype="string"),
    "pandas category": pd.Series(["a", "b"] * (N // 2), dtype="category"),
    "pandas sparse": pd.Series(pd.arrays.SparseArray(objects(["a", "b"] * (N // 2)))),
    "pandas string[pyarrow]": pa.array(["a", "b"] * (N // 2)),
    "pandas binary[pyarrow]": pa.array([b"a", b"b"] * (N // 2)),
    "pandas dictionary[pyarrow]": pa.array(["a", "b"] * (N // 2)).dictionary_encode(),
    "polars String": pl.Series(["a", "b"] * (N // 2)),
    "polars Categorical": pl.Series(["a", "b"] * (N // 2), dtype=pl.Categorical),
    "polars Enum": pl.Series(["a", "b"] * (N // 2), dtype=pl.Enum(["a", "b"])),
    "polars Binary": pl.Series([b"a", b"b"] * (N // 2)),
    "pyarrow string": pa.array(["a", "b"] * (N // 2)),
    "pyarrow dictionary": pa.array(["a", "b"] * (N // 2)).dictionary_encode(),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_column_of_text_is_named_whatever_holds_it(name):
    column = TEXTS[name]
    X = frame_with(name.split()[0], column)
    frames = [X] if "sparse" not in name else [pd.DataFrame({"when": column})]
    for frame in frames:
        with pytest.raises(ValueError, match=r"X must hold numbers, but the columns \['when'\] hold text"):
            SoftmaxRegression().fit(frame, Y)


@pytest.mark.parametrize("dtype", [complex, np.complex64, np.clongdouble])
def test_complex_numbers_are_refused_with_the_argument_and_its_column(dtype):
    """In scikit-learn's words, without all of the data after them."""
    refused = r"^Complex data not supported: {} must hold real numbers{}\.$"
    X = COUNTS.astype(dtype)
    column = pd.Series(X[:, 1])
    for made in (column, pd.Series(pd.arrays.SparseArray(X[:, 1], fill_value=dtype(0)))):
        for frame in (frame_with("pandas", made), pd.DataFrame({"when": made})):
            with pytest.raises(ValueError, match=refused.format("X", ", unlike column 'when'")):
                SoftmaxRegression().fit(frame, Y)
    for made in (X, X.tolist(), sparse.csr_array(X.astype(complex))):
        with pytest.raises(ValueError, match=refused.format("X", "")):
            SoftmaxRegression().fit(made, Y)
    with pytest.raises(ValueError, match=refused.format("logits", "")):
        fit_temperature(X, Y)
    with pytest.raises(ValueError, match=refused.format("sample_weight", "")):
        SoftmaxRegression().fit(COUNTS, Y, sample_weight=X[:, 0])


@pytest.mark.parametrize(
    "X",
    [np.zeros((N, 1), dtype="V4"), np.zeros((N, 1), dtype=[("a", float)]), np.zeros(N, dtype=[("a", float)])],
    ids=["raw", "records", "one-dimensional"],
)
def test_records_are_refused_by_the_argument(X):
    with pytest.raises(TypeError, match=r"X must hold numbers, but it holds what is none: .*(V4|'a')"):
        SoftmaxRegression().fit(X, Y)


def test_rows_of_unlike_length_are_refused_by_the_argument():
    with pytest.raises(ValueError, match="X must hold numbers, in rows of one length"):
        SoftmaxRegression().fit([[1.0, 2.0]] * (N - 1) + [[1.0]], Y)


@pytest.mark.parametrize("values", [[1, None], [1.5, None], ["1", None], [True, None]], ids=str)
def test_a_missing_entry_of_a_category_is_refused(values):
    """Of categories that are integers validation would make a large negative number of it."""
    column = pd.Series(values * (N // 2), dtype="category")
    for X in (frame_with("pandas", column), pd.DataFrame({"when": column})):
        with pytest.raises(ValueError, match=f"X contains NaN: {N // 2} entries of column 'when'"):
            SoftmaxRegression().fit(X, Y)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(COUNTS[:, 1].tolist()),
        pa.array(COUNTS[:, 1].tolist()).dictionary_encode(),
        pa.array([Decimal(int(number)) for number in COUNTS[:, 1]]),
        pa.array(COUNTS[:, 1].astype(np.float16)),
        pa.RunEndEncodedArray.from_arrays(np.arange(1, N + 1), COUNTS[:, 1].astype(float)),
    ],
    ids=["int64", "dictionary", "decimal", "float16", "runs"],
)
def test_a_table_of_pyarrow_is_fitted_as_its_float64_would_be(column):
    model = SoftmaxRegression().fit(frame_with("pyarrow", column), Y)

    assert_array_equal(model.coef_, SoftmaxRegression().fit(COUNTS[:, :2], Y).coef_)


FITS = {
    "SoftmaxRegression": lambda X: SoftmaxRegression().fit(X, Y),
    "SoftmaxRegressionCV": lambda X: SoftmaxRegressionCV(cv=2).fit(X, Y),
    "regularization_path": lambda X: regularization_path(X, Y),
    "TemperatureScaling": lambda X: TemperatureScaling(SoftmaxRegression(), cv=2).fit(X, Y),
    "calibration_study": lambda X: calibration_study({"softmax": SoftmaxRegression()}, X, Y, cv=2),
    "fit_temperature": lambda X: fit_temperature(X, Y),
}


@pytest.mark.parametrize("name", FITS)
def test_dates_are_refused_at_every_door(name):
    X = pd.DataFrame({"p": COUNTS[:, 0], "q": COUNTS[:, 1], "when": DAYS})
    with pytest.raises(TypeError, match=r"must hold numbers, but column 'when' holds"):
        FITS[name](X)


@pytest.mark.parametrize("method", METHODS)
def test_and_in_predicting(method):
    X = pd.DataFrame({"when": COUNTS[:, 0]})
    model = SoftmaxRegression().fit(X, Y)
    y = (Y,) if method == "score" else ()

    with pytest.raises(TypeError, match=r"X must hold numbers, but column 'when' holds"):
        getattr(model, method)(pd.DataFrame({"when": DAYS}), *y)


@pytest.mark.parametrize("name", sorted(FITS.keys() - {"fit_temperature"}))
def test_sparse_booleans_are_fitted_at_every_door(name):
    """As their float64, bit for bit: a result is known by what it prints, or by its table."""
    flags = pd.DataFrame(FLAGS, columns=NAMES)
    few = flags.astype(pd.SparseDtype(bool, fill_value=False))
    plain = flags.astype(float).astype(pd.SparseDtype(float, fill_value=0.0))

    ours, theirs = FITS[name](few), FITS[name](plain)

    if name == "calibration_study":
        assert ours.table.equals(theirs.table)
    elif name == "regularization_path":
        assert_array_equal(ours.coefs, theirs.coefs)
    else:
        assert_array_equal(ours.predict_proba(few), theirs.predict_proba(plain))


@pytest.mark.parametrize("dtype", ["boolean", "Int8", "Int64", "Float32", "bool[pyarrow]", "int64[pyarrow]"])
@pytest.mark.parametrize("columns", [NAMES, NAMES[:1]])
def test_a_missing_number_is_refused_as_nan_is(dtype, columns):
    X = pd.DataFrame(numbers(dtype), columns=NAMES).astype(dtype)[columns]
    X.iloc[3, 0] = pd.NA
    with pytest.raises(ValueError, match="X contains NaN"):
        SoftmaxRegression().fit(X, Y)


@pytest.mark.parametrize(
    "X",
    [
        pl.DataFrame({"p": [None, *FLAGS[1:, 0].tolist()]}),
        pl.DataFrame({"p": [None, *COUNTS[1:, 0].tolist()], "q": COUNTS[:, 1]}),
        pd.DataFrame({"p": objects([pd.NA, *COUNTS[1:, 0]]), "q": COUNTS[:, 1]}),
        objects([None, *COUNTS[1:, 0]])[:, None],
        objects([pd.NA, *COUNTS[1:, 0]])[:, None],
        np.ma.masked_array(1.0 * COUNTS, mask=np.eye(N, 3, dtype=bool)),
        pd.DataFrame(COUNTS, columns=NAMES).astype("Sparse[float]").where(COUNTS != 2),
    ],
    ids=["null", "null among others", "NA among others", "None", "NA", "masked", "sparse NaN"],
)
def test_so_is_what_is_missing_otherwise(X):
    with pytest.raises(ValueError, match="X contains NaN"):
        SoftmaxRegression().fit(X, Y)


@pytest.mark.parametrize(
    "X",
    [
        objects([10**400, *range(N - 1)])[:, None],
        np.array([[np.longdouble("1e4000")], *[[1]] * (N - 1)], dtype=np.longdouble),
        [[10**400], *[[1]] * (N - 1)],
    ],
    ids=["integer", "longdouble", "list"],
)
def test_what_exceeds_the_range_of_float64_is_refused(X):
    with pytest.raises(ValueError, match=r"(?s)X .*float64"):
        SoftmaxRegression().fit(X, Y)


def test_integers_beyond_the_precision_of_float64_are_rounded_to_it():
    X = COUNTS.astype(np.int64) * 2**60 + 1
    model = SoftmaxRegression().fit(X, Y)

    assert_array_equal(model.coef_, SoftmaxRegression().fit(X.astype(float), Y).coef_)


def test_strings_of_numbers_are_taken_for_them_as_in_scikit_learn():
    text = COUNTS.astype(str).astype(object)
    model = SoftmaxRegression().fit(text, Y)

    assert_array_equal(model.coef_, SoftmaxRegression().fit(COUNTS, Y).coef_)
    assert_array_equal(GaussianNB().fit(text, Y).theta_, GaussianNB().fit(COUNTS, Y).theta_)


def test_what_is_fitted_is_of_two_types_whatever_validation_lets_through():
    """Of a frame with another order of bytes it does."""
    frame = pd.DataFrame(COUNTS.astype(">f8"))

    assert check_features(SoftmaxRegression(), frame, reset=True).dtype == np.float64
    with pytest.raises(TypeError, match=r"X must hold numbers, got complex128"):
        _floating(1j * COUNTS, "X")


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        (DAYS - DAYS[0], TypeError),
        (DAYS.to_numpy(), TypeError),
        (pd.Series([pd.NA] + [1] * (N - 1), dtype="Int64"), ValueError),
        (np.ma.masked_array(np.ones(N), mask=np.arange(N) == 0), ValueError),
    ],
    ids=["spans", "dates", "NA", "masked"],
)
def test_weights_are_numbers_too(weights, error):
    with pytest.raises(error, match="sample_weight"):
        SoftmaxRegression().fit(COUNTS, Y, sample_weight=weights)


def test_columns_of_text_are_named():
    frame = pd.DataFrame({"length": [1.0, 2.0, 3.0, 4.0], "city": ["Bern", "Rome", "Bern", "Oslo"]})
    for X in (frame, frame.astype(object)):
        with pytest.raises(ValueError, match=r"columns \['city'\] hold text.* could not convert .*'Bern'"):
            SoftmaxRegression().fit(X, [0, 1, 0, 1])
    with pytest.raises(ValueError, match="X must hold numbers: could not convert"):
        SoftmaxRegression().fit([["1", "a"], ["2", "b"]], [0, 1])


@pytest.mark.parametrize("fill", [np.nan, 0, 2])
def test_sparse_columns_of_objects_that_are_numbers_are_fitted_as_these(fill):
    values = np.array([1, 0, 2, 0, 1, 3], dtype=object)
    frame = pd.DataFrame({"a": pd.arrays.SparseArray(values, fill_value=fill)})
    model, plain = (SoftmaxRegression().fit(X, [0, 1, 0, 1, 1, 0]) for X in (frame, values[:, np.newaxis]))

    assert_allclose(model.coef_, plain.coef_, rtol=1e-6)
