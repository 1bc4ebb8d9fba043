"""Measures of calibration against definitions, closed forms and scikit-learn; and what is not accepted."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from memory import peak_of
from numpy.testing import assert_allclose, assert_array_equal
from problems import labels
from scipy import stats
from sklearn.base import clone
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_iris
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from threadpoolctl import threadpool_limits

import smreg.metrics
from smreg import SoftmaxRegression, softmax
from smreg.metrics import (
    bootstrap_interval,
    calibration_decomposition,
    calibration_error,
    neg_calibration_error_scorer,
    neg_classwise_calibration_error_scorer,
    neg_cross_entropy_scorer,
    neg_smooth_calibration_error_scorer,
    reliability_table,
    smooth_calibration_error,
)

KINDS = ["confidence", "classwise"]
ROUNDING = 1e-12  # of sums of some hundred terms that are at most one


def predictions(rng, n=300, n_classes=4):
    """Over-confident probabilities and labels."""
    z = rng.normal(size=(n, n_classes))
    return labels(z, rng), softmax(2 * z)


def by_definition(y, p, kind, edges, norm, weights, soft=False):
    """The error as a sum over bins, one by one."""
    t = y if soft else np.eye(p.shape[1])[y]
    if kind == "confidence":
        best = p.argmax(axis=1)
        p, t = p.max(axis=1)[:, np.newaxis], t[np.arange(len(t)), best][:, np.newaxis]
    terms, shares = [], []
    for f, hit in zip(p.T, t.T, strict=True):
        for b, (left, right) in enumerate(itertools.pairwise(edges)):
            inside = (f <= right) & ((f > left) | (b == 0))
            if weights[inside].sum() > 0:
                mean = np.average(f[inside], weights=weights[inside])
                terms.append(abs(np.average(hit[inside], weights=weights[inside]) - mean))
                shares.append(weights[inside].sum() / weights.sum() / p.shape[1])
    return max(terms) if norm == np.inf else np.dot(shares, np.power(terms, norm)) ** (1 / norm)


@pytest.mark.parametrize("norm", [1, 2, np.inf])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("n_bins", [1, 7, 15])
def test_the_error_is_its_definition(rng, norm, kind, soft, n_bins):
    y, p = predictions(rng)
    y = softmax(rng.normal(size=p.shape)) if soft else y
    weights = rng.integers(0, 3, len(p)) + 0.5
    edges = np.linspace(0, 1, n_bins + 1)
    error = calibration_error(y, p, kind=kind, n_bins=n_bins, norm=norm, sample_weight=weights)

    assert error == pytest.approx(by_definition(y, p, kind, edges, norm, weights, soft), abs=ROUNDING)


@pytest.mark.parametrize("kind", KINDS)
def test_given_edges_are_taken(rng, kind):
    y, p = predictions(rng)
    edges = [-1.0, 0.1, 0.15, 0.9, 2.0]

    assert calibration_error(y, p, kind=kind, edges=edges) == pytest.approx(
        by_definition(y, p, kind, edges, 1, np.ones(len(y))), abs=ROUNDING
    )


def test_edges_of_equal_width_are_no_other_bins(rng):
    y, p = predictions(rng)

    pd.testing.assert_frame_equal(
        reliability_table(y, p, kind="classwise", n_bins=9),
        reliability_table(y, p, kind="classwise", edges=np.linspace(0, 1, 10)),
        rtol=ROUNDING,
    )


@given(n_bins=st.integers(1, 40), seed=st.integers(0, 1000))
def test_a_probability_at_an_edge_or_next_to_it_is_in_its_bin(n_bins, seed):
    """Right-closed, the first one on both sides: what `searchsorted` says of all edges, their neighbours and
    numbers between, of either precision."""
    edges = np.linspace(0, 1, n_bins + 1)
    p = np.concatenate([edges, np.nextafter(edges, 0), np.nextafter(edges, 1)])
    p = np.concatenate([p, p.astype(np.float32), np.random.default_rng(seed).uniform(size=50)])
    p = p[p <= 1]
    table = reliability_table(np.arange(len(p)) % 2, p, kind="classwise", n_bins=n_bins)

    expected = np.bincount(np.searchsorted(edges[1:-1], p), minlength=n_bins)
    assert_array_equal(table["count"][table["class"] == 1], expected)


@pytest.mark.parametrize("n_bins", [1, 4, 10, 15])
def test_two_classes_agree_with_scikit_learns_calibration_curve(rng, n_bins):
    p = np.concatenate([rng.beta(0.5, 0.5, size=300), np.linspace(0, 1, 21), [0.0, 1.0]])
    y = rng.uniform(size=len(p)) < p**2
    frequency, mean = calibration_curve(y, p, n_bins=n_bins)
    table = reliability_table(y, p, kind="classwise", n_bins=n_bins)
    second = table[table["class"] & (table["count"] > 0)]

    assert_allclose(second["accuracy"], frequency, rtol=ROUNDING)
    assert_allclose(second["confidence"], mean, rtol=ROUNDING)


@pytest.mark.parametrize("n_bins", [1, 4, 12])
def test_equal_mass_agrees_with_scikit_learn_where_bins_divide_the_samples(rng, n_bins):
    """Otherwise their linear interpolation may put an edge a sample further."""
    p = rng.uniform(size=300)
    y = rng.uniform(size=300) < p**2
    frequency, mean = calibration_curve(y, p, n_bins=n_bins, strategy="quantile")
    table = reliability_table(y, p, kind="classwise", n_bins=n_bins, strategy="quantile")
    second = table[table["class"]]

    assert (second["count"] == 300 / n_bins).all()
    assert_allclose(second["accuracy"], frequency, rtol=ROUNDING)
    assert_allclose(second["confidence"], mean, rtol=ROUNDING)


def distinct(rng, n):
    """Two columns of n distinct probabilities, all exact."""
    p = rng.choice(2**20, size=n, replace=False) / 2**20
    return np.column_stack([1 - p, p])


@given(
    n=st.integers(2, 60),
    n_bins=st.integers(1, 70),
    weight=st.sampled_from([None, 1.0, 7.0, 1 / 3, 0.1, 1e-30]),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 99),
)
@example(n=10, n_bins=5, weight=None, kind="classwise", seed=0)  # 3 / 5 times 10 is rounded up to more than 6
@pytest.mark.filterwarnings("ignore:sample_weight sums to")
def test_bins_of_equal_mass_differ_by_at_most_one_sample(n, n_bins, weight, kind, seed):
    """Where weights are equal. Counts are sums of weights, rounded by far less than a sixtieth of one."""
    p = distinct(np.random.default_rng(seed), n)
    y, weights = np.arange(n) % 2, None if weight is None else np.full(n, weight)
    table = reliability_table(y, p, kind=kind, n_bins=n_bins, strategy="quantile", sample_weight=weights)
    counts = table["count"].to_numpy().reshape(-1, n_bins) / (weight or 1)

    assert (np.ptp(counts, axis=1) < 1 + 1 / 60).all()


def test_the_bins_of_equal_mass_of_ten_samples_are_pairs():
    p = np.linspace(0.05, 0.95, 10)
    table = reliability_table([0, 1] * 5, p, kind="classwise", n_bins=5, strategy="quantile")

    assert table["count"].tolist() == [2] * 10


@given(
    p=hnp.arrays(int, 30, elements=st.integers(0, 8)),
    weights=hnp.arrays(int, 30, elements=st.integers(0, 3)).filter(np.any),
    n_bins=st.integers(1, 20),
    scale=st.sampled_from([1, 4, 1 / 3, 0.1]),
)
@pytest.mark.filterwarnings("ignore:sample_weight sums to")
def test_bins_of_equal_mass_are_the_inverse_of_the_distribution_function(p, weights, n_bins, scale):
    """An edge is the least probability that b / B of the weight do not exceed, in fractions of integers:
    ties are in one bin, whatever weights are multiplied by."""
    y, f = np.arange(30) % 2, p / 8
    table = reliability_table(
        y, f, kind="classwise", n_bins=n_bins, strategy="quantile", sample_weight=scale * weights
    )
    table = table[table["class"] == 1]
    total = int(weights.sum())
    edges = [min(v for v in f if n_bins * int(weights[f <= v].sum()) >= b * total) for b in range(1, n_bins)]

    assert table["right"].tolist() == [*edges, 1.0]
    inside = [weights[np.searchsorted(edges, f) == b].sum() for b in range(n_bins)]
    assert_allclose(table["count"], np.multiply(inside, scale), rtol=ROUNDING)


def test_bins_of_equal_mass_and_equal_probabilities_may_be_empty():
    table = reliability_table([0, 1, 0, 1], [0.7] * 4, n_bins=3, strategy="quantile")

    assert table["count"].tolist() == [4, 0, 0]
    assert table.loc[1:, ["confidence", "accuracy", "low", "high"]].isna().all(axis=None)


def test_the_class_wise_code_of_kull_and_others_is_a_choice_of_edges(rng):
    """As published: `digitize`, left-closed bins, the probability 1 in its own; summed over classes."""
    y, p = predictions(rng)
    p[:20] = np.eye(4)[rng.integers(0, 4, 20)]
    p[20:30] = [1 / 14, 13 / 14, 0, 0]
    left_closed = np.append(np.nextafter(np.linspace(0, 1, 15), -1), 1)
    published = 0.0
    for k in range(4):
        bins = np.digitize(p[:, k], np.linspace(0, 1, 15))
        for b in np.unique(bins):
            inside = bins == b
            published += abs((y[inside] == k).mean() - p[inside, k].mean()) * inside.mean()

    assert 4 * calibration_error(y, p, kind="classwise", edges=left_closed) == pytest.approx(
        published, abs=ROUNDING
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("measure", [calibration_error, smooth_calibration_error])
def test_targets_that_are_the_probabilities_have_no_error(rng, measure, kind):
    _, p = predictions(rng)

    assert measure(p, p, kind=kind) == pytest.approx(0, abs=ROUNDING)


@given(seed=st.integers(0, 1000), kind=st.sampled_from(KINDS), norm=st.sampled_from([1, 2, np.inf]))
@example(seed=68, kind="classwise", norm=1)  # shares that sum to more than one
def test_certainty_that_is_wrong_has_an_error_of_one_and_no_more(seed, kind, norm):
    """Shares of random weights sum to one but for rounding."""
    predicted, weights = np.arange(30) % 2, np.random.default_rng(seed).uniform(size=30)
    error = calibration_error(
        1 - predicted, np.eye(2)[predicted], kind=kind, norm=norm, sample_weight=weights
    )

    assert error <= 1
    assert error == pytest.approx(1, abs=ROUNDING)


@pytest.mark.parametrize("norm", [1, 2, np.inf])
def test_a_known_shift_is_the_error(rng, norm):
    """The second class is predicted by 0.1 too seldom everywhere: so in each bin of either class."""
    p = rng.uniform(0, 0.9, size=500)
    y = np.column_stack([0.9 - p, p + 0.1])

    assert calibration_error(y, p, kind="classwise", norm=norm) == pytest.approx(0.1, abs=ROUNDING)


def test_a_calibrated_bin_adds_nothing_to_the_debiased_square_in_expectation():
    """Over the number of ten samples that are right, as it is likely to be at their confidence of 0.75;
    beside them are thirty, all wrong, at 0.95, so that no sum is negative."""
    p = np.repeat([0.75, 0.95], [10, 30])
    expectation = 0.0
    for k in range(11):
        right = np.concatenate([np.arange(10) < k, np.zeros(30, bool)])
        error = calibration_error(right.astype(int), p, norm=2, debias=True, n_bins=10)
        expectation += stats.binom.pmf(k, 10, 0.75) * error**2

    assert expectation == pytest.approx(0.75 * 0.95**2, abs=ROUNDING)


@pytest.mark.parametrize("q", [0.0, 0.3, 0.8, 1.0])
def test_the_debiased_square_has_the_true_square_as_its_expectation(q):
    """Over all outcomes of five samples that are predicted with certainty and right with probability q, where
    the sum is never negative: ``(1 - f) (1 - f - f / 4)`` with f in fifths."""
    p = np.tile([1.0, 0.0], (5, 1))
    expectation = 0.0
    for wrong in itertools.product([0, 1], repeat=5):
        probability = (1 - q) ** sum(wrong) * q ** (5 - sum(wrong))
        error = calibration_error(wrong, p, norm=2, debias=True, classes=[0, 1])
        expectation += probability * error**2

    assert expectation == pytest.approx((1 - q) ** 2, abs=ROUNDING)


def test_a_negative_debiased_sum_and_a_bin_of_one_sample_count_as_zero():
    assert calibration_error([1, 0], [0.5, 0.5], norm=2, debias=True) == 0
    assert calibration_error([0, 1], [0.6, 0.95], norm=2, debias=True, n_bins=10) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_norms_are_ordered(rng, kind, strategy):
    """Means of powers over the same shares (Jensen)."""
    y, p = predictions(rng)
    errors = [calibration_error(y, p, kind=kind, strategy=strategy, norm=q) for q in (1, 2, np.inf)]

    assert errors == sorted(errors)


MEASURES = {
    "confidence": calibration_error,
    "classwise": lambda y, p, **k: calibration_error(y, p, kind="classwise", **k),
    "equal mass": lambda y, p, **k: calibration_error(y, p, kind="classwise", strategy="quantile", **k),
    "debiased": lambda y, p, **k: calibration_error(y, p, norm=2, debias=True, **k),
    "smooth": smooth_calibration_error,
    "smooth classwise": lambda y, p, **k: smooth_calibration_error(y, p, kind="classwise", **k),
    "log loss calibration": lambda y, p, **k: calibration_decomposition(y, p, **k).calibration,
    "brier within": lambda y, p, **k: calibration_decomposition(y, p, score="brier", **k).within,
}
all_measures = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)


@all_measures
def test_permuting_and_renaming_classes_changes_nothing(rng, measure):
    """But the order of sums, and for the smooth error its root, which is solved for 1e-10."""
    y, p = predictions(rng)
    order = np.array([2, 0, 3, 1])
    names = np.array(["b", "d", "a", "c"])
    value = pytest.approx(measure(y, p), abs=1e-9)

    assert measure(np.argsort(order)[y], p[:, order]) == value
    assert measure(names[y], p, classes=names) == value
    assert measure(names[y], p[:, np.argsort(names)]) == value


@all_measures
def test_integer_weights_are_repetitions_of_a_sample(rng, measure):
    """But the order of sums, and for the smooth error its root, which is solved for 1e-10."""
    y, p = predictions(rng)
    weights = rng.integers(0, 4, len(y))
    repeated = np.repeat(np.arange(len(y)), weights)

    assert measure(y, p, sample_weight=weights) == pytest.approx(measure(y[repeated], p[repeated]), abs=1e-9)


@all_measures
def test_hard_soft_targets_are_labels(rng, measure):
    y, p = predictions(rng)

    assert measure(np.eye(4)[y], p) == pytest.approx(measure(y, p), abs=1e-9)


@all_measures
def test_single_precision_is_computed_in_double(rng, measure):
    y, p = predictions(rng)
    p = p.astype(np.float32)

    assert measure(y, p) == pytest.approx(measure(y, p.astype(np.float64)), abs=1e-9)


@all_measures
def test_one_column_is_the_second_class(rng, measure):
    y, p = predictions(rng, n_classes=2)

    assert measure(y, p[:, 1]) == pytest.approx(measure(y, p), abs=1e-9)
    assert measure(y == 1, p[:, [1]]) == pytest.approx(measure(y, p), abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_may_lack_classes(rng, kind):
    y, p = predictions(rng)
    p, y = p[y < 2], y[y < 2]
    names = np.array(["a", "b", "c", "d"])

    expected = calibration_error(np.eye(4)[y], p, kind=kind)
    assert calibration_error(y, p, kind=kind) == pytest.approx(expected, abs=ROUNDING)
    assert calibration_error(names[y], p, kind=kind, classes=names) == pytest.approx(expected, abs=ROUNDING)


NUMBERED = {  # labels of columns 0 to 3, of which a sample of the second is left out
    "0": [np.array([0, 1, 2, 3]), True],
    "unsigned": [np.array([0, 1, 2, 3], dtype=np.uint8), True],
    "integers in float": [np.array([0.0, 1.0, 2.0, 3.0]), True],
    "1": [np.array([1, 2, 3, 4]), False],
    "1, unsigned": [np.array([1, 2, 3, 4], dtype=np.uint64), False],
    "1, in float": [np.array([1.0, 2.0, 3.0, 4.0]), False],
    "around zero": [np.array([-1, 0, 1, 2]), False],
    "names": [np.array(["a", "b", "c", "d"]), False],
    "digits": [np.array(["0", "1", "2", "3"]), False],
}


@all_measures
@pytest.mark.parametrize(("names", "numbers"), NUMBERED.values(), ids=NUMBERED)
def test_only_numbers_from_zero_are_column_numbers_where_one_has_no_label(rng, measure, names, numbers):
    """Where all columns have one, sorted labels are the columns."""
    y, p = predictions(rng)
    some = y != 1
    expected = measure(y[some], p[some], classes=range(4))

    assert measure(names[y], p) == measure(y, p)
    assert measure(names[y[some]], p[some], classes=names) == expected
    if numbers:
        assert measure(names[y[some]], p[some]) == expected
    else:
        with pytest.raises(ValueError, match=r"have 4 columns.*classes="):
            measure(names[y[some]], p[some])


@all_measures
def test_without_zero_among_the_labels_columns_are_not_guessed(rng, measure):
    """They may be 1, 2, 3 of 0 to 3, or three of 1 to 4."""
    y, p = predictions(rng)
    for lacking in (y[y != 0], np.ones(5, dtype=int)):
        with pytest.raises(ValueError, match=r"y has the classes .*have 4 columns.*classes="):
            measure(lacking, p[: len(lacking)])


@all_measures
def test_booleans_are_the_columns_of_two_and_of_no_more(rng, measure):
    y, p = predictions(rng, n_classes=2)
    for only in (0, 1):
        some = y == only
        expected = measure(y[some], p[some], classes=[0, 1])
        assert measure(y[some] == 1, p[some]) == expected
        assert measure(y[some] == 1, p[some], classes=[False, True]) == expected
    y, p = predictions(rng, n_classes=3)
    with pytest.raises(ValueError, match=r"have 3 columns.*classes="):
        measure(y == 1, p)


COUNTING = {
    "debiased": lambda y, p, s: calibration_error(y, p, norm=2, debias=True, sample_weight=s),
    "debiased, as scorer": lambda y, p, s: clone(neg_calibration_error_scorer).set_params(
        options={"norm": 2, "debias": True}
    )(Given(p), p, y, s),
    "intervals": lambda y, p, s: reliability_table(y, p, sample_weight=s),
    "debiased, in the bootstrap": lambda y, p, s: bootstrap_interval(
        calibration_error, y, p, n_resamples=5, norm=2, debias=True, sample_weight=s
    ),
}
counting = pytest.mark.parametrize("measure", COUNTING.values(), ids=COUNTING)


class Given:
    """A classifier whose probabilities are given."""

    def __init__(self, p):
        self.p, self.classes_ = p, np.arange(p.shape[1])

    def predict_proba(self, X):
        """Whatever X is."""
        return self.p


NO_FREQUENCIES = {
    "sum to one": lambda rng: np.full(300, 1 / 300),
    "sum to one, unequal": lambda rng: rng.dirichlet(np.ones(300)),
    "below one": lambda rng: rng.uniform(size=300),
    "a few, that sum to one": lambda rng: np.append([0.9, 0.1], np.zeros(298)),
    "almost ones": lambda rng: np.full(300, 0.99),
    "classes": lambda rng: rng.choice([0.1, 1.0], size=300),
}
FREQUENCIES = {
    "none": lambda rng: None,
    "ones": lambda rng: np.ones(300),
    "integers": lambda rng: rng.integers(0, 4, 300),
    "bootstrap": lambda rng: np.bincount(rng.integers(0, 300, 300), minlength=300),
    "mask": lambda rng: rng.integers(0, 2, 300) == 1,
    "of mean one": lambda rng: rng.exponential(size=300),
    "mean one, normalised": lambda rng: 300 * rng.dirichlet(np.ones(300)),
    "mean one, in single precision": lambda rng: (300 * rng.dirichlet(np.ones(300))).astype(np.float32),
    "larger": lambda rng: rng.uniform(1, 3, size=300),
    "one of almost none": lambda rng: np.append(np.ones(299), 1e-200),
}


@counting
@pytest.mark.parametrize("weights", NO_FREQUENCIES.values(), ids=NO_FREQUENCIES)
def test_weights_that_count_no_samples_are_warned_of_once(rng, measure, weights):
    y, p = predictions(rng)
    with pytest.warns(UserWarning, match=r"sample_weight sums to .*frequency.*sampling") as caught:
        measure(y, p, weights(rng))

    assert len(caught) == 1


@counting
@pytest.mark.parametrize("weights", FREQUENCIES.values(), ids=FREQUENCIES)
def test_weights_that_may_count_samples_are_taken_in_silence(rng, measure, weights):
    """Warnings are errors. Weights of mean one fall short of the samples by chance alone."""
    y, p = predictions(rng)

    measure(y, p, weights(rng))


def test_the_advice_on_weights_that_count_no_samples_helps(rng):
    """Equal weights are then ones, but for rounding."""
    y, p = predictions(rng)
    weights = np.full(300, 0.1) / np.full(300, 0.1).mean()

    assert COUNTING["debiased"](y, p, weights) == pytest.approx(COUNTING["debiased"](y, p, None), abs=1e-9)
    pd.testing.assert_frame_equal(
        COUNTING["intervals"](y, p, weights),
        COUNTING["intervals"](y, p, None),
        check_dtype=False,
        rtol=ROUNDING,
    )


@all_measures
def test_where_nothing_counts_samples_all_weights_are_taken_in_silence(rng, measure):
    """But for the debiased error, which counts; multiples are equal but for rounding."""
    y, p = predictions(rng)
    if measure is not MEASURES["debiased"]:
        weights = rng.dirichlet(np.ones(len(y)))
        assert measure(y, p, sample_weight=weights) == pytest.approx(
            measure(y, p, sample_weight=1000 * weights), abs=1e-9
        )


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_has_the_sums_that_make_the_error(rng, kind):
    y, p = predictions(rng)
    table = reliability_table(y, p, kind=kind)
    gap = (table["accuracy"] - table["confidence"]).abs().fillna(0)

    assert table["count"].sum() == (len(y) if kind == "confidence" else 4 * len(y))
    assert np.average(gap, weights=table["count"]) == pytest.approx(
        calibration_error(y, p, kind=kind), abs=ROUNDING
    )


def test_the_tables_columns_are_bins_edges_means_and_interval(rng):
    y, p = predictions(rng)
    table = reliability_table(np.array(list("abcd"))[y], p, kind="classwise", n_bins=5)

    assert list(table) == ["class", "bin", "left", "right", "count", "confidence", "accuracy", "low", "high"]
    assert table["class"].tolist() == list("aaaaabbbbbcccccddddd")
    assert table["bin"].tolist() == list(range(5)) * 4
    assert table["count"].dtype == np.int64
    assert_array_equal(table["left"][1:5], table["right"][:4])
    full = table[table["count"] > 0]
    assert full["confidence"].between(full["left"], full["right"]).all()
    assert full["accuracy"].between(full["low"], full["high"]).all()


def test_the_tables_interval_is_wilsons(rng):
    """As SciPy has it: rounding."""
    y, p = predictions(rng)
    table = reliability_table(y, p)
    table = table[table["count"] > 0]
    hits = (table["accuracy"] * table["count"]).round().astype(int)
    for (low, high), k, n in zip(table[["low", "high"]].to_numpy(), hits, table["count"], strict=True):
        wilson = stats.binomtest(k, n).proportion_ci(method="wilson")
        assert (low, high) == pytest.approx(wilson, abs=ROUNDING)


def smoothed_by_definition(f, residual, width):
    """``int |sum r_i K(t, f_i)| dt``, the kernel as a sum over mirror images, by the trapezoidal rule."""
    t = np.linspace(0, 1, 20_001)[:, np.newaxis]
    images = [2 * k + sign * f for k in range(-3, 4) for sign in (1, -1)]
    kernel = sum(stats.norm.pdf(t, image, width) for image in images)
    return np.trapezoid(np.abs(kernel @ residual), t[:, 0])


def test_the_smooth_error_equals_the_width_that_it_is_smoothed_by():
    """By its definition, to the grid's ``1 / (8 sigma 2^28)`` below 1e-8 and to the rule's spacing squared,
    where the residual changes sign."""
    rng = np.random.default_rng(3)
    f = rng.beta(0.7, 0.5, size=60)
    y = (rng.uniform(size=60) < f**2).astype(float)
    error = smooth_calibration_error(np.column_stack([1 - y, y]), f, kind="classwise")

    assert 0.02 < error < 0.5
    assert smoothed_by_definition(f, (y - f) / 60, error) == pytest.approx(error, abs=1e-7)


@given(
    p=st.floats(0, 1),
    q=st.floats(0, 1),
)
@example(p=0.0, q=2.0**-14)
def test_the_smooth_error_of_one_prediction_is_its_distance_from_the_truth(p, q):
    """All mass is of one sign, and the kernel is a density: but for the modes that the grid does not have, of
    which the first has ``exp(-(pi width 2^14)^2 / 2)`` of its weight."""
    distance = abs(p - q)
    error = smooth_calibration_error([[1 - q, q]], [p], kind="classwise")

    missing = 2 * np.exp(-((np.pi * distance * 2**14) ** 2) / 2)
    assert error == pytest.approx(distance, abs=1e-9 + missing * distance)


@pytest.mark.parametrize("n", [1, 7, 20, 40, 50, 100, 1000])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("right", [0, 1])
def test_the_smooth_error_of_certainty_is_zero_or_one(n, kind, right):
    """Weights of 1 / n sum to one but for rounding, which may be to more than one."""
    y, p = np.full(n, right), np.tile([0.0, 1.0], (n, 1))

    assert smooth_calibration_error(y, p, kind=kind, classes=[0, 1]) == pytest.approx(1 - right, abs=1e-9)
    assert smooth_calibration_error(y, p, kind=kind, classes=[0, 1]) <= 1


@given(
    p=hnp.arrays(float, (9, 2), elements=st.sampled_from([0.0, 1e-300, 1e-9, 0.5, 1 - 2.0**-53, 1.0])),
    seed=st.integers(0, 99),
    weight=st.sampled_from([1e-320, 1.0, 1e308]),
    kind=st.sampled_from(KINDS),
)
def test_the_smooth_error_is_from_zero_to_one(p, seed, weight, kind):
    p[:, 1] = 1 - p[:, 0]
    y = np.random.default_rng(seed).integers(0, 2, 9)
    error = smooth_calibration_error(y, p, kind=kind, classes=[0, 1], sample_weight=np.full(9, weight))

    assert 0 <= error <= 1


def test_the_smooth_error_is_continuous_where_the_error_in_bins_is_not():
    """Two predictions near an edge, one right, one wrong: moved by 2e-6 they part company. They are within
    2e-6 of calibration, and the smooth error is at most twice the root of that distance."""
    y = [1, 0]
    below, across = [0.5 - 1e-6, 0.5 - 2e-6], [0.5 - 1e-6, 0.5 + 1e-6]
    binned = [calibration_error(y, p, kind="classwise", n_bins=2) for p in (below, across)]
    smooth = [smooth_calibration_error(y, p, kind="classwise") for p in (below, across)]

    assert binned[1] - binned[0] > 0.4
    assert max(smooth) <= 2 * np.sqrt(2e-6)


@pytest.mark.parametrize("score", ["log_loss", "brier"])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_the_decomposition_sums_to_scikit_learns_score(rng, score, n_classes):
    y, p = predictions(rng, n_classes=n_classes)
    weights = rng.uniform(size=len(y))
    parts = calibration_decomposition(y, p, score=score, sample_weight=weights)
    theirs = (
        log_loss(y, p, sample_weight=weights)
        if score == "log_loss"
        else brier_score_loss(y, p, sample_weight=weights, scale_by_half=False)
    )

    assert parts.score == pytest.approx(theirs, rel=ROUNDING)
    assert parts.calibration + parts.refinement + parts.within == pytest.approx(parts.score, rel=1e-15)
    assert parts.uncertainty - parts.resolution == pytest.approx(parts.refinement, rel=ROUNDING)


@pytest.mark.parametrize("score", ["log_loss", "brier"])
def test_the_decomposition_of_soft_targets_is_that_of_labels_drawn_from_them(rng, score):
    _, p = predictions(rng, n=60)
    t = softmax(rng.normal(size=p.shape))
    each = np.repeat(np.arange(60), 4)
    soft = calibration_decomposition(t, p, score=score)
    drawn = calibration_decomposition(
        np.tile(np.arange(4), 60), p[each], score=score, sample_weight=t.ravel()
    )

    for part in ("score", "calibration", "refinement", "within", "uncertainty", "resolution"):
        assert getattr(soft, part) == pytest.approx(getattr(drawn, part), abs=ROUNDING)


def test_the_binary_brier_score_has_murphys_reliability_and_resolution(rng):
    """``sum_b w_b (f_b - p_b)^2`` and ``sum_b w_b (f_b - f)^2`` over bins of the probability, twice: for
    either class. An even number of bins keeps the predicted class apart."""
    p = rng.uniform(size=400)
    y = rng.uniform(size=400) < p**2
    parts = calibration_decomposition(y, p, score="brier", n_bins=20)
    bins = np.searchsorted(np.linspace(0, 1, 21)[1:-1], np.maximum(p, 1 - p)) + 20 * (p > 0.5)
    table = pd.DataFrame({"p": p, "y": y.astype(float)}).groupby(bins).agg(["mean", "size"])
    share, frequency, mean = table["p", "size"] / 400, table["y", "mean"], table["p", "mean"]

    assert parts.calibration == pytest.approx(2 * share @ (frequency - mean) ** 2, abs=ROUNDING)
    assert parts.resolution == pytest.approx(2 * share @ (frequency - y.mean()) ** 2, abs=ROUNDING)
    assert parts.uncertainty == pytest.approx(2 * y.mean() * (1 - y.mean()), abs=ROUNDING)


@pytest.mark.parametrize("score", ["log_loss", "brier"])
def test_constant_predictions_have_no_resolution_and_nothing_within(score):
    parts = calibration_decomposition([0, 1, 1, 1], [0.6] * 4, score=score)

    assert parts.resolution == pytest.approx(0, abs=1e-15)
    assert parts.within == pytest.approx(0, abs=1e-15)
    assert parts.calibration > 0


def test_a_true_class_of_probability_zero_is_infinite_where_it_lies():
    whole_group = calibration_decomposition([0, 1], [[1.0, 0.0], [1.0, 0.0]])
    one_of_two = calibration_decomposition([0, 1], [[0.99, 0.01], [1.0, 0.0]])

    assert (whole_group.score, whole_group.calibration, whole_group.within) == (np.inf, np.inf, 0.0)
    assert (one_of_two.score, one_of_two.within) == (np.inf, np.inf)
    assert 0 < one_of_two.calibration < np.inf


@given(p=hnp.arrays(float, (12, 3), elements=st.floats(0, 1)), seed=st.integers(0, 99))
def test_all_parts_but_within_are_never_negative(p, seed):
    """But for rounding."""
    p = (p + 1e-9) / (p + 1e-9).sum(axis=1, keepdims=True)
    y = np.random.default_rng(seed).integers(0, 3, 12)
    for score in ("log_loss", "brier"):
        parts = calibration_decomposition(y, p, score=score, n_bins=4, classes=[0, 1, 2])
        assert min(parts.calibration, parts.refinement, parts.resolution) >= -1e-14


def test_the_bootstraps_standard_error_of_a_mean_is_the_formula(rng):
    """Root of variance / n, known from 2000 resamples to ``1 / sqrt(4000)``; four of those are allowed."""
    y, p = predictions(rng)
    losses = -np.log(p[np.arange(len(y)), y])

    def mean_loss(y, p, sample_weight):
        return losses.mean() if sample_weight is None else sample_weight @ losses / sample_weight.sum()

    interval = bootstrap_interval(mean_loss, y, p, n_resamples=2000)

    assert interval.estimate == pytest.approx(losses.mean(), rel=ROUNDING)
    assert interval.standard_error == pytest.approx(losses.std() / np.sqrt(len(y)), rel=4 / np.sqrt(4000))
    assert interval.low < interval.estimate < interval.high


def test_the_bootstrap_is_its_seed(rng):
    y, p = predictions(rng, n=50)
    options = {"n_resamples": 20, "n_bins": 5}

    one = bootstrap_interval(calibration_error, y, p, **options)
    assert bootstrap_interval(calibration_error, y, p, seed=0, **options) == one
    assert bootstrap_interval(calibration_error, y, p, seed=1, **options) != one


def test_the_bootstrap_draws_only_samples_that_have_weight(rng):
    y, p = predictions(rng, n=50)
    weights = np.repeat([1.0, 0.0], 25)
    totals = []

    def measure(y, p, sample_weight):
        totals.append((sample_weight[:25].sum(), sample_weight[25:].sum()))
        return float(sample_weight[0])

    bootstrap_interval(measure, y, p, n_resamples=5, sample_weight=weights)
    assert set(totals) == {(25, 0)}


def test_resampling_takes_the_bias_off_that_chance_adds(rng):
    """Calibrated: the estimate is nothing but chance, and the middle of the interval is smaller."""
    _, p = predictions(rng, n=2000)
    y = labels(np.log(p), rng)
    interval = bootstrap_interval(calibration_error, y, p, n_resamples=100)

    assert (interval.low + interval.high) / 2 < 0.75 * interval.estimate


SCORERS = {
    neg_calibration_error_scorer: calibration_error,
    neg_classwise_calibration_error_scorer: MEASURES["classwise"],
    neg_smooth_calibration_error_scorer: smooth_calibration_error,
}


@pytest.mark.parametrize(("scorer", "measure"), SCORERS.items())
def test_a_scorer_is_minus_its_measure_with_the_models_classes(scorer, measure):
    X, y = load_iris(return_X_y=True)
    model = SoftmaxRegression().fit(X, np.array(["a", "b", "c"])[y])
    some = y != 1

    expected = measure(y[some], model.predict_proba(X[some]))
    assert scorer(model, X[some], np.array(["a", "b", "c"])[y[some]]) == pytest.approx(
        -expected, rel=ROUNDING
    )


def test_a_scorer_takes_weights_and_options():
    X, y = load_iris(return_X_y=True)
    model, weights = SoftmaxRegression().fit(X, y), np.arange(150) % 3
    scorer = clone(neg_calibration_error_scorer).set_params(options={"n_bins": 5})

    expected = calibration_error(y, model.predict_proba(X), n_bins=5, sample_weight=weights)
    assert scorer(model, X, y, sample_weight=weights) == -expected
    assert neg_calibration_error_scorer.options is None


def test_scorers_choose_among_models():
    X, y = load_iris(return_X_y=True)
    scoring = {
        "calibration": neg_classwise_calibration_error_scorer,
        "smooth": neg_smooth_calibration_error_scorer,
        "loss": neg_cross_entropy_scorer,
    }
    search = GridSearchCV(SoftmaxRegression(), {"C": [1e-3, 1.0]}, scoring=scoring, refit="calibration")

    assert search.fit(X, y).best_params_ == {"C": 1.0}
    assert (cross_val_score(SoftmaxRegression(), X, y, scoring=neg_calibration_error_scorer) <= 0).all()


@all_measures
def test_the_number_of_threads_changes_no_bit(rng, measure):
    y, p = predictions(rng, n=3000, n_classes=50)
    with threadpool_limits(1):
        one = measure(y, p)
    with threadpool_limits(2):
        assert measure(y, p) == one


def test_probabilities_are_not_copied(rng):
    """Beside 40 MB there are vectors of n and blocks of half a MiB."""
    p = softmax(rng.normal(size=(50_000, 100)))
    y = np.arange(50_000) % 100

    assert peak_of(lambda: reliability_table(y, p, kind="classwise")) < 5 * 4e5 + 8e6


def test_the_exported_names_are_sorted_and_there():
    assert smreg.metrics.__all__ == sorted(smreg.metrics.__all__)
    assert all(hasattr(smreg.metrics, name) for name in smreg.metrics.__all__)


Y, P = [0, 1, 1], np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])


@pytest.mark.parametrize(
    "measure",
    [calibration_error, reliability_table, smooth_calibration_error, calibration_decomposition],
)
@pytest.mark.parametrize(
    ("y", "p", "options", "message"),
    [
        (Y, 3 * P, {}, r"probabilities must lie between 0 and 1.*smreg.softmax"),
        (Y, P - 0.15, {}, "probabilities must lie between 0 and 1"),
        (
            Y,
            np.where(P == 0.9, np.nan, P),
            {},
            "probabilities must lie between 0 and 1, got numbers from nan",
        ),
        (Y, P / 2, {}, "rows that sum to 1, got the sum 0.5 in row 0"),
        (Y, P[:0], {}, "0 sample"),
        (Y, P[:2], {}, "inconsistent numbers of samples"),
        ([0, 1, 2], P, {}, r"y has the classes \[0, 1, 2\], but probabilities have 2 columns"),
        (["a", "b", "c"], P, {"classes": ["a", "b"]}, r"labels \['c'\]"),
        (np.eye(3), P, {}, "a column for each of the 2 columns of probabilities"),
        (
            Y,
            P,
            {"classes": [0, 1, 2]},
            "classes must be the distinct labels of the 2 columns of probabilities",
        ),
        (Y, P, {"sample_weight": np.zeros(3)}, "sample_weight must have a positive weight"),
    ],
)
def test_bad_predictions_are_refused_by_name(measure, y, p, options, message):
    with pytest.raises(ValueError, match=message):
        measure(y, p, **options)


@pytest.mark.parametrize(
    ("measure", "options", "message"),
    [
        (calibration_error, {"n_bins": 0}, "n_bins must be an integer of at least 1, got 0"),
        (calibration_error, {"n_bins": 2.5}, "n_bins must be an integer"),
        (calibration_error, {"strategy": "kmeans"}, "strategy must be"),
        (calibration_error, {"kind": "top"}, "kind must be"),
        (calibration_error, {"norm": 3}, "norm must be 1, 2 or inf"),
        (calibration_error, {"debias": True}, "needs norm=2"),
        (calibration_error, {"edges": [0, 0.5]}, "edges must be"),
        (calibration_error, {"edges": [0, 0.6, 0.5, 1]}, "edges must be"),
        (reliability_table, {"n_bins": -1}, "n_bins must be"),
        (reliability_table, {"kind": None}, "kind must be"),
        (smooth_calibration_error, {"kind": "all"}, "kind must be"),
        (calibration_decomposition, {"score": "hinge"}, "score must be"),
        (calibration_decomposition, {"n_bins": 0}, "n_bins must be"),
    ],
)
def test_bad_options_are_refused_by_name(measure, options, message):
    with pytest.raises(ValueError, match=message):
        measure(Y, P, **options)


@pytest.mark.parametrize("options", [{"n_resamples": 1}, {"n_resamples": 9.5}, {"seed": -1}, {"seed": None}])
def test_bad_options_of_the_bootstrap_are_refused_by_name(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be an integer"):
        bootstrap_interval(calibration_error, Y, P, **options)
