"""Participants that share passes: each gets what it gets alone, in no more passes than the longest takes."""

import threading
import weakref
from functools import partial

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from smreg import SoftmaxRegression
from smreg.data import Batches
from smreg.data.batch_rows import BatchRows, batch_sample
from smreg.data.dask_sample import dask_sample
from smreg.data.kernels import sum_of
from smreg.data.matrix import MatrixRows
from smreg.data.rows import Rows
from smreg.data.shared_passes import MOST_RETURNED, Meeting, SharedRows
from smreg.data.targets import Targets
from smreg.fit.regression import Problem

PENALTIES = [(1e-3, 0.0), (1.0, 0.0), (1e4, 0.0), (1.0, 0.5), (1.0, 1.0)]


class Counted:
    """Counts rounds, each of which is a pass for requests of the same blocks."""

    rounds = 0

    def read(self, requests):
        """As without counting."""
        self.rounds += 1
        return super().read(requests)


class InMemory(Counted, MatrixRows):
    """With all abilities."""


class Plain(Counted, Rows):
    """Blocks of 100 rows, and no abilities."""

    def __init__(self, X, targets, weights):
        self._rows = MatrixRows(X, targets, weights)
        self.blocks = 0
        for name in Rows.__annotations__:
            setattr(self, name, getattr(self._rows, name))
        self.can_sample = False

    def map_reduce(self, kernel, *arguments, **hints):
        """The sum over the blocks."""

        def counted(block, *arguments):
            self.blocks += 1
            return kernel(block, *arguments)

        return sum_of(self._rows.map_blocks(counted, *arguments, size=100))


def ends_of(n):
    """Of four parts of different lengths."""
    return (np.linspace(0, 1, 5)[1:] ** 1.5 * n).astype(int).tolist()


def in_batches(X, targets, weights):
    """Four batches of different lengths."""
    frame = pd.DataFrame(X).add_prefix("x").assign(y=targets.values, weight=weights)
    ends = ends_of(len(weights))
    batches = [frame.iloc[first:last] for first, last in zip([0, *ends[:-1]], ends, strict=True)]
    passes = []

    def factory():
        passes.append(None)
        return batches

    rows = batch_sample(SoftmaxRegression(), Batches(factory, "y", "weight"), None, map).rows
    rows.all_passes = passes
    return rows


def in_dask(X, targets, weights):
    """Four partitions of different lengths."""
    lengths = tuple(np.diff([0, *ends_of(len(weights))]).tolist())
    X, y, weights = (
        da.from_array(values, chunks=(lengths, *values.shape[1:])) for values in (X, targets.values, weights)
    )
    return dask_sample(X, y, weights, None).rows


STORES = {"memory": InMemory, "plain": Plain, "dask": in_dask, "batches": in_batches}
store = pytest.mark.parametrize("store", STORES.values(), ids=STORES)


def make_rows(store, rng, n=3000, p=12, n_classes=3):
    """So many rows that samples stand for all, and so few that they have several kinds of blocks."""
    X = rng.normal(size=(n, p)) * 10.0 ** rng.integers(-2, 3, p)
    eta = (X / X.std(axis=0)) @ rng.normal(size=(p, n_classes))
    y = (eta + rng.gumbel(size=eta.shape)).argmax(axis=1)
    return store(X, Targets(np.arange(n_classes), y), rng.integers(0, 3, size=n) / 2.0)


def rounds(rows):
    if isinstance(rows, BatchRows):
        return len(rows.all_passes)
    return rows.rounds if isinstance(rows, Counted) else rows.passes


def together(rows, jobs, most=64, n_threads=2):
    """What jobs give side by side."""
    meeting = Meeting(rows, most, n_threads)
    results = [meeting.submit(job) for job in jobs]
    meeting.run()
    return [result.result() for result in results]


def solving(rows, penalty):
    """A fit."""

    def solve():
        C, l1_ratio = penalty
        problem = Problem(rows, fit_intercept=True, largest_C=1e4, l1=l1_ratio > 0)
        return problem.solve(C, l1_ratio=l1_ratio, tol=1e-6, max_iter=100)

    return solve


@store
def test_side_by_side_each_fit_is_the_same_bits_as_alone(store, rng):
    """And they meet as often as the one that reads most often reads."""
    rows = make_rows(store, rng)
    alone, counts = [], []
    for penalty in PENALTIES:
        before, shared = rounds(rows), SharedRows(rows)
        alone += together(shared, [solving(shared, penalty)])
        counts.append(rounds(rows) - before)
    before, shared = rounds(rows), SharedRows(rows)
    fits = together(shared, [solving(shared, penalty) for penalty in PENALTIES])

    assert rounds(rows) - before == max(counts) < sum(counts) / 2
    for (ours, record), (theirs, expected) in zip(fits, alone, strict=True):
        assert_array_equal(ours.coef, theirs.coef)
        assert_array_equal(ours.intercept, theirs.intercept)
        assert record.objective == expected.objective
        assert record.evaluations == expected.evaluations


@pytest.mark.parametrize("store", [InMemory, Plain])
def test_fits_do_not_depend_on_who_else_is_there(store, rng):
    """How many may be present, and how many compute at a time, changes no bit."""
    shared = SharedRows(make_rows(store, rng))
    jobs = [solving(shared, penalty) for penalty in PENALTIES]
    fits = [together(shared, jobs, *limits) for limits in [(64, 4), (64, 1), (2, 2), (1, 1)]]

    for made in fits[1:]:
        for (ours, _), (theirs, _) in zip(made, fits[0], strict=True):
            assert_array_equal(ours.coef, theirs.coef)


def test_a_round_reads_every_block_once(rng):
    """Where requests are for blocks of one kind."""
    rows = make_rows(Plain, rng)
    shared = SharedRows(rows)

    def job(count):
        return [shared.map_reduce(columns, power) for power in range(count)]

    together(shared, [partial(job, count) for count in range(5)])

    assert rows.rounds == 4
    assert rows.blocks == 4 * rows.n_samples // 100


def columns(block, power):
    return (block.X**power).sum(axis=0)


def weights(block):
    return block.weights


def scaled(weights, factor):
    return weights * factor


def weighted_columns(block, kept):
    return kept.of(block) @ block.X


def total(weights):
    return weights.sum()


@store
@pytest.mark.parametrize("hints", [{}, {"size": 64}, {"dense": True}], ids=str)
def test_what_is_kept_is_what_the_store_keeps(store, hints, rng):
    """Though it is made again."""
    rows = make_rows(store, rng)

    def kept(rows):
        made = rows.keep(weights, **hints).keep(scaled, 3.0)
        results = made.gather()
        return (
            np.concatenate(results),
            made.map_reduce(total),
            rows.map_reduce(weighted_columns, made, **hints),
        )

    for ours, theirs in zip(
        together(SharedRows(rows), [partial(kept, SharedRows(rows))])[0], kept(rows), strict=True
    ):
        assert_array_equal(ours, theirs)


@pytest.mark.parametrize("store", [InMemory, in_dask, in_batches])
def test_a_sample_has_the_rows_that_the_store_draws(store, rng):
    rows = make_rows(store, rng)

    def sampled(rows, size):
        sample = rows.sampled(rows.keep(weights), size)
        return (
            sample.n_samples,
            sample.map_reduce(columns, 2),
            np.concatenate(list(sample.map_blocks(weights))),
        )

    shared = SharedRows(rows)
    sizes = [50, 200, 3000]
    before = rounds(rows)
    drawn = together(shared, [partial(sampled, shared, size) for size in sizes])
    passes = rounds(rows) - before

    assert passes == 2
    for ours, size in zip(drawn, sizes, strict=True):
        assert ours[0] == len(ours[2]) <= size
        for made, expected in zip(ours, sampled(rows, size), strict=True):
            assert_array_equal(made, expected)


@pytest.mark.parametrize("store", [InMemory, in_batches])
def test_a_sample_is_gone_when_its_participant_is_done_with_it(store, rng, monkeypatch):
    """The next pass finds none, so that those of one pass are all that take memory."""
    rows, samples, left = make_rows(store, rng), [], []
    shared, read = SharedRows(rows), type(rows).read

    def spied(rows, requests):
        left.append(sum(sample() is not None for sample in samples))
        return read(rows, requests)

    def job():
        samples.append(weakref.ref(shared.sampled(shared.keep(weights), 200)))
        return shared.map_reduce(columns, 1)

    monkeypatch.setattr(type(rows), "read", spied)
    together(shared, [job] * 3)

    assert len(samples) == 3
    assert left == [0, 0, 0]


@store
def test_where_each_returns_much_some_wait_for_the_next_pass(store, rng):
    rows = make_rows(store, rng)
    shared = SharedRows(rows)

    def job(power, result):
        return shared.map_reduce(columns, power, result=result)

    before = rounds(rows)
    results = [MOST_RETURNED // 2, MOST_RETURNED // 2, 1, 2 * MOST_RETURNED]
    sums = together(shared, [partial(job, power, result) for power, result in enumerate(results)])

    assert rounds(rows) - before == 3
    for power, made in enumerate(sums):
        assert_array_equal(made, rows.map_reduce(columns, power))


def test_a_participant_may_bring_others(rng):
    """They meet the others in its next pass."""
    rows = make_rows(Plain, rng)
    shared, brought = SharedRows(rows), []
    meeting = Meeting(shared, 64, 2)

    def job(power):
        made = shared.map_reduce(columns, power)
        if power > 0:
            brought.append(meeting.submit(job, power - 1))
        return made

    first = meeting.submit(job, 3)
    meeting.run()

    assert rows.rounds == 4
    for power, result in zip([3, 2, 1, 0], [first, *brought], strict=True):
        assert_array_equal(result.result(), rows.map_reduce(columns, power))


@pytest.mark.parametrize("most", [1, 2, 3])
def test_no_more_are_present_than_may_be(most, rng):
    """Five who take two passes each."""
    rows, present, counts = make_rows(Plain, rng), set(), []
    shared = SharedRows(rows)

    def job(number):
        present.add(number)
        shared.map_reduce(columns, 1)
        counts.append(len(present))
        shared.map_reduce(columns, 2)
        present.remove(number)

    together(shared, [partial(job, number) for number in range(5)], most)

    assert max(counts) <= most
    assert rows.rounds >= 2 * -(-5 // most)


class Unreadable(InMemory):
    """Fails in its third round."""

    error = None

    def read(self, requests):
        """As without a fault."""
        if self.rounds == 2:
            raise self.error
        return super().read(requests)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a fault")], ids=repr)
def test_an_error_in_a_pass_ends_all(error, rng):
    rows, before = make_rows(Unreadable, rng), threading.active_count()
    rows.error, shared = error, SharedRows(rows)
    with pytest.raises(type(error)) as raised:
        together(shared, [solving(shared, penalty) for penalty in PENALTIES])

    assert raised.value is error
    assert threading.active_count() == before


@store
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_in_a_participant_ends_all(store, error, rng):
    """The first of several in the order in which they were submitted; others do not end their work."""
    rows, before, ended = make_rows(store, rng), threading.active_count(), []
    shared = SharedRows(rows)

    def job(number):
        for power in range(10):
            shared.map_reduce(columns, power)
            if power == 3 and number >= 2:
                raise error(f"in {number}")
        ended.append(number)

    with pytest.raises(error, match="in 2"):
        together(shared, [partial(job, number) for number in range(5)], n_threads=3)

    assert ended == []
    assert threading.active_count() == before


def test_an_error_ends_those_who_wait_for_a_place(rng):
    rows, before = make_rows(Plain, rng), threading.active_count()
    shared = SharedRows(rows)

    def job(number):
        if number == 0:
            raise RuntimeError("a fault")
        shared.map_reduce(columns, 1)

    with pytest.raises(RuntimeError, match="a fault"):
        together(shared, [partial(job, number) for number in range(3)], most=1)

    assert rows.rounds == 0
    assert threading.active_count() == before


def test_outside_of_a_meeting_a_pass_is_made_at_once(rng):
    rows = make_rows(Plain, rng)

    assert_array_equal(SharedRows(rows).map_reduce(columns, 2), rows.map_reduce(columns, 2))
    assert rows.rounds == 1


def test_sparse_rows_have_blocks_of_each_kind(rng):
    """Dense ones are other blocks: requests of both kinds in a round are the same bits as alone."""
    X = sparse.random(3000, 20, density=0.2, rng=rng, format="csr")
    rows = InMemory(X, Targets(np.arange(2), rng.integers(0, 2, 3000)), np.ones(3000))
    shared = SharedRows(rows)

    def job(hints):
        return list(shared.map_blocks(weights, **hints))

    kinds = [{}, {"dense": True}, {"size": 100}]
    for made, hints in zip(together(shared, [partial(job, hints) for hints in kinds]), kinds, strict=True):
        for ours, theirs in zip(made, rows.map_blocks(weights, **hints), strict=True):
            assert_array_equal(ours, theirs)
