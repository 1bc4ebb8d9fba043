"""What is fitted: a sample, its features or fewer that suffice, penalties, coordinates of coefficients."""

import math
from collections.abc import Callable
from copy import copy
from functools import cache
from time import perf_counter
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import special

from smreg.data.cached import cached_property
from smreg.data.rows import Block, IndexedRows, Rows, tally
from smreg.data.statistics import ColumnStatistics, statistics
from smreg.data.targets import Targets
from smreg.objective import collinear, information, null_metric
from smreg.objective.collinear import NullSpace
from smreg.objective.coordinates import Coordinates, contrasts, reference_coding, symmetric_coding
from smreg.objective.cross_entropy import CrossEntropy, Objective
from smreg.objective.layout import Layout, Regression
from smreg.objective.penalty import LARGEST, Penalty
from smreg.objective.rowspace import RowSpace, is_resolved, is_wide
from smreg.objective.sampling import RowSampler
from smreg.objective.singletons import Singletons, has_singletons
from smreg.optimize.metric import Metric

Array = NDArray[np.float64]


class Formulation:
    """One sample and its features, to be fitted with any penalty: what does not depend on it is made once.

    Where fewer features suffice the problem is solved for these: it takes and gives regressions of the
    reduced problem, and `expand` and `restrict` lead back and forth.

    Parameters
    ----------
    rows : Rows
        Features; labels or soft targets, with class weights already merged in; and weights, which are
        positive in at least two classes, or one of two.
    fit_intercept : bool
        Whether there are intercepts; they are not penalised.
    largest_C : float
        The weakest penalty that will be asked for, inf for none.
    l1 : bool
        Whether an L1 penalty will be asked for. Features are then not replaced by fewer, whose
        coefficients have another L1 norm.

    Attributes
    ----------
    priors : ndarray of shape (n_live,)
        Weighted mean of the targets among the classes that take part.
    layout : Layout
        Which these classes are.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        fit_intercept: bool,
        largest_C: float,
        l1: bool = False,
    ) -> None:
        began = perf_counter()
        self._fit_intercept = fit_intercept
        self._offset = None if rows.in_memory is None else rows.in_memory.offset  # of all classes
        self._given = self._normalised(rows)
        self._space = None if l1 else self._reduction(rows, largest_C)
        self._rows = self._given if self._space is None else self._space.coordinates
        self._null: null_metric.NullCovariance | None = None
        self._seconds = perf_counter() - began

    def _normalised(self, rows: Rows) -> Rows:
        """The same with weights that sum to one."""
        self.layout = Layout.of(tally(rows), self._fit_intercept)
        self.priors = self.layout.priors
        return rows.edited(self.layout, len(self.priors), rows.statistics)

    @property
    def total_weight(self) -> float:
        """S, the sum of the weights."""
        with np.errstate(over="ignore"):
            return float(self.layout.tally.total * self.layout.tally.largest)

    def penalty(self, C: float, l1_ratio: float = 0.0) -> Penalty:
        """Ridge and L1 norm, of a strength of ``1 / (C S)`` together."""
        with np.errstate(divide="ignore", over="ignore", under="ignore"):
            strength = float(
                min(np.divide(1.0, C * self.layout.tally.largest * self.layout.tally.total), LARGEST)
            )
        l1 = strength * l1_ratio
        if l1 == 0 < min(strength, l1_ratio):  # an L1 norm that underflows is still one
            l1 = math.ulp(0.0)
        return Penalty(strength * (1 - l1_ratio), l1)

    def strength_at(self, penalty: Array | float) -> Array:
        """The C of each penalty: zero or inf where floating point has none."""
        with np.errstate(divide="ignore", over="ignore", under="ignore"):
            return np.asarray(np.divide(1.0, penalty) / self.layout.tally.total / self.layout.tally.largest)

    def part(
        self, rows: NDArray[np.intp], targets: Targets, weights: Array, thread_map: Callable[..., Any] = map
    ) -> Self:
        """The same with some of the rows alone, and with other weights for them.

        Where it lacks classes it has fewer coordinates, and no metric is shared with it.
        """
        began = perf_counter()
        part = self._anew()
        part._offset = offset = None if self._offset is None else self._offset[rows]
        taken = _indexed(self._rows).take(rows, weights, targets, thread_map, offset)
        part._given = part._rows = part._normalised(taken)
        if self._space is not None:
            given = _indexed(self._given).take(rows, weights, targets, thread_map, offset)
            part._given = given.edited(part.layout, len(part.priors))
        part._seconds = perf_counter() - began
        return part

    def expand(self, regression: Regression) -> Regression:
        """The coefficients of the features as they came, from those of the reduced problem."""
        if self._space is None:
            return regression
        return Regression(*self._space.expand(regression.coef, regression.intercept))

    def restrict(self, regression: Regression) -> Regression:
        """The reverse."""
        if self._space is None:
            return regression
        return Regression(*self._space.restrict(regression.coef, regression.intercept))

    def is_reduced(self, C: float) -> bool:
        """Whether the answer is that of another problem, of fewer features, in terms of all of them."""
        if self.layout.is_certain:
            return False
        if self._space is not None or not self.penalty(C).is_zero:
            return self._space is not None
        null = self._nulls
        return null is None or len(null.pivots) > 0

    def prepare(self, C: float) -> None:
        """Make what smooth fits with any penalty share, in the metric of this one."""
        if not self.layout.is_certain:
            self._null_covariance(self.objective(self.penalty(C)))

    def unreduced(self) -> Self:
        """The same with the features as they came, and none of them left out."""
        made = self._anew()
        made._rows, made._space = self._given, None
        made._nulls = NullSpace.empty(made._rows.n_features)
        return made

    def _anew(self) -> Self:
        """A copy without what was made of the features and weights."""
        made = copy(self)
        for name in ("_columns", "_nulls", "_hessians", "loss"):
            vars(made).pop(name, None)
        made._null = None
        return made

    @cached_property
    def _columns(self) -> ColumnStatistics:
        """Mean and spread of the features."""
        return statistics(self._rows)

    @property
    def spread(self) -> Array:
        """Standard deviation of each feature of the reduced problem."""
        return self._columns.spread

    @cached_property
    def loss(self) -> CrossEntropy:
        """The data term, of features less a shift of the columns that need one."""
        rows = self._rows.shifted(self._columns.shift) if self._fit_intercept else self._rows
        return CrossEntropy(rows, self.priors)

    @property
    def given(self) -> Rows:
        """The rows with all features, to be read as they came or less a shift."""
        return self.loss.rows if self._space is None else self._given

    def objective(self, penalty: Penalty, coordinates: Coordinates | None = None) -> Objective:
        """The penalised cross-entropy, in given coordinates or, for a smooth penalty, those of the solver."""
        if coordinates is None:
            null = self._nulls if penalty.is_zero else None
            coordinates = self._coordinates(
                penalty, symmetric=not penalty.is_shared, determined=None if null is None else null.determined
            )
        return Objective(self.loss, penalty, coordinates)

    def _coordinates(
        self,
        penalty: Penalty,
        *,
        symmetric: bool = False,
        determined: NDArray[np.bool_] | None = None,
    ) -> Coordinates:
        """Those in which a penalty and the features are of magnitude one."""
        return Coordinates.standardising(
            self._columns,
            self.coding(symmetric=symmetric),
            fit_intercept=self._fit_intercept,
            ridge=penalty.ridge,
            by_feature=not self._rows.stores_zeros,
            determined=determined,
        )

    def coding(self, *, symmetric: bool = False) -> Array:
        """That of the live classes, with a row for each of them if it is symmetric."""
        if self.layout.n_classes == 2:
            return reference_coding()
        return (symmetric_coding if symmetric else contrasts)(len(self.priors))

    def _unpenalised(self, *, symmetric: bool = False) -> Objective:
        """The cross-entropy of all features: in units of the spread, in which no square underflows."""
        return self.objective(Penalty(), self._coordinates(Penalty(), symmetric=symmetric))

    @cached_property
    def _nulls(self) -> NullSpace | None:
        """The combinations of features that are null."""
        return collinear.null_space(self._unpenalised(), self._columns.rounding)

    def _nulls_of(self, objective: Objective) -> NullSpace | None:
        """The same where they are left out."""
        return None if objective.coordinates.determined is None else self._nulls

    def varies(self) -> NDArray[np.bool_]:
        """Whether each feature varies, or without intercepts differs from zero, by more than its rounding."""
        mean = np.zeros_like(self._columns.mean) if self._fit_intercept else self._columns.mean
        return np.asarray(np.hypot(mean, self._columns.spread) > self._columns.rounding)

    def null_gradient(self) -> tuple[Array, float]:
        """Gradient of the intercept-only model's mean cross-entropy in the coefficients, and its deviance.

        That is its mean divergence from the targets: without the entropy that soft targets have. Offsets are
        part of the model.
        """
        if self.layout.is_certain:
            return np.zeros((1, self._rows.n_features)), 0.0
        objective = self.objective(self.penalty(1.0))
        value, gradient = objective(objective.start())
        by_contrast = gradient.reshape(objective.shape)[:, : self._rows.n_features]
        at = objective.coordinates
        return at.contrasts @ (by_contrast * at.scale), value - self._rows.map_reduce(_entropy)

    def root_null_curvatures(self) -> Array:
        """Roots of the curvatures of the coefficients, each given all others, at that model.

        Where the others determine it, of its own.
        """
        if self.layout.is_certain:
            return np.empty(0)
        objective = self._unpenalised()
        roots = null_metric.root_null_curvatures(objective, self._null_covariance(objective))
        return roots[objective.coordinates.spread > self._columns.rounding]

    def root_null_information(self) -> Array:
        """Root of the information's diagonal at that model, of shape (rows, n_features)."""
        if self.layout.is_certain:
            return np.zeros((1, self._rows.n_features))
        objective = self._unpenalised()
        variances, at = objective.null.information.diagonal(), objective.coordinates
        return np.outer(np.sqrt(variances)[-len(at.contrasts) :], at.spread)

    def degrees_of_freedom(self, C: float, regression: Regression, l1_ratio: float) -> float:
        """``tr(H (H + R)^-1)`` at a solution, or with an L1 penalty the number of what is not zero."""
        if self.layout.is_certain:
            return 0.0
        if not (penalty := self.penalty(C, l1_ratio)).is_smooth:
            free = (len(self.priors) - 1) * self._fit_intercept
            return float(np.count_nonzero(regression.coef) + free)
        objective = self.objective(penalty)
        return information.degrees_of_freedom(objective, self._phi(objective, regression))

    def _reduction(self, rows: Rows, largest_C: float) -> RowSpace | Singletons | None:
        """Fewer features that suffice, if there are and X is at hand."""
        weakest, given = self.penalty(largest_C), self._given.in_memory
        if given is None or not weakest.is_uniform:
            return None
        penalty, centred = float(weakest.ridge), self._fit_intercept
        if is_wide(rows, self.layout.tally.n_used, penalised=penalty > 0):
            columns = statistics(given)
            if is_resolved(columns, centred=centred, penalty=penalty):
                return RowSpace(given, columns, centred=centred, penalty=penalty)
        return Singletons(given) if has_singletons(given) else None

    def _null_metric(self, objective: Objective) -> Metric:
        return null_metric.null_metric(objective, self._null_covariance(objective))

    def _null_covariance(self, objective: Objective) -> null_metric.NullCovariance:
        if self._null is None:
            self._null = null_metric.null_covariance(objective)
        return self._null

    def _sampler(self, objective: Objective) -> Callable[[], RowSampler]:
        """Makes the sampler of rows, if it is called for."""
        return cache(lambda: null_metric.row_sampler(objective, self._null_covariance(objective)))

    def _regression(self, objective: Objective, phi: Array) -> Regression:
        """The coefficients of all classes, without a penalty of all with these probabilities the least."""
        coef, intercept = objective.coefficients(phi)
        null = self._nulls_of(objective)
        if null is not None:
            least = null.least_norm(coef)
            coef, intercept = least, intercept + (coef - least) @ objective.coordinates.mean
        return self.layout.expand(coef, intercept)

    def _phi(self, objective: Objective, regression: Regression) -> Array:
        """The reverse."""
        coef, intercept = self.layout.restrict(regression)
        null = self._nulls_of(objective)
        if null is not None:
            eliminated = null.eliminated(coef)
            coef, intercept = eliminated, intercept + (coef - eliminated) @ objective.coordinates.mean
        return objective.coordinates.of(coef, intercept)


def _indexed(rows: Rows) -> IndexedRows:
    """Rows that can be taken by their numbers: others are not divided into parts."""
    assert rows.by_index is not None
    return rows.by_index


def _entropy(block: Block) -> float:
    """That of soft targets."""
    if block.target.ndim == 1:
        return 0.0
    return float(block.weights @ special.entr(block.target).sum(axis=1))
