"""Penalty factors are units, values of C, and columns that are left out.

Two fits of one model have logits within twice the tolerance in the Fisher metric: `cases` says how the
rounding that is allowed follows. Factors and units are powers of two, so that no number is rounded where one
is written as the other. The coefficients of one fit are not those of the other in other units, so that logits
are compared alone.

``python -m pytest tests/laws/test_laws_of_factors.py --hypothesis-profile=thorough`` tries 10,000 cases for
each law.
"""

from dataclasses import replace

import numpy as np
from cases import STORAGES, Written, cases, compared, examples, objectives_compared
from hypothesis import given
from hypothesis import strategies as st

INTEGERS = st.integers(0, 2**16)


def assert_same_model(case, here, written, there):
    """Both have converged, to the same logits and objective."""
    assert (here.solution_.reason, there.solution_.reason) == ("converged", "converged")
    apart, allowed = compared(case, here, written._replace(columns=None), there)
    assert apart <= allowed, f"logits are {apart:.3g} apart in the Fisher metric, of {allowed:.3g} allowed"
    change, allowed = objectives_compared(case, here, written, there)
    assert change <= allowed, f"objectives are {change:.3g} apart, of {allowed:.3g} allowed"


def powers(case, seed, base=2.0):
    """A factor for each feature."""
    return base ** np.random.default_rng(seed).integers(-2, 3, case.X.shape[1])


@examples(60)
@given(cases(penalties=("ridge",)), INTEGERS)
def test_a_ridge_factor_is_the_square_of_a_unit(case, seed):
    """``f w^2 = (sqrt(f) w)^2``."""
    f = powers(case, seed, 4.0)
    written = Written(replace(case, X=case.X / np.sqrt(f)))

    assert_same_model(case, case.fit(penalty_factor=f), written, written.case.fit())


@examples(40)
@given(cases(penalties=("lasso",)), INTEGERS)
def test_a_lasso_factor_is_a_unit(case, seed):
    """``f |w| = |f w|``."""
    f = powers(case, seed)
    written = Written(replace(case, X=case.X / f))

    assert_same_model(case, case.fit(penalty_factor=f), written, written.case.fit())


@examples(60)
@given(cases(penalties=("ridge", "net", "lasso")), st.sampled_from([0.25, 2.0]), st.booleans())
def test_equal_factors_are_c_divided_by_them(case, f, by_class):
    n_rows = 1 if case.targets.shape[1] == 2 else case.targets.shape[1]
    shape = (n_rows, case.X.shape[1]) if by_class else case.X.shape[1]
    written = Written(replace(case, options=case.options | {"C": case.options["C"] / f}))

    assert_same_model(case, case.fit(penalty_factor=np.full(shape, f)), written, written.case.fit())


@examples(60)
@given(cases(), INTEGERS)
def test_an_infinite_factor_is_a_column_less(case, seed):
    """At any C, without a penalty too. Its coefficients are zero to the last bit."""
    p = case.X.shape[1]
    kept = np.random.default_rng(seed).random(p) < 0.7
    kept[seed % p] = True
    here = case.fit(penalty_factor=np.where(kept, 1.0, np.inf))
    written = Written(replace(case, X=case.X[:, kept], units=case.units[kept[: len(case.units)]]))

    assert not here.coef_[:, ~kept].any()
    if case.options["C"] == np.inf and np.linalg.matrix_rank(case.X[:, kept]) == 0:
        return
    assert_same_model(case, here, written, written.case.fit())


@examples(40)
@given(cases(penalties=("none",)), st.sampled_from([0.0, 0.5, 1.0]))
def test_no_factor_but_zero_is_no_penalty(case, l1_ratio):
    p = case.X.shape[1]

    there = case.fit(C=1.0, l1_ratio=l1_ratio, penalty_factor=np.zeros(p))
    assert_same_model(case, case.fit(), Written(case), there)


@examples(60)
@given(cases(penalties=("none",)), INTEGERS, st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.1, 10.0]))
def test_columns_may_be_permuted_with_their_factors_and_stored_in_any_way(case, seed, l1_ratio, C):
    """Of problems with a maximum in any columns: some factors are zero."""
    rng = np.random.default_rng(seed)
    f = rng.choice([0.0, 0.5, 1.0, 4.0, np.inf], case.X.shape[1])
    order, options = rng.permutation(len(f)), {"C": C, "l1_ratio": l1_ratio}
    storage = rng.choice(list(STORAGES))
    units = case.units[order] if len(case.units) == len(order) else case.units
    written = Written(replace(case, X=case.X[:, order], storage=str(storage), units=units))

    here, there = case.fit(penalty_factor=f, **options), written.case.fit(penalty_factor=f[order], **options)
    assert_same_model(case, here, written, there)


@examples(40)
@given(cases(penalties=("none",)), INTEGERS, st.sampled_from([0.0, 0.5]), st.booleans())
def test_classes_may_be_permuted_with_the_rows_of_their_factors(case, seed, l1_ratio, holds):
    """Also where a coefficient of one class is held at zero."""
    rng, n_classes = np.random.default_rng(seed), case.targets.shape[1]
    shape = (1 if n_classes == 2 else n_classes, case.X.shape[1])
    f = rng.choice([0.5, 1.0, 4.0, np.inf] if holds else [0.5, 1.0, 4.0], shape)
    names = rng.permutation(n_classes)
    y = names[case.y] if case.y.ndim == 1 else case.y[:, np.argsort(names)]
    moved = f if n_classes == 2 else f[np.argsort(names)]
    written = Written(replace(case, y=y), classes=names)

    here = case.fit(penalty_factor=f, C=1.0, l1_ratio=l1_ratio)
    there = written.case.fit(penalty_factor=moved, C=1.0, l1_ratio=l1_ratio)
    assert_same_model(case, here, written, there)
    assert not here.coef_[np.isinf(f)].any()
