"""Softmax regression on plain arrays: from what is fitted to coefficients and their record."""

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from smreg.data.cached import cached_property
from smreg.fit import elastic_net, rownewton
from smreg.fit.coefficients import coordinates_of, regression_at
from smreg.fit.elastic_net import ElasticNet
from smreg.fit.formulation import Formulation
from smreg.fit.restricted import is_separated_among
from smreg.fit.separation import Watch
from smreg.fit.shared_metric import Shared, is_apart
from smreg.fit.solution import Fit, Solution, judged, record
from smreg.objective import collinear, refreshes
from smreg.objective.cross_entropy import Objective
from smreg.objective.layout import Regression
from smreg.objective.penalty import Penalty
from smreg.objective.rowspace import RowSpace
from smreg.objective.strong_convexity import suboptimality_bound
from smreg.objective.working import Hessians
from smreg.optimize import solver
from smreg.optimize.protocol import Minimum, Point, Preconditioner

Array = NDArray[np.float64]

# Where tol does not distinguish a maximum from divergence it is lowered to this: Newton's steps soon become
# tiny or do not.
FINEST = 2.0**-24

# Of the fit of what has no penalty, where others have one: from there a path begins.
BASE_TOL, BASE_ITERATIONS = 1e-6, 1000

OnIteration = Callable[[Callable[[], Regression], float, float], bool]


class Problem(Formulation):
    """What is fitted, and its solution with any penalty: see `Formulation` for the parameters."""

    def solve(
        self,
        C: float,
        *,
        l1_ratio: float = 0.0,
        tol: float,
        max_iter: int,
        start: Regression | None = None,
        shared: Shared | None = None,
        on_iteration: OnIteration | None = None,
    ) -> Fit:
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
        shared : Shared or None
            A metric that is good near `start`.
        on_iteration : callable or None
            ``(regression, objective, norm) -> stop``, called after every step; the regression is a function
            that makes it, of the features as they came.

        Returns
        -------
        Regression, Solution
            The coefficients and the record of how they were found.
        """
        if self.layout.is_certain:
            return self._certain()
        penalty, base = self.penalty(C, l1_ratio), self._base(C)
        start = _from_base(base) if start is None else start
        if not penalty.is_smooth:
            fit = self._solve_sparse(penalty, tol, max_iter, start, on_iteration)
        else:
            fit = self._solve_smooth(penalty, tol, max_iter, start, shared, on_iteration)[:2]
        return judged(fit, base)

    def solve_for_parts(
        self, C: float, *, tol: float, max_iter: int, start: Regression | None = None
    ) -> tuple[Fit, Shared | None]:
        """The same with a ridge penalty or none, and for parts of the problem a metric near the solution.

        That is the last one of the solver, if it is of the most exact kind, or else one made at the solution,
        of the most exact kind that costs no more than 16 evaluations.
        """
        if self.layout.is_certain:
            return self._certain(), None
        penalty, base = self.penalty(C), self._base(C)
        start = _from_base(base) if start is None else start
        regression, solution, shared = self._solve_smooth(penalty, tol, max_iter, start, None, None)
        shared = shared or self._shared(penalty, regression, solution.objective)
        return judged((regression, solution), base), shared

    @cached_property
    def base(self) -> Fit | None:
        """The fit of the coefficients without a penalty, where others have one, which are zero.

        With it a path begins. There is no minimum at any C where these coefficients alone separate the
        classes.
        """
        if self.unpenalised is None:
            return None
        fit = self.unpenalised.solve(np.inf, tol=BASE_TOL, max_iter=BASE_ITERATIONS)
        return self._with_others(self.unpenalised.expand(fit[0])), fit[1]

    def _with_others(self, regression: Regression) -> Regression:
        """The coefficients of some of the features, with zeros for the others."""
        coef = np.zeros((len(regression.coef), self._rows.n_features))
        assert self.factors.unpenalised is not None
        coef[:, self.factors.unpenalised.any(axis=0)] = regression.coef
        return Regression(coef, regression.intercept)

    def _base(self, C: float) -> Fit | None:
        """The same where there is a penalty."""
        return None if self.penalty(C).is_zero else self.base

    def _certain(self) -> Fit:
        """The model of a single class, which no feature makes more probable."""
        solution = self._solution(0.0, 0.0, 0.0, (0, 0, 0), "converged", perf_counter())
        return self.layout.expand(np.zeros((1, self._rows.n_features)), np.zeros(1)), solution

    def _shared(self, penalty: Penalty, regression: Regression, value: float) -> Shared | None:
        """The most exact preconditioner at a solution that does not cost too much."""
        objective = self.objective(penalty)
        phi = coordinates_of(self.layout, objective, regression)
        kinds = refreshes.refreshes(objective, self._sampler(objective))
        paid = [kind for kind in kinds if kind.cost(value) <= 16.0]
        return Shared(objective.coordinates, paid[-1](phi, value)) if paid else None

    def _solve_smooth(
        self,
        penalty: Penalty,
        tol: float,
        max_iter: int,
        start: Regression | None,
        shared: Shared | None,
        on_iteration: OnIteration | None,
    ) -> tuple[Regression, Solution, Shared | None]:
        """Minimise the cross-entropy with a ridge penalty or none, and hand over the solver's last metric."""
        began = perf_counter()
        objective = self.objective(penalty)
        if shared is not None and is_apart(objective.coordinates, shared.coordinates):
            shared = None
        elif shared is not None:
            objective = self.objective(penalty, shared.coordinates)

        varies = None if isinstance(self._space, RowSpace) else self.varies()
        watch = Watch(objective, varies, lambda: self._null_metric(objective))

        def report(phi: Callable[[], Array], value: float, norm: float) -> bool:
            stop = False
            if on_iteration is not None:
                stop = on_iteration(
                    lambda: self.expand(regression_at(self.layout, objective, phi())), value, norm
                )
            return stop or (penalty.is_zero and watch(phi))

        minimum, evaluations = self._search(objective, start, shared, tol, max_iter, report)
        phi, reason = minimum.point.x, minimum.reason
        if penalty.is_zero:
            minimum, reason, more = self._decided(objective, watch, minimum, tol, max_iter, report)
            phi, evaluations = minimum.point.x, evaluations + more
            if reason != "callback" and self._nulls is None:
                phi = collinear.onto_rows(objective, phi)
        bound = suboptimality_bound(objective, minimum.point.gradient)
        counts = evaluations, minimum.iterations, minimum.refreshes
        value, norm = minimum.point.value, minimum.point.norm
        solution = self._solution(value, norm, bound, counts, reason, began)
        last = (
            None if minimum.preconditioner is None else Shared(objective.coordinates, minimum.preconditioner)
        )
        return regression_at(self.layout, objective, phi), solution, last

    def _decided(
        self,
        objective: Objective,
        watch: Watch,
        minimum: Minimum,
        tol: float,
        max_iter: int,
        report: rownewton.OnIteration,
    ) -> tuple[Minimum, str, int]:
        """Where an unpenalised search ended, and why, going on where it is open whether there is an end.

        The third number is that of further evaluations.
        """
        reason = watch.verdict(minimum)
        if reason != "undecided" or tol <= FINEST:
            return minimum, reason, 0
        begin, left = regression_at(self.layout, objective, minimum.point.x), max_iter - minimum.iterations
        further, evaluations = self._search(objective, begin, None, FINEST, left, report)
        iterations = minimum.iterations + further.iterations
        if further.reason not in ("converged", "callback"):
            return replace(minimum, iterations=iterations), reason, evaluations
        return replace(further, iterations=iterations), watch.verdict(further), evaluations

    def _solve_sparse(
        self,
        penalty: Penalty,
        tol: float,
        max_iter: int,
        start: Regression | None,
        on_iteration: OnIteration | None,
    ) -> Fit:
        """Minimise the cross-entropy with an L1 penalty."""
        began = perf_counter()
        net = ElasticNet(self._hessians, penalty)

        def report(theta: Array, value: float, norm: float) -> bool:
            return on_iteration is not None and on_iteration(
                lambda: regression_at(self.layout, net.loss, theta, penalty), value, norm
            )

        point, more = self._sparse_start(net, start)
        minimum = elastic_net.minimize(net, point, tol=tol, max_iter=max_iter, on_iteration=report)
        counts = minimum.evaluations + more, minimum.iterations, minimum.refreshes
        value, norm, gap = minimum.value, minimum.norm, minimum.gap
        reason = self._reason(net, penalty, minimum)
        solution = self._solution(value, norm, gap, counts, reason, began)
        return regression_at(self.layout, net.loss, minimum.theta, penalty), solution

    def _reason(self, net: ElasticNet, penalty: Penalty, minimum: elastic_net.Minimum) -> str:
        """Why a search ended: where nothing has a penalty but what is held at zero, by separation, too."""
        if not penalty.only_holds or minimum.reason == "callback":
            return minimum.reason
        found = is_separated_among(self._hessians, net.free, minimum.theta)
        if found or (found is None and minimum.reason == "converged"):
            return "separation" if found else "undecided"
        return minimum.reason

    @cached_property
    def _hessians(self) -> Hessians:
        """Those of the loss, in symmetric coding."""
        return Hessians(self._unpenalised(symmetric=True, null=self._free_nulls))

    def _sparse_start(self, net: ElasticNet, start: Regression | None) -> tuple[Point, int]:
        """The intercept-only model, or coefficients that are given, and the evaluations they cost beyond one.

        A start worse than none, as after a change of units, is not taken.
        """
        if start is not None:
            theta = np.where(net.held, 0.0, coordinates_of(self.layout, net.loss, start).reshape(net.shape))
            given = net.at(net.canonical(theta))
            if given.value <= net.loss.null.value:
                return given, 0
        return net.at(net.loss.start().reshape(net.shape)), int(start is not None)

    def _solution(
        self, value: float, norm: float, bound: float, counts: tuple[int, int, int], reason: str, began: float
    ) -> Solution:
        """The record of a solve, the first of which bears the seconds of the preparation.

        The counts are those of evaluations, iterations and refreshes.
        """
        seconds, self._seconds = self._seconds + perf_counter() - began, 0.0
        return record(value, norm, bound, counts, reason, seconds=seconds, total_weight=self.total_weight)

    def _search(
        self,
        objective: Objective,
        start: Regression | None,
        shared: Shared | None,
        tol: float,
        max_iter: int,
        report: rownewton.OnIteration,
    ) -> tuple[Minimum, int]:
        """Run the solver from the intercept-only model, or from coefficients that are given.

        A metric that is shared is better than any other. The second number is that of the evaluations.
        """
        given = None if start is None else coordinates_of(self.layout, objective, start)
        if shared is not None or not rownewton.applies(objective):
            return self._descent(objective, given, shared, tol, max_iter, report)
        minimum = rownewton.minimize(objective, given, tol=tol, max_iter=max_iter, on_iteration=report)
        if minimum.reason != "rounding":
            return minimum, minimum.evaluations
        more = max_iter - minimum.iterations
        last, evaluations = self._descent(objective, minimum.point.x, None, tol, more, report)
        evaluations += minimum.evaluations
        return replace(last, iterations=last.iterations + minimum.iterations), evaluations

    def _descent(
        self,
        objective: Objective,
        given: Array | None,
        shared: Shared | None,
        tol: float,
        max_iter: int,
        report: rownewton.OnIteration,
    ) -> tuple[Minimum, int]:
        """The search by L-BFGS in a metric, from the coordinates that are given."""
        start, more, warm = None, 0, False
        if given is not None:  # a start worse than none, as after a change of units, is not taken
            start = Point(given, *objective(given))
            warm = start.value <= objective.null.value
            more = int(not warm)
        if start is None or not warm:
            phi = objective.start()
            start = Point(phi, *objective(phi))

        def preconditioner() -> Preconditioner:
            if warm and shared is not None:
                return shared.metric
            return self._null_metric(objective)

        minimum = solver.minimize(
            objective,
            start,
            preconditioner,
            refreshes.refreshes(objective, self._sampler(objective)),
            tol=tol,
            max_iter=max_iter,
            warm=warm and shared is None,
            on_iteration=lambda point: report(lambda: point.x, point.value, point.norm),
        )
        return minimum, minimum.evaluations + more


def _from_base(base: Fit | None) -> Regression | None:
    """Where a search may begin: not where coefficients have gone towards infinity."""
    return base[0] if base is not None and base[1].converged else None
