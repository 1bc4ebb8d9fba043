"""Fold numbers of rows that no one sees all of: dealt out by class, whatever the partitions.

A row's *rank* is the number of rows of its class before it, in all partitions. Every so many ranks, one for
each fold, are dealt out to the folds in turn, from a fold on that a hash of class and turn decides. So each
class has the same number of rows in every fold, up to one, as in scikit-learn's `StratifiedKFold`, and rows
that lie side by side are in different folds, as where that shuffles; what repeats itself in the data meets
all folds alike. Nothing is random. Soft targets have a single rank among all rows.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import PredefinedSplit

from smreg.data.block import Block
from smreg.data.lazy import is_lazy
from smreg.data.matrix import MatrixRows
from smreg.data.parts import PartedRows
from smreg.data.statistics import Moments, moments
from smreg.data.tally import Tally, tallied
from smreg.data.targets import Targets
from smreg.data.weights import merged

Array = NDArray[np.float64]
Folds = NDArray[np.int16]
Counts = NDArray[np.int64]

Store = TypeVar("Store", bound=PartedRows)

DEFAULT = 5  # folds, as in scikit-learn
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


def divided(rows: Store, cv: Any, classes: NDArray[Any]) -> tuple[Store, int]:
    """Rows that know their folds, and how many these are.

    Parameters
    ----------
    rows : PartedRows
        The rows.
    cv : int, None, PredefinedSplit or array-like of int
        How many folds, or the number of each row's.
    classes : ndarray of shape (K,)
        Labels, for errors.

    Raises
    ------
    ValueError
        If `cv` is anything else, there are more folds than rows in any class, or fold numbers do not fit.
    """
    if cv is None or isinstance(cv, Integral):
        return _dealt(rows, DEFAULT if cv is None else int(cv), classes)
    return _given(rows, _numbers(cv))


def _dealt(rows: Store, n_folds: int, classes: NDArray[Any]) -> tuple[Store, int]:
    """In one pass."""
    counts = np.array(rows.of_parts(_counts))
    total = counts.sum(axis=0)
    if n_folds > min(total.max(), MOST_FOLDS):
        largest = repr(classes.tolist()[total.argmax()]) if len(total) > 1 else "of all rows"
        raise ValueError(
            f"cv={n_folds} needs a class of so many samples, but the largest, {largest}, has {total.max()}. "
            "Use fewer folds."
        )
    before = np.cumsum(counts, axis=0) - counts
    return rows.with_parts(_dealt_part, list(before), n_folds=n_folds), n_folds


def _counts(part: MatrixRows) -> Counts:
    return class_counts(part.targets.values, part.n_classes)


def _dealt_part(part: MatrixRows, before: Counts, n_folds: int) -> MatrixRows:
    return part.divided(dealt(part.targets.values, before, n_folds))


def _numbers(cv: Any) -> NDArray[Any]:
    """Fold numbers that are in memory, if they are some."""
    values = np.asarray(cv.test_fold) if isinstance(cv, PredefinedSplit) else None
    if values is None and not is_lazy(cv):
        values = numbers_of(cv)
    if values is None:
        raise ValueError(
            "cv must be a number of folds, a PredefinedSplit, or the number of each row's fold, as an array "
            "(or where X is a Dask collection as one, too), where X is a Dask collection or Batches; got "
            f"{cv!r}. For another splitter number its test parts, with -1 for rows that are in none."
        )
    return values


def _given(rows: Store, numbers: NDArray[Any]) -> tuple[Store, int]:
    if len(numbers) != rows.n_samples:
        raise ValueError(
            f"cv must have a row for each of the {rows.n_samples} samples of X, got {len(numbers)}."
        )
    found = distinct_folds([numbers])
    ends = np.cumsum([length for length in rows.lengths if length > 0])
    return rows.with_parts(numbered, np.split(codes_of(numbers, found), ends[:-1])), len(found)


def distinct_folds(numbers: list[NDArray[Any]]) -> NDArray[Any]:
    """The numbers of folds, in their order; those that are negative stand for none."""
    found = np.unique(np.concatenate([np.unique(some) for some in numbers]))
    found = found[found >= 0]
    if not 0 < len(found) <= MOST_FOLDS:
        raise ValueError(f"cv must have from 1 to {MOST_FOLDS} different numbers of folds, got {len(found)}.")
    return found


def codes_of(numbers: NDArray[Any], found: NDArray[Any]) -> Folds:
    """The numbers of folds as 0, 1, ... in their order."""
    return np.where(numbers < 0, -1, np.searchsorted(found, numbers)).astype(np.int16)


def numbered(part: MatrixRows, folds: Folds) -> MatrixRows:
    """Rows with the numbers of their folds."""
    return part.divided(folds)


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
