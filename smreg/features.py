"""Features, checked once at the public boundary: float32 or float64, whatever stored the numbers.

scikit-learn's `validate_data` turns most of what holds numbers into floating point, but takes a date for the
number of its nanoseconds, `NaT` for -9.2e18, and a masked entry for what lies under the mask; and of a frame
of sparse columns some types come through as they are. Here these are refused, or brought to float64, first.
"""

import datetime
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

DTYPES = [np.float64, np.float32]
NUMBERS = ("b", "i", "u", "f", "c")  # kinds of dtypes
TIMES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64, pd.Period)


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
        If a column holds dates or time spans.
    ValueError
        If anything is missing, masked or not finite, exceeds the range of float64, or is no number.
    """
    X = as_numbers(X, "X")
    try:
        with np.errstate(over="ignore"):  # what overflows is infinite, and that is an error of its own
            checked = validate_data(estimator, X, reset=reset, accept_sparse="csr", dtype=DTYPES)
    except OverflowError as error:
        raise ValueError(f"X must hold numbers within the range of float64: {error}.") from error
    except ValueError as error:
        if "could not convert" in str(error):
            raise ValueError(f"X must hold numbers{_where_text_is(X)}: {error}.") from error
        raise
    return _floating(checked, "X")


def _where_text_is(X: Any) -> str:
    """Which columns of a frame hold what is no number."""
    if not isinstance(X, pd.DataFrame):
        return ""
    columns = [X.iloc[:, place] for place in range(X.shape[1])]
    of_text = [c.name for c in columns if (pd.to_numeric(c, errors="coerce").isna() & c.notna()).any()]
    return f", but the columns {of_text} hold text: encode them, as by OneHotEncoder, or leave them out"


def check_logits(logits: Any) -> NDArray[Any]:
    """The same of logits, of shape (n,) or (n, K), which no estimator is fitted to."""
    logits = as_numbers(logits, "logits")
    with np.errstate(over="ignore"):
        checked = check_array(logits, dtype=DTYPES, ensure_2d=False, input_name="logits")
    return np.asarray(_floating(checked, "logits"))


def as_numbers(X: Any, name: str) -> Any:
    """X as it is, or sparse columns with zeros between; no times, masked entries and `pandas.NA`."""
    if np.ma.is_masked(X):
        raise ValueError(f"Input {name} contains NaN: {np.ma.getmaskarray(X).sum()} entries are masked.")
    for column, what in _doubtful_columns(X):
        where = "" if column is None else f"column {column!r}"
        if found := _time(what):
            raise TypeError(
                f"{name} must hold numbers, but {where or 'it'} holds dates, times or time spans: {found}. "
                "Turn them into numbers first, as of the days since a date, or leave them out."
            )
        missing = sum(value is pd.NA for value in what.ravel()) if isinstance(what, np.ndarray) else 0
        if missing:
            raise ValueError(
                f"Input {name} contains NaN: {missing} entries{where and ' of ' + where} are pandas.NA."
            )
    dtypes = set(X.dtypes) if isinstance(X, pd.DataFrame) else set()
    if all(_is_sparse_number(dtype) for dtype in dtypes) and not all(_is_readable(dtype) for dtype in dtypes):
        return _with_zeros_between(X)
    return X


def _doubtful_columns(X: Any) -> Iterator[tuple[Any, Any]]:
    """Columns, by name, whose dtype is none of numbers: the dtype, or where this does not tell the values."""
    if sparse.issparse(X):
        return
    if not hasattr(X, "columns") and not hasattr(X, "schema"):
        values = X if hasattr(X, "dtype") else _array(X)
        if getattr(values.dtype, "kind", "") in ("m", "M", "O"):
            yield None, np.asarray(values)
        return
    frame = hasattr(X, "dtypes")  # that of pandas or polars, or else a table of pyarrow
    names, dtypes = (X.columns, X.dtypes) if frame else (X.schema.names, X.schema.types)
    if all(getattr(dtype, "kind", "") in NUMBERS for dtype in set(dtypes)):
        return
    for place, (column, dtype) in enumerate(zip(names, dtypes, strict=True)):
        if isinstance(dtype, pd.CategoricalDtype):
            yield column, np.asarray(dtype.categories)
        elif getattr(dtype, "kind", str(dtype)) in ("O", "Object"):
            yield column, np.asarray(X.iloc[:, place] if isinstance(X, pd.DataFrame) else X[column])
        elif getattr(dtype, "kind", "") not in NUMBERS:
            yield column, dtype


def _array(X: Any) -> NDArray[Any]:
    """What NumPy makes of a list; where it cannot, scikit-learn will say why."""
    try:
        return np.asarray(X)
    except (TypeError, ValueError):
        return np.empty(0)


def _time(what: Any) -> str:
    """The name of a dtype of dates or time spans, or of the type of one among objects; empty for others."""
    if isinstance(what, np.ndarray) and what.dtype == object:
        return next((type(value).__name__ for value in what.ravel() if isinstance(value, TIMES)), "")
    dtype = getattr(what, "dtype", what)
    name = str(dtype)  # of polars and pyarrow it is Date, date32[day], Time, timestamp[ns], Duration, ...
    is_time = getattr(dtype, "kind", "") in ("m", "M")
    return name if is_time or name.lower().startswith(("date", "time", "duration")) else ""


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
