"""Features, checked once at the public boundary: float32 or float64, whatever stored the numbers.

scikit-learn's `validate_data` turns most of what holds numbers into floating point, but takes a date for the
number of its nanoseconds, `NaT` for -9.2e18, and a masked entry for what lies under the mask; and of a frame
of sparse columns some types come through as they are. Here these are refused, or brought to float64, first.
"""

import datetime
import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from smreg.data.lazy import refuse_lazy

DTYPES = [np.float64, np.float32]
NUMBERS = ("b", "i", "u", "f")  # kinds of dtypes
PLAIN = re.compile(r"bool(ean)?|u?int(8|16|32|64)|float(16|32|64)?|halffloat|double")  # of polars and pyarrow
TIMES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64, pd.Period)
COMPLEX = (complex, np.complexfloating)
AS_NUMBERS = (Real, Decimal, str, bytes, np.bool_, type(None), type(pd.NA))  # other text gets its error later


def check_features(estimator: BaseEstimator, X: Any, *, reset: bool) -> Any:
    """X as an ndarray or CSR matrix of finite float32 or float64, by its own float64 where it is neither.

    Parameters
    ----------
    estimator : BaseEstimator
        Which takes the number and the names of the features, or is asked for them.
    X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
        Numbers or booleans of any kind.
    reset : bool
        Whether this is what the estimator is fitted to.

    Raises
    ------
    TypeError
        If a column holds dates or time spans, complex numbers, or what is no number at all, as lists.
    ValueError
        If anything is missing, masked or not finite, exceeds the range of float64, or is no number.
    """
    with naming(X, "X"):
        checked = validate_data(estimator, as_numbers(X, "X"), reset=reset, accept_sparse="csr", dtype=DTYPES)
    return _floating(checked, "X")


def check_logits(logits: Any) -> NDArray[Any]:
    """Logits of shape (n,) or (n, K), checked like features, without an estimator."""
    with naming(logits, "logits"):
        checked = check_array(
            as_numbers(logits, "logits"), dtype=DTYPES, ensure_2d=False, input_name="logits"
        )
    return np.asarray(_floating(checked, "logits"))


@contextmanager
def naming(X: Any, name: str) -> Iterator[None]:
    """Where validation refuses what is no number: name the argument, and of a frame the columns of text."""
    try:
        with np.errstate(over="ignore"):  # what overflows is infinite, and that is an error of its own
            yield
    except OverflowError as error:
        raise ValueError(f"{name} must hold numbers within the range of float64: {error}.") from error
    except ValueError as error:
        if "could not convert" in str(error):
            raise ValueError(f"{name} must hold numbers{_where_text_is(X)}: {error}.") from error
        if str(error).startswith("Complex data not supported\n"):  # followed by all of the data
            raise ValueError(f"Complex data not supported: {name} must hold real numbers.") from error
        if "setting an array element" in str(error):
            raise ValueError(f"{name} must hold numbers, in rows of one length: {error}") from error
        raise


def _where_text_is(X: Any) -> str:
    """Which columns of a frame hold what is no number."""
    columns = [column for column, values in _doubtful_columns(X, "X") if not _is_convertible(values)]
    if not columns or columns == [None]:
        return ""
    return f", but the columns {columns} hold text: encode them, as by OneHotEncoder, or leave them out"


def _is_convertible(values: NDArray[Any]) -> bool:
    try:
        values.astype(np.float64)
    except (ValueError, OverflowError):
        return False
    return True


def as_numbers(X: Any, name: str) -> Any:
    """X as it is, or sparse columns with zeros between, if all of it can be taken for real numbers."""
    refuse_lazy(X, name)
    if np.ma.is_masked(X):
        raise ValueError(f"Input {name} contains NaN: {np.ma.getmaskarray(X).sum()} entries are masked.")
    for column, values in _doubtful_columns(X, name):
        _check_numbers(values, name, "" if column is None else f"column {column!r}")
    dtypes = set(X.dtypes) if isinstance(X, pd.DataFrame) else set()
    if all(_is_sparse_number(dtype) for dtype in dtypes) and not all(_is_readable(dtype) for dtype in dtypes):
        return _with_zeros_between(X)
    return X


def _check_numbers(values: NDArray[Any], name: str, where: str) -> None:
    """Raise an error if values of a doubtful dtype are no numbers, or missing; text may still be numbers."""
    kinds = set(map(type, values.ravel())) if values.dtype == object else set()
    if found := _time(values, kinds):
        raise TypeError(
            f"{name} must hold numbers, but {where or 'it'} holds dates, times or time spans: {found}. "
            "Turn them into numbers first, as of the days since a date, or leave them out."
        )
    if values.dtype.kind == "c":
        unlike = f", unlike {where}" if where else ""
        raise ValueError(f"Complex data not supported: {name} must hold real numbers{unlike}.")
    if found := _no_number(values, kinds):
        raise TypeError(
            f"{name} must hold numbers, but {where or 'it'} holds what is none: {found}. Every entry of the "
            "argument must be a real number, or the string of a number."
        )
    if type(pd.NA) in kinds:
        missing = sum(value is pd.NA for value in values.ravel())
        raise ValueError(
            f"Input {name} contains NaN: {missing} entries{where and ' of ' + where} are pandas.NA."
        )


def _doubtful_columns(X: Any, name: str) -> Iterator[tuple[Any, NDArray[Any]]]:
    """Columns, by name, whose dtype is not one of numbers, and their values."""
    if sparse.issparse(X):
        return
    if not hasattr(X, "columns") and not hasattr(X, "schema"):
        values, is_array = (X, True) if hasattr(X, "dtype") else (_array(X), False)
        kind = getattr(values.dtype, "kind", "")
        if kind not in NUMBERS and not (kind == "c" and is_array):  # which validation refuses by itself
            yield None, np.asarray(values)
    else:
        yield from _doubtful_columns_of_frame(X, name)


def _doubtful_columns_of_frame(X: Any, name: str) -> Iterator[tuple[Any, NDArray[Any]]]:
    is_table = not hasattr(X, "dtypes")  # of pyarrow, else a frame of pandas or polars
    names, dtypes = (X.schema.names, X.schema.types) if is_table else (X.columns, X.dtypes)
    if all(_is_of_numbers(dtype) for dtype in set(dtypes)):
        return
    for place, (column, dtype) in enumerate(zip(names, dtypes, strict=True)):
        if _is_of_numbers(dtype):
            continue
        values = X.iloc[:, place] if isinstance(X, pd.DataFrame) else X[place if is_table else column]
        if isinstance(dtype, pd.CategoricalDtype) and values.isna().any():  # integers in validation
            raise ValueError(
                f"Input {name} contains NaN: {values.isna().sum()} entries of column {column!r}."
            )
        yield column, _values(values, f"{name} must hold numbers, but column {column!r} holds {dtype}.")


def _values(column: Any, refusal: str) -> NDArray[Any]:
    """A column as an array, or an error: NumPy has no type for some, and two dimensions for others."""
    try:
        values = np.asarray(column)
    except Exception as error:  # of many types
        raise TypeError(refusal) from error
    if values.ndim != 1:
        raise TypeError(refusal)
    return values


def _is_of_numbers(dtype: Any) -> bool:
    """Whether a column of pandas, polars or pyarrow holds numbers or booleans alone."""
    if isinstance(dtype, pd.CategoricalDtype):
        return False
    if kind := getattr(dtype, "kind", ""):
        return kind in NUMBERS
    return PLAIN.fullmatch(str(dtype).lower()) is not None


def _array(X: Any) -> NDArray[Any]:
    """What NumPy makes of a list; where it cannot, scikit-learn's validation raises the error."""
    try:
        return np.asarray(X)
    except (TypeError, ValueError):
        return np.empty(0)


def _time(values: NDArray[Any], kinds: set[type]) -> str:
    """The name of a dtype of dates or time spans, or of the type of one among objects; empty for others."""
    if values.dtype.kind in "mM":
        return str(values.dtype)
    return min((kind.__name__ for kind in kinds if issubclass(kind, TIMES)), default="")


def _no_number(values: NDArray[Any], kinds: set[type]) -> str:
    """The name of a dtype of records, or of the type of an object that is no number; empty for others."""
    if values.dtype.kind == "V":
        return str(values.dtype)
    doubtful = {kind for kind in kinds if not issubclass(kind, AS_NUMBERS)}
    if not doubtful:
        return ""
    some = (value for value in values.ravel() if type(value) in doubtful)
    return next((type(value).__name__ for value in some if not _is_number(value)), "")


def _is_number(value: Any) -> bool:
    """Whether an object of no known kind stands for a single real number."""
    if isinstance(value, COMPLEX) or np.ndim(value) > 0:
        return False
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _is_sparse_number(dtype: Any) -> bool:
    return isinstance(dtype, pd.SparseDtype) and dtype.subtype.kind in "fiubO"


def _is_readable(dtype: pd.SparseDtype) -> bool:
    """Whether scikit-learn makes floating point of such columns."""
    return bool(dtype.fill_value == 0 and dtype.subtype.kind not in "bO" and dtype.subtype != np.float16)


def _with_zeros_between(X: pd.DataFrame) -> pd.DataFrame:
    """Sparse columns of floating point, of which only zeros are not stored."""
    columns = [X.iloc[:, place].array for place in range(X.shape[1])]
    made = {
        place: pd.arrays.SparseArray(np.asarray(column, dtype=np.float64), fill_value=0.0)
        if column.fill_value != 0
        else column.astype(pd.SparseDtype(np.float64, 0.0))
        for place, column in enumerate(columns)
    }
    frame = pd.DataFrame(made, index=X.index)
    frame.columns = X.columns
    return frame


def _floating(checked: Any, name: str) -> Any:
    """One of two types, whatever validation lets through, as of a frame with another order of bytes."""
    if checked.dtype in DTYPES:
        return checked
    if checked.dtype.kind not in ("b", "i", "u", "f"):
        raise TypeError(f"{name} must hold numbers, got {checked.dtype}.")
    return checked.astype(np.float64)
