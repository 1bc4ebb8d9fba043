"""The scikit-learn estimator: validation, fit, attributes and prediction."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from functools import partial
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
from smreg.data.batch_rows import batch_sample
from smreg.data.batches import Batches
from smreg.data.features import check_features
from smreg.data.labels import as_labels
from smreg.data.lazy import is_lazy, refuse_lazy
from smreg.data.matrix import MatrixRows, unlabelled
from smreg.data.offsets import check_offset, columns_of_classes, fitted_offset, missing_offset
from smreg.data.sample import Sample
from smreg.data.targets import Targets, as_targets, encode, is_soft, require
from smreg.data.threads import row_threads
from smreg.data.weights import check_sample_weight, class_weight_vector, weigh
from smreg.estimators.prediction import stored_logits
from smreg.estimators.report import Report
from smreg.fit.regression import Problem
from smreg.fit.solution import Solution
from smreg.fit.verification import verified
from smreg.objective.layout import Regression

Array = NDArray[Any]

SCORE_OF_SOFT = (
    "score needs labels of shape (n_samples,), got y of {}. For soft targets use "
    "smreg.metrics.neg_cross_entropy_scorer(estimator, X, y), or SoftmaxRegressionCV, whose score it is; in "
    "memory also scoring=neg_cross_entropy_scorer in GridSearchCV."
)


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
        the classes, but for an `l1_ratio` that is not 0; for two the single row belongs to
        ``classes_[1]``. float32 where X is float32, unless that cannot hold them. A sparse array after
        `sparsify`.
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
    unlike in a fit without a penalty, their sum matters. Each evaluation takes ``n D^2`` operations for
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
    >>> from sklearn.datasets import load_wine
    >>> from smreg import SoftmaxRegression
    >>> X, y = load_wine(return_X_y=True)
    >>> model = SoftmaxRegression().fit(X, y)
    >>> model.converged_
    True
    >>> model.predict_proba(X[:2]).round(3)
    array([[1., 0., 0.],
           [1., 0., 0.]])

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
            If X, y, the weights or the offsets are not as above, a label is missing, or y has fewer than two
            labels, or of three and more fewer than two with weight. The estimator is then as it was before.
            With `bias_reduction` also if C is finite, or there are too many features.
            Of Dask collections the error comes before they are read, or names the partition, from 0; it may
            also be that partitions do not belong together, or that a client is closed which held them.
        TypeError
            If a column of X holds dates or time spans, or labels are of several kinds; or if y, the
            weights or the offsets are of Dask and X is not, or a Dask array holds objects or text.

        Warns
        -----
        ConvergenceWarning
            If the fit did not converge, or, without a penalty, if the classes are separated, or may be.
        """
        self._check_bias_reduction()
        with unchanged_on_failure(self):
            with (
                row_threads(self.n_jobs) as map_blocks,
                self._sample(X, y, sample_weight, offset, map_blocks) as sample,
            ):
                start = self._warm_start(sample.classes)
                self.classes_, self.has_offset_ = sample.classes, offset is not None
                report = Report(self, X, y, sample_weight, sample.dtype, offset)
                problem = Problem(
                    sample.rows,
                    fit_intercept=self.fit_intercept,
                    largest_C=self.C,
                    l1=self.l1_ratio > 0,
                )
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
            return self._lazily("decision_function", X, offset=offset)
        logits = self._logits(X, offset=offset)
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
            return self._lazily("predict", X, offset=offset)
        logits = self._logits(X, offset=offset)
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
            return self._lazily("predict_proba", X, T, offset=offset)
        return self._logits(X, lambda logits: family.softmax(logits, T), offset)

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
            return self._lazily("predict_log_proba", X, T, offset=offset)
        return self._logits(X, lambda logits: family.log_softmax(logits, T), offset)

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
            return self._lazy_score(X, y, sample_weight, offset)
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
        rows = _dense(self.coef_).T
        intercepts = self._intercepts().astype(rows.dtype)
        names = row_names(self, len(rows))
        if self.fit_intercept or intercepts.any():  # also if that was set to False after the fit
            rows = np.vstack([intercepts, rows])
        else:
            names = names[1:]
        classes = self.classes_
        if len(classes) == 2:
            rows = np.hstack([-rows / 2, rows / 2] if reference is None else [np.zeros_like(rows), rows])
        if reference is None:
            return pd.DataFrame(rows, names, classes)
        place = self._place(reference)
        return pd.DataFrame(family.to_reference_coding(rows, place), names, np.delete(classes, place))

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
        self.coef_ = _dense(self.coef_)
        return self

    def _check_bias_reduction(self) -> None:
        if self.bias_reduction and np.isfinite(self.C):
            raise ValueError(
                "bias_reduction=True is a penalty of its own, for a fit without another: set C=np.inf, "
                f"got C={self.C:g}."
            )

    def _solved(
        self, problem: Problem, start: Regression | None, dtype: Any, report: Report
    ) -> tuple[Regression, Solution]:
        """The coefficients of the features as they came, and the record."""
        options: dict[str, Any] = {"tol": self.tol, "max_iter": self.max_iter, "on_iteration": report}
        start = start and problem.restrict(start)
        if self.bias_reduction:
            regression, solution = problem.solve_with_prior(start=start, **options)
            return problem.expand(regression), solution
        options["l1_ratio"] = self.l1_ratio
        fit = problem.solve(self.C, start=start, **options)
        return verified(problem, fit, self.C, dtype=dtype, **options)

    def _place(self, label: Any) -> int:
        """Position of a class."""
        if np.ndim(label) == 0:
            is_bool = isinstance(label, bool | np.bool_)  # which equals a number, but is none
            are_bools = self.classes_.dtype == bool
            places = [
                place for place, known in enumerate(self.classes_) if known == label and is_bool == are_bools
            ]
            if places:
                return places[0]
        raise ValueError(f"reference must be one of the classes {self.classes_.tolist()}, got {label!r}.")

    def _coefficients(self) -> tuple[Array, Array]:
        """Dense coefficients, and intercepts, in double precision."""
        return _dense(self.coef_).astype(np.float64, copy=False), self._intercepts()

    def _intercepts(self) -> NDArray[np.float64]:
        """Intercepts in double precision: zeros where coefficients were set by hand, without any."""
        return np.asarray(getattr(self, "intercept_", np.zeros(self.coef_.shape[0])), dtype=np.float64)

    def _validate(
        self, X: Any, y: Any, sample_weight: ArrayLike | None
    ) -> tuple[Any, Targets, NDArray[np.float64]]:
        """Features, and targets and weights with the class weights merged in."""
        X, targets, weights = self._check(X, y, sample_weight)
        return X, *self._weigh(targets, weights)

    def _weigh(self, targets: Targets, weights: NDArray[np.float64]) -> tuple[Targets, NDArray[np.float64]]:
        """Merge the class weights in."""
        mass = targets.mass(weights)
        return weigh(targets, weights, class_weight_vector(self.class_weight, targets.classes, mass))

    def _check(
        self, X: Any, y: Any, sample_weight: ArrayLike | None
    ) -> tuple[Any, Targets, NDArray[np.float64]]:
        """Features, targets and weights."""
        X = check_features(self, X, reset=True)
        y = as_targets(y)
        check_consistent_length(X, y)
        targets = encode(y)
        return X, targets, check_sample_weight(sample_weight, X.shape[0])

    def _sample(
        self, X: Any, y: Any, sample_weight: ArrayLike | None, offset: Any, map_blocks: Callable[..., Any]
    ) -> Sample:
        """What is fitted, checked."""
        if is_by_passes(X, y, sample_weight, offset):
            return self._read_sample(X, y, sample_weight, offset, self.class_weight, map_blocks)
        X, targets, weights = self._validate(X, y, sample_weight)
        offset = fitted_offset(offset, X.shape[0], targets.classes)
        return Sample(MatrixRows(X, targets, weights, map_blocks, offset=offset), targets.classes, X.dtype)

    def _read_sample(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        offset: Any,
        class_weight: Mapping[Any, float] | str | None,
        map_blocks: Callable[..., Any],
    ) -> Sample:
        """What is read in passes, checked, with class weights of one's own."""
        if isinstance(X, Batches):
            if y is not None or sample_weight is not None:
                name = "y" if y is not None else "sample_weight"
                raise ValueError(f"{name} must be None where X is Batches, which names its column.")
            if offset is not None:
                raise ValueError(
                    "offset must be None where X is Batches, which have no offsets: pass X, y and offset as "
                    "Dask collections, which are read partition by partition."
                )
            return batch_sample(self, X, class_weight, map_blocks)
        from smreg.data.dask_partitions import check_lazy_features
        from smreg.data.dask_sample import dask_sample

        check_lazy_features(self, X, reset=True)
        return dask_sample(X, y, sample_weight, class_weight, offset)

    def _warm_start(self, classes: NDArray[Any]) -> Regression | None:
        """The coefficients of the previous fit, if they are wanted and fit these data."""
        if not (self.warm_start and hasattr(self, "coef_") and hasattr(self, "classes_")):
            return None
        n_classes = len(classes)
        shape = (1 if n_classes == 2 else n_classes, self.n_features_in_)
        if not np.array_equal(self.classes_, classes) or self.coef_.shape != shape:
            return None
        return Regression(*self._coefficients())

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

    def _lazy_score(self, X: Any, y: Any, sample_weight: Any, offset: Any) -> float:
        """The same of Dask collections."""
        from smreg.data.dask_partitions import check_lazy_features, is_soft_target
        from smreg.data.dask_prediction import accuracy

        check_is_fitted(self)
        check_lazy_features(self, X, reset=False)
        if is_soft_target(y):
            raise ValueError(SCORE_OF_SOFT.format("two dimensions"))
        return accuracy(X, y, sample_weight, self.predict, offset)

    def _lazily(self, method: str, X: Any, *arguments: Any, offset: Any = None) -> Any:
        """What a method gives for a Dask collection, when it is asked for."""
        from smreg.data.dask_partitions import check_lazy_features, dtype_of
        from smreg.data.dask_prediction import predicted

        check_is_fitted(self)
        check_lazy_features(self, X, reset=False)
        if offset is not None:
            columns_of_classes(offset, self.classes_)
        is_label = method == "predict"
        single = is_label or (method == "decision_function" and len(self.classes_) == 2)
        columns = None if single else self.classes_
        like = self.classes_ if is_label else np.empty(0, np.result_type(dtype_of(X), self.coef_.dtype))
        return predicted(X, partial(_called, self, method, arguments), columns, like, offset)

    def _logits(
        self, X: Any, of: Callable[[Array], Array] = lambda logits: logits, offset: Any = None
    ) -> Array:
        """Logits of all classes, (n_samples, n_classes), or a function of them, block by block.

        For two classes the first logit is zero. Where one exceeds the floating range it is the largest
        number that there is.
        """
        check_is_fitted(self)
        return self._logits_of_checked(check_features(self, X, reset=False), of, offset)

    def _logits_of_checked(self, X: Any, of: Callable[[Array], Array], offset: Any = None) -> Array:
        """The same of validated features."""
        offset = self._held_offset if offset is None else offset
        if offset is not None:
            offset = check_offset(offset, X.shape[0], self.classes_)
        rows = unlabelled(X, len(self.classes_), offset)
        result = np.empty((rows.n_samples, rows.n_classes), dtype=np.result_type(X, self.coef_.dtype))
        largest, first = float(np.finfo(result.dtype).max), 0
        for logits in rows.map_blocks(stored_logits, self.coef_, self._intercepts(), rows.n_classes):
            last = first + len(logits)
            result[first:last] = of(np.nan_to_num(logits, copy=False, posinf=largest, neginf=-largest))
            first = last
            del logits  # before those of the next block are made
        return result


def row_names(estimator: BaseEstimator, n_features: int) -> list[Any]:
    """Those of a table's rows: the intercept, and the features that the estimator has taken the names of."""
    default = [f"x{j}" for j in range(n_features)]
    names, intercept = list(getattr(estimator, "feature_names_in_", default)), "intercept"
    while intercept in names:
        intercept = f"({intercept})"
    return [intercept, *names]


def is_by_passes(X: Any, *others: Any) -> bool:
    """Whether a sample is not in memory, but read in passes: Batches, or where any is a Dask collection."""
    return isinstance(X, Batches) or any(map(is_lazy, (X, *others)))


def _called(
    model: "SoftmaxRegression", method: str, arguments: tuple[Any, ...], X: Any, offset: Any = None
) -> Array:
    return np.asarray(getattr(model, method)(X, *arguments, offset=offset))


def _dense(coef: Any) -> Array:
    return coef if isinstance(coef, np.ndarray) else np.asarray(coef.toarray())


@contextmanager
def unchanged_on_failure(estimator: BaseEstimator) -> Iterator[None]:
    """Put all fitted attributes back as they were if anything, Ctrl-C included, ends the fit."""
    before = _fitted_attributes(estimator)
    try:
        yield
    except BaseException:
        for name in _fitted_attributes(estimator):
            delattr(estimator, name)
        for name, value in before.items():
            setattr(estimator, name, value)
        raise


def _fitted_attributes(estimator: BaseEstimator) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(estimator).items()
        if name.endswith("_") and not name.startswith("_")
    }
