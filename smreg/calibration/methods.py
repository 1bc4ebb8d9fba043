"""Methods of calibration: classifiers that learn class probabilities from another classifier's logits.

A calibrator is any classifier of logits, with ``fit(logits, y)`` and ``predict_proba(logits)``, where logits
have a column for each class in sorted order. *Matrix scaling* is softmax regression on the logits,
``softmax(A z + b)``, and *Dirichlet calibration* is the same on the log-probabilities. Both have K^2
coefficients and need the ridge penalty, whose strength is chosen by cross-validation. *Temperature scaling*
has one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from smreg import family
from smreg.data.targets import check_targets
from smreg.estimators.model_selection import SoftmaxRegressionCV
from smreg.temperature.scaling import fit_temperature

Array = NDArray[np.floating[Any]]


class LogitTemperature(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Calibrator: ``softmax(z / T)``, by `fit_temperature`."""

    def fit(self, logits: Array, y: Any) -> Self:
        """Fit the temperature."""
        y, targets = check_targets(y)
        self.classes_ = targets.classes
        self.temperature_fit_ = fit_temperature(logits, y)
        return self

    def predict_proba(self, logits: Array) -> Array:
        """Calibrated probabilities."""
        return family.softmax(logits, self.temperature_fit_.temperature)


def matrix_scaling() -> Any:
    """``softmax(A z + b)`` with a ridge penalty."""
    return SoftmaxRegressionCV()


def dirichlet_calibration() -> Any:
    """``softmax(A log softmax(z) + b)`` with a ridge penalty."""
    return make_pipeline(FunctionTransformer(family.log_softmax), SoftmaxRegressionCV())


NAMED: Mapping[str, Callable[[], Any]] = {
    "temperature": LogitTemperature,
    "matrix": matrix_scaling,
    "dirichlet": dirichlet_calibration,
}


def check_methods(methods: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Calibrators by the names of their methods, without "none"."""
    if not isinstance(methods, Mapping):
        if isinstance(methods, str) or not isinstance(methods, Sequence):
            raise TypeError(f"methods must be a sequence of names or a dict of calibrators, got {methods!r}.")
        methods = {method: method for method in methods}
    for name, what in methods.items():
        if (name == "none") != (isinstance(what, str) and what == "none"):
            raise ValueError(
                'In methods "none" is the name of "none", the classifier as it is, and of nothing else; '
                f"got {what!r} as {name!r}."
            )
    return {name: _calibrator(name, what) for name, what in methods.items() if name != "none"}


def _calibrator(name: str, what: Any) -> Any:
    if isinstance(what, str):
        if what not in NAMED:
            raise ValueError(f"methods must be among {['none', *NAMED]} or calibrators, got {what!r}.")
        return NAMED[what]()
    if not (hasattr(what, "fit") and hasattr(what, "predict_proba")):
        raise TypeError(
            f"The calibrator {name!r} of methods must have fit(logits, y) and predict_proba(logits), "
            f"got {what!r}."
        )
    return what
