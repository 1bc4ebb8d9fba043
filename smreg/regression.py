"""Softmax regression on plain arrays: from targets and weights to coefficients and their record."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from smreg import elastic_net, fisher, solver
from smreg.design import DesignMatrix
from smreg.elastic_net import ElasticNet
from smreg.objective import Objective, Sample
from smreg.rowspace import RowSpace, is_wide
from smreg.singletons import Singletons, has_singletons
from smreg.unpenalised import is_separated, least_norm
from smreg.validation import Targets
from smreg.working import Hessians

Array = NDArray[np.float64]

# Logit of a class without weight. The other classes' logits sum to zero, so that the largest is at
# least zero and the probability of this class is below exp(-300), and at a temperature of 10 below 1e-13.
ABSENT = -300.0

# Penalties 1 / (C S) beyond this give the same probabilities, the priors, and would overflow.
MAX_PENALTY = 1e300

EXACT = 2.0**-44  # an intercept's gradient below this is the rounding error of zero


@dataclass(frozen=True)
class Solution:
    """How a fit ended: the record of the solve.

    Attributes
    ----------
    objective : float
        Penalised mean cross-entropy at the coefficients, in nats.
    gradient_norm : float
        Norm of its gradient in the Fisher metric, in square roots of nats: what `tol` bounds. With an L1
        penalty it is the length of the next proximal Newton step in that metric, which without one is the
        same.
    suboptimality : float
        ``gradient_norm**2 / 2``, the estimated excess of `objective` over its minimum, in nats.
    suboptimality_bound : float
        An upper bound on that excess, in nats, by strong convexity; inf where none is known: without
        a penalty, or with an intercept whose gradient is not zero to rounding. With an L1 penalty it is
        the duality gap.
    distance : float
        ``sqrt(total weight) * gradient_norm``, the estimated distance from the optimum in units of the
        standard error along the direction in which the coefficients are off.
    evaluations, iterations, refreshes : int
        Computations of objective and gradient; steps; renewals of the metric.
    seconds : float
        Wall time, without the validation of the input.
    converged : bool
        Whether a finite optimum was reached within `tol`.
    reason : {"converged", "max_iter", "rounding", "callback", "separation"}
        What ended the search: see `explain`.
    """

    objective: float
    gradient_norm: float
    suboptimality: float
    suboptimality_bound: float
    distance: float
    evaluations: int
    iterations: int
    refreshes: int
    seconds: float
    converged: bool
    reason: str

    @property
    def duality_gap(self) -> float:
        """Difference of the objective and a value of the dual problem, in nats: the `suboptimality_bound`.

        For the ridge penalty alone the two are the same number, too: that of the dual point which the
        probabilities themselves are.
        """
        return self.suboptimality_bound

    def explain(self, tol: float, max_iter: int) -> str:
        """Say in words where the search ended and, if it did not converge, what to change."""
        where = (
            f"the gradient's norm in the Fisher metric is {self.gradient_norm:.2g} after "
            f"{self.evaluations} evaluation{'s' * (self.evaluations != 1)}, with tol={tol:g}"
        )
        if self.reason == "separation":
            return (
                "The classes are separated (complete or quasi-complete separation): without a "
                "penalty the likelihood grows forever along some direction, and no finite "
                "coefficients maximise it. The coefficients are the finite ones at which the search "
                f"stopped ({where}). Set C to a finite value, or remove what separates the classes."
            )
        return {
            "converged": f"The fit converged: {where}.",
            "callback": f"A callback stopped the fit: {where}.",
            "max_iter": (
                f"The fit did not converge: {where}. Increase max_iter, now {int(max_iter)}, or tol."
            ),
            "rounding": (
                f"The fit did not converge to tol, which floating-point arithmetic does not allow here: "
                f"{where}. The objective's estimated excess over its minimum is {self.suboptimality:.0e} "
                "nats: if that is close enough, increase tol."
            ),
        }[self.reason]


@dataclass(frozen=True)
class Regression:
    """Coefficients (rows, n_features) and intercepts (rows,), in the units of X.

    There is a row for every class, or for two classes a single one, for the second.
    """

    coef: Array
    intercept: Array


OnIteration = Callable[[Callable[[], Regression], float, float], bool]


class Problem:
    """One sample and its features, to be fitted with any penalty: what does not depend on it is made once.

    Parameters
    ----------
    design : DesignMatrix
        The features.
    targets : Targets
        Labels or soft targets, with class weights already merged in.
    weights : ndarray of shape (n_samples,)
        Positive in at least two classes.
    fit_intercept : bool
        Whether there are intercepts; they are not penalised.
    largest_C : float
        The weakest penalty that will be asked for, inf for none.
    l1 : bool
        Whether an L1 penalty will be asked for. Features are then not replaced by fewer that say the same,
        whose coefficients have another L1 norm.
    """

    def __init__(
        self,
        design: DesignMatrix,
        targets: Targets,
        weights: Array,
        *,
        fit_intercept: bool,
        largest_C: float,
        l1: bool = False,
    ) -> None:
        began = perf_counter()
        largest = weights.max()
        relative = weights / largest  # whose sum does not overflow
        self._layout = _Layout.of(targets, relative, fit_intercept)
        self.sample, total = self._layout.sample(targets, relative)
        self._largest, self._total, self._fit_intercept = largest, total, fit_intercept
        self._space = None if l1 else self._reduction(design, len(targets.classes), largest_C)
        self._design = design if self._space is None else self._space.coordinates
        self._columns = self._design.statistics(self.sample.weights)
        self._null: fisher.NullCovariance | None = None
        self._hessians: Hessians | None = None
        self._seconds = perf_counter() - began

    @property
    def total_weight(self) -> float:
        """S, the sum of the weights."""
        with np.errstate(over="ignore"):
            return float(self._total * self._largest)

    def penalty(self, C: float) -> float:
        """``1 / (C S)``."""
        with np.errstate(divide="ignore", over="ignore", under="ignore"):
            return float(min(np.divide(1.0, C * self._largest * self._total), MAX_PENALTY))

    def objective(self, C: float) -> Objective:
        """The penalised cross-entropy, in the coordinates of the solver."""
        return Objective(
            self._design,
            self.sample,
            penalty=self.penalty(C),
            fit_intercept=self._fit_intercept,
            single_row=self._layout.n_classes == 2,
            columns=self._columns,
        )

    def solve(
        self,
        C: float,
        *,
        l1_ratio: float = 0.0,
        tol: float,
        max_iter: int,
        start: Regression | None = None,
        on_iteration: OnIteration | None = None,
    ) -> tuple[Regression, Solution]:
        """Minimise the penalised cross-entropy.

        Parameters
        ----------
        C : float
            Inverse strength of the penalty; inf for none.
        l1_ratio : float
            Part of the L1 norm in the penalty.
        tol : float
            Largest norm of the gradient in the Fisher metric.
        max_iter : int
            Most steps.
        start : Regression or None
            Where to begin; None for the intercept-only model.
        on_iteration : callable or None
            ``(regression, objective, norm) -> stop``, called after every step; the regression is a function
            that makes it.

        Returns
        -------
        Regression, Solution
            The coefficients and the record of how they were found.
        """
        began = perf_counter()
        if l1_ratio > 0 and self.penalty(C) > 0:
            return self._solve_sparse(C, l1_ratio, tol, max_iter, start, on_iteration)
        objective = self.objective(C)
        report = None
        if on_iteration is not None:

            def report(point: solver.Point) -> bool:
                return on_iteration(lambda: self._regression(objective, point.x), point.value, point.norm)

        minimum, evaluations = self._search(objective, start, tol, max_iter, report)
        phi, reason = minimum.point.x, minimum.reason
        if objective.penalty == 0 and reason != "callback":
            if is_separated(objective, phi, None if reason == "max_iter" else minimum.newton_step):
                reason = "separation"
            else:
                phi = least_norm(objective, phi)
        solution = replace(
            _record(objective, minimum, self.total_weight),
            evaluations=evaluations,
            converged=reason == "converged",
            reason=reason,
        )
        return self._regression(objective, phi), replace(solution, seconds=self._since(began))

    def _solve_sparse(
        self,
        C: float,
        l1_ratio: float,
        tol: float,
        max_iter: int,
        start: Regression | None,
        on_iteration: OnIteration | None,
    ) -> tuple[Regression, Solution]:
        """Minimise the cross-entropy with an L1 penalty."""
        began = perf_counter()
        net = ElasticNet(self._cross_entropy(), self.penalty(C), l1_ratio)

        def report(theta: Array, value: float, norm: float) -> bool:
            return on_iteration is not None and on_iteration(
                lambda: self._regression(net.loss, theta), value, norm
            )

        point, more = self._sparse_start(net, start)
        minimum = elastic_net.minimize(net, point, tol=tol, max_iter=max_iter, on_iteration=report)
        solution = Solution(
            objective=minimum.value,
            gradient_norm=minimum.norm,
            suboptimality=minimum.norm**2 / 2,
            suboptimality_bound=minimum.gap,
            distance=float(np.sqrt(self.total_weight)) * minimum.norm,
            evaluations=minimum.evaluations + more,
            iterations=minimum.iterations,
            refreshes=minimum.refreshes,
            seconds=self._since(began),
            converged=minimum.reason == "converged",
            reason=minimum.reason,
        )
        return self._regression(net.loss, minimum.theta), solution

    def _cross_entropy(self) -> Hessians:
        """Without a penalty, in rows of classes."""
        if self._hessians is None:
            loss = Objective(
                self._design,
                self.sample,
                penalty=0.0,
                fit_intercept=self._fit_intercept,
                single_row=self._layout.n_classes == 2,
                columns=self._columns,
                class_rows=True,
            )
            self._hessians = Hessians(loss)
        return self._hessians

    def _sparse_start(self, net: ElasticNet, start: Regression | None) -> tuple[elastic_net.Point, int]:
        """The intercept-only model, or coefficients that are given, and the evaluations they cost beyond one.

        A start worse than none, as after a change of units, is not taken.
        """
        if start is not None:
            given = net.at(net.canonical(self._coordinates(net.loss, start).reshape(net.shape)))
            if given.value <= net.loss.start_value:
                return given, 0
        return net.at(net.loss.start().reshape(net.shape)), int(start is not None)

    def _since(self, began: float) -> float:
        """Seconds of a solve, the first of which bears the preparation."""
        seconds, self._seconds = self._seconds + perf_counter() - began, 0.0
        return seconds

    def _reduction(
        self, design: DesignMatrix, n_classes: int, largest_C: float
    ) -> RowSpace | Singletons | None:
        """Fewer features that say the same, if there are."""
        if is_wide(design, n_classes):
            return RowSpace(
                design, self.sample.weights, centred=self._fit_intercept, penalty=self.penalty(largest_C)
            )
        return Singletons(design) if has_singletons(design) else None

    def _search(
        self,
        objective: Objective,
        start: Regression | None,
        tol: float,
        max_iter: int,
        report: Callable[[solver.Point], bool] | None,
    ) -> tuple[solver.Minimum, int]:
        """Run the solver from the intercept-only model, or from coefficients that are given.

        The second number is that of the evaluations.
        """
        phi, function, more = objective.start(), _Remembering(objective), 0
        warm = False
        if start is not None:  # a start worse than none, as after a change of units, is not taken
            given = self._coordinates(objective, start)
            warm = function(given)[0] <= objective.start_value
            phi, more = (given, 0) if warm else (phi, 1)
        if self._null is None:
            self._null = fisher.null_covariance(objective)
        null = [fisher.null_metric(objective, self._null)]
        ways = fisher.renewals(objective, null[0])
        minimum = solver.minimize(
            function,
            phi,
            null.pop,
            ways,
            tol=tol,
            max_iter=max_iter,
            warm=warm,
            on_iteration=report or (lambda point: False),
        )
        return minimum, minimum.evaluations + more

    def _regression(self, objective: Objective, phi: Array) -> Regression:
        """The coefficients of all classes, for the features as they came."""
        made = self._layout.expand(*objective.coefficients(phi))
        return made if self._space is None else Regression(*self._space.expand(made.coef, made.intercept))

    def _coordinates(self, objective: Objective, regression: Regression) -> Array:
        """The reverse."""
        if self._space is not None:
            regression = Regression(*self._space.restrict(regression.coef, regression.intercept))
        return objective.coordinates(*self._layout.restrict(regression))


class _Remembering:
    """A function that is not computed twice in a row at the same point."""

    def __init__(self, function: solver.Function) -> None:
        self._function = function
        self._last: tuple[Array, tuple[float, Array]] | None = None

    def __call__(self, x: Array) -> tuple[float, Array]:
        if self._last is None or self._last[0] is not x:
            self._last = x, self._function(x)
        return self._last[1]


def _record(objective: Objective, minimum: solver.Minimum, total_weight: float) -> Solution:
    """What the solver found, as the user is told."""
    norm = minimum.point.norm
    return Solution(
        objective=minimum.point.value,
        gradient_norm=norm,
        suboptimality=norm**2 / 2,
        suboptimality_bound=_bound(objective, minimum.point.gradient),
        distance=float(np.sqrt(total_weight)) * norm,
        evaluations=minimum.evaluations,
        iterations=minimum.iterations,
        refreshes=minimum.refreshes,
        seconds=0.0,
        converged=minimum.reason == "converged",
        reason=minimum.reason,
    )


def _bound(objective: Objective, gradient: Array) -> float:
    """``||dF/dW||^2 / (2 gamma)``: the penalty makes the objective strongly convex in W."""
    by_contrast = gradient.reshape(objective.shape)
    p = objective.design.n_features
    if objective.penalty == 0 or (np.abs(by_contrast[:, p:]) > EXACT).any():
        return float("inf")
    with np.errstate(over="ignore"):
        squares = (by_contrast[:, :p] * objective.scale) ** 2
        return float(np.sum(squares) / (2 * objective.penalty))


@dataclass(frozen=True)
class _Layout:
    """Which classes take part: with an intercept, those that have weight.

    The intercept of a class without weight would go to minus infinity, and its coefficients to zero,
    without any effect on the others: it is left out, and put back with the logit `ABSENT`.
    """

    n_classes: int
    live: NDArray[np.int64]

    @classmethod
    def of(cls, targets: Targets, weights: Array, fit_intercept: bool) -> "_Layout":
        mass = targets.mass(weights)
        live = np.flatnonzero(mass > 0)
        return cls(len(mass), live if fit_intercept else np.arange(len(mass)))

    def sample(self, targets: Targets, weights: Array) -> tuple[Sample, float]:
        """Targets among the live classes, with normalised weights, and the sum of the weights."""
        total = float(weights.sum())
        values = targets.values
        if len(self.live) < self.n_classes:
            if values.ndim == 1:
                codes = np.zeros(self.n_classes, dtype=np.int64)
                codes[self.live] = np.arange(len(self.live))
                values = codes[values]
            else:
                values = values[:, self.live]
        priors = targets.mass(weights)[self.live] / total
        return Sample(values, weights / total, priors), total

    def expand(self, coef: Array, intercept: Array) -> Regression:
        """Rows for all classes, with intercepts that sum to zero."""
        if len(self.live) == self.n_classes:
            return Regression(coef, intercept)
        full_coef = np.zeros((self.n_classes, coef.shape[1]))
        full_intercept = np.full(self.n_classes, ABSENT)
        full_coef[self.live], full_intercept[self.live] = coef, intercept
        return Regression(full_coef, full_intercept - full_intercept.mean())

    def restrict(self, start: Regression) -> tuple[Array, Array]:
        """Rows of the live classes."""
        if self.n_classes == 2:
            return start.coef, start.intercept
        return start.coef[self.live], start.intercept[self.live]
