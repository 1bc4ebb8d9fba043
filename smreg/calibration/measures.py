"""Measures of a study by their names: functions of targets and probabilities, with the columns' labels."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smreg.metrics import calibration_decomposition, calibration_error, smooth_calibration_error
from smreg.metrics.predictions import check_predictions

Array = NDArray[np.floating[Any]]
Measure = Callable[..., float]

SMALLEST = np.finfo(np.float64).eps  # probability that scikit-learn's log_loss takes for less


def _accuracy(y: Any, probabilities: Array, *, classes: NDArray[Any]) -> float:
    """Share of samples whose most probable class is the label."""
    return float(check_predictions(y, probabilities, classes, None).events("confidence").hits(0).mean())


def _score(y: Any, probabilities: Array, *, classes: NDArray[Any], score: Any) -> float:
    p = np.maximum(probabilities, SMALLEST) if score == "log_loss" else probabilities
    return calibration_decomposition(y, p, score=score, classes=classes).score


METRICS: Mapping[str, Measure] = {
    "log_loss": partial(_score, score="log_loss"),
    "brier_score": partial(_score, score="brier"),
    "calibration_error": calibration_error,
    "classwise_calibration_error": partial(calibration_error, kind="classwise"),
    "smooth_calibration_error": smooth_calibration_error,
    "accuracy": _accuracy,
}


def check_metrics(metrics: Sequence[str] | Mapping[str, str | Measure]) -> dict[str, Measure]:
    """Measures by their names."""
    if not isinstance(metrics, Mapping):
        if isinstance(metrics, str) or not isinstance(metrics, Sequence):
            raise TypeError(f"metrics must be a sequence of names or a dict of callables, got {metrics!r}.")
        metrics = {metric: metric for metric in metrics}
    for name, metric in metrics.items():
        if not callable(metric) and metric not in METRICS:
            raise ValueError(
                f"metrics must be among {list(METRICS)} or callables, got {metric!r} as {name!r}."
            )
    if not metrics:
        raise ValueError("metrics must have at least one measure, got none.")
    return {name: METRICS[what] if isinstance(what, str) else what for name, what in metrics.items()}
