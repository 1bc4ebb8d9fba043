"""Regenerate the tables of this folder from scikit-learn and statsmodels.

Running ``python export.py`` writes ``wine.csv``, ``iris.csv``, ``anes96.csv``
and ``digits.csv.gz`` next to this file. Nothing is downloaded: all values come
from the installed packages.

Notes
-----
A column whose values are all whole numbers is written as integers. Other
numbers are written with the fewest digits that read back to the same float64.
The gzip header holds no time and no file name, so that a second run gives the
same bytes.
"""

import gzip
import io
from pathlib import Path

import pandas as pd
from pandas.api.types import is_float_dtype
from sklearn.datasets import load_digits, load_iris, load_wine
from statsmodels.datasets import anes96

HERE = Path(__file__).resolve().parent


def wine_table() -> pd.DataFrame:
    """Return the wine table, in raw units, with the labels in ``cultivar``."""
    bunch = load_wine(as_frame=True)
    table: pd.DataFrame = bunch.data.copy()
    table["cultivar"] = bunch.target_names[bunch.target]
    return table


def iris_table() -> pd.DataFrame:
    """Return the iris table with snake_case names and the labels in ``species``."""
    bunch = load_iris(as_frame=True)
    table: pd.DataFrame = bunch.data.copy()
    table.columns = pd.Index([name.replace(" (cm)", "_cm").replace(" ", "_") for name in table.columns])
    table["species"] = bunch.target_names[bunch.target]
    return table


def anes96_table() -> pd.DataFrame:
    """Return the 1996 election study table as statsmodels gives it."""
    table: pd.DataFrame = anes96.load_pandas().data
    return table


def digits_table() -> pd.DataFrame:
    """Return the optical digits table with the labels in ``digit``."""
    bunch = load_digits(as_frame=True)
    table: pd.DataFrame = bunch.data.copy()
    table["digit"] = bunch.target
    return table


def to_csv_bytes(table: pd.DataFrame) -> bytes:
    """Encode a table as CSV with a header line and LF line ends.

    Parameters
    ----------
    table : pandas.DataFrame
        The table; it is not changed.

    Returns
    -------
    bytes
        The CSV text in ASCII.
    """
    whole = [
        name
        for name in table.columns
        if is_float_dtype(table[name].dtype) and bool((table[name] % 1 == 0).all())
    ]
    converted = table.astype(dict.fromkeys(whole, "int64"))
    text = converted.to_csv(index=False, lineterminator="\n")
    return text.encode("ascii")


def to_gzip_bytes(data: bytes) -> bytes:
    """Compress bytes with gzip, without time stamp or file name.

    Parameters
    ----------
    data : bytes
        The bytes to compress.

    Returns
    -------
    bytes
        The gzip file.
    """
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()


def main() -> None:
    """Write all tables next to this file."""
    (HERE / "wine.csv").write_bytes(to_csv_bytes(wine_table()))
    (HERE / "iris.csv").write_bytes(to_csv_bytes(iris_table()))
    (HERE / "anes96.csv").write_bytes(to_csv_bytes(anes96_table()))
    (HERE / "digits.csv.gz").write_bytes(to_gzip_bytes(to_csv_bytes(digits_table())))


if __name__ == "__main__":
    main()
