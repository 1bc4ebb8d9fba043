"""Scorers: measures of a fitted classifier's probabilities, for model selection. Higher is better."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length
from sklearn.utils.metadata_routing import UNUSED

from smreg.data.labels import as_labels
from smreg.data.lazy import is_lazy, refuse_lazy
from smreg.data.targets import check_soft_targets, is_soft
from smreg.data.weights import check_sample_weight
from smreg.metrics.calibration import calibration_error
from smreg.metrics.smooth import smooth_calibration_error


class _Scorer(BaseEstimator):  # type: ignore[misc]
    """The interface of scikit-learn's scorers, around a method `_score`.

    That is given what is `known` of the samples, for the classifier's predictions.
    """

    __metadata_request__score: ClassVar[dict[str, str]] = {"estimator": UNUSED}

    def score(
        self, estimator: Any, X: Any, y: Any, sample_weight: ArrayLike | None = None, offset: Any = None
    ) -> float:
        """Score a fitted classifier.

        Parameters
        ----------
        estimator : classifier
            Fitted, with ``classes_`` and probabilities.
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels, or soft targets with a column for each class.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.
        offset : array-like of shape (n_samples, n_classes), default=None
            Known part of the logits, for a classifier whose predictions take it, as `SoftmaxRegression`. With
            metadata routing it is asked for by ``set_score_request(offset=True)`` of a copy.

        Returns
        -------
        float
            At most zero.

        Raises
        ------
        ValueError
            If y has classes that the classifier does not know, or a label is missing.
        """
        return self._score(estimator, X, y, sample_weight, {} if offset is None else {"offset": offset})

    def __call__(
        self, estimator: Any, X: Any, y: Any, sample_weight: ArrayLike | None = None, offset: Any = None
    ) -> float:
        """Score a fitted classifier, as `score`."""
        return self._score(estimator, X, y, sample_weight, {} if offset is None else {"offset": offset})

    def _score(
        self, estimator: Any, X: Any, y: Any, sample_weight: ArrayLike | None, known: Mapping[str, Any]
    ) -> float:
        raise NotImplementedError

    def _accept_sample_weight(self) -> bool:
        """Answer scikit-learn, which asks it of each of several scorers."""
        return True


class _NegativeCrossEntropy(_Scorer):
    """Scorer: mean log-probability that a classifier gives to the target, in nats; higher is better.

    It is minus the cross-entropy ``mean_i sum_k t_ik (-log p_ik)`` of the target, which is a label
    or, unlike in scikit-learn's ``"neg_log_loss"``, a soft target for each sample. The probabilities
    come from ``predict_log_proba``, or where a classifier has none from the logarithm of ``predict_proba``,
    and nothing is clipped. A Dask X is read once, partition by partition, with y and weights as in the `fit`
    of `SoftmaxRegression`, whatever the classifier.

    Use it as ``scoring=neg_cross_entropy_scorer``, or for scikit-learn's ScoringMonitor as
    ``scoring={"cross_entropy": neg_cross_entropy_scorer}``. With metadata routing take a copy:
    ``clone(neg_cross_entropy_scorer).set_score_request(sample_weight=True)``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from smreg import SoftmaxRegression
    >>> from smreg.metrics import neg_cross_entropy_scorer
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SoftmaxRegression().fit(X, y)
    >>> round(neg_cross_entropy_scorer(model, X, y), 3)
    -0.12
    """

    __name__ = "neg_cross_entropy"  # by which learning curves label their axis

    def _score(
        self, estimator: Any, X: Any, y: Any, sample_weight: ArrayLike | None, known: Mapping[str, Any]
    ) -> float:
        if any(map(is_lazy, (X, y, sample_weight, *known.values()))):
            from smreg.data.dask_prediction import mean_score

            return mean_score(X, y, sample_weight, partial(self, estimator), **known)
        refuse_lazy(y, "y")
        if hasattr(estimator, "predict_log_proba"):
            log_p = estimator.predict_log_proba(X, **known)
        else:
            with np.errstate(divide="ignore"):
                log_p = np.log(estimator.predict_proba(X, **known))
        check_consistent_length(log_p, y)
        weights = check_sample_weight(sample_weight, len(log_p))
        per_sample = (_soft if is_soft(y) else labelled)(y, log_p, np.asarray(estimator.classes_))
        return float(np.average(per_sample, weights=weights))


class _NegativeMeasure(_Scorer):
    """Scorer: minus a measure of a classifier's probabilities, zero where they are right.

    Parameters
    ----------
    measure : callable
        Such as `calibration_error`.
    options : dict or None
        Keyword arguments of the measure. For others take a copy:
        ``clone(neg_calibration_error_scorer).set_params(options={"n_bins": 10})``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from smreg import SoftmaxRegression
    >>> from smreg.metrics import neg_calibration_error_scorer
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SoftmaxRegression().fit(X, y)
    >>> round(neg_calibration_error_scorer(model, X, y), 3)
    -0.078
    """

    def __init__(self, measure: Callable[..., float], options: Mapping[str, Any] | None = None) -> None:
        self.measure, self.options = measure, options

    @property
    def __name__(self) -> str:
        """By which learning curves label their axis."""
        return f"neg_{self.measure.__name__}"

    def _score(
        self, estimator: Any, X: Any, y: Any, sample_weight: ArrayLike | None, known: Mapping[str, Any]
    ) -> float:
        if is_lazy(X):
            raise TypeError(
                f"X must be in memory here, got a Dask {type(X).__name__}: {self.__name__} is no mean over "
                f"samples. Call {self.measure.__name__}(y.compute(), estimator.predict_proba(X).compute(), "
                "classes=estimator.classes_), which holds labels and probabilities, but no features; "
                "neg_cross_entropy_scorer takes Dask collections."
            )
        p, classes = estimator.predict_proba(X, **known), estimator.classes_
        return -self.measure(y, p, classes=classes, sample_weight=sample_weight, **(self.options or {}))


def labelled(y: Any, p: NDArray[Any], classes: NDArray[Any]) -> NDArray[Any]:
    """Probability, or log-probability, of each label."""
    labels = as_labels(y)
    found, codes = np.unique(labels, return_inverse=True)
    column = {label: number for number, label in enumerate(classes.tolist())}
    unseen = [label for label in found.tolist() if label not in column]
    if unseen:
        raise ValueError(f"y has the classes {unseen}, not among {classes.tolist()}.")
    columns = np.array([column[label] for label in found.tolist()])
    return np.asarray(p[np.arange(len(labels)), columns[codes]])


def _soft(y: Any, log_p: NDArray[Any], classes: NDArray[Any]) -> NDArray[Any]:
    """Expected log-probability under each soft target; ``0 log 0 = 0``.

    Columns without names are those of classes 0, ..., K - 1.
    """
    targets = check_soft_targets(y)
    known = np.sort(classes) if hasattr(y, "columns") else classes
    if not np.array_equal(targets.classes, known):
        raise ValueError(
            f"The columns of soft targets y must be the classes {classes.tolist()}, "
            f"got {targets.classes.tolist()}."
        )
    t = np.asarray(targets.values)[:, np.searchsorted(targets.classes, classes)]
    return np.asarray((t * np.where(t == 0, 0.0, log_p)).sum(axis=1))


neg_cross_entropy_scorer = _NegativeCrossEntropy()
neg_calibration_error_scorer = _NegativeMeasure(calibration_error)
neg_classwise_calibration_error_scorer = _NegativeMeasure(calibration_error, {"kind": "classwise"})
neg_smooth_calibration_error_scorer = _NegativeMeasure(smooth_calibration_error)
