"""Scores of models that are fitted to folds: scorers that know all classes, and their metadata."""

import warnings
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import check_scoring
from sklearn.utils import check_consistent_length

from smreg import family
from smreg._sklearn import safe_indexing
from smreg.data.targets import Targets, is_soft
from smreg.estimators.cross_validation import Fold, of_rows
from smreg.estimators.prediction import logits_of_checked
from smreg.metrics import neg_cross_entropy_scorer
from smreg.metrics.scorers import labelled


@dataclass(frozen=True)
class Scorer:
    """A scorer for a single number that knows all classes.

    Attributes
    ----------
    function : callable
        ``function(estimator, X, y, **params)``.
    name : str
        By which errors call it.
    classes : ndarray of shape (n_classes,)
        All labels, of which y may lack some.
    """

    function: Callable[..., Any]
    name: str
    classes: NDArray[Any]

    def __call__(self, estimator: Any, X: Any, y: Any, params: Mapping[str, Any], where: str = "") -> float:
        """Score a fitted model, `where` naming the data in errors.

        Raises a ValueError where a score is not defined, for which classes that y lacks may be the reason.
        """
        try:
            score = self.function(estimator, X, y, **params)
        except (ValueError, UndefinedMetricWarning) as error:  # the latter where warnings are errors
            if not (where or self._missing(y)):
                raise
            raise ValueError(f"The scorer {self.name} failed{where}: {error}{self._reason(y)}") from error
        if np.ndim(score) != 0 or np.asarray(score).dtype.kind not in "biuf":
            raise ValueError(f"scoring must give a single number, got {score!r}.")
        if not np.isfinite(score) and (where or self._missing(y)):
            raise ValueError(
                f"scoring gave {score}{where}: candidates can only be compared by finite scores."
                f"{self._reason(y)}"
            )
        return float(score)

    def takes_weights(self) -> bool:
        """Whether it has a parameter sample_weight."""
        parameters = signature(_metric(self.function) or self.function).parameters
        return "sample_weight" in parameters or any(
            parameter.kind == Parameter.VAR_KEYWORD for parameter in parameters.values()
        )

    def _missing(self, y: Any) -> list[Any]:
        """The classes of which y has no sample."""
        present = set(self.classes.tolist() if is_soft(y) else np.asarray(y).ravel().tolist())
        return [label for label in self.classes.tolist() if label not in present]

    def _reason(self, y: Any) -> str:
        missing = self._missing(y)
        if not missing:
            return ""
        return (
            f" There is no sample of the classes {missing}, without which {self.name} may not be defined: "
            "use fewer folds, a stratified cv, or another scoring."
        )


def make_scorer(scoring: Any, estimator: BaseEstimator, y: Any, classes: NDArray[Any]) -> Scorer:
    """The scorer that `scoring` stands for, with labels or soft targets."""
    scoring = "accuracy" if scoring is None else scoring
    name = repr(scoring) if isinstance(scoring, str) else getattr(scoring, "__name__", repr(scoring))
    if isinstance(scoring, str) and is_soft(y):
        if scoring == "neg_log_loss":
            return Scorer(neg_cross_entropy_scorer, name, classes)
        raise ValueError(
            f"scoring={scoring!r} needs labels, but y of shape {np.shape(y)} holds soft targets. Use "
            'scoring="neg_log_loss", or a callable (estimator, X, y) that takes them.'
        )
    if scoring == "neg_log_loss":
        return Scorer(_neg_log_loss, name, classes)
    return Scorer(_with_classes(check_scoring(estimator, scoring), classes), name, classes)


def _metric(scorer: Callable[..., Any]) -> Callable[..., Any] | None:
    """The metric of a scorer that scikit-learn's `make_scorer` made."""
    return getattr(scorer, "_score_func", None)


def _with_classes(scorer: Callable[..., Any], classes: NDArray[Any]) -> Callable[..., Any]:
    """A scorer whose metric gets all classes, and of two the positive one, unless it has its own.

    scikit-learn's LogisticRegressionCV sets the scorer's `_kwargs` for that, too: no public means exists.
    """
    metric = _metric(scorer)
    if metric is None:
        return scorer
    _, _, *options = signature(metric).parameters.values()
    defaults = {option.name: option.default for option in options}
    arguments = {name: classes for name in ("labels", "classes") if defaults.get(name, classes) is None}
    if len(classes) == 2 and defaults.get("pos_label", classes[1]) not in classes.tolist():
        arguments["pos_label"] = classes[1]
    with_classes: Any = copy(scorer)
    with_classes._kwargs = arguments | with_classes._kwargs
    return cast(Callable[..., Any], with_classes)


def accepted(scorer: Scorer, params: Mapping[str, Any], *, stacklevel: int) -> Mapping[str, Any]:
    """Parameters without the weights, with a warning, if the scorer takes none."""
    if "sample_weight" not in params or scorer.takes_weights():
        return params
    warnings.warn(
        f"The scorer {scorer.name} takes no sample_weight: its scores are those of samples of equal weight.",
        UserWarning,
        stacklevel=stacklevel,
    )
    return {name: value for name, value in params.items() if name != "sample_weight"}


@dataclass(frozen=True)
class Scoring:
    """A scorer with the data of the folds.

    Attributes
    ----------
    scorer : Scorer
        What scores.
    X, y : array-like
        All samples, as they came where X is a frame.
    checked : ndarray or CSR matrix of shape (n_samples, n_features)
        X as the models take it.
    targets : Targets
        What y is encoded as.
    params : mapping
        What else the scorer is given: whatever has an entry for each sample is divided as they are.
    """

    scorer: Scorer
    X: Any
    y: Any
    checked: Any
    targets: Targets
    params: Mapping[str, Any]

    def __call__(self, model: Any, fold: Fold, C: float, number: int) -> float:
        """Score a model on the test part of a fold."""
        params = of_rows(self.params, fold.test, self.checked.shape[0])
        if self.scorer.function is _neg_log_loss:  # whose checks take longer than a fit to a small table
            rows = self.checked[fold.test]
            p = logits_of_checked(model, rows, lambda z: family.softmax(z, model.temperature))
            return _mean_log(p[np.arange(len(p)), self.targets.values[fold.test]], **params)
        X = safe_indexing(self.X, fold.test) if hasattr(self.X, "columns") else self.checked[fold.test]
        where = f" for fold {number} and C={C:g}"
        return self.scorer(model, X, safe_indexing(self.y, fold.test), params, where)


def _neg_log_loss(estimator: Any, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
    """scikit-learn's scorer of that name, also where y lacks some of the classes."""
    p = estimator.predict_proba(X)
    check_consistent_length(p, y, sample_weight)
    return _mean_log(labelled(y, p, estimator.classes_), sample_weight)


def _mean_log(p: NDArray[Any], sample_weight: ArrayLike | None = None) -> float:
    """Mean logarithm of the probabilities of the labels, clipped as in scikit-learn's `log_loss`."""
    eps = np.finfo(p.dtype).eps
    weights = None if sample_weight is None else np.asarray(sample_weight)
    return float(np.average(np.log(np.clip(p, eps, 1 - eps)), weights=weights))
