"""Blocks of rows: what kernels make of them is added up, and how they are stored is known to nobody else."""

import ast
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import STORAGES
from scipy import sparse

from smreg.data.matrix import MatrixRows
from smreg.data.rows import Rows
from smreg.data.statistics import statistics
from smreg.data.tally import tally
from smreg.data.targets import Targets
from smreg.objective.layout import Layout

SMREG = Path(__file__).parents[2] / "smreg"
MATHEMATICS = sorted(
    path for room in ("fit", "objective", "optimize") for path in (SMREG / room).glob("*.py")
)
KERNEL_AT = {"map_reduce": 0, "map_blocks": 0, "keep": 0, "gradient_of": 0, "sum_rows": 2}
EPS = np.finfo(np.float64).eps


def make_rows(rng, store=np.ascontiguousarray, n=50, thread_map=map):
    """Three classes, the last of which has no weight, and an offset."""
    X, y = rng.normal(size=(n, 4)) * (rng.random((n, 4)) > 1 / 3), np.arange(n) % 3
    weights = np.where(y == 2, 0.0, rng.integers(0, 4, size=n))
    offset = rng.normal(size=(n, 3))
    return X, MatrixRows(store(X), Targets(np.arange(3), y), weights, thread_map, offset=offset)


def gathered(rows, **hints):
    """All rows of a store: features, targets, weights, offset."""
    parts = rows.map_blocks(lambda b: (b.dense(), b.target, b.weights, b.offset), **hints)
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


@pytest.mark.parametrize("size", [None, 1, 7, 50, 1000])
@pytest.mark.parametrize("store", STORAGES.values(), ids=STORAGES)
def test_blocks_are_the_rows_in_their_order(store, size, rng):
    X, rows = make_rows(rng, store)
    parts = gathered(rows, size=size)

    for expected, actual in zip((X, rows.targets.values, rows.weights, rows.offset), parts, strict=True):
        assert_array_equal(actual, expected)


def test_threads_change_no_bit_of_a_sum(rng):
    def third(block):
        return (block.dense() / 3).sum(axis=0), float(block.weights.sum() / 3), [block.number]

    with ThreadPoolExecutor(3) as pool:
        alone = make_rows(np.random.default_rng(0), n=5000)[1].map_reduce(third, size=11)
        threads = make_rows(np.random.default_rng(0), n=5000, thread_map=pool.map)[1].map_reduce(
            third, size=11
        )

    assert_array_equal(threads[0], alone[0])
    assert threads[1:] == alone[1:]
    assert alone[2] == list(range(-(-5000 // 11)))


def test_what_is_kept_comes_back_with_its_block(rng):
    _, rows = make_rows(rng, sparse.csr_array)
    kept = rows.keep(lambda block: block.dense())
    pairs = list(rows.map_blocks(lambda block, kept: (kept.of(block), block.dense()), kept))

    assert len(pairs) > 1
    for before, now in pairs:
        assert_array_equal(before, now)


@pytest.mark.parametrize("store", STORAGES.values(), ids=STORAGES)
def test_products_with_a_block_are_those_with_its_rows(store, rng):
    """Sums of 4 and 50 terms."""
    X, rows = make_rows(rng, store)
    (block,) = rows.map_blocks(lambda block: block, size=50)
    coef, residuals, quotients = rng.normal(size=(3, 4)), rng.normal(size=(3, 50)), np.empty((4, 50))
    block.divide(np.array([1.0, 2.0, 4.0, 8.0]), quotients)

    assert_allclose(block.predictors(coef), coef @ X.T, rtol=0, atol=50 * EPS)
    assert_allclose(block.sizes(coef), np.abs(coef) @ np.abs(X).T, rtol=0, atol=50 * EPS)
    assert_allclose(block.scores(residuals), residuals @ X, rtol=0, atol=1e3 * EPS)
    assert_allclose(block.scores_of_squares(residuals), residuals @ X**2, rtol=0, atol=1e3 * EPS)
    assert_array_equal(quotients, X.T / np.array([[1.0], [2.0], [4.0], [8.0]]))


def test_a_shift_makes_another_store_and_leaves_the_first_as_it_was(rng):
    X, rows = make_rows(rng)
    shift = np.array([0.0, 1.0, 0.0, 5.0])
    shifted = rows.shifted(shift)

    assert_array_equal(gathered(shifted)[0], X - shift)
    assert_array_equal(gathered(rows)[0], X)
    assert_array_equal(gathered(shifted.unshifted)[0], X)
    assert_array_equal(gathered(shifted.shifted(2 * shift))[0], X - 2 * shift)
    assert_array_equal(gathered(shifted.take(np.array([3, 1]), np.ones(2)))[0], (X - shift)[[3, 1]])


def test_stored_numbers_are_not_filled_by_a_shift(rng):
    X, rows = make_rows(rng, sparse.csr_array)

    assert_array_equal(gathered(rows.shifted(np.ones(4)))[0], X)


def test_some_rows_are_those_with_these_numbers(rng):
    for store in STORAGES.values():
        X, rows = make_rows(rng, store)
        first, then = rng.permutation(50)[:20], rng.permutation(20)[:9]
        part = rows.take(first, np.ones(20)).take(then, np.full(9, 2.0))

        features, targets, weights, offset = gathered(part)
        assert_array_equal(features, X[first[then]])
        assert_array_equal(targets, rows.targets.values[first[then]])
        assert_array_equal(offset, rows.offset[first[then]])
        assert_array_equal(weights, np.full(9, 2.0))


def test_what_is_known_of_all_rows_is_not_said_of_others(rng):
    """Some of them, or the same with other weights: their sums and means are others."""
    for store in STORAGES.values():
        _, rows = make_rows(rng, store)
        rows.tally, rows.statistics = tally(rows), statistics(rows)
        some = rows.take(np.arange(20), np.ones(20))
        edited = rows.edited(twice, 3)

        assert tally(some).n_used == tally(some).total == 20
        mean = gathered(some)[0].mean(axis=0)
        assert_allclose(statistics(some).mean, mean, rtol=0, atol=20 * 4 * EPS)  # of 20 numbers below 4
        assert tally(edited).largest == 2 * tally(rows).largest


def twice(block):
    return replace(block, weights=2 * block.weights)


def test_a_layout_leaves_out_a_class_without_weight(rng):
    """And weights sum to one, to the rounding of 50 terms."""
    _, rows = make_rows(rng)
    layout = Layout.of(tally(rows), fit_intercept=True)
    _, targets, weights, offset = gathered(rows.edited(layout, 2))

    used = rows.weights > 0
    assert layout.tally.n_used == used.sum()
    assert_array_equal(targets[used], rows.targets.values[used])
    assert_array_equal(offset, rows.offset[:, :2])
    assert_allclose(weights, rows.weights / rows.weights.sum(), rtol=50 * EPS)
    assert_allclose(layout.priors, np.bincount(targets, weights), rtol=50 * EPS)


@pytest.mark.parametrize("path", MATHEMATICS, ids=lambda path: path.stem)
def test_only_the_room_of_data_knows_how_x_is_stored(path):
    """Others see blocks of rows, but for estimators, which are given X."""
    found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]

    assert not {node.attr for node in found} & {"X", "_X", "is_sparse", "issparse"}


@pytest.mark.parametrize("path", MATHEMATICS, ids=lambda path: path.stem)
def test_what_is_done_to_blocks_is_a_function_of_a_module(path):
    """Or one that came as an argument: no closure, which could not be sent to another process."""
    tree = ast.parse(path.read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [getattr(call.func, "attr", getattr(call.func, "id", None)) for call in calls]
    kernels = [
        call.args[KERNEL_AT[name]] for call, name in zip(calls, names, strict=True) if name in KERNEL_AT
    ]
    nested = {
        inner.name
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef)
        for inner in ast.walk(outer)
        if isinstance(inner, ast.FunctionDef) and inner is not outer
    }

    assert all(isinstance(kernel, ast.Name) for kernel in kernels)
    assert not {kernel.id for kernel in kernels} & nested


@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array])
def test_some_features_are_columns_of_x_in_any_store(store, rng):
    """As given, without a shift: of a matrix, of some of its rows, and of what has blocks alone."""
    X, y = rng.normal(size=(30, 5)), np.arange(30) % 3
    rows = MatrixRows(store(X), Targets(np.arange(3), y), np.ones(30))
    index, features = np.arange(3, 20), np.array([4, 1])
    shifted = rows.shifted(X.mean(axis=0))
    cases = [(rows, X), (rows.take(index, np.ones(17)), X[index]), (shifted, X)]

    for given, expected in cases:
        for made in (given.columns(features), Rows.columns(given, features)):
            found = np.concatenate(list(made.map_blocks(_dense_of)))
            assert_array_equal(found, expected[:, features])
            assert made.n_features == 2
            assert made.numbers_per_row == pytest.approx(np.count_nonzero(expected[0, features]))


def _dense_of(block):
    return block.dense()
