"""Candidates of a cross-validation: full fits and fold fits, their scores, and tables of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smreg.estimators.attributes import fitted_attributes
from smreg.estimators.report import PathReport
from smreg.fit.solution import Fit, Solution
from smreg.objective.layout import Regression

Array = NDArray[np.float64]


class Candidates:
    """Full fits and fold fits for every l1_ratio and C, with the folds' scores.

    Parameters
    ----------
    model : SoftmaxRegression
        Whose other parameters to use.
    classes : ndarray of shape (n_classes,)
        Labels.
    n_features, n_folds : int
        How many.
    dtype : dtype
        Of the features.
    Cs : ndarray of shape (n_Cs,)
        The grid.
    l1_ratios : ndarray of shape (n_l1_ratios,)
        Parts of the penalty that are L1.

    Attributes
    ----------
    full_fits : list of lists of (Regression, Solution)
        For each l1_ratio and C the fit to all samples.
    solutions : ndarray of object of shape (n_l1_ratios, n_Cs, n_folds)
        Records of the fold fits.
    coefs : ndarray of shape (n_folds, n_l1_ratios, n_Cs, n_rows, n_features + fit_intercept)
        Their coefficients, the intercept last.
    scores : ndarray of shape (n_l1_ratios, n_Cs, n_folds)
        Of each on the test part of its fold.
    """

    def __init__(
        self,
        model: Any,
        classes: NDArray[Any],
        n_features: int,
        n_folds: int,
        dtype: Any,
        Cs: Array,
        l1_ratios: Array,
    ) -> None:
        self.model, self.classes, self.n_features, self.n_folds = model, classes, n_features, n_folds
        self.dtype, self.Cs, self.l1_ratios = dtype, Cs, l1_ratios
        n_rows = 1 if len(classes) == 2 else len(classes)
        shape = len(l1_ratios), len(Cs), n_folds
        self.full_fits: list[list[Fit]] = [[] for _ in l1_ratios]
        self.solutions, self.scores = np.empty(shape, dtype=object), np.empty(shape)
        width = n_features + model.fit_intercept
        self.coefs = np.empty((n_folds, *shape[:2], n_rows, width), dtype=dtype)

    def begin_report(self, X: Any, y: Any, sample_weight: Any, offset: Any) -> PathReport:
        """Begin to report the search."""
        n_candidates, n_folds = self.scores[..., 0].size, self.n_folds
        return PathReport(
            self.model, X, y, sample_weight, n_candidates=n_candidates, n_folds=n_folds, offset=offset
        )

    def attributes(self, i: int, j: int) -> dict[str, Any]:
        """Fitted attributes of the full fit for l1_ratio i and C j."""
        model = self.model._fixed(self.full_fits[i][j][0], self.dtype, self.classes)
        return {"coef_": model.coef_, "intercept_": model.intercept_, "temperature_": model.temperature}

    def results(self) -> dict[str, NDArray[Any]]:
        """A tidy table of the fold fits, folds within Cs within l1_ratios."""
        l1_ratio, C, fold = np.meshgrid(self.l1_ratios, self.Cs, np.arange(self.n_folds), indexing="ij")
        columns = {"C": C, "l1_ratio": l1_ratio, "fold": fold, "score": self.scores}
        table = {name: column.ravel() for name, column in columns.items()}
        for name in ("evaluations", "seconds", "converged"):
            table[name] = np.array([getattr(solution, name) for solution in self.solutions.ravel()])
        return table

    def summary(self) -> dict[str, Array]:
        """Mean score of every candidate, and its standard error: nan for a single fold."""
        l1_ratio, C = np.meshgrid(self.l1_ratios, self.Cs, indexing="ij")
        n_folds = self.n_folds
        error = np.full(C.shape, np.nan)
        if n_folds > 1:
            error = self.scores.std(axis=2, ddof=1) / np.sqrt(n_folds)
        columns = {"C": C, "l1_ratio": l1_ratio, "mean": self.scores.mean(axis=2), "standard_error": error}
        return {name: column.ravel() for name, column in columns.items()}

    def path_evaluations(self) -> NDArray[np.int64]:
        """Evaluations of the full fits, of shape (n_l1_ratios, n_Cs)."""
        return np.array([[solution.evaluations for _, solution in path] for path in self.full_fits])

    def all_solutions(self) -> list[Solution]:
        """The records of all fits."""
        return [solution for path in self.full_fits for _, solution in path] + self.solutions.ravel().tolist()

    def mean(self, i: int, j: int) -> Regression:
        """The mean of the folds' coefficients for l1_ratio i and C j."""
        models = [self.fold_model(i, j, k) for k in range(self.n_folds)]
        return Regression(
            np.mean([model.coef_ for model in models], axis=0),
            np.mean([model.intercept_ for model in models], axis=0),
        )

    def fold_model(self, i: int, j: int, k: int) -> Any:
        """The model of fold k for l1_ratio i and C j."""
        p, coef = self.n_features, self.coefs[k, i, j]
        intercept = coef[:, p] if self.model.fit_intercept else np.zeros(len(coef))
        return self.model._fixed(Regression(coef[:, :p], intercept), self.dtype, self.classes)

    def keep(self, regression: Regression, solution: Solution, i: int, j: int, k: int) -> None:
        """Keep the fit to fold k for l1_ratio i and C j."""
        p, kept = self.n_features, fitted_attributes(regression, self.coefs.dtype)
        if kept["coef_"].dtype != self.coefs.dtype:  # which cannot hold them
            self.coefs = self.coefs.astype(np.float64)
        self.solutions[i, j, k] = solution
        self.coefs[k, i, j, :, :p] = regression.coef
        self.coefs[k, i, j, :, p:] = regression.intercept[:, np.newaxis][:, : self.model.fit_intercept]


def choose(scores: Mapping[str, Array]) -> tuple[int, int]:
    """Indices of the best candidate, and of the smallest C within one standard error, with its l1_ratio.

    Of equals the first counts, as in GridSearchCV.
    """
    best = int(np.argmax(scores["mean"]))
    error = np.nan_to_num(scores["standard_error"][best])  # one fold has none
    near = scores["mean"] >= scores["mean"][best] - error
    return best, int(np.argmax(near & (scores["l1_ratio"] == scores["l1_ratio"][best])))
