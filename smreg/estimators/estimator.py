"""The scikit-learn estimator: parameters, fit, attributes and prediction."""

import warnings
from collections.abc import Mapping
from copy import copy
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from smreg import family
from smreg._sklearn import Interval, StrOptions, fit_context
from smreg.data.factors import check_penalty_factor, check_weighted
from smreg.data.labels import as_labels
from smreg.data.lazy import is_lazy, refuse_lazy
from smreg.data.offsets import missing_offset
from smreg.data.targets import is_soft, require
from smreg.data.threads import row_threads
from smreg.data.weights import check_sample_weight
from smreg.estimators.attributes import unchanged_on_failure
from smreg.estimators.coefficients import dense, regression_of, table_of
from smreg.estimators.prediction import SCORE_OF_SOFT, lazily, lazy_accuracy, logits_of
from smreg.estimators.report import Report
from smreg.estimators.samples import checked_sample
from smreg.fit.bias_reduction import BiasReducedProblem
from smreg.fit.regression import Problem
from smreg.fit.solution import Solution
from smreg.fit.verification import verified
from smreg.objective.layout import Regression

Array = NDArray[Any]


class SoftmaxRegression(CallbackSupportMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Softmax regression: multinomial logistic regression that converges in any units.

    With ``eta = o + W x + b`` and ``p = softmax(eta)``, coefficients W and intercepts b minimise the mean
    cross-entropy of the targets plus a penalty,

    ``F(W, b) = 1/S sum_i s_i [log sum_k exp(eta_ik) - <eta_i, t_i>]``
    ``          + 1/(C S) [(1 - l1_ratio)/2 ||W||_F^2 + l1_ratio ||W||_1]``,

    where ``s_i`` are the weights and S is their sum: ridge by default, the elastic net with an `l1_ratio`
    between 0 and 1, and the lasso at 1. That is scikit-learn's objective: where both converge, the solution
    is that of ``LogisticRegression`` with equal `C`, `l1_ratio`, `fit_intercept` and `class_weight`. Offsets
    ``o_i``, which that has none of, are what `fit` was given, or zero; see the notes. The minimum is found by
    L-BFGS in the metric of the Fisher information, or with an L1 norm by a proximal Newton method. The units
    of the features play no part in either: the search needs no scaling. The penalty does have units, so that
    with a finite `C` scaling the features changes the solution, as in any ridge regression.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty, positive; ``inf`` means no penalty.
    l1_ratio : float, default=0.0
        Part of the L1 norm in the penalty, from 0 to 1. Any such part makes coefficients exactly zero, the
        more of them the smaller `C` is. Adding a constant to all coefficients of a feature changes no
        probability. At 1, with an even number of classes from four on, some such shifts do not even change
        the L1 norm, and the minimum is not unique: the one is taken that leaves most coefficients of the
        feature zero, then that of least Euclidean norm, then the smaller one.
    penalty_factor : array-like, dict, Series or None, default=None
        By what the penalty of each coefficient is multiplied: a number >= 0 for each feature, as an
        array of shape (n_features,) or by its name, the rest being 1; or one for each row of ``coef_`` and
        feature, of shape (n_classes, n_features). 0 leaves a coefficient unpenalised, ``inf`` keeps it at
        zero at any `C`. None is 1 for all. See Notes.
    bias_reduction : bool, default=False
        Whether to minimise ``F - log det I / (2 S)``, with the Fisher information I of the coefficients and
        intercepts: the likelihood with Jeffreys' prior. Its estimates are finite, also where the classes are
        separated, and in small samples less biased; see the notes. Only with ``C=inf``.
    fit_intercept : bool, default=True
        Whether to fit intercepts; they are not penalised, but by `bias_reduction`.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, ``{label: weight}``; "balanced" gives all classes the same total
        weight. They multiply `sample_weight`.
    temperature : float, default=1.0
        Positive divisor of the logits in `predict_proba` and `predict_log_proba`. It has no part in
        `fit` and does not change `predict`.
    tol : float, default=1e-4
        The fit has converged when the norm of the gradient in the Fisher metric is at most `tol`. It
        has no units: the objective is then about ``tol**2 / 2`` nats above its minimum.
    max_iter : int, default=5000
        Most steps of the solver. A few tens are usual, some hundreds with thousands of coefficients; about
        ten with an L1 norm.
    warm_start : bool, default=False
        Whether to begin at the coefficients of the previous fit, if that had the same classes and
        features.
    n_jobs : int or None, default=None
        Threads over blocks of rows during `fit`; BLAS is held to one meanwhile. None is as many as OpenMP
        may use (all processors, or what ``OMP_NUM_THREADS``, `threadpoolctl` or a joblib worker process
        leave), -1 is all processors. Their number changes no bit of the result. It has no meaning for Dask
        collections: each partition has one thread, and Dask's scheduler decides how many run side by side.
    verbose : int, default=0
        Whether to print a line for each step, and how the fit ended.

    Attributes
    ----------
    coef_ : ndarray of shape (n_classes, n_features), or (1, n_features) for two classes
        Coefficients in nats per unit of the feature. For three classes and more they sum to zero over
        the classes, but for an `l1_ratio` that is not 0, or a `penalty_factor` that differs between classes;
        for two the single row belongs to ``classes_[1]``. float32 where X is float32, unless that cannot
        hold them. A sparse array after `sparsify`.
    intercept_ : ndarray of shape (n_classes,), or (1,) for two classes
        Intercepts in nats, for three classes and more summing to zero; zeros without `fit_intercept`. A
        class without weight gets an intercept 300 nats below the mean of the others: its probability is
        below 1e-12 up to a temperature of 10. Of two classes that leaves -300 or 300, and coefficients of
        zero. (Without intercepts it stays in the model, and the penalty keeps its probability up.)
    classes_ : ndarray of shape (n_classes,)
        Sorted labels, or for soft targets the names of the columns.
    n_iter_ : int
        Steps that the solver took: a number, where `LogisticRegression` has an array of shape (1,).
    converged_ : bool
        Whether it converged.
    solution_ : Solution
        The record of the solve: objective, gradient norm, estimated and, where there is one, rigorous
        bound on the suboptimality, evaluations, seconds and the reason of its end.
    has_offset_ : bool
        Whether it was fitted with offsets: predictions then need those of their samples.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had any.

    Notes
    -----
    Beyond X a fit takes blocks of 8 MiB for each thread, a few vectors of the length of X and of the
    coefficients, and up to 256 MiB for the metric: some 200 MiB in all for 60000 x 784 numbers and 10 classes
    (``python tests/benchmarks/machine.py --only memory``). X is not copied, but for two cases. With fewer
    rows than columns the fit takes place in the space of the rows, of n x n numbers; a sparse X is then
    also stored by columns, and with a weak penalty or none two dense copies are made. And a sparse X with
    many columns that are stored in a single row is copied with these merged. `solution_` is the record of the
    smaller problem, which has the same objective: it is computed once more, from the coefficients. With an L1
    norm there is no smaller problem. Where the Hessian among the coefficients that are not zero takes more
    than 64 MiB, the fit keeps the probabilities of all samples instead, and for a sparse X a copy of the
    columns concerned.

    **Penalty factors.** With f for `penalty_factor` the penalty is
    ``1/(C S) sum_kj f_kj [(1 - l1_ratio)/2 W_kj^2 + l1_ratio |W_kj|]``. A factor for a feature is a unit: the
    model is that of the columns divided by ``sqrt(f_j)`` for the ridge penalty, by ``f_j`` for the lasso.
    Factors are taken as they are: equal ones are C divided by them, where glmnet rescales its
    `penalty.factor` to a sum of p, for p features. For its model, of ``lambda = 1/(C S)``, give finite
    factors as ``f * (p / sum(f))``. Where factors differ between classes the coefficients do not sum to
    zero: for the ridge penalty ``sum_k f_kj W_kj`` does. Coefficients of a feature without a penalty in any
    class sum to zero, whatever the penalty of others. At an `l1_ratio` of 1, where factors differ between
    classes, some shifts may leave the norm as it is: the coefficients are those at which the search ends.
    Coefficients without a penalty are first fitted alone, which `solution_.evaluations` does not count: if
    they separate the classes, a finite `C` is no help, and the fit says so.

    **Offsets** are a part of the logits that is known before the fit, and has no coefficient. Adding the same
    to all classes of a sample changes nothing. Some of their uses:

    - counts ``y_ik`` of K kinds with the exposures ``e_ik``: given their total, Poisson counts are
      multinomial, with the offsets ``log e_ik``;
    - case-control sampling, where a sample of class k is kept with the probability ``q_k``: with the offsets
      ``log q_k`` for all samples of the fit, and zeros for predictions, these are of the population;
    - priors that have changed since the fit, from ``pi_k`` to ``pi'_k``: predict with the offsets
      ``log(pi'_k / pi_k)``, also by a model that was fitted without any;
    - a model to be corrected: with its logits as offsets, the coefficients are what it is wrong by.

    Offsets are divided by the `temperature` with the rest of the logits. They count as what they are for a
    class without weight, too, whose intercept is finite. The model that a search begins with, and a default
    grid of C, has the offsets and intercepts alone.

    **Bias reduction.** Jeffreys' prior takes away the bias of order ``1 / n`` of maximum likelihood estimates
    (Firth 1993), and leaves none infinite (Kosmidis and Firth 2021; Heinze and Schemper 2002). In a model
    with a parameter for each cell it adds 1/2 to each count: probabilities are ``(n_k + 1/2) / (n + K/2)``.
    They are the same for any reference class and any linear map of X; of collinear columns I is the
    information of those that others do not determine. Weights, and class weights with them, count samples:
    unlike in a fit without a penalty, their sum matters. The function is not convex, and rarely, in very
    small samples without intercepts or with offsets of several nats, it has several minima: what the record
    says is then of the one that was found. Each evaluation takes ``n D^2`` operations for
    ``D = (K - 1)(p + 1)`` coefficients, up to some 3000 of them.

    **Dask.** All methods take Dask collections (``pip install smreg[dask]``) by the scheduler that is in use,
    that of a ``distributed.Client``, or else threads, out of core on one machine. A fit reads all partitions
    once a pass, some twenty times; on a cluster they stay with the workers where they take less than half of
    their memory. The fitted attributes are NumPy's. The same partitions give the same bits, whatever the
    number of workers, their speed or their death: Dask repeats what was lost. Where all workers are gone for
    good, Dask waits for others, by default for ever: set ``distributed.scheduler.no-workers-timeout`` where
    the scheduler is started, and after that time the fit ends in a ``distributed.scheduler.NoWorkerError``,
    the estimator as it was. Nothing is left on the cluster by a fit, however it ends. What needs a row by its
    number, or all of X, is left out: the space of the rows for wide features, and Newton's method there.
    Where partitions are read again in every pass they must be the same each time: give
    ``random_state`` to `random_split` or `sample`, or persist what is drawn. Another number of rows is an
    error that names the partition; other values are not found out.

    scikit-learn's other steps do not know Dask: a `StandardScaler` in a Pipeline computes all of X. Leave it
    out, since no fit needs it, or for a penalty in such units divide lazily, ``X / X.std()``. `GridSearchCV`
    and `cross_val_score` take arrays, but no frames, and make all passes for each candidate and fold:
    `SoftmaxRegressionCV` takes both, and shares passes. Of scorers, `smreg.metrics.neg_cross_entropy_scorer`
    goes by partitions, also against soft targets; scikit-learn's named ones, for labels, compute these and
    the predictions, but not X.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : The same model with other solvers.
    smreg.metrics.neg_cross_entropy_scorer : Scorer that takes soft targets.
    separation : Which estimates are infinite without a penalty.

    References
    ----------
    D. Firth, Bias reduction of maximum likelihood estimates, Biometrika 80 (1993).
    https://doi.org/10.1093/biomet/80.1.27

    I. Kosmidis and D. Firth, Jeffreys-prior penalty, finiteness and shrinkage in binomial-response
    generalized linear models, Biometrika 108 (2021). https://doi.org/10.1093/biomet/asaa052

    G. Heinze and M. Schemper, A solution to the problem of separation in logistic regression, Statistics in
    Medicine 21 (2002). https://doi.org/10.1002/sim.1047

    H. Zou and T. Hastie, Regularization and variable selection via the elastic net, Journal of the Royal
    Statistical Society B 67 (2005). https://doi.org/10.1111/j.1467-9868.2005.00503.x

    P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed., Chapman & Hall 1989, chapter 5.
    https://doi.org/10.1201/9780203753736

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_wine
    >>> from smreg import SoftmaxRegression
    >>> X, y = load_wine(return_X_y=True)
    >>> model = SoftmaxRegression().fit(X, y)
    >>> model.converged_
    True
    >>> model.predict_proba(X[:2]).round(3)
    array([[1., 0., 0.],
           [1., 0., 0.]])

    With a feature that is not penalised, and one that is left out:

    >>> wine = load_wine(as_frame=True)
    >>> free = SoftmaxRegression(C=0.01, penalty_factor={"alcohol": 0.0, "hue": np.inf})
    >>> free.fit(wine.data, wine.target).coefficients().loc[["alcohol", "ash", "hue"]].round(2)
                0     1     2
    alcohol  2.15 -2.02 -0.13
    ash      0.01 -0.02  0.01
    hue      0.00  0.00  0.00

    What a model that knows the first feature alone is wrong by, from all features:

    >>> first = SoftmaxRegression().fit(X[:, :1], y)
    >>> known = first.decision_function(X[:, :1])
    >>> corrected = SoftmaxRegression().fit(X, y, offset=known)
    >>> corrected.score(X, y, offset=known) > first.score(X[:, :1], y)
    True

    Where the classes are separated, estimates that are finite:

    >>> import numpy as np
    >>> firth = SoftmaxRegression(C=np.inf, bias_reduction=True)
    >>> firth.fit([[0], [1], [2], [3]], [0, 0, 1, 1]).coef_.round(2)
    array([[1.31]])

    Of Dask collections, whose predictions are made when they are asked for:

    >>> from dask import dataframe as dd
    >>> wine = dd.from_pandas(load_wine(as_frame=True).frame, npartitions=3)
    >>> features = wine.drop(columns="target")
    >>> lazy = SoftmaxRegression().fit(features, wine["target"])
    >>> lazy.predict_proba(features).head(2).round(3)
         0    1    2
    0  1.0  0.0  0.0
    1  1.0  0.0  0.0
    """

    coef_: Any
    intercept_: Array
    _held_offset: Any = None  # of a view of the model: see `_holding`

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "C": [Interval(Real, 0, None, closed="right")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "penalty_factor": ["array-like", dict, None],
        "bias_reduction": ["boolean"],
        "fit_intercept": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "n_jobs": [
            Interval(Integral, None, -1, closed="right"),
            Interval(Integral, 1, None, closed="left"),
            None,
        ],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        C: float = 1.0,
        *,
        l1_ratio: float = 0.0,
        penalty_factor: ArrayLike | Mapping[str, float] | None = None,
        bias_reduction: bool = False,
        fit_intercept: bool = True,
        class_weight: Mapping[Any, float] | str | None = None,
        temperature: float = 1.0,
        tol: float = 1e-4,
        max_iter: int = 5000,
        warm_start: bool = False,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.C = C
        self.l1_ratio = l1_ratio
        self.penalty_factor = penalty_factor
        self.bias_reduction = bias_reduction
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.temperature: Any = temperature
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None, offset: Any = None) -> Self:
        """Fit the coefficients.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or Batches
            Features in any units. float32 and float64 are used as they are, without a copy. Or a Dask
            DataFrame or array, whose chunks may be sparse, of unknown sizes and divided by columns too.
            Or `smreg.data.Batches`, which are all of the sample, read once a pass.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels, or soft targets: a distribution over the classes for each sample, as an array or
            a DataFrame whose columns are the classes. Where X is of Dask also a Dask Series, DataFrame or
            array, with the partitions of X and the index of a frame X; arrays of known chunks are divided
            anew. In memory it goes with X row by row, for which a frame X is read once more. None
            for `Batches` alone.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; a weight of 2 is the same as the sample twice. Of Dask or in memory, as y.
        offset : array-like of shape (n_samples, n_classes), default=None
            Known part of the logits, finite, see the notes; or for two classes of shape (n_samples,), that of
            ``classes_[1]`` against ``classes_[0]``. A column for each class in the order of ``classes_``; of
            a DataFrame the columns are matched to the classes by name. Of Dask or in memory, as y; None for
            `Batches`, which have none.

        Returns
        -------
        SoftmaxRegression
            The estimator itself.

        Raises
        ------
        ValueError
            If X, y, the weights, the offsets or `penalty_factor` are not as above, a label is missing, or y
            has fewer than two labels, or of three and more fewer than two with weight. The estimator is then
            as it was before. With `bias_reduction` also if C is finite, there are penalty factors, or there
            are too many features. Of Dask collections the error comes before they are read, or names the
            partition, from 0; it may also be that partitions do not belong together, or that a client is
            closed which held them.
        TypeError
            If a column of X holds dates or time spans, or labels are of several kinds; or if y, the
            weights or the offsets are of Dask and X is not, or a Dask array holds objects or text.

        Warns
        -----
        ConvergenceWarning
            If the fit did not converge, or if coefficients without a penalty separate the classes, or may.
        """
        self._check_bias_reduction()
        with unchanged_on_failure(self):
            with (
                row_threads(self.n_jobs) as map_blocks,
                checked_sample(self, X, y, sample_weight, offset, map_blocks) as sample,
            ):
                factors = self._factors(sample.classes)
                start = self._warm_start(sample.classes)
                self.classes_, self.has_offset_ = sample.classes, offset is not None
                report = Report(self, X, y, sample_weight, sample.dtype, offset)
                kind = BiasReducedProblem if self.bias_reduction else Problem
                problem = kind(
                    sample.rows,
                    fit_intercept=self.fit_intercept,
                    largest_C=self.C,
                    l1=bool(self.l1_ratio > 0 and np.isfinite(self.C)),
                    factors=factors,
                )
                check_weighted(factors, sample.classes, problem.layout.live)
                regression, solution = self._solved(problem, start, sample.dtype, report)
            for name, value in report.attributes(regression).items():
                setattr(self, name, value)
            self.n_iter_ = solution.iterations
            self.converged_ = solution.converged
            self.solution_ = solution
            report.finish(regression, solution)
            if not solution.converged and solution.reason != "callback":
                message = solution.explain(self.tol, self.max_iter)
                warnings.warn(message, ConvergenceWarning, stacklevel=3)
        return self

    def decision_function(self, X: Any, *, offset: Any = None) -> Any:
        """Logits ``o + W x + b``, before any temperature, in nats.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dask DataFrame or array} of shape (n_samples, n_features)
            Samples.
        offset : array-like of shape (n_samples, n_classes), default=None
            Known part of the logits of these samples, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            A column for each class; for two classes the logit of ``classes_[1]`` against
            ``classes_[0]``. Of Dask collections a lazy one: an array, or a DataFrame (for two classes a
            Series) with the index and divisions of X and columns named after the classes.

        Raises
        ------
        ValueError
            If X has other features than in `fit`, or offsets are missing, or not as in `fit`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from smreg import SoftmaxRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> model = SoftmaxRegression().fit(X, y)
        >>> model.decision_function(X[:1]).round(1)
        array([[  7.3,   3.4, -10.7]])
        """
        offset = self._offset(offset, "decision_function")
        if is_lazy(X):
            return lazily(self, "decision_function", X, offset=offset)
        logits = logits_of(self, X, offset=offset)
        return logits[:, 1] if len(self.classes_) == 2 else logits

    def predict(self, X: Any, *, offset: Any = None) -> Any:
        """Most probable class of each sample, the first of several, whatever the temperature.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dask DataFrame or array} of shape (n_samples, n_features)
            Samples.
        offset : array-like of shape (n_samples, n_classes), default=None
            Known part of the logits of these samples, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Entries of ``classes_``. Of Dask collections a lazy array, or a Series with the index and
            divisions of X.

        Raises
        ------
        ValueError
            If X has other features than in `fit`, or offsets are missing, or not as in `fit`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from smreg import SoftmaxRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> model = SoftmaxRegression().fit(X, y)
        >>> model.predict(X[:3])
        array([0, 0, 0])
        """
        offset = self._offset(offset, "predict")
        if is_lazy(X):
            return lazily(self, "predict", X, offset=offset)
        logits = logits_of(self, X, offset=offset)
        return np.asarray(self.classes_[logits.argmax(axis=1)])

    def predict_proba(self, X: Any, temperature: float | None = None, *, offset: Any = None) -> Any:
        """Class probabilities ``softmax(logits / T)``.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dask DataFrame or array} of shape (n_samples, n_features)
            Samples.
        temperature : float or None, default=None
            Divisor T of the logits for this call; None takes the estimator's.
        offset : array-like of shape (n_samples, n_classes), default=None
            Known part of the logits of these samples, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows on the simplex, columns in the order of ``classes_``. Of Dask collections a lazy one: an
            array, or a DataFrame with the index and divisions of X and columns named after the classes.

        Raises
        ------
        ValueError
            If `temperature` is not positive and finite, or offsets are missing, or not as in `fit`.

        References
        ----------
        C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, On Calibration of Modern Neural Networks, ICML
        2017. https://doi.org/10.48550/arXiv.1706.04599

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from smreg import SoftmaxRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> model = SoftmaxRegression().fit(X, y)
        >>> model.predict_proba(X[:1], temperature=4.0).round(3)
        array([[0.724, 0.268, 0.008]])
        """
        T, offset = self._divisor(temperature), self._offset(offset, "predict_proba")
        if is_lazy(X):
            return lazily(self, "predict_proba", X, T, offset=offset)
        return logits_of(self, X, lambda logits: family.softmax(logits, T), offset)

    def predict_log_proba(self, X: Any, temperature: float | None = None, *, offset: Any = None) -> Any:
        """Logarithms of the class probabilities, from the logits: not -inf where those round to 0.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dask DataFrame or array} of shape (n_samples, n_features)
            Samples.
        temperature : float or None, default=None
            Divisor T of the logits for this call; None takes the estimator's.
        offset : array-like of shape (n_samples, n_classes), default=None
            Known part of the logits of these samples, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Nats. Of Dask collections lazy, as `predict_proba`.

        Raises
        ------
        ValueError
            If `temperature` is not positive and finite, or offsets are missing, or not as in `fit`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from smreg import SoftmaxRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> model = SoftmaxRegression().fit(X, y)
        >>> model.predict_log_proba(X[:1], temperature=0.01)[:, 1:].round()
        array([[ -398., -1803.]])
        """
        T, offset = self._divisor(temperature), self._offset(offset, "predict_log_proba")
        if is_lazy(X):
            return lazily(self, "predict_log_proba", X, T, offset=offset)
        return logits_of(self, X, lambda logits: family.log_softmax(logits, T), offset)

    def score(
        self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None, *, offset: Any = None
    ) -> float:
        """Accuracy of `predict` against labels.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dask DataFrame or array} of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,)
            Labels, of Dask or in memory as in `fit`. There is no accuracy against soft targets: for those use
            `smreg.metrics.neg_cross_entropy_scorer`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.
        offset : array-like of shape (n_samples, n_classes), default=None
            Known part of the logits of these samples, as in `fit`.

        Returns
        -------
        float
            From 0 to 1, also of Dask collections, which are read once.

        Raises
        ------
        ValueError
            If X has other features than in `fit`, offsets are missing, or not as in `fit`, or y is missing or
            a soft target.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from smreg import SoftmaxRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> model = SoftmaxRegression().fit(X, y)
        >>> round(model.score(X, y), 3)
        0.973
        """
        offset = self._offset(offset, "score")
        if any(map(is_lazy, (X, y, sample_weight, offset))):
            return lazy_accuracy(self, X, y, sample_weight, offset)
        refuse_lazy(X, "X")
        require(y, "score")
        if is_soft(y):
            raise ValueError(SCORE_OF_SOFT.format(f"shape {np.shape(y)}"))
        labels, predicted = as_labels(y), self.predict(X, offset=offset)
        check_consistent_length(predicted, labels)
        if labels.dtype != object:
            return float(accuracy_score(labels, predicted, sample_weight=sample_weight))
        # objects, which scikit-learn may take for no labels
        return float(np.average(predicted == labels, weights=check_sample_weight(sample_weight, len(labels))))

    def coefficients(self, reference: Any = None) -> pd.DataFrame:
        """Coefficients as a table: a row for the intercept and each feature, a column for each class.

        Parameters
        ----------
        reference : label or None, default=None
            The class, by its label, that the others are compared with, as in statsmodels' ``MNLogit``. None
            takes none: the coefficients as they were fitted, which but for an L1 penalty sum to zero over
            the classes. For two classes the single row of ``coef_`` is then shared out as minus and plus its
            half, which sum to zero as well and have the same probabilities.

        Returns
        -------
        DataFrame
            In nats per unit of the feature, columns in the order of ``classes_``. Against a reference the
            column of the reference, which would be zero, is left out: for two classes and
            ``reference=classes_[0]`` the column is ``coef_``. The first row, "intercept", or "(intercept)"
            where a feature has that name, is missing without `fit_intercept`. Features without names are
            x0, x1, ...

        Raises
        ------
        ValueError
            If `reference` is none of the classes.
        NotFittedError
            If there are no coefficients yet.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from smreg import SoftmaxRegression
        >>> iris = load_iris(as_frame=True)
        >>> model = SoftmaxRegression().fit(iris.data, iris.target_names[iris.target])
        >>> model.coefficients(reference="versicolor").round(2)
                           setosa  virginica
        intercept            7.61     -14.32
        sepal length (cm)   -0.96      -0.65
        sepal width (cm)     1.29      -0.32
        petal length (cm)   -2.31       2.93
        petal width (cm)    -0.14       2.97
        """
        check_is_fitted(self)
        return table_of(self, reference)

    def sparsify(self) -> Self:
        """Store ``coef_`` as a sparse array, which takes less memory where most coefficients are zero.

        Returns
        -------
        SoftmaxRegression
            The estimator itself, which predicts as before.

        Raises
        ------
        NotFittedError
            If there are no coefficients yet.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from smreg import SoftmaxRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> model = SoftmaxRegression(C=0.1, l1_ratio=1.0).fit(X, y)
        >>> model.sparsify().coef_.nnz
        2
        """
        check_is_fitted(self)
        self.coef_ = sparse.csr_array(self.coef_)
        return self

    def densify(self) -> Self:
        """Store ``coef_`` as a dense array again, as after `fit`.

        Returns
        -------
        SoftmaxRegression
            The estimator itself, which predicts as before.

        Raises
        ------
        NotFittedError
            If there are no coefficients yet.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from smreg import SoftmaxRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> model = SoftmaxRegression(l1_ratio=1.0).fit(X, y)
        >>> model.sparsify().densify().coef_.shape
        (3, 4)
        """
        check_is_fitted(self)
        self.coef_ = dense(self.coef_)
        return self

    def _factors(self, classes: NDArray[Any]) -> NDArray[np.float64] | None:
        """Penalty factors, checked against the features."""
        names = getattr(self, "feature_names_in_", None)
        return check_penalty_factor(self.penalty_factor, self.n_features_in_, names, classes)

    def _check_bias_reduction(self) -> None:
        if not self.bias_reduction:
            return
        if np.isfinite(self.C):
            raise ValueError(
                "bias_reduction=True is a penalty of its own, for a fit without another: set C=np.inf, "
                f"got C={self.C:g}."
            )
        if self.penalty_factor is not None:
            raise ValueError(
                "penalty_factor must be None where bias_reduction=True, which is a penalty of its own, got "
                f"{self.penalty_factor!r}."
            )

    def _solved(
        self, problem: Problem, start: Regression | None, dtype: Any, report: Report
    ) -> tuple[Regression, Solution]:
        """The coefficients of the features as they came, and the record."""
        options: dict[str, Any] = {"tol": self.tol, "max_iter": self.max_iter, "on_iteration": report}
        start = start and problem.restrict(start)
        if isinstance(problem, BiasReducedProblem):
            regression, solution = problem.solve_with_prior(start=start, **options)
            return problem.expand(regression), solution
        options["l1_ratio"] = self.l1_ratio
        fit = problem.solve(self.C, start=start, **options)
        return verified(problem, fit, self.C, dtype=dtype, **options)

    def _warm_start(self, classes: NDArray[Any]) -> Regression | None:
        """The coefficients of the previous fit, if they are wanted and fit these data."""
        if not (self.warm_start and hasattr(self, "coef_") and hasattr(self, "classes_")):
            return None
        n_classes = len(classes)
        shape = (1 if n_classes == 2 else n_classes, self.n_features_in_)
        if not np.array_equal(self.classes_, classes) or self.coef_.shape != shape:
            return None
        return regression_of(self)

    def _offset(self, offset: Any, method: str) -> Any:
        """The offsets that a method was given, or those of a view of the model; an error without any."""
        offset = self._held_offset if offset is None else offset
        if offset is None and getattr(self, "has_offset_", False):
            raise missing_offset(self, method)
        return offset

    def _holding(self, offset: Any) -> Self:
        """A view of the model that predicts certain samples, whose offsets it holds: for any scorer."""
        view = copy(self)
        view._held_offset = offset
        return view

    def _divisor(self, temperature: float | None) -> float:
        return family.check_temperature(self.temperature if temperature is None else temperature)
