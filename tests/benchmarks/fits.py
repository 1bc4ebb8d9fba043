"""One fit of one solver from scratch, in a process that is killed when the fit takes too long."""

import multiprocessing
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

import numpy as np
import tables
from environment import pinned
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from smreg import SoftmaxRegression

SOLVERS = ("smreg", "lbfgs", "newton-cg", "newton-cholesky")
MANY = 10**6  # iterations: tolerances and the clock end a fit


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


@dataclass(frozen=True)
class Fit:
    """Seconds, coefficients, evaluations or iterations of a fit, and whether its tolerance ended it."""

    seconds: float
    coef: Any
    intercept: Any
    count: str
    converged: bool


def fit(setting: Setting, X: Any, y: Any) -> Fit:
    """Fit from scratch."""
    model = setting.model()
    with pinned(setting.threads, setting.blas), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        began = perf_counter()
        model.fit(X, y)
        seconds = perf_counter() - began
    converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    ours = setting.solver == "smreg"
    count = f"{model.solution_.evaluations} ev" if ours else f"{np.max(model.n_iter_)} it"
    return Fit(seconds, model.coef_, model.intercept_, count, converged)


def serve(connection: Connection, name: str, threads: int) -> None:
    """Load a data set, warm up, and fit what is asked for: the process of a `Worker`."""
    X, y = tables.ALL[name]()
    for solver in SOLVERS:
        fit(Setting(solver, 1e-1, threads, blas=1), *tables.ALL["iris"]())
    connection.send("ready")
    while True:
        setting = connection.recv()
        try:
            connection.send(fit(setting, X, y))
        except (MemoryError, ArithmeticError, ValueError) as error:
            connection.send(error)


class Worker:
    """A process that fits one data set, killed and started again when a fit takes longer than the limit."""

    def __init__(self, name: str, threads: int, limit: float) -> None:
        self.name, self.threads, self.limit = name, threads, limit
        self._start()

    def fit(self, setting: Setting, limit: float | None = None) -> Fit | None:
        """Fit, or None if that fails or takes too long."""
        self.connection.send(setting)
        try:
            result = self.connection.recv() if self.connection.poll(limit or self.limit) else None
        except EOFError:  # the process died, as for want of memory
            result = None
        if result is None:
            self.stop()
            self._start()
        return result if isinstance(result, Fit) else None

    def stop(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.join()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        arguments = theirs, self.name, self.threads
        self.process = context.Process(target=serve, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.connection.recv()
