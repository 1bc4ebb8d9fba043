"""The logits of any classifier, also out of fold.

Which of a classifier's outputs are its logits depends on their names and shapes, never on the numbers: a
decision function with a column for each class, else log-probabilities, else the logarithm of
probabilities. A probability of zero is -inf here until `Logits.finite` puts a floor under it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.parallel import Parallel, delayed

from smreg._sklearn import safe_split
from smreg.data.lazy import refuse_lazy
from smreg.estimators.cross_validation import Fold, of_rows

Array = NDArray[np.floating[Any]]

NO_OFFSETS = (
    "Calibration passes no offset on to the predictions of a classifier: use "
    'SoftmaxRegressionCV(temperature="cv"), which fits the temperature to logits out of fold with their '
    "offsets, or fit_temperature(model.decision_function(X, offset=offset), y)."
)
ZERO = 1e-3  # probability that stands for zero, unless a classifier gave a smaller one


@dataclass(frozen=True)
class Logits:
    """Logits of some samples, from which a calibrator can learn.

    Attributes
    ----------
    values : ndarray of shape (n_rows, n_classes)
        Logits in nats, -inf where a probability is zero.
    rows : ndarray of int of shape (n_rows,)
        The sample of each row.
    """

    values: Array
    rows: NDArray[np.intp]

    def floor(self, weights: NDArray[np.float64]) -> float:
        """Logarithm of what stands for a probability of zero.

        That is `ZERO`, below which a hundred trees or neighbours give zero, or the smallest positive
        probability among samples of positive weight if that is less, as where saturated networks round to
        zero.
        """
        positive = self.values[weights[self.rows] > 0]
        return float(positive.min(initial=np.log(ZERO), where=np.isfinite(positive)))


def with_floor(logits: Array, floor: float) -> Array:
    """Logits with a floor in place of -inf."""
    return np.where(np.isneginf(logits), logits.dtype.type(floor), logits)


def logits_of(estimator: Any, X: Any) -> Array:
    """Logits that a fitted classifier gives to all its classes, of shape (n_samples, n_classes).

    For two classes a decision function is the logit of the second, against zero for the first.
    """
    refuse_lazy(X, "X")
    if getattr(estimator, "has_offset_", False):
        raise ValueError(f"{type(estimator).__name__} was fitted with offsets. {NO_OFFSETS}")
    n_classes = len(estimator.classes_)
    if hasattr(estimator, "decision_function") and (n_classes == 2 or not _votes_of_pairs(estimator)):
        values = _floating(estimator.decision_function(X))
        if n_classes == 2 and (values.ndim == 1 or values.shape[1] == 1):
            values = np.column_stack([np.zeros_like(values.ravel()), values.ravel()])
        if values.ndim == 2 and values.shape[1] == n_classes:
            return _checked(values, np.isfinite(values), estimator, "decision_function")
    for method in ("predict_log_proba", "predict_proba"):
        if hasattr(estimator, method):
            with np.errstate(divide="ignore"):
                values = _floating(getattr(estimator, method)(X))
                values = np.log(values) if method == "predict_proba" else values
            return _checked(values, values < np.inf, estimator, method)
    raise ValueError(
        f"estimator must have a decision_function with one column for each of its {n_classes} classes, or "
        f"predict_log_proba or predict_proba; got {estimator!r}. (An SVC has such a decision function with "
        'decision_function_shape="ovr".)'
    )


def cross_fitted_logits(
    estimator: Any,
    X: Any,
    y: Any,
    classes: NDArray[Any],
    folds: Sequence[Fold],
    fit_params: Mapping[str, Any] | None = None,
    n_jobs: int | None = None,
) -> Logits:
    """Logits of each fold's test part, from a clone that is fitted to its training part."""
    parallel = Parallel(n_jobs=n_jobs)
    logits = parallel(
        delayed(_of_fold)(clone(estimator), X, y, classes, fold, number, fit_params or {})
        for number, fold in enumerate(folds)
    )
    return Logits(np.concatenate(logits), np.concatenate([fold.test for fold in folds]))


def all_logits(estimator: Any, X: Any) -> Logits:
    """Logits of all samples, from a classifier that was fitted to others."""
    values = logits_of(estimator, X)
    return Logits(values, np.arange(len(values)))


def check_classes(model: Any, classes: NDArray[Any], where: str) -> None:
    """Raise a ValueError if a fitted classifier has other classes."""
    if not np.array_equal(model.classes_, classes):
        raise ValueError(
            f"The classifier fitted to {where} has the classes {np.asarray(model.classes_).tolist()}, but y "
            f"has {classes.tolist()}."
        )


def _of_fold(
    model: Any,
    X: Any,
    y: Any,
    classes: NDArray[Any],
    fold: Fold,
    number: int,
    fit_params: Mapping[str, Any],
) -> Array:
    X_train, y_train = safe_split(model, X, y, fold.train)
    model.fit(X_train, y_train, **of_rows(fit_params, fold.train, len(y)))
    check_classes(model, classes, f"the training part of fold {number}")
    X_test, _ = safe_split(model, X, None, fold.test, fold.train)
    return logits_of(model, X_test)


def _votes_of_pairs(estimator: Any) -> bool:
    """Whether a decision function may have a column for each pair of classes: three have three pairs."""
    while isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    parameters = estimator.get_params().items()
    return any(
        name.split("__")[-1] == "decision_function_shape" and value == "ovo" for name, value in parameters
    )


def _floating(numbers: Any) -> Array:
    values: Array = np.asarray(numbers)
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)


def _checked(values: Array, good: NDArray[np.bool_], estimator: Any, method: str) -> Array:
    if values.shape != (len(values), len(estimator.classes_)):
        raise ValueError(
            f"{method} of {estimator!r} must have one column for each of the {len(estimator.classes_)} "
            f"classes, got shape {values.shape}."
        )
    if not good.all():
        row = int(np.argmin(good.all(axis=1)))
        raise ValueError(
            f"{method} of {estimator!r} must give numbers, got {values[row]} for row {row} of X."
        )
    return values
