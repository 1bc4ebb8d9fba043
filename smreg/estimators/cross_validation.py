"""Folds of samples in memory: how they are divided, what their parts lack, and what they are given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.model_selection import PredefinedSplit, StratifiedGroupKFold, StratifiedKFold, check_cv
from sklearn.utils.metadata_routing import process_routing

from smreg._sklearn import safe_indexing
from smreg.data.folds import numbers_of
from smreg.data.lazy import refuse_lazy
from smreg.data.targets import Targets
from smreg.data.weights import weigh_classes
from smreg.objective.layout import ABSENT

Array = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True)
class Fold:
    """Indices of the samples to fit to, and of those to score."""

    train: Index
    test: Index


def is_routing() -> bool:
    """Whether scikit-learn's metadata routing is on."""
    return bool(get_config()["enable_metadata_routing"])


def routed(
    estimator: Any, method: str, sample_weight: ArrayLike | None, params: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What the splitter and the scorer are given in addition to the data.

    Without metadata routing the splitter gets the groups, and the scorer the weights.
    """
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    if is_routing():
        given = {name: value for name, value in params.items() if value is not None}
        parts = process_routing(estimator, method, **weights, **given)
        return parts.splitter.split if method == "fit" else {}, parts.scorer.score
    unknown = sorted(set(params) - ({"groups"} if method == "fit" else set()))
    if unknown:
        raise ValueError(
            f"{method} got the parameters {unknown}, which need metadata routing: call "
            "sklearn.set_config(enable_metadata_routing=True)."
        )
    return params, weights


FROZEN = "give the classifier, fitted to other samples, in a sklearn.frozen.FrozenEstimator"


def make_folds(
    cv: Any,
    X: Any,
    y: Any,
    targets: Targets,
    weights: Array,
    params: Mapping[str, Any],
    instead: str | None = FROZEN,
) -> list[Fold]:
    """Folds for any classifier: with every class in their training parts, or an error.

    For a class of one sample the error says what can be done `instead`.
    """
    folds = divide(cv, X, y, targets, weights, params)
    check_training_classes(folds, targets, weights, instead)
    return folds


def divide(
    cv: Any, X: Any, y: Any, targets: Targets, weights: Array, params: Mapping[str, Any]
) -> list[Fold]:
    """The folds, each with weight in its test part."""
    if isinstance(cv, str):
        raise ValueError(
            f"cv must be a number of folds, a splitter or an iterable of (train, test), got {cv!r}. A "
            "classifier that is not to be fitted again belongs in a sklearn.frozen.FrozenEstimator."
        )
    splitter = check_cv(_splitter(cv, len(weights)), y, classifier=True)
    _check_strata(splitter, targets)
    folds = [
        Fold(*(_indices(np.asarray(part), number, len(weights)) for part in split))
        for number, split in enumerate(splitter.split(X, y, **params))
    ]
    if not folds:
        raise ValueError("cv must have at least one fold, got none.")
    for number, fold in enumerate(folds):
        if not weights[fold.test].sum() > 0:
            raise ValueError(f"The test part of fold {number} has no samples of positive weight to score.")
    return folds


def _splitter(cv: Any, n_samples: int) -> Any:
    """What was given, or that of each row's number of a fold."""
    refuse_lazy(cv, "cv")
    numbers = numbers_of(cv)
    if numbers is None:
        return cv
    if len(numbers) != n_samples:
        raise ValueError(f"cv must have a row for each of the {n_samples} samples of X, got {len(numbers)}.")
    return PredefinedSplit(np.maximum(numbers, -1))


def _check_strata(splitter: Any, targets: Targets) -> None:
    """Raise a ValueError if no class has a sample for each fold: scikit-learn's names no class."""
    if not isinstance(splitter, StratifiedKFold | StratifiedGroupKFold) or targets.values.ndim > 1:
        return
    counts = np.bincount(targets.values)
    if splitter.n_splits > counts.max():
        raise ValueError(
            f"cv with n_splits={splitter.n_splits} needs a class of so many samples, but the largest, "
            f"{targets.classes.tolist()[counts.argmax()]!r}, has {counts.max()}. Use fewer folds."
        )


def missing_classes(folds: Sequence[Fold], targets: Targets, weights: Array) -> dict[int, list[Any]]:
    """For each fold whose training part lacks classes that have weight: these classes."""
    has_weight = targets.mass(weights) > 0
    masses = (targets.take(fold.train).mass(weights[fold.train]) for fold in folds)
    missing = (targets.classes[has_weight & ~(mass > 0)].tolist() for mass in masses)
    return {number: classes for number, classes in enumerate(missing) if classes}


def training_part(model: Any, fold: Fold, targets: Targets, weights: Array) -> tuple[Targets, Array]:
    """Targets and weights of the samples to fit to, with class weights merged in.

    The other samples have no weight, but their classes count as classes.
    """
    counts = np.bincount(fold.train, minlength=len(weights))
    targets, weights = weigh_classes(targets, weights * counts, model.class_weight)
    return targets.take(fold.train), (weights / np.maximum(counts, 1))[fold.train]


def check_training_classes(
    folds: Sequence[Fold], targets: Targets, weights: Array, instead: str | None
) -> None:
    """Raise a ValueError if the training part of a fold lacks a class that has weight."""
    for number, missing in missing_classes(folds, targets, weights).items():
        raise ValueError(
            f"{lacking(number, missing)}, so that a model fitted to it cannot know them. "
            f"{advice(missing, targets, weights, instead)}"
        )


def lacking(number: int, missing: list[Any]) -> str:
    """What the error or warning about a training part begins with."""
    return f"The training part of fold {number} has no sample of the classes {missing}"


def advice(missing: list[Any], targets: Targets, weights: Array, instead: str | None = None) -> str:
    """What helps, by the numbers of samples that the missing classes have in all."""
    values = targets.values if targets.values.ndim == 1 else (targets.values > 0).astype(np.float64)
    counts = Targets(targets.classes, values).mass((weights > 0).astype(np.float64)).astype(int)
    return advice_by_counts(missing, targets.classes, counts, instead)


def advice_by_counts(
    missing: list[Any], classes: NDArray[Any], counts: NDArray[Any], instead: str | None = None
) -> str:
    """The same by the numbers of samples of all classes."""
    known = zip(classes.tolist(), counts.tolist(), strict=True)
    sizes = {label: n for label, n in known if label in missing}
    counted = ", ".join(f"class {label!r} has {n} sample{'s' * (n > 1)}" for label, n in sizes.items())
    if min(sizes.values()) > 1:
        return f"In all, {counted}: use fewer folds, a stratified cv, or leave these classes out."
    leave = "leave such a class out" + (f", or {instead}" if instead else "")
    return f"In all, {counted}, and one sample is never both fitted to and predicted: {leave}."


def of_missing(model: Any) -> str:
    """What the model of a fold gives to classes that its training part lacks."""
    given = f"an intercept {-ABSENT:g} nats below the mean of the others"
    given = given if model.fit_intercept else "what the penalty leaves of their probability"
    return f"Its model gives them {given}, which counts in the score."


def _indices(part: NDArray[Any], number: int, n_samples: int) -> Index:
    """Indices from zero, of indices or a mask."""
    if part.shape == (n_samples,) and part.dtype == bool:
        return np.flatnonzero(part)
    if part.ndim == 1 and (part.dtype.kind in "iu" or part.size == 0):
        indices = part.astype(np.intp)
        if ((indices >= -n_samples) & (indices < n_samples)).all():
            return np.where(indices < 0, indices + n_samples, indices)
    raise ValueError(
        f"cv must give indices of the {n_samples} samples, or masks with an entry for each; fold {number} "
        f"has {np.array2string(part, threshold=10)} of shape {part.shape}."
    )


def check_test_classes(folds: Sequence[Fold], targets: Targets, weights: Array) -> None:
    """Raise a ValueError if the test parts have but one class: no temperature can be fitted to them."""
    mass = sum(targets.take(fold.test).mass(weights[fold.test]) for fold in folds)
    known = targets.classes[mass > 0].tolist()
    if len(known) < 2:
        raise ValueError(
            'temperature="cv" needs samples of at least 2 classes in the test parts of the folds, got only '
            f"the class {known[0]!r}."
        )


def of_rows(params: Mapping[str, Any], rows: Index, n_samples: int) -> dict[str, Any]:
    """Parameters with those that have an entry for each sample cut down to some of the samples."""
    return {
        name: safe_indexing(value, rows) if np.ndim(value) > 0 and len(value) == n_samples else value
        for name, value in params.items()
    }
