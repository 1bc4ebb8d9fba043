"""Measures of predicted probabilities that scikit-learn does not have: calibration above all."""

from smreg.metrics.bootstrap import BootstrapInterval, bootstrap_interval
from smreg.metrics.calibration import calibration_error, reliability_table
from smreg.metrics.decomposition import Decomposition, calibration_decomposition
from smreg.metrics.scorers import (
    neg_calibration_error_scorer,
    neg_classwise_calibration_error_scorer,
    neg_cross_entropy_scorer,
    neg_smooth_calibration_error_scorer,
)
from smreg.metrics.smooth import smooth_calibration_error

__all__ = [
    "BootstrapInterval",
    "Decomposition",
    "bootstrap_interval",
    "calibration_decomposition",
    "calibration_error",
    "neg_calibration_error_scorer",
    "neg_classwise_calibration_error_scorer",
    "neg_cross_entropy_scorer",
    "neg_smooth_calibration_error_scorer",
    "reliability_table",
    "smooth_calibration_error",
]
