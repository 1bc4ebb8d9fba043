"""The fit with Jeffreys' prior, by the smooth minimiser: see `smreg.objective.jeffreys`."""

from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from smreg.fit.coefficients import coordinates_of, regression_at
from smreg.fit.regression import OnIteration, Problem
from smreg.fit.solution import Fit
from smreg.objective import collinear
from smreg.objective.cross_entropy import Objective
from smreg.objective.jeffreys import JeffreysObjective, Scoring, smoothed
from smreg.objective.layout import Regression
from smreg.objective.penalty import Penalty
from smreg.optimize import solver
from smreg.optimize.protocol import Point

Array = NDArray[np.float64]

NEAR, MOST_NEAR = 1e-2, 100  # tol and steps of the search for a start


class BiasReducedProblem(Problem):
    """A problem without a penalty, to be solved with Jeffreys' prior."""

    def solve_with_prior(
        self,
        *,
        tol: float,
        max_iter: int,
        start: Regression | None = None,
        on_iteration: OnIteration | None = None,
    ) -> Fit:
        """Minimise the cross-entropy with Jeffreys' prior; parameters as for `solve`."""
        if self.layout.is_certain:
            return self._certain()
        began = perf_counter()
        objective = self.objective(Penalty())
        function = JeffreysObjective(objective, self.total_weight)
        if start is None:
            phi, more = self._near_prior(objective)
        else:
            phi, more = coordinates_of(self.layout, objective, start), 0
        value, gradient = function(phi)
        if not value <= objective.null.value:
            phi = objective.start()
            value, gradient = function(phi)

        def report(point: Point) -> bool:
            return on_iteration is not None and on_iteration(
                lambda: self.expand(regression_at(self.layout, objective, point.x)), point.value, point.norm
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
        return regression_at(self.layout, objective, phi), solution

    def _near_prior(self, objective: Objective) -> tuple[Array, int]:
        """The minimum if each row has the mean leverage, see `jeffreys.smoothed`, and its evaluations."""
        loss = smoothed(objective, self.total_weight)
        near = Objective(loss, objective.penalty, objective.coordinates)
        minimum, evaluations = self._descent(
            near, None, None, NEAR, MOST_NEAR, lambda phi, value, norm: False
        )
        return minimum.point.x, evaluations
