"""A store of rows that the library does not have fits like a matrix in memory."""

import pickle

import numpy as np
import pytest
from scipy import sparse

from smreg import family
from smreg.data.matrix import MatrixRows
from smreg.data.rows import Block, Rows, sum_of
from smreg.data.targets import Targets
from smreg.fit.regression import Problem

TOL = 1e-8
EPS = np.finfo(np.float64).eps


def sent(*what):
    """As another process would get it."""
    return pickle.loads(pickle.dumps(what))


class Generated(Rows):
    """Blocks of a few rows that a generator makes anew in every pass, of another size each."""

    def __init__(self, X, targets, weights):
        self.n_samples, self.n_features = X.shape
        self.numbers_per_row = float(self.n_features)
        self.n_classes = len(targets.classes)
        self.shift = np.zeros(self.n_features)
        self._sample = X, targets.values, weights

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


def make_sample(n_classes, *, soft, rng, n=150, p=4):
    """Classes that overlap, features in mixed units, one of them far from zero, and rows without weight."""
    X = rng.normal(size=(n, p))
    eta = X @ rng.normal(size=(p, n_classes))
    labels = (eta + 2 * rng.gumbel(size=eta.shape)).argmax(axis=1)
    target = family.softmax(eta + rng.normal(size=eta.shape)) if soft else labels
    X = X * np.array([1.0, 1e3, 1e-3, 1.0]) + np.array([0.0, 5e3, 0.0, 1e6])
    return X, Targets(np.arange(n_classes), target), rng.integers(0, 4, size=n) / 2.0


def logits(X, regression):
    """Of all classes; columns are centred so that products are of the size of the logits' differences."""
    centre = X.mean(axis=0)
    eta = (X - centre) @ regression.coef.T + (regression.intercept + regression.coef @ centre)
    return np.column_stack([np.zeros(len(X)), eta]) if len(regression.coef) == 1 else eta


def distance(X, weights, ours, theirs):
    """Of two solutions in the Fisher metric."""
    p, off = family.softmax(logits(X, ours)), logits(X, ours) - logits(X, theirs)
    variance = (p * off**2).sum(axis=1) - (p * off).sum(axis=1) ** 2
    return np.sqrt(max(weights @ variance / weights.sum(), 0.0))


def rounding(X, regression):
    """Of a logit whose terms are a coefficient times 1e6 spreads at most, and an intercept of that size."""
    return 4 * EPS * (np.abs(X).max(axis=0) @ np.abs(regression.coef).max(axis=0))


@pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "no intercept"])
@pytest.mark.parametrize(("C", "l1_ratio"), [(1.0, 0.0), (np.inf, 0.0), (1.0, 1.0), (1.0, 0.5)])
@pytest.mark.parametrize("soft", [False, True], ids=["labels", "soft"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_store_without_abilities_fits_like_a_matrix(n_classes, soft, C, l1_ratio, fit_intercept, rng):
    """Each is within `tol` of the optimum in the Fisher metric, and rounds its logits."""
    X, targets, weights = make_sample(n_classes, soft=soft, rng=rng)
    options = {"fit_intercept": fit_intercept, "largest_C": C, "l1": l1_ratio > 0}
    stores = Generated(X, targets, weights), MatrixRows(X, targets, weights)
    fits = [Problem(rows, **options).solve(C, l1_ratio=l1_ratio, tol=TOL, max_iter=100) for rows in stores]

    (ours, solution), (theirs, of_matrix) = fits
    assert solution.reason == of_matrix.reason == "converged"
    assert distance(X, weights, ours, theirs) <= 2 * TOL + rounding(X, theirs)


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


def test_separation_is_found_in_any_store(rng):
    """One column separates the classes, so that one pass decides."""
    X, targets, weights = make_sample(2, soft=False, rng=rng)
    X[:, 0] = np.where(targets.values == 1, 1.0, -1.0) * rng.random(len(X))
    for rows in (Generated(X, targets, weights), MatrixRows(X, targets, weights)):
        problem = Problem(rows, fit_intercept=True, largest_C=np.inf)
        assert problem.solve(np.inf, tol=1e-4, max_iter=100)[1].reason == "separation"


@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(("C", "l1_ratio"), [(1.0, 0.0), (np.inf, 0.0), (1.0, 1.0)])
@pytest.mark.parametrize("n", [60, 3000])
def test_kernels_can_be_sent_to_another_process(n, C, l1_ratio, store, rng):
    """And do there what they do here, to the last bit: also where rows are sampled."""
    X, targets, weights = make_sample(3, soft=False, rng=rng, n=n)
    options = {"fit_intercept": True, "largest_C": C, "l1": l1_ratio > 0}
    here, there = (
        Problem(kind(store(X), targets, weights), **options).solve(
            C, l1_ratio=l1_ratio, tol=1e-4, max_iter=100
        )
        for kind in (MatrixRows, Sent)
    )

    np.testing.assert_array_equal(there[0].coef, here[0].coef)
    np.testing.assert_array_equal(there[0].intercept, here[0].intercept)
