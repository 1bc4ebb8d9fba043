"""Folds that are dealt out: the same for any partitions, stratified, and blind to what repeats itself."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from smreg.data.folds import class_counts, dealt


def in_parts(target, n_classes, n_folds, ends):
    """Fold numbers of all rows, dealt out part by part."""
    parts = np.split(target, ends)
    counts = np.array([class_counts(part, n_classes) for part in parts])
    before = np.cumsum(counts, axis=0) - counts
    return np.concatenate([dealt(p, b, n_folds) for p, b in zip(parts, before, strict=True)])


@pytest.mark.parametrize("soft", [False, True], ids=["labels", "soft"])
@pytest.mark.parametrize("ends", [[1], [0, 0, 5], [17, 400, 999], list(range(1, 1000))], ids=lambda e: len(e))
def test_folds_do_not_depend_on_the_partitions(ends, soft, rng):
    target = rng.dirichlet(np.ones(4), 1000) if soft else rng.choice(4, 1000, p=[0.5, 0.3, 0.19, 0.01])

    assert_array_equal(in_parts(target, 4, 5, ends), in_parts(target, 4, 5, []))


@pytest.mark.parametrize("n_folds", [2, 5, 1000])
def test_every_class_is_in_all_folds_alike(n_folds, rng):
    """Up to one row, whether there are more of them than folds or fewer."""
    target = rng.choice(4, 3000, p=[0.5, 0.3, 0.19, 0.01])
    folds = in_parts(target, 4, n_folds, [100, 2000])

    assert folds.min() == 0
    assert folds.max() == n_folds - 1
    for label in range(4):
        counts = np.bincount(folds[target == label], minlength=n_folds)
        assert counts.max() - counts.min() <= 1


def test_soft_targets_are_dealt_out_alike(rng):
    counts = np.bincount(in_parts(rng.dirichlet(np.ones(3), 1001), 3, 5, [500]))

    assert sorted(counts) == [200, 200, 200, 200, 201]


@pytest.mark.parametrize("period", [2, 5, 10, 7])
def test_what_repeats_itself_meets_all_folds_alike(period):
    """Rows of a phase fall into a fold as often as by chance, within five standard deviations.

    Where the period divides the number of folds, or the other way round, dealing in turn would put each phase
    into some of the folds alone.
    """
    n, n_folds = 20_000, 5
    folds = dealt(np.zeros(n, dtype=int), np.zeros(1, dtype=int), n_folds)
    of_phase = np.arange(n) % period
    counts = np.array([np.bincount(folds[of_phase == phase], minlength=n_folds) for phase in range(period)])
    expected = n / period / n_folds

    assert np.abs(counts - expected).max() <= 5 * np.sqrt(expected * (1 - 1 / n_folds))


def test_classes_begin_in_different_folds():
    """So that the rows left over of many classes do not add up in one fold: half of the folds at least."""
    target = np.arange(200)
    folds = dealt(target, np.zeros(200, dtype=int), 10)

    assert np.bincount(folds, minlength=10).max() <= 100
    assert len(np.unique(folds)) == 10
