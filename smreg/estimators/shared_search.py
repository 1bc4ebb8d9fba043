"""Cross-validation by passes over rows that no one sees all of: all candidates and folds at a time."""

import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smreg.data.batches import Batches
from smreg.data.block import Block
from smreg.data.factors import check_weighted
from smreg.data.folds import Part, Training, described, described_by_fold, divided
from smreg.data.kernels import sum_of
from smreg.data.lazy import is_lazy
from smreg.data.parts import PartedRows
from smreg.data.rows import Rows
from smreg.data.sample import Sample
from smreg.data.shared_passes import SharedRows
from smreg.data.threads import allowed_threads
from smreg.data.weights import check_live, class_weight_vector
from smreg.estimators.candidates import Candidates
from smreg.estimators.cross_validation import advice_by_counts, lacking, of_missing, routed
from smreg.estimators.fold_scores import FoldModels, Measure, mean_scores, measure_of
from smreg.estimators.report import PathReport
from smreg.estimators.samples import read_sample
from smreg.fit.grid import Grid, grid, weakest_of
from smreg.fit.regression import Problem
from smreg.fit.side_by_side import Path, exploring, fit_side_by_side

Array = NDArray[np.float64]


class SharedSearch(Candidates):
    """Full fits and fold fits for every l1_ratio and C, which share passes, with the folds' scores.

    Parameters
    ----------
    model : SoftmaxRegression
        Whose other parameters to use.
    sample : Sample
        Of which the rows know their folds; without class weights.
    parts : sequence of Part
        The test part of each fold, and last what is in none.
    Cs : int, "auto" or ndarray of shape (n_Cs,)
        The grid, or the size of one that the data set.
    l1_ratios : ndarray of shape (n_l1_ratios,)
        Parts of the penalty that are L1.
    n_threads : int
        Fits that compute at a time.
    """

    def __init__(
        self,
        model: Any,
        sample: Sample,
        parts: Sequence[Part],
        Cs: Grid,
        l1_ratios: Array,
        n_threads: int,
    ) -> None:
        self.model, self.classes, self.n_threads = model, sample.classes, n_threads
        self.rows, n_folds = SharedRows(sample.rows), len(parts) - 1
        problems = {l1: self._problems(parts, l1, Cs) for l1 in np.unique(l1_ratios > 0).tolist()}
        self._paths = [Path(l1, *problems[l1 > 0]) for l1 in l1_ratios.tolist()]
        if not isinstance(Cs, np.ndarray):
            explore = exploring(self.rows, n_threads)
            paths = [(path.problem, path.l1_ratio) for path in self._paths]
            Cs = grid(paths, Cs, model.max_iter, has_folds=True, stacklevel=6, explore=explore)
        n_features = sample.rows.n_features
        super().__init__(model, sample.classes, n_features, n_folds, sample.dtype, Cs, l1_ratios)

    def run(self, measure: Measure, report: PathReport, *, weighted: bool) -> None:
        """Fit and score everything, then report it."""
        for path in self._paths:
            if path.l1_ratio == 0:
                path.problem.prepare(self.Cs[0])
        options = {"tol": self.model.tol, "max_iter": self.model.max_iter, "dtype": self.dtype}
        fits = fit_side_by_side(self.rows, self._paths, self.Cs, n_threads=self.n_threads, **options)
        for i, of_path in enumerate(fits):
            for j, (full, folds) in enumerate(of_path):
                self.full_fits[i].append(full)
                for k, fit in enumerate(folds):
                    self.keep(*fit, i, j, k)
        self.scores[:] = self._scored(measure, weighted=weighted)
        for i, j in np.ndindex(self.scores.shape[:2]):
            self._report(report, i, j)

    def _scored(self, measure: Measure, *, weighted: bool) -> Array:
        """The scores of all fold fits."""
        coefs = self.coefs.reshape(self.n_folds, -1, *self.coefs.shape[3:])
        coef, intercept = coefs[..., : self.n_features], coefs[..., self.n_features :]
        intercepts = intercept[..., 0] if self.model.fit_intercept else np.zeros(coef.shape[:3])
        temperature = float(self.model.temperature)
        models = FoldModels(coef, intercepts, len(self.classes), temperature)
        scores = mean_scores(self.rows, models, measure, weighted=weighted)
        bad = np.argwhere(~np.isfinite(scores))
        if len(bad):
            fold, number = bad[0]
            C = self.Cs[number % len(self.Cs)]
            raise ValueError(
                f"scoring gave {scores[fold, number]} for fold {fold} and C={C:g}: candidates can only be "
                "compared by finite scores."
            )
        return scores.T.reshape(self.scores.shape)

    def _report(self, report: PathReport, i: int, j: int) -> None:
        with report.candidate(self.Cs[j], self.l1_ratios[i]) as task:
            for _ in range(self.n_folds):
                with task.fold():
                    pass
            task.end(self.scores[i, j], partial(self.attributes, i, j))

    def _problems(self, parts: Sequence[Part], l1: bool, Cs: Grid) -> tuple[Problem, list[Problem]]:
        """That of all samples, and of the folds' training parts, in one pass if there are class weights."""
        edits = [Training(fold, self._weights(part)) for fold, part in _trainings(parts)]
        known = [part for _, part in _trainings(parts)]
        n_classes, factors = len(self.classes), self.model._factors(self.classes)
        if any((edit.class_weights != 1).any() for edit in edits):
            known = list(self.rows.map_reduce(_described_each, edits, n_classes))
        problems = []
        for edit, part in zip(edits, known, strict=True):
            rows = self.rows.edited(edit, n_classes, part.moments.statistics(self.rows.eps))
            rows.tally = part.tally
            problem = Problem(
                rows,
                fit_intercept=self.model.fit_intercept,
                largest_C=weakest_of(Cs, factors),
                l1=l1,
                factors=factors,
            )
            problems.append(problem)
        check_weighted(factors, self.classes, problems[0].layout.live)
        return problems[0], problems[1:]

    def _weights(self, part: Part) -> Array:
        """Class weights of a training part."""
        return class_weight_vector(self.model.class_weight, self.classes, part.tally.mass)


def _described_each(block: Block, edits: Sequence[Training], n_classes: int) -> tuple[Part, ...]:
    return tuple(described(edit(block), n_classes) for edit in edits)


def _trainings(parts: Sequence[Part]) -> list[tuple[int | None, Part]]:
    """All samples, and the training part of each fold, with its number."""
    others = [[*parts[:fold], *parts[fold + 1 :]] for fold in range(len(parts) - 1)]
    return [(None, sum_of(parts)), *((fold, sum_of(some)) for fold, some in enumerate(others))]


def _check_folds(model: Any, parts: Sequence[Part], classes: NDArray[Any]) -> None:
    """Raise a ValueError if a fold cannot be used, and warn of classes that its training part lacks."""
    of_all, *trainings = (part for _, part in _trainings(parts))
    for number, part in enumerate(parts[:-1]):
        if not part.tally.total > 0:
            raise ValueError(f"The test part of fold {number} has no samples of positive weight to score.")
    for number, part in enumerate(trainings):
        missing = classes[(of_all.tally.mass > 0) & ~(part.tally.mass > 0)].tolist()
        if missing:
            advice = advice_by_counts(missing, classes, of_all.counts)
            _check_training_part(model, number, part, missing, classes, advice)


def _check_training_part(
    model: Any, number: int, part: Part, missing: list[Any], classes: NDArray[Any], advice: str
) -> None:
    lacks = lacking(number, missing)
    if not part.tally.total > 0:
        raise ValueError(f"{lacks}: there is nothing to fit to.")
    if not model.refit:
        raise ValueError(
            f"{lacks}, so that a model fitted to it cannot know them. {advice} Or choose refit=True."
        )
    mass = part.tally.mass * class_weight_vector(model.class_weight, classes, part.tally.mass)
    try:
        check_live(classes, mass, fewest=min(2, len(classes) - 1))  # of two labels one is enough
    except ValueError as error:
        raise ValueError(f"{lacks}. {error}") from error
    warnings.warn(f"{lacks}. {of_missing(model)} {advice}", UserWarning, stacklevel=6)


def search_by_passes(
    model: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    offset: Any,
    params: Mapping[str, Any],
    Cs: Grid,
    l1_ratios: Array,
    pool: Executor,
) -> tuple[Candidates, PathReport]:
    """The search of `SoftmaxRegressionCV` by passes, begun and done."""
    if model.temperature == "cv":
        raise ValueError(
            'temperature="cv" needs the logits of all samples in memory, but X is read in passes: give a '
            "number, or fit it afterwards, by smreg.fit_temperature on the logits of some samples."
        )
    measure = measure_of(model.scoring, soft=_is_soft(X, y))
    weights = X.sample_weight if isinstance(X, Batches) else sample_weight
    _, score_params = routed(model, "fit", weights, params)
    if unknown := sorted({*params, *score_params} - {"sample_weight"}):
        raise ValueError(
            f"fit takes no {unknown} where X is a Dask collection or Batches: number the folds by cv=."
        )
    with read_sample(model, X, y, sample_weight, offset, None, pool.map) as sample:
        model.classes_, model.has_offset_ = sample.classes, offset is not None
        rows, n_folds = _divided(sample.rows, X, model.cv, sample.classes)
        parts = rows.map_reduce(described_by_fold, len(sample.classes), n_folds)
        _check_folds(model, parts, sample.classes)
        divided_sample = replace(sample, rows=rows)
        search = SharedSearch(model, divided_sample, parts, Cs, l1_ratios, allowed_threads(model.n_jobs))
        report = search.begin_report(X, y, sample_weight, offset)
        search.run(measure, report, weighted="sample_weight" in score_params)
    return search, report


def _is_soft(X: Any, y: Any) -> bool:
    """Whether targets of what is read in passes are soft, as far as is known before."""
    if isinstance(X, Batches):
        return isinstance(X.target, list)
    from smreg.data.dask_partitions import is_soft_target

    return is_soft_target(y)


def _divided(rows: Rows, X: Any, cv: Any, classes: NDArray[Any]) -> tuple[PartedRows, int]:
    """Rows that know their folds, and how many these are."""
    assert isinstance(rows, PartedRows)
    if is_lazy(cv) and is_lazy(X):
        from smreg.data.dask_folds import divided_by

        return divided_by(rows, X, cv)
    return divided(rows, cv, classes)
