"""A sample in Dask collections, checked partition by partition, and what a first pass knows of it.

The first pass reads features, targets and weights of each partition together, checks them, and sums up what
the fit needs of them: labels, weights, and moments of the columns. With class weights, which are known only
then, a second pass sums up anew. Where workers have the memory, the partitions stay with them after the
first; elsewhere every pass reads them again.
"""

from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from typing import Any

import dask
import numpy as np
from dask import array as da
from dask import dataframe as dd
from dask.base import get_scheduler, is_dask_collection
from dask.delayed import delayed
from numpy.typing import NDArray

from smreg.data.dask_rows import DaskRows, tasks, total_of
from smreg.data.parts import Read, Summary, checked, described, encoded, in_part, summary
from smreg.data.sample import Sample

Array = NDArray[np.float64]

SHARE_OF_MEMORY = 0.5  # of the workers', that a sample may take


def dask_sample(X: Any, y: Any, sample_weight: Any, class_weight: Mapping[Any, float] | str | None) -> Sample:
    """Check a sample, in one pass.

    Raises
    ------
    TypeError, ValueError
        As of a sample in memory, naming the partition; or if partitions of X, y and the weights do not
        belong together.
    """
    partitions = Partitions(X)
    items = partitions.parts, partitions.aligned(y, "y"), partitions.aligned(sample_weight, "sample_weight")
    read = tasks("smreg-read", _read, range(len(partitions.parts)), *items, names=partitions.names)
    client = _client()
    held = read if client is None else list(dask.persist(*read))
    known: Summary = total_of(tasks("smreg-check", _summary, range(len(read)), held))
    classes = known.checked_classes()
    if client is not None and known.n_bytes > SHARE_OF_MEMORY * _memory(client):
        held = read
    class_weights = known.class_weights(class_weight, classes)
    used = [part for part, length in zip(held, known.lengths, strict=True) if length > 0]
    parts = tasks("smreg-encode", encoded, used, classes=classes, class_weights=class_weights)
    rows = DaskRows(parts if client is None or held is read else dask.persist(*parts), **known.attributes())
    if (class_weights != 1).any():
        rows.tally, of_columns = rows.map_reduce(described, len(classes))
        rows.statistics = of_columns.statistics(rows.eps)
    return Sample(rows, classes, known.dtype)


def _client() -> Any:
    """The client of a cluster, if one is in use."""
    client = getattr(get_scheduler(), "__self__", None)
    return client if hasattr(client, "scheduler_info") else None


def _memory(client: Any) -> float:
    """Bytes that all workers may take."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return float(sum(worker["memory_limit"] or np.inf for worker in workers))


class Partitions:
    """The partitions of the features, and what goes with them.

    Attributes
    ----------
    parts : list of Delayed
        One for each.
    names : list or None
        Names of the columns of a frame.
    """

    def __init__(self, X: Any) -> None:
        self.X, self.names = X, None
        if isinstance(X, dd.DataFrame):
            self.names, self.parts = list(X.columns), as_divided(X)
        elif isinstance(X, da.Array) and X.ndim == 2 and X.dtype != object:
            self.parts = X.rechunk({1: -1}).to_delayed().ravel().tolist()
        else:
            raise TypeError(
                f"X must be a Dask DataFrame, or a Dask array of two dimensions and numbers, got {X}."
            )

    @cached_property
    def lengths(self) -> list[int]:
        """How many rows each has: of a frame after a pass."""
        if isinstance(self.X, da.Array) and not np.isnan(self.X.chunks[0]).any():
            return list(self.X.chunks[0])
        return list(dask.compute(*tasks("smreg-length", len, self.parts)))

    def aligned(self, values: Any, name: str) -> list[Any]:
        """Values for the rows of each."""
        if values is None or np.isscalar(values):
            return [values] * len(self.parts)
        if not is_dask_collection(values):
            return self._divided(values, name)
        if isinstance(values, da.Array):
            known = [array for array in (self.X, values) if isinstance(array, da.Array)]
            if len(known) == 2 and not any(np.isnan(array.chunks[0]).any() for array in known):
                self._check_length(len(values), name)
                values = values.rechunk({0: self.X.chunks[0]})
            values = values.rechunk({1: -1}) if values.ndim == 2 else values
        elif getattr(values, "known_divisions", False) and getattr(self.X, "known_divisions", False):
            self._check_divisions(values, name)
        is_array = isinstance(values, da.Array)
        parts = np.ravel(values.to_delayed()).tolist() if is_array else as_divided(values)
        if len(parts) != len(self.parts):
            raise ValueError(
                f"{name} must have a partition for each of the {len(self.parts)} of X, got {len(parts)}: "
                f"repartition one of them."
            )
        return parts

    def _check_length(self, n: int, name: str) -> None:
        if n != sum(self.lengths):
            raise ValueError(
                f"{name} must have a row for each of the {sum(self.lengths)} samples of X, got {n}."
            )

    def _check_divisions(self, values: Any, name: str) -> None:
        if values.divisions != self.X.divisions:
            raise ValueError(f"{name} must be divided like X, at {self.X.divisions}, got {values.divisions}.")

    def _divided(self, values: Any, name: str) -> list[Any]:
        """Values in memory, of which each partition gets its own."""
        values = values if hasattr(values, "shape") else np.asarray(values)
        self._check_length(len(values), name)
        rows = getattr(values, "iloc", values)
        ends = np.cumsum([0, *self.lengths])
        return [delayed(rows[first:last], traverse=False) for first, last in pairwise(ends)]


def as_divided(frame: Any) -> list[Any]:
    """A task for each partition, of which Dask would read several at a time where few columns are used."""
    with dask.config.set({"optimization.tune.active": False}):
        return list(frame.to_delayed())


def _read(number: int, X: Any, y: Any, sample_weight: Any, names: list[Any] | None) -> Read:
    """Check a partition."""
    with in_part(f"partition {number}"):
        return checked(X, y, sample_weight, names)


def _summary(number: int, read: Read) -> Summary:
    """That of a partition."""
    with in_part(f"partition {number}"):
        return summary(read)
