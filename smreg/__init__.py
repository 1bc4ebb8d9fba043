"""Softmax regression as a scikit-learn estimator, written as it is derived."""

from smreg.estimator import SoftmaxRegression
from smreg.family import cross_entropy, log_softmax, softmax

__all__ = ["SoftmaxRegression", "cross_entropy", "log_softmax", "softmax"]
