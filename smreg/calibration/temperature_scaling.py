"""Temperature scaling of any classifier."""

import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from smreg import family
from smreg._sklearn import HasMethods, InvalidParameterError, fit_context, safe_indexing
from smreg.calibration.logits import (
    NO_OFFSETS,
    Logits,
    all_logits,
    check_classes,
    cross_fitted_logits,
    logits_of,
    with_floor,
)
from smreg.data.lazy import refuse_lazy
from smreg.data.targets import check_targets, strata
from smreg.data.weights import check_sample_weight, warn_of_sampling_weights
from smreg.estimators.attributes import unchanged_on_failure
from smreg.estimators.cross_validation import is_routing, make_folds
from smreg.temperature.scaling import STATISTICS, fit_to_classifier

Array = NDArray[np.floating[Any]]

OF_LOGITS = "If these are logits, use fit_temperature(logits, y)."


def _naming_what_takes_logits(init: Callable[..., None]) -> Callable[..., None]:
    """A constructor whose error for a missing estimator names what takes logits."""

    @wraps(init)
    def named(self: Any, *args: Any, **parameters: Any) -> None:
        if not args and "estimator" not in parameters:
            raise TypeError(
                f"TemperatureScaling needs an estimator, the classifier to be scaled. {OF_LOGITS}"
            )
        init(self, *args, **parameters)

    return named


class TemperatureScaling(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier whose logits are divided by one temperature, fitted to samples that it has not seen.

    This class needs a classifier and features. The temperature of given logits, as those of a network, is
    ``fit_temperature(logits, y).temperature``.

    Probabilities are ``softmax(z / T)`` with the classifier's logits z and the temperature T that minimises
    their log loss. T is fitted to logits out of fold: a clone is fitted to the training part of each fold and
    gives its logits to the test part, one T is fitted to all of these, and the classifier to all data. A
    classifier in a ``FrozenEstimator`` is taken as it is, and T fitted to all data, which should then be
    others than it was fitted to.

    Parameters
    ----------
    estimator : classifier
        Any classifier with ``decision_function``, ``predict_log_proba`` or ``predict_proba``. There is no
        default.
    cv : int, cross-validation splitter, iterable of (train, test) or array-like of int, default=None
        Folds, as everywhere in scikit-learn: None is five, stratified where y are labels. Or the number of
        each row's. A sample that is in several test parts counts once, shared out among them.
    n_jobs : int or None, default=None
        Processes for the folds, in the sense of joblib. Their number changes no bit of the result, as long as
        the classifier's own arithmetic does not depend on threads.

    Attributes
    ----------
    temperature_ : float
        T: above 1 for a classifier that is too confident.
    temperature_interval_ : tuple of float
        95 % interval of the profile likelihood for T, given the logits.
    temperature_fit_ : TemperatureFit
        The record: standard error, log loss out of fold before and after, test of T = 1.
    estimator_ : classifier
        Fitted to all data, or frozen.
    log_floor_ : float
        Logarithm of what stands for a probability of exactly zero.
    classes_ : ndarray of shape (n_classes,)
        Labels, in the order of the classifier.
    n_features_in_ : int
        Number of features seen in `fit`, if the classifier has it.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had any and the classifier has them.

    Notes
    -----
    Logits are the ``decision_function`` where it has a column for each class, and for two classes where it
    has one, which is the logit of the second class against the first. (That of an SVC with
    ``decision_function_shape="ovo"`` has one for each pair.) Else they are ``predict_log_proba``, else the
    logarithm of ``predict_proba``. Names and shapes decide, not the numbers.

    A probability of exactly zero has no logarithm. It counts as 0.001, or, if that is less, as the smallest
    positive probability among those that T is fitted to. Forests and neighbours give zero where the
    probability is less than about the inverse of their number; saturated networks round to zero what is less
    than any other probability.

    `predict` gives the class with the largest logit, which no temperature changes.

    A `SoftmaxRegression` has a temperature of its own, which is a parameter, so that ``get_params``,
    ``clone`` and a grid search know it. With samples that it was not fitted to,
    ``model.set_params(temperature=fit_temperature(model.decision_function(X), y).temperature)`` does what
    this class does with the model in a ``FrozenEstimator``. ``SoftmaxRegressionCV(temperature="cv")`` finds
    C and T in one search.

    See Also
    --------
    fit_temperature : The temperature of given logits.
    calibration_study : Compare methods of calibration by cross-validation.
    sklearn.calibration.CalibratedClassifierCV : Other methods, for labels 0, ..., n_classes - 1.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, On Calibration of Modern Neural Networks, ICML
    2017. https://doi.org/10.48550/arXiv.1706.04599

    Examples
    --------
    Naive Bayes takes dependent features for independent ones, and is far too sure:

    >>> from sklearn.datasets import load_digits
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from smreg import TemperatureScaling
    >>> X, y = load_digits(return_X_y=True)
    >>> model = TemperatureScaling(GaussianNB(var_smoothing=0.1)).fit(X, y)
    >>> round(model.temperature_, 1), [round(end, 1) for end in model.temperature_interval_]
    (5.0, [4.7, 5.3])
    >>> fit = model.temperature_fit_
    >>> round(fit.log_loss_before, 2), round(fit.log_loss_after, 2)
    (1.18, 0.4)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [
            HasMethods(["fit", "decision_function"]),
            HasMethods(["fit", "predict_log_proba"]),
            HasMethods(["fit", "predict_proba"]),
        ],
        "cv": ["cv_object"],
        "n_jobs": [Integral, None],
    }

    @_naming_what_takes_logits
    def __init__(self, estimator: Any, *, cv: Any = None, n_jobs: int | None = None) -> None:
        self.estimator = estimator
        self.cv = cv
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Any:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.input_tags = inner.input_tags
        tags.classifier_tags.multi_class = inner.classifier_tags.multi_class
        tags.classifier_tags.poor_score = inner.classifier_tags.poor_score
        tags.non_deterministic = inner.non_deterministic
        return tags

    @property
    def classes_(self) -> NDArray[Any]:
        """Labels, in the order of the classifier."""
        return np.asarray(self.estimator_.classes_)

    @property
    def n_features_in_(self) -> int:
        """Number of features seen in `fit`."""
        return int(self.estimator_.n_features_in_)

    @property
    def feature_names_in_(self) -> NDArray[Any]:
        """Names of the features seen in `fit`."""
        return np.asarray(self.estimator_.feature_names_in_)

    @fit_context(prefer_skip_nested_validation=False)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None, **params: Any) -> Self:
        """Fit the classifier and its temperature.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Whatever the classifier takes.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels, or soft targets if the classifier takes them.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, of the classifier's fits and of the temperature's.
        **params : dict
            ``groups`` for the splitter and all else, but no offset, for the classifier's `fit`; with metadata
            routing what each asks for.

        Returns
        -------
        TemperatureScaling
            The estimator itself.

        Raises
        ------
        ValueError
            If an argument is not as above, a label is missing, a class has a single sample or no weight in
            the training part of a fold, or there are no finite logits. The estimator is then as it was
            before.

        Warns
        -----
        UserWarning
            If the temperature is at a limit, or weights are no frequencies, by which its interval counts
            samples, see `fit_temperature`; or if the classifier takes no weights.
        """
        with unchanged_on_failure(self):
            estimator = self.estimator
            refuse_lazy(X, "X")
            y, targets = check_targets(y)
            X, y = indexable(X, y)
            weights = check_sample_weight(sample_weight, len(y))
            split_params, fit_params = self._route(None if sample_weight is None else weights, params)
            if "offset" in fit_params:
                raise ValueError(f"fit got the parameter offset. {NO_OFFSETS}")
            if isinstance(estimator, FrozenEstimator):
                self.estimator_ = estimator.fit(X, y)
                logits = all_logits(estimator, X)
            else:
                folds = make_folds(self.cv, X, strata(y, targets), targets, weights, split_params)
                logits = cross_fitted_logits(estimator, X, y, targets.classes, folds, fit_params, self.n_jobs)
                self.estimator_ = clone(estimator).fit(X, y, **fit_params)
                check_classes(self.estimator_, targets.classes, "all data")
            self._fit_temperature(logits, y, weights)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Class with the largest logit, the first of several, whatever the temperature.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Entries of ``classes_``.

        Raises
        ------
        ValueError
            If the classifier does not take X.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from smreg import SoftmaxRegression, TemperatureScaling
        >>> X, y = load_iris(return_X_y=True)
        >>> TemperatureScaling(SoftmaxRegression()).fit(X, y).predict(X[:3])
        array([0, 0, 0])
        """
        logits = self._logits(X)
        return np.asarray(self.classes_[logits.argmax(axis=1)])

    def predict_proba(self, X: Any) -> Array:
        """Class probabilities ``softmax(logits / T)``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows on the simplex, columns in the order of ``classes_``.

        Raises
        ------
        ValueError
            If the classifier does not take X.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from smreg import SoftmaxRegression, TemperatureScaling
        >>> X, y = load_iris(return_X_y=True)
        >>> TemperatureScaling(SoftmaxRegression()).fit(X, y).predict_proba(X[:1]).round(2)
        array([[1., 0., 0.]])
        """
        return family.softmax(self._logits(X), self.temperature_)

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of the class probabilities, from the logits: not -inf where those round to 0.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Nats.

        Raises
        ------
        ValueError
            If the classifier does not take X.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from smreg import SoftmaxRegression, TemperatureScaling
        >>> X, y = load_iris(return_X_y=True)
        >>> TemperatureScaling(SoftmaxRegression()).fit(X, y).predict_log_proba(X[:1]).round()
        array([[ -0., -12., -53.]])
        """
        return family.log_softmax(self._logits(X), self.temperature_)

    def decision_function(self, X: Any) -> Array:
        """Logits of the classifier before the temperature, in nats.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            A column for each class; for two classes the logit of ``classes_[1]`` against ``classes_[0]``.

        Raises
        ------
        ValueError
            If the classifier does not take X.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from smreg import SoftmaxRegression, TemperatureScaling
        >>> X, y = load_iris(return_X_y=True)
        >>> TemperatureScaling(SoftmaxRegression()).fit(X, y).decision_function(X[:1]).round(1)
        array([[  7.3,   3.4, -10.7]])
        """
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def get_metadata_routing(self) -> MetadataRouter:
        """What the classifier and the splitter ask for, see scikit-learn's guide on metadata routing.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
            Requests of the estimator itself, of the classifier and of the splitter.
        """
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(
                estimator=self.estimator,
                method_mapping=MethodMapping().add(caller="fit", callee="fit"),
            )
            .add(splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
        )

    def _validate_params(self) -> None:
        """Name what was likely meant by an estimator that is none, and by a cv from scikit-learn's past."""
        if not hasattr(self.estimator, "fit") or isinstance(self.estimator, type):
            kind = type(self.estimator).__name__
            raise InvalidParameterError(
                f"The 'estimator' parameter of TemperatureScaling must be a classifier, got an object of "
                f"type {kind}. {OF_LOGITS}"
            )
        if isinstance(self.cv, str) and self.cv == "prefit":
            raise InvalidParameterError(
                "The 'cv' parameter of TemperatureScaling must be an int, a splitter, an iterable or None, "
                "got 'prefit'. For a classifier that is already fitted use "
                "TemperatureScaling(FrozenEstimator(classifier)), with sklearn.frozen.FrozenEstimator, and "
                "samples that it has not seen."
            )
        super()._validate_params()

    def _logits(self, X: Any) -> Array:
        check_is_fitted(self)
        return with_floor(logits_of(self.estimator_, X), self.log_floor_)

    def _fit_temperature(self, logits: Logits, y: Any, weights: NDArray[np.float64]) -> None:
        rows = logits.rows
        share = weights[rows] / np.bincount(rows)[rows]
        warn_of_sampling_weights(weights[np.unique(rows)], STATISTICS)
        self.log_floor_ = logits.floor(weights)
        self.temperature_fit_ = fit_to_classifier(
            with_floor(logits.values, self.log_floor_), safe_indexing(y, rows), self.classes_, share
        )
        self.temperature_ = self.temperature_fit_.temperature
        self.temperature_interval_ = self.temperature_fit_.confidence_interval

    def _route(
        self, sample_weight: NDArray[np.float64] | None, params: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """What the splitter and the classifier are given in addition to the data."""
        if is_routing():
            parts = process_routing(self, "fit", sample_weight=sample_weight, **params)
            return parts.splitter.split, parts.estimator.fit
        to_fit, to_split = dict(params), {}
        if "groups" in to_fit:
            to_split["groups"] = to_fit.pop("groups")
        if sample_weight is not None:
            estimator = self.estimator
            if has_fit_parameter(estimator, "sample_weight"):
                to_fit["sample_weight"] = sample_weight
            elif not isinstance(estimator, FrozenEstimator):
                warnings.warn(
                    f"fit of {type(estimator).__name__} takes no sample_weight: the weights count for the "
                    "temperature alone. To give them to a step of a pipeline, use metadata routing.",
                    UserWarning,
                    stacklevel=4,
                )
        return to_split, to_fit
