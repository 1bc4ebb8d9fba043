"""scikit-learn's own checks, all of them, with no expected failure."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from smreg import SoftmaxRegression, SoftmaxRegressionCV


# a check's labels may have nothing to do with its features, or all be predicted out of fold: T has a limit
@pytest.mark.filterwarnings("ignore:The targets' logits are on average no larger:UserWarning")
@pytest.mark.filterwarnings("ignore:No logit is larger than that of the sample's target:UserWarning")
@parametrize_with_checks(
    [
        SoftmaxRegression(),
        SoftmaxRegression(C=10.0, class_weight="balanced"),
        SoftmaxRegression(l1_ratio=0.5),
        SoftmaxRegression(C=np.inf, bias_reduction=True),
        SoftmaxRegression(temperature=2.0, tol=1e-8, warm_start=True, n_jobs=2),
        SoftmaxRegressionCV([0.1, 1.0], cv=3, temperature="cv", rule="one_standard_error"),
    ]
)
def test_scikit_learn_s_checks_pass(estimator, check):
    check(estimator)
