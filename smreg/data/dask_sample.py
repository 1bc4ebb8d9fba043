"""A sample in Dask collections, checked partition by partition, and what a first pass knows of it.

The first pass reads features, targets, weights and offsets of each partition together, checks them, and sums
up what the fit needs of them: labels, weights, and moments of the columns. With class weights, which are
known only then, a second pass sums up anew. Where workers have the memory, the partitions stay with them
after the first; elsewhere every pass reads them again.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smreg.data.dask_partitions import Partitions, together
from smreg.data.dask_rows import DaskRows, Held, client_in_use, tasks, total_of
from smreg.data.lazy import is_lazy
from smreg.data.matrix import MatrixRows
from smreg.data.offsets import columns_of_classes
from smreg.data.parts import Read, Summary, checked, describe_weighed, encoded, in_part, summary
from smreg.data.rows import MAX_NUMBERS
from smreg.data.sample import Sample
from smreg.data.targets import check_targets

Array = NDArray[np.float64]

SHARE_OF_MEMORY = 0.5  # of the workers', that a sample may take


def dask_sample(
    X: Any,
    y: Any,
    sample_weight: Any,
    class_weight: Mapping[Any, float] | str | None,
    offset: Any = None,
) -> Sample:
    """Check a sample, in one pass.

    Raises
    ------
    TypeError, ValueError
        As of a sample in memory, naming the partition; or if partitions of X, y, the weights and the offsets
        do not belong together.
    """
    if not is_lazy(y):
        check_targets(y)
    partitions = Partitions(X, y, sample_weight, offset)
    numbers, columns = (
        range(len(partitions)),
        {"n_features": partitions.n_features, "names": partitions.names},
    )
    read = tasks("smreg-read", _read, numbers, *partitions.items, **columns)
    client = client_in_use()
    with ExitStack() as on_failure:
        held = Held()
        on_failure.callback(held.release)
        parts = read if client is None else held.persist(read)
        known: Summary = total_of(tasks("smreg-check", _summary, numbers, parts))
        classes = known.checked_classes()
        order = None if offset is None else columns_of_classes(offset, classes)
        if client is not None and known.n_bytes > SHARE_OF_MEMORY * _memory(client):
            parts, client = read, None
        class_weights = known.class_weights(class_weight, classes)
        used = [of_part for of_part in zip(numbers, parts, known.lengths, strict=True) if of_part[-1] > 0]
        encoding = {"classes": classes, "class_weights": class_weights, "offset_order": order}
        parts = tasks("smreg-encode", _encoded, *zip(*used, strict=True), **encoding)
        held.keeps = client is not None or sum(known.lengths) * len(classes) <= MAX_NUMBERS
        parts = parts if client is None else held.persist(parts)
        rows = DaskRows(parts, held, lengths=known.lengths, **known.attributes())
        rows.has_offset = offset is not None
        describe_weighed(rows, class_weights)
        on_failure.pop_all()
    return Sample(rows, classes, known.dtype)


def _memory(client: Any) -> float:
    """Bytes that all workers may take."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return float(sum(worker["memory_limit"] or np.inf for worker in workers))


def _read(
    number: int,
    part: Any,
    y: Any,
    sample_weight: Any,
    offset: Any,
    n_features: int,
    names: list[Any] | None,
) -> Read:
    """Check a partition."""
    X, y, sample_weight, offset = together(part, y, sample_weight, offset)
    with in_part(f"partition {number}"):
        return checked(X, y, sample_weight, n_features, names, offset)


def _encoded(number: int, read: Read, length: int, **encoding: Any) -> MatrixRows:
    """Rows of a partition, which where they are read again must be as many as at first."""
    if len(read) != length:
        raise ValueError(
            f"In partition {number}: X must have the {length} rows of the first pass in every other, got "
            f"{len(read)}: give random_state to what is drawn at random, or persist X, y and sample_weight."
        )
    return encoded(read, **encoding)


def _summary(number: int, read: Read) -> Summary:
    """That of a partition."""
    with in_part(f"partition {number}"):
        return summary(read)
