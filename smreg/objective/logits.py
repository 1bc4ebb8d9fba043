r"""Logits of a block of rows, and their softmax, class-major: of shape (K, n_rows).

**Points and directions.** The logits of a row at a *point* are ``eta = offset + W x + b``. Along a
*direction* they change by ``W x + b``: what is known of them beforehand has no part in that.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smreg.data.block import Block

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Direction:
    """Coefficients (rows, n_features) and intercepts (rows,), for features as they are read.

    For two classes a single row is that of the second, and the logit of the first is zero.
    """

    coef: Array
    intercept: Array

    def predictors(self, block: Block) -> Array:
        """Those of the classes that have coefficients."""
        with np.errstate(over="ignore", invalid="ignore"):  # a step too long: the solver cuts it
            eta = block.predictors(self.coef)
            eta += self.intercept[:, np.newaxis]
        return eta

    def logits(self, block: Block) -> Array:
        """Changes of the logits."""
        return changes(block, self.predictors(block))


@dataclass(frozen=True)
class Point(Direction):
    """The same where logits have an offset."""

    def logits(self, block: Block) -> Array:
        """The logits."""
        return logits(block, self.predictors(block))


def logits(block: Block, predictors: Array) -> Array:
    """Logits of all classes at a point, from the predictors of those that have coefficients."""
    eta = changes(block, predictors)
    if block.offset is not None:
        eta += np.where(block.weights > 0, block.offset.T, 0.0)
    return eta


def changes(block: Block, predictors: Array) -> Array:
    """The same along a direction; zero without weight: whatever X holds there, it must not count."""
    eta = np.concatenate([np.zeros_like(predictors), predictors]) if len(predictors) == 1 else predictors
    if not block.is_used:
        eta[:, block.weights == 0] = 0.0
    return eta


def softmax(eta: Array) -> Array:
    """Probabilities."""
    p = below_largest(eta.copy(order="K"))
    p /= exponentials(p)
    return p


def log_softmax(eta: Array) -> Array:
    """Their logarithms."""
    log_p = below_largest(eta.copy(order="K"))
    log_p -= np.log(exponentials(log_p.copy(order="K")))
    return log_p


def below_largest(eta: Array) -> Array:
    """The logits less the largest of each row, in their place: then no exponential overflows."""
    with np.errstate(invalid="ignore"):
        eta -= eta.max(axis=0)
    return eta


def exponentials(eta: Array) -> Array:
    """Take the exponentials, in the place of the logits, and give their sum for each row."""
    np.exp(eta, out=eta)
    return np.asarray(eta.sum(axis=0))


def complement(p: Array) -> Array:
    """``1 - p`` for class probabilities (K, n_rows), to full precision where it is tiny."""
    rest, top = 1.0 - p, (p.argmax(axis=0), np.arange(p.shape[1]))
    others = p.copy()
    others[top] = 0.0
    rest[top] = others.sum(axis=0)
    return rest


def variances(eta: Array) -> Array:
    """``p (1 - p)``, not to full precision."""
    p = softmax(eta)
    p -= p * p
    return p
