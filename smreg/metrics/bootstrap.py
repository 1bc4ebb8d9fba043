"""Intervals for any measure of predictions, by resampling the samples."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn.utils import check_consistent_length

from smreg.data.weights import check_sample_weight


@dataclass(frozen=True)
class BootstrapInterval:
    """A measure with its uncertainty.

    Attributes
    ----------
    estimate : float
        The measure of the sample itself.
    low, high : float
        Ends of the 95 % interval.
    standard_error : float
        Standard deviation over the resamples.
    """

    estimate: float
    low: float
    high: float
    standard_error: float


def bootstrap_interval(
    measure: Callable[..., float],
    y: Any,
    probabilities: ArrayLike,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    sample_weight: ArrayLike | None = None,
    **parameters: Any,
) -> BootstrapInterval:
    """95 % interval of a measure, by the bootstrap over samples.

    Samples are drawn with replacement, which gives each a number of times that it counts; that is its weight
    in the measure. The interval is the *basic* one, from ``2 m - q_0.975`` to ``2 m - q_0.025`` with the
    measure m of the sample and quantiles q of the resamples. Chance makes calibration errors too large, and
    those of resamples twice: this interval takes it off again, where one from quantile to quantile would lie
    above the truth. It may reach below zero, may lie below the estimate where most of that is chance, and is
    too narrow where all of it is.

    Parameters
    ----------
    measure : callable
        A function ``measure(y, probabilities, sample_weight=..., **parameters)`` that returns a number, as
        `calibration_error` and scikit-learn's ``log_loss`` do.
    y : array-like of shape (n_samples,) or (n_samples, n_classes)
        Labels or soft targets.
    probabilities : array-like of shape (n_samples, n_classes) or (n_samples,)
        Predicted probabilities.
    n_resamples : int, default=1000
        Number of resamples, at least 2.
    seed : int, default=0
        Seed of the resampling: equal seeds give equal bits.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights, which the numbers of times multiply.
    **parameters
        Passed on to `measure`.

    Returns
    -------
    BootstrapInterval
        Estimate, ends of the interval and standard error.

    Raises
    ------
    ValueError
        If `n_resamples` or `seed` is no such integer, or by `measure`.

    References
    ----------
    A. C. Davison and D. V. Hinkley, Bootstrap Methods and their Application, Cambridge 1997, section 5.2.
    https://doi.org/10.1017/CBO9780511802843

    Examples
    --------
    >>> import numpy as np
    >>> from smreg.metrics import bootstrap_interval, calibration_decomposition, calibration_error
    >>> rng = np.random.default_rng(0)
    >>> p = rng.uniform(size=500)
    >>> y = rng.uniform(size=500) < p**2
    >>> interval = bootstrap_interval(calibration_error, y, p, n_resamples=200, kind="classwise")
    >>> round(interval.estimate, 2), round(interval.low, 2), round(interval.high, 2)
    (0.16, 0.13, 0.19)

    A part of the decomposition is a measure as well:

    >>> refinement = lambda *args, **options: calibration_decomposition(*args, **options).refinement
    >>> round(bootstrap_interval(refinement, y, p, n_resamples=200).estimate, 2)
    0.42
    """
    for name, value, least in (("n_resamples", n_resamples, 2), ("seed", seed, 0)):
        if not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")
    check_consistent_length(probabilities, y)
    n = len(probabilities)  # type: ignore[arg-type]
    weights = check_sample_weight(sample_weight, n)

    def of_resample(drawn: NDArray[np.int64]) -> float:
        return measure(
            y, probabilities, sample_weight=weights * np.bincount(drawn, minlength=n), **parameters
        )

    estimate = measure(y, probabilities, sample_weight=sample_weight, **parameters)
    with warnings.catch_warnings():  # the estimate above has already warned of the weights
        warnings.filterwarnings("ignore", "sample_weight sums to")
        result = stats.bootstrap(
            (np.flatnonzero(weights),),
            of_resample,
            n_resamples=int(n_resamples),
            batch=1,
            vectorized=False,
            method="basic",
            rng=np.random.default_rng(seed),
        )
    low, high = result.confidence_interval
    return BootstrapInterval(float(estimate), float(low), float(high), float(result.standard_error))
