"""Softmax regression as a scikit-learn estimator, written as it is derived."""

from importlib.metadata import version as _version

from smreg.estimator import SoftmaxRegression
from smreg.family import cross_entropy, log_softmax, softmax
from smreg.model_selection import SoftmaxRegressionCV
from smreg.path import RegularizationPath, regularization_path

__version__ = _version("smreg")

__all__ = [
    "RegularizationPath",
    "SoftmaxRegression",
    "SoftmaxRegressionCV",
    "cross_entropy",
    "log_softmax",
    "regularization_path",
    "softmax",
]
