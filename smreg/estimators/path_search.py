"""Cross-validation in memory: full fits and fold fits along the path of each l1_ratio, and their scores."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smreg.data.factors import check_weighted
from smreg.data.lazy import refuse_lazy
from smreg.data.matrix import MatrixRows
from smreg.data.offsets import fitted_offset
from smreg.data.targets import Targets, as_targets, strata
from smreg.data.threads import IN_TURN
from smreg.data.weights import weigh_classes
from smreg.estimators.candidates import Candidates
from smreg.estimators.cross_validation import (
    Fold,
    advice,
    check_test_classes,
    check_training_classes,
    divide,
    lacking,
    missing_classes,
    of_missing,
    routed,
    training_part,
)
from smreg.estimators.report import PathReport
from smreg.estimators.samples import check_sample
from smreg.estimators.scoring import Scoring, accepted, make_scorer
from smreg.fit.continuation import fit_path
from smreg.fit.grid import Grid, grid, weakest_of
from smreg.fit.regression import Problem
from smreg.fit.verification import verified

Array = NDArray[np.float64]


Score = Callable[[Any, "Fold", float, int], float]  # of a model, on a fold, for C, which is that many


class PathSearch(Candidates):
    """Full fits and fold fits along the path of each l1_ratio, with the folds' scores.

    Parameters
    ----------
    model : SoftmaxRegression
        Whose other parameters to use.
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Features.
    targets : Targets
        Labels or soft targets.
    weights : ndarray of shape (n_samples,)
        Of the samples.
    folds : sequence of Fold
        Each with weight in its training part.
    Cs : int, "auto" or ndarray of shape (n_Cs,)
        The grid, or the size of one that the data set.
    l1_ratios : ndarray of shape (n_l1_ratios,)
        Parts of the penalty that are L1.
    pool : Executor
        Threads.
    offset : ndarray of shape (n_samples, n_classes), or None
        Known part of the logits.
    """

    def __init__(
        self,
        model: Any,
        X: Any,
        targets: Targets,
        weights: Array,
        folds: Sequence[Fold],
        Cs: Grid,
        l1_ratios: Array,
        pool: Executor,
        offset: Array | None = None,
    ) -> None:
        self.model, self.X, self.targets, self.weights, self.folds = model, X, targets, weights, folds
        self.offset = offset
        alone = len(folds) == 1
        self.fit_pool = IN_TURN if alone else pool
        self.map_blocks: Callable[..., Any] = pool.map if alone else map
        self._problems = {l1: self._problem(l1, Cs) for l1 in np.unique(l1_ratios > 0).tolist()}
        if not isinstance(Cs, np.ndarray):
            paths = [(self._problems[l1 > 0], l1) for l1 in l1_ratios.tolist()]
            Cs = grid(paths, Cs, model.max_iter, has_folds=True, stacklevel=6)  # of whoever calls fit
        super().__init__(model, targets.classes, X.shape[1], len(folds), X.dtype, Cs, l1_ratios)

    def run(self, scoring: Score, report: PathReport) -> None:
        """Fit and score everything."""
        for i, l1_ratio in enumerate(self.l1_ratios):
            problem = self._problems[bool(l1_ratio > 0)]
            folds = self._fold_problems(problem)
            options: dict[str, Any] = {
                "l1_ratio": float(l1_ratio),
                "tol": self.model.tol,
                "max_iter": self.model.max_iter,
            }
            steps = fit_path(problem, self.Cs, folds, pool=self.fit_pool, **options)
            for j, C in enumerate(self.Cs):
                with report.candidate(C, l1_ratio) as task:
                    full, fits = next(steps)
                    self.full_fits[i].append(verified(problem, full, C, dtype=self.X.dtype, **options))
                    kept = [
                        verified(fold, fit, C, dtype=self.X.dtype, **options)
                        for fold, fit in zip(folds, fits, strict=True)
                    ]
                    for k, fit in enumerate(kept):
                        with task.fold():
                            self.keep(*fit, i, j, k)
                            self.scores[i, j, k] = scoring(self.fold_model(i, j, k), self.folds[k], C, k)
                    task.end(self.scores[i, j], partial(self.attributes, i, j))

    def fold_model(self, i: int, j: int, k: int) -> Any:
        """The model of fold k for l1_ratio i and C j, which holds the offsets of its test part."""
        model = super().fold_model(i, j, k)
        return model if self.offset is None else model._holding(self.offset[self.folds[k].test])

    def _problem(self, l1: bool, Cs: Grid) -> Problem:
        targets, weights = weigh_classes(self.targets, self.weights, self.model.class_weight)
        factors = self.model._factors(targets.classes)
        problem = Problem(
            MatrixRows(self.X, targets, weights, self.map_blocks, offset=self.offset),
            fit_intercept=self.model.fit_intercept,
            largest_C=weakest_of(Cs, factors),
            l1=l1,
            factors=factors,
        )
        check_weighted(factors, targets.classes, problem.layout.live)
        return problem

    def _fold_problems(self, problem: Problem) -> list[Problem]:
        """The problem of each fold's training part."""
        problems = []
        for fold in self.folds:
            targets, weights = training_part(self.model, fold, self.targets, self.weights)
            problems.append(problem.part(fold.train, targets, weights, self.map_blocks))
        return problems


def search_in_memory(
    model: Any,
    X: Any,
    y: Any,
    sample_weight: ArrayLike | None,
    offset: Any,
    params: Mapping[str, Any],
    Cs: Grid,
    l1_ratios: Array,
    pool: Executor,
) -> tuple[Candidates, PathReport]:
    """The search of `SoftmaxRegressionCV` in memory, begun and done."""
    refuse_lazy(X, "X")
    y = as_targets(y)
    X_checked, targets, weights = check_sample(model, X, y, sample_weight)
    known = fitted_offset(offset, X_checked.shape[0], targets.classes)
    score_weight = None if sample_weight is None else weights
    split_params, score_params = routed(model, "fit", score_weight, params)
    folds = divide(model.cv, X, strata(y, targets), targets, weights, split_params)
    _check_folds(model, folds, targets, weights)
    scorer = make_scorer(model.scoring, model, y, targets.classes)
    scoring = Scoring(scorer, X, y, X_checked, targets, accepted(scorer, score_params, stacklevel=5))
    model.classes_, model.has_offset_ = targets.classes, offset is not None
    search = PathSearch(model, X_checked, targets, weights, folds, Cs, l1_ratios, pool, known)
    report = search.begin_report(X, y, sample_weight, offset)
    search.run(scoring, report)
    return search, report


def _check_folds(model: Any, folds: Sequence[Fold], targets: Targets, weights: Array) -> None:
    """Raise a ValueError if a fold cannot be used, and warn of classes that its training part lacks."""
    if model.temperature == "cv":
        check_test_classes(folds, targets, weights)
        check_training_classes(folds, targets, weights, 'choose another temperature than "cv"')
    if not model.refit:
        check_training_classes(folds, targets, weights, "choose refit=True")
    missing = missing_classes(folds, targets, weights)
    for number, classes in missing.items():
        _check_training_part(model, folds[number], number, classes, targets, weights)
    for number, classes in missing.items():
        warnings.warn(
            f"{lacking(number, classes)}. {of_missing(model)} {advice(classes, targets, weights)}",
            UserWarning,
            stacklevel=5,
        )


def _check_training_part(
    model: Any, fold: Fold, number: int, missing: list[Any], targets: Targets, weights: Array
) -> None:
    """Raise a ValueError if there is nothing to fit to."""
    lacks = lacking(number, missing)
    if not weights[fold.train].sum() > 0:
        raise ValueError(f"{lacks}: there is nothing to fit to.")
    try:
        training_part(model, fold, targets, weights)
    except ValueError as error:
        raise ValueError(f"{lacks}. {error}") from error
