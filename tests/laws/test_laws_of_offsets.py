"""Laws of offsets, the part of the logits that is known beforehand.

All hold for dense and sparse X in both precisions, two classes and more, each penalty and none: see `cases`
for what is drawn, and how it follows from `tol` what is the same. Offsets are eighths of at most four nats:
sums with them are exact.
"""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from cases import (
    EPS,
    STORAGES,
    Answer,
    Written,
    answer_of,
    assert_same,
    cases,
    distance,
    examples,
    objective_at,
    record_rounding,
    rounding,
)
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from smreg import regularization_path


@st.composite
def cases_with_offsets(draw, **options):
    case = draw(cases(**options))
    return replace(case, offset=eighths(draw, case.targets.shape))


def eighths(draw, shape):
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    return rng.integers(-32, 33, shape) * draw(st.sampled_from([1 / 32, 1 / 8]))


@examples(40)
@given(cases_with_offsets(absent=True))
def test_the_record_is_the_objective_with_the_offsets(case):
    model = case.fit()
    answer = answer_of(model)

    off = abs(model.solution_.objective - objective_at(case, answer))
    assert off <= record_rounding(case, answer)


@examples(40)
@given(cases_with_offsets(), st.integers(0, 2**16))
def test_adding_a_constant_to_a_row_s_offsets_changes_nothing(case, seed):
    constants = np.random.default_rng(seed).integers(-(2**20), 2**20, (len(case.X), 1)) / 8
    moved = replace(case, offset=case.offset + constants)

    here, there = case.fit(), moved.fit()
    np.testing.assert_array_equal(there.coef_, here.coef_)
    np.testing.assert_array_equal(there.intercept_, here.intercept_)


@examples(40)
@given(cases(), st.data())
def test_one_offset_for_all_rows_is_taken_up_by_the_intercepts(case, data):
    """Without them the model is another one."""
    case = replace(case, options=case.options | {"fit_intercept": True})
    row = eighths(data.draw, case.targets.shape[1])

    assert_same(case, Written(replace(case, offset=np.tile(row, (len(case.X), 1)))))


@pytest.mark.slow
@examples(60)
@given(cases(penalties=["none"]), st.integers(0, 2**16))
def test_without_a_penalty_offsets_that_are_linear_in_x_are_taken_up_by_the_coefficients(case, seed):
    """And the logits are as before, also where columns are collinear. Sums of exact numbers are exact."""
    largest = 2.0 ** np.ceil(np.log2(np.maximum(np.abs(case.X).max(axis=0), case.units)))
    V = np.random.default_rng(seed).integers(-4, 5, (case.targets.shape[1], case.X.shape[1])) / largest

    assert_same(case, Written(replace(case, offset=case.X @ V.T), columns=None))


@examples(40)
@given(cases(), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([1e-3, 1.0, 1e3]))
def test_offsets_that_are_the_logits_without_a_penalty_leave_nothing_to_a_penalty(case, l1_ratio, C):
    """Of whatever kind: coefficients are zero at any C.

    Logits that are within `tol` of the maximum leave a gradient of at most `tol`, and the penalty's minimum
    is then within that of zero, in a metric that with the penalty is only larger.
    """
    case = case if case.options["C"] == np.inf else replace(case, y=softened(case))
    case = replace(case, dtype=np.float64, options=case.options | {"C": np.inf, "l1_ratio": 0.0})
    best = case.fit()
    known = np.asarray(best.decision_function(case.design), dtype=float)
    known = np.column_stack([np.zeros(len(known)), known]) if known.ndim == 1 else known
    corrected = replace(case, offset=known, options=case.options | {"C": C, "l1_ratio": l1_ratio})
    model = corrected.fit()

    assert model.solution_.reason == "converged"
    answer = answer_of(model)
    nothing = Answer(np.zeros_like(answer.coef), np.zeros_like(answer.intercept), EPS)
    allowed = 2 * corrected.tol + rounding(case, answer_of(best)) + rounding(corrected, answer)
    assert distance(corrected, nothing, _Known(answer, known)) <= allowed


def softened(case):
    """Targets with no zeros, so that there is a maximum."""
    soft = case.targets + 0.1
    return soft / soft.sum(axis=1, keepdims=True)


@examples(40)
@given(cases_with_offsets(penalties=["net", "lasso"]), st.integers(0, 3))
def test_the_duality_gap_bounds_the_excess_of_a_search_that_was_cut_short(case, max_iter):
    """The best objective is at most ``tol**2`` above the minimum."""
    case = replace(case, dtype=np.float64)
    best, cut = case.fit(), case.fit(max_iter=max_iter)
    assert best.solution_.reason == "converged"
    rounding_of_both = sum(record_rounding(case, answer_of(model)) for model in (best, cut))

    excess = cut.solution_.objective - best.solution_.objective
    assert excess <= cut.solution_.duality_gap + rounding_of_both
    assert best.solution_.duality_gap <= 1e-6


@examples(40)
@given(cases_with_offsets(), st.integers(1, 3))
def test_no_step_leads_uphill_and_the_record_of_a_search_that_was_cut_short_is_that_of_its_end(
    case, max_iter
):
    """The null model, where a search begins, may be far above the minimum, and surer than it should be."""
    start, cut = case.fit(max_iter=0), case.fit(max_iter=max_iter)
    begun, ended = (record_rounding(case, answer_of(model)) for model in (start, cut))

    assert abs(cut.solution_.objective - objective_at(case, answer_of(cut))) <= ended
    assert cut.solution_.objective <= start.solution_.objective + begun + ended


@examples(40)
@given(cases_with_offsets(), st.sampled_from(list(STORAGES)))
def test_storage_changes_nothing(case, storage):
    assert_same(case, Written(replace(case, storage=storage)))


@examples(30)
@given(cases_with_offsets(), st.randoms(use_true_random=False))
def test_permuting_rows_and_classes_permutes_the_answer(case, random):
    rows = np.array(random.sample(range(len(case.X)), len(case.X)))
    n_classes = case.targets.shape[1]
    names = np.array(random.sample(range(n_classes), n_classes))
    y = names[case.y] if case.y.ndim == 1 else case.y[:, np.argsort(names)]
    weights = None if case.weights is None else case.weights[rows]
    offset = case.offset[rows][:, np.argsort(names)]
    written = replace(case, X=case.X[rows], y=y[rows], weights=weights, offset=offset)

    assert_same(case, Written(written, rows=np.argsort(rows), classes=names))


@examples(30)
@given(cases_with_offsets(), st.integers(0, 2**16))
def test_a_sample_twice_is_one_of_weight_two(case, seed):
    counts = np.random.default_rng(seed).integers(1, 3, len(case.X))
    weights = np.ones(len(case.X)) if case.weights is None else case.weights
    heavy = replace(case, weights=weights * counts)
    repeated = replace(
        case,
        X=case.X.repeat(counts, axis=0),
        y=case.y.repeat(counts, axis=0),
        weights=weights.repeat(counts),
        offset=case.offset.repeat(counts, axis=0),
    )

    assert_same(heavy, Written(repeated, rows=np.cumsum(counts) - 1))


@examples(30)
@given(cases_with_offsets(), st.integers(1, 20), st.integers(0, 2**16))
def test_samples_of_weight_zero_are_as_good_as_none_whatever_their_offsets(case, number, seed):
    rng = np.random.default_rng(seed)
    n = len(case.X)
    twin = rng.integers(0, n, number)
    weights = np.ones(n) if case.weights is None else case.weights
    written = replace(
        case,
        X=np.concatenate([case.X, case.X[twin]]),
        y=np.concatenate([case.y, case.y[twin]]),
        weights=np.append(weights, np.zeros(number)),
        offset=np.concatenate([case.offset, 1e6 * rng.normal(size=(number, case.offset.shape[1]))]),
    )

    assert_same(case, Written(written, rows=np.arange(n)))


@examples(30)
@given(cases_with_offsets(penalties=["none"]), st.integers(0, 2**16))
def test_columns_that_others_determine_change_nothing(case, seed):
    rng = np.random.default_rng(seed)
    added = case.X[:, rng.integers(0, case.X.shape[1], 2)]

    assert_same(case, Written(replace(case, X=np.column_stack([case.X, 2 * added])), columns=None))


@examples(15)
@given(cases_with_offsets())
def test_every_model_of_a_path_is_the_fit_with_its_c(case):
    """Three values, from a strong penalty on."""
    Cs = [1e-3, 1.0, np.inf if case.options["C"] == np.inf else 100.0]
    options = {name: case.options[name] for name in ("l1_ratio", "fit_intercept")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        path = regularization_path(
            case.design,
            case.y,
            Cs=Cs,
            sample_weight=case.weights,
            offset=case.offset,
            tol=case.tol,
            **options,
        )

    for C, coef, intercept, is_good in zip(path.Cs, path.coefs, path.intercepts, path.converged, strict=True):
        at = replace(case, options=options | {"C": C})
        one, other = answer_of(at.fit()), Answer.of(coef, intercept)
        assert is_good
        allowed = 2 * at.tol + rounding(at, one) + rounding(at, other)
        assert distance(at, one, _Known(other, at.known)) <= allowed


class _Known:
    """An answer whose logits have offsets."""

    def __init__(self, answer, known):
        self.coef, self._answer, self._known = answer.coef, answer, known

    def logits(self, X):
        return self._answer.logits(X) + self._known
