"""Objectives in the coordinates that a fit chooses."""

from smreg.objective.coordinates import Coordinates, contrasts, reference_coding, symmetric_coding
from smreg.objective.cross_entropy import CrossEntropy, Objective
from smreg.objective.penalty import Penalty


def make_coordinates(design, sample, *, ridge=0.0, fit_intercept=True, symmetric=False):
    """Two classes are in reference coding, more in contrasts or in symmetric coding."""
    columns, n_classes = design.statistics(sample.weights), len(sample.priors)
    if fit_intercept:
        design.shift_far_columns(columns)
    coding = symmetric_coding(n_classes) if symmetric else contrasts(n_classes)
    return Coordinates.standardising(
        columns,
        reference_coding() if n_classes == 2 else coding,
        fit_intercept=fit_intercept,
        ridge=ridge,
        by_feature=design.is_sparse,
    )


def objective_of(design, sample, *, ridge=0.0, **options):
    """The cross-entropy with a ridge penalty."""
    coordinates = make_coordinates(design, sample, ridge=ridge, **options)
    return Objective(CrossEntropy(design, sample), Penalty(ridge), coordinates)
