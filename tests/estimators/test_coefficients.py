"""The table of coefficients: labelled, symmetric or against a reference, and what arrays of them refuse."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from smreg import SoftmaxRegression, SoftmaxRegressionCV, softmax
from smreg.family import to_reference_coding, to_symmetric_coding

N = 60
NAMES = ["height", "weight", "age"]
LABELS = {2: ["no", "yes"], 3: ["b", "c", "a"], 4: [7, 3, 5, 9]}


def data(n_classes, columns=NAMES):
    rng = np.random.default_rng(n_classes)
    codes = np.arange(N) % n_classes
    X = pd.DataFrame(rng.normal(size=(N, 3)) + codes[:, None] * [0.5, -0.2, 0.0], columns=columns)
    return X, np.array(LABELS[n_classes])[codes]


MODELS = [
    SoftmaxRegression(),
    SoftmaxRegression(fit_intercept=False),
    SoftmaxRegression(l1_ratio=1.0, C=0.05),
    SoftmaxRegressionCV(Cs=2, cv=2),
]


def logits_of(table, X):
    """The table times the features, a row of ones in front where it has intercepts."""
    design = X.assign(**{"intercept": 1.0})[list(table.index)]
    return design.to_numpy() @ table.to_numpy()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("n_classes", LABELS)
def test_the_table_has_the_probabilities_of_the_model(n_classes, model):
    """Logits of a magnitude below 10, and sums of four products: a few of their roundings, 1e-14 in all."""
    X, y = data(n_classes)
    model.fit(X, y)
    table = model.coefficients()

    assert list(table.columns) == model.classes_.tolist()
    assert list(table.index) == (["intercept"] if model.fit_intercept else []) + NAMES
    assert_allclose(softmax(logits_of(table, X)), model.predict_proba(X), rtol=0, atol=1e-14)
    for reference in model.classes_:
        against = model.coefficients(reference=reference)
        assert list(against.columns) == [label for label in model.classes_ if label != reference]
        logits = pd.DataFrame(logits_of(against, X), columns=against.columns).assign(**{str(reference): 0.0})
        logits.columns = [*against.columns, reference]
        p = softmax(logits[list(model.classes_)])
        assert_allclose(p, model.predict_proba(X), rtol=0, atol=1e-14)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("n_classes", [3, 4])
def test_without_a_reference_it_is_what_was_fitted(n_classes, model):
    model.fit(*data(n_classes))
    features = model.coefficients().loc[NAMES]

    assert_array_equal(features.T, model.coef_)
    if model.fit_intercept:
        assert_array_equal(model.coefficients().loc["intercept"], model.intercept_)


def test_two_classes_share_out_their_row():
    """Halves are exact, and so are their difference and the row against the first class."""
    model = SoftmaxRegression().fit(*data(2))
    table = model.coefficients()
    row = np.append(model.intercept_, model.coef_)

    assert_array_equal(table["yes"], row / 2)
    assert_array_equal(table["no"], -row / 2)
    assert_array_equal(model.coefficients(reference="no")["yes"], row)
    assert_array_equal(model.coefficients(reference="yes")["no"], -row)


@pytest.mark.parametrize("n_classes", LABELS)
def test_a_reference_is_a_label_and_no_position(n_classes):
    model = SoftmaxRegression().fit(*data(n_classes))
    for unknown in (0, "d", [model.classes_[0]], np.nan):
        with pytest.raises(ValueError, match=r"reference must be one of the classes \[.*\], got"):
            model.coefficients(reference=unknown)


def test_a_boolean_reference():
    X, y = data(2)
    model = SoftmaxRegression().fit(X, y == "yes")

    assert list(model.coefficients(reference=False).columns) == [True]


def test_features_without_names_are_numbered_and_sparse_coefficients_are_shown():
    X, y = data(3)
    model = SoftmaxRegression(l1_ratio=0.5).fit(X.to_numpy(np.float32), y)
    table = model.coefficients()

    assert list(table.index) == ["intercept", "x0", "x1", "x2"]
    assert (table.dtypes == np.float32).all()
    pd.testing.assert_frame_equal(model.sparsify().coefficients(), table)


def test_a_feature_that_is_called_intercept_keeps_its_name():
    model = SoftmaxRegression().fit(*data(3, ["(intercept)", "intercept", "age"]))

    assert list(model.coefficients().index) == ["((intercept))", "(intercept)", "intercept", "age"]
    assert_array_equal(model.coefficients().loc["intercept"], model.coef_[:, 1])


@pytest.mark.parametrize("fitted_with", [True, False])
def test_the_table_is_that_of_what_was_fitted_whatever_was_set_after_it(fitted_with):
    """Logits of four terms each, of which softmax differs by no more than twice the rounding, relatively."""
    X, y = data(3)
    model = SoftmaxRegression(fit_intercept=fitted_with).fit(X, y)
    p = model.predict_proba(X)
    model.set_params(fit_intercept=not fitted_with)

    assert_array_equal(model.predict_proba(X), p)
    table = model.coefficients()
    terms = X.abs().to_numpy().sum(axis=1).max() + 1
    rounding = 8 * np.finfo(float).eps * terms * table.abs().to_numpy().max()
    assert_allclose(softmax(logits_of(table, X)), p, rtol=2 * rounding, atol=0)


def test_there_is_no_table_before_a_fit():
    with pytest.raises(NotFittedError):
        SoftmaxRegression().coefficients()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [3, 4])
@pytest.mark.parametrize("C", [1e-3, 1.0, np.inf])
def test_coefficients_with_the_classes_first_are_no_table_of_the_classes(C, n_classes, dtype):
    X, y = data(n_classes)
    model = SoftmaxRegression(C=C).fit(X.astype(dtype), y)

    with pytest.raises(ValueError, match=r"\(\d, 3\) must have the classes along the last axis.*coef_\.T"):
        to_reference_coding(model.coef_)
    assert_array_equal(
        to_reference_coding(model.coef_.T, 1), model.coefficients(model.classes_[1]).loc[NAMES]
    )


def test_numbers_that_sum_to_zero_along_both_axes_or_none_are_logits():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(5, 3))
    centred = z - z.mean(axis=0)

    for logits in (z, np.zeros((5, 3)), centred - centred.mean(axis=1, keepdims=True), centred[:2]):
        assert to_reference_coding(logits).shape == (len(logits), 2)


@pytest.mark.parametrize("reference", [True, np.True_, "a", 1.0, None, 3, -4])
@pytest.mark.parametrize("coding", [to_reference_coding, lambda z, k: to_symmetric_coding(z[:2], k)])
def test_the_reference_of_an_array_is_a_position(coding, reference):
    with pytest.raises(ValueError, match=r"reference must be the position of a class among 3, not its label"):
        coding([1.0, 2.0, 3.0], reference)


def test_there_must_be_a_class_other_than_the_reference():
    with pytest.raises(ValueError, match="beside the reference"):
        to_symmetric_coding(np.empty((4, 0)))


@pytest.mark.parametrize("unit", ["datetime64[D]", "timedelta64[D]"])
def test_dates_are_no_logits(unit):
    with pytest.raises(ValueError, match="must be real numbers"):
        softmax(np.array([1, 2]).astype(unit))
