"""scikit-learn's own checks, all of them, with no expected failure."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from smreg import SoftmaxRegression


@parametrize_with_checks(
    [
        SoftmaxRegression(),
        SoftmaxRegression(C=10.0, class_weight="balanced"),
        SoftmaxRegression(l1_ratio=0.5),
        SoftmaxRegression(temperature=2.0, tol=1e-8, warm_start=True, n_jobs=2),
    ]
)
def test_scikit_learn_s_checks_pass(estimator, check):
    check(estimator)
