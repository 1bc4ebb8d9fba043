"""Threads over blocks of rows or over fits, with the BLAS libraries held to one thread.

NumPy's and SciPy's wheels each bring a BLAS with a thread pool of its own, and on small problems the two
pools cost more time than they save. One pool of ours takes their place.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from threading import Lock
from typing import Any

from joblib import effective_n_jobs
from threadpoolctl import ThreadpoolController


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # searches all loaded libraries, once


def allowed_threads(n_jobs: int | None) -> int:
    """Threads that `n_jobs` stands for: None is what OpenMP may use, as in scikit-learn's own loops.

    That is the number of processors, or less by ``OMP_NUM_THREADS``, `threadpoolctl.threadpool_limits` or
    joblib, which divides the processors among its worker processes.
    """
    if n_jobs is not None:
        return int(effective_n_jobs(n_jobs))
    pools = _libraries().select(user_api="openmp").lib_controllers
    return min((pool.num_threads for pool in pools), default=1)


_limiting = Lock()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread for the time of a fit.

    The limit holds for the process, and is lifted where it was set: of fits that overlap in several threads
    only the first sets it.
    """
    if not _limiting.acquire(blocking=False):
        yield
        return
    try:
        with _libraries().limit(limits=1, user_api="blas"):
            yield
    finally:
        _limiting.release()


class _Limit:
    """BLAS held to one thread for tasks that overlap: the first sets the limit, the last lifts it.

    OpenBLAS may not lift it in another thread than the one that set it. Where that is not the process of a
    worker, which computes with one thread for each task in any case, a fit holds the limit around the tasks.
    """

    def __init__(self) -> None:
        self._lock, self._holders, self._limits = Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._holders == 0:
                self._limits.enter_context(_libraries().limit(limits=1, user_api="blas"))
            self._holders += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                self._limits.close()


one_blas_thread_for_tasks = _Limit()


class _Deferred(Future[Any]):
    """A call that is made when its result is asked for."""

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__()
        self._function: Callable[[], Any] | None = function

    def result(self, timeout: float | None = None) -> Any:
        """The result of the call, which the first request makes."""
        if self._function is not None:
            function, self._function = self._function, None
            try:
                self.set_result(function())
            except BaseException as error:  # else a second request would block for ever
                self.set_exception(error)
        return super().result(timeout)


class _InTurn(Executor):
    """An executor without threads: who asks for a result makes the call."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A call, to be made when its result is asked for."""
        return _Deferred(partial(function, *args, **kwargs))


IN_TURN = _InTurn()


@contextmanager
def workers(n_jobs: int | None) -> Iterator[Executor]:
    """`n_jobs` threads, in the sense of `allowed_threads`."""
    n_threads = allowed_threads(n_jobs)
    pool = IN_TURN if n_threads == 1 else ThreadPoolExecutor(n_threads)
    with one_blas_thread():
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)  # those submitted and not begun when an error was raised


@contextmanager
def row_threads(n_jobs: int | None) -> Iterator[Callable[..., Any]]:
    """The `map` of a pool of so many threads."""
    with workers(n_jobs) as pool:
        yield pool.map
