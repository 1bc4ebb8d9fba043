r"""Log loss and Brier score, split into calibration, refinement and terms within groups.

Both are means of a proper score ``S(p, t)``, linear in the target t: ``-<t, log p>``, and
``|p|^2 - 2 <p, t> + 1``, which for a label is ``|p - t|^2``. It has an *entropy* ``H(t) = S(t, t)`` and a
*divergence*
``D(p, t) = S(p, t) - H(t) >= 0``: Shannon's entropy and the Kullback-Leibler divergence; ``1 - |t|^2`` and
``|p - t|^2``. Let the samples fall into groups of share ``w_g``, with mean prediction ``p_g`` and mean target
``t_g``. Then exactly, since S is linear in t,

    ``mean S(p_i, t_i) = sum_g w_g D(p_g, t_g) + sum_g w_g H(t_g) + mean [S(p_i, t_i) - S(p_g, t_i)]``:

*calibration*, *refinement* and the term *within* the groups. With the mean target t of all samples,
refinement is *uncertainty* ``H(t)`` less *resolution* ``sum_g w_g D(t, t_g)``.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, special

from smreg import family
from smreg.metrics.bins import Binning
from smreg.metrics.predictions import Predictions, check_predictions

Array = NDArray[np.float64]
Score = Literal["log_loss", "brier"]


@dataclass(frozen=True)
class Decomposition:
    """A proper score and its parts.

    Attributes
    ----------
    score : float
        Log loss in nats, or Brier score: ``calibration + refinement + within``.
    calibration : float
        Divergence of the groups' mean predictions from their mean targets: zero if these are equal.
    refinement : float
        Entropy of the groups' mean targets: the score of who knows a sample's group alone, and is right.
        It is ``uncertainty - resolution``.
    within : float
        What the predictions change by being other than their group's mean: negative if they gain by it.
    uncertainty : float
        Entropy of the mean target: the score of the classes' relative frequencies.
    resolution : float
        Divergence of the mean target from those of the groups: what knowing the group gains.
    """

    score: float
    calibration: float
    refinement: float
    within: float
    uncertainty: float
    resolution: float


def calibration_decomposition(
    y: Any,
    probabilities: ArrayLike,
    *,
    score: Score = "log_loss",
    n_bins: int = 15,
    strategy: Literal["uniform", "quantile"] = "uniform",
    classes: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> Decomposition:
    """Log loss or Brier score as a sum of calibration, refinement and the terms within groups.

    A group are the samples of one predicted class whose largest probability is in one bin. With the shares
    ``w_g``, mean predictions ``p_g`` and mean targets ``t_g`` of the groups, and with divergence D and
    entropy H of the score, calibration is ``sum_g w_g D(p_g, t_g)`` and refinement ``sum_g w_g H(t_g)``.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_classes)
        Labels, or soft targets with a column for each class.
    probabilities : array-like of shape (n_samples, n_classes), (n_samples,) or (n_samples, 1)
        Predicted probabilities, a column for each class; a single column is that of the second of two
        classes.
    score : {"log_loss", "brier"}, default="log_loss"
        Mean of ``-sum_k t_k log p_k``, in nats and with nothing clipped; or of ``sum_k (p_k - t_k)^2``, for
        soft targets in expectation over labels drawn from them.
    n_bins, strategy
        Bins of the largest probability, as in `calibration_error`.
    classes : array-like of shape (n_classes,), default=None
        Labels in the order of the columns, as in `calibration_error`.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights.

    Returns
    -------
    Decomposition
        The score and its parts. Log loss is inf where a target has the probability 0: then so is calibration,
        if all of its group has, and `within` otherwise.

    Raises
    ------
    ValueError
        As `calibration_error`, or if `score` is neither of the two.

    References
    ----------
    J. Bröcker, Reliability, Sufficiency, and the Decomposition of Proper Scores, Quarterly Journal of the
    Royal Meteorological Society 135 (2009). https://doi.org/10.1002/qj.456
    D. B. Stephenson, C. A. S. Coelho and I. T. Jolliffe, Two Extra Components in the Brier Score
    Decomposition, Weather and Forecasting 23 (2008). https://doi.org/10.1175/2007WAF2006116.1

    Examples
    --------
    >>> from smreg.metrics import calibration_decomposition
    >>> parts = calibration_decomposition([0, 1, 0, 1], [0.2, 0.2, 0.9, 0.9], score="brier")
    >>> round(parts.score, 3), round(parts.calibration, 3), round(parts.refinement, 3), round(parts.within, 3)
    (0.75, 0.25, 0.5, 0.0)
    """
    if score not in ("log_loss", "brier"):
        raise ValueError(f'score must be "log_loss" or "brier", got {score!r}.')
    binning = Binning(n_bins, strategy, None)
    predictions = check_predictions(y, probabilities, classes, sample_weight)
    share, p, t = _group_means(predictions, binning)
    divergence, entropy = (_kl, family.entropy) if score == "log_loss" else (_square, _gini)
    mean = np.einsum("g,gk->k", share, t)
    total = _score(predictions, score)
    calibration, refinement = float(share @ divergence(p, t)), float(share @ entropy(t))
    return Decomposition(
        score=total,
        calibration=calibration,
        refinement=refinement,
        within=total - calibration - refinement if np.isfinite(calibration) else 0.0,
        uncertainty=float(entropy(mean)),
        resolution=float(share @ divergence(np.broadcast_to(mean, t.shape), t)),
    )


def _group_means(predictions: Predictions, binning: Binning) -> tuple[Array, Array, Array]:
    """Shares (G,) of the groups that have weight, and their mean predictions and targets (G, K)."""
    p, target, weights = predictions.probabilities, predictions.targets.values, predictions.weights
    n, n_classes = p.shape
    _, bins = binning.assign(predictions.events("confidence").probability[:, 0], weights)
    group = bins * n_classes + p.argmax(axis=1)
    mass = np.bincount(group, weights)
    kept = np.flatnonzero(mass)
    member = sparse.csr_array((weights, (group, np.arange(n))), shape=(len(mass), n))[kept]
    if target.ndim == 1:
        place = group * n_classes + target
        hits = np.bincount(place, weights, len(mass) * n_classes).reshape(-1, n_classes)[kept]
    else:
        hits = member @ target
    each = mass[kept, np.newaxis]
    return mass[kept] / mass.sum(), np.asarray(member @ p) / each, np.asarray(hits) / each


def _score(predictions: Predictions, score: Score) -> float:
    """Mean of the score over the samples."""
    p, target = predictions.probabilities.astype(np.float64, copy=False), predictions.targets.values
    labelled = target.ndim == 1
    if score == "brier":
        linear = p[np.arange(len(p)), target] if labelled else np.vecdot(p, target)
        values = np.vecdot(p, p) - 2 * linear + 1
    else:
        with np.errstate(divide="ignore"):
            rows = np.arange(len(p))
            values = -np.log(p[rows, target]) if labelled else -special.xlogy(target, p).sum(axis=1)
    weights = predictions.weights
    return float(np.average(values[weights > 0], weights=weights[weights > 0]))


def _kl(p: Array, t: Array) -> NDArray[np.floating[Any]]:
    return family.kl_divergence(t, p)


def _square(p: Array, t: Array) -> Array:
    return np.asarray(((p - t) ** 2).sum(axis=-1))


def _gini(t: Array) -> Array:
    """``1 - |t|^2``, the Brier score's entropy."""
    return np.asarray(1 - (t**2).sum(axis=-1))
