r"""Calibration error without bins: the residuals smoothed by a Gaussian kernel, at the width of the error.

With events of predicted probability ``f_i``, outcome ``y_i`` and weight ``s_i`` summing to one, the smoothed
residual is

    ``g_sigma(t) = sum_i s_i (y_i - f_i) K_sigma(t, f_i)``,

where K is the Gaussian kernel on the line, *reflected* at 0 and 1 so that it stays a density on the unit
interval. The error at a width is ``E(sigma) = int_0^1 |g_sigma(t)| dt``. It falls in sigma, and the measure
is where it equals the width: ``E(sigma) = sigma``.

**Cosines.** The kernel solves the heat equation with reflecting boundaries, whose modes are cosines:

    ``K_sigma(t, f) = 1 + 2 sum_k exp(-(pi k sigma)^2 / 2) cos(pi k t) cos(pi k f)``,

so that smoothing multiplies the coefficients of a cosine transform. The residuals are laid on a grid
first, each divided between its two neighbours, which moves the error by less than ``(spacing / sigma)^2 / 8``
of itself.

References
----------
J. Błasiok and P. Nakkiran, Smooth ECE: Principled Reliability Diagrams via Kernel Smoothing, ICLR 2024.
https://doi.org/10.48550/arXiv.2309.12236
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, optimize

from smreg.metrics.predictions import Kind, check_kind, check_predictions

Array = NDArray[np.floating[Any]]

GRID = 2**14  # intervals: a width of 1e-3 is 16 of them, and the error is exact to 1e-6


def smooth_calibration_error(
    y: Any,
    probabilities: ArrayLike,
    *,
    kind: Kind = "confidence",
    classes: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Smooth calibration error: no bins, and no width to choose.

    ``int_0^1 |sum_i s_i (y_i - f_i) K_sigma(t, f_i)| dt`` for predicted probabilities ``f_i``, outcomes
    ``y_i`` and the reflected Gaussian kernel, at the width sigma that equals the error itself. Unlike the
    error in bins it is continuous in the probabilities.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_classes)
        Labels, or soft targets with a column for each class.
    probabilities : array-like of shape (n_samples, n_classes), (n_samples,) or (n_samples, 1)
        Predicted probabilities, a column for each class; a single column is that of the second of two
        classes.
    kind : {"confidence", "classwise"}, default="confidence"
        The largest probability of each sample and whether its class is right; or the mean over the classes of
        the errors of their columns.
    classes : array-like of shape (n_classes,), default=None
        Labels in the order of the columns, as in `calibration_error`.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ValueError
        As `calibration_error`.

    References
    ----------
    J. Błasiok and P. Nakkiran, Smooth ECE: Principled Reliability Diagrams via Kernel Smoothing, ICLR
    2024. https://doi.org/10.48550/arXiv.2309.12236

    Examples
    --------
    Where the coin is always predicted with 0.7 and falls half and half, the error is 0.2:

    >>> from smreg.metrics import smooth_calibration_error
    >>> round(smooth_calibration_error([0, 1, 0, 1], [0.7, 0.7, 0.7, 0.7]), 3)
    0.2
    """
    check_kind(kind)
    predictions = check_predictions(y, probabilities, classes, sample_weight)
    events = predictions.events(kind)
    weights = predictions.weights / predictions.weights.max()  # whose sum neither over- nor underflows
    weights /= weights.sum()
    columns = range(events.probability.shape[1])
    return float(np.mean([_error(events.probability[:, k], events.hits(k), weights) for k in columns]))


def _error(f: Array, outcome: Array, weights: Array) -> float:
    """The width that equals the error."""
    f = f.astype(np.float64)
    modes = _modes(_on_grid(f, weights * (outcome - f)))
    frequency = np.pi * np.arange(GRID + 1)

    def excess(width: float) -> float:
        smoothed = fft.dct(modes * np.exp(-((frequency * width) ** 2) / 2), type=1)
        return float(np.trapezoid(np.abs(smoothed), dx=1 / GRID)) - width

    if excess(0.0) <= 0:
        return 0.0
    if excess(1.0) >= 0:  # all residuals are one, but for the rounding of the sum of their weights
        return 1.0
    return float(optimize.brentq(excess, 0.0, 1.0, xtol=1e-10))


def _on_grid(f: Array, mass: Array) -> Array:
    """Masses at places from 0 to 1, each divided between the two nodes next to it."""
    place = f * GRID
    node = np.minimum(place.astype(np.intp), GRID - 1)
    right = place - node
    grid = np.bincount(node, mass * (1 - right), GRID + 1)
    grid[1:] += np.bincount(node, mass * right, GRID)
    return np.asarray(grid, dtype=np.float64)


def _modes(mass: Array) -> Array:
    """Coefficients ``sum_j m_j cos(pi k x_j)`` on the nodes ``x_j``."""
    half = mass / 2  # SciPy's transform counts all but the ends twice
    half[[0, -1]] *= 2
    return np.asarray(fft.dct(half, type=1))
