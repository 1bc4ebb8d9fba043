"""Objectives in the coordinates that a fit chooses."""

from typing import NamedTuple

import numpy as np

from smreg.data.matrix import MatrixRows
from smreg.data.statistics import statistics
from smreg.data.targets import Targets
from smreg.objective.coordinates import Coordinates, contrasts, reference_coding, symmetric_coding
from smreg.objective.cross_entropy import CrossEntropy, Objective
from smreg.objective.penalty import Penalty


class Sample(NamedTuple):
    """Class codes or soft targets, weights that sum to one, and the weighted mean of the targets."""

    target: np.ndarray
    weights: np.ndarray
    priors: np.ndarray


def matrix_rows(X, sample, thread_map=map):
    """Rows in memory."""
    return MatrixRows(X, Targets(np.arange(len(sample.priors)), sample.target), sample.weights, thread_map)


def make_coordinates(rows, *, ridge=0.0, fit_intercept=True, symmetric=False):
    """Two classes are in reference coding, more in contrasts or in symmetric coding."""
    coding = symmetric_coding(rows.n_classes) if symmetric else contrasts(rows.n_classes)
    return Coordinates.standardising(
        statistics(rows),
        reference_coding() if rows.n_classes == 2 else coding,
        fit_intercept=fit_intercept,
        ridge=ridge,
        by_feature=not rows.stores_zeros,
    )


def objective_of(X, sample, *, ridge=0.0, thread_map=map, **options):
    """The cross-entropy with a ridge penalty."""
    rows = matrix_rows(X, sample, thread_map)
    coordinates = make_coordinates(rows, ridge=ridge, **options)
    if coordinates.fit_intercept:
        rows = rows.shifted(statistics(rows).shift)
    return Objective(CrossEntropy(rows, sample.priors), Penalty(ridge), coordinates)


def logits_at(objective, phi):
    """Those of all rows, of shape (K, n_samples)."""
    blocks = objective.rows.map_blocks(lambda block, point: point.logits(block), objective.point(phi))
    return np.hstack(list(blocks))


def standardised(objective):
    """All rows in the coordinates, of shape (width, n_samples)."""
    blocks = objective.rows.map_blocks(lambda block, standard: standard.of(block), objective.standardisation)
    return np.hstack(list(blocks))
