"""Logits from coefficients as they are stored: the products in double precision, without copies of them.

What is compared are sums of p products, in double precision: each is off by p roundings of the sum of their
magnitudes at most.
"""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from smreg import SoftmaxRegression

EPS = np.finfo(float).eps
STORAGES = {
    "dense": np.asarray,
    "sparse": sparse.csr_array,
    "Fortran": np.asfortranarray,
}


def model_of(coef, n_classes):
    """A model with these coefficients, set by hand."""
    model = SoftmaxRegression()
    model.coef_, model.intercept_ = coef, np.zeros(len(coef), dtype=coef.dtype)
    model.classes_, model.n_features_in_ = np.arange(n_classes), coef.shape[1]
    return model


def numbers(rng, shape, dtype, density):
    """Normal numbers, most of them zero where the density is small."""
    return (rng.normal(size=shape) * (rng.random(shape) < density)).astype(dtype)


@pytest.mark.parametrize("n_rows", [1, 3, 40])
@pytest.mark.parametrize("density", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense coef_", "sparse coef_"])
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("dtypes", [(float, float), (np.float32, np.float32), (float, np.float32)])
def test_logits_are_the_products_in_double_precision(dtypes, storage, is_sparse, density, n_rows, rng):
    """And then rounded to the precision of the result; 400,000 single-precise coefficients are two parts."""
    p = 20_000
    X = numbers(rng, (n_rows, p), dtypes[0], density)
    coef = numbers(rng, (20, p), dtypes[1], 0.1 if is_sparse else 1.0)
    model = model_of(coef, 20)
    model = model.sparsify() if is_sparse else model

    logits = model.decision_function(STORAGES[storage](X))

    assert logits.dtype == np.result_type(*dtypes)
    exact, size = X.astype(float) @ coef.astype(float).T, np.abs(X) @ np.abs(coef).T
    bound = p * EPS * size + np.finfo(logits.dtype).eps * np.abs(exact)
    assert (np.abs(logits - exact) <= bound).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", ["sparse row", "dense row", "sparse rows", "sparse coef_"])
def test_one_row_is_predicted_for_without_a_copy_of_the_coefficients(kind, dtype, rng):
    """Of 16 MB of coefficients, in double precision, no more than a quarter is held besides: a part of 2 MB
    in double precision, a few vectors of one row, and what the validation makes."""
    p = 100_000
    coef = numbers(rng, (20, p), dtype, 0.1 if kind == "sparse coef_" else 1.0)
    model = model_of(coef, 20)
    model = model.sparsify() if kind == "sparse coef_" else model
    n_rows, density = (10 if kind == "sparse rows" else 1), 1.0 if kind == "dense row" else 1e-3
    X = numbers(rng, (n_rows, p), dtype, density)
    X = X if kind == "dense row" else sparse.csr_array(X)

    tracemalloc.start()
    model.predict_proba(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 20 * p * 8 / 4


def test_sparse_coefficients_predict_as_dense_ones_where_sums_are_exact(rng):
    """Small integers: no rounding, in whatever order they are added."""
    coef = rng.integers(-2, 3, size=(4, 50)).astype(float)
    X = rng.integers(-2, 3, size=(30, 50)).astype(float)
    dense = model_of(coef, 4)
    expected = dense.decision_function(X)

    for storage in STORAGES.values():
        assert_array_equal(dense.decision_function(storage(X)), expected)
        assert_array_equal(model_of(coef, 4).sparsify().decision_function(storage(X)), expected)
