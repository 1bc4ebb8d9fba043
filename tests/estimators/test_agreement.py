"""Agreement with what people trust, where both solve the same problem."""

import warnings

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from smreg import SoftmaxRegression, family

TIGHT = 1e-10  # norm of the gradient, in the square roots of nats of smreg's stopping rule


def objective(model, X, y, sample_weight=None, class_weight=None):
    """The penalised mean cross-entropy of a fitted linear classifier, from its definition."""
    codes = np.searchsorted(model.classes_, y)
    s = np.ones(len(y)) if sample_weight is None else sample_weight.copy()
    if class_weight == "balanced":
        mass = np.bincount(codes, weights=s)
        s = s * (mass.sum() / (len(mass) * mass))[codes]
    eta = model.decision_function(X)
    if eta.ndim == 1:
        eta = np.column_stack([np.zeros_like(eta), eta])
    loss = family.cross_entropy(family.sufficient_statistic(codes, eta.shape[1]), eta)
    return np.average(loss, weights=s) + np.sum(model.coef_**2) / (2 * model.C * s.sum())


@pytest.mark.slow
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "no intercept"])
@pytest.mark.parametrize("weighting", ["none", "sample_weight", "class_weight"])
def test_the_solution_is_that_of_logistic_regression(raw_data, C, fit_intercept, weighting, rng):
    """Both are within some 1e-10 of the optimum in the metric, so that the objectives agree to rounding
    of sums (1e-13). Logits agree to 1e-10 times the root of ``x' H^-1 x``, at most 1.4e4 (digits, C=100),
    and probabilities to half of that, 7e-7.
    """
    X, y = raw_data
    sample_weight = rng.integers(1, 4, len(y)).astype(float) if weighting == "sample_weight" else None
    options = {
        "C": C,
        "fit_intercept": fit_intercept,
        "class_weight": "balanced" if weighting == "class_weight" else None,
    }
    ours = SoftmaxRegression(tol=TIGHT, **options).fit(X, y, sample_weight)
    theirs = LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=1000, **options)
    with warnings.catch_warnings():  # in five cases its line search meets rounding before tol
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(X, y, sample_weight)

    assert ours.converged_
    values = [objective(model, X, y, sample_weight, options["class_weight"]) for model in (ours, theirs)]
    assert ours.solution_.objective == pytest.approx(values[0], rel=1e-11)
    assert values[0] == pytest.approx(values[1], rel=1e-10)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_at_the_defaults_the_objective_is_not_above_scikit_learn_s(raw_data):
    """tol=1e-4 means 5e-9 above the minimum; 1e-8 allows for twice that."""
    X, y = raw_data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = LogisticRegression().fit(X, y)
    ours = SoftmaxRegression().fit(X, y)

    assert objective(ours, X, y) <= objective(theirs, X, y) + 1e-8


@pytest.mark.parametrize("name", ["anes96", "spector"])
def test_unpenalised_fits_agree_with_statsmodels(name):
    """MNLogit's Newton iteration, run until its gradient is rounding; a norm of 1e-10 bounds the distance
    by 1e-10 sqrt(n) < 1e-8 standard errors, and those are below ten."""
    data = getattr(sm.datasets, name).load_pandas()
    X, y = data.exog.to_numpy(float), data.endog.to_numpy()
    theirs = sm.MNLogit(y, sm.add_constant(X)).fit(method="newton", maxiter=100, tol=1e-14, disp=False)
    ours = SoftmaxRegression(C=np.inf, tol=TIGHT).fit(X, y)

    if len(ours.classes_) == 2:
        coef, intercept = ours.coef_, ours.intercept_
    else:
        coef = family.to_reference_coding(ours.coef_.T).T
        intercept = family.to_reference_coding(ours.intercept_)
    params = np.asarray(theirs.params).T
    assert ours.converged_
    assert -ours.solution_.objective * len(y) == pytest.approx(theirs.llf, rel=1e-12)
    assert_allclose(np.column_stack([intercept, coef]), params, rtol=0, atol=1e-7)
