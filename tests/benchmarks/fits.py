"""One fit of one solver from scratch, in a process that is killed when the fit takes too long."""

import multiprocessing
import os
import signal
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import tables
from environment import pinned
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from smreg import SoftmaxRegression

SOLVERS = ("smreg", "lbfgs", "newton-cg", "newton-cholesky")
MANY = 10**6  # iterations: tolerances and the clock end a fit


@dataclass(frozen=True)
class Fit:
    """Seconds, coefficients, evaluations or iterations of a fit, and whether its tolerance ended it."""

    seconds: float
    coef: Any
    intercept: Any
    count: str
    converged: bool


@dataclass(frozen=True)
class Setting:
    """A solver, its tolerance, and its threads, those of BLAS apart."""

    solver: str
    tol: float
    threads: int
    blas: int
    max_iter: int = MANY

    def model(self) -> Any:
        """The estimator."""
        if self.solver == "smreg":
            return SoftmaxRegression(tol=self.tol, max_iter=self.max_iter, n_jobs=self.threads)
        return LogisticRegression(solver=self.solver, tol=self.tol, max_iter=self.max_iter)

    def fit(self, X: Any, y: Any) -> Fit:
        """Fit from scratch."""
        model = self.model()
        with pinned(self.threads, self.blas), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            began = perf_counter()
            model.fit(X, y)
            seconds = perf_counter() - began
        converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
        ours = self.solver == "smreg"
        count = f"{model.solution_.evaluations} ev" if ours else f"{np.max(model.n_iter_)} it"
        return Fit(seconds, model.coef_, model.intercept_, count, converged)


Outcome = TypeVar("Outcome", covariant=True)


class Fitting(Protocol[Outcome]):
    """What a `Worker` can be asked for: a `Setting`, or anything else with such a method."""

    def fit(self, X: Any, y: Any) -> Outcome:
        """Fit from scratch."""


def serve(connection: Connection, data: tables.Data, warm_up: Sequence[Fitting[Any]]) -> None:
    """Warm up on iris, and fit to the data what is asked for: the process of a `Worker`."""
    if hasattr(os, "setsid"):
        os.setsid()  # so that the processes that a fit starts can be ended with this one
    os.environ["PYTHONWARNINGS"] = "ignore"  # those of joblib, which warn of files that they then remove
    for fitting in warm_up:
        fitting.fit(*tables.ALL["iris"]())
    connection.send("ready")
    while True:
        fitting = connection.recv()
        try:
            connection.send(fitting.fit(*data))
        except (MemoryError, ArithmeticError, ValueError) as error:
            connection.send(error)


class Worker(Generic[Outcome]):
    """A process that fits one data set, ended and started again when a fit takes longer than the limit."""

    def __init__(self, data: tables.Data, warm_up: Sequence[Fitting[Outcome]], limit: float) -> None:
        self.data, self.warm_up, self.limit = data, warm_up, limit
        self._start()

    def fit(self, fitting: Fitting[Outcome], limit: float | None = None) -> Outcome | None:
        """Fit, or None if that fails or takes too long."""
        self.connection.send(fitting)
        try:
            result = self.connection.recv() if self.connection.poll(limit or self.limit) else None
        except EOFError:  # the process died, as for want of memory
            result = None
        if result is None:
            self.stop()
            self._start()
        return None if isinstance(result, Exception) else result

    def stop(self) -> None:
        """End the process, and those that its fits have started."""
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)  # lets joblib remove its files
        else:
            self.process.kill()
        self.process.join()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        # a daemon may not start processes itself
        self.process = context.Process(target=serve, args=(theirs, self.data, self.warm_up), daemon=False)
        self.process.start()
        theirs.close()
        self.connection.recv()
