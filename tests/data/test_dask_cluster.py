"""Fits on a cluster: the same bits whatever happens to its workers, and nothing left there."""

import asyncio
import logging
import os
import signal
import subprocess
import sys

import dask
import numpy as np
import pandas as pd
import pytest
from dask import array as da
from dask import dataframe as dd
from distributed import Client, LocalCluster, Scheduler, wait
from distributed.scheduler import NoWorkerError
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from threadpoolctl import threadpool_info

from smreg import SoftmaxRegression
from smreg.data import dask_rows
from smreg.data.dask_rows import alone

pytestmark = pytest.mark.slow  # processes are started, and killed

N, P, K = 600, 4, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, P)) * [1, 10, 0.1, 1]
Y = (X @ RNG.normal(size=(P, K)) + RNG.gumbel(size=(N, K))).argmax(axis=1)
LAZY_X, LAZY_Y = da.from_array(X, chunks=(150, P)), da.from_array(Y, chunks=150)
OPTIONS = [{"C": 100.0, "class_weight": "balanced"}, {"C": 0.1, "l1_ratio": 0.5}]


# LocalCluster gives a worker up that does not come back within 15 s, on a busy machine too early.
PATIENT = {
    "distributed.deploy.lost-worker-timeout": "10 minutes",
    "distributed.scheduler.allowed-failures": 10,
}
QUIET = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}


@pytest.fixture(scope="module")
def cluster():
    """Two processes of a thread each, which nannies start anew where they die."""
    with dask.config.set(PATIENT), LocalCluster(n_workers=2, threads_per_worker=1, **QUIET) as made:
        yield made


@pytest.fixture
def client(cluster):
    with Client(cluster) as made:
        yield made


@pytest.fixture
def local():
    """A client of a worker in this process."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **QUIET) as made,
        Client(made) as client,
    ):
        yield client


class At:
    """A callback that does something at the end of a step."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def setup(self, estimator, context):
        """Before the fit."""
        self.steps = 0

    def teardown(self, estimator, context):
        """After the fit."""

    def on_fit_task_begin(self, estimator, context):
        """Before a step."""

    def on_fit_task_end(self, estimator, context):
        """After a step."""
        self.steps += context.parent is not None
        if self.steps == self.step and context.parent is not None:
            self.action()


def model(**options):
    return SoftmaxRegression(**({"tol": 1e-6} | options))


def held_by(client):
    """Keys of the results that the client holds, when it has done what it was asked to."""
    client.sync(asyncio.sleep, 0)
    return list(client.futures)


def kill(client, count):
    """End worker processes as the system does where memory runs out."""
    for pid in list(client.run(os.getpid).values())[:count]:
        os.kill(pid, signal.SIGKILL)


# -- bits


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_same_partitions_give_the_same_bits(client, options):
    """With two workers, one, and threads of this process."""
    one = client.run(os.getpid)
    two = model(**options).fit(LAZY_X, LAZY_Y)
    with dask.annotate(workers=[next(iter(one))], allow_other_workers=False):
        alone = model(**options).fit(LAZY_X, LAZY_Y)
    with dask.config.set(scheduler="threads"):
        here = model(**options).fit(LAZY_X, LAZY_Y)

    for other in alone, here:
        assert_array_equal(other.coef_, two.coef_)
        assert_array_equal(other.intercept_, two.intercept_)
        assert other.solution_.objective == two.solution_.objective


FRAME = pd.DataFrame(X, columns=list("abcd"))
FRAMES = {
    "of one type": FRAME,
    "of many": FRAME.assign(
        a=FRAME["a"].astype("float32"),
        b=FRAME["b"].round().astype("Int16"),
        d=FRAME["d"].astype("double[pyarrow]"),
        e=FRAME["d"] > 0,
    ),
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())
def test_the_same_partitions_of_a_frame_give_the_same_bits(client, frame):
    """Which arrive at two workers, at one, and in this process as other blocks of memory."""
    labels = np.array(["x", "y", "z"])[Y]
    lazy = dd.from_pandas(frame.assign(y=labels, weight=1 + Y / 8), npartitions=5)
    data = lazy[list(frame.columns)], lazy["y"], lazy["weight"]
    two = model(**OPTIONS[0]).fit(*data)
    with dask.config.set(scheduler="threads"):
        here = model(**OPTIONS[0]).fit(*data)
    with LocalCluster(n_workers=1, threads_per_worker=1, **QUIET) as cluster, Client(cluster):
        one = model(**OPTIONS[0]).fit(*data)

    for other in one, here:
        assert_array_equal(other.coef_, two.coef_)
        assert_array_equal(other.intercept_, two.intercept_)
        assert other.solution_.objective == two.solution_.objective


# -- death


@pytest.mark.parametrize("count", [1, 2], ids=["one worker", "all workers"])
def test_workers_that_die_in_the_middle_change_no_bit(client, count):
    """Nannies start others, and Dask repeats what was lost."""
    undisturbed = model().fit(LAZY_X, LAZY_Y)
    disturbed = model().set_callbacks(At(2, lambda: kill(client, count))).fit(LAZY_X, LAZY_Y)

    assert disturbed.n_iter_ > 3
    assert_array_equal(disturbed.coef_, undisturbed.coef_)
    assert_array_equal(disturbed.intercept_, undisturbed.intercept_)
    assert disturbed.n_iter_ == undisturbed.n_iter_
    assert held_by(client) == []


def test_without_nannies_the_death_of_all_workers_is_an_error_in_the_time_that_dask_is_given():
    command = [
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        "--no-nanny",
        "--nthreads=1",
        "--no-dashboard",
    ]
    with (
        dask.config.set({"distributed.scheduler.no-workers-timeout": "1s"}),
        LocalCluster(n_workers=0, **QUIET) as cluster,
        Client(cluster) as client,
        subprocess.Popen([*command, cluster.scheduler_address], stderr=subprocess.DEVNULL) as worker,
    ):
        try:
            client.wait_for_workers(1, timeout=60)
            unfitted = model().set_callbacks(At(2, worker.kill))
            with pytest.raises(NoWorkerError, match="timed out after 1"):
                unfitted.fit(LAZY_X, LAZY_Y)
        finally:
            worker.kill()

        assert held_by(client) == []
        with pytest.raises(NotFittedError):
            unfitted.predict(X)


# -- what is left


def test_nothing_is_held_after_a_fit(local):
    fitted = model().fit(LAZY_X, LAZY_Y)

    assert held_by(local) == []
    assert fitted.score(LAZY_X, LAZY_Y) == fitted.score(X, Y)
    assert held_by(local) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_held_after_a_fit_that_was_interrupted(local, error):
    """Though the traceback, which is kept here, refers to the rows."""

    def interrupt():
        assert held_by(local)
        raise error

    fitted = model().fit(X, Y)
    before = dict(vars(fitted))
    with pytest.raises(error) as raised:
        fitted.set_callbacks(At(2, interrupt)).fit(LAZY_X[:, :2], LAZY_Y)

    assert raised.tb is not None
    assert held_by(local) == []
    assert vars(fitted.set_callbacks()).keys() == before.keys()
    assert all(vars(fitted)[name] is value for name, value in before.items())


def test_nothing_is_held_after_bad_input(local):
    bad = np.where(np.arange(N)[:, np.newaxis] == N - 1, np.nan, X)
    with pytest.raises(ValueError, match="In partition 3: Input X contains NaN") as raised:
        model().fit(da.from_array(bad, chunks=(150, P)), LAZY_Y)

    assert raised.tb is not None
    assert held_by(local) == []


def test_what_was_persisted_stays(local):
    """It is the user's."""
    persisted = LAZY_X.persist()
    model().fit(persisted, LAZY_Y)

    assert len(held_by(local)) == persisted.npartitions
    wait(persisted)
    assert_array_equal(persisted.compute(), X)


# -- clients


def test_results_of_a_client_that_is_closed_are_refused():
    with LocalCluster(n_workers=1, processes=False, **QUIET) as cluster, Client(cluster):
        lazy_X, lazy_y = LAZY_X.persist(), LAZY_Y.persist()

    for arguments, name in (((lazy_X, LAZY_Y), "X"), ((LAZY_X, lazy_y), "y")):
        with pytest.raises(ValueError, match=rf"\b{name} refers to results .* client that is closed"):
            model().fit(*arguments)
    assert model().fit(LAZY_X, LAZY_Y).converged_  # by threads of this process


def test_a_scheduler_that_is_lost_is_an_error(local):
    fitted = model().fit(X, Y)
    coef = fitted.coef_
    with pytest.raises(Exception, match=r"cancelled|closed|lost|Missing"):
        fitted.set_callbacks(At(2, local.cluster.close)).fit(LAZY_X, LAZY_Y)

    assert fitted.coef_ is coef


# -- threads


def test_a_task_has_one_thread_of_blas(client):
    def threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    assert client.submit(alone, threads, pure=False).result() == {1}
    assert alone(threads) == {1}
    assert dask_rows.one_blas_thread_for_tasks._holders == 0
    assert isinstance(client.cluster.scheduler, Scheduler)
