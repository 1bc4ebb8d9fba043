"""Threads over blocks of rows, with the BLAS libraries held to one thread.

NumPy's and SciPy's wheels each bring a BLAS with a thread pool of its own, and on small problems the two
pools cost more time than they save. One pool of ours over blocks of rows takes their place.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from threading import Lock
from typing import Any

from joblib import effective_n_jobs
from threadpoolctl import ThreadpoolController


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all loaded libraries, once


class _OneBlasThread:
    """A limit for the whole process: fits that overlap share it, and the last to end lifts it."""

    def __init__(self) -> None:
        self._lock, self._users, self._limit = Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._limit.enter_context(_libraries().limit(limits=1, user_api="blas"))
            self._users += 1

    def __exit__(self, *failure: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._limit.close()


_one_blas_thread = _OneBlasThread()


@contextmanager
def row_threads(n_jobs: int | None) -> Iterator[Callable[..., Any]]:
    """A `map` that runs in `n_jobs` threads, in scikit-learn's sense of the number."""
    n_threads = effective_n_jobs(n_jobs)
    with _one_blas_thread:
        if n_threads == 1:
            yield map
        else:
            with ThreadPoolExecutor(n_threads) as pool:
                yield pool.map
