"""scikit-learn's private names that estimators need: the only place that imports any of them.

They are what every estimator of its own uses: validation of parameters, and rows of whatever holds samples.
Where a version moves one, this file changes. Public names are imported where they are used.
"""

from sklearn.base import _fit_context as fit_context
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import HasMethods, Interval, InvalidParameterError, StrOptions
from sklearn.utils.metaestimators import _safe_split as safe_split

__all__ = [
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "StrOptions",
    "fit_context",
    "safe_indexing",
    "safe_split",
]
