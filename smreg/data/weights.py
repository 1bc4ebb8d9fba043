"""Weights of samples and of classes, checked once at the public boundary, and merged.

A class weight ``c_k`` turns weight ``w_i`` and target ``t_i`` into ``w_i sum_k c_k t_ik`` and the normalised
``c_k t_ik``, which leaves the objective's terms ``w_i c_k t_ik`` as they should be.
"""

import warnings
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

from smreg.data.features import as_numbers, naming
from smreg.data.targets import Targets

Array = NDArray[np.float64]

ROUNDING = 1e-3  # share of a sum of weights that were computed in half precision, or printed
ALL_ZERO = "sample_weight must have a positive weight, got only weights of zero."
CHANCE = 3.0  # standard deviations by which a sum of random weights hardly ever falls short


def check_sample_weight(sample_weight: Any, n_samples: int) -> Array:
    """Non-negative finite weights of shape (n_samples,), not all zero; None means ones."""
    weights = non_negative(sample_weight, n_samples)
    if not weights.any():
        raise ValueError(ALL_ZERO)
    return weights


def non_negative(sample_weight: Any, n_samples: int) -> Array:
    """The same of a part of the samples, where all may be zero."""
    if sample_weight is None:
        return np.ones(n_samples)
    if np.isscalar(sample_weight):
        sample_weight = np.full(n_samples, sample_weight)
    sample_weight = as_numbers(sample_weight, "sample_weight")
    if np.asarray(sample_weight).dtype.kind in "US":
        raise ValueError(f"sample_weight must hold numbers, got {np.asarray(sample_weight).dtype}.")
    with naming(sample_weight, "sample_weight"):
        weights = check_array(
            sample_weight, dtype=np.float64, ensure_2d=False, copy=True, input_name="sample_weight"
        )
    if weights.ndim != 1:
        raise ValueError(f"sample_weight must be 1-D, got an array of shape {weights.shape}.")
    if len(weights) != n_samples:
        raise ValueError(
            f"sample_weight must have one weight for each of the {n_samples} samples, got {len(weights)}."
        )
    bad = ~((weights >= 0) & (weights < np.inf))  # with assume_finite also NaN and infinity
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"sample_weight must be non-negative and finite, got the weight {weights[row]:g} in row {row}."
        )
    return np.asarray(weights)


def warn_of_sampling_weights(weights: Array, results: str) -> None:
    """Warn, with the stack level of the caller's caller, if weights by which `results` count samples cannot.

    A frequency is at least one, or zero. Weights that are one in the mean, drawn or normalised, fall short of
    the number of samples by chance alone, and some are above one.
    """
    counted = weights[weights > 0]
    n, total = len(counted), float(counted.sum())
    short = n - total
    if short > ROUNDING * n and (counted.max() < 1 or short > CHANCE * np.sqrt(n) * counted.std()):
        warnings.warn(
            f"sample_weight sums to {total:.6g} over {n} samples of positive weight, but {results} take it "
            "for frequency weights, which say how many samples each is. Scale sampling weights to a mean of "
            "one.",
            UserWarning,
            stacklevel=3,
        )


def class_weight_vector(
    class_weight: Mapping[Any, float] | str | None, classes: NDArray[Any], mass: Array
) -> Array:
    """Weight of every class, of shape (K,), for classes of so much weight in all.

    scikit-learn's `compute_class_weight` is not used since it knows no soft targets, and takes the
    class 0.5 for the class 0. Its "balanced" is kept: total weight / (number of classes * weight of
    the class), over the classes that have weight.
    """
    if class_weight is None:
        return np.ones(len(classes))
    if isinstance(class_weight, str):
        present = mass > 0
        balanced = np.zeros(len(classes))
        balanced[present] = mass.sum() / (present.sum() * mass[present])
        return balanced
    labels = classes.tolist()
    unknown = [label for label in class_weight if label not in labels]
    missing = [label for label in labels if label not in class_weight]
    if unknown and missing:
        raise ValueError(f"class_weight has the keys {unknown}, which are not among the classes {labels}.")
    values = [class_weight.get(label, 1.0) for label in labels]
    if not all(isinstance(value, Real) and 0 <= value < np.inf for value in values):
        raise ValueError(f"class_weight must hold non-negative finite numbers, got {dict(class_weight)}.")
    return np.array(values, dtype=np.float64)


def weigh(targets: Targets, weights: Array, class_weights: Array) -> tuple[Targets, Array]:
    """Merge class weights in.

    Raises a ValueError if fewer than two classes have weight, or of two classes none. Of two labels, as a
    bootstrap sample's counts may leave them, one is enough.
    """
    targets, weights = merged(targets, weights, class_weights)
    two_labels = len(targets.classes) == 2 and bool((targets.mass(np.ones(len(weights))) > 0).all())
    relative = weights / max(weights.max(), np.finfo(float).tiny)
    check_live(targets.classes, targets.mass(relative), fewest=1 if two_labels else 2)
    return targets, weights


def merged(targets: Targets, weights: Array, class_weights: Array) -> tuple[Targets, Array]:
    """Class weights merged into the weights and, where they are soft, the targets."""
    if targets.values.ndim == 1:
        return targets, weights * class_weights[targets.values]
    if (class_weights == 1).all():
        return targets, weights
    tilted = targets.values * class_weights
    total = tilted.sum(axis=1)
    values = np.where(total[:, np.newaxis] > 0, tilted, targets.values)
    values /= values.sum(axis=1, keepdims=True)
    return Targets(targets.classes, values), weights * total


def check_live(classes: NDArray[Any], mass: Array, fewest: int) -> None:
    """Raise a ValueError if fewer classes have weight."""
    live = classes[mass > 0].tolist()
    if len(live) < fewest:
        raise ValueError(
            "At least 2 classes must have samples of positive weight (sample_weight times class_weight), "
            f"got {f'only the class {live[0]!r}' if live else 'none'}."
        )


def weigh_classes(
    targets: Targets, weights: Array, class_weight: Mapping[Any, float] | str | None
) -> tuple[Targets, Array]:
    """Merge class weights in."""
    mass = targets.mass(weights)
    return weigh(targets, weights, class_weight_vector(class_weight, targets.classes, mass))
