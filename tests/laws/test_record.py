"""The record and the coefficients of a fit say the same.

`solution_.objective` is the penalised mean cross-entropy; `coef_` and `intercept_` give it too, by its
definition in `SoftmaxRegression`, whatever problem was solved in place of the one that was given: in the
space of the rows, with merged, shifted or left-out columns. The tolerance is in `laws.record_rounding`: what
the dtype of the coefficients cannot hold, and the rounding of sums.

``python -m pytest tests/laws/test_record.py --hypothesis-profile=thorough`` tries 10,000 cases for each law.
"""

import warnings
from dataclasses import replace

import numpy as np
from cases import (
    DTYPES,
    SPARSE,
    Answer,
    Case,
    answer_of,
    cases,
    draw_soft,
    examples,
    objective_at,
    record_rounding,
)
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from smreg import SoftmaxRegressionCV, regularization_path
from smreg.objective.singletons import MANY


def assert_record(case, answer, objective):
    off, allowed = abs(objective - objective_at(case, answer)), record_rounding(case, answer)
    assert off <= allowed, f"the record is {off:.3g} nats from what the coefficients give, of {allowed:.3g}"


TOLS = st.sampled_from([1e-2, 1e-4, 1e-8])


@examples(150)
@given(cases(absent=True), TOLS)
def test_the_objective_of_the_record_is_that_of_the_coefficients(case, tol):
    """Wherever the search ended."""
    model = case.fit(tol=tol)

    assert model.coef_.dtype == case.dtype
    assert_record(case, answer_of(model), model.solution_.objective)


@st.composite
def rounded_columns(draw):
    """Without a penalty, columns that others determine but for the rounding of their dtype."""
    case = draw(cases(penalties=["none"]))
    factor = draw(st.sampled_from([1 / 2.54, np.pi, -0.1, 3.0]))
    i, j = (draw(st.integers(0, case.X.shape[1] - 1)) for _ in range(2))
    more = (case.X[:, i] / 3).astype(case.dtype)
    added = np.column_stack([more, factor * more, factor * more + case.X[:, j]]).astype(case.dtype)
    return replace(case, X=np.column_stack([case.X, added]).astype(float))


@examples(80)
@given(rounded_columns(), TOLS)
def test_columns_that_are_determined_but_for_rounding_are_no_exception(case, tol):
    model = case.fit(tol=tol)

    assert_record(case, answer_of(model), model.solution_.objective)


@examples(40)
@given(cases(intercept=True), st.integers(0, 2**16))
def test_separated_classes_are_no_exception(case, seed):
    """Labels at random without a penalty: few samples of many features are separated, others are not."""
    rng = np.random.default_rng(seed)
    n, n_classes = len(case.X), case.targets.shape[1]
    options = case.options | {"C": np.inf, "l1_ratio": 0.0}
    random = replace(case, y=rng.permutation(np.arange(n) % n_classes), weights=None, options=options)
    model = random.fit(tol=1e-4)

    assert_record(random, answer_of(model), model.solution_.objective)


@examples(4, cost=100)
@given(
    st.integers(100, 150),
    st.integers(2, 3),
    st.sampled_from([1e-2, 1.0, np.inf]),
    st.sampled_from(DTYPES),
    st.sampled_from(SPARSE),
    st.integers(0, 2**16),
)
def test_features_of_a_single_sample_are_no_exception(n, n_classes, C, dtype, storage, seed):
    """So many that they are merged, beside some that are everywhere."""
    rng = np.random.default_rng(seed)
    X = np.zeros((n, MANY + 10))
    X[rng.integers(0, n, MANY), np.arange(MANY)] = rng.integers(1, 8, MANY) / 4
    X[:, MANY:] = rng.integers(-3, 4, (n, 10))
    y = draw_soft(rng.integers(0, n_classes, n), n_classes, rng, positive=True)
    case = Case(X, y, None, {"C": C, "fit_intercept": True}, dtype, storage)
    model = case.fit(tol=1e-4)

    assert_record(case, answer_of(model), model.solution_.objective)


def grid(case):
    """Three values of C, the last of them no penalty if that is what the case has."""
    return [1e-3, 1.0, np.inf if case.options["C"] == np.inf else 100.0]


@examples(30)
@given(cases(absent=True))
def test_so_it_is_for_every_model_of_a_path(case):
    """Its coefficients are in float64."""
    options = {name: case.options[name] for name in ("l1_ratio", "fit_intercept")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        path = regularization_path(case.design, case.y, Cs=grid(case), sample_weight=case.weights, **options)

    for C, coef, intercept, objective in zip(
        path.Cs, path.coefs, path.intercepts, path.objective, strict=True
    ):
        assert_record(replace(case, options=options | {"C": C}), Answer.of(coef, intercept), objective)


@examples(15)
@given(cases(), st.integers(0, 2))
def test_so_it_is_for_what_a_search_chooses(case, index):
    """On one fold, whose test part is its training part."""
    everything, Cs = np.arange(len(case.X)), grid(case)
    model = SoftmaxRegressionCV(
        Cs=Cs[index:],
        l1_ratios=[case.options["l1_ratio"]],
        cv=[(everything, everything)],
        fit_intercept=case.options["fit_intercept"],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the weakest penalty is best where it is fitted
        model.fit(case.design, case.y, case.weights)

    chosen = replace(case, options=case.options | {"C": model.C_})
    assert_record(chosen, answer_of(model), model.solution_.objective)
