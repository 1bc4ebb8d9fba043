"""Softmax regression as a scikit-learn estimator, written as it is derived."""

from importlib.metadata import version as _version

from smreg.calibration.study import CalibrationStudy, calibration_study
from smreg.calibration.temperature_scaling import TemperatureScaling
from smreg.estimators.estimator import SoftmaxRegression
from smreg.estimators.model_selection import SoftmaxRegressionCV
from smreg.estimators.path import RegularizationPath, regularization_path
from smreg.estimators.separation import separation
from smreg.family import cross_entropy, log_softmax, softmax
from smreg.temperature.scaling import TemperatureFit, fit_temperature

__version__ = _version("smreg")

__all__ = [
    "CalibrationStudy",
    "RegularizationPath",
    "SoftmaxRegression",
    "SoftmaxRegressionCV",
    "TemperatureFit",
    "TemperatureScaling",
    "calibration_study",
    "cross_entropy",
    "fit_temperature",
    "log_softmax",
    "regularization_path",
    "separation",
    "softmax",
]
