"""Calibration error and reliability table: predicted probabilities against relative frequencies, in bins."""

from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from smreg.data.weights import warn_of_sampling_weights
from smreg.metrics.bins import Binned, Binning
from smreg.metrics.predictions import Kind, Predictions, check_kind, check_predictions

Array = NDArray[np.floating[Any]]
Strategy = Literal["uniform", "quantile"]

QUANTILE = float(stats.norm.ppf(0.975))  # intervals hold with 95 %


def calibration_error(
    y: Any,
    probabilities: ArrayLike,
    *,
    kind: Kind = "confidence",
    n_bins: int = 15,
    strategy: Strategy = "uniform",
    edges: ArrayLike | None = None,
    norm: float = 1,
    debias: bool = False,
    classes: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Expected calibration error: mean distance of predicted probability and relative frequency, in bins.

    ``(sum_b n_b / n |acc_b - conf_b|^q)^(1/q)`` with the share ``n_b / n`` of a bin, the mean probability
    ``conf_b`` and the relative frequency ``acc_b`` in it; for ``q = inf`` the largest distance.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_classes)
        Labels, or soft targets with a column for each class.
    probabilities : array-like of shape (n_samples, n_classes), (n_samples,) or (n_samples, 1)
        Predicted probabilities, a column for each class; a single column is that of the second of two
        classes.
    kind : {"confidence", "classwise"}, default="confidence"
        "confidence": the largest probability of each sample, and whether its class (the first of equal ones)
        is right. "classwise": each column, and whether its class came true; the mean over bins is one over
        classes as well, so that for norm 1 the error is the mean of the columns' errors.
    n_bins : int, default=15
        Number of bins. Bins are closed on the right, the first one on both sides.
    strategy : {"uniform", "quantile"}, default="uniform"
        Bins of equal width, or of equal weight (in each column for itself).
    edges : array-like of shape (n_bins + 1,), default=None
        Edges of the bins, from at most 0 to at least 1, in place of `n_bins` and `strategy`.
    norm : {1, 2, inf}, default=1
        The exponent q.
    debias : bool, default=False
        Whether to subtract from each squared distance what the chance in ``acc_b`` adds to it,
        ``acc_b (1 - acc_b) / (n_b - 1)``, for norm 2 alone. Bins of a single sample then count as zero, and
        so does a negative sum.
    classes : array-like of shape (n_classes,), default=None
        Labels in the order of the columns. None is the sorted labels of y if there are as many as columns;
        else, where y lacks some, False and True, or 0, ..., n_classes - 1 if 0 is among the labels.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights; an integer weight counts as so many equal samples. `debias` needs frequency weights, which
        say how many samples each is.

    Returns
    -------
    float
        From 0 to 1. Even where the probabilities are right it is above zero in expectation, by chance.

    Raises
    ------
    ValueError
        If the probabilities are no distributions, y has labels beyond the classes or does not say which
        columns they are, or an argument is none of those above.

    Warns
    -----
    UserWarning
        If `debias` is given weights that sum to less than the number of samples of positive weight, by more
        than chance: they are no frequencies, and what is subtracted is too much. Sampling weights should be
        scaled to a mean of one.

    See Also
    --------
    smooth_calibration_error : Without bins.
    bootstrap_interval : An interval for it.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, On Calibration of Modern Neural Networks, ICML
    2017. https://doi.org/10.48550/arXiv.1706.04599
    M. Kull et al., Beyond Temperature Scaling: Obtaining Well-Calibrated Multi-Class Probabilities with
    Dirichlet Calibration, NeurIPS 2019 ("classwise"). https://doi.org/10.48550/arXiv.1910.12656
    A. Kumar, P. Liang and T. Ma, Verified Uncertainty Calibration, NeurIPS 2019 (norm 2, `debias`).
    https://doi.org/10.48550/arXiv.1909.10155

    Examples
    --------
    >>> import numpy as np
    >>> from smreg.metrics import calibration_error
    >>> y = [0, 1, 1, 0]
    >>> p = np.array([[0.9, 0.1], [0.1, 0.9], [0.4, 0.6], [0.4, 0.6]])
    >>> round(calibration_error(y, p, n_bins=5), 3)
    0.1

    The code that Kull et al. published sums over the classes, and its bins are 14 that are closed on the left
    and one for the probability 1:

    >>> left_closed = np.append(np.nextafter(np.linspace(0, 1, 15), -1), 1)
    >>> round(2 * calibration_error(y, p, kind="classwise", edges=left_closed), 3)
    0.2
    """
    binning = Binning(n_bins, strategy, edges)
    _check_norm(norm, debias)
    check_kind(kind)
    predictions = check_predictions(y, probabilities, classes, sample_weight)
    if debias:
        warn_of_sampling_weights(predictions.weights, "the terms of debias=True")
    binned = binning.means(predictions.events(kind), predictions.weights)
    gap, share = np.abs(binned.gap), binned.share
    if norm == np.inf:
        error = gap.max()
    elif norm == 1:
        error = (share * gap).sum()
    else:
        square = gap**2 - _chance(binned) if debias else gap**2
        error = np.sqrt(max(0.0, (share * square).sum()))
    return min(1.0, float(error))  # shares sum to one but for rounding


def reliability_table(
    y: Any,
    probabilities: ArrayLike,
    *,
    kind: Kind = "confidence",
    n_bins: int = 15,
    strategy: Strategy = "uniform",
    edges: ArrayLike | None = None,
    classes: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> pd.DataFrame:
    """What a reliability diagram shows: predicted probability and relative frequency in each bin.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_classes)
        Labels, or soft targets with a column for each class.
    probabilities : array-like of shape (n_samples, n_classes), (n_samples,) or (n_samples, 1)
        Predicted probabilities, a column for each class; a single column is that of the second of two
        classes.
    kind : {"confidence", "classwise"}, default="confidence"
        The largest probability of each sample and whether its class is right, or each column and whether its
        class came true.
    n_bins, strategy, edges
        The bins, as in `calibration_error`.
    classes : array-like of shape (n_classes,), default=None
        Labels in the order of the columns, as in `calibration_error`.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights: an integer weight counts as so many equal samples, also in the intervals.

    Returns
    -------
    DataFrame
        A row for each bin, also for empty ones, and with "classwise" for each bin of each class, with columns

        - ``class`` (with "classwise"): the label,
        - ``bin``: its number, from 0,
        - ``left``, ``right``: its edges,
        - ``count``: samples in it, or their weight,
        - ``confidence``: mean predicted probability,
        - ``accuracy``: relative frequency of the event,
        - ``low``, ``high``: Wilson's 95 % interval for the probability of the event.

        The last four are NaN in empty bins.

    Raises
    ------
    ValueError
        As `calibration_error`.

    Warns
    -----
    UserWarning
        If weights sum to less than the number of samples of positive weight, by more than chance: they are
        no frequencies, and the intervals are too wide. Sampling weights should be scaled to a mean of one.

    References
    ----------
    J. Bröcker and L. A. Smith, Increasing the Reliability of Reliability Diagrams, Weather and Forecasting
    22 (2007). https://doi.org/10.1175/WAF993.1
    E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, Journal of the
    American Statistical Association 22 (1927). https://doi.org/10.1080/01621459.1927.10502953

    Examples
    --------
    >>> from smreg.metrics import reliability_table
    >>> table = reliability_table([0, 1, 1, 0], [0.1, 0.9, 0.6, 0.6], n_bins=2)
    >>> table.round(3)
       bin  left  right  count  confidence  accuracy   low   high
    0    0   0.0    0.5      0         NaN       NaN   NaN    NaN
    1    1   0.5    1.0      4        0.75      0.75  0.301  0.954
    """
    binning = Binning(n_bins, strategy, edges)
    check_kind(kind)
    predictions = check_predictions(y, probabilities, classes, sample_weight)
    warn_of_sampling_weights(predictions.weights, "Wilson's intervals")
    binned = binning.means(predictions.events(kind), predictions.weights)
    return _table(binned, predictions, classwise=kind == "classwise")


def _table(binned: Binned, predictions: Predictions, *, classwise: bool) -> pd.DataFrame:
    n_rows, n_bins = binned.count.shape
    low, high = _wilson(binned)
    columns = {
        "bin": np.tile(np.arange(n_bins), n_rows),
        "left": binned.edges[:, :-1].ravel(),
        "right": binned.edges[:, 1:].ravel(),
        "count": binned.count.ravel().astype(np.float64 if predictions.weighted else np.int64),
        "confidence": binned.probability.ravel(),
        "accuracy": binned.frequency.ravel(),
        "low": low.ravel(),
        "high": high.ravel(),
    }
    if classwise:
        columns = {"class": np.repeat(predictions.targets.classes, n_bins), **columns}
    return pd.DataFrame(columns)


def _wilson(binned: Binned) -> tuple[Array, Array]:
    """Wilson's interval: the probabilities that a score test at 5 % does not reject."""
    n, f, z = binned.count, binned.frequency, QUANTILE
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (f + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z * np.sqrt(f * (1 - f) / n + (z / (2 * n)) ** 2) / (1 + z**2 / n)
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def _chance(binned: Binned) -> Array:
    """Variance of the frequency in each bin, without bias; the squared gap itself where it has one sample."""
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = binned.frequency * (1 - binned.frequency) / (binned.count - 1)
    return np.where(binned.count > 1, variance, binned.gap**2)


def _check_norm(norm: Any, debias: Any) -> None:
    if norm not in (1, 2, np.inf):
        raise ValueError(f"norm must be 1, 2 or inf, got {norm!r}.")
    if debias and norm != 2:
        raise ValueError(f"debias=True corrects the squared error: it needs norm=2, got norm={norm!r}.")
