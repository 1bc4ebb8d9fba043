"""Scores that are means over samples, of all folds and candidates in one pass over the rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smreg import family
from smreg.data.block import Block
from smreg.data.rows import Rows
from smreg.estimators.prediction import stored_logits
from smreg.metrics.scorers import neg_cross_entropy_scorer

Array = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]
Measure = Callable[[Floats, NDArray[Any], float], Floats]  # of logits, target and temperature, for each row


def neg_log_loss(logits: Floats, target: NDArray[Any], temperature: float) -> Floats:
    """Log-probability of each label, clipped as in scikit-learn's `log_loss`."""
    p = family.softmax(logits, temperature)[np.arange(len(target)), target]
    eps = np.finfo(p.dtype).eps
    return np.asarray(np.log(np.clip(p, eps, 1 - eps)))


def neg_cross_entropy(logits: Floats, target: NDArray[Any], temperature: float) -> Floats:
    """Expected log-probability under each target, not clipped."""
    log_p = family.log_softmax(logits, temperature)
    if target.ndim == 1:
        return np.asarray(log_p[np.arange(len(target)), target])
    return np.asarray((target * np.where(target == 0, 0.0, log_p)).sum(axis=1))


def accuracy(logits: Floats, target: NDArray[Any], temperature: float) -> Floats:
    """One where the label is predicted."""
    return np.asarray(logits.argmax(axis=1) == target, dtype=np.float64)


def neg_brier_score(logits: Floats, target: NDArray[Any], temperature: float) -> Floats:
    """Minus the sum of squares over the classes, or as in scikit-learn over one of two."""
    p = family.softmax(logits, temperature)
    p[np.arange(len(p)), target] -= 1
    squares = np.square(p).sum(axis=1)
    return np.asarray(-squares / 2 if p.shape[1] == 2 else -squares)


OF_LABELS = {f.__name__: f for f in (neg_log_loss, accuracy, neg_brier_score)}


def measure_of(scoring: Any, *, soft: bool) -> Measure:
    """What `scoring` takes the mean of.

    Raises a ValueError for what is no mean over samples, or unknown here.
    """
    scoring = "accuracy" if scoring is None else scoring
    if isinstance(scoring, type(neg_cross_entropy_scorer)) or (soft and scoring == "neg_log_loss"):
        return neg_cross_entropy
    if isinstance(scoring, str) and not soft and scoring in OF_LABELS:
        return OF_LABELS[scoring]
    known = ['"neg_log_loss"', *([] if soft else ['"accuracy"', '"neg_brier_score"'])]
    raise ValueError(
        f"scoring must be {', '.join(known)} or smreg.metrics.neg_cross_entropy_scorer where X is a Dask "
        f"collection or Batches and y are {'soft targets' if soft else 'labels'}: means over the samples, "
        f"that are made part by part. Got {scoring!r}."
    )


@dataclass(frozen=True)
class FoldModels:
    """Models of every fold, to be scored on its test part.

    Attributes
    ----------
    coefs : ndarray of shape (n_folds, n_models, n_rows, n_features)
        Coefficients.
    intercepts : ndarray of shape (n_folds, n_models, n_rows)
        Intercepts.
    n_classes : int
        How many classes there are.
    temperature : float
        Divisor of the logits.
    """

    coefs: Floats
    intercepts: Floats
    n_classes: int
    temperature: float


def mean_scores(rows: Rows, models: FoldModels, measure: Measure, *, weighted: bool) -> Array:
    """Mean scores of all models, of shape (n_folds, n_models), in one pass."""
    size = models.coefs.shape[0] * models.coefs.shape[1]
    totals, weights = rows.map_reduce(_scores, models, measure, weighted, result=size)
    return np.asarray(totals / weights[:, np.newaxis])


def _scores(block: Block, models: FoldModels, measure: Measure, weighted: bool) -> tuple[Array, Array]:
    """Sums of the scores of all models, and of the weights of each fold."""
    totals, weights = np.zeros(models.coefs.shape[:2]), np.zeros(len(models.coefs))
    largest = float(np.finfo(models.coefs.dtype).max)
    for fold, (coefs, intercepts) in enumerate(zip(models.coefs, models.intercepts, strict=True)):
        rows = block.take(np.flatnonzero(block.folds == fold))
        s = rows.weights if weighted else np.ones(len(rows))
        weights[fold] = s.sum()
        for number, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
            logits = stored_logits(rows, coef, intercept.astype(np.float64), models.n_classes)
            with np.errstate(over="ignore"):
                stored = logits.astype(models.coefs.dtype)
            logits = np.nan_to_num(stored, copy=False, posinf=largest, neginf=-largest)
            totals[fold, number] = s @ measure(logits, rows.target, models.temperature)
    return totals, weights
