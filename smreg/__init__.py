"""Softmax regression as a scikit-learn estimator, written as it is derived."""

from importlib.metadata import version as _version

from smreg.estimator import SoftmaxRegression
from smreg.family import cross_entropy, log_softmax, softmax

__version__ = _version("smreg")

__all__ = ["SoftmaxRegression", "cross_entropy", "log_softmax", "softmax"]
