"""Softmax regression on plain arrays: from what is fitted to coefficients and their record."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from smreg.data.cached import cached_property
from smreg.fit import elastic_net, rownewton
from smreg.fit.elastic_net import ElasticNet
from smreg.fit.formulation import Formulation
from smreg.fit.separation import Watch
from smreg.fit.solution import Solution
from smreg.objective import collinear, refreshes
from smreg.objective.coordinates import Coordinates
from smreg.objective.cross_entropy import Objective
from smreg.objective.jeffreys import JeffreysObjective, Scoring, smoothed
from smreg.objective.layout import Regression
from smreg.objective.penalty import Penalty
from smreg.objective.rowspace import RowSpace
from smreg.objective.working import Hessians
from smreg.optimize import solver
from smreg.optimize.metric import JITTER
from smreg.optimize.protocol import Minimum, Point, Preconditioner

Array = NDArray[np.float64]

# Where tol does not distinguish a maximum from divergence it is lowered to this: Newton's steps soon become
# tiny or do not.
FINEST = 2.0**-24

NEAR, MOST_NEAR = 1e-2, 100  # tol and steps of the search for a start

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
        shared: "Shared | None" = None,
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
        penalty = self.penalty(C, l1_ratio)
        if not penalty.is_smooth:
            return self._solve_sparse(penalty, tol, max_iter, start, on_iteration)
        regression, solution, _ = self._solve_smooth(penalty, tol, max_iter, start, shared, on_iteration)
        return regression, solution

    def solve_with_prior(
        self,
        *,
        tol: float,
        max_iter: int,
        start: Regression | None = None,
        on_iteration: OnIteration | None = None,
    ) -> tuple[Regression, Solution]:
        """Minimise the cross-entropy with Jeffreys' prior: see `smreg.objective.jeffreys`."""
        if self.layout.is_certain:
            return self._certain()
        began = perf_counter()
        objective = self.objective(Penalty())
        function = JeffreysObjective(objective, self.total_weight)
        phi, more = self._near_prior(objective) if start is None else (self._phi(objective, start), 0)
        value, gradient = function(phi)
        if not value <= objective.null.value:
            phi = objective.start()
            value, gradient = function(phi)

        def report(point: Point) -> bool:
            return on_iteration is not None and on_iteration(
                lambda: self.expand(self._regression(objective, point.x)), point.value, point.norm
            )

        minimum = solver.minimize(
            function,
            Point(phi, value, gradient),
            lambda: self._null_metric(objective),
            [Scoring(function)],
            tol=tol,
            max_iter=max_iter,
            warm=True,
            on_iteration=report,
        )
        phi = minimum.point.x if self._nulls is not None else collinear.onto_rows(objective, minimum.point.x)
        counts = function.evaluations + more, minimum.iterations, minimum.refreshes
        value, norm = minimum.point.value, minimum.point.norm
        solution = self._solution(value, norm, np.inf, counts, minimum.reason, began)
        return self._regression(objective, phi), solution

    def _near_prior(self, objective: Objective) -> tuple[Array, int]:
        """The minimum if each row has the mean leverage, see `jeffreys.smoothed`, and its evaluations."""
        loss = smoothed(objective, self.total_weight)
        near = Objective(loss, objective.penalty, objective.coordinates)
        minimum, evaluations = self._descent(
            near, None, None, NEAR, MOST_NEAR, lambda phi, value, norm: False
        )
        return minimum.point.x, evaluations

    def solve_for_parts(
        self, C: float, *, tol: float, max_iter: int, start: Regression | None = None
    ) -> "tuple[tuple[Regression, Solution], Shared | None]":
        """The same with a ridge penalty or none, and for parts of the problem a metric near the solution.

        That is the last one of the solver, if it is of the most exact kind, or else one made at the solution,
        of the most exact kind that costs no more than 16 evaluations.
        """
        if self.layout.is_certain:
            return self._certain(), None
        penalty = self.penalty(C)
        regression, solution, shared = self._solve_smooth(penalty, tol, max_iter, start, None, None)
        return (regression, solution), shared or self._shared(penalty, regression, solution.objective)

    def _certain(self) -> tuple[Regression, Solution]:
        """The model of a single class, which no feature makes more probable."""
        solution = self._solution(0.0, 0.0, 0.0, (0, 0, 0), "converged", perf_counter())
        return self.layout.expand(np.zeros((1, self._rows.n_features)), np.zeros(1)), solution

    def _shared(self, penalty: Penalty, regression: Regression, value: float) -> "Shared | None":
        """The most exact preconditioner at a solution that does not cost too much."""
        objective = self.objective(penalty)
        phi = self._phi(objective, regression)
        kinds = refreshes.refreshes(objective, self._sampler(objective))
        paid = [kind for kind in kinds if kind.cost(value) <= 16.0]
        return Shared(objective.coordinates, paid[-1](phi, value)) if paid else None

    def _solve_smooth(
        self,
        penalty: Penalty,
        tol: float,
        max_iter: int,
        start: Regression | None,
        shared: "Shared | None",
        on_iteration: OnIteration | None,
    ) -> "tuple[Regression, Solution, Shared | None]":
        """Minimise the cross-entropy with a ridge penalty or none, and hand over the solver's last metric."""
        began = perf_counter()
        objective = self.objective(penalty)
        if shared is not None and _is_apart(objective.coordinates, shared.coordinates):
            shared = None
        elif shared is not None:
            objective = self.objective(penalty, shared.coordinates)

        varies = None if isinstance(self._space, RowSpace) else self.varies()
        watch = Watch(objective, varies, lambda: self._null_metric(objective))

        def report(phi: Callable[[], Array], value: float, norm: float) -> bool:
            stop = False
            if on_iteration is not None:
                stop = on_iteration(lambda: self.expand(self._regression(objective, phi())), value, norm)
            return stop or (penalty.is_zero and watch(phi))

        minimum, evaluations = self._search(objective, start, shared, tol, max_iter, report)
        phi, reason = minimum.point.x, minimum.reason
        if penalty.is_zero:
            minimum, reason, more = self._decided(objective, watch, minimum, tol, max_iter, report)
            phi, evaluations = minimum.point.x, evaluations + more
            if reason != "callback" and self._nulls is None:
                phi = collinear.onto_rows(objective, phi)
        bound = _bound(objective, minimum.point.gradient)
        counts = evaluations, minimum.iterations, minimum.refreshes
        value, norm = minimum.point.value, minimum.point.norm
        solution = self._solution(value, norm, bound, counts, reason, began)
        last = (
            None if minimum.preconditioner is None else Shared(objective.coordinates, minimum.preconditioner)
        )
        return self._regression(objective, phi), solution, last

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
        begin, left = self._regression(objective, minimum.point.x), max_iter - minimum.iterations
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
    ) -> tuple[Regression, Solution]:
        """Minimise the cross-entropy with an L1 penalty."""
        began = perf_counter()
        net = ElasticNet(self._hessians, penalty)

        def report(theta: Array, value: float, norm: float) -> bool:
            return on_iteration is not None and on_iteration(
                lambda: self._regression(net.loss, theta), value, norm
            )

        point, more = self._sparse_start(net, start)
        minimum = elastic_net.minimize(net, point, tol=tol, max_iter=max_iter, on_iteration=report)
        counts = minimum.evaluations + more, minimum.iterations, minimum.refreshes
        value, norm, gap = minimum.value, minimum.norm, minimum.gap
        solution = self._solution(value, norm, gap, counts, minimum.reason, began)
        return self._regression(net.loss, minimum.theta), solution

    @cached_property
    def _hessians(self) -> Hessians:
        """Those of the loss, in symmetric coding."""
        return Hessians(self._unpenalised(symmetric=True))

    def _sparse_start(self, net: ElasticNet, start: Regression | None) -> tuple[Point, int]:
        """The intercept-only model, or coefficients that are given, and the evaluations they cost beyond one.

        A start worse than none, as after a change of units, is not taken.
        """
        if start is not None:
            given = net.at(net.canonical(self._phi(net.loss, start).reshape(net.shape)))
            if given.value <= net.loss.null.value:
                return given, 0
        return net.at(net.loss.start().reshape(net.shape)), int(start is not None)

    def _solution(
        self, value: float, norm: float, bound: float, counts: tuple[int, int, int], reason: str, began: float
    ) -> Solution:
        """The record of a solve, the first of which bears the seconds of the preparation.

        The counts are those of evaluations, iterations and refreshes.
        """
        evaluations, iterations, refreshes = counts
        seconds, self._seconds = self._seconds + perf_counter() - began, 0.0
        return Solution(
            objective=value,
            gradient_norm=norm,
            suboptimality=norm**2 / 2,
            suboptimality_bound=bound,
            distance=float(np.sqrt(self.total_weight)) * norm if norm > 0 else norm,
            evaluations=evaluations,
            iterations=iterations,
            refreshes=refreshes,
            seconds=seconds,
            converged=reason == "converged",
            reason=reason,
        )

    def _search(
        self,
        objective: Objective,
        start: Regression | None,
        shared: "Shared | None",
        tol: float,
        max_iter: int,
        report: rownewton.OnIteration,
    ) -> tuple[Minimum, int]:
        """Run the solver from the intercept-only model, or from coefficients that are given.

        A metric that is shared is better than any other. The second number is that of the evaluations.
        """
        given = None if start is None else self._phi(objective, start)
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
        shared: "Shared | None",
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


@dataclass(frozen=True)
class Shared:
    """A metric, and the coordinates that it is in."""

    coordinates: Coordinates
    metric: Preconditioner


def _is_apart(part: Coordinates, full: Coordinates) -> bool:
    """Whether coordinates of its own are needed: for fewer classes, or a feature of far less spread.

    Or, without a penalty, since other features determine others.
    """
    if len(part.coding) < len(full.coding):
        return True
    if part.determined is not None and ((part.spread > 0) != (full.spread > 0)).any():
        return True
    narrow = JITTER**0.25  # ratio of two spreads: a metric, with its jitter, can bear the square of more
    return bool(((part.spread > 0) & (part.spread < narrow * full.spread)).any())


def _bound(objective: Objective, gradient: Array) -> float:
    """``||dF/dW||^2 / (2 a)`` with the least ridge a, which makes the objective strongly convex in W."""
    by_contrast = gradient.reshape(objective.shape)
    p = objective.rows.n_features
    strength = float(np.min(objective.penalty.ridge))
    if strength == 0 or (np.abs(by_contrast[:, p:]) > JITTER).any():  # of whose square nothing is left
        return float("inf")
    with np.errstate(over="ignore"):
        squares = (by_contrast[:, :p] * objective.coordinates.scale) ** 2
        return float(np.sum(squares) / (2 * strength))
