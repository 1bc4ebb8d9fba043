"""The temperature of a classifier's logits, with its uncertainty: checks, limits and the record.

`smreg.temperature.equations` has the one-parameter family and solves its equations.
"""

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn.utils import check_consistent_length

from smreg.data.features import check_logits
from smreg.data.lazy import refuse_lazy
from smreg.data.targets import Targets, targets_of_columns
from smreg.data.threads import row_threads
from smreg.data.weights import check_sample_weight, warn_of_sampling_weights
from smreg.temperature.equations import (
    BLOCK,
    QUANTILE,
    TemperatureFamily,
    interval,
    interval_at_limit,
    maximum,
    row_blocks,
)

Array = NDArray[np.float64]

ROUNDING = 1e-3  # of the sum of a row of probabilities, computed in half precision or printed
LARGEST = 1e100  # magnitude of a logit: cubes of differences are summed
STATISTICS = "standard error, intervals and test of the temperature"  # which count samples
EQUAL = 1e-13  # relative difference of two mean gaps that is but the rounding of their sums


@dataclass(frozen=True)
class TemperatureFit:
    """What `fit_temperature` found.

    Attributes
    ----------
    temperature : float
        T that minimises the mean log loss of ``softmax(logits / T)``; at a limit a finite stand-in.
    standard_error : float
        Of the temperature, from the Fisher information; inf at a limit.
    confidence_interval : tuple of float
        Temperatures that a likelihood-ratio test at 5 % does not reject: the 95 % interval of the profile
        likelihood. From 0 or to inf where it rejects nothing on that side.
    wald_interval : tuple of float
        ``temperature -+ 1.96 standard_error``, not below 0; ``(0, inf)`` at a limit.
    log_loss_before, log_loss_after : float
        Mean log loss in nats at T = 1 and at `temperature`.
    statistic : float
        Likelihood ratio ``2 S (log_loss_before - minimum)`` for T = 1, with S the sum of the weights.
    p_value : float
        Probability of at least that statistic if T = 1, by the chi-squared distribution with one degree of
        freedom.
    limit : {"zero", "infinity", "flat"} or None
        Where the likelihood has its maximum if not at `temperature`: T -> 0, T -> inf, or anywhere.
    evaluations : int
        Passes over the logits: that at T = 1, those of the search, those that find the two ends of
        `confidence_interval`, and at a limit that at `temperature`.
    """

    temperature: float
    standard_error: float
    confidence_interval: tuple[float, float]
    wald_interval: tuple[float, float]
    log_loss_before: float
    log_loss_after: float
    statistic: float
    p_value: float
    limit: Literal["zero", "infinity", "flat"] | None
    evaluations: int


def fit_temperature(
    logits: ArrayLike, y: Any, *, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
) -> TemperatureFit:
    """Temperature that minimises the log loss of ``softmax(logits / T)``, with its uncertainty.

    ``l(T) = 1/S sum_i s_i [log sum_k exp(z_ik / T) - <z_i, t_i> / T]``, with weights ``s_i`` that sum to S.

    Parameters
    ----------
    logits : array-like of shape (n_samples, n_classes), (n_samples,) or (n_samples, 1)
        Finite logits z, in nats, a column for each class; a single column are the logits of the second of two
        classes against the first, as a binary classifier's ``decision_function`` gives them. Probabilities
        are no logits: pass their logarithm. The logits should come from samples that the classifier was not
        fitted to.
    y : array-like of shape (n_samples,) or (n_samples, n_classes)
        Labels, or soft targets with a column for each class.
    classes : array-like of shape (n_classes,), default=None
        Labels in the order of the columns of `logits`. None is the sorted labels of y if there are as many
        as columns; else, where y lacks some, False and True, or 0, ..., n_classes - 1 if 0 is among the
        labels.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights: an integer weight counts as so many equal samples, also in the standard error, the
        intervals and the test. The temperature itself is that of any weights.

    Returns
    -------
    TemperatureFit
        Temperature, standard error, intervals, log loss before and after, test of T = 1.

    Raises
    ------
    ValueError
        If the logits are not finite, y has labels beyond the classes or does not say which columns they are,
        or only one class has weight, or if shapes disagree.

    Warns
    -----
    UserWarning
        If the logits look like probabilities: rows that sum to 1, or a single column from 0 to 1. If weights
        sum to less than the number of samples of positive weight, by more than chance: they are no
        frequencies, and the intervals are too wide; sampling weights should be scaled to a mean of one. Or if
        the likelihood has no maximum at a positive and finite temperature. Where every target has the largest
        logit (T -> 0), the temperature is the largest, of at most 1, at which in each sample all lesser
        classes together have a probability below the rounding of 1. Where the targets' logits are no larger
        than the average (T -> inf) it is the least, of at least 1, at which all classes have equal
        probabilities to rounding. Where the logits of each sample are all equal it is 1.

    See Also
    --------
    smreg.TemperatureScaling : Any classifier with a temperature, fitted to its logits out of fold.
    smreg.SoftmaxRegression : Takes a temperature as a parameter, ``set_params(temperature=fit.temperature)``.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, On Calibration of Modern Neural Networks, ICML
    2017. https://doi.org/10.48550/arXiv.1706.04599

    Examples
    --------
    Labels drawn from ``softmax(z)`` make logits ``3 z`` too confident by a factor of three:

    >>> import numpy as np
    >>> from smreg import fit_temperature
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(2000, 5))
    >>> y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    >>> fit = fit_temperature(3 * z, y)
    >>> round(fit.temperature, 2), round(fit.standard_error, 2)
    (3.01, 0.1)
    """
    eta, targets, weights = _check(logits, y, classes, sample_weight)
    _check_two_classes(targets, weights)
    shape = np.shape(logits)
    _warn_of_probabilities(eta, single=len(shape) == 1 or shape[1] == 1)
    warn_of_sampling_weights(weights, STATISTICS)
    return _fit_checked(eta, targets, weights)


def fit_to_classifier(logits: NDArray[Any], y: Any, classes: ArrayLike, weights: Array) -> TemperatureFit:
    """As `fit_temperature`, of a classifier's logits, whose single column is one, and of any weights."""
    eta, targets, weights = _check(logits, y, classes, weights)
    _check_two_classes(targets, weights)
    _warn_of_probabilities(eta, single=False)
    return _fit_checked(eta, targets, weights)


def log_loss_by_temperature(
    logits: ArrayLike,
    y: Any,
    temperatures: ArrayLike,
    *,
    classes: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> Array:
    """Mean log loss of ``softmax(logits / T)``, in nats, for some temperatures T.

    Parameters
    ----------
    logits, y, classes, sample_weight
        As for `fit_temperature`.
    temperatures : array-like of shape (n_temperatures,)
        Positive and finite.

    Returns
    -------
    ndarray of shape (n_temperatures,)
        One pass over the logits each.

    Raises
    ------
    ValueError
        If a temperature is not positive and finite, and as `fit_temperature`.

    Examples
    --------
    >>> from smreg.temperature.scaling import log_loss_by_temperature
    >>> log_loss_by_temperature([[1.0, 0.0], [2.0, 0.0]], [0, 0], [0.5, 1.0, 2.0]).round(3)
    array([0.073, 0.22 , 0.394])
    """
    eta, targets, weights = _check(logits, y, classes, sample_weight)
    grid = np.asarray(temperatures, dtype=np.float64)
    if grid.ndim != 1 or not (np.isfinite(grid) & (grid > 0)).all():
        raise ValueError(f"temperatures must be positive finite numbers of shape (n,), got {temperatures!r}.")
    with row_threads(1 if eta.size <= BLOCK else None) as map_blocks:
        family = TemperatureFamily(eta, targets.values, weights, map_blocks)
        return np.array([family(1 / T).loss for T in grid])


def _fit_checked(eta: NDArray[Any], targets: Targets, weights: Array) -> TemperatureFit:
    with row_threads(1 if eta.size <= BLOCK else None) as map_blocks:
        fit, warning = _fit(TemperatureFamily(eta, targets.values, weights, map_blocks))
    if warning:
        warnings.warn(warning, UserWarning, stacklevel=3)
    return fit


def _fit(family: TemperatureFamily) -> tuple[TemperatureFit, str]:
    """The record, and a warning where the likelihood has no maximum, else an empty one."""
    if family.at_zero.variance == 0:
        return _flat(family)
    if family.observed == 0:
        return _at_zero(family)
    if family.at_zero.mean - family.observed <= EQUAL * family.at_zero.mean:
        return _at_infinity(family)
    best = maximum(family)
    low, high = interval(family, best)
    T = 1 / best.beta
    error = T**2 / float(np.sqrt(family.total * best.variance))  # dT = -T**2 dbeta
    fit = _record(
        family,
        best.loss,
        temperature=T,
        standard_error=error,
        confidence_interval=(1 / high, 1 / low if low > 0 else np.inf),
        wald_interval=(max(0.0, T - QUANTILE * error), T + QUANTILE * error),
        log_loss_after=best.loss,
    )
    return fit, ""


def _flat(family: TemperatureFamily) -> tuple[TemperatureFit, str]:
    """Logits that are equal within each sample, of which the loss is constant."""
    loss = family.at_one.loss
    fit = _record(family, loss, 1.0, limit="flat", log_loss_after=loss, confidence_interval=(0.0, np.inf))
    return fit, (
        "The logits of each sample are all equal: no temperature changes the probabilities. "
        "The temperature 1 is returned."
    )


def _at_zero(family: TemperatureFamily) -> tuple[TemperatureFit, str]:
    """The limit T -> 0, in which a target has the probability one over the number of largest logits."""
    least, log_ties = np.inf, 0.0
    for rows in family.blocks:
        d, weights = family.gaps(rows), family.weights[rows]
        counted = (d > 0) & (weights > 0)[:, np.newaxis]
        least = min(least, float(np.min(d, initial=np.inf, where=counted)))
        log_ties += float(weights @ np.log((d == 0).sum(axis=1)))
    nats = np.log(family.n_classes - 1) - np.log(np.finfo(float).eps)
    T = max(min(1.0, least / float(nats)), float(np.finfo(float).tiny))
    low = interval_at_limit(family, log_ties, side=-1)
    fit = _record(
        family,
        log_ties,
        T,
        limit="zero",
        log_loss_after=family(1 / T).loss,
        confidence_interval=(0.0, 1 / low if low > 0 else np.inf),
    )
    return fit, (
        "No logit is larger than that of the sample's target: the likelihood has its maximum at T -> 0. "
        f"The temperature {T:.3g} is returned, at which probabilities are 0 and 1 to rounding."
    )


def _at_infinity(family: TemperatureFamily) -> tuple[TemperatureFit, str]:
    """The limit T -> inf, in which all classes are equally probable."""
    widest = max(float(family.gaps(rows).max()) for rows in family.blocks)
    T = max(1.0, widest / float(np.finfo(float).eps))
    high = interval_at_limit(family, family.at_zero.loss, side=+1)
    fit = _record(
        family,
        family.at_zero.loss,
        T,
        limit="infinity",
        log_loss_after=family(1 / T).loss,
        confidence_interval=(1 / high, np.inf),
    )
    return fit, (
        "The targets' logits are on average no larger than those of all classes: the likelihood has its "
        f"maximum at T -> inf. The temperature {T:.3g} is returned, at which all classes are equally "
        "probable to rounding."
    )


def _record(
    family: TemperatureFamily,
    minimum: float,
    temperature: float,
    *,
    log_loss_after: float,
    confidence_interval: tuple[float, float],
    standard_error: float = np.inf,
    wald_interval: tuple[float, float] = (0.0, np.inf),
    limit: Literal["zero", "infinity", "flat"] | None = None,
) -> TemperatureFit:
    """The record, by default of a limit, with the test of T = 1."""
    statistic = 2 * family.total * max(family.at_one.loss - minimum, 0.0)
    return TemperatureFit(
        temperature=temperature,
        standard_error=standard_error,
        confidence_interval=confidence_interval,
        wald_interval=wald_interval,
        log_loss_before=family.at_one.loss,
        log_loss_after=log_loss_after,
        statistic=statistic,
        p_value=float(stats.chi2.sf(statistic, 1)),
        limit=limit,
        evaluations=family.evaluations,
    )


def _check(
    logits: Any, y: Any, classes: ArrayLike | None, sample_weight: ArrayLike | None
) -> tuple[NDArray[Any], Targets, Array]:
    """Logits with a column for each class, targets and weights."""
    eta = _check_logits(logits)
    refuse_lazy(y, "y")
    check_consistent_length(eta, y)
    targets = targets_of_columns(y, classes, eta.shape[1], of="logits")
    return eta, targets, check_sample_weight(sample_weight, len(eta))


def _check_logits(logits: Any) -> NDArray[Any]:
    """Finite float32 or float64 logits of shape (n, K), K >= 2."""
    eta = check_logits(logits)
    if eta.ndim == 1 or eta.shape[1] == 1:
        eta = np.column_stack([np.zeros_like(eta.ravel()), eta.ravel()])
    if not max(float(eta.max()), -float(eta.min())) <= LARGEST:  # with assume_finite also where they are NaN
        raise ValueError(
            f"logits must lie between -{LARGEST} and {LARGEST}, got {eta.min()} and {eta.max()}."
        )
    return eta


def _check_two_classes(targets: Targets, weights: Array) -> None:
    live = targets.classes[targets.mass(weights / weights.max()) > 0].tolist()
    if len(live) < 2:
        raise ValueError(
            f"y must have at least 2 classes with positive sample_weight, got only the class {live[0]!r}."
        )


def _warn_of_probabilities(eta: NDArray[Any], single: bool) -> None:
    """Warn of rows on the simplex, or of probabilities in the single column that was given."""
    if single:
        column = eta[:, 1]
        alike = column.min() >= 0 and 0 < column.max() <= 1  # all zeros are another matter
        what = (
            "one column of numbers from 0 to 1. If they are, pass log(p / (1 - p)), with zeros and ones "
            "moved inwards"
        )
    else:
        blocks = (eta[rows] for rows in row_blocks(eta))
        alike = all(
            block.min() >= 0 and (np.abs(block.sum(axis=1) - 1) <= ROUNDING).all() for block in blocks
        )
        what = (
            "no number is negative and each row sums to 1. If they are, pass their logarithm, with zeros "
            "replaced by a small number"
        )
    if alike:
        warnings.warn(f"logits look like probabilities: {what} first.", UserWarning, stacklevel=3)
