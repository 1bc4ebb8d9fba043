"""Ways to write a model that change nothing in it change nothing in its fit.

Two fits are the same if their logits, and the coefficients as far as they are penalised, are within twice the
tolerance in the Fisher metric, if the records' objectives agree, and both have converged: `laws` says how the
rounding that is allowed follows. All laws hold for dense and sparse X in both precisions, two classes and
more, each penalty and none, means up to a million spreads from zero, and more columns than rows.

``python -m pytest tests/laws/test_invariances.py --hypothesis-profile=thorough`` tries 10,000 cases for each
law.
"""

from dataclasses import replace

import numpy as np
from cases import (
    STORAGES,
    Written,
    answer_of,
    assert_same,
    cases,
    examples,
    needed,
)
from hypothesis import given
from hypothesis import strategies as st


@examples(80)
@given(cases(intercept=True), st.sampled_from(["centre", "near", "far", "some far"]))
def test_adding_a_constant_to_a_column_changes_nothing(case, where):
    """The intercepts take it up. Whole units are added, up to a million spreads, without rounding."""
    wholes = case.X / case.units
    centre = -np.round(wholes.mean(axis=0))
    sign = np.where(np.arange(wholes.shape[1]) % 3, 1, -1)
    far = sign * np.minimum(np.ceil(2**20 * wholes.std(axis=0)), case.farthest) + centre
    shifts = {"centre": centre, "near": 100 * sign, "far": far, "some far": np.where(sign > 0, centre, far)}

    assert_same(case, Written(replace(case, X=(wholes + shifts[where]) * case.units)))


@examples(40)
@given(cases(), st.randoms(use_true_random=False))
def test_permuting_rows_changes_nothing(case, random):
    order = np.array(random.sample(range(len(case.X)), len(case.X)))
    weights = None if case.weights is None else case.weights[order]
    written = replace(case, X=case.X[order], y=case.y[order], weights=weights)

    assert_same(case, Written(written, rows=np.argsort(order)))


@examples(40)
@given(cases(), st.randoms(use_true_random=False))
def test_permuting_classes_permutes_the_answer(case, random):
    n_classes = case.targets.shape[1]
    names = np.array(random.sample(range(n_classes), n_classes))
    y = names[case.y] if case.y.ndim == 1 else case.y[:, np.argsort(names)]

    assert_same(case, Written(replace(case, y=y), classes=names))


@examples(40)
@given(cases(), st.randoms(use_true_random=False))
def test_permuting_columns_permutes_the_answer(case, random):
    order = np.array(random.sample(range(case.X.shape[1]), case.X.shape[1]))

    assert_same(case, Written(replace(case, X=case.X[:, order]), columns=np.argsort(order)))


@examples(80)
@given(cases(), st.sampled_from(list(STORAGES)))
def test_storage_changes_nothing(case, storage):
    assert_same(case, Written(replace(case, storage=storage)))


@examples(40)
@given(cases(dtypes=[np.float32]))
def test_precision_changes_nothing_where_the_numbers_are_the_same(case):
    """But for what the coefficients are rounded to."""
    assert_same(case, Written(replace(case, dtype=np.float64)))


@examples(40)
@given(cases(), st.integers(2, 3), st.data())
def test_a_sample_twice_is_one_of_weight_two(case, times, data):
    n = len(case.X)
    chosen = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    counts = np.where(chosen, times, 1)
    weights = np.ones(n) if case.weights is None else case.weights
    heavy = replace(case, weights=weights * counts)
    repeated = replace(
        case,
        X=case.X.repeat(counts, axis=0),
        y=case.y.repeat(counts, axis=0),
        weights=None if case.weights is None else weights.repeat(counts),
    )

    assert_same(heavy, Written(repeated, rows=np.cumsum(counts) - 1))


@examples(40)
@given(cases(), st.integers(1, 20), st.integers(0, 2**16))
def test_samples_of_weight_zero_are_as_good_as_none(case, number, seed):
    """Samples are added that have other features, far away, and any target."""
    rng = np.random.default_rng(seed)
    n = len(case.X)
    added = case.X[rng.integers(0, n, number)] + case.units * rng.integers(-100, 100, case.X.shape[1])
    weights = np.ones(n) if case.weights is None else case.weights
    places = np.sort(rng.permutation(n + number)[:n])
    more = np.full(n + number, n)
    more[places] = np.arange(n)
    written = replace(
        case,
        X=_filled(case.X, added, places),
        y=_filled(case.y, case.y[rng.integers(0, n, number)], places),
        weights=_filled(weights, np.zeros(number), places),
    )

    assert_same(case, Written(written, rows=places))


def _filled(values, others, places):
    """`values` at these places, and the others around them."""
    filled = np.empty((len(values) + len(others), *values.shape[1:]), dtype=values.dtype)
    is_value = np.zeros(len(filled), dtype=bool)
    is_value[places] = True
    filled[is_value], filled[~is_value] = values, others
    return filled


@examples(40)
@given(cases(), st.integers(-40, 40))
def test_only_the_product_of_weights_and_c_matters(case, exponent):
    """Powers of two, which are exact."""
    weights = np.ones(len(case.X)) if case.weights is None else case.weights
    options = case.options | {"C": case.options["C"] * 2.0**-exponent}

    assert_same(case, Written(replace(case, weights=weights * 2.0**exponent, options=options)))


# -- without a penalty


@st.composite
def determined(draw, case):
    """Columns that others determine: copies, multiples, sums and differences, with an intercept constants
    and what they make of these."""
    wholes, p = case.X / case.units, case.X.shape[1]
    i, j = draw(st.integers(0, p - 1)), draw(st.integers(0, p - 1))
    kinds = {"copy": wholes[:, i], "twice": 2 * wholes[:, i], "difference": wholes[:, i] - wholes[:, j]}
    if case.options["fit_intercept"]:
        constant = draw(st.sampled_from([1.0, 1000.0]))
        kinds |= {"constant": np.full(len(wholes), constant), "complement": constant - wholes[:, i]}
    chosen = draw(st.lists(st.sampled_from(list(kinds)), min_size=1, max_size=3))
    unit = draw(st.sampled_from([1.0, 2.0**-10, 2.0**10])) * case.units[i % len(case.units)]
    return np.column_stack([kinds[kind] * unit for kind in chosen])


@examples(120)
@given(cases(penalties=["none"]), st.data())
def test_columns_that_others_determine_change_nothing(case, data):
    added = data.draw(determined(case))
    places = data.draw(st.permutations(range(case.X.shape[1] + added.shape[1])))
    X = np.column_stack([case.X, added])[:, places]

    assert_same(case, Written(replace(case, X=X, units=np.ones(1)), columns=None))


@examples(60)
@given(cases(penalties=["none"], intercept=True, soft=True), st.integers(2, 8), st.integers(0, 2**16))
def test_the_last_level_of_a_factor_is_determined_by_the_others(case, n_levels, seed):
    """All levels sum to the column of ones."""
    level = np.random.default_rng(seed).integers(0, n_levels, len(case.X))
    block = np.eye(n_levels)[level]
    dropped, full = (
        replace(case, X=np.column_stack([case.X, each]), units=np.ones(1)) for each in (block[:, 1:], block)
    )

    assert_same(dropped, Written(full, columns=None))


@examples(60)
@given(
    cases(penalties=["none"], intercept=True, soft=True),
    st.integers(2, 8),
    st.integers(0, 2**16),
    st.sampled_from([1.0, 2.0**-10, 2.0**10]),
)
def test_the_last_of_shares_that_have_a_sum_is_determined_by_the_others(case, n_parts, seed, unit):
    """Whole numbers of parts of 1024."""
    parts = np.random.default_rng(seed).multinomial(1024, np.full(n_parts, 1 / n_parts), len(case.X)) * unit
    dropped, full = (
        replace(case, X=np.column_stack([case.X, each]), units=np.ones(1)) for each in (parts[:, 1:], parts)
    )

    assert_same(dropped, Written(full, columns=None))
    assert_same(full, Written(replace(full, storage="CSR"), columns=None))


@examples(40)
@given(cases(penalties=["none"]), st.integers(0, 2**16))
def test_without_a_penalty_units_change_nothing(case, seed):
    units = 2.0 ** np.random.default_rng(seed).integers(-6, 7, case.X.shape[1])

    assert_same(case, Written(replace(case, X=case.X * units, units=case.units * units), columns=None))


@examples(60)
@given(cases(penalties=["none"]))
def test_without_a_penalty_coefficients_are_of_least_norm(case):
    """Of all with the same logits: what is left of combinations of columns that are zero in every row is less
    than a thousandth, and so a millionth of the norm. float32 would hide that by its rounding.
    """
    answer = answer_of(replace(case, dtype=np.float64).fit())
    least = np.linalg.norm(needed(case, answer)[0])

    assert np.linalg.norm(answer.coef.astype(float)) <= (1 + 1e-6) * least
