"""One search for C by cross-validation, with a refit, by one estimator; and what its fits are held to."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
from environment import pinned
from fits import MANY
from joblib import parallel_config
from numpy.typing import NDArray
from reference import Array, Problem, minimum
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold

from smreg import SoftmaxRegressionCV

FOLDS = 5


@dataclass(frozen=True)
class Found:
    """Seconds of a search, coefficients (folds, Cs, rows, p + 1), and evaluations or iterations.

    `counts` (folds, Cs) are those of the fits to the folds, `path` (Cs,) those of the path on all data, which
    scikit-learn does not have.
    """

    seconds: float
    coefs: Array
    counts: NDArray[np.int64]
    path: NDArray[np.int64] | None


@dataclass(frozen=True)
class Search:
    """An estimator, its tolerance, its jobs, and the Cs that it tries.

    Jobs are threads for smreg, which holds BLAS to one itself, and processes of one thread for scikit-learn.
    """

    solver: str
    tol: float
    jobs: int
    Cs: tuple[float, ...]

    def model(self) -> Any:
        """The estimator."""
        shared = {"Cs": list(self.Cs), "cv": StratifiedKFold(FOLDS), "scoring": "neg_log_loss"}
        shared |= {"refit": True, "tol": self.tol, "max_iter": MANY, "n_jobs": self.jobs}
        if self.solver == "smreg":
            return SoftmaxRegressionCV(**shared)
        return LogisticRegressionCV(solver=self.solver, l1_ratios=(0,), use_legacy_attributes=False, **shared)

    def fit(self, X: Any, y: Any) -> Found:
        """Search from scratch."""
        model, ours = self.model(), self.solver == "smreg"
        threads = self.jobs if ours else 1
        processes = parallel_config("loky", inner_max_num_threads=1)
        with pinned(threads, threads), processes, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the gaps tell who did not converge
            began = perf_counter()
            model.fit(X, y)
            seconds = perf_counter() - began
        counts = model.cv_results_["evaluations"].reshape(-1, FOLDS).T if ours else model.n_iter_[:, 0]
        return Found(seconds, model.coefs_paths_[:, 0], counts, model.path_evaluations_[0] if ours else None)


class Yardstick:
    """The objectives of all folds and Cs, their starts and their minima.

    Parameters
    ----------
    X, y : array-like
        All data.
    Cs : sequence of float
        In increasing order.
    tol : float
        Tolerance of the search by smreg that finds the minima.
    jobs : int
        Its threads.

    Attributes
    ----------
    found : Found
        That search.
    minima : ndarray of shape (n_folds, n_Cs)
        F* of each.
    """

    def __init__(self, X: Any, y: Any, Cs: Sequence[float], tol: float, jobs: int) -> None:
        parts = [Problem(X[train], y[train]) for train, _ in StratifiedKFold(FOLDS).split(X, y)]
        self.Cs = tuple(Cs)
        self.problems = [[replace(part, C=C) for C in Cs] for part in parts]
        self.found = Search("smreg", tol, jobs, self.Cs).fit(X, y)
        self.minima = self._values(self.found.coefs)

    def gaps(self, coefs: Array) -> Array:
        """``(F - F*) / (F(start) - F*)`` for coefficients (n_folds, n_Cs, n_rows, p + 1)."""
        starts = np.array([[problem.start_value for problem in row] for row in self.problems])
        return (self._values(coefs) - self.minima) / (starts - self.minima)

    def error(self, fold: int, i: int) -> float:
        """How far the exact minimum of a fold at one C is from this one, as a gap."""
        problem = self.problems[fold][i]
        with pinned(1, 1):
            exact = minimum(problem)
        return abs(problem.gap(self.minima[fold, i], exact.value))

    def _values(self, coefs: Array) -> Array:
        return np.array(
            [
                [problem.value(each[:, :-1], each[:, -1]) for problem, each in zip(*pair, strict=True)]
                for pair in zip(self.problems, coefs, strict=True)
            ]
        )
