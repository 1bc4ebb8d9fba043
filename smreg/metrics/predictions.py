"""Predicted probabilities and outcomes, checked once, as plain arrays."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, check_consistent_length

from smreg.data.lazy import refuse_lazy
from smreg.data.targets import Targets, targets_of_columns
from smreg.data.weights import check_sample_weight

Array = NDArray[np.floating[Any]]
Kind = Literal["confidence", "classwise"]

BLOCK = 2**16  # numbers of a block of rows, which stay in a processor's cache
ROUNDING = 1e-3  # of a row's sum: probabilities in half precision are off by as much


class Events(NamedTuple):
    """Probabilities of events and their outcomes.

    Attributes
    ----------
    probability : ndarray of shape (n, R)
        A column for each kind of event: that the predicted class is right, or that it is class k.
    outcome : ndarray of int of shape (n,), or of float of shape (n, R)
        Column of the one event that came true, or the targets' probabilities of all.
    """

    probability: Array
    outcome: NDArray[Any]

    def hits(self, column: int) -> Array:
        """Outcomes of the events of a column, of shape (n,)."""
        if self.outcome.ndim == 2:
            return np.asarray(self.outcome[:, column])
        return np.asarray(self.outcome == column).astype(np.float64)


@dataclass(frozen=True)
class Predictions:
    """Checked predictions.

    Attributes
    ----------
    targets : Targets
        Classes in the order of the columns, and codes or points of the simplex.
    probabilities : ndarray of shape (n, K)
        Rows on the simplex.
    weights : ndarray of shape (n,)
        Non-negative.
    weighted : bool
        Whether weights were given.
    """

    targets: Targets
    probabilities: Array
    weights: NDArray[np.float64]
    weighted: bool

    def events(self, kind: Kind) -> Events:
        """The events: that the predicted class is right, or for each class that it is the label."""
        target, p = self.targets.values, self.probabilities
        if kind == "classwise":
            return Events(p, target)
        predicted = p.argmax(axis=1)
        rows = np.arange(len(p))
        right = target == predicted if target.ndim == 1 else target[rows, predicted]
        return Events(p[rows, predicted][:, np.newaxis], right.astype(np.float64)[:, np.newaxis])


def check_predictions(
    y: Any, probabilities: ArrayLike, classes: ArrayLike | None, sample_weight: ArrayLike | None
) -> Predictions:
    """Targets, probabilities of shape (n, K) and weights.

    One column of probabilities is that of the second of two classes.
    """
    refuse_lazy(probabilities, "probabilities")
    refuse_lazy(y, "y")
    # whether all numbers are finite is checked with their range, in the same pass
    p = check_array(
        probabilities,
        dtype=[np.float64, np.float32],
        ensure_2d=False,
        ensure_all_finite=False,
        input_name="probabilities",
    )
    if p.ndim == 1 or p.shape[1] == 1:
        p = np.column_stack([1 - p.ravel(), p.ravel()])
    _check_simplex(p)
    check_consistent_length(p, y)
    targets = targets_of_columns(y, classes, p.shape[1], of="probabilities")
    return Predictions(targets, p, check_sample_weight(sample_weight, len(p)), sample_weight is not None)


def check_kind(kind: Any) -> Kind:
    """Return `kind` if it is "confidence" or "classwise"."""
    if kind not in ("confidence", "classwise"):
        raise ValueError(f'kind must be "confidence" or "classwise", got {kind!r}.')
    return kind  # type: ignore[no-any-return]


def _check_simplex(p: Array) -> None:
    step = max(1, BLOCK // p.shape[1])
    for start in range(0, len(p), step):
        block = p[start : start + step]
        low, high = block.min(), block.max()
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"probabilities must lie between 0 and 1, got numbers from {low:g} to {high:g}. "
                "If they are logits, pass smreg.softmax(logits)."
            )
        sums = np.einsum("ik->i", block)
        off = np.abs(sums - 1) > ROUNDING
        if off.any():
            row = int(np.argmax(off))
            raise ValueError(
                f"probabilities must have rows that sum to 1, got the sum {sums[row]:g} in row {start + row}."
            )
