"""What an estimator fits to: features, targets, weights and offsets, checked, in memory or read in passes."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length

from smreg.data.batch_rows import batch_sample
from smreg.data.batches import Batches
from smreg.data.features import check_features
from smreg.data.lazy import is_lazy
from smreg.data.matrix import MatrixRows
from smreg.data.offsets import fitted_offset
from smreg.data.sample import Sample
from smreg.data.targets import Targets, as_targets, encode
from smreg.data.weights import check_sample_weight, weigh_classes


def is_by_passes(X: Any, *others: Any) -> bool:
    """Whether a sample is not in memory, but read in passes: Batches, or where any is a Dask collection."""
    return isinstance(X, Batches) or any(map(is_lazy, (X, *others)))


def checked_sample(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: ArrayLike | None,
    offset: Any,
    map_blocks: Callable[..., Any],
) -> Sample:
    """What is fitted, checked."""
    if is_by_passes(X, y, sample_weight, offset):
        return read_sample(estimator, X, y, sample_weight, offset, estimator.class_weight, map_blocks)
    X, targets, weights = validated(estimator, X, y, sample_weight)
    offset = fitted_offset(offset, X.shape[0], targets.classes)
    return Sample(MatrixRows(X, targets, weights, map_blocks, offset=offset), targets.classes, X.dtype)


def read_sample(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    offset: Any,
    class_weight: Mapping[Any, float] | str | None,
    map_blocks: Callable[..., Any],
) -> Sample:
    """What is read in passes, checked, with class weights of one's own."""
    if isinstance(X, Batches):
        if y is not None or sample_weight is not None:
            name = "y" if y is not None else "sample_weight"
            raise ValueError(f"{name} must be None where X is Batches, which names its column.")
        if offset is not None:
            raise ValueError(
                "offset must be None where X is Batches, which have no offsets: pass X, y and offset as "
                "Dask collections, which are read partition by partition."
            )
        return batch_sample(estimator, X, class_weight, map_blocks)
    from smreg.data.dask_partitions import check_lazy_features
    from smreg.data.dask_sample import dask_sample

    check_lazy_features(estimator, X, reset=True)
    return dask_sample(X, y, sample_weight, class_weight, offset)


def validated(
    estimator: Any, X: Any, y: Any, sample_weight: ArrayLike | None
) -> tuple[Any, Targets, NDArray[np.float64]]:
    """Features, and targets and weights with the class weights merged in."""
    X, targets, weights = check_sample(estimator, X, y, sample_weight)
    return X, *weigh_classes(targets, weights, estimator.class_weight)


def check_sample(
    estimator: Any, X: Any, y: Any, sample_weight: ArrayLike | None
) -> tuple[Any, Targets, NDArray[np.float64]]:
    """Features, targets and weights."""
    X = check_features(estimator, X, reset=True)
    y = as_targets(y)
    check_consistent_length(X, y)
    targets = encode(y)
    return X, targets, check_sample_weight(sample_weight, X.shape[0])
