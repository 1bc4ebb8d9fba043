r"""Separation: whether the unpenalised likelihood has a maximum.

It has one if and only if there is no *direction of recession*: no coefficients and intercepts, other than
such that change nothing, that give every row's label a logit at least as high as every other class's
(Albert and Anderson 1984). Where there is one, the likelihood grows along it forever. A soft target allows
several classes: these must then share the highest logit. The difference of the logits of the label and
another class is a *margin*: all margins are to be non-negative, and not all zero. Rows without weight do
not count.

**One column** is decided exactly, in one pass. Let ``f_k(x) = w_k x + b_k`` be the logits of one feature,
``m(x) = max_k f_k(x)``, which is convex, and ``[l_k, h_k]`` the least interval with all values of the rows
that allow class k. There ``f_k = m`` at both ends, and hence throughout. If m is linear from the least
value l to the largest value h, take it off: all ``f_k <= 0``, and zero on ``[l_k, h_k]``. One of them can
be anything else if and only if its interval is the point l or the point h. If m has a kink at c between l
and h, no interval has c inside; and if none has, ``max(0, x - c)`` is such an m, with ``f_k = 0`` for the
intervals on the left of c. Hence there is a direction of recession if and only if

- all rows that allow some class have the least value of all, or all have the largest, or
- the intervals fall into two groups, one on the left and one on the right, that share at most an end point.

So it is for a dummy with which some class never occurs, and for any column that is constant but for
deviations to one side in rows of some classes. Without an intercept ``f_k(x) = w_k x``: classes that are
allowed at some ``x > 0`` have the highest w_k of all, those at some ``x < 0`` the lowest. There is a
direction of recession if and only if no class is among both, and these two groups exist, or one does and is
not all classes.

**Diverging coefficients** restrict the search for a direction. Margins of rows whose probabilities are still
far from zero and one do not grow: they are *tight*. The directions in which all these are zero are a
subspace, most often a small one, and a linear program in it (Konis 2007) finds a direction of recession if
there is one: first among those that change one class alone. Its constraints are all margins, so that a margin
wrongly taken for tight can only exclude a direction. A direction is accepted if, once it is made exact in the
margins that are zero to the program's tolerance, none is negative, to rounding.

**At a maximum** there is none. With the change ``e`` of the logits by Newton's step, which takes the
gradient ``sum_i s_i (p_i - t_i) x_i'`` to zero to first order, and ``q = p + (diag(p) - p p') e``, there is
``sum_i s_i (q_i - t_i) x_i' = 0``. If no two logits of a row change apart by one nat, q is positive, and
the margins ``m_ik`` of any direction satisfy ``sum_ik s_i q_ik m_ik = 0``: all are zero where none is
negative. Where the coefficients diverge the step adds about a nat to some margin, however large they are.
An estimate of that step misses margins whose gradient is zero to rounding. `smreg.fit.overlap` makes it
exact, and finds directions where there are too many coordinates for a linear program. Where neither decides,
the fit ends as "undecided": that there is a maximum is proved, never presumed.

References
----------
A. Albert and J. A. Anderson, On the existence of maximum likelihood estimates in logistic regression
models, Biometrika 71 (1984). https://doi.org/10.1093/biomet/71.1.1
K. Konis, Linear programming algorithms for detecting separated data in binary logistic regression
models, DPhil thesis, University of Oxford (2007).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from smreg.data.block import Block
from smreg.data.cached import cached_property
from smreg.data.statistics import extremes
from smreg.fit.overlap import has_overlap, is_direction_near
from smreg.fit.recession import Allowance, has_recession_direction, has_recession_direction_near, is_complete
from smreg.objective.costs import evaluation_cost
from smreg.objective.cross_entropy import Objective
from smreg.optimize.metric import Metric
from smreg.optimize.protocol import Minimum

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

SMOOTHING, LEAST_SMOOTHING = 2.0**-20, 2.0**-40  # of the probabilities in the proof of a maximum


@dataclass(frozen=True)
class Budget:
    """What a check may cost, about as much as the search so far.

    Attributes
    ----------
    evaluations : int
        Of the search before the first check: most that have a maximum end before. Doubled after each check.
    size, program : int
        Coordinates up to which a subspace of them is worth its time, and dimensions up to which a linear
        program in it is: at the end of a search, and in proportion to it before the 125th evaluation.
    passes : int
        Over the rows, to prove that there is a maximum or find a direction, and so many more for every 50
        evaluations.
    numbers : float
        Constraints times variables of linear programs, summed over the pivots. A pivot takes some 2.5 ns for
        each, an evaluation 0.1 ns an operation: they are as dear as the search, but always worth a second.
    """

    evaluations: int = 40
    size: int = 2000
    program: int = 300
    passes: int = 100
    numbers: float = 2.0**29

    def after(self, evaluations: int) -> "Budget":
        """That of a check during a search."""
        part = min(evaluations / 125, 1.0)
        return replace(self, size=int(part * self.size), program=int(part * self.program))

    def at_end(self, evaluations: int) -> "Budget":
        """That of the last check."""
        return replace(self, passes=self.passes + self.passes * evaluations // 50)

    def allowance(self, operations: float) -> Allowance:
        """That of linear programs, after a search that has cost so many operations."""
        return Allowance(max(self.numbers, 0.04 * operations))


class Watch:
    """The check for separation during an unpenalised search, and at its end.

    Parameters
    ----------
    objective : Objective
        Without penalty. It is checked after so many evaluations that a check takes a small part of the time.
    varies : ndarray of bool of shape (n_features,), or None
        Whether each column varies by more than its rounding; None where columns are not those of the user but
        computed, so that rounding breaks their ties.
    null_metric : callable
        Makes the metric of the intercept-only model.
    budget : Budget
        What a check may cost.
    """

    def __init__(
        self,
        objective: Objective,
        varies: Bools | None,
        null_metric: Callable[[], Metric],
        budget: Budget = Budget(),
    ) -> None:
        self.objective, self.budget, self.due_at, self.found = objective, budget, budget.evaluations, False
        self._varies, self._null_metric = varies, null_metric
        self._is_one_column = varies is not None and objective.rows.n_features == 1

    def __call__(self, phi: Callable[[], Array]) -> bool:
        """Whether the classes are known to be separated, after a step to `phi`."""
        evaluations = self.objective.evaluations
        if evaluations >= self.due_at:
            self.due_at = 2 * evaluations
            self.found = self._is_separated(phi(), evaluations)
        return self.found

    def verdict(self, minimum: Minimum) -> str:
        """Why the search ended: its own reason, "separation", or "undecided" if that is not excluded."""
        reason = minimum.reason
        if self.found:
            return "separation"
        if reason == "callback" or not np.isfinite(minimum.point.value):
            return reason
        found = self._is_separated_at(minimum)
        if found:
            return "separation"
        return "undecided" if found is None and reason == "converged" else reason

    def _is_separated_at(self, minimum: Minimum) -> bool | None:
        """Whether the classes are separated, None where that is not decided.

        After a search that ended at `max_iter` only columns and the point itself are checked: a linear
        program may take longer than the search.
        """
        phi, evaluations = minimum.point.x, self.objective.evaluations
        if self._has_column or is_complete(self.objective, phi):
            return True
        if self._is_one_column or minimum.reason == "max_iter":
            return False
        budget = self.budget.at_end(evaluations)
        at, is_small = (self.objective, phi, self._null_metric()), phi.size <= budget.program
        if has_overlap(*at, minimum.preconditioner, SMOOTHING, budget.passes):
            return False
        if not is_small and is_direction_near(*at, budget.passes):
            return True
        allowance = self._allowance(evaluations)
        if has_recession_direction_near(self.objective, phi, budget.size, budget.program, allowance):
            return True
        if has_overlap(*at, minimum.preconditioner, LEAST_SMOOTHING, budget.passes):
            return False
        if not is_small:
            return None
        found = has_recession_direction(self.objective, np.eye(phi.size), allowance)
        return is_direction_near(*at, budget.passes) or None if found is None else found

    def _allowance(self, evaluations: int) -> Allowance:
        return self.budget.allowance(evaluations * evaluation_cost(self.objective))

    @cached_property
    def _has_column(self) -> bool:
        return self._varies is not None and bool(separating_columns(self.objective)[self._varies].any())

    def _is_separated(self, phi: Array, evaluations: int) -> bool:
        if self._has_column or is_complete(self.objective, phi):
            return True
        if self._is_one_column:
            return False
        budget, allowance = self.budget.after(evaluations), self._allowance(evaluations)
        return has_recession_direction_near(self.objective, phi, budget.size, budget.program, allowance)


def separating_columns(objective: Objective) -> Bools:
    """Whether there is a direction of recession in each column by itself, and the intercept if any."""
    n_classes = objective.rows.n_classes
    lows, highs = zip(*objective.rows.unshifted.map_blocks(_allowing_extremes, n_classes), strict=True)
    low, high = np.min(lows, axis=0), np.max(highs, axis=0)
    if not objective.coordinates.fit_intercept:
        above, below = high > 0, low < 0
        both_sides = above.any(axis=0) & below.any(axis=0)
        is_free = (above.any(axis=0) | below.any(axis=0)) & ~(above | below).all(axis=0)
        return np.asarray(~(above & below).any(axis=0) & (both_sides | is_free))
    least, largest = low.min(axis=0), high.max(axis=0)
    at_an_end = (high == least).any(axis=0) | (low == largest).any(axis=0)
    order = np.argsort(low, axis=0)
    reached = np.maximum.accumulate(np.take_along_axis(high, order, axis=0), axis=0)
    apart = (reached[:-1] <= np.take_along_axis(low, order, axis=0)[1:]).any(axis=0)
    return np.asarray((at_an_end | apart) & (least < largest))


def _allowing_extremes(block: Block, n_classes: int) -> tuple[Array, Array]:
    """Those of the rows that allow each class."""
    codes, target = np.arange(n_classes)[:, np.newaxis], block.target
    allowing = codes == target if target.ndim == 1 else target.T > 0
    return extremes(block, allowing & (block.weights > 0))
