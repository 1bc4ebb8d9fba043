"""What Dask does to rows changes no bit of a fit."""

import pickle

import dask
import numpy as np
import pandas as pd
import pytest
from dask import array as da
from dask import dataframe as dd
from numpy.testing import assert_array_equal

from smreg import SoftmaxRegression
from smreg.data import dask_rows


def sent(value, offset):
    """As it comes out of a message, in which arrays begin anywhere."""
    buffers = []
    message = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    received = [memoryview(bytearray(offset) + bytearray(buffer.raw()))[offset:] for buffer in buffers]
    return pickle.loads(message, buffers=received)


def in_arrays(X, y):
    return [da.from_array(part, chunks=(10, *part.shape[1:])) for part in (X, y)]


def in_frames(X, y):
    frame = dd.from_pandas(pd.DataFrame(X).add_prefix("x").assign(y=y), npartitions=32)
    return frame.drop(columns="y"), frame["y"]


@pytest.mark.parametrize("offset", [1, 4])
@pytest.mark.parametrize("divided", [in_arrays, in_frames])
def test_bits_do_not_depend_on_where_arrays_begin(divided, offset, rng, monkeypatch):
    """As if each task went to another worker than those before: products of so few rows would differ."""
    X, y = rng.normal(size=(320, 50)), rng.permutation(np.arange(320) % 10)
    data, received = divided(X, y), []
    with dask.config.set(scheduler="sync"):
        here = SoftmaxRegression().fit(*data)

        def spied(value):
            made = aligned(sent(value, offset))
            received.append(made)
            return made

        aligned = dask_rows.aligned
        monkeypatch.setattr(dask_rows, "aligned", spied)
        there = SoftmaxRegression().fit(*data)

    assert received
    assert_array_equal(there.coef_, here.coef_)
    assert_array_equal(there.intercept_, here.intercept_)
