"""Choosing C by cross-validation along the regularisation path."""

from collections.abc import Mapping
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.utils.metadata_routing import UNUSED, MetadataRouter, MethodMapping
from sklearn.utils.validation import check_is_fitted

from smreg import family
from smreg._sklearn import Interval, StrOptions, fit_context
from smreg.data.lazy import is_lazy, refuse_lazy
from smreg.data.targets import as_targets, require
from smreg.data.threads import workers
from smreg.estimators.attributes import fitted_attributes, unchanged_on_failure
from smreg.estimators.candidates import Candidates, choose
from smreg.estimators.cross_validation import routed
from smreg.estimators.estimator import SoftmaxRegression
from smreg.estimators.fold_scores import measure_of
from smreg.estimators.grid_ends import warn_of_an_end
from smreg.estimators.path import warn_of_unconverged
from smreg.estimators.path_search import PathSearch, search_in_memory
from smreg.estimators.prediction import logits_of_checked
from smreg.estimators.samples import is_by_passes
from smreg.estimators.scoring import accepted, make_scorer
from smreg.estimators.shared_search import search_by_passes
from smreg.fit.grid import check_grid, check_l1_ratios
from smreg.objective.layout import Regression
from smreg.temperature.scaling import fit_to_classifier

Array = NDArray[np.float64]


class SoftmaxRegressionCV(SoftmaxRegression):
    """Softmax regression with C, and the L1 part of the penalty, chosen by cross-validation.

    For each `l1_ratio` the path of C is followed from strong to weak regularisation, on all data and on the
    training part of each fold side by side: the solution on all data, and the metric in which it was found,
    are where the folds begin. Without a penalty, where there may be many solutions or none, they are fitted
    by themselves. The choice is that of ``GridSearchCV(SoftmaxRegression(), {"C": Cs})``.

    Parameters
    ----------
    Cs : int, "auto" or array-like of positive numbers, default="auto"
        Inverse strengths of the penalty to try, taken in increasing order. A number asks for so many between
        limits that the data set, "auto" for as many as make steps of half a decade: see
        `regularization_path`. With an L1 penalty they begin half a decade lower than there, so that no fold's
        model has a feature yet.
    l1_ratios : array-like of numbers from 0 to 1, default=(0.0,)
        Parts of the penalty that are L1, to try.
    cv : int, cross-validation splitter, iterable of (train, test) or array-like of int, default=None
        Folds, as everywhere in scikit-learn: None is five, stratified where y are labels. Or the number of
        each row's fold, as of a `PredefinedSplit`. For Dask collections and Batches these alone, or how many:
        see Notes.
    scoring : str, callable or None, default="neg_log_loss"
        Any scorer for a single number, higher being better; None is accuracy. The default is the log loss,
        and for soft targets the cross-entropy (`smreg.metrics.neg_cross_entropy_scorer`), which is not
        clipped. A metric of `make_scorer` that takes `labels` (or `classes`) is given all classes, so that a
        fold's test part may lack some where the score is defined nevertheless; of two classes the second is
        the positive one where neither metric nor scorer names one. A callable gets the rows of a DataFrame
        as a DataFrame.
    rule : {"best", "one_standard_error"}, default="best"
        Whether to take the candidate with the best mean score, or the smallest C, with the best one's
        l1_ratio, whose mean is within one standard error of it.
    temperature : float or "cv", default=1.0
        Divisor of the logits in `predict_proba`. "cv" fits it to the logits that the folds' models of the
        chosen C give to their test parts: no data are held back for it, and none are used twice. A number
        that is set after `fit` counts in `predict_proba` from then on, as for `SoftmaxRegression`.
    refit : bool, default=True
        Whether the coefficients are those of all data; else the mean of the folds' coefficients.
    penalty_factor : array-like, dict, Series or None, default=None
        By what the penalty of each coefficient is multiplied, as for `SoftmaxRegression`.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes; "balanced" balances the training part of each fold.
    fit_intercept : bool, default=True
        Whether to fit intercepts; they are not penalised.
    tol : float, default=1e-4
        Largest norm of the gradient in the Fisher metric, for each fit.
    max_iter : int, default=5000
        Most steps of each fit.
    n_jobs : int or None, default=None
        Threads, for the fits to all data and to the folds side by side, or with a single fold over blocks of
        rows; None for as many as OpenMP may use. Their number changes no bit of the result.
    verbose : int, default=0
        Whether to print a line for each candidate.

    Attributes
    ----------
    C_, l1_ratio_ : float
        Those chosen.
    temperature_ : float
        That of `fit`, and of `predict_proba` unless another number is set or given there.
    Cs_ : ndarray of shape (n_Cs,)
        All that were tried, increasing.
    l1_ratios_ : ndarray of shape (n_l1_ratios,)
        All that were tried.
    scores_ : dict of ndarrays of shape (n_candidates,)
        C, l1_ratio, mean and standard_error over the folds of each candidate: l1_ratios one after the other,
        and in each the Cs. ``pandas.DataFrame(model.scores_)`` is a table.
    best_index_, one_standard_error_index_ : int
        What each rule chooses, as an index into the arrays of `scores_`.
    cv_results_ : dict of ndarrays of shape (n_candidates * n_folds,)
        C, l1_ratio, fold, score, evaluations, seconds and converged of every fit to a fold, folds within
        candidates: a tidy table as a DataFrame. Of fits side by side the seconds overlap.
    path_evaluations_ : ndarray of int of shape (n_l1_ratios, n_Cs)
        Evaluations of the fits to all data, from which the folds began.
    coefs_paths_ : ndarray of shape (n_folds, n_l1_ratios, n_Cs, n_rows, n_features + fit_intercept)
        Coefficients of every fit to a fold, the intercept last.
    coef_, intercept_, classes_, converged_, n_iter_, has_offset_, n_features_in_, feature_names_in_
        As for `SoftmaxRegression`, at the chosen candidate.
    solution_ : Solution
        Record of the fit to all data at the chosen candidate.

    Notes
    -----
    Dense X, a `numpy.memmap` too, is not copied for the folds: they read their rows of it by index. The test
    part of a fold is, while it is scored. Of sparse X every fold has a copy of its rows. Memory beyond that
    is mostly `coefs_paths_`. Where not even a test part fits, pass `smreg.data.Batches` over slices of the
    memmap.

    **Dask collections and Batches**, for which passes over the rows are what costs: the fits of all
    candidates and folds run side by side and share their passes. Ten Cs and five folds take about twice the
    passes of one fit of `SoftmaxRegression`, where the data set the limits of the grid four times. Nothing of
    the length of X is kept in addition, not even with the workers. Samples of rows, by which metrics are
    made, take up to 256 MiB in all, and the metrics up to 1 GiB.

    - A number of folds deals the rows of each class out to them, whatever the partitions or batches, as by
      ``StratifiedKFold(shuffle=True)``, but by a fixed hash of the row's place within its class; of soft
      targets all rows are of one class. Otherwise `cv` is the number of each row's fold, -1 for rows that
      are in no test part, as in `PredefinedSplit`: an array in memory, or where X is of Dask a series or
      array divided like X. Other splitters need all rows at once, and are refused.
    - `scoring` must be a mean over samples: "neg_log_loss", "accuracy", "neg_brier_score" or
      `smreg.metrics.neg_cross_entropy_scorer`. All fits are scored in one pass.
    - There is no ``temperature="cv"``.
    - `seconds` of a fit are those from its beginning to its end, with the passes that it shares and what it
      waits for others: they add up to far more than the search takes.
    - `n_jobs` is for what is computed between passes, and of each batch. Callbacks and `verbose` report the
      candidates when all have been fitted.

    See Also
    --------
    SoftmaxRegression : The model for a given C.
    regularization_path : The path alone, with degrees of freedom.
    sklearn.linear_model.LogisticRegressionCV : The same idea with other solvers.

    References
    ----------
    T. Hastie, R. Tibshirani and J. Friedman, The Elements of Statistical Learning, 2nd ed., Springer 2009,
    section 7.10. https://doi.org/10.1007/978-0-387-84858-7

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from smreg import SoftmaxRegressionCV
    >>> X, y = load_wine(return_X_y=True)
    >>> model = SoftmaxRegressionCV(Cs=[0.01, 0.1, 1.0, 10.0]).fit(X, y)
    >>> model.C_
    10.0
    >>> model.scores_["mean"].round(3)
    array([-0.29 , -0.144, -0.093, -0.088])
    """

    __metadata_request__score: ClassVar[dict[str, str]] = {"sample_weight": UNUSED}  # it is the scorer's

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "Cs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"}), "array-like"],
        "l1_ratios": ["array-like"],
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "rule": [StrOptions({"best", "one_standard_error"})],
        "temperature": [Interval(Real, 0, None, closed="neither"), StrOptions({"cv"})],
        "refit": ["boolean"],
        **{
            name: SoftmaxRegression._parameter_constraints[name]
            for name in (
                "penalty_factor",
                "class_weight",
                "fit_intercept",
                "tol",
                "max_iter",
                "n_jobs",
                "verbose",
            )
        },
    }

    def __init__(
        self,
        Cs: int | str | ArrayLike = "auto",
        *,
        l1_ratios: ArrayLike = (0.0,),
        cv: Any = None,
        scoring: Any = "neg_log_loss",
        rule: str = "best",
        temperature: float | str = 1.0,
        refit: bool = True,
        penalty_factor: ArrayLike | Mapping[str, float] | None = None,
        class_weight: Mapping[Any, float] | str | None = None,
        fit_intercept: bool = True,
        tol: float = 1e-4,
        max_iter: int = 5000,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.Cs = Cs
        self.l1_ratios = l1_ratios
        self.cv = cv
        self.scoring = scoring
        self.rule = rule
        self.temperature: Any = temperature
        self.refit = refit
        self.penalty_factor = penalty_factor
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None, offset: Any = None, **params: Any
    ) -> Self:
        """Choose C and fit the coefficients.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dask collection} of shape (n_samples, n_features), or Batches
            Features in any units. Or `smreg.data.Batches`, which are all of the sample.
        y : {array-like, Dask collection} of shape (n_samples,) or (n_samples, n_classes)
            Labels or soft targets. None for `Batches` alone.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, of the fits and of the folds' scores.
        offset : array-like of shape (n_samples, n_classes), default=None
            Known part of the logits, see `SoftmaxRegression.fit`. The models of the folds are scored as views
            that hold the offsets of the samples, so that any scorer takes them.
        **params : dict
            ``groups`` for the splitter; with metadata routing whatever splitter and scorer ask for.

        Returns
        -------
        SoftmaxRegressionCV
            The estimator itself.

        Raises
        ------
        ValueError
            If an argument is not as above, or a score is not defined or not finite. With ``temperature="cv"``
            or ``refit=False`` also if a training part lacks a class. Where X is a Dask collection or Batches,
            if `cv`, `scoring` or `temperature` are none of those in the Notes, or a pass yields other rows.
            The estimator is then as it was before.

        Warns
        -----
        ConvergenceWarning
            If a fit did not converge.
        UserWarning
            If the best C is the end of a grid that the data set, and the score still rises there, or the step
            to it is of several decades, within which the best may lie. If floating point cannot hold all of
            that grid, for the units of the features. If the training part of a fold lacks a class: the fold's
            model has for it what `SoftmaxRegression` has for a class without weight, see `intercept_` there.
            Or if weights are given and the scorer takes none: its scores are then without weights.
        """
        with unchanged_on_failure(self):
            Cs, l1_ratios = check_grid(self.Cs), check_l1_ratios(self.l1_ratios)
            search_all = search_by_passes if is_by_passes(X, y, sample_weight, offset) else search_in_memory
            with workers(self.n_jobs) as pool:
                search, report = search_all(self, X, y, sample_weight, offset, params, Cs, l1_ratios, pool)
            self._keep(search)
            report.finish({name: getattr(self, name) for name in ("coef_", "intercept_", "temperature_")})
            warn_of_unconverged(search.all_solutions(), self.tol, self.max_iter, stacklevel=4)
            if not isinstance(Cs, np.ndarray):
                warn_of_an_end(self.scores_, self.best_index_, stacklevel=4)
        return self

    def score(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        *,
        offset: Any = None,
        **params: Any,
    ) -> float:
        """Score by `scoring`, which is the log loss unless something else was asked for.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels, or soft targets where the scorer takes them.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.
        offset : array-like of shape (n_samples, n_classes), default=None
            Known part of the logits of these samples, as in `fit`, whatever the scorer.
        **params : dict
            With metadata routing whatever the scorer asks for.

        Returns
        -------
        float
            Higher is better.

        Raises
        ------
        ValueError
            If X has other features than in `fit`, offsets are missing, or not as in `fit`, the scorer does
            not take this y, or its score is not defined for want of some classes in y.

        Warns
        -----
        UserWarning
            If weights are given and the scorer takes none: the score is then without weights.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from smreg import SoftmaxRegressionCV
        >>> X, y = load_iris(return_X_y=True)
        >>> model = SoftmaxRegressionCV(scoring="accuracy").fit(X, y)
        >>> round(model.score(X, y), 3)
        0.98
        """
        check_is_fitted(self)
        offset = self._offset(offset, "score")
        if is_lazy(X):
            return self._mean_score(X, y, sample_weight, offset, params)
        refuse_lazy(X, "X")
        require(y, "score")
        y = as_targets(y)
        _, score_params = routed(self, "score", sample_weight, params)
        scorer = make_scorer(self.scoring, self, y, self.classes_)
        model = self if offset is None else self._holding(offset)
        return scorer(model, X, y, accepted(scorer, score_params, stacklevel=3))

    def _mean_score(
        self, X: Any, y: Any, sample_weight: Any, offset: Any, params: Mapping[str, Any]
    ) -> float:
        """The score of Dask collections, partition by partition."""
        from smreg.data.dask_partitions import check_lazy_features, is_soft_target
        from smreg.data.dask_prediction import mean_score

        measure_of(self.scoring, soft=is_soft_target(y))  # raises an error for what is no mean
        check_lazy_features(self, X, reset=False)
        _, score_params = routed(self, "score", sample_weight, params)
        return mean_score(X, y, score_params.get("sample_weight"), partial(_scored_part, self), offset)

    def get_metadata_routing(self) -> MetadataRouter:
        """What the splitter and the scorer ask for, see scikit-learn's guide on metadata routing.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
            Requests of the estimator itself, of the splitter and of the scorer.
        """
        to_scorer = MethodMapping().add(caller="fit", callee="score").add(caller="score", callee="score")
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
            .add(scorer=get_scorer(self.scoring or "accuracy"), method_mapping=to_scorer)
        )

    def _keep(self, search: Candidates) -> None:
        """Choose, and set the attributes."""
        self.Cs_, self.l1_ratios_ = search.Cs, search.l1_ratios
        self.cv_results_, self.scores_ = search.results(), search.summary()
        self.path_evaluations_, self.coefs_paths_ = search.path_evaluations(), search.coefs
        self.best_index_, self.one_standard_error_index_ = choose(self.scores_)
        index = self.best_index_ if self.rule == "best" else self.one_standard_error_index_
        self.C_, self.l1_ratio_ = (float(self.scores_[name][index]) for name in ("C", "l1_ratio"))
        i, j = divmod(index, len(self.Cs_))
        full, solution = search.full_fits[i][j]
        solutions = [solution] if self.refit else search.solutions[i, j].tolist()
        regression = full if self.refit else search.mean(i, j)
        for name, value in fitted_attributes(regression, search.coefs.dtype).items():
            setattr(self, name, value)
        self.solution_ = solution
        self.converged_ = all(solution.converged for solution in solutions)
        self.n_iter_ = max(solution.iterations for solution in solutions)
        self.temperature_ = self._fit_temperature(search, i, j)

    def _fit_temperature(self, search: Candidates, i: int, j: int) -> float:
        """The temperature that was given, or that of the out-of-fold logits."""
        if self.temperature != "cv":
            return float(self.temperature)
        assert isinstance(search, PathSearch)
        logits = [
            logits_of_checked(search.fold_model(i, j, k), search.X[fold.test], lambda logits: logits)
            for k, fold in enumerate(search.folds)
        ]
        rows = np.concatenate([fold.test for fold in search.folds])
        y, weights = search.targets.values[rows], search.weights[rows]
        codes = np.arange(len(search.targets.classes))  # of which the test parts may lack some
        return fit_to_classifier(np.concatenate(logits), y, codes, weights).temperature

    def _fixed(self, regression: Regression, dtype: Any, classes: NDArray[Any]) -> SoftmaxRegression:
        """A fitted model with these coefficients, to be scored."""
        model = SoftmaxRegression(temperature=1.0 if self.temperature == "cv" else self.temperature)
        for name, value in fitted_attributes(regression, dtype).items():
            setattr(model, name, value)
        model.classes_, model.n_features_in_ = classes, regression.coef.shape[1]
        if hasattr(self, "feature_names_in_"):
            model.feature_names_in_ = self.feature_names_in_
        return model

    def _divisor(self, temperature: float | None) -> float:
        check_is_fitted(self)
        if temperature is None:
            temperature = self.temperature_ if self.temperature == "cv" else self.temperature
        return family.check_temperature(temperature)


def _scored_part(model: SoftmaxRegressionCV, X: Any, y: Any, weights: Array, offset: Any) -> float:
    """The score of a partition."""
    y = as_targets(y)
    scorer = make_scorer(model.scoring, model, y, model.classes_)
    return scorer(model._holding(offset), X, y, {"sample_weight": weights})
