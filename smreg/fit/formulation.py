"""What is fitted: a sample, its features or fewer that suffice, penalties, coordinates of coefficients."""

from collections.abc import Callable
from copy import copy
from functools import cache
from time import perf_counter
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from smreg.data.cached import cached_property
from smreg.data.rows import IndexedRows, Rows
from smreg.data.statistics import ColumnStatistics, statistics
from smreg.data.tally import tally
from smreg.data.targets import Targets
from smreg.fit.coefficients import coordinates_of
from smreg.fit.reduction import reduction
from smreg.objective import collinear, null_metric
from smreg.objective.collinear import NullSpace
from smreg.objective.coordinates import Coordinates, contrasts, reference_coding, symmetric_coding
from smreg.objective.cross_entropy import CrossEntropy, Objective, mean_entropy
from smreg.objective.factors import Factors
from smreg.objective.layout import Layout, Regression
from smreg.objective.penalty import LARGEST, Penalty
from smreg.objective.rowspace import RowSpace
from smreg.objective.sampling import RowSampler
from smreg.objective.singletons import Singletons
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
    factors : ndarray of shape (n_features,) or (n_classes, n_features), or None
        Of the penalty, infinite for what is held at zero. None is one for all.

    Attributes
    ----------
    priors : ndarray of shape (n_live,)
        Weighted mean of the targets among the classes that take part.
    layout : Layout
        Which these classes are.
    factors : Factors
        Those of the features that the problem is solved for.
    """

    factors: Factors

    def __init__(
        self,
        rows: Rows,
        *,
        fit_intercept: bool,
        largest_C: float,
        l1: bool = False,
        factors: Array | None = None,
    ) -> None:
        began = perf_counter()
        self.fit_intercept, self._given_factors = fit_intercept, factors
        self._offset = None if rows.in_memory is None else rows.in_memory.offset  # of all classes
        self._given = self._normalised(rows)
        self._space = None if l1 and not self.factors.is_zero else self._reduction(largest_C)
        self._rows = self._given if self._space is None else self._space.coordinates
        if isinstance(self._space, RowSpace):
            self.factors = self._space.factors
        self._null = dict[bool, null_metric.NullCovariance]()  # by whether columns are left out
        self._seconds = perf_counter() - began

    def _normalised(self, rows: Rows) -> Rows:
        """The same with weights that sum to one."""
        self.layout = Layout.of(tally(rows), self.fit_intercept)
        self.priors, factors = self.layout.priors, self._given_factors
        if factors is not None and factors.ndim == 2:
            factors = factors[self.layout.live]
        self._all_factors = Factors.of(factors)
        self.factors = self._all_factors
        return rows.edited(self.layout, len(self.priors), rows.statistics)

    @property
    def total_weight(self) -> float:
        """S, the sum of the weights."""
        with np.errstate(over="ignore"):
            return float(self.layout.tally.total * self.layout.tally.largest)

    def penalty(self, C: float, l1_ratio: float = 0.0) -> Penalty:
        """Ridge and L1 norm, of a strength of ``1 / (C S)`` together, times the factors."""
        return self.factors.penalty(self._strength(C), l1_ratio)

    def _strength(self, C: float) -> float:
        """``1 / (C S)``."""
        with np.errstate(divide="ignore", over="ignore", under="ignore"):
            return float(
                min(np.divide(1.0, C * self.layout.tally.largest * self.layout.tally.total), LARGEST)
            )

    def penalty_of(self, regression: Regression, C: float, l1_ratio: float) -> float:
        """What coefficients of all classes and features as they came cost."""
        coef, _ = self.layout.restrict(regression)
        if self.factors is self._all_factors:
            return self.penalty(C, l1_ratio).value(coef)
        return self._all_factors.penalty(self._strength(C), l1_ratio).value(coef)

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
            part.factors = self.factors
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
        if self._space is not None:
            return True
        if not self.penalty(C).is_zero:
            return self._free_nulls is not None and len(self._free_nulls.pivots) > 0
        null = self._nulls
        return null is None or len(null.pivots) > 0

    def prepare(self, C: float) -> None:
        """Make what smooth fits with any penalty share, in the metric of this one."""
        if not self.layout.is_certain:
            self._null_covariance(self.objective(self.penalty(C)))

    def unreduced(self) -> Self:
        """The same with the features as they came, and none of them left out."""
        made = self._anew()
        made._rows, made._space, made.factors = self._given, None, self._all_factors
        made._nulls, made._free_nulls = NullSpace.empty(made._rows.n_features), None
        return made

    def _anew(self) -> Self:
        """A copy without what was made of the features and weights."""
        made = copy(self)
        for name in ("_columns", "_nulls", "_free_nulls", "_hessians", "loss", "unpenalised", "base"):
            vars(made).pop(name, None)
        made._null = {}
        return made

    @cached_property
    def _columns(self) -> ColumnStatistics:
        """Mean and spread of the features."""
        columns = statistics(self._rows)
        return columns if self.factors.resting is None else columns.emptied(self.factors.resting)

    @property
    def spread(self) -> Array:
        """Standard deviation of each feature of the reduced problem."""
        return self._columns.spread

    @cached_property
    def loss(self) -> CrossEntropy:
        """The data term, of features less a shift of the columns that need one."""
        rows = self._rows.shifted(self._columns.shift) if self.fit_intercept else self._rows
        return CrossEntropy(rows, self.priors)

    @property
    def given(self) -> Rows:
        """The rows with all features, to be read as they came or less a shift."""
        return self.loss.rows if self._space is None else self._given

    def objective(self, penalty: Penalty, coordinates: Coordinates | None = None) -> Objective:
        """The penalised cross-entropy, in given coordinates or, for a smooth penalty, those of the solver."""
        null = self._nulls if penalty.is_zero else self._free_nulls
        if coordinates is None:
            coordinates = self._coordinates(
                penalty, symmetric=not penalty.is_shared, determined=None if null is None else null.determined
            )
        return Objective(self.loss, penalty, coordinates, None if coordinates.determined is None else null)

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
            fit_intercept=self.fit_intercept,
            ridge=penalty.ridge,
            by_feature=not self._rows.stores_zeros,
            determined=determined,
        )

    def coding(self, *, symmetric: bool = False) -> Array:
        """That of the live classes, with a row for each of them if it is symmetric."""
        if self.layout.n_classes == 2:
            return reference_coding()
        return (symmetric_coding if symmetric else contrasts)(len(self.priors))

    def _unpenalised(self, *, symmetric: bool = False, null: NullSpace | None = None) -> Objective:
        """The cross-entropy of all features: in units of the spread, in which no square underflows."""
        determined = None if null is None else null.determined
        coordinates = self._coordinates(Penalty(), symmetric=symmetric, determined=determined)
        return Objective(self.loss, Penalty(), coordinates, null)

    @cached_property
    def _nulls(self) -> NullSpace | None:
        """The combinations of features that are null."""
        return collinear.null_space(self._unpenalised(), self._columns.rounding)

    @cached_property
    def unpenalised(self) -> Self | None:
        """The problem of what has no penalty, though other coefficients have one, alone."""
        if (members := self.factors.unpenalised) is None or self.layout.is_certain:
            return None
        features = np.flatnonzero(members.any(axis=0))
        return self._of_features(features, np.where(members[:, features], 0.0, np.inf))

    def _of_features(self, features: NDArray[np.intp], factors: Array) -> Self:
        """The same with some of the features alone, and other factors."""
        made = self._anew()
        made._given = self._rows.columns(features)
        made._given_factors, made._seconds = None, 0.0
        made._all_factors = Factors.of(factors)
        made.factors = made._all_factors
        made._space = made._reduction(np.inf)
        made._rows = made._given if made._space is None else made._space.coordinates
        return made

    @cached_property
    def _free_nulls(self) -> NullSpace | None:
        """The combinations that are null of features without a penalty, where others have one."""
        free, alone = self.factors.free, self.unpenalised
        if alone is None or not len(free) or alone._space is not None:
            return None
        if alone._rows.n_features > len(free):
            alone = self._of_features(free, np.zeros(len(free)))
        null = alone._nulls
        return None if null is None else null.among(free, self._rows.n_features)

    def varies(self) -> NDArray[np.bool_]:
        """Whether each feature varies, or without intercepts differs from zero, by more than its rounding."""
        mean = np.zeros_like(self._columns.mean) if self.fit_intercept else self._columns.mean
        return np.asarray(np.hypot(mean, self._columns.spread) > self._columns.rounding)

    def null_gradient(self, base: Regression | None = None) -> tuple[Array, float]:
        """Gradient of a model's mean cross-entropy in the coefficients, and its deviance.

        That is its mean divergence from the targets: without the entropy that soft targets have. Offsets are
        part of the model, which is the intercept-only one, or has coefficients without a penalty besides.
        """
        if self.layout.is_certain:
            return np.zeros((1, self._rows.n_features)), 0.0
        objective = self.objective(self.penalty(1.0))
        phi = objective.start() if base is None else coordinates_of(self.layout, objective, base)
        value, gradient = objective(phi)
        by_contrast = gradient.reshape(objective.shape)[:, : self._rows.n_features]
        at = objective.coordinates
        return at.contrasts @ (by_contrast * at.scale), value - self._rows.map_reduce(mean_entropy)

    def root_null_curvatures(self) -> tuple[Array, Array]:
        """Roots of the curvatures of the coefficients, each given all others, at the intercept-only model.

        Where the others determine it, of its own. Those without a penalty are left out; the second is the
        largest factor of each.
        """
        if self.layout.is_certain:
            return np.empty(0), np.empty(0)
        objective = self._unpenalised()
        roots = null_metric.root_null_curvatures(objective, self._null_covariance(objective))
        factors = np.broadcast_to(self.factors.largest, roots.shape)
        known = (objective.coordinates.spread > self._columns.rounding) & (factors > 0)
        return roots[known], factors[known]

    def root_null_information(self) -> Array:
        """Root of the information's diagonal at that model, of shape (rows, n_features)."""
        if self.layout.is_certain:
            return np.zeros((1, self._rows.n_features))
        objective = self._unpenalised()
        variances, at = objective.null.information.diagonal(), objective.coordinates
        return np.outer(np.sqrt(variances)[-len(at.contrasts) :], at.spread)

    def _reduction(self, largest_C: float) -> RowSpace | Singletons | None:
        """Fewer features that suffice, if there are and X is at hand."""
        return reduction(
            self._given.in_memory,
            self.penalty(largest_C),
            self._strength(largest_C),
            self.factors,
            n_used=self.layout.tally.n_used,
            centred=self.fit_intercept,
        )

    def _null_metric(self, objective: Objective) -> Metric:
        return null_metric.null_metric(objective, self._null_covariance(objective))

    def _null_covariance(self, objective: Objective) -> null_metric.NullCovariance:
        determined = objective.coordinates.determined
        leaves_out = determined is not None and bool(determined.any())
        if leaves_out not in self._null:
            self._null[leaves_out] = null_metric.null_covariance(objective)
        return self._null[leaves_out]

    def _sampler(self, objective: Objective) -> Callable[[], RowSampler]:
        """Makes the sampler of rows, if it is called for."""
        return cache(lambda: null_metric.row_sampler(objective, self._null_covariance(objective)))


def _indexed(rows: Rows) -> IndexedRows:
    """Rows that can be taken by their numbers: others are not divided into parts."""
    assert rows.by_index is not None
    return rows.by_index
