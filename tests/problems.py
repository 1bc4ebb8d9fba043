"""Problems that are hard in one way each: features, class codes and weights."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

STORAGES = {"C": np.ascontiguousarray, "Fortran": np.asfortranarray, "sparse": sparse.csr_array}
STORED_AS = STORAGES | {"sparse matrix": sparse.csr_matrix}


class Problem(NamedTuple):
    """What is fitted."""

    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray


def labels(logits, rng):
    """Draws from ``softmax(logits)``: the argmax after adding Gumbel noise."""
    return (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def sample(rng, n=200, p=3, n_classes=3):
    """Features of unit size and labels that they do not separate."""
    X = rng.normal(size=(n, p))
    return X, labels(X @ rng.normal(size=(p, n_classes)), rng)


def alike(X, y):
    """All rows with the same weight."""
    return Problem(X, y, np.ones(len(y)))


def units_from_1e_minus_8_to_1e8(rng):
    X, y = sample(rng, n=300, p=9)
    return alike(X * 10.0 ** np.arange(-8, 9, 2), y)


def years_and_timestamps(rng, n=300):
    """Mean 1e6 and spread 1; years; seconds since 1970 within a day or so."""
    X, y = sample(rng, n)
    return alike(np.column_stack([1e6 + X[:, 0], np.round(2000 + 10 * X[:, 1]), 1.7e9 + 1e5 * X[:, 2]]), y)


def cauchy(rng, n=200):
    X = rng.standard_cauchy(size=(n, 3))
    return alike(X, labels(np.clip(X, -2, 2), rng))


def nearly_of_rank_two(rng, n=100, p=8, n_classes=4):
    """But for a thousandth; columns of any units, a hundred thousand times their size from zero."""
    X = rng.normal(size=(n, 2)) @ rng.normal(size=(2, p)) + 1e-3 * rng.normal(size=(n, p))
    y = labels((X - X.mean(axis=0)) / X.std(axis=0) @ rng.normal(size=(p, n_classes)) * 5, rng)
    X *= 10.0 ** rng.integers(-6, 7, p)
    return alike(X + 1e5 * np.abs(X).mean(axis=0), y)


def log_normal(rng, n=200):
    """From 1e-4 to 1e4."""
    U, y = sample(rng, n)
    return alike(np.exp(3 * U), y)


def separated(rng):
    X = rng.normal(size=(100, 3))
    return alike(X, (X @ [1.0, 2.0, 3.0] > 0).astype(int))


def separated_into_three(rng):
    X = rng.normal(size=(100, 3))
    return alike(X, (X @ rng.normal(size=(3, 3))).argmax(axis=1))


def nearly_separated_with_classes_of_two_rows(rng):
    """Of four classes two are separated but for a row on either side; two have one row far outside and
    one amid the others."""
    X = rng.normal(size=(100, 3))
    side = (X @ [1.0, 2.0, 3.0] > 0).astype(int)
    deepest = np.argsort(X @ [1.0, 2.0, 3.0])[[0, -1]]
    outside, amid = 5 * X[:2], X[2:4] / 4
    wrong = X[deepest] / 4
    y = np.concatenate([side, 1 - side[deepest], [2, 3], [2, 3]])
    return alike(np.concatenate([X, wrong, outside, amid]), y)


def separated_classes_of_two_rows(rng):
    """Four classes of two rows each beside 92 rows in the middle, most of them, but not all, outside."""
    X = rng.normal(size=(100, 2))
    X[:8] *= 2
    return alike(X, np.append(np.arange(8) // 2, np.full(92, 4)))


def duplicated_and_constant_columns(rng):
    X, y = sample(rng, p=2)
    return alike(np.column_stack([X, X, np.full(200, 3.7)]), y)


def one_hot_blocks(rng):
    """Both sum to the intercept's column of ones; a number besides."""
    a, b = rng.integers(0, 3, 300), rng.integers(0, 4, 300)
    y = labels(rng.normal(size=(3, 3))[a] + rng.normal(size=(4, 3))[b], rng)
    return alike(np.column_stack([np.eye(3)[a], np.eye(4)[b], rng.normal(size=300)]), y)


def weights_over_twelve_orders(rng, n=200):
    X, y = sample(rng, n)
    return Problem(X, y, 10.0 ** rng.uniform(-6, 6, n))


def separated_but_for_rows_of_little_weight(rng):
    """Sixty rows with the wrong label, of weights 1e-6 to 1, among those of 1 to 1e6."""
    X, y, _ = separated(rng)
    X, y = np.concatenate([X, rng.normal(size=(60, 3))]), np.append(y, np.zeros(60, dtype=int))
    y[100:] = X[100:] @ [1.0, 2.0, 3.0] < 0
    return Problem(X, y, 10.0 ** np.append(rng.uniform(0, 6, 100), rng.uniform(-6, 0, 60)))


def one_sample_a_class(rng):
    return alike(rng.normal(size=(8, 3)), np.arange(8))


def more_columns_than_rows(rng):
    return alike(rng.normal(size=(15, 40)), np.arange(15) % 3)


def rare_classes(rng, n=20_000, p=5):
    """Sorted labels: five classes of 3 to 20 rows come first, which a part of the rows would miss."""
    counts = np.array([3, 5, 8, 12, 20, 500, 2000])
    y = np.repeat(np.arange(8), np.append(counts, n - counts.sum()))
    return alike(rng.normal(size=(n, p)) + 0.7 * rng.normal(size=(8, p))[y], y)


def rare_categories(rng, n=20_000):
    """A one-hot block of 30 categories: a row is in the j-th with a probability like j**-2; five have 4 rows.

    Both classes are in each, so that none is separated.
    """
    category = rng.choice(25, size=n, p=(lambda q: q / q.sum())(np.arange(1.0, 26) ** -2))
    y = labels(rng.normal(size=(25, 2))[category], rng)
    category[:50], y[:50] = np.arange(50) % 25, np.arange(50) // 25
    category[50:70], y[50:70] = 25 + np.arange(20) % 5, np.arange(20) // 10
    return alike(np.eye(30)[category], y)


def a_few_wrong_labels(rng, n=20_000):
    X = rng.normal(size=(n, 5))
    y = (X @ np.arange(1.0, 6) > 0).astype(int)
    wrong = rng.choice(n, 20, replace=False)
    y[wrong] = 1 - y[wrong]
    return alike(X, y)


def three_rows_far_out(rng, n=20_000):
    """One of each class, a million spreads away, and all that is known of one column."""
    X, y = sample(rng, n)
    X, far = np.column_stack([X, np.zeros(n)]), [n // 4, n // 2, n - 1]
    X[far], y[far] = [1e6, -1e6, 1e6, 1.0], np.arange(3)
    return alike(X, y)


def many_classes(rng, n=20_000):
    return alike(*sample(rng, n, p=10, n_classes=8))


def wide(rng, n=100, p=5000):
    X = rng.normal(size=(n, p))
    return alike(X, labels(X[:, :3], rng))


def wide_and_sparse(rng):
    """Two in a hundred numbers are not zero."""
    X, y, weights = wide(rng)
    return Problem(X * (rng.random(X.shape) < 0.02), y, weights)


def words(rng, n=2000, p=150):
    """Zeros and ones, of which two in a hundred are ones."""
    X = (rng.random((n, p)) < 0.02).astype(float)
    return alike(X, labels(X @ rng.normal(size=(p, 3)), rng))


HARD = (
    units_from_1e_minus_8_to_1e8,
    years_and_timestamps,
    cauchy,
    log_normal,
    separated,
    nearly_separated_with_classes_of_two_rows,
    duplicated_and_constant_columns,
    one_hot_blocks,
    weights_over_twelve_orders,
    one_sample_a_class,
    more_columns_than_rows,
)
