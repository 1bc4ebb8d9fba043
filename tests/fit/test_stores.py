"""A store of rows that the library does not have fits like a matrix in memory."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from smreg import family
from smreg.data.block import Block
from smreg.data.kernels import sum_of
from smreg.data.matrix import MatrixRows
from smreg.data.rows import Rows
from smreg.data.targets import Targets
from smreg.fit.regression import Problem
from smreg.fit.verification import objective_of

TOL = 1e-8
EPS = np.finfo(np.float64).eps


def sent(*what):
    """As another process would get it."""
    return pickle.loads(pickle.dumps(what))


class Generated(Rows):
    """Blocks of a few rows that a generator makes anew in every pass, of another size each."""

    def __init__(self, X, targets, weights, offset=None):
        self.n_samples, self.n_features = X.shape
        self.numbers_per_row = float(self.n_features)
        self.n_classes = len(targets.classes)
        self.shift = np.zeros(self.n_features)
        self.stores_zeros = not sparse.issparse(X)
        self.has_offset = offset is not None
        self._sample = X, targets.values, weights, *([offset] if self.has_offset else [])

    def _blocks(self):
        first = number = 0
        while first < self.n_samples:
            rows = slice(first, first + 7 + 5 * (number % 3))
            yield Block(number, *(part[rows].copy() for part in self._sample))
            first, number = rows.stop, number + 1

    def map_reduce(self, kernel, *arguments, **hints):
        """The sum over the blocks."""
        kernel, *arguments = sent(kernel, *arguments)
        return sum_of(kernel(block, *arguments) for block in self._blocks())


class Sent(MatrixRows):
    """In memory, with all its abilities, and kernels as another process would get them."""

    def map_blocks(self, kernel, *arguments, **hints):
        """As in memory."""
        kernel, *arguments = sent(kernel, *arguments)
        return super().map_blocks(kernel, *arguments, **hints)


def make_sample(n_classes, *, soft, rng, n=150, p=4, far=1e6):
    """Classes that overlap, features in mixed units, one of them far from zero, and rows without weight."""
    X = rng.normal(size=(n, p))
    eta = X @ rng.normal(size=(p, n_classes))
    labels = (eta + 2 * rng.gumbel(size=eta.shape)).argmax(axis=1)
    target = family.softmax(eta + rng.normal(size=eta.shape)) if soft else labels
    X[:, :4] = X[:, :4] * [1.0, 1e3, 1e-3, 1.0] + [0.0, 5e3, 0.0, far]
    return X, Targets(np.arange(n_classes), target), rng.integers(0, 4, size=n) / 2.0


def logits(X, regression):
    """Of all classes; columns are centred so that products are of the size of the logits' differences."""
    centre = X.mean(axis=0)
    eta = (X - centre) @ regression.coef.T + (regression.intercept + regression.coef @ centre)
    return np.column_stack([np.zeros(len(X)), eta]) if len(regression.coef) == 1 else eta


def distance(X, weights, ours, theirs, offset=0.0):
    """Of two solutions in the Fisher metric."""
    p, off = family.softmax(offset + logits(X, ours)), logits(X, ours) - logits(X, theirs)
    variance = (p * off**2).sum(axis=1) - (p * off).sum(axis=1) ** 2
    return np.sqrt(max(weights @ variance / weights.sum(), 0.0))


def rounding(X, regression):
    """Of a logit whose terms are a coefficient times 1e6 spreads at most, and an intercept of that size."""
    return 4 * EPS * (np.abs(X).max(axis=0) @ np.abs(regression.coef).max(axis=0))


@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "no intercept"])
@pytest.mark.parametrize(("C", "l1_ratio"), [(1.0, 0.0), (np.inf, 0.0), (1.0, 1.0), (1.0, 0.5)])
@pytest.mark.parametrize("soft", [False, True], ids=["labels", "soft"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("size", [None, 1.0], ids=["", "offset"])
def test_a_store_without_abilities_fits_like_a_matrix(
    size, n_classes, soft, C, l1_ratio, fit_intercept, store, rng
):
    """Each is within `tol` of the optimum in the Fisher metric, and rounds its logits."""
    X, targets, weights = make_sample(n_classes, soft=soft, rng=rng, far=1e6 if store is np.asarray else 1.0)
    options = {"fit_intercept": fit_intercept, "largest_C": C, "l1": l1_ratio > 0}
    offset = None if size is None else size * rng.normal(size=(len(X), n_classes))
    stores = (kind(store(X), targets, weights, offset=offset) for kind in (Generated, MatrixRows))
    fits = [Problem(rows, **options).solve(C, l1_ratio=l1_ratio, tol=TOL, max_iter=100) for rows in stores]

    (ours, solution), (theirs, of_matrix) = fits
    assert solution.reason == of_matrix.reason == "converged"
    apart = distance(X, weights, ours, theirs, 0.0 if offset is None else offset)
    assert apart <= 2 * TOL + rounding(X, theirs)


@pytest.mark.parametrize("without", [0, 2, 3])
def test_a_class_without_weight_is_left_out_of_any_store(without, rng):
    X, targets, weights = make_sample(4, soft=False, rng=rng)
    weights[targets.values == without] = 0.0
    fits = [
        Problem(rows, fit_intercept=True, largest_C=1.0).solve(1.0, tol=TOL, max_iter=100)[0]
        for rows in (Generated(X, targets, weights), MatrixRows(X, targets, weights))
    ]

    assert not fits[0].coef[without].any()
    assert distance(X, weights, *fits) <= 2 * TOL + rounding(X, fits[1])


@pytest.mark.parametrize(("C", "l1_ratio"), [(1.0, 0.0), (1.0, 1.0)])
@pytest.mark.parametrize(("n", "p"), [(40, 100), (4000, 20)])
def test_what_needs_more_than_passes_steps_aside(n, p, C, l1_ratio, rng):
    """Row space and samples of the rows: all of them are read instead, in the coordinates of all features."""
    X, y = rng.normal(size=(n, p)), rng.permutation(np.arange(n) % 3)
    targets, options = Targets(np.arange(3), y), {"fit_intercept": True, "largest_C": C, "l1": l1_ratio > 0}
    problem = Problem(Generated(X, targets, np.ones(n)), **options)
    of_matrix = Problem(MatrixRows(X, targets, np.ones(n)), **options)

    fit, solution = problem.solve(C, l1_ratio=l1_ratio, tol=TOL, max_iter=100)
    expected, _ = of_matrix.solve(C, l1_ratio=l1_ratio, tol=TOL, max_iter=100)
    assert solution.converged
    assert not problem.is_reduced(C)
    assert distance(X, np.ones(n), fit, of_matrix.expand(expected)) <= 2 * TOL + rounding(X, fit)


def overlapping(rng):
    """Classes that overlap in few columns."""
    X, targets, weights = make_sample(3, soft=False, rng=rng, n=60)
    return X, targets, weights, {}


def many_rows(rng):
    """So many that samples stand for all."""
    X, targets, weights = make_sample(3, soft=False, rng=rng, n=4000, p=30)
    return X, targets, weights, {}


def soft_and_without_intercept(rng):
    X, targets, weights = make_sample(3, soft=True, rng=rng, n=60)
    return X, targets, weights, {"fit_intercept": False}


def many_columns(rng):
    X, y = rng.normal(size=(50, 1100)), rng.permutation(np.arange(50) % 3)
    return X * (rng.random(X.shape) < 0.1), Targets(np.arange(3), y), np.ones(50), {}


def quasi_separated(rng, n=300, p=4):
    """Labels are open where two whole numbers add up to zero, and else are their sum's sign."""
    X = np.column_stack([rng.integers(-1, 2, size=(n, 2)), rng.normal(size=(n, p - 2))])
    total = X[:, 0] + X[:, 1]
    y = np.where(total == 0, rng.integers(0, 2, size=n), total > 0).astype(int)
    return X, Targets(np.arange(2), y), np.ones(n), {}


def quasi_separated_in_many_columns(rng):
    """Too many for a linear program."""
    return quasi_separated(rng, n=4000, p=310)


SAMPLES = [
    overlapping,
    many_rows,
    soft_and_without_intercept,
    many_columns,
    quasi_separated,
    quasi_separated_in_many_columns,
]


@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(("C", "l1_ratio"), [(1.0, 0.0), (np.inf, 0.0), (1.0, 1.0)])
@pytest.mark.parametrize("sample", SAMPLES)
def test_kernels_can_be_sent_to_another_process(sample, C, l1_ratio, store, rng):
    """And do there what they do here, to the last bit."""
    X, targets, weights, options = sample(rng)
    options = {"fit_intercept": True, "largest_C": C, "l1": l1_ratio > 0} | options
    here, there = (Problem(kind(store(X), targets, weights), **options) for kind in (MatrixRows, Sent))
    (ours, solution), (theirs, sent_solution) = (
        problem.solve(C, l1_ratio=l1_ratio, tol=1e-4, max_iter=100) for problem in (here, there)
    )

    assert sent_solution.reason == solution.reason
    assert_array_equal(theirs.coef, ours.coef)
    assert_array_equal(theirs.intercept, ours.intercept)
    assert there.null_gradient()[1] == here.null_gradient()[1]
    regression = here.expand(ours)
    assert objective_of(there, regression, C, l1_ratio) == objective_of(here, regression, C, l1_ratio)


def separated_by_a_column(rng):
    """So that one pass decides."""
    X, targets, weights = make_sample(2, soft=False, rng=rng)
    X[:, 0] = np.where(targets.values == 1, 1.0, -1.0) * rng.random(len(X))
    return X, targets, weights, {}


@pytest.mark.parametrize("sample", [separated_by_a_column, quasi_separated, quasi_separated_in_many_columns])
def test_separation_is_found_in_any_store(sample, rng):
    X, targets, weights, _ = sample(rng)
    problem = Problem(Generated(X, targets, weights), fit_intercept=True, largest_C=np.inf)

    assert problem.solve(np.inf, tol=1e-4, max_iter=100)[1].reason == "separation"
