"""The regularisation path: the models from a strong penalty to a weak one."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning

from smreg.data.factors import check_weighted
from smreg.data.matrix import MatrixRows
from smreg.data.offsets import fitted_offset
from smreg.data.threads import row_threads
from smreg.estimators.estimator import SoftmaxRegression
from smreg.estimators.samples import validated
from smreg.fit.continuation import fit_path
from smreg.fit.degrees_of_freedom import degrees_of_freedom
from smreg.fit.grid import check_grid, grid, weakest_of
from smreg.fit.regression import Problem
from smreg.fit.solution import Solution
from smreg.fit.verification import verified

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RegularizationPath:
    """Models along a path of C, from strong to weak regularisation.

    Attributes
    ----------
    Cs : ndarray of shape (n_Cs,)
        Inverse strengths of the penalty, increasing.
    l1_ratio : float
        Part of the penalty that is L1.
    coefs : ndarray of shape (n_Cs, n_rows, n_features)
        Coefficients in the units of X: a row for each class, or for two classes one row, for the second.
    intercepts : ndarray of shape (n_Cs, n_rows)
        Intercepts.
    objective : ndarray of shape (n_Cs,)
        Penalised mean cross-entropy, in nats.
    evaluations : ndarray of int of shape (n_Cs,)
        Computations of the objective and its gradient.
    degrees_of_freedom : ndarray of shape (n_Cs,)
        ``tr(H (H + R)^-1)`` with the Fisher information H of the data and the curvature R of the penalty, the
        intercepts included; with an L1 penalty the number of coefficients that are not zero, and of free
        intercepts. nan where H, of ``(n_classes - 1) (n_features + 1)`` rows, would take more than 256 MiB.
    converged : ndarray of bool of shape (n_Cs,)
        Whether each model reached `tol`.
    classes : ndarray of shape (n_classes,)
        Class labels.
    feature_names : ndarray of shape (n_features,) or None
        Names of the features, if X had any.
    """

    Cs: Array
    l1_ratio: float
    coefs: Array
    intercepts: Array
    objective: Array
    evaluations: NDArray[np.int64]
    degrees_of_freedom: Array
    converged: NDArray[np.bool_]
    classes: NDArray[Any]
    feature_names: NDArray[Any] | None

    def to_frame(self) -> pd.DataFrame:
        """The path as a tidy table: a row for each C, class and feature, with the coefficient.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from smreg import regularization_path
        >>> path = regularization_path(*load_iris(return_X_y=True, as_frame=True), Cs=[0.1, 10.0])
        >>> path.to_frame().head(2).round(3)
             C  class            feature  coefficient
        0  0.1      0  sepal length (cm)       -0.303
        1  0.1      0   sepal width (cm)        0.346
        """
        features = np.arange(self.coefs.shape[2]) if self.feature_names is None else self.feature_names
        rows = self.classes[-self.coefs.shape[1] :]
        index = pd.MultiIndex.from_product([self.Cs, rows, features], names=["C", "class", "feature"])
        return pd.DataFrame({"coefficient": self.coefs.ravel()}, index=index).reset_index()


def warn_of_unconverged(
    solutions: Sequence[Solution], tol: float, max_iter: int, *, stacklevel: int = 3
) -> None:
    """Warn, once, of the fits that did not converge, with the message of the worst."""
    failed = [solution for solution in solutions if not solution.converged]
    if failed:
        worst = max(failed, key=lambda solution: solution.gradient_norm)
        warnings.warn(
            f"{len(failed)} of {len(solutions)} fits did not converge. Of the worst: "
            + worst.explain(tol, max_iter),
            ConvergenceWarning,
            stacklevel=stacklevel,
        )


def regularization_path(
    X: Any,
    y: Any,
    *,
    Cs: int | str | ArrayLike = "auto",
    l1_ratio: float = 0.0,
    penalty_factor: ArrayLike | Mapping[str, float] | None = None,
    fit_intercept: bool = True,
    class_weight: Mapping[Any, float] | str | None = None,
    sample_weight: ArrayLike | None = None,
    offset: Any = None,
    tol: float = 1e-4,
    max_iter: int = 5000,
    n_jobs: int | None = None,
) -> RegularizationPath:
    """Fit softmax regression for a grid of C, each solution the start of the next.

    What does not depend on C is made once: the mean and spread of the features, their covariance, for wide X
    the space of its rows, and the layout in blocks.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features in any units.
    y : array-like of shape (n_samples,) or (n_samples, n_classes)
        Labels or soft targets.
    Cs : int, "auto" or array-like of positive numbers, default="auto"
        Inverse strengths of the penalty, taken in increasing order. A number asks for so many in equal steps
        of the logarithm, from where the model is the priors to where the penalty is negligible; "auto" for as
        many as make steps of half a decade, 41 at most. The smallest C is, for a ridge penalty, one at which
        at most 1 % of the null deviance is explained, by the bound ``C S ||G||^2`` with the gradient G of the
        intercept-only model, and with an L1 penalty the largest at which all coefficients are zero,
        ``l1_ratio / (S max |G|)``; less where the features explain no more than chance would. At the largest
        C the loss falls by 3e-5 nats if the penalty is divided by ten, for the last time: fits in decades of
        C find it first, which `evaluations` does not count. Neither depends on how the model is written.
    l1_ratio : float, default=0.0
        Part of the penalty that is L1, from 0 to 1.
    penalty_factor : array-like, dict, Series or None, default=None
        By what the penalty of each coefficient is multiplied, as for `SoftmaxRegression`. The path then
        begins at the fit of the coefficients that have no penalty: G is the gradient there, divided by the
        root of the factors, or with an L1 penalty by the factors.
    fit_intercept : bool, default=True
        Whether to fit intercepts; they are not penalised.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.
    offset : array-like of shape (n_samples, n_classes), default=None
        Known part of the logits, see `SoftmaxRegression.fit`.
    tol : float, default=1e-4
        Largest norm of the gradient in the Fisher metric, for each C.
    max_iter : int, default=5000
        Most steps, for each C.
    n_jobs : int or None, default=None
        Threads over blocks of rows; None for as many as OpenMP may use.

    Returns
    -------
    RegularizationPath
        Coefficients, objectives, evaluations and degrees of freedom for every C.

    Raises
    ------
    ValueError
        If an argument is not as above.

    Warns
    -----
    ConvergenceWarning
        If a fit did not converge.
    UserWarning
        If floating point cannot hold all of the grid that the data set, for the units of the features: scale
        them, or give Cs.

    References
    ----------
    J. Friedman, T. Hastie and R. Tibshirani, Regularization Paths for Generalized Linear Models via
    Coordinate Descent, Journal of Statistical Software 33 (2010). https://doi.org/10.18637/jss.v033.i01
    T. Hastie, R. Tibshirani and J. Friedman, The Elements of Statistical Learning, 2nd ed., Springer 2009,
    sections 3.4.1 and 7.6. https://doi.org/10.1007/978-0-387-84858-7

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from smreg import regularization_path
    >>> path = regularization_path(*load_wine(return_X_y=True), Cs=[1e-4, 1.0, 1e4])
    >>> path.degrees_of_freedom.round(1)
    array([ 4.7, 15.1, 18.1])
    """
    model = SoftmaxRegression(
        l1_ratio=l1_ratio,
        penalty_factor=penalty_factor,
        fit_intercept=fit_intercept,
        class_weight=class_weight,
        tol=tol,
        max_iter=max_iter,
        n_jobs=n_jobs,
    )
    model._validate_params()
    values = check_grid(Cs)
    X, targets, weights = validated(model, X, y, sample_weight)
    factors = model._factors(targets.classes)
    offset = fitted_offset(offset, X.shape[0], targets.classes)
    with row_threads(n_jobs) as map_blocks:
        problem = Problem(
            MatrixRows(X, targets, weights, map_blocks, offset=offset),
            fit_intercept=fit_intercept,
            largest_C=weakest_of(values, factors),
            l1=l1_ratio > 0,
            factors=factors,
        )
        check_weighted(factors, targets.classes, problem.layout.live)
        if not isinstance(values, np.ndarray):
            values = grid([(problem, l1_ratio)], values, max_iter, has_folds=False, stacklevel=3)
        options: dict[str, Any] = {"l1_ratio": l1_ratio, "tol": tol, "max_iter": max_iter}
        steps = fit_path(problem, values, **options)
        fits = [full for full, _ in steps]
        freedom = [
            degrees_of_freedom(problem, C, regression, l1_ratio)
            for C, (regression, _) in zip(values, fits, strict=True)
        ]
        fits = [
            verified(problem, fit, C, dtype=X.dtype, **options) for C, fit in zip(values, fits, strict=True)
        ]
    expanded, solutions = zip(*fits, strict=True)
    warn_of_unconverged(solutions, tol, max_iter)
    return RegularizationPath(
        Cs=values,
        l1_ratio=float(l1_ratio),
        coefs=np.stack([made.coef for made in expanded]),
        intercepts=np.stack([made.intercept for made in expanded]),
        objective=np.array([solution.objective for solution in solutions]),
        evaluations=np.array([solution.evaluations for solution in solutions]),
        degrees_of_freedom=np.array(freedom),
        converged=np.array([solution.converged for solution in solutions]),
        classes=targets.classes,
        feature_names=getattr(model, "feature_names_in_", None),
    )
