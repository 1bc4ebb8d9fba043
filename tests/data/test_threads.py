"""Work for threads, and for the one that asks for its results."""

from threading import Event, get_ident

import pytest
from threadpoolctl import threadpool_info

from smreg.data.threads import row_threads, workers


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_one_job_is_done_by_the_thread_that_asks_for_it_when_it_does_and_once():
    done = []
    with workers(1) as pool:
        tasks = [pool.submit(lambda i: done.append((i, get_ident())) or i, i) for i in range(3)]
        assert not done
        assert tasks[2].result() == 2
        assert [task.result() for task in tasks] == [0, 1, 2]

    assert done == [(i, get_ident()) for i in (2, 0, 1)]


def test_one_job_passes_on_what_goes_wrong_whenever_it_is_asked_for():
    with workers(1) as pool:
        task = pool.submit(lambda: 1 / 0)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                task.result(timeout=0)


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_results_come_in_the_order_of_the_blocks(n_jobs):
    with row_threads(n_jobs) as map_blocks:
        assert list(map_blocks(pow, range(100), [2] * 100)) == [i**2 for i in range(100)]


def test_what_has_not_begun_when_the_work_is_given_up_never_begins():
    gate, waiting = Event(), []

    def give_up():
        with workers(2) as pool:
            waiting.extend(pool.submit(gate.wait, 5) for _ in range(3))
            waiting[-1].add_done_callback(lambda _: gate.set())  # or the threads would not end for long
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give_up()

    assert [task.cancelled() for task in waiting] == [False, False, True]


def test_blas_has_one_thread_meanwhile_and_afterwards_as_many_as_before():
    before = blas_threads()
    with workers(2), workers(1):
        assert blas_threads() == {1}
    assert blas_threads() == before
