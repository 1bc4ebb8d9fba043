"""What a fit and a prediction take beyond X, counted by NumPy's allocations: the same on every machine."""

import numpy as np
import pytest
from memory import peak_of
from numpy.testing import assert_array_equal
from scipy import sparse

from smreg import SoftmaxRegression, SoftmaxRegressionCV


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_fit_does_not_copy_x(rng, n_jobs, dtype, order):
    """Each thread has two blocks of up to 8 MiB, in float64, beside an X of 128 or 64 MB."""
    X = np.asarray(rng.normal(size=(80_000, 200)), dtype=dtype, order=order)
    y = rng.permutation(np.arange(80_000) % 3)
    model = SoftmaxRegression(max_iter=1, tol=0.5, n_jobs=n_jobs)

    assert peak_of(model.fit, X, y) < 2 * n_jobs * 2**23 + 8e6


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_fit_reads_a_file_that_is_mapped_to_memory_in_blocks(rng, tmp_path, order):
    """The same as of the array, to the last bit, in the memory of blocks, for 128 MB in the file."""
    X, y = rng.normal(size=(80_000, 200)), rng.permutation(np.arange(80_000) % 3)
    mapped = np.memmap(tmp_path / "X", mode="w+", dtype=X.dtype, shape=X.shape, order=order)
    mapped[:] = X
    mapped.flush()
    read_only = np.memmap(tmp_path / "X", mode="r", dtype=X.dtype, shape=X.shape, order=order)
    model = SoftmaxRegression(max_iter=1, tol=0.5, n_jobs=1)

    assert peak_of(model.fit, read_only, y) < 2 * 2**23 + 8e6
    in_memory = SoftmaxRegression(max_iter=1, tol=0.5).fit(np.asarray(X, order=order), y)
    assert_array_equal(model.coef_, in_memory.coef_)


def test_a_fit_keeps_no_more_than_logits_and_their_changes(rng):
    """They are two matrices of rows by classes, for searches along a line that do not read X again.

    Beside these, X and the blocks there are only vectors of n: codes, weights and what checks them.
    """
    n, n_classes = 100_000, 40
    X, y = rng.normal(size=(n, 3)), rng.permutation(np.arange(n) % n_classes)

    assert peak_of(SoftmaxRegression(max_iter=1, tol=0.5).fit, X, y) < (2 + 0.6) * 8 * n * n_classes


def test_a_sparse_fit_does_not_fill_x(rng):
    """1e5 rows of 900 columns would be 720 MB, an eighth of them 90 MB; stored are 1.1 MB.

    Blocks of 8 MiB are made dense, at most two for each of two threads, and with them matrices of products
    of the columns, of 6.5 MB each.
    """
    X = sparse.random_array((100_000, 900), density=1e-3, format="csr", rng=rng)
    y = rng.integers(0, 2, 100_000)

    assert peak_of(SoftmaxRegression(n_jobs=2).fit, X, y) < 90e6


@pytest.mark.parametrize(("order", "n_jobs"), [("C", 2), ("F", 1)])
def test_a_search_does_not_copy_x_for_its_folds(rng, order, n_jobs):
    """X takes 64 MB, five training parts would take 256 MB.

    Each thread has two blocks, as in a fit; one test part at a time, 13 MB, is read for its scores; and
    each of five folds has a few vectors.
    """
    X = np.asarray(rng.normal(size=(40_000, 200)), order=order)
    y = rng.permutation(np.arange(40_000) % 3)
    model = SoftmaxRegressionCV([1e-6], cv=5, max_iter=1, tol=0.5, n_jobs=n_jobs)

    assert peak_of(model.fit, X, y) < X.nbytes / 5 + 2 * n_jobs * 2**23 + 8e6


def test_probabilities_take_little_beyond_themselves(rng):
    """Blocks of a MiB: no second matrix of rows by classes."""
    X = rng.normal(size=(50_000, 3))
    model = SoftmaxRegression().fit(X[:500], np.arange(500) % 50)

    assert peak_of(model.predict_proba, X) < 1.6 * 8 * 50_000 * 50
