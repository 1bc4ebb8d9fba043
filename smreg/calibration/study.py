"""The calibration study: classifiers, methods of calibration and measures, compared by cross-validation."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold, KFold, PredefinedSplit, StratifiedGroupKFold, StratifiedKFold
from sklearn.utils import indexable
from sklearn.utils.parallel import Parallel, delayed

from smreg import family
from smreg._sklearn import safe_indexing, safe_split
from smreg.calibration.logits import all_logits, check_classes, cross_fitted_logits, logits_of, with_floor
from smreg.calibration.measures import Measure, check_metrics
from smreg.calibration.methods import check_methods
from smreg.data.lazy import refuse_lazy
from smreg.data.targets import Targets, check_targets, is_soft, strata
from smreg.estimators.cross_validation import FROZEN, Fold, make_folds

Array = NDArray[np.floating[Any]]

PATIENCE = 5.0  # seconds after which a study prints its progress
COLUMNS = ["estimator", "method", "fold", "metric"]


@dataclass(frozen=True, eq=False)
class CalibrationStudy:
    """What `calibration_study` found.

    Attributes
    ----------
    table : DataFrame
        estimator, method, fold, metric and value: a row for each.
    summary : DataFrame
        For each estimator, method and metric the mean over folds and its standard_error, the standard
        deviation over the root of the number of folds; and the mean difference to the method "none" in the
        same fold with its 95 % interval, difference_low to difference_high: see `calibration_study`.
    probabilities : dict of (str, str) to ndarray of shape (n_rows, n_classes)
        For each (estimator, method) the probabilities of all test parts, one fold after the other.
    y : ndarray of shape (n_rows,) or (n_rows, n_classes)
        Targets of these rows: ``ReliabilityDisplay.from_predictions(study.y, study.probabilities[...])``.
    rows : ndarray of int of shape (n_rows,)
        Which sample each is.
    folds : ndarray of int of shape (n_rows,)
        Of which fold's test part.
    classes : ndarray of shape (n_classes,)
        Labels, in the order of the columns.
    calibrators : dict of (str, str) to list
        For each (estimator, method) but "none" the calibrator of each fold, fitted; that of "temperature" has
        a ``temperature_fit_``.
    """

    table: pd.DataFrame
    summary: pd.DataFrame
    probabilities: dict[tuple[str, str], Array]
    y: NDArray[Any]
    rows: NDArray[np.intp]
    folds: NDArray[np.intp]
    classes: NDArray[Any]
    calibrators: dict[tuple[str, str], list[Any]]


def calibration_study(
    estimators: Mapping[str, Any],
    X: Any,
    y: Any,
    *,
    cv: Any = 5,
    methods: Sequence[str] | Mapping[str, Any] = ("none", "temperature"),
    metrics: Sequence[str] | Mapping[str, str | Measure] = (
        "log_loss",
        "brier_score",
        "calibration_error",
        "classwise_calibration_error",
        "accuracy",
    ),
    groups: ArrayLike | None = None,
    n_jobs: int | None = None,
    verbose: bool = True,
) -> CalibrationStudy:
    """Compare classifiers and methods of calibration by cross-validation.

    In each fold every classifier is fitted to the training part, and so is every calibrator: to logits that
    clones of the classifier, fitted to parts of the training part, give to the rest of it, so that every
    class needs three samples at least. The test part is only predicted. A classifier in a
    ``FrozenEstimator`` is taken as it is, and the calibrators are fitted to its logits of the training part.

    Parameters
    ----------
    estimators : dict of str to classifier
        Any classifiers that `TemperatureScaling` takes.
    X : array-like of shape (n_samples, n_features)
        Whatever they take.
    y : array-like of shape (n_samples,) or (n_samples, n_classes)
        Labels, or soft targets if the classifiers take them.
    cv : int, cross-validation splitter, iterable of (train, test) or array-like of int, default=5
        Folds, stratified where y are labels and by groups where there are some; or the number of each row's.
        A splitter divides each training part once more; within others that are given, parts are divided into
        five.
    methods : sequence of {"none", "temperature", "matrix", "dirichlet"} or dict of calibrators
        What is compared, always with "none": the classifier's own ``predict_proba``, or where it has none the
        softmax of its logits. "matrix" is ``SoftmaxRegressionCV()`` on the logits and "dirichlet" the same
        on the log-probabilities. A calibrator is anything with ``fit(logits, y)`` and
        ``predict_proba(logits)``.
    metrics : sequence of names or dict of callables
        Of "log_loss", in which probabilities are at least 2.2e-16 as in scikit-learn's; "brier_score", a sum
        over classes; "calibration_error", "classwise_calibration_error" and "smooth_calibration_error" as in
        `smreg.metrics`, and "accuracy". A callable takes ``(y, probabilities, classes=classes)``, where
        classes are the labels of the columns.
    groups : array-like of shape (n_samples,), default=None
        Groups that no division separates, neither that into folds nor those within training parts.
    n_jobs : int or None, default=None
        Processes for classifiers and folds, in the sense of joblib. Their number changes no bit of the
        result, as long as the classifiers' own arithmetic does not depend on threads.
    verbose : bool, default=True
        Whether to print a line to standard error for each fold of each classifier, from five seconds on.

    Returns
    -------
    CalibrationStudy
        Table, summary, and the probabilities for pictures.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as above, a class is missing in a training part, or a classifier has no finite
        logits.

    Notes
    -----
    Folds share their training data, so that their results are not independent, and the usual interval is too
    narrow. The interval of a difference is ``mean -+ t sqrt(1 / J + n_test / n_train) s`` with J folds, their
    standard deviation s and the quantile t of the t distribution with ``J - 1`` degrees of freedom: the
    corrected resampled t-test. It is nan for a single fold.

    Calibration errors in bins are too large by chance, the more so the fewer samples a fold has. That adds to
    all methods alike, but least to those that are far from calibrated; the log loss has no such bias.

    References
    ----------
    C. Nadeau and Y. Bengio, Inference for the Generalization Error, Machine Learning 52 (2003).
    https://doi.org/10.1023/A:1024068626366
    M. Kull, M. Perello-Nieto, M. Kängsepp, T. Silva Filho, H. Song and P. Flach, Beyond temperature scaling:
    Obtaining well-calibrated multiclass probabilities with Dirichlet calibration, NeurIPS 2019.
    https://doi.org/10.48550/arXiv.1910.12656

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.model_selection import StratifiedKFold
    >>> from smreg import calibration_study
    >>> X, y = load_digits(return_X_y=True)
    >>> study = calibration_study(
    ...     {"naive Bayes": GaussianNB(var_smoothing=0.1)},
    ...     X,
    ...     y,
    ...     cv=StratifiedKFold(5, shuffle=True, random_state=0),
    ...     methods=["none", "temperature", "matrix"],
    ... )
    >>> log_loss = study.summary.query("metric == 'log_loss'").set_index("method")
    >>> log_loss[["mean", "difference", "difference_low", "difference_high"]].round(2)
                 mean  difference  difference_low  difference_high
    method
    none         0.69        0.00            0.00             0.00
    temperature  0.28       -0.40           -0.68            -0.13
    matrix       0.17       -0.52           -0.83            -0.21

    Calibrators of one's own, with a penalty that is given:

    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from smreg import SoftmaxRegression, log_softmax
    >>> methods = {
    ...     "matrix": SoftmaxRegression(C=1e-2),
    ...     "Dirichlet": make_pipeline(FunctionTransformer(log_softmax), SoftmaxRegression(C=1e-2)),
    ... }
    >>> naive_bayes = {"naive Bayes": GaussianNB(var_smoothing=0.1)}
    >>> study = calibration_study(naive_bayes, X, y, cv=2, methods=methods, metrics=["log_loss"])
    >>> study.table.round(2)
         estimator     method  fold    metric  value
    0  naive Bayes       none     0  log_loss   1.08
    1  naive Bayes       none     1  log_loss   1.26
    2  naive Bayes     matrix     0  log_loss   0.52
    3  naive Bayes     matrix     1  log_loss   0.47
    4  naive Bayes  Dirichlet     0  log_loss   0.52
    5  naive Bayes  Dirichlet     1  log_loss   0.47
    """
    members, calibrators = _check_estimators(estimators), check_methods(methods)
    measures = check_metrics(metrics)
    refuse_lazy(X, "X")
    y, targets = check_targets(y)
    X, y, groups = indexable(X, y, groups)
    again = not all(isinstance(member, FrozenEstimator) for member in members.values())
    plan = _plan(X, y, targets, 5 if cv is None else cv, groups, again)
    tasks = [(name, number) for name in members for number in range(len(plan))]
    results = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_run)(clone(members[name]), calibrators, X, y, targets.classes, *plan[number], number)
        for name, number in tasks
    )
    progress = _Progress(len(tasks), len(plan), verbose)
    outcomes: dict[tuple[str, int], _Outcome] = {}
    for task, outcome in zip(tasks, results, strict=True):
        outcomes[task] = outcome
        progress.update(*task)
    folds = [part.fold for part in plan]
    return _gather(members, ["none", *calibrators], measures, outcomes, y, targets.classes, folds)


class _Part(NamedTuple):
    """A fold, and the folds into which its training part is divided where clones are fitted to them."""

    fold: Fold
    inner: list[Fold]


class _Outcome(NamedTuple):
    """The results of a classifier for a fold, by method."""

    probabilities: dict[str, Array]
    calibrators: dict[str, Any]


def _plan(X: Any, y: Any, targets: Targets, cv: Any, groups: Any, twice: bool = True) -> list[_Part]:
    """All divisions, made once: the same for all classifiers and in whatever order they are fitted."""

    def divide(cv: Any, rows: NDArray[np.intp], instead: str | None = None) -> list[Fold]:
        params = {} if groups is None else {"groups": safe_indexing(groups, rows)}
        some, labels = targets.take(rows), safe_indexing(y, rows)
        data = safe_indexing(X, rows), strata(labels, some), some
        return make_folds(cv, *data, np.ones(len(rows)), params, instead)

    standard = partial(_splitter, grouped=groups is not None, soft=is_soft(y))
    splitter = standard(cv) if isinstance(cv, Integral) else cv
    divisible = hasattr(splitter, "split") and not isinstance(splitter, PredefinedSplit)
    again = splitter if divisible else standard(5)
    plan = []
    for number, fold in enumerate(divide(splitter, np.arange(len(y)))):
        try:
            plan.append(_Part(fold, divide(again, fold.train, FROZEN) if twice else []))
        except ValueError as error:
            raise ValueError(f"Within the training part of fold {number}: {error}") from error
    return plan


def _splitter(n_splits: Any, grouped: bool, soft: bool) -> Any:
    if soft:
        return GroupKFold(n_splits) if grouped else KFold(n_splits)
    return StratifiedGroupKFold(n_splits) if grouped else StratifiedKFold(n_splits)


def _run(
    model: Any,
    calibrators: Mapping[str, Any],
    X: Any,
    y: Any,
    classes: NDArray[Any],
    fold: Fold,
    inner: Sequence[Fold],
    number: int,
) -> _Outcome:
    """Fit a classifier and all calibrators to the training part of a fold, and predict its test part."""
    X_train, y_train = safe_split(model, X, y, fold.train)
    X_test, _ = safe_split(model, X, None, fold.test, fold.train)
    fitted = clone(model).fit(X_train, y_train)
    check_classes(fitted, classes, f"the training part of fold {number}")
    logits = logits_of(fitted, X_test)
    own = fitted.predict_proba(X_test) if hasattr(fitted, "predict_proba") else family.softmax(logits)
    outcome = _Outcome({"none": own}, {})
    if calibrators:
        frozen = isinstance(model, FrozenEstimator)
        collect = (
            all_logits if frozen else partial(cross_fitted_logits, y=y_train, classes=classes, folds=inner)
        )
        known = collect(model, X_train)
        floor = known.floor(np.ones(len(y_train)))
        labels = safe_indexing(y_train, known.rows)
        _check_all_classes(labels, classes, number)
        for method, calibrator in calibrators.items():
            calibrated = clone(calibrator).fit(with_floor(known.values, floor), labels)
            outcome.calibrators[method] = calibrated
            outcome.probabilities[method] = _predict(calibrated, with_floor(logits, floor), method)
    return outcome


def _check_all_classes(labels: Any, classes: NDArray[Any], number: int) -> None:
    """Raise a ValueError if the samples that calibrators are fitted to lack a class."""
    missing = [] if is_soft(labels) else np.setdiff1d(classes, np.asarray(labels)).tolist()
    if missing:
        raise ValueError(
            f"The samples that calibrators see in fold {number} have none of the classes {missing}. "
            "Use a stratified cv, or leave these classes out."
        )


def _predict(calibrator: Any, logits: Array, method: str) -> Array:
    probabilities = np.asarray(calibrator.predict_proba(logits))
    if probabilities.shape != logits.shape:
        raise ValueError(
            f"predict_proba of the calibrator {method!r} must have one column for each of the "
            f"{logits.shape[1]} classes, got shape {probabilities.shape}."
        )
    return probabilities


def _gather(
    members: Mapping[str, Any],
    methods: Sequence[str],
    measures: Mapping[str, Measure],
    outcomes: Mapping[tuple[str, int], _Outcome],
    y: Any,
    classes: NDArray[Any],
    folds: Sequence[Fold],
) -> CalibrationStudy:
    """The measures of all outcomes, as the tables of a study."""
    values = np.empty((len(members), len(methods), len(folds), len(measures)))
    axes = [range(size) for size in values.shape]
    index = pd.MultiIndex.from_product([members, methods, range(len(folds)), measures], names=COLUMNS)
    for (estimator, method, number, metric), place in zip(index, product(*axes), strict=True):
        p = outcomes[estimator, number].probabilities[method]
        values[place] = measures[metric](safe_indexing(y, folds[number].test), p, classes=classes)
    rows = np.concatenate([fold.test for fold in folds])
    pairs = {pair: [outcomes[pair[0], n] for n in range(len(folds))] for pair in product(members, methods)}
    return CalibrationStudy(
        table=pd.DataFrame({"value": values.ravel()}, index=index).reset_index(),
        summary=_summary(values, index, folds),
        probabilities={
            pair: np.concatenate([outcome.probabilities[pair[1]] for outcome in each])
            for pair, each in pairs.items()
        },
        y=safe_indexing(y, rows),
        rows=rows,
        folds=np.repeat(np.arange(len(folds)), [len(fold.test) for fold in folds]),
        classes=classes,
        calibrators={
            pair: [outcome.calibrators[pair[1]] for outcome in each]
            for pair, each in pairs.items()
            if pair[1] != "none"
        },
    )


def _summary(values: NDArray[np.float64], index: pd.MultiIndex, folds: Sequence[Fold]) -> pd.DataFrame:
    """Means over the folds, with their uncertainty: see the notes of `calibration_study`."""
    n_folds = len(folds)
    difference = values - values[:, :1]
    ratio = np.mean([len(fold.test) for fold in folds]) / np.mean([len(fold.train) for fold in folds])
    half = stats.t.ppf(0.975, n_folds - 1) * np.sqrt(1 / n_folds + ratio) * _deviation(difference)
    mean = difference.mean(axis=2)
    columns = {
        "mean": values.mean(axis=2),
        "standard_error": _deviation(values) / np.sqrt(n_folds),
        "difference": mean,
        "difference_low": mean - half,
        "difference_high": mean + half,
    }
    rows = index.droplevel("fold").unique()
    return pd.DataFrame({name: column.ravel() for name, column in columns.items()}, index=rows).reset_index()


def _deviation(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation over the folds: nan for one."""
    one = values.shape[2] == 1
    return np.full_like(values[:, :, 0], np.nan) if one else values.std(axis=2, ddof=1)


class _Progress:
    """Prints a line for each fit, once a study has lasted some seconds."""

    def __init__(self, total: int, n_folds: int, verbose: bool, patience: float = PATIENCE) -> None:
        self.total, self.n_folds, self.verbose = total, n_folds, verbose
        self.patience, self.done, self.start = patience, 0, time.perf_counter()

    def update(self, estimator: str, number: int) -> None:
        """Count a fit."""
        self.done += 1
        seconds = time.perf_counter() - self.start
        if self.verbose and seconds >= self.patience:
            fold = f"fold {number + 1} of {self.n_folds}"
            print(f"{self.done}/{self.total} done in {seconds:.0f} s: {estimator}, {fold}", file=sys.stderr)


def _check_estimators(estimators: Any) -> dict[str, Any]:
    if not isinstance(estimators, Mapping) or not estimators:
        raise TypeError(f"estimators must be a dict of at least one classifier, got {estimators!r}.")
    for name, estimator in estimators.items():
        outputs = ("decision_function", "predict_log_proba", "predict_proba")
        if not hasattr(estimator, "fit") or not any(hasattr(estimator, output) for output in outputs):
            raise TypeError(
                f"estimators must have fit and one of {list(outputs)}; got {estimator!r} as {name!r}."
            )
    return dict(estimators)
