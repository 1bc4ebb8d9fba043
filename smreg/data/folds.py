"""Fold numbers of rows that no one sees all of: dealt out by class, whatever the partitions.

A row's *rank* is the number of rows of its class before it, in all partitions. Every so many ranks, one for
each fold, are dealt out to the folds in turn, from a fold on that a hash of class and turn decides. So each
class has the same number of rows in every fold, up to one, as in scikit-learn's `StratifiedKFold`, and rows
that lie side by side are in different folds, as where that shuffles; what repeats itself in the data meets
all folds alike. Nothing is random. Soft targets have a single rank among all rows.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smreg.data.rows import Block, Tally, tallied
from smreg.data.statistics import Moments, moments
from smreg.data.targets import Targets
from smreg.data.weights import merged

Array = NDArray[np.float64]
Folds = NDArray[np.int16]
Counts = NDArray[np.int64]

MOST_FOLDS = int(np.iinfo(np.int16).max)


def numbers_of(cv: Any) -> NDArray[Any] | None:
    """The number of each row's fold, if that is what `cv` is: an array or sequence of integers; else None."""
    if hasattr(cv, "split"):
        return None
    with suppress(ValueError):  # of parts of different lengths
        values = np.asarray(cv)
        if values.ndim == 1 and values.dtype.kind in "iu":
            return values
    return None


def class_counts(target: NDArray[Any], n_classes: int) -> Counts:
    """How many rows each class has, by its codes; of soft targets all rows are of one."""
    if target.ndim == 2:
        return np.array([len(target)])
    return np.bincount(target, minlength=n_classes)


def dealt(target: NDArray[Any], before: Counts, n_folds: int) -> Folds:
    """Numbers of the folds whose test parts rows are in.

    Parameters
    ----------
    target : ndarray of int of shape (n_rows,), or of float of shape (n_rows, K)
        Codes of the classes, or soft targets.
    before : ndarray of int of shape (K,) or (1,)
        How many rows of each class are in the partitions before, see `class_counts`.
    n_folds : int
        How many there are.
    """
    codes = target if target.ndim == 1 else np.zeros(len(target), dtype=np.int64)
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes, minlength=len(before))
    starts = np.cumsum(counts) - counts
    ranks = np.empty(len(codes), dtype=np.int64)
    ranks[order] = np.arange(len(codes)) + np.repeat(before - starts, counts)
    turns, places = np.divmod(ranks, n_folds)
    first = (_hash(codes, turns) % np.uint64(n_folds)).astype(np.int64)
    return np.asarray((places + first) % n_folds, dtype=np.int16)


def _hash(codes: NDArray[np.int64], turns: NDArray[np.int64]) -> NDArray[np.uint64]:
    """SplitMix64 of a class and a turn, see https://doi.org/10.1145/2660193.2660195."""
    z = (turns.astype(np.uint64) + (codes.astype(np.uint64) << np.uint64(48))) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@dataclass(frozen=True)
class Training:
    """Takes the weight from the rows in the test part of a fold, and merges class weights in.

    Attributes
    ----------
    fold : int or None
        Number of the fold; None leaves all rows as they are.
    class_weights : ndarray of shape (K,)
        Of this training part.
    """

    fold: int | None
    class_weights: Array

    def __call__(self, block: Block) -> Block:
        """A block as a fit to the training part sees it."""
        weights = block.weights
        if self.fold is not None:
            weights = np.where(block.folds == self.fold, 0.0, weights)
        if (self.class_weights == 1).all():
            return replace(block, weights=weights)
        targets = Targets(np.arange(len(self.class_weights)), block.target)
        targets, weights = merged(targets, weights, self.class_weights)
        return replace(block, target=targets.values, weights=weights)


@dataclass(frozen=True)
class Part:
    """What is known of some rows.

    Attributes
    ----------
    counts : ndarray of int of shape (K,)
        Rows of positive weight by class; of soft targets those in which it has a part.
    tally : Tally
        Sums of the weights.
    moments : Moments
        Of the columns.
    """

    counts: Counts
    tally: Tally
    moments: Moments

    def __add__(self, other: "Part") -> "Part":
        """That of both."""
        return Part(self.counts + other.counts, self.tally + other.tally, self.moments + other.moments)


def described(block: Block, n_classes: int) -> Part:
    """That of a block."""
    target = block.target if block.target.ndim == 1 else (block.target > 0).astype(np.float64)
    used = (block.weights > 0).astype(np.float64)
    counts = Targets(np.arange(n_classes), target).mass(used).astype(np.int64)
    return Part(counts, tallied(block, n_classes), moments(block))


def described_by_fold(block: Block, n_classes: int, n_folds: int) -> tuple[Part, ...]:
    """That of a block's rows in the test part of each fold, and last of those in none."""
    members = (np.flatnonzero(block.folds == fold) for fold in [*range(n_folds), -1])
    return tuple(described(block.take(rows), n_classes) for rows in members)
