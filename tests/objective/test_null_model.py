"""The model without features: what its intercepts solve, and what it says of the rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, special

from smreg.data.matrix import MatrixRows
from smreg.data.targets import Targets
from smreg.objective.null_model import null_model

EPS = np.finfo(float).eps


def made(seed, n_classes, size, *, soft=False, offset=True, n=60):
    """Rows with weights that sum to one, some of which are zero, and the mean target, which is positive."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % n_classes)
    y[: n // 2] = 0  # unequal classes
    targets = rng.dirichlet(np.ones(n_classes), n) if soft else y
    weights = rng.integers(0, 3, n) + 0.0
    weights[n // 2 :] += 1.0
    weights /= weights.sum()
    known = size * rng.normal(size=(n, n_classes)) if offset else None
    rows = MatrixRows(np.zeros((n, 1)), Targets(np.arange(n_classes), targets), weights, offset=known)
    t = targets if soft else np.eye(n_classes)[y]
    return rows, t, weights @ t


@settings(max_examples=60)
@given(
    st.integers(0, 2**16),
    st.integers(2, 6),
    st.sampled_from([0.0, 1.0, 10.0, 1e3, 1e5]),
    st.booleans(),
    st.booleans(),
)
def test_intercepts_give_every_class_its_share(seed, n_classes, size, soft, fit_intercept):
    """Mean probabilities are the priors: the decrement is at most 2**-20, and a share off by half of it, the
    root of its variance at most. Unless rows are all certain, which makes steps long, another one squares it.
    Without intercepts there is nothing to be fitted. Logits of a size are rounded to EPS of it."""
    rows, t, priors = made(seed, n_classes, size, soft=soft)
    model = null_model(rows, priors, fit_intercept)
    log_p = special.log_softmax(rows.offset + model.intercept, axis=1)
    p, s = np.exp(log_p), rows.weights
    information = np.einsum("i,ik,kl->kl", s, p, np.eye(n_classes)) - np.einsum("i,ik,il->kl", s, p, p)
    rounding = 100 * EPS * max(size, 1.0)

    if fit_intercept:
        off = 2.0**-38 if size <= 10 else 2.0**-21
        assert_allclose(model.probabilities, priors, rtol=0, atol=off + rounding)
    else:
        assert_array_equal(model.intercept, 0.0)
    assert_allclose(model.probabilities, s @ p, rtol=0, atol=rounding)
    assert_allclose(model.information, information, rtol=0, atol=rounding)
    assert_allclose(model.value, -s @ (t * log_p).sum(axis=1), rtol=100 * EPS, atol=rounding)


def test_intercepts_may_be_anywhere_in_an_interval_where_rows_are_certain():
    """All but one in 1e200 are, and a share of classes that rows have exactly has no curvature."""
    targets, offset = np.array([0, 0, 1, 1]), np.column_stack([np.zeros(4), [-3e3, -1e3, 1e3, 3e3]])
    rows = MatrixRows(np.zeros((4, 1)), Targets(np.arange(2), targets), np.full(4, 0.25), offset=offset)
    model = null_model(rows, np.array([0.5, 0.5]), True)

    assert_array_equal(model.probabilities, 0.5)
    assert model.value == pytest.approx(0.0, abs=1e-200)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_offsets_of_zero_are_as_good_as_none(n_classes, fit_intercept):
    rows, _, priors = made(0, n_classes, 0.0)
    without, _, _ = made(0, n_classes, 0.0, offset=False)
    fitted, closed = (null_model(each, priors, fit_intercept) for each in (rows, without))

    centred = closed.intercept - closed.intercept.mean()
    assert_allclose(fitted.intercept - fitted.intercept.mean(), centred, rtol=0, atol=1e-14)
    for name in ("probabilities", "information", "value"):
        assert_allclose(getattr(fitted, name), getattr(closed, name), rtol=0, atol=1e-14)


@pytest.mark.parametrize("storage", [np.asarray, np.asfortranarray, sparse.csr_array])
def test_features_have_no_part_in_it(storage):
    """Nor their storage, and whether X is at hand: an edited store has only passes."""
    rows, _, priors = made(1, 3, 2.0)
    X = storage(np.random.default_rng(0).normal(size=(60, 4)))
    stored = rows.replaced(X)
    edited = super(MatrixRows, stored).edited(_as_they_are, 3)
    assert edited.in_memory is None
    assert edited.has_offset

    expected = null_model(rows, priors, True)
    for each in (stored, edited, stored.shifted(np.ones(4))):
        model = null_model(each, priors, True)
        assert_allclose(model.intercept, expected.intercept, rtol=0, atol=1e-13)
        assert model.value == pytest.approx(expected.value, rel=1e-14)


def _as_they_are(block):
    return block


@pytest.mark.parametrize("size", [1e9, 1e15, 1e300])
def test_offsets_beyond_what_rounding_resolves_end_the_search(size):
    """In no more passes than a hundred steps with line searches take; all numbers are finite."""
    rows, _, priors = made(2, 3, size)
    passes = 0
    of_blocks = MatrixRows.map_reduce

    def counted(self, *arguments, **hints):
        nonlocal passes
        passes += 1
        return of_blocks(self, *arguments, **hints)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MatrixRows, "map_reduce", counted)
        model = null_model(rows, priors, True)

    assert passes < 1000
    assert np.isfinite(model.intercept).all()
    assert np.isfinite(model.information).all()
    assert np.isfinite(model.value)
